//! The rows of edge-wire 2.2 and of 2.3.2 (relay, rendezvous, chunks, channels), one by one.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod relay_play;

use relay_play::support::{body, call};
use relay_play::{Registry, ask, ask_one, error, join, peer, registry, stats};
use serde_json::{Value, json};
use waystation::kernel::object::Conn;
use waystation::kernel::operation::Operation;

fn names(answer: &Value) -> Vec<String> {
    let relays = answer["relays"].as_array().expect("relays");
    let mut names: Vec<String> = relays.iter().map(|relay| relay["peerId"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn load(stage: &mut Registry, conn: Conn, peer_id: &str, connected: u32) {
    let answer = ask_one(stage, conn, &json!({"type":"update_load","peerId":peer_id,"connectedCount":connected}));
    assert_eq!(answer, json!({"type":"load_updated","peerId":peer_id,"connectedCount":connected}));
}

#[test]
fn a_socket_is_not_greeted_and_a_ping_is_answered() {
    let mut stage = registry(&[]);
    let conn = join(&mut stage);
    assert_eq!(stage.inbox(conn), Vec::<Value>::new());
    assert_eq!(ask_one(&mut stage, conn, &json!({"type":"ping"})), json!({"type":"pong"}));
}

#[test]
fn registering_lists_the_relays_with_room_but_never_oneself() {
    let mut stage = registry(&[]);
    let first = join(&mut stage);
    let message = json!({"type":"register","peerId":"a","maxConnections":4,"publicKey":"key a,b"});
    assert_eq!(ask_one(&mut stage, first, &message), json!({"type":"registered","peerId":"a","relays":[]}));
    load(&mut stage, first, "a", 1);
    let second = join(&mut stage);
    assert_eq!(
        ask_one(&mut stage, second, &json!({"type":"register","peerId":"b"})),
        json!({"type":"registered","peerId":"b","relays":[{"peerId":"a","publicKey":"key a,b","capacity":0.25}]})
    );
    let asked = ask_one(&mut stage, first, &json!({"type":"get_relays","peerId":"a"}));
    assert_eq!(asked, json!({"type":"relays","relays":[{"peerId":"b","publicKey":null,"capacity":0}]}));
}

#[test]
fn a_relay_at_exactly_half_is_not_listed_and_one_below_is() {
    for (max, connected, listed) in
        [(4, 1, true), (4, 2, false), (5, 2, true), (5, 3, false), (1, 0, true), (1, 1, false)]
    {
        let mut stage = registry(&[]);
        let relay = join(&mut stage);
        ask(&mut stage, relay, &json!({"type":"register","peerId":"r","maxConnections":max}));
        load(&mut stage, relay, "r", connected);
        let asker = join(&mut stage);
        let answer = ask_one(&mut stage, asker, &json!({"type":"get_relays"}));
        assert_eq!(!names(&answer).is_empty(), listed, "{connected} of {max}");
    }
}

#[test]
fn registering_again_keeps_the_load() {
    let mut stage = registry(&[]);
    let relay = peer(&mut stage, "r");
    load(&mut stage, relay, "r", 15);
    ask(&mut stage, relay, &json!({"type":"register","peerId":"r","maxConnections":100}));
    let asker = join(&mut stage);
    let answer = ask_one(&mut stage, asker, &json!({"type":"get_relays"}));
    assert_eq!(answer["relays"][0]["capacity"], 0.15);
    assert_eq!(stats(&mut stage)["relays"]["totalCapacity"], 100);
}

#[test]
fn the_count_of_relays_is_clamped_to_1_and_100() {
    let mut stage = registry(&[]);
    for index in 0..105 {
        peer(&mut stage, &format!("relay-{index}"));
    }
    let asker = join(&mut stage);
    for (count, expected) in
        [(json!(null), 10), (json!(3), 3), (json!(0), 1), (json!(-5), 1), (json!(1e9), 100), (json!("x"), 10)]
    {
        let answer = ask_one(&mut stage, asker, &json!({"type":"get_relays","count":count}));
        let mut listed = names(&answer);
        listed.dedup();
        assert_eq!(listed.len(), expected, "count {count}");
    }
}

#[test]
fn a_heartbeat_is_acknowledged_with_the_time() {
    let mut stage = registry(&[]);
    let conn = join(&mut stage);
    let now = stage.now.as_millis();
    let answer = ask_one(&mut stage, conn, &json!({"type":"heartbeat","peerId":"anybody"}));
    assert_eq!(answer, json!({"type":"heartbeat_ack","timestamp":now}));
}

#[test]
fn a_socket_speaks_only_for_the_peer_it_registered() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "own");
    for message in [
        json!({"type":"update_load","peerId":"other","connectedCount":1}),
        json!({"type":"get_relays","peerId":"other"}),
        json!({"type":"heartbeat","peerId":"other"}),
        json!({"type":"register_rendezvous","peerId":"other"}),
        json!({"type":"chunk_announce","peerId":"other","chunks":[{"chunkId":"c","routingHash":"h"}]}),
        json!({"type":"chunk_request","peerId":"other","chunkId":"c"}),
        json!({"type":"chunk_push","peerId":"other","chunkId":"c","data":"d"}),
    ] {
        let answer = ask_one(&mut stage, conn, &message);
        assert_eq!(answer, error("peerId mismatch with registered identity"), "{message}");
    }
    let again = ask_one(&mut stage, conn, &json!({"type":"register","peerId":"other"}));
    assert_eq!(again, error("Cannot re-register with a different peerId"));
}

#[test]
fn a_peer_id_is_taken_while_its_socket_lives_and_free_afterwards() {
    let mut stage = registry(&[]);
    let first = peer(&mut stage, "p");
    let second = join(&mut stage);
    for message in [
        json!({"type":"register","peerId":"p"}),
        json!({"type":"register_rendezvous","peerId":"p"}),
        json!({"type":"chunk_announce","peerId":"p","chunks":[{"chunkId":"c","routingHash":"h"}]}),
        json!({"type":"chunk_request","peerId":"p","chunkId":"c"}),
    ] {
        let answer = ask_one(&mut stage, second, &message);
        assert_eq!(answer, error("Peer ID already in use by another connection"), "{message}");
    }
    stage.leave(first);
    let answer = ask_one(&mut stage, second, &json!({"type":"register","peerId":"p"}));
    assert_eq!(answer["type"], "registered");
}

#[test]
fn a_socket_that_refused_to_register_can_still_not_change_anothers_load() {
    let mut stage = registry(&[]);
    peer(&mut stage, "p");
    let stranger = join(&mut stage);
    load(&mut stage, stranger, "p", 20);
    assert_eq!(stats(&mut stage)["relays"]["totalConnected"], 0);
}

#[test]
fn what_todays_apps_report_as_load_is_no_error_and_counts_for_a_registered_peer() {
    let mut stage = registry(&[]);
    let message = json!({"type":"update_load","sourceId":"x","connectedCount":3,"maxCapacity":20});
    let stranger = join(&mut stage);
    assert_eq!(ask(&mut stage, stranger, &message), Vec::<Value>::new());
    let relay = peer(&mut stage, "r");
    let answer = ask_one(&mut stage, relay, &message);
    assert_eq!(answer, json!({"type":"load_updated","peerId":"r","connectedCount":3}));
    assert_eq!(stats(&mut stage)["relays"]["totalConnected"], 3);
}

#[test]
fn what_is_out_of_range_is_refused_in_the_servers_words() {
    let mut stage = registry(&[]);
    let conn = join(&mut stage);
    let id = "Invalid peerId: must be 1-128 alphanumeric characters, hyphens, or underscores";
    let max = "maxConnections must be a finite number between 1 and 1000";
    for (message, words) in [
        (json!({"type":"register"}), "Missing required field: peerId"),
        (json!({"type":"register","peerId":""}), "Missing required field: peerId"),
        (json!({"type":"register","peerId":"a b"}), id),
        (json!({"type":"register","peerId":"x".repeat(129)}), id),
        (json!({"type":"register","peerId":7}), id),
        (json!({"type":"register","peerId":"p","maxConnections":0}), max),
        (json!({"type":"register","peerId":"p","maxConnections":1001}), max),
        (json!({"type":"register","peerId":"p","maxConnections":"20"}), max),
        (json!({"type":"register","peerId":"p","maxConnections":-1}), max),
        (json!({"type":"update_load","connectedCount":1}), "Missing required field: peerId"),
        (json!({"type":"update_load","peerId":"p","connectedCount":-1}), "Invalid connectedCount"),
        (json!({"type":"update_load","peerId":"p","connectedCount":10001}), "Invalid connectedCount"),
        (json!({"type":"update_load","peerId":"p"}), "Invalid connectedCount"),
        (json!({"type":"heartbeat"}), "Missing required field: peerId"),
        (json!({"type":"register_rendezvous"}), "Missing required field: peerId"),
        (json!({"type":"chunk_announce"}), "Missing required field: peerId"),
        (json!({"type":"chunk_announce","peerId":"p"}), "Missing or empty chunks array"),
        (json!({"type":"chunk_announce","peerId":"p","chunks":[]}), "Missing or empty chunks array"),
        (json!({"type":"chunk_request","peerId":"p"}), "Missing required fields: peerId, chunkId"),
        (json!({"type":"chunk_request","chunkId":"c"}), "Missing required fields: peerId, chunkId"),
        (json!({"type":"chunk_push","chunkId":"c"}), "Missing required fields: chunkId, data"),
        (json!({"type":"chunk_push","chunkId":"c","data":""}), "Missing required fields: chunkId, data"),
        (json!({"type":"chunk_push","data":"d"}), "Missing required fields: chunkId, data"),
        (json!({"type":"channel-owner-register","channelId":""}), "Invalid channel ID"),
        (json!({"type":"channel-subscribe","channelId":"x".repeat(257)}), "Invalid channel ID"),
        (json!({"type":"nonsense"}), "Unknown message type: nonsense"),
    ] {
        assert_eq!(ask_one(&mut stage, conn, &message), error(words), "{message}");
    }
    assert_eq!(stats(&mut stage)["relays"]["totalPeers"], 0);
    assert!(stage.database.dump().iter().all(|row| row.starts_with("schema_version")));
}

fn rendezvous(stage: &mut Registry, conn: Conn, rest: &Value) -> Value {
    let mut message = json!({"type":"register_rendezvous"});
    message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    ask_one(stage, conn, &message)
}

#[test]
fn a_dead_drop_is_found_by_the_other_peer_and_reading_does_not_consume_it() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    let first = rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p1","p2"],"deadDrop":"for b"}));
    assert_eq!(first, json!({"type":"rendezvous_result","liveMatches":[],"deadDrops":[]}));
    for _ in 0..2 {
        let found = rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p2","p1","p3"],"relayId":"r"}));
        let drop = json!({"peerId":"a","deadDrop":"for b"});
        assert_eq!(found, json!({"type":"rendezvous_result","liveMatches":[],"deadDrops":[drop, drop]}));
    }
    assert_eq!(stage.inbox(a), Vec::<Value>::new(), "the earlier peer is told nothing");
}

#[test]
fn registering_again_without_a_drop_takes_it_back() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p"],"deadDrop":"x"}));
    rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p"]}));
    let found = rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p"]}));
    assert_eq!(found["deadDrops"], json!([]));
}

#[test]
fn both_spellings_and_the_map_of_drops_are_understood() {
    for (points, tokens, drops) in
        [("dailyPoints", "hourlyTokens", "deadDrops"), ("daily_points", "hourly_tokens", "dead_drops")]
    {
        let mut stage = registry(&[]);
        let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
        rendezvous(
            &mut stage,
            a,
            &json!({"peerId":"a", points:["p1","p2"], tokens:["t"], drops:{"p2":"two","p9":"no"}}),
        );
        let found = rendezvous(&mut stage, b, &json!({"peerId":"b", points:["p1","p2"], tokens:["t"]}));
        assert_eq!(found["deadDrops"], json!([{"peerId":"a","deadDrop":"two"}]));
        assert_eq!(found["liveMatches"], json!([{"peerId":"a"}]));
        assert_eq!(stage.inbox(a), [json!({"type":"rendezvous_match","match":{"peerId":"b"}})]);
        assert_eq!(rendezvous(&mut stage, b, &json!({"peerId":"b"}))["deadDrops"], json!([]));
    }
}

#[test]
fn a_live_match_goes_to_both_sides_once_and_names_the_relay_only_if_there_is_one() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    rendezvous(&mut stage, a, &json!({"peerId":"a","hourlyTokens":["t1","t2"],"relayId":"ra"}));
    let found = rendezvous(&mut stage, b, &json!({"peerId":"b","hourlyTokens":["t2","t1"],"relayId":"rb"}));
    assert_eq!(found["liveMatches"], json!([{"peerId":"a","relayId":"ra"}]));
    assert_eq!(stage.inbox(a), [json!({"type":"rendezvous_match","match":{"peerId":"b","relayId":"rb"}})]);
}

#[test]
fn a_peer_that_is_gone_is_not_matched_but_its_dead_drop_is_found() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p"],"hourlyTokens":["t"],"deadDrop":"x"}));
    stage.leave(a);
    let found = rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p"],"hourlyTokens":["t"]}));
    assert_eq!(found["liveMatches"], json!([]));
    assert_eq!(found["deadDrops"], json!([{"peerId":"a","deadDrop":"x"}]));
}

#[test]
fn dead_drops_go_with_the_connection_where_the_operator_wants_the_seeds_rule() {
    let mut stage = registry(&[("RENDEZVOUS_KEEP_DEAD_DROPS", "false")]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p"],"deadDrop":"x"}));
    stage.leave(a);
    let found = rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p"]}));
    assert_eq!(found["deadDrops"], json!([]));
}

#[test]
fn by_the_seeds_rule_a_crash_ends_the_drops_of_those_it_cut_off() {
    for (keep, expected) in [("true", json!([{"peerId":"a","deadDrop":"x"}])), ("false", json!([]))] {
        let mut stage = registry(&[("RENDEZVOUS_KEEP_DEAD_DROPS", keep)]);
        let a = peer(&mut stage, "a");
        rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p"],"deadDrop":"x"}));
        stage.crash();
        let b = peer(&mut stage, "b");
        let found = rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p"]}));
        assert_eq!(found["deadDrops"], expected, "keep: {keep}");
    }
}

#[test]
fn hundreds_of_tokens_fit_one_message_and_one_commit() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    let tokens: Vec<String> = (0..900).map(|index| format!("hr_{index:0>40}")).collect();
    rendezvous(&mut stage, a, &json!({"peerId":"a","hourly_tokens":tokens}));
    let commits = stage.database.commits();
    let found = rendezvous(&mut stage, b, &json!({"peerId":"b","hourly_tokens":tokens}));
    assert_eq!(found["liveMatches"], json!([{"peerId":"a"}]));
    assert_eq!(stage.database.commits(), commits + 1);
}

#[test]
fn rendezvous_members_over_their_limits_are_refused_and_nothing_is_stored() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "a");
    let many: Vec<String> = (0..2_001).map(|index| index.to_string()).collect();
    for (rest, words) in [
        (json!({"dailyPoints":many}), "Too many daily points in one message (max 2000)"),
        (json!({"hourly_tokens":many}), "Too many hourly tokens in one message (max 2000)"),
        (
            json!({"dailyPoints":["x".repeat(129)]}),
            "Invalid message: register_rendezvous: dailyPoints must be an array of strings",
        ),
        (json!({"hourlyTokens":"t"}), "Invalid message: register_rendezvous: hourlyTokens must be an array of strings"),
        (
            json!({"dailyPoints":["p"],"deadDrop":"x".repeat(4_097)}),
            "Invalid message: register_rendezvous: deadDrop must be a string of at most 4096 characters",
        ),
        (json!({"relayId":5}), "Invalid message: register_rendezvous: relayId must be a string"),
        (json!({"relayId":"x".repeat(129)}), "Invalid message: register_rendezvous: relayId must be a string"),
    ] {
        let mut rest = rest;
        rest["peerId"] = json!("a");
        assert_eq!(rendezvous(&mut stage, conn, &rest), error(words));
    }
    assert_eq!(stats(&mut stage)["rendezvous"]["totalEntries"], 0);
}

#[test]
fn what_is_stored_of_a_rendezvous_does_not_hold_points_or_tokens() {
    let mut stage = registry(&[]);
    let conn = peer(&mut stage, "a");
    rendezvous(&mut stage, conn, &json!({"peerId":"a","dailyPoints":["day_secret"],"hourlyTokens":["hr_secret"]}));
    let dump = stage.database.dump().join("\n");
    assert!(dump.contains("rendezvous_point") && dump.contains("rendezvous_token"));
    assert!(!dump.contains("secret"));
    assert!(!dump.contains("203.0.113"));
}

#[test]
fn a_network_that_puts_in_too_much_is_refused_for_a_while() {
    let mut stage = registry(&[("SIGNAL_MESSAGES_PER_MINUTE", "2")]);
    let (a, b) = (join(&mut stage), join(&mut stage));
    let many = |from: usize| -> Vec<String> { (from..from + 600).map(|index| index.to_string()).collect() };
    let first = rendezvous(&mut stage, a, &json!({"peerId":"a","hourlyTokens":many(0)}));
    assert_eq!(first["type"], "rendezvous_result");
    let second = rendezvous(&mut stage, b, &json!({"peerId":"b","hourlyTokens":many(600)}));
    assert_eq!(second, error("Too many entries from this network. Please slow down."));
    assert_eq!(stats(&mut stage)["rendezvous"]["hourlyEntries"], 600);
    stage.wait(60_000);
    let third = rendezvous(&mut stage, b, &json!({"peerId":"b","hourlyTokens":many(600)}));
    assert_eq!(third["type"], "rendezvous_result");
}

#[test]
fn statistics_count_everything() {
    let mut stage = registry(&[]);
    let (a, b) = (peer(&mut stage, "a"), peer(&mut stage, "b"));
    load(&mut stage, b, "b", 12);
    rendezvous(&mut stage, a, &json!({"peerId":"a","dailyPoints":["p","q"],"hourlyTokens":["t"]}));
    rendezvous(&mut stage, b, &json!({"peerId":"b","dailyPoints":["p"],"hourlyTokens":["t"]}));
    ask(&mut stage, a, &json!({"type":"chunk_announce","peerId":"a","chunks":[{"chunkId":"c","routingHash":"h"}]}));
    ask(&mut stage, b, &json!({"type":"chunk_request","peerId":"b","chunkId":"d"}));
    ask(&mut stage, a, &json!({"type":"chunk_push","chunkId":"e","data":"x"}));
    ask(&mut stage, b, &json!({"type":"chunk_request","peerId":"b","chunkId":"e"}));
    assert_eq!(
        stats(&mut stage),
        json!({
            "relays": {"totalPeers":2,"totalCapacity":40,"totalConnected":12,"availableRelays":1},
            "rendezvous": {"dailyPoints":2,"hourlyTokens":1,"totalEntries":5,"dailyEntries":3,"hourlyEntries":2},
            "chunks": {"trackedChunks":2,"totalSources":2,"cachedChunks":1,"pendingRequests":1,
                "cacheAccesses":1,"mostAccesses":0},
            "connections": 2
        })
    );
}

#[test]
fn readiness_is_answered_and_other_operations_are_not_here() {
    let mut stage = registry(&[]);
    let ready = stage.call(&call(Operation::Probe));
    assert_eq!((ready.status, body(&ready)), (200, json!({"ok":true})));
    assert_eq!(stage.call(&call(Operation::ServersList)).status, 404);
    assert_eq!(stage.try_open(&call(Operation::SignalRoot)).expect_err("refused").status, 404);
}

#[test]
fn what_is_no_message_is_refused_and_the_socket_stays() {
    let mut stage = registry(&[]);
    let conn = join(&mut stage);
    for (frame, words) in [
        ("", "Invalid message format: JSON parse error"),
        ("{", "Invalid message format: JSON parse error"),
        ("null", "Invalid message: Message must be a JSON object"),
        ("[]", "Invalid message: Message must be a JSON object"),
        ("{}", "Invalid message: Missing or invalid \"type\" field"),
        (r#"{"type":5}"#, "Invalid message: Missing or invalid \"type\" field"),
    ] {
        stage.say(conn, frame);
        assert_eq!(stage.inbox(conn), [error(words)], "{frame}");
    }
    stage.say_binary(conn, &[0xff, 0xfe]);
    assert_eq!(stage.inbox(conn), [error("Invalid message format: JSON parse error")]);
    stage.say_binary(conn, br#"{"type":"ping"}"#);
    assert_eq!(stage.inbox(conn), [json!({"type":"pong"})]);
    let deep = format!(r#"{{"type":"chunk_push","chunkId":"c","data":{}1{}}}"#, "[".repeat(80), "]".repeat(80));
    stage.say(conn, &deep);
    assert_eq!(stage.inbox(conn), [error("Invalid message format: JSON parse error")]);
    assert_eq!(stage.closed(conn), None);
}

#[test]
fn limits_on_frames_messages_and_sockets_hold() {
    let mut stage = registry(&[
        ("SIGNAL_MESSAGES_PER_MINUTE", "3"),
        ("SIGNAL_SOCKETS_PER_ADDRESS", "2"),
        ("SIGNAL_SOCKETS_MAX", "3"),
    ]);
    let talker = join(&mut stage);
    for _ in 0..3 {
        assert_eq!(ask_one(&mut stage, talker, &json!({"type":"ping"})), json!({"type":"pong"}));
    }
    let refused = ask_one(&mut stage, talker, &json!({"type":"ping"}));
    assert_eq!(refused, error("Rate limit exceeded. Please slow down."));
    stage.wait(20_000);
    assert_eq!(ask_one(&mut stage, talker, &json!({"type":"ping"})), json!({"type":"pong"}));

    let shouter = join(&mut stage);
    let third = join(&mut stage);
    assert_eq!(stage.closed(third), Some((1013, "Too many connections from this IP")));
    let other = stage.open(&relay_play::upgrade_from("198.51.100.7"));
    assert_eq!(stage.closed(other), None);
    let fourth = stage.open(&relay_play::upgrade_from("198.51.100.8"));
    assert_eq!(stage.closed(fourth), Some((1013, "Server at capacity")));
    stage.say(shouter, &format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(256 * 1024)));
    assert_eq!(stage.closed(shouter), Some((1009, "Message too large")));
    let again = join(&mut stage);
    assert_eq!(stage.closed(again), None);
}

#[test]
fn a_silent_peer_is_closed_and_every_sign_of_life_but_a_ping_counts() {
    let mut stage = registry(&[("RELAY_PEER_TTL_MS", "1000")]);
    let (silent, alive, plain) = (peer(&mut stage, "silent"), peer(&mut stage, "alive"), join(&mut stage));
    stage.wait(900);
    ask(&mut stage, alive, &json!({"type":"heartbeat","peerId":"alive"}));
    ask(&mut stage, silent, &json!({"type":"ping"}));
    stage.wait(99);
    assert_eq!(stage.closed(silent), None);
    stage.wait(1);
    assert_eq!(stage.closed(silent), Some((1000, "Heartbeat timeout")));
    assert_eq!((stage.closed(alive), stage.closed(plain)), (None, None));
    let answer = ask_one(&mut stage, plain, &json!({"type":"get_relays"}));
    assert_eq!(names(&answer), ["alive"]);
    let next = join(&mut stage);
    assert_eq!(ask_one(&mut stage, next, &json!({"type":"register","peerId":"silent"}))["type"], "registered");
}
