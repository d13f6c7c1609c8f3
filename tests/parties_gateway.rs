//! The gateway: which sockets are of parties, who they speak for, and that one thing follows the other.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use serde_json::{Value, json};
use support::{Stage, call, settings};
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Call, Conn, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::{Media, Reply};
use waystation::parties::PartyGateway;
use waystation::parties::gateway::name_of;
use waystation::parties::token::shard_of_peer;

const PARTY: &str = "0123456789ab";
const OTHER: &str = "ba9876543210";
const HOME: &str = "203.0.113.1";

struct Gateway {
    stage: Stage<PartyGateway>,
}

/// What the gateway asks somebody.
#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    class: Class,
    name: String,
    call: Call,
    body: Value,
}

fn gateway() -> Gateway {
    Gateway { stage: Stage::new(settings(&[]), PartyGateway::MIGRATIONS, PartyGateway::load) }
}

fn knock(address: &str) -> Call {
    let client = ClientNetwork::from_header(Some(address));
    Call { client, query: String::from("v=1"), ..call(Operation::SignalShared) }
}

fn join(party_id: &str, peer_id: &str) -> String {
    json!({ "type": "join_party", "party_id": party_id, "peer": { "peer_id": peer_id } }).to_string()
}

fn refusal(status: u16, body: &Value) -> Outcome {
    Outcome::Replied(Reply { status, media: Media::Json, headers: Vec::new(), body: body.to_string() })
}

fn good(body: &Value) -> Outcome {
    refusal(200, body)
}

fn claimed(peer_id: &str, parties: &[&str]) -> Outcome {
    good(&json!({ "peer_id": peer_id, "parties": parties }))
}

fn forwarded(frames: &[&str]) -> Outcome {
    good(&json!({ "frames": frames, "subscribed": true }))
}

impl Gateway {
    fn open(&mut self) -> Conn {
        self.stage.open(&knock(HOME))
    }

    fn asked(&mut self) -> Vec<Asked> {
        let errands = self.stage.take_errands();
        let asked = errands.into_iter().map(|(ticket, errand)| match errand {
            Errand::Call { class, name, call } => {
                let body = serde_json::from_slice(&call.body).expect("body");
                Asked { ticket, class, name, call: *call, body }
            }
            other => panic!("{other:?}"),
        });
        asked.collect()
    }

    fn one(&mut self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    fn tell(&mut self, asked: &Asked, outcome: Outcome) {
        self.stage.tell(asked.ticket, outcome);
    }

    /// Answers the claim that must have been asked.
    fn grant(&mut self, peer_id: &str, parties: &[&str]) {
        let asked = self.one();
        assert_eq!((asked.class, asked.call.operation), (Class::PartyIdentities, Operation::PartyClaim));
        assert_eq!(asked.name, shard_of_peer(peer_id));
        self.tell(&asked, claimed(peer_id, parties));
    }

    /// Answers the forward that must have been asked, and returns the wish.
    fn pass(&mut self, party_id: &str, frames: &[&str]) -> Value {
        let asked = self.one();
        assert_eq!((asked.class, asked.call.operation), (Class::PartyRoom, Operation::PartyForward));
        assert_eq!((asked.name.as_str(), asked.call.params.as_slice()), (party_id, [party_id.to_owned()].as_slice()));
        assert_eq!(asked.call.principal, Principal::Service);
        assert_eq!(asked.body["gateway"], name_of(&ClientNetwork::from_header(Some(HOME))));
        self.tell(&asked, forwarded(frames));
        asked.body["wish"].clone()
    }

    /// A socket that speaks for a peer and hears of a party.
    fn member(&mut self, peer_id: &str) -> Conn {
        let conn = self.open();
        self.stage.say(conn, &join(PARTY, peer_id));
        self.grant(peer_id, &[]);
        self.pass(PARTY, &[r#"{"type":"party_update"}"#]);
        self.stage.inbox(conn);
        conn
    }

    fn service(&mut self, operation: Operation, body: &Value) -> Value {
        let call = Call { principal: Principal::Service, body: body.to_string().into_bytes(), ..call(operation) };
        let reply = self.stage.call(&call);
        assert_eq!(reply.status, 200);
        support::body(&reply)
    }

    fn deliver(&mut self, party_id: &str, conns: &[Conn], text: &str) -> Value {
        let parcels = json!([{ "conns": conns, "text": text }]);
        self.service(Operation::PartyDeliver, &json!({ "party_id": party_id, "parcels": parcels }))["gone"].clone()
    }

    fn error(&mut self, conn: Conn) -> String {
        let mut inbox = self.stage.inbox(conn);
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        let frame = inbox.remove(0);
        assert_eq!(frame["type"], "error");
        frame["message"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_socket_that_speaks_of_anything_else_goes_to_the_lobby_as_it_came() {
    for first in [
        r#"{"type":"register","pairingCode":"ABCDEF","publicKey":"k"}"#,
        r#"{"type":"register","peerId":"p"}"#,
        r#"{"type":"heartbeat","peerId":"p"}"#,
        r#"{"type":"heartbeat"}"#,
        r#"{"type":"heartbeat","peerId":"p","party_id":7}"#,
        r#"{"type":"signal"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"auth""#,
        r#"["auth"]"#,
        "garbage",
        "",
    ] {
        let mut gateway = gateway();
        let conn = gateway.open();
        gateway.stage.evict();
        gateway.stage.say(conn, first);
        let (moved, class, name, call, text) = gateway.stage.transfers.remove(0);
        assert_eq!((moved, class, name.as_str(), text.as_str()), (conn, Class::SignalingRoom, "lobby", first));
        assert_eq!((call.operation, call.client.as_str(), call.query.as_str()), (Operation::SignalShared, HOME, "v=1"));
        assert_eq!((call.request_id.as_str(), call.principal), ("request-1", Principal::Anonymous));
        assert!(gateway.stage.inbox(conn).is_empty() && gateway.asked().is_empty());
    }
}

#[test]
fn every_type_of_signaling_and_relay_is_left_to_them() {
    let sources = [include_str!("../src/signaling/wire/parse.rs"), include_str!("../src/relay/wire/parse.rs")];
    let mut types = std::collections::BTreeSet::new();
    for source in sources {
        for line in source.lines().filter(|line| line.trim_start().starts_with('"')) {
            let word = line.trim_start().trim_start_matches('"').split('"').next().unwrap();
            if word.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte)) {
                types.insert(word);
            }
        }
    }
    assert!(types.len() >= 25 && types.contains("heartbeat") && types.contains("offer"), "{types:?}");
    for kind in types {
        let frame = json!({ "type": kind, "peerId": "p", "target": "x", "peer_id": "p" }).to_string();
        assert!(!waystation::parties::wire::gateway::is_of_parties(&frame), "{kind}");
    }
}

#[test]
fn bytes_are_read_as_text_where_they_are_text() {
    let mut gateway = gateway();
    let (text, bytes) = (gateway.open(), gateway.open());
    gateway.stage.say_binary(text, br#"{"type":"hello"}"#);
    assert!(gateway.stage.transfers.is_empty());
    gateway.stage.say_binary(bytes, &[0xff, 0xfe]);
    let (_, _, _, _, first) = gateway.stage.transfers.remove(0);
    assert!(serde_json::from_str::<Value>(&first).is_err(), "the lobby refuses it as it refuses bytes");
    gateway.stage.say_binary(text, &[0xff, 0xfe]);
    assert_eq!(gateway.error(text), "Frames must be text");
}

#[test]
fn an_unmodified_client_starts_without_a_name_and_takes_that_of_its_first_party() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.open();
        gateway.stage.say(conn, r#"{"type":"auth","version":"1.0","client":"lanrage","peer_id":null}"#);
        assert!(gateway.asked().is_empty() && gateway.stage.inbox(conn).is_empty());
        let frame = json!({ "type": "register_party", "party_id": PARTY, "name": "LAN",
            "host_peer": { "peer_id": "p", "name": "Me" } })
        .to_string();
        gateway.stage.say(conn, &frame);
        gateway.grant("p", &[]);
        assert_eq!(gateway.pass(PARTY, &[r#"{"type":"party_update","n":1}"#]), json!({ "frame": frame }));
        assert_eq!(gateway.stage.inbox(conn), [json!({ "type": "party_update", "n": 1 })]);
        assert_eq!(gateway.deliver(PARTY, &[conn], r#"{"type":"peer_joined"}"#), json!([]));
        assert_eq!(gateway.stage.inbox(conn), [json!({ "type": "peer_joined" })]);
        let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p" }).to_string();
        gateway.stage.say(conn, &beat);
        assert_eq!(gateway.pass(PARTY, &[]), json!({ "frame": beat }), "no second claim");
    }
}

#[test]
fn a_client_that_reconnects_hears_of_its_parties_again_without_joining() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.open();
        gateway.stage.say(conn, r#"{"type":"auth","version":"1.0","client":"lanrage","peer_id":"p"}"#);
        gateway.grant("p", &[PARTY, OTHER]);
        assert_eq!(gateway.pass(PARTY, &[r#"{"type":"party_update","n":1}"#]), json!("resume"));
        assert_eq!(gateway.pass(OTHER, &[r#"{"type":"party_update","n":2}"#]), json!("resume"));
        let inbox = gateway.stage.inbox(conn);
        assert_eq!(inbox.iter().map(|frame| frame["n"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(gateway.deliver(OTHER, &[conn], r#"{"type":"x"}"#), json!([]));
    }
}

#[test]
fn a_party_that_is_no_more_is_forgotten_without_a_word() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, r#"{"type":"auth","peer_id":"p"}"#);
    gateway.grant("p", &[PARTY]);
    let asked = gateway.one();
    gateway.tell(&asked, refusal(404, &json!({ "detail": "Party 0123456789ab not found" })));
    let forgotten = gateway.one();
    assert_eq!((forgotten.class, forgotten.call.operation), (Class::PartyIdentities, Operation::PartyMembership));
    assert_eq!(forgotten.body, json!({ "peer_id": "p", "party_id": PARTY, "state": "left" }));
    assert!(gateway.stage.inbox(conn).is_empty());
    assert_eq!(gateway.deliver(PARTY, &[conn], "{}"), json!([conn]));
}

#[test]
fn a_bad_token_binds_nothing_and_is_said_to() {
    let mut gateway = gateway();
    let conn = gateway.open();
    let token = "A".repeat(43);
    gateway.stage.say(conn, &json!({ "type": "auth", "peer_id": "p", "token": token }).to_string());
    let asked = gateway.one();
    assert_eq!((&asked.body["token"], &asked.body["network"]), (&json!(token), &json!(HOME)));
    gateway.tell(&asked, refusal(401, &json!({ "detail": "Token expired" })));
    assert_eq!(gateway.error(conn), "Token expired");
    assert_eq!(gateway.service(Operation::PartyHolds, &json!({ "peer_id": "p", "conn": conn }))["holds"], false);
    gateway.stage.say(conn, &json!({ "type": "auth", "peer_id": "p", "token": "short" }).to_string());
    assert_eq!(gateway.error(conn), "Invalid or expired token", "nobody need be asked");
    assert!(gateway.asked().is_empty());
}

#[test]
fn a_token_alone_says_whose_it_is() {
    let mut gateway = gateway();
    let conn = gateway.open();
    // The first byte of a token is its shard's number: 3.
    let token = format!("Aw{}", "A".repeat(41));
    gateway.stage.say(conn, &json!({ "type": "auth", "peer_id": null, "token": token }).to_string());
    let asked = gateway.one();
    assert_eq!((asked.name.as_str(), &asked.body["peer_id"]), ("03", &json!("")));
    gateway.tell(&asked, claimed("p", &[]));
    assert_eq!(gateway.service(Operation::PartyHolds, &json!({ "peer_id": "p", "conn": conn }))["holds"], true);
}

#[test]
fn a_socket_speaks_for_one_peer_only() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    for frame in [
        join(PARTY, "q"),
        json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "q" }).to_string(),
        json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "q" }).to_string(),
        json!({ "type": "signal", "party_id": PARTY, "from_peer_id": "q", "to_peer_id": "p" }).to_string(),
        json!({ "type": "auth", "peer_id": "q" }).to_string(),
    ] {
        gateway.stage.say(conn, &frame);
        assert_eq!(gateway.error(conn), "This socket speaks for p", "{frame}");
        assert!(gateway.asked().is_empty(), "{frame}");
    }
}

#[test]
fn who_has_not_said_who_it_is_cannot_leave_or_signal() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, r#"{"type":"hello","version":"1.0","client":"lanrage"}"#);
    for kind in ["leave_party", "heartbeat", "signal", "update_peer"] {
        let frame = json!({ "type": kind, "party_id": PARTY, "peer_id": "p", "from_peer_id": "p" }).to_string();
        gateway.stage.say(conn, &frame);
        assert_eq!(gateway.error(conn), "This socket has not said who it is", "{kind}");
    }
    assert!(gateway.asked().is_empty());
}

#[test]
fn what_makes_no_sense_is_answered_and_asked_of_nobody() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let long = "x".repeat(65);
    for frame in [
        "garbage".to_owned(),
        "[]".to_owned(),
        r#"{"type":7}"#.to_owned(),
        r#"{"type":"offer"}"#.to_owned(),
        r#"{"type":"heartbeat","peer_id":"p"}"#.to_owned(),
        r#"{"type":"heartbeat","party_id":"0123456789ab","peer_id":7}"#.to_owned(),
        r#"{"type":"join_party","party_id":"0123456789ab"}"#.to_owned(),
        r#"{"type":"auth","peer_id":7}"#.to_owned(),
        join("a b", "p"),
        join("0123456789abcdef01234", "p"),
        join(PARTY, ""),
        join(PARTY, &long),
    ] {
        gateway.stage.say(conn, &frame);
        assert!(!gateway.error(conn).is_empty(), "{frame}");
        assert!(gateway.asked().is_empty(), "{frame}");
    }
}

#[test]
fn messages_wait_their_turn_and_keep_their_order() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.open();
        gateway.stage.say(conn, &join(PARTY, "p"));
        for index in 0..5 {
            let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p", "n": index }).to_string();
            gateway.stage.say(conn, &beat);
        }
        gateway.grant("p", &[]);
        gateway.pass(PARTY, &[]);
        for index in 0..5 {
            let wish = gateway.pass(PARTY, &[]);
            let frame: Value = serde_json::from_str(wish["frame"].as_str().unwrap()).unwrap();
            assert_eq!(frame["n"], index);
        }
        assert!(gateway.asked().is_empty());
    }
}

#[test]
fn a_client_that_never_waits_is_cut_off_and_its_peer_is_free() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p" }).to_string();
    for _ in 0..65 {
        gateway.stage.say(conn, &beat);
    }
    assert_eq!(gateway.stage.closed(conn), None);
    let under_way = gateway.one();
    gateway.stage.say(conn, &beat);
    assert_eq!(gateway.stage.closed(conn), Some((4008, "Too many messages waiting")));
    let asked: Vec<Operation> = gateway.asked().iter().map(|asked| asked.call.operation).collect();
    assert_eq!(asked, [Operation::PartyForward, Operation::PartyRelease]);
    gateway.tell(&under_way, forwarded(&[]));
    assert_eq!(gateway.one().body["wish"], "gone", "what was under way may have subscribed it again");
}

#[test]
fn a_quarter_of_a_mebibyte_waits_and_no_more() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let long = "x".repeat(60_000);
    let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p", "x": long }).to_string();
    for _ in 0..5 {
        gateway.stage.say(conn, &beat);
    }
    assert_eq!(gateway.stage.closed(conn), None);
    gateway.stage.say(conn, &beat);
    assert_eq!(gateway.stage.closed(conn), Some((4008, "Too many messages waiting")));
}

#[test]
fn a_party_that_talks_before_it_answers_is_heard_sixty_four_times() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, &join(PARTY, "p"));
    gateway.grant("p", &[]);
    let asked = gateway.one();
    for _ in 0..70 {
        gateway.deliver(PARTY, &[conn], r#"{"n":2}"#);
    }
    gateway.tell(&asked, forwarded(&[]));
    assert_eq!(gateway.stage.inbox(conn).len(), 64);
}

#[test]
fn a_socket_says_three_hundred_things_a_minute_and_nothing_large() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    for _ in 0..299 {
        gateway.stage.say(conn, r#"{"type":"hello"}"#);
    }
    assert!(gateway.stage.inbox(conn).is_empty());
    gateway.stage.evict();
    gateway.stage.say(conn, r#"{"type":"hello"}"#);
    assert_eq!(gateway.error(conn), "Too many messages");
    gateway.stage.wait(60_000);
    gateway.stage.say(conn, &format!(r#"{{"type":"hello","x":"{}"}}"#, "x".repeat(64 * 1024)));
    assert_eq!(gateway.stage.closed(conn), Some((1009, "Message too large")));
    assert_eq!(gateway.asked().len(), 2, "its party and its shard are told");
}

#[test]
fn a_network_wakes_sixty_parties_a_minute() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    for index in 1..60 {
        let frame = json!({ "type": "heartbeat", "party_id": format!("{index:012x}"), "peer_id": "p" }).to_string();
        gateway.stage.say(conn, &frame);
        let asked = gateway.one();
        gateway.tell(&asked, refusal(404, &json!({ "detail": "not found" })));
        gateway.error(conn);
    }
    gateway.stage.say(conn, &join(OTHER, "p"));
    assert_eq!(gateway.error(conn), "Too many parties; please wait");
    gateway.stage.say(conn, &join(PARTY, "p"));
    gateway.pass(PARTY, &[]);
    gateway.stage.wait(1_000);
    gateway.stage.say(conn, &join(OTHER, "p"));
    gateway.pass(OTHER, &[]);
}

#[test]
fn a_network_has_fifty_sockets_and_those_that_went_to_the_lobby_do_not_count() {
    let mut gateway = gateway();
    let conns: Vec<Conn> = (0..51).map(|_| gateway.open()).collect();
    assert_eq!(gateway.stage.closed(conns[49]), None);
    assert_eq!(gateway.stage.closed(conns[50]), Some((1013, "Too many connections from this IP")));
    gateway.stage.say(conns[0], "garbage");
    let other = gateway.open();
    assert_eq!(gateway.stage.closed(other), None);
    let far = gateway.stage.open(&knock("198.51.100.9"));
    assert_eq!(gateway.stage.closed(far), None);
}

#[test]
fn an_id_that_a_living_socket_holds_is_not_taken() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.open();
        gateway.stage.say(conn, &join(PARTY, "p"));
        let held = json!({ "detail": "Peer id p is in use", "gateway": "07", "conn": 4 });
        let claim = gateway.one();
        gateway.tell(&claim, refusal(409, &held));
        let holds = gateway.one();
        assert_eq!(
            (holds.class, holds.name.as_str(), holds.call.operation),
            (Class::PartyGateway, "07", Operation::PartyHolds)
        );
        assert_eq!(holds.body, json!({ "peer_id": "p", "conn": 4 }));
        gateway.tell(&holds, good(&json!({ "holds": true })));
        assert_eq!(gateway.error(conn), "Peer id p is in use");
        assert!(gateway.asked().is_empty(), "and the message is not passed on");
    }
}

#[test]
fn an_id_that_a_dead_socket_holds_is_released_and_claimed_again() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.open();
        gateway.stage.say(conn, &join(PARTY, "p"));
        let held = json!({ "detail": "Peer id p is in use", "gateway": "07", "conn": 4 });
        let claim = gateway.one();
        gateway.tell(&claim, refusal(409, &held));
        let holds = gateway.one();
        gateway.tell(&holds, good(&json!({ "holds": false })));
        let release = gateway.one();
        assert_eq!((release.class, release.call.operation), (Class::PartyIdentities, Operation::PartyRelease));
        assert_eq!(release.body, json!({ "peer_id": "p", "gateway": "07", "conn": 4 }));
        gateway.tell(&release, good(&json!({})));
        gateway.grant("p", &[]);
        gateway.pass(PARTY, &[]);
        assert!(gateway.stage.inbox(conn).is_empty());
    }
}

#[test]
fn two_who_want_one_id_do_not_ask_for_ever() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, &join(PARTY, "p"));
    let held = json!({ "detail": "Peer id p is in use", "gateway": "07", "conn": 4 });
    for _ in 0..2 {
        let claim = gateway.one();
        gateway.tell(&claim, refusal(409, &held));
        let holds = gateway.one();
        gateway.tell(&holds, good(&json!({ "holds": false })));
        let release = gateway.one();
        gateway.tell(&release, good(&json!({})));
    }
    let claim = gateway.one();
    gateway.tell(&claim, refusal(409, &held));
    assert_eq!(gateway.error(conn), "Peer id p is in use");
}

#[test]
fn a_question_without_answer_is_asked_twice_and_then_given_up() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p" }).to_string();
    gateway.stage.say(conn, &beat);
    for outcome in [Outcome::Failed(Failure::TimedOut), Outcome::Replied(Reply::empty(500))] {
        let asked = gateway.one();
        assert!(gateway.stage.inbox(conn).is_empty());
        gateway.tell(&asked, outcome);
    }
    assert_eq!(gateway.error(conn), format!("Party {PARTY} does not answer"));
    gateway.stage.say(conn, &beat);
    gateway.pass(PARTY, &[]);
}

#[test]
fn a_partys_refusal_is_an_error_frame() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let wrong = json!([{ "type": "missing", "loc": ["body", "peer", "name"], "msg": "Field required", "input": {} }]);
    for (status, detail, message) in [
        (403, json!("Token peer_id does not match"), "Token peer_id does not match"),
        (422, wrong, "body.peer.name: Field required"),
    ] {
        gateway.stage.say(conn, &join(PARTY, "p"));
        let asked = gateway.one();
        gateway.tell(&asked, refusal(status, &json!({ "detail": detail })));
        assert_eq!(gateway.error(conn), message);
    }
}

#[test]
fn a_socket_that_goes_releases_its_peer_and_its_parties() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    gateway.stage.say(conn, &join(OTHER, "p"));
    gateway.pass(OTHER, &[]);
    gateway.stage.evict();
    gateway.stage.leave(conn);
    let asked = gateway.asked();
    let gone: Vec<(&str, &Value)> = asked[..2].iter().map(|asked| (asked.name.as_str(), &asked.body["wish"])).collect();
    assert_eq!(gone, [(PARTY, &json!("gone")), (OTHER, &json!("gone"))]);
    assert!(asked[..2].iter().all(|asked| asked.call.caller.as_deref() == Some("p")));
    assert_eq!(asked[2].call.operation, Operation::PartyRelease);
    assert_eq!(asked[2].body, json!({ "peer_id": "p", "gateway": name_of(&knock(HOME).client), "conn": conn }));
    assert_eq!(asked.len(), 3);
    assert_eq!(gateway.deliver(PARTY, &[conn], "{}"), json!([conn]));
}

#[test]
fn a_claim_that_is_granted_too_late_is_given_back() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, &join(PARTY, "p"));
    let claim = gateway.one();
    gateway.stage.leave(conn);
    assert!(gateway.asked().is_empty());
    gateway.tell(&claim, claimed("p", &[PARTY]));
    let release = gateway.one();
    assert_eq!((release.call.operation, &release.body["conn"]), (Operation::PartyRelease, &json!(conn)));
}

#[test]
fn a_displaced_socket_falls_silent_and_stays_open() {
    for evicts in [false, true] {
        let mut gateway = gateway();
        gateway.stage.evict_always = evicts;
        let conn = gateway.member("p");
        let own = name_of(&knock(HOME).client);
        gateway.service(Operation::PartyRelease, &json!({ "peer_id": "q", "gateway": own, "conn": conn }));
        assert!(gateway.asked().is_empty(), "another peer's displacement is not this one's");
        gateway.service(Operation::PartyRelease, &json!({ "peer_id": "p", "gateway": own, "conn": conn }));
        assert_eq!(gateway.one().body["wish"], "gone");
        assert_eq!(gateway.stage.closed(conn), None);
        assert_eq!(gateway.deliver(PARTY, &[conn], "{}"), json!([conn]));
        gateway.stage.leave(conn);
        assert!(gateway.asked().is_empty(), "it has nothing to release");
    }
}

#[test]
fn a_displacement_that_was_overtaken_by_a_claim_silences_nobody() {
    let mut gateway = gateway();
    let conn = gateway.open();
    let claim = |gateway: &mut Gateway| {
        gateway.stage.say(conn, r#"{"type":"auth","peer_id":"p"}"#);
        let asked = gateway.one();
        let stamp = asked.call.params[0].clone();
        (asked, stamp)
    };
    let (first, first_stamp) = claim(&mut gateway);
    gateway.tell(&first, claimed("p", &[]));
    gateway.stage.evict();
    let (second, second_stamp) = claim(&mut gateway);
    assert!(second_stamp.parse::<u64>().unwrap() > first_stamp.parse::<u64>().unwrap());
    let displace = |gateway: &mut Gateway, stamp: &str| {
        let body = json!({ "peer_id": "p", "gateway": "x", "conn": conn }).to_string().into_bytes();
        let call = Call {
            principal: Principal::Service,
            params: vec![stamp.to_owned()],
            body,
            ..call(Operation::PartyRelease)
        };
        assert_eq!(gateway.stage.call(&call).status, 200);
    };
    let holds = |gateway: &mut Gateway| {
        gateway.service(Operation::PartyHolds, &json!({ "peer_id": "p", "conn": conn }))["holds"] == true
    };
    displace(&mut gateway, &first_stamp);
    gateway.tell(&second, claimed("p", &[]));
    assert!(holds(&mut gateway), "the second claim came after what displaced the first");
    displace(&mut gateway, &first_stamp);
    assert!(holds(&mut gateway));
    displace(&mut gateway, &second_stamp);
    assert!(!holds(&mut gateway));
}

#[test]
fn what_a_party_sends_before_its_answer_is_sent_after_it() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, &join(PARTY, "p"));
    gateway.grant("p", &[]);
    let asked = gateway.one();
    assert_eq!(gateway.deliver(PARTY, &[conn], r#"{"n":2}"#), json!([]));
    assert_eq!(gateway.deliver(OTHER, &[conn], r#"{"n":9}"#), json!([conn]), "another party's is not for it");
    assert!(gateway.stage.inbox(conn).is_empty());
    gateway.tell(&asked, forwarded(&[r#"{"n":1}"#]));
    assert_eq!(gateway.stage.inbox(conn), [json!({ "n": 1 }), json!({ "n": 2 })]);
}

#[test]
fn a_socket_hears_of_sixteen_parties() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    for index in 1..16 {
        let party_id = format!("{index:012x}");
        gateway.stage.say(conn, &join(&party_id, "p"));
        gateway.pass(&party_id, &[]);
    }
    gateway.stage.say(conn, &join("ffffffffffff", "p"));
    assert_eq!(gateway.error(conn), "Too many parties on one socket");
    let leave = json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "p" }).to_string();
    gateway.stage.say(conn, &leave);
    let asked = gateway.one();
    gateway.tell(&asked, good(&json!({ "frames": [], "subscribed": false })));
    gateway.stage.say(conn, &join("ffffffffffff", "p"));
    gateway.pass("ffffffffffff", &[]);
}

#[test]
fn after_a_fault_a_line_asks_again_what_was_not_answered() {
    let mut gateway = gateway();
    let conn = gateway.open();
    gateway.stage.say(conn, &join(PARTY, "p"));
    let lost = gateway.one();
    gateway.stage.evict();
    gateway.stage.wait(1_999);
    assert!(gateway.asked().is_empty(), "the answer may still come");
    gateway.stage.wait(1);
    gateway.grant("p", &[]);
    gateway.tell(&lost, claimed("p", &[OTHER]));
    gateway.pass(PARTY, &[]);
    assert!(gateway.asked().is_empty(), "an answer that comes twice counts once");
    gateway.stage.wait(60_000);
    assert!(gateway.asked().is_empty());
}

#[test]
fn what_is_too_long_to_be_kept_is_reported_lost() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    let long = "é".repeat(4_000);
    let beat = json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "p", "x": long }).to_string();
    gateway.stage.say(conn, &beat);
    gateway.one();
    gateway.stage.evict();
    gateway.stage.wait(2_000);
    assert_eq!(gateway.error(conn), "Messages were lost; please repeat them");
    gateway.stage.say(conn, &json!({ "type": "heartbeat", "party_id": PARTY }).to_string());
    gateway.pass(PARTY, &[]);
}

#[test]
fn nothing_of_a_crash_is_left_but_what_others_ask_about() {
    let mut gateway = gateway();
    let conn = gateway.member("p");
    gateway.stage.crash();
    assert_eq!(gateway.service(Operation::PartyHolds, &json!({ "peer_id": "p", "conn": conn }))["holds"], false);
    assert_eq!(gateway.deliver(PARTY, &[conn], "{}"), json!([conn]));
    assert_eq!(gateway.stage.database.rows_written(), 0, "a gateway stores nothing");
}
