//! Sealed registrations: what opens, and that everything else is one refusal.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use push_support::{PRIVATE_KEY, PUBLIC_KEY, seal_shared, sealed_text};
use serde_json::{Value, json};
use waystation::kernel::time::Timestamp;
use waystation::push::sealed::{Registration, RegistrationKeys, SealedError, Target, TokenId};
use waystation::push::wire::provider::sealed::{Submission, open, parse_keys};

// Computed with libsodium: the ephemeral private key is 32 times 0x42.
const SEALED: &str = "EyxEK+AQ+9V+cmAzKKp25x/MwVA6riGTJ9FNnJmT9HK0R6ljjx+sYZUJKgLaPYWEd1Jz6xZpxQ5ck9KrB8OkpMWleWksVwlnskaPLLnIL8xrtuogqu23ns8L5o/XqQRP87Mdu/GAiK+HqNixOF8YA6Erz2+6CGU1LYtEIEIz4SR55PC3xYJwxg==";
const PLAINTEXT: &str = r#"{"token":"c0ffee","token_kind":"apns","ios_app_id":"example.app","timestamp":1700000000}"#;
const TOKEN_ID: &str = "+wKIhyAx/Eg=";
const MADE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn keys() -> RegistrationKeys {
    parse_keys(&json!({ PUBLIC_KEY: PRIVATE_KEY }).to_string()).unwrap()
}

fn submit(sealed: &str, token_id: Option<&str>, now: Timestamp) -> Result<Registration, SealedError> {
    let submission = Submission { bouncer_public_key: PUBLIC_KEY, encrypted_push_registration: sealed, token_id };
    open(&keys(), submission, now)
}

fn submit_text(plaintext: &Value) -> Result<Registration, SealedError> {
    submit(&sealed_text(&plaintext.to_string()), None, MADE)
}

#[test]
fn the_vectors_of_libsodium_open() {
    assert_eq!(sealed_text(PLAINTEXT), SEALED, "our test seals like libsodium");
    let expected = Registration {
        token: String::from("c0ffee"),
        target: Target::Apns { app_id: String::from("example.app") },
        made: MADE,
    };
    assert_eq!(submit(SEALED, Some(TOKEN_ID), MADE), Ok(expected));
}

#[test]
fn a_long_seal_is_the_same_as_the_end_to_end_tests_make_it() {
    use sha2::Digest as _;
    let public = STANDARD.decode(PUBLIC_KEY).unwrap().try_into().unwrap();
    let sealed = push_support::seal(public, [0x42; 32], &[b'x'; 1000]);
    assert_eq!(
        hex::encode(sha2::Sha256::digest(sealed)),
        "6e95d82dcf6481b00ce42fab7eeadbf749af66e3710db7e61519e11134b51032"
    );
}

#[test]
fn token_ids_are_the_first_eight_bytes_of_the_hash() {
    for (token, text, number) in [
        ("c0ffee", "+wKIhyAx/Eg=", -359_574_906_294_109_112),
        ("C0FFEE", "jS5/TZMf7/8=", -8_273_535_494_275_469_313),
        ("android-tokenaz", "iGFeKNj3ngQ=", -8_619_504_682_278_609_404),
    ] {
        let id = TokenId::of(token);
        assert_eq!((id.to_base64().as_str(), id.as_i64()), (text, number), "{token}");
        assert_eq!(TokenId::parse(text), Some(id));
    }
    for bad in ["", "AAAA", "+wKIhyAx/EgA", "+wKIhyAx/Eg", "not base64!!"] {
        assert_eq!(TokenId::parse(bad), None, "{bad}");
    }
}

#[test]
fn older_servers_name_no_token() {
    assert!(submit(SEALED, None, MADE).is_ok());
}

#[test]
fn a_registration_of_another_token_is_refused() {
    for other in ["jS5/TZMf7/8=", "", "+wKIhyAx/Eg", "%%%"] {
        assert_eq!(submit(SEALED, Some(other), MADE), Err(SealedError::Invalid), "{other}");
    }
}

#[test]
fn an_unknown_key_is_told_before_anything_else() {
    for key in ["", "AAAA", PRIVATE_KEY, "not base64"] {
        let submission = Submission { bouncer_public_key: key, encrypted_push_registration: "rubbish", token_id: None };
        assert_eq!(open(&keys(), submission, MADE), Err(SealedError::UnknownKey), "{key}");
    }
}

#[test]
fn every_active_key_opens_its_own() {
    let old = curve25519_dalek::montgomery::MontgomeryPoint::mul_base_clamped([9; 32]).to_bytes();
    let text = json!({ PUBLIC_KEY: PRIVATE_KEY, STANDARD.encode(old): STANDARD.encode([9; 32]) }).to_string();
    let both = parse_keys(&text).unwrap();
    let sealed = STANDARD.encode(push_support::seal(old, [7; 32], PLAINTEXT.as_bytes()));
    let of = |key: &str, sealed: &str| {
        let submission =
            Submission { bouncer_public_key: key, encrypted_push_registration: sealed, token_id: Some(TOKEN_ID) };
        open(&both, submission, MADE)
    };
    assert!(of(&STANDARD.encode(old), &sealed).is_ok());
    assert!(of(PUBLIC_KEY, SEALED).is_ok());
    assert_eq!(of(PUBLIC_KEY, &sealed), Err(SealedError::Invalid), "the key that is named is the one that is tried");
}

#[test]
fn keys_that_do_not_belong_together_are_refused() {
    for bad in [
        json!({ PRIVATE_KEY: PUBLIC_KEY }),
        json!({ PUBLIC_KEY: "AAAA" }),
        json!({ "AAAA": PRIVATE_KEY }),
        json!([PUBLIC_KEY, PRIVATE_KEY]),
    ] {
        assert!(parse_keys(&bad.to_string()).is_none(), "{bad}");
    }
    assert!(parse_keys("").is_none());
    assert!(parse_keys("{}").unwrap().is_empty());
    assert!(!format!("{:?}", keys()).contains("AQID"), "a private key is not printed");
}

#[test]
fn every_flipped_bit_breaks_the_seal() {
    let good = STANDARD.decode(SEALED).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the top bit of a public key, but the nonce does not.
        assert_eq!(submit(&STANDARD.encode(&bad), None, MADE), Err(SealedError::Invalid), "bit {bit}");
    }
}

#[test]
fn every_cut_breaks_the_seal() {
    let good = STANDARD.decode(SEALED).unwrap();
    for length in 0..good.len() {
        assert_eq!(submit(&STANDARD.encode(&good[..length]), None, MADE), Err(SealedError::Invalid), "{length}");
    }
    assert_eq!(submit("no base64", None, MADE), Err(SealedError::Invalid));
    assert_eq!(submit(&format!("{SEALED}AAAA"), None, MADE), Err(SealedError::Invalid));
}

#[test]
fn an_ephemeral_key_of_small_order_opens_nothing() {
    // With this point the shared secret is 0 whoever holds the private key: anybody could seal and open.
    let public = STANDARD.decode(PUBLIC_KEY).unwrap().try_into().unwrap();
    let sealed = seal_shared([0; 32], public, [0; 32], PLAINTEXT.as_bytes());
    assert_eq!(submit(&STANDARD.encode(sealed), None, MADE), Err(SealedError::Invalid));
}

#[test]
fn a_registration_is_what_its_types_say() {
    let good =
        json!({ "token": "c0ffee", "token_kind": "apns", "ios_app_id": "example.app", "timestamp": 1_700_000_000 });
    assert!(submit_text(&good).is_ok());
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let without = |key: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(key);
        changed
    };
    for bad in [
        with("token", json!("")),
        with("token", json!("c0ffe")),
        with("token", json!("coffee")),
        with("token", json!("c0 ffee ")),
        with("token", json!(12)),
        with("token", json!("ab".repeat(2049))),
        with("token_kind", json!("gcm")),
        with("token_kind", json!("fcm")),
        with("token_kind", json!(1)),
        with("ios_app_id", Value::Null),
        with("ios_app_id", json!("")),
        with("ios_app_id", json!("a_b")),
        with("ios_app_id", json!("a.b\n")),
        with("ios_app_id", json!("a".repeat(256))),
        with("timestamp", json!("1700000000")),
        with("timestamp", json!(1.5)),
        with("timestamp", json!(true)),
        without("token"),
        without("token_kind"),
        without("ios_app_id"),
        without("timestamp"),
        json!([]),
        json!("c0ffee"),
    ] {
        assert_eq!(submit_text(&bad), Err(SealedError::Invalid), "{bad}");
    }
    assert!(submit_text(&with("token", json!("ab".repeat(2048)))).is_ok());
    assert!(submit_text(&with("newer_member", json!(1))).is_ok(), "newer phones may say more");
    assert!(submit_text(&with("newer_member", json!("x".repeat(48_000)))).is_ok());
    assert_eq!(
        submit_text(&with("newer_member", json!("x".repeat(49_200)))),
        Err(SealedError::Invalid),
        "not endlessly"
    );
}

#[test]
fn a_phone_of_google_names_no_app() {
    let good = json!({ "token": "android-tokenaz", "token_kind": "fcm", "timestamp": 1_700_000_000 });
    assert_eq!(submit_text(&good).unwrap().target, Target::Fcm);
    for (app_id, taken) in [(Value::Null, true), (json!("example.app"), false)] {
        let mut changed = good.clone();
        changed["ios_app_id"] = app_id;
        assert_eq!(submit_text(&changed).is_ok(), taken);
    }
    let longest = json!({ "token": "é".repeat(4096), "token_kind": "fcm", "timestamp": 1_700_000_000 });
    assert!(submit_text(&longest).is_ok(), "characters count, not bytes");
    let longer = json!({ "token": "é".repeat(4097), "token_kind": "fcm", "timestamp": 1_700_000_000 });
    assert_eq!(submit_text(&longer), Err(SealedError::Invalid));
}

#[test]
fn a_registration_lives_a_day() {
    assert!(submit(SEALED, None, MADE.plus(86_400_000)).is_ok());
    assert_eq!(submit(SEALED, None, MADE.plus(86_400_001)), Err(SealedError::Expired));
    assert!(submit(SEALED, None, MADE.minus(86_400_000_000)).is_ok(), "a clock that is ahead is accepted");
    let ancient = json!({ "token": "a", "token_kind": "fcm", "timestamp": -5 });
    assert_eq!(submit_text(&ancient), Err(SealedError::Expired));
    let wrong = json!({ "token": "coffee", "token_kind": "apns", "ios_app_id": "a", "timestamp": 0 });
    assert_eq!(submit_text(&wrong), Err(SealedError::Invalid), "the age comes last");
}

proptest! {
    #[test]
    fn whatever_is_sealed_is_answered(plaintext in ".{0,200}", token_id in proptest::option::of(".{0,16}")) {
        let outcome = submit(&sealed_text(&plaintext), token_id.as_deref(), MADE);
        prop_assert!(matches!(outcome, Ok(_) | Err(SealedError::Invalid | SealedError::Expired)));
    }
}
