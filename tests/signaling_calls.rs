//! Calls in both forms, and device links: edge-wire 2.3.2.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod signaling_play;
mod support;

use serde_json::{Value, json};
use signaling_play::{
    CALL_ID, KEY, OTHER_KEY, Room, error, guest, lobby, matched, nothing, open_room, peer, say, unprocessed,
};
use waystation::kernel::object::Conn;

fn pair(stage: &mut Room) -> (Conn, Conn) {
    (peer(stage, "AAAAAA"), peer(stage, "BBBBBB"))
}

#[test]
fn nested_and_flat_calls_arrive_as_the_union_of_both_forms() {
    let mut stage = open_room();
    let (one, other) = pair(&mut stage);
    let rows = [
        ("call_offer", json!({"callId": CALL_ID, "sdp": "v=0\r\n", "withVideo": true})),
        ("call_answer", json!({"callId": CALL_ID, "sdp": "v=0\r\n"})),
        ("call_ice", json!({"callId": CALL_ID, "candidate": "candidate:1"})),
        ("call_ice", json!({"callId": CALL_ID, "candidate": ""})),
        ("call_reject", json!({"callId": CALL_ID, "reason": "busy"})),
        ("call_hangup", json!({"callId": CALL_ID})),
    ];
    for (kind, fields) in rows {
        let mut expected = fields.clone();
        expected["type"] = json!(kind);
        expected["from"] = json!("AAAAAA");
        expected["payload"] = fields.clone();
        say(&mut stage, one, &json!({"type": kind, "target": "BBBBBB", "payload": fields}));
        assert_eq!(stage.inbox(other), [expected.clone()], "nested {kind}");
        let mut flat = fields;
        flat["type"] = json!(kind);
        flat["targetId"] = json!("BBBBBB");
        say(&mut stage, one, &flat);
        assert_eq!(stage.inbox(other), [expected], "flat {kind}");
        assert_eq!(stage.inbox(one), nothing());
    }
    let payload = json!({"callId": CALL_ID, "extra": {"kept": [1, 2]}});
    say(&mut stage, one, &json!({"type": "call_hangup", "target": "BBBBBB", "payload": payload}));
    assert_eq!(stage.inbox(other)[0]["payload"], payload);
}

#[test]
fn calls_that_are_not_well_formed_go_nowhere() {
    let mut stage = open_room();
    let (one, other) = pair(&mut stage);
    let sdp = |units: usize| json!({"callId": CALL_ID, "sdp": "é".repeat(units)});
    let candidate = |units: usize| json!({"callId": CALL_ID, "candidate": "é".repeat(units)});
    let bad_id = "Invalid or missing callId (must be UUID v4 format)";
    let rows: Vec<(&str, Value, &str)> = vec![
        ("call_offer", json!(null), "Missing or invalid payload"),
        ("call_offer", json!("x"), "Missing or invalid payload"),
        ("call_offer", json!([CALL_ID]), "Missing or invalid payload"),
        ("call_offer", json!({}), bad_id),
        ("call_hangup", json!({"callId": 7}), bad_id),
        ("call_hangup", json!({"callId": "6e1c4d6a-0b5e-1f7a-9c3d-1a2b3c4d5e6f"}), bad_id),
        ("call_offer", json!({"callId": CALL_ID}), "Missing or invalid sdp in call_offer"),
        ("call_answer", json!({"callId": CALL_ID, "sdp": ""}), "Missing or invalid sdp in call_answer"),
        ("call_answer", json!({"callId": CALL_ID, "sdp": {}}), "Missing or invalid sdp in call_answer"),
        ("call_offer", sdp(65_537), "SDP too large (max 65536 bytes)"),
        ("call_ice", json!({"callId": CALL_ID}), "Missing or invalid candidate in call_ice"),
        ("call_ice", json!({"callId": CALL_ID, "candidate": {}}), "Missing or invalid candidate in call_ice"),
        ("call_ice", candidate(1_025), "ICE candidate too large (max 1024 bytes)"),
    ];
    for (kind, payload, sentence) in rows {
        let message = json!({"type": kind, "target": "BBBBBB", "payload": payload});
        assert_eq!(say(&mut stage, one, &message), [error(sentence)], "{kind} {sentence}");
    }
    for (message, sentence) in [
        (json!({"type": "call_hangup", "payload": {"callId": CALL_ID}}), "Missing required field: target"),
        (json!({"type": "call_hangup", "target": 5}), "Invalid message: call_hangup: target must be a string"),
        (json!({"type": "call_hangup", "targetId": 5}), "Invalid message: call_hangup: targetId must be a string"),
        (json!({"type": "call_hangup", "target": "CCCCCC", "payload": {"callId": CALL_ID}}), "Peer not found: CCCCCC"),
    ] {
        assert_eq!(say(&mut stage, one, &message), [error(sentence)]);
    }
    assert_eq!(stage.inbox(other), nothing());
    for (kind, payload) in [("call_offer", sdp(65_536)), ("call_ice", candidate(1_024))] {
        say(&mut stage, one, &json!({"type": kind, "target": "BBBBBB", "payload": payload}));
        assert_eq!(stage.inbox(other).len(), 1, "exactly at the limit");
    }
}

#[test]
fn calls_work_between_peers_of_a_room() {
    let mut stage = open_room();
    let (one, other) = (guest(&mut stage, "ann"), guest(&mut stage, "bob \"b\""));
    say(&mut stage, other, &json!({"type": "call_hangup", "targetId": "ann", "callId": CALL_ID}));
    assert_eq!(stage.inbox(one)[0]["from"], "bob \"b\"");
    let told = say(&mut stage, one, &json!({"type": "call_hangup", "targetId": "eve", "callId": CALL_ID}));
    assert_eq!(told, [error("Target peer not found")]);
}

fn link_request() -> Value {
    json!({"type": "link_request", "linkCode": "BBBBBB", "publicKey": OTHER_KEY, "deviceName": "Firefox"})
}

fn link_error(error: &str) -> Value {
    json!({"type": "link_error", "error": error})
}

fn link_timeout() -> Vec<Value> {
    vec![json!({"type": "link_timeout", "linkCode": "BBBBBB"})]
}

#[test]
fn an_accepted_link_matches_browser_and_device() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    assert_eq!(say(&mut stage, web, &link_request()), nothing());
    let mut expected = link_request();
    expected["expiresIn"] = json!(120_000);
    assert_eq!(stage.inbox(device), [expected]);
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": true, "deviceId": "phone-1"});
    let told = say(&mut stage, device, &response);
    let matched = json!({"type": "link_matched", "linkCode": "BBBBBB", "peerPublicKey": OTHER_KEY, "isInitiator": false,
        "webClientCode": "AAAAAA", "deviceName": "Firefox"});
    assert_eq!(told, [matched]);
    let matched = json!({"type": "link_matched", "linkCode": "BBBBBB", "peerPublicKey": KEY, "isInitiator": true,
        "deviceId": "phone-1"});
    assert_eq!(stage.inbox(web), [matched]);
    let told = say(&mut stage, device, &response);
    assert_eq!(told, [link_error("No pending link request found")]);
    stage.wait(300_000);
    assert_eq!(stage.inbox(web), nothing());
    stage.leave(device);
    assert_eq!(stage.inbox(web), [json!({"type": "peer_left", "pairingCode": "BBBBBB"})]);
}

#[test]
fn a_link_without_a_name_comes_from_an_unknown_browser() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    say(&mut stage, web, &json!({"type": "link_request", "linkCode": "BBBBBB", "publicKey": OTHER_KEY}));
    assert_eq!(stage.inbox(device)[0]["deviceName"], "Unknown Browser");
}

#[test]
fn a_rejected_link_is_over() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": false});
    assert_eq!(say(&mut stage, device, &response), nothing());
    assert_eq!(stage.inbox(web), [json!({"type": "link_rejected", "linkCode": "BBBBBB"})]);
    stage.wait(300_000);
    assert_eq!((stage.inbox(web), stage.inbox(device)), (nothing(), nothing()));
}

#[test]
fn a_link_ends_in_time_and_with_either_side() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    stage.wait(119_999);
    assert_eq!(stage.inbox(web), nothing());
    stage.wait(1);
    assert_eq!((stage.inbox(web), stage.inbox(device)), (link_timeout(), link_timeout()));
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": true});
    assert_eq!(say(&mut stage, device, &response), [link_error("No pending link request found")]);
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    stage.leave(web);
    assert_eq!(stage.inbox(device), link_timeout());
    let web = peer(&mut stage, "AAAAAA");
    say(&mut stage, web, &link_request());
    stage.leave(device);
    assert_eq!(stage.inbox(web), link_timeout());
    stage.wait(300_000);
    assert_eq!(stage.inbox(web), nothing());
}

#[test]
fn a_second_browser_cannot_take_the_place_of_the_first() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    let second = peer(&mut stage, "CCCCCC");
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    let told = say(&mut stage, second, &link_request());
    assert_eq!(told, [link_error("Link request could not be processed")]);
    assert_eq!(say(&mut stage, web, &link_request()), nothing(), "the first may repeat");
    assert_eq!(stage.inbox(device).len(), 1);
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": true});
    assert_eq!(say(&mut stage, device, &response)[0]["webClientCode"], "AAAAAA");
    assert_eq!(stage.inbox(second), nothing());
}

#[test]
fn a_browser_that_asks_another_device_lets_the_first_go() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    let other = peer(&mut stage, "CCCCCC");
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    let mut elsewhere = link_request();
    elsewhere["linkCode"] = json!("CCCCCC");
    say(&mut stage, web, &elsewhere);
    assert_eq!(stage.inbox(device), link_timeout());
    assert_eq!(stage.inbox(other).len(), 1);
    stage.wait(120_000);
    let ended = [json!({"type": "link_timeout", "linkCode": "CCCCCC"})];
    assert_eq!((stage.inbox(web), stage.inbox(device)), (ended.to_vec(), nothing()));
}

#[test]
fn a_device_answers_for_itself_only() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    let other = peer(&mut stage, "CCCCCC");
    say(&mut stage, web, &link_request());
    stage.inbox(device);
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": true});
    let told = say(&mut stage, other, &response);
    assert_eq!(told, [error("Cannot respond to link request for another device")]);
    assert_eq!(stage.inbox(web), nothing());
}

#[test]
fn link_requests_to_nobody_and_to_oneself_cannot_be_told_apart() {
    let mut stage = open_room();
    let (web, _) = pair(&mut stage);
    for code in ["AAAAAA", "CCCCCC"] {
        let mut request = link_request();
        request["linkCode"] = json!(code);
        assert_eq!(say(&mut stage, web, &request), [link_error("Link request could not be processed")]);
    }
}

#[test]
fn link_messages_say_what_is_wrong_with_them() {
    let mut stage = open_room();
    let conn = peer(&mut stage, "AAAAAA");
    let (code, key) = (json!("BBBBBB"), json!(KEY));
    let rows = [
        (json!({"publicKey": key}), "Missing required field: linkCode"),
        (json!({"linkCode": code}), "Missing required field: publicKey"),
        (json!({"linkCode": 1, "publicKey": key}), "Invalid message: link_request: linkCode must be a string"),
        (json!({"linkCode": code, "publicKey": 1}), "Invalid message: link_request: publicKey must be a string"),
        (json!({"linkCode": "b", "publicKey": key}), "Invalid target code format"),
        (json!({"linkCode": code, "publicKey": "b"}), "Invalid public key format"),
        (json!({"linkCode": code, "publicKey": "AAAA"}), "Invalid public key length"),
        (
            json!({"linkCode": code, "publicKey": key, "deviceName": 1}),
            "Invalid message: link_request: deviceName must be a string",
        ),
        (
            json!({"linkCode": code, "publicKey": key, "deviceName": "x".repeat(129)}),
            "Invalid message: link_request: deviceName must have at most 128 characters",
        ),
    ];
    for (mut message, sentence) in rows {
        message["type"] = json!("link_request");
        assert_eq!(say(&mut stage, conn, &message), [error(sentence)]);
    }
    for (message, sentence) in [
        (
            json!({"type": "link_response", "linkCode": "AAAAAA"}),
            "Invalid message: link_response: accepted must be a boolean",
        ),
        (json!({"type": "link_response", "accepted": true}), "Missing required field: linkCode"),
        (
            json!({"type": "link_response", "linkCode": "AAAAAA", "accepted": true, "deviceId": 5}),
            "Invalid message: link_response: deviceId must be a string",
        ),
    ] {
        assert_eq!(say(&mut stage, conn, &message), [error(sentence)]);
    }
    let anonymous = lobby(&mut stage);
    let told = say(&mut stage, anonymous, &link_request());
    assert_eq!(told, [error("Not registered. Send register message first.")]);
}

#[test]
fn a_request_and_a_link_do_not_disturb_each_other() {
    let mut stage = open_room();
    let (web, device) = pair(&mut stage);
    say(&mut stage, web, &link_request());
    matched(&mut stage, (web, "AAAAAA"), (device, "BBBBBB"));
    let response = json!({"type": "link_response", "linkCode": "BBBBBB", "accepted": true});
    assert_eq!(say(&mut stage, device, &response).len(), 1);
    assert_eq!(stage.inbox(web).len(), 1);
    let told = say(&mut stage, web, &json!({"type": "pair_request", "targetCode": "AAAAAA"}));
    assert_eq!(told, [unprocessed()]);
}
