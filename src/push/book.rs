//! A plan's book: what becomes of the plan as time passes and people come and go.
//!
//! # What is billed, and when
//!
//! - A period is billed at its beginning, for the licenses that it begins with, in an invoice of the kind
//!   [`InvoiceKind::Period`]. It begins where the one before it ends, whenever that is noticed.
//! - Licenses that come within a period are put down at once ([`put_down`]): each costs the price of a period times what is
//!   left of it, to the millisecond, rounded half up to a cent. Only a rise above what the period has ever had costs anything.
//! - What is put down is billed in one invoice of the kind [`InvoiceKind::Additional`] at the next invoicing run: each month
//!   within a year that is paid for at once, at the renewal, and when the plan ends.
//! - So the sum does not depend on how often or how late the alarm rings: a run only gathers what stands there. Licenses,
//!   what is put down and invoices are written in one commit with the entry or the run that made them; after a crash all of
//!   it has happened, or nothing, and nothing is billed twice.
//! - No run happens on stale numbers: where licenses follow the people, it waits until the server has uploaded audit rows
//!   after the run's date. The first period does not wait, because it is sold with its number; nor does the end of a plan,
//!   which bills what is put down.
//!
//! An upload brings rows from before and after a boundary: the book passes the boundary in between, so that the new period
//! begins with the number of that moment.
//!
//! Source: section 3.8 of the dialect.

use super::cycle::{boundary_after, month_after};
use super::ledger::{Invoice, InvoiceKind, LedgerEntry, Owed, bill_owed, put_down};
use super::plan::{Customer, LivePlan, Plan, Price};
use super::price::{AMOUNT_MAX, Discounted, begun, rescheduled};
use super::tier::{Invoicing, Schedule, Status, Tier};
use crate::kernel::time::Timestamp;

/// A free trial of which nobody says when it is over. Units: milliseconds; 30 days.
pub const TRIAL_MS: u64 = 30 * 24 * 3_600_000;

/// Runs in one go; what is left follows in the next.
pub const RUNS_MAX: usize = 36;

/// What a customer gets a plan for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Units: cents a month.
    pub flat_discount: u64,
    /// Months of it that are left.
    pub discounted_months: u64,
    /// The fewest licenses that a period may begin with.
    pub licenses_min: u64,
    /// What the customer was promised.
    pub discounted: Discounted,
    /// What follows when the plan ends with a switch.
    pub next: Option<Next>,
}

/// The tier that a customer switches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Which.
    pub tier: Tier,
    /// The fewest licenses of it.
    pub licenses_min: u64,
    /// What the customer was promised for it.
    pub discounted: Discounted,
}

impl Terms {
    /// What `customer` gets `plan` for.
    #[must_use]
    pub fn of(customer: &Customer, plan: &Plan) -> Self {
        let licenses_min = |tier: Tier| if tier.is_paid() { customer.licenses_min(tier) } else { 0 };
        let required = customer.required_plan_tier.filter(|tier| *tier != plan.tier);
        Self {
            flat_discount: customer.flat_discount,
            discounted_months: customer.flat_discounted_months,
            licenses_min: licenses_min(plan.tier),
            discounted: Discounted::of(customer, plan.tier),
            next: required.filter(|_| plan.status == Status::SwitchTierAtPlanEnd).map(|tier| Next {
                tier,
                licenses_min: licenses_min(tier),
                discounted: Discounted::of(customer, tier),
            }),
        }
    }
}

/// The book of a live plan, and what is new in it since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The plan as it is now.
    pub plan: Plan,
    /// The newest entry of its ledger.
    pub last: LedgerEntry,
    /// When the newest renewal was.
    pub last_renewal: Timestamp,
    /// New entries, oldest first.
    pub entries: Vec<LedgerEntry>,
    /// New invoices, oldest first.
    pub invoices: Vec<Invoice>,
    /// How many of them were made before the plan switched to its tier.
    switched_after: usize,
    /// Months of flat discount that are used up.
    pub months_spent: u64,
    terms: Terms,
    /// Counts up to then have been considered.
    counted_until: Timestamp,
}

impl Book {
    /// The book as it is stored.
    #[must_use]
    pub fn open(live: &LivePlan, terms: Terms) -> Self {
        Self {
            plan: live.plan.clone(),
            last: live.last.clone(),
            last_renewal: live.last_renewal,
            entries: Vec::new(),
            invoices: Vec::new(),
            switched_after: 0,
            months_spent: 0,
            terms,
            counted_until: live.last.event_time,
        }
    }

    /// Lets time pass: every run up to `now` that does not wait for an upload newer than `uploaded_at`.
    pub fn pass(&mut self, now: Timestamp, uploaded_at: Option<Timestamp>) {
        for _ in 0..RUNS_MAX {
            if !self.step(now, uploaded_at) {
                return;
            }
        }
    }

    /// The new invoices with what they are for, where the book was opened with a plan of `tier`.
    pub fn sold_as(&self, tier: Tier) -> impl Iterator<Item = (Tier, &Invoice)> {
        let tier_of = move |at| if at < self.switched_after { tier } else { self.plan.tier };
        self.invoices.iter().enumerate().map(move |(at, invoice)| (tier_of(at), invoice))
    }

    /// So many people are billed since `at`. A number that changes nothing adds nothing, so that a ledger is as long as the
    /// licenses' history, not as the audit log.
    pub fn count(&mut self, at: Timestamp, people: u64) {
        let people = people.min(AMOUNT_MAX);
        let is_news = at > self.counted_until && self.plan.status.is_live() && self.plan.automanage_licenses;
        let licenses = self.last.licenses.max(people);
        if !is_news || (licenses == self.last.licenses && people == self.last.licenses_at_next_renewal) {
            return;
        }
        let event_time = entry_time(&self.plan, self.last_renewal, at).max(self.last.event_time);
        let is_rise = licenses > self.last.licenses;
        let entry = LedgerEntry { is_renewal: false, event_time, licenses, licenses_at_next_renewal: people };
        put_down(&mut self.plan, self.last_renewal, &entry);
        match self.entries.as_mut_slice() {
            // Between two rises only the newest number for the renewal matters.
            [.., newest] if !is_rise && !newest.is_renewal => {
                newest.licenses_at_next_renewal = people;
                self.last.licenses_at_next_renewal = people;
            }
            _ => {
                self.last = entry.clone();
                self.entries.push(entry);
            }
        }
    }

    fn step(&mut self, now: Timestamp, uploaded_at: Option<Timestamp>) -> bool {
        let plan = &self.plan;
        if !plan.status.is_live() {
            return false;
        }
        let due = plan.next_invoice_date.filter(|due| *due <= now && plan.end_date.is_none_or(|end| *due < end));
        if let Some(due) = due.filter(|due| !waits(plan, *due, uploaded_at)) {
            self.run(due);
            return true;
        }
        let Some(end) = plan.end_date.filter(|end| *end <= now) else { return false };
        match self.terms.next.filter(|_| plan.status == Status::SwitchTierAtPlanEnd) {
            Some(next) => self.switch_tier(next, end),
            None => self.end(),
        }
        true
    }

    /// An invoicing run.
    fn run(&mut self, due: Timestamp) {
        match self.plan.status {
            Status::DowngradeAtTrialEnd => return self.end(),
            Status::FreeTrial => {
                self.plan.status = Status::Active;
                self.plan.billing_cycle_anchor = due;
                self.renew(due);
            }
            _ => {
                let cycle_end = boundary_after(&self.plan, self.last_renewal);
                if self.plan.invoicing_status == Invoicing::InitialPending {
                    self.bill_period(self.plan.sold.saturating_sub(self.plan.owed.licenses));
                    self.plan.invoicing_status = Invoicing::Done;
                }
                if due >= cycle_end {
                    if self.plan.status == Status::DowngradeAtCycleEnd {
                        return self.end();
                    }
                    self.bill_owed();
                    match self.plan.status {
                        Status::SwitchToAnnual => self.reschedule(Schedule::Annual, cycle_end),
                        Status::SwitchToMonthly => self.reschedule(Schedule::Monthly, cycle_end),
                        _ => {}
                    }
                    self.renew(cycle_end);
                } else if !self.plan.status.is_ending() {
                    self.bill_owed();
                }
            }
        }
        self.plan.invoicing_status = Invoicing::Done;
        // A date before the period begins is no date of this period's, and neither is one after its end.
        let is_within = due < boundary_after(&self.plan, self.last_renewal);
        let after = if is_within { self.last_renewal.max(due) } else { self.last_renewal };
        self.plan.next_invoice_date = Some(next_run(&self.plan, after));
    }

    /// A period begins.
    fn renew(&mut self, at: Timestamp) {
        let licenses = self.last.licenses_at_next_renewal.max(self.terms.licenses_min);
        self.last = LedgerEntry { is_renewal: true, event_time: at, licenses, licenses_at_next_renewal: licenses };
        self.entries.push(self.last.clone());
        self.last_renewal = at;
        (self.plan.sold, self.plan.owed) = (licenses, Owed::default());
        self.bill_period(licenses);
    }

    fn bill_period(&mut self, licenses: u64) {
        if !self.plan.tier.is_paid() {
            return;
        }
        let full = match self.plan.price {
            Price::PerLicense(cents) => cents.saturating_mul(licenses),
            Price::Fixed(cents) => cents,
            Price::Free => 0,
        };
        let months = u64::from(self.plan.billing_schedule.months()).min(self.terms.discounted_months);
        let is_discounted = matches!(self.plan.price, Price::PerLicense(_));
        let discount = if is_discounted { self.terms.flat_discount.saturating_mul(months).min(full) } else { 0 };
        if discount > 0 {
            self.terms.discounted_months -= months;
            self.months_spent += months;
        }
        self.invoices.push(Invoice {
            kind: InvoiceKind::Period,
            period_start: self.last_renewal,
            period_end: boundary_after(&self.plan, self.last_renewal),
            licenses,
            amount: full - discount,
            discount,
        });
    }

    fn bill_owed(&mut self) {
        self.invoices.extend(bill_owed(&mut self.plan, self.last_renewal));
    }

    /// The next period is paid for on another schedule.
    fn reschedule(&mut self, to: Schedule, at: Timestamp) {
        let plan = &mut self.plan;
        plan.price = rescheduled(plan.price, plan.tier, (plan.billing_schedule, to), self.terms.discounted);
        (plan.billing_schedule, plan.billing_cycle_anchor, plan.status) = (to, at, Status::Active);
    }

    /// The plan goes on in another tier, with a period from its end on.
    fn switch_tier(&mut self, next: Next, at: Timestamp) {
        self.bill_due();
        let plan = &mut self.plan;
        plan.automanage_licenses =
            if plan.tier.is_paid() == next.tier.is_paid() { plan.automanage_licenses } else { next.tier.is_paid() };
        plan.price = begun(next.tier, plan.billing_schedule, next.discounted);
        if next.tier.is_paid() && plan.price == Price::Free {
            // What must be agreed upon is for a person to do; until then nobody pays and nothing is sold.
            return self.end();
        }
        (plan.tier, plan.status, plan.end_date, plan.billing_cycle_anchor) = (next.tier, Status::Active, None, at);
        plan.invoicing_status = Invoicing::Done;
        self.switched_after = self.invoices.len();
        self.terms.licenses_min = next.licenses_min;
        (self.terms.discounted, self.terms.next) = (next.discounted, None);
        self.renew(at);
        self.plan.next_invoice_date = self.plan.tier.is_paid().then(|| next_run(&self.plan, at));
    }

    /// Bills what a plan leaves to be paid that is over now.
    pub fn settle(&mut self) {
        self.bill_due();
        self.plan.invoicing_status = Invoicing::Done;
    }

    fn bill_due(&mut self) {
        if self.plan.invoicing_status == Invoicing::InitialPending {
            self.bill_period(self.plan.sold.saturating_sub(self.plan.owed.licenses));
        }
        self.bill_owed();
    }

    fn end(&mut self) {
        self.bill_due();
        self.plan.invoicing_status = Invoicing::Done;
        self.plan.status = Status::Ended;
        self.plan.next_invoice_date = None;
    }
}

/// Whether a run must wait for newer numbers.
fn waits(plan: &Plan, due: Timestamp, uploaded_at: Option<Timestamp>) -> bool {
    let follows_people = plan.automanage_licenses && matches!(plan.price, Price::PerLicense(_));
    let needs_numbers = plan.tier.is_paid()
        && follows_people
        && plan.invoicing_status != Invoicing::InitialPending
        && !plan.status.is_ending();
    needs_numbers && uploaded_at.is_none_or(|at| at < due)
}

/// When an entry that is made at `at` counts: while a renewal waits, the period that is over still goes on.
#[must_use]
pub fn entry_time(plan: &Plan, last_renewal: Timestamp, at: Timestamp) -> Timestamp {
    if plan.status.is_trial() || plan.next_invoice_date.is_none() {
        at
    } else {
        at.min(boundary_after(plan, last_renewal))
    }
}

/// The next invoicing run: each month where licenses may come within a year that is paid for at once, else at the renewal.
fn next_run(plan: &Plan, after: Timestamp) -> Timestamp {
    match plan.price {
        Price::PerLicense(_) if plan.tier.is_paid() => month_after(plan, after),
        _ => boundary_after(plan, after),
    }
}
