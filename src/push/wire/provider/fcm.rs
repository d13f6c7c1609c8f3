//! Bytes ↔ values of Firebase Cloud Messaging.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER_BYTES_MAX, Object, TIMEOUT_MS};
use crate::kernel::errand::{Errand, Fetch, Outcome};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::push::provider::Verdict;
use crate::push::provider::fcm::{
    ASSERTION_TTL_MS, Access, Answer, Notice, Priority, SCOPE, ServiceAccount, TOKEN_URL, judge, judge_access,
};
use crate::push::provider::legacy::LegacyError;

#[derive(Deserialize)]
struct AccountText {
    project_id: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// A service account, as its JSON file says it; nothing when it is not one.
#[must_use]
pub fn parse_service_account(text: &str) -> Option<ServiceAccount> {
    let account: AccountText = serde_json::from_str(text).ok()?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    let is_project = !account.project_id.is_empty() && account.project_id.bytes().all(is_part);
    if !is_project || !account.private_key.contains("-----BEGIN PRIVATE KEY-----") {
        return None;
    }
    Some(ServiceAccount {
        project_id: account.project_id,
        client_email: account.client_email,
        private_key: Secret::new(account.private_key),
        private_key_id: account.private_key_id,
        token_url: account.token_uri.unwrap_or_else(|| TOKEN_URL.to_owned()),
    })
}

/// What the service account signs to get an access token (RFC 7523, section 3). Its audience is the account's own token
/// URL, also where the request goes through a relay.
#[must_use]
pub fn assertion_input(account: &ServiceAccount, now: Timestamp) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(members), Some(kid)) = (header.as_object_mut(), &account.private_key_id) {
        members.insert(String::from("kid"), Value::from(kid.as_str()));
    }
    let claims = json!({
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_url,
        "iat": now.as_millis() / 1000,
        "exp": now.plus(ASSERTION_TTL_MS).as_millis() / 1000,
    });
    super::signing_input(&header, &claims)
}

/// The errand that signs an assertion.
#[must_use]
pub fn sign(account: &ServiceAccount, input: &str) -> Errand {
    Errand::SignRs256 { key: account.private_key.clone(), message: input.as_bytes().to_vec() }
}

/// The request for an access token, at `token_url`, with the signature of the assertion `input`.
#[must_use]
pub fn token_request(token_url: &str, input: &str, signature: &[u8]) -> Fetch {
    // A JWT has no letter that a form would escape.
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
        super::jwt(input, signature)
    );
    Fetch {
        method: "POST",
        url: token_url.to_owned(),
        headers: vec![(Cow::Borrowed("content-type"), String::from("application/x-www-form-urlencoded"))],
        body: form.into_bytes(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

#[derive(Deserialize)]
struct AccessText {
    access_token: String,
    expires_in: Option<u64>,
}

/// The access token in an answer. One without a lifetime is used for as long as the shortest.
///
/// Errors: what the answer means when there is none in it.
pub fn parse_access(outcome: &Outcome, now: Timestamp) -> Result<Access, Verdict> {
    let fetched = super::answered(outcome)?;
    let refused = judge_access(fetched.status, super::retry_after_ms(fetched, now));
    if fetched.status != 200 {
        return Err(refused);
    }
    let text: AccessText = serde_json::from_slice(&fetched.body).map_err(|_| refused)?;
    let is_token = !text.access_token.is_empty() && text.access_token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        return Err(refused);
    }
    Ok(Access::new(Secret::new(text.access_token), text.expires_in.unwrap_or(0).saturating_mul(1000), now))
}

/// A notification of the legacy path, from a client's `gcm_payload` and `gcm_options`.
///
/// Errors: [`LegacyError`].
pub fn legacy_notice(payload: &Object, options: &Object) -> Result<Notice, LegacyError> {
    let priority = match options.get("priority") {
        None | Some(Value::Null) if payload.get("event").and_then(Value::as_str) == Some("message") => Priority::High,
        None | Some(Value::Null) => Priority::Normal,
        Some(Value::String(word)) if word == "high" => Priority::High,
        Some(Value::String(word)) if word == "normal" => Priority::Normal,
        Some(Value::String(word)) => return Err(LegacyError::Priority(format!("'{word}'"))),
        Some(other) => return Err(LegacyError::Priority(other.to_string())),
    };
    let mut others = options.clone();
    others.remove("priority");
    if !others.is_empty() {
        return Err(LegacyError::Options(Value::Object(others).to_string()));
    }
    let mut payload = payload.clone();
    super::truncate_removal(&mut payload)?;
    Ok(plain_notice(&payload, priority))
}

/// The test notification of the legacy path, from a client's `base_payload`.
#[must_use]
pub fn test_notice(base_payload: &Object, now: Timestamp) -> Notice {
    let mut payload = base_payload.clone();
    payload.insert(String::from("event"), Value::from("test"));
    payload.insert(String::from("time"), Value::from(now.as_millis() / 1000));
    plain_notice(&payload, Priority::High)
}

/// An end-to-end encrypted notification, from a client's `payload`.
#[must_use]
pub fn sealed_notice(payload: &Object, priority: Priority) -> Notice {
    plain_notice(payload, priority)
}

fn plain_notice(payload: &Object, priority: Priority) -> Notice {
    let data = payload.iter().map(|(key, value)| (key.clone(), super::text_of(value))).collect();
    Notice { data, priority, ttl_ms: None, collapse_key: None }
}

/// The request that sends `notice` to the device of `token`.
#[must_use]
pub fn send(base_url: &str, account: &ServiceAccount, access: &Access, token: &str, notice: &Notice) -> Fetch {
    let data: Object = notice.data.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let mut android = Object::new();
    let priority = match notice.priority {
        Priority::High => "HIGH",
        Priority::Normal => "NORMAL",
    };
    android.insert(String::from("priority"), Value::from(priority));
    if let Some(ttl_ms) = notice.ttl_ms {
        android.insert(String::from("ttl"), Value::from(format!("{}s", ttl_ms.div_ceil(1000))));
    }
    if let Some(key) = &notice.collapse_key {
        android.insert(String::from("collapse_key"), Value::from(key.as_str()));
    }
    let body = json!({ "message": { "token": token, "data": data, "android": android } });
    let project = super::path_segment(&account.project_id);
    Fetch {
        method: "POST",
        url: format!("{}/v1/projects/{project}/messages:send", base_url.trim_end_matches('/')),
        headers: vec![
            (Cow::Borrowed("authorization"), format!("Bearer {}", access.token.reveal())),
            (Cow::Borrowed("content-type"), String::from("application/json; charset=utf-8")),
        ],
        body: body.to_string().into_bytes(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

/// What came of a send.
#[must_use]
pub fn verdict(outcome: &Outcome, now: Timestamp) -> Verdict {
    match super::answered(outcome) {
        Ok(fetched) => judge(&Answer {
            status: fetched.status,
            error_code: parse_error_code(&fetched.body),
            retry_after_ms: super::retry_after_ms(fetched, now),
        }),
        Err(verdict) => verdict,
    }
}

/// The first `error.details[].errorCode`.
fn parse_error_code(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let details = answer.get("error")?.get("details")?.as_array()?;
    details.iter().find_map(|detail| detail.get("errorCode")?.as_str()).map(str::to_owned)
}
