//! Firebase Cloud Messaging: what is sent, with whose authority, and what the answers mean.
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
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use push_support::{answered, jwt_parts, object};
use serde_json::{Value, json};
use waystation::kernel::errand::{Errand, Failure, Fetch, Outcome};
use waystation::kernel::secret::Secret;
use waystation::kernel::time::Timestamp;
use waystation::push::provider::fcm::{Access, Notice, Priority, ServiceAccount};
use waystation::push::provider::{Refusal, RetryBase, Verdict};
use waystation::push::wire::provider::fcm::{
    assertion_input, legacy_notice, parse_access, parse_service_account, sealed_notice, send, sign, test_notice,
    token_request, verdict,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);
const MINUTE: u64 = 60_000;

fn account_text() -> Value {
    json!({
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "kid-1",
        "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "client_email": "push@my-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.example/token",
    })
}

fn account() -> ServiceAccount {
    parse_service_account(&account_text().to_string()).unwrap()
}

fn access(text: &str) -> Access {
    Access { token: Secret::new(text.to_owned()), until: NOW.plus(MINUTE) }
}

fn header<'a>(fetch: &'a Fetch, name: &str) -> Option<&'a str> {
    fetch.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn data(notice: &Notice) -> Value {
    notice
        .data
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn a_service_account_is_read_from_its_file() {
    let account = account();
    assert_eq!(account.project_id, "my-project");
    assert_eq!(account.token_url, "https://oauth2.example/token");
    assert!(!format!("{account:?}").contains("AAAA"), "the key is not printed");

    let mut plain = account_text();
    plain.as_object_mut().unwrap().remove("token_uri");
    assert_eq!(parse_service_account(&plain.to_string()).unwrap().token_url, "https://oauth2.googleapis.com/token");

    for (key, value) in [("project_id", "../x"), ("project_id", ""), ("private_key", "AAAA")] {
        let mut bad = account_text();
        bad[key] = value.into();
        assert!(parse_service_account(&bad.to_string()).is_none(), "{key} {value}");
    }
    assert!(parse_service_account("{}").is_none());
    assert!(parse_service_account("").is_none());
}

#[test]
fn an_assertion_says_who_asks_for_what_and_how_long() {
    let input = assertion_input(&account(), NOW);
    let (header, claims) = jwt_parts(&input);
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "kid-1" }));
    assert_eq!(
        claims,
        json!({
            "iss": "push@my-project.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": "https://oauth2.example/token",
            "iat": 1_700_000_000,
            "exp": 1_700_003_600,
        })
    );
    let Errand::SignRs256 { key, message } = sign(&account(), &input) else { panic!("another errand") };
    assert_eq!(message, input.as_bytes());
    assert_eq!(key, account().private_key);
}

#[test]
fn the_token_request_is_the_form_of_the_rfc() {
    let input = assertion_input(&account(), NOW);
    let fetch = token_request("https://oauth2.example/token", &input, &[1, 2, 255]);
    assert_eq!((fetch.method, fetch.url.as_str()), ("POST", "https://oauth2.example/token"));
    assert_eq!(header(&fetch, "content-type"), Some("application/x-www-form-urlencoded"));
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(&fetch.body).map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let assertion = format!("{input}.{}", URL_SAFE_NO_PAD.encode([1, 2, 255]));
    assert_eq!(
        form,
        [
            (String::from("grant_type"), String::from("urn:ietf:params:oauth:grant-type:jwt-bearer")),
            (String::from("assertion"), assertion),
        ]
    );
}

#[test]
fn an_access_token_is_used_until_five_minutes_before_its_end() {
    let of = |body: Value| parse_access(&answered(200, &[], &body.to_string()), NOW).unwrap();
    let hour = of(json!({ "access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer" }));
    assert_eq!(hour.token.reveal(), "ya29.x");
    assert!(hour.is_usable(NOW.plus(55 * MINUTE - 1)));
    assert!(!hour.is_usable(NOW.plus(55 * MINUTE)));
    let long = of(json!({ "access_token": "x", "expires_in": 86_400 }));
    assert!(!long.is_usable(NOW.plus(55 * MINUTE)), "never longer than 55 minutes");
    let short = of(json!({ "access_token": "x", "expires_in": 600 }));
    assert!(short.is_usable(NOW.plus(5 * MINUTE - 1)));
    assert!(!short.is_usable(NOW.plus(5 * MINUTE)));
    for none in [json!({ "access_token": "x" }), json!({ "access_token": "x", "expires_in": 60 })] {
        let access = of(none);
        assert!(access.is_usable(NOW.plus(9_999)), "or every message would ask for one");
        assert!(!access.is_usable(NOW.plus(10_000)));
    }
}

#[test]
fn a_refused_service_account_is_not_asked_again_and_trouble_is() {
    let of = |status, body: &str| parse_access(&answered(status, &[("retry-after", "7")], body), NOW).unwrap_err();
    assert_eq!(of(400, r#"{"error":"invalid_grant"}"#), Verdict::Refused(Refusal::Misconfigured));
    assert_eq!(of(401, ""), Verdict::Refused(Refusal::Misconfigured));
    assert_eq!(of(429, ""), Verdict::Retry { after_ms: Some(7_000), base: RetryBase::Quota });
    assert_eq!(of(503, "{}"), Verdict::Retry { after_ms: Some(7_000), base: RetryBase::Server });
    assert_eq!(of(302, ""), Verdict::Refused(Refusal::Unexpected));
    for bad in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\r\nb","expires_in":3600}"#, "[1]"] {
        assert_eq!(of(200, bad), Verdict::Refused(Refusal::Unexpected), "{bad}");
    }
    assert_eq!(
        parse_access(&Outcome::Failed(Failure::TimedOut), NOW).unwrap_err(),
        Verdict::Retry { after_ms: None, base: RetryBase::Network }
    );
}

#[test]
fn a_message_goes_to_the_project_with_text_only() {
    let payload = object(json!({
        "event": "message", "zulip_message_id": 12, "content": "hé", "flags": ["a"], "none": null, "yes": true,
    }));
    let notice = legacy_notice(&payload, &object(json!({ "priority": "high" }))).unwrap();
    let fetch = send("https://fcm.example/", &account(), &access("ya29.x"), "to:ken", &notice);
    assert_eq!(
        (fetch.method, fetch.url.as_str()),
        ("POST", "https://fcm.example/v1/projects/my-project/messages:send")
    );
    assert_eq!(header(&fetch, "authorization"), Some("Bearer ya29.x"));
    assert_eq!(fetch.timeout_ms, 5_000);
    let body: Value = serde_json::from_slice(&fetch.body).unwrap();
    assert_eq!(
        body,
        json!({ "message": {
            "token": "to:ken",
            "data": {
                "event": "message", "zulip_message_id": "12", "content": "hé", "flags": "[\"a\"]", "none": "null", "yes": "true",
            },
            "android": { "priority": "HIGH" },
        } })
    );
}

#[test]
fn life_and_collapse_key_are_sent_where_there_are_some() {
    let notice = Notice {
        data: vec![],
        priority: Priority::Normal,
        ttl_ms: Some(60_001),
        collapse_key: Some(String::from("k")),
    };
    let body: Value = serde_json::from_slice(&send("https://f", &account(), &access("x"), "t", &notice).body).unwrap();
    assert_eq!(body["message"]["android"], json!({ "priority": "NORMAL", "ttl": "61s", "collapse_key": "k" }));
}

#[test]
fn messages_are_urgent_unless_the_options_say_otherwise() {
    for (event, options, priority) in [
        ("message", json!({}), Priority::High),
        ("remove", json!({}), Priority::Normal),
        ("test", json!({ "priority": null }), Priority::Normal),
        ("message", json!({ "priority": "normal" }), Priority::Normal),
        ("remove", json!({ "priority": "high" }), Priority::High),
    ] {
        let notice = legacy_notice(&object(json!({ "event": event })), &object(options.clone())).unwrap();
        assert_eq!(notice.priority, priority, "{event} {options}");
    }
}

#[test]
fn unknown_options_are_refused_in_the_words_of_the_field() {
    for (options, sentence) in [
        (json!({ "priority": "urgent" }), "Invalid GCM option to bouncer: priority 'urgent'"),
        (json!({ "priority": "HIGH" }), "Invalid GCM option to bouncer: priority 'HIGH'"),
        (json!({ "priority": 5, "x": 1 }), "Invalid GCM option to bouncer: priority 5"),
        (json!({ "priority": "high", "delay": 1 }), "Invalid GCM options to bouncer: {\"delay\":1}"),
        (json!({ "invalid": true }), "Invalid GCM options to bouncer: {\"invalid\":true}"),
    ] {
        let error = legacy_notice(&object(json!({})), &object(options)).unwrap_err();
        assert_eq!(error.sentence(), sentence);
    }
}

#[test]
fn a_removal_keeps_the_two_hundred_largest_ids() {
    let ids = |count: u32| (1..=count).rev().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let sent = |payload: Value| legacy_notice(&object(payload), &object(json!({}))).map(|notice| data(&notice));
    let cut = sent(json!({ "event": "remove", "zulip_message_ids": ids(1_000) })).unwrap();
    let expected: Vec<String> = (801..=1_000).map(|id: u32| id.to_string()).collect();
    assert_eq!(cut["zulip_message_ids"], expected.join(","));
    assert_eq!(
        sent(json!({ "event": "remove", "zulip_message_ids": "10,9,100" })).unwrap()["zulip_message_ids"],
        "9,10,100"
    );
    assert_eq!(sent(json!({ "event": "remove", "zulip_message_ids": "" })).unwrap()["zulip_message_ids"], "");
    assert_eq!(sent(json!({ "event": "message", "zulip_message_ids": "b,a" })).unwrap()["zulip_message_ids"], "b,a");
    for bad in [json!("1,x"), json!("1,,2"), json!("-1"), json!([1, 2])] {
        assert!(sent(json!({ "event": "remove", "zulip_message_ids": bad })).is_err(), "{bad}");
    }
}

#[test]
fn a_test_notification_is_urgent_and_says_when() {
    let notice = test_notice(&object(json!({ "realm_name": "R", "realm_url": "https://r", "user_id": 10 })), NOW);
    assert_eq!(notice.priority, Priority::High);
    assert_eq!(
        data(&notice),
        json!({ "event": "test", "time": "1700000000", "realm_name": "R", "realm_url": "https://r", "user_id": "10" })
    );
}

#[test]
fn an_encrypted_notification_passes_as_it_is() {
    for key in ["push_key_id", "push_account_id"] {
        let notice = sealed_notice(&object(json!({ key: 2408, "encrypted_data": "AAEC" })), Priority::Normal);
        assert_eq!(data(&notice), json!({ key: "2408", "encrypted_data": "AAEC" }));
        assert_eq!(notice.priority, Priority::Normal);
    }
}

#[test]
fn data_may_have_four_kilobytes() {
    let of = |length: usize| sealed_notice(&object(json!({ "k": "v".repeat(length) })), Priority::High).fits();
    assert!(of(4_095));
    assert!(!of(4_096));
}

fn error(status: u16, code: &str) -> Outcome {
    let body = json!({ "error": { "code": status, "status": "X", "message": "m", "details": [
        { "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [] },
        { "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code },
    ] } });
    answered(status, &[("retry-after", "30")], &body.to_string())
}

#[test]
fn every_answer_has_its_verdict() {
    let retry = |base| Verdict::Retry { after_ms: Some(30_000), base };
    for (status, code, expected) in [
        (400, "INVALID_ARGUMENT", Verdict::Refused(Refusal::Malformed)),
        (401, "UNAUTHENTICATED", Verdict::Renew),
        (401, "THIRD_PARTY_AUTH_ERROR", Verdict::Renew),
        (403, "SENDER_ID_MISMATCH", Verdict::Refused(Refusal::OtherSender)),
        (403, "PERMISSION_DENIED", Verdict::Refused(Refusal::Misconfigured)),
        (404, "UNREGISTERED", Verdict::Dead { since: None }),
        (404, "NOT_FOUND", Verdict::Refused(Refusal::Misconfigured)),
        (400, "UNREGISTERED", Verdict::Refused(Refusal::Malformed)),
        (413, "", Verdict::Refused(Refusal::TooLarge)),
        (429, "QUOTA_EXCEEDED", retry(RetryBase::Quota)),
        (500, "INTERNAL", retry(RetryBase::Server)),
        (503, "UNAVAILABLE", retry(RetryBase::Server)),
        (302, "", Verdict::Refused(Refusal::Unexpected)),
    ] {
        assert_eq!(verdict(&error(status, code), NOW), expected, "{status} {code}");
    }
    assert_eq!(verdict(&answered(200, &[], r#"{"name":"projects/p/messages/1"}"#), NOW), Verdict::Delivered);
    assert_eq!(verdict(&answered(429, &[], ""), NOW), Verdict::Retry { after_ms: None, base: RetryBase::Quota });
}

#[test]
fn an_answer_that_is_no_json_kills_no_token() {
    for body in [
        "",
        "<html>UNREGISTERED</html>",
        "[]",
        "null",
        r#"{"error":{"status":"NOT_FOUND"}}"#,
        r#"{"error":"UNREGISTERED"}"#,
    ] {
        assert_eq!(verdict(&answered(404, &[], body), NOW), Verdict::Refused(Refusal::Misconfigured), "{body}");
    }
    assert_eq!(
        verdict(&Outcome::Failed(Failure::Unreachable), NOW),
        Verdict::Retry { after_ms: None, base: RetryBase::Network }
    );
}
