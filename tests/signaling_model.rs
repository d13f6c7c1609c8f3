//! Random histories against a small reference model, against hibernation, and against faults.
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

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use signaling_play::{CALL_ID, KEY, OTHER_KEY, Room as Stage_, from, nothing, peer, room};
use support::Stage;
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation;
use waystation::kernel::time::Timestamp;
use waystation::signaling::message::{Answer, Dialect, Json, Message, Registration, SignalKind};
use waystation::signaling::object::SignalingRoom;
use waystation::signaling::room::{Room, Times};

const CODES: [&str; 5] = ["AAAAAA", "BBBBBB", "CCCCCC", "DDDDDD", "EEEEEE"];
const KEYS: [&str; 2] = [KEY, OTHER_KEY];
const WARNING_MS: u64 = 90_000;
const TIMEOUT_MS: u64 = 120_000;

/// One thing that happens. Sockets are named by the order in which they came, modulo their number.
#[derive(Debug, Clone)]
enum Event {
    Open,
    Register { by: usize, code: usize, key: usize },
    Request { by: usize, code: usize },
    Answer { by: usize, code: usize, answer: Answer },
    Offer { by: usize, code: usize },
    Leave { by: usize },
    Wait { ms: u64 },
}

fn answer() -> impl Strategy<Value = Answer> {
    prop::sample::select(vec![Answer::Accept, Answer::Reject])
}

fn event() -> impl Strategy<Value = Event> {
    let (by, code) = (0..6_usize, 0..CODES.len());
    prop_oneof![
        2 => Just(Event::Open),
        5 => (by.clone(), code.clone(), 0..KEYS.len()).prop_map(|(by, code, key)| Event::Register { by, code, key }),
        6 => (by.clone(), code.clone()).prop_map(|(by, code)| Event::Request { by, code }),
        5 => (by.clone(), code.clone(), answer()).prop_map(|(by, code, answer)| Event::Answer { by, code, answer }),
        2 => (by.clone(), code).prop_map(|(by, code)| Event::Offer { by, code }),
        1 => by.prop_map(|by| Event::Leave { by }),
        2 => prop_oneof![1..40_000_u64, Just(WARNING_MS), Just(TIMEOUT_MS)].prop_map(|ms| Event::Wait { ms }),
    ]
}

type Identity = (usize, usize);

struct Pending {
    asker: Conn,
    asked: Conn,
    at: u64,
    warned: bool,
}

/// The reference: who is registered, who waits for whom, who remembers whom. Lists, searched from end to end.
#[derive(Default)]
struct Model {
    now: u64,
    sockets: Vec<(Conn, Option<Identity>)>,
    pending: Vec<Pending>,
    memory: Vec<(Conn, Identity)>,
    told: BTreeMap<Conn, Vec<String>>,
}

impl Model {
    fn tell(&mut self, conn: Conn, what: &str) {
        self.told.entry(conn).or_default().push(what.to_owned());
    }

    fn who(&self, conn: Conn) -> Option<Identity> {
        self.sockets.iter().find(|(known, _)| *known == conn).and_then(|(_, identity)| *identity)
    }

    fn holder(&self, code: usize) -> Option<Conn> {
        self.sockets.iter().find(|(_, who)| who.is_some_and(|(held, _)| held == code)).map(|(conn, _)| *conn)
    }

    fn code(&self, conn: Conn) -> &'static str {
        self.who(conn).map_or("?", |(code, _)| CODES[code])
    }

    fn drop_identity(&mut self, conn: Conn) {
        let Some(identity) = self.who(conn) else { return };
        let code = CODES[identity.0];
        let askers: Vec<Conn> = self.pending.iter().filter(|p| p.asked == conn).map(|p| p.asker).collect();
        self.pending.retain(|p| p.asker != conn && p.asked != conn);
        self.memory.retain(|(holder, _)| *holder != conn);
        let holders: Vec<Conn> =
            self.memory.iter().filter(|(_, who)| *who == identity).map(|(conn, _)| *conn).collect();
        askers.into_iter().for_each(|asker| self.tell(asker, &format!("pair_timeout {code}")));
        holders.into_iter().for_each(|holder| self.tell(holder, &format!("peer_left {code}")));
        self.sockets.iter_mut().filter(|(known, _)| *known == conn).for_each(|(_, who)| *who = None);
    }

    fn register(&mut self, conn: Conn, identity: Identity) {
        let code = CODES[identity.0];
        if self.holder(identity.0).is_some_and(|holder| holder != conn) {
            return self.tell(conn, "code_collision");
        }
        let is_same = self.who(conn) == Some(identity);
        if !is_same {
            self.drop_identity(conn);
            self.sockets.iter_mut().filter(|(known, _)| *known == conn).for_each(|(_, who)| *who = Some(identity));
            let holders: Vec<Conn> =
                self.memory.iter().filter(|(_, who)| *who == identity).map(|(conn, _)| *conn).collect();
            holders.into_iter().for_each(|holder| self.tell(holder, &format!("peer_joined {code}")));
        }
        self.tell(conn, &format!("registered {code}"));
    }

    fn request(&mut self, conn: Conn, code: usize) {
        match self.holder(code) {
            Some(asked) if asked != conn => {
                self.pending.retain(|p| (p.asker, p.asked) != (conn, asked));
                self.pending.push(Pending { asker: conn, asked, at: self.now, warned: false });
                let from = self.code(conn);
                self.tell(asked, &format!("pair_incoming {from}"));
            }
            _ => self.tell(conn, "pair_error Pair request could not be processed"),
        }
    }

    fn answer(&mut self, conn: Conn, code: usize, answer: Answer) {
        let asker = self.holder(code);
        let asked = self.pending.iter().any(|p| Some(p.asker) == asker && p.asked == conn);
        let (true, Some(asker)) = (asked, asker) else {
            return self.tell(conn, "pair_error No pending request from this peer");
        };
        self.pending.retain(|p| (p.asker, p.asked) != (asker, conn));
        if answer == Answer::Reject {
            return self.tell(asker, &format!("pair_rejected {}", self.code(conn)));
        }
        self.pending.retain(|p| (p.asker, p.asked) != (conn, asker));
        for (one, other, role) in [(asker, conn, true), (conn, asker, false)] {
            self.tell(one, &format!("pair_matched {} {role}", self.code(other)));
            let identity = self.who(other).unwrap();
            if !self.memory.contains(&(one, identity)) {
                self.memory.push((one, identity));
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        let mut pending = std::mem::take(&mut self.pending);
        for p in &mut pending {
            if !p.warned && p.at + WARNING_MS <= self.now {
                p.warned = true;
                let (asker, asked) = (self.code(p.asker), self.code(p.asked));
                self.tell(p.asker, &format!("pair_expiring {asked}"));
                self.tell(p.asked, &format!("pair_expiring {asker}"));
            }
            if p.at + TIMEOUT_MS <= self.now {
                self.tell(p.asker, &format!("pair_timeout {}", self.code(p.asked)));
            }
        }
        let now = self.now;
        pending.retain(|p| p.at + TIMEOUT_MS > now);
        self.pending = pending;
    }
}

/// A frame in the model's words.
fn in_short(frame: &Value) -> String {
    let mut words = vec![frame["type"].as_str().unwrap().to_owned()];
    if frame["type"] != "code_collision" {
        for member in ["pairingCode", "fromCode", "peerCode", "from", "error", "message"] {
            words.extend(frame[member].as_str().map(str::to_owned));
        }
    }
    words.extend(frame["isInitiator"].as_bool().map(|is_initiator| is_initiator.to_string()));
    words.join(" ")
}

/// Both the object and the model live through `event`.
fn live(stage: &mut Stage_, model: &mut Model, event: &Event) {
    let who = |model: &Model, by: usize| model.sockets.get(by % model.sockets.len().max(1)).map(|(conn, _)| *conn);
    let (by, message) = match event {
        Event::Open => {
            if model.sockets.len() < 6 {
                model.sockets.push((stage.open(&from(Operation::SignalClient, "192.0.2.1")), None));
            }
            return;
        }
        Event::Wait { ms } => {
            stage.wait(*ms);
            return model.wait(*ms);
        }
        Event::Leave { by } => {
            if let Some(conn) = who(model, *by) {
                stage.leave(conn);
                model.drop_identity(conn);
                model.sockets.retain(|(known, _)| *known != conn);
                model.told.remove(&conn);
            }
            return;
        }
        Event::Register { by, code, key } => {
            (*by, json!({"type": "register", "pairingCode": CODES[*code], "publicKey": KEYS[*key]}))
        }
        Event::Request { by, code } => (*by, json!({"type": "pair_request", "targetCode": CODES[*code]})),
        Event::Answer { by, code, answer } => {
            (*by, json!({"type": "pair_response", "targetCode": CODES[*code], "accepted": *answer == Answer::Accept}))
        }
        Event::Offer { by, code } => (*by, json!({"type": "offer", "target": CODES[*code]})),
    };
    let Some(conn) = who(model, by) else { return };
    stage.say(conn, &message.to_string());
    match event {
        Event::Register { code, key, .. } => model.register(conn, (*code, *key)),
        _ if model.who(conn).is_none() => model.tell(conn, "error Not registered. Send register message first."),
        Event::Request { code, .. } => model.request(conn, *code),
        Event::Answer { code, answer, .. } => model.answer(conn, *code, *answer),
        Event::Offer { code, .. } => match model.holder(*code) {
            Some(target) => model.tell(target, &format!("offer {}", model.code(conn))),
            None => model.tell(conn, &format!("error Peer not found: {}", CODES[*code])),
        },
        Event::Open | Event::Leave { .. } | Event::Wait { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_history_tells_what_the_model_tells(events in prop::collection::vec(event(), 1..60)) {
        let (mut stage, mut model) = (room(&[]), Model::default());
        stage.evict_always = false;
        for _ in 0..3 {
            live(&mut stage, &mut model, &Event::Open);
        }
        for event in &events {
            live(&mut stage, &mut model, event);
            for (conn, _) in model.sockets.clone() {
                let mut told: Vec<String> = stage.inbox(conn).iter().map(in_short).collect();
                let mut expected = model.told.remove(&conn).unwrap_or_default();
                told.sort();
                expected.sort();
                prop_assert_eq!(told, expected, "socket {:?} after {:?}", conn, event);
            }
        }
    }
}

/// Anything at all, in both dialects, with every limit in reach.
#[derive(Debug, Clone)]
enum Deed {
    Open { operation: Operation, network: u8 },
    Say { by: usize, text: String },
    Binary { by: usize },
    Leave { by: usize },
    Wait { ms: u64 },
}

fn words() -> impl Strategy<Value = String> {
    let code = prop::sample::select(vec!["AAAAAA", "BBBBBB", "CCCCCC", "DDDDDD"]);
    let key = prop::sample::select(KEYS.to_vec());
    (0..14_usize, code, key).prop_map(|(kind, code, key)| {
        let payload = json!({"callId": CALL_ID, "sdp": "v=0"});
        match kind {
            0..=3 => json!({"type": "register", "pairingCode": code, "publicKey": key, "protocolVersion": 2}),
            4 | 5 => json!({"type": "pair_request", "targetCode": code}),
            6 | 7 => json!({"type": "pair_accept", "targetCode": code}),
            8 => json!({"type": "pair_reject", "targetCode": code}),
            9 => json!({"type": "offer", "target": code, "payload": {"a": 1}}),
            10 => json!({"type": "call_offer", "target": code, "payload": payload}),
            11 => json!({"type": "link_request", "linkCode": code, "publicKey": key}),
            12 => json!({"type": "link_response", "linkCode": code, "accepted": true}),
            _ => json!({"type": "link_response", "linkCode": code, "accepted": false}),
        }
        .to_string()
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let operation = prop::sample::select(vec![Operation::SignalRoot, Operation::SignalClient, Operation::SignalRoom]);
    let text = prop_oneof![9 => words(), 1 => "\\PC{0,20}"];
    prop_oneof![
        3 => (operation, 1..4_u8).prop_map(|(operation, network)| Deed::Open { operation, network }),
        20 => (0..6_usize, text).prop_map(|(by, text)| Deed::Say { by, text }),
        1 => (0..6_usize).prop_map(|by| Deed::Binary { by }),
        1 => (0..6_usize).prop_map(|by| Deed::Leave { by }),
        2 => prop_oneof![1..40_000_u64, Just(WARNING_MS), Just(TIMEOUT_MS), Just(900_000)]
            .prop_map(|ms| Deed::Wait { ms }),
    ]
}

fn limited_room() -> Stage_ {
    room(&[
        ("SIGNAL_MESSAGES_PER_MINUTE", "12"),
        ("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "3"),
        ("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "4"),
        ("SIGNAL_SOCKETS_PER_ADDRESS", "3"),
        ("SIGNAL_SOCKETS_MAX", "6"),
    ])
}

fn play(stage: &mut Stage<SignalingRoom>, deeds: &[Deed]) {
    let mut conns = Vec::new();
    for deed in deeds {
        let who = |by: &usize| conns.get(by % conns.len().max(1)).copied();
        match deed {
            Deed::Open { operation, network } => {
                conns.push(stage.open(&from(*operation, &format!("192.0.2.{network}"))));
            }
            Deed::Say { by, text } => who(by).into_iter().for_each(|conn| stage.say(conn, text)),
            Deed::Binary { by } => who(by).into_iter().for_each(|conn| stage.say_binary(conn, b"{\"type\":\"ping\"}")),
            Deed::Leave { by } => {
                if let Some(conn) = who(by) {
                    conns.retain(|known| *known != conn);
                    stage.leave(conn);
                }
            }
            Deed::Wait { ms } => stage.wait(*ms),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn hibernation_after_every_event_changes_nothing(deeds in prop::collection::vec(deed(), 1..80)) {
        let (mut awake, mut sleepy) = (limited_room(), limited_room());
        awake.evict_always = false;
        play(&mut awake, &deeds);
        play(&mut sleepy, &deeds);
        prop_assert_eq!(&awake.peers, &sleepy.peers);
        prop_assert_eq!(awake.database.dump(), sleepy.database.dump());
    }

    #[test]
    fn after_a_fault_nobody_was_told_anything(deeds in prop::collection::vec(deed(), 1..60)) {
        let mut stage = room(&[("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "1000"), ("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "2")]);
        play(&mut stage, &deeds);
        let one = stage.open(&from(Operation::SignalRoom, "192.0.2.9"));
        let other = stage.open(&from(Operation::SignalRoom, "192.0.2.8"));
        stage.say(one, r#"{"type":"register","pairingCode":"one"}"#);
        stage.say(other, r#"{"type":"register","pairingCode":"other"}"#);
        let (peers, dump) = (stage.peers.clone(), stage.database.dump());
        stage.database.refuse_commits();
        for text in [
            r#"{"type":"pair_request","targetCode":"other"}"#,
            r#"{"type":"pair_request","targetCode":"nobody"}"#,
            r#"{"type":"offer","target":"nobody","payload":{}}"#,
        ] {
            let outcome = stage.try_say(one, text);
            prop_assert!(outcome.is_err(), "{}", text);
        }
        prop_assert_eq!(&peers, &stage.peers);
        prop_assert_eq!(dump, stage.database.dump());
        // The request never was: there is nothing to answer.
        stage.inbox(other);
        stage.say(other, r#"{"type":"pair_accept","targetCode":"one"}"#);
        prop_assert_eq!(&stage.inbox(other)[0]["type"], "pair_error");
        prop_assert_eq!(stage.inbox(one).len(), 1, "registered, and nothing else");
    }
}

fn registration(code: &str, key: &str) -> Message<'static> {
    Message::Register(Registration {
        dialect: Dialect::Room,
        code: code.to_owned().into(),
        public_key: key.to_owned().into(),
        pq_public_key: None,
        protocol_version: None,
        supported_kems: None,
    })
}

fn message() -> impl Strategy<Value = Message<'static>> {
    (0..8_usize, 0..CODES.len(), 0..KEYS.len(), answer()).prop_map(|(kind, code, key, answer)| {
        let (code, key) = (CODES[code], KEYS[key]);
        match kind {
            0..=2 => registration(code, key),
            3 | 4 => Message::PairRequest { target: code.into(), proposed_name: None },
            5 => Message::PairResponse { requester: code.into(), answer },
            6 => Message::LinkRequest { device: code.into(), public_key: key.into(), device_name: "web".into() },
            _ => Message::LinkResponse { device: code.into(), answer, device_id: None },
        }
    })
}

proptest! {
    #[test]
    fn the_machine_is_what_its_records_say_and_ends_empty(
        steps in prop::collection::vec((0..6_u32, message(), 0..30_000_u64, 0..12_u8), 1..80),
    ) {
        let times = Times { warning_ms: WARNING_MS, timeout_ms: TIMEOUT_MS };
        let (mut machine, mut now) = (Room::new(times), Timestamp::from_millis(1_800_000_000_000));
        for (conn, message, ms, leaves) in steps {
            let (mut effects, conn) = (Vec::new(), Conn(conn));
            now = now.plus(ms);
            machine.expire(now, &mut effects);
            if leaves == 0 {
                machine.leave(conn, &mut effects);
            } else {
                effects.clear();
                let refused = machine.handle(now, conn, message, &mut effects).is_err();
                prop_assert!(!refused || effects.is_empty(), "a refusal has no effects");
            }
            let records = (0..6).filter_map(|conn| Some((Conn(conn), machine.record(Conn(conn))?.clone()))).collect();
            prop_assert_eq!(&Room::restore(times, records), &machine);
        }
        for conn in 0..6 {
            machine.leave(Conn(conn), &mut Vec::new());
        }
        prop_assert_eq!(machine, Room::new(times));
    }
}

#[test]
fn endless_distinct_codes_leave_nothing_behind() {
    let times = Times { warning_ms: WARNING_MS, timeout_ms: TIMEOUT_MS };
    let (mut machine, now) = (Room::new(times), Timestamp::from_millis(1_800_000_000_000));
    let mut effects = Vec::new();
    machine.handle(now, Conn(0), registration("hub", ""), &mut effects).unwrap();
    for index in 0..5_000 {
        let code = format!("code-{index}");
        machine.handle(now, Conn(1), registration(&code, ""), &mut effects).unwrap();
        let request = Message::PairRequest { target: "hub".into(), proposed_name: None };
        machine.handle(now, Conn(1), request, &mut effects).unwrap();
        let response = Message::PairResponse { requester: code.into(), answer: Answer::Accept };
        machine.handle(now, Conn(0), response, &mut effects).unwrap();
        effects.clear();
    }
    assert_eq!(machine.record(Conn(0)).unwrap().partners.len(), waystation::signaling::room::PARTNERS_MAX);
    assert_eq!(machine.record(Conn(1)).unwrap().partners.len(), 1);
    machine.leave(Conn(1), &mut effects);
    machine.leave(Conn(0), &mut effects);
    assert_eq!(machine, Room::new(times));
}

#[test]
fn codes_and_payloads_cannot_be_printed() {
    let times = Times { warning_ms: WARNING_MS, timeout_ms: TIMEOUT_MS };
    let (mut machine, now) = (Room::new(times), Timestamp::from_millis(1_800_000_000_000));
    let mut effects = Vec::new();
    let messages = [
        (0, registration("SECRET-0", "")),
        (1, registration("SECRET-1", "")),
        (0, Message::PairRequest { target: "SECRET-1".into(), proposed_name: Some(Json("\"SECRET\"")) }),
        (0, Message::LinkRequest { device: "SECRET-1".into(), public_key: "k".into(), device_name: "web".into() }),
        (0, Message::Signal { kind: SignalKind::Offer, target: "SECRET-1".into(), payload: Some(Json("\"SECRET\"")) }),
        (0, Message::Signal { kind: SignalKind::Offer, target: "SECRET-2".into(), payload: None }),
    ];
    for (conn, message) in messages {
        let said = format!("{message:?}");
        let outcome = machine.handle(now, Conn(conn), message, &mut effects);
        let printed = format!("{said} {outcome:?} {effects:?} {machine:?} {:?}", machine.record(Conn(0)));
        assert!(printed.contains("[code]") && !printed.contains("SECRET"), "{printed}");
    }
}

#[test]
fn an_alarm_rung_twice_or_for_nothing_says_nothing_twice() {
    let mut stage = room(&[]);
    let (one, other) = (peer(&mut stage, "AAAAAA"), peer(&mut stage, "BBBBBB"));
    stage.ring();
    stage.say(one, r#"{"type":"pair_request","targetCode":"BBBBBB"}"#);
    stage.inbox(other);
    for (ms, told) in [(WARNING_MS, 1), (TIMEOUT_MS - WARNING_MS, 1)] {
        stage.wait(ms);
        assert_eq!(stage.inbox(one).len(), told);
        stage.inbox(other);
        stage.ring();
        stage.ring();
        assert_eq!((stage.inbox(one), stage.inbox(other)), (nothing(), nothing()));
    }
}
