//! What the party tests share: a party on its stage, the other objects played beside it, and clients that read frames as
//! the field's class does.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Answer, Call, Conn, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::{Media, Reply};
use waystation::parties::object::party::{MIGRATIONS, PartyRoom};
use waystation::parties::wire::service::{Deliver, Delivered, Forward, ForwardWish, Forwarded};

use crate::support::{Stage, call, settings};

pub const PARTY: &str = "0123456789ab";

/// A gateway's socket.
pub type Far = (String, u32);

/// A client's copy of the party, kept as the field's WebSocket class keeps it: unknown or malformed frames are dropped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Copy {
    pub party: Option<Value>,
    pub signals: Vec<Value>,
    pub errors: Vec<String>,
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
}

const PARTY_KEYS: [&str; 5] = ["created_at", "host_id", "name", "party_id", "peers"];
const PEER_KEYS: [&str; 9] =
    ["last_seen", "local_ip", "local_port", "name", "nat_type", "peer_id", "public_ip", "public_key", "public_port"];

pub fn assert_party(party: &Value) {
    assert_eq!(keys(party), PARTY_KEYS, "{party}");
    party["peers"].as_object().expect("peers").values().for_each(assert_peer);
}

pub fn assert_peer(peer: &Value) {
    assert_eq!(keys(peer), PEER_KEYS, "{peer}");
}

impl Copy {
    pub fn apply(&mut self, frame: &Value) {
        match frame["type"].as_str().expect("type") {
            "party_update" => {
                assert_party(&frame["party"]);
                self.party = Some(frame["party"].clone());
            }
            "peer_joined" => {
                assert_peer(&frame["peer"]);
                if let Some(party) = &mut self.party {
                    let peer_id = frame["peer"]["peer_id"].as_str().expect("peer_id");
                    party["peers"][peer_id] = frame["peer"].clone();
                }
            }
            "peer_left" => {
                if let Some(party) = &mut self.party {
                    party["peers"].as_object_mut().unwrap().remove(frame["peer_id"].as_str().expect("peer_id"));
                }
            }
            "signal" => {
                let knows = |name: &str| {
                    let peer_id = frame[name].as_str().expect("peer");
                    self.party.as_ref().is_some_and(|party| party["peers"].get(peer_id).is_some())
                };
                if knows("from_peer_id") && knows("to_peer_id") {
                    self.signals.push(frame.clone());
                }
            }
            "error" => self.errors.push(frame["message"].as_str().expect("message").to_owned()),
            other => panic!("unknown frame {other}"),
        }
    }

    pub fn peers(&self) -> Vec<String> {
        let peers = self.party.as_ref().map(|party| party["peers"].as_object().unwrap().keys().cloned().collect());
        peers.unwrap_or_default()
    }
}

pub struct Play {
    pub stage: Stage<PartyRoom>,
    /// Tokens that the identities know.
    pub tokens: BTreeMap<String, String>,
    /// What the identities have heard last about each peer.
    pub memberships: BTreeMap<String, String>,
    /// What the directory has heard last.
    pub census: Option<String>,
    /// What the directory lists.
    pub relays: Option<Value>,
    /// Classes that do not answer.
    pub down: BTreeSet<&'static str>,
    /// Open sockets of gateways, and what they were sent.
    pub far: BTreeMap<Far, Vec<Value>>,
    pub delivered: usize,
}

pub fn play() -> Play {
    play_with(&[])
}

pub fn play_with(pairs: &[(&str, &str)]) -> Play {
    let key = "07".repeat(32);
    let mut all = vec![("PARTY_TOKEN_KEY", key.as_str())];
    all.extend_from_slice(pairs);
    Play {
        stage: Stage::new(settings(&all), MIGRATIONS, PartyRoom::load),
        tokens: BTreeMap::new(),
        memberships: BTreeMap::new(),
        census: None,
        relays: Some(json!({ "relays": [] })),
        down: BTreeSet::new(),
        far: BTreeMap::new(),
        delivered: 0,
    }
}

/// The nine members of a peer whose clock is as far ahead of the stage's as said.
pub fn introduction(peer_id: &str, now_ms: u64, ahead_minutes: i64) -> Value {
    let ms = i64::try_from(now_ms).unwrap() + ahead_minutes * 60_000;
    let stamp = waystation::kernel::time::Timestamp::from_millis(u64::try_from(ms).unwrap()).to_iso();
    let naive = format!("{}107", stamp.trim_end_matches('Z'));
    json!({
        "peer_id": peer_id, "name": format!("Name of {peer_id}"), "public_key": format!("key-{peer_id}"),
        "nat_type": "full_cone", "public_ip": "198.51.100.7", "public_port": 4000, "local_ip": "192.168.1.7",
        "local_port": 51820, "last_seen": naive,
    })
}

pub fn of(operation: Operation, peer_id: &str, params: &[&str], body: &Value) -> Call {
    let mut call = call(operation);
    call.principal = Principal::Peer;
    call.caller = Some(peer_id.to_owned());
    call.params = std::iter::once(PARTY).chain(params.iter().copied()).map(str::to_owned).collect();
    call.body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    call
}

pub fn json_of(reply: &Reply) -> Value {
    assert_eq!(reply.media, Media::Json);
    let body: Value = serde_json::from_str(&reply.body).expect("json");
    assert!(body.is_object(), "an object on every status: {body}");
    body
}

impl Play {
    pub fn now_ms(&self) -> u64 {
        self.stage.now.as_millis()
    }

    pub fn me(&self, peer_id: &str) -> Value {
        introduction(peer_id, self.now_ms(), 0)
    }

    /// A call and everything that it sets off.
    pub fn ask(&mut self, operation: Operation, peer_id: &str, params: &[&str], body: &Value) -> (u16, Value) {
        let reply = self.stage.call(&of(operation, peer_id, params, body));
        self.settle();
        (reply.status, json_of(&reply))
    }

    pub fn create(&mut self, host: &str) -> (u16, Value) {
        let body = json!({ "name": "Game", "host_peer_info": self.me(host) });
        self.ask(Operation::PartyCreate, host, &[], &body)
    }

    pub fn join(&mut self, peer_id: &str) -> (u16, Value) {
        let body = json!({ "party_id": PARTY, "peer_info": self.me(peer_id) });
        self.ask(Operation::PartyJoin, peer_id, &[], &body)
    }

    pub fn join_with(&mut self, peer_id: &str, name: &str, secret: &str) -> (u16, Value) {
        let body = json!({ "party_id": PARTY, "peer_info": self.me(peer_id), name: secret });
        self.ask(Operation::PartyJoin, peer_id, &[], &body)
    }

    pub fn leave(&mut self, caller: &str, peer_id: &str) -> (u16, Value) {
        self.ask(Operation::PartyLeave, caller, &[peer_id], &Value::Null)
    }

    pub fn heartbeat(&mut self, peer_id: &str) -> (u16, Value) {
        self.ask(Operation::PartyHeartbeat, peer_id, &[peer_id], &Value::Null)
    }

    /// Who is in the party, as a member reads it; nobody if it is gone.
    pub fn members(&mut self, reader: &str) -> Vec<String> {
        let (status, body) = self.ask(Operation::PartyPeers, reader, &[], &Value::Null);
        if status == 404 {
            return Vec::new();
        }
        body["peers"].as_object().unwrap_or_else(|| panic!("{body}")).keys().cloned().collect()
    }

    pub fn details(&mut self, reader: &str) -> Value {
        self.ask(Operation::PartyDetails, reader, &[], &Value::Null).1
    }

    pub fn detail_of(&mut self, reader: &str, peer_id: &str) -> Value {
        let details = self.details(reader);
        details["members"].as_array().unwrap().iter().find(|member| member["peer_id"] == peer_id).unwrap().clone()
    }

    /// A socket of the party's own whose peer the front has admitted.
    pub fn open(&mut self, peer_id: &str) -> Conn {
        let conn = self.stage.open(&of(Operation::PartySocket, peer_id, &[], &Value::Null));
        self.settle();
        conn
    }

    /// A socket of the party's own that has not said whose it is.
    pub fn knock(&mut self) -> Conn {
        let mut knock = of(Operation::PartySocket, "", &[], &Value::Null);
        (knock.caller, knock.principal) = (None, Principal::Anonymous);
        self.stage.open(&knock)
    }

    pub fn say(&mut self, conn: Conn, frame: &Value) {
        self.stage.say(conn, &frame.to_string());
        self.settle();
    }

    pub fn join_frame(&self, peer_id: &str) -> Value {
        json!({ "type": "join_party", "party_id": PARTY, "peer": self.me(peer_id) })
    }

    pub fn register_frame(&self, peer_id: &str) -> Value {
        json!({ "type": "register_party", "party_id": PARTY, "name": "Game", "host_peer": self.me(peer_id) })
    }

    /// A gateway forwards what one of its sockets wants.
    pub fn forward(&mut self, far: &Far, peer_id: &str, wish: ForwardWish) -> Forwarded {
        let gone = wish == ForwardWish::Gone;
        let forward = Forward { gateway: far.0.clone(), conn: far.1, wish };
        let mut call = of(Operation::PartyForward, peer_id, &[], &serde_json::to_value(forward).unwrap());
        call.principal = Principal::Service;
        let reply = self.stage.call(&call);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let forwarded: Forwarded = serde_json::from_str(&reply.body).unwrap();
        if gone {
            self.far.remove(far);
        } else {
            let inbox = self.far.entry(far.clone()).or_default();
            inbox.extend(forwarded.frames.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()));
        }
        self.settle();
        forwarded
    }

    pub fn far_say(&mut self, far: &Far, peer_id: &str, frame: &Value) -> Forwarded {
        self.forward(far, peer_id, ForwardWish::Frame(frame.to_string()))
    }

    pub fn far_inbox(&mut self, far: &Far) -> Vec<Value> {
        self.far.get_mut(far).map(std::mem::take).unwrap_or_default()
    }

    pub fn inbox(&mut self, conn: Conn) -> Vec<Value> {
        self.stage.inbox(conn)
    }

    pub fn types(&mut self, conn: Conn) -> Vec<String> {
        self.inbox(conn).iter().map(|frame| frame["type"].as_str().unwrap().to_owned()).collect()
    }

    /// A token that the identities know.
    pub fn token(&mut self, peer_id: &str) -> String {
        let mut bytes = [9_u8; 32];
        bytes[0] = 3;
        bytes[1] = u8::try_from(self.tokens.len()).unwrap();
        let token = URL_SAFE_NO_PAD.encode(bytes);
        self.tokens.insert(token.clone(), peer_id.to_owned());
        token
    }

    /// Runs all errands, and those that follow from them.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let errands = self.stage.take_errands();
            if errands.is_empty() {
                return;
            }
            for (ticket, errand) in errands {
                self.run(ticket, errand);
            }
        }
        panic!("errands without end");
    }

    pub fn run(&mut self, ticket: Ticket, errand: Errand) {
        let Errand::Call { class, name, call } = errand else { panic!("{errand:?}") };
        assert_eq!(call.principal, Principal::Service);
        if self.down.contains(class.name()) {
            self.stage.tell(ticket, Outcome::Failed(Failure::Unreachable));
            return;
        }
        let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
        let reply = match call.operation {
            Operation::PartyAdmit => self.admit(&body),
            Operation::PartyMembership => {
                assert_eq!(class, Class::PartyIdentities);
                assert_eq!(body["party_id"], PARTY);
                let peer_id = body["peer_id"].as_str().unwrap().to_owned();
                assert_eq!(name, waystation::parties::token::shard_of_peer(&peer_id));
                self.memberships.insert(peer_id, body["state"].as_str().unwrap().to_owned());
                Reply::json_text(String::from("{}"))
            }
            Operation::PartyCensus => {
                assert_eq!((class, name.as_str(), &body["party_id"]), (Class::PartyDirectory, "global", &json!(PARTY)));
                self.census = Some(body["state"].as_str().unwrap().to_owned());
                Reply::json_text(String::from("{}"))
            }
            Operation::PartyDeliver => self.deliver(&name, serde_json::from_value(body).unwrap()),
            Operation::PartyRelayList => {
                assert_eq!((class, &*name, &*call.query), (Class::PartyDirectory, "global", "full=true"));
                match &self.relays {
                    Some(relays) => Reply::json_text(relays.to_string()),
                    None => Reply { status: 500, ..Reply::json_text(String::from("{}")) },
                }
            }
            other => panic!("{other:?}"),
        };
        self.stage.tell(ticket, Outcome::Replied(reply));
    }

    fn admit(&self, body: &Value) -> Reply {
        match self.tokens.get(body["token"].as_str().unwrap()) {
            Some(peer_id) => Reply::json_text(json!({ "peer_id": peer_id }).to_string()),
            None => Reply { status: 401, ..Reply::json_text(json!({ "detail": "Token expired" }).to_string()) },
        }
    }

    fn deliver(&mut self, gateway: &str, deliver: Deliver) -> Reply {
        assert_eq!(deliver.party_id, PARTY);
        self.delivered += 1;
        let mut gone = BTreeSet::new();
        for parcel in deliver.parcels {
            for conn in parcel.conns {
                match self.far.get_mut(&(gateway.to_owned(), conn)) {
                    Some(inbox) => inbox.push(serde_json::from_str(&parcel.text).unwrap()),
                    None => drop(gone.insert(conn)),
                }
            }
        }
        Reply::json(&Delivered { gone: gone.into_iter().collect() }).unwrap()
    }

    /// Lets time pass; alarms ring and errands run in between.
    pub fn wait(&mut self, ms: u64) {
        use waystation::kernel::object::Object as _;
        let end = self.stage.now.plus(ms);
        while let Some(deadline) = self.stage.object.deadline().filter(|deadline| *deadline <= end) {
            let before = (self.stage.now, self.stage.object.deadline());
            self.stage.now = self.stage.now.max(deadline);
            self.stage.ring();
            self.settle();
            let after = (self.stage.now, self.stage.object.deadline());
            assert_ne!(before, after, "an alarm that changes nothing rings for ever");
        }
        self.stage.now = end;
    }

    /// A call that is answered later.
    pub fn ask_later(&mut self, call: &Call) -> Reply {
        match self.stage.begin(call) {
            Answer::Now(reply) => reply,
            Answer::Later(ticket) => {
                self.settle();
                self.stage.answer(ticket).expect("an answer")
            }
        }
    }

    pub fn from_network(call: Call, address: &str) -> Call {
        Call { client: ClientNetwork::from_header(Some(address)), ..call }
    }
}
