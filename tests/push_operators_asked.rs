//! Operators' bodies and queries: what is refused, where it points to, and in whose words.
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
use push_world::{REALM, UUID_A, World};
use serde_json::{Value, json};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation as Op;
use waystation::kernel::reply::{Media, Reply};

fn ask(world: &mut World, operation: Op, param: &str, query: &str, body: &str) -> Reply {
    let params = if param.is_empty() { Vec::new() } else { vec![param.to_owned()] };
    let (query, body) = (query.to_owned(), body.as_bytes().to_vec());
    world.send(&Call { params, query, body, principal: Principal::Operator, ..call(operation) })
}

fn world() -> World {
    let mut world = World::new();
    world.register(UUID_A);
    world.upload(UUID_A, &[REALM]);
    world
}

/// The first thing that is wrong: where, and what.
fn mistake(reply: &Reply, code: &str) -> (String, String) {
    assert_eq!((reply.status, reply.media), (400, Media::Problem), "{}", reply.body);
    let body = body(reply);
    assert_eq!(body["code"], code, "{body}");
    for word in ["u64", "i64", "u8", "struct", "enum", "line 1", "column", "expected", "serde", "Option", "Body"] {
        assert!(!reply.body.contains(word), "{word} is no word of ours: {}", reply.body);
    }
    let [error] = body["errors"].as_array().expect("errors").as_slice() else { panic!("{body}") };
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    (text("pointer").or_else(|| text("parameter")).unwrap(), text("detail").unwrap())
}

const OBJECTS: [(Op, &str, &str); 11] = [
    (Op::OperatorDeactivate, UUID_A, r#"["a reason"]"#),
    (Op::OperatorDeactivate, UUID_A, "[]"),
    (Op::OperatorDeactivationLink, UUID_A, r#"["a reason"]"#),
    // Whatever the state is.
    (Op::OperatorReactivate, UUID_A, "[]"),
    (Op::OperatorRealmReactivate, REALM, "[]"),
    (Op::OperatorServerRemove, UUID_A, r#"["a reason"]"#),
    (Op::OperatorRealmDeactivate, REALM, r#"["a reason"]"#),
    (Op::OperatorServerPlan, UUID_A, "[103,null,null]"),
    (Op::OperatorRealmPlan, REALM, "[103,null,null]"),
    (Op::OperatorRealmMove, REALM, r#"["bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb","secret"]"#),
    (Op::OperatorTokenCreate, "", r#"["a","owner",60]"#),
];

#[test]
fn a_list_or_a_word_is_no_object() {
    let mut world = world();
    let dump = world.dump();
    for (operation, param, list) in OBJECTS {
        for text in [list, "7", "null", "\"x\"", "true"] {
            let reply = ask(&mut world, operation, param, "", text);
            assert_eq!(mistake(&reply, "invalid_request").0, "", "{operation:?} {text}");
        }
    }
    for (member, list) in [("plan", "[103]"), ("customer", "[null,true]"), ("plan", "7")] {
        let reply = ask(&mut world, Op::OperatorServerPlan, UUID_A, "", &format!(r#"{{"{member}":{list}}}"#));
        assert_eq!(mistake(&reply, "invalid_request"), (format!("/{member}"), String::from("must be an object")));
    }
    assert_eq!(world.dump(), dump, "nothing is written on refusal");
}

#[test]
fn what_is_wrong_in_a_plan_is_pointed_to_in_words_of_the_api() {
    let mut world = world();
    let number = "must be a whole number, not below 0";
    for (wish, pointer, detail) in [
        (json!({ "plan": { "tier": "x" } }), "/plan/tier", number),
        (json!({ "plan": { "tier": -1 } }), "/plan/tier", number),
        (json!({ "plan": { "tier": 1.5 } }), "/plan/tier", number),
        (json!({ "plan": { "status": 99 } }), "/plan/status", "is none of the values that it may have"),
        (json!({ "plan": { "automanage_licenses": "yes" } }), "/plan/automanage_licenses", "must be true or false"),
        (json!({ "plan": { "discount": 7 } }), "/plan/discount", "must be a text"),
        (json!({ "plan": { "discount": "x".repeat(256) } }), "/plan/discount", "must have at most 255 characters"),
        (json!({ "plan": { "fixed_price": 90_000_001 } }), "/plan/fixed_price", "must be at most 90000000"),
        (json!({ "plan": { "end_date": 253_402_300_800_u64 } }), "/plan/end_date", "must be before the year 10000"),
        (json!({ "plan": { "licences": 5 } }), "/plan/licences", "is not known"),
        (json!({ "mystery": 1 }), "/mystery", "is not known"),
        (json!({ "a/b~c": 1 }), "/a~1b~0c", "is not known"),
        (json!({ "plan_type": "103" }), "/plan_type", number),
        (json!({ "customer": { "nope": 1 } }), "/customer/nope", "is not known"),
        (
            json!({ "customer": { "minimum_licenses": 90_000_001 } }),
            "/customer/minimum_licenses",
            "must be at most 90000000",
        ),
    ] {
        for (operation, param) in [(Op::OperatorServerPlan, UUID_A), (Op::OperatorRealmPlan, REALM)] {
            let reply = ask(&mut world, operation, param, "", &wish.to_string());
            let expected = (pointer.to_owned(), detail.to_owned());
            assert_eq!(mistake(&reply, "invalid_request"), expected, "{wish}");
            assert_eq!(body(&reply)["detail"], format!("The body is not valid: {pointer} {detail}"));
        }
    }
}

#[test]
fn members_that_stand_there_twice_are_refused_wherever_they_are() {
    let mut world = world();
    for (text, pointer) in [
        (r#"{"plan_type":103,"plan_type":100}"#, "/plan_type"),
        (r#"{"plan":{"tier":103,"tier":104}}"#, "/plan/tier"),
        (r#"{"plan":{"tier":103},"plan":{}}"#, "/plan"),
        (r#"{"x":[{"a/b":1,"a/b":1}]}"#, "/x/0/a~1b"),
    ] {
        let reply = ask(&mut world, Op::OperatorServerPlan, UUID_A, "", text);
        assert_eq!(mistake(&reply, "invalid_request"), (pointer.to_owned(), String::from("stands there twice")));
    }
    let reply = ask(&mut world, Op::OperatorDeactivate, UUID_A, "", r#"{"reason":"a","reason":"b"}"#);
    assert_eq!(mistake(&reply, "invalid_request").0, "/reason");
}

#[test]
fn what_is_no_json_is_called_so() {
    let mut world = world();
    for text in ["{", "{}{}", "nonsense", "\u{feff}{}", &"[".repeat(1_000)] {
        let reply = ask(&mut world, Op::OperatorDeactivate, UUID_A, "", text);
        assert_eq!(mistake(&reply, "invalid_json"), (String::new(), String::from("is not JSON")), "{text}");
    }
}

#[test]
fn other_bodies_are_pointed_into_too() {
    let mut world = world();
    let missing = "is missing";
    for (operation, param, wish, pointer, detail) in [
        (Op::OperatorDeactivate, UUID_A, json!({ "reason": 7 }), "/reason", "must be a text"),
        (
            Op::OperatorDeactivate,
            UUID_A,
            json!({ "reason": "x".repeat(501) }),
            "/reason",
            "must have at most 500 characters",
        ),
        (Op::OperatorRealmMove, REALM, json!({ "server": UUID_A }), "/uuid_owner_secret", missing),
        (Op::OperatorRealmMove, REALM, json!({ "server": "x", "uuid_owner_secret": "s" }), "/server", "must be a UUID"),
        (Op::OperatorTokenCreate, "", json!({ "name": "n" }), "/role", missing),
        (
            Op::OperatorTokenCreate,
            "",
            json!({ "name": "n", "role": "king" }),
            "/role",
            "is none of the values that it may have",
        ),
        (Op::OperatorTokenCreate, "", json!({ "role": "viewer" }), "/name", missing),
        (
            Op::OperatorTokenCreate,
            "",
            json!({ "name": "n", "role": "viewer", "expires_in": 0 }),
            "/expires_in",
            "must be from 1 to 31622400",
        ),
        (
            Op::OperatorTokenCreate,
            "",
            json!({ "name": "n", "role": "viewer", "expires_in": 31_622_401 }),
            "/expires_in",
            "must be from 1 to 31622400",
        ),
    ] {
        let reply = ask(&mut world, operation, param, "", &wish.to_string());
        assert_eq!(mistake(&reply, "invalid_request"), (pointer.to_owned(), detail.to_owned()), "{wish}");
    }
}

#[test]
fn names_of_tokens_are_one_line_that_somebody_can_read() {
    let mut world = world();
    let mut make = |name: &str| {
        let wish = json!({ "name": name, "role": "viewer" }).to_string();
        ask(&mut world, Op::OperatorTokenCreate, "", "", &wish)
    };
    let long = "x".repeat(65);
    for bad in [
        "",
        " ",
        "\t",
        "\u{a0}\u{3000}",
        "a\nb",
        "a\r",
        "a\u{0}b",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{2028}b",
        "\u{202e}a",
        "\u{200b}",
        &long,
    ] {
        let (pointer, detail) = mistake(&make(bad), "invalid_request");
        assert_eq!((pointer.as_str(), detail.as_str()), ("/name", "must be one line of 1 to 64 characters"), "{bad:?}");
    }
    for (given, kept) in [("  the desk ", "the desk"), ("Zoë 🛰", "Zoë 🛰"), (&"ü".repeat(64), &"ü".repeat(64))]
    {
        let reply = make(given);
        assert_eq!((reply.status, body(&reply)["name"].as_str()), (200, Some(kept)));
    }
}

#[test]
fn a_bad_query_parameter_is_named_and_has_a_code_of_its_own() {
    let mut world = world();
    let cursor = "must be the `next` of the page before";
    for (operation, param, query, name, detail) in [
        (Op::OperatorServers, "", "limit=0", "limit", "must be from 1 to 200"),
        (Op::OperatorServers, "", "after=x", "after", cursor),
        (Op::OperatorServers, "", "query=a", "query", "must have 2 to 500 characters"),
        (Op::OperatorServers, "", "query=%20a%20", "query", "must have 2 to 500 characters"),
        (Op::OperatorServerAudit, UUID_A, "realm=x", "realm", "must be a UUID"),
        (Op::OperatorServerTokens, UUID_A, "after=-1", "after", cursor),
        (Op::OperatorServerCounts, UUID_A, "", "property", "must be the name of a series"),
        (
            Op::OperatorServerCounts,
            UUID_A,
            "property=1day_actives::day&from=x",
            "from",
            "must be a time in Unix seconds",
        ),
        (Op::OperatorServerCounts, UUID_A, "property=1day_actives::day&to=-1", "to", "must be a time in Unix seconds"),
        (Op::OperatorServerInvoices, UUID_A, "format=pdf", "format", "must be json or csv"),
    ] {
        let reply = ask(&mut world, operation, param, query, "");
        assert_eq!(mistake(&reply, "invalid_query"), (name.to_owned(), detail.to_owned()), "{query}");
        assert_eq!(body(&reply)["detail"], format!("The query parameter {name} is not valid"));
    }
    for query in ["", "query=", "query=%20", "query=%20ab%20"] {
        assert_eq!(ask(&mut world, Op::OperatorServers, "", query, "").status, 200, "{query}");
    }
}

#[test]
fn messages_of_the_payment_system_are_read_by_the_same_rules() {
    use waystation::kernel::secret::Secret;
    use waystation::kernel::signed::sign;
    let mut world = World::with(&[("PUSH_BILLING_KEY", "hush")]);
    world.register(UUID_A);
    let mut tell = |wish: &Value| {
        let body = wish.to_string().into_bytes();
        let authorization = Some(sign(&Secret::new(String::from("hush")), &body, world.now));
        world.send(&Call { params: vec![UUID_A.to_owned()], authorization, body, ..call(Op::PushBillingEvent) })
    };
    for (wish, pointer) in [
        (json!(["e", UUID_A, null, {}]), ""),
        (json!({ "event": "e", "server": UUID_A, "change": [103] }), "/change"),
        (json!({ "event": "e", "server": UUID_A, "change": { "plan": { "tier": "x" } } }), "/change/plan/tier"),
        (json!({ "event": "", "server": UUID_A, "change": {} }), "/event"),
        (json!({ "event": "e", "server": "x", "change": {} }), "/server"),
        (json!({ "event": "e", "server": UUID_A, "realm": 1, "change": {} }), "/realm"),
        (json!({ "event": "e", "server": UUID_A }), "/change"),
    ] {
        assert_eq!(mistake(&tell(&wish), "invalid_request").0, pointer, "{wish}");
    }
}
