//! The relay families on signaling sockets: one socket pairs, relays, meets and shares chunks, as today's clients do.
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
use signaling_play::{KEY, enrol, lobby, matched, open_room, peer, room, say, signal};

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

fn meeting(peer_id: &str, drop: &str) -> Value {
    json!({ "type": "register_rendezvous", "peerId": peer_id, "daily_points": ["day_1"], "hourly_tokens": ["hr_1"], "dead_drops": { "day_1": drop } })
}

#[test]
fn peers_that_hold_codes_find_each_other_again_by_their_codes() {
    let mut stage = open_room();
    let (one, two) = (peer(&mut stage, "ABC234"), peer(&mut stage, "XYZ789"));
    assert_eq!(kinds(&say(&mut stage, one, &meeting("ABC234", "drop of one"))), ["rendezvous_result"]);
    let told = say(&mut stage, two, &meeting("XYZ789", "drop of two"));
    assert_eq!(told[0]["liveMatches"], json!([{ "peerId": "ABC234", "relayId": "" }]));
    assert_eq!(told[0]["deadDrops"], json!([{ "peerId": "ABC234", "deadDrop": "drop of one", "relayId": "" }]));
    assert_eq!(
        stage.inbox(one),
        [json!({ "type": "rendezvous_match", "match": { "peerId": "XYZ789", "relayId": "" } })]
    );
    // On the same socket they pair and signal as ever.
    matched(&mut stage, (one, "ABC234"), (two, "XYZ789"));
    say(&mut stage, one, &json!({ "type": "offer", "target": "XYZ789", "payload": {} }));
    assert_eq!(kinds(&stage.inbox(two)), ["offer"]);
}

#[test]
fn nobody_speaks_for_anothers_code() {
    let mut stage = open_room();
    let (_one, two) = (peer(&mut stage, "ABC234"), peer(&mut stage, "XYZ789"));
    let told = say(&mut stage, two, &meeting("ABC234", "forged"));
    assert_eq!(kinds(&told), ["error"]);
}

#[test]
fn a_dead_drop_outlives_the_peer_and_its_tokens_do_not() {
    let mut stage = open_room();
    let one = peer(&mut stage, "ABC234");
    say(&mut stage, one, &meeting("ABC234", "I am on relay 7"));
    stage.leave(one);
    let two = peer(&mut stage, "XYZ789");
    let told = say(&mut stage, two, &meeting("XYZ789", "hello"));
    assert_eq!(told[0]["liveMatches"], json!([]));
    assert_eq!(told[0]["deadDrops"][0]["deadDrop"], "I am on relay 7");
}

#[test]
fn a_channel_reaches_its_subscribers_with_one_pull_over_pairing_sockets() {
    let mut stage = open_room();
    let owner = peer(&mut stage, "ABC234");
    say(&mut stage, owner, &json!({ "type": "channel-owner-register", "channelId": "news" }));
    let announce =
        json!({ "type": "chunk_announce", "peerId": "ABC234", "channelId": "news", "chunks": [{ "chunkId": "c1" }] });
    say(&mut stage, owner, &announce);
    let readers: Vec<_> = ["BBB222", "CCC333", "DDD444"].map(|code| peer(&mut stage, code)).into_iter().collect();
    for reader in &readers {
        say(&mut stage, *reader, &json!({ "type": "channel-subscribe", "channelId": "news" }));
        let told = say(&mut stage, *reader, &json!({ "type": "chunk_request", "channelId": "news", "chunkId": "c1" }));
        assert_eq!(kinds(&told), ["chunk_pulling"]);
    }
    assert_eq!(kinds(&stage.inbox(owner)), ["chunk_pull"]);
    let push = json!({ "type": "chunk_push", "channelId": "news", "chunkId": "c1", "data": "the news" });
    assert_eq!(
        say(&mut stage, owner, &push),
        [json!({ "type": "chunk_push_ack", "chunkId": "c1", "cached": true, "servedCount": 3 })]
    );
    for reader in &readers {
        let expected = json!({ "type": "chunk_data", "chunkId": "c1", "channelId": "news", "data": "the news", "source": "relay" });
        assert_eq!(stage.inbox(*reader), [expected]);
    }
}

#[test]
fn a_socket_that_only_relays_is_closed_when_silent_and_one_that_holds_a_code_is_not() {
    let mut stage = room(&[("RELAY_PEER_TTL_MS", "60000")]);
    let (relay, both) = (lobby(&mut stage), peer(&mut stage, "ABC234"));
    for (conn, id) in [(relay, "relay-1"), (both, "relay-2")] {
        assert_eq!(kinds(&say(&mut stage, conn, &json!({ "type": "register", "peerId": id }))), ["registered"]);
    }
    stage.wait(700_000);
    assert_eq!(stage.closed(relay), Some((1000, "Heartbeat timeout")));
    assert_eq!(stage.closed(both), None);
    let asker = lobby(&mut stage);
    say(&mut stage, asker, &json!({ "type": "register", "peerId": "asker" }));
    let told = say(&mut stage, asker, &json!({ "type": "get_relays", "peerId": "asker" }));
    assert_eq!(told[0]["relays"], json!([]), "neither is a relay any longer");
    assert_eq!(
        kinds(&say(&mut stage, both, &json!({ "type": "register", "pairingCode": "ABC234", "publicKey": KEY }))),
        ["registered"]
    );
}

#[test]
fn a_frame_too_large_ends_the_relay_peer_with_its_socket() {
    let mut stage = open_room();
    let (relay, asker) = (lobby(&mut stage), lobby(&mut stage));
    say(&mut stage, relay, &json!({ "type": "register", "peerId": "relay-1" }));
    stage.say(relay, &"x".repeat(256 * 1024 + 1));
    assert_eq!(stage.closed(relay).map(|(code, _)| code), Some(1009));
    say(&mut stage, asker, &json!({ "type": "register", "peerId": "asker" }));
    assert_eq!(say(&mut stage, asker, &json!({ "type": "get_relays", "peerId": "asker" }))[0]["relays"], json!([]));
}

#[test]
fn rooms_speak_the_registrys_dialect_and_codes_there_bind_no_peer_id() {
    let mut stage = open_room();
    let (one, two) = (signal(&mut stage), signal(&mut stage));
    assert_eq!(
        say(&mut stage, one, &json!({ "type": "register", "peerId": "p1" })),
        [json!({ "type": "registered", "peerId": "p1", "relays": [] })]
    );
    let told = say(&mut stage, two, &json!({ "type": "register", "peerId": "p1" }));
    assert_eq!(told, [json!({ "type": "error", "message": "Peer ID already in use by another connection" })]);
}

#[test]
fn a_relay_peer_counts_against_the_same_message_quota() {
    let mut stage = room(&[("SIGNAL_MESSAGES_PER_MINUTE", "3")]);
    let relay = lobby(&mut stage);
    say(&mut stage, relay, &json!({ "type": "register", "peerId": "relay-1" }));
    for _ in 0..2 {
        assert_eq!(
            kinds(&say(&mut stage, relay, &json!({ "type": "heartbeat", "peerId": "relay-1" }))),
            ["heartbeat_ack"]
        );
    }
    let told = say(&mut stage, relay, &json!({ "type": "heartbeat", "peerId": "relay-1" }));
    assert_eq!(told, [json!({ "type": "error", "message": "Rate limit exceeded. Please slow down." })]);
}

#[test]
fn when_storage_fails_nothing_is_told_to_anybody() {
    let mut stage = open_room();
    let (one, two) = (peer(&mut stage, "ABC234"), peer(&mut stage, "XYZ789"));
    say(&mut stage, one, &meeting("ABC234", "drop"));
    stage.database.refuse_commits();
    assert!(stage.try_say(two, &meeting("XYZ789", "drop").to_string()).is_err());
    assert_eq!((stage.inbox(one).len(), stage.inbox(two).len()), (0, 0));
    enrol(&mut stage, two, "XYZ789");
}
