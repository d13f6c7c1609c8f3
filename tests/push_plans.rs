//! Plans as pure rules: what operators set, what owners may, how ledgers grow, when plans renew and end.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use waystation::kernel::time::Timestamp;
use waystation::push::audit::{Change, Entry, Note, Scope};
use waystation::push::cycle::{cycle_of, next_cycle, plus_months};
use waystation::push::headcount::{Counted, Headcount};
use waystation::push::ledger::{LedgerEntry, Owed};
use waystation::push::owner::{OwnerWish, decide_owner, may_deactivate};
use waystation::push::plan::{
    Account, Customer, CustomerWish, LivePlan, Plan, PlanChange, PlanError, PlanWish, Price, Set, decide_change,
};
use waystation::push::tier::{Invoicing, PlanType, Schedule, Status, Tier};

/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: u64 = 24 * 3_600_000;

fn iso(at: Timestamp) -> String {
    at.to_iso().chars().take(10).collect()
}

fn at(text: &str) -> Timestamp {
    let days = |text: &str| -> u64 {
        let mut day = Timestamp::from_millis(1_600_000_000_000 / DAY * DAY);
        while iso(day) != text {
            day = day.plus(DAY);
        }
        day.as_millis()
    };
    Timestamp::from_millis(days(text))
}

fn people(count: u64) -> Counted {
    Counted::People(Headcount { non_guests: count, guests: 0, workplace: None })
}

fn entry(licenses: u64, next: u64) -> LedgerEntry {
    LedgerEntry { is_renewal: true, event_time: NOW, licenses, licenses_at_next_renewal: next }
}

fn plan(status: Status) -> Plan {
    Plan {
        tier: Tier::Business,
        status,
        automanage_licenses: false,
        charge_automatically: false,
        price: Price::PerLicense(800),
        discount: None,
        billing_cycle_anchor: NOW,
        billing_schedule: Schedule::Monthly,
        next_invoice_date: Some(NOW.plus(20 * DAY)),
        end_date: None,
        invoicing_status: Invoicing::Done,
        sold: 30,
        owed: Owed::default(),
    }
}

fn live(plan: Plan) -> LivePlan {
    LivePlan { plan_id: 1, plan, last: entry(30, 30), last_renewal: NOW }
}

fn account(live: Option<LivePlan>) -> Account {
    let customer = live.is_some().then(Customer::default);
    let plan_type = live.as_ref().map_or(PlanType::SelfManaged, |live| live.plan.tier.plan_type());
    Account { scope: Scope::Server, plan_type, customer, live, people: people(27) }
}

fn noted(entries: &[Entry]) -> Vec<(u32, Option<&'static str>)> {
    let name = |change: &Change| match change {
        Change::Property { name, .. } | Change::Attribute { name, .. } => Some(*name),
        Change::Plain | Change::Value { .. } | Change::Reason(_) | Change::User { .. } => None,
    };
    entries.iter().map(|entry| (entry.event.number(&entry.scope), name(&entry.change))).collect()
}

fn wish(plan: PlanWish) -> PlanChange {
    PlanChange { plan: Some(plan), ..PlanChange::default() }
}

#[test]
fn a_new_plan_makes_a_customer_a_ledger_and_the_accounts_type() {
    let change = wish(PlanWish { tier: Some(Tier::Business), ..PlanWish::default() });
    let out = decide_change(NOW, &account(None), &change).unwrap();
    assert_eq!(noted(&out.entries), [(501, None), (502, Some("tier")), (10_204, None)]);
    let fresh = out.plan.unwrap();
    assert_eq!(
        (fresh.price, fresh.billing_schedule, fresh.status),
        (Price::PerLicense(800), Schedule::Monthly, Status::Active)
    );
    assert_eq!((fresh.automanage_licenses, fresh.next_invoice_date), (true, Some(NOW)));
    assert_eq!(out.customer.unwrap().flat_discount, 2_000);
    assert_eq!(out.plan_type, Some(PlanType::Business));
    let first = out.ledger.unwrap();
    assert_eq!((first.is_renewal, first.licenses, first.licenses_at_next_renewal), (true, 27, 27));
    let few = Account { people: people(3), ..account(None) };
    assert_eq!(decide_change(NOW, &few, &change).unwrap().ledger.unwrap().licenses, 25, "the tier's minimum");
}

#[test]
fn impossible_plans_are_refused_and_change_nothing() {
    let business = || PlanWish { tier: Some(Tier::Business), ..PlanWish::default() };
    for (case, account, change, error) in [
        ("nothing", account(None), PlanChange::default(), PlanError::Nothing),
        ("no tier", account(None), wish(PlanWish::default()), PlanError::NoTier),
        ("not live", account(None), wish(PlanWish { status: Some(Status::Ended), ..business() }), PlanError::NotLive),
        (
            "two prices",
            account(None),
            wish(PlanWish { price_per_license: Set::To(Some(1)), fixed_price: Set::To(Some(2)), ..business() }),
            PlanError::TwoPrices,
        ),
        (
            "no price",
            account(None),
            wish(PlanWish { tier: Some(Tier::Enterprise), ..PlanWish::default() }),
            PlanError::NoPrice,
        ),
        (
            "too few",
            account(None),
            wish(PlanWish { licenses: Some(24), ..business() }),
            PlanError::TooFewLicenses { least: 25 },
        ),
        (
            "the same again",
            account(Some(live(plan(Status::Active)))),
            wish(PlanWish { status: Some(Status::Active), ..PlanWish::default() }),
            PlanError::Nothing,
        ),
    ] {
        assert_eq!(decide_change(NOW, &account, &change), Err(error), "{case}");
    }
}

#[test]
fn every_change_is_noted_with_its_old_and_its_new_value() {
    let known = account(Some(live(plan(Status::Active))));
    let change = PlanChange {
        plan_type: None,
        customer: Some(CustomerWish {
            sponsorship_pending: Some(true),
            annual_discounted_price: Some(7),
            minimum_licenses: Set::To(Some(3)),
            ..CustomerWish::default()
        }),
        plan: Some(PlanWish {
            billing_schedule: Some(Schedule::Annual),
            fixed_price: Set::To(Some(500)),
            charge_automatically: Some(true),
            licenses: Some(40),
            ..PlanWish::default()
        }),
    };
    let out = decide_change(NOW, &known, &change).unwrap();
    assert_eq!(
        noted(&out.entries),
        [
            (10_213, None),
            (10_209, Some("annual_discounted_price")),
            (505, Some("minimum_licenses")),
            (10_211, Some("charge_automatically")),
            (506, Some("price_per_license")),
            (506, Some("fixed_price")),
            (503, Some("billing_schedule")),
            (506, Some("licenses")),
            (506, Some("licenses_at_next_renewal")),
        ]
    );
    let Change::Property { old, new, .. } = &out.entries[7].change else { panic!("{:?}", out.entries[7]) };
    assert_eq!((old, new), (&Note::Number(30), &Note::Number(40)));
    assert_eq!(out.plan_type, None);
}

#[test]
fn sponsorship_makes_a_community_plan_and_its_end_leaves_a_free_account() {
    let mut asking = account(None);
    asking.customer = Some(Customer { sponsorship_pending: true, ..Customer::default() });
    let change = wish(PlanWish { tier: Some(Tier::Community), ..PlanWish::default() });
    let out = decide_change(NOW, &asking, &change).unwrap();
    assert_eq!(noted(&out.entries), [(10_210, None), (10_213, None), (502, Some("tier")), (10_204, None)]);
    let community = out.plan.clone().unwrap();
    assert_eq!((community.price, out.plan_type), (Price::Free, Some(PlanType::Community)));
    assert!(!out.customer.unwrap().sponsorship_pending);
    let end = wish(PlanWish { status: Some(Status::Ended), ..PlanWish::default() });
    let out = decide_change(NOW, &account(Some(live(community))), &end).unwrap();
    assert_eq!(out.plan_type, Some(PlanType::SelfManaged));
    let by_hand = PlanChange { plan_type: Some(PlanType::Community), ..PlanChange::default() };
    assert_eq!(noted(&decide_change(NOW, &account(None), &by_hand).unwrap().entries), [(10_204, None)]);
}

#[test]
fn an_owner_moves_a_plan_only_along_the_table() {
    use Status as S;
    let allowed = [
        (S::Active, S::DowngradeAtCycleEnd),
        (S::Active, S::SwitchToAnnual),
        (S::DowngradeAtCycleEnd, S::Active),
        (S::SwitchToAnnual, S::Active),
        (S::SwitchToMonthly, S::Active),
        (S::FreeTrial, S::DowngradeAtTrialEnd),
        (S::FreeTrial, S::Ended),
        (S::DowngradeAtTrialEnd, S::FreeTrial),
    ];
    for from in S::ALL.into_iter().filter(|status| status.is_live()) {
        for to in S::ALL {
            let known = account(Some(live(plan(from))));
            let got = decide_owner(NOW, &known, &OwnerWish { status: Some(to), ..OwnerWish::default() });
            assert_eq!(got.is_ok(), allowed.contains(&(from, to)), "{from:?} to {to:?}: {got:?}");
        }
    }
    let yearly = Plan { billing_schedule: Schedule::Annual, ..plan(S::Active) };
    let monthly = OwnerWish { schedule: Some(Schedule::Monthly), ..OwnerWish::default() };
    assert_eq!(
        decide_owner(NOW, &account(Some(live(yearly))), &monthly).unwrap().plan.unwrap().status,
        S::SwitchToMonthly
    );
    assert_eq!(decide_owner(NOW, &account(Some(live(plan(S::Active)))), &monthly), Err(PlanError::StatusNotAllowed));
    let sponsored = Plan { tier: Tier::Community, price: Price::Free, ..plan(S::Active) };
    let end = OwnerWish { status: Some(S::DowngradeAtCycleEnd), ..OwnerWish::default() };
    assert_eq!(decide_owner(NOW, &account(Some(live(sponsored))), &end), Err(PlanError::StatusNotAllowed));
    assert_eq!(decide_owner(NOW, &account(None), &end), Err(PlanError::NoPlan));
}

#[test]
fn an_owner_changes_licenses_within_bounds_and_one_thing_at_a_time() {
    let known = account(Some(live(plan(Status::Active))));
    let now = |licenses| OwnerWish { licenses: Some(licenses), ..OwnerWish::default() };
    let next = |licenses| OwnerWish { licenses_at_next_renewal: Some(licenses), ..OwnerWish::default() };
    assert_eq!(decide_owner(NOW, &known, &now(29)), Err(PlanError::FewerLicenses));
    assert_eq!(decide_owner(NOW, &known, &now(35)).unwrap().ledger.map(|entry| entry.licenses), Some(35));
    assert_eq!(decide_owner(NOW, &known, &next(26)), Err(PlanError::TooFewLicenses { least: 27 }));
    assert_eq!(decide_owner(NOW, &known, &next(27)).unwrap().ledger.unwrap().licenses_at_next_renewal, 27);
    let few = Account { people: people(3), ..known.clone() };
    assert_eq!(decide_owner(NOW, &few, &next(24)), Err(PlanError::TooFewLicenses { least: 25 }));
    let unknown = Account { people: Counted::Missing, ..known.clone() };
    assert_eq!(decide_owner(NOW, &unknown, &next(30)), Err(PlanError::MissingCounts));
    let automatic = account(Some(live(Plan { automanage_licenses: true, ..plan(Status::Active) })));
    assert_eq!(decide_owner(NOW, &automatic, &now(40)), Err(PlanError::AutomaticLicenses));
    let toggle = OwnerWish { toggle_license_management: true, ..OwnerWish::default() };
    assert!(!decide_owner(NOW, &automatic, &toggle).unwrap().plan.unwrap().automanage_licenses);
    let fixed = account(Some(live(Plan { price: Price::Fixed(5), ..plan(Status::Active) })));
    for wish in [toggle, now(40)] {
        assert_eq!(decide_owner(NOW, &fixed, &wish), Err(PlanError::StatusNotAllowed));
    }
    for wish in [OwnerWish::default(), OwnerWish { licenses: Some(40), ..toggle }] {
        assert_eq!(decide_owner(NOW, &known, &wish), Err(PlanError::OneThing));
    }
}

#[test]
fn a_server_signs_off_only_when_nothing_is_paid_for_any_longer() {
    let tiered = |tier, status| Plan { tier, ..plan(status) };
    for (plan, may) in [
        (tiered(Tier::Business, Status::Active), false),
        (tiered(Tier::Business, Status::DowngradeAtCycleEnd), true),
        (tiered(Tier::Business, Status::DowngradeAtTrialEnd), true),
        (tiered(Tier::Business, Status::FreeTrial), false),
        (tiered(Tier::Business, Status::Ended), true),
        (tiered(Tier::Community, Status::Active), true),
        (tiered(Tier::Legacy, Status::Active), true),
        (tiered(Tier::Base, Status::Active), true),
    ] {
        assert_eq!(may_deactivate([&plan]), may, "{:?} {:?}", plan.tier, plan.status);
    }
    assert!(!may_deactivate([&tiered(Tier::Community, Status::Active), &tiered(Tier::Basic, Status::Active)]));
}

#[test]
fn months_are_calendar_months_and_days_that_a_month_lacks_are_its_last() {
    let anchor = at("2024-01-31");
    for (months, expected) in
        [(1, "2024-02-29"), (2, "2024-03-31"), (3, "2024-04-30"), (12, "2025-01-31"), (13, "2025-02-28")]
    {
        assert_eq!(iso(plus_months(anchor, months)), expected);
    }
}

#[test]
fn a_cycle_is_found_wherever_its_anchor_is() {
    for schedule in [Schedule::Monthly, Schedule::Annual] {
        for anchor in ["2020-12-31", "2024-02-29", "2026-01-31", "2027-01-01"].map(at) {
            let plan = Plan { billing_cycle_anchor: anchor, billing_schedule: schedule, ..plan(Status::Active) };
            let mut bounds = (0..200).map(|cycle| plus_months(anchor, cycle * schedule.months()));
            let (mut start, mut end) = (bounds.next().unwrap(), bounds.next().unwrap());
            for day in 0..3_000 {
                let at = anchor.plus(day * DAY);
                while end <= at {
                    (start, end) = (end, bounds.next().unwrap());
                }
                assert_eq!(cycle_of(&plan, at), (start, end), "{} {}", iso(anchor), iso(at));
            }
            assert_eq!(cycle_of(&plan, anchor.minus(DAY)).1, plus_months(anchor, schedule.months()));
        }
    }
}

#[test]
fn the_next_cycle_follows_from_the_status() {
    let anchor = at("2026-01-31");
    let of = |status, end: Option<&str>| {
        let plan = Plan {
            billing_cycle_anchor: anchor,
            next_invoice_date: Some(at("2026-05-05")),
            end_date: end.map(at),
            ..plan(status)
        };
        next_cycle(&plan, at("2026-02-28")).map(iso)
    };
    assert_eq!(of(Status::Active, None).as_deref(), Some("2026-03-31"));
    assert_eq!(of(Status::DowngradeAtCycleEnd, Some("2026-03-10")).as_deref(), Some("2026-03-10"));
    assert_eq!(of(Status::DowngradeAtCycleEnd, Some("2027-03-10")).as_deref(), Some("2026-03-31"));
    for status in [Status::FreeTrial, Status::DowngradeAtTrialEnd, Status::NeverStarted] {
        assert_eq!(of(status, None).as_deref(), Some("2026-05-05"), "{status:?}");
    }
    assert_eq!(of(Status::SwitchTierAtPlanEnd, Some("2028-01-01")).as_deref(), Some("2028-01-01"));
}

#[test]
fn more_licenses_are_put_down_and_a_plan_that_ends_at_once_leaves_them_to_be_paid() {
    let half = NOW.plus(31 * DAY / 2);
    let known = account(Some(live(plan(Status::Active))));
    let licenses = |count| wish(PlanWish { licenses: Some(count), ..PlanWish::default() });
    let bought = decide_change(half, &known, &licenses(34)).unwrap();
    let grown = bought.plan.unwrap();
    assert_eq!((grown.sold, grown.owed.licenses, grown.owed.amount), (34, 4, 1_600));
    assert_eq!((grown.owed.since, bought.invoice), (Some(half), None));
    let after = account(Some(LivePlan { last: bought.ledger.unwrap(), ..live(grown) }));
    let fewer = decide_change(half.plus(DAY), &after, &licenses(30)).unwrap();
    assert_eq!(fewer.plan, None, "nothing is paid back");
    let after_fewer = account(Some(LivePlan { last: fewer.ledger.unwrap(), ..after.live.clone().unwrap() }));
    assert_eq!(decide_change(half.plus(2 * DAY), &after_fewer, &licenses(34)).unwrap().plan, None, "nor paid again");
    let end = wish(PlanWish { status: Some(Status::Ended), ..PlanWish::default() });
    let ended = decide_change(half.plus(3 * DAY), &after, &end).unwrap();
    let invoice = ended.invoice.unwrap();
    assert_eq!((invoice.kind.word(), invoice.licenses, invoice.amount), ("additional", 4, 1_600));
    assert_eq!((invoice.period_start, invoice.period_end), (half, plus_months(NOW, 1)));
    assert_eq!(ended.plan.unwrap().owed, Owed::default());
    // While a renewal waits for numbers, what is bought belongs to the period that is over, and the new one begins with it.
    let overdue = Plan { next_invoice_date: Some(plus_months(NOW, 1)), ..plan(Status::Active) };
    let late = decide_change(NOW.plus(40 * DAY), &account(Some(live(overdue))), &licenses(34)).unwrap();
    let entry = late.ledger.unwrap();
    assert_eq!((entry.event_time, entry.licenses_at_next_renewal), (plus_months(NOW, 1), 34));
    assert_eq!(late.plan.unwrap().owed.amount, 0);
}
