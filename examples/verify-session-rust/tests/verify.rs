//! A token that the service has issued, and every way to damage it.

use verify_session::{Demand, Key, SKEW_MS_MAX, SessionError, verify_session};

const NOW: u64 = 1_800_000_000_000;
const TOKEN: &str = "eyJkZXZpY2VfaWQiOiJkZXZpY2UiLCJidWlsZF92ZXJzaW9uIjoiMS4yLjAiLCJwbGF0Zm9ybSI6ImFuZHJvaWQiLCJpc3N1ZWRfYXQiOjE4MDAwMDAwMDAwMDAsImV4cGlyZXNfYXQiOjE4MDAwMDM2MDAwMDAsInR5cCI6InNlc3Npb24iLCJraWQiOiIyMWZlMzFkZiIsImF1ZCI6IndheXN0YXRpb24iLCJidWlsZF9oYXNoIjoiaGFzaC0xIiwidGllciI6MSwicG9saWN5X2Vwb2NoIjoxLCJqdGkiOiI2OTUzNzk4ODc2YTJjMzY5ZWJmYWI1MDU5YmU3ODIxYSJ9.OocjS2vA0zwihDDtCw0Wl2u1IbOTkspTEfWo-0OfuX30ZTYkes8xlwhP9lxEiQSLXfDwlIPJ-dC_d-MrxmIFCQ";
const DEMAND: Demand<'_> = Demand { audience: "waystation", tier_min: 1, policy_epoch_min: 0 };

/// RFC 8032, section 7.1, tests 1 and 2.
fn keys() -> Vec<Key> {
    let key = |kid: &str, x: &str| Key { kid: kid.into(), x: x.into() };
    vec![
        key("39f713d0", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"),
        key("21fe31df", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
    ]
}

#[test]
fn the_vector_is_genuine() {
    let session = verify_session(TOKEN, &keys(), DEMAND, NOW).unwrap();
    assert_eq!((session.device_id.as_str(), session.build_version.as_str()), ("device", "1.2.0"));
    assert_eq!((session.tier, session.policy_epoch), (1, 1));
}

#[test]
fn every_flipped_bit_is_noticed() {
    for bit in 0..TOKEN.len() * 7 {
        let mut bytes = TOKEN.as_bytes().to_vec();
        bytes[bit / 7] ^= 1 << (bit % 7);
        let bad = String::from_utf8(bytes).unwrap();
        assert_eq!(verify_session(&bad, &keys(), DEMAND, NOW), Err(SessionError::NotGenuine), "bit {bit}");
    }
    for bad in ["", ".", &TOKEN[1..], &format!("{TOKEN}A"), &format!("{TOKEN}="), &format!("{TOKEN}.")] {
        assert_eq!(verify_session(bad, &keys(), DEMAND, NOW), Err(SessionError::NotGenuine), "{bad}");
    }
}

#[test]
fn only_known_keys_count() {
    let renamed = vec![Key { kid: keys()[1].kid.clone(), ..keys()[0].clone() }];
    for some in [Vec::new(), keys()[..1].to_vec(), renamed] {
        assert_eq!(verify_session(TOKEN, &some, DEMAND, NOW), Err(SessionError::NotGenuine));
    }
}

#[test]
fn time_audience_tier_and_epoch_are_demanded() {
    let judge = |demand, now| verify_session(TOKEN, &keys(), demand, now);
    assert!(judge(DEMAND, NOW + 3_599_999).is_ok() && judge(DEMAND, NOW - SKEW_MS_MAX).is_ok());
    for now in [NOW + 3_600_000, NOW - SKEW_MS_MAX - 1, 0, u64::MAX] {
        assert_eq!(judge(DEMAND, now), Err(SessionError::NotNow));
    }
    assert_eq!(judge(Demand { audience: "relay-1", ..DEMAND }, NOW), Err(SessionError::Audience));
    assert_eq!(judge(Demand { tier_min: 2, ..DEMAND }, NOW), Err(SessionError::Tier));
    assert!(judge(Demand { policy_epoch_min: 1, ..DEMAND }, NOW).is_ok());
    assert_eq!(judge(Demand { policy_epoch_min: 2, ..DEMAND }, NOW), Err(SessionError::PolicyEpoch));
}
