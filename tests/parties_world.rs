//! The field's two clients, step by step, against all objects of parties at once, in any order of their errands and over
//! the loss of any memory.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod parties_world_play;
mod support;

use std::collections::BTreeMap;

use parties_world_play::{Play, peer, play};
use serde_json::{Value, json};
use support::body;
use support::world::Client;
use waystation::kernel::entropy::{Entropy as _, SeededEntropy};
use waystation::kernel::operation::{Class, Operation};

const PARTY: &str = "0123456789ab";
const HOME: &str = "203.0.113.1";
const AWAY: &str = "198.51.100.7";

fn types(inbox: &[Value]) -> Vec<&str> {
    inbox.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

/// The ids of the peers in the newest party of an inbox.
fn newest_peers(inbox: &[Value]) -> Vec<String> {
    let update = inbox.iter().rev().find(|frame| frame["type"] == "party_update").expect("a party");
    let party = update["party"].as_object().unwrap();
    let mut members: Vec<&str> = party.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["created_at", "host_id", "name", "party_id", "peers"], "exactly the five");
    let peers = party["peers"].as_object().unwrap();
    assert!(peers.values().all(|peer| peer.as_object().unwrap().len() == 9), "exactly the nine");
    peers.keys().cloned().collect()
}

/// Host and guest of one party, both over sockets.
fn lan(play: &mut Play) -> (Client, Client) {
    let host = play.connect(HOME);
    play.auth(host, None);
    play.register_party(host, PARTY, "host");
    assert_eq!(newest_peers(&play.world.inbox(host)), ["host"]);
    let guest = play.connect(AWAY);
    play.auth(guest, None);
    play.join_party(guest, PARTY, "guest");
    assert_eq!(newest_peers(&play.world.inbox(guest)), ["guest", "host"]);
    let heard = play.world.inbox(host);
    assert!(heard.iter().any(|frame| frame["type"] == "peer_joined" || frame["type"] == "party_update"), "{heard:?}");
    (host, guest)
}

#[test]
fn two_unmodified_clients_find_one_another_over_sockets() {
    for seed in 0..20 {
        let mut play = play(seed);
        play.world.evict_always = seed % 2 == 1;
        let (host, guest) = lan(&mut play);
        play.join_party(guest, PARTY, "guest");
        assert_eq!(newest_peers(&play.world.inbox(guest)), ["guest", "host"], "the second call is answered too");
        play.world.inbox(host);
        let signal = json!({ "type": "signal", "party_id": PARTY, "from_peer_id": "guest", "to_peer_id": "host",
            "signal_data": { "sdp": "x" } });
        play.say(guest, &signal);
        let heard = play.world.inbox(host);
        assert_eq!(types(&heard), ["signal"], "seed {seed}");
        assert_eq!((&heard[0]["from_peer_id"], &heard[0]["signal_data"]["sdp"]), (&json!("guest"), &json!("x")));
        play.say(guest, &json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "guest" }));
        assert!(types(&play.world.inbox(host)).contains(&"peer_left"));
        let counts = play
            .world
            .request(&support::world::at(Class::PartyDirectory, "global"), &support::call(Operation::Overview));
        assert_eq!(body(&counts)["parties"], 1);
    }
}

#[test]
fn a_client_that_reconnects_says_who_it_is_and_hears_what_it_missed() {
    for seed in 0..20 {
        for address in [HOME, "192.0.2.77"] {
            let mut play = play(seed);
            play.world.evict_always = seed % 2 == 1;
            let (host, guest) = lan(&mut play);
            play.world.leave(host);
            play.world.settle();
            play.world.wait(5_000);
            let third = play.connect("192.0.2.9");
            play.join_party(third, PARTY, "third");
            let again = play.connect(address);
            play.auth(again, Some("host"));
            assert_eq!(newest_peers(&play.world.inbox(again)), ["guest", "host", "third"], "seed {seed}, {address}");
            play.world.inbox(guest);
            play.say(guest, &json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "guest" }));
            assert!(types(&play.world.inbox(again)).contains(&"peer_left"), "it is subscribed again");
        }
    }
}

#[test]
fn a_crash_of_any_object_costs_a_reconnect_at_most() {
    for class in [Class::PartyRoom, Class::PartyIdentities, Class::PartyDirectory, Class::PartyGateway] {
        for seed in 0..10 {
            let mut play = play(seed);
            let (host, guest) = lan(&mut play);
            let places = play.places(class);
            assert!(!places.is_empty(), "{class:?}");
            places.iter().for_each(|place| play.world.crash(place));
            let (mut host, mut guest) = (host, guest);
            if class == Class::PartyGateway {
                assert!(play.world.closed(host).is_some() && play.world.closed(guest).is_some());
                play.world.wait(5_000);
                // The guest comes back from elsewhere: its old socket is asked about, and is gone.
                (guest, host) = (play.connect("192.0.2.200"), play.connect(HOME));
                play.auth(guest, Some("guest"));
                play.auth(host, Some("host"));
                assert_eq!(newest_peers(&play.world.inbox(guest)), ["guest", "host"]);
            }
            play.world.inbox(host);
            play.world.inbox(guest);
            let signal = json!({ "type": "signal", "party_id": PARTY, "from_peer_id": "host", "to_peer_id": "guest",
                "signal_data": {} });
            play.say(host, &signal);
            assert_eq!(types(&play.world.inbox(guest)), ["signal"], "{class:?}, seed {seed}");
            assert!(play.world.inbox(host).is_empty(), "no errors: {class:?}, seed {seed}");
        }
    }
}

#[test]
fn a_stranger_is_not_given_an_id_that_is_there_and_a_token_takes_it_back() {
    for seed in 0..10 {
        let mut play = play(seed);
        let token = play.token("host");
        let thief = play.connect(AWAY);
        play.register_party(thief, PARTY, "host");
        assert!(play.holds(thief, "host"), "until its owner has used the token, the id is whose socket comes first");
        let owner = play.connect(HOME);
        play.world.inbox(thief);
        play.say(owner, &json!({ "type": "auth", "peer_id": "host", "token": token }));
        assert!(play.holds(owner, "host") && !play.holds(thief, "host"), "seed {seed}");
        play.world.inbox(thief);
        play.say(thief, &json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "host" }));
        assert_eq!(types(&play.world.inbox(thief)), ["error"]);
        play.join_party(thief, PARTY, "host");
        assert_eq!(types(&play.world.inbox(thief)), ["error"]);
        assert!(play.holds(owner, "host"), "seed {seed}");
    }
}

#[test]
fn the_http_client_walks_through_everything_it_can_do() {
    for seed in 0..20 {
        let mut play = play(seed);
        play.world.evict_always = seed % 2 == 1;
        let (host, guest) = (play.token("host"), play.token("guest"));
        let wish = json!({ "name": "LAN", "host_peer_info": peer("host", play.world.now) });
        let created = play.http(Operation::PartyCreate, Some(&host), &[], &wish);
        assert_eq!(created.status, 200, "{}", created.body);
        let party_id = body(&created)["party_id"].as_str().unwrap().to_owned();
        let again = play.http(Operation::PartyCreate, Some(&host), &[], &wish);
        assert_eq!((again.status, &body(&again)["party_id"]), (200, &json!(party_id)), "a repeated request");
        assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
        let join = json!({ "party_id": party_id, "peer_info": peer("guest", play.world.now) });
        let joined = play.http(Operation::PartyJoin, Some(&guest), &[&party_id], &join);
        assert_eq!(joined.status, 200);
        assert_eq!(body(&joined)["party"]["peers"].as_object().unwrap().len(), 2);
        for _ in 0..20 {
            play.world.wait(30_000);
            for (token, peer_id) in [(&host, "host"), (&guest, "guest")] {
                let beat = play.http(Operation::PartyHeartbeat, Some(token), &[&party_id, peer_id], &Value::Null);
                assert_eq!((beat.status, body(&beat)), (200, json!({ "status": "ok" })));
            }
        }
        let read = play.http(Operation::PartyRead, Some(&guest), &[&party_id], &Value::Null);
        assert_eq!(body(&read)["party"]["peers"].as_object().unwrap().len(), 2);
        let stranger = play.token("stranger");
        assert_eq!(play.http(Operation::PartyRead, Some(&stranger), &[&party_id], &Value::Null).status, 403);
        let left = play.http(Operation::PartyLeave, Some(&host), &[&party_id, "host"], &Value::Null);
        assert_eq!(body(&left), json!({ "status": "party_deleted" }));
        let gone = play.http(Operation::PartyRead, Some(&guest), &[&party_id], &Value::Null);
        assert_eq!((gone.status, body(&gone)), (404, json!({ "detail": format!("Party {party_id} not found") })));
        assert_eq!(play.http(Operation::PartyRead, Some("nonsense"), &[&party_id], &Value::Null).status, 401);
        assert_eq!(play.http(Operation::PartyRead, Some(&guest), &["nonsense"], &Value::Null).status, 404);
    }
}

#[test]
fn a_socket_of_signaling_is_as_good_behind_the_gateway() {
    let mut play = play(1);
    let client = play.connect(HOME);
    play.say(client, &json!({ "type": "register", "pairingCode": "ABCDEF", "publicKey": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" }));
    assert_eq!(play.world.seat(client).unwrap().0, support::world::at(Class::SignalingRoom, "lobby"));
    assert_eq!(types(&play.world.inbox(client)), ["registered"]);
    play.say(client, &json!({ "type": "ping" }));
    assert_eq!(types(&play.world.inbox(client)), ["pong"]);
}

/// Sockets come, go, claim and lose three ids, objects forget and die, errands arrive in any order: when all is quiet, one
/// socket at most speaks for each peer, it is the one that the peer's shard believes in, and it hears of its party.
#[test]
fn whatever_happens_one_socket_speaks_for_a_peer() {
    for seed in 0..150 {
        let mut play = play(seed);
        play.world.evict_always = seed % 3 == 1;
        let mut random = SeededEntropy::new(seed + 1_000);
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..60 {
            act(&mut play, &mut random, &mut clients);
            for _ in 0..random.below(4) {
                play.world.step();
            }
        }
        play.world.settle();
        play.world.wait(30_000);
        clients.retain(|client| play.world.seat(*client).is_some());
        let mut holders: BTreeMap<&str, Vec<Client>> = BTreeMap::new();
        for peer_id in ["a", "b", "c"] {
            for client in &clients {
                if play.holds(*client, peer_id) {
                    holders.entry(peer_id).or_default().push(*client);
                }
            }
        }
        for (peer_id, holding) in &holders {
            assert_eq!(holding.len(), 1, "seed {seed}: {holding:?} speak for {peer_id}");
            play.world.inbox(holding[0]);
            play.join_party(holding[0], PARTY, peer_id);
            let inbox = play.world.inbox(holding[0]);
            let hears = inbox.iter().any(|frame| frame["type"] == "party_update" || frame["message"].is_string());
            assert!(hears, "seed {seed}: {inbox:?}");
        }
        for (peer_id, holding) in &holders {
            let stranger = play.connect("192.0.2.250");
            play.auth(stranger, Some(peer_id));
            assert!(!play.holds(stranger, peer_id), "seed {seed}: {peer_id} is taken from {holding:?}");
        }
    }
}

fn act(play: &mut Play, random: &mut SeededEntropy, clients: &mut Vec<Client>) {
    let addresses = [HOME, AWAY, "192.0.2.1", "192.0.2.2"];
    let peer_id = ["a", "b", "c"][random.below(3) as usize];
    let some = |random: &mut SeededEntropy, clients: &[Client]| {
        let count = u32::try_from(clients.len()).unwrap();
        (count > 0).then(|| clients[random.below(count) as usize])
    };
    match random.below(12) {
        0..=3 => clients.push(play.connect(addresses[random.below(4) as usize])),
        4..=6 => {
            if let Some(client) = some(random, clients) {
                play.world.say(client, &json!({ "type": "auth", "peer_id": peer_id }).to_string());
            }
        }
        7 | 8 => {
            if let Some(client) = some(random, clients) {
                let peer = peer(peer_id, play.world.now);
                let kind = if random.below(2) == 0 { ("register_party", "host_peer") } else { ("join_party", "peer") };
                let frame = json!({ "type": kind.0, "party_id": PARTY, "name": "LAN", kind.1: peer });
                play.world.say(client, &frame.to_string());
            }
        }
        9 => {
            if let Some(client) = some(random, clients) {
                play.world.leave(client);
            }
        }
        10 => {
            let places = play.world.places();
            let count = u32::try_from(places.len()).unwrap();
            if count > 0 {
                let place = places[random.below(count) as usize].clone();
                if random.below(3) == 0 {
                    play.world.crash(&place);
                } else {
                    play.world.evict(&place);
                }
            }
        }
        _ => play.world.now = play.world.now.plus(u64::from(random.below(5_000))),
    }
}
