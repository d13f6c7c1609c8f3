//! Signatures, replays and sequence numbers.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bootstrap_support;

use bootstrap_support::support::body as body_of;
use bootstrap_support::{
    DEV, REQUIRED, Registry, SECRET, accepted, beat, key, listed, plain, provable, provable_beat, refused, register,
    registry, removal, remove, signed, signed_five, write,
};
use serde_json::{Value, json};
use waystation::kernel::object::Principal;
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;

const TOO_OLD: &str = "Registration timestamp too old (max 2 minutes)";
const TOO_FAR: &str = "Registration timestamp too far in future (max 30 seconds)";
const BAD_TIME: &str = "Missing or invalid timestamp";
const BAD_NONCE: &str = "Missing or invalid nonce (must be string >= 16 chars)";
const BAD_SIGNATURE: &str = "Invalid signature: not by this server's key over this request";
const REPLAY: &str = "Replay detected: duplicate nonce";
const NOT_NEWER: &str = "Replay detected: timestamp is not newer than the last signed one";
const NOT_OWNER: &str = "Not authorized to delete this server";

/// Registers with everything that can be proven.
fn enrol(stage: &mut Registry, id: &str, number: u8, nonce: &str) -> Reply {
    let body = signed(provable(stage, id, &key(number), nonce), &key(number));
    register(stage, &body)
}

/// Beats with everything that can be proven.
fn beat_signed(stage: &mut Registry, id: &str, number: u8, nonce: &str) -> Reply {
    let body = signed(provable_beat(stage, id, nonce), &key(number));
    beat(stage, &body)
}

/// Every body that differs from `value` in one leaf, or in one member more or less.
fn mutations(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let mut all: Vec<Value> = Vec::new();
            for (name, member) in members {
                for mutated in mutations(member) {
                    let mut copy = members.clone();
                    copy.insert(name.clone(), mutated);
                    all.push(Value::Object(copy));
                }
                let mut without = members.clone();
                without.remove(name);
                all.push(Value::Object(without));
            }
            let mut with = members.clone();
            with.insert(String::from("added"), json!(0));
            all.push(Value::Object(with));
            all
        }
        Value::Array(items) => {
            let mut all: Vec<Value> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                all.extend(mutations(item).into_iter().map(|mutated| {
                    let mut copy = items.clone();
                    copy[index] = mutated;
                    Value::Array(copy)
                }));
            }
            let mut longer = items.clone();
            longer.push(Value::Null);
            all.push(Value::Array(longer));
            all
        }
        Value::String(text) => vec![json!(format!("{text}x")), Value::Null],
        Value::Number(number) => vec![json!(number.as_f64().unwrap() + 1.0), json!(number.to_string())],
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Null => vec![json!(0)],
    }
}

fn rich(stage: &Registry) -> Value {
    let mut body = provable(stage, "a", &key(1), "1");
    body["connections"] = json!(4);
    body["meta"] = json!({ "version": "1.2", "deep": { "list": [1, { "flag": true, "nothing": null }], "é": 0.1 } });
    body
}

#[test]
fn every_field_is_signed() {
    let mut stage = registry(SECRET);
    let good = signed(rich(&stage), &key(1));
    let bad = mutations(&good);
    assert!(bad.len() > 25);
    for body in bad {
        if body.get("signature").is_none() {
            continue;
        }
        let status = register(&mut stage, &body).status;
        assert!(status == 403 || status == 400, "{status}: {body}");
    }
    assert!(listed(&mut stage).is_empty());
    accepted(&register(&mut stage, &good));
}

#[test]
fn every_nested_field_that_the_registry_does_not_know_is_signed_too() {
    let mut stage = registry(SECRET);
    let good = signed(rich(&stage), &key(1));
    for meta in mutations(&good["meta"]) {
        let mut body = good.clone();
        body["meta"] = meta;
        refused(&register(&mut stage, &body), 403, BAD_SIGNATURE);
    }
    accepted(&register(&mut stage, &good));
}

#[test]
fn every_field_of_a_heartbeat_is_signed() {
    let mut stage = registry(REQUIRED);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    let mut body = provable_beat(&stage, "a", "2");
    body["sequenceNumber"] = json!(5);
    body["extra"] = json!({ "load": [0.5, { "cpu": 1e-7 }] });
    let good = signed(body, &key(1));
    for body in mutations(&good) {
        let status = beat(&mut stage, &body).status;
        assert!([400, 401, 403, 404].contains(&status), "{status}: {body}");
    }
    accepted(&beat(&mut stage, &good));
}

#[test]
fn a_signature_survives_the_way_the_body_is_written() {
    let mut stage = registry(SECRET);
    let good = signed(rich(&stage), &key(1));
    let members: Vec<String> = good
        .as_object()
        .unwrap()
        .iter()
        .rev()
        .map(|(name, value)| format!("\n  {} :\t{}", json!(name), serde_json::to_string_pretty(value).unwrap()))
        .collect();
    let text = format!("{{{}}}", members.join(" , ")).replace("wss://", "\\u0077ss:\\/\\/").replace('é', "\\u00e9");
    let reply = stage.call(&write(Operation::ServersRegister, text));
    accepted(&reply);
}

#[test]
fn the_fields_older_form_counts_and_covers_its_five_members() {
    let mut stage = registry(REQUIRED);
    let good = signed_five(provable(&stage, "a", &key(1), "1"), &key(1));
    for (name, other) in [("endpoint", "wss://evil.example"), ("region", "us-east"), ("serverId", "b")] {
        let mut body = good.clone();
        body[name] = json!(other);
        refused(&register(&mut stage, &body), 403, BAD_SIGNATURE);
    }
    let mut body = good.clone();
    body["timestamp"] = json!(stage.now.as_millis() + 1);
    refused(&register(&mut stage, &body), 403, BAD_SIGNATURE);
    body["timestamp"] = good["timestamp"].clone();
    body["publicKey"] = json!(key(2).public_base64());
    refused(&register(&mut stage, &body), 403, BAD_SIGNATURE);
    accepted(&register(&mut stage, &good));
}

#[test]
fn the_older_form_without_region_signs_what_is_there() {
    let mut stage = registry(SECRET);
    let mut body = provable(&stage, "a", &key(1), "1");
    body.as_object_mut().unwrap().remove("region");
    accepted(&register(&mut stage, &signed_five(body, &key(1))));
}

#[test]
fn the_older_form_cannot_be_replayed_with_another_nonce_or_other_counters() {
    let mut stage = registry(SECRET);
    let good = signed_five(provable(&stage, "a", &key(1), "1"), &key(1));
    accepted(&register(&mut stage, &good));
    for evicted in [false, true] {
        if evicted {
            stage.evict();
        }
        let mut body = good.clone();
        body["nonce"] = json!("another-nonce-of-16-chars");
        body["connections"] = json!(99);
        refused(&register(&mut stage, &body), 409, NOT_NEWER);
        body.as_object_mut().unwrap().remove("nonce");
        refused(&register(&mut stage, &body), 409, NOT_NEWER);
    }
    // Not even after its server has left.
    accepted(&remove(&mut stage, "a", Principal::RegistryWriter, ""));
    let mut body = good;
    body["nonce"] = json!("another-nonce-of-16-chars");
    refused(&register(&mut stage, &body), 409, NOT_NEWER);
    stage.now = stage.now.plus(1);
    let newer = signed_five(provable(&stage, "a", &key(1), "2"), &key(1));
    accepted(&register(&mut stage, &newer));
}

#[test]
fn a_signed_time_without_nonce_must_be_newer() {
    let mut stage = registry(SECRET);
    let mut body = provable(&stage, "a", &key(1), "1");
    body.as_object_mut().unwrap().remove("nonce");
    let good = signed(body.clone(), &key(1));
    accepted(&register(&mut stage, &good));
    refused(&register(&mut stage, &good), 409, NOT_NEWER);
    body["timestamp"] = json!(stage.now.as_millis() - 1);
    refused(&register(&mut stage, &signed(body.clone(), &key(1))), 409, NOT_NEWER);
    body["timestamp"] = json!(stage.now.as_millis() + 1);
    accepted(&register(&mut stage, &signed(body, &key(1))));
}

#[test]
fn a_nonce_counts_once_per_server_as_long_as_its_request_could_be_replayed() {
    let mut stage = registry(SECRET);
    let mut early = provable(&stage, "a", &key(1), "1");
    early["timestamp"] = json!(stage.now.as_millis() + 30_000);
    let good = signed(early, &key(1));
    accepted(&register(&mut stage, &good));
    refused(&register(&mut stage, &good), 409, REPLAY);
    stage.evict();
    refused(&register(&mut stage, &good), 409, REPLAY);
    let other = provable(&stage, "b", &key(2), "1");
    accepted(&register(&mut stage, &signed(other, &key(2))));
    // The last moment at which the timestamp is accepted, with sweeps in between.
    stage.wait(150_000);
    stage.ring();
    refused(&register(&mut stage, &good), 409, REPLAY);
    stage.now = stage.now.plus(1);
    refused(&register(&mut stage, &good), 400, TOO_OLD);
}

#[test]
fn a_nonce_without_signature_counts_once_too() {
    let mut stage = registry(DEV);
    let mut body = plain("a");
    body["nonce"] = json!("0123456789abcdef");
    accepted(&register(&mut stage, &body));
    refused(&register(&mut stage, &body), 409, REPLAY);
    let replayed = body_of(&register(&mut stage, &body));
    assert_eq!(replayed["code"], "replayed");
    let mut live = json!({ "serverId": "a", "nonce": "0123456789abcdef" });
    accepted(&beat(&mut stage, &live));
    refused(&beat(&mut stage, &live), 409, REPLAY);
    live["nonce"] = json!("0123456789abcdeg");
    accepted(&beat(&mut stage, &live));
}

#[test]
fn a_refused_request_uses_nothing_up() {
    let mut stage = registry(SECRET);
    let good = signed(provable(&stage, "a", &key(1), "1"), &key(1));
    let mut forged = good.clone();
    forged["signature"] = json!(key(2).sign_base64(b"something else"));
    refused(&register(&mut stage, &forged), 403, BAD_SIGNATURE);
    accepted(&register(&mut stage, &good));
}

#[test]
fn times_are_accepted_from_two_minutes_ago_to_thirty_seconds_ahead() {
    let mut stage = registry(DEV);
    let now = stage.now.as_millis();
    let mut body = plain("a");
    let mut live = json!({ "serverId": "a" });
    for (timestamp, sentence) in [
        (json!(now), None),
        (json!(now - 120_000), None),
        (json!(now - 120_001), Some(TOO_OLD)),
        (json!(now + 30_000), None),
        (json!(now + 30_001), Some(TOO_FAR)),
        (json!(now as f64 + 0.5), None),
        (json!(-1), Some(TOO_OLD)),
        (json!(1e300), Some(TOO_FAR)),
        (json!("1700000000000"), Some(BAD_TIME)),
        (json!(null), Some(BAD_TIME)),
        (json!([now]), Some(BAD_TIME)),
        (json!(true), Some(BAD_TIME)),
    ] {
        body["timestamp"] = timestamp.clone();
        live["timestamp"] = timestamp;
        for reply in [register(&mut stage, &body), beat(&mut stage, &live)] {
            match sentence {
                None => drop(accepted(&reply)),
                Some(sentence) => refused(&reply, 400, sentence),
            }
        }
    }
}

#[test]
fn nonces_are_16_to_128_characters() {
    let mut stage = registry(DEV);
    for (nonce, good) in [
        (json!("x".repeat(16)), true),
        (json!("x".repeat(128)), true),
        (json!("x".repeat(15)), false),
        (json!("x".repeat(129)), false),
        (json!(1_234_567_890_123_456_u64), false),
        (json!(null), false),
        (json!(""), false),
    ] {
        let mut body = plain("a");
        body["nonce"] = nonce.clone();
        let replies = [register(&mut stage, &body), beat(&mut stage, &json!({ "serverId": "a", "nonce": nonce }))];
        for reply in replies {
            if good {
                accepted(&reply);
            } else {
                refused(&reply, 400, BAD_NONCE);
            }
        }
    }
}

#[test]
fn a_signature_needs_a_time_and_an_ed25519_key() {
    let mut stage = registry(SECRET);
    let mut body = plain("a");
    body["signature"] = json!(key(1).sign_base64(b"x"));
    refused(&register(&mut stage, &body), 400, BAD_TIME);
    body["timestamp"] = json!(stage.now.as_millis());
    for signature in [body["signature"].clone(), json!("not base64!"), json!(""), json!(null), json!(7)] {
        body["signature"] = signature;
        refused(&register(&mut stage, &body), 403, BAD_SIGNATURE);
    }
}

#[test]
fn keys_and_signatures_may_be_written_in_hex_or_either_base64() {
    let mut stage = registry(SECRET);
    let base64 = key(1).public_base64();
    let url = base64.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let hex = hex::encode(waystation::kernel::keys::parse_32_bytes(&base64).unwrap());
    for (number, written) in [base64, url, hex].into_iter().enumerate() {
        let mut body = provable(&stage, "a", &key(1), &number.to_string());
        body["publicKey"] = json!(written);
        let mut body = signed(body, &key(1));
        let signature = body["signature"].as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_");
        body["signature"] = json!(signature);
        accepted(&register(&mut stage, &body));
    }
}

#[test]
fn demanded_proof_must_be_complete() {
    let mut stage = registry(REQUIRED);
    let whole = provable(&stage, "a", &key(1), "1");
    refused(&register(&mut stage, &plain("a")), 401, "Signature required");
    refused(&register(&mut stage, &whole), 401, "Signature required");
    let mut body = whole.clone();
    body.as_object_mut().unwrap().remove("timestamp");
    refused(&register(&mut stage, &signed(body, &key(1))), 400, BAD_TIME);
    let mut body = whole.clone();
    body.as_object_mut().unwrap().remove("nonce");
    refused(&register(&mut stage, &signed(body, &key(1))), 400, BAD_NONCE);
    accepted(&register(&mut stage, &signed(whole, &key(1))));

    let mut whole = provable_beat(&stage, "a", "2");
    let unnumbered = signed(whole.clone(), &key(1));
    let sentence = "Invalid sequenceNumber: must be a non-negative integer";
    refused(&beat(&mut stage, &unnumbered), 400, sentence);
    whole["sequenceNumber"] = json!(1);
    refused(&beat(&mut stage, &json!({ "serverId": "a" })), 401, "Signature required");
    let mut body = whole.clone();
    body.as_object_mut().unwrap().remove("nonce");
    refused(&beat(&mut stage, &signed(body, &key(1))), 400, BAD_NONCE);
    refused(&beat(&mut stage, &signed(whole.clone(), &key(2))), 403, BAD_SIGNATURE);
    accepted(&beat(&mut stage, &signed(whole, &key(1))));
}

#[test]
fn a_key_that_signs_cannot_take_a_living_servers_id() {
    let mut stage = registry(DEV);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    let thief = signed(provable(&stage, "a", &key(2), "2"), &key(2));
    refused(&register(&mut stage, &thief), 403, "serverId is registered under another publicKey");
    // Nor does leaving the signature out help.
    refused(&register(&mut stage, &plain("a")), 403, "serverId is registered under another publicKey");
    let mut same_key = plain("a");
    same_key["publicKey"] = json!(key(1).public_base64());
    refused(&register(&mut stage, &same_key), 403, "serverId is registered with a signature: sign to change it");
    stage.evict();
    refused(&register(&mut stage, &thief), 403, "serverId is registered under another publicKey");
    accepted(&enrol(&mut stage, "a", 1, "3"));
    // The dead hold nothing.
    stage.now = stage.now.plus(300_000);
    accepted(&enrol(&mut stage, "a", 2, "4"));
}

#[test]
fn a_holder_of_the_registry_secret_may_give_an_id_another_key() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    accepted(&enrol(&mut stage, "a", 2, "2"));
}

#[test]
fn in_an_open_service_a_signing_key_cannot_take_an_unsigned_servers_id_either() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let other = signed(provable(&stage, "a", &key(2), "2"), &key(2));
    refused(&register(&mut stage, &other), 403, "serverId is registered under another publicKey");
    accepted(&register(&mut stage, &plain("a")));
}

#[test]
fn sequence_numbers_must_rise_until_the_server_registers_again() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let numbered = |number: Value| json!({ "serverId": "a", "sequenceNumber": number });
    accepted(&beat(&mut stage, &numbered(json!(1))));
    accepted(&beat(&mut stage, &numbered(json!(7))));
    for stale in [7, 6, 0] {
        let reply = beat(&mut stage, &numbered(json!(stale)));
        assert_eq!((reply.status, body_of(&reply)["lastSequenceNumber"].clone()), (409, json!(7)));
    }
    accepted(&beat(&mut stage, &json!({ "serverId": "a" })));
    assert_eq!(beat(&mut stage, &numbered(json!(7))).status, 409);
    for bad in [json!("8"), json!(-1), json!(8.5), json!(1e16), json!(null)] {
        refused(&beat(&mut stage, &numbered(bad)), 400, "Invalid sequenceNumber: must be a non-negative integer");
    }
    accepted(&register(&mut stage, &plain("a")));
    accepted(&beat(&mut stage, &numbered(json!(1))));
}

#[test]
fn a_flushed_sequence_number_outlives_the_memory() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    accepted(&beat(&mut stage, &json!({ "serverId": "a", "sequenceNumber": 9 })));
    stage.crash();
    assert_eq!(beat(&mut stage, &json!({ "serverId": "a", "sequenceNumber": 9 })).status, 409);
    // Registering in the same millisecond resets it, whatever the snapshot of the earlier registration says.
    accepted(&register(&mut stage, &plain("a")));
    stage.crash();
    accepted(&beat(&mut stage, &json!({ "serverId": "a", "sequenceNumber": 1 })));
}

#[test]
fn a_signed_heartbeat_counts_once_also_over_an_eviction() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    stage.wait(60_000);
    let good = signed(provable_beat(&stage, "a", "2"), &key(1));
    accepted(&beat(&mut stage, &good));
    refused(&beat(&mut stage, &good), 409, REPLAY);
    stage.evict();
    refused(&beat(&mut stage, &good), 409, NOT_NEWER);
    stage.wait(60_000);
    accepted(&beat_signed(&mut stage, "a", 1, "3"));
}

#[test]
fn the_first_failure_of_a_heartbeat_wins() {
    let mut stage = registry(REQUIRED);
    let mut body = json!({ "connections": 1, "sequenceNumber": "x" });
    for (name, mended, status, sentence) in [
        ("serverId", json!("bad id"), 400, "Missing serverId"),
        ("serverId", json!("a"), 400, "Invalid serverId format"),
        ("signature", json!(key(2).sign_base64(b"x")), 401, "Signature required"),
        ("timestamp", json!(stage.now.as_millis()), 400, BAD_TIME),
        ("nonce", json!("0123456789abcdef"), 400, BAD_NONCE),
        ("sequenceNumber", json!(3), 400, "Invalid sequenceNumber: must be a non-negative integer"),
        ("connections", json!(2), 404, "Server not registered"),
    ] {
        refused(&beat(&mut stage, &body), status, sentence);
        body[name] = mended;
    }
    accepted(&enrol(&mut stage, "a", 1, "1"));
    refused(&beat(&mut stage, &body), 403, BAD_SIGNATURE);
    let good = signed(body, &key(1));
    accepted(&beat(&mut stage, &good));
    refused(&beat(&mut stage, &good), 409, REPLAY);
    let mut other_nonce = good;
    other_nonce["nonce"] = json!("0123456789abcdeg");
    other_nonce["timestamp"] = json!(stage.now.as_millis() + 1);
    assert_eq!(body_of(&beat(&mut stage, &signed(other_nonce, &key(1))))["lastSequenceNumber"], 3);
}

#[test]
fn a_heartbeat_signed_before_its_server_left_does_not_count_for_the_next_registration() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    let old = signed(provable_beat(&stage, "a", "2"), &key(1));
    accepted(&beat(&mut stage, &old));
    accepted(&remove(&mut stage, "a", Principal::RegistryWriter, ""));
    stage.wait(1);
    stage.evict();
    accepted(&enrol(&mut stage, "a", 1, "3"));
    refused(&beat(&mut stage, &old), 409, NOT_NEWER);
}

#[test]
fn two_signed_heartbeats_of_one_millisecond_both_count_when_their_nonces_differ() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    stage.wait(60_000);
    accepted(&beat_signed(&mut stage, "a", 1, "2"));
    accepted(&beat_signed(&mut stage, "a", 1, "3"));
}

#[test]
fn a_signed_registration_or_removal_is_no_heartbeat() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    stage.wait(60_000);
    let registration = signed(provable(&stage, "a", &key(1), "2"), &key(1));
    refused(&beat(&mut stage, &registration), 403, BAD_SIGNATURE);
    let mut action = provable_beat(&stage, "a", "3");
    action["action"] = json!("unregister");
    refused(&beat(&mut stage, &signed(action, &key(1))), 403, BAD_SIGNATURE);
}

#[test]
fn a_server_leaves_by_its_own_signature_once() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "ed25519:a+/=", 1, "1"));
    let good = removal(&stage, "ed25519:a+/=", &key(1), "2");
    accepted(&remove(&mut stage, "ed25519:a+/=", Principal::Anonymous, &good.to_string()));
    assert!(listed(&mut stage).is_empty());
    // The same removal does not work against the next registration.
    stage.now = stage.now.plus(1);
    accepted(&enrol(&mut stage, "ed25519:a+/=", 1, "3"));
    stage.evict();
    refused(&remove(&mut stage, "ed25519:a+/=", Principal::Anonymous, &good.to_string()), 409, REPLAY);
    assert_eq!(listed(&mut stage).len(), 1);
}

#[test]
fn a_signature_that_is_there_must_hold_even_for_those_who_need_none() {
    let mut stage = registry(SECRET);
    for (principal, number) in [(Principal::RegistryWriter, "1"), (Principal::Operator, "2")] {
        accepted(&enrol(&mut stage, "a", 1, number));
        let forged = removal(&stage, "a", &key(2), number);
        refused(&remove(&mut stage, "a", principal, &forged.to_string()), 403, "Not authorized to delete this server");
        assert_eq!(listed(&mut stage).len(), 1);
        accepted(&remove(&mut stage, "a", principal, "no JSON at all"));
        // Removing twice is no offence, whatever comes with it.
        accepted(&remove(&mut stage, "a", principal, &forged.to_string()));
        stage.now = stage.now.plus(1);
    }
}

#[test]
fn without_its_signature_nobody_removes_a_server_or_learns_whether_it_exists() {
    let mut stage = registry(SECRET);
    accepted(&enrol(&mut stage, "a", 1, "1"));
    for id in ["a", "unknown"] {
        for text in ["", "{}", "null", "[]", r#"{"nonce":"0123456789abcdef","timestamp":1}"#] {
            refused(&remove(&mut stage, id, Principal::Anonymous, text), 401, "Unauthorized");
        }
        let good = removal(&stage, id, &key(1), "2");
        let mut stale = good.clone();
        stale["timestamp"] = json!(stage.now.as_millis() - 120_001);
        refused(&remove(&mut stage, id, Principal::Anonymous, &stale.to_string()), 400, TOO_OLD);
        for name in ["nonce", "timestamp"] {
            let mut lacking = good.clone();
            lacking.as_object_mut().unwrap().remove(name);
            assert_eq!(remove(&mut stage, id, Principal::Anonymous, &lacking.to_string()).status, 400);
        }
        let mut other_nonce = good.clone();
        other_nonce["nonce"] = json!("another-nonce-of-16-chars");
        let mut other_time = good.clone();
        other_time["timestamp"] = json!(stage.now.as_millis() - 1);
        let mut garbage = good.clone();
        garbage["signature"] = json!("!");
        let other_id = removal(&stage, "b", &key(1), "2");
        let other_key = removal(&stage, id, &key(2), "2");
        for wrong in [other_nonce, other_time, garbage, other_id, other_key] {
            refused(&remove(&mut stage, id, Principal::Anonymous, &wrong.to_string()), 403, NOT_OWNER);
        }
    }
    let unknown = removal(&stage, "unknown", &key(1), "2");
    refused(&remove(&mut stage, "unknown", Principal::Anonymous, &unknown.to_string()), 403, NOT_OWNER);
    assert_eq!(listed(&mut stage), ["a"]);
}

#[test]
fn remembered_proofs_are_bounded_and_make_room_when_they_expire() {
    let mut stage = registry(DEV);
    let mut body = plain("a");
    for number in 0..10_000 {
        body["nonce"] = json!(format!("nonce-of-16-chars-{number}"));
        accepted(&register(&mut stage, &body));
    }
    body["nonce"] = json!("nonce-of-16-chars-and-one-too-many");
    let reply = register(&mut stage, &body);
    assert_eq!((reply.status, reply.header("Retry-After")), (429, Some("151")));
    accepted(&register(&mut stage, &plain("without-proof")));
    stage.now = stage.now.plus(150_001);
    accepted(&register(&mut stage, &body));
    refused(&register(&mut stage, &body), 409, REPLAY);
    let kept = stage.database.dump().iter().filter(|line| line.starts_with("proof:")).count();
    assert_eq!(kept, 1);
}
