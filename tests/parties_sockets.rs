//! Sockets of a party, its own and those of gateways: what they say and what they hear.
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

use parties_play::{Copy, Far, PARTY, Play, introduction, of, play, play_with};
use serde_json::{Value, json};
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation as Op;
use waystation::parties::wire::service::ForwardWish;

const NULL: Value = Value::Null;

fn two() -> Play {
    let mut play = play();
    assert_eq!(play.create("host").0, 200);
    assert_eq!(play.join("guest").0, 200);
    play
}

fn far(conn: u32) -> Far {
    (String::from("gateway-1"), conn)
}

fn read_all(texts: &[String]) -> Vec<Value> {
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn copy_of(frames: &[Value]) -> Copy {
    let mut copy = Copy::default();
    frames.iter().for_each(|frame| copy.apply(frame));
    copy
}

#[test]
fn a_member_that_connects_is_sent_the_party() {
    let mut play = two();
    let conn = play.open("guest");
    let frames = play.inbox(conn);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].as_object().unwrap().len(), 2);
    assert_eq!(copy_of(&frames).peers(), ["guest", "host"]);
    assert_eq!(play.detail_of("guest", "guest")["online"], true);
}

#[test]
fn a_stranger_hears_that_it_is_none_until_it_joins() {
    let mut play = two();
    let conn = play.open("x");
    let copy = copy_of(&play.inbox(conn));
    assert_eq!((copy.errors, copy.party), (vec![format!("Not a member of party {PARTY}")], None));
    play.join("y");
    assert!(play.inbox(conn).is_empty(), "and nothing about others");
    let frame = play.join_frame("x");
    play.say(conn, &frame);
    assert_eq!(copy_of(&play.inbox(conn)).peers(), ["guest", "host", "x", "y"]);
}

#[test]
fn a_socket_opens_a_party_and_joining_twice_is_answered_twice() {
    let mut play = play();
    let host = play.open("host");
    assert_eq!(copy_of(&play.inbox(host)).errors, [format!("Party {PARTY} not found")]);
    let frame = play.register_frame("host");
    play.say(host, &frame);
    assert_eq!(copy_of(&play.inbox(host)).peers(), ["host"]);
    let guest = play.open("guest");
    play.inbox(guest);
    for _ in 0..2 {
        let frame = play.join_frame("guest");
        play.say(guest, &frame);
        assert_eq!(play.types(guest), ["party_update"]);
    }
    let (frames, guest_frame) = (play.inbox(host), play.register_frame("guest"));
    assert_eq!(copy_of(&frames).peers(), ["guest", "host"]);
    play.say(guest, &guest_frame);
    assert_eq!(copy_of(&play.inbox(guest)).errors, [format!("Party {PARTY} already exists")]);
}

#[test]
fn members_by_http_and_by_sockets_see_each_other() {
    let mut play = two();
    let (own, remote) = (play.open("host"), far(1));
    play.forward(&remote, "guest", ForwardWish::Resume);
    let mut copies = [copy_of(&play.inbox(own)), copy_of(&play.far_inbox(&remote))];
    play.join("by-http");
    let frame = play.join_frame("by-socket");
    let late = play.open("by-socket");
    play.say(late, &frame);
    play.far_say(&far(2), "by-gateway", &play.join_frame("by-gateway"));
    play.leave("by-http", "by-http");
    play.inbox(own).iter().for_each(|frame| copies[0].apply(frame));
    play.far_inbox(&remote).iter().for_each(|frame| copies[1].apply(frame));
    let everybody = ["by-gateway", "by-socket", "guest", "host"];
    assert_eq!(play.members("host"), everybody);
    for copy in &copies {
        assert_eq!(copy.peers(), everybody);
    }
    assert_eq!(copy_of(&play.far_inbox(&far(2))).peers(), everybody);
}

#[test]
fn an_endpoint_change_is_pushed_at_once() {
    let mut play = two();
    let (host, guest) = (play.open("host"), play.open("guest"));
    play.inbox(host);
    play.say(guest, &json!({ "type": "update_peer", "party_id": PARTY, "peer": { "public_port": 7777 } }));
    let copy = copy_of(&play.inbox(host));
    assert_eq!(copy.party.unwrap()["peers"]["guest"]["public_port"], 7777);
    play.ask(Op::PartyUpdatePeer, "guest", &["guest"], &json!({ "public_ip": "192.0.2.9" }));
    assert_eq!(copy_of(&play.inbox(host)).party.unwrap()["peers"]["guest"]["public_ip"], "192.0.2.9");
    play.inbox(guest);
    play.say(guest, &json!({ "type": "update_peer", "peer": { "peer_id": "host", "public_port": 1 } }));
    assert_eq!(copy_of(&play.inbox(guest)).errors, ["Token peer_id does not match requested peer_id"]);
}

#[test]
fn signals_reach_sockets_with_the_senders_true_name_after_the_party_is_known() {
    let mut play = two();
    let (host, guest) = (play.open("host"), far(1));
    play.forward(&guest, "guest", ForwardWish::Resume);
    play.inbox(host);
    let forged = json!({ "type": "signal", "party_id": PARTY, "from_peer_id": "x", "to_peer_id": "host",
        "signal_data": { "sdp": "v=0" } });
    play.far_say(&guest, "guest", &forged);
    let frames = play.inbox(host);
    let expected = json!({ "type": "signal", "party_id": PARTY, "from_peer_id": "guest", "to_peer_id": "host",
        "signal_data": { "sdp": "v=0" } });
    assert_eq!(frames, [expected]);
    let (_, answer) = play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest" }));
    assert_eq!(answer, json!({ "status": "sent" }));
    assert_eq!(copy_of(&play.far_inbox(&guest)).signals[0]["signal_data"], json!({}));
}

#[test]
fn signals_that_waited_come_with_the_socket_and_only_once() {
    let mut play = two();
    play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest", "signal_data": { "n": 1 } }));
    let guest = play.open("guest");
    assert_eq!(copy_of(&play.inbox(guest)).signals.len(), 1, "after the party, so that the client takes it");
    assert_eq!(play.ask(Op::PartySignalPoll, "guest", &["guest"], &NULL).1, json!({ "signals": [] }));
}

#[test]
fn a_signal_that_a_gateways_socket_did_not_take_is_kept() {
    let mut play = two();
    play.forward(&far(1), "guest", ForwardWish::Resume);
    play.far.clear();
    play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest", "signal_data": { "n": 1 } }));
    assert_eq!(play.detail_of("host", "guest")["online"], false, "the party has learnt that the socket is gone");
    play.forward(&far(2), "guest", ForwardWish::Resume);
    assert_eq!(copy_of(&play.far_inbox(&far(2))).signals.len(), 1);
}

#[test]
fn a_gateway_that_does_not_answer_is_sent_everything_when_it_does() {
    let mut play = two();
    play.forward(&far(1), "guest", ForwardWish::Resume);
    play.down.insert("PartyGateway");
    play.ask(Op::PartySignalSend, "host", &[], &json!({ "to_peer_id": "guest", "signal_data": { "n": 1 } }));
    play.join("x");
    play.far_inbox(&far(1));
    play.wait(1_500);
    play.down.clear();
    play.wait(10_000);
    let copy = copy_of(&play.far_inbox(&far(1)));
    assert_eq!(copy.peers(), ["guest", "host", "x"]);
    assert_eq!(copy.signals.len(), 1);
}

#[test]
fn a_gateway_that_is_gone_for_good_is_forgotten() {
    let mut play = two();
    play.forward(&far(1), "guest", ForwardWish::Resume);
    play.down.insert("PartyGateway");
    play.join("x");
    play.wait(60_000);
    assert_eq!(play.detail_of("host", "guest")["online"], false);
    assert!(!play.stage.database.dump().join("\n").contains("gateway-1"));
}

#[test]
fn everybody_is_told_when_the_host_goes_and_hears_nothing_afterwards() {
    let mut play = two();
    let (host, guest, remote) = (play.open("host"), play.open("guest"), far(1));
    play.far_say(&remote, "x", &play.join_frame("x"));
    play.inbox(host);
    play.inbox(guest);
    play.far_inbox(&remote);
    play.say(host, &json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "host" }));
    let left = json!({ "type": "peer_left", "party_id": PARTY, "peer_id": "host" });
    for frames in [play.inbox(host), play.inbox(guest), play.far_inbox(&remote)] {
        assert_eq!(frames, std::slice::from_ref(&left));
    }
    play.create("y");
    assert!(play.inbox(guest).is_empty() && play.far_inbox(&remote).is_empty());
}

#[test]
fn a_kicked_peers_sockets_hear_it_and_then_nothing() {
    let mut play = two();
    let (host, guest) = (play.open("host"), play.open("guest"));
    play.inbox(host);
    play.inbox(guest);
    play.say(host, &json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "guest" }));
    assert_eq!(play.types(guest), ["peer_left"]);
    assert_eq!(play.types(host), ["peer_left"]);
    play.join("x");
    assert!(play.inbox(guest).is_empty());
    play.say(guest, &json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "guest" }));
    assert_eq!(copy_of(&play.inbox(guest)).errors, ["Peer guest not found"]);
    let frame = play.join_frame("guest");
    play.say(guest, &frame);
    assert_eq!(copy_of(&play.inbox(guest)).peers(), ["guest", "host", "x"]);
}

#[test]
fn a_promotion_is_pushed() {
    let mut play = two();
    play.ask(Op::PartySettings, "host", &[], &json!({ "promotion": true }));
    let guest = play.open("guest");
    play.inbox(guest);
    play.leave("host", "host");
    let copy = copy_of(&play.inbox(guest));
    assert_eq!((copy.peers(), &copy.party.unwrap()["host_id"]), (vec![String::from("guest")], &json!("guest")));
}

#[test]
fn only_ones_own_peer_is_spoken_for() {
    let mut play = two();
    let guest = play.open("guest");
    play.inbox(guest);
    for (frame, sentence) in [
        (play.join_frame("host"), "Token peer_id does not match peer_info.peer_id"),
        (play.register_frame("host"), "Token peer_id does not match host_peer_info.peer_id"),
        (json!({ "type": "leave_party", "peer_id": "host" }), "Token peer_id does not match requested peer_id"),
        (json!({ "type": "heartbeat", "peer_id": "host" }), "Token peer_id does not match requested peer_id"),
        (json!({ "type": "auth", "peer_id": "host" }), "Token peer_id does not match requested peer_id"),
        (json!({ "type": "heartbeat", "party_id": "another" }), "This is party 0123456789ab"),
        (json!({ "type": "dance" }), "Unknown message type: dance"),
    ] {
        let dump = play.stage.database.dump();
        play.say(guest, &frame);
        assert_eq!(copy_of(&play.inbox(guest)).errors, [sentence], "{frame}");
        assert_eq!(play.stage.database.dump(), dump, "{frame}");
    }
}

#[test]
fn each_socket_reads_times_by_its_own_clock() {
    let mut play = play();
    play.create("host");
    let conn = play.open("guest");
    let me = introduction("guest", play.now_ms(), 345);
    play.say(conn, &json!({ "type": "join_party", "party_id": PARTY, "peer": me }));
    let copy = copy_of(&play.inbox(conn));
    let party = copy.party.unwrap();
    assert_eq!(party["created_at"], "2027-01-15T13:45:00.000000");
    assert_eq!(party["peers"]["host"]["last_seen"], "2027-01-15T13:45:00.000000");
    let host = play.open("host");
    assert_eq!(copy_of(&play.inbox(host)).party.unwrap()["created_at"], "2027-01-15T08:00:00.000000");
    let again = play.open("guest");
    assert_eq!(copy_of(&play.inbox(again)).party.unwrap()["created_at"], "2027-01-15T13:45:00.000000");
}

#[test]
fn listeners_are_sent_fresh_times_before_their_clients_forget_everybody() {
    for evict in [false, true] {
        let mut play = play();
        play.stage.evict_always = evict;
        let conn = play.open("host");
        let frame = play.register_frame("host");
        play.say(conn, &frame);
        play.inbox(conn);
        for _ in 0..20 {
            play.wait(240_000);
            let frames = play.inbox(conn);
            assert!(!frames.is_empty(), "one update in every four minutes");
            let party = copy_of(&frames).party.unwrap();
            let seen = party["peers"]["host"]["last_seen"].as_str().unwrap().to_owned();
            let age = play.now_ms() - stamp_ms(&seen);
            assert!(age <= 240_000, "{age}");
        }
    }
}

fn stamp_ms(naive: &str) -> u64 {
    let start = waystation::kernel::time::Timestamp::from_millis(1_800_000_000_000);
    (0..10_000_000)
        .step_by(500)
        .map(|ms| start.plus(ms))
        .find(|at| at.to_iso().starts_with(naive.get(..23).unwrap()))
        .unwrap()
        .as_millis()
}

#[test]
fn a_socket_shows_its_token_first_and_in_time() {
    let mut play = two();
    let token = play.token("guest");
    let conn = play.knock();
    play.say(conn, &json!({ "type": "heartbeat" }));
    assert_eq!(copy_of(&play.inbox(conn)).errors, ["Authenticate first"]);
    play.say(conn, &json!({ "type": "auth", "token": token }));
    assert_eq!(copy_of(&play.inbox(conn)).peers(), ["guest", "host"]);
    play.wait(20_000);
    assert_eq!(play.stage.closed(conn), None);
    let late = play.knock();
    play.wait(9_999);
    assert_eq!(play.stage.closed(late), None);
    play.wait(1);
    assert_eq!(play.stage.closed(late), Some((4401, "Authentication timed out")));
}

#[test]
fn a_bad_token_closes_the_socket() {
    let mut play = two();
    let unknown = play.token("guest");
    play.tokens.clear();
    for frame in [
        json!({ "type": "auth", "token": unknown }),
        json!({ "type": "auth", "token": "x" }),
        json!({ "type": "hello" }),
    ] {
        let conn = play.knock();
        play.say(conn, &frame);
        assert_eq!(play.stage.closed(conn), Some((4401, "Invalid or expired token")), "{frame}");
        assert_eq!(copy_of(&play.inbox(conn)).errors, ["Invalid or expired token"]);
    }
    play.down.insert("PartyIdentities");
    let conn = play.knock();
    play.say(conn, &json!({ "type": "auth", "token": unknown }));
    assert_eq!(play.stage.closed(conn), Some((1013, "Try again later")));
}

#[test]
fn what_is_said_before_the_token_is_looked_at_is_done_afterwards_even_after_hibernation() {
    for evict in [false, true] {
        let mut play = two();
        play.stage.evict_always = evict;
        let token = play.token("x");
        let conn = play.knock();
        play.stage.say(conn, &json!({ "type": "auth", "token": token }).to_string());
        let errands = play.stage.take_errands();
        let join = play.join_frame("x");
        play.stage.say(conn, &join.to_string());
        for _ in 0..20 {
            play.stage.say(conn, &json!({ "type": "heartbeat" }).to_string());
        }
        let refused = copy_of(&play.inbox(conn)).errors;
        assert_eq!(refused.len(), 13, "eight messages are held");
        errands.into_iter().for_each(|(ticket, errand)| play.run(ticket, errand));
        play.settle();
        assert_eq!(copy_of(&play.inbox(conn)).peers(), ["guest", "host", "x"]);
    }
}

#[test]
fn sockets_strangers_messages_and_their_sizes_are_limited() {
    let mut play = two();
    for _ in 0..64 {
        play.knock();
    }
    let mut knock = of(Op::PartySocket, "", &[], &NULL);
    knock.caller = None;
    assert_eq!(play.stage.try_open(&knock).unwrap_err().status, 503);
    let conn = play.open("guest");
    play.inbox(conn);
    for _ in 0..301 {
        play.stage.say(conn, &json!({ "type": "heartbeat" }).to_string());
    }
    assert_eq!(copy_of(&play.inbox(conn)).errors, ["Too many messages"]);
    play.wait(60_000);
    play.stage.say_binary(conn, b"{}");
    assert_eq!(copy_of(&play.inbox(conn)).errors, ["Invalid JSON"]);
    play.stage.say(conn, &format!("{{\"type\":\"{}\"}}", "x".repeat(64 * 1024)));
    assert_eq!(play.stage.closed(conn), Some((1009, "Message too large")));
    assert_eq!(play.detail_of("host", "guest")["online"], false);
    play.ask(Op::PartySettings, "host", &[], &json!({ "peers_max": 256 }));
    let full = (0..700).find(|number| {
        let name = format!("p{}", number / 4);
        play.join(&name);
        play.stage.try_open(&of(Op::PartySocket, &name, &[], &NULL)).is_err_and(|refusal| refusal.status == 503)
    });
    assert_eq!(full, Some(600));
}

#[test]
fn outsiders_can_neither_fill_a_party_nor_stay() {
    let mut play = two();
    let outsiders: Vec<Conn> = (0..64).map(|number| play.open(&format!("x{number}"))).collect();
    let refused = play.stage.try_open(&of(Op::PartySocket, "late", &[], &NULL)).unwrap_err();
    assert_eq!(refused.status, 503);
    let guest = play.open("guest");
    let frame = play.join_frame("x0");
    play.say(outsiders[0], &frame);
    play.wait(60_000);
    assert_eq!((play.stage.closed(guest), play.stage.closed(outsiders[0])), (None, None));
    assert!(outsiders[1..].iter().all(|conn| play.stage.closed(*conn) == Some((4403, "Not a member"))));
    play.leave("host", "guest");
    play.wait(60_000);
    assert_eq!(play.stage.closed(guest), Some((4403, "Not a member")), "who is kicked has as long");
}

#[test]
fn a_peers_fifth_socket_costs_its_first() {
    let mut play = two();
    let conns: Vec<Conn> = (0..5).map(|_| play.open("guest")).collect();
    assert_eq!(play.stage.closed(conns[0]), Some((4409, "Replaced by a newer connection")));
    assert!(conns[1..].iter().all(|conn| play.stage.closed(*conn).is_none()));
}

#[test]
fn a_socket_that_speaks_keeps_its_peer_and_one_that_only_came_back_does_not() {
    for evict in [false, true] {
        let mut play = play_with(&[("PARTY_PEER_TTL_MS", "300000")]);
        play.stage.evict_always = evict;
        play.create("host");
        let host = play.open("host");
        let frame = play.register_frame("host");
        play.say(host, &frame);
        play.join("ghost");
        let ghost = play.open("ghost");
        let far_one = far(1);
        play.far_say(&far_one, "far", &play.join_frame("far"));
        play.wait(3_600_000);
        assert_eq!(play.members("host"), ["far", "host"]);
        assert_eq!(copy_of(&play.inbox(ghost)).peers(), ["far", "host"], "it was told that it is out");
        play.forward(&far_one, "far", ForwardWish::Gone);
        play.stage.leave(host);
        play.wait(299_000);
        assert_eq!(play.members("host"), ["far", "host"], "their time began when their sockets went");
        play.wait(62_000);
        assert_eq!(play.members("host"), Vec::<String>::new());
        assert_eq!(play.census.as_deref(), Some("ended"));
    }
}

#[test]
fn a_resumed_socket_that_is_no_members_heals_what_the_identities_believe() {
    let mut play = two();
    let forwarded = play.forward(&far(1), "x", ForwardWish::Resume);
    assert_eq!((forwarded.frames.len(), forwarded.subscribed), (0, false));
    assert_eq!(play.memberships["x"], "left");
}

#[test]
fn a_forward_is_answered_with_the_sockets_own_frames_and_whether_it_listens() {
    let mut play = play();
    let host = far(1);
    let opened = play.far_say(&host, "host", &play.register_frame("host"));
    assert_eq!((read_all(&opened.frames)[0]["type"].as_str(), opened.subscribed), (Some("party_update"), true));
    let refused = play.far_say(&host, "host", &json!({ "type": "signal", "to_peer_id": "x" }));
    assert_eq!(read_all(&refused.frames), [json!({ "type": "error", "message": "Peer x not in party" })]);
    assert!(refused.subscribed);
    let left = play.far_say(&host, "host", &json!({ "type": "leave_party", "party_id": PARTY, "peer_id": "host" }));
    assert!(!left.subscribed);
    let large = play.forward(&host, "host", ForwardWish::Frame("x".repeat(64 * 1024 + 1)));
    assert_eq!(read_all(&large.frames), [json!({ "type": "error", "message": "Message too large" })]);
}

#[test]
fn a_listener_that_was_lost_has_its_party_back_when_it_speaks() {
    let mut play = two();
    let answered =
        play.far_say(&far(1), "guest", &json!({ "type": "heartbeat", "party_id": PARTY, "peer_id": "guest" }));
    assert!(answered.subscribed);
    assert_eq!(copy_of(&play.far_inbox(&far(1))).peers(), ["guest", "host"]);
}

#[test]
fn a_gateway_is_sent_one_delivery_at_a_time_so_that_frames_keep_their_order() {
    let mut play = two();
    play.forward(&far(1), "guest", ForwardWish::Resume);
    play.far_inbox(&far(1));
    for number in 0..5 {
        let signal = json!({ "to_peer_id": "guest", "signal_data": { "n": number } });
        play.stage.call(&of(Op::PartySignalSend, "host", &[], &signal));
    }
    assert_eq!(play.stage.errands.len(), 1);
    play.settle();
    let numbers: Vec<Value> = play.far_inbox(&far(1)).iter().map(|frame| frame["signal_data"]["n"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4].map(Value::from));
}

#[test]
fn what_waits_for_a_slow_gateway_is_bounded_and_made_good() {
    let mut play = two();
    play.forward(&far(1), "guest", ForwardWish::Resume);
    play.far_inbox(&far(1));
    for _ in 0..700 {
        let signal = json!({ "to_peer_id": "guest", "signal_data": { "x": "y".repeat(16_000) } });
        play.stage.call(&of(Op::PartySignalSend, "host", &[], &signal));
    }
    let body = json!({ "party_id": PARTY, "peer_info": play.me("late") });
    play.stage.call(&of(Op::PartyJoin, "late", &[], &body));
    let memory = format!("{:?}", play.stage.object).len();
    assert!(memory < 20 << 20, "{memory}");
    play.settle();
    play.wait(5_000);
    assert!(copy_of(&play.far_inbox(&far(1))).peers().contains(&String::from("late")));
}

#[test]
fn only_gateways_forward_and_only_what_can_be_read() {
    let mut play = two();
    let forward = json!({ "gateway": "g", "conn": 1, "wish": "resume" });
    let mut call = of(Op::PartyForward, "guest", &[], &forward);
    assert_eq!(play.stage.call(&call).status, 404, "a peer");
    call.principal = waystation::kernel::object::Principal::Service;
    assert_eq!(play.stage.call(&call).status, 200);
    call.body = b"{}".to_vec();
    assert_eq!(play.stage.call(&call).status, 422);
    call.caller = None;
    assert_eq!(play.stage.call(&call).status, 401);
}
