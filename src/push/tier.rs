//! The numbers by which the dialect knows plans: types, tiers, states, schedules.
//!
//! Source: sections 2.8 and 2.9 of the dialect.

/// What a server or an organization may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PlanType {
    SelfHosted,
    SelfManaged,
    Legacy,
    Community,
    Basic,
    Business,
    Enterprise,
}

impl PlanType {
    /// Every type.
    pub const ALL: [Self; 7] = [
        Self::SelfHosted,
        Self::SelfManaged,
        Self::Legacy,
        Self::Community,
        Self::Basic,
        Self::Business,
        Self::Enterprise,
    ];

    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::SelfHosted => 1,
            Self::SelfManaged => 100,
            Self::Legacy => 101,
            Self::Community => 102,
            Self::Basic => 103,
            Self::Business => 104,
            Self::Enterprise => 105,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.number()) == number)
    }

    /// Whether somebody pays for it.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::Basic | Self::Business | Self::Enterprise)
    }
}

/// What a plan sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Tier {
    Base,
    Legacy,
    Community,
    Basic,
    Business,
    Enterprise,
}

impl Tier {
    /// Every tier of self-hosted servers.
    pub const ALL: [Self; 6] =
        [Self::Base, Self::Legacy, Self::Community, Self::Basic, Self::Business, Self::Enterprise];

    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.plan_type().number()
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.number()) == number)
    }

    /// What who has a live plan of this tier may use.
    #[must_use]
    pub const fn plan_type(self) -> PlanType {
        match self {
            Self::Base => PlanType::SelfManaged,
            Self::Legacy => PlanType::Legacy,
            Self::Community => PlanType::Community,
            Self::Basic => PlanType::Basic,
            Self::Business => PlanType::Business,
            Self::Enterprise => PlanType::Enterprise,
        }
    }

    /// Whether somebody pays for it.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        self.plan_type().is_paid()
    }

    /// What one user costs. Units: cents for the period of `schedule`; nothing where it is agreed upon.
    #[must_use]
    pub const fn list_price(self, schedule: Schedule) -> Option<u64> {
        match (self, schedule) {
            (Self::Basic, Schedule::Monthly) => Some(350),
            (Self::Basic, Schedule::Annual) => Some(4_200),
            (Self::Business, Schedule::Monthly) => Some(800),
            (Self::Business, Schedule::Annual) => Some(8_000),
            _ => None,
        }
    }

    /// The fewest licenses that are sold. `flat_discount` in cents.
    #[must_use]
    pub fn licenses_min(self, flat_discount: u64) -> u64 {
        match self {
            Self::Business => 25,
            Self::Basic => (flat_discount / 350 + 1).min(10),
            _ => 1,
        }
    }
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Status {
    Active,
    DowngradeAtCycleEnd,
    FreeTrial,
    SwitchToAnnual,
    SwitchTierNow,
    SwitchToMonthly,
    DowngradeAtTrialEnd,
    SwitchTierAtPlanEnd,
    Ended,
    NeverStarted,
}

impl Status {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Active,
        Self::DowngradeAtCycleEnd,
        Self::FreeTrial,
        Self::SwitchToAnnual,
        Self::SwitchTierNow,
        Self::SwitchToMonthly,
        Self::DowngradeAtTrialEnd,
        Self::SwitchTierAtPlanEnd,
        Self::Ended,
        Self::NeverStarted,
    ];

    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Active => 1,
            Self::DowngradeAtCycleEnd => 2,
            Self::FreeTrial => 3,
            Self::SwitchToAnnual => 4,
            Self::SwitchTierNow => 5,
            Self::SwitchToMonthly => 6,
            Self::DowngradeAtTrialEnd => 7,
            Self::SwitchTierAtPlanEnd => 8,
            Self::Ended => 11,
            Self::NeverStarted => 12,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.number()) == number)
    }

    /// Whether the plan counts.
    #[must_use]
    pub const fn is_live(self) -> bool {
        self.number() < 10
    }

    /// Whether nothing is paid for yet.
    #[must_use]
    pub const fn is_trial(self) -> bool {
        matches!(self, Self::FreeTrial | Self::DowngradeAtTrialEnd)
    }

    /// Whether it is known that the plan ends.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::DowngradeAtCycleEnd | Self::DowngradeAtTrialEnd)
    }
}

/// How often a plan is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Schedule {
    Annual,
    Monthly,
}

impl Schedule {
    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Annual => 1,
            Self::Monthly => 2,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        [Self::Annual, Self::Monthly].into_iter().find(|known| u64::from(known.number()) == number)
    }

    /// The length of a period.
    #[must_use]
    pub const fn months(self) -> u32 {
        match self {
            Self::Annual => 12,
            Self::Monthly => 1,
        }
    }
}

/// How far a plan's invoices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Invoicing {
    Done,
    Started,
    InitialPending,
}

impl Invoicing {
    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Done => 1,
            Self::Started => 2,
            Self::InitialPending => 3,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        [Self::Done, Self::Started, Self::InitialPending].into_iter().find(|known| u64::from(known.number()) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::{Invoicing, PlanType, Schedule, Status, Tier};

    #[test]
    fn every_number_names_one_thing_and_comes_back() {
        for plan_type in PlanType::ALL {
            assert_eq!(PlanType::parse(u64::from(plan_type.number())), Some(plan_type));
        }
        for tier in Tier::ALL {
            assert_eq!(Tier::parse(u64::from(tier.number())), Some(tier));
        }
        for status in Status::ALL {
            assert_eq!(Status::parse(u64::from(status.number())), Some(status));
        }
        for schedule in [Schedule::Annual, Schedule::Monthly] {
            assert_eq!(Schedule::parse(u64::from(schedule.number())), Some(schedule));
        }
        assert_eq!(Invoicing::parse(3), Some(Invoicing::InitialPending));
        for unknown in [0, 9, 10, 13, 99, 106] {
            assert!(PlanType::parse(unknown).is_none() && Tier::parse(unknown).is_none());
            assert!(Status::parse(unknown).is_none(), "{unknown}");
        }
        let live: Vec<u32> = Status::ALL.into_iter().filter(|status| status.is_live()).map(Status::number).collect();
        assert_eq!(live, [1, 2, 3, 4, 5, 6, 7, 8]);
        let ending: Vec<u32> =
            Status::ALL.into_iter().filter(|status| status.is_ending()).map(Status::number).collect();
        assert_eq!(ending, [2, 7]);
    }

    #[test]
    fn prices_and_least_licenses_are_the_published_ones() {
        assert_eq!(Tier::Basic.list_price(Schedule::Monthly), Some(350));
        assert_eq!(Tier::Basic.list_price(Schedule::Annual), Some(4_200));
        assert_eq!(Tier::Business.list_price(Schedule::Monthly), Some(800));
        assert_eq!(Tier::Business.list_price(Schedule::Annual), Some(8_000));
        assert_eq!(Tier::Enterprise.list_price(Schedule::Annual), None);
        for (tier, discount, least) in
            [(Tier::Basic, 2_000, 6), (Tier::Basic, 0, 1), (Tier::Basic, 99_999, 10), (Tier::Business, 2_000, 25)]
        {
            assert_eq!(tier.licenses_min(discount), least, "{tier:?} {discount}");
        }
        assert_eq!(Tier::Enterprise.licenses_min(2_000), 1);
    }
}
