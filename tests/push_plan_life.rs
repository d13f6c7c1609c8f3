//! Plans on a server's real books: what ends them, what is told of them, and what is written down.
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
use push_world::{REALM, UUID_A, World, accepted, answered, as_server, form_call};
use serde_json::{Value, json};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::reply::Reply;
use waystation::kernel::secret::Secret;
use waystation::kernel::sql::{Sql as _, Statement};
use waystation::push::webhook::sign;

const DAY: u64 = 24 * 3_600_000;
const KEY: &str = "the payment system's key";

fn world() -> World {
    let mut world = World::with(&[("PUSH_BILLING_KEY", KEY), ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook")]);
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM]);
    world.wait(60_000);
    world.fetched.clear();
    world
}

fn ask(world: &mut World, operation: Op, param: &str, wish: &Value) -> Reply {
    let body = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
    world.send(&Call { principal: Principal::Operator, params: vec![param.to_owned()], body, ..call(operation) })
}

fn operate(world: &mut World, operation: Op, param: &str, wish: &Value) -> Value {
    let reply = ask(world, operation, param, wish);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

fn read(world: &mut World, operation: Op, param: &str) -> Value {
    operate(world, operation, param, &Value::Null)
}

/// The server says that it has so many people.
fn people(world: &mut World, id: u64, count: u64) {
    let now = world.now.as_millis() / 1_000;
    let rows = json!([{ "id": id, "realm": 0, "event_time": now, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": count } } } }])
    .to_string();
    let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", rows.as_str())];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
}

/// What the payment system was told.
fn told(world: &World) -> Vec<Value> {
    let told = world.fetched.iter().filter(|fetch| fetch.url == "https://pay.example/hook");
    told.map(|fetch| serde_json::from_slice(&fetch.body).unwrap()).collect()
}

/// Rows of an audit of one event with what they say.
fn noted(audit: &Value, event: u64) -> Vec<(String, Value, Value, String)> {
    let rows = audit["rows"].as_array().unwrap().iter().filter(|row| row["event_type"] == event);
    rows.map(|row| {
        let said = &row["extra_data"];
        let property = said["property"].as_str().unwrap_or_default().to_owned();
        let actor = row["actor"].as_str().unwrap().to_owned();
        (property, said["old_value"].clone(), said["new_value"].clone(), actor)
    })
    .collect()
}

#[test]
fn plans_of_a_removed_server_and_its_organizations_end_with_what_is_owed() {
    let mut world = world();
    let annual = json!({ "tier": 104, "billing_schedule": 1, "licenses": 30 });
    let wish = json!({ "plan": annual, "customer": { "payment_reference": "cus_7", "flat_discount": 0 } });
    operate(&mut world, Op::OperatorRealmPlan, REALM, &wish);
    operate(&mut world, Op::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103, "fixed_price": 900 } }));
    world.wait(10 * DAY);
    people(&mut world, 1, 33);
    let owed = read(&mut world, Op::OperatorRealm, REALM)["billing"]["plan"]["amount_not_invoiced"].clone();
    assert!(owed.as_u64().unwrap() > 3 * 7_000);
    world.wait(1_000);
    world.fetched.clear();

    operate(&mut world, Op::OperatorServerRemove, UUID_A, &json!({ "reason": "asked" }));
    let shown = read(&mut world, Op::OperatorServer, UUID_A);
    assert_eq!((shown["billing"]["plan"].clone(), shown["plan_type"].as_u64()), (Value::Null, Some(100)));
    assert_eq!(
        (shown["push"]["can_push"].as_bool(), shown["push"]["reason"].as_str()),
        (Some(false), Some("Missing data"))
    );
    let query = format!("realm={REALM}");
    let of_realm = |world: &mut World, operation| {
        let call = Call { principal: Principal::Operator, params: vec![UUID_A.to_owned()], ..call(operation) };
        body(&world.send(&Call { query: query.clone(), ..call }))
    };
    let invoices = of_realm(&mut world, Op::OperatorServerInvoices);
    let last = invoices["invoices"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (last["kind"].as_str(), last["licenses"].as_u64(), &last["amount"]),
        (Some("additional"), Some(3), &owed)
    );
    for (audit, type_event, old) in [
        (of_realm(&mut world, Op::OperatorServerAudit), 204, 104),
        (read(&mut world, Op::OperatorServerAudit, UUID_A), 10_204, 103),
    ] {
        let ended = noted(&audit, 506).into_iter().find(|(property, ..)| property == "status").unwrap();
        assert_eq!((ended.1, ended.2, ended.3), (json!(1), json!(11), String::from("operator:admin")));
        let kind = noted(&audit, type_event).last().unwrap().clone();
        assert_eq!((kind.1, kind.2), (json!(old), json!(100)));
    }
    world.wait(1_000);
    let heard: Vec<_> = told(&world)
        .iter()
        .map(|event| {
            assert_eq!((&event["billing"]["plan"], event["plan_type"].as_u64()), (&Value::Null, Some(100)));
            (event["type"].as_str().unwrap().to_owned(), event["realm"].as_str().map(str::to_owned))
        })
        .collect();
    for (kind, realm) in [("plan.changed", Some(REALM)), ("plan.changed", None), ("server.removed", None)] {
        assert!(heard.contains(&(kind.to_owned(), realm.map(str::to_owned))), "{kind} {realm:?} in {heard:?}");
    }
    let count = invoices["invoices"].as_array().unwrap().len();
    world.wait(800 * DAY);
    let later = of_realm(&mut world, Op::OperatorServerInvoices);
    assert_eq!(later["invoices"].as_array().unwrap().len(), count, "and nothing after that");

    // Nobody gives it another.
    let plan = json!({ "plan": { "tier": 103 } });
    assert_eq!(ask(&mut world, Op::OperatorServerPlan, UUID_A, &plan).status, 409);
    let message = json!({ "event": "evt", "server": UUID_A, "change": plan }).to_string().into_bytes();
    let authorization = Some(sign(&Secret::new(KEY.to_owned()), &message, world.now));
    let params = vec![UUID_A.to_owned()];
    assert_eq!(world.send(&Call { params, authorization, body: message, ..call(Op::PushBillingEvent) }).status, 409);
}

#[test]
fn an_event_is_told_in_the_words_of_its_own_time_however_often() {
    let mut world = world();
    world.outside = Box::new(|_| Some(answered(500, "")));
    let wish = json!({ "plan": { "tier": 103, "licenses": 10, "discount": "12.5", "end_date": 1_900_000_000 },
        "customer": { "payment_reference": "cus \"7\"", "sponsorship_pending": true, "required_plan_tier": 103 } });
    let made = operate(&mut world, Op::OperatorRealmPlan, REALM, &wish);
    let changed =
        operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 2, "licenses": 14 } }));
    world.wait(1_000);
    operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 11 } }));
    world.wait(20 * 60_000);
    let all = told(&world);
    let of = |id: &Value| all.iter().filter(|event| event["id"] == *id).collect::<Vec<_>>();
    let firsts: Vec<&Value> = [0, 1].iter().map(|index| &all[*index]).collect();
    for (first, state) in firsts.iter().zip([&made, &changed]) {
        let tries = of(&first["id"]);
        assert!(tries.len() > 2, "{} tries", tries.len());
        assert!(tries.iter().all(|event| event == first), "{tries:?}");
        let shown = json!({ "customer": state["customer"], "plan": state["plan"] });
        assert_eq!((&first["billing"], &first["plan_type"]), (&shown, &state["plan_type"]), "as it was answered");
    }
    let last = all.last().unwrap();
    assert_eq!((last["plan_type"].as_u64(), &last["billing"]["plan"]), (Some(100), &Value::Null));
    // One that an older version kept is told as things are.
    let old = "INSERT INTO billing_event (body, created_at, due_at, attempts) \
        VALUES ('{\"type\":\"plan.changed\",\"realm\":null}', 1800000000000, 0, 0)";
    let database = world.server(UUID_A).database.clone();
    database.commit(vec![Statement::plain("DELETE FROM billing_event"), Statement::plain(old)]).unwrap();
    world.outside = Box::new(|_| Some(answered(204, "")));
    world.fetched.clear();
    world.crash();
    world.wait(1_000);
    let old = told(&world);
    assert_eq!((old[0]["type"].as_str(), old[0]["plan_type"].as_u64()), (Some("plan.changed"), Some(100)));
}

#[test]
fn what_the_clock_does_is_noted_with_old_and_new_values() {
    let mut world = world();
    let plan = json!({ "tier": 103, "licenses": 10, "billing_schedule": 2 });
    operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": plan }));
    world.wait(1_000);
    operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 4 } }));
    world.wait(32 * DAY);
    people(&mut world, 1, 10);
    world.wait(1_000);
    let audit = read(&mut world, Op::OperatorRealmAudit, REALM);
    let clock = |event: u64| -> Vec<(String, Value, Value)> {
        let rows = noted(&audit, event).into_iter().filter(|row| row.3 == "clock");
        rows.map(|(property, old, new, _)| (property, old, new)).collect()
    };
    assert_eq!(clock(503), [(String::from("billing_schedule"), json!(2), json!(1))]);
    let changed = clock(506);
    for (property, old, new) in [("price_per_license", 350, 4_200), ("status", 4, 1)] {
        assert!(changed.contains(&(property.to_owned(), json!(old), json!(new))), "{property} in {changed:?}");
    }
    assert!(changed.iter().any(|(property, ..)| property == "next_invoice_date"));
    assert!(changed.iter().all(|(property, ..)| !property.is_empty()));
    let months: Vec<_> = clock(505);
    let month = |old: u64, new: u64| (String::from("flat_discounted_months"), json!(old), json!(new));
    assert_eq!(months, [month(12, 11), month(11, 0)]);
    let customer = read(&mut world, Op::OperatorRealm, REALM)["billing"]["customer"].clone();
    assert_eq!(customer["flat_discounted_months"], 0);
}

#[test]
fn a_sponsored_plan_that_is_to_end_ends_and_one_that_switches_is_another() {
    let mut world = world();
    people(&mut world, 1, 30);
    world.wait(1_000);
    operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 101 } }));
    world.wait(100 * DAY);
    people(&mut world, 2, 30);
    operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 2 } }));
    let shown = read(&mut world, Op::OperatorRealm, REALM);
    let end = shown["push"]["expected_end_timestamp"].as_u64().expect("an end");
    assert!(end > world.now.as_millis() / 1_000, "in the future");
    world.wait(32 * DAY);
    let shown = read(&mut world, Op::OperatorRealm, REALM);
    assert_eq!((shown["plan_type"].as_u64(), &shown["billing"]["plan"]), (Some(100), &Value::Null));

    let legacy = json!({ "plan": { "tier": 101, "status": 8 } });
    assert_eq!(ask(&mut world, Op::OperatorRealmPlan, REALM, &legacy).status, 400, "to which tier?");
    let legacy = json!({ "plan": { "tier": 101, "status": 8 }, "customer": { "required_plan_tier": 103 } });
    operate(&mut world, Op::OperatorRealmPlan, REALM, &legacy);
    world.wait(32 * DAY);
    let shown = read(&mut world, Op::OperatorRealm, REALM);
    let plan = &shown["billing"]["plan"];
    assert_eq!(
        (shown["plan_type"].as_u64(), plan["tier"].as_u64(), plan["status"].as_u64()),
        (Some(103), Some(103), Some(1))
    );
    let invoices = read(&mut world, Op::OperatorRealmInvoices, REALM);
    let invoices: Vec<_> = invoices["invoices"].as_array().unwrap().iter().map(|one| one["tier"].clone()).collect();
    assert_eq!(invoices, [json!(103)]);
    let audit = read(&mut world, Op::OperatorRealmAudit, REALM);
    let last = noted(&audit, 204).last().unwrap().clone();
    assert_eq!((last.1, last.2, last.3), (json!(101), json!(103), String::from("clock")));
}

#[test]
fn a_discount_is_a_percentage() {
    let mut world = world();
    operate(&mut world, Op::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103 } }));
    world.wait(60_000);
    let before = world.dump();
    for discount in ["half", "-1", "101", "NaN", "", "1.234"] {
        let wish = json!({ "plan": { "discount": discount } });
        assert_eq!(ask(&mut world, Op::OperatorServerPlan, UUID_A, &wish).status, 400, "{discount}");
    }
    assert_eq!(world.dump(), before);
    for discount in [json!("0"), json!("85"), json!("12.25"), json!("100"), Value::Null] {
        let made = operate(&mut world, Op::OperatorServerPlan, UUID_A, &json!({ "plan": { "discount": discount } }));
        assert_eq!(made["plan"]["discount"], discount);
    }
}

#[test]
fn whoever_ends_a_trial_by_word_is_billed_at_once_and_a_period_begins_then() {
    for (schedule, months, cents) in [(1, 12, 4_200), (2, 1, 350)] {
        let mut world = world();
        people(&mut world, 1, 10);
        let trial = json!({ "plan": { "tier": 103, "status": 3, "billing_schedule": schedule, "licenses": 10 },
            "customer": { "flat_discount": 0 } });
        operate(&mut world, Op::OperatorRealmPlan, REALM, &trial);
        world.wait(10 * DAY);
        assert_eq!(read(&mut world, Op::OperatorRealmInvoices, REALM)["invoices"], json!([]));
        let begun = world.now.as_millis() / 1_000;
        operate(&mut world, Op::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 1 } }));
        world.wait(60_000);
        let invoices = read(&mut world, Op::OperatorRealmInvoices, REALM)["invoices"].clone();
        assert_eq!(invoices.as_array().unwrap().len(), 1, "{invoices}");
        assert_eq!((&invoices[0]["period_start"], &invoices[0]["amount"]), (&json!(begun), &json!(10 * cents)));
        let days = (invoices[0]["period_end"].as_u64().unwrap() - begun) / 86_400;
        assert!((28 * months..=31 * months).contains(&days), "{days}");
        people(&mut world, 2, 10);
        world.wait(20 * DAY);
        let later = read(&mut world, Op::OperatorRealmInvoices, REALM)["invoices"].clone();
        assert_eq!(later, invoices, "nothing is billed twice where the trial would have ended");
    }
}

#[test]
fn a_plan_whose_licenses_follow_nobody_is_billed_without_numbers_and_one_that_follows_people_waits_for_them() {
    for (automanage, invoices) in [(false, 2), (true, 1)] {
        let mut world = world();
        let plan = json!({ "plan": { "tier": 103, "licenses": 10, "automanage_licenses": automanage } });
        operate(&mut world, Op::OperatorRealmPlan, REALM, &plan);
        world.wait(32 * DAY);
        let billed = read(&mut world, Op::OperatorRealmInvoices, REALM)["invoices"].clone();
        assert_eq!(billed.as_array().unwrap().len(), invoices, "automatic: {automanage}");
    }
}
