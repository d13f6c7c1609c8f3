//! License ledgers: how many licenses a plan had when, and what an invoice says of them.
//!
//! Source: section 3.8 of the dialect.

use super::cycle::{boundary_after, plus_months};
use super::plan::{LivePlan, Plan, Price};
use super::tier::{Schedule, Status};
use crate::kernel::time::Timestamp;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Whether a billing cycle began with it.
    pub is_renewal: bool,
    /// When.
    pub event_time: Timestamp,
    /// Licenses that are paid for.
    pub licenses: u64,
    /// Licenses that the next cycle begins with.
    pub licenses_at_next_renewal: u64,
}

/// The ledger after people came and went. A number that changed nothing adds nothing, so that a ledger is as long as the
/// licenses' history, not as the audit log. `counts` are times and billed people, in order.
#[must_use]
pub fn advance(last: &LedgerEntry, counts: impl IntoIterator<Item = (Timestamp, u64)>) -> Vec<LedgerEntry> {
    let mut entries: Vec<LedgerEntry> = Vec::new();
    let mut newest = last.clone();
    for (event_time, people) in counts {
        if event_time <= last.event_time {
            continue;
        }
        let licenses = newest.licenses.max(people);
        if licenses == newest.licenses && people == newest.licenses_at_next_renewal {
            continue;
        }
        let event_time = event_time.max(newest.event_time);
        let entry = LedgerEntry { is_renewal: false, event_time, licenses, licenses_at_next_renewal: people };
        // Between two rises only the newest number for the renewal matters.
        if licenses == newest.licenses && entries.last().is_some() {
            entries.pop();
        }
        newest = entry.clone();
        entries.push(entry);
    }
    entries
}

/// A record of what is to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// The beginning of the period that is paid for.
    pub period_start: Timestamp,
    /// Its end.
    pub period_end: Timestamp,
    /// Licenses of the period.
    pub licenses: u64,
    /// Units: cents.
    pub amount: u64,
    /// Units: cents, already taken off.
    pub discount: u64,
}

/// What comes of a plan when its time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalPlan {
    /// The plan from now on.
    pub plan: Plan,
    /// The first entry of the new cycle.
    pub ledger: Option<LedgerEntry>,
    /// What is to be paid for it.
    pub invoice: Option<Invoice>,
    /// Months of flat discount that are used up.
    pub discounted_months: u64,
}

/// What comes of a plan at `now`; nothing while its time has not come. One cycle at a time: a plan that slept through
/// several is asked again.
#[must_use]
pub fn decide_renewal(now: Timestamp, live: &LivePlan, flat_discount: u64, months_left: u64) -> Option<RenewalPlan> {
    let plan = &live.plan;
    if plan.end_date.is_some_and(|end| end <= now) {
        return Some(ended(plan));
    }
    let due = plan.next_invoice_date.filter(|due| *due <= now)?;
    let mut next = plan.clone();
    match plan.status {
        Status::DowngradeAtTrialEnd => return Some(ended(plan)),
        // The first invoice of the current cycle may still be due when its end is decided.
        Status::DowngradeAtCycleEnd if due > live.last_renewal => return Some(ended(plan)),
        Status::FreeTrial => {
            next.status = Status::Active;
            next.billing_cycle_anchor = due;
        }
        Status::SwitchToAnnual if due > live.last_renewal => switch(&mut next, Schedule::Annual, due),
        Status::SwitchToMonthly if due > live.last_renewal => switch(&mut next, Schedule::Monthly, due),
        _ => {}
    }
    let period_end = boundary_after(&next, due);
    let licenses = if due > live.last_renewal { live.last.licenses_at_next_renewal } else { live.last.licenses };
    let full = match next.price {
        Price::PerLicense(cents) => cents.saturating_mul(licenses),
        Price::Fixed(cents) => cents,
        Price::Free => 0,
    };
    let discounted_months = u64::from(next.billing_schedule.months()).min(months_left);
    let discount = flat_discount.saturating_mul(discounted_months).min(full);
    let discount = if matches!(next.price, Price::PerLicense(_)) { discount } else { 0 };
    next.next_invoice_date = Some(period_end);
    let is_renewal = due > live.last_renewal;
    let ledger = is_renewal.then_some(LedgerEntry {
        is_renewal: true,
        event_time: due,
        licenses,
        licenses_at_next_renewal: licenses,
    });
    let invoice = Invoice { period_start: due, period_end, licenses, amount: full - discount, discount };
    let discounted_months = if discount > 0 { discounted_months } else { 0 };
    Some(RenewalPlan { plan: next, ledger, invoice: Some(invoice), discounted_months })
}

fn ended(plan: &Plan) -> RenewalPlan {
    let plan = Plan { status: Status::Ended, next_invoice_date: None, ..plan.clone() };
    RenewalPlan { plan, ledger: None, invoice: None, discounted_months: 0 }
}

fn switch(plan: &mut Plan, to: Schedule, due: Timestamp) {
    let was_listed = match plan.price {
        Price::PerLicense(cents) => plan.tier.list_price(plan.billing_schedule) == Some(cents),
        Price::Fixed(_) | Price::Free => false,
    };
    plan.price = match (plan.price, plan.tier.list_price(to)) {
        (Price::PerLicense(_), Some(listed)) if was_listed => Price::PerLicense(listed),
        (Price::PerLicense(cents), _) => Price::PerLicense(converted(cents, to)),
        (Price::Fixed(cents), _) => Price::Fixed(converted(cents, to)),
        (Price::Free, _) => Price::Free,
    };
    plan.billing_schedule = to;
    plan.billing_cycle_anchor = due;
    plan.status = Status::Active;
    plan.next_invoice_date = Some(plus_months(due, to.months()));
}

const fn converted(cents: u64, to: Schedule) -> u64 {
    match to {
        Schedule::Annual => cents.saturating_mul(12),
        Schedule::Monthly => cents.div_ceil(12),
    }
}
