//! Version policy, the log, the keys and session tokens.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod attestation_support;

use attestation_support::support::{body, call};
use attestation_support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::attestation::field::Field;
use waystation::attestation::log::{START, entry_hash};
use waystation::attestation::policy::{
    Build, NotAllowed, Policy, PolicyClaim, Population, RulesClaim, check_policy, effect,
};
use waystation::attestation::read_session;
use waystation::attestation::session::{Demand, SessionError};
use waystation::attestation::version::{Version, VersionRange};
use waystation::kernel::keys::{SigningPair, parse_32_bytes, parse_base64};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;
use waystation::kernel::time::Timestamp;

fn read(stage: &mut Registry) -> Reply {
    stage.call(&call(Operation::AttestVersionsRead))
}

fn write(stage: &mut Registry, body: &Value, query: &str, if_match: Option<&str>) -> Reply {
    stage.call(&Call {
        principal: Principal::Operator,
        body: body.to_string().into_bytes(),
        query: query.to_owned(),
        if_match: if_match.map(str::to_owned),
        ..call(Operation::AttestVersionsWrite)
    })
}

/// The signature header, checked as a client does: context, time, exact bytes.
fn check_signature(reply: &Reply, kind: &str, now: Timestamp) {
    let header = reply.header("X-Attestation-Signature").unwrap();
    let parts: Vec<(&str, &str)> = header.split(';').map(|part| part.split_once('=').unwrap()).collect();
    let [("kid", kid), ("t", at), ("sig", signature)] = parts[..] else { panic!("{header}") };
    assert_eq!((kid, at), (session_key().kid(), now.as_millis().to_string().as_str()));
    let message = format!("waystation/attest/{kind}/v1\n{at}\n{}", reply.body);
    let public = parse_32_bytes(&session_key().public_base64()).unwrap();
    assert!(waystation::kernel::keys::verify(&public, message.as_bytes(), &parse_base64(signature).unwrap()));
}

#[test]
fn a_policy_that_nobody_has_written_allows_everything_from_one_on() {
    let mut stage = registry();
    let reply = read(&mut stage);
    check_signature(&reply, "versions", stage.now);
    let policy = accepted(&reply);
    for (member, value) in [
        ("minimum_version", json!("1.0.0")),
        ("recommended_version", json!("1.0.0")),
        ("blocked_versions", json!([])),
        ("sunset_dates", json!({})),
        ("sunset_date", Value::Null),
        ("policy_epoch", json!(0)),
    ] {
        assert_eq!(policy[member], value, "{member}");
    }
}

#[test]
fn a_policy_is_replaced_whole_and_survives_a_restart() {
    let mut stage = registry();
    let rules = json!({
        "minimum_version": "1.1.0", "recommended_version": "1.4.0",
        "blocked_versions": ["1.2.3", ">=1.3.0 <1.3.5"], "blocked_builds": ["bad"],
        "sunset_dates": { "<1.2.0": "2030-01-31", "1.4.0": 1_900_000_000_000_u64 },
        "platforms": { "ios": { "minimum_version": "1.2.0", "blocked_versions": ["1.4.1"] } },
    });
    let answered = set_policy(&mut stage, &rules);
    assert_eq!(answered["success"], true);
    let policy = accepted(&read(&mut stage));
    assert_eq!(policy, answered["policy"]);
    for member in ["minimum_version", "recommended_version", "blocked_versions", "blocked_builds"] {
        assert_eq!(policy[member], rules[member], "{member}");
    }
    assert_eq!(policy["sunset_dates"], json!({ "<1.2.0": "2030-01-31", "1.4.0": "2030-03-17T17:46:40.000Z" }));
    assert_eq!((&policy["sunset_date"], &policy["policy_epoch"]), (&json!("2030-01-31"), &json!(1)));
    assert_eq!(policy["platforms"], rules["platforms"]);
    let before = read(&mut stage);
    stage.evict();
    assert_eq!(read(&mut stage), before);
    // What was read can be written back.
    let again = set_policy(&mut stage, &policy);
    assert_eq!(again["policy"]["platforms"], policy["platforms"]);
    refused(
        &register_build(&mut stage, "a", "1.1.5", "ios", "h"),
        403,
        "Version 1.1.5 is below minimum required version 1.2.0",
    );
    refused(&register_build(&mut stage, "a", "1.4.1", "ios", "h"), 403, "Version 1.4.1 has been blocked");
    refused(&register_build(&mut stage, "a", "1.5.0", "ios", "bad"), 403, "Version 1.5.0 has been blocked");
    let android = accepted(&register_build(&mut stage, "b", "1.1.5", "android", "h"));
    assert_eq!(android["recommended_version"], "1.4.0");
    // What is left out is as if nobody had written it.
    set_policy(&mut stage, &json!({ "minimum_version": "1.1.0" }));
    let policy = accepted(&read(&mut stage));
    assert_eq!((&policy["recommended_version"], &policy["blocked_versions"]), (&json!("1.0.0"), &json!([])));
}

#[test]
fn a_policy_of_the_wrong_form_changes_nothing() {
    let mut stage = registry();
    let state = stage.database.dump();
    for (body, sentence) in [
        (json!({ "minimum_version": "1.0" }), "Invalid minimum_version format (expected X.Y.Z)"),
        (json!({ "minimum_version": 1 }), "Invalid minimum_version format (expected X.Y.Z)"),
        (json!({ "recommended_version": "latest" }), "Invalid recommended_version format (expected X.Y.Z)"),
        (
            json!({ "blocked_versions": "1.0.0" }),
            "Invalid blocked_versions: expected versions or ranges such as \">=1.2.0 <1.3.0\"",
        ),
        (
            json!({ "blocked_versions": [1] }),
            "Invalid blocked_versions: expected versions or ranges such as \">=1.2.0 <1.3.0\"",
        ),
        (
            json!({ "blocked_versions": ["^1.0.0"] }),
            "Invalid blocked_versions: expected versions or ranges such as \">=1.2.0 <1.3.0\"",
        ),
        (json!({ "blocked_builds": [""] }), "Invalid blocked_builds: expected build hashes"),
        (json!({ "sunset_dates": 5 }), "Invalid sunset_dates: expected a time for each version or range"),
        (
            json!({ "sunset_dates": { "1.0.0": "soon" } }),
            "Invalid sunset_dates: expected a time for each version or range",
        ),
        (json!({ "platforms": { "a b": {} } }), "Invalid platforms: expected rules for each platform"),
        (json!([]), "The body is not valid JSON"),
        (
            json!({ "minimun_version": "1.0.0" }),
            "Unknown member: nothing was changed, because a misspelt one would reset the true one",
        ),
        (
            json!({ "platforms": { "ios": { "x": 1 } } }),
            "Unknown member: nothing was changed, because a misspelt one would reset the true one",
        ),
        (json!({ "platforms": { "ios": 1 } }), "Invalid platforms: expected rules for each platform"),
    ] {
        refused(&write(&mut stage, &body, "", None), 400, sentence);
    }
    refused(
        &stage.call(&Call {
            principal: Principal::Operator,
            body: b"{".to_vec(),
            ..call(Operation::AttestVersionsWrite)
        }),
        400,
        "The body is not valid JSON",
    );
    assert_eq!(stage.database.dump(), state);
}

#[test]
fn a_change_to_a_policy_that_has_changed_is_refused() {
    let mut stage = registry();
    let etag = read(&mut stage).header("ETag").unwrap().to_owned();
    assert_eq!(write(&mut stage, &json!({}), "", Some(&etag)).status, 200);
    let stale = write(&mut stage, &json!({ "minimum_version": "2.0.0" }), "", Some(&etag));
    assert_eq!(stale.status, 412);
    assert_eq!(accepted(&read(&mut stage))["minimum_version"], "1.0.0");
    let current = read(&mut stage).header("ETag").unwrap().to_owned();
    assert_eq!(stale.header("ETag"), Some(current.as_str()));
    assert_ne!(current, etag);
    for good in [format!("{etag}, W/{current}"), String::from("*")] {
        let fresh = good.replace(&current, read(&mut stage).header("ETag").unwrap());
        assert_eq!(write(&mut stage, &json!({}), "", Some(&fresh)).status, 200, "{fresh}");
    }
}

#[test]
fn a_dry_run_tells_who_would_be_locked_out_and_changes_nothing() {
    let mut stage = registry();
    for (id, version, platform) in
        [("a", "1.0.0", "android"), ("b", "1.0.0", "android"), ("c", "1.5.0", "android"), ("d", "1.0.0", "ios")]
    {
        accepted(&register_build(&mut stage, id, version, platform, "h"));
    }
    let state = stage.database.dump();
    let policy = json!({ "platforms": { "android": { "minimum_version": "1.5.0" } } });
    let rehearsed = accepted(&write(&mut stage, &policy, "dry_run=true", None));
    assert_eq!(rehearsed["effect"], json!({ "devices": 4, "locked_out": 2, "let_in": 0 }));
    assert_eq!(rehearsed["dry_run"], true);
    assert_eq!(stage.database.dump(), state);
    let done = accepted(&write(&mut stage, &policy, "", None));
    assert_eq!((&done["effect"], &done["dry_run"]), (&rehearsed["effect"], &json!(false)));
    let undone = accepted(&write(&mut stage, &json!({}), "dry_run=1", None));
    assert_eq!(undone["effect"]["let_in"], 2);
}

#[test]
fn a_sunset_locks_out_from_its_very_millisecond() {
    let mut stage = ready();
    let at = stage.now.plus(10_000);
    set_policy(&mut stage, &json!({ "sunset_dates": { "1.2.0": at.as_millis() } }));
    assert_eq!(accepted(&register(&mut stage, "device"))["sunset_at"], at.as_millis());
    stage.now = at.minus(1);
    let asked = accepted(&challenge(&mut stage, "device"));
    stage.now = at;
    failed(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    let sentence = format!("Version 1.2.0 has reached its end on {}", at.to_iso());
    refused(&challenge(&mut stage, "device"), 403, &sentence);
}

#[test]
fn the_log_binds_every_upload_and_change_to_all_before() {
    let mut stage = registry();
    for number in 0..3 {
        accepted(&upload(&mut stage, &upload_of("1.2.0", "android", &format!("hash-{number}"), 3)));
        set_policy(&mut stage, &json!({ "blocked_versions": [format!("1.0.{number}")] }));
        stage.now = stage.now.plus(5);
    }
    let reply = stage.call(&call(Operation::AttestLog));
    check_signature(&reply, "log", stage.now);
    let log = accepted(&reply);
    let mut previous = START.to_owned();
    for (number, entry) in log["entries"].as_array().unwrap().iter().enumerate() {
        let text = |member: &str| entry[member].as_str().unwrap();
        assert_eq!((entry["seq"].as_u64().unwrap(), text("previous")), (number as u64 + 1, previous.as_str()));
        let at = Timestamp::from_millis(entry["at"].as_u64().unwrap());
        let hash = entry_hash(number as u64 + 1, at, text("kind"), &previous, text("entry"));
        assert_eq!(text("hash"), hash);
        assert_eq!(text("kind"), if number % 2 == 0 { "reference" } else { "policy" });
        assert!(serde_json::from_str::<Value>(text("entry")).unwrap().is_object());
        previous = hash;
    }
    assert_eq!(log["head"], json!({ "seq": 6, "hash": previous }));
    let page = accepted(&stage.call(&Call { query: "after=4&limit=1".into(), ..call(Operation::AttestLog) }));
    assert_eq!(page["entries"], json!([log["entries"][4]]));
    for bad in ["after=x", "limit=-1"] {
        assert_eq!(stage.call(&Call { query: bad.into(), ..call(Operation::AttestLog) }).status, 400);
    }
}

#[test]
fn the_log_hash_depends_on_every_member() {
    let at = Timestamp::from_millis;
    let hash = entry_hash(1, at(2), "policy", START, "{}");
    let others = [
        entry_hash(2, at(2), "policy", START, "{}"),
        entry_hash(1, at(3), "policy", START, "{}"),
        entry_hash(1, at(2), "reference", START, "{}"),
        entry_hash(1, at(2), "policy", &hash, "{}"),
        entry_hash(1, at(2), "policy", START, "{ }"),
    ];
    assert!(others.iter().all(|other| *other != hash));
}

#[test]
fn the_key_set_has_every_key_current_first() {
    let both = format!("{SESSION_SEED},{BUILD_SEED}");
    let mut stage = registry_with(&[("ATTESTATION_SIGNING_KEY", &both)]);
    let keys = accepted(&stage.call(&call(Operation::AttestKeys)));
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for (key, pair) in keys.iter().zip([session_key(), build_key()]) {
        assert_eq!((key["kid"].as_str().unwrap(), key["crv"].as_str().unwrap()), (pair.kid(), "Ed25519"));
        assert_eq!(parse_base64(key["x"].as_str().unwrap()), parse_base64(&pair.public_base64()));
    }
}

const ANY: Demand<'_> = Demand { audience: "waystation", tier_min: 0, policy_epoch_min: 0 };

fn issued(stage: &mut Registry) -> String {
    accepted(&attest(stage, "device"))["session_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_says_who_what_for_whom_and_until_when() {
    let mut stage = ready();
    set_policy(&mut stage, &json!({}));
    accepted(&register(&mut stage, "device"));
    let wish = json!({ "device_id": "device", "build_version": "1.2.0", "audience": "ed25519:relay" });
    let asked = accepted(&post(&mut stage, Operation::AttestChallenge, &wish));
    let verified = accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    let token = verified["session_token"].as_str().unwrap();
    let keys = [session_key()];
    assert_eq!(read_session(token, &keys, ANY, stage.now), Err(SessionError::Audience));
    let demand = Demand { audience: "ed25519:relay", tier_min: 1, policy_epoch_min: 1 };
    let session = read_session(token, &keys, demand, stage.now).unwrap();
    assert_eq!((session.device_id.as_str(), session.tier, session.policy_epoch), ("device", 1, 1));
    assert_eq!((session.issued_at, session.expires_at), (stage.now, stage.now.plus(3_600_000)));
    let judge = |demand, now| read_session(token, &keys, demand, now);
    assert_eq!(judge(Demand { tier_min: 2, ..demand }, stage.now), Err(SessionError::Tier));
    assert_eq!(judge(Demand { policy_epoch_min: 2, ..demand }, stage.now), Err(SessionError::PolicyEpoch));
    assert!(judge(demand, stage.now.plus(3_599_999)).is_ok() && judge(demand, stage.now.minus(60_000)).is_ok());
    for now in [stage.now.plus(3_600_000), stage.now.minus(60_001)] {
        assert_eq!(judge(demand, now), Err(SessionError::NotNow));
    }
}

#[test]
fn the_payload_begins_with_the_members_of_older_tokens() {
    let mut stage = ready();
    let token = issued(&mut stage);
    let payload = String::from_utf8(parse_base64(token.split_once('.').unwrap().0).unwrap()).unwrap();
    let now = stage.now.as_millis();
    let begins = format!(
        r#"{{"device_id":"device","build_version":"1.2.0","platform":"android","issued_at":{now},"expires_at":{},"typ":"session","kid":"{}","aud":"waystation","build_hash":"hash-1","tier":1,"policy_epoch":0,"jti":""#,
        now + 3_600_000,
        session_key().kid()
    );
    assert!(payload.starts_with(&begins), "{payload}");
    assert!(!token.contains('='));
}

#[test]
fn damage_to_any_character_of_a_session_token_is_noticed() {
    let mut stage = ready();
    let token = issued(&mut stage);
    let keys = [session_key()];
    assert!(read_session(&token, &keys, ANY, stage.now).is_ok());
    // A signature check takes 10 ms without optimisation; with some, every bit of every character is flipped. The
    // verifier in examples/verify-session-ts flips every bit always.
    let (step, bits) = if cfg!(debug_assertions) { (4, 1) } else { (1, 7) };
    for at in (0..token.len()).step_by(step) {
        for bit in 0..bits {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << ((at + bit) % 7);
            let bad = String::from_utf8(bytes).unwrap();
            assert_eq!(read_session(&bad, &keys, ANY, stage.now), Err(SessionError::NotGenuine), "{bad}");
        }
    }
    let (payload, signature) = token.split_once('.').unwrap();
    for bad in [
        payload,
        signature,
        "",
        ".",
        token.trim_start_matches('e'),
        &format!("{token}A"),
        &format!("{token}="),
        &format!("{token}."),
    ] {
        assert_eq!(read_session(bad, &keys, ANY, stage.now), Err(SessionError::NotGenuine), "{bad}");
    }
    let stranger = SigningPair::from_seed([5; 32]);
    assert_eq!(read_session(&token, &[stranger], ANY, stage.now), Err(SessionError::NotGenuine));
    assert_eq!(read_session(&token, &[], ANY, stage.now), Err(SessionError::NotGenuine));
}

#[test]
fn a_session_survives_the_rotation_of_its_key() {
    let mut stage = ready();
    let token = issued(&mut stage);
    let rotated = [build_key(), session_key()];
    assert!(read_session(&token, &rotated, ANY, stage.now).is_ok());
}

fn any_version() -> impl Strategy<Value = Version> {
    let identifier = prop_oneof!["[a-c]{1,2}", (0_u64..12).prop_map(|number| number.to_string())];
    let pre = prop::option::of(prop::collection::vec(identifier, 1..3));
    ((0_u64..3), (0_u64..3), (0_u64..12), pre, prop::option::of("[a-z]{1,3}")).prop_map(|(a, b, c, pre, build)| {
        let pre = pre.map(|parts| format!("-{}", parts.join("."))).unwrap_or_default();
        let build = build.map(|build| format!("+{build}")).unwrap_or_default();
        Version::parse(&format!("{a}.{b}.{c}{pre}{build}")).unwrap()
    })
}

fn build_of(version: &Version) -> Build {
    Build { version: version.to_string(), platform: "android".into(), build_hash: "h".into() }
}

fn policy_with(rules: RulesClaim) -> Policy {
    let claim = PolicyClaim { general: rules, platforms: Field::Missing };
    check_policy(claim, 1, Timestamp::from_millis(1)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // A14
    #[test]
    fn versions_have_one_total_order(a in any_version(), b in any_version(), c in any_version()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        prop_assert!(Version::parse(&a.to_string()).unwrap() == a);
    }

    #[test]
    fn numbers_decide_before_everything_else(a in (0_u64..99, 0_u64..99, 0_u64..99), b in (0_u64..99, 0_u64..99, 0_u64..99)) {
        let plain = |(x, y, z): (u64, u64, u64)| Version::parse(&format!("{x}.{y}.{z}")).unwrap();
        prop_assert_eq!(plain(a).cmp(&plain(b)), a.cmp(&b));
        let early = Version::parse(&format!("{}-rc1", plain(a))).unwrap();
        prop_assert!(early < plain(a));
        prop_assert_eq!(early < plain(b), a <= b);
    }

    #[test]
    fn nothing_below_the_minimum_is_allowed_and_nothing_from_it_on_is_refused(minimum in any_version(), version in any_version()) {
        let policy = policy_with(RulesClaim { minimum_version: Field::Given(minimum.to_string()), ..RulesClaim::default() });
        let judged = policy.judge(&build_of(&version), Timestamp::EPOCH);
        prop_assert_eq!(judged.is_ok(), version >= minimum);
    }

    #[test]
    fn a_blocked_version_cannot_be_written_so_that_it_passes(version in any_version(), suffix in "[a-z]{1,4}") {
        let blocked = Field::Given(vec![Field::Given(version.to_string())]);
        let minimum_version = Field::Given(String::from("0.0.0-0"));
        let policy = policy_with(RulesClaim { blocked_versions: blocked, minimum_version, ..RulesClaim::default() });
        let bare = version.to_string();
        let bare = bare.split('+').next().unwrap();
        for written in [bare.to_owned(), format!("{bare}+{suffix}")] {
            let build = Build { version: written.clone(), ..build_of(&version) };
            prop_assert_eq!(policy.judge(&build, Timestamp::EPOCH), Err(NotAllowed::Blocked { version: written }));
        }
    }

    #[test]
    fn a_range_holds_exactly_what_is_between_its_bounds(low in any_version(), high in any_version(), version in any_version()) {
        let range = VersionRange::parse(&format!(">={low} <{high}")).unwrap();
        prop_assert_eq!(range.contains(&version), version >= low && version < high);
    }

    #[test]
    fn a_change_locks_out_who_was_allowed_and_no_longer_is(
        minimum in any_version(), versions in prop::collection::vec((any_version(), 1_u64..9), 0..8),
    ) {
        let rules = RulesClaim { minimum_version: Field::Given(minimum.to_string()), ..RulesClaim::default() };
        let (before, after) = (Policy::default(), policy_with(rules));
        let population: Vec<Population> =
            versions.iter().map(|(version, devices)| Population { build: build_of(version), devices: *devices }).collect();
        let found = effect(&before, &after, &population, Timestamp::EPOCH);
        let first = Version::first();
        let sum = |wanted: &dyn Fn(&Version) -> bool| -> u64 {
            versions.iter().filter(|(version, _)| wanted(version)).map(|(_, devices)| devices).sum()
        };
        prop_assert_eq!(found.devices, sum(&|_| true));
        prop_assert_eq!(found.locked_out, sum(&|version| *version >= first && *version < minimum));
        prop_assert_eq!(found.let_in, sum(&|version| *version < first && *version >= minimum));
    }
}

#[test]
fn pre_releases_and_tricks_of_writing_do_not_bypass_the_policy() {
    let mut stage = registry();
    set_policy(&mut stage, &json!({ "minimum_version": "1.2.9" }));
    for (version, status) in
        [("1.2.9-rc1", 403), ("1.2.9", 200), ("1.2.10", 200), ("1e9.0.0", 403), ("2.0.0-alpha", 200)]
    {
        assert_eq!(register_build(&mut stage, version, version, "android", "h").status, status, "{version}");
    }
    assert_eq!(body(&read(&mut stage))["minimum_version"], "1.2.9");
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/attestation/session.json");

/// The verifiers in `examples/verify-session-*` are tested with this very token.
/// `WAYSTATION_WRITE=1 cargo test --test attestation_policy golden` writes the file anew.
#[test]
fn the_golden_session_is_what_the_service_issues() {
    let mut stage = ready();
    set_policy(&mut stage, &json!({ "minimum_version": "1.1.0" }));
    let token = issued(&mut stage);
    let keys = accepted(&stage.call(&call(Operation::AttestKeys)));
    let golden = json!({ "now": stage.now.as_millis(), "token": token, "jwks": keys });
    let text = format!("{}\n", serde_json::to_string_pretty(&golden).unwrap());
    if std::env::var_os("WAYSTATION_WRITE").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(GOLDEN).unwrap(), text);
    assert!(read_session(&token, &[session_key()], ANY, stage.now).is_ok());
}
