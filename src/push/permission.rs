//! May this request push? One decision for notifications, sealed notifications and the answer to uploads.
//!
//! Source: section 3.2 of the dialect.

use super::headcount::Counted;
use super::tier::{PlanType, Status};
use crate::kernel::time::Timestamp;

/// So many people push without a plan.
pub const FREE_PEOPLE_MAX: u64 = 10;

/// The decision, as clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Whether notifications are sent.
    pub can_push: Push,
    /// When they will no longer be.
    pub ends: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
}

/// Whether notifications are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// They are.
    Allowed,
    /// They are not, for this reason.
    Denied(String),
}

/// Why the decision is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences say it")]
pub enum Reason {
    Community,
    MissingCounts,
    TooManyPeople,
    FewPeople,
    ActivePlan,
    EndingPlanFewPeople,
    ScheduledEnd,
}

impl Reason {
    /// The dialect's sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Community => "Community plan",
            Self::MissingCounts => "Missing data",
            Self::TooManyPeople => {
                "Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/"
            }
            Self::FewPeople => "No plan few users",
            Self::ActivePlan => "Active plan",
            Self::EndingPlanFewPeople => "Expiring plan few users",
            Self::ScheduledEnd => "Scheduled end",
        }
    }
}

/// Whose plan and people count: a server or one of its organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its plan type.
    pub plan_type: PlanType,
    /// Its live plan.
    pub plan: Option<Standing>,
    /// Its people.
    pub people: Counted,
}

/// A live plan, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub status: Status,
    /// When its next billing cycle begins.
    pub next_cycle: Option<Timestamp>,
}

/// Decides. A request without an organization, or with an unknown one, is judged by its server.
#[must_use]
pub fn decide_permission(server: &Subject, realm: Option<&Subject>, free_people_max: u64) -> Permission {
    if realm.is_some_and(|realm| realm.plan_type == PlanType::Community) {
        return allowed(Reason::Community);
    }
    let own = realm.and_then(|realm| realm.plan);
    if own.is_none() && server.plan_type == PlanType::Community {
        return allowed(Reason::Community);
    }
    let people = realm.unwrap_or(server).people;
    match own.or(server.plan) {
        None => without_plan(people, free_people_max),
        Some(plan) if !plan.status.is_ending() => allowed(Reason::ActivePlan),
        Some(_) if is_few(people, free_people_max) => allowed(Reason::EndingPlanFewPeople),
        Some(plan) => Permission { ends: plan.next_cycle, ..allowed(Reason::ScheduledEnd) },
    }
}

fn without_plan(people: Counted, free_people_max: u64) -> Permission {
    match people {
        Counted::Missing => denied(Reason::MissingCounts),
        Counted::People(_) if is_few(people, free_people_max) => allowed(Reason::FewPeople),
        Counted::People(_) => denied(Reason::TooManyPeople),
    }
}

fn is_few(people: Counted, free_people_max: u64) -> bool {
    matches!(people, Counted::People(people) if people.billed() <= free_people_max)
}

const fn allowed(reason: Reason) -> Permission {
    Permission { can_push: Push::Allowed, ends: None, reason }
}

fn denied(reason: Reason) -> Permission {
    Permission { can_push: Push::Denied(reason.sentence().to_owned()), ends: None, reason }
}
