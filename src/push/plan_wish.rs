//! What a wish makes of a customer and of a plan.
//!
//! A change of tier or schedule has the price, the licenses and the dates follow, unless the same wish sets them:
//!
//! - What is paid for stays so to its end. A new price and a new schedule count from the next period on; licenses that come
//!   before cost the new price.
//! - Who begins to pay has a period from now on, with its invoice, as by a new plan.
//! - Who no longer pays is sent what is owed, and nothing after that.

use super::book::{TRIAL_MS, entry_time};
use super::cycle::boundary_after;
use super::headcount::Counted;
use super::ledger::{LedgerEntry, Owed};
use super::plan::{Account, Customer, CustomerWish, LivePlan, Plan, PlanError, PlanWish, Price, Set};
use super::price::{AMOUNT_MAX, Discounted, begun, is_percentage, rescheduled};
use super::tier::{Invoicing, Schedule, Status};
use crate::kernel::time::Timestamp;

/// What a wish is to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It begins, or begins to be paid for.
    Begins,
    /// It is no longer paid for.
    Gift,
    /// Its trial is over by somebody's word, and it is paid for from now on.
    TrialOver,
    /// Another tier or schedule.
    Other,
    /// Neither.
    Same,
}

impl Turn {
    fn of(before: &Plan, after: &Plan) -> Self {
        let is_same = (before.tier, before.billing_schedule) == (after.tier, after.billing_schedule);
        match (before.tier.is_paid(), after.tier.is_paid()) {
            (false, true) => Self::Begins,
            (true, false) => Self::Gift,
            (true, true) if before.status.is_trial() && after.status.is_live() && !after.status.is_trial() => {
                Self::TrialOver
            }
            (true, true) if !is_same => Self::Other,
            _ => Self::Same,
        }
    }
}

/// What a wish makes of a customer.
///
/// Errors: [`PlanError::NoLicenses`].
pub fn apply_customer(customer: &mut Customer, wish: &CustomerWish) -> Result<(), PlanError> {
    if wish.minimum_licenses == Set::To(Some(0)) {
        return Err(PlanError::NoLicenses);
    }
    customer.payment_reference = wish.payment_reference.apply(customer.payment_reference.take());
    customer.sponsorship_pending = wish.sponsorship_pending.unwrap_or(customer.sponsorship_pending);
    customer.monthly_discounted_price = wish.monthly_discounted_price.unwrap_or(customer.monthly_discounted_price);
    customer.annual_discounted_price = wish.annual_discounted_price.unwrap_or(customer.annual_discounted_price);
    customer.minimum_licenses = wish.minimum_licenses.apply(customer.minimum_licenses);
    customer.required_plan_tier = wish.required_plan_tier.apply(customer.required_plan_tier);
    customer.exempt_from_license_number_check =
        wish.exempt_from_license_number_check.unwrap_or(customer.exempt_from_license_number_check);
    customer.flat_discount = wish.flat_discount.unwrap_or(customer.flat_discount);
    customer.flat_discounted_months = wish.flat_discounted_months.unwrap_or(customer.flat_discounted_months);
    Ok(())
}

/// What a wish makes of a plan: the plan, and one more entry of its ledger, whose licenses are not put down yet.
///
/// Errors: [`PlanError`].
pub fn apply_plan(
    now: Timestamp,
    account: &Account,
    customer: &Customer,
    wish: &PlanWish,
) -> Result<(Plan, Option<LedgerEntry>), PlanError> {
    let known = account.live.as_ref();
    let mut plan = match known {
        Some(live) => live.plan.clone(),
        None => fresh(now, wish)?,
    };
    plan.tier = wish.tier.unwrap_or(plan.tier);
    plan.status = wish.status.unwrap_or(plan.status);
    plan.billing_schedule = wish.billing_schedule.unwrap_or(plan.billing_schedule);
    if wish.status == Some(Status::SwitchTierNow) {
        plan.tier = wish.tier.or(customer.required_plan_tier).ok_or(PlanError::NoNextTier)?;
        plan.status = Status::Active;
    }
    if wish.status == Some(Status::SwitchTierAtPlanEnd)
        && customer.required_plan_tier.is_none_or(|next| next == plan.tier)
    {
        return Err(PlanError::NoNextTier);
    }
    if known.is_none() && !plan.status.is_live() {
        return Err(PlanError::NotLive);
    }
    let turn = known.map_or(Turn::Begins, |live| Turn::of(&live.plan, &plan));
    turned(now, known, customer, wish, turn, &mut plan);
    plan.automanage_licenses = wish.automanage_licenses.unwrap_or(plan.automanage_licenses);
    plan.charge_automatically = wish.charge_automatically.unwrap_or(plan.charge_automatically);
    plan.price = price(&plan, wish)?;
    if matches!(&wish.discount, Set::To(Some(text)) if !is_percentage(text)) {
        return Err(PlanError::Discount);
    }
    plan.discount = wish.discount.apply(plan.discount);
    plan.billing_cycle_anchor = wish.billing_cycle_anchor.unwrap_or(plan.billing_cycle_anchor);
    plan.next_invoice_date = wish.next_invoice_date.apply(plan.next_invoice_date);
    plan.end_date = wish.end_date.apply(plan.end_date);
    dated(now, known, wish, &mut plan);
    if plan.status.is_live() && plan.tier.is_paid() && plan.price == Price::Free {
        return Err(PlanError::NoPrice);
    }
    let is_due = plan.next_invoice_date.is_some_and(|at| at <= now) && plan.tier.is_paid();
    if matches!(turn, Turn::Begins | Turn::TrialOver) && is_due && !plan.status.is_trial() {
        plan.invoicing_status = Invoicing::InitialPending;
    }
    let ledger = licenses(now, account, customer, (&plan, turn), wish)?;
    Ok((plan, ledger))
}

fn fresh(now: Timestamp, wish: &PlanWish) -> Result<Plan, PlanError> {
    Ok(Plan {
        tier: wish.tier.ok_or(PlanError::NoTier)?,
        status: Status::Active,
        automanage_licenses: false,
        charge_automatically: false,
        price: Price::Free,
        discount: None,
        billing_cycle_anchor: now,
        billing_schedule: Schedule::Monthly,
        next_invoice_date: None,
        end_date: None,
        invoicing_status: Invoicing::Done,
        sold: 0,
        owed: Owed::default(),
    })
}

/// What follows from a turn, before what the wish says of it.
fn turned(now: Timestamp, known: Option<&LivePlan>, customer: &Customer, wish: &PlanWish, turn: Turn, plan: &mut Plan) {
    let discounted = Discounted::of(customer, plan.tier);
    let usual = begun(plan.tier, plan.billing_schedule, discounted);
    if turn == Turn::Same {
        return;
    }
    let is_new_agreement = matches!(turn, Turn::Begins | Turn::Gift);
    if is_new_agreement {
        let is_paid = plan.tier.is_paid();
        (plan.automanage_licenses, plan.price) = (is_paid, usual);
        plan.invoicing_status = Invoicing::Done;
        (plan.end_date, plan.next_invoice_date) = (None, is_paid.then_some(now));
        if wish.status.is_none() {
            plan.status = Status::Active;
        }
    }
    if turn == Turn::Begins {
        (plan.billing_cycle_anchor, plan.sold, plan.owed) = (now, 0, Owed::default());
    }
    let Some(live) = known.filter(|_| !is_new_agreement) else { return };
    let before = &live.plan;
    if turn == Turn::TrialOver {
        (plan.billing_cycle_anchor, plan.next_invoice_date) = (now, Some(now));
        (plan.sold, plan.owed) = (0, Owed::default());
        if (before.tier, before.billing_schedule) == (plan.tier, plan.billing_schedule) {
            return;
        }
    }
    plan.price = if before.tier == plan.tier {
        rescheduled(before.price, plan.tier, (before.billing_schedule, plan.billing_schedule), discounted)
    } else {
        usual
    };
    if before.billing_schedule == plan.billing_schedule {
        return;
    }
    if wish.status.is_none() && matches!(plan.status, Status::SwitchToAnnual | Status::SwitchToMonthly) {
        plan.status = Status::Active;
    }
    // The first invoice, which is still to come, or the one after a trial is made on the new schedule as it is.
    if !before.status.is_trial() && before.invoicing_status != Invoicing::InitialPending {
        plan.billing_cycle_anchor = boundary_after(before, live.last_renewal);
        plan.next_invoice_date = Some(plan.billing_cycle_anchor);
    }
}

/// Dates that a status needs, where nobody has said any.
fn dated(now: Timestamp, known: Option<&LivePlan>, wish: &PlanWish, plan: &mut Plan) {
    let before = known.map(|live| &live.plan);
    let was_trial = before.is_some_and(|before| before.status.is_trial());
    match plan.status {
        Status::FreeTrial => {
            let is_said = matches!(wish.next_invoice_date, Set::To(Some(_)));
            let is_over = plan.next_invoice_date.is_none_or(|at| at <= now && !was_trial);
            if !is_said && is_over {
                plan.next_invoice_date = Some(now.plus(TRIAL_MS));
            }
            plan.invoicing_status = Invoicing::Done;
        }
        Status::DowngradeAtTrialEnd if plan.next_invoice_date.is_none() => {
            plan.next_invoice_date = Some(boundary_after(plan, now));
        }
        Status::DowngradeAtCycleEnd if plan.next_invoice_date.is_none() && plan.end_date.is_none() => {
            plan.end_date = Some(boundary_after(plan, now));
        }
        Status::SwitchTierAtPlanEnd if plan.end_date.is_none() => {
            let from = known.filter(|live| live.plan.tier.is_paid()).map_or(now, |live| live.last_renewal);
            plan.end_date = Some(boundary_after(plan, from));
        }
        Status::Active if wish.end_date == Set::Keep => {
            // An end that only its status had is taken back with the status.
            let had_no_runs = before.is_some_and(|before| {
                before.status == Status::SwitchTierAtPlanEnd
                    || (before.status == Status::DowngradeAtCycleEnd && before.next_invoice_date.is_none())
            });
            if had_no_runs {
                plan.end_date = None;
            }
        }
        Status::Ended | Status::NeverStarted => plan.next_invoice_date = None,
        _ => {}
    }
}

fn price(plan: &Plan, wish: &PlanWish) -> Result<Price, PlanError> {
    match (&wish.price_per_license, &wish.fixed_price) {
        (Set::To(Some(_)), Set::To(Some(_))) => Err(PlanError::TwoPrices),
        (Set::To(Some(cents)), _) => Ok(Price::PerLicense(*cents)),
        (_, Set::To(Some(cents))) => Ok(Price::Fixed(*cents)),
        (Set::To(None), _) if plan.price.per_license().is_some() => Ok(Price::Free),
        (_, Set::To(None)) if plan.price.fixed().is_some() => Ok(Price::Free),
        _ => Ok(plan.price),
    }
}

fn licenses(
    now: Timestamp,
    account: &Account,
    customer: &Customer,
    (plan, turn): (&Plan, Turn),
    wish: &PlanWish,
) -> Result<Option<LedgerEntry>, PlanError> {
    let least = customer.licenses_min(plan.tier);
    let last = account.live.as_ref().map(|live| &live.last);
    let counted = match account.people {
        Counted::People(people) => Some(people.billed().min(AMOUNT_MAX)),
        Counted::Missing => None,
    };
    let known = last.map_or(0, |last| last.licenses);
    let (licenses, next) = match (turn, last) {
        (Turn::Begins, _) | (_, None) => (counted.unwrap_or(known).max(least), None),
        (Turn::Other | Turn::TrialOver, Some(last)) => {
            (known.max(least), Some(last.licenses_at_next_renewal.max(least)))
        }
        (_, Some(last)) => (known, Some(last.licenses_at_next_renewal)),
    };
    let licenses = wish.licenses.unwrap_or(licenses);
    let next = wish.licenses_at_next_renewal.or(wish.licenses).or(next).unwrap_or(licenses);
    let is_said = wish.licenses.is_some() || wish.licenses_at_next_renewal.is_some();
    if is_said && (licenses < least || next < least) {
        return Err(PlanError::TooFewLicenses { least });
    }
    let is_renewal = matches!(turn, Turn::Begins | Turn::TrialOver);
    let event_time = match &account.live {
        Some(live) if !is_renewal => entry_time(plan, live.last_renewal, now),
        _ => now,
    };
    let entry = LedgerEntry { is_renewal, event_time, licenses, licenses_at_next_renewal: next };
    let is_news = last.is_none_or(|last| (last.licenses, last.licenses_at_next_renewal) != (licenses, next));
    Ok((is_renewal || is_said || is_news).then_some(entry))
}
