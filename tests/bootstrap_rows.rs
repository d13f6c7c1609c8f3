//! Every check of the registry's requests, in order, with the field's sentences.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bootstrap_support;

use bootstrap_support::support::{body, call};
use bootstrap_support::{
    DEV, SECRET, accepted, beat, entry, list, listed, plain, refused, register, registry, remove, write,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::kernel::fault::Fault;
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation;

const MISSING: &str = "Missing required fields: serverId, endpoint, publicKey";
const PRIVATE: &str = "Invalid endpoint: must not point to private or internal addresses";
const PROTOCOL: &str = "Invalid endpoint: must use HTTPS or WSS protocol";

#[test]
fn a_registration_answers_the_whole_entry_in_the_protocols_order() {
    let mut stage = registry(SECRET);
    let mut body = plain("ed25519:a");
    body["connections"] = json!(2.9);
    body["relayConnections"] = json!(-4);
    body["signalingConnections"] = json!("7");
    body["activeCodes"] = json!(1e300);
    let reply = register(&mut stage, &body);
    let now = stage.now.as_millis();
    assert_eq!(
        reply.body,
        format!(
            concat!(
                r#"{{"success":true,"server":{{"serverId":"ed25519:a","endpoint":"wss://relay.example:9000","#,
                r#""publicKey":"key","region":"eu-west","connections":2,"relayConnections":0,"#,
                r#""signalingConnections":0,"activeCodes":9007199254740991,"registeredAt":{},"lastSeen":{}}}}}"#
            ),
            now, now
        )
    );
    assert_eq!(reply.media.content_type(), "application/json");
}

/// A body that fails every check, and what mends the first failure of each step in turn.
#[test]
fn the_first_failure_of_a_registration_wins() {
    let mut stage = registry(SECRET);
    let long_path = "a".repeat(2048);
    let mut body = json!({ "endpoint": 5, "publicKey": { "kty": "OKP" }, "timestamp": "x", "signature": 1 });
    let steps: &[(&str, Value, &str)] = &[
        ("serverId", json!("bad id"), MISSING),
        ("serverId", json!("good"), "Invalid serverId format"),
        ("endpoint", json!(format!("ftp://u:p@127.0.0.1/{long_path}")), "Invalid endpoint: must be a valid URL"),
        ("endpoint", json!(format!("https://u:p@127.0.0.1/{long_path}")), PROTOCOL),
        ("endpoint", json!(format!("https://u:p@relay.example/{long_path}")), PRIVATE),
        ("endpoint", json!("https://u:p@relay.example/"), "Invalid endpoint: URL too long (max 2048 characters)"),
        ("endpoint", json!("https://relay.example/"), "Invalid endpoint: must not contain a user name or password"),
        ("publicKey", json!("é".repeat(1025)), "Invalid publicKey: must be a string of printable ASCII"),
        ("publicKey", json!("é".repeat(1024)), "Invalid publicKey: too long"),
        ("publicKey", json!("k".repeat(1024)), "Invalid publicKey: must be a string of printable ASCII"),
        ("timestamp", json!(stage.now.as_millis()), "Missing or invalid timestamp"),
    ];
    for (name, mended, sentence) in steps {
        refused(&register(&mut stage, &body), 400, sentence);
        body[*name] = mended.clone();
    }
    assert_eq!(register(&mut stage, &body).status, 403);
    body.as_object_mut().unwrap().remove("signature");
    accepted(&register(&mut stage, &body));
    assert_eq!(stage.database.commits(), 2, "one for the schema, one for the registration");
}

#[test]
fn what_is_not_json_is_said_to_be_not_json() {
    let mut stage = registry(DEV);
    let deep = "[".repeat(2000);
    for operation in [Operation::ServersRegister, Operation::ServersHeartbeat] {
        for text in ["", "{", "{\"a\":}", "nope", "{\"a\":1e999}", deep.as_str()] {
            let reply = stage.call(&write(operation, text));
            assert_eq!((reply.status, body(&reply)["code"].as_str().unwrap()), (400, "invalid_json"), "{text}");
        }
        let mut not_utf8 = write(operation, "");
        not_utf8.body = vec![b'"', 0xff, b'"'];
        assert_eq!(stage.call(&not_utf8).status, 400);
    }
}

#[test]
fn json_that_is_no_object_lacks_every_field() {
    let mut stage = registry(DEV);
    for text in ["null", "[]", "[{\"serverId\":\"a\"}]", "7", "\"text\"", "{}"] {
        refused(&stage.call(&write(Operation::ServersRegister, text)), 400, MISSING);
        refused(&stage.call(&write(Operation::ServersHeartbeat, text)), 400, "Missing serverId");
    }
    for falsy in [json!(null), json!(""), json!(0), json!(false), json!(-0.0)] {
        for name in ["serverId", "endpoint", "publicKey"] {
            let mut body = plain("a");
            body[name] = falsy.clone();
            refused(&register(&mut stage, &body), 400, MISSING);
        }
    }
}

#[test]
fn server_ids_are_1_to_128_of_the_fields_characters() {
    let mut stage = registry(DEV);
    for good in ["a", "ed25519:AZaz09_-", "a.b+c/d=e", &"x".repeat(128)] {
        accepted(&register(&mut stage, &plain(good)));
    }
    for bad in [json!("a b"), json!("é"), json!("x".repeat(129)), json!("a\n"), json!(7), json!(["a"]), json!(true)] {
        let mut body = plain("a");
        body["serverId"] = bad.clone();
        refused(&register(&mut stage, &body), 400, "Invalid serverId format");
        refused(&beat(&mut stage, &json!({ "serverId": bad })), 400, "Invalid serverId format");
    }
}

#[test]
fn private_hosts_are_refused_in_every_notation_unless_in_development() {
    for host in ["127.0.0.2", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1", "localhost.", "[fe80::1]", "db.internal"] {
        let mut body = plain("a");
        body["endpoint"] = json!(format!("wss://{host}:9000"));
        refused(&register(&mut registry(SECRET), &body), 400, PRIVATE);
        accepted(&register(&mut registry(DEV), &body));
    }
    let mut body = plain("a");
    for endpoint in ["ws://127.0.0.1:9000", "http://localhost:9000"] {
        body["endpoint"] = json!(endpoint);
        refused(&register(&mut registry(SECRET), &body), 400, PROTOCOL);
        assert_eq!(accepted(&register(&mut registry(DEV), &body))["server"]["endpoint"], endpoint);
    }
}

#[test]
fn an_unusable_region_becomes_unknown() {
    let mut stage = registry(DEV);
    for (region, kept) in [
        (json!("eu-west_1.a"), "eu-west_1.a"),
        (json!("r".repeat(65)), "unknown"),
        (json!("eu west"), "unknown"),
        (json!("é"), "unknown"),
        (json!(""), "unknown"),
        (json!(7), "unknown"),
        (json!(null), "unknown"),
    ] {
        let mut body = plain("a");
        body["region"] = region;
        assert_eq!(accepted(&register(&mut stage, &body))["server"]["region"], kept);
    }
    let mut body = plain("a");
    body.as_object_mut().unwrap().remove("region");
    assert_eq!(accepted(&register(&mut stage, &body))["server"]["region"], "unknown");
}

#[test]
fn registering_again_overwrites_the_whole_entry() {
    let mut stage = registry(DEV);
    let mut first = plain("a");
    first["connections"] = json!(9);
    accepted(&register(&mut stage, &first));
    let registered_at = stage.now.as_millis();
    stage.wait(1000);
    let again = json!({ "serverId": "a", "endpoint": "wss://other.example", "publicKey": "other" });
    accepted(&register(&mut stage, &again));
    let entry = entry(&mut stage, "a");
    assert_eq!(entry["endpoint"], "wss://other.example");
    assert_eq!(entry["publicKey"], "other");
    assert_eq!(entry["region"], "unknown");
    assert_eq!(entry["connections"], 0);
    assert_eq!(entry["registeredAt"], registered_at + 1000);
}

#[test]
fn a_heartbeat_updates_the_counters_that_are_numbers_and_answers_the_other_servers() {
    let mut stage = registry(DEV);
    for id in ["c", "a", "b"] {
        let mut body = plain(id);
        body["connections"] = json!(5);
        body["activeCodes"] = json!(6);
        accepted(&register(&mut stage, &body));
    }
    stage.wait(10);
    let peers = accepted(&beat(
        &mut stage,
        &json!({ "serverId": "b", "connections": 1.5, "relayConnections": 2, "activeCodes": "x" }),
    ));
    assert_eq!(peers["success"], true);
    let ids: Vec<&str> =
        peers["peers"].as_array().unwrap().iter().map(|peer| peer["serverId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "c"]);
    stage.wait(1000);
    let entry = entry(&mut stage, "b");
    assert_eq!(
        [&entry["connections"], &entry["relayConnections"], &entry["activeCodes"]],
        [&json!(1), &json!(2), &json!(6)]
    );
    assert_eq!(entry["lastSeen"].as_u64().unwrap(), stage.now.as_millis() - 1000);
    assert_eq!(entry["registeredAt"].as_u64().unwrap(), stage.now.as_millis() - 1010);
}

#[test]
fn an_unknown_server_is_told_to_register() {
    let mut stage = registry(DEV);
    refused(&beat(&mut stage, &json!({ "serverId": "a" })), 404, "Server not registered");
    refused(&beat(&mut stage, &json!({})), 400, "Missing serverId");
}

#[test]
fn removing_is_idempotent_and_takes_effect_at_once() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("ed25519:a/b+c=")));
    let reply = remove(&mut stage, "ed25519:a/b+c=", Principal::RegistryWriter, "");
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"success":true}"#));
    assert!(listed(&mut stage).is_empty());
    accepted(&remove(&mut stage, "ed25519:a/b+c=", Principal::RegistryWriter, ""));
    accepted(&remove(&mut stage, "never-seen", Principal::Operator, "not json, not read"));
    refused(&remove(&mut stage, "bad id", Principal::RegistryWriter, ""), 400, "Invalid server ID");
    let no_id = Call { principal: Principal::RegistryWriter, ..call(Operation::ServersRemove) };
    refused(&stage.call(&no_id), 400, "Invalid path format");
}

#[test]
fn only_writers_and_operators_write() {
    let mut stage = registry(DEV);
    for operation in [Operation::ServersRegister, Operation::ServersHeartbeat] {
        for principal in [Principal::Anonymous, Principal::Ci] {
            let reply = stage.call(&Call { principal, ..write(operation, plain("a").to_string()) });
            assert_eq!(reply.status, 403);
        }
        let reply = stage.call(&Call { principal: Principal::Operator, ..write(operation, plain("a").to_string()) });
        assert_eq!(reply.status, 200);
    }
    for principal in [Principal::Anonymous, Principal::Ci] {
        refused(&remove(&mut stage, "a", principal, ""), 401, "Unauthorized");
    }
    assert_eq!(listed(&mut stage), ["a"]);
}

#[test]
fn todays_servers_without_proof_register_beat_and_leave_in_development() {
    let mut stage = registry(DEV);
    let id = "ed25519:MCowBQYDK2VwAyEA_-0";
    accepted(&register(
        &mut stage,
        &json!({ "serverId": id, "endpoint": "ws://127.0.0.1:9000", "publicKey": "MCow+/=", "region": "unknown",
            "connections": 0, "relayConnections": 0, "signalingConnections": 0, "activeCodes": 0 }),
    ));
    accepted(&beat(&mut stage, &json!({ "serverId": id, "connections": 1 })));
    accepted(&remove(&mut stage, id, Principal::RegistryWriter, ""));
    assert!(listed(&mut stage).is_empty());
}

#[test]
fn the_1001st_living_server_is_refused_and_the_dead_do_not_count() {
    let mut stage = registry(DEV);
    for number in 0..1000 {
        accepted(&register(&mut stage, &plain(&format!("s{number}"))));
        if number == 0 {
            stage.now = stage.now.plus(1);
        }
    }
    refused(&register(&mut stage, &plain("one-too-many")), 503, "Server registry full");
    accepted(&register(&mut stage, &plain("s5")));
    accepted(&beat(&mut stage, &json!({ "serverId": "s7" })));
    // s0 registered a millisecond before the others: it alone is dead now, and nothing has swept it.
    stage.now = stage.now.plus(299_999);
    accepted(&register(&mut stage, &plain("fits-now")));
    refused(&register(&mut stage, &plain("one-too-many")), 503, "Server registry full");
    assert_eq!(listed(&mut stage).len(), 1000);
    stage.evict();
    assert_eq!(listed(&mut stage).len(), 1000);
    refused(&beat(&mut stage, &json!({ "serverId": "s0" })), 404, "Server not registered");
}

#[test]
fn the_dead_that_nobody_swept_never_make_the_registry_grow() {
    let mut stage = registry(&[DEV, &[("SERVER_TTL_MS", "1")]].concat());
    for number in 0..1500 {
        stage.now = stage.now.plus(1);
        accepted(&register(&mut stage, &plain(&format!("s{number}"))));
    }
    assert_eq!(stage.database.dump().iter().filter(|line| line.starts_with("server:")).count(), 1000);
}

#[test]
fn other_operations_and_sockets_are_not_found_here() {
    let mut stage = registry(DEV);
    assert_eq!(stage.call(&call(Operation::RelayStats)).status, 404);
    assert_eq!(stage.try_open(&call(Operation::SignalRoot)).unwrap_err().status, 404);
}

#[test]
fn the_probe_reads_and_says_so() {
    let mut stage = registry(&[]);
    let reply = stage.call(&call(Operation::Probe));
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"ok":true}"#));
}

#[test]
fn when_the_storage_refuses_nothing_has_changed() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let (before, dump) = (list(&mut stage).body, stage.database.dump());
    stage.database.refuse_commits();
    let register = write(Operation::ServersRegister, plain("b").to_string());
    assert!(matches!(stage.try_call(&register), Err(Fault::Storage(_))));
    let remove = Call {
        params: vec![String::from("a")],
        principal: Principal::RegistryWriter,
        ..call(Operation::ServersRemove)
    };
    assert!(matches!(stage.try_call(&remove), Err(Fault::Storage(_))));
    let beat = write(Operation::ServersHeartbeat, r#"{"serverId":"a","connections":9}"#);
    assert!(matches!(stage.try_call(&beat), Err(Fault::Storage(_))));
    assert_eq!(list(&mut stage).body, before);
    assert_eq!(stage.database.dump(), dump);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
        "[a-z0-9:./\\[\\]-]{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_body_makes_the_registry_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), id in ".{0,12}") {
        let mut stage = registry(DEV);
        for operation in [Operation::ServersRegister, Operation::ServersHeartbeat, Operation::ServersRemove] {
            for principal in [Principal::RegistryWriter, Principal::Anonymous] {
                let request = Call { principal, params: vec![id.clone()], body: bytes.clone(), ..call(operation) };
                prop_assert!(stage.try_call(&request).is_ok());
            }
        }
    }

    #[test]
    fn no_member_makes_the_registry_fail_or_the_list_unreadable(
        members in prop::collection::vec((0_usize..11, any_json()), 1..5),
    ) {
        const NAMES: [&str; 11] = ["serverId", "endpoint", "publicKey", "region", "connections", "activeCodes",
            "timestamp", "nonce", "signature", "sequenceNumber", "extra"];
        let mut stage = registry(DEV);
        accepted(&register(&mut stage, &plain("a")));
        let mut body = plain("a");
        for (index, value) in members {
            body[NAMES[index]] = value;
        }
        for operation in [Operation::ServersRegister, Operation::ServersHeartbeat, Operation::ServersRemove] {
            let anonymous = operation == Operation::ServersRemove;
            let principal = if anonymous { Principal::Anonymous } else { Principal::RegistryWriter };
            let params = vec![String::from("a")];
            let request = Call { principal, params, ..write(operation, body.to_string()) };
            prop_assert!(stage.try_call(&request).is_ok());
        }
        let text = list(&mut stage).body;
        prop_assert!(text.is_ascii());
        let read: Value = serde_json::from_str(&text).unwrap();
        for server in read["servers"].as_array().unwrap() {
            for name in ["serverId", "endpoint", "publicKey", "region"] {
                prop_assert!(server[name].is_string());
            }
            for name in ["connections", "relayConnections", "signalingConnections", "activeCodes", "registeredAt",
                "lastSeen"] {
                prop_assert!(server[name].as_u64().is_some_and(|number| number < 1 << 53), "{}", server[name]);
            }
        }
    }
}
