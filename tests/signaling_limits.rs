//! The limits of a room, each at its bound and one past it, over reconnects and hibernation.
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
use signaling_play::{KEY, Room, enrol, error, from, lobby, matched, nothing, peer, room, say};
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation;
use waystation::signaling::guesses::NETWORKS_MAX;

const TOO_MANY: &str = "Too many pair requests. Please slow down.";

fn peer_from(stage: &mut Room, address: &str, code: &str) -> Conn {
    let conn = stage.open(&from(Operation::SignalClient, address));
    enrol(stage, conn, code);
    conn
}

fn try_pair(stage: &mut Room, conn: Conn, code: &str) -> Vec<Value> {
    say(stage, conn, &json!({"type": "pair_request", "targetCode": code}))
}

fn offer(code: &str) -> Value {
    json!({"type": "offer", "target": code, "payload": {}})
}

fn unknown() -> Vec<Value> {
    vec![json!({"type": "pair_error", "error": "Pair request could not be processed"})]
}

fn rows(stage: &Room, table: &str) -> usize {
    stage.database.dump().iter().filter(|line| line.starts_with(table)).count()
}

#[test]
fn a_frame_over_256_kib_closes_its_socket_as_if_it_had_left() {
    let mut stage = room(&[]);
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    matched(&mut stage, (one, "AAAAAA"), (other, "BBBBBB"));
    let frame = |bytes: usize| {
        let empty = json!({"type": "offer", "target": "BBBBBB", "payload": ""}).to_string().len();
        json!({"type": "offer", "target": "BBBBBB", "payload": "x".repeat(bytes - empty)}).to_string()
    };
    stage.say(one, &frame(262_144));
    assert_eq!(stage.inbox(other).len(), 1);
    assert_eq!(stage.closed(one), None);
    stage.say(one, &frame(262_145));
    assert_eq!(stage.closed(one), Some((1009, "Message too large")));
    assert_eq!(stage.inbox(other), [json!({"type": "peer_left", "pairingCode": "AAAAAA"})]);
    stage.say(one, "{\"type\":\"ping\"}");
    assert_eq!(stage.inbox(one), nothing(), "a closed socket is not heard");
    peer(&mut stage, "AAAAAA");
    let second = lobby(&mut stage);
    stage.say_binary(second, &vec![b' '; 262_145]);
    assert_eq!(stage.closed(second).map(|closed| closed.0), Some(1009));
}

#[test]
fn a_socket_that_talks_too_much_is_not_heard_and_stays() {
    let mut stage = room(&[("SIGNAL_MESSAGES_PER_MINUTE", "5")]);
    let (one, other) = (lobby(&mut stage), lobby(&mut stage));
    for _ in 0..5 {
        assert_eq!(say(&mut stage, one, &json!({"type": "ping"})), [json!({"type": "pong"})]);
    }
    for _ in 0..3 {
        let told = say(&mut stage, one, &json!({"type": "register", "pairingCode": "AAAAAA", "publicKey": KEY}));
        assert_eq!(told, [error("Rate limit exceeded. Please slow down.")]);
    }
    assert_eq!(stage.closed(one), None);
    enrol(&mut stage, other, "AAAAAA");
    stage.wait(12_000);
    assert_eq!(say(&mut stage, one, &json!({"type": "ping"})), [json!({"type": "pong"})]);
    let told = say(&mut stage, one, &json!({"type": "ping"}));
    assert_eq!(told, [error("Rate limit exceeded. Please slow down.")]);
}

#[test]
fn a_room_holds_so_many_sockets_and_a_network_so_many_of_them() {
    let mut stage = room(&[("SIGNAL_SOCKETS_MAX", "5"), ("SIGNAL_SOCKETS_PER_ADDRESS", "3")]);
    let mine = from(Operation::SignalRoot, "2001:db8::1");
    let first = stage.open(&mine);
    stage.open(&from(Operation::SignalRoot, "2001:db8::2"));
    stage.open(&mine);
    let fourth = stage.open(&mine);
    assert_eq!(stage.closed(fourth), Some((1013, "Too many connections from this IP")));
    assert_eq!(stage.inbox(fourth), nothing(), "no greeting for who is sent away");
    stage.say(fourth, "{\"type\":\"ping\"}");
    assert_eq!(stage.inbox(fourth), nothing());
    stage.open(&from(Operation::SignalRoot, "192.0.2.1"));
    stage.open(&from(Operation::SignalRoot, "192.0.2.2"));
    let sixth = stage.open(&from(Operation::SignalRoot, "192.0.2.3"));
    assert_eq!(stage.closed(sixth), Some((1013, "Server at capacity")));
    stage.leave(fourth);
    let seventh = stage.open(&from(Operation::SignalRoot, "192.0.2.3"));
    assert_eq!(stage.closed(seventh).map(|closed| closed.0), Some(1013), "who was sent away frees no place");
    stage.leave(first);
    let eighth = stage.open(&mine);
    assert_eq!(stage.closed(eighth), None);
}

#[test]
fn a_reconnect_does_not_renew_pair_requests_and_time_does() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "3")]);
    peer_from(&mut stage, "198.51.100.9", "TTTTTT");
    for code in ["AAAAAA", "BBBBBB", "CCCCCC"] {
        let conn = peer(&mut stage, code);
        assert_eq!(try_pair(&mut stage, conn, "TTTTTT"), nothing());
        stage.leave(conn);
    }
    let conn = peer(&mut stage, "DDDDDD");
    for target in ["TTTTTT", "ZZZZZZ", "DDDDDD"] {
        let (commits, told) = (stage.database.commits(), try_pair(&mut stage, conn, target));
        assert_eq!(told, [error(TOO_MANY)]);
        assert_eq!(stage.database.commits(), commits, "a refused request writes nothing");
    }
    stage.crash();
    let conn = peer(&mut stage, "DDDDDD");
    assert_eq!(try_pair(&mut stage, conn, "TTTTTT"), [error(TOO_MANY)], "not even after a crash");
    let other = peer_from(&mut stage, "198.51.100.9", "EEEEEE");
    assert_eq!(try_pair(&mut stage, other, "ZZZZZZ"), unknown(), "another network has its own");
    stage.wait(20_000);
    assert_eq!(try_pair(&mut stage, conn, "ZZZZZZ"), unknown());
    assert_eq!(try_pair(&mut stage, conn, "ZZZZZZ"), [error(TOO_MANY)]);
}

#[test]
fn offers_to_unknown_codes_count_as_guesses_and_offers_to_peers_do_not() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "2")]);
    let one = peer_from(&mut stage, "198.51.100.9", "AAAAAA");
    let other = peer(&mut stage, "BBBBBB");
    for _ in 0..20 {
        assert_eq!(say(&mut stage, one, &offer("BBBBBB")), nothing());
    }
    for _ in 0..2 {
        assert_eq!(say(&mut stage, one, &offer("ZZZZZZ")), [error("Peer not found: ZZZZZZ")]);
    }
    assert_eq!(stage.inbox(other).len(), 20);
    assert_eq!(say(&mut stage, one, &offer("ZZZZZZ")), [error(TOO_MANY)]);
    // The same words for a code that is in use, so that they say nothing; the offer arrives all the same.
    assert_eq!(say(&mut stage, one, &offer("BBBBBB")), [error(TOO_MANY)]);
    assert_eq!(stage.inbox(other).len(), 1);
    let call = json!({"type": "call_hangup", "target": "ZZZZZZ", "payload": {"callId": signaling_play::CALL_ID}});
    assert_eq!(say(&mut stage, one, &call), [error(TOO_MANY)]);
}

#[test]
fn a_matched_peer_signals_freely_while_its_network_is_refused() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "1")]);
    let one = peer_from(&mut stage, "198.51.100.9", "AAAAAA");
    let other = peer(&mut stage, "BBBBBB");
    assert_eq!(try_pair(&mut stage, one, "BBBBBB"), nothing());
    assert_eq!(say(&mut stage, one, &offer("BBBBBB")), nothing(), "asked and not yet answered");
    say(&mut stage, other, &json!({"type": "pair_accept", "targetCode": "AAAAAA"}));
    stage.inbox(one);
    stage.inbox(other);
    assert_eq!(try_pair(&mut stage, one, "BBBBBB"), [error(TOO_MANY)]);
    assert_eq!(say(&mut stage, one, &offer("BBBBBB")), nothing());
    assert_eq!(stage.inbox(other).len(), 1);
    assert_eq!(say(&mut stage, other, &offer("AAAAAA")), nothing());
    assert_eq!(stage.inbox(one).len(), 1);
}

#[test]
fn a_socket_cannot_find_codes_by_registering_them() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "2")]);
    let conn = lobby(&mut stage);
    for code in ["AAAAAA", "BBBBBB", "CCCCCC"] {
        enrol(&mut stage, conn, code);
    }
    for code in ["CCCCCC", "DDDDDD"] {
        let told = say(&mut stage, conn, &json!({"type": "register", "pairingCode": code, "publicKey": KEY}));
        assert_eq!(told[0]["type"], if code == "CCCCCC" { "registered" } else { "error" });
    }
    peer(&mut stage, "DDDDDD");
}

#[test]
fn the_breaker_stops_those_who_missed_and_nobody_else() {
    let mut stage = room(&[("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "4")]);
    let target = peer_from(&mut stage, "198.51.100.1", "TTTTTT");
    let guesser = peer_from(&mut stage, "198.51.100.2", "AAAAAA");
    let honest = peer_from(&mut stage, "198.51.100.3", "BBBBBB");
    for _ in 0..4 {
        assert_eq!(try_pair(&mut stage, guesser, "ZZZZZZ"), unknown());
    }
    assert_eq!(try_pair(&mut stage, guesser, "ZZZZZZ"), unknown(), "the miss that opens the breaker");
    assert_eq!(try_pair(&mut stage, guesser, "ZZZZZZ"), [error(TOO_MANY)]);
    assert_eq!(try_pair(&mut stage, guesser, "TTTTTT"), [error(TOO_MANY)], "a code in use looks the same");
    assert_eq!(say(&mut stage, guesser, &offer("ZZZZZZ")), [error(TOO_MANY)]);
    assert_eq!(try_pair(&mut stage, honest, "TTTTTT"), nothing());
    assert_eq!(stage.inbox(target).len(), 1);
    assert_eq!(try_pair(&mut stage, honest, "ZZZZZZ"), unknown(), "one mistake is answered as ever");
    assert_eq!(try_pair(&mut stage, honest, "TTTTTT"), [error(TOO_MANY)]);
    stage.leave(guesser);
    stage.evict();
    let guesser = peer_from(&mut stage, "198.51.100.2", "AAAAAA");
    assert_eq!(try_pair(&mut stage, guesser, "TTTTTT"), [error(TOO_MANY)], "a reconnect does not help");
    stage.wait(60_000);
    assert_eq!(try_pair(&mut stage, guesser, "TTTTTT"), nothing(), "closed again");
}

#[test]
fn what_networks_have_tried_is_swept_when_it_matters_no_more() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "10"), ("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "600")]);
    stage.evict_always = false;
    for index in 0..50 {
        let conn = stage.open(&from(Operation::SignalClient, &format!("198.51.100.{index}")));
        enrol(&mut stage, conn, "AAAAAA");
        assert_eq!(try_pair(&mut stage, conn, "ZZZZZZ"), unknown());
        stage.leave(conn);
        stage.wait(1_000);
    }
    assert_eq!(rows(&stage, "network_guesses"), 50);
    stage.wait(10 * 60_000 + 300_000);
    assert_eq!(rows(&stage, "network_guesses"), 0);
    assert_eq!(waystation::kernel::object::Object::deadline(&stage.object), None, "an idle room sleeps");
}

#[test]
fn endless_networks_fill_a_bounded_table() {
    let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "1")]);
    stage.evict_always = false;
    let max = u32::try_from(NETWORKS_MAX).unwrap();
    for index in 0..max + 20 {
        let [_, b, c, d] = index.to_be_bytes();
        let conn = stage.open(&from(Operation::SignalClient, &format!("100.{b}.{c}.{d}")));
        enrol(&mut stage, conn, "AAAAAA");
        assert_eq!(try_pair(&mut stage, conn, "ZZZZZZ"), unknown());
        stage.leave(conn);
        if index == max / 2 {
            stage.evict();
        }
        stage.now = stage.now.plus(1);
    }
    assert_eq!(rows(&stage, "network_guesses"), NETWORKS_MAX as usize);
    let last = stage.open(&from(Operation::SignalClient, &format!("100.0.{}.{}", (max + 19) >> 8, (max + 19) & 255)));
    enrol(&mut stage, last, "AAAAAA");
    assert_eq!(try_pair(&mut stage, last, "ZZZZZZ"), [error(TOO_MANY)], "the newest are remembered");
}

#[test]
fn relaying_writes_no_rows_and_keeps_nothing_when_limits_are_off() {
    let mut stage = room(&[]);
    stage.evict_always = false;
    let (one, _) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    let rows = stage.database.rows_written();
    let mut actions = Vec::new();
    let mut turn = waystation::kernel::object::Turn {
        now: stage.now,
        entropy: &mut stage.entropy,
        sql: &*stage.database,
        actions: &mut actions,
    };
    let text = offer("BBBBBB").to_string();
    let frame = waystation::kernel::object::Frame::Text(&text);
    waystation::kernel::object::Object::message(&mut stage.object, &mut turn, one, frame).unwrap();
    assert_eq!(actions.len(), 1, "one send, no attachment");
    assert_eq!(stage.database.rows_written(), rows);
}
