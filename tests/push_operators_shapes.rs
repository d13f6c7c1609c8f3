//! The document's schemas and what operators are really answered: no member is missing there, and none is unknown.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use std::collections::BTreeSet;

use push_world::support::{body, call};
use push_world::{REALM, UUID_A, UUID_B, World, accepted, as_server, form_call};
use serde_json::{Value, json};
use waystation::front::openapi::document;
use waystation::front::routes::{ROUTES, Route, Who};
use waystation::kernel::object::{Browser, Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::reply::{Media, Reply};
use waystation::kernel::secret::Secret;
use waystation::kernel::signed::sign;
use waystation::kernel::sql::{Sql as _, Statement};

const SECRET: &str = "the payment system's key";
const DAY: u64 = 24 * 3_600_000;

/// What of `value` a schema does not allow: the keywords that our schemas use, and no member that is not described.
fn strange(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    for keyword in schema.as_object().unwrap().keys() {
        let known = [
            "$ref",
            "type",
            "const",
            "enum",
            "anyOf",
            "required",
            "properties",
            "additionalProperties",
            "items",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "pattern",
            "format",
            "description",
            "maxItems",
            "default",
        ];
        assert!(known.contains(&keyword.as_str()), "{keyword} is not looked at");
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        return strange(document, &document["components"]["schemas"][name], value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let all: Vec<_> = any.iter().map(|schema| strange(document, schema, value, at)).collect();
        return all.into_iter().min_by_key(Vec::len).unwrap();
    }
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{at}: {what}: {value}"));
        }
    };
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{name}"),
    };
    match &schema["type"] {
        Value::String(name) => check(is(name), name),
        Value::Array(names) => check(names.iter().any(|name| is(name.as_str().unwrap())), "type"),
        _ => {}
    }
    check(schema.get("const").is_none_or(|only| value == only), "const");
    if let Some(all) = schema["enum"].as_array() {
        check(all.contains(value), "enum");
    }
    if let Some(number) = value.as_f64() {
        check(schema["minimum"].as_f64().is_none_or(|least| number >= least), "minimum");
        check(schema["maximum"].as_f64().is_none_or(|most| number <= most), "maximum");
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        check(schema["minLength"].as_u64().is_none_or(|least| length >= least), "minLength");
        check(schema["maxLength"].as_u64().is_none_or(|most| length <= most), "maxLength");
        if schema["format"] == "uuid" {
            check(text.len() == 36 && text.matches('-').count() == 4, "uuid");
        }
    }
    found.extend(strange_inside(document, schema, value, at));
    found
}

/// The same of what stands in a list or an object.
fn strange_inside(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            found.extend(strange(document, &schema["items"], item, &format!("{at}/{index}")));
        }
    } else if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}/{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null | Value::Bool(false)) => found.push(format!("{at} is not described")),
                (Value::Null, Value::Bool(true)) => {}
                (Value::Null, other) => found.extend(strange(document, other, member, &at)),
                (schema, _) => found.extend(strange(document, schema, member, &at)),
            }
        }
    }
    found
}

struct Checked {
    world: World,
    document: Value,
    seen: BTreeSet<String>,
}

fn route(operation: Op) -> &'static Route {
    ROUTES.iter().find(|route| route.operation == operation).unwrap()
}

impl Checked {
    fn ask(&mut self, operation: Op, param: &str, query: &str, wish: &Value) -> Value {
        let params = param.split(' ').filter(|param| !param.is_empty()).map(str::to_owned).collect();
        let body = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
        let browser = Some(Browser { base: String::from("https://push.example.org"), ..Browser::default() });
        let query = query.to_owned();
        let asked = Call { params, query, body, browser, principal: Principal::Operator, ..call(operation) };
        let reply = self.world.send(&asked);
        if !wish.is_null() {
            let name = route(operation).request.expect("a body that is described");
            self.hold(
                &format!("{operation:?} asked"),
                &json!({ "$ref": format!("#/components/schemas/{name}") }),
                wish,
            );
        }
        self.check(operation, &reply)
    }

    fn check(&mut self, operation: Op, reply: &Reply) -> Value {
        assert_eq!(reply.status, 200, "{operation:?}: {}", reply.body);
        let route = route(operation);
        let method = route.method.name().to_ascii_lowercase();
        let answer = &self.document["paths"][route.template][method]["responses"]["200"]["content"];
        let schema = answer["application/json"]["schema"].clone();
        let body = body(reply);
        self.hold(&format!("{operation:?}"), &schema, &body);
        self.seen.insert(format!("{operation:?}"));
        body
    }

    fn hold(&self, what: &str, schema: &Value, value: &Value) {
        assert!(schema.is_object(), "{what} has no schema");
        let found = strange(&self.document, schema, value, "");
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

/// A server with everything: people, devices, a plan that was billed, owners' accounts, and a realm with a plan of its own.
fn checked() -> Checked {
    let mut world = World::with(&[("PUSH_BILLING_KEY", SECRET)]);
    world.register(UUID_A);
    accepted(&world.upload(UUID_A, &[REALM]));
    let now = world.now.as_millis() / 1_000;
    let people = json!([{ "id": 1, "realm": 0, "event_time": now, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": 10, "600": 2 } } } }])
    .to_string();
    let counts =
        json!([{ "property": "1day_actives::day", "subgroup": null, "end_time": now - now % 86_400, "value": 7,
        "id": 1, "realm": 0 }])
        .to_string();
    let form = [("realm_counts", counts.as_str()), ("installation_counts", "[]"), ("realmauditlog_rows", &people)];
    accepted(&world.send(&as_server(UUID_A, form_call(Op::PushAnalytics, &form))));
    world.device(UUID_A, "1", "aa");
    world.wait(10_000);
    Checked { world, document: serde_json::from_str(&document()).unwrap(), seen: BTreeSet::new() }
}

fn plan() -> Value {
    json!({
        "customer": { "payment_reference": "cus_1", "flat_discount": 0, "required_plan_tier": 103 },
        "plan": { "tier": 103, "licenses": 12, "automanage_licenses": false, "discount": null },
    })
}

#[test]
fn every_answer_to_an_operator_is_what_the_document_says() {
    let mut checked = checked();
    let none = Value::Null;
    checked.ask(Op::OperatorServers, "", "", &none);
    checked.ask(Op::OperatorServers, "", "limit=1", &none);
    checked.ask(Op::OperatorServer, UUID_A, "", &none);
    checked.ask(Op::OperatorRealm, REALM, "", &none);
    checked.ask(Op::OperatorRealmPlan, REALM, "", &plan());
    checked.ask(Op::OperatorServerPlan, UUID_A, "", &json!({ "customer": { "flat_discount": 100 } }));
    checked.world.wait(DAY);
    let users = format!(
        "INSERT INTO billing_user (user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
        tos_version, enable_major_release_emails, enable_maintenance_release_emails) VALUES \
        (1, '{REALM}', '{UUID_B}', 'ada@b.org', 'Ada', 1000, NULL, 1, '1.0', 1, 1), \
        (2, NULL, NULL, 'root@b.org', 'Root', 1000, 2000, 1, '1.0', 1, 1)"
    );
    let users: &'static str = Box::leak(users.into_boxed_str());
    checked.world.servers[UUID_A].database.commit(vec![Statement::plain(users)]).unwrap();
    for query in ["", "limit=1"] {
        let realms = checked.ask(Op::OperatorServerRealms, UUID_A, query, &none);
        assert_eq!(realms["realms"].as_array().unwrap().len(), 1);
        let audit = checked.ask(Op::OperatorServerAudit, UUID_A, query, &none);
        assert!(!audit["rows"].as_array().unwrap().is_empty());
        let audit = checked.ask(Op::OperatorRealmAudit, REALM, query, &none);
        assert!(!audit["rows"].as_array().unwrap().is_empty());
        let tokens = checked.ask(Op::OperatorServerTokens, UUID_A, query, &none);
        assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
        let invoices = checked.ask(Op::OperatorRealmInvoices, REALM, query, &none);
        assert_eq!(invoices["invoices"].as_array().unwrap().len(), 1);
        let users = checked.ask(Op::OperatorBillingUsers, UUID_A, query, &none);
        assert!(!users["billing_users"].as_array().unwrap().is_empty());
        checked.ask(Op::OperatorServerInvoices, UUID_A, query, &none);
        checked.ask(Op::OperatorExport, UUID_A, query, &none);
    }
    let points = checked.ask(Op::OperatorRealmCounts, REALM, "property=1day_actives::day", &none);
    assert_eq!(points["rows"].as_array().unwrap().len(), 1);
    checked.ask(Op::OperatorServerCounts, UUID_A, "property=1day_actives::day", &none);
    checked.ask(Op::OperatorBillingUserClose, &format!("{UUID_A} 1"), "", &json!({ "reason": "left" }));
    checked.ask(Op::OperatorMetrics, "", "", &none);
    let shown =
        checked.ask(Op::OperatorTokenCreate, "", "", &json!({ "name": "a", "role": "viewer", "expires_in": 60 }));
    checked.ask(Op::OperatorTokens, "", "limit=1", &none);
    checked.ask(Op::OperatorTokenRevoke, shown["id"].as_str().unwrap(), "", &none);
    checked.ask(Op::OperatorTokens, "", "", &none);

    let message = json!({ "event": "e", "server": UUID_A, "realm": REALM, "change": { "plan": { "licenses": 13 } } });
    let body = message.to_string().into_bytes();
    let authorization = Some(sign(&Secret::new(SECRET.to_owned()), &body, checked.world.now));
    let told = Call { params: vec![UUID_A.to_owned()], authorization, body, ..call(Op::PushBillingEvent) };
    let reply = checked.world.send(&told);
    checked.hold("message", &json!({ "$ref": "#/components/schemas/BillingMessage" }), &message);
    checked.check(Op::PushBillingEvent, &reply);

    checked.ask(Op::OperatorRealmPlan, REALM, "", &json!({ "plan": { "status": 11 } }));
    checked.world.register(UUID_B);
    checked.world.wait(10_000);
    let proof = json!({ "server": UUID_B, "uuid_owner_secret": push_world::realm(0, REALM)["uuid_owner_secret"] });
    checked.ask(Op::OperatorRealmDeactivate, REALM, "", &json!({ "reason": "unpaid" }));
    checked.ask(Op::OperatorRealmReactivate, REALM, "", &none);
    checked.ask(Op::OperatorRealmMove, REALM, "", &proof);
    checked.ask(Op::OperatorDeactivationLink, UUID_A, "", &none);
    checked.ask(Op::OperatorRotate, UUID_A, "", &none);
    checked.ask(Op::OperatorDeactivate, UUID_A, "", &json!({ "reason": null }));
    checked.ask(Op::OperatorReactivate, UUID_A, "", &none);
    checked.ask(Op::OperatorServerRemove, UUID_A, "", &none);
    checked.ask(Op::OperatorServer, UUID_A, "", &none);
    checked.ask(Op::OperatorExport, UUID_A, "", &none);

    for route in ROUTES.iter().filter(|route| matches!(route.who, Who::PushOperator | Who::Signer)) {
        assert!(checked.seen.contains(&format!("{:?}", route.operation)), "{} was not looked at", route.template);
    }
}

#[test]
fn refusals_with_a_place_are_what_the_document_says() {
    let mut checked = checked();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let refused = [
        (Op::OperatorServerPlan, UUID_A, "", r#"{"plan":{"tier":"x"}}"#),
        (Op::OperatorServers, "", "limit=0", ""),
        (Op::OperatorServers, "", "query=a", ""),
        (Op::OperatorServer, UUID_B, "", ""),
    ];
    for (operation, param, query, text) in refused {
        let params = if param.is_empty() { Vec::new() } else { vec![param.to_owned()] };
        let (query, bytes) = (query.to_owned(), text.as_bytes().to_vec());
        let reply =
            checked.world.send(&Call { params, query, body: bytes, principal: Principal::Operator, ..call(operation) });
        assert_eq!(reply.media, Media::Problem);
        checked.hold(&format!("{operation:?}"), &problem, &body(&reply));
    }
}

#[test]
fn every_parameter_that_a_list_takes_is_described_and_no_other() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    for route in ROUTES.iter().filter(|route| route.who == Who::PushOperator) {
        let operation = &document["paths"][route.template][route.method.name().to_ascii_lowercase()];
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let described: Vec<&str> = described.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(described, route.query, "{}", route.template);
        assert!(described.is_empty() || parameters.iter().all(|one| one["in"] == "path" || one["description"] != ""));
        // What is described is read: nonsense is refused.
        let param = if route.template.contains("realms/{") { REALM } else { UUID_A };
        let needed = if route.query.contains(&"property") { "&property=1day_actives::day" } else { "" };
        for name in route.query {
            let mut checked = checked();
            let (params, nonsense) = (vec![param.to_owned()], "%00".repeat(600));
            let query = format!("{}&{name}={nonsense}", needed.replace(&format!("{name}="), "x="));
            let reply =
                checked.world.send(&Call { params, query, principal: Principal::Operator, ..call(route.operation) });
            assert_eq!(body(&reply)["errors"][0]["parameter"], *name, "{} {}", route.template, reply.body);
        }
    }
}
