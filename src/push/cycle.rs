//! Billing cycles: calendar months from an anchor.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp as Instant};

use super::plan::Plan;
use super::tier::Status;
use crate::kernel::time::Timestamp;

/// Cycles that are looked through for the next one: more than a century of months.
const CYCLES_MAX: u32 = 2_000;

const DAY_MS: u64 = 24 * 3_600_000;

/// The time `months` calendar months after `anchor`; days that a month lacks become its last.
#[must_use]
pub fn plus_months(anchor: Timestamp, months: u32) -> Timestamp {
    shifted(anchor, i64::from(months))
}

fn shifted(anchor: Timestamp, months: i64) -> Timestamp {
    let shifted = i64::try_from(anchor.as_millis()).ok().and_then(|ms| {
        let civil = Instant::from_millisecond(ms).ok()?.to_zoned(TimeZone::UTC).datetime();
        let later = civil.checked_add(Span::new().try_months(months).ok()?).ok()?;
        let later = later.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
        u64::try_from(later).ok()
    });
    shifted.map_or(anchor, Timestamp::from_millis)
}

/// The first boundary of the plan's cycles after `after`.
#[must_use]
pub fn boundary_after(plan: &Plan, after: Timestamp) -> Timestamp {
    cycle_of(plan, after).1
}

/// The beginning and the end of the plan's cycle in which `at` lies. What is before the anchor ends with it.
#[must_use]
pub fn cycle_of(plan: &Plan, at: Timestamp) -> (Timestamp, Timestamp) {
    steps_around(plan, at, plan.billing_schedule.months())
}

/// The first time after `after` that is a whole number of months from the plan's anchor.
#[must_use]
pub fn month_after(plan: &Plan, after: Timestamp) -> Timestamp {
    steps_around(plan, after, 1).1
}

fn steps_around(plan: &Plan, at: Timestamp, months: u32) -> (Timestamp, Timestamp) {
    if at < plan.billing_cycle_anchor {
        return (shifted(plan.billing_cycle_anchor, -i64::from(months)), plan.billing_cycle_anchor);
    }
    // No month is longer than 31 days, so nothing before this step can be it.
    let elapsed = at.since(plan.billing_cycle_anchor) / (31 * DAY_MS * u64::from(months.max(1)));
    let first = u32::try_from(elapsed).unwrap_or(CYCLES_MAX).clamp(1, CYCLES_MAX);
    let mut start = plus_months(plan.billing_cycle_anchor, (first - 1) * months);
    for step in first..=CYCLES_MAX {
        let end = plus_months(plan.billing_cycle_anchor, step * months);
        if end > at {
            return (start, end);
        }
        start = end;
    }
    (start, at)
}

/// When the plan's next billing cycle begins.
///
/// Source: section 3.2 of the dialect.
#[must_use]
pub fn next_cycle(plan: &Plan, last_renewal: Timestamp) -> Option<Timestamp> {
    match plan.status {
        Status::FreeTrial | Status::DowngradeAtTrialEnd | Status::NeverStarted => plan.next_invoice_date,
        Status::SwitchTierAtPlanEnd => plan.end_date,
        // Nobody is waiting for an invoice, so no cycle begins that could come before the end.
        _ if plan.next_invoice_date.is_none() && plan.end_date.is_some() => plan.end_date,
        _ => {
            let next = boundary_after(plan, last_renewal);
            Some(plan.end_date.map_or(next, |end| end.min(next)))
        }
    }
}
