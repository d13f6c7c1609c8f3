//! May this request push: every branch of the one decision, in one table.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use waystation::kernel::time::Timestamp;
use waystation::push::headcount::{Counted, Headcount};
use waystation::push::permission::{FREE_PEOPLE_MAX, Permission, Push, Standing, Subject, decide_permission};
use waystation::push::tier::{PlanType, Status};

const END: Timestamp = Timestamp::from_millis(1_900_000_000_000);
const FEW: Counted = people(10);
const MANY: Counted = people(11);

const fn people(count: u64) -> Counted {
    Counted::People(Headcount { non_guests: count - 1, guests: 1, workplace: None })
}

const fn subject(plan_type: PlanType, status: Option<Status>, people: Counted) -> Subject {
    let plan = match status {
        Some(status) => Some(Standing { status, next_cycle: Some(END) }),
        None => None,
    };
    Subject { plan_type, plan, people }
}

fn told(permission: &Permission) -> (bool, Option<Timestamp>, &'static str) {
    match &permission.can_push {
        Push::Allowed => {}
        Push::Denied(message) => assert_eq!(message, permission.reason.sentence()),
    }
    (permission.can_push == Push::Allowed, permission.ends, permission.reason.sentence())
}

const TOO_MANY: &str =
    "Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_branch_decides_as_the_dialect_says() {
    use PlanType::{Business, Community, SelfManaged};
    use Status::{Active, DowngradeAtCycleEnd, DowngradeAtTrialEnd};
    let none = |people| subject(SelfManaged, None, people);
    let with = |status, people| subject(Business, Some(status), people);
    let community = subject(Community, None, Counted::Missing);
    type Told = (bool, Option<Timestamp>, &'static str);
    let table: Vec<(&str, Subject, Option<Subject>, Told)> = vec![
        // 1: the organization's own sponsorship comes before everything.
        ("community realm", none(MANY), Some(community), (true, None, "Community plan")),
        (
            "community realm with a plan",
            none(MANY),
            Some(subject(Community, Some(DowngradeAtCycleEnd), MANY)),
            (true, None, "Community plan"),
        ),
        // 2: the server's sponsorship counts where the organization has no live plan.
        ("community server, no realm", community, None, (true, None, "Community plan")),
        ("community server, realm without plan", community, Some(none(MANY)), (true, None, "Community plan")),
        (
            "community server, realm with plan",
            community,
            Some(with(DowngradeAtCycleEnd, MANY)),
            (true, Some(END), "Scheduled end"),
        ),
        ("server's plan serves its realms", with(Active, MANY), Some(none(MANY)), (true, None, "Active plan")),
        (
            "realm's plan before the server's",
            with(DowngradeAtCycleEnd, MANY),
            Some(with(Active, MANY)),
            (true, None, "Active plan"),
        ),
        // 3 and 4: whose people count.
        ("no plan, stale", none(Counted::Missing), None, (false, None, "Missing data")),
        ("no plan, stale realm", none(FEW), Some(none(Counted::Missing)), (false, None, "Missing data")),
        ("no plan, eleven", none(MANY), None, (false, None, TOO_MANY)),
        ("no plan, ten", none(FEW), None, (true, None, "No plan few users")),
        ("few in the realm, many on the server", none(MANY), Some(none(FEW)), (true, None, "No plan few users")),
        ("many in the realm", none(people(30)), Some(none(MANY)), (false, None, TOO_MANY)),
        // 5: a live plan that is not about to end.
        ("active, stale", with(Active, Counted::Missing), None, (true, None, "Active plan")),
        // 6: a plan that ends.
        ("ending, ten", with(DowngradeAtCycleEnd, FEW), None, (true, None, "Expiring plan few users")),
        ("trial ending, ten", with(DowngradeAtTrialEnd, FEW), None, (true, None, "Expiring plan few users")),
        ("ending, eleven", with(DowngradeAtCycleEnd, MANY), None, (true, Some(END), "Scheduled end")),
        ("trial ending, eleven", with(DowngradeAtTrialEnd, MANY), None, (true, Some(END), "Scheduled end")),
        ("ending, stale", with(DowngradeAtCycleEnd, Counted::Missing), None, (true, Some(END), "Scheduled end")),
        (
            "server's plan ends, few in the realm",
            with(DowngradeAtCycleEnd, MANY),
            Some(none(FEW)),
            (true, None, "Expiring plan few users"),
        ),
        (
            "server's plan ends, many in the realm",
            with(DowngradeAtCycleEnd, FEW),
            Some(none(MANY)),
            (true, Some(END), "Scheduled end"),
        ),
    ];
    for (case, server, realm, expected) in table {
        assert_eq!(told(&decide_permission(&server, realm.as_ref(), FREE_PEOPLE_MAX)), expected, "{case}");
    }
}

#[test]
fn every_live_state_but_the_two_endings_is_an_active_plan() {
    for status in Status::ALL.into_iter().filter(|status| status.is_live() && !status.is_ending()) {
        let server = subject(PlanType::Basic, Some(status), Counted::Missing);
        assert_eq!(told(&decide_permission(&server, None, FREE_PEOPLE_MAX)), (true, None, "Active plan"), "{status:?}");
    }
}

#[test]
fn plan_types_other_than_community_decide_nothing_by_themselves() {
    for plan_type in PlanType::ALL.into_iter().filter(|plan_type| *plan_type != PlanType::Community) {
        let server = subject(plan_type, None, MANY);
        assert_eq!(told(&decide_permission(&server, None, FREE_PEOPLE_MAX)).2, TOO_MANY, "{plan_type:?}");
    }
    assert_eq!(FREE_PEOPLE_MAX, 10);
}
