//! Usage as a server's object sees it: uploads are one transaction, organizations are synced and audited, people decide who
//! may push, notifications are counted.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::{
    REALM, USER, UUID_A, UUID_B, World, accepted, as_server, form_call, json_call, notification, realm, refused,
    registration, upload,
};
use serde_json::{Value, json};
use waystation::kernel::object::{Answer, Call, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::quota::Quota;
use waystation::kernel::sql::{Sql, Statement};
use waystation::push::realm_sync::EMPTY_REPEATED_MS;
use waystation::push::upload::{ROWS_PER_DAY, ROWS_PERIOD_MS};

const DAY: u64 = 24 * 3_600_000;

fn status(world: &mut World, uuid: &str) -> (i64, i64, i64) {
    let told = accepted(&world.send(&as_server(uuid, form_call(Operation::PushAnalyticsStatus, &[]))));
    let mark = |name: &str| told[name].as_i64().unwrap();
    (mark("last_realm_count_id"), mark("last_installation_count_id"), mark("last_realmauditlog_id"))
}

fn count(id: i64) -> Value {
    json!({ "property": "messages_read::hour", "realm": 0, "id": id, "end_time": 1_700_000_000 + id * 3_600,
        "subgroup": null, "value": id })
}

fn joined(world: &World, id: i64, number: usize, people: u64) -> Value {
    json!({ "id": id, "realm": number, "event_time": world.now.as_millis() / 1_000, "backfilled": false,
        "event_type": 101, "extra_data": { "10": { "11": { "400": people } } } })
}

fn number(world: &World, server: &str, sql: &'static str) -> i64 {
    world.servers[server].database.read(Statement::plain(sql)).unwrap()[0].integer(0).unwrap()
}

fn audits(world: &World, server: &str) -> Vec<(i64, String)> {
    let sql = "SELECT event_type, extra FROM realm_audit WHERE remote_id IS NULL ORDER BY audit_id";
    let rows = world.servers[server].database.read(Statement::plain(sql)).unwrap();
    rows.iter().map(|row| (row.integer(0).unwrap(), row.text(1).unwrap().to_owned())).collect()
}

fn registered() -> World {
    let mut world = World::new();
    world.send(&registration(UUID_A, "chat.example.org"));
    world
}

#[test]
fn an_upload_moves_the_marks_and_an_identical_one_is_out_of_order() {
    let mut world = registered();
    assert_eq!(status(&mut world, UUID_A), (0, 0, 0));
    let call = upload(
        UUID_A,
        &[
            ("realm_counts", json!([count(3), count(9)])),
            ("installation_counts", json!([count(4)])),
            ("realmauditlog_rows", json!([joined(&world, 7, 0, 3)])),
            ("version", json!("9".repeat(200))),
            ("merge_base", json!("abc")),
            ("api_feature_level", json!(300)),
        ],
    );
    let told = accepted(&world.send(&call));
    assert_eq!(told["realms"], json!({}));
    assert!(told.get("ignored_parameters_unsupported").is_none());
    assert_eq!(status(&mut world, UUID_A), (9, 4, 7));
    let before = world.dump();
    refused(&world.send(&call), 400, "BAD_REQUEST", "Data is out of order.");
    assert_eq!(world.dump(), before, "a refusal stores nothing, not even a version");
    assert_eq!(number(&world, UUID_A, "SELECT length(last_version) FROM server"), 128);
    accepted(&world.send(&upload(UUID_A, &[])));
    assert_eq!(number(&world, UUID_A, "SELECT count(*) FROM server WHERE last_version IS NULL"), 1);
}

#[test]
fn twenty_uploads_at_once_lose_nothing_and_double_nothing() {
    let mut world = registered();
    // Each names a new organization, so each waits for the directory while the others come in.
    let uuids: Vec<String> = (0..20).map(|index| format!("aaaaaaaa-1f7e-4978-9716-{index:012}")).collect();
    let calls: Vec<Call> = (0..20)
        .map(|index: usize| {
            let first = i64::try_from(index).unwrap() * 10;
            let rows: Vec<Value> = (1..=10).map(|row| count(first + row)).collect();
            let realms: Vec<Value> = (0..=index).map(|number| realm(number, &uuids[number])).collect();
            upload(UUID_A, &[("realm_counts", json!(rows)), ("realms", json!(realms))])
        })
        .collect();
    let mut tickets = Vec::new();
    for call in &calls {
        match world.server(UUID_A).begin(call) {
            Answer::Later(ticket) => tickets.push(ticket),
            Answer::Now(reply) => panic!("{}", reply.body),
        }
    }
    world.settle();
    for (index, ticket) in tickets.into_iter().enumerate() {
        let reply = world.answer(&(Class::RemoteServer, UUID_A.to_owned(), ticket)).expect("answered");
        if reply.status == 200 {
            assert_eq!(accepted(&reply)["realms"].as_object().unwrap().len(), index + 1);
        } else {
            refused(&reply, 400, "BAD_REQUEST", "Data is out of order.");
        }
    }
    // Whoever was too late sends again what the marks say is missing, as clients do.
    let (mark, _, _) = status(&mut world, UUID_A);
    let rest: Vec<Value> = (mark + 1..=200).map(count).collect();
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", json!(rest))])));
    let stored = number(&world, UUID_A, "SELECT count(*) FROM realm_count");
    let distinct = number(&world, UUID_A, "SELECT count(DISTINCT remote_id) FROM realm_count");
    assert_eq!(stored, distinct);
    assert_eq!(status(&mut world, UUID_A).0, 200);
    assert_eq!(stored, 200);
}

#[test]
fn organizations_are_added_changed_lost_and_found_with_an_entry_each() {
    let mut world = registered();
    let second = "aaaaaaaa-1f7e-4978-9716-000000000002";
    let told = accepted(&world.upload(UUID_A, &[REALM, second]));
    assert_eq!(told["realms"][REALM], json!({ "can_push": false, "expected_end_timestamp": null }));
    assert_eq!(audits(&world, UUID_A), []);
    let mut changed = realm(0, REALM);
    changed["host"] = json!("new.example.org");
    changed["org_type"] = json!(10);
    changed["deactivated"] = json!(true);
    changed["authentication_methods"] = json!({ "Email": true });
    accepted(&world.send(&upload(UUID_A, &[("realms", json!([changed]))])));
    let updated = |name: &str, old: Value, new: Value| {
        (20_001, json!({ "attr_name": name, "old_value": old, "new_value": new }).to_string())
    };
    let expected = vec![
        updated("host", json!("chat.example.org"), json!("new.example.org")),
        updated("org_type", json!(0), json!(10)),
        updated("authentication_methods", json!({}), json!({ "Email": true })),
        updated("realm_deactivated", json!(false), json!(true)),
        (20_003, String::from("{}")),
    ];
    assert_eq!(audits(&world, UUID_A), expected);
    let before = audits(&world, UUID_A).len();
    accepted(&world.send(&upload(UUID_A, &[("realms", json!([changed]))])));
    assert_eq!(audits(&world, UUID_A).len(), before, "once");
    accepted(&world.send(&upload(UUID_A, &[("realms", json!([changed, realm(1, second)]))])));
    assert_eq!(audits(&world, UUID_A).last().unwrap().0, 20_004);
    accepted(&world.send(&upload(UUID_A, &[])));
    assert_eq!(audits(&world, UUID_A).len(), before + 1, "an absent list says nothing");
}

#[test]
fn an_empty_list_deletes_nothing_unless_it_is_repeated_an_hour_later() {
    let mut world = registered();
    world.upload(UUID_A, &[REALM]);
    let gone = |world: &World| number(world, UUID_A, "SELECT count(*) FROM realm WHERE locally_deleted = 1");
    let empty = upload(UUID_A, &[("realms", json!([]))]);
    accepted(&world.send(&empty));
    world.wait(EMPTY_REPEATED_MS - 1);
    accepted(&world.send(&empty));
    assert_eq!(gone(&world), 0);
    world.upload(UUID_A, &[REALM]);
    world.wait(1);
    accepted(&world.send(&empty));
    assert_eq!(gone(&world), 0, "the list between them was not empty");
    world.wait(EMPTY_REPEATED_MS);
    accepted(&world.send(&empty));
    assert_eq!(gone(&world), 1);
    assert_eq!(audits(&world, UUID_A), [(20_003, String::from("{}"))]);
}

#[test]
fn another_servers_organization_rolls_the_whole_upload_back() {
    let mut world = registered();
    world.send(&registration(UUID_B, "other.example.org"));
    world.upload(UUID_B, &[REALM]);
    let before = world.dump();
    let fresh = "aaaaaaaa-1f7e-4978-9716-000000000009";
    let call = upload(
        UUID_A,
        &[
            ("realm_counts", json!([count(1)])),
            ("realms", json!([realm(0, fresh), realm(1, REALM)])),
            ("version", json!("9.0")),
        ],
    );
    refused(&world.send(&call), 400, "BAD_REQUEST", "Duplicate registration detected.");
    assert_eq!(world.dump(), before);
    let twice = upload(UUID_A, &[("realms", json!([realm(0, fresh), realm(1, fresh)]))]);
    refused(&world.send(&twice), 400, "BAD_REQUEST", "Duplicate registration detected.");
    accepted(&world.upload(UUID_B, &[REALM, fresh]));
}

#[test]
fn malformed_extra_data_comes_after_everything_else() {
    let mut world = registered();
    world.send(&registration(UUID_B, "other.example.org"));
    world.upload(UUID_B, &[REALM]);
    let mut row = joined(&world, 1, 0, 1);
    row["extra_data"] = json!("no json");
    let foreign = upload(UUID_A, &[("realmauditlog_rows", json!([row])), ("realms", json!([realm(0, REALM)]))]);
    refused(&world.send(&foreign), 400, "BAD_REQUEST", "Duplicate registration detected.");
    let malformed = upload(UUID_A, &[("realmauditlog_rows", json!([row]))]);
    refused(&world.send(&malformed), 400, "BAD_REQUEST", "Malformed audit log data");
}

fn notify(world: &mut World, realm: Option<&str>) -> waystation::kernel::reply::Reply {
    let mut body = notification(1);
    if let Some(realm) = realm {
        body["realm_uuid"] = json!(realm);
    }
    world.send(&as_server(UUID_A, json_call(Operation::PushNotify, &body)))
}

const REASON: &str = "Your plan doesn't allow sending push notifications. Reason provided by the server: ";
const TOO_MANY: &str =
    "Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/";

#[test]
fn people_decide_who_may_push_in_notifications_and_in_the_answer_to_uploads() {
    let mut world = registered();
    refused(
        &notify(&mut world, None),
        400,
        "INVALID_ZULIP_SERVER",
        "Your plan doesn't allow sending push notifications.",
    );
    let level = ("api_feature_level", json!(300));
    let realms = ("realms", json!([realm(0, REALM)]));
    accepted(&world.send(&upload(UUID_A, &[level.clone(), realms.clone()])));
    let missing = format!("{REASON}Missing data");
    refused(&notify(&mut world, None), 400, "PUSH_NOTIFICATIONS_DISALLOWED", &missing);
    let rows = json!([joined(&world, 1, 0, 10), joined(&world, 2, 5, 1)]);
    let told = accepted(&world.send(&upload(UUID_A, &[level.clone(), realms.clone(), ("realmauditlog_rows", rows)])));
    assert_eq!(told["realms"][REALM]["can_push"], true);
    let told = accepted(&notify(&mut world, Some(REALM)));
    assert_eq!(told["realm"], json!({ "can_push": true, "expected_end_timestamp": null }));
    // Without an organization the whole server's people count, and they are eleven.
    refused(&notify(&mut world, None), 400, "PUSH_NOTIFICATIONS_DISALLOWED", &format!("{REASON}{TOO_MANY}"));
    let rows = json!([joined(&world, 3, 0, 11)]);
    let told = accepted(&world.send(&upload(UUID_A, &[level.clone(), realms.clone(), ("realmauditlog_rows", rows)])));
    assert_eq!(told["realms"][REALM]["can_push"], false);
    refused(&notify(&mut world, Some(REALM)), 400, "PUSH_NOTIFICATIONS_DISALLOWED", &format!("{REASON}{TOO_MANY}"));
    let sealed = json!({ "realm_uuid": REALM, "push_requests": [] });
    let call = as_server(UUID_A, json_call(Operation::PushSealedNotify, &sealed));
    refused(&world.send(&call), 400, "PUSH_NOTIFICATIONS_DISALLOWED", &format!("{REASON}{TOO_MANY}"));
    let rows = json!([joined(&world, 4, 0, 1)]);
    accepted(&world.send(&upload(UUID_A, &[level, realms, ("realmauditlog_rows", rows)])));
    accepted(&notify(&mut world, Some(REALM)));
    world.wait(2 * DAY + 1);
    refused(&notify(&mut world, Some(REALM)), 400, "PUSH_NOTIFICATIONS_DISALLOWED", &missing);
}

#[test]
fn notifications_are_counted_by_day_without_a_row_each() {
    let mut world = World::new();
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM]);
    world.device(UUID_A, "1", "aa");
    world.device(UUID_A, "2", "b");
    for _ in 0..3 {
        accepted(&notify(&mut world, Some(REALM)));
    }
    accepted(&notify(&mut world, None));
    let value = |world: &World, realm: i64, property: &str| {
        let sql = "SELECT sum(value), count(*) FROM own_count WHERE realm_id = ?1 AND property = ?2";
        let params = vec![realm.into(), property.into()];
        let rows = world.servers[UUID_A].database.read(Statement::new(sql, params)).unwrap();
        (rows[0].integer(0).unwrap_or(0), rows[0].integer(1).unwrap())
    };
    let (received, forwarded) = ("mobile_pushes_received::day", "mobile_pushes_forwarded::day");
    assert_eq!(value(&world, 0, received), (8, 1));
    assert_eq!(value(&world, 0, forwarded), (8, 1));
    assert_eq!(value(&world, 1, received), (6, 1));
    // Its devices belong to it by now; a request that does not name it is not its own all the same.
    assert_eq!(value(&world, 1, forwarded), (6, 1));
    world.wait(DAY);
    accepted(&notify(&mut world, Some(REALM)));
    assert_eq!(value(&world, 0, received), (10, 2));
    let trial = json!({ "token": "aa", "token_kind": 1, "user_id": 1, "user_uuid": USER,
        "base_payload": { "realm_name": "r", "realm_url": "https://r" } });
    accepted(&world.send(&as_server(UUID_A, json_call(Operation::PushTestNotification, &trial))));
    assert_eq!(value(&world, 0, forwarded), (10, 2), "tests are not counted");
}

#[test]
fn a_day_takes_so_many_rows() {
    let mut world = registered();
    let quota = Quota::new(ROWS_PER_DAY, ROWS_PERIOD_MS);
    let spent = quota.take_many(ROWS_PER_DAY - 1, 0, world.now).unwrap();
    let spend = Statement::new("UPDATE server SET rows_free_at_us = ?1", vec![spent.free_at_us.into()]);
    world.servers[UUID_A].database.commit(vec![spend]).unwrap();
    let two = upload(UUID_A, &[("realm_counts", json!([count(1)])), ("installation_counts", json!([count(1)]))]);
    let before = world.dump();
    assert_eq!(world.send(&two).status, 429);
    assert_eq!(world.dump(), before);
    accepted(&world.send(&upload(UUID_A, &[("realm_counts", json!([count(1)]))])));
    world.wait(DAY / 1_000);
    accepted(&world.send(&upload(UUID_A, &[("installation_counts", json!([count(1)]))])));
}

#[test]
fn the_decision_reads_as_much_after_ten_thousand_rows_as_after_ten() {
    let steps = |rows: i64| {
        let mut world = registered();
        world.upload(UUID_A, &[REALM]);
        let audit: Vec<Value> = (1..=rows).map(|id| joined(&world, id, 0, 5)).collect();
        accepted(
            &world.send(&upload(UUID_A, &[("realmauditlog_rows", json!(audit)), ("api_feature_level", json!(300))])),
        );
        world.servers[UUID_A].database.take_read_steps();
        accepted(&notify(&mut world, Some(REALM)));
        let with_realm = world.servers[UUID_A].database.take_read_steps();
        accepted(&notify(&mut world, None));
        (with_realm, world.servers[UUID_A].database.take_read_steps())
    };
    assert_eq!(steps(10_000), steps(10));
}

#[test]
fn uploads_and_decisions_are_the_same_when_memory_is_lost_after_every_event() {
    let play = |evict: bool| {
        let mut world = registered();
        world.evict_always = evict;
        for round in 0..3_i64 {
            let rows = json!([joined(&world, round + 1, 0, 3 + u64::try_from(round).unwrap())]);
            let fields = [
                ("realm_counts", json!([count(round * 2 + 1), count(round * 2 + 2)])),
                ("realmauditlog_rows", rows),
                ("realms", json!([])),
                ("api_feature_level", json!(300)),
            ];
            accepted(&world.send(&upload(UUID_A, &fields)));
            world.wait(EMPTY_REPEATED_MS);
            accepted(&notify(&mut world, None));
        }
        world.dump()
    };
    assert_eq!(play(true), play(false));
}

/// The server's own tables, and the client that copies them here: it asks how far we are and sends what follows.
struct Client {
    counts: i64,
    audit: i64,
}

impl Client {
    /// What this client sends when it believes that we are so far, at most `most` rows of each table.
    fn upload(&self, world: &World, marks: (i64, i64, i64), most: i64, realms: &[String]) -> Call {
        let rows = |mark: i64, last: i64| mark + 1..=last.min(mark + most);
        let count = |id: i64| {
            let mut row = count(id);
            row["end_time"] = json!(1_799_000_000 + id * 3_600);
            row
        };
        let realm_counts: Vec<Value> = rows(marks.0, self.counts).map(count).collect();
        let installation: Vec<Value> = rows(marks.1, self.counts).map(count).collect();
        let people = |id: i64| 10 + u64::try_from(id).unwrap();
        let audit: Vec<Value> = rows(marks.2, self.audit).map(|id| joined(world, id, 0, people(id))).collect();
        let realms: Vec<Value> = realms.iter().enumerate().map(|(number, uuid)| realm(number, uuid)).collect();
        upload(
            UUID_A,
            &[
                ("realm_counts", json!(realm_counts)),
                ("installation_counts", json!(installation)),
                ("realmauditlog_rows", json!(audit)),
                ("realms", json!(realms)),
                ("api_feature_level", json!(300)),
            ],
        )
    }

    /// Twenty at once; how many are taken and refused. All have asked how far we are before any of them sends, some send less
    /// than others, and each names one more new organization. A crash cuts off those before it.
    fn twenty(
        &self,
        world: &mut World,
        marks: (i64, i64, i64),
        round: usize,
        dies_at: Option<usize>,
    ) -> (usize, usize) {
        let uuids: Vec<String> = (0..20).map(|index| format!("aaaaaaaa-1f7e-4978-9716-{index:012}")).collect();
        let (mut replies, mut tickets) = (Vec::new(), Vec::new());
        for index in 0..20_usize {
            let most = 3 + i64::try_from((index * 7 + round) % 11).unwrap();
            let call = self.upload(world, marks, most, &uuids[..(round + index).min(20)]);
            match world.server(UUID_A).begin(&call) {
                Answer::Later(ticket) => tickets.push(ticket),
                Answer::Now(reply) => replies.push(reply),
            }
            if dies_at == Some(index) {
                world.crash();
                tickets.clear();
            }
        }
        world.settle();
        for ticket in tickets {
            replies.push(world.answer(&(Class::RemoteServer, UUID_A.to_owned(), ticket)).expect("answered"));
        }
        let late: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
        for reply in &late {
            refused(reply, 400, "BAD_REQUEST", "Data is out of order.");
        }
        (replies.len() - late.len(), late.len())
    }
}

#[test]
fn twenty_clients_at_once_who_send_until_they_are_done_leave_each_row_once_whatever_is_lost() {
    for dies in [false, true] {
        let mut world = registered();
        // A plan that follows the people: its ledger would show a row that counted twice or never.
        let plan = json!({ "plan": { "tier": 104, "licenses": 25 } }).to_string().into_bytes();
        let wish = Call {
            principal: Principal::Operator,
            params: vec![UUID_A.to_owned()],
            body: plan,
            ..push_world::support::call(Operation::OperatorServerPlan)
        };
        assert_eq!(world.send(&wish).status, 200);
        let client = Client { counts: 170, audit: 90 };
        let (mut taken, mut refused_ones, mut rounds) = (0, 0, 0);
        loop {
            world.wait(1_000);
            let marks = status(&mut world, UUID_A);
            if marks == (170, 170, 90) {
                break;
            }
            rounds += 1;
            assert!(rounds < 80, "{marks:?}");
            let (more, fewer) = client.twenty(&mut world, marks, rounds, dies.then_some(rounds * 3 % 20));
            taken += more;
            refused_ones += fewer;
        }
        assert!(taken >= rounds && refused_ones > 0, "{taken} taken, {refused_ones} refused in {rounds} rounds");
        let whole = |rows: i64| rows * (rows + 1) / 2;
        for (sql, expected) in [
            ("SELECT count(*) FROM realm_count", 170),
            ("SELECT count(DISTINCT remote_id) FROM realm_count", 170),
            ("SELECT sum(value) FROM realm_count", whole(170)),
            ("SELECT count(*) FROM installation_count", 170),
            ("SELECT sum(value) FROM installation_count", whole(170)),
            ("SELECT count(*) FROM realm_audit WHERE remote_id IS NOT NULL", 90),
            ("SELECT sum(remote_id) FROM realm_audit", whole(90)),
            ("SELECT count(*) FROM realm", 20),
            ("SELECT sum(stored) FROM upload_mark", 170 + 170 + 90),
            ("SELECT sum(offered) FROM upload_mark", 170 + 170 + 90),
            ("SELECT non_guests FROM headcount", 100),
            ("SELECT max(licenses) FROM license_ledger", 100),
            ("SELECT sold FROM plan", 100),
            ("SELECT owed_licenses FROM plan", 75),
        ] {
            assert_eq!(number(&world, UUID_A, sql), expected, "{sql}, dying {dies}");
        }
    }
}
