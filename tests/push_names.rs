//! Names and the operators' index under loss and disorder: a name has one holder however long an upload takes, and the index
//! follows every server without growing with what it is told.
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
    Fate, REALM, UUID_A, UUID_B, World, accepted, as_server, form_call, json_call, notification, realm, registration,
};
use serde_json::{Value, json};
use waystation::kernel::errand::{Errand, Outcome, Ticket};
use waystation::kernel::object::{Answer, Call, Principal};
use waystation::kernel::operation::{Class, Operation as Op};
use waystation::kernel::reply::Reply;
use waystation::kernel::sql::{Sql, Statement};
use waystation::push::directory::shard;
use waystation::push::role::{ENDED_KEPT_MS, TOKENS_MAX};

const DAY: u64 = 24 * 3_600_000;
const OTHER: &str = "bbbbbbbb-1f7e-4978-9716-49f69ebfc9fe";

fn admin(world: &mut World, operation: Op, param: &str, query: &str, body: &Value) -> Reply {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let params = if param.is_empty() { Vec::new() } else { vec![param.to_owned()] };
    let principal = Principal::Operator;
    world.send(&Call { params, query: query.to_owned(), body, principal, ..call(operation) })
}

fn upload(uuid: &str, realms: &[Value], counts: &str) -> Call {
    let realms = Value::from(realms.to_vec()).to_string();
    let form = [("realm_counts", counts), ("installation_counts", "[]"), ("realms", &realms)];
    as_server(uuid, form_call(Op::PushAnalytics, &form))
}

fn world() -> World {
    let mut world = World::new();
    world.register(UUID_A);
    world.register(UUID_B);
    world
}

/// Runs the errands of one server by hand: takes the next, lets the others wait.
fn next_errand(world: &mut World, server: &str) -> (Ticket, Errand) {
    let mut errands = world.server(server).take_errands();
    assert_eq!(errands.len(), 1, "{errands:?}");
    errands.remove(0)
}

/// The directory's answer to an errand of a server, without telling it yet.
fn directory_says(world: &mut World, errand: &Errand) -> Reply {
    let Errand::Call { class: Class::PushDirectory, name, call } = errand else { panic!("{errand:?}") };
    world.shard(name).call(call)
}

fn only(world: &World, server: &str, realm: &str) {
    assert_eq!(world.holders(realm), (Some(server.to_owned()), vec![server.to_owned()]), "{realm}");
}

#[test]
fn an_upload_that_waits_longer_than_its_reservation_loses_nothing_to_another_server() {
    let mut world = world();
    let Answer::Later(waiting) = world.server(UUID_A).begin(&upload(UUID_A, &[realm(0, REALM), realm(1, OTHER)], "[]"))
    else {
        panic!("it asks for names")
    };
    let (ticket, first) = next_errand(&mut world, UUID_A);
    let granted = directory_says(&mut world, &first);
    world.server(UUID_A).tell(ticket, Outcome::Replied(granted));
    let (ticket, second) = next_errand(&mut world, UUID_A);
    // The second answer takes its time, and the first reservation is over.
    world.now = world.now.plus(2 * 60_000);
    let Errand::Call { call: asked, .. } = &first else { panic!("{first:?}") };
    let asked: Value = serde_json::from_slice(&asked.body).unwrap();
    let taken = world.upload(UUID_B, &[asked["names"][0]["name"].as_str().unwrap()]);
    assert_eq!(taken.status, 400, "{}", taken.body);
    let granted = directory_says(&mut world, &second);
    world.server(UUID_A).tell(ticket, Outcome::Replied(granted));
    world.settle();
    accepted(&world.server(UUID_A).answer(waiting).expect("answered"));
    world.wait(10 * 60_000);
    only(&world, UUID_A, REALM);
    only(&world, UUID_A, OTHER);
}

#[test]
fn a_name_whose_upload_died_is_free_after_its_reservation() {
    let mut world = world();
    world.server(UUID_A).begin(&upload(UUID_A, &[realm(0, REALM)], "[]"));
    let (_, first) = next_errand(&mut world, UUID_A);
    directory_says(&mut world, &first);
    world.crash();
    world.now = world.now.plus(2 * 60_000);
    accepted(&world.upload(UUID_B, &[REALM]));
    world.wait(60_000);
    only(&world, UUID_B, REALM);
}

#[test]
fn a_refused_upload_does_not_give_back_what_another_of_the_same_server_was_granted() {
    let mut world = world();
    // Both want the same organization; the first is refused after the second was granted the name.
    world.server(UUID_A).begin(&upload(UUID_A, &[realm(0, REALM)], "[]"));
    let (first, claim) = next_errand(&mut world, UUID_A);
    let granted = directory_says(&mut world, &claim);
    let Answer::Later(second) = world.server(UUID_A).begin(&upload(UUID_A, &[realm(0, REALM), realm(1, OTHER)], "[]"))
    else {
        panic!("it asks too")
    };
    let (asks, claim) = next_errand(&mut world, UUID_A);
    let also = directory_says(&mut world, &claim);
    world.server(UUID_A).tell(asks, Outcome::Replied(also));
    let (asks, other) = next_errand(&mut world, UUID_A);
    // The quota of rows is used up for a moment.
    let quota = |world: &mut World, sql: &'static str| {
        world.server(UUID_A).database.commit(vec![Statement::plain(sql)]).unwrap();
    };
    quota(&mut world, "UPDATE server SET rows_free_at_us = 9007199254740991");
    world.server(UUID_A).tell(first, Outcome::Replied(granted));
    assert_eq!(world.server(UUID_A).answer(first).expect("answered").status, 429);
    quota(&mut world, "UPDATE server SET rows_free_at_us = 0");
    let releases = world.server(UUID_A).take_errands();
    assert!(releases.is_empty(), "nothing is given back: {releases:?}");
    assert_eq!(world.upload(UUID_B, &[REALM]).status, 400, "nobody else gets it");
    let granted = directory_says(&mut world, &other);
    world.server(UUID_A).tell(asks, Outcome::Replied(granted));
    world.settle();
    accepted(&world.server(UUID_A).answer(second).expect("answered"));
    world.wait(10 * 60_000);
    only(&world, UUID_A, REALM);
}

#[test]
fn a_server_that_confirms_in_vain_is_told_so_and_gives_way() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    accepted(&world.upload(UUID_B, &[OTHER]));
    world.wait(60_000);
    // As if the directory had given the name to the other server while this one was committing.
    let place = shard("realm", REALM);
    let steal = Statement::new(
        "UPDATE name SET server = ?1 WHERE kind = 'realm' AND name = ?2",
        vec![UUID_B.into(), REALM.into()],
    );
    world.shards[&place].database.commit(vec![steal]).unwrap();
    let row = "INSERT INTO realm (uuid, host, name, owner_secret, created_at, last_updated) \
        VALUES ('aaaaaaaa-1f7e-4978-9716-49f69ebfc9fe', '', '', x'00', 0, 0)";
    world.servers[UUID_B].database.commit(vec![Statement::plain(row)]).unwrap();
    let confirm = "INSERT INTO duty (duty_id, kind, name, act, extra, due_at, attempts) \
        VALUES (99, 'realm', 'aaaaaaaa-1f7e-4978-9716-49f69ebfc9fe', 'confirm', '', 0, 0)";
    world.servers[UUID_A].database.commit(vec![Statement::plain(confirm)]).unwrap();
    world.crash();
    world.wait(60_000);
    assert_eq!(world.rows(UUID_A, "realm"), 0);
    let noted = "SELECT extra, actor FROM realm_audit WHERE event_type = 20005";
    let rows = world.servers[UUID_A].database.read(Statement::plain(noted)).unwrap();
    assert!(rows[0].text(0).unwrap().contains(UUID_B), "{rows:?}");
    assert_eq!(rows[0].text(1).unwrap(), "clock");
    assert_eq!(world.upload(UUID_A, &[REALM]).status, 400, "it is another's");
}

#[test]
fn nobody_confirms_the_name_of_an_organization_on_its_way_between_two_others() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.wait(60_000);
    world.post = Box::new(|call| if call.operation == Op::PushRealmAdopt { Fate::Lost } else { Fate::Carried });
    let wanted = json!({ "server": UUID_B, "uuid_owner_secret": "secret" });
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &wanted).status, 200);
    let place = shard("realm", REALM);
    let settle = |server: &str, act: &str| Call {
        principal: Principal::Service,
        body: json!({ "name": { "kind": "realm", "name": REALM }, "server": server, "act": act })
            .to_string()
            .into_bytes(),
        ..call(Op::PushSettleName)
    };
    world.shard(&place).call(&settle(UUID_A, "release"));
    let stranger = body(&world.shard(&place).call(&settle(OTHER, "confirm")));
    assert_eq!((stranger["server"].as_str(), world.holders(REALM).0), (Some(UUID_B), None));
    world.post = Box::new(|_| Fate::Carried);
    world.wait(30 * 60_000);
    only(&world, UUID_B, REALM);
}

#[test]
fn what_a_server_said_of_a_name_before_it_wanted_it_again_does_not_count() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.wait(60_000);
    // The server has lost it, and the directory does not know: whoever wants the name makes it ask.
    world.servers[UUID_A].database.commit(vec![Statement::plain("DELETE FROM realm")]).unwrap();
    let place = shard("realm", REALM);
    let claim = |server: &str| Call {
        principal: Principal::Service,
        body: json!({ "name": { "kind": "realm", "name": REALM }, "server": server }).to_string().into_bytes(),
        ..call(Op::PushReserve)
    };
    let Answer::Later(asking) = world.shard(&place).begin(&claim(UUID_B)) else { panic!("it asks") };
    let mut errands = world.shard(&place).take_errands();
    let (ticket, Errand::Call { name, call, .. }) = errands.remove(0) else { panic!("a call") };
    let no = world.server(&name).call(&call);
    assert_eq!(body(&no), json!({ "granted": false }));
    // Now it wants it again, before its answer has arrived.
    assert_eq!(body(&world.shard(&place).call(&claim(UUID_A))), json!({ "granted": true }));
    world.shard(&place).tell(ticket, Outcome::Replied(no));
    assert_eq!(body(&world.shard(&place).answer(asking).unwrap()), json!({ "granted": false }));
}

fn found(world: &mut World, query: &str) -> Vec<String> {
    let reply = admin(world, Op::OperatorServers, "", &format!("query={query}"), &Value::Null);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let servers = body(&reply)["servers"].as_array().unwrap().clone();
    servers.iter().map(|server| server["uuid"].as_str().unwrap().to_owned()).collect()
}

fn numbered(id: usize) -> Value {
    let mut organization = realm(id, &format!("{id:08x}-1f7e-4978-9716-49f69ebfc9fe"));
    organization["host"] = json!(format!("org{id}.example.org"));
    organization["name"] = json!(format!("Verein Nummer {id}"));
    organization
}

#[test]
fn a_thousand_organizations_are_found_by_uuid_host_and_name() {
    let mut world = world();
    let mut realms: Vec<Value> = (0..1_000).map(numbered).collect();
    accepted(&world.send(&upload(UUID_A, &realms, "[]")));
    world.wait(60_000);
    for id in [0, 19, 500, 999] {
        for query in
            [format!("{id:08x}-1f7e-4978-9716-49f69ebfc9fe"), format!("ORG{id}.example"), format!("Nummer%20{id}")]
        {
            assert_eq!(found(&mut world, &query), [UUID_A], "{query}");
        }
    }
    assert_eq!(found(&mut world, "org1000.example"), Vec::<String>::new());
    // One has another name; only that travels.
    realms[700]["name"] = json!("Umbenannt");
    let said = announcements(&mut world, &realms);
    assert_eq!(said.iter().map(|body| body["changes"].as_array().unwrap().len()).sum::<usize>(), 1);
    assert_eq!(found(&mut world, "umbenannt"), [UUID_A]);
    assert_eq!(found(&mut world, "nummer%20700"), Vec::<String>::new());
    let said = announcements(&mut world, &realms);
    assert!(said.iter().all(|body| body["changes"] == json!([])), "nothing has changed: {said:?}");
}

/// Uploads once more, and returns what the index was told.
fn announcements(world: &mut World, realms: &[Value]) -> Vec<Value> {
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = told.clone();
    world.post = Box::new(move |call| {
        if call.operation == Op::PushAnnounce {
            assert!(call.body.len() < 512 * 1024, "{} bytes", call.body.len());
            seen.borrow_mut().push(serde_json::from_slice::<Value>(&call.body).unwrap());
        }
        Fate::Carried
    });
    accepted(&world.send(&upload(UUID_A, realms, "[]")));
    world.wait(60_000);
    world.post = Box::new(|_| Fate::Carried);
    let told: Vec<Value> = told.borrow().iter().filter(|body| body["uuid"] == UUID_A).cloned().collect();
    assert!(!told.is_empty());
    told
}

#[test]
fn a_large_servers_first_announcement_travels_in_small_pieces() {
    let mut world = world();
    let realms: Vec<Value> = (0..450).map(numbered).collect();
    let said = announcements(&mut world, &realms);
    let sizes: Vec<usize> = said.iter().map(|body| body["changes"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [200, 200, 50]);
}

#[test]
fn names_in_the_index_follow_through_lost_late_and_repeated_announcements() {
    for fate in [Fate::Lost, Fate::Unanswered, Fate::Late] {
        let mut world = world();
        let mut left = 2;
        world.post = Box::new(move |call| {
            if call.operation != Op::PushAnnounce || left == 0 {
                return Fate::Carried;
            }
            left -= 1;
            fate
        });
        let mut realms: Vec<Value> = (0..3).map(numbered).collect();
        accepted(&world.send(&upload(UUID_A, &realms, "[]")));
        world.wait(10_000);
        realms[1]["host"] = json!("elsewhere.example");
        accepted(&world.send(&upload(UUID_A, &realms, "[]")));
        world.wait(30 * 60_000);
        world.deliver_late();
        assert_eq!(found(&mut world, "elsewhere"), [UUID_A], "{fate:?}");
        assert_eq!(found(&mut world, "org1.example"), Vec::<String>::new(), "{fate:?}");
        assert_eq!(found(&mut world, "org2.example"), [UUID_A], "{fate:?}");
        assert_eq!(world.rows(UUID_A, "index_duty"), 0);
    }
}

#[test]
fn an_announcement_that_comes_after_the_removal_restores_nothing() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.wait(60_000);
    world.post = Box::new(|call| if call.operation == Op::PushAnnounce { Fate::Late } else { Fate::Carried });
    accepted(&world.send(&upload(UUID_A, &[numbered(5), realm(0, REALM)], "[]")));
    world.wait(10_000);
    assert!(!world.late.is_empty());
    world.post = Box::new(|_| Fate::Carried);
    assert_eq!(admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &Value::Null).status, 200);
    world.wait(30 * 60_000);
    world.deliver_late();
    assert_eq!(found(&mut world, "6cde5f7a"), Vec::<String>::new());
    assert_eq!(found(&mut world, "org5.example"), Vec::<String>::new());
    let index = world.shards["index"].database.dump();
    assert!(!index.iter().any(|line| line.contains("admin@example.org") && line.contains(UUID_A)), "{index:?}");
    assert!(!index.iter().any(|line| line.starts_with("realm_index: ")), "{index:?}");
}

#[test]
fn an_older_announcement_does_not_replace_a_newer_one() {
    let mut world = world();
    world.post = Box::new(|call| if call.operation == Op::PushAnnounce { Fate::Late } else { Fate::Carried });
    world.device(UUID_A, "1", "aa");
    world.upload(UUID_A, &[]);
    world.wait(10_000);
    world.post = Box::new(|_| Fate::Carried);
    world.send(&registration(UUID_A, "newer.example.net"));
    world.wait(30 * 60_000);
    assert_eq!(found(&mut world, "newer.example"), [UUID_A]);
    world.deliver_late();
    assert_eq!(found(&mut world, "newer.example"), [UUID_A]);
}

#[test]
fn an_organization_that_moves_is_found_where_it_is() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.wait(60_000);
    assert_eq!(found(&mut world, "chat.example.org"), [UUID_A]);
    let wanted = json!({ "server": UUID_B, "uuid_owner_secret": "secret" });
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &wanted).status, 200);
    world.wait(60_000);
    assert_eq!(found(&mut world, "chat.example.org"), [UUID_B]);
}

fn make(world: &mut World) -> Reply {
    admin(world, Op::OperatorTokenCreate, "", "", &json!({ "name": "ci", "role": "viewer", "expires_in": 86_400 }))
}

#[test]
fn tokens_that_ended_do_not_lock_new_ones_out() {
    let mut world = world();
    for _ in 0..TOKENS_MAX {
        assert_eq!(make(&mut world).status, 200);
    }
    assert_eq!(make(&mut world).status, 503, "so many are live");
    let listed = body(&admin(&mut world, Op::OperatorTokens, "", "limit=1", &Value::Null));
    let id = listed["tokens"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(admin(&mut world, Op::OperatorTokenRevoke, &id, "", &Value::Null).status, 200);
    assert_eq!(make(&mut world).status, 200, "one has ended");
    // All have ended by now; new ones are made, and the oldest ended ones give way.
    world.now = world.now.plus(2 * DAY);
    let kept = |world: &World| {
        let rows = "SELECT count(*) FROM operator_token";
        world.shards["operators"].database.read(Statement::plain(rows)).unwrap()[0].integer(0).unwrap()
    };
    assert_eq!(make(&mut world).status, 200);
    assert_eq!(kept(&world), 1_001, "a thousand ended ones are still listed");
    world.now = world.now.plus(ENDED_KEPT_MS + 2 * DAY);
    assert_eq!(make(&mut world).status, 200);
    assert_eq!(kept(&world), 1, "and are forgotten after thirty days");
}

#[test]
fn an_operator_closes_one_organization_and_opens_it_again_with_an_entry_each() {
    let mut world = world();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.device(UUID_A, "1", "aa");
    let because = json!({ "reason": "abuse" });
    let close = |world: &mut World| admin(world, Op::OperatorRealmDeactivate, REALM, "", &because);
    let open = |world: &mut World| admin(world, Op::OperatorRealmReactivate, REALM, "", &Value::Null);
    assert_eq!(open(&mut world).status, 409);
    assert_eq!(body(&close(&mut world)), json!({ "registration_deactivated": true }));
    assert_eq!(close(&mut world).status, 409);
    let shown = body(&admin(&mut world, Op::OperatorRealm, REALM, "", &Value::Null));
    assert_eq!(shown["registration_deactivated"], true);
    // Source: 2.2 of the dialect: the push path ignores it.
    let mut notice = notification(1);
    notice["realm_uuid"] = json!(REALM);
    accepted(&world.send(&as_server(UUID_A, json_call(Op::PushNotify, &notice))));
    accepted(&world.upload(UUID_A, &[REALM]));
    assert_eq!(body(&open(&mut world)), json!({ "registration_deactivated": false }));
    let audit = body(&admin(&mut world, Op::OperatorRealmAudit, REALM, "", &Value::Null));
    let rows: Vec<(i64, Value, &str)> = audit["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["event_type"].as_i64().unwrap(), row["extra_data"].clone(), row["actor"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [(201, because.clone(), "operator:admin"), (202, json!({}), "operator:admin")]);
    assert_eq!(admin(&mut world, Op::OperatorRealmDeactivate, OTHER, "", &Value::Null).status, 404);
    let extra = json!({ "surprise": 1 });
    assert_eq!(admin(&mut world, Op::OperatorRealmDeactivate, REALM, "", &extra).status, 400);
}

#[test]
fn a_notification_without_an_organization_costs_the_same_however_many_organizations_there_are() {
    let cost = |numbers: i64| {
        let mut world = World::new();
        world.register(UUID_A);
        world.device(UUID_A, "1", "aa");
        let rows: Vec<Value> = (1..=numbers)
            .map(|id| {
                json!({ "id": id, "realm": id, "event_time": 1_700_000_000, "backfilled": false, "event_type": 101,
                    "extra_data": { "10": { "11": { "400": 1 } } } })
            })
            .collect();
        let rows = Value::from(rows).to_string();
        let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", rows.as_str())];
        accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
        assert_eq!(
            admin(&mut world, Op::OperatorServerPlan, UUID_A, "", &json!({ "plan": { "tier": 103 } })).status,
            200
        );
        // Nothing is remembered from the upload but what is stored.
        world.crash();
        world.servers[UUID_A].database.take_read_steps();
        accepted(&world.send(&as_server(UUID_A, json_call(Op::PushNotify, &notification(1)))));
        world.servers[UUID_A].database.take_read_steps()
    };
    let (few, many) = (cost(10), cost(5_000));
    assert!(many <= few + 200, "{few} steps for 10 organizations, {many} for 5,000");
}

#[test]
fn the_sum_of_all_people_follows_what_changes_them() {
    let mut world = world();
    let shown = |world: &mut World| {
        let reply = admin(world, Op::OperatorServer, UUID_A, "", &Value::Null);
        body(&reply)["push"]["reason"].as_str().unwrap().to_owned()
    };
    let tell = |world: &mut World, id: i64, number: i64, people: u64, ahead_s: u64| {
        let rows = json!([{ "id": id, "realm": number, "event_time": world.now.as_millis() / 1_000 + ahead_s,
            "backfilled": false, "event_type": 101, "extra_data": { "10": { "11": { "400": people } } } }])
        .to_string();
        let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", rows.as_str())];
        accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
    };
    let many = "Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/";
    tell(&mut world, 1, 1, 6, 0);
    assert_eq!(shown(&mut world), "No plan few users");
    tell(&mut world, 2, 2, 6, 0);
    assert_eq!(shown(&mut world), many);
    tell(&mut world, 3, 2, 1, 0);
    assert_eq!(shown(&mut world), "No plan few users");
    // A clock that is ahead: the number counts when its time has come, and not before.
    tell(&mut world, 4, 2, 50, 3_600);
    assert_eq!(shown(&mut world), "No plan few users");
    world.wait(3_600_000);
    assert_eq!(shown(&mut world), many);
    // An organization that moves away takes its people along, here and there.
    accepted(&world.send(&upload(UUID_A, &[realm(2, REALM)], "[]")));
    let wanted = json!({ "server": UUID_B, "uuid_owner_secret": "secret" });
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &wanted).status, 200);
    assert_eq!(shown(&mut world), "No plan few users");
    let there = body(&admin(&mut world, Op::OperatorServer, UUID_B, "", &Value::Null));
    assert_eq!(there["push"]["reason"], many);
}
