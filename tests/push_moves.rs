//! Organizations on their way between servers: whatever is lost, late or repeated, one server holds each at the end, and
//! nothing of it is left behind but its audit.
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
    Fate, REALM, USER, UUID_A, UUID_B, World, accepted, as_server, form_call, json_call, notification, realm,
};
use serde_json::{Value, json};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::reply::Reply;
use waystation::kernel::sql::{Sql, Statement};

const UUID_C: &str = "8cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn wish(operation: Op, param: &str, query: &str, body: &Value) -> Call {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let params = if param.is_empty() { Vec::new() } else { vec![param.to_owned()] };
    Call { params, query: query.to_owned(), body, principal: Principal::Operator, ..call(operation) }
}

fn admin(world: &mut World, operation: Op, param: &str, query: &str, body: &Value) -> Reply {
    world.send(&wish(operation, param, query, body))
}

fn read(world: &mut World, operation: Op, param: &str, query: &str) -> Value {
    let reply = admin(world, operation, param, query, &Value::Null);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

fn events(audit: &Value) -> Vec<i64> {
    audit["rows"].as_array().unwrap().iter().map(|row| row["event_type"].as_i64().unwrap()).collect()
}

fn move_to(world: &mut World, server: &str) -> Reply {
    admin(world, Op::OperatorRealmMove, REALM, "", &json!({ "server": server, "uuid_owner_secret": "secret" }))
}

fn world() -> World {
    let mut world = World::new();
    for uuid in [UUID_A, UUID_B, UUID_C] {
        world.register(uuid);
    }
    accepted(&world.upload(UUID_A, &[REALM]));
    world.wait(10_000);
    world
}

/// From now on the first `count` calls of an operation meet a fate; the others arrive.
fn fate(world: &mut World, operation: Op, count: usize, fate: Fate) {
    let mut left = count;
    world.post = Box::new(move |call| {
        if call.operation != operation || left == 0 {
            return Fate::Carried;
        }
        left -= 1;
        fate
    });
}

#[track_caller]
fn only(world: &World, server: &str) {
    assert_eq!(world.holders(REALM), (Some(server.to_owned()), vec![server.to_owned()]));
}

#[track_caller]
fn count(world: &World, server: &str, sql: &'static str) -> i64 {
    world.servers[server].database.read(Statement::plain(sql)).unwrap()[0].integer(0).unwrap()
}

/// Tells of a server's people.
fn people(world: &mut World, server: &str, id: i64, number: usize, count: u64) {
    let row = json!([{ "id": id, "realm": number, "event_time": world.now.as_millis() / 1_000, "backfilled": false,
        "event_type": 101, "extra_data": { "10": { "11": { "400": count } } } }]);
    let rows = [
        ("realm_counts", String::from("[]")),
        ("installation_counts", String::from("[]")),
        ("realmauditlog_rows", row.to_string()),
        ("api_feature_level", String::from("400")),
    ];
    let form: Vec<(&str, &str)> = rows.iter().map(|(name, value)| (*name, value.as_str())).collect();
    accepted(&world.send(&as_server(server, form_call(Op::PushAnalytics, &form))));
}

fn notify(world: &mut World, server: &str) -> Reply {
    let mut notice = notification(1);
    notice["realm_uuid"] = json!(REALM);
    world.send(&as_server(server, json_call(Op::PushNotify, &notice)))
}

#[test]
fn a_late_farewell_does_not_take_an_organization_that_has_come_back() {
    for lost in [Fate::Lost, Fate::Unanswered, Fate::Late] {
        let mut world = world();
        fate(&mut world, Op::PushRealmDrop, 1, lost);
        move_to(&mut world, UUID_B);
        world.wait(20 * MINUTE);
        only(&world, UUID_B);
        world.post = Box::new(|_| Fate::Carried);
        assert_eq!(move_to(&mut world, UUID_A).status, 200);
        world.deliver_late();
        world.wait(20 * MINUTE);
        only(&world, UUID_A);
        world.crash();
        world.wait(DAY);
        only(&world, UUID_A);
    }
}

#[test]
fn a_farewell_whose_answer_was_lost_does_not_follow_the_organization_home() {
    let mut world = world();
    fate(&mut world, Op::PushRealmDrop, 1, Fate::Unanswered);
    move_to(&mut world, UUID_B);
    // At once, before anything is said again; while the first move is under way it is refused.
    world.post = Box::new(|_| Fate::Carried);
    while move_to(&mut world, UUID_A).status == 409 {
        world.wait(10_000);
    }
    world.wait(30 * MINUTE);
    only(&world, UUID_A);
}

#[test]
fn of_two_moves_at_once_one_is_refused_and_one_server_holds_the_organization() {
    let mut world = world();
    let to = |server: &str| json!({ "server": server, "uuid_owner_secret": "secret" });
    // The first is begun; its errands have not run when the second comes.
    let shard = waystation::push::directory::shard("realm", REALM);
    let first = world.shard(&shard).begin(&wish(Op::OperatorRealmMove, REALM, "", &to(UUID_B)));
    let second = move_to(&mut world, UUID_C);
    assert_eq!(second.status, 409, "{} {first:?}", second.body);
    world.wait(30 * MINUTE);
    only(&world, UUID_B);
}

#[test]
fn a_move_whose_adoption_was_not_answered_is_finished_or_undone_by_the_alarm() {
    for lost in [Fate::Lost, Fate::Unanswered, Fate::Late] {
        let mut world = world();
        fate(&mut world, Op::PushRealmAdopt, 1, lost);
        let begun = move_to(&mut world, UUID_B);
        assert_eq!(begun.status, 200, "{}", begun.body);
        assert_eq!(body(&begun)["under_way"], true);
        // The operator loses patience and sends it elsewhere.
        assert_eq!(move_to(&mut world, UUID_C).status, 409);
        world.crash();
        world.wait(30 * MINUTE);
        world.deliver_late();
        world.wait(30 * MINUTE);
        only(&world, UUID_B);
    }
}

#[test]
fn a_move_to_a_server_that_never_answers_is_undone_and_leaves_it_nothing() {
    let mut world = world();
    fate(&mut world, Op::PushRealmAdopt, usize::MAX, Fate::Unanswered);
    move_to(&mut world, UUID_B);
    assert_eq!(world.holders(REALM).1.len(), 2, "with both until it is settled");
    world.wait(3 * 60 * MINUTE);
    only(&world, UUID_A);
    world.post = Box::new(|_| Fate::Carried);
    assert_eq!(move_to(&mut world, UUID_C).status, 200);
    only(&world, UUID_C);
}

#[test]
fn an_adoption_that_arrives_after_it_was_undone_is_refused() {
    let mut world = world();
    fate(&mut world, Op::PushRealmAdopt, usize::MAX, Fate::Late);
    move_to(&mut world, UUID_B);
    world.wait(3 * 60 * MINUTE);
    only(&world, UUID_A);
    world.deliver_late();
    only(&world, UUID_A);
    world.post = Box::new(|_| Fate::Carried);
    assert_eq!(move_to(&mut world, UUID_B).status, 200, "the next one is another move");
    only(&world, UUID_B);
}

#[test]
fn a_target_that_signs_off_on_the_way_is_undone() {
    let mut world = world();
    fate(&mut world, Op::PushRealmAdopt, 1, Fate::Unanswered);
    move_to(&mut world, UUID_B);
    assert_eq!(admin(&mut world, Op::OperatorDeactivate, UUID_B, "", &Value::Null).status, 200);
    world.wait(30 * MINUTE);
    only(&world, UUID_A);
    assert_eq!(move_to(&mut world, UUID_C).status, 200);
    only(&world, UUID_C);
}

#[test]
fn a_plan_that_appears_on_the_way_keeps_the_organization_where_it_is() {
    let mut world = world();
    fate(&mut world, Op::PushRealmAdopt, 1, Fate::Lost);
    move_to(&mut world, UUID_B);
    let plan = json!({ "plan": { "tier": 103, "licenses": 10 } });
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &plan).status, 200);
    world.wait(30 * MINUTE);
    only(&world, UUID_A);
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["billing"]["plan"]["tier"], 103);
    assert_eq!(move_to(&mut world, UUID_B).status, 409, "a live plan");
}

#[test]
fn nobody_else_gets_the_name_of_an_organization_on_its_way() {
    let mut world = world();
    fate(&mut world, Op::PushRealmDrop, 3, Fate::Unanswered);
    move_to(&mut world, UUID_B);
    // The old server has forgotten it, and the directory does not know that yet.
    assert_eq!(world.holders(REALM), (Some(UUID_A.to_owned()), vec![UUID_B.to_owned()]));
    for server in [UUID_A, UUID_C] {
        assert_eq!(world.upload(server, &[REALM]).status, 400, "{server}");
    }
    world.wait(30 * MINUTE);
    only(&world, UUID_B);
}

#[test]
fn every_single_loss_on_the_way_leaves_one_holder() {
    // The n-th call between objects is lost, unanswered or late, and the process may die right after.
    for position in 0..6 {
        for lost in [Fate::Lost, Fate::Unanswered, Fate::Late] {
            for dies in [false, true] {
                let mut world = world();
                let mut seen = 0;
                world.post = Box::new(move |_| {
                    seen += 1;
                    if seen == position + 1 { lost } else { Fate::Carried }
                });
                move_to(&mut world, UUID_B);
                if dies {
                    world.crash();
                }
                world.wait(10 * MINUTE);
                world.post = Box::new(|_| Fate::Carried);
                world.deliver_late();
                world.wait(3 * 60 * MINUTE);
                let (said, with_row) = world.holders(REALM);
                assert_eq!(with_row, [said.unwrap()], "call {position} {lost:?} {dies}");
                assert_eq!(count_moves(&world), 0, "call {position} {lost:?} {dies}");
            }
        }
    }
}

#[test]
fn a_server_that_is_removed_in_the_middle_of_a_move_keeps_no_name_from_others() {
    for (removed, lost) in [
        (UUID_A, Op::PushRealmAdopt),
        (UUID_A, Op::PushRealmDrop),
        (UUID_B, Op::PushRealmAdopt),
        (UUID_B, Op::PushRealmDrop),
    ] {
        for fate_of_it in [Fate::Lost, Fate::Unanswered] {
            let mut world = world();
            fate(&mut world, lost, 1, fate_of_it);
            move_to(&mut world, UUID_B);
            assert_eq!(admin(&mut world, Op::OperatorServerRemove, removed, "", &Value::Null).status, 200);
            world.wait(3 * 60 * MINUTE);
            assert_eq!(count_moves(&world), 0);
            let (said, _) = world.holders(REALM);
            if said.as_deref().is_none_or(|said| said == removed) {
                accepted(&world.upload(UUID_C, &[REALM]));
                world.wait(MINUTE);
                assert_eq!(world.holders(REALM).0.as_deref(), Some(UUID_C), "{removed} {lost:?} {fate_of_it:?}");
            } else {
                assert_eq!(world.upload(UUID_C, &[REALM]).status, 400, "{removed} {lost:?} {fate_of_it:?}");
            }
            let of_realm = format!("realm={REALM}");
            read(&mut world, Op::OperatorServerAudit, removed, &of_realm);
        }
    }
}

fn count_moves(world: &World) -> usize {
    let lines = world.shards.values().flat_map(|stage| stage.database.dump());
    lines.filter(|line| line.starts_with("realm_move: ") || line.starts_with("farewell: ")).count()
}

#[test]
fn what_was_agreed_and_counted_goes_along_and_only_the_audit_stays() {
    let mut world = world();
    people(&mut world, UUID_A, 1, 0, 500);
    let customer = json!({ "customer": { "payment_reference": "cus_1", "sponsorship_pending": true,
        "minimum_licenses": 20 } });
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &customer).status, 200);
    for sql in [
        "INSERT INTO billing_user (realm, user_uuid, email, full_name, date_joined, is_active, tos_version, \
         enable_major_release_emails, enable_maintenance_release_emails) \
         VALUES ('aaaaaaaa-1f7e-4978-9716-49f69ebfc9fe', 'bbbbbbbb-1f7e-4978-9716-49f69ebfc9fe', 'owner@example.org', \
         'Owner', 1, 1, '-1', 0, 0)",
        "INSERT INTO billing_preregistration (key_hash, realm, user_uuid, email, full_name, date_joined, status, \
         uri_scheme, network) VALUES (x'00', 'aaaaaaaa-1f7e-4978-9716-49f69ebfc9fe', \
         'bbbbbbbb-1f7e-4978-9716-49f69ebfc9fe', 'second@example.org', 'Second', 1800000000000, 0, 'https://', '')",
        "INSERT INTO billing_user (email, full_name, date_joined, is_active, tos_version, \
         enable_major_release_emails, enable_maintenance_release_emails) \
         VALUES ('server@example.org', 'Server', 1, 1, '-1', 0, 0)",
    ] {
        world.servers[UUID_A].database.commit(vec![Statement::plain(sql)]).unwrap();
    }
    assert_eq!(move_to(&mut world, UUID_B).status, 200);
    for (left, sql) in [
        ("billing users", "SELECT count(*) FROM billing_user WHERE realm IS NOT NULL"),
        ("links", "SELECT count(*) FROM billing_preregistration"),
        ("payment names", "SELECT count(*) FROM customer WHERE payment_reference IS NOT NULL"),
        ("sponsorship", "SELECT count(*) FROM customer WHERE sponsorship_pending = 1"),
        ("people", "SELECT count(*) FROM headcount"),
    ] {
        assert_eq!(count(&world, UUID_A, sql), 0, "{left}");
    }
    assert_eq!(count(&world, UUID_A, "SELECT count(*) FROM billing_user"), 1, "the server's own stay");
    assert!(count(&world, UUID_A, "SELECT count(*) FROM realm_audit") >= 3);
    let shown = read(&mut world, Op::OperatorRealm, REALM, "");
    assert_eq!(shown["users"]["non_guests"], 500);
    let customer = &shown["billing"]["customer"];
    assert_eq!(
        (customer["payment_reference"].as_str(), customer["minimum_licenses"].as_u64()),
        (Some("cus_1"), Some(20))
    );
    assert_eq!(customer["sponsorship_pending"], true);
}

#[test]
fn a_large_organization_does_not_push_freely_between_its_arrival_and_its_first_report() {
    let mut world = world();
    people(&mut world, UUID_A, 1, 0, 500);
    world.device(UUID_B, "1", "aa");
    move_to(&mut world, UUID_B);
    people(&mut world, UUID_B, 1, 7, 3);
    let refused = notify(&mut world, UUID_B);
    assert_eq!(refused.status, 400, "{}", refused.body);
    // Reported under a number of its own; nobody has told of its people yet.
    let form = [
        ("realm_counts", String::from("[]")),
        ("installation_counts", String::from("[]")),
        ("realms", json!([realm(4, REALM)]).to_string()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    accepted(&world.send(&as_server(UUID_B, form_call(Op::PushAnalytics, &form))));
    assert_eq!(notify(&mut world, UUID_B).status, 400, "what the old server said still counts");
    people(&mut world, UUID_B, 2, 4, 5);
    accepted(&notify(&mut world, UUID_B));
    assert_eq!(count(&world, UUID_B, "SELECT count(*) FROM headcount WHERE number < 0"), 0);
}

#[test]
fn an_organization_whose_people_nobody_told_of_is_missing_data_until_its_first_report() {
    let mut world = world();
    world.servers[UUID_A]
        .database
        .commit(vec![Statement::plain("UPDATE server SET last_audit_update = NULL")])
        .unwrap();
    move_to(&mut world, UUID_B);
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["push"]["reason"], "Missing data");
    accepted(&world.upload(UUID_B, &[REALM]));
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["push"]["reason"], "No plan few users");
}

#[test]
fn what_the_old_server_said_of_people_is_believed_for_two_days() {
    let mut world = world();
    move_to(&mut world, UUID_B);
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["push"]["reason"], "No plan few users");
    world.wait(3 * DAY);
    people(&mut world, UUID_B, 1, 7, 3);
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["push"]["reason"], "Missing data");
}

#[test]
fn the_payment_system_is_told_where_an_organization_has_gone_once_it_has() {
    let mut world = World::with(&[
        ("PUSH_BILLING_KEY", "the payment system's key"),
        ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook"),
    ]);
    for uuid in [UUID_A, UUID_B] {
        world.register(uuid);
    }
    accepted(&world.upload(UUID_A, &[REALM]));
    fate(&mut world, Op::PushRealmDrop, 1, Fate::Lost);
    let told = |world: &World| -> Vec<Value> {
        let hooks = world.fetched.iter().filter(|fetch| fetch.url == "https://pay.example/hook");
        let bodies = hooks.map(|fetch| serde_json::from_slice::<Value>(&fetch.body).unwrap());
        bodies.filter(|body| body["type"] == "realm.moved").collect()
    };
    move_to(&mut world, UUID_B);
    world.wait(5_000);
    assert!(told(&world).is_empty(), "it has not left yet");
    world.wait(MINUTE);
    let told = told(&world);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0]["server"].as_str(), told[0]["realm"].as_str(), told[0]["to"].as_str()),
        (Some(UUID_A), Some(REALM), Some(UUID_B))
    );
}

#[test]
fn an_operators_switch_goes_along() {
    let mut world = world();
    let set = "UPDATE realm SET registration_deactivated = 1";
    world.servers[UUID_A].database.commit(vec![Statement::plain(set)]).unwrap();
    move_to(&mut world, UUID_B);
    assert_eq!(read(&mut world, Op::OperatorRealm, REALM, "")["registration_deactivated"], true);
}

#[test]
fn audit_and_invoices_of_an_organization_stay_readable_after_a_move_and_a_removal() {
    let mut world = world();
    people(&mut world, UUID_A, 1, 0, 5);
    let plan = json!({ "plan": { "tier": 103, "licenses": 10 } });
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &plan).status, 200);
    world.wait(40 * DAY);
    people(&mut world, UUID_A, 2, 0, 5);
    world.wait(1_000);
    admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "status": 11 } }));
    let before = read(&mut world, Op::OperatorRealmAudit, REALM, "");
    assert_eq!(move_to(&mut world, UUID_B).status, 200);
    let of_realm = format!("realm={REALM}");
    let there = |world: &mut World| {
        let audit = read(world, Op::OperatorServerAudit, UUID_A, &format!("{of_realm}&limit=200"));
        let invoices = read(world, Op::OperatorServerInvoices, UUID_A, &of_realm);
        (audit, invoices["invoices"].as_array().unwrap().len())
    };
    let (audit, invoices) = there(&mut world);
    let mut expected = events(&before);
    expected.push(20_005);
    assert_eq!((events(&audit), invoices), (expected.clone(), 2));
    assert!(expected.contains(&101), "uploaded rows too: {expected:?}");
    let page = read(&mut world, Op::OperatorServerAudit, UUID_A, &format!("{of_realm}&limit=2"));
    assert_eq!(events(&page), expected[..2]);
    assert_eq!(admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &Value::Null).status, 200);
    world.wait(20 * MINUTE);
    let (audit, invoices) = there(&mut world);
    assert_eq!((events(&audit), invoices), (expected, 2), "DELETE keeps the audit");
    for operation in [Op::OperatorServerAudit, Op::OperatorServerInvoices] {
        assert_eq!(admin(&mut world, operation, UUID_A, "realm=x", &Value::Null).status, 400);
        let nobody = read(&mut world, operation, UUID_A, &format!("realm={USER}"));
        assert!(nobody["next"].is_null());
    }
    let csv = admin(&mut world, Op::OperatorServerInvoices, UUID_A, &format!("{of_realm}&format=csv"), &Value::Null);
    assert_eq!(csv.body.matches(REALM).count(), 2);
}

#[test]
fn the_directory_still_finds_the_audit_of_an_organization_whose_server_was_removed() {
    let mut world = world();
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan_type": 102 })).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &Value::Null).status, 200);
    world.wait(20 * MINUTE);
    assert_eq!(world.holders(REALM).0, None, "the name is free");
    assert_eq!(events(&read(&mut world, Op::OperatorRealmAudit, REALM, "")), [204]);
    assert!(read(&mut world, Op::OperatorRealmInvoices, REALM, "")["invoices"].as_array().unwrap().is_empty());
    for operation in [Op::OperatorRealmPlan, Op::OperatorRealmMove] {
        let change = json!({ "plan_type": 102 });
        assert_eq!(admin(&mut world, operation, REALM, "", &change).status, 404, "{operation:?}");
    }
    // Whoever has it now answers; the old rows stay with the old server.
    accepted(&world.upload(UUID_C, &[REALM]));
    assert_eq!(events(&read(&mut world, Op::OperatorRealmAudit, REALM, "")), Vec::<i64>::new());
    assert_eq!(events(&read(&mut world, Op::OperatorServerAudit, UUID_A, &format!("realm={REALM}"))), [204]);
}
