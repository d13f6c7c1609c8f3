//! What owners ask to be changed in their plans.

use super::customer::{Licensing, Schedule};

/// The most licenses that can be asked for.
pub const LICENSES_MAX: u64 = 1_000_000;

/// A status that owners may ask for. The others are the service's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum WantedStatus {
    Active,
    DowngradeAtCycleEnd,
    FreeTrial,
    SwitchToAnnual,
    SwitchToMonthly,
    DowngradeAtTrialEnd,
    Ended,
}

impl WantedStatus {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::DowngradeAtCycleEnd,
        Self::FreeTrial,
        Self::SwitchToAnnual,
        Self::SwitchToMonthly,
        Self::DowngradeAtTrialEnd,
        Self::Ended,
    ];

    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Active => 1,
            Self::DowngradeAtCycleEnd => 2,
            Self::FreeTrial => 3,
            Self::SwitchToAnnual => 4,
            Self::SwitchToMonthly => 6,
            Self::DowngradeAtTrialEnd => 7,
            Self::Ended => 11,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| u64::from(known.number()) == number)
    }
}

/// A change of a plan. Whether the plan allows it is for the books to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanChange {
    /// It goes on, ends or changes at its time.
    Status(WantedStatus),
    /// So many licenses from now on.
    Licenses(u64),
    /// So many licenses from the next period on.
    LicensesAtNextRenewal(u64),
    /// It is paid for so often.
    Schedule(Schedule),
    /// Who counts the licenses is turned round.
    ToggleLicenseManagement,
}

/// A paid plan that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// 103 or 104.
    pub tier: u32,
    /// How often it is to be paid for.
    pub schedule: Schedule,
    /// Who is to count the licenses.
    pub licensing: Licensing,
    /// How many, where the owner counts.
    pub licenses: Option<u64>,
}

/// A plan that is asked for as a gift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sponsorship {
    /// The dialect's number for what kind of organization it is.
    pub org_type: u32,
    /// Its site; may be empty.
    pub website: String,
    /// What it is.
    pub description: String,
    /// How many users it expects, in its own words.
    pub expected_total_users: String,
    /// How many of them are paid, in its own words.
    pub paid_users_count: String,
    /// Who they are.
    pub paid_users_description: String,
}

/// The kinds of organizations, by the dialect's number.
pub const ORG_TYPES: [(u32, &str); 13] = [
    (0, "Unspecified"),
    (10, "Business"),
    (20, "Open-source project"),
    (30, "Education (non-profit)"),
    (35, "Education (for-profit)"),
    (40, "Research"),
    (50, "Event or conference"),
    (60, "Non-profit (registered)"),
    (70, "Government"),
    (80, "Political group"),
    (90, "Community"),
    (100, "Personal"),
    (1000, "Other"),
];

/// Something that the books are asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Change the live plan.
    Change(PlanChange),
    /// Begin a paid plan, or put it down for whoever sells it.
    Upgrade(Upgrade),
    /// Put a sponsorship down for whoever grants it.
    Sponsorship(Sponsorship),
}

#[cfg(test)]
mod tests {
    use super::WantedStatus;

    #[test]
    fn owners_may_ask_for_seven_statuses() {
        let known: Vec<u64> = (0..20).filter(|number| WantedStatus::parse(*number).is_some()).collect();
        assert_eq!(known, [1, 2, 3, 4, 6, 7, 11]);
        for status in WantedStatus::ALL {
            assert_eq!(WantedStatus::parse(u64::from(status.number())), Some(status));
        }
    }
}
