//! The vector that every client knows, and every way to damage it.

use verify_list::{SKEW_MS_MAX, VerifyError, verify_list};

/// RFC 8032, section 7.1, test 1.
const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// RFC 8032, section 7.1, test 2.
const OTHER_KEY: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
const BODY: &[u8] = br#"{"servers":[],"timestamp":1700000000000}"#;
const SIGNATURE: &str = "Nfg6+EI6L6MSF4GCUMQ7OJjDKPKoAaMxGpcmIxRM+XkR83/++hlK6WLoasbcOlGxW1cZhjRB8ddVZmxDJjKaBA==";
const NOW: u64 = 1_700_000_000_000;

#[test]
fn the_vector_is_genuine() {
    let list = verify_list(BODY, SIGNATURE, &[KEY], NOW).unwrap();
    assert!(list.servers.is_empty());
    assert_eq!(list.timestamp, NOW);
}

#[test]
fn a_pinned_key_is_enough_during_a_rotation() {
    let both = format!("deadbeef=AAAA,21fe31df={SIGNATURE}");
    for header in [both.as_str(), SIGNATURE] {
        assert!(verify_list(BODY, header, &[OTHER_KEY, KEY], NOW).is_ok());
        assert_eq!(verify_list(BODY, header, &[OTHER_KEY], NOW), Err(VerifyError::BadSignature));
    }
}

#[test]
fn every_damaged_bit_is_noticed() {
    for index in 0..BODY.len() * 8 {
        let mut body = BODY.to_vec();
        body[index / 8] ^= 1 << (index % 8);
        assert_eq!(verify_list(&body, SIGNATURE, &[KEY], NOW), Err(VerifyError::BadSignature), "bit {index}");
    }
    assert_eq!(verify_list(&BODY[1..], SIGNATURE, &[KEY], NOW), Err(VerifyError::BadSignature));
    for header in ["", "AAAA", "not base64", &SIGNATURE[4..], &SIGNATURE.to_lowercase()] {
        assert_eq!(verify_list(BODY, header, &[KEY], NOW), Err(VerifyError::BadSignature), "{header}");
    }
}

#[test]
fn a_list_counts_for_five_minutes_in_either_direction() {
    for now in [NOW + SKEW_MS_MAX, NOW - SKEW_MS_MAX] {
        assert!(verify_list(BODY, SIGNATURE, &[KEY], now).is_ok());
    }
    for now in [NOW + SKEW_MS_MAX + 1, NOW - SKEW_MS_MAX - 1, 0, u64::MAX] {
        assert_eq!(verify_list(BODY, SIGNATURE, &[KEY], now), Err(VerifyError::NotNow));
    }
}

#[test]
fn a_signed_body_that_is_no_list_is_not_used() {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for body in ["[]", "{}", "{\"servers\":[],\"timestamp\":1.7e12}", "{\"servers\":{},\"timestamp\":1}", "nonsense"] {
        let header = encode(&key.sign(body.as_bytes()).to_bytes());
        let pinned = encode(key.verifying_key().as_bytes());
        assert_eq!(verify_list(body.as_bytes(), &header, &[&pinned], NOW), Err(VerifyError::BadBody), "{body}");
    }
}

#[test]
fn a_bad_pinned_key_is_told_from_a_bad_list() {
    assert_eq!(verify_list(BODY, SIGNATURE, &["short"], NOW), Err(VerifyError::BadPinnedKey));
}
