//! Random histories against a small reference model, and the same history with and without hibernation.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod parties_play;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use parties_play::{Copy, Far, PARTY, Play, play_with};
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation as Op;
use waystation::parties::wire::service::ForwardWish;

const PEERS: [&str; 5] = ["ann", "bob", "cy", "dee", "eve"];
const NULL: Value = Value::Null;

/// Long enough that short waits never end it; a long wait ends it for all whose socket does not speak.
const TTL_MS: u64 = 20_000_000;
const LONG_MS: u64 = 60_000_000;

#[derive(Debug, Clone)]
enum Event {
    Create(usize),
    Join(usize),
    JoinWith(usize, bool),
    Leave(usize, usize),
    Ban(usize, usize),
    Unban(usize, usize),
    Heartbeat(usize),
    Password(usize, bool),
    Promotion(usize, bool),
    Capacity(usize, u32),
    Update(usize, u16),
    Signal(usize, usize),
    Poll(usize),
    Invite(usize),
    Open(usize),
    OpenFar(usize),
    Say(usize, Frame),
    Close(usize),
    Wait(u64),
    WaitLong,
}

#[derive(Debug, Clone)]
enum Frame {
    Auth,
    Register,
    Join,
    Leave(usize),
    Heartbeat,
    Update(u16),
    Signal(usize),
    Nonsense,
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        1 => Just(Frame::Auth),
        2 => Just(Frame::Register),
        4 => Just(Frame::Join),
        2 => (0..5_usize).prop_map(Frame::Leave),
        2 => Just(Frame::Heartbeat),
        1 => (1..9_u16).prop_map(Frame::Update),
        3 => (0..5_usize).prop_map(Frame::Signal),
        1 => Just(Frame::Nonsense),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let peer = || 0..5_usize;
    prop_oneof![
        3 => peer().prop_map(Event::Create),
        6 => peer().prop_map(Event::Join),
        2 => (peer(), any::<bool>()).prop_map(|(p, right)| Event::JoinWith(p, right)),
        3 => (peer(), peer()).prop_map(|(a, b)| Event::Leave(a, b)),
        1 => (peer(), peer()).prop_map(|(a, b)| Event::Ban(a, b)),
        1 => (peer(), peer()).prop_map(|(a, b)| Event::Unban(a, b)),
        2 => peer().prop_map(Event::Heartbeat),
        1 => (peer(), any::<bool>()).prop_map(|(p, set)| Event::Password(p, set)),
        2 => (peer(), any::<bool>()).prop_map(|(p, on)| Event::Promotion(p, on)),
        1 => (peer(), 2..5_u32).prop_map(|(p, max)| Event::Capacity(p, max)),
        2 => (peer(), 1..9_u16).prop_map(|(p, port)| Event::Update(p, port)),
        3 => (peer(), peer()).prop_map(|(a, b)| Event::Signal(a, b)),
        2 => peer().prop_map(Event::Poll),
        1 => peer().prop_map(Event::Invite),
        3 => peer().prop_map(Event::Open),
        3 => peer().prop_map(Event::OpenFar),
        12 => (0..8_usize, frame()).prop_map(|(line, frame)| Event::Say(line, frame)),
        3 => (0..8_usize).prop_map(Event::Close),
        3 => (0..200_000_u64).prop_map(Event::Wait),
        1 => Just(Event::WaitLong),
    ]
}

/// What must be true of the party. Knows nothing of rows, clocks or attachments.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Members in the order of joining; empty when there is no party.
    members: Vec<usize>,
    host: usize,
    ports: BTreeMap<usize, u16>,
    password: bool,
    promotion: bool,
    capacity: usize,
    banned: BTreeSet<usize>,
    waiting: BTreeMap<usize, Vec<usize>>,
}

impl Model {
    fn has(&self, peer: usize) -> bool {
        self.members.contains(&peer)
    }

    fn exists(&self) -> bool {
        !self.members.is_empty()
    }

    fn seat(&mut self, peer: usize) {
        self.ports.insert(peer, 4_000);
        if !self.has(peer) {
            self.members.push(peer);
        }
    }

    fn create(&mut self, peer: usize) -> u16 {
        if !self.exists() {
            *self = Self { host: peer, capacity: 256, ..Self::default() };
        } else if self.host != peer {
            return 409;
        }
        self.seat(peer);
        200
    }

    fn join(&mut self, peer: usize, right: Option<bool>) -> u16 {
        if !self.exists() {
            return 404;
        }
        if self.banned.contains(&peer) {
            return 403;
        }
        if !self.has(peer) {
            if self.password && right != Some(true) {
                return 403;
            }
            if self.members.len() >= self.capacity {
                return 409;
            }
        }
        self.seat(peer);
        200
    }

    fn remove(&mut self, peer: usize) {
        self.members.retain(|member| *member != peer);
        self.waiting.remove(&peer);
        if peer == self.host {
            match self.members.first() {
                Some(heir) if self.promotion => self.host = *heir,
                _ => *self = Self::default(),
            }
        }
    }

    fn leave(&mut self, caller: usize, peer: usize) -> u16 {
        if caller != peer && !(self.exists() && caller == self.host) {
            return 403;
        }
        if !self.has(peer) {
            return 404;
        }
        self.remove(peer);
        200
    }

    fn ruled(&self, caller: usize) -> Result<(), u16> {
        if !self.exists() {
            return Err(404);
        }
        if caller == self.host { Ok(()) } else { Err(403) }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Line {
    Own(Conn),
    Far(Far),
}

/// A client's socket.
#[derive(Debug)]
struct Client {
    peer: usize,
    line: Line,
    copy: Copy,
    subscribed: bool,
    spoken: bool,
}

struct World {
    play: Play,
    clients: Vec<Client>,
    next_far: u32,
    log: Vec<Value>,
}

fn world() -> World {
    let play = play_with(&[("PARTY_PEER_TTL_MS", &TTL_MS.to_string())]);
    World { play, clients: Vec::new(), next_far: 1, log: Vec::new() }
}

/// Times depend on what hibernation forgot, by less than the flush interval; everything else must not.
fn mask(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let masked = |(name, value): (&String, &Value)| match name.as_str() {
                "last_seen" | "last_seen_ms_ago" => (name.clone(), json!("T")),
                _ => (name.clone(), mask(value)),
            };
            Value::Object(members.iter().map(masked).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(mask).collect()),
        other => other.clone(),
    }
}

impl World {
    fn ask(&mut self, operation: Op, peer: usize, params: &[&str], body: &Value) -> u16 {
        let (status, answer) = self.play.ask(operation, PEERS[peer], params, body);
        self.log.push(mask(&answer));
        status
    }

    fn read(&mut self) {
        for client in &mut self.clients {
            let frames = match &client.line {
                Line::Own(conn) => self.play.stage.inbox(*conn),
                Line::Far(far) => self.play.far_inbox(far),
            };
            for frame in frames {
                client.copy.apply(&frame);
                self.log.push(mask(&frame));
            }
        }
    }

    /// Sockets that were closed for newer ones of the same peer.
    fn prune(&mut self) {
        let stage = &self.play.stage;
        self.clients.retain(|client| match &client.line {
            Line::Own(conn) => stage.closed(*conn).is_none(),
            Line::Far(_) => true,
        });
    }

    fn say(&mut self, index: usize, frame: &Value) {
        let peer = PEERS[self.clients[index].peer];
        match self.clients[index].line.clone() {
            Line::Own(conn) => self.play.say(conn, frame),
            Line::Far(far) => drop(self.play.far_say(&far, peer, frame)),
        }
    }

    fn open(&mut self, peer: usize, event: &Event, model: &Model) {
        let line = if matches!(event, Event::OpenFar(_)) {
            let far = (format!("g{}", self.next_far % 2), self.next_far);
            self.next_far += 1;
            self.play.forward(&far, PEERS[peer], ForwardWish::Resume);
            Line::Far(far)
        } else {
            Line::Own(self.play.open(PEERS[peer]))
        };
        let subscribed = model.has(peer);
        self.clients.push(Client { peer, line, copy: Copy::default(), subscribed, spoken: false });
    }

    fn close(&mut self, index: usize) {
        let client = self.clients.remove(index);
        match client.line {
            Line::Own(conn) => self.play.stage.leave(conn),
            Line::Far(far) => drop(self.play.forward(&far, PEERS[client.peer], ForwardWish::Gone)),
        }
        self.play.settle();
    }
}

/// Does the event in both, and returns the status that the room answered and the one that the model expects.
fn act(world: &mut World, model: &mut Model, event: &Event) -> Option<(u16, u16)> {
    let name = |peer: &usize| PEERS[*peer];
    match event {
        Event::Create(peer) => {
            let body = json!({ "name": "Game", "host_peer_info": world.play.me(name(peer)) });
            Some((world.ask(Op::PartyCreate, *peer, &[], &body), model.create(*peer)))
        }
        Event::Join(peer) => {
            let body = json!({ "party_id": PARTY, "peer_info": world.play.me(name(peer)) });
            Some((world.ask(Op::PartyJoin, *peer, &[], &body), model.join(*peer, None)))
        }
        Event::JoinWith(peer, right) => {
            let password = if *right { "right" } else { "wrong" };
            let me = world.play.me(name(peer));
            let body = json!({ "party_id": PARTY, "peer_info": me, "password": password });
            // So few wrong ones come at a time that the limit of tries does not matter here.
            world.play.wait(60_000);
            Some((world.ask(Op::PartyJoin, *peer, &[], &body), model.join(*peer, Some(*right))))
        }
        Event::Leave(caller, peer) => {
            Some((world.ask(Op::PartyLeave, *caller, &[name(peer)], &NULL), model.leave(*caller, *peer)))
        }
        Event::Heartbeat(peer) => {
            let expected = if model.has(*peer) { 200 } else { 404 };
            Some((world.ask(Op::PartyHeartbeat, *peer, &[name(peer)], &NULL), expected))
        }
        Event::Update(peer, port) => {
            let status = world.ask(Op::PartyUpdatePeer, *peer, &[name(peer)], &json!({ "public_port": port }));
            Some((
                status,
                if model.has(*peer) {
                    model.ports.insert(*peer, *port);
                    200
                } else {
                    404
                },
            ))
        }
        Event::Signal(from, to) => {
            let body = json!({ "to_peer_id": name(to), "signal_data": { "by": from } });
            let status = world.ask(Op::PartySignalSend, *from, &[], &body);
            Some((status, signal(world, model, *from, *to)))
        }
        Event::Poll(peer) => {
            let status = world.ask(Op::PartySignalPoll, *peer, &[name(peer)], &NULL);
            let answer = world.log.last().unwrap();
            let polled: Vec<usize> = answer["signals"].as_array().map_or(Vec::new(), |list| {
                list.iter().map(|s| usize::try_from(s["signal_data"]["by"].as_u64().unwrap()).unwrap()).collect()
            });
            assert_eq!(polled, model.waiting.remove(peer).unwrap_or_default());
            Some((status, if model.has(*peer) { 200 } else { 404 }))
        }
        _ => rule(world, model, event),
    }
}

/// As [`act`], for what the host may do.
fn rule(world: &mut World, model: &mut Model, event: &Event) -> Option<(u16, u16)> {
    let name = |peer: &usize| PEERS[*peer];
    match event {
        Event::Ban(caller, peer) => {
            let status = world.ask(Op::PartyBan, *caller, &[], &json!({ "peer_id": name(peer) }));
            let expected = model.ruled(*caller).err().unwrap_or(if caller == peer { 409 } else { 200 });
            if expected == 200 {
                model.banned.insert(*peer);
                model.remove(*peer);
            }
            Some((status, expected))
        }
        Event::Unban(caller, peer) => {
            let status = world.ask(Op::PartyUnban, *caller, &[name(peer)], &NULL);
            let expected =
                model.ruled(*caller).map_or_else(|no| no, |()| if model.banned.remove(peer) { 200 } else { 404 });
            Some((status, expected))
        }
        Event::Password(caller, set) => {
            let body = if *set { json!({ "password": "right" }) } else { json!({ "password": null }) };
            let status = world.ask(Op::PartySettings, *caller, &[], &body);
            Some((
                status,
                model.ruled(*caller).map_or_else(
                    |no| no,
                    |()| {
                        model.password = *set;
                        200
                    },
                ),
            ))
        }
        Event::Promotion(caller, on) => {
            let status = world.ask(Op::PartySettings, *caller, &[], &json!({ "promotion": on }));
            Some((
                status,
                model.ruled(*caller).map_or_else(
                    |no| no,
                    |()| {
                        model.promotion = *on;
                        200
                    },
                ),
            ))
        }
        Event::Capacity(caller, max) => {
            let status = world.ask(Op::PartySettings, *caller, &[], &json!({ "peers_max": max }));
            Some((
                status,
                model.ruled(*caller).map_or_else(
                    |no| no,
                    |()| {
                        model.capacity = *max as usize;
                        200
                    },
                ),
            ))
        }
        Event::Invite(caller) => {
            let status = world.ask(Op::PartyInviteCreate, *caller, &[], &NULL);
            Some((status, model.ruled(*caller).err().unwrap_or(200)))
        }
        _ => {
            act_socket(world, model, event);
            None
        }
    }
}

fn signal(world: &World, model: &mut Model, from: usize, to: usize) -> u16 {
    if !model.exists() || (model.has(from) && !model.has(to)) {
        return 404;
    }
    if !model.has(from) {
        return 403;
    }
    if !world.clients.iter().any(|client| client.peer == to && client.subscribed) {
        model.waiting.entry(to).or_default().push(from);
    }
    200
}

fn act_socket(world: &mut World, model: &mut Model, event: &Event) {
    match event {
        // More of one peer's would cost the oldest its place; a test of its own shows that.
        Event::Open(peer) | Event::OpenFar(peer)
            if world.clients.iter().filter(|client| client.peer == *peer).count() < 4 =>
        {
            world.open(*peer, event, model);
            if model.has(*peer) {
                model.waiting.remove(peer);
            }
        }
        Event::Close(line) if !world.clients.is_empty() => world.close(line % world.clients.len()),
        Event::Wait(ms) => world.play.wait(*ms),
        Event::WaitLong => {
            world.play.wait(LONG_MS);
            let present = |peer: &usize| {
                world.clients.iter().any(|client| client.peer == *peer && client.subscribed && client.spoken)
            };
            for peer in model.members.clone() {
                // Those who joined first went first; a host's going may have ended it all.
                if model.has(peer) && !present(&peer) {
                    model.remove(peer);
                }
            }
        }
        Event::Say(line, frame) if !world.clients.is_empty() => speak(world, model, line % world.clients.len(), frame),
        _ => {}
    }
}

fn speak(world: &mut World, model: &mut Model, index: usize, frame: &Frame) {
    let peer = world.clients[index].peer;
    let me = world.play.me(PEERS[peer]);
    let id = PEERS[peer];
    let (text, good) = match frame {
        Frame::Auth => (json!({ "type": "auth", "peer_id": id }), model.has(peer)),
        Frame::Register => {
            let text = json!({ "type": "register_party", "party_id": PARTY, "name": "Game", "host_peer": me });
            (text, model.create(peer) == 200)
        }
        Frame::Join => (json!({ "type": "join_party", "party_id": PARTY, "peer": me }), model.join(peer, None) == 200),
        Frame::Leave(other) => {
            let text = json!({ "type": "leave_party", "party_id": PARTY, "peer_id": PEERS[*other] });
            (text, model.leave(peer, *other) == 200)
        }
        Frame::Heartbeat => (json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": id }), model.has(peer)),
        Frame::Update(port) => {
            let good = model.has(peer);
            if good {
                model.ports.insert(peer, *port);
            }
            (json!({ "type": "update_peer", "party_id": PARTY, "peer": { "public_port": port } }), good)
        }
        Frame::Signal(to) => {
            let text =
                json!({ "type": "signal", "party_id": PARTY, "to_peer_id": PEERS[*to], "signal_data": { "by": peer } });
            // Nobody's signal to itself waits: it has a socket by which it speaks.
            let good = signal(world, model, peer, *to) == 200;
            (text, good)
        }
        Frame::Nonsense => (json!({ "type": "nonsense" }), false),
    };
    let before = world.clients[index].copy.errors.len();
    world.say(index, &text);
    world.read();
    let errors = world.clients[index].copy.errors.len() - before;
    assert_eq!(errors == 0, good, "{text}: {:?}", world.clients[index].copy.errors);
    if good && model.has(peer) {
        let is_auth = matches!(frame, Frame::Auth);
        if !world.clients[index].subscribed || matches!(frame, Frame::Auth | Frame::Join | Frame::Register) {
            let caught_up = matches!(frame, Frame::Auth | Frame::Join | Frame::Register);
            if caught_up {
                model.waiting.remove(&peer);
            }
        }
        world.clients[index].subscribed = true;
        world.clients[index].spoken |= !is_auth;
    }
}

/// Everything that must hold between events.
fn check(world: &mut World, model: &Model) {
    world.read();
    world.prune();
    for client in &mut world.clients {
        client.subscribed &= model.has(client.peer);
        client.spoken &= client.subscribed;
    }
    let mut expected: Vec<&str> = model.members.iter().map(|peer| PEERS[*peer]).collect();
    expected.sort_unstable();
    if let Some(reader) = model.members.first() {
        let (_, answer) = world.play.ask(Op::PartyRead, PEERS[*reader], &[], &NULL);
        let party = &answer["party"];
        let members: Vec<&str> = party["peers"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((members, &party["host_id"]), (expected.clone(), &json!(PEERS[model.host])));
        for peer in &model.members {
            assert_eq!(party["peers"][PEERS[*peer]]["public_port"], json!(model.ports[peer]));
        }
        let mut addresses = BTreeSet::new();
        for member in world.play.details(PEERS[*reader])["members"].as_array().unwrap() {
            let online = world.clients.iter().any(|c| c.subscribed && json!(PEERS[c.peer]) == member["peer_id"]);
            assert_eq!(member["online"], json!(online), "{member}");
            assert!(addresses.insert(member["virtual_ip"].as_str().unwrap().to_owned()), "an address of two");
        }
    }
    for client in world.clients.iter().filter(|client| client.subscribed) {
        assert_eq!(client.copy.peers(), expected, "{} knows who is there", PEERS[client.peer]);
        let party = client.copy.party.as_ref().unwrap();
        assert_eq!(party["host_id"], json!(PEERS[model.host]));
        for peer in &model.members {
            assert_eq!(party["peers"][PEERS[*peer]]["public_port"], json!(model.ports[peer]), "and how to reach them");
        }
    }
    for (index, name) in PEERS.iter().enumerate() {
        let heard = world.play.memberships.get(*name).map(String::as_str);
        assert_eq!(heard == Some("joined"), model.has(index), "what the identities have heard of {name}");
    }
    assert_eq!(world.play.census.as_deref() == Some("begun"), model.exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_always_knows_who_is_there_with_and_without_hibernation(events in prop::collection::vec(event(), 1..80)) {
        let (mut awake, mut asleep) = (world(), world());
        asleep.play.stage.evict_always = true;
        let (mut model, mut twin) = (Model::default(), Model::default());
        for event in &events {
            for (world, model) in [(&mut awake, &mut model), (&mut asleep, &mut twin)] {
                let dump = world.play.stage.database.dump();
                if let Some((status, expected)) = act(world, model, event) {
                    prop_assert_eq!(status, expected, "{:?}", event);
                    // A wrong password leaves the try that it was.
                    if status >= 400 && !matches!(event, Event::JoinWith(..)) {
                        prop_assert_eq!(world.play.stage.database.dump(), dump, "a refusal changes nothing: {:?}", event);
                    }
                }
                check(world, model);
            }
            // Which of two silent members goes first may depend on a sign of life that hibernation forgot.
            if !matches!(event, Event::WaitLong) {
                prop_assert_eq!(awake.log.len(), asleep.log.len(), "after {:?}", event);
                for (awake, asleep) in awake.log.iter().zip(&asleep.log) {
                    prop_assert_eq!(awake, asleep, "after {:?}", event);
                }
            }
            awake.log.clear();
            asleep.log.clear();
        }
    }

    #[test]
    fn no_message_and_no_body_brings_the_party_down(texts in prop::collection::vec("\\PC{0,200}", 1..10)) {
        let mut play = play_with(&[]);
        play.create("ann");
        let conn = play.open("ann");
        for text in &texts {
            play.stage.say(conn, text);
            for operation in [Op::PartyCreate, Op::PartyJoin, Op::PartySettings, Op::PartyBan, Op::PartySignalSend, Op::PartyLatencies, Op::PartyUpdatePeer, Op::PartyInviteCreate] {
                let mut call = parties_play::of(operation, "ann", &["ann"], &NULL);
                call.body = text.as_bytes().to_vec();
                let reply = play.stage.call(&call);
                prop_assert!(reply.status == 422 || (text.is_empty() && reply.status == 200), "{operation:?} {}", reply.body);
            }
        }
        prop_assert_eq!(play.members("ann"), ["ann"]);
    }
}
