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
use waystation::push::book::{Book, Terms};
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
            (506, Some("billing_cycle_anchor")),
            (503, Some("billing_schedule")),
            (506, Some("next_invoice_date")),
            (506, Some("licenses")),
            (506, Some("licenses_at_next_renewal")),
        ]
    );
    let Change::Property { old, new, .. } = &out.entries[9].change else { panic!("{:?}", out.entries[9]) };
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
            assert_eq!(cycle_of(&plan, anchor.minus(DAY)).1, anchor, "what was before ends with the anchor");
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
    assert_eq!((grown.owed.since, bought.invoices), (Some(half), vec![]));
    let after = account(Some(LivePlan { last: bought.ledger.unwrap(), ..live(grown) }));
    let fewer = decide_change(half.plus(DAY), &after, &licenses(30)).unwrap();
    assert_eq!(fewer.plan, None, "nothing is paid back");
    let after_fewer = account(Some(LivePlan { last: fewer.ledger.unwrap(), ..after.live.clone().unwrap() }));
    assert_eq!(decide_change(half.plus(2 * DAY), &after_fewer, &licenses(34)).unwrap().plan, None, "nor paid again");
    let end = wish(PlanWish { status: Some(Status::Ended), ..PlanWish::default() });
    let ended = decide_change(half.plus(3 * DAY), &after, &end).unwrap();
    let invoice = &ended.invoices[0];
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

/// What a wish makes of a live plan.
fn changed(live_plan: Plan, wished: PlanWish) -> (Plan, Option<LedgerEntry>) {
    let known = account(Some(live(live_plan.clone())));
    let out = decide_change(NOW.plus(DAY), &known, &wish(wished)).unwrap();
    (out.plan.unwrap_or(live_plan), out.ledger)
}

#[test]
fn another_tier_or_schedule_costs_what_it_costs_from_the_next_period_on() {
    let basic = Plan { tier: Tier::Basic, price: Price::PerLicense(350), ..plan(Status::Active) };
    let to_annual =
        PlanWish { tier: Some(Tier::Business), billing_schedule: Some(Schedule::Annual), ..PlanWish::default() };
    let (after, ledger) = changed(basic.clone(), to_annual);
    assert_eq!((after.price, ledger), (Price::PerLicense(8_000), None), "thirty are enough");
    let paid_until = plus_months(NOW, 1);
    assert_eq!((after.billing_cycle_anchor, after.next_invoice_date), (paid_until, Some(paid_until)));
    // What is paid for stays so; the year begins after it.
    let mut book = Book::open(&live(after.clone()), Terms::of(&Customer::default(), &after));
    book.pass(paid_until.plus(DAY), Some(paid_until.plus(DAY)));
    let told: Vec<_> = book.invoices.iter().map(|one| (one.period_start, one.period_end)).collect();
    assert_eq!(told, [(paid_until, plus_months(paid_until, 12))]);

    let yearly = Plan { billing_schedule: Schedule::Annual, price: Price::PerLicense(8_000), ..plan(Status::Active) };
    let monthly = PlanWish { billing_schedule: Some(Schedule::Monthly), ..PlanWish::default() };
    let (after, _) = changed(yearly.clone(), monthly.clone());
    assert_eq!((after.price, after.next_invoice_date), (Price::PerLicense(800), Some(plus_months(NOW, 12))));
    // Six months of the year are left to a license that comes now: as many months.
    let known = account(Some(live(after)));
    let more = wish(PlanWish { licenses: Some(31), ..PlanWish::default() });
    let bought = decide_change(plus_months(NOW, 6), &known, &more).unwrap().plan.unwrap();
    assert!((4_700..4_850).contains(&bought.owed.amount), "{}", bought.owed.amount);

    let (pending, _) = changed(Plan { status: Status::SwitchToMonthly, ..yearly.clone() }, monthly.clone());
    assert_eq!(pending.status, Status::Active, "what was to come has come");
    let (said, _) = changed(yearly, PlanWish { price_per_license: Set::To(Some(5)), ..monthly });
    assert_eq!(said.price, Price::PerLicense(5));
    let (tier, _) = changed(basic.clone(), PlanWish { tier: Some(Tier::Business), ..PlanWish::default() });
    assert_eq!((tier.price, tier.next_invoice_date), (Price::PerLicense(800), basic.next_invoice_date));
    let dear = wish(PlanWish { tier: Some(Tier::Enterprise), ..PlanWish::default() });
    assert_eq!(decide_change(NOW, &account(Some(live(basic))), &dear), Err(PlanError::NoPrice));
}

#[test]
fn promised_prices_count_for_the_tier_that_is_required() {
    let mut known = account(Some(live(plan(Status::Active))));
    let promised = Customer { annual_discounted_price: 7_000, monthly_discounted_price: 200, ..Customer::default() };
    let price = |known: &Account, wished| decide_change(NOW, known, &wish(wished)).unwrap().plan.unwrap().price;
    let annual = || PlanWish { billing_schedule: Some(Schedule::Annual), ..PlanWish::default() };
    let basic = || PlanWish { tier: Some(Tier::Basic), ..PlanWish::default() };
    for (required, of_annual, of_basic) in
        [(None, 7_000, 200), (Some(Tier::Business), 7_000, 350), (Some(Tier::Basic), 8_000, 200)]
    {
        known.customer = Some(Customer { required_plan_tier: required, ..promised.clone() });
        assert_eq!(price(&known, annual()), Price::PerLicense(of_annual), "{required:?}");
        assert_eq!(price(&known, basic()), Price::PerLicense(of_basic), "{required:?}");
    }
    known.live = None;
    assert_eq!(price(&known, PlanWish { tier: Some(Tier::Community), ..PlanWish::default() }), Price::Free);
}

#[test]
fn another_tier_has_as_many_licenses_as_it_needs() {
    let small = LivePlan {
        last: entry(12, 8),
        ..live(Plan { tier: Tier::Basic, price: Price::PerLicense(350), sold: 12, ..plan(Status::Active) })
    };
    let business = |licenses| wish(PlanWish { tier: Some(Tier::Business), licenses, ..PlanWish::default() });
    let known = account(Some(small));
    let out = decide_change(NOW.plus(DAY), &known, &business(None)).unwrap();
    let raised = out.ledger.unwrap();
    assert_eq!((raised.licenses, raised.licenses_at_next_renewal, raised.is_renewal), (25, 25, false));
    assert_eq!(out.plan.unwrap().owed.licenses, 13);
    assert_eq!(decide_change(NOW, &known, &business(Some(20))), Err(PlanError::TooFewLicenses { least: 25 }));
}

#[test]
fn who_begins_to_pay_is_billed_at_once_and_who_is_sponsored_no_more() {
    let free = Plan {
        tier: Tier::Community,
        price: Price::Free,
        next_invoice_date: None,
        status: Status::DowngradeAtCycleEnd,
        end_date: Some(NOW.plus(9 * DAY)),
        billing_cycle_anchor: NOW.minus(100 * DAY),
        sold: 5,
        ..plan(Status::Active)
    };
    let now = NOW.plus(DAY);
    let (paying, ledger) = changed(free, PlanWish { tier: Some(Tier::Business), ..PlanWish::default() });
    assert_eq!((paying.price, paying.automanage_licenses), (Price::PerLicense(800), true));
    assert_eq!((paying.billing_cycle_anchor, paying.next_invoice_date), (now, Some(now)));
    assert_eq!(
        (paying.invoicing_status, paying.status, paying.end_date),
        (Invoicing::InitialPending, Status::Active, None)
    );
    let first = ledger.unwrap();
    assert_eq!((first.is_renewal, first.event_time, first.licenses, paying.sold), (true, now, 27, 27));

    let owed = Owed { licenses: 2, amount: 900, since: Some(NOW) };
    let known = account(Some(live(Plan { owed, ..plan(Status::SwitchToAnnual) })));
    let gift = wish(PlanWish { tier: Some(Tier::Community), ..PlanWish::default() });
    let out = decide_change(now, &known, &gift).unwrap();
    assert_eq!(out.invoices.iter().map(|invoice| invoice.amount).collect::<Vec<_>>(), [900], "what was owed");
    let given = out.plan.unwrap();
    assert_eq!((given.price, given.next_invoice_date, given.status), (Price::Free, None, Status::Active));
    assert_eq!((given.owed, out.plan_type), (Owed::default(), Some(PlanType::Community)));
    // A first period that was not billed yet is.
    let begun =
        Plan { invoicing_status: Invoicing::InitialPending, next_invoice_date: Some(NOW), ..plan(Status::Active) };
    let end = wish(PlanWish { status: Some(Status::Ended), ..PlanWish::default() });
    let out = decide_change(NOW, &account(Some(live(begun))), &end).unwrap();
    assert_eq!(out.invoices.iter().map(|one| (one.amount, one.discount)).collect::<Vec<_>>(), [(22_000, 2_000)]);
    assert_eq!(out.customer.unwrap().flat_discounted_months, 11);
}

#[test]
fn an_end_or_a_trial_without_a_date_has_one() {
    let free = Plan {
        tier: Tier::Legacy,
        price: Price::Free,
        next_invoice_date: None,
        billing_cycle_anchor: NOW.minus(100 * DAY),
        ..plan(Status::Active)
    };
    let status = |status| PlanWish { status: Some(status), ..PlanWish::default() };
    let (ending, _) = changed(free.clone(), status(Status::DowngradeAtCycleEnd));
    let end = ending.end_date.unwrap();
    assert!(end > NOW.plus(DAY) && end <= NOW.plus(32 * DAY));
    assert_eq!(next_cycle(&ending, NOW.minus(100 * DAY)), Some(end), "and that is what people are told");
    assert_eq!(changed(ending, status(Status::Active)).0.end_date, None, "it can be taken back");
    let (trial_end, _) = changed(free, status(Status::DowngradeAtTrialEnd));
    assert_eq!(trial_end.next_invoice_date, Some(end));
    let dated = changed(plan(Status::Active), status(Status::DowngradeAtCycleEnd)).0;
    assert_eq!((dated.end_date, dated.next_invoice_date), (None, plan(Status::Active).next_invoice_date));

    let trial =
        |next_invoice_date| PlanWish { tier: Some(Tier::Business), next_invoice_date, ..status(Status::FreeTrial) };
    for (said, expected) in [
        (Set::Keep, NOW.plus(30 * DAY)),
        (Set::To(None), NOW.plus(30 * DAY)),
        (Set::To(Some(NOW.plus(5))), NOW.plus(5)),
    ] {
        let made = decide_change(NOW, &account(None), &wish(trial(said))).unwrap().plan.unwrap();
        assert_eq!((made.next_invoice_date, made.invoicing_status), (Some(expected), Invoicing::Done));
    }
    // One that is over and waits for numbers is not given another month by who changes something else.
    let over = Plan { next_invoice_date: Some(NOW), ..plan(Status::DowngradeAtTrialEnd) };
    assert_eq!(changed(over, status(Status::FreeTrial)).0.next_invoice_date, Some(NOW));
}

#[test]
fn a_switch_of_the_tier_goes_to_the_one_that_is_required() {
    let mut known =
        account(Some(live(Plan { tier: Tier::Basic, price: Price::PerLicense(350), ..plan(Status::Active) })));
    let status = |status| wish(PlanWish { status: Some(status), ..PlanWish::default() });
    for switch in [Status::SwitchTierNow, Status::SwitchTierAtPlanEnd] {
        assert_eq!(decide_change(NOW, &known, &status(switch)), Err(PlanError::NoNextTier), "{switch:?}");
    }
    known.customer = Some(Customer { required_plan_tier: Some(Tier::Business), ..Customer::default() });
    let at_once = decide_change(NOW, &known, &status(Status::SwitchTierNow)).unwrap();
    let made = at_once.plan.unwrap();
    assert_eq!((made.tier, made.status, made.price), (Tier::Business, Status::Active, Price::PerLicense(800)));
    assert_eq!(at_once.plan_type, Some(PlanType::Business));
    let later = decide_change(NOW, &known, &status(Status::SwitchTierAtPlanEnd)).unwrap();
    assert_eq!(later.plan_type, None);
    let later = later.plan.unwrap();
    let expected = (Tier::Basic, Status::SwitchTierAtPlanEnd, Some(plus_months(NOW, 1)));
    assert_eq!((later.tier, later.status, later.end_date), expected);
    let terms = Terms::of(&known.customer.clone().unwrap(), &later);
    assert_eq!(terms.next.map(|next| (next.tier, next.licenses_min)), Some((Tier::Business, 25)));
    known.live = Some(live(later));
    let back = decide_change(NOW, &known, &status(Status::Active)).unwrap().plan.unwrap();
    assert_eq!((back.status, back.end_date), (Status::Active, None));
}

#[test]
fn what_is_no_discount_or_no_license_is_refused() {
    let known = account(Some(live(plan(Status::Active))));
    for (text, is_taken) in [("12.5", true), ("100", true), ("half", false), ("-1", false), ("101", false), ("", false)]
    {
        let wished = wish(PlanWish { discount: Set::To(Some(text.to_owned())), ..PlanWish::default() });
        let decided = decide_change(NOW, &known, &wished);
        assert_eq!(decided.is_ok(), is_taken, "{text}");
        assert!(is_taken || decided == Err(PlanError::Discount));
    }
    let none = CustomerWish { minimum_licenses: Set::To(Some(0)), ..CustomerWish::default() };
    let none = PlanChange { customer: Some(none), ..PlanChange::default() };
    assert_eq!(decide_change(NOW, &known, &none), Err(PlanError::NoLicenses));
}
