//! What follows from uploads: licenses of plans that follow people, the alarm for a paid organization that is gone, rows whose
//! time has not come, and the series that the server's own people read.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::support::{body, call};
use push_world::{
    REALM, UUID_A, UUID_B, World, accepted, as_server, json_call, notification, realm, refused, registration, upload,
};
use serde_json::{Value, json};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::sql::{Sql, Statement};
use waystation::push::realm_sync::LOSS_QUIET_MS;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const OTHER: &str = "aaaaaaaa-1f7e-4978-9716-000000000002";
const THIRD: &str = "aaaaaaaa-1f7e-4978-9716-000000000003";

fn paying() -> World {
    let mut world = World::with(&[
        ("PUSH_BILLING_KEY", "the payment system's key"),
        ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook"),
    ]);
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM, OTHER]);
    world.wait(60_000);
    world.fetched.clear();
    world
}

#[track_caller]
fn set_plan(world: &mut World, operation: Op, param: &str, wish: &Value) -> Value {
    let body_bytes = wish.to_string().into_bytes();
    let call =
        Call { principal: Principal::Operator, params: vec![param.to_owned()], body: body_bytes, ..call(operation) };
    let reply = world.send(&call);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

/// An audit row that tells of so many people, `ahead_ms` from now.
fn people(world: &World, id: u64, number: usize, people: u64, ahead_ms: i64) -> Value {
    let at = (i64::try_from(world.now.as_millis()).unwrap() + ahead_ms) as f64 / 1_000.0;
    json!({ "id": id, "realm": number, "event_time": at, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": people } } } })
}

fn tell(world: &mut World, rows: &[Value]) {
    accepted(&world.send(&upload(
        UUID_A,
        &[
            ("realmauditlog_rows", json!(rows)),
            ("realms", json!([realm(0, REALM), realm(1, OTHER)])),
            ("api_feature_level", json!(400)),
        ],
    )));
}

/// The newest ledger entry: whose plan, licenses now and at the next renewal, milliseconds from now.
fn ledger(world: &World, realm: &str) -> (i64, i64, i64) {
    let sql = "SELECT licenses, licenses_at_next_renewal, event_time FROM license_ledger \
        JOIN plan USING (plan_id) JOIN customer USING (customer_id) WHERE realm_uuid = ?1 ORDER BY ledger_id DESC LIMIT 1";
    let rows = world.servers[UUID_A].database.read(Statement::new(sql, vec![realm.into()])).unwrap();
    let at = rows[0].integer(2).unwrap() - i64::try_from(world.now.as_millis()).unwrap();
    (rows[0].integer(0).unwrap(), rows[0].integer(1).unwrap(), at)
}

#[test]
fn an_upload_moves_the_ledgers_of_plans_that_follow_people() {
    let mut world = paying();
    let row = people(&world, 1, 0, 30, 0);
    tell(&mut world, &[row]);
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 104 } }));
    let fixed = json!({ "plan": { "tier": 104, "licenses": 40, "automanage_licenses": false } });
    set_plan(&mut world, Op::OperatorRealmPlan, OTHER, &fixed);
    assert_eq!((ledger(&world, REALM), ledger(&world, OTHER)), ((30, 30, 0), (40, 40, 0)));
    world.wait(HOUR);
    let rows = [
        people(&world, 2, 0, 35, -3_000),
        people(&world, 3, 0, 50, -2_000),
        people(&world, 4, 0, 33, -1_000),
        people(&world, 5, 1, 70, -500),
        people(&world, 6, 9, 99, -400),
    ];
    tell(&mut world, &rows);
    assert_eq!(ledger(&world, REALM), (50, 33, -1_000), "the peak is paid for, the next period begins with fewer");
    assert_eq!(ledger(&world, OTHER).0, 40, "a plan with a fixed number follows nobody");
    let entries = "SELECT count(*) FROM license_ledger";
    let count =
        |world: &World| world.servers[UUID_A].database.read(Statement::plain(entries)).unwrap()[0].integer(0).unwrap();
    let before = count(&world);
    let row = people(&world, 7, 0, 33, 0);
    tell(&mut world, &[row]);
    assert_eq!(count(&world), before, "a number that changes nothing adds nothing");
    let shown = Call { principal: Principal::Operator, params: vec![REALM.to_owned()], ..call(Op::OperatorRealm) };
    let shown = body(&world.send(&shown));
    assert_eq!(shown["billing"]["plan"]["licenses"], 50);
}

#[test]
fn a_servers_plan_follows_the_people_of_all_its_organizations() {
    let mut world = paying();
    let rows = [people(&world, 1, 0, 20, 0), people(&world, 2, 1, 15, 0)];
    tell(&mut world, &rows);
    set_plan(&mut world, Op::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 104 } }));
    assert_eq!(ledger(&world, ""), (35, 35, 0));
    world.wait(HOUR);
    let rows = [people(&world, 3, 0, 22, -2_000), people(&world, 4, 5, 8, -1_000), people(&world, 5, 1, 10, -500)];
    tell(&mut world, &rows);
    assert_eq!(ledger(&world, ""), (45, 40, -500));
}

#[test]
fn a_row_from_the_future_freezes_no_ledger_and_counts_when_its_time_has_come() {
    let mut world = paying();
    let row = people(&world, 1, 0, 30, 0);
    tell(&mut world, &[row]);
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 104 } }));
    world.wait(HOUR);
    let ahead = i64::try_from(3 * HOUR).unwrap();
    let row = people(&world, 2, 0, 60, ahead);
    tell(&mut world, &[row]);
    assert_eq!(ledger(&world, REALM).0, 30, "its time has not come");
    world.wait(HOUR);
    let row = people(&world, 3, 0, 44, -1_000);
    tell(&mut world, &[row]);
    assert_eq!(ledger(&world, REALM), (44, 44, -1_000), "rows of today count as before");
    world.wait(HOUR);
    tell(&mut world, &[]);
    assert_eq!(ledger(&world, REALM).0, 44);
    // A later row of the same organization has spoken: the one that waited is older news.
    world.wait(HOUR);
    tell(&mut world, &[]);
    assert_eq!(ledger(&world, REALM).0, 44);
    let row = people(&world, 4, 0, 70, i64::try_from(HOUR).unwrap());
    tell(&mut world, &[row]);
    assert_eq!(ledger(&world, REALM).0, 44);
    world.wait(HOUR + 1);
    tell(&mut world, &[]);
    assert_eq!(ledger(&world, REALM), (70, 70, 0), "an upload without rows tells what has come true");
}

#[test]
fn a_row_from_the_future_is_no_entry_from_the_future() {
    let mut world = paying();
    let ahead = i64::try_from(3 * HOUR).unwrap();
    let rows = [people(&world, 1, 0, 3, 0)];
    tell(&mut world, &rows);
    // More licenses than people, so that the next row changes the ledger whatever it tells of.
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 104 } }));
    set_plan(&mut world, Op::OperatorRealmPlan, OTHER, &json!({ "plan": { "tier": 104, "licenses": 30 } }));
    let plan = ledger(&world, OTHER);
    world.wait(HOUR);
    let rows = [people(&world, 2, 0, 60, ahead), people(&world, 3, 1, 60, ahead)];
    tell(&mut world, &rows);
    assert_eq!(ledger(&world, REALM), (25, 3, 0));
    let (licenses, next, at) = ledger(&world, OTHER);
    assert_eq!((licenses, next, at), (plan.0, plan.1, -i64::try_from(HOUR).unwrap()), "nobody is known yet");
    world.wait(HOUR);
    let rows = [people(&world, 4, 0, 44, -1_000), people(&world, 5, 1, 44, -1_000)];
    tell(&mut world, &rows);
    assert_eq!((ledger(&world, REALM), ledger(&world, OTHER)), ((44, 44, -1_000), (44, 44, -1_000)));
}

fn notify(world: &mut World) -> waystation::kernel::reply::Reply {
    let mut body = notification(1);
    body["realm_uuid"] = json!(REALM);
    world.send(&as_server(UUID_A, json_call(Op::PushNotify, &body)))
}

const TOO_MANY: &str = "Your plan doesn't allow sending push notifications. Reason provided by the server: Push \
    notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/";

#[test]
fn the_decision_follows_a_row_from_the_future_by_itself() {
    let mut world = paying();
    let rows = [people(&world, 1, 0, 5, 0), people(&world, 2, 0, 11, i64::try_from(HOUR).unwrap())];
    tell(&mut world, &rows);
    accepted(&notify(&mut world));
    world.wait(HOUR - 1);
    accepted(&notify(&mut world));
    world.wait(1);
    refused(&notify(&mut world), 400, "PUSH_NOTIFICATIONS_DISALLOWED", TOO_MANY);
}

#[test]
fn a_row_that_no_clock_explains_counts_from_when_it_came() {
    let mut world = paying();
    let century = i64::try_from(36_500 * DAY).unwrap();
    // Otherwise nobody would be known, and nobody may push for nothing.
    let row = people(&world, 1, 0, 11, century);
    tell(&mut world, &[row]);
    refused(&notify(&mut world), 400, "PUSH_NOTIFICATIONS_DISALLOWED", TOO_MANY);
    let row = people(&world, 2, 0, 5, 0);
    tell(&mut world, &[row]);
    accepted(&notify(&mut world));
}

#[test]
fn a_clock_that_is_hours_ahead_puts_no_row_off_for_ever() {
    let mut world = paying();
    let ahead = i64::try_from(5 * HOUR).unwrap();
    let row = people(&world, 1, 0, 5, 0);
    tell(&mut world, &[row]);
    // Each upload tells of more people before the last one's time has come.
    for id in 2..10 {
        let row = people(&world, id, 0, 10 + id, ahead);
        tell(&mut world, &[row]);
        world.wait(HOUR);
    }
    refused(&notify(&mut world), 400, "PUSH_NOTIFICATIONS_DISALLOWED", TOO_MANY);
}

/// What the payment system heard of organizations that are gone.
fn alarms(world: &mut World) -> Vec<String> {
    world.wait(60_000);
    let told = world.fetched.iter().filter(|fetch| fetch.url == "https://pay.example/hook");
    let events = told.map(|fetch| serde_json::from_slice::<Value>(&fetch.body).unwrap());
    let gone = events.filter(|event| event["type"] == "realm.gone");
    let realms = gone.map(|event| {
        assert_eq!(event["server"], UUID_A);
        event["realm"].as_str().unwrap().to_owned()
    });
    let realms = realms.collect();
    world.fetched.clear();
    realms
}

fn lost(world: &World) -> usize {
    let sql = "SELECT count(*) FROM realm_audit WHERE event_type = 20003";
    let rows = world.servers[UUID_A].database.read(Statement::plain(sql)).unwrap();
    usize::try_from(rows[0].integer(0).unwrap()).unwrap()
}

#[test]
fn a_paid_organization_that_goes_missing_alarms_once() {
    let mut world = paying();
    world.upload(UUID_A, &[REALM, OTHER, THIRD]);
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 103 } }));
    set_plan(&mut world, Op::OperatorRealmPlan, OTHER, &json!({ "plan_type": 102 }));
    alarms(&mut world);
    // The community's and the free one's alarm nobody.
    accepted(&world.upload(UUID_A, &[REALM]));
    assert_eq!((alarms(&mut world), lost(&world)), (vec![], 2));
    accepted(&world.upload(UUID_A, &[OTHER]));
    assert_eq!((alarms(&mut world), lost(&world)), (vec![REALM.to_owned()], 3));
    accepted(&world.upload(UUID_A, &[OTHER]));
    assert_eq!((alarms(&mut world), lost(&world)), (vec![], 3), "it is gone already");
}

#[test]
fn a_paid_organization_that_comes_and_goes_alarms_once_a_day() {
    let mut world = paying();
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 103 } }));
    alarms(&mut world);
    let flap = |world: &mut World, wait: u64| {
        accepted(&world.upload(UUID_A, &[REALM, OTHER]));
        world.wait(wait);
        accepted(&world.upload(UUID_A, &[OTHER]));
        alarms(world).len()
    };
    assert_eq!(flap(&mut world, 0), 1);
    for round in 1..=30 {
        assert_eq!(flap(&mut world, HOUR), 0, "round {round}");
    }
    assert_eq!(lost(&world), 31, "each is noted");
    // The alarms above have waited a minute; a day after the last loss it is news again.
    assert_eq!(flap(&mut world, LOSS_QUIET_MS - 60_001), 0);
    assert_eq!(flap(&mut world, LOSS_QUIET_MS - 60_000), 1);
    world.crash();
    assert_eq!(flap(&mut world, HOUR), 0, "remembered over a crash");
}

#[test]
fn an_empty_list_that_is_repeated_alarms_like_any_other() {
    let mut world = paying();
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 103 } }));
    alarms(&mut world);
    accepted(&world.send(&upload(UUID_A, &[("realms", json!([]))])));
    assert_eq!(alarms(&mut world).len(), 0);
    world.wait(HOUR);
    accepted(&world.send(&upload(UUID_A, &[("realms", json!([]))])));
    assert_eq!(alarms(&mut world), [REALM]);
}

#[test]
fn without_a_payment_system_nothing_is_kept_for_it() {
    let mut world = World::new();
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM, OTHER]);
    set_plan(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 103 } }));
    accepted(&world.upload(UUID_A, &[OTHER]));
    assert_eq!((lost(&world), world.rows(UUID_A, "billing_event")), (1, 0));
}

fn series(query: &str) -> Call {
    as_server(UUID_A, Call { query: query.to_owned(), ..call(Op::PushCounts) })
}

#[test]
fn the_servers_own_people_read_the_hours_and_days_that_it_uploaded() {
    let mut world = paying();
    let row = |id: u64, property: &str, end_time: u64, subgroup: Value, value: u64| json!({ "property": property, "realm": 0, "id": id, "end_time": end_time, "subgroup": subgroup, "value": value });
    let hour = |number: u64| 1_799_996_400 + number * 3_600;
    let day = |number: u64| 1_799_971_200 - number * 86_400;
    let sent = "messages_sent:is_bot:hour";
    let rows = |factor: u64| {
        json!([
            row(1, sent, hour(0), json!("false"), 3 * factor),
            row(2, sent, hour(0), json!("true"), 2 * factor),
            row(3, sent, hour(1), json!("false"), 5 * factor),
            row(4, "1day_actives::day", day(1), Value::Null, 7 * factor),
            row(5, "1day_actives::day", day(0), Value::Null, 8 * factor),
            row(6, "messages_sent:client:day", day(0), json!("ZulipMobile"), 9 * factor),
        ])
    };
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", rows(1)), ("installation_counts", rows(10))])));
    let mut read = |query: &str| -> (Vec<(u64, Value, u64)>, Value) {
        let told = accepted(&world.send(&series(query)));
        let point = |row: &Value| {
            assert!(query.contains(row["property"].as_str().unwrap()));
            (row["end_time"].as_u64().unwrap(), row["subgroup"].clone(), row["value"].as_u64().unwrap())
        };
        (told["rows"].as_array().unwrap().iter().map(point).collect(), told["next"].clone())
    };
    for (of, factor) in [(format!("&realm_uuid={REALM}"), 1), (String::new(), 10)] {
        let hours = [
            (hour(0), json!("false"), 3 * factor),
            (hour(0), json!("true"), 2 * factor),
            (hour(1), json!("false"), 5 * factor),
        ];
        assert_eq!(read(&format!("property={sent}{of}")), (hours.to_vec(), Value::Null));
        let (page, next) = read(&format!("property={sent}&limit=1{of}"));
        assert_eq!(page, hours[..1]);
        let (rest, _) = read(&format!("property={sent}&after={}{of}", next.as_str().unwrap()));
        assert_eq!(rest, hours[1..], "a page may end between two parts of an hour");
        let (late, _) = read(&format!("property={sent}&from={}&to={}{of}", hour(1), hour(2)));
        assert_eq!(late, hours[2..]);
        let days = [(day(1), Value::Null, 7 * factor), (day(0), Value::Null, 8 * factor)];
        assert_eq!(read(&format!("property=1day_actives::day{of}")).0, days);
        let clients = [(day(0), json!("ZulipMobile"), 9 * factor)];
        assert_eq!(read(&format!("property=messages_sent:client:day{of}")).0, clients);
        assert_eq!(read(&format!("property=messages_read::hour{of}")).0, []);
    }
    assert_eq!(read(&format!("property={sent}&realm_uuid={OTHER}")).0, [], "another organization of the same server");
    world.send(&registration(UUID_B, "other.example.net"));
    let stranger = |query: &str| as_server(UUID_B, Call { query: query.to_owned(), ..call(Op::PushCounts) });
    assert_eq!(accepted(&world.send(&stranger(&format!("property={sent}"))))["rows"], json!([]));
    assert_eq!(world.send(&stranger(&format!("property={sent}&realm_uuid={REALM}"))).status, 403);
    let nobody = Call { authorization: None, ..series(&format!("property={sent}")) };
    assert_eq!(world.send(&nobody).status, 401);
}
