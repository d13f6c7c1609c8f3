//! What is kept of uploads: by age whatever the order in which rows came, by rows, by bytes; and the small tables beside them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::support::{Stage, call};
use push_world::{REALM, UUID_A, World, accepted, realm, refused, registration, upload};
use serde_json::{Value, json};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::quota::Quota;
use waystation::kernel::secret::Secret;
use waystation::kernel::sql::{Sql, Statement};
use waystation::push::RemoteServer;
use waystation::push::retention::{AUDIT_ROW_BYTES, COUNT_ROW_BYTES, Limits};
use waystation::push::store::uploads::load_kept;
use waystation::push::upload::{ENTRY_COST, ROW_BYTES, ROWS_PER_DAY, ROWS_PERIOD_MS, Table};
use waystation::push::webhook::{SEEN_FOR_MS, SKEW_MS, WAITING_MAX, sign};

const DAY: u64 = 24 * 3_600_000;
const HOUR: u64 = 3_600_000;
/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

fn world() -> World {
    let mut world = World::new();
    world.send(&registration(UUID_A, "chat.example.org"));
    world
}

fn seconds(world: &World) -> u64 {
    world.now.as_millis() / 1_000
}

fn count(id: u64, end_time: u64) -> Value {
    json!({ "property": "messages_read::hour", "realm": 0, "id": id, "end_time": end_time, "subgroup": null,
        "value": id })
}

fn audit(id: u64, event_time: u64, extra: &Value) -> Value {
    json!({ "id": id, "realm": 0, "event_time": event_time, "backfilled": false, "event_type": 101,
        "extra_data": extra })
}

fn server(world: &World) -> &Stage<RemoteServer> {
    &world.servers[UUID_A]
}

fn numbers(world: &World, sql: &'static str) -> Vec<i64> {
    let rows = server(world).database.read(Statement::plain(sql)).unwrap();
    rows.iter().map(|row| row.integer(0).unwrap()).collect()
}

/// The uploaded rows' ids on their server, in that order.
fn ids(world: &World, table: Table) -> Vec<i64> {
    numbers(
        world,
        match table {
            Table::RealmCounts => "SELECT remote_id FROM realm_count ORDER BY remote_id",
            Table::InstallationCounts => "SELECT remote_id FROM installation_count ORDER BY remote_id",
            Table::AuditRows => "SELECT remote_id FROM realm_audit WHERE remote_id IS NOT NULL ORDER BY remote_id",
        },
    )
}

#[test]
fn counts_are_forgotten_by_their_age_and_not_by_the_order_of_upload() {
    let mut world = world();
    let now = seconds(&world);
    // What comes first is the newest, and dated as far ahead as a row can be.
    let rows: Vec<Value> = [LAST_SECOND, now - 1, now - 100 * 86_400, now - 399 * 86_400, now - 401 * 86_400]
        .into_iter()
        .zip(1..)
        .map(|(end_time, id)| count(id, end_time))
        .collect();
    let call = upload(UUID_A, &[("realm_counts", json!(rows)), ("installation_counts", json!(rows))]);
    accepted(&world.send(&call));
    for (days, left) in [(0, vec![1, 2, 3, 4]), (2, vec![1, 2, 3]), (300, vec![1, 2]), (99, vec![])] {
        world.wait(days * DAY + 2 * HOUR);
        for table in [Table::RealmCounts, Table::InstallationCounts] {
            assert_eq!(ids(&world, table), left, "{days} days later: {table:?}");
        }
    }
}

#[test]
fn many_old_counts_behind_newer_ones_are_forgotten_in_steps() {
    let mut world = world();
    world.limit(Limits { swept_rows: 10, ..Limits::default() });
    let now = seconds(&world);
    let end = |id: u64| if id <= 15 { now - id * 60 } else { now - 500 * 86_400 - id * 60 };
    let rows: Vec<Value> = (1..=60).map(|id| count(id, end(id))).collect();
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", json!(rows))])));
    world.server(UUID_A).ring();
    assert_eq!(ids(&world, Table::RealmCounts).len(), 50, "an alarm removes a bounded batch");
    world.wait(60_000);
    assert_eq!(ids(&world, Table::RealmCounts), (1..=15).collect::<Vec<i64>>());
    let kept = load_kept(&*server(&world).database, Table::RealmCounts).unwrap();
    assert_eq!((kept.offered, kept.stored, kept.removed), (60, 60, 45));
}

#[test]
fn rows_of_a_clock_that_is_ahead_are_all_kept_and_shown_as_they_came() {
    let mut world = world();
    let ahead = seconds(&world) + 365 * 86_400;
    let rows: Vec<Value> = (1..=5).map(|id| count(id, ahead + id)).collect();
    let audits: Vec<Value> = (1..=5).map(|id| audit(id, ahead, &json!({}))).collect();
    let call = upload(
        UUID_A,
        &[("realm_counts", json!(rows)), ("installation_counts", json!(rows)), ("realmauditlog_rows", json!(audits))],
    );
    accepted(&world.send(&call));
    for table in Table::ALL {
        assert_eq!(ids(&world, table), [1, 2, 3, 4, 5], "{table:?}");
    }
    let expected: Vec<i64> = (1..=5).map(|id| i64::try_from((ahead + id) * 1_000).unwrap()).collect();
    assert_eq!(numbers(&world, "SELECT end_time FROM realm_count ORDER BY remote_id"), expected);
    world.wait(401 * DAY);
    assert!(ids(&world, Table::RealmCounts).is_empty() && ids(&world, Table::InstallationCounts).is_empty());
}

#[test]
fn of_too_many_rows_the_oldest_go_by_their_own_times() {
    let mut world = world();
    let limits = Limits { count_rows: 7, audit_rows: 4, ..Limits::default() };
    world.limit(limits);
    let now = seconds(&world);
    // Each later row happened earlier, but the first is dated ahead: it counts as new as it is here.
    let at = |id: u64| if id == 1 { LAST_SECOND } else { now - id * 3_600 };
    let counts: Vec<Value> = (1..=20).map(|id| count(id, at(id))).collect();
    let audits: Vec<Value> = (1..=20).map(|id| audit(id, at(id), &json!({}))).collect();
    let call = upload(
        UUID_A,
        &[
            ("realm_counts", json!(counts)),
            ("installation_counts", json!(counts)),
            ("realmauditlog_rows", json!(audits)),
        ],
    );
    accepted(&world.send(&call));
    // An entry of ours is older than all of them, and stays.
    let ours = "INSERT INTO realm_audit (realm_uuid, number, event_time, backfilled, event_type, extra, actor) \
        VALUES ('a', 0, 1, 0, 20001, '{}', 'server')";
    server(&world).database.commit(vec![Statement::plain(ours)]).unwrap();
    world.wait(60_000);
    assert_eq!(ids(&world, Table::RealmCounts), (1..=7).collect::<Vec<i64>>());
    assert_eq!(ids(&world, Table::InstallationCounts), (1..=7).collect::<Vec<i64>>());
    assert_eq!(ids(&world, Table::AuditRows), (1..=4).collect::<Vec<i64>>());
    assert_eq!(numbers(&world, "SELECT count(*) FROM realm_audit WHERE remote_id IS NULL"), [1]);
    // Two days on, newer rows displace the one that was dated ahead.
    world.wait(2 * DAY);
    let now = seconds(&world);
    let audits: Vec<Value> = (21..=24).map(|id| audit(id, now - 100 + id, &json!({}))).collect();
    accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", json!(audits))])));
    world.wait(60_000);
    assert_eq!(ids(&world, Table::AuditRows), [21, 22, 23, 24]);
}

#[test]
fn the_limits_of_the_service_are_these() {
    let limits = Limits::default();
    assert_eq!((limits.count_rows, limits.audit_rows, limits.headcounts), (2_000_000, 1_000_000, 10_000));
    assert_eq!((limits.kept_bytes, limits.entry_bytes), (512 << 20, 256 << 20));
    assert_eq!(limits.swept_rows, 5_000);
}

#[test]
fn large_rows_are_bounded_by_bytes_and_the_newest_stay() {
    let mut world = world();
    let kept_bytes = 200_000;
    world.limit(Limits { kept_bytes, ..Limits::default() });
    let now = seconds(&world);
    let padding = "x".repeat(3_900);
    let mut id = 0;
    for _ in 0..30 {
        let rows: Vec<Value> = (0..20)
            .map(|_| {
                id += 1;
                // Later rows happened earlier in every second upload.
                let at = if id / 20 % 2 == 0 { now + id } else { now - id };
                audit(id, at, &json!({ "1": padding }))
            })
            .collect();
        accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", json!(rows))])));
        world.wait(10_000);
        let tally = load_kept(&*server(&world).database, Table::AuditRows).unwrap();
        let counted = "SELECT ifnull(sum(length(CAST(extra AS BLOB))), 0) FROM realm_audit";
        assert_eq!(numbers(&world, counted), [i64::try_from(tally.extra_bytes).unwrap()], "the tally is exact");
        let taken = tally.extra_bytes + (tally.stored - tally.removed) * AUDIT_ROW_BYTES;
        assert!(taken <= kept_bytes, "{taken}");
        let pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let file = numbers(&world, pages)[0];
        assert!(file < 1_000_000, "{file} bytes for a budget of {kept_bytes}");
    }
    let left = ids(&world, Table::AuditRows);
    assert!(left.len() > 40, "no more goes than must: {}", left.len());
    let oldest_left = numbers(&world, "SELECT min(event_time) FROM realm_audit")[0];
    let newest_left = numbers(&world, "SELECT max(event_time) FROM realm_audit")[0];
    assert!(oldest_left > i64::try_from(now * 1_000).unwrap(), "those that happened earlier have gone");
    assert!(newest_left > i64::try_from((now + 570) * 1_000).unwrap());
}

#[test]
fn the_table_that_takes_most_gives_way_first() {
    let mut world = world();
    let now = seconds(&world);
    let audits: Vec<Value> = (1..=10).map(|id| audit(id, now - 500 * 86_400 + id, &json!({}))).collect();
    let counts =
        |ids: std::ops::RangeInclusive<u64>| -> Vec<Value> { ids.map(|id| count(id, now - 90_000 + id)).collect() };
    let fields = [("realmauditlog_rows", json!(audits)), ("installation_counts", json!(counts(1..=20)))];
    accepted(&world.send(&upload(UUID_A, &fields)));
    let budget = 10 * (AUDIT_ROW_BYTES + 2) + 70 * COUNT_ROW_BYTES;
    world.limit(Limits { kept_bytes: budget, ..Limits::default() });
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", json!(counts(1..=300)))])));
    world.wait(60_000);
    assert_eq!((ids(&world, Table::AuditRows).len(), ids(&world, Table::InstallationCounts).len()), (10, 20));
    assert_eq!(ids(&world, Table::RealmCounts), (251..=300).collect::<Vec<i64>>());
}

#[test]
fn of_two_tables_of_the_same_size_one_gives_no_more_than_must() {
    let mut world = world();
    let now = seconds(&world);
    let counts: Vec<Value> = (1..=50).map(|id| count(id, now - 90_000 + id)).collect();
    world.limit(Limits { kept_bytes: 90 * COUNT_ROW_BYTES, ..Limits::default() });
    let call = upload(UUID_A, &[("realm_counts", json!(counts)), ("installation_counts", json!(counts))]);
    accepted(&world.send(&call));
    world.wait(60_000);
    assert_eq!(ids(&world, Table::RealmCounts).len() + ids(&world, Table::InstallationCounts).len(), 90);
    // What is too old goes anyway, and counts.
    let old: Vec<Value> = (51..=60).map(|id| count(id, now - 500 * 86_400 + id)).collect();
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", json!(old))])));
    world.wait(60_000);
    assert_eq!(ids(&world, Table::RealmCounts).len() + ids(&world, Table::InstallationCounts).len(), 90);
}

#[test]
fn a_day_takes_so_many_bytes() {
    let mut world = world();
    let now = seconds(&world);
    let large = json!({ "1": "x".repeat(4_000) });
    let each = 1 + large.to_string().len() as u64 / ROW_BYTES;
    assert_eq!(each, 16);
    let quota = Quota::new(ROWS_PER_DAY, ROWS_PERIOD_MS);
    let spent = quota.take_many(ROWS_PER_DAY - 2 * each - 1, 0, world.now).unwrap();
    let spend = Statement::new("UPDATE server SET rows_free_at_us = ?1", vec![spent.free_at_us.into()]);
    server(&world).database.commit(vec![spend]).unwrap();
    let rows = |ids: [u64; 3]| json!(ids.map(|id| audit(id, now, &large)));
    let before = world.dump();
    assert_eq!(world.send(&upload(UUID_A, &[("realmauditlog_rows", rows([1, 2, 3]))])).status, 429);
    assert_eq!(world.dump(), before);
    let two = json!([audit(1, now, &large), audit(2, now, &large), audit(3, now, &json!({}))]);
    accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", two)])));
    assert_eq!(world.send(&upload(UUID_A, &[("realmauditlog_rows", rows([4, 5, 6]))])).status, 429);
    world.wait(DAY / 1_000);
    accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", rows([4, 5, 6]))])));
}

fn renamed(index: u64, length: usize) -> Value {
    let mut told = realm(0, REALM);
    told["name"] = json!(format!("{index:0>length$}"));
    json!([told])
}

#[test]
fn entries_that_uploads_cause_are_kept_for_ever_and_end() {
    let mut world = world();
    world.upload(UUID_A, &[REALM]);
    world.limit(Limits { entry_bytes: 20_000, ..Limits::default() });
    let entries = |world: &World| numbers(world, "SELECT count(*) FROM realm_audit WHERE remote_id IS NULL")[0];
    let mut index = 0;
    let full = loop {
        index += 1;
        let reply = world.send(&upload(UUID_A, &[("realms", renamed(index, 700))]));
        if reply.status != 200 {
            break reply;
        }
        assert!(index < 100, "{index} entries of more than a kilobyte each");
    };
    refused(&full, 400, "BAD_REQUEST", "Too many changes of organizations.");
    assert!((10..20).contains(&entries(&world)), "{}", entries(&world));
    let before = world.dump();
    refused(
        &world.send(&upload(UUID_A, &[("realms", renamed(0, 700))])),
        400,
        "BAD_REQUEST",
        "Too many changes of organizations.",
    );
    assert_eq!(world.dump(), before);
    // What changes nothing is still taken.
    accepted(&world.send(&upload(UUID_A, &[("realms", renamed(index - 1, 700))])));
}

#[test]
fn a_long_entry_costs_more_of_the_day_than_a_short_one() {
    let mut world = world();
    world.upload(UUID_A, &[REALM]);
    let spent = |world: &mut World, told: Value| {
        let free = |world: &World| numbers(world, "SELECT rows_free_at_us FROM server")[0];
        let before = free(world).max(i64::try_from(world.now.as_millis() * 1_000).unwrap());
        accepted(&world.send(&upload(UUID_A, &[("realms", told)])));
        (free(world) - before) / 86_400
    };
    let short = spent(&mut world, renamed(1, 5));
    assert_eq!(short, i64::try_from(ENTRY_COST).unwrap());
    let long = spent(&mut world, renamed(2, 1_000));
    assert_eq!(long, 5 * short);
}

#[test]
fn people_of_so_many_organizations_are_counted_and_no_more() {
    let mut world = world();
    world.limit(Limits { headcounts: 3, ..Limits::default() });
    let now = seconds(&world);
    let of = |id: u64, number: u64, people: u64| {
        let mut row = audit(id, now, &json!({ "10": { "11": { "400": people } } }));
        row["realm"] = json!(number);
        row
    };
    let rows: Vec<Value> = (1..=5).map(|number| of(number, number, 1)).collect();
    accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", json!(rows))])));
    let known = |world: &World| numbers(world, "SELECT number FROM headcount ORDER BY number");
    assert_eq!(known(&world), [1, 2, 3]);
    // Those that are known go on being counted; new ones still find no room.
    let rows = json!([of(6, 9, 1), of(7, 2, 40)]);
    accepted(&world.send(&upload(UUID_A, &[("realmauditlog_rows", rows)])));
    assert_eq!(known(&world), [1, 2, 3]);
    assert_eq!(numbers(&world, "SELECT non_guests FROM headcount WHERE number = 2"), [40]);
    assert_eq!(ids(&world, Table::AuditRows).len(), 7, "their rows are kept all the same");
}

const SECRET: &str = "the payment system's key";

fn paying() -> World {
    let mut world =
        World::with(&[("PUSH_BILLING_KEY", SECRET), ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook")]);
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM]);
    world.wait(10_000);
    world
}

#[test]
fn of_more_than_a_thousand_events_that_nobody_hears_the_oldest_go() {
    let mut world = paying();
    world.outside = Box::new(|_| None);
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO billing_event \
        (body, created_at, due_at, attempts) SELECT '{\"type\":\"old\"}', ?2, ?3, 0 FROM n";
    let params = vec![WAITING_MAX.into(), world.now.into(), world.now.plus(HOUR).into()];
    server(&world).database.commit(vec![Statement::new(fill, params)]).unwrap();
    world.crash();
    let first = numbers(&world, "SELECT min(event_id) FROM billing_event")[0];
    for plan_type in [102, 100, 102] {
        let wish = json!({ "plan_type": plan_type }).to_string().into_bytes();
        let plan = Call {
            principal: Principal::Operator,
            params: vec![UUID_A.to_owned()],
            body: wish,
            ..call(Op::OperatorServerPlan)
        };
        assert_eq!(world.send(&plan).status, 200);
    }
    let kept = numbers(&world, "SELECT event_id FROM billing_event ORDER BY event_id");
    assert_eq!((kept.len() as u64, kept[0]), (WAITING_MAX, first + 3));
    let newest = "SELECT body LIKE '%plan.changed%' FROM billing_event ORDER BY event_id DESC LIMIT 4";
    assert_eq!(numbers(&world, newest), [1, 1, 1, 0]);
}

#[test]
fn names_of_the_payment_systems_messages_are_forgotten_once_they_cannot_be_repeated() {
    let mut world = paying();
    let send = |world: &mut World, event: &str, at| {
        let plan_type = if event == "evt_2" { 100 } else { 102 };
        let change = json!({ "plan_type": plan_type });
        let message = json!({ "event": event, "server": UUID_A, "realm": REALM, "change": change });
        let body = message.to_string().into_bytes();
        let authorization = Some(sign(&Secret::new(SECRET.to_owned()), &body, at));
        world.send(&Call { params: vec![UUID_A.to_owned()], authorization, body, ..call(Op::PushBillingEvent) }).status
    };
    let seen = |world: &World| world.rows(UUID_A, "billing_seen");
    let start = world.now;
    // Signed by a clock that is as far ahead as it may be: genuine for twice the skew.
    assert_eq!(send(&mut world, "evt_1", start.plus(SKEW_MS)), 200);
    world.wait(2 * SKEW_MS);
    let before = world.dump();
    assert_eq!(send(&mut world, "evt_1", start.plus(SKEW_MS)), 200, "repeated in time");
    assert_eq!(world.dump(), before, "it is still known");
    assert_eq!((send(&mut world, "evt_2", start.plus(2 * SKEW_MS)), seen(&world)), (200, 2));
    world.wait(1_000);
    assert_eq!(send(&mut world, "evt_1", start.plus(SKEW_MS)), 401, "too late to be repeated");
    // Signed anew, as whoever had no answer does for days, it is the same message.
    world.wait(3 * 24 * 3_600_000);
    let (before, now) = (world.dump(), world.now);
    assert_eq!(send(&mut world, "evt_1", now), 200);
    assert_eq!(world.dump(), before, "it is known for a month");
    world.wait(SEEN_FOR_MS);
    let now = world.now;
    assert_eq!((send(&mut world, "evt_3", now), seen(&world)), (200, 1), "the others are forgotten");
}
