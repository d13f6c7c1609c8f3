//! Apple Push Notification service: what is sent, with whose authority, and what the answers mean.
//!
//! Apple speaks HTTP/2 only; whether the platform's `fetch` does depends on where it runs, so the base URL may name a
//! relay of the operator's own (see `examples/apns-relay`). Authority is a provider token, a JWT that we sign ourselves.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.

use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;

/// Where notifications go unless the operator says otherwise.
pub const BASE_URL: &str = "https://api.push.apple.com";

/// The longest payload. Units: bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// How long a provider token is used. Apple refuses one that is older than an hour, and a new one sooner than 20 minutes
/// after the last.
pub const TOKEN_TTL_MS: u64 = 50 * 60_000;

/// How soon after the last a new provider token is made, whatever Apple says of the last.
pub const TOKEN_AGE_MS_MIN: u64 = 20 * 60_000;

/// How long Apple keeps a notification of the legacy path for a phone that sleeps.
pub const LEGACY_TTL_MS: u64 = 24 * 3_600_000;

/// Permission to send, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderToken {
    /// The JWT.
    pub jwt: Secret,
    /// When it was made.
    pub issued: Timestamp,
}

/// One notification, for any number of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The payload, JSON.
    pub body: Vec<u8>,
    /// `apns-push-type`.
    pub push_type: Option<PushType>,
    /// `apns-priority`: 10, 5 or 1.
    pub priority: Option<u8>,
    /// `apns-expiration`.
    pub expires: Option<Timestamp>,
    /// `apns-collapse-id`, at most 64 bytes.
    pub collapse_id: Option<String>,
}

/// What kind of notification it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Apple's words")]
pub enum PushType {
    Alert,
    Background,
    Complication,
    Controls,
    FileProvider,
    LiveActivity,
    Location,
    Mdm,
    PushToTalk,
    Voip,
    Widgets,
}

/// A provider's answer as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Apple's word for the error.
    pub reason: Option<String>,
    /// With 410: since when the token is dead.
    pub since: Option<Timestamp>,
    /// Whole milliseconds from `Retry-After`.
    pub retry_after_ms: Option<u64>,
}
