//! Peers' identities: who is given a token, how long it lives, and what strangers cannot do.
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
use waystation::kernel::entropy::{Entropy as _, SeededEntropy};
use waystation::kernel::keys::SigningPair;
use waystation::kernel::sql::{Sql as _, Statement};
use waystation::parties::identity::{IDENTITIES_MAX, signed_message};
use waystation::parties::token::{TOKEN_CHARS, shard_of_peer, shard_of_token};

const DAY: u64 = 24 * HOUR;

#[test]
fn a_registration_gives_a_token_of_the_peers_shard_for_a_day() {
    let mut shard = shard();
    let reply = shard.register("peer_0123456789ab");
    assert_eq!(reply.status, 200);
    let answer = body(&reply);
    assert_eq!(answer["peer_id"], "peer_0123456789ab");
    assert_eq!(answer["expires_at"], "2027-01-16T08:00:00.000000");
    let token = answer["token"].as_str().unwrap();
    assert_eq!(token.len(), TOKEN_CHARS);
    assert_eq!(shard_of_token(token), Some(shard_of_peer("peer_0123456789ab")));
    assert_eq!(body(&shard.admit(token)), json!({ "peer_id": "peer_0123456789ab" }));
    assert_eq!(answer.as_object().unwrap().len(), 3);
}

#[test]
fn the_id_stands_in_the_query_as_a_form_writes_it() {
    let mut shard = shard();
    for (query, status) in [
        ("peer_id=p", 200),
        ("x=1&peer_id=a%20b", 200),
        ("peer_id=caf%C3%A9", 200),
        ("", 422),
        ("peer=p", 422),
        ("peer_id=", 422),
    ] {
        assert_eq!(shard.register_query(query).status, status, "{query}");
    }
    let long = format!("peer_id={}", "x".repeat(65));
    let wrong = body(&shard.register_query(&long));
    assert_eq!(wrong["detail"][0]["type"], "string_too_long");
    let wrong = body(&shard.register_query("peer=p"));
    assert_eq!(wrong["detail"][0]["type"], "missing");
    assert_eq!(wrong["detail"][0]["loc"], json!(["query", "peer_id"]));
    assert_eq!(body(&shard.register_query("peer_id=p+1&a=b"))["peer_id"], "p 1");
}

#[test]
fn without_a_key_nobody_is_given_a_token() {
    let mut shard = shard_with(&[]);
    let reply = shard.register("p");
    assert_eq!((reply.status, body(&reply)), (503, json!({ "detail": "Party tokens are not configured" })));
    assert_eq!(shard.admit("x").status, 503);
}

#[test]
fn an_id_in_use_is_given_to_nobody_without_its_token() {
    let mut shard = shard();
    let token = shard.token("p");
    shard.admit(&token);
    let stranger = shard.register_as("p", from(9), None, &[]);
    assert_eq!((stranger.status, body(&stranger)), (409, json!({ "detail": "Peer id p is in use" })));
    let same_house = shard.register("p");
    assert_eq!(same_house.status, 409, "a used token protects against neighbours too");
    let forged = shard.register_as("p", from(9), Some("Bearer nonsense"), &[]);
    assert_eq!(forged.status, 409);
    let other = shard.token("q");
    let with_other = shard.register_as("p", from(9), Some(&format!("Bearer {other}")), &[]);
    assert_eq!(with_other.status, 409, "another peer's token proves nothing");
    let owner = shard.register_as("p", from(9), Some(&format!("Bearer {token}")), &[]);
    assert_eq!(owner.status, 200);
    assert_eq!(shard.admit(&token).status, 200, "the older token stays");
}

#[test]
fn a_refused_registration_writes_nothing() {
    let mut shard = shard();
    let token = shard.token("p");
    shard.admit(&token);
    let dump = shard.stage.database.dump();
    assert_eq!(shard.register_as("p", from(9), None, &[]).status, 409);
    assert_eq!(shard.register_query("").status, 422);
    assert_eq!(shard.stage.database.dump(), dump);
}

#[test]
fn a_client_that_did_not_get_its_answer_is_given_another_token_once() {
    let mut shard = shard();
    let first = shard.token("p");
    shard.stage.wait(11_000);
    let second = shard.token("p");
    shard.stage.wait(12_000);
    let third = shard.token("p");
    assert_eq!(shard.admit(&first).status, 401, "an answer that never arrived is worth nothing");
    assert_eq!(shard.admit(&second).status, 401);
    assert_eq!(shard.admit(&third).status, 200);
    assert_eq!(shard.register("p").status, 409, "it was used");
    shard.token("q");
    assert_eq!(shard.register_as("q", from(9), None, &[]).status, 409, "another network");
    shard.stage.wait(MINUTE + 1);
    assert_eq!(shard.register("q").status, 409, "too late");
}

#[test]
fn an_id_that_nobody_has_used_for_a_day_is_free_again() {
    for (uses, free_after) in [(false, DAY), (true, DAY + HOUR)] {
        let mut shard = shard();
        let token = shard.token("p");
        if uses {
            shard.admit(&token);
        }
        shard.stage.now = shard.stage.now.plus(free_after - 1);
        assert_eq!(shard.register_as("p", from(9), None, &[]).status, 409);
        shard.stage.now = shard.stage.now.plus(1);
        assert_eq!(shard.register_as("p", from(9), None, &[]).status, 200);
        assert_eq!(shard.admit(&token).status, 401, "the old token is none any more");
    }
}

#[test]
fn in_an_open_network_anybody_is_given_a_token_for_any_id() {
    let mut shard = shard_with(&[("PARTY_TOKEN_KEY", KEY), ("PARTY_OPEN_IDENTITIES", "true")]);
    let first = shard.token("p");
    shard.admit(&first);
    let reply = shard.register_as("p", from(9), None, &[]);
    assert_eq!(reply.status, 200);
    assert_eq!(shard.admit(&first).status, 200, "tokens accumulate");
    let second = shard.token("p");
    for network in 10..30 {
        shard.stage.wait(1);
        assert_eq!(shard.register_as("p", from(network), None, &[]).status, 200);
    }
    assert_eq!(shard.rows("token"), 8, "but not without end");
    assert_eq!(shard.admit(&second).status, 401, "the oldest that nobody uses goes first");
    assert_eq!(shard.admit(&first).status, 200, "whoever uses a token keeps it");
}

fn signed(pair: &SigningPair, peer_id: &str, timestamp: u64) -> Vec<u8> {
    let time = waystation::kernel::time::Timestamp::from_millis(timestamp);
    let signature = pair.sign_base64(signed_message(peer_id, time).as_bytes());
    let body = json!({ "public_key": pair.public_base64(), "signature": signature, "timestamp": timestamp });
    body.to_string().into_bytes()
}

#[test]
fn a_key_gets_its_id_back_and_a_replayed_or_foreign_signature_does_not() {
    let mut shard = shard();
    let (owner, thief) = (SigningPair::from_seed([1; 32]), SigningPair::from_seed([2; 32]));
    let now = shard.stage.now.as_millis();
    let first = signed(&owner, "p", now);
    assert_eq!(shard.register_as("p", from(1), None, &first).status, 200);
    assert_eq!(shard.register_as("p", from(1), None, &first).status, 200, "a repeated request of the same client");
    let token = shard.token_of(shard.stage.now, &owner, "p");
    shard.admit(&token);
    let replayed = shard.register_as("p", from(9), None, &first);
    assert_eq!(replayed.status, 409);
    assert_eq!(shard.register_as("p", from(9), None, &signed(&thief, "p", now + 5)).status, 409, "another key");
    assert_eq!(shard.register_as("p", from(9), None, &signed(&owner, "q", now + 5)).status, 401, "another id");
    assert_eq!(shard.register_as("p", from(9), None, &signed(&owner, "p", now + 60_001)).status, 401, "too early");
    assert_eq!(shard.register_as("p", from(9), None, &signed(&owner, "p", now - 60_001)).status, 401, "too late");
    assert_eq!(shard.register_as("p", from(9), None, &signed(&owner, "p", now + 5)).status, 200, "roaming");
}

#[test]
fn half_a_signature_is_named_and_any_other_body_is_ignored() {
    let mut shard = shard();
    for text in ["", "{}", "not json", "[1]", r#"{"peer_id":"other"}"#] {
        assert_eq!(shard.register_as("p", from(1), None, text.as_bytes()).status, 200, "{text}");
    }
    let reply = shard.register_as("q", from(1), None, br#"{"public_key":"zz"}"#);
    assert_eq!(reply.status, 422);
    let places: Vec<String> =
        body(&reply)["detail"].as_array().unwrap().iter().map(|wrong| wrong["loc"][1].to_string()).collect();
    assert_eq!(places, ["\"public_key\"", "\"signature\"", "\"timestamp\""]);
}

#[test]
fn use_extends_a_token_and_rest_ends_it() {
    let mut shard = shard();
    let token = shard.token("p");
    for _ in 0..10 {
        shard.stage.now = shard.stage.now.plus(DAY - 1);
        assert_eq!(shard.admit(&token).status, 200);
    }
    shard.stage.now = shard.stage.now.plus(DAY);
    let late = shard.admit(&token);
    assert_eq!((late.status, body(&late)), (401, json!({ "detail": "Token expired" })));
    assert_eq!(body(&shard.admit(&token)), json!({ "detail": "Invalid or expired token" }), "the row is gone");
}

#[test]
fn a_heartbeat_every_half_minute_writes_a_row_an_hour() {
    let mut shard = shard();
    let token = shard.token("p");
    shard.admit(&token);
    let before = shard.stage.database.rows_written();
    for _ in 0..(6 * 120) {
        shard.stage.now = shard.stage.now.plus(30_000);
        assert_eq!(shard.admit(&token).status, 200);
    }
    let written = shard.stage.database.rows_written() - before;
    assert!(written <= 2 * 6, "{written} rows in six hours");
}

/// Whatever is forgotten in between, a token lives at least its life after its last use, and at most a grain longer.
#[test]
fn no_loss_of_memory_ends_a_token_early() {
    let mut random = SeededEntropy::new(11);
    for round in 0..40 {
        let mut shard = shard();
        shard.stage.evict_always = round % 2 == 0;
        let token = shard.token("p");
        let (mut last_use, mut used) = (shard.stage.now, false);
        for _ in 0..30 {
            shard.stage.now = shard.stage.now.plus(u64::from(random.below(30 * 3_600)) * 1_000);
            if random.below(3) == 0 {
                shard.stage.evict();
            }
            let rest = shard.stage.now.since(last_use);
            let status = shard.admit(&token).status;
            if rest < DAY {
                assert_eq!(status, 200, "round {round}: after {rest} ms");
            } else if rest >= DAY + if used { HOUR } else { 0 } {
                assert_eq!(status, 401, "round {round}: after {rest} ms");
            }
            if status == 401 {
                break;
            }
            (last_use, used) = (shard.stage.now, true);
        }
    }
}

#[test]
fn a_revoked_token_is_unknown_and_the_id_is_still_nobody_elses() {
    let mut shard = shard();
    let token = shard.token("p");
    shard.admit(&token);
    let reply = shard.revoke(Some(&format!("Bearer {token}")), b"");
    assert_eq!((reply.status, body(&reply)), (200, json!({ "status": "revoked" })));
    assert_eq!(shard.admit(&token).status, 401);
    assert_eq!(shard.revoke(Some(&format!("Bearer {token}")), b"").status, 401);
    assert_eq!(shard.register_as("p", from(9), None, &[]).status, 409);
    assert_eq!(shard.register("p").status, 200, "whoever gave it back may have another one");
}

#[test]
fn one_revocation_can_end_all_tokens_of_a_peer() {
    let mut shard = shard();
    let first = shard.token("p");
    let second = shard.register_as("p", from(1), Some(&format!("Bearer {first}")), &[]);
    let second = body(&second)["token"].as_str().unwrap().to_owned();
    let other = shard.token("q");
    assert_eq!(shard.revoke(Some(&format!("Bearer {first}")), br#"{"all":true}"#).status, 200);
    assert_eq!((shard.admit(&first).status, shard.admit(&second).status), (401, 401));
    assert_eq!(shard.admit(&other).status, 200, "nobody else's");
}

#[test]
fn a_header_that_is_none_is_refused_in_the_originals_words() {
    let mut shard = shard();
    for (header, sentence) in [
        (None, "Missing authorization header"),
        (Some("bearer x"), "Invalid authorization format"),
        (Some("Bearer x"), "Invalid or expired token"),
    ] {
        let reply = shard.revoke(header, b"");
        assert_eq!((reply.status, body(&reply)), (401, json!({ "detail": sentence })));
    }
}

#[test]
fn a_network_registers_sixty_times_a_minute() {
    let mut shard = shard();
    let statuses: Vec<u16> = (0..61).map(|index| shard.register(&format!("p{index}")).status).collect();
    assert!(statuses[..60].iter().all(|status| *status == 200));
    assert_eq!(statuses[60], 429);
    assert_eq!(shard.register_as("other", from(2), None, &[]).status, 200, "others may");
    shard.stage.evict();
    let again = shard.register("p61");
    assert_eq!(again.status, 429, "a loss of memory gives nothing back");
    assert_eq!(again.header("Retry-After"), Some("1"));
    shard.stage.wait(1_000);
    assert_eq!(shard.register("p61").status, 200);
}

#[test]
fn a_flood_from_many_networks_fills_no_table_and_locks_nobody_out() {
    let mut shard = shard();
    let honest = shard.token("honest");
    shard.admit(&honest);
    for index in 0..100_000_u32 {
        let reply = shard.register_as(&format!("flood{index}"), from(1_000 + index / 40), None, &[]);
        assert_eq!(reply.status, 200, "{index}");
        shard.stage.now = shard.stage.now.plus(2);
    }
    assert_eq!(shard.rows("identity"), IDENTITIES_MAX);
    assert!(shard.rows("token") <= IDENTITIES_MAX && shard.rows("allowance") <= 4_096);
    assert_eq!(shard.admit(&honest).status, 200, "whoever uses a token keeps it");
    assert_eq!(shard.register_as("late", from(1), None, &[]).status, 200, "an honest peer still registers");
    let tally = Statement::plain("SELECT identities FROM tally");
    assert_eq!(shard.stage.database.read(tally).unwrap()[0].unsigned(0).unwrap(), IDENTITIES_MAX);
    shard.stage.wait(2 * DAY);
    assert_eq!((shard.rows("identity"), shard.rows("token"), shard.rows("allowance")), (0, 0, 0), "all is swept");
    shard.stage.evict();
    assert_eq!(shard.register("p").status, 200);
    assert_eq!(shard.rows("tally"), 1);
}

#[test]
fn a_flood_that_uses_its_tokens_displaces_nobody_who_is_there() {
    let mut shard = shard();
    shard.fill_with_used(IDENTITIES_MAX);
    let full = shard.register("late");
    assert_eq!((full.status, body(&full)), (503, json!({ "detail": "Too many peers" })));
    shard.stage.now = shard.stage.now.plus(HOUR + 6 * MINUTE);
    assert_eq!(shard.register("late").status, 200, "whoever has not been seen for longer makes room");
    assert_eq!(shard.rows("identity"), IDENTITIES_MAX);
}

#[test]
fn nothing_rings_when_nothing_is_kept() {
    let mut shard: Shard = shard();
    assert_eq!(waystation::kernel::object::Object::deadline(&shard.stage.object), None);
    shard.token("p");
    shard.stage.wait(2 * DAY);
    assert_eq!(waystation::kernel::object::Object::deadline(&shard.stage.object), None);
}
