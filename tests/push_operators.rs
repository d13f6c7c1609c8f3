//! Operators: who may do what on every route, and what each operation does, shows and notes.
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
    REALM, UUID_A, UUID_B, World, accepted, answered, as_server, basic, form_call, json_call, key, notification, realm,
    refused, registration,
};
use serde_json::{Value, json};
use waystation::front::routes::{ROUTES, Who};
use waystation::kernel::object::{Browser, Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::reply::{Media, Reply};
use waystation::kernel::secret::Secret;
use waystation::kernel::signed::{is_genuine, sign};
use waystation::kernel::sql::{Sql, Statement};
use waystation::push::door::{self, Admission};
use waystation::push::role::{NEEDED, Role, TOKEN_MS, needed};

const DAY: u64 = 24 * 3_600_000;
const SECRET: &str = "the payment system's key";

fn wish(operation: Op, param: &str, query: &str, body: &Value) -> Call {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let params = if param.is_empty() { Vec::new() } else { vec![param.to_owned()] };
    Call { params, query: query.to_owned(), body, ..call(operation) }
}

/// As the holder of the service's secret.
fn admin(world: &mut World, operation: Op, param: &str, query: &str, body: &Value) -> Reply {
    let call = Call { principal: Principal::Operator, ..wish(operation, param, query, body) };
    world.send(&call)
}

fn read(world: &mut World, operation: Op, param: &str, query: &str) -> Value {
    let reply = admin(world, operation, param, query, &Value::Null);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

/// As the front does it: the token is judged, then the call is made.
fn with_token(world: &mut World, token: Option<&str>, call: Call) -> Reply {
    let call = Call { authorization: token.map(|token| format!("Bearer {token}")), ..call };
    match door::admission(&call) {
        Admission::Settled => panic!("nobody is an operator without a token"),
        Admission::Refused(reply) => reply,
        Admission::Ask { question, .. } => {
            let reply = world.shard(door::OPERATORS).call(&question);
            match door::admitted(&reply, &call) {
                Err(reply) => reply,
                Ok(operator) => world.send(&door::of_operator(call, &operator)),
            }
        }
    }
}

fn token(world: &mut World, role: Role) -> String {
    let made = admin(world, Op::OperatorTokenCreate, "", "", &json!({ "name": "test", "role": role.word() }));
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.header("Cache-Control"), Some("no-store"));
    body(&made)["token"].as_str().unwrap().to_owned()
}

fn world() -> World {
    let mut world =
        World::with(&[("PUSH_BILLING_KEY", SECRET), ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook")]);
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM]);
    world.wait(10_000);
    world.fetched.clear();
    world
}

/// Tells of people: audit rows with their ids, all of now.
fn people(world: &mut World, rows: &[(i64, u64)]) {
    let now = world.now.as_millis() / 1_000;
    let row = |(id, count): &(i64, u64)| {
        json!({ "id": id, "realm": 0, "event_time": now, "backfilled": false, "event_type": 101,
            "extra_data": { "10": { "11": { "400": count } } } })
    };
    let rows = Value::from(rows.iter().map(row).collect::<Vec<_>>()).to_string();
    let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", rows.as_str())];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
}

fn events(audit: &Value) -> Vec<i64> {
    audit["rows"].as_array().unwrap().iter().map(|row| row["event_type"].as_i64().unwrap()).collect()
}

#[test]
fn every_route_lets_in_exactly_the_roles_that_its_row_names() {
    let rows: Vec<_> = ROUTES.iter().filter(|route| route.who == Who::PushOperator).collect();
    assert_eq!(rows.len(), NEEDED.len(), "each operation has its route and its role");
    let mut cells = 0;
    for route in rows {
        let least = needed(route.operation).unwrap_or_else(|| panic!("{} has no role", route.template));
        let param = if route.template.contains("realms/{") {
            REALM
        } else if route.template.contains("{uuid}") {
            UUID_A
        } else if route.template.contains("{id}") {
            "none"
        } else {
            ""
        };
        for role in Role::ALL {
            let mut world = world();
            let token = token(&mut world, role);
            let call = wish(route.operation, param, "property=1day_actives::day", &Value::Null);
            let reply = with_token(&mut world, Some(&token), call.clone());
            let is_let_in = !matches!(reply.status, 401 | 403);
            assert_eq!(is_let_in, role >= least, "{} as {role:?}: {}", route.template, reply.body);
            // Past the front, the object judges by itself.
            let caller = Some(format!("{}:somebody", role.word()));
            let direct = world.send(&Call { principal: Principal::Operator, caller, ..call.clone() });
            assert_eq!(direct.status == 403, role < least, "{} as {role:?}: {}", route.template, direct.body);
            let nobody = world.send(&call);
            assert_eq!(nobody.status, 401, "{}: {}", route.template, nobody.body);
            assert_eq!(with_token(&mut world, None, call.clone()).status, 401);
            assert_eq!(with_token(&mut world, Some("wop_0000000000000000_x"), call).status, 401);
            cells += 1;
        }
    }
    assert!(cells >= 60, "{cells} cells");
}

#[test]
fn a_token_is_shown_once_kept_as_a_hash_and_ends() {
    let mut world = world();
    let shown = token(&mut world, Role::Viewer);
    let secret = shown.rsplit_once('_').unwrap().1;
    assert!(!world.dump().iter().any(|line| line.contains(secret)));
    let look = || wish(Op::OperatorServers, "", "", &Value::Null);
    assert_eq!(with_token(&mut world, Some(&shown), look()).status, 200);
    let listed = read(&mut world, Op::OperatorTokens, "", "");
    let entry = &listed["tokens"][0];
    assert_eq!((entry["role"].as_str(), entry["revoked_at"].is_null()), (Some("viewer"), true));
    assert!(entry.get("token").is_none() && entry.get("hash").is_none());
    let id = entry["id"].as_str().unwrap().to_owned();
    assert_eq!(admin(&mut world, Op::OperatorTokenRevoke, &id, "", &Value::Null).status, 200);
    assert_eq!(with_token(&mut world, Some(&shown), look()).status, 401);
    assert_eq!(admin(&mut world, Op::OperatorTokenRevoke, "nobody", "", &Value::Null).status, 404);
    let lasting = token(&mut world, Role::Viewer);
    world.now = world.now.plus(TOKEN_MS - 1);
    assert_eq!(with_token(&mut world, Some(&lasting), look()).status, 200);
    world.now = world.now.plus(1);
    assert_eq!(with_token(&mut world, Some(&lasting), look()).status, 401);
    for bad in [
        json!({}),
        json!({ "name": "", "role": "viewer" }),
        json!({ "name": "x", "role": "root" }),
        json!({ "name": "x", "role": "viewer", "expires_in": 0 }),
        json!({ "name": "x", "role": "viewer", "expires_in": 400 * 86_400 }),
        json!({ "name": "x", "role": "viewer", "extra": 1 }),
    ] {
        assert_eq!(admin(&mut world, Op::OperatorTokenCreate, "", "", &bad).status, 400, "{bad}");
    }
}

#[test]
fn servers_are_listed_searched_and_counted_by_what_they_told_the_index() {
    let mut world = world();
    world.send(&registration(UUID_B, "other.example.net"));
    world.device(UUID_A, "1", "aa");
    world.wait(10_000);
    let all = read(&mut world, Op::OperatorServers, "", "");
    assert_eq!(all["servers"].as_array().unwrap().len(), 2);
    let first = &all["servers"][0];
    assert_eq!(
        (first["uuid"].as_str(), first["plan_type"].as_u64(), first["realms"].as_u64()),
        (Some(UUID_A), Some(100), Some(1))
    );
    for (query, found) in [
        ("query=OTHER.example", vec![UUID_B]),
        ("query=chat.example.org", vec![UUID_A]),
        ("query=admin@example", vec![UUID_A, UUID_B]),
        ("query=aaaaaaaa-1f7e", vec![UUID_A]),
        ("query=%25", vec![]),
        ("query=nobody", vec![]),
    ] {
        let reply = admin(&mut world, Op::OperatorServers, "", query, &Value::Null);
        let servers: Vec<String> = match body(&reply)["servers"].as_array() {
            Some(servers) => servers.iter().map(|server| server["uuid"].as_str().unwrap().to_owned()).collect(),
            None => Vec::new(),
        };
        assert_eq!(servers, found, "{query}");
    }
    let page = read(&mut world, Op::OperatorServers, "", "limit=1");
    assert_eq!(page["next"], UUID_A);
    let next = read(&mut world, Op::OperatorServers, "", &format!("limit=1&after={UUID_A}"));
    assert_eq!(next["servers"][0]["uuid"], UUID_B);
    for bad in ["limit=0", "limit=x", "query=x"] {
        assert_eq!(admin(&mut world, Op::OperatorServers, "", bad, &Value::Null).status, 400, "{bad}");
    }
    // An upload tells the index again.
    world.upload(UUID_A, &[REALM]);
    world.wait(10_000);
    let metrics = read(&mut world, Op::OperatorMetrics, "", "");
    assert_eq!((metrics["servers"].as_u64(), metrics["legacy_tokens"].as_u64()), (Some(2), Some(1)));
    assert_eq!(metrics["servers_by_plan_type"], json!({ "100": 2 }));
}

#[test]
fn the_index_is_told_until_it_has_heard() {
    let mut world = World::new();
    world.send(&registration(UUID_A, "chat.example.org"));
    world.directory_is_down = true;
    world.wait(30_000);
    world.directory_is_down = false;
    assert_eq!(read(&mut world, Op::OperatorServers, "", "")["servers"], json!([]));
    world.wait(10 * 60_000);
    assert_eq!(read(&mut world, Op::OperatorServers, "", "")["servers"].as_array().unwrap().len(), 1);
    assert_eq!(world.rows(UUID_A, "announcement"), 0);
}

#[test]
fn a_server_is_shown_whole_and_never_its_key() {
    let mut world = world();
    world.device(UUID_A, "1", "c0ffee");
    let shown = read(&mut world, Op::OperatorServer, UUID_A, "");
    assert_eq!((shown["hostname"].as_str(), shown["legacy_tokens"].as_u64()), (Some("6cde5f7a.example.org"), Some(1)));
    assert_eq!(shown["push"]["reason"], "No plan few users");
    let realms = read(&mut world, Op::OperatorServerRealms, UUID_A, "");
    assert_eq!(realms["realms"][0]["uuid"], REALM);
    let one = read(&mut world, Op::OperatorRealm, REALM, "");
    assert_eq!((one["host"].as_str(), one["id"].as_u64()), (Some("chat.example.org"), Some(0)));
    let tokens = read(&mut world, Op::OperatorServerTokens, UUID_A, "");
    assert_eq!(tokens["tokens"][0]["kind"], 1);
    assert_eq!(tokens["tokens"][0]["token_hash"].as_str().unwrap().len(), 64);
    let export = read(&mut world, Op::OperatorExport, UUID_A, "");
    let all = format!("{shown}{realms}{one}{tokens}{export}");
    for hidden in ["c0ffee", "secret", &key('k')] {
        assert!(!all.contains(hidden), "{hidden}");
    }
    for (operation, param) in [(Op::OperatorServer, UUID_B), (Op::OperatorRealm, UUID_B), (Op::OperatorServer, "x")] {
        assert_eq!(admin(&mut world, operation, param, "", &Value::Null).status, 404, "{param}");
    }
}

#[test]
fn an_operator_deactivates_reactivates_and_rotates_with_an_entry_each() {
    let mut world = world();
    let because = json!({ "reason": "abuse" });
    assert_eq!(admin(&mut world, Op::OperatorDeactivate, UUID_A, "", &because).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorDeactivate, UUID_A, "", &because).status, 409);
    let ping = || form_call(Op::PushDeviceUnregisterAll, &[("user_id", "1")]);
    assert_eq!(world.send(&as_server(UUID_A, ping())).status, 401);
    world.send(&registration(UUID_B, "6cde5f7a.example.org"));
    let taken = admin(&mut world, Op::OperatorReactivate, UUID_A, "", &Value::Null);
    assert_eq!(taken.status, 409, "the host name is somebody else's now");
    assert_eq!(world.send(&as_server(UUID_B, form_call(Op::PushServerDeactivate, &[]))).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorReactivate, UUID_A, "", &Value::Null).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorReactivate, UUID_A, "", &Value::Null).status, 409);
    accepted(&world.send(&as_server(UUID_A, ping())));
    let rotated = admin(&mut world, Op::OperatorRotate, UUID_A, "", &Value::Null);
    let fresh = body(&rotated)["zulip_org_key"].as_str().unwrap().to_owned();
    assert_eq!(world.send(&as_server(UUID_A, ping())).status, 401);
    accepted(&world.send(&Call { authorization: basic(UUID_A, &fresh), ..ping() }));
    let audit = read(&mut world, Op::OperatorServerAudit, UUID_A, "");
    assert_eq!(events(&audit), [10_215, 10_201, 10_202, 10_216]);
    assert_eq!(audit["rows"][1]["extra_data"], json!({ "reason": "abuse" }));
    assert_eq!(audit["rows"][1]["actor"], "operator:admin");
    let page = read(&mut world, Op::OperatorServerAudit, UUID_A, "limit=2&after=1");
    assert_eq!((events(&page), page["next"].as_i64()), (vec![10_201, 10_202], Some(3)));
}

#[test]
fn a_plan_lets_many_people_push_and_every_change_is_noted() {
    let mut world = world();
    let row = json!([{ "id": 1, "realm": 0, "event_time": 1, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": 50 } } } }]);
    let rows = [
        ("realm_counts", String::from("[]")),
        ("installation_counts", String::from("[]")),
        ("realmauditlog_rows", row.to_string()),
        ("api_feature_level", String::from("400")),
    ];
    let form: Vec<(&str, &str)> = rows.iter().map(|(name, value)| (*name, value.as_str())).collect();
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
    let mut notice = notification(1);
    notice["realm_uuid"] = json!(REALM);
    let notify = as_server(UUID_A, json_call(Op::PushNotify, &notice));
    assert_eq!(world.send(&notify).status, 400);
    let made = admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "tier": 104 } }));
    assert_eq!(made.status, 200, "{}", made.body);
    let made = body(&made);
    assert_eq!((made["plan_type"].as_u64(), made["plan"]["licenses"].as_u64()), (Some(104), Some(50)));
    accepted(&world.send(&notify));
    world.wait(1_000);
    let end = json!({ "plan": { "status": 2 } });
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &end).status, 200);
    let told = accepted(&world.send(&notify));
    assert!(told["realm"]["expected_end_timestamp"].as_u64().unwrap() > world.now.as_millis() / 1_000);
    let audit = read(&mut world, Op::OperatorRealmAudit, REALM, "");
    let made_here: Vec<i64> = events(&audit).into_iter().filter(|event| *event > 200).collect();
    // The first invoice used up a month of the discount and moved the next one.
    assert_eq!(made_here, [501, 502, 204, 505, 506, 506]);
    assert!(events(&audit).contains(&101), "the server's own rows stand there too");
    let last = audit["rows"].as_array().unwrap().iter().rfind(|row| row["event_type"] == 506).unwrap();
    assert_eq!(last["extra_data"], json!({ "property": "status", "old_value": 1, "new_value": 2 }));
    for (bad, status) in [
        (json!({}), 400),
        (json!({ "plan_type": 99 }), 400),
        (json!({ "plan": { "tier": "104" } }), 400),
        (json!({ "plan": { "surprise": 1 } }), 400),
        (json!({ "plan": { "price_per_license": 1_u64 << 40 } }), 400),
    ] {
        assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &bad).status, status, "{bad}");
    }
    assert_eq!(world.send(&as_server(UUID_A, form_call(Op::PushServerDeactivate, &[]))).status, 200, "it ends anyway");
}

#[test]
fn plans_renew_by_the_alarm_and_leave_invoices() {
    let mut world = world();
    let plan = json!({ "plan": { "tier": 103, "licenses": 10 } });
    assert_eq!(admin(&mut world, Op::OperatorServerPlan, UUID_A, "", &plan).status, 200);
    let signing_off = world.send(&as_server(UUID_A, form_call(Op::PushServerDeactivate, &[])));
    refused(&signing_off, 400, "BAD_REQUEST", "");
    assert_eq!(body(&signing_off)["error_description"], "server deactivation with existing plan");
    let amounts = |world: &mut World| {
        let invoices = read(world, Op::OperatorServerInvoices, UUID_A, "");
        let amount = |invoice: &Value| (invoice["kind"].clone(), invoice["amount"].as_u64().unwrap());
        invoices["invoices"].as_array().unwrap().iter().map(amount).collect::<Vec<_>>()
    };
    world.wait(70 * DAY);
    assert_eq!(amounts(&mut world), [(json!("period"), 1_500)], "nobody has uploaded since");
    people(&mut world, &[(7, 10)]);
    world.wait(1);
    assert_eq!(amounts(&mut world), vec![(json!("period"), 1_500); 3]);
    let csv = admin(&mut world, Op::OperatorServerInvoices, UUID_A, "format=csv", &Value::Null);
    let lines: Vec<&str> = csv.body.split("\r\n").collect();
    let header = "id,realm_uuid,kind,tier,created_at,period_start,period_end,licenses,amount,discount,currency";
    assert_eq!((lines[0], lines.len()), (header, 5));
    assert_eq!(csv.media, Media::Csv);
    assert_eq!(csv.header("Content-Disposition"), Some("attachment; filename=\"invoices.csv\""));
    let listed = read(&mut world, Op::OperatorServerInvoices, UUID_A, "");
    assert!(listed["invoices"][0]["realm_uuid"].is_null(), "the server's own: {listed}");
    assert!(lines[1].starts_with("1,,period,103,") && lines[1].ends_with(",10,1500,2000,usd"), "{}", lines[1]);
    assert_eq!(admin(&mut world, Op::OperatorServerInvoices, UUID_A, "format=pdf", &Value::Null).status, 400);
    let end = json!({ "plan": { "status": 2 } });
    admin(&mut world, Op::OperatorServerPlan, UUID_A, "", &end);
    world.wait(40 * DAY);
    let shown = read(&mut world, Op::OperatorServer, UUID_A, "");
    assert_eq!((shown["plan_type"].as_u64(), shown["billing"]["plan"].is_null()), (Some(100), true));
    let audit = read(&mut world, Op::OperatorServerAudit, UUID_A, "limit=200");
    assert_eq!(audit["rows"].as_array().unwrap().last().unwrap()["actor"], "clock");
}

#[test]
fn counts_are_read_by_property_time_and_page() {
    let mut world = world();
    let rows: Vec<Value> = (1..=5)
        .map(|id| {
            json!({ "property": "1day_actives::day", "realm": 0, "id": id, "end_time": id * 86_400,
            "subgroup": null, "value": id })
        })
        .collect();
    let rows = Value::from(rows).to_string();
    let form = [("realm_counts", rows.as_str()), ("installation_counts", rows.as_str())];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
    for (operation, param) in [(Op::OperatorServerCounts, UUID_A), (Op::OperatorRealmCounts, REALM)] {
        let values = |told: &Value| -> Vec<i64> {
            told["rows"].as_array().unwrap().iter().map(|row| row["value"].as_i64().unwrap()).collect()
        };
        let all = read(&mut world, operation, param, "property=1day_actives::day");
        assert_eq!((values(&all), all["next"].is_null()), (vec![1, 2, 3, 4, 5], true));
        let some = read(&mut world, operation, param, "property=1day_actives::day&from=172800&to=345600");
        assert_eq!(values(&some), [2, 3, 4]);
        let page = read(&mut world, operation, param, "property=1day_actives::day&limit=2");
        let next = page["next"].as_str().unwrap();
        let rest = read(&mut world, operation, param, &format!("property=1day_actives::day&limit=2&after={next}"));
        assert_eq!((values(&page), values(&rest)), (vec![1, 2], vec![3, 4]));
        for bad in ["", "property=x", "property=1day_actives::day&from=x", "property=1day_actives::day&after=x"] {
            assert_eq!(admin(&mut world, operation, param, bad, &Value::Null).status, 400, "{bad}");
        }
    }
    world.device(UUID_A, "1", "aa");
    accepted(&world.send(&as_server(UUID_A, json_call(Op::PushNotify, &notification(1)))));
    let own = read(&mut world, Op::OperatorServerCounts, UUID_A, "property=mobile_pushes_forwarded::day");
    assert_eq!(own["rows"][0]["value"], 1);
}

#[test]
fn an_organization_moves_with_its_owners_secret_and_only_then() {
    let mut world = world();
    world.send(&registration(UUID_B, "other.example.net"));
    let to = |secret: &str| json!({ "server": UUID_B, "uuid_owner_secret": secret });
    let before = world.dump();
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &to("wrong")).status, 403);
    let nowhere = json!({ "server": "8cde5f7a-1f7e-4978-9716-49f69ebfc9fe", "uuid_owner_secret": "secret" });
    let lost = admin(&mut world, Op::OperatorRealmMove, REALM, "", &nowhere);
    assert_eq!(lost.status, 404, "{}", lost.body);
    let same = json!({ "server": UUID_A, "uuid_owner_secret": "secret" });
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &same).status, 409);
    assert_eq!(world.dump(), before);
    assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "tier": 103 } })).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorRealmMove, REALM, "", &to("secret")).status, 409, "a live plan");
    admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "status": 11 } }));
    let moved = admin(&mut world, Op::OperatorRealmMove, REALM, "", &to("secret"));
    assert_eq!(body(&moved), json!({ "realm": REALM, "server": UUID_B }));
    world.wait(60_000);
    assert_eq!((world.rows(UUID_A, "realm"), world.rows(UUID_B, "realm")), (0, 1));
    let told = accepted(&world.upload(UUID_B, &[REALM]));
    assert!(told["realms"][REALM].is_object());
    refused(&world.upload(UUID_A, &[REALM]), 400, "BAD_REQUEST", "Duplicate registration detected.");
    let audit = read(&mut world, Op::OperatorRealmAudit, REALM, "");
    assert_eq!(audit["rows"][0]["event_type"], 20_005);
    assert_eq!(
        audit["rows"][0]["extra_data"],
        json!({ "attr_name": "server", "old_value": UUID_A, "new_value": UUID_B })
    );
    assert_eq!(
        world
            .shards
            .values()
            .map(|stage| stage.database.dump().iter().filter(|line| line.starts_with("realm_move: ")).count())
            .sum::<usize>(),
        0
    );
}

#[test]
fn a_removed_server_leaves_its_audit_and_nothing_personal() {
    let mut world = world();
    for index in 0..450 {
        let (user, token) = (index.to_string(), format!("{index:04x}"));
        let form =
            [("user_id", user.as_str()), ("token", token.as_str()), ("token_kind", "1"), ("ios_app_id", "org.App")];
        accepted(&world.register_device(UUID_A, &form));
        if index % 100 == 0 {
            world.wait(60_000);
        }
    }
    assert_eq!(admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &json!({ "reason": "asked" })).status, 200);
    assert_eq!(admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &Value::Null).status, 409);
    assert_eq!(admin(&mut world, Op::OperatorReactivate, UUID_A, "", &Value::Null).status, 409);
    assert_eq!(world.send(&as_server(UUID_A, form_call(Op::PushDeviceUnregisterAll, &[("user_id", "1")]))).status, 401);
    world.wait(20 * 60_000);
    for table in ["device", "sealed_device", "delivery", "realm_count", "headcount", "own_count"] {
        assert_eq!(world.rows(UUID_A, table), 0, "{table}");
    }
    let names = |world: &World, shard_table: &str| -> usize {
        let lines = world.shards.values().flat_map(|stage| stage.database.dump());
        lines.filter(|line| line.starts_with(shard_table)).count()
    };
    assert_eq!((names(&world, "token_holder: "), names(&world, "name: "), names(&world, "server_index: ")), (0, 0, 0));
    let text = |world: &World, sql: &'static str| world.servers[UUID_A].database.read(Statement::plain(sql)).unwrap();
    let server = &text(&world, "SELECT hostname, contact_email FROM server")[0];
    assert_eq!((server.text(0).unwrap(), server.text(1).unwrap()), ("", ""));
    assert_eq!(
        text(&world, "SELECT count(*) FROM realm WHERE host != '' OR profile IS NOT NULL")[0].integer(0).unwrap(),
        0
    );
    let audit = read(&mut world, Op::OperatorServerAudit, UUID_A, "");
    assert_eq!(events(&audit), [10_215, 10_203]);
    assert_eq!(world.send(&registration(UUID_B, "6cde5f7a.example.org")).status, 200, "its host name is free");
}

#[test]
fn the_payment_system_is_told_signed_until_it_listens() {
    let mut world = world();
    world.outside = Box::new(|_| Some(answered(500, "")));
    admin(&mut world, Op::OperatorServerPlan, UUID_A, "", &json!({ "plan": { "tier": 103 } }));
    world.wait(1_000);
    let first = world.fetched.iter().find(|fetch| fetch.url == "https://pay.example/hook").expect("told").clone();
    let header = first.headers.iter().find(|(name, _)| name == "Waystation-Signature").map(|(_, value)| value.clone());
    assert!(is_genuine(&Secret::new(SECRET.to_owned()), header.as_deref(), &first.body, world.now));
    let told: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((told["type"].as_str(), told["server"].as_str()), (Some("plan.changed"), Some(UUID_A)));
    assert_eq!((told["plan_type"].as_u64(), told["billing"]["plan"]["tier"].as_u64()), (Some(103), Some(103)));
    world.wait(10 * 60_000);
    let tries = world.fetched.len();
    assert!((3..12).contains(&tries), "{tries} tries");
    world.outside = Box::new(|_| Some(answered(204, "")));
    world.wait(2 * 3_600_000);
    assert_eq!(world.rows(UUID_A, "billing_event"), 0);
    world.outside = Box::new(|_| None);
    admin(&mut world, Op::OperatorDeactivate, UUID_A, "", &Value::Null);
    world.wait(4 * DAY);
    assert_eq!(world.rows(UUID_A, "billing_event"), 0, "given up after three days");
}

#[test]
fn a_signed_message_of_the_payment_system_sets_a_plan_once() {
    let mut world = world();
    let send = |world: &mut World, message: &Value, key: &str| {
        let body = message.to_string().into_bytes();
        let signature = sign(&Secret::new(key.to_owned()), &body, world.now);
        let authorization = Some(signature);
        world.send(&Call { params: vec![UUID_A.to_owned()], authorization, body, ..call(Op::PushBillingEvent) })
    };
    let message = json!({ "event": "evt_1", "server": UUID_A, "realm": REALM, "change": { "plan": { "tier": 103, "licenses": 10 },
        "customer": { "payment_reference": "cus_1" } } });
    assert_eq!(send(&mut world, &message, "another key").status, 401);
    assert_eq!(send(&mut world, &message, SECRET).status, 200);
    let shown = read(&mut world, Op::OperatorRealm, REALM, "");
    assert_eq!(shown["billing"]["customer"]["payment_reference"], "cus_1");
    assert_eq!(shown["plan_type"], 103);
    let before = world.dump();
    assert_eq!(send(&mut world, &message, SECRET).status, 200, "repeated");
    assert_eq!(world.dump(), before);
    for (bad, status) in [
        (json!({ "event": "evt_2", "change": { "plan_type": 102 } }), 400),
        (json!({ "event": "evt_2", "server": UUID_B, "change": { "plan_type": 102 } }), 404),
        (json!({ "event": "evt_2", "server": UUID_A, "change": { "plan_type": 99 } }), 400),
        (json!({ "event": "", "server": UUID_A, "change": {} }), 400),
        (json!({ "event": "evt_3", "server": UUID_A, "realm": UUID_B, "change": { "plan_type": 102 } }), 404),
    ] {
        assert_eq!(send(&mut world, &bad, SECRET).status, status, "{bad}");
    }
    assert_eq!(world.dump(), before, "nothing of a refused message stays");
    let settled = json!({ "event": "evt_4", "server": UUID_A, "change": {} });
    assert_eq!(send(&mut world, &settled, SECRET).status, 200, "what is so already is not sent again for days");
    assert_eq!(world.rows(UUID_A, "billing_seen"), 2);
    let audit = read(&mut world, Op::OperatorRealmAudit, REALM, "");
    assert_eq!(audit["rows"][0]["actor"], "payment");
}

#[test]
fn a_link_for_an_owner_is_made_for_known_organizations_and_known_pages_only() {
    let mut world = world();
    let user = json!({ "uuid": push_world::USER, "email": "owner@example.org", "full_name": "Owner" }).to_string();
    let organization = realm(0, REALM).to_string();
    let ask = |world: &mut World, form: &[(&str, &str)]| {
        let browser = Some(Browser { base: String::from("https://push.example.org"), ..Browser::default() });
        world.send(&as_server(UUID_A, Call { browser, ..form_call(Op::PushBilling, form) }))
    };
    let form = [("user", user.as_str()), ("realm", organization.as_str()), ("next_page", "plans")];
    let told = accepted(&ask(&mut world, &form));
    let url = told["billing_access_url"].as_str().unwrap();
    assert!(url.starts_with("https://push.example.org/remote-billing-login/"), "{url}");
    let unknown = realm(0, UUID_B).to_string();
    let reply = ask(&mut world, &[("user", &user), ("realm", &unknown)]);
    refused(&reply, 403, "MISSING_REMOTE_REALM", "Organization not registered");
    for (field, value, msg) in
        [("next_page", "invoices", "Invalid next_page"), ("uri_scheme", "ftp://", "Invalid uri_scheme")]
    {
        let form = [("user", user.as_str()), ("realm", organization.as_str()), (field, value)];
        refused(&ask(&mut world, &form), 400, "BAD_REQUEST", msg);
    }
}

#[test]
fn counts_older_than_four_hundred_days_are_forgotten_by_the_alarm() {
    let mut world = world();
    let today = world.now.as_millis() / 1_000;
    let row = |id: u64, age_days: u64| {
        json!({ "property": "1day_actives::day", "realm": 0, "id": id, "end_time": today - age_days * 86_400,
            "subgroup": null, "value": 1 })
    };
    let rows = json!([row(1, 399), row(2, 1)]).to_string();
    let form = [("realm_counts", rows.as_str()), ("installation_counts", "[]")];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
    world.wait(3_600_000);
    assert_eq!(world.rows(UUID_A, "realm_count"), 2);
    world.wait(2 * DAY);
    assert_eq!(world.rows(UUID_A, "realm_count"), 1);
    world.wait(400 * DAY);
    assert_eq!(world.rows(UUID_A, "realm_count"), 0);
}

#[test]
fn a_server_reads_its_own_counts_and_no_others() {
    let mut world = world();
    world.device(UUID_A, "1", "aa");
    let mut notice = notification(1);
    notice["realm_uuid"] = json!(REALM);
    accepted(&world.send(&as_server(UUID_A, json_call(Op::PushNotify, &notice))));
    let counts = |uuid: &str, query: &str| as_server(uuid, Call { query: query.to_owned(), ..call(Op::PushCounts) });
    for query in
        ["property=mobile_pushes_received::day", &format!("property=mobile_pushes_received::day&realm_uuid={REALM}")]
    {
        let told = accepted(&world.send(&counts(UUID_A, query)));
        assert_eq!(told["rows"][0]["value"], 1, "{query}");
    }
    world.send(&registration(UUID_B, "other.example.net"));
    let foreign = world.send(&counts(UUID_B, &format!("property=mobile_pushes_received::day&realm_uuid={REALM}")));
    assert_eq!(foreign.status, 403);
    let bad = world.send(&counts(UUID_A, "property=x"));
    refused(&bad, 400, "BAD_REQUEST", "The query parameter property is not valid");
    let nobody = Call { authorization: None, ..counts(UUID_A, "property=mobile_pushes_received::day") };
    assert_eq!(world.send(&nobody).status, 401);
}

#[test]
fn only_objects_of_the_service_take_organizations_in_or_let_them_go() {
    let mut world = world();
    world.send(&registration(UUID_B, "other.example.net"));
    let wanted = json!({ "server": UUID_B, "uuid_owner_secret": "secret" });
    let pack = Call { principal: Principal::Operator, ..wish(Op::OperatorRealmMove, REALM, "", &wanted) };
    let bundle = body(&world.server(UUID_A).call(&pack));
    let farewell =
        json!({ "move_number": 9, "realm": REALM, "to": UUID_B, "actor": "operator:admin", "mode": "leave" });
    let before = world.dump();
    for stranger in [Principal::Anonymous, Principal::Operator] {
        let adopt = Call { principal: stranger, ..wish(Op::PushRealmAdopt, "", "", &bundle) };
        assert_eq!(world.server(UUID_B).call(&adopt).status, 404, "{stranger:?}");
        let drop = Call { principal: stranger, ..wish(Op::PushRealmDrop, "", "", &farewell) };
        assert_eq!(world.server(UUID_A).call(&drop).status, 404, "{stranger:?}");
    }
    assert_eq!(world.dump(), before);
}

/// A browser that an operator's request is made at.
fn at_base(call: Call) -> Call {
    Call { browser: Some(Browser { base: String::from("https://push.example.org"), ..Browser::default() }), ..call }
}

#[test]
fn an_operator_mints_a_link_with_which_the_contact_ends_the_registration() {
    let mut world = world();
    let mint = |world: &mut World, body: &Value| {
        let call = at_base(wish(Op::OperatorDeactivationLink, UUID_A, "", body));
        world.send(&Call { principal: Principal::Operator, ..call })
    };
    let made = mint(&mut world, &json!({ "reason": "asked by telephone" }));
    assert_eq!((made.status, made.header("Cache-Control")), (200, Some("no-store")), "{}", made.body);
    let url = body(&made)["url"].as_str().unwrap().to_owned();
    let key = url.strip_prefix("https://push.example.org/serverlogin/do_confirm/").expect("a link of ours").to_owned();
    assert!(!world.dump().iter().any(|line| line.contains(&key)), "the link itself is kept nowhere");
    assert!(world.fetched.is_empty(), "the operator sends it");
    let audit = read(&mut world, Op::OperatorServerAudit, UUID_A, "");
    let last = audit["rows"].as_array().unwrap().last().unwrap();
    assert_eq!((last["event_type"].as_i64(), last["actor"].as_str()), (Some(20_006), Some("operator:admin")));
    assert_eq!(last["extra_data"]["reason"], "asked by telephone");
    assert!(!audit.to_string().contains(&key));
    let open = at_base(Call { params: vec![key], ..call(Op::BillingServerConfirm) });
    let door = world.send(&open);
    assert!(door.status == 200 && door.body.contains("admin@example.org"), "{}", door.body);
    world.wait(DAY + 1);
    assert_eq!(world.send(&open).status, 404, "for a day");
    world.wait(DAY);
    assert_eq!(world.rows(UUID_A, "billing_preregistration"), 0);

    assert_eq!(mint(&mut world, &json!({ "surprise": 1 })).status, 400);
    admin(&mut world, Op::OperatorDeactivate, UUID_A, "", &Value::Null);
    let late = mint(&mut world, &Value::Null);
    assert_eq!((late.status, body(&late)["detail"].as_str()), (409, Some("The server is deactivated already")));
    admin(&mut world, Op::OperatorServerRemove, UUID_A, "", &Value::Null);
    assert_eq!(mint(&mut world, &Value::Null).status, 409);
    let mut keyless = World::with(&[("PUSH_TRANSFER_KEY", "-")]);
    keyless.register(UUID_A);
    assert_eq!(mint(&mut keyless, &Value::Null).status, 503);
}

#[test]
fn a_deactivation_link_names_the_operators_host_where_one_is_set() {
    let mut world = World::with(&[("BILLING_HOST", "selfhosting.example.org")]);
    world.register(UUID_A);
    let call = at_base(wish(Op::OperatorDeactivationLink, UUID_A, "", &Value::Null));
    let made = world.send(&Call { principal: Principal::Operator, ..call });
    let url = body(&made)["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://selfhosting.example.org/serverlogin/do_confirm/"), "{url}");
}

#[test]
fn a_deactivation_link_names_no_host_that_only_the_request_knows_where_letters_leave_the_service() {
    let mut world = World::with(&[("MAIL_WEBHOOK_URL", "https://mail.example/"), ("MAIL_WEBHOOK_SECRET", "hush")]);
    world.register(UUID_A);
    let call = at_base(wish(Op::OperatorDeactivationLink, UUID_A, "", &Value::Null));
    let made = world.send(&Call { principal: Principal::Operator, ..call });
    assert_eq!((made.status, body(&made)["code"].as_str()), (503, Some("not_configured")), "{}", made.body);
    assert!(made.body.contains("BILLING_HOST"));
    assert_eq!(world.rows(UUID_A, "billing_preregistration"), 0);
}

const LISTS: [(Op, &str, &str); 12] = [
    (Op::OperatorServers, "", ""),
    (Op::OperatorServerRealms, UUID_A, ""),
    (Op::OperatorServerAudit, UUID_A, ""),
    (Op::OperatorServerCounts, UUID_A, "&property=1day_actives::day"),
    (Op::OperatorServerTokens, UUID_A, ""),
    (Op::OperatorServerInvoices, UUID_A, ""),
    (Op::OperatorBillingUsers, UUID_A, ""),
    (Op::OperatorExport, UUID_A, ""),
    (Op::OperatorRealmAudit, REALM, ""),
    (Op::OperatorRealmCounts, REALM, "&property=1day_actives::day"),
    (Op::OperatorRealmInvoices, REALM, ""),
    (Op::OperatorTokens, "", ""),
];

#[test]
fn every_list_takes_at_most_two_hundred_at_once_and_refuses_what_is_no_cursor() {
    let mut world = world();
    for (operation, param, rest) in LISTS {
        for (query, status) in [
            ("", 200),
            ("limit=1", 200),
            ("limit=200", 200),
            ("limit=0", 400),
            ("limit=201", 400),
            ("limit=-1", 400),
            ("limit=x", 400),
            ("limit=1.5", 400),
            ("after=x", 400),
            ("after=-1", 400),
            ("after=99999999999999999999", 400),
            ("after=x%27%3Bdrop", 400),
        ] {
            let query = format!("{query}{rest}");
            let reply = admin(&mut world, operation, param, query.trim_start_matches('&'), &Value::Null);
            assert_eq!(reply.status, status, "{operation:?} {query}: {}", reply.body);
        }
    }
    let listed: Vec<Op> = LISTS.iter().map(|(operation, ..)| *operation).collect();
    let lists = ROUTES.iter().filter(|route| route.who == Who::PushOperator && route.query.contains(&"after"));
    for route in lists {
        assert!(listed.contains(&route.operation), "{} is a list", route.template);
    }
}

/// A server as large as one may be, without the time that its uploads would take.
fn huge() -> World {
    let world = world();
    let fill = |sql: &'static str| Statement::plain(sql);
    let batch = vec![
        fill(
            "WITH RECURSIVE of(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM of WHERE n < 10000) INSERT INTO realm (uuid, \
            host, name, owner_secret, created_at, last_updated, number) SELECT printf('%08x-0000-4000-8000-000000000000', \
            n), 'host', 'name', zeroblob(32), n, n, n FROM of",
        ),
        fill(
            "WITH RECURSIVE of(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM of WHERE n < 500000) INSERT INTO device (kind, \
            token, token_hash, user_id, realm_id, registered_at) SELECT 2, 'token', randomblob(32), n, n % 10000, n FROM of",
        ),
        fill("INSERT OR REPLACE INTO tally VALUES (1, 500000, 0, 0)"),
        fill(
            "WITH RECURSIVE of(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM of WHERE n < 1000000) INSERT INTO realm_audit \
            (number, remote_id, event_time, backfilled, event_type, extra, actor) SELECT n % 10000, n, n, 0, 101, \
            '{}', 'server' FROM of",
        ),
        fill("INSERT OR REPLACE INTO upload_mark VALUES ('audit', 1000000, 1000000, 1000000, 0, 2000000)"),
    ];
    world.servers[UUID_A].database.commit(batch).unwrap();
    world
}

#[test]
fn lists_and_exports_of_the_largest_server_cost_no_more_than_a_page() {
    let (mut small, mut large) = (world(), huge());
    for (operation, param, rest) in LISTS {
        let cost = |world: &mut World, query: &str| {
            world.servers[UUID_A].database.take_read_steps();
            let reply = admin(world, operation, param, query, &Value::Null);
            assert_eq!(reply.status, 200, "{operation:?}: {}", reply.body);
            (world.servers[UUID_A].database.take_read_steps(), reply.body.len())
        };
        let query = format!("limit=200{rest}");
        let ((few, _), (many, bytes)) = (cost(&mut small, &query), cost(&mut large, &query));
        // What is left beside the page is counting the organizations.
        assert!(many < few + 200 * 200 + 10_000 * 3, "{operation:?}: {few} steps, then {many}");
        assert!(bytes < 256 * 1024, "{operation:?}: {bytes} bytes");
    }
    let (mut after, mut seen, mut pages) = (0, 0, 0);
    loop {
        let page = read(&mut large, Op::OperatorExport, UUID_A, &format!("after={after}"));
        assert_eq!(
            (page["realms_total"].as_u64(), page["uploaded_rows"]["audit"].as_u64()),
            (Some(10_000), Some(1_000_000))
        );
        assert_eq!(page["server"]["legacy_tokens"], 500_000);
        seen += page["realms"].as_array().unwrap().len();
        pages += 1;
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!((seen, pages), (10_000, 51), "all of it, page by page");
}

#[test]
fn an_export_shows_organizations_with_their_plans_and_no_secret() {
    let mut world = world();
    admin(&mut world, Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "tier": 103 } }));
    let reply = admin(&mut world, Op::OperatorExport, UUID_A, "", &Value::Null);
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    let export = body(&reply);
    assert_eq!(export["realms"][0]["billing"]["plan"]["tier"], 103);
    assert_eq!((export["server"]["uuid"].as_str(), export["next"].is_null()), (Some(UUID_A), true));
    for secret in ["owner_secret", &key('k')] {
        assert!(!reply.body.contains(secret), "{secret}");
    }
}

#[test]
fn a_page_of_long_rows_is_shorter_and_nothing_is_left_out() {
    let mut world = world();
    let row = "WITH RECURSIVE of(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM of WHERE n < 100) INSERT INTO server_audit \
        (event_time, event_type, extra) SELECT n, 10204, '{\"reason\":\"' || printf('%060000d', n) || '\"}' FROM of";
    world.servers[UUID_A].database.commit(vec![Statement::plain(row)]).unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let reply =
            admin(&mut world, Op::OperatorServerAudit, UUID_A, &format!("limit=200&after={after}"), &Value::Null);
        assert!(reply.body.len() < 1_200_000, "{}", reply.body.len());
        let page = body(&reply);
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, (1..=101).collect::<Vec<_>>());
}

#[test]
fn growth_within_a_year_is_billed_each_month_and_a_crash_bills_nothing_twice() {
    let play = |crashes: bool, looks_every_ms: u64| {
        let mut world = world();
        let plan = json!({ "tier": 104, "licenses": 30, "billing_schedule": 1 });
        let wish = json!({ "plan": plan, "customer": { "flat_discount": 0 } });
        assert_eq!(admin(&mut world, Op::OperatorRealmPlan, REALM, "", &wish).status, 200);
        let pass = |world: &mut World, until_day: u64| {
            let until = 1_800_000_010_000 + until_day * DAY;
            while world.now.as_millis() < until {
                world.wait(looks_every_ms.min(until - world.now.as_millis()));
                if crashes {
                    world.crash();
                }
            }
        };
        let mut id = 0;
        // Two come, one goes, and comes back with another in the month after; the server is silent from July to November.
        for (day, count) in [(1, 30), (50, 32), (60, 31), (70, 33), (100, 33), (160, 33), (300, 40), (400, 41)] {
            pass(&mut world, day);
            id += 1;
            people(&mut world, &[(id, count)]);
            if crashes {
                world.crash();
            }
        }
        pass(&mut world, 401);
        let shown = read(&mut world, Op::OperatorRealm, REALM, "");
        let invoices = read(&mut world, Op::OperatorRealmInvoices, REALM, "");
        let invoices = invoices["invoices"].as_array().unwrap().iter().map(|invoice| {
            let number = |name: &str| invoice[name].as_u64().unwrap();
            let day = |name: &str| (number(name) - 1_800_000_000) / 86_400;
            let kind = invoice["kind"].as_str().unwrap().to_owned();
            (kind, day("period_start"), day("period_end"), number("licenses"), number("amount"))
        });
        (invoices.collect::<Vec<_>>(), shown["billing"]["plan"]["licenses_not_invoiced"].clone())
    };
    let once = play(false, 500 * DAY);
    let invoice = |kind: &str, start, end, licenses, amount| (kind.to_owned(), start, end, licenses, amount);
    let (year, two) = (365, 731);
    // A license costs 8,000 a year: 315, 295 and 65 days of 365 are left, less ten seconds.
    let expected = vec![
        invoice("period", 0, year, 30, 30 * 8_000),
        invoice("additional", 50, year, 2, 2 * 6_904),
        invoice("additional", 70, year, 1, 6_466),
        invoice("additional", 300, year, 7, 7 * 1_425),
        invoice("period", year, two, 40, 40 * 8_000),
    ];
    assert_eq!(once, (expected, json!(1)), "the one of day 400 follows in a month");
    assert_eq!(play(true, 500 * DAY), once);
    assert_eq!(play(true, 7 * DAY), once);
}
