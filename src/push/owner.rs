//! What an owner may change of a plan, from where it stands.

use super::headcount::Counted;
use super::plan::{Account, AccountPlan, LivePlan, Plan, PlanChange, PlanError, PlanWish, Price, decide_change};
use super::tier::{Schedule, Status, Tier};
use crate::kernel::time::Timestamp;

/// What an owner wishes: one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct OwnerWish {
    pub status: Option<Status>,
    pub licenses: Option<u64>,
    pub licenses_at_next_renewal: Option<u64>,
    pub schedule: Option<Schedule>,
    pub toggle_license_management: bool,
}

/// Decides on a wish of an owner: only what the plan allows from where it stands.
///
/// Errors: [`PlanError`].
pub fn decide_owner(now: Timestamp, account: &Account, wish: &OwnerWish) -> Result<AccountPlan, PlanError> {
    let live = account.live.as_ref().ok_or(PlanError::NoPlan)?;
    let plan = &live.plan;
    let things = [
        wish.status.is_some(),
        wish.licenses.is_some(),
        wish.licenses_at_next_renewal.is_some(),
        wish.schedule.is_some(),
        wish.toggle_license_management,
    ];
    if things.into_iter().filter(|is_wished| *is_wished).count() != 1 {
        return Err(PlanError::OneThing);
    }
    let mut change = PlanWish::default();
    if let Some(status) = wish.status {
        check_status(plan, status)?;
        change.status = Some(status);
    }
    if let Some(schedule) = wish.schedule {
        let status = match schedule {
            Schedule::Annual => Status::SwitchToAnnual,
            Schedule::Monthly => Status::SwitchToMonthly,
        };
        check_status(plan, status)?;
        change.status = Some(status);
    }
    if wish.toggle_license_management {
        if plan.status != Status::Active || !matches!(plan.price, Price::PerLicense(_)) {
            return Err(PlanError::StatusNotAllowed);
        }
        change.automanage_licenses = Some(!plan.automanage_licenses);
    }
    if wish.licenses.is_some() || wish.licenses_at_next_renewal.is_some() {
        check_licenses(account, live, wish)?;
        change.licenses = wish.licenses;
        change.licenses_at_next_renewal = wish
            .licenses_at_next_renewal
            .or_else(|| wish.licenses.map(|licenses| licenses.max(live.last.licenses_at_next_renewal)));
    }
    decide_change(now, account, &PlanChange { plan: Some(change), ..PlanChange::default() })
}

/// Where an owner may move a plan to.
fn check_status(plan: &Plan, to: Status) -> Result<(), PlanError> {
    use Status as S;
    let is_allowed = match (plan.status, to) {
        (S::Active, S::DowngradeAtCycleEnd)
        | (S::DowngradeAtCycleEnd | S::SwitchToAnnual | S::SwitchToMonthly, S::Active)
        | (S::FreeTrial, S::DowngradeAtTrialEnd | S::Ended)
        | (S::DowngradeAtTrialEnd, S::FreeTrial) => true,
        (S::Active, S::SwitchToAnnual) => plan.billing_schedule == Schedule::Monthly,
        (S::Active, S::SwitchToMonthly) => plan.billing_schedule == Schedule::Annual,
        _ => false,
    };
    if is_allowed && plan.tier.is_paid() { Ok(()) } else { Err(PlanError::StatusNotAllowed) }
}

fn check_licenses(account: &Account, live: &LivePlan, wish: &OwnerWish) -> Result<(), PlanError> {
    let plan = &live.plan;
    if plan.automanage_licenses {
        return Err(PlanError::AutomaticLicenses);
    }
    if plan.status != Status::Active || !matches!(plan.price, Price::PerLicense(_)) {
        return Err(PlanError::StatusNotAllowed);
    }
    let Counted::People(people) = account.people else { return Err(PlanError::MissingCounts) };
    let customer = account.customer.clone().unwrap_or_default();
    let least = customer.licenses_min(plan.tier).max(people.billed());
    if wish.licenses.is_some_and(|licenses| licenses < live.last.licenses) {
        return Err(PlanError::FewerLicenses);
    }
    let wished = wish.licenses.or(wish.licenses_at_next_renewal).unwrap_or(0);
    if wished < least { Err(PlanError::TooFewLicenses { least }) } else { Ok(()) }
}

/// Whether a server may sign off by itself: no plan is paid for any longer than it must be.
#[must_use]
pub fn may_deactivate<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> bool {
    plans.into_iter().all(|plan| {
        let is_free = matches!(plan.tier, Tier::Base | Tier::Legacy | Tier::Community);
        is_free || plan.status.is_ending() || matches!(plan.status, Status::Ended | Status::NeverStarted)
    })
}
