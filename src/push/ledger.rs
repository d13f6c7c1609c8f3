//! License ledgers: how many licenses a plan had when, and what licenses cost for a part of a period.
//!
//! Source: section 3.8 of the dialect.

use super::cycle::cycle_of;
use super::plan::{Plan, Price};
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

/// Licenses that came within the current period, from when they came to its end, and that no invoice tells of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    /// How many.
    pub licenses: u64,
    /// Units: cents.
    pub amount: u64,
    /// When the first of them came.
    pub since: Option<Timestamp>,
}

/// What an invoice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceKind {
    /// A whole period.
    Period,
    /// Licenses that came within a period, for the rest of it.
    Additional,
}

impl InvoiceKind {
    /// The word in storage, JSON and CSV.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::Additional => "additional",
        }
    }

    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Period, Self::Additional].into_iter().find(|kind| kind.word() == word)
    }
}

/// A record of what is to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// What for.
    pub kind: InvoiceKind,
    /// The beginning of the time that is paid for: of the period, or when the first additional license came.
    pub period_start: Timestamp,
    /// Its end.
    pub period_end: Timestamp,
    /// Licenses of the period, or how many more.
    pub licenses: u64,
    /// Units: cents.
    pub amount: u64,
    /// Units: cents, already taken off.
    pub discount: u64,
}

/// What one license costs from `from` to `until` when a period from `start` to `end` costs `cents`.
///
/// Units: cents, rounded half up for each license, as the original does.
#[must_use]
pub fn share(cents: u64, from: Timestamp, until: Timestamp, (start, end): (Timestamp, Timestamp)) -> u64 {
    pro_rata(cents, until.min(end).since(from.max(start)).min(end.since(start).max(1)), (start, end))
}

fn pro_rata(cents: u64, part_ms: u64, (start, end): (Timestamp, Timestamp)) -> u64 {
    let whole = u128::from(end.since(start).max(1));
    let doubled = u128::from(cents) * u128::from(part_ms) * 2 + whole;
    u64::try_from(doubled / (whole * 2)).unwrap_or(cents)
}

/// Puts down what the licenses cost that an entry within the current period adds. Whatever the number was in between, no
/// license is put down twice in one period.
pub fn put_down(plan: &mut Plan, last_renewal: Timestamp, entry: &LedgerEntry) {
    let added = entry.licenses.saturating_sub(plan.sold);
    if added == 0 {
        return;
    }
    plan.sold = entry.licenses;
    let Price::PerLicense(cents) = plan.price else { return };
    if plan.status.is_trial() || !plan.tier.is_paid() {
        return;
    }
    let cycle = cycle_of(plan, last_renewal);
    let until = plan.end_date.map_or(cycle.1, |end| end.min(cycle.1));
    let each = if entry.event_time < cycle.0 {
        // A year that is paid for goes on, and what follows is paid for by the month.
        pro_rata(cents, until.since(entry.event_time), cycle)
    } else {
        share(cents, entry.event_time, until, cycle)
    };
    let amount = each.saturating_mul(added);
    plan.owed = Owed {
        licenses: plan.owed.licenses.saturating_add(added),
        amount: plan.owed.amount.saturating_add(amount),
        since: plan.owed.since.or(Some(entry.event_time)),
    };
}

/// The invoice for what is owed of the current period, if anything; then nothing is owed any more.
pub fn bill_owed(plan: &mut Plan, last_renewal: Timestamp) -> Option<Invoice> {
    let Owed { licenses, amount, since } = std::mem::take(&mut plan.owed);
    let period_end = cycle_of(plan, last_renewal).1;
    let period_end = plan.end_date.map_or(period_end, |end| end.min(period_end));
    let period_start = since?;
    (amount > 0).then_some(Invoice {
        kind: InvoiceKind::Additional,
        period_start,
        period_end,
        licenses,
        amount,
        discount: 0,
    })
}
