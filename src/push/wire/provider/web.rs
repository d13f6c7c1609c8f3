//! Bytes ↔ values of Web Push.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use super::{ANSWER_BYTES_MAX, TIMEOUT_MS};
use crate::kernel::entropy::Entropy;
use crate::kernel::errand::{Fetch, Outcome};
use crate::kernel::keys::parse_base64;
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::push::provider::Verdict;
use crate::push::provider::encryption::{EncryptionError, encrypt};
use crate::push::provider::web::{
    Answer, Endpoint, Notice, Sender, Subscription, TOKEN_TTL_MS, VapidToken, is_topic, judge,
};

#[derive(Deserialize)]
struct SubscriptionText {
    endpoint: String,
    keys: KeysText,
}

#[derive(Deserialize)]
struct KeysText {
    p256dh: String,
    auth: String,
}

/// A subscription, as browsers write it (`PushSubscription.toJSON`); nothing when it is not one. Its endpoint is not
/// judged here.
#[must_use]
pub fn parse_subscription(json: &str) -> Option<Subscription> {
    let text: SubscriptionText = serde_json::from_str(json).ok()?;
    let p256dh: [u8; 65] = parse_base64(&text.keys.p256dh)?.try_into().ok()?;
    // It must be a point, or every notification to it would fail.
    p256::PublicKey::from_sec1_bytes(&p256dh).ok()?;
    let auth = parse_base64(&text.keys.auth)?.try_into().ok()?;
    Some(Subscription { endpoint: text.endpoint, p256dh, auth })
}

/// A new VAPID token for the push service of `endpoint`.
#[must_use]
pub fn vapid_token(sender: &Sender, endpoint: &Endpoint, now: Timestamp) -> VapidToken {
    let expires = now.plus(TOKEN_TTL_MS);
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let claims = json!({ "aud": endpoint.origin, "exp": expires.as_millis() / 1000, "sub": sender.subject });
    let jwt = super::es256_jwt(&header, &claims, &sender.key);
    VapidToken {
        header: Secret::new(format!("vapid t={jwt}, k={}", sender.key.public_base64url())),
        audience: endpoint.origin.clone(),
        expires,
    }
}

/// The request that sends `notice` to a subscription whose endpoint was admitted.
///
/// Errors: [`EncryptionError`].
pub fn send(
    subscription: &Subscription,
    endpoint: &Endpoint,
    access: &VapidToken,
    notice: &Notice,
    entropy: &mut dyn Entropy,
) -> Result<Fetch, EncryptionError> {
    let body = encrypt(subscription, &notice.plaintext, entropy)?;
    let mut headers = vec![
        (Cow::Borrowed("authorization"), access.header.reveal().to_owned()),
        (Cow::Borrowed("content-type"), String::from("application/octet-stream")),
        (Cow::Borrowed("content-encoding"), String::from("aes128gcm")),
        (Cow::Borrowed("ttl"), notice.ttl_seconds.to_string()),
    ];
    headers.extend(notice.urgency.map(|urgency| (Cow::Borrowed("urgency"), urgency.word().to_owned())));
    let topic = notice.topic.as_ref().filter(|topic| is_topic(topic));
    headers.extend(topic.map(|topic| (Cow::Borrowed("topic"), topic.clone())));
    Ok(Fetch {
        method: "POST",
        url: endpoint.url.clone(),
        headers,
        body,
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    })
}

/// What came of a send.
#[must_use]
pub fn verdict(outcome: &Outcome, now: Timestamp) -> Verdict {
    match super::answered(outcome) {
        Ok(fetched) => judge(&Answer {
            status: fetched.status,
            ttl_seconds: fetched.header("ttl").and_then(|text| text.trim().parse().ok()),
            retry_after_ms: super::retry_after_ms(fetched, now),
        }),
        Err(verdict) => verdict,
    }
}
