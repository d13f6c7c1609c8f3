//! Apple Push Notification service: what is sent, with whose authority, and what the answers mean.
//!
//! Apple speaks HTTP/2 only; whether the platform's `fetch` does depends on where it runs, so the base URL may name a
//! relay of the operator's own (see `examples/apns-relay`). Authority is a provider token, a JWT that we sign ourselves.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>.

use std::fmt;

use url::Url;

use super::key::Es256Key;
use super::{Refusal, RetryBase, Verdict};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;

/// Where notifications go unless the operator says otherwise.
pub const BASE_URL: &str = "https://api.push.apple.com";

/// The longest payload. Units: bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// How long a provider token is used. Apple refuses one that is older than an hour, and a new one sooner than 20 minutes
/// after the last. Every object counts the same periods from the epoch, and the same claims have the same signature
/// (RFC 6979), so that Apple sees one token of ours however many objects send.
pub const TOKEN_PERIOD_MS: u64 = 40 * 60_000;

/// How soon after it was made a token of an object's own gives way to another one, whatever Apple says of it.
pub const TOKEN_AGE_MS_MIN: u64 = 20 * 60_000;

/// How long Apple keeps a notification of the legacy path for a phone that sleeps.
pub const LEGACY_TTL_MS: u64 = 24 * 3_600_000;

/// Permission to send, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderToken {
    /// The JWT.
    pub jwt: Secret,
    /// When it says that it was made.
    pub issued: Timestamp,
    /// Who else has it.
    pub holder: Holder,
}

/// Who has a provider token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Every object, for a period.
    All,
    /// One object, after Apple has refused the common one.
    One,
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

/// Our key at Apple.
#[derive(Clone)]
pub struct Signer {
    /// Its 10-character id.
    pub key_id: String,
    /// Our 10-character team id.
    pub team_id: String,
    /// The key.
    pub key: Es256Key,
}

impl Signer {
    /// From the three settings; nothing when one of them is not what Apple hands out.
    #[must_use]
    pub fn parse(pem: &str, key_id: &str, team_id: &str) -> Option<Self> {
        let is_id = |text: &str| text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id(key_id) || !is_id(team_id) {
            return None;
        }
        let key = Es256Key::parse_pem(pem)?;
        Some(Self { key_id: key_id.to_owned(), team_id: team_id.to_owned(), key })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, {})", self.team_id, self.key_id)
    }
}

/// Where notifications go: Apple, or a relay that speaks HTTP/2 for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The URL before `/3/device/`, without a slash at its end.
    pub base_url: String,
    /// What opens the relay.
    pub relay_secret: Option<Secret>,
}

impl Gateway {
    /// From the setting's URL. A password in it is the relay's secret: `https://:secret@relay.example`. It has letters,
    /// digits and `-._~` only, so that a URL and a header write it alike.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        let is_plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        if !is_plain || !url.has_host() || !url.username().is_empty() {
            return None;
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if url.password().is_some_and(|secret| !secret.bytes().all(is_letter)) {
            return None;
        }
        let relay_secret = url.password().map(|secret| Secret::new(secret.to_owned()));
        url.set_password(None).ok()?;
        Some(Self { base_url: url.as_str().trim_end_matches('/').to_owned(), relay_secret })
    }
}

impl ProviderToken {
    /// Whether it is still used.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        now.since(self.issued) < TOKEN_PERIOD_MS
    }

    /// Whether a new one may be made although this is still usable: what [`Verdict::Renew`] asks for.
    #[must_use]
    pub fn may_be_renewed(&self, now: Timestamp) -> bool {
        self.holder == Holder::All || now.since(self.issued) >= TOKEN_AGE_MS_MIN
    }
}

impl PushType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Alert,
        Self::Background,
        Self::Complication,
        Self::Controls,
        Self::FileProvider,
        Self::LiveActivity,
        Self::Location,
        Self::Mdm,
        Self::PushToTalk,
        Self::Voip,
        Self::Widgets,
    ];

    /// Apple's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::Complication => "complication",
            Self::Controls => "controls",
            Self::FileProvider => "fileprovider",
            Self::LiveActivity => "liveactivity",
            Self::Location => "location",
            Self::Mdm => "mdm",
            Self::PushToTalk => "pushtotalk",
            Self::Voip => "voip",
            Self::Widgets => "widgets",
        }
    }

    /// From Apple's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

impl Notice {
    /// Whether Apple takes so long a payload.
    #[must_use]
    pub const fn fits(&self) -> bool {
        self.body.len() <= PAYLOAD_BYTES_MAX
    }
}

/// What an answer means.
///
/// A topic that is not allowed is our key's fault and would drop every token at once, so that it keeps them.
#[must_use]
pub fn judge(answer: &Answer) -> Verdict {
    let reason = answer.reason.as_deref().unwrap_or_default();
    let retry = |base| Verdict::Retry { after_ms: answer.retry_after_ms, base };
    match (answer.status, reason) {
        (200, _) => Verdict::Delivered,
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Verdict::Dead { since: None },
        (410, "Unregistered" | "ExpiredToken") => Verdict::Dead { since: answer.since },
        (400, "TopicDisallowed" | "MissingTopic" | "BadTopic") => Verdict::Refused(Refusal::Misconfigured),
        (400, _) => Verdict::Refused(Refusal::Malformed),
        (403, "ExpiredProviderToken") => Verdict::Renew,
        (401 | 403 | 404, _) => Verdict::Refused(Refusal::Misconfigured),
        (413, _) => Verdict::Refused(Refusal::TooLarge),
        (429, _) => retry(RetryBase::Quota),
        (500..=599, _) => retry(RetryBase::Server),
        _ => Verdict::Refused(Refusal::Unexpected),
    }
}
