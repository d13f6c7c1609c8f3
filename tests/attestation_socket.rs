//! Attestation over the sockets of other rooms: questions to the registry, what comes back, and what needs a session.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod attestation_support;

use attestation_support::support::{Load, Stage, body, call, settings};
use attestation_support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::attestation::socket::ASKING_BYTES_MAX;
use waystation::attestation::visitor::PATIENCE_MS;
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::object::{Call, Conn, Object, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::relay::RelayRegistry;
use waystation::signaling::object::SignalingRoom;

const GRACE_MS: u64 = 30_000;

/// A room whose sockets attest, and the registry that it asks; the test plays the shell between them.
struct Play<O> {
    room: Stage<O>,
    registry: Registry,
    path: Operation,
}

impl<O: Object> Play<O> {
    fn new(
        path: Operation,
        required: &str,
        migrations: &'static [waystation::kernel::migration::Migration],
        load: Load<O>,
    ) -> Self {
        let extra = [
            ("ATTEST_REQUIRED", required),
            ("SIGNAL_MESSAGES_PER_MINUTE", "0"),
            ("SIGNAL_SOCKETS_PER_ADDRESS", "0"),
            ("SIGNAL_SOCKETS_MAX", "0"),
            ("ATTEST_SESSION_TTL_MS", "120000"),
        ];
        let pairs: Vec<_> = ALL.iter().copied().chain(extra).collect();
        let mut registry = registry_with(&pairs);
        accepted(&upload(&mut registry, &upload_of("1.2.0", "android", "hash-1", 10)));
        accepted(&register(&mut registry, "device"));
        let mut room = Stage::new(settings(&pairs), migrations, load);
        room.evict_always = true;
        Self { room, registry, path }
    }

    fn open(&mut self) -> Conn {
        self.room.open(&Call { params: vec![String::from("attic")], ..call(self.path) })
    }

    fn say(&mut self, conn: Conn, message: &Value) -> Vec<Value> {
        self.room.say(conn, &message.to_string());
        self.room.inbox(conn)
    }

    fn wait(&mut self, ms: u64) {
        self.room.wait(ms);
        self.registry.now = self.room.now;
    }

    /// The one question that was asked.
    fn question(&mut self) -> (Ticket, Call) {
        let mut errands = self.room.take_errands();
        let (ticket, errand) = errands.pop().expect("a question");
        assert!(errands.is_empty());
        let Errand::Call { class: Class::AttestationRegistry, name, call } = errand else { panic!("{errand:?}") };
        assert_eq!(name, "global");
        (ticket, *call)
    }

    /// Takes the one question to the registry, and the answer back.
    fn carry(&mut self) {
        let (ticket, call) = self.question();
        self.registry.now = self.room.now;
        let reply = self.registry.call(&call);
        self.room.tell(ticket, Outcome::Replied(reply));
    }

    /// Takes every question to the registry, and the answers back.
    fn carry_all(&mut self) {
        self.registry.now = self.room.now;
        for (ticket, errand) in self.room.take_errands() {
            let Errand::Call { call, .. } = errand else { panic!("{errand:?}") };
            let reply = self.registry.call(&call);
            self.room.tell(ticket, Outcome::Replied(reply));
        }
    }

    fn request(&mut self, conn: Conn) -> Value {
        let frame = json!({ "type": "attest_request", "build_token": "token", "device_id": "device" });
        assert_eq!(self.say(conn, &frame), Vec::<Value>::new());
        self.carry();
        self.room.inbox(conn).pop().expect("an answer")
    }

    fn respond(&mut self, conn: Conn, challenge: &Value, file: &str) -> Value {
        let mut frame = answer("device", challenge, file);
        frame["type"] = json!("attest_response");
        frame.as_object_mut().unwrap().remove("device_id");
        assert_eq!(self.say(conn, &frame), Vec::<Value>::new());
        self.carry();
        self.room.inbox(conn).pop().expect("an answer")
    }

    fn attest(&mut self, conn: Conn) {
        let challenge = self.request(conn);
        assert_eq!(challenge["type"], "attest_challenge");
        assert_eq!(self.respond(conn, &challenge, "hash-1")["type"], "attest_success");
    }
}

fn signaling(required: &str) -> Play<SignalingRoom> {
    Play::new(Operation::SignalClient, required, waystation::signaling::object::MIGRATIONS, SignalingRoom::load)
}

fn relay(required: &str) -> Play<RelayRegistry> {
    Play::new(Operation::RelayOpen, required, waystation::relay::MIGRATIONS, RelayRegistry::load)
}

fn not_attested() -> Value {
    json!({ "type": "error", "code": "NOT_ATTESTED", "message": "Attestation required" })
}

fn chunk_messages() -> [Value; 4] {
    [
        json!({ "type": "chunk_announce", "peerId": "p", "chunks": [{ "chunkId": "c" }] }),
        json!({ "type": "chunk_request", "peerId": "p", "chunkId": "c" }),
        json!({ "type": "chunk_request_meta", "peerId": "p", "routingHash": "r" }),
        json!({ "type": "chunk_push", "peerId": "p", "chunkId": "c", "data": "x" }),
    ]
}

fn relay_messages() -> [Value; 5] {
    [
        json!({ "type": "register", "peerId": "p" }),
        json!({ "type": "update_load", "peerId": "p", "connectedCount": 1 }),
        json!({ "type": "get_relays", "peerId": "p" }),
        json!({ "type": "heartbeat", "peerId": "p" }),
        json!({ "type": "register_rendezvous", "peerId": "p", "relayId": "p", "dailyPoints": [], "hourlyTokens": [] }),
    ]
}

fn free_messages() -> [Value; 4] {
    [
        json!({ "type": "ping" }),
        json!({ "type": "channel-owner-register", "channelId": "ch" }),
        json!({ "type": "channel-subscribe", "channelId": "ch" }),
        json!({ "type": "upstream-message", "channelId": "ch", "message": {} }),
    ]
}

fn a_socket_attests<O: Object>(mut play: Play<O>) {
    let conn = play.open();
    let challenge = play.request(conn);
    let names: Vec<&str> = challenge.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &challenge["type"]), (vec!["nonce", "regions", "type"], &json!("attest_challenge")));
    let told = play.respond(conn, &challenge, "hash-1");
    let session = session(&play.registry, told["session_token"].as_str().unwrap());
    assert_eq!(
        (told["type"].as_str(), session.device_id.as_str(), session.tier),
        (Some("attest_success"), "device", 1)
    );
    assert_eq!(play.room.closed(conn), None);
}

#[test]
fn a_socket_of_either_room_attests_as_over_http() {
    a_socket_attests(signaling(""));
    a_socket_attests(relay(""));
    let mut play = signaling("");
    play.path = Operation::SignalRoom;
    a_socket_attests(play);
}

fn a_bad_answer_closes<O: Object>(mut play: Play<O>) {
    let (conn, other) = (play.open(), play.open());
    let challenge = play.request(conn);
    let told = play.respond(conn, &challenge, "hash-2");
    assert_eq!(told, json!({ "type": "attest_failed", "message": "Verification failed" }));
    assert_eq!(play.room.closed(conn), Some((4001, "Attestation failed")));
    assert_eq!(play.say(conn, &json!({ "type": "ping" })), Vec::<Value>::new(), "it is gone for the room");
    assert_eq!(play.say(other, &json!({ "type": "ping" })), [json!({ "type": "pong" })]);
}

#[test]
fn a_bad_answer_is_told_and_closes_the_socket() {
    a_bad_answer_closes(signaling(""));
    a_bad_answer_closes(relay(""));
}

#[test]
fn the_registry_sees_the_sockets_network_and_no_credentials() {
    let mut play = signaling("");
    let conn = play.room.open(&Call { client: from("198.51.100.7"), ..call(Operation::SignalClient) });
    play.say(
        conn,
        &json!({ "type": "attest_request", "build_token": "t", "device_id": "device", "audience": "other" }),
    );
    let (_, call) = play.question();
    assert_eq!(
        (call.operation, call.principal, call.client),
        (Operation::AttestChallenge, Principal::Anonymous, from("198.51.100.7"))
    );
    let asked: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(asked, json!({ "audience": "waystation", "build_token": "t", "device_id": "device" }));
}

fn a_refused_question_is_an_error<O: Object>(mut play: Play<O>) {
    let conn = play.open();
    play.say(conn, &json!({ "type": "attest_request", "build_token": "token", "device_id": "nobody" }));
    play.carry();
    let message = "Failed to get attestation challenge from bootstrap";
    let told =
        json!({ "type": "attest_error", "message": message, "code": "not_found", "detail": "Device not registered" });
    assert_eq!(play.room.inbox(conn), [told]);
    assert_eq!(play.room.closed(conn), None);
    for (frame, message) in [
        (json!({ "type": "attest_request", "build_token": "t", "device_id": "device" }), message),
        (
            json!({ "type": "attest_response", "nonce": "n", "responses": [] }),
            "Failed to get attestation verdict from bootstrap",
        ),
    ] {
        play.say(conn, &frame);
        let (ticket, _) = play.question();
        play.room.tell(ticket, Outcome::Failed(Failure::TimedOut));
        let told = play.room.inbox(conn).pop().unwrap();
        assert_eq!((&told["type"], told["message"].as_str().unwrap()), (&json!("attest_error"), message));
        assert_eq!(play.room.closed(conn), None, "our own trouble says nothing about the device");
    }
}

#[test]
fn what_the_registry_does_not_give_is_an_error_and_the_socket_stays() {
    a_refused_question_is_an_error(signaling(""));
    a_refused_question_is_an_error(relay(""));
}

fn one_step_at_a_time<O: Object>(mut play: Play<O>) {
    let conn = play.open();
    let request = json!({ "type": "attest_request", "build_token": "t", "device_id": "device" });
    assert_eq!(play.say(conn, &request), Vec::<Value>::new());
    let (ticket, call) = play.question();
    let refused = play.say(conn, &request);
    assert_eq!(
        (refused.len(), &refused[0]["type"], &refused[0]["code"]),
        (1, &json!("attest_error"), &json!("conflict"))
    );
    assert!(play.room.take_errands().is_empty());
    // A question whose outcome was lost is given up after a while; the late outcome is then nobody's.
    play.wait(PATIENCE_MS);
    assert_eq!(play.say(conn, &request), Vec::<Value>::new());
    let late = play.registry.call(&call);
    play.room.tell(ticket, Outcome::Replied(late));
    assert_eq!(play.room.inbox(conn), Vec::<Value>::new());
    play.carry();
    assert_eq!(play.room.inbox(conn)[0]["type"], "attest_challenge");
}

#[test]
fn a_socket_takes_one_step_at_a_time() {
    one_step_at_a_time(signaling(""));
    one_step_at_a_time(relay(""));
}

fn a_gone_socket_is_not_answered<O: Object>(mut play: Play<O>) {
    let conn = play.open();
    play.say(conn, &json!({ "type": "attest_request", "build_token": "t", "device_id": "device" }));
    let (ticket, call) = play.question();
    play.room.leave(conn);
    let next = play.open();
    let reply = play.registry.call(&call);
    play.room.tell(ticket, Outcome::Replied(reply));
    assert_eq!(play.room.inbox(next), Vec::<Value>::new());
    play.room.tell(Ticket(7), Outcome::Failed(Failure::Other));
}

#[test]
fn an_outcome_for_a_socket_that_is_gone_is_nobodys() {
    a_gone_socket_is_not_answered(signaling(""));
    a_gone_socket_is_not_answered(relay(""));
}

#[test]
fn a_frame_beyond_the_routes_limit_is_not_taken_to_the_registry() {
    let mut play = signaling("");
    let conn = play.open();
    let long = "x".repeat(ASKING_BYTES_MAX);
    let told = play.say(conn, &json!({ "type": "attest_request", "build_token": long, "device_id": "device" }));
    assert_eq!((&told[0]["type"], &told[0]["code"]), (&json!("attest_error"), &json!("too_large")));
    assert!(play.room.take_errands().is_empty());
}

#[test]
fn only_so_many_sockets_ask_at_once_and_lost_questions_do_not_count_for_ever() {
    let mut play = relay("");
    play.room.evict_always = false;
    let request = json!({ "type": "attest_request", "build_token": "t", "device_id": "device" });
    let conns: Vec<Conn> = (0..256).map(|_| play.open()).collect();
    for conn in &conns {
        assert_eq!(play.say(*conn, &request), Vec::<Value>::new());
    }
    let late = play.open();
    assert_eq!(play.say(late, &request)[0]["code"], "at_capacity");
    assert_eq!(play.room.take_errands().len(), 256);
    play.wait(PATIENCE_MS);
    assert_eq!(play.say(late, &request), Vec::<Value>::new());
    assert_eq!(play.room.take_errands().len(), 1);
}

fn nothing_is_barred<O: Object>(mut play: Play<O>) {
    let conn = play.open();
    play.wait(10 * GRACE_MS);
    for message in chunk_messages().iter().chain(&relay_messages()) {
        assert!(!play.say(conn, message).contains(&not_attested()), "{message}");
    }
}

#[test]
fn nothing_needs_a_session_unless_an_operator_says_so() {
    nothing_is_barred(signaling(""));
    nothing_is_barred(relay(""));
}

fn required_families_are_barred<O: Object>(mut play: Play<O>, required: &str) {
    let [chunks, relays] = ["chunks", "relays"].map(|family| required.contains(family));
    let conn = play.open();
    play.wait(GRACE_MS - 1);
    for message in chunk_messages().iter().chain(&relay_messages()).chain(&free_messages()) {
        assert!(!play.say(conn, message).contains(&not_attested()), "within the grace: {message}");
    }
    play.wait(1);
    let families =
        [(chunk_messages().to_vec(), chunks), (relay_messages().to_vec(), relays), (free_messages().to_vec(), false)];
    for (messages, barred) in &families {
        for message in messages {
            let state = play.room.database.dump();
            let told = play.say(conn, message);
            assert_eq!(told.contains(&not_attested()), *barred, "{message}: {told:?}");
            if *barred {
                assert_eq!((told.len(), play.room.database.dump()), (1, state), "{message} changes nothing");
            }
        }
    }
    play.attest(conn);
    for message in families.iter().flat_map(|(messages, _)| messages) {
        assert!(!play.say(conn, message).contains(&not_attested()), "attested: {message}");
    }
    // The session was granted for two minutes.
    play.wait(120_000);
    for (messages, barred) in &families {
        for message in messages {
            assert_eq!(play.say(conn, message).contains(&not_attested()), *barred, "expired: {message}");
        }
    }
    play.attest(conn);
    assert!(!play.say(conn, &chunk_messages()[1]).contains(&not_attested()));
}

#[test]
fn after_the_grace_the_required_families_need_a_live_session() {
    for required in ["chunks", "relays", "chunks,relays"] {
        required_families_are_barred(signaling(required), required);
        required_families_are_barred(relay(required), required);
    }
}

#[test]
fn pairing_and_signaling_never_need_a_session() {
    let mut play = signaling("chunks,relays");
    let conn = play.open();
    play.wait(GRACE_MS);
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let told = play.say(conn, &json!({ "type": "register", "pairingCode": "ABCDEF", "publicKey": key }));
    assert_eq!(told[0]["type"], "registered");
}

fn a_token_may_be_presented<O: Object>(mut play: Play<O>) {
    let asked = accepted(&challenge(&mut play.registry, "device"));
    let good = accepted(&verify(&mut play.registry, &answer("device", &asked, "hash-1")));
    let token = good["session_token"].as_str().unwrap().to_owned();
    let (left, right) = token.split_once('.').unwrap();
    let forged = format!("{left}.{}", right.chars().rev().collect::<String>());
    let other = json!({ "device_id": "device", "build_version": "1.2.0", "audience": "relay-1" });
    let asked = accepted(&post(&mut play.registry, Operation::AttestChallenge, &other));
    let good = accepted(&verify(&mut play.registry, &answer("device", &asked, "hash-1")));
    let for_others = good["session_token"].as_str().unwrap().to_owned();
    let path = Call { params: vec![String::from("attic")], ..call(play.path) };
    for (bearer, counts) in [(None, false), (Some(token), true), (Some(forged), false), (Some(for_others), false)] {
        let conn = play.room.open(&Call { bearer: bearer.clone(), ..path.clone() });
        play.wait(GRACE_MS);
        let told = play.say(conn, &chunk_messages()[1]);
        assert_eq!(!told.contains(&not_attested()), counts, "{bearer:?}");
    }
}

#[test]
fn a_session_token_presented_at_the_upgrade_counts() {
    a_token_may_be_presented(signaling("chunks"));
    a_token_may_be_presented(relay("chunks"));
}

#[test]
fn a_session_of_tier_0_is_not_enough() {
    let mut play = signaling("chunks");
    let registered = body(&register_build(&mut play.registry, "browser", "1.2.0", "web", "hash-w"));
    let token = registered["session_token"].as_str().unwrap().to_owned();
    assert_eq!(session(&play.registry, &token).tier, 0);
    let conn = play.room.open(&Call { bearer: Some(token), ..call(Operation::SignalClient) });
    play.wait(GRACE_MS);
    assert_eq!(play.say(conn, &chunk_messages()[1]), [not_attested()]);
}

#[test]
fn a_block_stops_the_next_challenge_and_the_session_ends_by_its_time() {
    let mut play = signaling("chunks");
    let conn = play.open();
    play.attest(conn);
    set_policy(&mut play.registry, &json!({ "minimum_version": "2.0.0" }));
    let refused = play.request(conn);
    assert_eq!((&refused["type"], &refused["code"]), (&json!("attest_error"), &json!("forbidden")));
    play.wait(120_000);
    assert_eq!(play.say(conn, &chunk_messages()[1]), [not_attested()]);
}

#[test]
fn a_relay_that_would_have_to_attest_leaves_the_list_when_it_falls_silent_about_it() {
    let mut play = relay("relays");
    let (one, other) = (play.open(), play.open());
    assert_eq!(play.say(one, &relay_messages()[0])[0]["type"], "registered");
    let own = json!({ "type": "channel-owner-register", "channelId": "ch" });
    for _ in 0..6 {
        play.wait(60_000);
        play.say(one, &own);
    }
    assert_eq!(play.room.closed(one), Some((1000, "Heartbeat timeout")));
    play.attest(other);
    let told = play.say(other, &json!({ "type": "register", "peerId": "q" }));
    assert_eq!((&told[0]["type"], &told[0]["relays"]), (&json!("registered"), &json!([])));
}

#[derive(Clone, Copy, PartialEq)]
enum Memory {
    Kept,
    LostAlways,
}

/// One play of everything above, as a list of what every socket was told.
fn trace<O: Object>(mut play: Play<O>, memory: Memory) -> Vec<(Conn, Vec<Value>)> {
    play.room.evict_always = memory == Memory::LostAlways;
    let mut trace = Vec::new();
    let conns = [play.open(), play.open(), play.open()];
    let challenge = play.request(conns[0]);
    play.wait(GRACE_MS);
    let told = play.respond(conns[0], &challenge, "hash-1");
    trace.push((conns[0], vec![json!(told["type"])]));
    let challenge = play.request(conns[1]);
    play.respond(conns[1], &challenge, "hash-2");
    play.say(conns[2], &json!({ "type": "attest_request", "build_token": "t", "device_id": "device" }));
    for _ in 0..3 {
        for conn in conns {
            for message in chunk_messages().iter().chain(&relay_messages()).chain(&free_messages()) {
                trace.push((conn, play.say(conn, message)));
            }
        }
        play.wait(100_000);
    }
    play.carry_all();
    trace.push((conns[2], play.room.inbox(conns[2]).iter().map(|told| told["type"].clone()).collect()));
    trace
}

/// Steps by chance: what every socket is told, how it ends, and what is stored.
fn chance<O: Object>(mut play: Play<O>, steps: &[(u8, u8)], memory: Memory) -> (Vec<Value>, Vec<String>) {
    play.room.evict_always = memory == Memory::LostAlways;
    let mut conns = [play.open(), play.open()];
    let mut challenges: Vec<Value> = vec![json!({ "nonce": "0".repeat(64), "regions": [] }); 2];
    let mut trace = Vec::new();
    for (step, who) in steps {
        let at = usize::from(*who) % conns.len();
        let conn = conns[at];
        match step {
            0 => drop(play.say(conn, &json!({ "type": "attest_request", "build_token": "t", "device_id": "device" }))),
            1 | 2 => {
                let mut frame = answer("device", &challenges[at], if *step == 1 { "hash-1" } else { "hash-2" });
                frame["type"] = json!("attest_response");
                frame.as_object_mut().unwrap().remove("device_id");
                trace.extend(play.say(conn, &frame));
            }
            3 | 4 => play.carry_all(),
            5 => {
                for (ticket, _) in play.room.take_errands() {
                    play.room.tell(ticket, Outcome::Failed(Failure::Unreachable));
                }
            }
            6 => play.wait(17_000),
            7 => {
                play.room.leave(conn);
                conns[at] = play.open();
            }
            8 => trace.extend(play.say(conn, &relay_messages()[0])),
            _ => trace.extend(play.say(conn, &chunk_messages()[1])),
        }
        for (conn, challenge) in conns.iter().zip(&mut challenges) {
            for told in play.room.inbox(*conn) {
                if told["type"] == "attest_challenge" {
                    challenge.clone_from(&told);
                }
                trace.push(told);
            }
            trace.push(json!(format!("{:?}", play.room.closed(*conn))));
        }
    }
    (trace, play.room.database.dump())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn hibernation_is_not_to_be_noticed_whatever_happens(
        steps in prop::collection::vec((0_u8..12, any::<u8>()), 1..30),
        required in prop::sample::select(vec!["", "chunks", "relays", "chunks,relays"]),
    ) {
        let [lost, kept] =
            [Memory::LostAlways, Memory::Kept].map(|memory| chance(signaling(required), &steps, memory));
        prop_assert_eq!(lost, kept);
        let [lost, kept] = [Memory::LostAlways, Memory::Kept].map(|memory| chance(relay(required), &steps, memory));
        prop_assert_eq!(lost, kept);
    }
}

#[test]
fn a_hibernation_after_every_event_changes_nothing() {
    for required in ["", "chunks", "chunks,relays"] {
        let [lost, kept] = [Memory::LostAlways, Memory::Kept].map(|memory| trace(signaling(required), memory));
        assert_eq!(lost, kept, "{required}");
        let [lost, kept] = [Memory::LostAlways, Memory::Kept].map(|memory| trace(relay(required), memory));
        assert_eq!(lost, kept, "{required}");
    }
}

const REQUIRED: &str = "chunks,relays";

fn get_relays() -> Value {
    json!({ "type": "get_relays", "peerId": "p" })
}

impl<O: Object> Play<O> {
    /// A socket with a session, its grace over; nothing is under way.
    fn attested(&mut self) -> Conn {
        let conn = self.open();
        self.attest(conn);
        self.wait(GRACE_MS);
        conn
    }

    fn is_barred(&mut self, conn: Conn) -> bool {
        self.say(conn, &get_relays()).contains(&not_attested())
    }

    fn block(&mut self, policy: &Value) {
        self.registry.now = self.room.now;
        set_policy(&mut self.registry, policy);
    }
}

fn a_blocked_build_ends_sessions<O: Object>(mut play: Play<O>) {
    let conn = play.attested();
    play.block(&json!({ "blocked_versions": ["1.2.0"] }));
    assert!(!play.is_barred(conn), "frames go on while the registry is asked");
    let (ticket, call) = play.question();
    assert_eq!((call.operation, call.principal), (Operation::AttestStanding, Principal::Anonymous));
    let word = play.registry.call(&call);
    play.room.tell(ticket, Outcome::Replied(word));
    assert_eq!(play.room.inbox(conn), Vec::<Value>::new(), "it is told with its next frame");
    assert!(play.is_barred(conn));
    assert_eq!(play.room.closed(conn), None);
    assert!(play.room.take_errands().is_empty());
}

#[test]
fn a_build_that_is_blocked_ends_the_sessions_of_open_sockets_within_a_minute() {
    a_blocked_build_ends_sessions(signaling(REQUIRED));
    a_blocked_build_ends_sessions(relay(REQUIRED));
}

#[test]
fn a_sunset_ends_the_sessions_of_open_sockets() {
    let mut play = relay(REQUIRED);
    let conn = play.attested();
    let at = play.room.now.plus(60_000).to_iso();
    play.block(&json!({ "sunset_dates": { "1.2.0": at } }));
    assert!(!play.is_barred(conn));
    play.carry();
    assert!(!play.is_barred(conn), "its time has not come");
    play.wait(60_000);
    assert!(!play.is_barred(conn));
    play.carry();
    assert!(play.is_barred(conn));
}

#[test]
fn an_allowed_build_goes_on_and_the_registry_is_asked_twice_a_minute_for_all_sockets_together() {
    let mut play = relay(REQUIRED);
    play.room.evict_always = false;
    let conns = [play.attested(), play.attested()];
    for _ in 0..2 {
        for _ in 0..10 {
            for conn in conns {
                assert!(!play.is_barred(conn));
            }
        }
        // Both ask once at most, before the first answer is there.
        play.carry_all();
        play.wait(29_999);
        assert!(conns.into_iter().all(|conn| !play.is_barred(conn)));
        assert!(play.room.take_errands().is_empty(), "what was heard counts for all");
        play.wait(1);
    }
}

#[test]
fn a_change_of_the_policy_that_one_socket_hears_of_is_a_question_for_every_other() {
    let mut play = relay(REQUIRED);
    play.room.evict_always = false;
    let conns = [play.attested(), play.attested()];
    play.block(&json!({ "blocked_versions": ["1.2.0"] }));
    assert!(!play.is_barred(conns[0]));
    play.carry();
    assert!(!play.is_barred(conns[1]), "it is asked about now");
    play.carry();
    assert!(conns.into_iter().all(|conn| play.is_barred(conn)));
}

#[test]
fn a_registry_in_trouble_ends_no_session_and_is_not_asked_by_every_frame() {
    let mut play = relay(REQUIRED);
    let conn = play.attested();
    assert!(!play.is_barred(conn));
    let (ticket, _) = play.question();
    play.room.tell(ticket, Outcome::Failed(Failure::TimedOut));
    assert!(!play.is_barred(conn));
    assert!(play.room.take_errands().is_empty());
    play.block(&json!({ "blocked_versions": ["1.2.0"] }));
    play.wait(PATIENCE_MS);
    assert!(!play.is_barred(conn));
    play.carry();
    assert!(play.is_barred(conn));
}

#[test]
fn asking_for_another_devices_challenge_ends_the_session_that_a_block_would_end() {
    let mut play = relay(REQUIRED);
    let conn = play.attested();
    play.say(conn, &json!({ "type": "attest_request", "build_token": "t", "device_id": "stranger" }));
    play.carry();
    play.room.inbox(conn);
    assert!(play.is_barred(conn));
    // The same device again keeps it.
    let conn = play.attested();
    play.request(conn);
    assert!(!play.is_barred(conn));
}

#[test]
fn a_session_from_before_a_block_is_looked_into_when_it_is_shown_anew() {
    let mut play = relay(REQUIRED);
    let conn = play.open();
    let challenge = play.request(conn);
    let token = play.respond(conn, &challenge, "hash-1")["session_token"].as_str().unwrap().to_owned();
    play.block(&json!({ "blocked_versions": ["1.2.0"] }));
    let bearer = Some(token);
    let shown = play.room.open(&Call { bearer, ..call(Operation::RelayOpen) });
    play.wait(GRACE_MS);
    assert!(!play.is_barred(shown));
    play.carry();
    assert!(play.is_barred(shown));
}
