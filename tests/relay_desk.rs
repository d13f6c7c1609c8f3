//! The desk inside another object: who is who when sockets also hold pairing codes, and what the host must do.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod relay_play;

use std::collections::BTreeMap;
use std::rc::Rc;

use relay_play::support::{Database, settings};
use serde_json::{Value, json};
use waystation::kernel::entropy::SeededEntropy;
use waystation::kernel::migration::migrate;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Action, Conn, Turn};
use waystation::kernel::settings::Settings;
use waystation::kernel::sql::Sql;
use waystation::kernel::time::Timestamp;
use waystation::relay::message::Dialect;
use waystation::relay::seats::Speaker;
use waystation::relay::{MIGRATIONS, RelayDesk, Work, handles};

/// The least that a host is: sockets with codes, and the parts kept with them.
struct Host {
    settings: Rc<Settings>,
    database: Database,
    desk: RelayDesk,
    entropy: SeededEntropy,
    now: Timestamp,
    codes: BTreeMap<Conn, &'static str>,
    parts: BTreeMap<Conn, String>,
    heard: BTreeMap<Conn, Vec<Value>>,
    silent: Vec<Conn>,
}

impl Host {
    fn new() -> Self {
        let (database, now) = (Database::new(), Timestamp::from_millis(1_800_000_000_000));
        migrate(&database, MIGRATIONS, now).unwrap();
        let settings = settings(&[]);
        let desk = RelayDesk::load(&settings, &database, now, Vec::new()).unwrap();
        let entropy = SeededEntropy::new(2);
        let (codes, parts, heard) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { settings, database, desk, entropy, now, codes, parts, heard, silent: Vec::new() }
    }

    fn perform(&mut self, work: Work) {
        self.database.commit(work.statements).unwrap();
        for action in work.actions {
            let (conns, text) = match action {
                Action::Send { conn, text } => (vec![conn], text),
                Action::SendMany { conns, text } => (conns, text),
                other => panic!("a desk neither attaches nor closes: {other:?}"),
            };
            for conn in conns {
                self.heard.entry(conn).or_default().push(serde_json::from_str(&text).unwrap());
            }
        }
        for conn in work.changed {
            self.parts.insert(conn, self.desk.part(conn));
        }
        self.silent.extend(work.silent);
        let parts = self.parts.clone();
        self.desk = RelayDesk::load(&self.settings, &self.database, self.now, parts).unwrap();
    }

    fn say(&mut self, conn: u32, message: &Value) -> Vec<Value> {
        let (conn, network) = (Conn(conn), ClientNetwork::unknown());
        let code = self.codes.get(&conn).copied();
        let speaker = Speaker { conn, code, network: &network, dialect: Dialect::Lobby, barred: &[] };
        let mut actions = Vec::new();
        let mut turn = Turn { now: self.now, entropy: &mut self.entropy, sql: &self.database, actions: &mut actions };
        let work = self.desk.message(&mut turn, &speaker, &message.to_string()).unwrap();
        assert_eq!(actions, [], "everything comes back as work");
        self.perform(work);
        self.heard.remove(&conn).unwrap_or_default()
    }

    fn ring(&mut self) {
        let mut actions = Vec::new();
        let mut turn = Turn { now: self.now, entropy: &mut self.entropy, sql: &self.database, actions: &mut actions };
        let work = self.desk.alarm(&mut turn).unwrap();
        self.perform(work);
        self.desk.swept(&self.database).unwrap();
    }
}

fn mismatch() -> Value {
    relay_play::error("peerId mismatch with registered identity")
}

#[test]
fn a_pairing_code_is_an_identity_for_rendezvous_and_chunks() {
    let mut host = Host::new();
    host.codes.extend([(Conn(1), "ABC234"), (Conn(2), "XYZ789")]);
    let register = |code: &str| json!({"type":"register_rendezvous","peerId":code,"daily_points":["d"],"hourly_tokens":["t"],"dead_drops":{}});
    host.say(1, &register("ABC234"));
    let found = host.say(2, &register("XYZ789"));
    assert_eq!(found[0]["liveMatches"], json!([{"peerId":"ABC234","relayId":""}]));
    let told = host.heard.remove(&Conn(1)).unwrap();
    assert_eq!(told, [json!({"type":"rendezvous_match","match":{"peerId":"XYZ789","relayId":""}})]);

    let announced = json!({"type":"chunk_announce","peerId":"ABC234","channelId":"ch","chunks":[{"chunkId":"c"}]});
    assert_eq!(host.say(1, &announced)[0]["registered"], 1);
    let pulling = host.say(2, &json!({"type":"chunk_request","chunkId":"c","channelId":"ch"}));
    assert_eq!(pulling, [json!({"type":"chunk_pulling","chunkId":"c"})]);
    let pulled = host.heard.remove(&Conn(1)).unwrap();
    assert_eq!(pulled, [json!({"type":"chunk_pull","chunkId":"c","channelId":"ch"})]);
}

#[test]
fn nobody_speaks_for_a_code_but_its_holder() {
    let mut host = Host::new();
    host.codes.insert(Conn(1), "ABC234");
    for conn in [2, 3] {
        if conn == 3 {
            host.codes.insert(Conn(3), "XYZ789");
        }
        for message in [
            json!({"type":"register","peerId":"ABC234"}),
            json!({"type":"register_rendezvous","peerId":"ABC234"}),
            json!({"type":"chunk_announce","peerId":"ABC234","chunks":[{"chunkId":"c"}]}),
        ] {
            assert_eq!(host.say(conn, &message), [mismatch()], "{message}");
        }
    }
    assert_eq!(host.say(1, &json!({"type":"register_rendezvous","peerId":"ABC234"}))[0]["type"], "rendezvous_result");
}

#[test]
fn a_socket_may_hold_a_code_and_relay_under_another_id() {
    let mut host = Host::new();
    host.codes.insert(Conn(1), "ABC234");
    let registered = host.say(1, &json!({"type":"register","peerId":"relay-1"}));
    assert_eq!(registered, [json!({"type":"registered","peerId":"relay-1","serverId":"waystation","relays":[]})]);
    for id in ["relay-1", "ABC234"] {
        let answer = host.say(1, &json!({"type":"register_rendezvous","peerId":id}));
        assert_eq!(answer[0]["type"], "rendezvous_result", "{id}");
    }
    assert_eq!(host.say(1, &json!({"type":"register_rendezvous","peerId":"other"})), [mismatch()]);
}

#[test]
fn loads_and_heartbeats_of_others_are_ignored_silently_here() {
    let mut host = Host::new();
    host.codes.insert(Conn(1), "ABC234");
    for message in [
        json!({"type":"update_load","peerId":"x","connectedCount":1}),
        json!({"type":"update_load","sourceId":"x","connectedCount":1,"maxCapacity":20}),
        json!({"type":"heartbeat","peerId":"x"}),
    ] {
        assert_eq!(host.say(1, &message), Vec::<Value>::new(), "{message}");
    }
    let nameless = host.say(2, &json!({"type":"get_relays"}));
    assert_eq!(nameless, [relay_play::error("Missing required field: peerId")]);
    assert_eq!(host.say(1, &json!({"type":"get_relays"})), [json!({"type":"relays","relays":[]})]);
}

#[test]
fn the_host_is_told_of_silent_peers_and_decides() {
    let mut host = Host::new();
    host.say(1, &json!({"type":"register","peerId":"relay-1"}));
    host.now = host.desk.deadline().unwrap();
    host.ring();
    assert_eq!(host.silent, [Conn(1)]);
    host.ring();
    assert_eq!(host.silent, [Conn(1)], "once");
    let again = host.say(1, &json!({"type":"register","peerId":"relay-1"}));
    assert_eq!(again[0]["type"], "registered", "a host may let the socket live");
}

#[test]
fn a_part_is_ascii_and_fits_beside_what_the_host_keeps() {
    let mut host = Host::new();
    let message =
        json!({"type":"register","peerId":"p".repeat(128),"maxConnections":1000,"publicKey":"k,".repeat(128)});
    assert_eq!(host.say(1, &message)[0]["type"], "registered");
    let part = host.parts[&Conn(1)].clone();
    assert!(part.is_ascii());
    assert!(part.len() <= 500, "{} bytes", part.len());
    let listed = host.say(2, &json!({"type":"get_relays","peerId":"x"}));
    assert_eq!(listed[0]["relays"][0]["publicKey"], "k,".repeat(128));
}

#[test]
fn a_host_can_tell_our_types_from_its_own() {
    for ours in ["update_load", "register_rendezvous", "chunk_push", "channel-subscribe", "stream-end"] {
        assert!(handles(ours), "{ours}");
    }
    for theirs in ["register", "ping", "offer", "pair_request", "call_offer", "link_request", "", "chunk"] {
        assert!(!handles(theirs), "{theirs}");
    }
}
