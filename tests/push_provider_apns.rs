//! Apple Push Notification service: what is sent, with whose authority, and what the answers mean.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_support;

use push_support::{answered, object, pem_of, secret_key, verified_jwt};
use serde_json::{Value, json};
use waystation::kernel::errand::{Failure, Fetch, Outcome};
use waystation::kernel::time::Timestamp;
use waystation::push::provider::apns::{Gateway, Holder, Notice, ProviderToken, PushType, Signer};
use waystation::push::provider::{Refusal, RetryBase, Verdict};
use waystation::push::wire::provider::apns::{
    legacy_notice, provider_token, sealed_notice, send, test_notice, verdict,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);
const MINUTE: u64 = 60_000;

fn signer() -> Signer {
    Signer::parse(&pem_of(&secret_key(7)), "KEYID12345", "TEAMID6789").unwrap()
}

fn gateway(text: &str) -> Gateway {
    Gateway::parse(text).unwrap()
}

fn token() -> ProviderToken {
    provider_token(&signer(), Holder::All, NOW)
}

fn header<'a>(fetch: &'a Fetch, name: &str) -> Option<&'a str> {
    fetch.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn body(notice: &Notice) -> Value {
    serde_json::from_slice(&notice.body).unwrap()
}

#[test]
fn a_provider_token_is_signed_by_the_key_of_the_file() {
    let (header, claims) = verified_jwt(token().jwt.reveal(), &secret_key(7));
    assert_eq!(header, json!({ "alg": "ES256", "kid": "KEYID12345" }));
    assert_eq!(claims, json!({ "iss": "TEAMID6789", "iat": token().issued.as_millis() / 1_000 }));
}

#[test]
fn a_key_file_is_read_however_a_setting_holds_it() {
    let pem = pem_of(&secret_key(7));
    for form in
        [pem.clone(), pem.trim().to_owned(), pem.replace('\n', "\\n"), pem.replace('\n', "\r\n"), pem.replace('\n', "")]
    {
        let signer = Signer::parse(&form, "KEYID12345", "TEAMID6789").expect(&form);
        verified_jwt(provider_token(&signer, Holder::All, NOW).jwt.reveal(), &secret_key(7));
        assert!(!format!("{signer:?}").contains("MIG"), "the key is not printed");
    }
    for (form, key_id, team_id) in [
        (pem.as_str(), "KEYID1234", "TEAMID6789"),
        (pem.as_str(), "KEYID12345", "TEAM_D6789"),
        ("", "KEYID12345", "TEAMID6789"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "KEYID12345", "TEAMID6789"),
    ] {
        assert!(Signer::parse(form, key_id, team_id).is_none());
    }
}

#[test]
fn every_object_holds_the_same_provider_token_for_forty_minutes() {
    let start = Timestamp::from_millis(NOW.as_millis() / (40 * MINUTE) * 40 * MINUTE);
    let at = |ms: u64| provider_token(&signer(), Holder::All, start.plus(ms));
    assert_eq!(at(0), at(40 * MINUTE - 1), "made at any time of the period, with the same signature");
    assert_eq!(at(7).issued, start);
    assert_ne!(at(0).jwt, at(40 * MINUTE).jwt);
    assert!(at(0).is_usable(start.plus(40 * MINUTE - 1)) && !at(0).is_usable(start.plus(40 * MINUTE)));
}

#[test]
fn a_common_token_that_apple_refuses_gives_way_to_an_own_one_and_that_not_for_twenty_minutes() {
    assert!(token().may_be_renewed(NOW));
    let own = provider_token(&signer(), Holder::One, NOW);
    assert_eq!(own.issued, NOW);
    assert!(own.is_usable(NOW.plus(40 * MINUTE - 1)));
    assert!(!own.may_be_renewed(NOW.plus(20 * MINUTE - 1)), "Apple counts how often");
    assert!(own.may_be_renewed(NOW.plus(20 * MINUTE)));
}

#[test]
fn a_legacy_notification_puts_custom_at_the_top_and_the_rest_under_aps() {
    let payload = object(json!({
        "alert": { "title": "#general", "body": "hé" }, "sound": "default", "badge": 0,
        "custom": { "zulip": { "message_ids": [1] }, "other": 2 },
    }));
    let notice = legacy_notice(&payload, NOW).unwrap();
    assert_eq!(
        body(&notice),
        json!({
            "zulip": { "message_ids": [1] }, "other": 2,
            "aps": { "alert": { "title": "#general", "body": "hé" }, "sound": "default", "badge": 0 },
        })
    );
    let fetch = send(&gateway("https://api.push.apple.com"), &token(), "example.app", "c0ffee", &notice);
    assert_eq!((fetch.method, fetch.url.as_str()), ("POST", "https://api.push.apple.com/3/device/c0ffee"));
    assert_eq!(header(&fetch, "authorization"), Some(format!("bearer {}", token().jwt.reveal()).as_str()));
    assert_eq!(header(&fetch, "apns-topic"), Some("example.app"));
    assert_eq!(header(&fetch, "apns-expiration"), Some("1700086400"));
    for absent in ["apns-priority", "apns-push-type", "apns-collapse-id", "relay-authorization"] {
        assert_eq!(header(&fetch, absent), None, "{absent}");
    }
    assert_eq!(fetch.body, notice.body);
    assert_eq!(fetch.timeout_ms, 5_000);
}

#[test]
fn a_payload_without_custom_is_all_apple_s() {
    assert_eq!(body(&legacy_notice(&object(json!({ "badge": 3 })), NOW).unwrap()), json!({ "aps": { "badge": 3 } }));
    let odd = legacy_notice(&object(json!({ "custom": 5 })), NOW).unwrap();
    assert_eq!(body(&odd), json!({ "aps": {} }));
}

#[test]
fn a_removal_keeps_the_two_hundred_largest_ids() {
    let ids: Vec<String> = (1..=250_u32).map(|id| id.to_string()).collect();
    let removal = |ids: Value| {
        object(json!({ "badge": 0, "custom": { "zulip": { "event": "remove", "zulip_message_ids": ids } } }))
    };
    let notice = legacy_notice(&removal(json!(ids.join(","))), NOW).unwrap();
    assert_eq!(body(&notice)["zulip"]["zulip_message_ids"], ids[50..].join(","));
    assert!(legacy_notice(&removal(json!("a")), NOW).is_err());
}

#[test]
fn a_test_notification_names_the_realm() {
    let base = json!({ "realm_name": "Zoë", "realm_uri": "https://z.example", "user_id": 5 });
    assert_eq!(
        body(&test_notice(&object(base.clone()), NOW).unwrap()),
        json!({
            "aps": {
                "alert": {
                    "title": "Test notification",
                    "body": "This is a test notification from Zoë (https://z.example).",
                },
                "sound": "default",
            },
            "zulip": { "event": "test", "realm_name": "Zoë", "realm_uri": "https://z.example", "user_id": 5 },
        })
    );
    let mut newer = base.clone();
    newer["realm_url"] = json!("https://new.example");
    let text = body(&test_notice(&object(newer), NOW).unwrap())["aps"]["alert"]["body"].to_string();
    assert!(text.contains("https://new.example"));
    for key in ["realm_name", "realm_uri"] {
        let mut less = base.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(test_notice(&object(less), NOW).is_none(), "{key}");
    }
}

#[test]
fn an_encrypted_notification_passes_as_it_is() {
    let payload = json!({
        "push_key_id": 2408, "encrypted_data": "AAEC",
        "aps": { "mutable-content": 1, "alert": { "title": "New notification" } },
    });
    let notice = sealed_notice(&object(payload.clone()), 5, PushType::Background);
    assert_eq!(body(&notice), payload);
    let fetch = send(&gateway("https://a"), &token(), "example.app", "C0FFEE", &notice);
    assert_eq!(header(&fetch, "apns-priority"), Some("5"));
    assert_eq!(header(&fetch, "apns-push-type"), Some("background"));
    assert_eq!(header(&fetch, "apns-expiration"), None);
    assert!(fetch.url.ends_with("/C0FFEE"));
}

#[test]
fn a_collapse_id_is_sent_where_there_is_one() {
    let mut notice = sealed_notice(&object(json!({})), 10, PushType::Alert);
    notice.collapse_id = Some(String::from("k"));
    let fetch = send(&gateway("https://a"), &token(), "t", "aa", &notice);
    assert_eq!(header(&fetch, "apns-collapse-id"), Some("k"));
}

#[test]
fn push_types_are_apple_s_words() {
    for word in [
        "alert",
        "background",
        "complication",
        "controls",
        "fileprovider",
        "liveactivity",
        "location",
        "mdm",
        "pushtotalk",
        "voip",
        "widgets",
    ] {
        assert_eq!(PushType::parse(word).map(PushType::word), Some(word));
    }
    assert_eq!(PushType::parse("Alert"), None);
    assert_eq!(PushType::parse(""), None);
}

#[test]
fn a_relay_s_secret_stands_in_its_url_and_nowhere_else() {
    let relay = gateway("https://:s3cr-t~1@relay.example:8443/");
    assert_eq!(relay.base_url, "https://relay.example:8443");
    assert!(!format!("{relay:?}").contains("s3cr"), "the secret is not printed");
    let fetch = send(&relay, &token(), "t", "aa", &sealed_notice(&object(json!({})), 10, PushType::Alert));
    assert_eq!(fetch.url, "https://relay.example:8443/3/device/aa");
    assert_eq!(header(&fetch, "relay-authorization"), Some("Bearer s3cr-t~1"));
    for bad in [
        "",
        "relay.example",
        "ftp://a",
        "https://user:x@a",
        "https://:a%2Fb@a",
        "https://a/?b",
        "https://a/#b",
        "mailto:a@b",
    ] {
        assert!(Gateway::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(gateway("https://a.example/prefix/").base_url, "https://a.example/prefix");
}

#[test]
fn a_token_never_leaves_its_place_in_the_path() {
    let notice = sealed_notice(&object(json!({})), 10, PushType::Alert);
    let fetch = send(&gateway("https://a"), &token(), "t", "../x?y#z", &notice);
    assert_eq!(fetch.url, "https://a/3/device/..%2Fx%3Fy%23z");
}

#[test]
fn a_payload_may_have_four_kilobytes() {
    let of =
        |length: usize| Notice { body: vec![b' '; length], ..sealed_notice(&object(json!({})), 10, PushType::Alert) };
    assert!(of(4_096).fits());
    assert!(!of(4_097).fits());
}

fn error(status: u16, reason: &str) -> Outcome {
    answered(status, &[], &json!({ "reason": reason }).to_string())
}

#[test]
fn every_answer_has_its_verdict() {
    let dead = Verdict::Dead { since: None };
    let refused = Verdict::Refused;
    let retry = |base| Verdict::Retry { after_ms: None, base };
    for (status, reason, expected) in [
        (400, "BadDeviceToken", dead),
        (400, "DeviceTokenNotForTopic", dead),
        (410, "Unregistered", dead),
        (410, "ExpiredToken", dead),
        (410, "", refused(Refusal::Unexpected)),
        (400, "TopicDisallowed", refused(Refusal::Misconfigured)),
        (400, "MissingTopic", refused(Refusal::Misconfigured)),
        (400, "BadTopic", refused(Refusal::Misconfigured)),
        (400, "PayloadEmpty", refused(Refusal::Malformed)),
        (400, "BadPriority", refused(Refusal::Malformed)),
        (400, "InvalidPushType", refused(Refusal::Malformed)),
        (403, "ExpiredProviderToken", Verdict::Renew),
        (403, "InvalidProviderToken", refused(Refusal::Misconfigured)),
        (403, "BadEnvironmentKeyIdInToken", refused(Refusal::Misconfigured)),
        (403, "Unregistered", refused(Refusal::Misconfigured)),
        (401, "", refused(Refusal::Misconfigured)),
        (404, "BadPath", refused(Refusal::Misconfigured)),
        (413, "PayloadTooLarge", refused(Refusal::TooLarge)),
        (429, "TooManyRequests", retry(RetryBase::Quota)),
        (429, "TooManyProviderTokenUpdates", retry(RetryBase::Quota)),
        (500, "InternalServerError", retry(RetryBase::Server)),
        (503, "ServiceUnavailable", retry(RetryBase::Server)),
        (503, "Shutdown", retry(RetryBase::Server)),
        (301, "", refused(Refusal::Unexpected)),
    ] {
        assert_eq!(verdict(&error(status, reason), NOW), expected, "{status} {reason}");
    }
    assert_eq!(verdict(&answered(200, &[("apns-id", "x")], ""), NOW), Verdict::Delivered);
    assert_eq!(
        verdict(&Outcome::Failed(Failure::TimedOut), NOW),
        Verdict::Retry { after_ms: None, base: RetryBase::Network }
    );
}

#[test]
fn an_unregistered_token_says_since_when() {
    let outcome = answered(410, &[], r#"{"reason":"Unregistered","timestamp":1699999999999}"#);
    let verdict = verdict(&outcome, NOW);
    assert_eq!(verdict, Verdict::Dead { since: Some(Timestamp::from_millis(1_699_999_999_999)) });
    assert!(verdict.kills(Timestamp::from_millis(1_699_999_999_999)));
    assert!(!verdict.kills(NOW));
}

#[test]
fn an_answer_that_is_no_json_kills_no_token() {
    for body in ["", "Unregistered", "<html>", "[]", r#"{"reason":5}"#, r#"{"Reason":"Unregistered"}"#] {
        assert_eq!(verdict(&answered(410, &[], body), NOW), Verdict::Refused(Refusal::Unexpected), "{body}");
        assert_eq!(verdict(&answered(400, &[], body), NOW), Verdict::Refused(Refusal::Malformed), "{body}");
    }
}

#[test]
fn retry_after_is_kept() {
    let outcome = answered(503, &[("retry-after", "12")], "");
    assert_eq!(verdict(&outcome, NOW), Verdict::Retry { after_ms: Some(12_000), base: RetryBase::Server });
}
