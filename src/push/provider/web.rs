//! Web Push: a notification, encrypted for one browser or app, handed to the push service that it chose.
//!
//! Source: RFC 8030 (protocol), RFC 8188 (`aes128gcm`), RFC 8291 (message encryption), RFC 8292 (VAPID).

/// Where a client receives, and with which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The capability URL that its push service gave it.
    pub endpoint: String,
    /// Its P-256 public key, uncompressed.
    pub p256dh: [u8; 65],
    /// Its authentication secret.
    pub auth: [u8; 16],
}

/// How soon a client hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's words")]
pub enum Urgency {
    VeryLow,
    Low,
    Normal,
    High,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What the client decrypts.
    pub plaintext: Vec<u8>,
    /// How long the push service keeps it. Units: seconds.
    pub ttl_seconds: u32,
    /// How soon.
    pub urgency: Option<Urgency>,
    /// Of those with the same topic only the last is kept; at most 32 letters of base64url.
    pub topic: Option<String>,
}

/// A push service's answer as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whole milliseconds from `Retry-After`.
    pub retry_after_ms: Option<u64>,
}
