//! A party over HTTP: exact answers, exact refusals, in the order in which they are decided.
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

use parties_play::{PARTY, Play, assert_party, assert_peer, introduction, json_of, of, play};
use serde_json::{Value, json};
use waystation::kernel::operation::Operation as Op;

const NULL: Value = Value::Null;

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

fn two() -> Play {
    let mut play = play();
    assert_eq!(play.create("host").0, 200);
    assert_eq!(play.join("guest").0, 200);
    play
}

#[test]
fn a_new_party_is_answered_with_five_and_nine_keys_and_the_hosts_own_time() {
    let mut play = play();
    let me = introduction("host", play.now_ms(), 120);
    let body = json!({ "name": "Game", "host_peer_info": me, "more": 1 });
    let (status, answer) = play.ask(Op::PartyCreate, "host", &[], &body);
    assert_eq!(status, 200);
    assert_eq!(answer["party_id"], PARTY);
    assert_party(&answer["party"]);
    assert_eq!(answer["party"]["peers"]["host"], me, "what the client sent, its time included");
    assert_eq!(answer["party"]["created_at"], "2027-01-15T10:00:00.000000", "by the client's clock");
    assert_eq!(play.census.as_deref(), Some("begun"));
    assert_eq!(play.memberships["host"], "joined");
}

#[test]
fn repeating_a_creation_answers_the_same_party_and_others_cannot_take_the_id() {
    let mut play = two();
    let before = play.create("host").1;
    play.wait(1_000);
    let again = play.create("host").1;
    assert_eq!(again["party"]["created_at"], before["party"]["created_at"]);
    assert_eq!(again["party"]["peers"].as_object().unwrap().len(), 2);
    assert_eq!(play.create("guest"), (409, detail(&format!("Party {PARTY} already exists"))));
}

#[test]
fn bodies_that_are_wrong_are_answered_with_what_is_wrong_and_where() {
    let mut play = play();
    let me = play.me("host");
    let without = |name: &str| {
        let mut me = me.clone();
        me.as_object_mut().unwrap().remove(name);
        me
    };
    let with = |name: &str, value: Value| {
        let mut me = me.clone();
        me[name] = value;
        me
    };
    let long = "x".repeat(101);
    for (body, kind, loc) in [
        (json!({ "host_peer_info": me }), "missing", json!(["body", "name"])),
        (json!({ "name": "", "host_peer_info": me }), "string_too_short", json!(["body", "name"])),
        (json!({ "name": long, "host_peer_info": me }), "string_too_long", json!(["body", "name"])),
        (json!({ "name": 7, "host_peer_info": me }), "string_type", json!(["body", "name"])),
        (json!({ "name": "n" }), "missing", json!(["body", "host_peer_info"])),
        (json!({ "name": "n", "host_peer_info": [] }), "dict_type", json!(["body", "host_peer_info"])),
        (
            json!({ "name": "n", "host_peer_info": without("last_seen") }),
            "missing",
            json!(["body", "host_peer_info", "last_seen"]),
        ),
        (
            json!({ "name": "n", "host_peer_info": with("last_seen", json!("yesterday")) }),
            "datetime_parsing",
            json!(["body", "host_peer_info", "last_seen"]),
        ),
        (
            json!({ "name": "n", "host_peer_info": with("public_port", json!(70_000)) }),
            "less_than_equal",
            json!(["body", "host_peer_info", "public_port"]),
        ),
        (
            json!({ "name": "n", "host_peer_info": with("local_port", json!(1.5)) }),
            "int_from_float",
            json!(["body", "host_peer_info", "local_port"]),
        ),
        (
            json!({ "name": "n", "host_peer_info": with("public_key", json!("k".repeat(129))) }),
            "string_too_long",
            json!(["body", "host_peer_info", "public_key"]),
        ),
    ] {
        let dump = play.stage.database.dump();
        let (status, answer) = play.ask(Op::PartyCreate, "host", &[], &body);
        assert_eq!(status, 422, "{answer}");
        assert_eq!((&answer["detail"][0]["type"], &answer["detail"][0]["loc"]), (&json!(kind), &loc), "{answer}");
        assert_eq!(play.stage.database.dump(), dump);
    }
    let mut broken = of(Op::PartyCreate, "host", &[], &NULL);
    assert_eq!(json_of(&play.stage.call(&broken))["detail"][0]["type"], "missing");
    broken.body = b"{\"name\"".to_vec();
    assert_eq!(json_of(&play.stage.call(&broken))["detail"][0]["type"], "json_invalid");
}

#[test]
fn what_real_apps_send_without_stun_is_taken() {
    let mut play = play();
    let mut me = play.me("host");
    (me["name"], me["public_ip"], me["public_port"]) = (json!("Me"), json!("unknown"), json!(0));
    (me["local_ip"], me["local_port"], me["nat_type"]) = (json!("unknown"), json!("0"), json!("unknown"));
    let body = json!({ "name": "n", "host_peer_info": me });
    assert_eq!(play.ask(Op::PartyCreate, "host", &[], &body).0, 200);
}

#[test]
fn joining_answers_everybody_and_repeating_it_updates_every_field() {
    let mut play = two();
    let mut me = play.me("guest");
    (me["public_key"], me["name"], me["public_port"]) = (json!("new key"), json!("New"), json!(9));
    play.wait(2_000);
    let (status, answer) = play.ask(Op::PartyJoin, "guest", &[], &json!({ "party_id": "other", "peer_info": me }));
    assert_eq!(status, 200);
    assert_party(&answer["party"]);
    let guest = &answer["party"]["peers"]["guest"];
    assert_eq!(
        (&guest["public_key"], &guest["name"], &guest["public_port"]),
        (&json!("new key"), &json!("New"), &json!(9))
    );
    assert_eq!(guest["last_seen"], "2027-01-15T08:00:02.000000", "the server's time");
    assert_eq!(answer["party"]["peers"].as_object().unwrap().len(), 2);
}

#[test]
fn refusals_have_the_originals_words_in_the_originals_order() {
    let mut play = two();
    let other = json!({ "party_id": PARTY, "peer_info": play.me("host") });
    let own = json!({ "party_id": PARTY, "peer_info": play.me("guest") });
    let creation = json!({ "name": "n", "host_peer_info": play.me("host") });
    let no_token = "Token peer_id does not match";
    for (operation, caller, params, body, status, text) in [
        (Op::PartyCreate, "x", vec![], creation, 403, format!("{no_token} host_peer_info.peer_id")),
        (Op::PartyJoin, "guest", vec![], other, 403, format!("{no_token} peer_info.peer_id")),
        (Op::PartyLeave, "guest", vec!["host"], NULL, 403, format!("{no_token} requested peer_id")),
        (Op::PartyLeave, "x", vec!["x"], NULL, 404, String::from("Peer x not in party")),
        (Op::PartyLeave, "host", vec!["x"], NULL, 404, String::from("Peer x not in party")),
        (Op::PartyHeartbeat, "guest", vec!["host"], NULL, 403, format!("{no_token} requested peer_id")),
        (Op::PartyHeartbeat, "x", vec!["x"], NULL, 404, String::from("Peer x not found")),
        (Op::PartyRead, "x", vec![], NULL, 403, format!("Not a member of party {PARTY}")),
        (Op::PartyPeers, "x", vec![], NULL, 403, format!("Not a member of party {PARTY}")),
        (Op::PartyDetails, "x", vec![], NULL, 403, format!("Not a member of party {PARTY}")),
        (Op::PartyPeer, "guest", vec!["x"], NULL, 404, String::from("Peer x not found")),
        (Op::PartySettings, "guest", vec![], json!({}), 403, String::from("Only the host may do this")),
        (Op::PartyInviteList, "guest", vec![], NULL, 403, String::from("Only the host may do this")),
        (Op::PartyBanList, "x", vec![], NULL, 403, String::from("Only the host may do this")),
    ] {
        let dump = play.stage.database.dump();
        assert_eq!(play.ask(operation, caller, &params, &body), (status, detail(&text)), "{operation:?}");
        assert_eq!(play.stage.database.dump(), dump, "{operation:?}");
    }
    play.leave("host", "host");
    let gone = detail(&format!("Party {PARTY} not found"));
    for (operation, params, body) in [
        (Op::PartyJoin, vec![], own),
        (Op::PartyLeave, vec!["guest"], NULL),
        (Op::PartyHeartbeat, vec!["guest"], NULL),
        (Op::PartyRead, vec![], NULL),
        (Op::PartyPeers, vec![], NULL),
        (Op::PartyPeer, vec!["host"], NULL),
        (Op::PartySettings, vec![], json!({})),
        (Op::PartySignalSend, vec![], json!({ "to_peer_id": "host" })),
        (Op::PartySignalPoll, vec!["guest"], NULL),
        (Op::PartyRelayCandidates, vec![], NULL),
    ] {
        assert_eq!(play.ask(operation, "guest", &params, &body), (404, gone.clone()), "{operation:?}");
    }
}

#[test]
fn a_member_reads_the_party_its_peers_and_one_peer() {
    let mut play = two();
    let (_, party) = play.ask(Op::PartyRead, "guest", &[], &NULL);
    assert_eq!(party.as_object().unwrap().len(), 1);
    assert_party(&party["party"]);
    let (_, peers) = play.ask(Op::PartyPeers, "guest", &[], &NULL);
    assert_eq!(peers["peers"], party["party"]["peers"]);
    let (_, peer) = play.ask(Op::PartyPeer, "guest", &["host"], &NULL);
    assert_peer(&peer["peer"]);
    assert_eq!(peer["peer"], party["party"]["peers"]["host"]);
}

#[test]
fn each_reads_times_by_its_own_clock() {
    let mut play = play();
    play.create("host");
    let me = introduction("far", play.now_ms(), -450);
    play.ask(Op::PartyJoin, "far", &[], &json!({ "party_id": PARTY, "peer_info": me }));
    let seen = |play: &mut Play, reader: &str| {
        let (_, peer) = play.ask(Op::PartyPeer, reader, &["host"], &NULL);
        peer["peer"]["last_seen"].as_str().unwrap().to_owned()
    };
    assert_eq!(seen(&mut play, "host"), "2027-01-15T08:00:00.000000");
    assert_eq!(seen(&mut play, "far"), "2027-01-15T00:30:00.000000");
}

#[test]
fn leaving_is_answered_and_the_hosts_leaving_ends_the_party() {
    let mut play = two();
    assert_eq!(play.leave("guest", "guest"), (200, json!({ "status": "left" })));
    assert_eq!(play.memberships["guest"], "left");
    play.join("guest");
    assert_eq!(play.leave("host", "host"), (200, json!({ "status": "party_deleted" })));
    assert_eq!((play.memberships["guest"].as_str(), play.census.as_deref()), ("left", Some("ended")));
    let rows: Vec<_> = play.stage.database.dump().into_iter().filter(|row| !row.starts_with("schema")).collect();
    assert_eq!(rows, Vec::<String>::new(), "nothing is left behind");
    assert_eq!(play.create("guest").0, 200, "members are free at once, and so is the id");
}

#[test]
fn the_last_ones_leaving_ends_the_party_even_with_promotion() {
    let mut play = play();
    play.create("host");
    play.ask(Op::PartySettings, "host", &[], &json!({ "promotion": true }));
    assert_eq!(play.leave("host", "host"), (200, json!({ "status": "party_deleted" })));
}

#[test]
fn with_promotion_whoever_is_there_longest_becomes_host() {
    let mut play = two();
    play.join("a-later-one");
    assert_eq!(play.ask(Op::PartySettings, "host", &[], &json!({ "promotion": true })).1["promotion"], true);
    assert_eq!(play.leave("host", "host"), (200, json!({ "status": "left" })));
    assert_eq!(play.details("guest")["host_id"], "guest");
    assert_eq!(play.ask(Op::PartySettings, "guest", &[], &json!({ "name": "Mine" })).0, 200);
    assert_eq!(play.create("host").0, 409);
}

#[test]
fn the_host_kicks_and_a_kicked_peer_may_come_back() {
    let mut play = two();
    assert_eq!(play.leave("host", "guest"), (200, json!({ "status": "left" })));
    assert_eq!(play.members("host"), ["host"]);
    assert_eq!(play.join("guest").0, 200);
}

#[test]
fn a_banned_peer_is_out_and_stays_out_until_the_ban_ends() {
    let mut play = two();
    assert_eq!(play.ask(Op::PartyBan, "host", &[], &json!({ "peer_id": "guest", "seconds": 60 })).0, 200);
    assert_eq!(play.members("host"), ["host"]);
    assert_eq!(play.join("guest"), (403, detail(&format!("Banned from party {PARTY}"))));
    let (_, list) = play.ask(Op::PartyBanList, "host", &[], &NULL);
    assert_eq!(list, json!({ "bans": [{ "peer_id": "guest", "until": "2027-01-15T08:01:00.000Z" }] }));
    play.wait(60_000);
    assert_eq!(play.join("guest").0, 200);
    play.ask(Op::PartyBan, "host", &[], &json!({ "peer_id": "guest" }));
    play.wait(200_000);
    assert_eq!(play.join("guest").0, 403);
    assert_eq!(play.ask(Op::PartyUnban, "host", &["guest"], &NULL).0, 200);
    assert_eq!(play.ask(Op::PartyUnban, "host", &["guest"], &NULL), (404, detail("Peer guest is not banned")));
    assert_eq!(play.join("guest").0, 200);
    assert_eq!(
        play.ask(Op::PartyBan, "host", &[], &json!({ "peer_id": "host" })),
        (409, detail("The host cannot be banned"))
    );
}

#[test]
fn a_password_keeps_strangers_out_and_an_invite_lets_them_in() {
    let mut play = two();
    let set = play.ask(Op::PartySettings, "host", &[], &json!({ "password": "sesame" }));
    assert_eq!(set.1["has_password"], true);
    assert!(!play.stage.database.dump().join("\n").contains("sesame"), "only a hash is kept");
    assert_eq!(play.join("x"), (403, detail(&format!("Party {PARTY} needs a password or an invite"))));
    assert_eq!(play.join_with("x", "password", "Sesame"), (403, detail("Wrong password")));
    assert_eq!(play.join_with("x", "password", "sesame").0, 200);
    assert_eq!(play.join("guest").0, 200, "members need none");
    let (_, invite) = play.ask(Op::PartyInviteCreate, "host", &[], &json!({ "expires_in_s": 60, "uses": 1 }));
    let code = invite["code"].as_str().unwrap().to_owned();
    assert_eq!((code.len(), &invite["expires_at"]), (8, &json!("2027-01-15T08:01:00.000Z")));
    let (_, list) = play.ask(Op::PartyInviteList, "host", &[], &NULL);
    assert_eq!(list["invites"][0], invite);
    assert_eq!(play.join_with("y", "invite", "00000000"), (403, detail("Invalid or expired invite")));
    assert_eq!(play.join_with("y", "invite", &code.to_lowercase()).0, 200);
    assert_eq!(play.join_with("z", "invite", &code).0, 403, "it was good once");
    let (_, invite) = play.ask(Op::PartyInviteCreate, "host", &[], &NULL);
    let code = invite["code"].as_str().unwrap();
    assert_eq!(play.ask(Op::PartyInviteRevoke, "host", &[code], &NULL).0, 200);
    assert_eq!(play.ask(Op::PartyInviteRevoke, "host", &[code], &NULL).0, 404);
    assert_eq!(play.join_with("z", "invite", code).0, 403);
    play.ask(Op::PartySettings, "host", &[], &json!({ "password": null }));
    assert_eq!(play.join("z").0, 200);
}

#[test]
fn guessing_is_limited_per_network_and_right_words_are_refused_too_then() {
    let mut play = two();
    play.ask(Op::PartySettings, "host", &[], &json!({ "password": "sesame" }));
    for _ in 0..10 {
        assert_eq!(play.join_with("x", "password", "wrong").0, 403);
    }
    let body = json!({ "party_id": PARTY, "peer_info": play.me("x"), "password": "sesame" });
    let call = of(Op::PartyJoin, "x", &[], &body);
    let reply = play.stage.call(&call);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("Retry-After"), Some("60"));
    assert_eq!(play.join("guest").0, 200, "members of that network are not concerned");
    let elsewhere = Play::from_network(call.clone(), "198.51.100.77");
    assert_eq!(play.stage.call(&elsewhere).status, 200);
    play.wait(60_000);
    assert_eq!(play.stage.call(&call).status, 200);
}

#[test]
fn a_party_takes_as_many_as_its_host_says() {
    let mut play = two();
    let (_, set) = play.ask(Op::PartySettings, "host", &[], &json!({ "peers_max": 3, "name": "Small" }));
    let expected =
        json!({ "party_id": PARTY, "name": "Small", "peers_max": 3, "has_password": false, "promotion": false });
    assert_eq!(set, expected);
    assert_eq!(play.join("a").0, 200);
    assert_eq!(play.join("b"), (409, detail(&format!("Party {PARTY} is full"))));
    assert_eq!(play.join("a").0, 200, "a repeat is no newcomer");
    for wrong in [1, 257] {
        assert_eq!(play.ask(Op::PartySettings, "host", &[], &json!({ "peers_max": wrong })).0, 422);
    }
}

#[test]
fn details_tell_what_has_no_place_in_a_compatible_party() {
    let mut play = two();
    play.wait(1_500);
    play.heartbeat("host");
    let details = play.details("guest");
    assert_eq!(details["server_time"], "2027-01-15T08:00:01.500Z");
    assert_eq!((&details["host_id"], &details["peers_max"]), (&json!("host"), &json!(256)));
    let guest = json!({
        "peer_id": "guest", "virtual_ip": "10.66.0.2", "role": "member", "online": false, "last_seen_ms_ago": 1500,
        "public_ip": "198.51.100.7", "public_port": 4000,
    });
    assert_eq!(play.detail_of("guest", "guest"), guest);
    let host = play.detail_of("guest", "host");
    assert_eq!(
        (&host["virtual_ip"], &host["role"], &host["last_seen_ms_ago"]),
        (&json!("10.66.0.1"), &json!("host"), &json!(0))
    );
}

#[test]
fn an_endpoint_is_changed_and_nothing_else() {
    let mut play = two();
    let before = play.ask(Op::PartyPeer, "guest", &["guest"], &NULL).1;
    let change = json!({ "public_ip": "203.0.113.50", "public_port": 6000 });
    let (status, answer) = play.ask(Op::PartyUpdatePeer, "guest", &["guest"], &change);
    assert_eq!(status, 200);
    let mut expected = before;
    (expected["peer"]["public_ip"], expected["peer"]["public_port"]) = (json!("203.0.113.50"), json!(6000));
    assert_eq!(answer, expected);
    assert_eq!(play.ask(Op::PartyUpdatePeer, "host", &["guest"], &change).0, 403);
    assert_eq!(play.ask(Op::PartyUpdatePeer, "x", &["x"], &change), (404, detail("Peer x not found")));
    assert_eq!(play.ask(Op::PartyUpdatePeer, "guest", &["guest"], &json!({ "peer_id": "host" })).0, 403);
}

#[test]
fn a_signal_for_somebody_without_a_socket_waits_for_the_poll() {
    let mut play = two();
    let signal = json!({ "to_peer_id": "guest", "from_peer_id": "forged", "signal_data": { "sdp": "v=0" } });
    assert_eq!(play.ask(Op::PartySignalSend, "host", &[], &signal), (200, json!({ "status": "queued" })));
    let (_, polled) = play.ask(Op::PartySignalPoll, "guest", &["guest"], &NULL);
    let expected = json!({ "signals": [{
        "party_id": PARTY, "from_peer_id": "host", "to_peer_id": "guest", "signal_data": { "sdp": "v=0" },
        "sent_at": "2027-01-15T08:00:00.000000",
    }] });
    assert_eq!(polled, expected);
    assert_eq!(play.ask(Op::PartySignalPoll, "guest", &["guest"], &NULL).1, json!({ "signals": [] }));
    assert_eq!(play.ask(Op::PartySignalPoll, "host", &["guest"], &NULL).0, 403);
    assert_eq!(play.ask(Op::PartySignalSend, "x", &[], &signal).0, 403);
    let nobody = json!({ "to_peer_id": "x" });
    assert_eq!(play.ask(Op::PartySignalSend, "host", &[], &nobody), (404, detail("Peer x not in party")));
    let large = json!({ "to_peer_id": "guest", "signal_data": { "x": "y".repeat(16 * 1024) } });
    assert_eq!(play.ask(Op::PartySignalSend, "host", &[], &large).0, 422);
}

#[test]
fn a_queue_keeps_the_newest_signals() {
    let mut play = two();
    for index in 0..70 {
        play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest", "signal_data": { "n": index } }));
    }
    let (_, polled) = play.ask(Op::PartySignalPoll, "guest", &["guest"], &NULL);
    let numbers: Vec<i64> =
        polled["signals"].as_array().unwrap().iter().map(|s| s["signal_data"]["n"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (6..70).collect::<Vec<_>>());
}

#[test]
fn relays_are_ordered_for_a_pair_by_what_both_measured() {
    let mut play = two();
    let relay = |id: &str, draining: bool| {
        json!({ "relay_id": id, "public_ip": "198.51.100.1", "port": 51820, "region": "eu", "capacity": 100,
            "registered_at": "2027-01-15T08:00:00.000000", "health": 100, "load": 0.1, "draining": draining })
    };
    play.relays = Some(json!({ "relays": [relay("far", false), relay("near", false), relay("closing", true)] }));
    for (peer, near, far) in [("host", 10, 200), ("guest", 30, 250)] {
        let body = json!({ "latencies": { "near": near, "far": far, "closing": 1 } });
        assert_eq!(play.ask(Op::PartyLatencies, peer, &[peer], &body), (200, json!({ "status": "ok" })));
    }
    let ask = |play: &mut Play, query: &str| {
        let mut call = of(Op::PartyRelayCandidates, "guest", &[], &NULL);
        call.query = query.to_owned();
        play.ask_later(&call)
    };
    let names = |body: &Value| -> Vec<String> {
        body["relays"].as_array().unwrap().iter().map(|r| r["relay_id"].as_str().unwrap().to_owned()).collect()
    };
    let fresh = json_of(&ask(&mut play, "peers=host,guest"));
    assert_eq!(names(&fresh), ["near", "far", "closing"]);
    let first = &fresh["relays"][0];
    assert_eq!(first.as_object().unwrap().len(), 8);
    assert_eq!(first["latency_ms"], 40);
    play.relays = None;
    play.stage.evict();
    assert_eq!(json_of(&ask(&mut play, "peers=host%2Cguest")), fresh, "the last list that was seen");
    assert_eq!(ask(&mut play, "peers=host,guest,x").status, 422);
    assert_eq!(ask(&mut play, "peers=host,x").status, 404);
    let body = json!({ "latencies": { "near": -1 } });
    assert_eq!(play.ask(Op::PartyLatencies, "guest", &["guest"], &body).0, 422);
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!(1))).collect();
    assert_eq!(play.ask(Op::PartyLatencies, "guest", &["guest"], &json!({ "latencies": many })).0, 422);
    assert_eq!(play.ask(Op::PartyLatencies, "host", &["guest"], &json!({ "latencies": {} })).0, 403);
}

#[test]
fn probing_answers() {
    let mut play = play();
    assert_eq!(play.stage.call(&support::call(Op::Probe)).body, r#"{"ok":true}"#);
}

#[test]
fn a_call_goes_to_its_partys_object_and_nonsense_to_none() {
    let address = |party_id: &str| {
        let mut call = of(Op::PartyRead, "a", &[], &NULL);
        call.params = vec![party_id.to_owned()];
        waystation::parties::party_address(&call)
    };
    let (class, name) = address(PARTY).unwrap();
    assert_eq!((class.name(), name.as_str()), ("PartyRoom", PARTY));
    for nonsense in ["", "a b", "../x", "é", &"x".repeat(21)] {
        let refused = address(nonsense).unwrap_err();
        assert_eq!((refused.status, json_of(&refused)), (404, detail(&format!("Party {nonsense} not found"))));
    }
}
