//! The directory: who lists a relay, how long it stays, what a list shows, and how many parties there are.
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
use support::{Stage, body, call, settings};
use waystation::kernel::errand::{Errand, Failure, Outcome};
use waystation::kernel::object::{Answer, Call, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::parties::PartyDirectory;

const MINUTE: u64 = 60_000;

struct Directory {
    stage: Stage<PartyDirectory>,
}

fn directory() -> Directory {
    Directory { stage: Stage::new(settings(&[]), PartyDirectory::MIGRATIONS, PartyDirectory::load) }
}

fn relay(relay_id: &str) -> Value {
    json!({ "relay_id": relay_id, "public_ip": "relay.example", "port": 51820 })
}

impl Directory {
    fn register(&mut self, peer_id: &str, relay: &Value) -> Reply {
        let (principal, caller) = (Principal::Peer, Some(peer_id.to_owned()));
        let body = relay.to_string().into_bytes();
        self.stage.call(&Call { principal, caller, body, ..call(Operation::PartyRelayRegister) })
    }

    fn register_as(&mut self, principal: Principal, relay: &Value) -> Reply {
        let body = relay.to_string().into_bytes();
        self.stage.call(&Call { principal, body, ..call(Operation::PartyRelayRegister) })
    }

    fn remove(&mut self, principal: Principal, caller: Option<&str>, relay_id: &str) -> Reply {
        let (params, caller) = (vec![relay_id.to_owned()], caller.map(str::to_owned));
        self.stage.call(&Call { principal, caller, params, ..call(Operation::PartyRelayRemove) })
    }

    fn list(&mut self, query: &str) -> Vec<Value> {
        let reply = self.stage.call(&Call { query: query.to_owned(), ..call(Operation::PartyRelayList) });
        body(&reply)["relays"].as_array().unwrap().clone()
    }

    fn ids(&mut self, query: &str) -> Vec<String> {
        self.list(query).iter().map(|relay| relay["relay_id"].as_str().unwrap().to_owned()).collect()
    }

    fn census(&mut self, party_id: &str, state: &str) {
        let body = json!({ "party_id": party_id, "state": state }).to_string().into_bytes();
        let call = Call { principal: Principal::Service, body, ..call(Operation::PartyCensus) };
        assert_eq!(self.stage.call(&call).status, 200);
    }

    fn counts(&mut self) -> Value {
        body(&self.stage.call(&call(Operation::Overview)))
    }
}

#[test]
fn a_relay_is_listed_with_exactly_the_originals_six_members() {
    let mut directory = directory();
    let reply = directory.register("p", &relay("r1"));
    assert_eq!((reply.status, body(&reply)), (200, json!({ "status": "registered", "relay_id": "r1" })));
    let listed = json!({
        "relay_id": "r1",
        "public_ip": "relay.example",
        "port": 51820,
        "region": "unknown",
        "capacity": 100,
        "registered_at": "2027-01-15T08:00:00.000000",
    });
    assert_eq!(directory.list(""), std::slice::from_ref(&listed));
    directory.stage.evict();
    assert_eq!(directory.list(""), [listed], "and the same after a loss of memory");
}

#[test]
fn a_full_list_shows_load_health_and_relays_that_take_nobody_new() {
    let mut directory = directory();
    let mut busy = relay("busy");
    for (name, value) in [("load", json!(0.25)), ("health", json!(90)), ("draining", json!(true))] {
        busy[name] = value;
    }
    let mut whole = relay("whole");
    whole["load"] = json!(1);
    directory.register("p", &busy);
    directory.register("p", &whole);
    directory.stage.evict();
    assert_eq!(directory.ids(""), ["whole"]);
    let full = directory.list("full=true");
    assert_eq!(full.len(), 2);
    assert_eq!((&full[0]["load"], &full[0]["health"], &full[0]["draining"]), (&json!(0.25), &json!(90), &json!(true)));
    assert_eq!(
        (&full[1]["load"], &full[1]["health"], &full[1]["draining"]),
        (&json!(1.0), &json!(null), &json!(false))
    );
    assert_eq!(full[1]["last_seen"], "2027-01-15T08:00:00.000000");
    assert_eq!(full[0].as_object().unwrap().len(), 10);
}

#[test]
fn lists_are_ordered_by_region_and_id_in_bytes() {
    let mut directory = directory();
    for (id, region) in [("b", "eu"), ("a", "us"), ("B", "eu"), ("ä", "eu"), ("z", "EU"), ("a", "eu-2")] {
        let mut relay = relay(&format!("{id}-{region}"));
        relay["region"] = json!(region);
        directory.register("p", &relay);
    }
    assert_eq!(directory.ids(""), ["z-EU", "B-eu", "b-eu", "ä-eu", "a-eu-2", "a-us"]);
    let eu = Call { params: vec![String::from("eu")], ..call(Operation::PartyRelayRegion) };
    assert_eq!(body(&directory.stage.call(&eu))["relays"].as_array().unwrap().len(), 3);
    let none = Call { params: vec![String::from("mars")], ..call(Operation::PartyRelayRegion) };
    assert_eq!(directory.stage.call(&none), Reply::json_text(String::from(r#"{"relays":[]}"#)));
}

#[test]
fn a_wrong_relay_is_refused_with_the_place_of_the_mistake() {
    let mut directory = directory();
    for (name, value) in [
        ("port", json!(0)),
        ("port", json!(-7)),
        ("port", json!(99_999)),
        ("port", json!(1.5)),
        ("port", json!("many")),
        ("region", json!(null)),
        ("region", json!("x".repeat(65))),
        ("relay_id", json!("")),
        ("relay_id", json!("x".repeat(129))),
        ("public_ip", json!("")),
        ("public_ip", json!("x".repeat(254))),
        ("capacity", json!(-1)),
        ("load", json!(1.01)),
        ("load", json!("high")),
        ("health", json!(101)),
        ("draining", json!("yes")),
    ] {
        let mut relay = relay("r1");
        relay[name] = value.clone();
        let reply = directory.register("p", &relay);
        assert_eq!((reply.status, &body(&reply)["detail"][0]["loc"]), (422, &json!(["body", name])), "{name} {value}");
    }
    let mut relay = relay("r1");
    relay["port"] = json!("51820");
    assert_eq!(directory.register("p", &relay).status, 200, "numeric strings are numbers");
    assert_eq!(directory.list("")[0]["port"], 51820);
}

#[test]
fn nobody_changes_or_removes_what_another_registered() {
    let mut directory = directory();
    directory.register("p", &relay("r1"));
    directory.register_as(Principal::RegistryWriter, &relay("r2"));
    let dump = directory.stage.database.dump();
    for (reply, relay_id) in [
        (directory.register("q", &relay("r1")), "r1"),
        (directory.register_as(Principal::RegistryWriter, &relay("r1")), "r1"),
        (directory.register("registry", &relay("r2")), "r2"),
        (directory.remove(Principal::Peer, Some("q"), "r1"), "r1"),
        (directory.remove(Principal::RegistryWriter, None, "r1"), "r1"),
    ] {
        let sentence = format!("Relay {relay_id} belongs to another token");
        assert_eq!((reply.status, body(&reply)), (403, json!({ "detail": sentence })));
    }
    assert_eq!(directory.register_as(Principal::Anonymous, &relay("r3")).status, 401);
    assert_eq!(directory.remove(Principal::Peer, Some("p"), "r9").status, 404);
    assert_eq!(directory.stage.database.dump(), dump, "and nothing was written");
    let removed = directory.remove(Principal::Peer, Some("p"), "r1");
    assert_eq!(body(&removed), json!({ "status": "removed", "relay_id": "r1" }));
    assert_eq!(directory.remove(Principal::Operator, None, "r2").status, 200);
    assert!(directory.ids("").is_empty());
    directory.stage.evict();
    assert!(directory.ids("").is_empty());
}

#[test]
fn a_relay_that_is_registered_again_keeps_its_first_time_and_writes_rarely() {
    let mut directory = directory();
    directory.register("p", &relay("r1"));
    let before = directory.stage.database.rows_written();
    for _ in 0..100 {
        directory.stage.wait(30_000);
        assert_eq!(directory.register("p", &relay("r1")).status, 200);
    }
    let written = directory.stage.database.rows_written() - before;
    assert!((1..=50).contains(&written), "{written} rows in fifty minutes");
    assert_eq!(directory.list("")[0]["registered_at"], "2027-01-15T08:00:00.000000");
    let mut moved = relay("r1");
    moved["port"] = json!(7);
    directory.register("p", &moved);
    directory.stage.evict();
    assert_eq!(directory.list("")[0]["port"], 7, "a change is written at once");
}

#[test]
fn a_relay_that_is_not_registered_again_is_forgotten_and_free() {
    for evicts in [false, true] {
        let mut directory = directory();
        directory.stage.evict_always = evicts;
        directory.register("p", &relay("r1"));
        directory.stage.now = directory.stage.now.plus(10 * MINUTE - 1);
        assert_eq!(directory.ids(""), ["r1"], "never early");
        directory.stage.now = directory.stage.now.plus(MINUTE + 1);
        assert!(directory.ids("").is_empty(), "late by a tenth at most, even before the alarm");
        assert_eq!(directory.register("q", &relay("r1")).status, 200, "its id is free");
        directory.stage.wait(12 * MINUTE);
        let rows = directory.stage.database.dump();
        assert!(!rows.iter().any(|line| line.starts_with("relay")), "{rows:?}");
    }
}

#[test]
fn one_owner_lists_a_hundred_relays() {
    let mut directory = directory();
    for index in 0..100 {
        assert_eq!(directory.register("p", &relay(&format!("r{index}"))).status, 200);
    }
    assert_eq!(directory.register("p", &relay("r100")).status, 409);
    assert_eq!(directory.register("p", &relay("r7")).status, 200, "those it has it may change");
    assert_eq!(directory.register("q", &relay("r100")).status, 200);
}

#[test]
fn the_directory_lists_ten_thousand_relays_and_no_more() {
    let mut directory = directory();
    for index in 0..10_000 {
        let reply = directory.register(&format!("p{}", index / 100), &relay(&format!("r{index}")));
        assert_eq!(reply.status, 200);
    }
    assert_eq!(directory.register("late", &relay("one-more")).status, 503);
    assert_eq!(directory.counts(), json!({ "parties": 0, "relays": 10_000 }));
    directory.stage.wait(20 * MINUTE);
    assert_eq!(directory.register("late", &relay("one-more")).status, 200);
    assert_eq!(directory.counts(), json!({ "parties": 0, "relays": 1 }));
}

#[test]
fn every_party_is_counted_once_however_often_it_says_so() {
    for evicts in [false, true] {
        let mut directory = directory();
        directory.stage.evict_always = evicts;
        for (party, state, parties) in [
            ("aaaaaaaaaaaa", "begun", 1),
            ("aaaaaaaaaaaa", "begun", 1),
            ("bbbbbbbbbbbb", "begun", 2),
            ("aaaaaaaaaaaa", "ended", 1),
            ("aaaaaaaaaaaa", "ended", 1),
            ("cccccccccccc", "ended", 1),
            ("bbbbbbbbbbbb", "ended", 0),
        ] {
            directory.census(party, state);
            assert_eq!(directory.counts(), json!({ "parties": parties, "relays": 0 }), "{party} {state}");
        }
    }
}

const SERVERS: &str = r#"{"servers":[
    {"serverId":"ed25519:a","endpoint":"wss://one.example:9443/x","publicKey":"k","region":"eu","connections":1,
     "relayConnections":0,"signalingConnections":0,"activeCodes":0,"registeredAt":1800000000000,"lastSeen":1800000001000},
    {"serverId":"r1","endpoint":"https://two.example","publicKey":"k","region":"eu","connections":1,
     "relayConnections":0,"signalingConnections":0,"activeCodes":0,"registeredAt":1800000000000,"lastSeen":1800000001000},
    {"serverId":"v6","endpoint":"https://[2606:4700::1111]","publicKey":"k","region":"","connections":1,
     "relayConnections":0,"signalingConnections":0,"activeCodes":0,"registeredAt":1800000000000,"lastSeen":1800000001000}
    ],"timestamp":1}"#;

fn list_with_servers(directory: &mut Directory, operation: Call, outcome: Outcome) -> Vec<Value> {
    let wish = Call { query: String::from("include=servers"), ..operation };
    let Answer::Later(ticket) = directory.stage.begin(&wish) else { panic!("answered at once") };
    let mut errands = directory.stage.take_errands();
    let (errand, Errand::Call { class, name, call }) = errands.remove(0) else { panic!("another errand") };
    assert_eq!((class, name.as_str(), call.operation), (Class::ServerRegistry, "global", Operation::ServersList));
    directory.stage.tell(errand, outcome);
    body(&directory.stage.answer(ticket).unwrap())["relays"].as_array().unwrap().clone()
}

#[test]
fn a_thousand_lists_wait_for_the_bootstrap_registry_and_no_more() {
    let mut directory = directory();
    directory.register("p", &relay("r1"));
    let wish = Call { query: String::from("include=servers"), ..call(Operation::PartyRelayList) };
    for _ in 0..1_000 {
        assert!(matches!(directory.stage.begin(&wish), Answer::Later(_)));
    }
    let Answer::Now(reply) = directory.stage.begin(&wish) else { panic!("one more waits") };
    assert_eq!(body(&reply)["relays"].as_array().unwrap().len(), 1, "ours are listed all the same");
}

#[test]
fn the_bootstrap_registrys_servers_are_listed_on_request() {
    let mut directory = directory();
    directory.register("p", &relay("r1"));
    let servers = || Outcome::Replied(Reply::json_text(SERVERS.to_owned()));
    let all = list_with_servers(&mut directory, call(Operation::PartyRelayList), servers());
    let ids: Vec<&str> = all.iter().map(|relay| relay["relay_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ed25519:a", "r1", "v6"], "an id that both know is ours");
    assert_eq!((&all[0]["public_ip"], &all[0]["port"]), (&json!("one.example"), &json!(9443)));
    assert_eq!((&all[2]["public_ip"], &all[2]["port"]), (&json!("2606:4700::1111"), &json!(443)));
    assert!(all.iter().all(|relay| relay.as_object().unwrap().len() == 6));
    let eu = Call { params: vec![String::from("eu")], ..call(Operation::PartyRelayRegion) };
    assert_eq!(list_with_servers(&mut directory, eu, servers()).len(), 1, "an id that both know is where ours is");
    for outcome in [
        Outcome::Failed(Failure::TimedOut),
        Outcome::Replied(Reply::empty(503)),
        Outcome::Replied(Reply::json_text(String::from("nonsense"))),
    ] {
        let ours = list_with_servers(&mut directory, call(Operation::PartyRelayList), outcome);
        assert_eq!(ours.len(), 1, "a registry that does not answer takes nothing away");
    }
}
