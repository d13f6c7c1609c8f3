//! Invoices: what is billed for periods and for licenses within them, and that it does not matter when anybody looks.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use proptest::prelude::*;
use support::Database;
use waystation::kernel::migration::migrate;
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;
use waystation::push::book::{Book, Next, RUNS_MAX, Terms};
use waystation::push::cycle::{cycle_of, plus_months};
use waystation::push::ledger::{Invoice, InvoiceKind, LedgerEntry, Owed, share};
use waystation::push::plan::{LivePlan, Plan, Price};
use waystation::push::price::{AMOUNT_MAX, Discounted};
use waystation::push::tier::{Invoicing, Schedule, Status, Tier};

/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: u64 = 24 * 3_600_000;
const NO_TERMS: Terms = Terms {
    flat_discount: 0,
    discounted_months: 0,
    licenses_min: 0,
    discounted: Discounted { monthly: None, annual: None },
    next: None,
};

fn entry(licenses: u64, next: u64) -> LedgerEntry {
    LedgerEntry { is_renewal: true, event_time: NOW, licenses, licenses_at_next_renewal: next }
}

fn plan(schedule: Schedule) -> Plan {
    Plan {
        tier: Tier::Business,
        status: Status::Active,
        automanage_licenses: true,
        charge_automatically: false,
        price: Price::PerLicense(Tier::Business.list_price(schedule).unwrap()),
        discount: None,
        billing_cycle_anchor: NOW,
        billing_schedule: schedule,
        next_invoice_date: Some(plus_months(NOW, 1)),
        end_date: None,
        invoicing_status: Invoicing::Done,
        sold: 30,
        owed: Owed::default(),
    }
}

fn live(plan: Plan) -> LivePlan {
    LivePlan { plan_id: 1, plan, last: entry(30, 30), last_renewal: NOW }
}

fn open(plan: Plan) -> Book {
    Book::open(&live(plan), NO_TERMS)
}

/// Time passes for a plan whose server has just uploaded.
fn passed(live: &LivePlan, terms: Terms, now: Timestamp) -> Book {
    let mut book = Book::open(live, terms);
    book.pass(now, Some(now));
    book
}

#[test]
fn a_ledger_rises_with_the_people_and_remembers_the_newest_number() {
    let of = |counts: &[(u64, u64)]| {
        let mut book = open(plan(Schedule::Monthly));
        for (after, people) in counts {
            book.count(NOW.plus(*after), *people);
        }
        let pair = |entry: &LedgerEntry| (entry.licenses, entry.licenses_at_next_renewal);
        assert_eq!(pair(&book.last), book.entries.last().map_or((30, 30), pair));
        book.entries.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[(0, 50)]), [], "not newer than the last entry");
    assert_eq!(of(&[(1, 30), (2, 30)]), []);
    assert_eq!(of(&[(1, 28)]), [(30, 28)]);
    assert_eq!(of(&[(1, 28), (2, 29), (3, 27)]), [(30, 27)]);
    assert_eq!(of(&[(1, 31), (2, 35), (3, 33), (4, 34)]), [(31, 31), (35, 34)]);
    let many: Vec<(u64, u64)> = (1..10_000).map(|index| (index, 20 + index % 5)).collect();
    assert!(of(&many).len() <= 1, "as long as the licenses' history");
    let mut manual = open(Plan { automanage_licenses: false, ..plan(Schedule::Monthly) });
    manual.count(NOW.plus(1), 50);
    assert_eq!(manual.entries, [], "who buys licenses is not sold any by itself");
}

#[test]
fn a_number_that_sinks_does_not_move_the_time_of_the_rise_before_it() {
    let mut book = open(plan(Schedule::Monthly));
    book.count(NOW.plus(DAY), 31);
    book.count(NOW.plus(2 * DAY), 29);
    assert_eq!((book.entries.len(), book.entries[0].event_time), (1, NOW.plus(DAY)));
}

#[test]
fn plans_renew_switch_and_end_when_their_time_has_come() {
    let due = |status| LivePlan { last: entry(30, 28), ..live(Plan { status, ..plan(Schedule::Monthly) }) };
    let later = plus_months(NOW, 1);
    let discounted = Terms { flat_discount: 2_000, discounted_months: 12, licenses_min: 25, ..NO_TERMS };
    let early = passed(&due(Status::Active), discounted, later.minus(1));
    assert!(early.invoices.is_empty() && early.entries.is_empty() && early.plan == due(Status::Active).plan);
    let renewed = passed(&due(Status::Active), discounted, later);
    let invoice = &renewed.invoices[0];
    assert_eq!((invoice.kind, renewed.invoices.len()), (InvoiceKind::Period, 1));
    assert_eq!((invoice.licenses, invoice.amount, invoice.discount), (28, 28 * 800 - 2_000, 2_000));
    assert_eq!((invoice.period_start, invoice.period_end), (later, plus_months(NOW, 2)));
    assert_eq!((renewed.plan.next_invoice_date, renewed.months_spent), (Some(plus_months(NOW, 2)), 1));
    let entry = LedgerEntry { is_renewal: true, event_time: later, licenses: 28, licenses_at_next_renewal: 28 };
    assert_eq!(renewed.entries, [entry]);
    assert_eq!(passed(&due(Status::Active), NO_TERMS, later).invoices[0].discount, 0);
    let least = Terms { licenses_min: 29, ..NO_TERMS };
    assert_eq!(passed(&due(Status::Active), least, later).invoices[0].licenses, 29, "no fewer than are sold");

    let first =
        Plan { next_invoice_date: Some(NOW), invoicing_status: Invoicing::InitialPending, ..plan(Schedule::Monthly) };
    let begun = passed(&live(first), NO_TERMS, NOW);
    assert_eq!((begun.entries.len(), begun.invoices[0].licenses), (0, 30), "the first invoice is no renewal");
    assert_eq!((begun.invoices[0].period_start, begun.invoices[0].period_end), (NOW, later));

    let yearly = passed(&due(Status::SwitchToAnnual), NO_TERMS, later);
    assert_eq!((yearly.plan.status, yearly.plan.billing_schedule), (Status::Active, Schedule::Annual));
    assert_eq!(yearly.plan.price, Price::PerLicense(8_000));
    assert_eq!(yearly.invoices[0].period_end, plus_months(later, 12));
    assert_eq!(yearly.plan.next_invoice_date, Some(plus_months(later, 1)), "licenses may come each month");

    for status in [Status::DowngradeAtCycleEnd, Status::DowngradeAtTrialEnd] {
        let ended = passed(&due(status), NO_TERMS, later);
        assert_eq!((ended.plan.status, ended.plan.next_invoice_date), (Status::Ended, None));
        assert!(ended.invoices.is_empty());
    }
    let trial = passed(&due(Status::FreeTrial), NO_TERMS, later);
    assert_eq!((trial.plan.status, trial.plan.billing_cycle_anchor), (Status::Active, later));
    assert_eq!(trial.invoices[0].period_start, later);
    let mut over = due(Status::Active);
    over.plan.end_date = Some(NOW.plus(DAY));
    assert_eq!(passed(&over, NO_TERMS, NOW.plus(DAY)).plan.status, Status::Ended);
    let free = Plan { tier: Tier::Community, price: Price::Free, ..plan(Schedule::Monthly) };
    let mut free = Book::open(&live(free), NO_TERMS);
    free.pass(later, None);
    assert!(free.invoices.is_empty() && free.entries.len() == 1, "nobody pays for it, so nothing is waited for");
}

#[test]
fn a_switch_of_the_schedule_takes_the_price_that_the_customer_was_promised() {
    let promised = Terms { discounted: Discounted { monthly: Some(700), annual: Some(7_000) }, ..NO_TERMS };
    let at = |schedule, status, price| {
        let plan = Plan { status, price: Price::PerLicense(price), ..plan(schedule) };
        let later = plus_months(NOW, schedule.months());
        let book = passed(&live(Plan { next_invoice_date: Some(later), ..plan }), promised, later);
        (book.plan.status, book.plan.price, book.invoices.last().unwrap().amount)
    };
    let annual = (Status::Active, Price::PerLicense(7_000), 30 * 7_000);
    assert_eq!(at(Schedule::Monthly, Status::SwitchToAnnual, 700), annual);
    let monthly = (Status::Active, Price::PerLicense(700), 30 * 700);
    assert_eq!(at(Schedule::Annual, Status::SwitchToMonthly, 7_000), monthly);
}

#[test]
fn a_plan_that_switches_its_tier_at_its_end_goes_on_with_a_period_of_the_next_one() {
    let end = NOW.plus(10 * DAY);
    let next = Next { tier: Tier::Business, licenses_min: 25, discounted: Discounted::default() };
    let terms = Terms { next: Some(next), ..NO_TERMS };
    let switching = Plan { status: Status::SwitchTierAtPlanEnd, end_date: Some(end), ..plan(Schedule::Monthly) };
    let legacy = Plan {
        tier: Tier::Legacy,
        price: Price::Free,
        next_invoice_date: None,
        automanage_licenses: false,
        ..switching.clone()
    };
    let few = LivePlan { last: entry(12, 12), ..live(legacy) };
    let early = passed(&few, terms, end.minus(1));
    assert_eq!((&early.plan, early.invoices.len()), (&few.plan, 0));
    let mut book = Book::open(&few, terms);
    book.pass(end, None);
    assert_eq!((book.plan.tier, book.plan.status, book.plan.end_date), (Tier::Business, Status::Active, None));
    assert_eq!((book.plan.price, book.plan.automanage_licenses), (Price::PerLicense(800), true));
    assert_eq!((book.plan.billing_cycle_anchor, book.plan.next_invoice_date), (end, Some(plus_months(end, 1))));
    let told: Vec<_> = book.sold_as(Tier::Legacy).map(|(tier, invoice)| (tier, invoice.amount)).collect();
    assert_eq!(told, [(Tier::Business, 25 * 800)], "its least number of licenses");
    // What was owed of the tier before is billed as that.
    let mut basic =
        Book::open(&live(Plan { tier: Tier::Basic, price: Price::PerLicense(350), ..switching.clone() }), terms);
    basic.count(NOW.plus(5 * DAY), 31);
    basic.pass(end, Some(end));
    let told: Vec<_> = basic.sold_as(Tier::Basic).map(|(tier, invoice)| (tier, invoice.kind)).collect();
    assert_eq!(told, [(Tier::Basic, InvoiceKind::Additional), (Tier::Business, InvoiceKind::Period)]);
    // Nobody knows what follows, or what it costs.
    assert_eq!(passed(&live(switching.clone()), NO_TERMS, end).plan.status, Status::Ended);
    let dear = Terms { next: Some(Next { tier: Tier::Enterprise, ..next }), ..NO_TERMS };
    assert_eq!(passed(&live(switching), dear, end).plan.status, Status::Ended);
}

#[test]
fn an_end_before_the_first_invoice_is_billed_once() {
    let first =
        Plan { next_invoice_date: Some(NOW), invoicing_status: Invoicing::InitialPending, ..plan(Schedule::Monthly) };
    let mut settled = open(first.clone());
    settled.settle();
    assert_eq!(settled.invoices.iter().map(|invoice| invoice.amount).collect::<Vec<_>>(), [30 * 800]);
    let late = plus_months(NOW, 1);
    let ending = Plan { status: Status::DowngradeAtCycleEnd, next_invoice_date: Some(late), ..first };
    assert_eq!(passed(&live(ending), NO_TERMS, late).invoices.len(), 1);
}

#[test]
fn so_many_people_as_there_are_not_cost_no_more_than_storage_carries() {
    let mut book = open(plan(Schedule::Monthly));
    book.count(NOW.plus(DAY), 1 << 53);
    book.pass(plus_months(NOW, 1), Some(plus_months(NOW, 1)));
    assert_eq!(book.last.licenses, AMOUNT_MAX);
    assert!(book.invoices.iter().all(|invoice| invoice.amount < 1 << 53), "{:?}", book.invoices);
}

#[test]
fn a_license_costs_its_part_of_the_period_rounded_half_up() {
    let month = (NOW, plus_months(NOW, 1));
    let year = (NOW, plus_months(NOW, 12));
    assert_eq!((month.1.since(NOW), year.1.since(NOW)), (31 * DAY, 365 * DAY));
    for (cents, after_ms, period, expected) in [
        (800, 0, month, 800),
        (800, 31 * DAY / 2, month, 400),
        (800, 10 * DAY, month, 542),
        (800, 31 * DAY - 1, month, 0),
        (800, 31 * DAY, month, 0),
        (800, 40 * DAY, month, 0),
        (8_000, 73 * DAY, year, 6_400),
        (8_000, 364 * DAY, year, 22),
        (1, 31 * DAY / 2, month, 1),
        (1, 31 * DAY / 2 + 1, month, 0),
        (90_000_000, 1, year, 90_000_000),
        (0, 5, month, 0),
    ] {
        assert_eq!(share(cents, NOW.plus(after_ms), period.1, period), expected, "{cents} after {after_ms}");
    }
    assert_eq!(share(800, NOW.minus(5), month.1, month), 800, "never more than the whole");
    assert_eq!(share(800, NOW, NOW.plus(31 * DAY / 2), month), 400, "up to an end within the period");
    assert_eq!(share(7, NOW, NOW, (NOW, NOW)), 0, "a period of no length");
}

/// What a year's plan with these numbers on these days is billed by the day `looked`, beyond the year itself.
fn additional(counts: &[(u64, u64)], looked: u64) -> Vec<Invoice> {
    let mut book = open(plan(Schedule::Annual));
    for (day, people) in counts {
        book.pass(NOW.plus(day * DAY), Some(NOW.plus(day * DAY)));
        book.count(NOW.plus(day * DAY), *people);
    }
    book.pass(NOW.plus(looked * DAY), Some(NOW.plus(looked * DAY)));
    book.invoices.into_iter().filter(|invoice| invoice.kind == InvoiceKind::Additional).collect()
}

#[test]
fn licenses_within_a_year_are_billed_each_month_for_the_rest_of_it() {
    let end = plus_months(NOW, 12);
    let told = |invoices: Vec<Invoice>| {
        invoices
            .iter()
            .map(|invoice| {
                assert_eq!((invoice.period_end, invoice.discount), (end, 0));
                (invoice.period_start.since(NOW) / DAY, invoice.licenses, invoice.amount)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(additional(&[(10, 30)], 364)), [], "nobody came");
    assert_eq!(told(additional(&[(73, 31)], 89)), [], "not before the month is over");
    assert_eq!(told(additional(&[(73, 31)], 90)), [(73, 1, 6_400)]);
    assert_eq!(told(additional(&[(73, 31)], 364)), [(73, 1, 6_400)], "once");
    // 8000 * 291/365 = 6378.08, twice.
    assert_eq!(told(additional(&[(73, 31), (74, 33)], 90)), [(73, 3, 6_400 + 2 * 6_378)], "one invoice a month");
    // 8000 * 265/365 = 5808.2.
    assert_eq!(told(additional(&[(73, 31), (100, 32)], 364)), [(73, 1, 6_400), (100, 1, 5_808)]);
    assert_eq!(told(additional(&[(73, 31), (80, 20), (85, 31)], 364)), [(73, 1, 6_400)], "who comes back is paid for");
    assert_eq!(told(additional(&[(360, 31)], 365)), [(360, 1, 110)], "at the renewal at the latest");
}

#[test]
fn the_number_at_the_boundary_begins_the_new_period_however_late_it_is_told() {
    let (late, boundary) = (NOW.plus(60 * DAY), plus_months(NOW, 1));
    let mut book = open(plan(Schedule::Monthly));
    for (at, people) in [(NOW.plus(10 * DAY), 40), (NOW.plus(20 * DAY), 35), (boundary.plus(DAY), 36)] {
        book.pass(at, Some(late));
        book.count(at, people);
    }
    book.pass(late, Some(late));
    let told: Vec<_> =
        book.invoices.iter().map(|invoice| (invoice.kind.word(), invoice.licenses, invoice.amount)).collect();
    // 800 * 21/31 = 541.9; 800 * 27/28 = 771.4.
    let expected =
        [("additional", 10, 5_420), ("period", 35, 35 * 800), ("additional", 1, 771), ("period", 36, 36 * 800)];
    assert_eq!(told, expected);
    assert_eq!(book.invoices[1].period_start, boundary);
}

#[test]
fn nothing_is_billed_on_stale_numbers() {
    let later = plus_months(NOW, 1);
    let long = NOW.plus(400 * DAY);
    for uploaded_at in [None, Some(NOW), Some(later.minus(1))] {
        let mut book = open(plan(Schedule::Monthly));
        book.pass(long, uploaded_at);
        assert!(book.invoices.is_empty() && book.plan == plan(Schedule::Monthly), "{uploaded_at:?}");
    }
    let mut book = open(plan(Schedule::Monthly));
    book.pass(long, Some(later));
    assert_eq!(book.invoices.len(), 1, "only what the numbers cover");
    book.pass(long, Some(long));
    assert_eq!(book.invoices.len(), 13, "each month that was slept through");
    let starts: Vec<_> = book.invoices.iter().map(|invoice| invoice.period_start).collect();
    assert_eq!(starts, (1..=13).map(|month| plus_months(NOW, month)).collect::<Vec<_>>());
    let mut ages = open(plan(Schedule::Monthly));
    ages.pass(NOW.plus(10_000 * DAY), Some(NOW.plus(10_000 * DAY)));
    assert_eq!(ages.invoices.len(), RUNS_MAX, "the rest follows");
    let mut trial = open(Plan { status: Status::FreeTrial, ..plan(Schedule::Monthly) });
    trial.pass(long, Some(NOW));
    assert_eq!(trial.plan.status, Status::FreeTrial);
}

#[test]
fn a_plan_ends_with_what_is_owed_whether_anybody_uploads_or_not() {
    let grown = |plan: Plan| {
        let mut book = open(plan);
        book.count(NOW.plus(10 * DAY), 31);
        book
    };
    let mut ending = grown(Plan { status: Status::DowngradeAtCycleEnd, ..plan(Schedule::Monthly) });
    ending.pass(plus_months(NOW, 1), Some(NOW));
    assert_eq!(ending.plan.status, Status::Ended);
    assert_eq!((ending.invoices.len(), ending.invoices[0].amount), (1, 542));
    let mut annual = grown(Plan { status: Status::DowngradeAtCycleEnd, ..plan(Schedule::Annual) });
    annual.pass(NOW.plus(300 * DAY), Some(NOW));
    assert_eq!((annual.plan.status, annual.invoices.len()), (Status::DowngradeAtCycleEnd, 0), "its months only pass");
    annual.pass(plus_months(NOW, 12), Some(NOW));
    assert_eq!((annual.plan.status, annual.invoices[0].amount), (Status::Ended, 7_781));
    // Up to the end: 800 * (20 - 10)/31.
    let mut cut = grown(Plan { end_date: Some(NOW.plus(20 * DAY)), ..plan(Schedule::Monthly) });
    cut.pass(NOW.plus(25 * DAY), None);
    assert_eq!((cut.plan.status, cut.invoices[0].amount), (Status::Ended, 258));
    assert_eq!(cut.invoices[0].period_end, NOW.plus(20 * DAY));
    cut.count(NOW.plus(26 * DAY), 99);
    cut.pass(NOW.plus(400 * DAY), Some(NOW.plus(400 * DAY)));
    assert_eq!((cut.invoices.len(), cut.entries.len()), (1, 1), "what is over stays so");
}

#[test]
fn neither_trials_nor_fixed_prices_cost_more_for_more_people() {
    let mut trial = open(Plan { status: Status::FreeTrial, ..plan(Schedule::Monthly) });
    trial.count(NOW.plus(DAY), 50);
    trial.pass(plus_months(NOW, 1), Some(plus_months(NOW, 1)));
    assert_eq!(trial.invoices.iter().map(|invoice| invoice.amount).collect::<Vec<_>>(), [50 * 800]);
    let mut fixed = open(Plan { price: Price::Fixed(9_900), ..plan(Schedule::Annual) });
    fixed.count(NOW.plus(DAY), 50);
    fixed.pass(plus_months(NOW, 12), Some(plus_months(NOW, 12)));
    assert_eq!(fixed.invoices.iter().map(|invoice| invoice.amount).collect::<Vec<_>>(), [9_900]);
}

/// A plan that is stored after each event, as an object does.
struct Stored {
    live: LivePlan,
    terms: Terms,
    invoices: Vec<Invoice>,
    rises: Vec<LedgerEntry>,
}

impl Stored {
    fn new(schedule: Schedule) -> Self {
        let terms = Terms { flat_discount: 2_000, discounted_months: 12, licenses_min: 1, ..NO_TERMS };
        Self { live: live(plan(schedule)), terms, invoices: Vec::new(), rises: Vec::new() }
    }

    fn event(&mut self, act: impl FnOnce(&mut Book)) {
        let mut book = Book::open(&self.live, self.terms);
        act(&mut book);
        let mut licenses = self.live.last.licenses;
        for entry in &book.entries {
            if entry.is_renewal || entry.licenses > licenses {
                self.rises.push(LedgerEntry { licenses_at_next_renewal: 0, ..entry.clone() });
            }
            licenses = entry.licenses;
        }
        self.invoices.extend(book.invoices.clone());
        self.terms.discounted_months -= book.months_spent;
        self.live = LivePlan { plan_id: 1, plan: book.plan, last: book.last, last_renewal: book.last_renewal };
    }

    fn of(&self, kind: InvoiceKind) -> Vec<Invoice> {
        self.invoices.iter().filter(|invoice| invoice.kind == kind).cloned().collect()
    }

    /// Licenses and cents that came within each period, by its end.
    fn additional(&self) -> std::collections::BTreeMap<Timestamp, (u64, u64)> {
        let mut sums = std::collections::BTreeMap::new();
        for invoice in self.of(InvoiceKind::Additional) {
            let sum = sums.entry(invoice.period_end).or_insert((0, 0));
            *sum = (sum.0 + invoice.licenses, sum.1 + invoice.amount);
        }
        sums
    }
}

proptest! {
    #[test]
    fn when_alarms_ring_and_uploads_come_changes_nothing_of_what_is_billed(
        is_annual in any::<bool>(),
        mut counts in prop::collection::vec((1..900 * DAY, 20..80_u64), 0..40),
        mut alarms in prop::collection::vec((0..900 * DAY, any::<bool>()), 0..60),
        cut in 0..41_usize,
    ) {
        let schedule = if is_annual { Schedule::Annual } else { Schedule::Monthly };
        let end = NOW.plus(900 * DAY);
        counts.sort_unstable();
        counts.dedup_by_key(|(at, _)| *at);
        alarms.sort_unstable();
        // All in one upload at the very end.
        let mut once = Stored::new(schedule);
        once.event(|book| {
            for (at, people) in &counts {
                book.pass(NOW.plus(*at), Some(end));
                book.count(NOW.plus(*at), *people);
            }
        });
        once.event(|book| book.pass(end, Some(end)));
        // In two uploads, the numbers in their order; alarms in between see fresh numbers, or none at all.
        let mut often = Stored::new(schedule);
        let cut = cut.min(counts.len());
        for part in [&counts[..cut], &counts[cut..]] {
            for (at, people) in part {
                for (ring, is_fresh) in &alarms {
                    if *ring < *at {
                        let now = NOW.plus(*ring);
                        often.event(|book| book.pass(now, is_fresh.then_some(now)));
                    }
                }
                often.event(|book| {
                    book.pass(NOW.plus(*at), Some(end));
                    book.count(NOW.plus(*at), *people);
                });
            }
        }
        often.event(|book| book.pass(end, Some(end)));
        prop_assert_eq!(once.of(InvoiceKind::Period), often.of(InvoiceKind::Period));
        prop_assert_eq!(once.additional(), often.additional());
        prop_assert_eq!(&once.rises, &often.rises);
        // And it is what the ledger says, license by license.
        let mut sums = std::collections::BTreeMap::new();
        let (mut sold, mut period) = (30, cycle_of(&plan(schedule), NOW));
        for rise in &once.rises {
            if rise.is_renewal {
                (sold, period) = (rise.licenses, cycle_of(&plan(schedule), rise.event_time));
                continue;
            }
            let price = Tier::Business.list_price(schedule).unwrap();
            let left = period.1.since(rise.event_time);
            let each = (u128::from(price) * u128::from(left) * 2 + u128::from(period.1.since(period.0)))
                / (2 * u128::from(period.1.since(period.0)));
            let sum = sums.entry(period.1).or_insert((0, 0));
            *sum = (sum.0 + rise.licenses - sold, sum.1 + (rise.licenses - sold) * u64::try_from(each).unwrap());
            sold = rise.licenses;
        }
        let billed: u64 = once.additional().values().map(|(_, amount)| amount).sum();
        let still: u64 = once.live.plan.owed.amount;
        prop_assert_eq!(sums.values().map(|(_, amount)| amount).sum::<u64>(), billed + still);
    }
}

#[test]
fn plans_of_an_older_schema_owe_nothing_for_the_past_and_their_first_invoice_still_comes() {
    let all = waystation::push::MIGRATIONS;
    let database = Database::new();
    migrate(&database, &all[..4], NOW).unwrap();
    let run = |sql: &'static str| database.commit(vec![Statement::plain(sql)]).unwrap();
    run("INSERT INTO customer VALUES (1, '', NULL, 0, 0, 0, NULL, NULL, 0, 2000, 12)");
    run("INSERT INTO customer VALUES (2, 'x', NULL, 0, 0, 0, NULL, NULL, 0, 2000, 12)");
    run("INSERT INTO plan VALUES (1, 1, 104, 1, 1, 0, 800, NULL, NULL, 100, 1, 900, NULL, 1)");
    run("INSERT INTO plan VALUES (2, 2, 104, 1, 1, 0, 800, NULL, NULL, 100, 1, 100, NULL, 1)");
    run("INSERT INTO license_ledger VALUES (1, 1, 1, 100, 30, 30), (2, 1, 0, 200, 45, 20), (3, 2, 1, 100, 25, 25)");
    run("INSERT INTO invoice VALUES (1, '', 1, 104, 100, 100, 900, 30, 24000, 0)");
    migrate(&database, all, NOW).unwrap();
    let read = |sql: &'static str| {
        let rows = database.read(Statement::plain(sql)).unwrap();
        rows.iter().map(|row| (row.integer(0).unwrap(), row.integer(1).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(read("SELECT sold, owed_amount FROM plan ORDER BY plan_id"), [(45, 0), (25, 0)]);
    assert_eq!(read("SELECT invoicing_status, ifnull(owed_since, -1) FROM plan ORDER BY plan_id"), [(1, -1), (3, -1)]);
    assert_eq!(read("SELECT kind = 'period', amount FROM invoice"), [(1, 24_000)]);
}
