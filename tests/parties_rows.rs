//! What a party keeps: through hibernation, crashes, full disks, silence of other objects, and endless strangers.
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

use parties_play::{Far, PARTY, Play, of, play, play_with};
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::kernel::operation::Operation as Op;
use waystation::parties::wire::service::ForwardWish;

const NULL: Value = Value::Null;
const TTL_MS: u64 = 300_000;
const FLUSH_MS: u64 = 60_000;

fn rows(play: &Play, table: &str) -> usize {
    let prefix = format!("{table}: ");
    play.stage.database.dump().iter().filter(|row| row.starts_with(&prefix)).count()
}

#[test]
fn everything_is_there_after_hibernation() {
    let mut play = play();
    play.create("host");
    play.ask(Op::PartySettings, "host", &[], &json!({ "password": "sesame", "peers_max": 9, "promotion": true }));
    play.join_with("guest", "password", "sesame");
    play.ask(Op::PartyInviteCreate, "host", &[], &NULL);
    play.ask(Op::PartyBan, "host", &[], &json!({ "peer_id": "x" }));
    play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest", "signal_data": { "n": 1 } }));
    play.ask(Op::PartyLatencies, "guest", &["guest"], &json!({ "latencies": { "r 1": 12.4 } }));
    let conn = play.open("host");
    play.forward(&(String::from("g"), 3), "host", ForwardWish::Resume);
    let look = |play: &mut Play| {
        let mut seen = Vec::new();
        for (operation, params) in [
            (Op::PartyRead, vec![]),
            (Op::PartyDetails, vec![]),
            (Op::PartyInviteList, vec![]),
            (Op::PartyBanList, vec![]),
            (Op::PartyPeer, vec!["guest"]),
        ] {
            seen.push(play.ask(operation, "host", &params, &NULL));
        }
        seen
    };
    let before = look(&mut play);
    let memory = format!("{:?}", play.stage.object);
    play.stage.evict();
    assert_eq!(look(&mut play), before);
    let forgotten = |text: &str| text.split("errands: ").next().unwrap().to_owned();
    assert_eq!(forgotten(&format!("{:?}", play.stage.object)), forgotten(&memory), "the memory is the same");
    play.inbox(conn);
    play.join_with("late", "password", "sesame");
    assert!(play.types(conn).contains(&String::from("party_update")), "sockets stay subscribed");
    let (_, polled) = play.ask(Op::PartySignalPoll, "guest", &["guest"], &NULL);
    assert_eq!(polled["signals"].as_array().unwrap().len(), 1);
}

#[test]
fn heartbeats_of_two_hundred_members_are_a_few_rows_a_minute() {
    let mut play = play();
    play.create("p0");
    for number in 1..200 {
        play.join(&format!("p{number}"));
    }
    let before = play.stage.database.commits();
    for _ in 0..20 {
        for number in 0..200 {
            assert_eq!(play.heartbeat(&format!("p{number}")).0, 200);
            play.wait(150);
        }
    }
    let commits = play.stage.database.commits() - before;
    assert!(commits <= 21, "{commits} commits of one row in ten minutes");
    assert_eq!(rows(&play, "liveness"), 1);
}

#[test]
fn reading_and_a_second_heartbeat_write_nothing() {
    let mut play = play();
    play.create("host");
    play.wait(61_000);
    play.heartbeat("host");
    let dump = play.stage.database.dump();
    for operation in [Op::PartyRead, Op::PartyPeers, Op::PartyDetails, Op::PartyInviteList] {
        play.ask(operation, "host", &[], &NULL);
    }
    play.wait(1_000);
    play.heartbeat("host");
    assert_eq!(play.stage.database.dump(), dump);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_expires_before_its_time_and_nobody_long_after_it(
        beats in prop::collection::vec((0..3_usize, 0..120_000_u64), 1..60),
        evict in any::<bool>(),
    ) {
        let mut play = play();
        play.stage.evict_always = evict;
        play.create("host");
        play.ask(Op::PartySettings, "host", &[], &json!({ "promotion": true }));
        let names = ["host", "a", "b"];
        play.join("a");
        play.join("b");
        let mut seen = [play.now_ms(); 3];
        for (who, pause) in beats {
            play.wait(pause);
            if play.heartbeat(names[who]).0 == 200 {
                seen[who] = play.now_ms();
            }
            let living = names.iter().find_map(|name| {
                let (status, body) = play.ask(Op::PartyPeers, name, &[], &NULL);
                (status == 200).then(|| body["peers"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
            }).unwrap_or_default();
            for (index, name) in names.iter().enumerate() {
                let silent = play.now_ms() - seen[index];
                let lives = living.contains(&(*name).to_owned());
                prop_assert!(lives || silent >= TTL_MS, "{name} went after {silent}");
                prop_assert!(!lives || silent <= TTL_MS + FLUSH_MS, "{name} stays after {silent}");
            }
        }
    }
}

#[test]
fn whoever_is_cut_off_by_a_crash_has_its_whole_time_and_no_more() {
    let mut play = play();
    play.create("host");
    let conn = play.open("host");
    let frame = play.register_frame("host");
    play.say(conn, &frame);
    play.wait(3_000_000);
    play.stage.crash();
    let crashed_at = play.now_ms();
    play.wait(TTL_MS - 1);
    assert_eq!(play.members("host"), ["host"]);
    for _ in 0..10 {
        play.wait(20_000);
        play.stage.evict();
    }
    assert_eq!(play.members("host"), Vec::<String>::new(), "{}", play.now_ms() - crashed_at);
}

#[test]
fn a_cut_off_peer_does_not_live_for_ever_by_hibernations() {
    let mut play = play();
    play.create("host");
    let conn = play.open("host");
    let frame = play.register_frame("host");
    play.say(conn, &frame);
    play.stage.crash();
    play.stage.evict_always = true;
    play.wait(2 * (TTL_MS + FLUSH_MS));
    assert_eq!(play.members("host"), Vec::<String>::new());
}

#[test]
fn a_host_that_goes_silent_ends_its_party_or_is_followed() {
    for (promotion, living) in [(false, vec![]), (true, vec!["guest"])] {
        let mut play = play();
        play.create("host");
        play.ask(Op::PartySettings, "host", &[], &json!({ "promotion": promotion }));
        play.join("guest");
        for _ in 0..20 {
            play.wait(30_000);
            play.heartbeat("guest");
        }
        assert_eq!(play.members("guest"), living);
    }
}

#[test]
fn the_time_to_live_is_a_setting() {
    let mut play = play_with(&[("PARTY_PEER_TTL_MS", "2000")]);
    play.create("host");
    play.wait(1_999);
    assert_eq!(play.members("host"), ["host"]);
    play.wait(500);
    assert_eq!(play.members("host"), Vec::<String>::new());
}

#[test]
fn others_are_told_as_soon_as_they_listen_again_also_after_a_crash() {
    let mut play = play();
    play.down.extend(["PartyIdentities", "PartyDirectory"]);
    play.create("host");
    play.join("guest");
    play.wait(5_000);
    assert_eq!((play.memberships.len(), play.census.as_deref(), rows(&play, "announcement")), (0, None, 3));
    play.leave("guest", "guest");
    play.stage.crash();
    play.down.clear();
    play.wait(400_000);
    assert_eq!((play.memberships["host"].as_str(), play.memberships["guest"].as_str()), ("left", "left"));
    assert_eq!((play.census.as_deref(), rows(&play, "announcement")), (Some("ended"), 0));
}

#[test]
fn a_whole_party_is_announced_gone_in_portions() {
    let mut play = play();
    play.create("p0");
    for number in 1..100 {
        play.join(&format!("p{number}"));
    }
    let reply = play.stage.call(&of(Op::PartyLeave, "p0", &["p0"], &NULL));
    assert_eq!(reply.status, 200);
    assert!(play.stage.errands.len() <= 24, "{}", play.stage.errands.len());
    play.settle();
    play.wait(1_000);
    assert!(play.memberships.values().all(|state| state == "left"));
    assert_eq!(rows(&play, "announcement"), 0);
}

#[test]
fn a_full_disk_changes_nothing_and_tells_nobody() {
    let mut play = play();
    play.create("host");
    let conn = play.open("host");
    play.inbox(conn);
    let dump = play.stage.database.dump();
    play.stage.database.refuse_commits();
    let body = json!({ "party_id": PARTY, "peer_info": play.me("x") });
    assert!(play.stage.try_call(&of(Op::PartyJoin, "x", &[], &body)).is_err());
    let leave = json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "host" });
    assert!(play.stage.try_say(conn, &leave.to_string()).is_err());
    assert_eq!(play.stage.database.dump(), dump);
    assert!(play.inbox(conn).is_empty());
    assert_eq!(play.members("host"), ["host"]);
}

#[test]
fn endless_strangers_leave_bounded_traces() {
    let mut play = play();
    play.create("host");
    let far: Far = (String::from("g"), 1);
    play.far_say(&far, "host", &play.register_frame("host"));
    for number in 0..1_500 {
        let name = format!("p{number}");
        assert_eq!(play.join(&name).0, 200);
        play.leave(&name, &name);
    }
    assert_eq!((rows(&play, "lease"), rows(&play, "member"), rows(&play, "announcement")), (1_024, 1, 0));
    play.down.insert("PartyIdentities");
    let refused = (0..2_000).find(|number| {
        let name = format!("q{number}");
        let status = play.join(&name).0;
        play.leave(&name, &name);
        status == 503
    });
    assert!(refused.is_some_and(|number| number <= 1_024), "{refused:?}");
    assert!(rows(&play, "announcement") <= 1_025);
    for number in 0..2_000 {
        let resume = ForwardWish::Resume;
        play.forward(&(String::from("g"), 9), &format!("r{number}"), resume);
    }
    assert!(rows(&play, "announcement") <= 1_025 && rows(&play, "listener") == 1);
}

#[test]
fn wrong_guesses_of_endless_networks_leave_bounded_traces() {
    let mut play = play();
    play.create("host");
    play.ask(Op::PartySettings, "host", &[], &json!({ "password": "sesame" }));
    let body = json!({ "party_id": PARTY, "peer_info": play.me("x"), "password": "wrong" });
    for number in 0..400 {
        let address = format!("198.51.{}.{}", number / 200, number % 200);
        let call = Play::from_network(of(Op::PartyJoin, "x", &[], &body), &address);
        assert_eq!(play.stage.call(&call).status, 403);
    }
    assert_eq!(rows(&play, "try"), 256);
}

#[test]
fn two_hundred_members_all_know_each_other() {
    let mut play = play();
    play.create("p0");
    let mut copies = Vec::new();
    for number in 0..200 {
        let name = format!("p{number}");
        let conn = play.open(&name);
        let frame = if number == 0 { play.register_frame(&name) } else { play.join_frame(&name) };
        play.say(conn, &frame);
        copies.push((conn, parties_play::Copy::default()));
    }
    let members = play.members("p7");
    assert_eq!(members.len(), 200);
    for (conn, copy) in &mut copies {
        play.stage.inbox(*conn).iter().for_each(|frame| copy.apply(frame));
        assert_eq!(copy.peers(), members);
    }
    let details = play.details("p7");
    let addresses: std::collections::BTreeSet<&str> =
        details["members"].as_array().unwrap().iter().map(|member| member["virtual_ip"].as_str().unwrap()).collect();
    assert_eq!(addresses.len(), 200);
    play.leave("p9", "p9");
    for (conn, copy) in &mut copies {
        let frames = play.stage.inbox(*conn);
        assert_eq!(frames.len(), 1, "one small frame, and not the whole party");
        frames.iter().for_each(|frame| copy.apply(frame));
        assert_eq!(copy.peers().len(), 199);
    }
}

#[test]
fn the_longest_peers_of_a_full_party_fit_into_what_a_client_takes() {
    let mut play = play();
    let peer = |number: usize| {
        let odd = "\u{1}";
        let peer_id = format!("{}{number:03}", odd.repeat(125));
        json!({
            "peer_id": peer_id, "name": odd.repeat(100), "public_key": odd.repeat(128), "nat_type": odd.repeat(32),
            "public_ip": odd.repeat(64), "public_port": 65535, "local_ip": odd.repeat(64), "local_port": 65535,
            "last_seen": "2027-01-15T08:00:00",
        })
    };
    for number in 0..256 {
        let me = peer(number);
        let name = me["peer_id"].as_str().unwrap().to_owned();
        let (operation, body) = match number {
            0 => (Op::PartyCreate, json!({ "name": "\u{1}".repeat(100), "host_peer_info": me })),
            _ => (Op::PartyJoin, json!({ "party_id": PARTY, "peer_info": me })),
        };
        assert_eq!(play.ask(operation, &name, &[], &body).0, 200);
    }
    let name = peer(5)["peer_id"].as_str().unwrap().to_owned();
    let conn = play.open(&name);
    let longest = play.stage.peers[&conn].inbox.iter().map(String::len).max().unwrap();
    assert!(longest > 900_000 && longest < 1 << 20, "{longest} bytes of a mebibyte");
    assert_eq!(play.join("one-more"), (409, json!({ "detail": format!("Party {PARTY} is full") })));
}

#[test]
fn addresses_are_the_same_after_leaving_and_hibernating() {
    let mut play = play();
    play.stage.evict_always = true;
    play.create("host");
    play.join("a");
    play.join("b");
    let before = play.detail_of("host", "b")["virtual_ip"].clone();
    play.leave("a", "a");
    play.leave("b", "b");
    play.join("c");
    play.join("b");
    assert_eq!(play.detail_of("host", "b")["virtual_ip"], before);
    assert_ne!(play.detail_of("host", "c")["virtual_ip"], before);
}
