//! Every row of the signaling protocol, played on the real object: edge-wire 2.1, 2.3.1, calls, device links, limits.
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

use serde_json::json;
use signaling_play::{
    KEY, OTHER_KEY, Room, enrol, error, guest, lobby, matched, nothing, open_room, peer, room, say, signal, unprocessed,
};
use support::{body, call};
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation;
use waystation::signaling::codes::ALPHABET;
use waystation::signaling::pairing::PENDING_MAX;
use waystation::signaling::room::PARTNERS_MAX;

type Place = fn(&mut Room, &str) -> Conn;

// Paths

#[test]
fn only_the_root_path_greets() {
    let mut stage = open_room();
    let root = stage.open(&call(Operation::SignalRoot));
    let greeting = json!({"type": "server_info", "serverId": "waystation", "endpoint": "", "region": null});
    assert_eq!(stage.inbox(root), [greeting]);
    for operation in [Operation::SignalShared, Operation::SignalClient, Operation::SignalRoom] {
        let conn = stage.open(&call(operation));
        assert_eq!(stage.inbox(conn), nothing(), "{operation:?}");
    }
    assert_eq!(stage.try_open(&call(Operation::RelayOpen)).unwrap_err().status, 404);
}

#[test]
fn the_object_answers_a_probe_and_no_other_call() {
    let mut stage = open_room();
    assert_eq!(body(&stage.call(&call(Operation::Probe))), json!({"ok": true}));
    assert_eq!(stage.call(&call(Operation::RelayStats)).status, 404);
}

// 2.1, /signal/{room}

#[test]
fn a_room_takes_any_code_and_needs_no_key() {
    let mut stage = open_room();
    for code in ["x", "ABCDEF", "two words", "\"quoted\\\"", &"é".repeat(128)] {
        guest(&mut stage, code);
    }
    let conn = signal(&mut stage);
    let long = "x".repeat(129);
    for code in [json!(null), json!(""), json!(5), json!(long), json!({})] {
        let told = say(&mut stage, conn, &json!({"type": "register", "pairingCode": code}));
        assert_eq!(told, [error("Invalid pairing code")], "{code}");
    }
    assert_eq!(say(&mut stage, conn, &json!({"type": "register"})), [error("Invalid pairing code")]);
}

#[test]
fn a_code_in_use_is_refused_and_the_same_socket_may_say_it_again() {
    let mut stage = open_room();
    let first = guest(&mut stage, "x");
    let second = signal(&mut stage);
    let again = json!({"type": "register", "pairingCode": "x"});
    assert_eq!(say(&mut stage, second, &again), [error("Pairing code already in use")]);
    assert_eq!(say(&mut stage, first, &again), [json!({"type": "registered", "pairingCode": "x"})]);
    let (one, other) = (peer(&mut stage, "ABCDEF"), lobby(&mut stage));
    let again = json!({"type": "register", "pairingCode": "ABCDEF", "publicKey": KEY});
    let collision = json!({"type": "code_collision",
        "message": "Pairing code already in use. Please reconnect with a new code."});
    assert_eq!(say(&mut stage, other, &again), [collision]);
    enrol(&mut stage, one, "ABCDEF");
}

#[test]
fn a_second_code_frees_the_first() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, other, &json!({"type": "pair_request", "targetCode": "AAAAAA"}));
    stage.inbox(one);
    enrol(&mut stage, one, "CCCCCC");
    assert_eq!(stage.inbox(other), [json!({"type": "pair_timeout", "peerCode": "AAAAAA"})]);
    let told = say(&mut stage, one, &json!({"type": "pair_accept", "targetCode": "BBBBBB"}));
    assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
    peer(&mut stage, "AAAAAA");
}

#[test]
fn offers_answers_and_candidates_reach_an_unpaired_target_byte_for_byte() {
    let mut stage = open_room();
    let places: [(Place, &str, &str); 2] = [(guest, "a", "b"), (peer, "AAAAAA", "BBBBBB")];
    for (enter, here, there) in places {
        let (one, other) = (enter(&mut stage, here), enter(&mut stage, there));
        for kind in ["offer", "answer", "ice_candidate"] {
            let payload = r#"{"sdp" : "v=0\r\n\u00e9", "n":1e400, "deep":[[[]]]}"#;
            stage.say(one, &format!(r#"{{"payload":{payload},"type":"{kind}","target":"{there}","from":"forged"}}"#));
            let texts = std::mem::take(&mut stage.peers.get_mut(&other).unwrap().inbox);
            assert_eq!(texts, [format!(r#"{{"type":"{kind}","from":"{here}","payload":{payload}}}"#)]);
            assert_eq!(stage.inbox(one), nothing());
        }
    }
}

#[test]
fn a_room_wants_target_and_a_truthy_payload() {
    let mut stage = open_room();
    let (one, other) = (guest(&mut stage, "a"), guest(&mut stage, "b"));
    for payload in [json!(null), json!(""), json!(0), json!(false), json!(-0.0)] {
        let told = say(&mut stage, one, &json!({"type": "offer", "target": "b", "payload": payload}));
        assert_eq!(told, [error("Missing target or payload")], "{payload}");
    }
    for message in [json!({"type": "offer", "target": "b"}), json!({"type": "offer", "payload": {}})] {
        assert_eq!(say(&mut stage, one, &message), [error("Missing target or payload")]);
    }
    assert_eq!(stage.inbox(other), nothing());
    for payload in [json!({}), json!("0"), json!(0.5), json!(-1), json!([])] {
        say(&mut stage, one, &json!({"type": "offer", "target": "b", "payload": payload}));
        assert_eq!(stage.inbox(other), [json!({"type": "offer", "from": "a", "payload": payload})]);
    }
    let told = say(&mut stage, one, &json!({"type": "offer", "target": "c", "payload": {}}));
    assert_eq!(told, [error("Target peer not found")]);
}

#[test]
fn a_lobby_offer_needs_a_target_and_no_payload() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "offer", "target": "BBBBBB"}));
    assert_eq!(stage.inbox(other), [json!({"type": "offer", "from": "AAAAAA"})]);
    for (message, sentence) in [
        (json!({"type": "offer"}), "Missing required field: target"),
        (json!({"type": "offer", "target": 5}), "Invalid message: offer: target must be a string"),
        (json!({"type": "answer", "target": []}), "Invalid message: answer: target must be a string"),
        (json!({"type": "offer", "target": "CCCCCC"}), "Peer not found: CCCCCC"),
    ] {
        assert_eq!(say(&mut stage, one, &message), [error(sentence)]);
    }
}

#[test]
fn nobody_speaks_before_registering_except_to_ping() {
    let mut stage = open_room();
    let (room, lobby) = (signal(&mut stage), lobby(&mut stage));
    for kind in [
        "offer",
        "answer",
        "ice_candidate",
        "pair_request",
        "pair_accept",
        "pair_reject",
        "link_request",
        "call_offer",
        "call_hangup",
    ] {
        let message = json!({"type": kind, "target": "AAAAAA", "targetCode": "AAAAAA", "payload": {}});
        assert_eq!(say(&mut stage, room, &message), [error("Not registered")], "{kind}");
        let told = say(&mut stage, lobby, &message);
        assert_eq!(told, [error("Not registered. Send register message first.")], "{kind}");
    }
    for conn in [room, lobby] {
        for ping in ["{\"type\":\"ping\"}", " { \"type\" :\n\"pi\\u006eg\" , \"x\": [] } "] {
            stage.say(conn, ping);
            assert_eq!(stage.inbox(conn), [json!({"type": "pong"})]);
        }
    }
}

#[test]
fn lone_surrogates_are_json_and_carried_byte_for_byte() {
    let mut stage = open_room();
    let (one, two) = (peer(&mut stage, "ABC234"), peer(&mut stage, "XYZ789"));
    stage.say(one, r#"{"type":"offer","target":"XYZ789","payload":{"sdp":"\ud800x"}}"#);
    let heard = std::mem::take(&mut stage.peers.get_mut(&two).unwrap().inbox);
    assert_eq!(heard, [r#"{"type":"offer","from":"ABC234","payload":{"sdp":"\ud800x"}}"#]);
}

#[test]
fn what_is_no_message_is_answered_in_the_words_of_the_path() {
    let mut stage = open_room();
    let (room, lobby) = (signal(&mut stage), lobby(&mut stage));
    let long = "x".repeat(1_000);
    let unknown = json!({"type": long}).to_string();
    let cut = format!("Unknown message type: {}", "x".repeat(64));
    let rows = [
        ("{", "Invalid message format", "Invalid message format: JSON parse error"),
        ("", "Invalid message format", "Invalid message format: JSON parse error"),
        ("null", "Invalid message format", "Invalid message: Message must be a JSON object"),
        ("[\"ping\"]", "Unknown message type: undefined", "Invalid message: Message must be a JSON object"),
        ("{}", "Unknown message type: undefined", "Invalid message: Missing or invalid \"type\" field"),
        ("{\"type\":5}", "Unknown message type: 5", "Invalid message: Missing or invalid \"type\" field"),
        ("{\"type\":\"nonsense\"}", "Unknown message type: nonsense", "Unknown message type: nonsense"),
        (unknown.as_str(), cut.as_str(), cut.as_str()),
        ("{\"type\":\"ping\",\"type\":\"ping\"}", "Invalid message format", "Invalid message format: JSON parse error"),
        (
            "{\"type\":\"attest_challenge\"}",
            "Unknown message type: attest_challenge",
            "Unknown message type: attest_challenge",
        ),
    ];
    for (text, in_room, in_lobby) in rows {
        stage.say(room, text);
        assert_eq!(stage.inbox(room), [error(in_room)], "{text}");
        stage.say(lobby, text);
        assert_eq!(stage.inbox(lobby), [error(in_lobby)], "{text}");
    }
    stage.say_binary(room, b"{\"type\":\"ping\"}");
    assert_eq!(stage.inbox(room), [error("Invalid message format")]);
    stage.say_binary(lobby, b"{\"type\":\"ping\"}");
    assert_eq!(stage.inbox(lobby), [json!({"type": "pong"})]);
    stage.say_binary(lobby, b"{\"type\":\"ping\xff\"}");
    assert_eq!(stage.inbox(lobby), [error("Invalid message format: JSON parse error")]);
}

#[test]
fn nesting_is_bounded_and_brackets_in_text_are_not_nesting() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    let offer = |open: usize| {
        let payload = format!("{}{}", "[".repeat(open), "]".repeat(open));
        format!("{{\"type\":\"offer\",\"target\":\"BBBBBB\",\"payload\":{payload}}}")
    };
    stage.say(one, &offer(63));
    assert_eq!(stage.inbox(other).len(), 1);
    for depth in [64, 100_000] {
        stage.say(one, &offer(depth));
        assert_eq!(stage.inbox(one), [error("Invalid message format: JSON parse error")]);
    }
    say(&mut stage, one, &json!({"type": "offer", "target": "BBBBBB", "payload": "\"[".repeat(500)}));
    assert_eq!(stage.inbox(other).len(), 1);
}

// 2.3.1

#[test]
fn a_lobby_registration_is_strict() {
    let mut stage = open_room();
    let conn = lobby(&mut stage);
    for (code, key, sentence) in [
        (json!("ABCDEF"), json!(null), "Missing required field: publicKey"),
        (json!(""), json!(KEY), "Missing required field: pairingCode"),
        (json!(null), json!(KEY), "Missing required field: pairingCode"),
        (json!(5), json!(KEY), "Invalid message: register: pairingCode must be a string"),
        (json!("ABCDEF"), json!(5), "Invalid message: register: publicKey must be a string"),
        (json!("ABCDE"), json!(KEY), "Invalid pairing code format"),
        (json!("ABCDEFG"), json!(KEY), "Invalid pairing code format"),
        (json!("abcdef"), json!(KEY), "Invalid pairing code format"),
        (json!("ABCDE0"), json!(KEY), "Invalid pairing code format"),
        (json!("ABCDEF"), json!("***"), "Invalid public key format"),
        (json!("ABCDEF"), json!("AAAA"), "Invalid public key length"),
    ] {
        let told = say(&mut stage, conn, &json!({"type": "register", "pairingCode": code, "publicKey": key}));
        assert_eq!(told, [error(sentence)]);
    }
    enrol(&mut stage, conn, "ABCDEF");
}

#[test]
fn a_pair_request_that_is_accepted_matches_both() {
    let mut stage = open_room();
    let one = lobby(&mut stage);
    let kems = json!(["ML-KEM-768", "X25519"]);
    let registration = json!({"type": "register", "pairingCode": "AAAAAA", "publicKey": KEY,
        "protocolVersion": 2, "supportedKEMs": kems, "pqPublicKey": "q".repeat(1_580)});
    assert_eq!(say(&mut stage, one, &registration).len(), 1);
    let other = peer(&mut stage, "BBBBBB");
    let request = json!({"type": "pair_request", "targetCode": "BBBBBB", "proposedName": "Ann's \"phone\""});
    assert_eq!(say(&mut stage, one, &request), nothing());
    let incoming = json!({"type": "pair_incoming", "fromCode": "AAAAAA", "fromPublicKey": KEY, "expiresIn": 120_000,
        "proposedName": "Ann's \"phone\""});
    assert_eq!(stage.inbox(other), [incoming]);
    let told = say(&mut stage, other, &json!({"type": "pair_response", "targetCode": "AAAAAA", "accepted": true}));
    let peer = json!({"type": "pair_matched", "peerCode": "AAAAAA", "peerPublicKey": KEY, "isInitiator": false,
        "peerPqPublicKey": "q".repeat(1_580), "peerProtocolVersion": 2, "peerSupportedKEMs": kems});
    assert_eq!(told, [peer]);
    let peer = json!({"type": "pair_matched", "peerCode": "BBBBBB", "peerPublicKey": KEY, "isInitiator": true});
    assert_eq!(stage.inbox(one), [peer]);
    stage.wait(300_000);
    assert_eq!((stage.inbox(one), stage.inbox(other)), (nothing(), nothing()));
}

#[test]
fn a_rejected_request_is_over() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    for rejection in [
        json!({"type": "pair_response", "targetCode": "AAAAAA", "accepted": false}),
        json!({"type": "pair_reject", "targetCode": "AAAAAA"}),
    ] {
        say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
        stage.inbox(other);
        assert_eq!(say(&mut stage, other, &rejection), nothing());
        assert_eq!(stage.inbox(one), [json!({"type": "pair_rejected", "peerCode": "BBBBBB"})]);
        let told = say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "AAAAAA"}));
        assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
    }
    stage.wait(300_000);
    assert_eq!((stage.inbox(one), stage.inbox(other)), (nothing(), nothing()));
}

#[test]
fn peers_of_a_room_pair_without_keys() {
    let mut stage = open_room();
    let (one, other) = (guest(&mut stage, "ann"), guest(&mut stage, "bob"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "bob"}));
    let incoming = json!({"type": "pair_incoming", "fromCode": "ann", "fromPublicKey": "", "expiresIn": 120_000});
    assert_eq!(stage.inbox(other), [incoming]);
    let told = say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "ann"}));
    assert_eq!(told, [json!({"type": "pair_matched", "peerCode": "ann", "peerPublicKey": "", "isInitiator": false})]);
}

#[test]
fn pair_messages_say_what_is_wrong_with_them() {
    let mut stage = open_room();
    let conn = peer(&mut stage, "AAAAAA");
    let long = "x".repeat(129);
    for (message, sentence) in [
        (json!({"type": "pair_request"}), "Missing required field: targetCode"),
        (
            json!({"type": "pair_request", "targetCode": 1}),
            "Invalid message: pair_request: targetCode must be a string",
        ),
        (json!({"type": "pair_request", "targetCode": "abc"}), "Invalid target code format"),
        (
            json!({"type": "pair_request", "targetCode": "BBBBBB", "proposedName": 1}),
            "Invalid message: pair_request: proposedName must be a string",
        ),
        (
            json!({"type": "pair_request", "targetCode": "BBBBBB", "proposedName": long}),
            "Invalid message: pair_request: proposedName must have at most 128 characters",
        ),
        (
            json!({"type": "pair_response", "targetCode": "BBBBBB"}),
            "Invalid message: pair_response: accepted must be a boolean",
        ),
        (
            json!({"type": "pair_response", "targetCode": "BBBBBB", "accepted": 1}),
            "Invalid message: pair_response: accepted must be a boolean",
        ),
        (json!({"type": "pair_response", "accepted": true}), "Missing required field: targetCode"),
    ] {
        assert_eq!(say(&mut stage, conn, &message), [error(sentence)]);
    }
    let told = say(&mut stage, conn, &json!({"type": "pair_accept", "targetCode": "BBBBBB"}));
    assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
}

#[test]
fn a_request_is_warned_of_and_ends_in_time() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    stage.inbox(other);
    stage.wait(89_999);
    stage.ring();
    assert_eq!((stage.inbox(one), stage.inbox(other)), (nothing(), nothing()));
    stage.wait(1);
    stage.ring();
    let expiring = |code: &str| [json!({"type": "pair_expiring", "peerCode": code, "remainingSeconds": 30})];
    assert_eq!(stage.inbox(one), expiring("BBBBBB"));
    assert_eq!(stage.inbox(other), expiring("AAAAAA"));
    stage.wait(29_999);
    assert_eq!(stage.inbox(one), nothing());
    stage.wait(1);
    stage.ring();
    assert_eq!(stage.inbox(one), [json!({"type": "pair_timeout", "peerCode": "BBBBBB"})]);
    assert_eq!(stage.inbox(other), nothing());
    let told = say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "AAAAAA"}));
    assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
}

#[test]
fn a_late_alarm_does_not_lengthen_a_request() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    stage.inbox(other);
    stage.now = stage.now.plus(120_000);
    let told = say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "AAAAAA"}));
    assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
    assert_eq!(stage.inbox(one), [json!({"type": "pair_timeout", "peerCode": "BBBBBB"})]);
}

#[test]
fn the_times_are_settings_and_a_late_warning_is_left_out() {
    let mut stage = room(&[("PAIR_WARNING_MS", "5000"), ("PAIR_TIMEOUT_MS", "7500")]);
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    assert_eq!(stage.inbox(other)[0]["expiresIn"], 7_500);
    stage.wait(7_500);
    let told = stage.inbox(one);
    assert_eq!(told[0], json!({"type": "pair_expiring", "peerCode": "BBBBBB", "remainingSeconds": 2}));
    assert_eq!(told[1], json!({"type": "pair_timeout", "peerCode": "BBBBBB"}));
    let mut stage = room(&[("PAIR_WARNING_MS", "7500"), ("PAIR_TIMEOUT_MS", "7500")]);
    let (one, _) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    stage.wait(7_500);
    assert_eq!(stage.inbox(one), [json!({"type": "pair_timeout", "peerCode": "BBBBBB"})]);
}

#[test]
fn a_repeated_request_starts_again_and_is_told_again() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    let request = json!({"type": "pair_request", "targetCode": "BBBBBB"});
    say(&mut stage, one, &request);
    stage.wait(80_000);
    say(&mut stage, one, &request);
    assert_eq!(stage.inbox(other).len(), 2);
    stage.wait(89_999);
    assert_eq!(stage.inbox(one), nothing());
    stage.wait(30_001);
    assert_eq!(stage.inbox(one).len(), 2, "one warning and one end");
}

#[test]
fn unknown_own_and_full_targets_cannot_be_told_apart() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "1000"), ("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "1000")]);
    let target = peer(&mut stage, "TTTTTT");
    let code = |index: usize| format!("AAAAA{}", char::from(ALPHABET[index]));
    let askers: Vec<Conn> = (0..PENDING_MAX).map(|index| peer(&mut stage, &code(index))).collect();
    let request = json!({"type": "pair_request", "targetCode": "TTTTTT"});
    for asker in &askers {
        assert_eq!(say(&mut stage, *asker, &request), nothing());
    }
    assert_eq!(stage.inbox(target).len(), PENDING_MAX);
    assert_eq!(say(&mut stage, askers[0], &request), nothing(), "a repeated request is not one more");
    assert_eq!(stage.inbox(target).len(), 1);
    let eleventh = peer(&mut stage, "ZZZZZZ");
    let mut seen = Vec::new();
    for target in ["TTTTTT", "ZZZZZZ", "WWWWWW"] {
        let (commits, rows) = (stage.database.commits(), stage.database.rows_written());
        let request = json!({"type": "pair_request", "targetCode": target});
        stage.say(eleventh, &request.to_string());
        let text = std::mem::take(&mut stage.peers.get_mut(&eleventh).unwrap().inbox);
        seen.push((text, stage.database.commits() - commits, stage.database.rows_written() - rows));
    }
    assert_eq!(seen[0].0, [r#"{"type":"pair_error","error":"Pair request could not be processed"}"#]);
    assert_eq!((seen[0].1, &seen[0]), (1, &seen[1]));
    assert_eq!(seen[1], seen[2]);
    say(&mut stage, target, &json!({"type": "pair_reject", "targetCode": code(3)}));
    assert_eq!(say(&mut stage, eleventh, &request), nothing(), "a place was free");
}

#[test]
fn one_peer_has_at_most_ten_requests_waiting() {
    let mut stage = open_room();
    let asker = guest(&mut stage, "asker");
    let long = |index: usize| format!("{}{index:03}", "🛰".repeat(125));
    for index in 0..11 {
        guest(&mut stage, &long(index));
    }
    // The stage checks that no attachment is larger than the platform takes.
    for index in 0..10 {
        let request = json!({"type": "pair_request", "targetCode": long(index)});
        assert_eq!(say(&mut stage, asker, &request), nothing());
    }
    let told = say(&mut stage, asker, &json!({"type": "pair_request", "targetCode": long(10)}));
    assert_eq!(told, [unprocessed()]);
}

#[test]
fn when_the_asked_leaves_the_asker_is_told() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    stage.leave(other);
    assert_eq!(stage.inbox(one), [json!({"type": "pair_timeout", "peerCode": "BBBBBB"})]);
    stage.wait(300_000);
    assert_eq!(stage.inbox(one), nothing());
}

#[test]
fn when_the_asker_leaves_its_request_is_gone() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    say(&mut stage, one, &json!({"type": "pair_request", "targetCode": "BBBBBB"}));
    stage.inbox(other);
    stage.leave(one);
    peer(&mut stage, "AAAAAA");
    let told = say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "AAAAAA"}));
    assert_eq!(told, [json!({"type": "pair_error", "error": "No pending request from this peer"})]);
}

#[test]
fn only_partners_hear_of_coming_and_going() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    let stranger = peer(&mut stage, "CCCCCC");
    let asker = peer(&mut stage, "DDDDDD");
    say(&mut stage, asker, &json!({"type": "pair_request", "targetCode": "CCCCCC"}));
    stage.inbox(stranger);
    matched(&mut stage, (one, "AAAAAA"), (other, "BBBBBB"));
    stage.leave(one);
    assert_eq!(stage.inbox(other), [json!({"type": "peer_left", "pairingCode": "AAAAAA"})]);
    let back = peer(&mut stage, "AAAAAA");
    assert_eq!(stage.inbox(other), [json!({"type": "peer_joined", "pairingCode": "AAAAAA"})]);
    enrol(&mut stage, back, "AAAAAA");
    assert_eq!(stage.inbox(other), nothing(), "said again on the same socket is no coming");
    stage.leave(other);
    assert_eq!(stage.inbox(back), nothing(), "code and key are no proof: who comes back is told no codes");
    assert_eq!((stage.inbox(stranger), stage.inbox(asker)), (nothing(), nothing()));
}

#[test]
fn another_key_under_a_partners_code_is_not_the_partner() {
    let mut stage = open_room();
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    matched(&mut stage, (one, "AAAAAA"), (other, "BBBBBB"));
    stage.leave(one);
    stage.inbox(other);
    let thief = lobby(&mut stage);
    say(&mut stage, thief, &json!({"type": "register", "pairingCode": "AAAAAA", "publicKey": OTHER_KEY}));
    stage.leave(thief);
    assert_eq!(stage.inbox(other), nothing());
}

#[test]
fn the_oldest_partner_is_forgotten_beyond_the_limit() {
    let mut stage = open_room();
    let hub = guest(&mut stage, "hub");
    let name = |index: usize| format!("peer-{index}");
    let conns: Vec<Conn> = (0..=PARTNERS_MAX).map(|index| guest(&mut stage, &name(index))).collect();
    for (index, conn) in conns.iter().enumerate() {
        matched(&mut stage, (*conn, &name(index)), (hub, "hub"));
    }
    stage.leave(conns[0]);
    assert_eq!(stage.inbox(hub), nothing());
    stage.leave(conns[1]);
    assert_eq!(stage.inbox(hub), [json!({"type": "peer_left", "pairingCode": "peer-1"})]);
}
