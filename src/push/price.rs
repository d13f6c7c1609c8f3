//! What a customer pays for a plan, and what becomes of a price when the tier or the schedule changes.
//!
//! The customer's discounted price comes first, then the published one. A price that was agreed upon for one plan is carried
//! over to another schedule, but to no other tier.
//!
//! Source: section 2.8 of the dialect.

use super::plan::{Customer, Price};
use super::tier::{Schedule, Tier};

/// Prices in cents, and licenses, that are taken. Their product stays below 2^53.
pub const AMOUNT_MAX: u64 = 90_000_000;

/// The discounted prices of a customer for a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discounted {
    /// Units: cents a month.
    pub monthly: Option<u64>,
    /// Units: cents a year.
    pub annual: Option<u64>,
}

impl Discounted {
    /// What `customer` was promised for `tier`: nothing, where the promise is for another tier.
    #[must_use]
    pub fn of(customer: &Customer, tier: Tier) -> Self {
        let is_meant = tier.is_paid() && customer.required_plan_tier.is_none_or(|required| required == tier);
        let some = |cents: u64| Some(cents).filter(|cents| is_meant && *cents > 0);
        Self { monthly: some(customer.monthly_discounted_price), annual: some(customer.annual_discounted_price) }
    }

    const fn price(self, schedule: Schedule) -> Option<u64> {
        match schedule {
            Schedule::Monthly => self.monthly,
            Schedule::Annual => self.annual,
        }
    }
}

/// What a plan costs that begins; nothing where nobody pays, or where the price must be agreed upon.
#[must_use]
pub fn begun(tier: Tier, schedule: Schedule, discounted: Discounted) -> Price {
    discounted.price(schedule).or_else(|| tier.list_price(schedule)).map_or(Price::Free, Price::PerLicense)
}

/// What a plan costs that is paid for on another schedule from now on.
#[must_use]
pub fn rescheduled(price: Price, tier: Tier, (from, to): (Schedule, Schedule), discounted: Discounted) -> Price {
    match price {
        Price::Free => Price::Free,
        Price::Fixed(cents) => Price::Fixed(converted(cents, from, to)),
        Price::PerLicense(cents) => {
            let was_usual = [tier.list_price(from), discounted.price(from)].contains(&Some(cents));
            let listed = tier.list_price(to).filter(|_| was_usual);
            let usual = discounted.price(to).or(listed);
            Price::PerLicense(usual.unwrap_or_else(|| converted(cents, from, to)))
        }
    }
}

fn converted(cents: u64, from: Schedule, to: Schedule) -> u64 {
    let cents = match (from, to) {
        (Schedule::Monthly, Schedule::Annual) => cents.saturating_mul(12),
        (Schedule::Annual, Schedule::Monthly) => cents.div_ceil(12),
        (Schedule::Monthly, Schedule::Monthly) | (Schedule::Annual, Schedule::Annual) => cents,
    };
    cents.min(AMOUNT_MAX)
}

/// Whether a text is a percentage: from 0 to 100, with at most two decimal places.
#[must_use]
pub fn is_percentage(text: &str) -> bool {
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (text, None),
    };
    let is_number = |text: &str, digits: usize| {
        (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_shaped = is_number(whole, 3) && part.is_none_or(|part| is_number(part, 2));
    is_shaped && text.parse::<f64>().is_ok_and(|percent| percent <= 100.0)
}

#[cfg(test)]
mod tests {
    use super::{AMOUNT_MAX, Discounted, begun, is_percentage, rescheduled};
    use crate::push::plan::{Customer, Price};
    use crate::push::tier::{Schedule, Tier};

    const NONE: Discounted = Discounted { monthly: None, annual: None };

    #[test]
    fn a_discounted_price_comes_before_the_published_one_and_only_for_its_tier() {
        let mut customer = Customer { monthly_discounted_price: 300, ..Customer::default() };
        let price = |customer: &Customer, tier, schedule| begun(tier, schedule, Discounted::of(customer, tier));
        assert_eq!(price(&customer, Tier::Basic, Schedule::Monthly), Price::PerLicense(300));
        assert_eq!(price(&customer, Tier::Basic, Schedule::Annual), Price::PerLicense(4_200));
        assert_eq!(price(&customer, Tier::Business, Schedule::Monthly), Price::PerLicense(300));
        assert_eq!(price(&customer, Tier::Community, Schedule::Monthly), Price::Free, "a gift costs nothing");
        customer.required_plan_tier = Some(Tier::Basic);
        assert_eq!(price(&customer, Tier::Basic, Schedule::Monthly), Price::PerLicense(300));
        assert_eq!(price(&customer, Tier::Business, Schedule::Monthly), Price::PerLicense(800));
        assert_eq!(price(&customer, Tier::Enterprise, Schedule::Annual), Price::Free, "to be agreed upon");
    }

    #[test]
    fn another_schedule_has_its_own_price_and_an_agreement_is_carried_over() {
        let to_annual = (Schedule::Monthly, Schedule::Annual);
        let to_monthly = (Schedule::Annual, Schedule::Monthly);
        let promised = Discounted { monthly: Some(700), annual: Some(7_000) };
        for (price, way, discounted, expected) in [
            (Price::PerLicense(800), to_annual, NONE, Price::PerLicense(8_000)),
            (Price::PerLicense(8_000), to_monthly, NONE, Price::PerLicense(800)),
            (Price::PerLicense(800), to_annual, promised, Price::PerLicense(7_000)),
            (Price::PerLicense(7_000), to_monthly, promised, Price::PerLicense(700)),
            (Price::PerLicense(700), to_annual, Discounted { annual: None, ..promised }, Price::PerLicense(8_000)),
            (Price::PerLicense(500), to_annual, NONE, Price::PerLicense(6_000)),
            (Price::PerLicense(5_000), to_monthly, NONE, Price::PerLicense(417)),
            (Price::Fixed(9_900), to_annual, promised, Price::Fixed(118_800)),
            (Price::Fixed(80_000_000), to_annual, NONE, Price::Fixed(AMOUNT_MAX)),
            (Price::Free, to_annual, promised, Price::Free),
        ] {
            assert_eq!(rescheduled(price, Tier::Business, way, discounted), expected, "{price:?} {way:?}");
        }
    }

    #[test]
    fn a_percentage_is_a_number_up_to_a_hundred_with_at_most_two_places() {
        for good in ["0", "5", "85", "100", "0.5", "12.25", "100.00", "007"] {
            assert!(is_percentage(good), "{good}");
        }
        for bad in
            ["", "half", "-1", "+1", "101", "100.01", "NaN", "inf", "1e1", "1.", ".5", "1.234", "1,5", " 5", "5%", "٥"]
        {
            assert!(!is_percentage(bad), "{bad}");
        }
    }
}
