//! Registration, challenge and answer, row by row of the protocol.

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
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use waystation::attestation::challenge::LIVE_MAX;
use waystation::attestation::device::{DeviceKey, Signed, signed_answers, signed_bytes};
use waystation::attestation::policy::Build;
use waystation::attestation::verify::mac;
use waystation::kernel::keys::{SigningPair, parse_base64};
use waystation::kernel::operation::Operation;
use waystation::kernel::time::Timestamp;

fn build() -> Build {
    Build { version: "1.2.0".into(), platform: "android".into(), build_hash: "hash-1".into() }
}

#[test]
fn a_registration_is_checked_in_the_order_of_the_protocol() {
    let mut stage = registry();
    let good = registration(&stage, "device");
    let missing = "Missing required fields: build_token, device_id";
    let mut check = |body: &Value, status: u16, sentence: &str| {
        refused(&post(&mut stage, Operation::AttestRegister, body), status, sentence);
    };
    check(&json!([]), 400, missing);
    check(&json!({ "device_id": "bad id" }), 400, missing);
    check(&json!({ "build_token": {}, "device_id": "" }), 400, missing);
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    for id in [json!("a b"), json!("é"), json!("x".repeat(129)), json!(7)] {
        check(&with("device_id", id), 400, "Invalid device_id format");
    }
    let format = "Invalid build_token format: must include payload and signature";
    for token in [json!({}), json!({ "payload": "x" }), json!("x"), json!(5), json!({ "signature": "AAAA" })] {
        check(&with("build_token", token), 400, format);
    }
    for signature in ["AAAA", "not base64!", &session_key().sign_base64(b"x")] {
        let token = json!({ "payload": good["build_token"]["payload"], "signature": signature });
        check(&with("build_token", token), 403, "Invalid build token signature");
    }
    check(&with("build_token", signed("not json")), 400, "Invalid build token payload");
    let now = 1_800_000_000_000_u64;
    let payload = |member: &str, value: Value| {
        let mut payload =
            json!({ "version": "1.2.0", "platform": "android", "build_hash": "hash-1", "timestamp": now });
        payload[member] = value;
        payload.to_string()
    };
    let members = "Build token missing required fields: version, platform, build_hash, timestamp";
    for member in ["version", "platform", "build_hash", "timestamp"] {
        check(&with("build_token", signed(&payload(member, Value::Null))), 400, members);
    }
    for time in [json!("yesterday"), json!(-1), json!(1.5), json!(true), json!("NaN"), json!([])] {
        check(&with("build_token", signed(&payload("timestamp", time))), 400, members);
    }
    let of_time = |time: u64| with("build_token", signed(&payload("timestamp", json!(time))));
    check(&of_time(now + 60_001), 403, "Build token has a future timestamp");
    check(&of_time(now - 2_592_000_001), 403, "Build token expired");
    let of_version = |version: &str| with("build_token", signed(&payload("version", json!(version))));
    check(&of_version("1.2"), 403, "Invalid version format: 1.2");
    check(&of_version("0.9.9"), 403, "Version 0.9.9 is below minimum required version 1.0.0");
    for body in [of_time(now + 60_000), of_time(now - 2_592_000_000), of_version("1.2.9-rc1"), good] {
        accepted(&post(&mut stage, Operation::AttestRegister, &body));
    }
}

#[test]
fn a_registered_device_is_answered_as_the_field_expects() {
    let mut stage = registry();
    let first = accepted(&register(&mut stage, "device"));
    assert_eq!((&first["status"], &first["version_status"]), (&json!("registered"), &json!("current")));
    assert_eq!(
        first["device"],
        json!({
            "device_id": "device", "build_version": "1.2.0", "platform": "android", "build_hash": "hash-1",
            "registered_at": stage.now.as_millis(), "last_seen": stage.now.as_millis(),
            "attestation_history": [], "anomaly_flags": 0, "web_registration_timestamps": [],
        })
    );
    assert!(first.get("session_token").is_none());
    set_policy(&mut stage, &json!({ "recommended_version": "1.3.0" }));
    stage.now = stage.now.plus(1_000);
    let second = accepted(&register(&mut stage, "device"));
    assert_eq!(second["device"]["registered_at"], first["device"]["registered_at"]);
    assert_eq!(second["device"]["last_seen"], stage.now.as_millis());
    assert_eq!(
        (&second["version_status"], &second["recommended_version"]),
        (&json!("update_recommended"), &json!("1.3.0"))
    );
}

#[test]
fn the_documented_build_token_is_taken_in_every_form() {
    let mut stage = registry();
    stage.now = Timestamp::from_millis(1_700_000_000_000);
    let payload = r#"{"version":"1.0.0","platform":"android","build_hash":"abc123","timestamp":1700000000000}"#;
    let signature = "f8vEydNfRWVGdCE9vJaQ/BRPgX9lLzhDrva2qmPTcv3EG1GIKHCDtPfIKgG0E5JagQOTQ94Z/JZAHo/5TBquCA==";
    assert_eq!(build_key().sign_base64(payload.as_bytes()), signature);
    use base64::Engine as _;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let url_safe = signature.replace('+', "-").replace('/', "_").replace('=', "");
    let plain = json!({ "payload": payload, "signature": signature });
    let packed = json!({ "payload": base64(payload), "signature": signature });
    let over_base64 =
        json!({ "payload": base64(payload), "signature": build_key().sign_base64(base64(payload).as_bytes()) });
    let flat = json!({ "version": "1.0.0", "platform": "android", "build_hash": "abc123", "timestamp": 1_700_000_000_000_u64, "signature": signature });
    let forms = [
        plain.clone(),
        json!({ "payload": payload, "signature": url_safe }),
        packed.clone(),
        over_base64,
        json!(plain.to_string()),
        json!(base64(&plain.to_string())),
        json!(base64(&packed.to_string())),
        flat,
    ];
    for (number, token) in forms.iter().enumerate() {
        let body = json!({ "build_token": token, "device_id": format!("device-{number}") });
        let registered = accepted(&post(&mut stage, Operation::AttestRegister, &body));
        assert_eq!(registered["device"]["build_hash"], "abc123");
    }
    let iso =
        r#"{"version":"1.0.0","platform":"android","build_hash":"abc123","timestamp":"2023-11-14T22:13:20.000Z"}"#;
    let body = json!({ "build_token": signed(iso), "device_id": "iso" });
    accepted(&post(&mut stage, Operation::AttestRegister, &body));
    let iso = iso.replace("2023", "2020");
    let body = json!({ "build_token": signed(&iso), "device_id": "old" });
    refused(&post(&mut stage, Operation::AttestRegister, &body), 403, "Build token expired");
}

#[test]
fn damage_to_any_byte_of_a_build_token_is_noticed() {
    use waystation::attestation::build_token::{PayloadClaim, TokenClaim, TokenError, TokenShape, check_build_token};
    let payload = br#"{"version":"1.0.0","platform":"android","build_hash":"a","timestamp":1}"#.to_vec();
    let signature = parse_base64(&build_key().sign_base64(&payload)).unwrap();
    let key = parse_base64(BUILD_PUBLIC).unwrap().try_into().unwrap();
    let judge = |payload: Vec<u8>, signature: Vec<u8>| {
        let claim = TokenClaim {
            shape: TokenShape::Wrapped,
            signed_forms: vec![payload],
            signature: Some(signature),
            payload: Some(PayloadClaim::default()),
        };
        check_build_token(claim, &[key], Timestamp::EPOCH).unwrap_err()
    };
    assert_eq!(judge(payload.clone(), signature.clone()), TokenError::Members);
    for at in 0..payload.len() {
        let mut bad = payload.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(judge(bad, signature.clone()), TokenError::Signature);
    }
    // kernel::keys flips every bit of a signature; here one of each byte.
    for at in 0..signature.len() {
        let mut bad = signature.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(judge(payload.clone(), bad), TokenError::Signature);
    }
}

#[test]
fn an_installed_app_goes_on_with_its_old_token() {
    let mut stage = ready();
    let body = registration(&stage, "device");
    accepted(&post(&mut stage, Operation::AttestRegister, &body));
    stage.now = stage.now.plus(40 * 24 * 3_600_000);
    accepted(&post(&mut stage, Operation::AttestRegister, &body));
    let mut other = body;
    other["device_id"] = json!("newcomer");
    refused(&post(&mut stage, Operation::AttestRegister, &other), 403, "Build token expired");
    let asked = accepted(&challenge(&mut stage, "device"));
    accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
}

#[test]
fn a_web_page_gets_a_short_session_of_the_lowest_tier_ten_times_an_hour() {
    let mut stage = registry();
    for _ in 0..10 {
        let registered = accepted(&register_build(&mut stage, "page", "1.2.0", "web", "hash-1"));
        assert_eq!(registered["attestation_mode"], "web_fallback");
        let session = session(&stage, registered["session_token"].as_str().unwrap());
        assert_eq!((session.tier, session.trust_level.as_deref()), (0, Some("web_fallback")));
        assert_eq!(session.expires_at.since(session.issued_at), 900_000);
    }
    let reply = register_build(&mut stage, "page", "1.2.0", "web", "hash-1");
    refused(&reply, 429, "Too many registration attempts. Please try again later.");
    assert_eq!(reply.header("Retry-After"), Some("360"));
    let sentence = "Binary attestation not available for web platform. Use registration token.";
    refused(&challenge(&mut stage, "page"), 400, sentence);
    stage.now = stage.now.plus(3_600_000);
    accepted(&register_build(&mut stage, "page", "1.2.0", "web", "hash-1"));
}

#[test]
fn a_challenge_is_checked_in_the_order_of_the_protocol() {
    let mut stage = registry();
    let missing = "Missing required fields: device_id, build_version";
    let format = "Invalid device_id or build_version format";
    for (body, status, sentence) in [
        (json!({}), 400, missing),
        (json!({ "device_id": "device" }), 400, missing),
        (json!({ "device_id": "a b", "build_version": "1.2.0" }), 400, format),
        (json!({ "device_id": "device", "build_version": 1 }), 400, format),
        (json!({ "device_id": "device", "build_version": "1.2.0" }), 404, "Device not registered"),
        (json!({ "device_id": "device", "build_version": "1.2.0", "audience": "a b" }), 400, "Invalid audience format"),
    ] {
        refused(&post(&mut stage, Operation::AttestChallenge, &body), status, sentence);
    }
    accepted(&register(&mut stage, "device"));
    refused(&challenge(&mut stage, "device"), 404, "No reference binary found for this version and platform");
    let mut unanswerable = upload_of("1.2.0", "android", "hash-1", 4);
    for region in unanswerable["critical_regions"].as_array_mut().unwrap() {
        region.as_object_mut().unwrap().remove("data_hex");
    }
    assert_eq!(accepted(&upload(&mut stage, &unanswerable))["answerable"], false);
    refused(&challenge(&mut stage, "device"), 404, "No reference binary found for this version and platform");
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
    // A relay forwards the token and not the version.
    let by_token = json!({ "device_id": "device", "build_token": "whatever" });
    accepted(&post(&mut stage, Operation::AttestChallenge, &by_token));
}

#[test]
fn three_to_five_different_regions_are_asked_for_and_all_of_fewer() {
    let mut stage = ready();
    let mut counts = [0; 8];
    accepted(&register(&mut stage, "device"));
    for _ in 0..60 {
        // As fast as one device may attest for long.
        stage.now = stage.now.plus(180_000);
        let asked = accepted(&challenge(&mut stage, "device"));
        assert_eq!(asked["nonce"].as_str().unwrap().len(), 64);
        let mut indexes: Vec<u64> =
            asked["regions"].as_array().unwrap().iter().map(|region| region["index"].as_u64().unwrap()).collect();
        for region in asked["regions"].as_array().unwrap() {
            assert_eq!(region["offset"].as_u64().unwrap(), region["index"].as_u64().unwrap() * 100);
        }
        counts[indexes.len()] += 1;
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), asked["regions"].as_array().unwrap().len());
        accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    }
    assert!(
        counts[3] > 0
            && counts[4] > 0
            && counts[5] > 0
            && counts.iter().sum::<i32>() == counts[3] + counts[4] + counts[5]
    );
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "small", 2)));
    accepted(&register_build(&mut stage, "small", "1.2.0", "android", "small"));
    let asked = accepted(&challenge(&mut stage, "small"));
    assert_eq!(asked["regions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_sixth_waiting_challenge_is_refused_until_one_is_over() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let first = accepted(&challenge(&mut stage, "device"));
    for _ in 1..LIVE_MAX {
        accepted(&challenge(&mut stage, "device"));
    }
    let sentence = "Too many pending challenges. Please complete or wait for existing challenges to expire.";
    refused(&challenge(&mut stage, "device"), 429, sentence);
    accepted(&verify(&mut stage, &answer("device", &first, "hash-1")));
    accepted(&challenge(&mut stage, "device"));
    refused(&challenge(&mut stage, "device"), 429, sentence);
    stage.now = stage.now.plus(300_000);
    accepted(&challenge(&mut stage, "device"));
}

#[test]
fn an_answer_counts_once_in_any_order_and_under_either_key() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let asked = accepted(&challenge(&mut stage, "device"));
    let mut reversed = answer("device", &asked, "hash-1");
    reversed["responses"].as_array_mut().unwrap().reverse();
    let verified = accepted(&verify(&mut stage, &reversed));
    assert_eq!(verified["valid"], true);
    assert_eq!(session(&stage, verified["session_token"].as_str().unwrap()).tier, 1);
    failed(&verify(&mut stage, &reversed));
    // The field's phones use the text of the nonce as key.
    let asked = accepted(&challenge(&mut stage, "device"));
    let mut by_text = answer("device", &asked, "hash-1");
    let nonce = asked["nonce"].as_str().unwrap();
    for (response, region) in
        by_text["responses"].as_array_mut().unwrap().iter_mut().zip(asked["regions"].as_array().unwrap())
    {
        let bytes = file_piece("hash-1", region["offset"].as_u64().unwrap(), 64);
        response["hmac"] = json!(hex::encode(mac(nonce.as_bytes(), &bytes)));
    }
    accepted(&verify(&mut stage, &by_text));
    let missing = "Missing required fields: device_id, nonce, responses (array)";
    for body in [
        json!({}),
        json!({ "device_id": "d", "nonce": "n" }),
        json!({ "device_id": "d", "nonce": "n", "responses": {} }),
    ] {
        refused(&verify(&mut stage, &body), 400, missing);
    }
}

#[test]
fn of_a_thousand_answers_to_one_challenge_exactly_one_succeeds() {
    // The object handles one event at a time, so parallel answers come one after the other in some order.
    for (evict, answers) in [(false, 1_000), (true, 100)] {
        let mut stage = ready();
        accepted(&register(&mut stage, "device"));
        let asked = accepted(&challenge(&mut stage, "device"));
        let body = answer("device", &asked, "hash-1");
        stage.evict_always = evict;
        let good = (0..answers).filter(|_| verify(&mut stage, &body).status == 200).count();
        assert_eq!(good, 1);
    }
}

#[test]
fn a_bad_answer_uses_the_challenge_up_before_it_is_told() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let asked = accepted(&challenge(&mut stage, "device"));
    let good = answer("device", &asked, "hash-1");
    let mut bad = good.clone();
    bad["responses"][0]["hmac"] = json!("0".repeat(64));
    failed(&verify(&mut stage, &bad));
    assert!(!stage.database.dump().iter().any(|line| line.starts_with("challenge: ")));
    failed(&verify(&mut stage, &good));
}

#[test]
fn callers_that_write_flat_tokens_read_sessions_as_objects() {
    let mut stage = ready();
    let payload = format!(
        r#"{{"version":"1.2.0","platform":"android","build_hash":"hash-1","timestamp":{}}}"#,
        stage.now.as_millis()
    );
    let mut flat: Value = serde_json::from_str(&payload).unwrap();
    flat["signature"] = json!(build_key().sign_base64(payload.as_bytes()));
    let body = json!({ "build_token": flat, "device_id": "phone" });
    let registered = accepted(&post(&mut stage, Operation::AttestRegister, &body));
    let of_registration = session(&stage, registered["session_token"]["token"].as_str().unwrap());
    assert_eq!((of_registration.tier, of_registration.trust_level.as_deref()), (0, Some("registration")));
    let asked = accepted(&challenge(&mut stage, "phone"));
    let verified = accepted(&verify(&mut stage, &answer("phone", &asked, "hash-1")));
    let token = &verified["session_token"];
    assert_eq!(token["device_id"], "phone");
    let of_proof = session(&stage, token["token"].as_str().unwrap());
    assert_eq!(token["expires_at"], of_proof.expires_at.as_millis());
    assert_eq!((of_proof.tier, of_proof.trust_level), (1, None));
}

/// A device with a key: registers, asks and answers with signatures by `sign`.
fn attest_with_key(key: &[u8], sign: &dyn Fn(&[u8]) -> String) {
    use base64::Engine as _;
    let mut stage = ready();
    let id = DeviceKey::from_bytes(key.to_vec()).unwrap().device_id();
    let public = base64::engine::general_purpose::STANDARD.encode(key);
    let register = |stage: &mut Registry, key: Value, at: Timestamp, signature: Value| {
        let body = json!({ "build_token": token(stage), "device_id": id, "device_key": key,
            "device_timestamp": at.as_millis(), "device_signature": signature });
        post(stage, Operation::AttestRegister, &body)
    };
    let now = stage.now;
    let proof = |at: Timestamp| json!(sign(&signed_bytes(&id, Signed::Registration(&build()), at)));
    let not_derived = "Invalid device_key: not the key that device_id is derived from";
    refused(&register(&mut stage, Value::Null, now, proof(now)), 403, not_derived);
    refused(&register(&mut stage, json!(session_key().public_base64()), now, proof(now)), 403, not_derived);
    refused(&register(&mut stage, json!(public), now, json!(sign(b"x"))), 403, "Invalid device_signature");
    refused(&register(&mut stage, json!(public), now, Value::Null), 403, "Invalid device_signature");
    let old = now.minus(120_001);
    refused(&register(&mut stage, json!(public), old, proof(old)), 403, "Invalid device_timestamp: not from now");
    accepted(&register(&mut stage, json!(public), now, proof(now)));
    let replay = "Replay detected: device_timestamp is not newer than the last signed one";
    refused(&register(&mut stage, json!(public), now, proof(now)), 409, replay);
    stage.now = now.plus(1);
    let ask = |stage: &mut Registry, signature: String| {
        let body = json!({ "device_id": id, "build_version": "1.2.0",
            "device_timestamp": stage.now.as_millis(), "device_signature": signature });
        post(stage, Operation::AttestChallenge, &body)
    };
    // Nobody else can use up its challenges.
    refused(&ask(&mut stage, sign(b"x")), 403, "Invalid device_signature");
    let wish = sign(&signed_bytes(&id, Signed::Challenge, stage.now));
    let asked = accepted(&ask(&mut stage, wish.clone()));
    refused(&ask(&mut stage, wish), 409, replay);
    failed(&verify(&mut stage, &answer(&id, &asked, "hash-1")));
    stage.now = stage.now.plus(1);
    let wish = sign(&signed_bytes(&id, Signed::Challenge, stage.now));
    let asked = accepted(&ask(&mut stage, wish));
    let mut body = answer(&id, &asked, "hash-1");
    let macs: Vec<(u64, [u8; 32])> = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|response| {
            let mac = hex::decode(response["hmac"].as_str().unwrap()).unwrap();
            (response["region_index"].as_u64().unwrap(), mac.try_into().unwrap())
        })
        .collect();
    body["device_signature"] = json!(sign(&signed_answers(&id, asked["nonce"].as_str().unwrap(), &macs)));
    let verified = accepted(&verify(&mut stage, &body));
    let session = session(&stage, verified["session_token"].as_str().unwrap());
    assert_eq!(session.tier, 2);
    assert_eq!(session.key_thumbprint, Some(DeviceKey::from_bytes(key.to_vec()).unwrap().thumbprint()));
}

#[test]
fn an_ed25519_device_key_is_checked_everywhere_and_reaches_tier_two() {
    let pair = SigningPair::from_seed([9; 32]);
    let key = parse_base64(&pair.public_base64()).unwrap();
    attest_with_key(&key, &|message| pair.sign_base64(message));
}

#[test]
fn a_p256_device_key_is_checked_everywhere_and_reaches_tier_two() {
    use base64::Engine as _;
    let pair = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    let key = pair.verifying_key().to_sec1_point(false);
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    attest_with_key(key.as_bytes(), &|message| {
        let signature: p256::ecdsa::Signature = pair.sign(message);
        encode(&signature.to_bytes())
    });
    attest_with_key(key.as_bytes(), &|message| {
        let signature: p256::ecdsa::Signature = pair.sign(message);
        encode(signature.to_der().as_bytes())
    });
}

#[test]
fn a_free_form_id_that_came_with_a_key_stays_with_that_key() {
    let mut stage = ready();
    let pair = SigningPair::from_seed([9; 32]);
    let at = stage.now;
    let proof = |pair: &SigningPair, at: Timestamp| {
        pair.sign_base64(&signed_bytes("legacy", Signed::Registration(&build()), at))
    };
    let mut body = registration(&stage, "legacy");
    body["device_key"] = json!(pair.public_base64());
    body["device_timestamp"] = json!(at.as_millis());
    body["device_signature"] = json!(proof(&pair, at));
    accepted(&post(&mut stage, Operation::AttestRegister, &body));
    refused(&register(&mut stage, "legacy"), 403, "Invalid device_timestamp: not from now");
    let other = SigningPair::from_seed([8; 32]);
    body["device_key"] = json!(other.public_base64());
    body["device_signature"] = json!(proof(&other, at));
    refused(&post(&mut stage, Operation::AttestRegister, &body), 403, "device_id is registered with another key");
}

#[test]
fn uploads_are_checked_in_the_order_of_the_protocol_and_never_change() {
    let mut stage = registry();
    let missing = "Missing required fields: version, platform, build_hash";
    let format = "Invalid version or platform format";
    let none = "critical_regions must be a non-empty array of { offset, length, hmac } objects";
    let good = upload_of("1.2.0", "android", "hash-1", 4);
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    // What the field's CI script sends.
    let hashes = json!({ "version": "1.2.0", "platform": "android", "binary_hash": "x", "region_hashes": [] });
    for (body, sentence) in [
        (json!({}), missing),
        (hashes, missing),
        (with("build_hash", json!("")), missing),
        (with("version", json!("one")), format),
        (with("platform", json!("a b")), format),
        (with("critical_regions", json!([])), none),
        (with("critical_regions", json!("x")), none),
        (
            with("critical_regions", json!([{ "offset": 0 }])),
            "Each critical_region must have numeric offset and length",
        ),
    ] {
        refused(&upload(&mut stage, &body), 400, sentence);
    }
    let first = accepted(&upload(&mut stage, &good));
    stage.now = stage.now.plus(1_000);
    assert_eq!(accepted(&upload(&mut stage, &good)), first);
    let changed = with("size", json!(999_999));
    refused(&upload(&mut stage, &changed), 409, "Another reference is kept for this build");
    assert_eq!(stage.database.dump().iter().filter(|line| line.starts_with("log: ")).count(), 1);
    // Another build of the same version is another reference.
    accepted(&upload(&mut stage, &with("build_hash", json!("hash-2"))));
}

#[test]
fn no_answer_holds_a_byte_of_a_reference_or_an_expected_value() {
    let mut stage = registry();
    let mut answers = vec![upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 6)).body];
    answers.push(register(&mut stage, "device").body);
    let asked = challenge(&mut stage, "device");
    answers.push(asked.body.clone());
    let good = answer("device", &body(&asked), "hash-1");
    let mut bad = good.clone();
    bad["responses"][1]["hmac"] = json!("0".repeat(64));
    answers.push(verify(&mut stage, &bad).body);
    answers.push(stage.call(&call(Operation::AttestLog)).body);
    let secret = |number: u64| hex::encode(file_piece("hash-1", number * 100, 8));
    for text in answers {
        for number in 0..6 {
            assert!(!text.contains(&secret(number)), "{text}");
        }
        for response in good["responses"].as_array().unwrap() {
            assert!(!text.contains(response["hmac"].as_str().unwrap()), "{text}");
        }
    }
}
