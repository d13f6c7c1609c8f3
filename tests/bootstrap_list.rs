//! The signed list: its exact bytes, its keys, and when it is signed again.

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
    DEV, NEXT_SEED, Registry, SEED, accepted, beat, list, listed, plain, register, registry, remove,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::kernel::keys::{SigningPair, parse_32_bytes, parse_base64, verify};
use waystation::kernel::object::Principal;
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;
use waystation::kernel::time::Timestamp;

/// Whether the reply's bytes are signed by the key of `seed`.
fn is_signed_by(reply: &Reply, seed: &str, signature: &str) -> bool {
    let public = parse_32_bytes(&SigningPair::parse(seed).unwrap().public_base64()).unwrap();
    verify(&public, reply.body.as_bytes(), &parse_base64(signature).unwrap())
}

fn timestamp(reply: &Reply) -> u64 {
    body(reply)["timestamp"].as_u64().unwrap()
}

fn etag(reply: &Reply) -> String {
    reply.header("ETag").unwrap().to_owned()
}

#[test]
fn the_clients_vector_holds_through_the_object() {
    let mut stage = registry(DEV);
    stage.now = Timestamp::from_millis(1_700_000_000_000);
    let reply = list(&mut stage);
    assert_eq!(reply.body, r#"{"servers":[],"timestamp":1700000000000}"#);
    assert_eq!(
        reply.header("X-Bootstrap-Signature").unwrap(),
        "Nfg6+EI6L6MSF4GCUMQ7OJjDKPKoAaMxGpcmIxRM+XkR83/++hlK6WLoasbcOlGxW1cZhjRB8ddVZmxDJjKaBA=="
    );
    assert_eq!(reply.media.content_type(), "application/json");
    assert_eq!(reply.header("Cache-Control").unwrap(), "public, max-age=30");
}

#[test]
fn the_list_is_the_golden_bytes() {
    let mut stage = registry(DEV);
    accepted(&register(
        &mut stage,
        &json!({ "serverId": "ed25519:b/2", "endpoint": "wss://bücher.example/🛰?a=\"",
        "publicKey": "k\\ey \"2\"", "connections": 7.9, "relayConnections": 1, "signalingConnections": 2,
        "activeCodes": 9_007_199_254_740_993_u64, "unknown": "not listed" }),
    ));
    stage.now = stage.now.plus(5);
    accepted(&register(&mut stage, &plain("ed25519:a")));
    stage.now = stage.now.plus(5);
    accepted(&beat(&mut stage, &json!({ "serverId": "ed25519:a", "connections": 3 })));
    assert_eq!(list(&mut stage).body, include_str!("golden/bootstrap/list.json").trim_end());
}

#[test]
fn every_key_signs_and_the_first_is_current() {
    let mut stage = registry(&[("BOOTSTRAP_SIGNING_KEY", &format!("{SEED},{NEXT_SEED}"))]);
    let reply = list(&mut stage);
    let current = reply.header("X-Bootstrap-Signature").unwrap();
    assert!(is_signed_by(&reply, SEED, current));
    let signatures: Vec<(&str, &str)> =
        reply.header("X-Bootstrap-Signatures").unwrap().split(',').map(|pair| pair.split_once('=').unwrap()).collect();
    assert_eq!(signatures.len(), 2);
    assert_eq!(signatures[0], ("21fe31df", current));
    assert_eq!(signatures[1].0, SigningPair::parse(NEXT_SEED).unwrap().kid());
    assert!(is_signed_by(&reply, NEXT_SEED, signatures[1].1));

    let keys = accepted(&stage.call(&call(Operation::ServersKeys)));
    assert_eq!(
        keys,
        json!({ "keys": [
            { "kid": "21fe31df", "publicKey": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                "algorithm": "Ed25519", "state": "current" },
            { "kid": signatures[1].0, "publicKey": "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
                "algorithm": "Ed25519", "state": "accepted" },
        ] })
    );
}

#[test]
fn without_a_key_there_is_no_list_rather_than_an_unsigned_one() {
    let mut stage = registry(&[("DEV_MODE", "true")]);
    accepted(&register(&mut stage, &plain("a")));
    for operation in [Operation::ServersList, Operation::ServersKeys] {
        let reply = stage.call(&call(operation));
        assert_eq!((reply.status, body(&reply)["code"].as_str().unwrap()), (503, "not_configured"));
        assert!(body(&reply).get("servers").is_none());
    }
}

#[test]
fn an_unchanged_list_is_answered_from_its_signed_copy_for_thirty_seconds() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let first = list(&mut stage);
    stage.now = stage.now.plus(29_999);
    assert_eq!(list(&mut stage), first);
    stage.now = stage.now.plus(1);
    let renewed = list(&mut stage);
    assert_eq!(timestamp(&renewed), timestamp(&first) + 30_000);
    assert_ne!(etag(&renewed), etag(&first));
}

#[test]
fn a_change_of_members_shows_at_once() {
    let mut stage = registry(DEV);
    list(&mut stage);
    accepted(&register(&mut stage, &plain("a")));
    assert_eq!(listed(&mut stage), ["a"]);
    accepted(&register(&mut stage, &plain("b")));
    assert_eq!(listed(&mut stage), ["a", "b"]);
    accepted(&remove(&mut stage, "a", Principal::RegistryWriter, ""));
    assert_eq!(listed(&mut stage), ["b"]);
}

#[test]
fn a_death_shows_in_the_very_millisecond_and_so_does_a_revival() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    stage.now = stage.now.plus(299_999);
    assert_eq!(listed(&mut stage), ["a"]);
    stage.now = stage.now.plus(1);
    assert!(listed(&mut stage).is_empty());
    accepted(&beat(&mut stage, &json!({ "serverId": "a" })));
    assert_eq!(listed(&mut stage), ["a"]);
}

#[test]
fn changed_counters_wait_until_the_copy_is_a_second_old() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let first = list(&mut stage);
    for _ in 0..10 {
        stage.now = stage.now.plus(99);
        accepted(&beat(&mut stage, &json!({ "serverId": "a", "connections": 1 })));
        assert_eq!(list(&mut stage), first);
    }
    stage.now = stage.now.plus(10);
    let second = list(&mut stage);
    assert_eq!(body(&second)["servers"][0]["connections"], 1);
    assert_eq!(timestamp(&second), timestamp(&first) + 1000);
}

#[test]
fn a_removal_of_nobody_signs_nothing() {
    let mut stage = registry(DEV);
    let first = list(&mut stage);
    stage.now = stage.now.plus(2000);
    accepted(&remove(&mut stage, "nobody", Principal::RegistryWriter, ""));
    assert_eq!(list(&mut stage), first);
}

#[test]
fn entity_tags_are_strong_quoted_and_told_by_the_body() {
    let (mut one, mut other) = (registry(DEV), registry(DEV));
    assert_eq!(etag(&list(&mut one)), etag(&list(&mut other)));
    let tag = etag(&list(&mut one));
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34, "{tag}");
    accepted(&register(&mut one, &plain("a")));
    assert_ne!(etag(&list(&mut one)), tag);
}

#[test]
fn reading_writes_nothing() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let (commits, dump) = (stage.database.commits(), stage.database.dump());
    for _ in 0..20 {
        stage.now = stage.now.plus(60_000);
        list(&mut stage);
        stage.call(&call(Operation::ServersKeys));
        stage.call(&call(Operation::Probe));
    }
    assert_eq!((stage.database.commits(), stage.database.dump()), (commits, dump));
}

fn check_list(stage: &mut Registry) {
    let reply = list(stage);
    assert!(reply.body.is_ascii());
    assert!(is_signed_by(&reply, SEED, reply.header("X-Bootstrap-Signature").unwrap()));
    let read: Value = body(&reply);
    assert_eq!(read.as_object().unwrap().len(), 2);
    assert!(reply.body.starts_with("{\"servers\":["), "{}", reply.body);
    assert!(read["timestamp"].is_u64());
    let ids: Vec<&str> =
        read["servers"].as_array().unwrap().iter().map(|server| server["serverId"].as_str().unwrap()).collect();
    assert!(ids.is_sorted());
    for server in read["servers"].as_array().unwrap() {
        assert_eq!(server.as_object().unwrap().len(), 10);
        for name in ["connections", "registeredAt", "lastSeen", "activeCodes"] {
            assert!(server[name].as_u64().is_some_and(|number| number < 1 << 53));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_registers_the_list_is_ascii_sorted_and_integer(
        servers in prop::collection::vec(("[A-Za-z0-9_:.+/=-]{1,20}", "\\PC{0,20}", "[ -~]{1,30}", any::<f64>()), 0..6),
    ) {
        let mut stage = registry(DEV);
        for (id, path, public_key, number) in servers {
            register(&mut stage, &json!({ "serverId": id, "endpoint": format!("wss://relay.example/{path}"),
                "publicKey": public_key, "connections": number, "activeCodes": number.abs() }));
        }
        check_list(&mut stage);
    }
}
