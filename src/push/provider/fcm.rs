//! Firebase Cloud Messaging, HTTP v1: what is sent, with whose authority, and what the answers mean.
//!
//! A request carries an OAuth access token, which a service account gets for an assertion that it signs (RFC 7523). The
//! signature is RS256 and an errand of the platform's; everything around it is here and in `wire`.
//!
//! Source: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>.

use super::{Refusal, RetryBase, Verdict};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;

/// Where messages go unless the operator says otherwise.
pub const BASE_URL: &str = "https://fcm.googleapis.com";

/// Where access tokens come from unless the service account or the operator says otherwise.
pub const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// How long an access token is used at least, or one with a short life would be asked for with every message.
pub const ACCESS_TTL_MS_MIN: u64 = 10_000;

/// What an access token is asked for.
pub const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The longest data of one message, keys and values together. Units: bytes.
pub const DATA_BYTES_MAX: usize = 4096;

/// How long an assertion is good for; Google takes no longer.
pub const ASSERTION_TTL_MS: u64 = 3_600_000;

/// How long an access token is used at most; Google's live an hour.
pub const ACCESS_TTL_MS_MAX: u64 = 55 * 60_000;

/// How long before its end an access token is no longer used, so that it does not end on the way.
pub const ACCESS_MARGIN_MS: u64 = 5 * 60_000;

/// Who we are at Google.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ServiceAccount {
    pub project_id: String,
    pub client_email: String,
    /// PKCS#8 in PEM.
    pub private_key: Secret,
    pub private_key_id: Option<String>,
    /// The account's own `token_uri`.
    pub token_url: String,
}

/// Permission to send, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The bearer token.
    pub token: Secret,
    /// From when on it is not used any more.
    pub until: Timestamp,
}

/// How soon a device hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// At once; the device wakes up.
    High,
    /// When it is convenient.
    Normal,
}

/// One notification, for any number of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Keys and values; FCM takes only text.
    pub data: Vec<(String, String)>,
    /// How soon.
    pub priority: Priority,
    /// How long FCM keeps it for a device that sleeps; its default is four weeks. Units: milliseconds.
    pub ttl_ms: Option<u64>,
    /// Of those with the same key only the last is delivered to a device that slept.
    pub collapse_key: Option<String>,
}

/// A provider's answer as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The first `errorCode` among the details.
    pub error_code: Option<String>,
    /// Whole milliseconds from `Retry-After`.
    pub retry_after_ms: Option<u64>,
}

impl Access {
    /// An access token that ends `lifetime_ms` from now.
    #[must_use]
    pub fn new(token: Secret, lifetime_ms: u64, now: Timestamp) -> Self {
        let used_ms = lifetime_ms.saturating_sub(ACCESS_MARGIN_MS).clamp(ACCESS_TTL_MS_MIN, ACCESS_TTL_MS_MAX);
        Self { token, until: now.plus(used_ms) }
    }

    /// Whether it is still used.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl Notice {
    /// Whether FCM takes so much data.
    #[must_use]
    pub fn fits(&self) -> bool {
        let bytes: usize = self.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        bytes <= DATA_BYTES_MAX
    }
}

/// What an answer to a message means.
///
/// Only `UNREGISTERED` kills a token. `INVALID_ARGUMENT` is as often the message's fault as the token's, and
/// `SENDER_ID_MISMATCH` is what a mistaken service account of ours looks like for every token at once.
#[must_use]
pub fn judge(answer: &Answer) -> Verdict {
    let code = answer.error_code.as_deref();
    let retry = |base| Verdict::Retry { after_ms: answer.retry_after_ms, base };
    match answer.status {
        200 => Verdict::Delivered,
        400 => Verdict::Refused(Refusal::Malformed),
        401 => Verdict::Renew,
        403 if code == Some("SENDER_ID_MISMATCH") => Verdict::Refused(Refusal::OtherSender),
        404 if code == Some("UNREGISTERED") => Verdict::Dead { since: None },
        403 | 404 => Verdict::Refused(Refusal::Misconfigured),
        413 => Verdict::Refused(Refusal::TooLarge),
        429 => retry(RetryBase::Quota),
        500..=599 => retry(RetryBase::Server),
        _ => Verdict::Refused(Refusal::Unexpected),
    }
}

/// What an answer to a request for an access token means, when it brought none.
#[must_use]
pub const fn judge_access(status: u16, retry_after_ms: Option<u64>) -> Verdict {
    match status {
        429 => Verdict::Retry { after_ms: retry_after_ms, base: RetryBase::Quota },
        500..=599 => Verdict::Retry { after_ms: retry_after_ms, base: RetryBase::Server },
        400..=499 => Verdict::Refused(Refusal::Misconfigured),
        _ => Verdict::Refused(Refusal::Unexpected),
    }
}
