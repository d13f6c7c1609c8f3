//! Web Push: encryption, authority, where endpoints may lead, and what the answers mean.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_support;

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use proptest::prelude::*;
use push_support::{answered, secret_key, verified_jwt};
use serde_json::json;
use sha2::Sha256;
use waystation::kernel::entropy::SeededEntropy;
use waystation::kernel::errand::{Failure, Fetch, Outcome};
use waystation::kernel::time::Timestamp;
use waystation::push::provider::encryption::{EncryptionError, PLAINTEXT_BYTES_MAX, encrypt, encrypt_with};
use waystation::push::provider::web::{
    EndpointError, KNOWN_HOSTS, Loopback, Notice, Places, Sender, Subscription, Urgency, admit, is_topic,
};
use waystation::push::provider::{Refusal, RetryBase, Verdict};
use waystation::push::wire::provider::web::{parse_subscription, send, vapid_token, verdict};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);
const HOUR: u64 = 3_600_000;
const ENDPOINT: &str = "https://updates.push.services.mozilla.com/wpush/v2/abc?d=e";

// RFC 8291, appendix A.
const CLIENT_PUBLIC: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const CLIENT_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const CLIENT_AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const OUR_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
}

fn subscription() -> Subscription {
    let text = json!({ "endpoint": ENDPOINT, "expirationTime": null, "keys": { "p256dh": CLIENT_PUBLIC, "auth": CLIENT_AUTH } });
    parse_subscription(&text.to_string()).unwrap()
}

fn places() -> Places {
    Places { hosts: KNOWN_HOSTS.map(str::to_owned).to_vec(), loopback: Loopback::Refused }
}

fn sender() -> Sender {
    Sender::parse(&URL_SAFE_NO_PAD.encode(secret_key(5).to_bytes()), "mailto:ops@example.org").unwrap()
}

/// What a client does with a body, from the RFCs' words.
fn decrypt(body: &[u8]) -> Vec<u8> {
    let private = p256::SecretKey::from_slice(&bytes::<32>(CLIENT_PRIVATE)).unwrap();
    let (salt, rest) = body.split_at(16);
    assert_eq!(u32::from_be_bytes(rest[..4].try_into().unwrap()), 4096);
    let theirs = &rest[5..5 + usize::from(rest[4])];
    let ciphertext = &rest[5 + theirs.len()..];
    let shared = private.diffie_hellman(&p256::PublicKey::from_sec1_bytes(theirs).unwrap());
    let info = [&b"WebPush: info\0"[..], &bytes::<65>(CLIENT_PUBLIC), theirs].concat();
    let expand = |salt: &[u8], secret: &[u8], label: &[u8], length: usize| {
        let mut out = vec![0; length];
        Hkdf::<Sha256>::new(Some(salt), secret).expand(label, &mut out).unwrap();
        out
    };
    let material = expand(&bytes::<16>(CLIENT_AUTH), shared.raw_secret_bytes(), &info, 32);
    let key = expand(salt, &material, b"Content-Encoding: aes128gcm\0", 16);
    let nonce: [u8; 12] = expand(salt, &material, b"Content-Encoding: nonce\0", 12).try_into().unwrap();
    let mut record = Aes128Gcm::new_from_slice(&key).unwrap().decrypt(&Nonce::from(nonce), ciphertext).unwrap();
    assert_eq!(record.pop(), Some(2), "the delimiter of a last record");
    record
}

#[test]
fn the_vector_of_the_rfc_holds() {
    let ours = p256::SecretKey::from_slice(&bytes::<32>(OUR_PRIVATE)).unwrap();
    let body = encrypt_with(&subscription(), b"When I grow up, I want to be a watermelon", &ours, bytes(SALT)).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(body), BODY);
}

#[test]
fn no_two_notifications_share_a_key_or_a_salt() {
    let mut entropy = SeededEntropy::new(4);
    let mut of = || encrypt(&subscription(), b"same", &mut entropy).unwrap();
    let (first, second) = (of(), of());
    assert_ne!(first[..16], second[..16]);
    assert_ne!(first[21..86], second[21..86]);
    assert_eq!(decrypt(&first), decrypt(&second));
}

#[test]
fn a_body_never_exceeds_what_push_services_take() {
    let mut entropy = SeededEntropy::new(4);
    let longest = vec![b'x'; PLAINTEXT_BYTES_MAX];
    let body = encrypt(&subscription(), &longest, &mut entropy).unwrap();
    assert_eq!(body.len(), 4096);
    assert_eq!(decrypt(&body), longest);
    let longer = vec![b'x'; PLAINTEXT_BYTES_MAX + 1];
    assert_eq!(encrypt(&subscription(), &longer, &mut entropy), Err(EncryptionError::TooLarge));
}

#[test]
fn a_key_that_is_no_point_is_refused() {
    let mut bad = subscription();
    bad.p256dh[64] ^= 1;
    assert_eq!(encrypt(&bad, b"x", &mut SeededEntropy::new(1)), Err(EncryptionError::Key));
}

proptest! {
    #[test]
    fn a_client_reads_what_was_sent(plaintext in proptest::collection::vec(any::<u8>(), 0..600), seed: u64) {
        let body = encrypt(&subscription(), &plaintext, &mut SeededEntropy::new(seed)).unwrap();
        prop_assert_eq!(decrypt(&body), plaintext);
    }

    #[test]
    fn no_endpoint_text_leads_to_an_address(host in "[0-9a-fx.:\\[\\]]{1,30}") {
        let text = format!("https://{host}/");
        prop_assert!(admit(&text, &places()).is_err(), "{}", text);
    }

    #[test]
    fn whatever_is_admitted_is_on_the_list(text in "https?://[a-z0-9.@:%/\\\\-]{0,20}(fcm\\.googleapis\\.com)?[a-z0-9.@:%/?#]{0,20}") {
        if let Ok(endpoint) = admit(&text, &places()) {
            let url = url::Url::parse(&endpoint.url).unwrap();
            let host = url.host_str().unwrap();
            let is_known = KNOWN_HOSTS.iter().any(|known| host == *known || host.ends_with(&[".", known].concat()));
            prop_assert!(is_known, "{}", host);
            prop_assert_eq!(url.scheme(), "https");
            prop_assert_eq!(url.port(), None);
        }
    }
}

#[test]
fn subscriptions_are_read_as_browsers_write_them() {
    let good = subscription();
    assert_eq!(good.endpoint, ENDPOINT);
    assert_eq!(good.p256dh, bytes(CLIENT_PUBLIC));
    let padded = json!({ "endpoint": "e", "keys": { "p256dh": format!("{CLIENT_PUBLIC}="), "auth": format!("{CLIENT_AUTH}==") } });
    assert!(parse_subscription(&padded.to_string()).is_some());
    let compressed = URL_SAFE_NO_PAD.encode(secret_key(3).public_key().to_sec1_point(true).as_bytes());
    for (p256dh, auth) in [
        (compressed.as_str(), CLIENT_AUTH),
        (CLIENT_PUBLIC, "BTBZMqHH6r4Tts7J_aSI"),
        ("", CLIENT_AUTH),
        (CLIENT_PUBLIC, ""),
        (&CLIENT_PUBLIC.replace("iw4", "iw5"), CLIENT_AUTH),
        (&CLIENT_PUBLIC.replace("iw4", "iwE"), CLIENT_AUTH),
    ] {
        let text = json!({ "endpoint": "e", "keys": { "p256dh": p256dh, "auth": auth } });
        assert!(parse_subscription(&text.to_string()).is_none(), "{text}");
    }
    assert!(parse_subscription("{}").is_none());
}

#[test]
fn endpoints_of_known_push_services_are_admitted() {
    for (text, origin) in [
        (ENDPOINT, "https://updates.push.services.mozilla.com"),
        ("https://fcm.googleapis.com/fcm/send/abc", "https://fcm.googleapis.com"),
        ("https://FCM.googleapis.com:443/x#frag", "https://fcm.googleapis.com"),
        ("https://db5.notify.windows.com/w/?token=x", "https://db5.notify.windows.com"),
        ("https://web.push.apple.com/QGu", "https://web.push.apple.com"),
    ] {
        let endpoint = admit(text, &places()).unwrap();
        assert_eq!(endpoint.origin, origin);
        assert!(!endpoint.url.contains('#'));
    }
}

#[test]
fn endpoints_lead_nowhere_else() {
    let long = format!("https://fcm.googleapis.com/{}", "a".repeat(2048));
    for (text, error) in [
        ("", EndpointError::Malformed),
        ("fcm.googleapis.com/x", EndpointError::Malformed),
        ("https://", EndpointError::Malformed),
        (long.as_str(), EndpointError::Malformed),
        ("data:text/plain,x", EndpointError::Malformed),
        ("http://fcm.googleapis.com/x", EndpointError::Scheme),
        ("ftp://fcm.googleapis.com/x", EndpointError::Scheme),
        ("file://fcm.googleapis.com/etc/passwd", EndpointError::Scheme),
        ("https://a@fcm.googleapis.com/", EndpointError::Credentials),
        ("https://:b@fcm.googleapis.com/", EndpointError::Credentials),
        ("https://fcm.googleapis.com:8443/", EndpointError::Port),
        ("https://fcm.googleapis.com:80/", EndpointError::Port),
        ("https://127.0.0.1/", EndpointError::Address),
        ("https://10.0.0.8/", EndpointError::Address),
        ("https://169.254.169.254/latest/meta-data", EndpointError::Address),
        ("https://8.8.8.8/", EndpointError::Address),
        ("https://2130706433/", EndpointError::Address),
        ("https://0x7f.1/", EndpointError::Address),
        ("https://0177.0.0.1/", EndpointError::Address),
        ("https://[::1]/", EndpointError::Address),
        ("https://[::ffff:127.0.0.1]/", EndpointError::Address),
        ("https://[fd00::1]/", EndpointError::Address),
        ("https://localhost/", EndpointError::Host),
        ("https://evil.example/", EndpointError::Host),
        ("https://fcm.googleapis.com.evil.example/", EndpointError::Host),
        ("https://evilfcm.googleapis.com/", EndpointError::Host),
        ("https://googleapis.com/", EndpointError::Host),
        ("https://fcm.googleapis.com./", EndpointError::Host),
        ("https://evil.example/@fcm.googleapis.com", EndpointError::Host),
        ("https://evil.example\\@fcm.googleapis.com/", EndpointError::Host),
        ("https://evil.example#.fcm.googleapis.com", EndpointError::Host),
        ("https://127.0.0.1.nip.io/", EndpointError::Host),
    ] {
        assert_eq!(admit(text, &places()), Err(error), "{text}");
    }
    let nowhere = Places { hosts: vec![String::new()], loopback: Loopback::Refused };
    for text in [ENDPOINT, "https://evil.example./"] {
        assert_eq!(admit(text, &nowhere), Err(EndpointError::Host), "an empty entry allows nothing");
    }
}

#[test]
fn in_development_this_machine_may_be_called_and_no_other() {
    let dev = Places { loopback: Loopback::Allowed, ..places() };
    for text in ["http://127.0.0.1:8080/push", "http://localhost:1/", "https://[::1]:9/"] {
        assert!(admit(text, &dev).is_ok(), "{text}");
        assert!(admit(text, &places()).is_err(), "{text}");
    }
    for text in ["http://10.0.0.1/", "http://evil.example/", "http://fcm.googleapis.com/", "https://192.168.0.1/"] {
        assert!(admit(text, &dev).is_err(), "{text}");
    }
    assert!(admit("http://x:y@127.0.0.1/", &dev).is_err());
}

#[test]
fn a_vapid_token_is_for_one_origin_and_half_a_day() {
    let endpoint = admit(ENDPOINT, &places()).unwrap();
    let token = vapid_token(&sender(), &endpoint, NOW);
    let (jwt, key) = token.header.reveal().strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, URL_SAFE_NO_PAD.encode(secret_key(5).public_key().to_sec1_point(false).as_bytes()));
    let (header, claims) = verified_jwt(jwt, &secret_key(5));
    assert_eq!(header, json!({ "alg": "ES256", "typ": "JWT" }));
    assert_eq!(
        claims,
        json!({ "aud": "https://updates.push.services.mozilla.com", "exp": 1_700_043_200, "sub": "mailto:ops@example.org" })
    );
    assert!(token.is_usable(&endpoint, NOW.plus(11 * HOUR - 1)));
    assert!(!token.is_usable(&endpoint, NOW.plus(11 * HOUR)));
    let other = admit("https://fcm.googleapis.com/x", &places()).unwrap();
    assert!(!token.is_usable(&other, NOW));
}

#[test]
fn a_sender_has_a_key_and_can_be_reached() {
    let key = URL_SAFE_NO_PAD.encode(secret_key(5).to_bytes());
    assert!(Sender::parse(&key, "https://example.org/contact").is_some());
    for (key, subject) in
        [(key.as_str(), "ops@example.org"), (key.as_str(), ""), ("AAAA", "mailto:a@b"), ("", "mailto:a@b")]
    {
        assert!(Sender::parse(key, subject).is_none(), "{subject}");
    }
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    assert!(Sender::parse(&zero, "mailto:a@b").is_none(), "0 is no key");
}

fn header<'a>(fetch: &'a Fetch, name: &str) -> Option<&'a str> {
    fetch.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_send_says_how_long_how_soon_and_instead_of_what() {
    let endpoint = admit(ENDPOINT, &places()).unwrap();
    let token = vapid_token(&sender(), &endpoint, NOW);
    let mut notice = Notice {
        plaintext: b"hello".to_vec(),
        ttl_seconds: 60,
        urgency: Some(Urgency::High),
        topic: Some(String::from("upd")),
    };
    let mut entropy = SeededEntropy::new(9);
    let fetch = send(&subscription(), &endpoint, &token, &notice, &mut entropy).unwrap();
    assert_eq!((fetch.method, fetch.url.as_str()), ("POST", ENDPOINT));
    assert_eq!(header(&fetch, "content-encoding"), Some("aes128gcm"));
    assert_eq!(header(&fetch, "ttl"), Some("60"));
    assert_eq!(header(&fetch, "urgency"), Some("high"));
    assert_eq!(header(&fetch, "topic"), Some("upd"));
    assert_eq!(header(&fetch, "authorization"), Some(token.header.reveal()));
    assert_eq!(decrypt(&fetch.body), b"hello");

    notice.urgency = None;
    notice.topic = Some(String::from("not a topic"));
    let plain = send(&subscription(), &endpoint, &token, &notice, &mut entropy).unwrap();
    assert_eq!(header(&plain, "urgency"), None);
    assert_eq!(header(&plain, "topic"), None, "a header takes no such text");
}

#[test]
fn topics_are_short_and_plain() {
    assert!(is_topic(&"a".repeat(32)));
    for bad in ["", "a b", "a\r\nb", "é", "a=", &"a".repeat(33)] {
        assert!(!is_topic(bad), "{bad}");
    }
}

#[test]
fn every_answer_has_its_verdict() {
    let retry = |base| Verdict::Retry { after_ms: Some(5_000), base };
    for (status, expected) in [
        (201, Verdict::Delivered),
        (202, Verdict::Delivered),
        (200, Verdict::Delivered),
        (404, Verdict::Dead { since: None }),
        (410, Verdict::Dead { since: None }),
        (400, Verdict::Refused(Refusal::Malformed)),
        (401, Verdict::Refused(Refusal::Misconfigured)),
        (403, Verdict::Refused(Refusal::Misconfigured)),
        (413, Verdict::Refused(Refusal::TooLarge)),
        (429, retry(RetryBase::Quota)),
        (500, retry(RetryBase::Server)),
        (503, retry(RetryBase::Server)),
        (307, Verdict::Refused(Refusal::Unexpected)),
        (418, Verdict::Refused(Refusal::Unexpected)),
    ] {
        assert_eq!(verdict(&answered(status, &[("retry-after", "5")], ""), NOW), expected, "{status}");
    }
    assert_eq!(
        verdict(&Outcome::Failed(Failure::Unreachable), NOW),
        Verdict::Retry { after_ms: None, base: RetryBase::Network }
    );
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/push/web-push.json");

/// What `tests/e2e/webpush-vectors.spec.ts` reads with the field's own libraries.
/// `WAYSTATION_WRITE=1 cargo test --test push_provider_web golden` writes the file anew.
#[test]
fn the_golden_web_pushes_are_what_the_service_sends() {
    let endpoint = admit(ENDPOINT, &places()).unwrap();
    let token = vapid_token(&sender(), &endpoint, NOW);
    let mut entropy = SeededEntropy::new(8291);
    let bodies: Vec<_> = [0, 1, 15, 16, 17, 100, PLAINTEXT_BYTES_MAX]
        .into_iter()
        .map(|length| {
            let plaintext = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let body = encrypt(&subscription(), plaintext.as_bytes(), &mut entropy).unwrap();
            json!({ "plaintext": plaintext, "body": URL_SAFE_NO_PAD.encode(body) })
        })
        .collect();
    let golden = json!({
        "private_key": CLIENT_PRIVATE,
        "auth": CLIENT_AUTH,
        "origin": endpoint.origin,
        "now": NOW.as_millis(),
        "authorization": token.header.reveal(),
        "bodies": bodies,
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&golden).unwrap());
    if std::env::var_os("WAYSTATION_WRITE").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(GOLDEN).unwrap(), text);
}
