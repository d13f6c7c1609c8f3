//! The registry against a model that keeps everything in plain lists, with and without losing its memory all the time.
#![allow(clippy::too_many_lines, reason = "a table of steps and a table of frames")]
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod relay_play;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use relay_play::{Registry, join, registry};
use serde_json::{Value, json};
use waystation::kernel::object::Conn;

const DAILY: u64 = 200_000;
const HOURLY: u64 = 100_000;
const SOURCE: u64 = 160_000;
const PENDING: u64 = 60_000;
const CACHE: u64 = 120_000;
const PEER: u64 = 90_000;
const PATIENCE: u64 = 2_000;
const SETTINGS: [(&str, &str); 6] = [
    ("RENDEZVOUS_DAILY_TTL_MS", "200000"),
    ("RENDEZVOUS_HOURLY_TTL_MS", "100000"),
    ("CHUNK_SOURCE_TTL_MS", "160000"),
    ("CHUNK_PENDING_TTL_MS", "60000"),
    ("CHUNK_CACHE_TTL_MS", "120000"),
    ("RELAY_PEER_TTL_MS", "90000"),
];

/// What happens; the first number is a seat at the table of five, whose socket comes and goes.
#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    Register(usize),
    Load(usize, u32),
    Relays(usize),
    Rendezvous(usize, Vec<u8>, Vec<u8>, bool),
    Announce(usize, u8),
    Request(usize, u8, bool),
    Push(usize, u8),
    Own(usize),
    Subscribe(usize),
    Upstream(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let seat = || 0_usize..5;
    let chunk = || 0_u8..3;
    prop_oneof![
        4 => seat().prop_map(Step::Join),
        1 => seat().prop_map(Step::Leave),
        2 => seat().prop_map(Step::Register),
        1 => (seat(), 0_u32..20).prop_map(|(seat, load)| Step::Load(seat, load)),
        1 => seat().prop_map(Step::Relays),
        3 => (seat(), vec(0_u8..3, 0..3), vec(0_u8..3, 0..3), any::<bool>())
            .prop_map(|(seat, points, tokens, drops)| Step::Rendezvous(seat, points, tokens, drops)),
        4 => (seat(), chunk()).prop_map(|(seat, chunk)| Step::Announce(seat, chunk)),
        5 => (seat(), chunk(), any::<bool>()).prop_map(|(seat, chunk, young)| Step::Request(seat, chunk, young)),
        2 => (seat(), chunk()).prop_map(|(seat, chunk)| Step::Push(seat, chunk)),
        1 => seat().prop_map(Step::Own),
        1 => seat().prop_map(Step::Subscribe),
        2 => seat().prop_map(Step::Upstream),
        4 => prop_oneof![Just(1_u64), Just(1_000), Just(2_000), Just(30_000), Just(70_000)].prop_map(Step::Wait),
    ]
}

#[derive(Default, Clone)]
struct Want {
    waiting: BTreeMap<usize, (bool, u64)>,
    asked: Option<(usize, u64)>,
    tried: Vec<usize>,
}

/// Sockets are numbered in the order in which they came. Everything else is a list.
#[derive(Default)]
struct Model {
    now: u64,
    seats: BTreeMap<usize, usize>,
    sockets: usize,
    named: BTreeMap<usize, String>,
    relays: BTreeMap<usize, (u32, u64)>,
    points: Vec<(u8, String, String, u64, usize)>,
    tokens: Vec<(u8, String, u64, usize)>,
    sources: Vec<(u8, usize, u64)>,
    wants: BTreeMap<u8, Want>,
    cache: BTreeMap<u8, (String, u64)>,
    owner: Option<usize>,
    subscribers: Vec<usize>,
    queue: Vec<(String, u64)>,
    pushes: u64,
    out: Vec<(usize, Value)>,
    closed: Vec<usize>,
}

fn name(seat: usize) -> String {
    format!("peer-{seat}")
}

impl Model {
    fn tell(&mut self, socket: usize, value: Value) {
        self.out.push((socket, value));
    }

    fn relay_list(&self, but: usize) -> Value {
        let room = self.relays.iter().filter(|(socket, (load, _))| **socket != but && *load < 10);
        let item = |(socket, (load, _)): (&usize, &(u32, u64))| {
            let capacity = f64::from(*load) / 20.0;
            json!({"peerId": self.named[socket], "publicKey": null, "capacity": capacity})
        };
        sorted(room.map(item).collect())
    }

    fn seen(&mut self, socket: usize) {
        if let Some(relay) = self.relays.get_mut(&socket) {
            relay.1 = self.now;
        }
    }

    fn lapse(&mut self, chunk: u8) {
        let now = self.now;
        if let Some(want) = self.wants.get_mut(&chunk) {
            want.waiting.retain(|_, (_, end)| *end > now);
            if want.waiting.is_empty() {
                self.wants.remove(&chunk);
            }
        }
    }

    fn next(&self, chunk: u8, asker: Option<usize>) -> Option<usize> {
        let want = self.wants.get(&chunk).cloned().unwrap_or_default();
        let untried: Vec<usize> = self
            .sources
            .iter()
            .filter(|(id, socket, end)| *id == chunk && *end > self.now && !want.tried.contains(socket))
            .map(|(_, socket, _)| *socket)
            .collect();
        let idle = untried.iter().find(|socket| !want.waiting.contains_key(socket) && asker != Some(**socket));
        idle.or(untried.first()).copied()
    }

    fn pull(&mut self, chunk: u8, source: usize) {
        let now = self.now;
        let want = self.wants.get_mut(&chunk).unwrap();
        want.asked = Some((source, now));
        let mut pull = json!({"type":"chunk_pull","chunkId":format!("c{chunk}")});
        if want.waiting.values().any(|(young, _)| *young) {
            pull["channelId"] = json!("ch");
        }
        self.tell(source, pull);
    }

    fn give_up(&mut self, chunk: u8) {
        let Some(want) = self.wants.get_mut(&chunk) else { return };
        let Some((source, _)) = want.asked.take() else { return };
        want.tried.push(source);
        self.lapse(chunk);
        if !self.wants.contains_key(&chunk) {
            return;
        }
        if let Some(source) = self.next(chunk, None) {
            return self.pull(chunk, source);
        }
        for (socket, (young, _)) in self.wants[&chunk].waiting.clone() {
            self.tell(socket, if young { no_source(chunk) } else { not_found(chunk) });
        }
        self.wants.get_mut(&chunk).unwrap().waiting.retain(|_, (young, _)| !*young);
        self.lapse(chunk);
    }

    fn leave(&mut self, socket: usize) {
        self.seats.retain(|_, known| *known != socket);
        self.named.remove(&socket);
        self.relays.remove(&socket);
        self.tokens.retain(|token| token.3 != socket);
        self.points.retain(|point| point.4 != socket || !point.2.is_empty());
        self.sources.retain(|source| source.1 != socket);
        if self.owner == Some(socket) {
            self.owner = None;
        }
        self.subscribers.retain(|known| *known != socket);
        for chunk in 0..3 {
            if let Some(want) = self.wants.get_mut(&chunk) {
                want.waiting.remove(&socket);
            }
            self.lapse(chunk);
        }
        for chunk in 0..3 {
            if self.wants.get(&chunk).is_some_and(|want| want.asked.is_some_and(|asked| asked.0 == socket)) {
                self.give_up(chunk);
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            let pulls = self.wants.values().filter_map(|want| want.asked.map(|(_, at)| at + PATIENCE));
            let silence = self.relays.values().map(|(_, seen)| seen + PEER);
            let Some(due) = pulls.chain(silence).min().filter(|due| *due <= end) else { break };
            self.now = due;
            let mut late: Vec<(u64, u8)> = self
                .wants
                .iter()
                .filter_map(|(chunk, want)| want.asked.map(|(_, at)| (at, *chunk)))
                .filter(|(at, _)| at + PATIENCE <= due)
                .collect();
            late.sort_unstable();
            late.into_iter().for_each(|(_, chunk)| self.give_up(chunk));
            let mut silent: Vec<(u64, usize)> =
                self.relays.iter().filter(|(_, (_, seen))| seen + PEER <= due).map(|(s, (_, at))| (*at, *s)).collect();
            silent.sort_unstable();
            for (_, socket) in silent {
                self.leave(socket);
                self.closed.push(socket);
            }
        }
        self.now = end;
    }

    fn rendezvous(&mut self, socket: usize, seat: usize, points: &[u8], tokens: &[u8], drop: &str) {
        let (now, me) = (self.now, name(seat));
        self.named.insert(socket, me.clone());
        // Within a point or token, who left something comes in the order of names.
        self.points.sort_by(|one, other| one.1.cmp(&other.1));
        self.tokens.sort_by(|one, other| one.1.cmp(&other.1));
        let mut found = Vec::new();
        for point in points {
            let others = self
                .points
                .iter()
                .filter(|(p, who, drop, end, _)| p == point && *who != me && !drop.is_empty() && *end > now);
            found.extend(others.map(|(_, who, drop, _, _)| json!({"peerId":who,"deadDrop":drop})));
        }
        let mut matches: Vec<(usize, String)> = Vec::new();
        for token in tokens {
            for (t, who, end, of) in &self.tokens {
                let is_new = !matches.iter().any(|(_, known)| known == who);
                if t == token && *who != me && *end > now && is_new {
                    matches.push((*of, who.clone()));
                }
            }
        }
        let live: Vec<Value> = matches.iter().map(|(_, who)| json!({"peerId":who})).collect();
        self.tell(socket, json!({"type":"rendezvous_result","liveMatches":live,"deadDrops":found}));
        for (of, _) in matches {
            self.tell(of, json!({"type":"rendezvous_match","match":{"peerId":me}}));
        }
        for point in points {
            self.points.retain(|(p, who, ..)| p != point || *who != me);
            self.points.push((*point, me.clone(), drop.to_owned(), now + DAILY, socket));
        }
        for token in tokens {
            self.tokens.retain(|(t, who, ..)| t != token || *who != me);
            self.tokens.push((*token, me.clone(), now + HOURLY, socket));
        }
        self.seen(socket);
    }

    fn announce(&mut self, socket: usize, seat: usize, chunk: u8) {
        self.named.insert(socket, name(seat));
        self.tell(socket, json!({"type":"chunk_announce_ack","registered":1}));
        let end = self.now + SOURCE;
        let fresh = |source: &(u8, usize, u64)| source.2 > end - SOURCE / 8;
        if !self.sources.iter().any(|source| source.0 == chunk && source.1 == socket && fresh(source)) {
            self.sources.retain(|source| source.0 != chunk || source.1 != socket);
            self.sources.push((chunk, socket, end));
        }
        self.lapse(chunk);
        if let Some(want) = self.wants.get_mut(&chunk) {
            want.tried.retain(|tried| *tried != socket);
            if want.asked.is_none() {
                self.pull(chunk, socket);
            }
        }
        self.seen(socket);
    }

    fn request(&mut self, socket: usize, seat: usize, (chunk, young): (u8, bool)) {
        self.named.insert(socket, name(seat));
        self.seen(socket);
        let now = self.now;
        if let Some((body, _)) = self.cache.get(&chunk).filter(|(_, end)| *end > now) {
            let mut answer = json!({"type":"chunk_data","chunkId":format!("c{chunk}"),"data":body,"source":"cache"});
            if young {
                answer["channelId"] = json!("ch");
            }
            return self.tell(socket, answer);
        }
        self.lapse(chunk);
        let asked = self.wants.get(&chunk).is_some_and(|want| want.asked.is_some());
        let mut source = if asked { None } else { self.next(chunk, Some(socket)) };
        if !asked && source.is_none() {
            let alive: Vec<usize> = self.sources.iter().filter(|s| s.0 == chunk && s.2 > now).map(|s| s.1).collect();
            if let Some(want) = self.wants.get_mut(&chunk) {
                want.tried.retain(|tried| !alive.contains(tried));
            }
            source = self.next(chunk, Some(socket));
        }
        if !asked && source.is_none() && young {
            return self.tell(socket, no_source(chunk));
        }
        self.wants.entry(chunk).or_default().waiting.insert(socket, (young, now + PENDING));
        if young {
            self.tell(socket, json!({"type":"chunk_pulling","chunkId":format!("c{chunk}")}));
        } else if !asked && source.is_none() {
            self.tell(socket, not_found(chunk));
        }
        if let Some(source) = source {
            self.pull(chunk, source);
        }
    }

    fn push(&mut self, socket: usize, chunk: u8, body: &str) {
        self.tell(socket, json!({"type":"chunk_push_ack","chunkId":format!("c{chunk}")}));
        self.lapse(chunk);
        for (waiting, (young, _)) in self.wants.remove(&chunk).unwrap_or_default().waiting {
            let mut answer = json!({"type":"chunk_data","chunkId":format!("c{chunk}"),"data":body,"source":"relay"});
            if young {
                answer["channelId"] = json!("ch");
            }
            self.tell(waiting, answer);
        }
        self.cache.insert(chunk, (body.to_owned(), self.now + CACHE));
        self.seen(socket);
    }

    fn channel(&mut self, socket: usize, step: &Step) {
        match step {
            Step::Own(_) if self.owner.is_some_and(|owner| owner != socket) => {
                return self.tell(socket, relay_play::error("Channel already has an active owner"));
            }
            Step::Own(_) => {
                self.owner = Some(socket);
                self.tell(socket, json!({"type":"channel-owner-registered","channelId":"ch"}));
                for (frame, end) in std::mem::take(&mut self.queue) {
                    if end > self.now {
                        self.tell(socket, serde_json::from_str(&frame).unwrap());
                    }
                }
            }
            Step::Subscribe(_) => {
                if !self.subscribers.contains(&socket) {
                    self.subscribers.push(socket);
                }
                self.tell(socket, json!({"type":"channel-subscribed","channelId":"ch"}));
            }
            _ if !self.subscribers.contains(&socket) => {
                return self.tell(socket, relay_play::error("Not subscribed to this channel"));
            }
            _ => {
                let frame = upstream(self.pushes);
                match self.owner {
                    Some(owner) => self.tell(owner, frame.clone()),
                    None => self.queue.push((frame.to_string(), self.now + 300_000)),
                }
                self.tell(socket, json!({"type":"upstream-ack","channelId":"ch","messageId":self.pushes}));
            }
        }
        self.seen(socket);
    }

    /// Lets a step happen; the frame that makes it happen to the registry, where there is one.
    fn step(&mut self, step: &Step) -> Option<(usize, Value)> {
        let seat = *match step {
            Step::Wait(ms) => {
                self.wait(*ms);
                return None;
            }
            Step::Join(seat) => {
                if !self.seats.contains_key(seat) {
                    self.sockets += 1;
                    self.seats.insert(*seat, self.sockets);
                }
                return None;
            }
            Step::Leave(seat) => {
                if let Some(socket) = self.seats.get(seat).copied() {
                    self.leave(socket);
                }
                return None;
            }
            Step::Register(seat)
            | Step::Load(seat, _)
            | Step::Relays(seat)
            | Step::Rendezvous(seat, ..)
            | Step::Announce(seat, _)
            | Step::Request(seat, ..)
            | Step::Push(seat, _)
            | Step::Own(seat)
            | Step::Subscribe(seat)
            | Step::Upstream(seat) => seat,
        };
        let socket = *self.seats.get(&seat)?;
        self.pushes += 1;
        let (id, chunk_id) = (name(seat), |chunk: u8| format!("c{chunk}"));
        let frame = match step {
            Step::Register(_) => {
                self.named.insert(socket, id.clone());
                let load = self.relays.get(&socket).map_or(0, |relay| relay.0);
                self.relays.insert(socket, (load, self.now));
                let relays = self.relay_list(socket);
                self.tell(socket, json!({"type":"registered","peerId":id,"relays":relays}));
                json!({"type":"register","peerId":id})
            }
            Step::Load(_, load) => {
                if let Some(relay) = self.relays.get_mut(&socket) {
                    relay.0 = *load;
                }
                self.tell(socket, json!({"type":"load_updated","peerId":id,"connectedCount":load}));
                self.seen(socket);
                json!({"type":"update_load","peerId":id,"connectedCount":load})
            }
            Step::Relays(_) => {
                let relays = self.relay_list(socket);
                self.tell(socket, json!({"type":"relays","relays":relays}));
                self.seen(socket);
                json!({"type":"get_relays"})
            }
            Step::Rendezvous(_, points, tokens, drops) => {
                let drop = if *drops { format!("from {id}") } else { String::new() };
                self.rendezvous(socket, seat, points, tokens, &drop);
                let text = |list: &[u8]| list.iter().map(|entry| format!("x{entry}")).collect::<Vec<_>>();
                json!({"type":"register_rendezvous","peerId":id,"dailyPoints":text(points),
                    "hourlyTokens":text(tokens),"deadDrop":drop})
            }
            Step::Announce(_, chunk) => {
                self.announce(socket, seat, *chunk);
                let chunks = json!([{"chunkId":chunk_id(*chunk),"routingHash":"h"}]);
                json!({"type":"chunk_announce","peerId":id,"chunks":chunks})
            }
            Step::Request(_, chunk, young) => {
                self.request(socket, seat, (*chunk, *young));
                let mut frame = json!({"type":"chunk_request","peerId":id,"chunkId":chunk_id(*chunk)});
                if *young {
                    frame["channelId"] = json!("ch");
                }
                frame
            }
            Step::Push(_, chunk) => {
                let body = format!("body {}", self.pushes);
                self.push(socket, *chunk, &body);
                json!({"type":"chunk_push","chunkId":chunk_id(*chunk),"data":body})
            }
            Step::Own(_) => {
                self.channel(socket, step);
                json!({"type":"channel-owner-register","channelId":"ch"})
            }
            Step::Subscribe(_) => {
                self.channel(socket, step);
                json!({"type":"channel-subscribe","channelId":"ch"})
            }
            _ => {
                let frame = upstream(self.pushes);
                self.channel(socket, step);
                frame
            }
        };
        Some((socket, frame))
    }
}

fn upstream(id: u64) -> Value {
    json!({"type":"upstream-message","channelId":"ch","message":{"id":id}})
}

fn not_found(chunk: u8) -> Value {
    let message = "No online sources available. You will be notified when available.";
    json!({"type":"chunk_not_found","chunkId":format!("c{chunk}"),"message":message})
}

fn no_source(chunk: u8) -> Value {
    json!({"type":"chunk_error","chunkId":format!("c{chunk}"),"error":"No source available for chunk"})
}

fn sorted(mut relays: Vec<Value>) -> Value {
    relays.sort_by_key(|relay| relay["peerId"].as_str().unwrap().to_owned());
    for relay in &mut relays {
        // `0` and `0.0` are one number.
        relay["capacity"] = json!(relay["capacity"].as_f64().unwrap());
    }
    Value::from(relays)
}

fn play(stage: &mut Registry, model: &Model, step: &Step, said: Option<&(usize, Value)>) {
    match (step, said) {
        (Step::Wait(ms), _) => stage.wait(*ms),
        (Step::Join(_), _) => {
            while stage.peers.len() < model.sockets {
                let conn = join(stage);
                assert!(conn.0 as usize <= model.sockets);
            }
        }
        (Step::Leave(_), _) => {}
        (_, Some((socket, frame))) => stage.say(Conn(u32::try_from(*socket).unwrap()), &frame.to_string()),
        (_, None) => {}
    }
}

#[derive(PartialEq, Eq)]
enum Memory {
    Kept,
    Lost,
}

/// Plays the steps and compares, after each, what every socket heard.
fn compare(steps: &[Step], memory: Memory) {
    let mut stage = registry(&SETTINGS);
    stage.evict_always = memory == Memory::Lost;
    let mut model = Model { now: stage.now.as_millis(), ..Model::default() };
    let mut left = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let leaver = match step {
            Step::Leave(seat) => model.seats.get(seat).copied(),
            _ => None,
        };
        let said = model.step(step);
        if let Some(socket) = leaver {
            // `Stage::leave` forgets the peer; an empty one in its place keeps the numbers.
            let conn = Conn(u32::try_from(socket).unwrap());
            stage.leave(conn);
            stage.peers.insert(conn, relay_play::support::Peer::default());
            left.push(socket);
        } else {
            play(&mut stage, &model, step, said.as_ref());
        }
        let mut expected: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for (socket, value) in std::mem::take(&mut model.out) {
            expected.entry(socket).or_default().push(value);
        }
        for socket in 1..=model.sockets {
            let conn = Conn(u32::try_from(socket).unwrap());
            let mut heard = stage.inbox(conn);
            for frame in heard.iter_mut().filter(|frame| frame.get("relays").is_some()) {
                let relays = frame["relays"].as_array().unwrap().clone();
                frame["relays"] = sorted(relays);
            }
            let wanted = expected.remove(&socket).unwrap_or_default();
            let text = |values: &[Value]| {
                let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            assert_eq!(text(&heard), text(&wanted), "socket {socket} after step {index}, {step:?}");
            let is_closed = model.closed.contains(&socket);
            assert_eq!(stage.closed(conn).is_some(), is_closed && !left.contains(&socket), "socket {socket}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_says_what_the_model_says(steps in vec(step(), 1..90)) {
        compare(&steps, Memory::Kept);
    }

    #[test]
    fn losing_its_memory_after_every_event_changes_nothing(steps in vec(step(), 1..60)) {
        compare(&steps, Memory::Lost);
    }

    #[test]
    fn no_frame_makes_the_registry_fall(frames in vec(frame(), 1..12)) {
        let mut stage = registry(&[]);
        let conn = join(&mut stage);
        for frame in frames {
            stage.say(conn, &frame);
            stage.inbox(conn);
        }
        prop_assert_eq!(relay_play::ask_one(&mut stage, conn, &json!({"type":"ping"})), json!({"type":"pong"}));
    }
}

/// Something like a message, with members of the wrong kind.
fn frame() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec![
        "register",
        "update_load",
        "get_relays",
        "heartbeat",
        "register_rendezvous",
        "chunk_announce",
        "chunk_request",
        "chunk_request_meta",
        "chunk_push",
        "channel-owner-register",
        "channel-subscribe",
        "upstream-message",
        "stream-start",
        "stream-frame",
        "stream-end",
    ]);
    let members = prop::sample::select(vec![
        "peerId",
        "maxConnections",
        "publicKey",
        "connectedCount",
        "count",
        "prefer",
        "relayId",
        "dailyPoints",
        "hourly_tokens",
        "deadDrop",
        "dead_drops",
        "channelId",
        "chunks",
        "chunkId",
        "data",
        "routingHash",
        "sequence",
        "chunkIndex",
        "message",
        "streamId",
    ]);
    let value = prop::sample::select(vec![
        "null",
        "0",
        "-1",
        "1e400",
        "1.5",
        "true",
        "\"\"",
        "\"p\"",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[]",
        "[\"a\"]",
        "[1]",
        "{}",
        "{\"a\":\"b\"}",
        "[{\"chunkId\":\"c\",\"routingHash\":\"h\"}]",
        "9007199254740993",
        "\"ch\"",
        "\"c\"",
    ]);
    (kinds, vec((members, value), 0..8), any::<prop::sample::Index>()).prop_map(|(kind, members, cut)| {
        let mut text = format!("{{\"type\":\"{kind}\"");
        for (name, value) in members {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text.push('}');
        let at = cut.index(text.len() * 4);
        if text.is_char_boundary(at.min(text.len())) {
            text.truncate(at.min(text.len()))
        }
        text
    })
}
