//! Whose rows are whose: what a server uploads belongs to its organizations, whatever numbers these have there before and
//! after; and what is counted is counted for the organization that asked.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::support::{Database, body, call};
use push_world::{
    Fate, REALM, USER, UUID_A, UUID_B, World, accepted, as_server, form_call, json_call, notification, realm, refused,
    upload,
};
use serde_json::{Value, json};
use waystation::kernel::migration::migrate;
use waystation::kernel::object::{Call, Notice, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;
use waystation::push::retention::Limits;

const OTHER: &str = "aaaaaaaa-1f7e-4978-9716-000000000002";
const HOUR: u64 = 3_600_000;
const TOO_MANY: &str = "Your plan doesn't allow sending push notifications. Reason provided by the server: Push \
    notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/";

fn world() -> World {
    let mut world = World::new();
    world.register(UUID_A);
    world
}

fn people(world: &World, id: u64, number: usize, people: u64) -> Value {
    json!({ "id": id, "realm": number, "event_time": world.now.as_millis() / 1_000, "backfilled": false,
        "event_type": 101, "extra_data": { "10": { "11": { "400": people } } } })
}

fn count(id: u64, number: usize, hour: u64) -> Value {
    json!({ "property": "messages_read::hour", "realm": number, "id": id, "end_time": 1_799_000_000 + hour * 3_600,
        "subgroup": null, "value": id })
}

#[track_caller]
fn tell(world: &mut World, fields: &[(&str, Value)]) {
    let mut fields = fields.to_vec();
    fields.push(("api_feature_level", json!(400)));
    accepted(&world.send(&upload(UUID_A, &fields)));
}

#[track_caller]
fn read(world: &mut World, operation: Op, param: &str, query: &str) -> Value {
    let params = vec![param.to_owned()];
    let reply =
        world.send(&Call { params, query: query.to_owned(), principal: Principal::Operator, ..call(operation) });
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

/// The values of an organization's counts.
fn counts(world: &mut World, realm: &str) -> Vec<u64> {
    let page = read(world, Op::OperatorRealmCounts, realm, "property=messages_read::hour");
    page["rows"].as_array().unwrap().iter().map(|row| row["value"].as_u64().unwrap()).collect()
}

/// The ids of an organization's uploaded audit rows.
fn audit(world: &mut World, realm: &str) -> Vec<u64> {
    let page = read(world, Op::OperatorRealmAudit, realm, "");
    page["rows"].as_array().unwrap().iter().filter_map(|row| row["remote_id"].as_u64()).collect()
}

fn notify(world: &mut World, realm: Option<&str>) -> waystation::kernel::reply::Reply {
    let mut notice = notification(1);
    notice["realm_uuid"] = json!(realm);
    world.send(&as_server(UUID_A, json_call(Op::PushNotify, &notice)))
}

#[track_caller]
fn denied(world: &mut World, realm: Option<&str>) {
    refused(&notify(world, realm), 400, "PUSH_NOTIFICATIONS_DISALLOWED", TOO_MANY);
}

fn number(world: &World, sql: &'static str) -> i64 {
    world.servers[UUID_A].database.read(Statement::plain(sql)).unwrap()[0].integer(0).unwrap()
}

#[test]
fn an_organization_keeps_its_people_counts_and_log_when_its_number_is_another() {
    let mut world = world();
    let rows = json!([people(&world, 1, 0, 11)]);
    tell(&mut world, &[("realms", json!([realm(0, REALM)])), ("realm_counts", json!([count(1, 0, 1)]))]);
    tell(&mut world, &[("realmauditlog_rows", rows)]);
    denied(&mut world, Some(REALM));
    tell(&mut world, &[("realms", json!([realm(77, REALM)]))]);
    denied(&mut world, Some(REALM));
    assert_eq!((counts(&mut world, REALM), audit(&mut world, REALM)), (vec![1], vec![1]));
    let rows = json!([people(&world, 2, 77, 3)]);
    tell(&mut world, &[("realm_counts", json!([count(2, 77, 2)])), ("realmauditlog_rows", rows)]);
    accepted(&notify(&mut world, Some(REALM)));
    assert_eq!((counts(&mut world, REALM), audit(&mut world, REALM)), (vec![1, 2], vec![1, 2]));
    // The server as a whole goes by number.
    denied(&mut world, None);
    assert_eq!(number(&world, "SELECT count(*) FROM headcount"), 2);
}

#[test]
fn an_organization_with_the_number_of_another_takes_nothing_of_it_over() {
    let mut world = world();
    let rows = json!([people(&world, 1, 0, 11)]);
    tell(&mut world, &[("realms", json!([realm(0, REALM)])), ("realm_counts", json!([count(1, 0, 1)]))]);
    tell(&mut world, &[("realmauditlog_rows", rows)]);
    tell(&mut world, &[("realms", json!([realm(0, OTHER)]))]);
    accepted(&notify(&mut world, Some(OTHER)));
    denied(&mut world, Some(REALM));
    denied(&mut world, None);
    assert_eq!((counts(&mut world, OTHER), audit(&mut world, OTHER)), (vec![], vec![]));
    let rows = json!([people(&world, 2, 0, 4)]);
    tell(&mut world, &[("realm_counts", json!([count(2, 0, 2)])), ("realmauditlog_rows", rows)]);
    assert_eq!((counts(&mut world, OTHER), audit(&mut world, OTHER)), (vec![2], vec![2]));
    assert_eq!((counts(&mut world, REALM), audit(&mut world, REALM)), (vec![1], vec![1]));
    accepted(&notify(&mut world, None));
}

#[test]
fn rows_of_an_upload_belong_to_the_organizations_of_the_same_upload_even_when_two_change_numbers() {
    let mut world = world();
    let both = |one: usize, two: usize| json!([realm(one, REALM), realm(two, OTHER)]);
    let rows = json!([people(&world, 1, 0, 11), people(&world, 2, 1, 2)]);
    tell(&mut world, &[("realms", both(0, 1)), ("realmauditlog_rows", rows)]);
    denied(&mut world, Some(REALM));
    accepted(&notify(&mut world, Some(OTHER)));
    let rows = json!([people(&world, 3, 0, 12), people(&world, 4, 1, 3)]);
    tell(&mut world, &[("realms", both(1, 0)), ("realmauditlog_rows", rows)]);
    denied(&mut world, Some(OTHER));
    accepted(&notify(&mut world, Some(REALM)));
    assert_eq!((audit(&mut world, REALM), audit(&mut world, OTHER)), (vec![1, 4], vec![2, 3]));
}

#[test]
fn rows_that_came_before_their_organization_are_given_to_it_in_portions() {
    let mut world = world();
    world.limit(Limits { swept_rows: 7, ..Limits::default() });
    let rows: Vec<Value> = (1..=20).map(|id| count(id, 5, id)).collect();
    let people: Vec<Value> = (1..=9).map(|id| people(&world, id, 5, 10 + id)).collect();
    tell(&mut world, &[("realm_counts", json!(rows)), ("realmauditlog_rows", json!(people))]);
    assert_eq!(number(&world, "SELECT count(*) FROM realm_count WHERE realm_id IS NULL"), 20);
    tell(&mut world, &[("realms", json!([realm(5, REALM)]))]);
    assert_eq!(counts(&mut world, REALM), (1..=7).collect::<Vec<u64>>(), "at once so many");
    denied(&mut world, Some(REALM));
    // Meanwhile the organization has another number; new rows of the old one are nobody's.
    tell(
        &mut world,
        &[("realms", json!([realm(6, REALM)])), ("realm_counts", json!([count(21, 5, 21), count(22, 6, 22)]))],
    );
    world.wait(60_000);
    let expected: Vec<u64> = (1..=20).chain([22]).collect();
    assert_eq!((counts(&mut world, REALM), audit(&mut world, REALM)), (expected.clone(), (1..=9).collect()));
    assert_eq!(number(&world, "SELECT count(*) FROM realm_link"), 0);
    // Somebody else has the old number: what is left of it is theirs.
    tell(&mut world, &[("realms", json!([realm(6, REALM), realm(5, OTHER)]))]);
    world.wait(60_000);
    assert_eq!((counts(&mut world, REALM), counts(&mut world, OTHER)), (expected, vec![21]));
    let rest = "SELECT (SELECT count(*) FROM realm_link) + (SELECT count(*) FROM realm_headcount WHERE is_loose = 1)";
    assert_eq!(number(&world, rest), 0);
}

#[test]
fn giving_rows_away_survives_a_crash_at_any_moment() {
    for evict in [false, true] {
        let mut world = world();
        world.limit(Limits { swept_rows: 3, ..Limits::default() });
        let rows: Vec<Value> = (1..=20).map(|id| count(id, 5, id)).collect();
        tell(&mut world, &[("realm_counts", json!(rows))]);
        tell(&mut world, &[("realms", json!([realm(5, REALM)]))]);
        world.evict_always = evict;
        for _ in 0..4 {
            world.wait(1_000);
            world.crash();
        }
        world.wait(60_000);
        assert_eq!(counts(&mut world, REALM), (1..=20).collect::<Vec<u64>>());
    }
}

#[test]
fn an_organization_has_one_row_of_each_interval_whatever_number_it_came_under() {
    let mut world = world();
    let rows = json!([count(1, 5, 1), count(2, 0, 1)]);
    tell(&mut world, &[("realms", json!([realm(0, REALM)])), ("realm_counts", rows)]);
    assert_eq!(counts(&mut world, REALM), [2]);
    tell(&mut world, &[("realms", json!([realm(5, REALM)]))]);
    assert_eq!(counts(&mut world, REALM), [2], "the other one was its duplicate");
    tell(&mut world, &[("realm_counts", json!([count(3, 5, 1), count(4, 5, 2)]))]);
    assert_eq!(counts(&mut world, REALM), [2, 4]);
    // What was nobody's duplicate is not the next one's either.
    tell(&mut world, &[("realms", json!([realm(9, REALM)]))]);
    tell(&mut world, &[("realms", json!([realm(9, REALM), realm(5, OTHER)]))]);
    assert_eq!(counts(&mut world, OTHER), Vec::<u64>::new());
}

#[test]
fn an_organization_that_comes_back_has_its_counts_and_its_log_again() {
    let mut world = world();
    world.register(UUID_B);
    let rows = json!([people(&world, 1, 0, 4)]);
    tell(
        &mut world,
        &[
            ("realms", json!([realm(0, REALM)])),
            ("realm_counts", json!([count(1, 0, 1)])),
            ("realmauditlog_rows", rows),
        ],
    );
    world.wait(10_000);
    for server in [UUID_B, UUID_A] {
        let wish = json!({ "server": server, "uuid_owner_secret": "secret" }).to_string().into_bytes();
        let params = vec![REALM.to_owned()];
        let wish = Call { params, body: wish, principal: Principal::Operator, ..call(Op::OperatorRealmMove) };
        assert_eq!(world.send(&wish).status, 200);
        world.wait(10_000);
        let gone = read(&mut world, Op::OperatorServerAudit, UUID_A, &format!("realm={REALM}"));
        assert_eq!(gone["rows"][0]["remote_id"], 1, "{server}");
    }
    assert_eq!((counts(&mut world, REALM), audit(&mut world, REALM)), (vec![1], vec![1]));
    let shown = read(&mut world, Op::OperatorRealm, REALM, "");
    assert_eq!((shown["server"].as_str(), shown["users"]["non_guests"].as_u64()), (Some(UUID_A), Some(4)));
}

#[test]
fn each_future_counts_when_it_has_come_whatever_else_is_to_come() {
    let mut world = world();
    let ahead = |world: &World, id: u64, count: u64, ms: u64| {
        let mut row = people(world, id, 0, count);
        row["event_time"] = json!((world.now.as_millis() + ms) / 1_000);
        row
    };
    let first = people(&world, 1, 0, 10);
    tell(&mut world, &[("realms", json!([realm(0, REALM)])), ("realmauditlog_rows", json!([first]))]);
    for (id, count, ms) in [(2, 11, HOUR), (3, 10, 2 * HOUR), (4, 11, 3 * HOUR)] {
        let row = ahead(&world, id, count, ms);
        tell(&mut world, &[("realmauditlog_rows", json!([row]))]);
    }
    for _ in 0..2 {
        for realm in [Some(REALM), None] {
            accepted(&notify(&mut world, realm));
        }
        world.wait(HOUR - 1);
        accepted(&notify(&mut world, Some(REALM)));
        world.wait(1);
        for realm in [Some(REALM), None] {
            denied(&mut world, realm);
        }
        world.wait(HOUR);
    }
}

#[test]
fn of_many_futures_few_are_kept_and_the_first_count_early() {
    let mut world = world();
    let rows: Vec<Value> = (0..100)
        .map(|id| {
            let mut row = people(&world, id + 1, 0, if id == 83 { 11 } else { 10 });
            row["event_time"] = json!(world.now.as_millis() / 1_000 + 3_600 + id);
            row
        })
        .collect();
    tell(&mut world, &[("realms", json!([realm(0, REALM)])), ("realmauditlog_rows", json!(rows))]);
    assert_eq!(number(&world, "SELECT count(*) FROM headcount"), 17);
    assert_eq!(number(&world, "SELECT count(*) FROM realm_headcount"), 17);
    denied(&mut world, Some(REALM));
}

#[test]
fn a_notification_is_counted_for_the_organization_that_asked_even_when_its_device_is_gone() {
    let mut world = world();
    tell(&mut world, &[("realms", json!([realm(0, REALM), realm(1, OTHER)]))]);
    let form = [("user_uuid", USER), ("token", "aa"), ("token_kind", "2"), ("realm_uuid", REALM)];
    accepted(&world.register_device(UUID_A, &form));
    accepted(&notify(&mut world, Some(OTHER)));
    let sent = |world: &World, realm: i64| {
        let sql = "SELECT ifnull(sum(value), 0) FROM own_count WHERE realm_id = ?1 AND property LIKE '%forwarded%'";
        world.servers[UUID_A].database.read(Statement::new(sql, vec![realm.into()])).unwrap()[0].integer(0).unwrap()
    };
    assert_eq!((sent(&world, 0), sent(&world, 1), sent(&world, 2)), (1, 0, 1));
    // The provider is not well; until it is, the process dies and the device is taken back.
    world.outside = Box::new(|fetch| {
        Some(if fetch.url.contains("oauth") { push_world::access() } else { push_world::answered(503, "{}") })
    });
    accepted(&notify(&mut world, Some(OTHER)));
    assert_eq!(world.rows(UUID_A, "delivery"), 1, "it waits for another try");
    let form = [("user_uuid", USER)];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushDeviceUnregisterAll, &form))));
    world.crash();
    world.outside = push_world::everything_works();
    world.wait(HOUR);
    assert_eq!((sent(&world, 0), sent(&world, 1), sent(&world, 2)), (2, 0, 2));
}

#[test]
fn an_organization_is_seen_in_every_request_that_names_it_but_written_once_a_minute() {
    let mut world = world();
    tell(&mut world, &[("realms", json!([realm(0, REALM)]))]);
    let seen = |world: &World| number(world, "SELECT ifnull(last_request_at, 0) FROM realm");
    let now = |world: &World| i64::try_from(world.now.as_millis()).unwrap();
    assert_eq!(seen(&world), 0);
    let form = [("user_uuid", USER), ("token", "aa"), ("token_kind", "2"), ("realm_uuid", REALM)];
    for operation in
        [Op::PushDeviceRegister, Op::PushDeviceUnregister, Op::PushDeviceUnregisterAll, Op::PushDeviceRegister]
    {
        world.wait(60_000);
        accepted(&world.send(&as_server(UUID_A, form_call(operation, &form))));
        assert_eq!(seen(&world), now(&world), "{operation:?}");
    }
    world.wait(60_000);
    let unknown = [("user_uuid", USER), ("token", "bb"), ("token_kind", "2"), ("realm_uuid", REALM)];
    let reply = world.send(&as_server(UUID_A, form_call(Op::PushDeviceUnregister, &unknown)));
    refused(&reply, 400, "BAD_REQUEST", "Token does not exist");
    assert_eq!(seen(&world), now(&world), "also when there was nothing to remove");
    world.wait(60_000);
    accepted(&notify(&mut world, Some(REALM)));
    let first = now(&world);
    assert_eq!(seen(&world), first);
    world.wait(59_999);
    accepted(&notify(&mut world, Some(REALM)));
    assert_eq!(seen(&world), first, "once a minute");
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushDeviceUnregisterAll, &form))));
    world.wait(60_000);
    accepted(&notify(&mut world, Some(REALM)));
    world.wait(30_000);
    let (commits, dump) = (world.servers[UUID_A].database.commits(), world.dump());
    accepted(&notify(&mut world, Some(REALM)));
    let sealed = json!({ "realm_uuid": REALM, "push_requests": [] });
    accepted(&world.send(&as_server(UUID_A, json_call(Op::PushSealedNotify, &sealed))));
    assert_eq!(
        (world.servers[UUID_A].database.commits(), world.dump()),
        (commits, dump),
        "nothing to write, no commit"
    );
}

#[test]
fn an_empty_subgroup_is_not_none_and_pages_end_at_either() {
    let mut world = world();
    let rows: Vec<Value> = [Value::Null, json!(""), json!("a")]
        .into_iter()
        .zip(1..)
        .map(|(subgroup, id)| {
            let mut row = count(id, 0, 1);
            row["subgroup"] = subgroup;
            row
        })
        .collect();
    let again: Vec<Value> = rows
        .iter()
        .cloned()
        .zip(4..)
        .map(|(mut row, id)| {
            row["id"] = json!(id);
            row
        })
        .collect();
    for rows in [rows, again] {
        let realms = json!([realm(0, REALM)]);
        tell(&mut world, &[("realms", realms), ("realm_counts", json!(rows)), ("installation_counts", json!(rows))]);
    }
    for (operation, param) in [(Op::OperatorRealmCounts, REALM), (Op::OperatorServerCounts, UUID_A)] {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = read(&mut world, operation, param, &format!("property=messages_read::hour&limit=1{after}"));
            let Some(row) = page["rows"].as_array().unwrap().first().cloned() else { break };
            found.push(row["subgroup"].clone());
            let next: String =
                url::form_urlencoded::byte_serialize(page["next"].as_str().unwrap().as_bytes()).collect();
            after = format!("&after={next}");
        }
        assert_eq!(found, [Value::Null, json!(""), json!("a")], "{operation:?}");
    }
}

#[test]
fn rows_that_were_there_before_are_told_to_the_operator() {
    let mut world = world();
    tell(&mut world, &[("realm_counts", json!([count(1, 0, 1)]))]);
    assert_eq!(world.server(UUID_A).notices, []);
    let rows = json!([count(2, 0, 1), count(3, 0, 2), count(4, 0, 2)]);
    tell(&mut world, &[("realm_counts", rows.clone()), ("installation_counts", rows)]);
    let dropped = |table, dropped| Notice::DroppedRows {
        dropped,
        saving: 3,
        table,
        hostname: String::from("6cde5f7a.example.org"),
        server: UUID_A.to_owned(),
    };
    assert_eq!(world.server(UUID_A).notices, [dropped("realm_counts", 2), dropped("installation_counts", 1)]);
    let line = waystation::front::log::notice_line(&dropped("realm_counts", 2), world.now);
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap()["message"],
        format!(
            "Dropped 2 duplicated rows while saving 3 rows of realm_counts for server 6cde5f7a.example.org/{UUID_A}"
        )
    );
}

#[test]
fn names_of_organizations_are_of_version_4_in_any_spelling() {
    let mut world = world();
    for uuid in [
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "00000000-0000-0000-0000-000000000000",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "aaaaaaaa-1f7e-4978-c716-49f69ebfc9fe",
        "aaaaaaaa-1f7e-4978-9716-49f69ebfc9f",
    ] {
        assert_eq!(world.upload(UUID_A, &[uuid]).status, 400, "{uuid}");
    }
    let told = accepted(&world.upload(UUID_A, &[&REALM.to_uppercase(), &OTHER.replace('-', "")]));
    assert_eq!(told["realms"].as_object().unwrap().keys().collect::<Vec<_>>(), [OTHER, REALM]);
}

#[test]
fn the_first_wish_to_be_listed_notes_what_is_not_as_it_was() {
    let mut world = world();
    let mut listed = realm(0, REALM);
    tell(&mut world, &[("realms", json!([listed]))]);
    listed["advertise_realm_data"] = json!({ "description": "Everyone", "icon_url": "", "invite_required": true,
        "emails_restricted_to_domains": false, "has_web_public_streams": false, "is_demo_organization": false });
    tell(&mut world, &[("realms", json!([listed]))]);
    let page = read(&mut world, Op::OperatorRealmAudit, REALM, "");
    let names: Vec<&str> =
        page["rows"].as_array().unwrap().iter().map(|row| row["extra_data"]["attr_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["asks_to_advertise_in_communities_directory", "description"]);
}

#[test]
fn rows_of_an_older_version_are_given_to_their_organizations_after_the_migration() {
    let migrations = waystation::push::MIGRATIONS;
    let before = migrations.iter().position(|migration| migration.name == "links").unwrap();
    let database = Database::new();
    let now = Timestamp::from_millis(1_800_000_000_000);
    migrate(&database, &migrations[..before], now).unwrap();
    let rows = [
        "INSERT INTO realm (realm_id, uuid, host, name, owner_secret, created_at, last_updated, number, locally_deleted) VALUES \
         (1, 'a', '', '', x'00', 0, 0, 5, 0), (2, 'b', '', '', x'00', 0, 0, 5, 1), (3, 'c', '', '', x'00', 0, 0, NULL, 0)",
        "INSERT INTO realm_count (remote_id, number, property, end_time, value) VALUES (1, 5, 'x', 1, 1), (2, 6, 'x', 1, 1)",
        "INSERT INTO realm_audit (remote_id, number, event_time, backfilled, event_type, extra, actor) \
         VALUES (1, 5, 1, 0, 101, '{}', 'server')",
        "INSERT INTO headcount VALUES (5, 0, 1, 1, 11, 0, NULL, NULL), (5, 1, 2, 9, 12, 0, NULL, NULL), \
         (6, 0, 3, 1, 13, 0, NULL, NULL), (-3, 0, 0, 1, 14, 0, NULL, NULL)",
        "INSERT INTO device (device_id, kind, token, token_hash, user_id, realm_id, registered_at) \
         VALUES (9, 2, 't', x'00', 1, 3, 0)",
        "INSERT INTO delivery (delivery_id, path, device_id, kind, token, registered_at, parcel, begun_at, attempts, due_at) \
         VALUES (1, 0, 9, 2, 't', 0, '{}', 0, 0, 0)",
    ];
    database.commit(rows.map(Statement::plain).to_vec()).unwrap();
    migrate(&database, migrations, now).unwrap();
    let read = |sql: &'static str| -> Vec<Vec<i64>> {
        let rows = database.read(Statement::plain(sql)).unwrap();
        rows.iter().map(|row| (0..row.0.len()).map(|index| row.integer(index).unwrap()).collect()).collect()
    };
    assert_eq!(read("SELECT number, realm_id, counts_to, audit_to FROM realm_link"), [[5, 1, 2, 1]]);
    let people = read("SELECT is_loose, key, is_future, non_guests FROM realm_headcount ORDER BY 1, 2, 3");
    assert_eq!(people, [[0, 1, 0, 11], [0, 1, 1, 12], [0, 3, 0, 14], [1, 6, 0, 13]]);
    assert_eq!(read("SELECT realm_id FROM delivery"), [[3]]);
    for sql in [
        "UPDATE realm_audit SET extra = '{\"1\":2}'",
        "UPDATE realm_audit SET number = 7, realm_id = 1",
        "UPDATE realm_audit SET event_time = 2 WHERE remote_id = 1",
    ] {
        assert!(database.commit(vec![Statement::plain(sql)]).is_err(), "{sql}");
    }
    database.commit(vec![Statement::plain("UPDATE realm_audit SET realm_id = 1")]).unwrap();
    assert!(database.commit(vec![Statement::plain("UPDATE realm_audit SET realm_id = 2")]).is_err(), "given once");
}

fn many(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(|id| realm(id, &format!("{id:08x}-1f7e-4978-9716-49f69ebfc9fe"))).collect()
}

#[test]
fn ten_thousand_organizations_come_in_one_upload_and_few_messages() {
    let mut world = world();
    let claims = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = claims.clone();
    world.post = Box::new(move |call| {
        if matches!(call.operation, Op::PushReserve | Op::PushReserveEach) {
            assert!(call.body.len() < 512 * 1024, "{} bytes", call.body.len());
            seen.set(seen.get() + 1);
        }
        // What follows is the duties'.
        if call.operation == Op::PushSettleName { Fate::Lost } else { Fate::Carried }
    });
    let realms = json!(many(0..10_000));
    let told = accepted(&world.send(&upload(UUID_A, &[("realms", realms.clone())])));
    assert_eq!(told["realms"].as_object().unwrap().len(), 10_000);
    assert!(claims.get() <= 16, "{} messages", claims.get());
    assert_eq!(number(&world, "SELECT count(*) FROM realm"), 10_000);
    let steps = |world: &mut World| world.servers.get_mut(UUID_A).unwrap().database.take_read_steps();
    steps(&mut world);
    accepted(&world.send(&upload(UUID_A, &[("realms", realms)])));
    let taken = steps(&mut world);
    assert!(taken < 5_000_000, "{taken} steps");
    let over = json!(many(0..10_001));
    assert_eq!(world.send(&upload(UUID_A, &[("realms", over)])).status, 400);
}

#[test]
fn one_name_that_is_anothers_frees_all_the_others_of_its_upload() {
    let mut world = world();
    world.register(UUID_B);
    accepted(&world.upload(UUID_B, &["000001f4-1f7e-4978-9716-49f69ebfc9fe"]));
    world.wait(60_000);
    let reply = world.send(&upload(UUID_A, &[("realms", json!(many(0..1_000)))]));
    refused(&reply, 400, "BAD_REQUEST", "Duplicate registration detected.");
    let held: i64 = world
        .shards
        .values()
        .map(|shard| {
            let held = "SELECT count(*) FROM name WHERE kind = 'realm'";
            shard.database.read(Statement::plain(held)).unwrap()[0].integer(0).unwrap()
        })
        .sum();
    assert_eq!(held, 1, "the other server's");
    assert_eq!(number(&world, "SELECT count(*) FROM realm"), 0);
    let mut rest = many(0..1_000);
    rest.remove(500);
    accepted(&world.send(&upload(UUID_B, &[("realms", json!([many(500..501), rest].concat()))])));
}
