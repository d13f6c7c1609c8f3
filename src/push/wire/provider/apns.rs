//! Bytes ↔ values of Apple Push Notification service.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{ANSWER_BYTES_MAX, Object, TIMEOUT_MS};
use crate::kernel::errand::{Fetch, Outcome};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::push::provider::Verdict;
use crate::push::provider::apns::{
    Answer, Gateway, Holder, LEGACY_TTL_MS, Notice, ProviderToken, PushType, Signer, TOKEN_PERIOD_MS, judge,
};
use crate::push::provider::legacy::LegacyError;

/// The header that opens a relay; `Authorization` is Apple's.
pub const RELAY_HEADER: &str = "relay-authorization";

/// The provider token of every object at `now`, or a new one for the object that asks.
#[must_use]
pub fn provider_token(signer: &Signer, holder: Holder, now: Timestamp) -> ProviderToken {
    let issued = match holder {
        Holder::All => now.minus(now.as_millis() % TOKEN_PERIOD_MS),
        Holder::One => now,
    };
    let header = json!({ "alg": "ES256", "kid": signer.key_id });
    let claims = json!({ "iss": signer.team_id, "iat": issued.as_millis() / 1000 });
    ProviderToken { jwt: Secret::new(super::es256_jwt(&header, &claims, &signer.key)), issued, holder }
}

/// A notification of the legacy path, from a client's `apns_payload`: what stands under `custom` comes to the top, and
/// the rest is Apple's `aps`.
///
/// Errors: [`LegacyError::MessageIds`].
pub fn legacy_notice(payload: &Object, now: Timestamp) -> Result<Notice, LegacyError> {
    let mut aps = payload.clone();
    let mut body = match aps.remove("custom") {
        Some(Value::Object(custom)) => custom,
        _ => Object::new(),
    };
    if let Some(Value::Object(zulip)) = body.get_mut("zulip") {
        super::truncate_removal(zulip)?;
    }
    body.insert(String::from("aps"), Value::Object(aps));
    Ok(Notice {
        body: Value::Object(body).to_string().into_bytes(),
        push_type: None,
        priority: None,
        expires: Some(now.plus(LEGACY_TTL_MS)),
        collapse_id: None,
    })
}

/// The test notification of the legacy path, from a client's `base_payload`; nothing when that does not name the realm
/// and its URL.
#[must_use]
pub fn test_notice(base_payload: &Object, now: Timestamp) -> Option<Notice> {
    let text = |key: &str| base_payload.get(key).and_then(Value::as_str);
    let name = text("realm_name")?;
    let url = text("realm_url").or_else(|| text("realm_uri"))?;
    let mut zulip = base_payload.clone();
    zulip.insert(String::from("event"), Value::from("test"));
    let payload = json!({
        "alert": {
            "title": "Test notification",
            "body": format!("This is a test notification from {name} ({url})."),
        },
        "sound": "default",
        "custom": { "zulip": zulip },
    });
    legacy_notice(payload.as_object()?, now).ok()
}

/// An end-to-end encrypted notification, from a client's `payload`, which is Apple's as it is.
#[must_use]
pub fn sealed_notice(payload: &Object, priority: u8, push_type: PushType) -> Notice {
    Notice {
        body: Value::Object(payload.clone()).to_string().into_bytes(),
        push_type: Some(push_type),
        priority: Some(priority),
        expires: None,
        collapse_id: None,
    }
}

/// The request that sends `notice` to the device of `token`, for the app `topic`.
#[must_use]
pub fn send(gateway: &Gateway, access: &ProviderToken, topic: &str, token: &str, notice: &Notice) -> Fetch {
    let mut headers = vec![
        (Cow::Borrowed("authorization"), format!("bearer {}", access.jwt.reveal())),
        (Cow::Borrowed("content-type"), String::from("application/json")),
        (Cow::Borrowed("apns-topic"), topic.to_owned()),
    ];
    let mut add = |name: &'static str, value: Option<String>| {
        headers.extend(value.map(|value| (Cow::Borrowed(name), value)));
    };
    add("apns-push-type", notice.push_type.map(|kind| kind.word().to_owned()));
    add("apns-priority", notice.priority.map(|priority| priority.to_string()));
    add("apns-expiration", notice.expires.map(|at| (at.as_millis() / 1000).to_string()));
    add("apns-collapse-id", notice.collapse_id.clone());
    add(RELAY_HEADER, gateway.relay_secret.as_ref().map(|secret| format!("Bearer {}", secret.reveal())));
    Fetch {
        method: "POST",
        url: format!("{}/3/device/{}", gateway.base_url, super::path_segment(token)),
        headers,
        body: notice.body.clone(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

/// What came of a send.
#[must_use]
pub fn verdict(outcome: &Outcome, now: Timestamp) -> Verdict {
    let fetched = match super::answered(outcome) {
        Ok(fetched) => fetched,
        Err(verdict) => return verdict,
    };
    let body: Value = serde_json::from_slice(&fetched.body).unwrap_or_default();
    judge(&Answer {
        status: fetched.status,
        reason: body.get("reason").and_then(Value::as_str).map(str::to_owned),
        since: body.get("timestamp").and_then(Value::as_u64).map(Timestamp::from_millis),
        retry_after_ms: super::retry_after_ms(fetched, now),
    })
}
