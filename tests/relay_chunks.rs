//! Chunks and channels: the rows of edge-wire 2.2.3 and 2.3.2, their times, their limits, and what a crash leaves.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod relay_play;

use relay_play::{Registry, ask, ask_one, error, join, peer, registry, stats};
use serde_json::{Value, json};
use waystation::kernel::object::{Action, Conn, Frame, Object, Turn};
use waystation::kernel::sql::{Sql, Statement};

fn announce(stage: &mut Registry, conn: Conn, peer_id: &str, chunk: &str) -> Vec<Value> {
    let chunks = json!([{"chunkId":chunk,"routingHash":"h"}]);
    ask(stage, conn, &json!({"type":"chunk_announce","peerId":peer_id,"chunks":chunks}))
}

fn want(stage: &mut Registry, conn: Conn, peer_id: &str, chunk: &str) -> Vec<Value> {
    ask(stage, conn, &json!({"type":"chunk_request","peerId":peer_id,"chunkId":chunk}))
}

fn want_in(stage: &mut Registry, conn: Conn, peer_id: &str, chunk: &str) -> Vec<Value> {
    ask(stage, conn, &json!({"type":"chunk_request","peerId":peer_id,"chunkId":chunk,"channelId":"ch"}))
}

fn push(stage: &mut Registry, conn: Conn, chunk: &str, data: &Value) -> Vec<Value> {
    ask(stage, conn, &json!({"type":"chunk_push","chunkId":chunk,"data":data}))
}

fn pull(chunk: &str) -> Value {
    json!({"type":"chunk_pull","chunkId":chunk})
}

fn not_found(chunk: &str) -> Value {
    let message = "No online sources available. You will be notified when available.";
    json!({"type":"chunk_not_found","chunkId":chunk,"message":message})
}

fn data(chunk: &str, data: &str, source: &str) -> Value {
    json!({"type":"chunk_data","chunkId":chunk,"data":data,"source":source})
}

#[test]
fn a_requested_chunk_is_pulled_pushed_served_and_cached() {
    let mut stage = registry(&[]);
    let (source, first, second) = (peer(&mut stage, "s"), peer(&mut stage, "a"), peer(&mut stage, "b"));
    let ack = announce(&mut stage, source, "s", "c");
    assert_eq!(ack, [json!({"type":"chunk_announce_ack","registered":1})]);
    assert_eq!(want(&mut stage, first, "a", "c"), Vec::<Value>::new());
    assert_eq!(want(&mut stage, second, "b", "c"), Vec::<Value>::new());
    assert_eq!(stage.inbox(source), [pull("c")], "one pull for two requesters");
    let ack = push(&mut stage, source, "c", &json!("body"));
    assert_eq!(ack, [json!({"type":"chunk_push_ack","chunkId":"c"})]);
    assert_eq!(stage.inbox(first), [data("c", "body", "relay")]);
    assert_eq!(stage.inbox(second), [data("c", "body", "relay")]);
    assert_eq!(want(&mut stage, first, "a", "c"), [data("c", "body", "cache")]);
    assert_eq!(stage.inbox(source), Vec::<Value>::new());
}

#[test]
fn a_nameless_socket_cannot_push_in_anothers_name() {
    let mut stage = registry(&[]);
    let (_source, reader, nameless) = (peer(&mut stage, "s"), peer(&mut stage, "a"), join(&mut stage));
    let told = ask(&mut stage, nameless, &json!({"type":"chunk_push","peerId":"s","chunkId":"c","data":"forged"}));
    assert_eq!(told, [error("Peer ID already in use by another connection")]);
    assert_eq!(want(&mut stage, reader, "a", "c"), [not_found("c")], "nothing was cached");
}

#[test]
fn the_younger_dialect_names_the_channel_in_every_answer() {
    let mut stage = registry(&[]);
    let (source, asker, elder) = (peer(&mut stage, "s"), peer(&mut stage, "a"), peer(&mut stage, "e"));
    let none = json!({"type":"chunk_error","chunkId":"c","error":"No source available for chunk"});
    assert_eq!(want_in(&mut stage, asker, "a", "c"), [none]);
    assert_eq!(stats(&mut stage)["chunks"]["pendingRequests"], 0, "it is not queued");
    let chunks = json!([{"chunkId":"c"}]);
    let message = json!({"type":"chunk_announce","peerId":"s","channelId":"ch","chunks":chunks});
    assert_eq!(ask_one(&mut stage, source, &message)["registered"], 1);
    assert_eq!(want_in(&mut stage, asker, "a", "c"), [json!({"type":"chunk_pulling","chunkId":"c"})]);
    assert_eq!(want(&mut stage, elder, "e", "c"), Vec::<Value>::new());
    assert_eq!(stage.inbox(source), [json!({"type":"chunk_pull","chunkId":"c","channelId":"ch"})]);
    let message = json!({"type":"chunk_push","chunkId":"c","channelId":"ch","data":{"x":[1]}});
    let ack = ask_one(&mut stage, source, &message);
    assert_eq!(ack, json!({"type":"chunk_push_ack","chunkId":"c","cached":true,"servedCount":2}));
    let served = json!({"type":"chunk_data","chunkId":"c","channelId":"ch","data":{"x":[1]},"source":"relay"});
    assert_eq!(stage.inbox(asker), [served]);
    assert_eq!(stage.inbox(elder), [json!({"type":"chunk_data","chunkId":"c","data":{"x":[1]},"source":"relay"})]);
    let cached = json!({"type":"chunk_data","chunkId":"c","channelId":"ch","data":{"x":[1]},"source":"cache"});
    assert_eq!(want_in(&mut stage, asker, "a", "c"), [cached]);
}

#[test]
fn a_nameless_socket_cannot_ask_in_the_younger_dialect() {
    let mut stage = registry(&[]);
    let conn = join(&mut stage);
    let message = json!({"type":"chunk_request","chunkId":"c","channelId":"ch"});
    assert_eq!(ask_one(&mut stage, conn, &message), error("Not registered"));
    let message = json!({"type":"chunk_push","chunkId":"c","channelId":"ch","data":"d"});
    assert_eq!(ask_one(&mut stage, conn, &message), error("Not registered"));
}

#[test]
fn who_asks_before_there_is_a_source_is_served_later() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    assert_eq!(want(&mut stage, asker, "a", "c"), [not_found("c")]);
    assert_eq!(announce(&mut stage, source, "s", "c").last(), Some(&pull("c")));
    push(&mut stage, source, "c", &json!("late"));
    assert_eq!(stage.inbox(asker), [data("c", "late", "relay")]);
}

#[test]
fn a_silent_source_is_given_up_after_two_seconds_and_the_next_is_asked() {
    let mut stage = registry(&[]);
    let (one, two, asker) = (peer(&mut stage, "one"), peer(&mut stage, "two"), peer(&mut stage, "a"));
    announce(&mut stage, one, "one", "c");
    announce(&mut stage, two, "two", "c");
    want(&mut stage, asker, "a", "c");
    assert_eq!((stage.inbox(one), stage.inbox(two)), (vec![pull("c")], vec![]));
    stage.wait(1_999);
    assert_eq!(stage.inbox(two), Vec::<Value>::new());
    stage.wait(1);
    assert_eq!((stage.inbox(one), stage.inbox(two)), (vec![], vec![pull("c")]));
    stage.wait(2_000);
    assert_eq!(stage.inbox(asker), [not_found("c")], "told, and still waiting");
    push(&mut stage, one, "c", &json!("slow"));
    assert_eq!(stage.inbox(asker), [data("c", "slow", "relay")]);
}

#[test]
fn the_younger_dialects_requesters_leave_the_queue_when_no_source_answers() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    announce(&mut stage, source, "s", "c");
    want_in(&mut stage, asker, "a", "c");
    stage.wait(2_000);
    let none = json!({"type":"chunk_error","chunkId":"c","error":"No source available for chunk"});
    assert_eq!(stage.inbox(asker), [none]);
    assert_eq!(stats(&mut stage)["chunks"]["pendingRequests"], 0);
    want_in(&mut stage, asker, "a", "c");
    assert_eq!(stage.inbox(source).len(), 2, "who asks anew is worth another try");
}

#[test]
fn a_source_that_leaves_is_replaced_at_once() {
    let mut stage = registry(&[]);
    let (one, two, asker) = (peer(&mut stage, "one"), peer(&mut stage, "two"), peer(&mut stage, "a"));
    announce(&mut stage, one, "one", "c");
    announce(&mut stage, two, "two", "c");
    want(&mut stage, asker, "a", "c");
    stage.leave(one);
    assert_eq!(stage.inbox(two), [pull("c")]);
    stage.leave(two);
    assert_eq!(stage.inbox(asker), [not_found("c")]);
    assert_eq!(stats(&mut stage)["chunks"]["totalSources"], 0);
}

#[test]
fn a_requester_that_leaves_is_forgotten() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    want(&mut stage, asker, "a", "c");
    stage.leave(asker);
    assert_eq!(announce(&mut stage, source, "s", "c").len(), 1, "nobody waits, so nothing is pulled");
    assert_eq!(stats(&mut stage)["chunks"]["pendingRequests"], 0);
}

#[test]
fn the_only_source_is_pulled_from_even_when_it_is_the_requester() {
    let mut stage = registry(&[]);
    let both = peer(&mut stage, "b");
    announce(&mut stage, both, "b", "c");
    assert_eq!(want(&mut stage, both, "b", "c"), [pull("c")]);
    let other = peer(&mut stage, "o");
    announce(&mut stage, other, "o", "d");
    announce(&mut stage, both, "b", "d");
    want(&mut stage, other, "o", "d");
    assert_eq!(stage.inbox(both), [pull("d")], "another source goes first");
}

#[test]
fn a_thousand_requesters_of_a_cold_chunk_cost_one_pull_and_one_fan_out() {
    let mut stage = registry(&[]);
    let source = peer(&mut stage, "s");
    announce(&mut stage, source, "s", "c");
    let askers: Vec<(Conn, String)> = (0..1_000)
        .map(|index| {
            let name = format!("a{index}");
            let conn = join(&mut stage);
            want(&mut stage, conn, &name, "c");
            (conn, name)
        })
        .collect();
    assert_eq!(stage.inbox(source), [pull("c")]);
    let body = "x".repeat(65_534);
    let frame = json!({"type":"chunk_push","chunkId":"c","data":body}).to_string();
    let database = stage.database.clone();
    let mut actions = Vec::new();
    let mut turn = Turn { now: stage.now, entropy: &mut stage.entropy, sql: &*database, actions: &mut actions };
    stage.object.message(&mut turn, source, Frame::Text(&frame)).unwrap();
    let served: Vec<usize> = actions
        .iter()
        .filter_map(|action| match action {
            Action::SendMany { conns, text } if text.contains("chunk_data") => Some(conns.len()),
            _ => None,
        })
        .collect();
    assert_eq!(served, [1_000]);
    let said = actions.iter().filter(|action| !matches!(action, Action::Attach { .. })).count();
    assert_eq!(said, 2, "an acknowledgement and a fan-out");
    let (conn, name) = &askers[0];
    assert_eq!(want(&mut stage, *conn, name, "c"), [data("c", &body, "cache")]);
}

#[test]
fn the_size_limit_is_65536_units_of_json_text() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "s");
    for (body, units) in [("x".repeat(65_534), 65_536), ("é".repeat(65_534), 65_536), ("x".repeat(65_535), 65_537)] {
        let answer = push(&mut stage, conn, "c", &json!(body));
        if units <= 65_536 {
            assert_eq!(answer, [json!({"type":"chunk_push_ack","chunkId":"c"})]);
        } else {
            let words = format!("Chunk payload too large: {units} bytes exceeds 65536 byte limit");
            assert_eq!(answer, [error(&words)]);
        }
    }
}

// SHA-256 of "abc" (FIPS 180-2, B.1).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC_BASE64URL: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

#[test]
fn a_chunk_that_is_not_what_its_id_says_is_refused_and_its_source_is_asked_no_more() {
    for id in [ABC, ABC_BASE64URL] {
        let mut stage = registry(&[]);
        let (liar, honest, asker) = (peer(&mut stage, "l"), peer(&mut stage, "h"), peer(&mut stage, "a"));
        announce(&mut stage, liar, "l", id);
        announce(&mut stage, honest, "h", id);
        want(&mut stage, asker, "a", id);
        assert_eq!(stage.inbox(liar), [pull(id)]);
        assert_eq!(push(&mut stage, liar, id, &json!("abd")), [error("Chunk data does not match its id")]);
        assert_eq!(stage.inbox(asker), Vec::<Value>::new());
        assert_eq!(stage.inbox(honest), [pull(id)], "the next source at once");
        push(&mut stage, honest, id, &json!("YWJj"));
        assert_eq!(stage.inbox(asker), [data(id, "YWJj", "relay")]);
    }
}

#[test]
fn a_refused_source_is_not_believed_when_it_announces_again() {
    let mut stage = registry(&[]);
    let (liar, asker) = (peer(&mut stage, "l"), peer(&mut stage, "a"));
    announce(&mut stage, liar, "l", ABC);
    push(&mut stage, liar, ABC, &json!("abd"));
    assert_eq!(want(&mut stage, asker, "a", ABC), [not_found(ABC)]);
    assert_eq!(announce(&mut stage, liar, "l", ABC).len(), 1, "acknowledged, not asked");
    assert_eq!(push(&mut stage, liar, ABC, &json!({"payload":"YWJj","n":1})).len(), 1);
    assert_eq!(stage.inbox(asker).len(), 1, "true data is true whoever sends it");
}

#[test]
fn the_place_of_a_chunk_finds_it_where_it_is_known() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    let meta = |sequence: u64, index: u64| json!({"type":"chunk_request_meta","peerId":"a","routingHash":"h","sequence":sequence,"chunkIndex":index});
    let unknown = json!({"type":"chunk_error","routingHash":"h","sequence":4,"chunkIndex":0,
        "error":"No chunk known for this routing hash and sequence"});
    assert_eq!(ask_one(&mut stage, asker, &meta(4, 0)), unknown);
    for (id, index) in [("c0", 0), ("c1", 1)] {
        push(&mut stage, source, id, &json!({"routing_hash":"h","sequence":4,"chunk_index":index,"body":id}));
    }
    for (id, index) in [("c0", 0), ("c1", 1)] {
        let answer = ask_one(&mut stage, asker, &meta(4, index));
        assert_eq!((&answer["type"], &answer["chunkId"]), (&json!("chunk_data"), &json!(id)));
    }
    assert_eq!(ask_one(&mut stage, asker, &meta(5, 0))["type"], "chunk_error");
    let chunks = json!([{"chunkId":"c5","routingHash":"h","sequence":5,"chunkIndex":0}]);
    ask(&mut stage, source, &json!({"type":"chunk_announce","peerId":"s","chunks":chunks}));
    assert_eq!(ask(&mut stage, asker, &meta(5, 0)), Vec::<Value>::new());
    assert_eq!(stage.inbox(source), [pull("c5")]);
}

#[test]
fn items_without_routing_hash_count_only_in_the_younger_dialect() {
    let mut stage = registry(&[]);
    let source = peer(&mut stage, "s");
    let chunks = json!([{"chunkId":"a","routingHash":"h"},{"chunkId":"b"},{"routingHash":"h"},5]);
    let elder = json!({"type":"chunk_announce","peerId":"s","chunks":chunks});
    assert_eq!(ask_one(&mut stage, source, &elder)["registered"], 1);
    let younger = json!({"type":"chunk_announce","peerId":"s","channelId":"ch","chunks":chunks});
    assert_eq!(ask_one(&mut stage, source, &younger)["registered"], 2);
    let many: Vec<Value> = (0..101).map(|index| json!({"chunkId":index.to_string(),"routingHash":"h"})).collect();
    let many = json!({"type":"chunk_announce","peerId":"s","chunks":many});
    assert_eq!(ask_one(&mut stage, source, &many), error("Too many chunks in one message (max 100)"));
}

#[test]
fn the_cache_lets_go_what_was_not_wanted_for_the_longest_time() {
    let mut stage = registry(&[("CHUNK_CACHE_MAX", "3"), ("CHUNK_CACHE_TTL_MS", "60000")]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    for id in ["a", "b", "c"] {
        push(&mut stage, source, id, &json!(id));
        stage.wait(1);
    }
    assert_eq!(want(&mut stage, asker, "a", "a").len(), 1);
    stage.wait(1);
    push(&mut stage, source, "d", &json!("d"));
    assert_eq!(want(&mut stage, asker, "a", "b"), [not_found("b")], "b and not a, which was read after b was pushed");
    for id in ["a", "c", "d"] {
        assert_eq!(want(&mut stage, asker, "a", id), [data(id, id, "cache")]);
    }
    assert_eq!(stats(&mut stage)["chunks"]["cachedChunks"], 3);
}

#[test]
fn reading_a_cached_chunk_writes_at_most_once_per_grain() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    push(&mut stage, source, "c", &json!("x"));
    let before = stage.database.rows_written();
    for _ in 0..500 {
        want(&mut stage, asker, "a", "c");
        stage.now = stage.now.plus(100);
    }
    assert_eq!(stage.database.rows_written(), before, "50 s of reading");
    stage.now = stage.now.plus(10_000);
    want(&mut stage, asker, "a", "c");
    assert_eq!(stage.database.rows_written(), before + 1);
    assert_eq!(stats(&mut stage)["chunks"]["cacheAccesses"], 501);
}

#[test]
fn sources_pending_requests_and_cached_chunks_end_with_their_times() {
    let mut stage = registry(&[
        ("CHUNK_SOURCE_TTL_MS", "1000"),
        ("CHUNK_PENDING_TTL_MS", "1000"),
        ("CHUNK_CACHE_TTL_MS", "1000"),
        ("SWEEP_INTERVAL_MS", "500"),
    ]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    push(&mut stage, source, "cached", &json!("x"));
    announce(&mut stage, source, "s", "announced");
    want(&mut stage, asker, "a", "wanted");
    stage.wait(1_000);
    stage.inbox(asker);
    assert_eq!(want(&mut stage, asker, "a", "cached"), [not_found("cached")]);
    assert_eq!(want(&mut stage, asker, "a", "announced"), [not_found("announced")]);
    assert_eq!(announce(&mut stage, source, "s", "wanted").len(), 1);
    stage.leave(asker);
    stage.leave(source);
    stage.wait(2_000);
    assert_eq!(stage.object.deadline(), None, "nothing is left to sweep");
    assert!(stage.database.dump().iter().all(|row| row.starts_with("schema_version")));
}

#[test]
fn a_crash_keeps_dead_drops_and_the_cache_and_nothing_of_the_sockets() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    let message = json!({"type":"register_rendezvous","peerId":"a","dailyPoints":["p"],"hourlyTokens":["t"],
        "deadDrop":"x"});
    ask(&mut stage, a, &message);
    push(&mut stage, a, "c", &json!("body"));
    announce(&mut stage, a, "a", "announced");
    want(&mut stage, b, "b", "wanted");
    for role in ["channel-owner-register", "channel-subscribe"] {
        ask(&mut stage, a, &json!({"type":role,"channelId":"ch"}));
    }
    stage.crash();
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    let message = json!({"type":"register_rendezvous","peerId":"b","dailyPoints":["p"],"hourlyTokens":["t"]});
    let found = ask_one(&mut stage, b, &message);
    assert_eq!(found["deadDrops"], json!([{"peerId":"a","deadDrop":"x"}]));
    assert_eq!(found["liveMatches"], json!([]), "the tokens were those of a socket that is gone");
    assert_eq!(want(&mut stage, b, "b", "c"), [data("c", "body", "cache")]);
    assert_eq!(want(&mut stage, b, "b", "announced"), [not_found("announced")]);
    assert_eq!(announce(&mut stage, a, "a", "wanted").len(), 1);
    assert_eq!(ask_one(&mut stage, b, &json!({"type":"channel-owner-register","channelId":"ch"}))["channelId"], "ch");
    stage.wait(300_000);
    let members = stage.database.dump().into_iter().filter(|row| row.starts_with("channel_member")).count();
    assert_eq!(members, 0, "the peers fell silent, the orphans were swept");
}

#[test]
fn a_refused_commit_emits_nothing_and_changes_nothing() {
    let mut stage = registry(&[]);
    let (source, asker) = (peer(&mut stage, "s"), peer(&mut stage, "a"));
    announce(&mut stage, source, "s", "c");
    let before = stage.database.dump();
    stage.database.refuse_commits();
    for message in [
        json!({"type":"chunk_request","peerId":"a","chunkId":"c"}),
        json!({"type":"register_rendezvous","peerId":"a","dailyPoints":["p"],"deadDrop":"x"}),
        json!({"type":"channel-subscribe","channelId":"ch"}),
        json!({"type":"chunk_push","chunkId":"c","data":"x"}),
    ] {
        assert!(stage.try_say(asker, &message.to_string()).is_err(), "{message}");
    }
    assert_eq!((stage.inbox(source), stage.inbox(asker)), (vec![], vec![]));
    assert_eq!(stage.database.dump(), before);
    assert_eq!(
        ask_one(&mut stage, asker, &json!({"type":"chunk_request_meta","peerId":"a","routingHash":"x"}))["type"],
        "chunk_error",
        "a read goes on"
    );
}

fn say_in(stage: &mut Registry, conn: Conn, kind: &str, rest: &Value) -> Vec<Value> {
    let mut message = json!({"type":kind,"channelId":"ch"});
    message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    ask(stage, conn, &message)
}

#[test]
fn a_channel_has_one_owner_while_that_lives() {
    let mut stage = registry(&[]);
    let (one, two) = (join(&mut stage), join(&mut stage));
    let registered = json!({"type":"channel-owner-registered","channelId":"ch"});
    for _ in 0..2 {
        assert_eq!(say_in(&mut stage, one, "channel-owner-register", &json!({})), std::slice::from_ref(&registered));
    }
    let taken = say_in(&mut stage, two, "channel-owner-register", &json!({}));
    assert_eq!(taken, [error("Channel already has an active owner")]);
    stage.leave(one);
    assert_eq!(say_in(&mut stage, two, "channel-owner-register", &json!({})), [registered]);
}

#[test]
fn upstream_messages_reach_the_owner_or_wait_for_it_in_order() {
    let mut stage = registry(&[]);
    let (owner, fan) = (join(&mut stage), join(&mut stage));
    let word = |id: &str| json!({"message":{"id":id,"body":"hi"},"ephemeralPublicKey":"k"});
    let stranger = say_in(&mut stage, fan, "upstream-message", &word("m0"));
    assert_eq!(stranger, [error("Not subscribed to this channel")]);
    let subscribed = say_in(&mut stage, fan, "channel-subscribe", &json!({}));
    assert_eq!(subscribed, [json!({"type":"channel-subscribed","channelId":"ch"})]);
    for id in ["m1", "m2"] {
        let ack = say_in(&mut stage, fan, "upstream-message", &word(id));
        assert_eq!(ack, [json!({"type":"upstream-ack","channelId":"ch","messageId":id})]);
    }
    let greeted = say_in(&mut stage, owner, "channel-owner-register", &json!({}));
    let ids: Vec<&Value> = greeted[1..].iter().map(|frame| &frame["message"]["id"]).collect();
    assert_eq!(ids, ["m1", "m2"]);
    assert_eq!(greeted[1]["ephemeralPublicKey"], "k");
    let ack = say_in(&mut stage, fan, "upstream-message", &json!({"message":"plain"}));
    assert_eq!(ack[0]["messageId"], Value::Null);
    assert_eq!(stage.inbox(owner).len(), 1);
    assert_eq!(say_in(&mut stage, owner, "channel-owner-register", &json!({})).len(), 1, "the queue is empty");
}

#[test]
fn upstream_messages_are_limited_per_minute_per_queue_and_in_time() {
    let mut stage = registry(&[]);
    for round in 0..4 {
        let fan = join(&mut stage);
        say_in(&mut stage, fan, "channel-subscribe", &json!({}));
        for sent in 0..31 {
            let answer = say_in(&mut stage, fan, "upstream-message", &json!({"message":"m"}));
            let expected = match (round, sent) {
                (_, 30) if round < 3 => error("Upstream rate limit exceeded. Please slow down."),
                (3, 10..) => error("Upstream queue is full. Please try again later."),
                _ => json!({"type":"upstream-ack","channelId":"ch","messageId":null}),
            };
            assert_eq!(answer, [expected], "round {round}, {sent} sent");
        }
    }
    stage.wait(300_000);
    let owner = join(&mut stage);
    assert_eq!(say_in(&mut stage, owner, "channel-owner-register", &json!({})).len(), 1, "five minutes are over");
}

#[test]
fn a_stream_reaches_its_subscribers_those_who_come_later_and_ends_with_its_owner() {
    let mut stage = registry(&[]);
    let (owner, early, late) = (join(&mut stage), join(&mut stage), join(&mut stage));
    say_in(&mut stage, owner, "channel-owner-register", &json!({}));
    say_in(&mut stage, early, "channel-subscribe", &json!({}));
    let stream = json!({"streamId":"s","title":"t"});
    let stranger = say_in(&mut stage, early, "stream-start", &stream);
    assert_eq!(stranger, [error("Only the channel owner can start a stream")]);
    let started = say_in(&mut stage, owner, "stream-start", &stream);
    assert_eq!(started, [json!({"type":"stream-started","streamId":"s","channelId":"ch","subscriberCount":1})]);
    let start = json!({"type":"stream-start","streamId":"s","channelId":"ch","title":"t"});
    assert_eq!(stage.inbox(early), std::slice::from_ref(&start));
    let greeted = say_in(&mut stage, late, "channel-subscribe", &json!({}));
    assert_eq!(greeted, [json!({"type":"channel-subscribed","channelId":"ch"}), start]);
    let frame = json!({"streamId":"s","frame":"f"});
    assert_eq!(say_in(&mut stage, early, "stream-frame", &frame), Vec::<Value>::new());
    assert_eq!(say_in(&mut stage, owner, "stream-frame", &frame), Vec::<Value>::new());
    let sent = json!({"type":"stream-frame","streamId":"s","channelId":"ch","frame":"f"});
    assert_eq!((stage.inbox(early), stage.inbox(late)), (vec![sent.clone()], vec![sent]));
    let ended = say_in(&mut stage, owner, "stream-end", &json!({"streamId":"s"}));
    let end = |kind: &str| json!({"type":kind,"streamId":"s","channelId":"ch"});
    assert_eq!((ended, stage.inbox(early)), (vec![end("stream-ended")], vec![end("stream-end")]));
    say_in(&mut stage, owner, "stream-start", &stream);
    stage.inbox(late);
    stage.leave(owner);
    assert_eq!(stage.inbox(late), [end("stream-end")]);
}

#[test]
fn subscribers_are_told_of_new_and_of_cached_chunks() {
    let mut stage = registry(&[]);
    let (source, early, late) = (peer(&mut stage, "s"), join(&mut stage), join(&mut stage));
    say_in(&mut stage, early, "channel-subscribe", &json!({}));
    say_in(&mut stage, source, "channel-subscribe", &json!({}));
    let chunks = json!([{"chunkId":"c1"},{"chunkId":"c2"}]);
    let ack = say_in(&mut stage, source, "chunk_announce", &json!({"peerId":"s","chunks":chunks}));
    assert_eq!(ack.len(), 1, "not told of one's own");
    let available = |ids: &[&str]| json!({"type":"chunk_available","channelId":"ch","chunkIds":ids});
    assert_eq!(stage.inbox(early), [available(&["c1", "c2"])]);
    say_in(&mut stage, source, "chunk_push", &json!({"chunkId":"c1","data":"x"}));
    let greeted = say_in(&mut stage, late, "channel-subscribe", &json!({}));
    assert_eq!(greeted[1], available(&["c1"]));
}

#[test]
fn what_one_socket_may_hold_is_bounded() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "p");
    for index in 0..256 {
        assert_eq!(want(&mut stage, conn, "p", &format!("c{index}")).len(), 1);
        ask(&mut stage, conn, &json!({"type":"channel-subscribe","channelId":format!("ch{index}")}));
    }
    assert_eq!(want(&mut stage, conn, "p", "more"), [error("Too many pending chunk requests on this connection")]);
    assert_eq!(want(&mut stage, conn, "p", "c7").len(), 1, "again is not more");
    let more = ask_one(&mut stage, conn, &json!({"type":"channel-subscribe","channelId":"more"}));
    assert_eq!(more, error("Too many channels on this connection"));
    for round in 0..21 {
        let chunks: Vec<Value> =
            (0..100).map(|index| json!({"chunkId":format!("{round}-{index}"),"routingHash":"h"})).collect();
        let message = json!({"type":"chunk_announce","peerId":"p","chunks":chunks});
        let answer = ask_one(&mut stage, conn, &message);
        let refused = answer == error("Too many announced chunks on this connection");
        assert_eq!(refused, round == 20, "round {round}");
    }
}

#[test]
fn announcing_again_shortly_after_costs_no_row() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "p");
    let chunks: Vec<Value> = (0..100).map(|index| json!({"chunkId":index.to_string(),"routingHash":"h"})).collect();
    let message = json!({"type":"chunk_announce","peerId":"p","chunks":chunks});
    ask(&mut stage, conn, &message);
    let before = stage.database.rows_written();
    stage.now = stage.now.plus(300_000);
    ask(&mut stage, conn, &message);
    assert_eq!(stage.database.rows_written(), before);
    stage.now = stage.now.plus(300_000);
    ask(&mut stage, conn, &message);
    assert!(stage.database.rows_written() >= before + 100, "and later it does");
}

#[test]
fn a_rooms_tables_collide_with_nobodys() {
    let stage = registry(&[]);
    let rows = stage.database.read(Statement::plain("SELECT name FROM sqlite_master WHERE type = 'table'")).unwrap();
    for row in rows {
        let name = row.text(0).unwrap();
        let ours = ["relay_", "rendezvous_", "chunk_", "channel_"].iter().any(|prefix| name.starts_with(prefix));
        assert!(ours || name == "schema_version", "{name}");
    }
}
