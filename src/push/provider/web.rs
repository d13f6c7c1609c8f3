//! Web Push: a notification, encrypted for one browser or app, handed to the push service that it chose.
//!
//! Source: RFC 8030 (protocol), RFC 8292 (VAPID). The encryption is in `encryption`.

use url::{Host, Url};

use super::key::Es256Key;
use super::{Refusal, RetryBase, Verdict};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;

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
    /// How long the push service really keeps it, where it says so. Units: seconds.
    pub ttl_seconds: Option<u32>,
    /// Whole milliseconds from `Retry-After`.
    pub retry_after_ms: Option<u64>,
}

/// The longest endpoint. Units: bytes.
pub const ENDPOINT_BYTES_MAX: usize = 2048;

/// How long a VAPID token is good for; the RFC allows a day.
pub const TOKEN_TTL_MS: u64 = 12 * 3_600_000;

/// How long before its end a VAPID token is made anew.
pub const TOKEN_MARGIN_MS: u64 = 3_600_000;

/// The longest topic. Units: bytes.
pub const TOPIC_BYTES_MAX: usize = 32;

/// The hosts of the known push services: Google, Mozilla, Microsoft, Apple. An operator names others.
pub const KNOWN_HOSTS: [&str; 4] =
    ["fcm.googleapis.com", "push.services.mozilla.com", "notify.windows.com", "push.apple.com"];

/// Where endpoints may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Hosts, and all below them.
    pub hosts: Vec<String>,
    /// Whether this very machine may be one, as in development.
    pub loopback: Loopback,
}

/// Whether this very machine may be called, and then without TLS and on any port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// In development and in tests.
    Allowed,
    /// Everywhere else.
    Refused,
}

/// Why an endpoint is none that we call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointError {
    /// Not a URL, or too long.
    Malformed,
    /// Not `https`.
    Scheme,
    /// A user name or a password in it.
    Credentials,
    /// Not port 443.
    Port,
    /// An address instead of a name.
    Address,
    /// A host that nobody has allowed.
    Host,
}

/// An endpoint that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL, as it is called.
    pub url: String,
    /// Scheme and host: the audience of a VAPID token.
    pub origin: String,
}

/// Admits an endpoint that a stranger gave us, so that no request of ours reaches what only we can reach.
///
/// The parser is the one that browsers' rules describe: it also reads `0x7f.1` and `2130706433` as addresses. A name is
/// compared by whole labels. What a name resolves to is not seen here, which is why names are on a list.
///
/// Errors: the first [`EndpointError`] in the order of their declaration.
pub fn admit(text: &str, places: &Places) -> Result<Endpoint, EndpointError> {
    if text.len() > ENDPOINT_BYTES_MAX {
        return Err(EndpointError::Malformed);
    }
    let mut url = Url::parse(text).map_err(|_| EndpointError::Malformed)?;
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(EndpointError::Malformed),
    };
    let is_ours = is_loopback && places.loopback == Loopback::Allowed;
    if url.scheme() != "https" && !(is_ours && url.scheme() == "http") {
        return Err(EndpointError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Credentials);
    }
    if !is_ours {
        if url.port().is_some() {
            return Err(EndpointError::Port);
        }
        let Some(Host::Domain(name)) = url.host() else {
            return Err(EndpointError::Address);
        };
        if !places.hosts.iter().any(|allowed| is_at_or_below(name, allowed)) {
            return Err(EndpointError::Host);
        }
    }
    url.set_fragment(None);
    Ok(Endpoint { origin: url.origin().ascii_serialization(), url: url.into() })
}

/// Whether `name` is `host` or ends in it after a dot.
fn is_at_or_below(name: &str, host: &str) -> bool {
    !host.is_empty() && name.strip_suffix(host).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Who we are to push services.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Our VAPID key.
    pub key: Es256Key,
    /// How to reach us: a `mailto:` or `https:` URL.
    pub subject: String,
}

impl Sender {
    /// From settings; nothing when the key or the subject is not what push services take.
    #[must_use]
    pub fn parse(key: &str, subject: &str) -> Option<Self> {
        let is_contact = subject.starts_with("mailto:") || subject.starts_with("https://");
        let key = Es256Key::parse_base64url(key)?;
        is_contact.then(|| Self { key, subject: subject.to_owned() })
    }
}

/// Permission to send to one push service, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VapidToken {
    /// The value of the `Authorization` header.
    pub header: Secret,
    /// The origin that it is for.
    pub audience: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl VapidToken {
    /// Whether it is still used for `endpoint`.
    #[must_use]
    pub fn is_usable(&self, endpoint: &Endpoint, now: Timestamp) -> bool {
        self.audience == endpoint.origin && now.plus(TOKEN_MARGIN_MS) < self.expires
    }
}

impl Urgency {
    /// The RFC's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Whether a push service takes `topic`: 1 to 32 letters of base64url (RFC 8030, section 5.4).
#[must_use]
pub fn is_topic(topic: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=TOPIC_BYTES_MAX).contains(&topic.len()) && topic.bytes().all(is_letter)
}

/// What an answer means.
#[must_use]
pub const fn judge(answer: &Answer) -> Verdict {
    let after_ms = answer.retry_after_ms;
    match answer.status {
        200 | 201 | 202 | 204 => Verdict::Delivered,
        400 => Verdict::Refused(Refusal::Malformed),
        401 | 403 => Verdict::Refused(Refusal::Misconfigured),
        404 | 410 => Verdict::Dead { since: None },
        413 => Verdict::Refused(Refusal::TooLarge),
        429 => Verdict::Retry { after_ms, base: RetryBase::Quota },
        500..=599 => Verdict::Retry { after_ms, base: RetryBase::Server },
        _ => Verdict::Refused(Refusal::Unexpected),
    }
}
