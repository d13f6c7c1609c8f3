//! New parties: the id of one, and how a request that is repeated finds the party that it has made already.

use sha2::{Digest as _, Sha256};

use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Parties that one peer begins.
pub const PER_PEER: Quota = Quota::per_minute(10);
/// Parties that one client network begins at one shard.
pub const PER_NETWORK: Quota = Quota::per_minute(30);
/// How long the same body from the same peer is the same party: the field's client repeats a request that is not answered
/// after 11 and 23 seconds. Units: milliseconds.
pub const REPEAT_MS: u64 = 60_000;
/// How long an `Idempotency-Key` is remembered. Units: milliseconds; 24 hours.
pub const KEY_MS: u64 = 24 * 3_600_000;
/// Characters of an `Idempotency-Key`.
pub const KEY_CHARS_MAX: usize = 255;
/// Creations of one peer that are remembered.
pub const REMEMBERED_MAX: u64 = 16;

/// The first 16 bytes of a SHA-256.
pub type Mark = [u8; 16];

/// A creation that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// What it is found by: the client's key, or else the body.
    pub mark: Mark,
    /// The body.
    pub body: Mark,
    /// The party.
    pub party_id: String,
    /// Until when.
    pub until: Timestamp,
}

/// Why a creation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreationError {
    /// The `Idempotency-Key` stands for another body.
    OtherBody,
    /// The `Idempotency-Key` is empty or too long.
    Key,
    /// The peer or its network begins too many parties.
    TooMany {
        /// How long to wait. Units: milliseconds.
        retry_after_ms: u64,
    },
}

/// What a body, or a key, is remembered by.
#[must_use]
pub fn mark(kind: &str, bytes: &[u8]) -> Mark {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(bytes).finalize();
    let mut mark = [0; 16];
    for (to, from) in mark.iter_mut().zip(digest) {
        *to = from;
    }
    mark
}

/// What a request to begin a party is found by.
///
/// Errors: [`CreationError::Key`].
pub fn mark_of(key: Option<&str>, body: &[u8]) -> Result<Mark, CreationError> {
    match key {
        None => Ok(mark("body", body)),
        Some(key) if key.is_empty() || key.len() > KEY_CHARS_MAX => Err(CreationError::Key),
        Some(key) => Ok(mark("key", key.as_bytes())),
    }
}

/// The party that a request has made before.
///
/// Errors: [`CreationError::OtherBody`].
pub fn repeated(known: Option<Creation>, body: &[u8], now: Timestamp) -> Result<Option<String>, CreationError> {
    let Some(known) = known.filter(|known| now < known.until) else { return Ok(None) };
    if known.body == mark("body", body) { Ok(Some(known.party_id)) } else { Err(CreationError::OtherBody) }
}

/// What is remembered of a new party.
#[must_use]
pub fn remembered(mark_of: Mark, key: Option<&str>, body: &[u8], party_id: &str, now: Timestamp) -> Creation {
    let until = now.plus(if key.is_some() { KEY_MS } else { REPEAT_MS });
    Creation { mark: mark_of, body: mark("body", body), party_id: party_id.to_owned(), until }
}

/// A party id nobody has chosen: 12 lower-case hex digits, as the original makes them.
pub fn random_party_id(entropy: &mut dyn Entropy) -> String {
    hex::encode(random_bytes::<6>(entropy))
}

/// Whether a text may be a party id: 12 to 20 lower-case hex digits.
#[must_use]
pub fn is_party_id(text: &str) -> bool {
    (12..=20).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
