//! Who speaks for a peer over a socket, which parties it hears of, and how a party that was begun twice is one party.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod parties_identity_support;
mod support;

use parties_identity_support::{HOUR, KEY, MINUTE, Shard, from, shard, shard_with};
use serde_json::json;
use support::body;
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::object::{Answer, Call, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::parties::identity::{BINDINGS_MAX, MEMBERSHIPS_MAX};

const HOME: &str = "203.0.113.1";
const AWAY: &str = "198.51.100.7";

fn asked(shard: &mut Shard) -> (Ticket, Class, String, Call) {
    let mut errands = shard.stage.take_errands();
    assert_eq!(errands.len(), 1, "{errands:?}");
    match errands.remove(0) {
        (ticket, Errand::Call { class, name, call }) => (ticket, class, name, *call),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_socket_speaks_for_an_id_that_is_nobodys_and_hears_of_its_parties() {
    for evicts in [false, true] {
        let mut shard = shard();
        shard.stage.evict_always = evicts;
        shard.member("p", "aaaaaaaaaaaa", "joined");
        shard.stage.wait(1);
        shard.member("p", "bbbbbbbbbbbb", "joined");
        shard.member("p", "bbbbbbbbbbbb", "joined");
        shard.member("q", "cccccccccccc", "joined");
        let claimed = shard.claim("p", None, ("07", 1), HOME);
        assert_eq!(body(&claimed), json!({ "peer_id": "p", "parties": ["aaaaaaaaaaaa", "bbbbbbbbbbbb"] }));
        shard.member("p", "aaaaaaaaaaaa", "left");
        shard.member("p", "aaaaaaaaaaaa", "left");
        let again = shard.claim("p", None, ("07", 1), HOME);
        assert_eq!(body(&again)["parties"], json!(["bbbbbbbbbbbb"]), "the same socket may ask again");
        assert!(shard.stage.take_errands().is_empty(), "and displaces nobody");
    }
}

#[test]
fn an_id_that_another_socket_speaks_for_is_not_given_to_a_stranger() {
    let mut shard = shard();
    assert_eq!(shard.claim("p", None, ("07", 1), HOME).status, 200);
    let refused = shard.claim("p", None, ("09", 4), AWAY);
    assert_eq!(refused.status, 409);
    assert_eq!(body(&refused), json!({ "detail": "Peer id p is in use", "gateway": "07", "conn": 1 }));
    assert_eq!(shard.release("p", ("09", 4)).status, 200, "what one does not hold one cannot release");
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 409);
    shard.stage.evict();
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 409, "a loss of memory releases nothing");
    assert_eq!(shard.release("p", ("07", 1)).status, 200);
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 200);
}

#[test]
fn a_neighbour_replaces_a_socket_without_token_and_the_older_one_is_told() {
    let mut shard = shard();
    shard.claim("p", None, ("07", 1), HOME);
    assert_eq!(shard.claim("p", None, ("07", 2), HOME).status, 200);
    let (ticket, class, name, call) = asked(&mut shard);
    assert_eq!((class, name.as_str(), call.operation), (Class::PartyGateway, "07", Operation::PartyRelease));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&call.body).unwrap(),
        json!({ "peer_id": "p", "gateway": "07", "conn": 1 })
    );
    shard.stage.tell(ticket, Outcome::Failed(Failure::TimedOut));
    shard.stage.evict();
    shard.stage.wait(0);
    asked(&mut shard);
    shard.stage.wait(10_000);
    let (ticket, _, _, _) = asked(&mut shard);
    shard.stage.tell(ticket, Outcome::Replied(Reply::json_text(String::from("{}"))));
    shard.stage.wait(HOUR);
    assert!(shard.stage.take_errands().is_empty(), "it is told until it answers");
    assert_eq!(shard.release("p", ("07", 1)).status, 200);
    assert_eq!(shard.claim("p", None, ("09", 1), AWAY).status, 409, "the older socket's end releases nothing");
}

#[test]
fn an_id_with_a_token_or_a_key_is_spoken_for_with_the_token_only() {
    let mut shard = shard();
    let token = shard.token("p");
    assert_eq!(shard.claim("p", None, ("07", 1), HOME).status, 200, "a token that was never used proves nothing yet");
    shard.admit(&token);
    let refused = shard.claim("p", None, ("07", 2), HOME);
    assert_eq!((refused.status, body(&refused)), (401, json!({ "detail": "Peer id p belongs to a token" })));
    assert_eq!(shard.claim("p", Some(&token), ("09", 1), AWAY).status, 200, "a token always wins");
    assert_eq!(asked(&mut shard).2, "07", "the older socket is told");
    assert_eq!(body(&shard.claim("", Some(&token), ("09", 2), AWAY))["peer_id"], "p", "a token says whose it is");
    asked(&mut shard);
    let other = shard.token("q");
    assert_eq!(shard.claim("p", Some(&other), ("09", 3), AWAY).status, 401);
    assert_eq!(shard.claim("p", Some("nonsense"), ("09", 3), AWAY).status, 401);
    let pair = waystation::kernel::keys::SigningPair::from_seed([3; 32]);
    let now = shard.stage.now;
    shard.token_of(now, &pair, "keyed");
    assert_eq!(shard.claim("keyed", None, ("07", 5), HOME).status, 401, "a key protects before the first use");
}

#[test]
fn a_release_that_was_overtaken_by_a_claim_releases_nothing() {
    let mut shard = shard();
    shard.stamped(Operation::PartyClaim, "7", "p", ("07", 1));
    shard.stamped(Operation::PartyRelease, "6", "p", ("07", 1));
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 409, "it was about an earlier socket");
    shard.stamped(Operation::PartyClaim, "5", "p", ("07", 1));
    shard.stamped(Operation::PartyRelease, "6", "p", ("07", 1));
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 409, "the newest claim counts, not the last to come");
    shard.stamped(Operation::PartyRelease, "8", "p", ("07", 1));
    assert_eq!(shard.claim("p", None, ("09", 4), AWAY).status, 200);
    assert!(shard.stage.take_errands().is_empty(), "a gateway that released its own socket need not be told");
}

#[test]
fn a_full_shard_forgets_sockets_that_are_gone_before_living_ones() {
    let mut shard = shard();
    shard.fill_with_sockets(BINDINGS_MAX, MEMBERSHIPS_MAX);
    assert_eq!(shard.claim("bound0", None, ("09", 1), AWAY).status, 409, "the oldest is alive");
    assert_eq!(shard.claim("new", None, ("09", 1), AWAY).status, 200);
    assert_eq!(shard.rows("binding"), BINDINGS_MAX);
    assert_eq!(shard.claim("bound0", None, ("09", 1), AWAY).status, 409, "and not forgotten");
    shard.member("new", "aaaaaaaaaaaa", "joined");
    assert_eq!(shard.rows("membership"), MEMBERSHIPS_MAX);
    assert_eq!(body(&shard.claim("new", None, ("09", 1), AWAY))["parties"], json!(["aaaaaaaaaaaa"]));
}

#[test]
fn a_network_begins_thirty_parties_a_minute() {
    let mut shard = shard();
    let begin = |shard: &mut Shard, peer_id: &str, index: usize| {
        let wish =
            PARTY.replace(r#""peer_id":"p""#, &format!(r#""peer_id":"{peer_id}""#)).replace("LAN", &format!("{index}"));
        matches!(shard.create(peer_id, None, &wish), Answer::Later(_))
    };
    for index in 0..30 {
        assert!(begin(&mut shard, ["a", "b", "c", "d"][index % 4], index), "{index}");
    }
    assert!(!begin(&mut shard, "d", 30));
    shard.stage.wait(2_000);
    assert!(begin(&mut shard, "d", 30));
}

#[test]
fn a_thousand_requests_wait_for_their_parties_and_no_more() {
    let mut shard = shard();
    let mut begin = |index: u32| {
        let peer_id = format!("p{index}");
        let wish = PARTY.replace(r#""peer_id":"p""#, &format!(r#""peer_id":"{peer_id}""#));
        let call = Call {
            principal: Principal::Peer,
            caller: Some(peer_id),
            client: from(index),
            body: wish.into_bytes(),
            ..support::call(Operation::PartyCreate)
        };
        shard.stage.begin(&call)
    };
    for index in 0..1_000 {
        assert!(matches!(begin(index), Answer::Later(_)), "{index}");
    }
    assert!(matches!(begin(1_000), Answer::Now(reply) if reply.status == 503));
}

#[test]
fn what_objects_ask_is_refused_to_everybody_else() {
    let mut shard = shard();
    let token = shard.token("p");
    for principal in [Principal::Anonymous, Principal::Peer, Principal::Operator] {
        for operation in
            [Operation::PartyAdmit, Operation::PartyClaim, Operation::PartyRelease, Operation::PartyMembership]
        {
            let wish = json!({ "token": token, "peer_id": "p", "gateway": "07", "conn": 1, "network": "n" });
            let call = Call { principal, body: wish.to_string().into_bytes(), ..support::call(operation) };
            assert_eq!(shard.stage.call(&call).status, 404, "{principal:?} {operation:?}");
        }
    }
}

#[test]
fn a_socket_that_others_call_gone_is_told_so() {
    let mut shard = shard();
    shard.stamped(Operation::PartyClaim, "7", "p", ("07", 1));
    shard.stamped(Operation::PartyRelease, "hearsay", "p", ("07", 1));
    let (_, class, name, call) = asked(&mut shard);
    assert_eq!((class, name.as_str(), call.operation), (Class::PartyGateway, "07", Operation::PartyRelease));
    assert_eq!(call.params, ["7"], "for the claim that it had");
}

#[test]
fn without_anonymous_sockets_everybody_shows_a_token() {
    let mut shard = shard_with(&[("PARTY_TOKEN_KEY", KEY), ("PARTY_ANONYMOUS_SOCKETS", "false")]);
    assert_eq!(shard.claim("p", None, ("07", 1), HOME).status, 401);
    let token = shard.token("p");
    assert_eq!(shard.claim("p", Some(&token), ("07", 1), HOME).status, 200);
}

#[test]
fn a_claim_uses_the_token_and_so_extends_it() {
    let mut shard = shard();
    let token = shard.token("p");
    shard.stage.now = shard.stage.now.plus(20 * HOUR);
    shard.claim("p", Some(&token), ("07", 1), HOME);
    shard.stage.now = shard.stage.now.plus(20 * HOUR);
    assert_eq!(shard.admit(&token).status, 200);
}

#[test]
fn an_id_that_lives_on_a_socket_cannot_be_registered_by_a_stranger() {
    let mut shard = shard();
    let home = from(1).as_str().to_owned();
    shard.claim("p", None, ("07", 1), &home);
    assert_eq!(shard.register_as("p", from(9), None, &[]).status, 409);
    shard.release("p", ("07", 1));
    shard.stage.wait(5 * MINUTE - 1);
    assert_eq!(shard.register_as("p", from(9), None, &[]).status, 409, "a client needs a moment to reconnect");
    shard.stage.now = shard.stage.now.plus(1);
    assert_eq!(shard.register_as("p", from(9), None, &[]).status, 200);
    shard.claim("q", None, ("07", 1), &home);
    assert_eq!(shard.register("q").status, 200, "its own network may");
}

#[test]
fn bindings_and_memberships_end() {
    let mut shard = shard();
    for conn in 0..20 {
        shard.claim(&format!("p{conn}"), None, ("07", conn), HOME);
    }
    for conn in 0..10 {
        shard.release(&format!("p{conn}"), ("07", conn));
    }
    shard.stage.wait(HOUR);
    assert_eq!(shard.rows("binding"), 10, "those that were released");
    shard.stage.wait(7 * 24 * HOUR);
    assert_eq!(shard.rows("binding"), 0, "and those that nobody ever released");
    for party in 0..40 {
        shard.stage.now = shard.stage.now.plus(1);
        shard.member("p", &format!("{party:012x}"), "joined");
    }
    assert_eq!(shard.rows("membership"), 32);
    let parties = body(&shard.claim("p", None, ("07", 1), HOME))["parties"].clone();
    assert_eq!((&parties[0], &parties[31]), (&json!(format!("{:012x}", 8)), &json!(format!("{:012x}", 39))));
}

const PARTY: &str = r#"{"name":"LAN","host_peer_info":{"peer_id":"p","name":"Me","public_key":"k","nat_type":"unknown",
    "public_ip":"unknown","public_port":0,"local_ip":"unknown","local_port":0,
    "last_seen":"2026-11-20T10:13:40.107294"}}"#;

fn begun(shard: &mut Shard, key: Option<&str>, wish: &str) -> (Ticket, String) {
    let Answer::Later(ticket) = shard.create("p", key, wish) else { panic!("answered at once") };
    let (errand, class, name, call) = asked(shard);
    assert_eq!((class, call.operation, &call.params), (Class::PartyRoom, Operation::PartyCreate, &vec![name.clone()]));
    assert_eq!((call.caller.as_deref(), call.body.as_slice()), (Some("p"), wish.as_bytes()));
    shard.stage.tell(errand, Outcome::Replied(Reply::json_text(format!("{{\"party_id\":\"{name}\"}}"))));
    (ticket, name)
}

#[test]
fn a_request_that_is_repeated_begins_one_party() {
    for evicts in [false, true] {
        let mut shard = shard();
        let (ticket, first) = begun(&mut shard, None, PARTY);
        assert_eq!(first.len(), 12);
        assert_eq!(shard.stage.answer(ticket).unwrap().header("Idempotent-Replayed"), None);
        for ms in [11_000, 12_000, 37_000 - 1] {
            shard.stage.wait(ms);
            if evicts {
                shard.stage.evict();
            }
            let (ticket, again) = begun(&mut shard, None, PARTY);
            assert_eq!(again, first);
            assert_eq!(shard.stage.answer(ticket).unwrap().header("Idempotent-Replayed"), Some("true"));
        }
        let (_, other) = begun(&mut shard, None, &PARTY.replace("LAN", "WAN"));
        assert_ne!(other, first, "another body is another party");
        shard.stage.wait(1);
        let (_, later) = begun(&mut shard, None, PARTY);
        assert_ne!(later, first, "a minute later it is meant");
    }
}

#[test]
fn an_idempotency_key_stands_for_one_party_for_a_day() {
    let mut shard = shard();
    let (_, first) = begun(&mut shard, Some("k"), PARTY);
    shard.stage.wait(24 * HOUR - 1);
    let (_, again) = begun(&mut shard, Some("k"), PARTY);
    assert_eq!(again, first);
    let Answer::Now(reply) = shard.create("p", Some("k"), &PARTY.replace("LAN", "WAN")) else { panic!("asked") };
    assert_eq!(reply.status, 422);
    let Answer::Now(reply) = shard.create("p", Some(&"k".repeat(256)), PARTY) else { panic!("asked") };
    assert_eq!(reply.status, 422);
    shard.stage.wait(1);
    assert_ne!(begun(&mut shard, Some("k"), PARTY).1, first);
}

#[test]
fn a_client_may_choose_the_id_of_its_party() {
    let mut shard = shard();
    let wish = |id: &str| PARTY.replacen('{', &format!(r#"{{"party_id":"{id}","#), 1);
    for id in ["0123456789ab", "0123456789abcdef0123"] {
        assert_eq!(begun(&mut shard, None, &wish(id)).1, id);
    }
    for id in ["0123456789a", "0123456789ABCD", "0123456789abcdef01234", "zzzzzzzzzzzz"] {
        let Answer::Now(reply) = shard.create("p", None, &wish(id)) else { panic!("asked about {id}") };
        assert_eq!((reply.status, &body(&reply)["detail"][0]["loc"]), (422, &json!(["body", "party_id"])), "{id}");
    }
    let dump = shard.stage.database.dump();
    for (wish, kind) in [("not json", "json_invalid"), (&PARTY.replace("LAN", ""), "string_too_short")] {
        let Answer::Now(reply) = shard.create("p", None, wish) else { panic!("asked") };
        assert_eq!((reply.status, &body(&reply)["detail"][0]["type"]), (422, &json!(kind)));
    }
    let Answer::Now(reply) = shard.create("q", None, PARTY) else { panic!("asked") };
    assert_eq!(reply.status, 403);
    assert_eq!(body(&reply)["detail"], "Token peer_id does not match host_peer_info.peer_id");
    assert_eq!(shard.stage.database.dump(), dump, "nothing of it is remembered");
}

#[test]
fn a_peer_begins_ten_parties_a_minute_and_all_are_forgotten() {
    let mut shard = shard();
    for index in 0..10 {
        begun(&mut shard, None, &PARTY.replace("LAN", &index.to_string()));
    }
    let Answer::Now(reply) = shard.create("p", None, PARTY) else { panic!("asked") };
    assert_eq!(reply.status, 429);
    assert!(reply.header("Retry-After").is_some());
    assert_eq!(begun(&mut shard, None, &PARTY.replace("LAN", "3")).1.len(), 12, "a repetition is no new party");
    for index in 10..60 {
        shard.stage.now = shard.stage.now.plus(6_000);
        begun(&mut shard, Some(&index.to_string()), PARTY);
    }
    assert!(shard.rows("creation") <= 16, "{}", shard.rows("creation"));
    shard.stage.wait(2 * 24 * HOUR);
    assert_eq!((shard.rows("creation"), shard.rows("allowance")), (0, 0));
}

#[test]
fn a_party_that_does_not_answer_is_said_to() {
    let mut shard = shard();
    let Answer::Later(ticket) = shard.create("p", None, PARTY) else { panic!("answered at once") };
    let (errand, _, _, _) = asked(&mut shard);
    shard.stage.tell(errand, Outcome::Failed(Failure::Other));
    assert_eq!(shard.stage.answer(ticket).unwrap().status, 503);
}
