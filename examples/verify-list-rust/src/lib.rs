//! How a client verifies the signed list of `GET /servers`.
//!
//! The signature covers the exact bytes of the body, so verify before parsing and never re-encode. Pin the keys in the
//! client: the current one, and the next one ahead of a rotation.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;

/// How far the list's time may be from the client's clock, in either direction. Units: milliseconds.
pub const SKEW_MS_MAX: u64 = 5 * 60 * 1000;

/// A list that can be trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The servers, as JSON objects.
    pub servers: Vec<Value>,
    /// When the list was signed. Units: milliseconds since 1970.
    pub timestamp: u64,
}

/// Why a list must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// A pinned key is no Ed25519 public key in base64.
    BadPinnedKey,
    /// No signature in the header is a pinned key's over this body.
    BadSignature,
    /// The body is not a list, or its time is not an integer.
    BadBody,
    /// The list is older than five minutes, or that far ahead of this clock.
    NotNow,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadPinnedKey => "a pinned key is not an Ed25519 public key in base64",
            Self::BadSignature => "no signature is a pinned key's over this body",
            Self::BadBody => "the body is not a server list",
            Self::NotNow => "the list is not from now",
        })
    }
}

impl std::error::Error for VerifyError {}

/// Verifies `body` as received.
///
/// `signature_header` is the value of `X-Bootstrap-Signature` (one base64 signature by the current key), or of
/// `X-Bootstrap-Signatures` (`kid=base64`, comma separated, one per key), which keeps working through a rotation.
/// `pinned_keys` are public keys in base64.
pub fn verify_list(
    body: &[u8],
    signature_header: &str,
    pinned_keys: &[&str],
    now_ms: u64,
) -> Result<List, VerifyError> {
    let keys: Vec<VerifyingKey> =
        pinned_keys.iter().map(|key| parse_key(key).ok_or(VerifyError::BadPinnedKey)).collect::<Result<_, _>>()?;
    // There are only a few of each, so every pinned key may try every signature and the key ids need no hashing.
    let signed = signature_header
        .split(',')
        .filter_map(parse_signature)
        .any(|signature| keys.iter().any(|key| key.verify_strict(body, &signature).is_ok()));
    if !signed {
        return Err(VerifyError::BadSignature);
    }
    let list: Value = serde_json::from_slice(body).map_err(|_| VerifyError::BadBody)?;
    let timestamp = list.get("timestamp").and_then(Value::as_u64).ok_or(VerifyError::BadBody)?;
    let servers = list.get("servers").and_then(Value::as_array).ok_or(VerifyError::BadBody)?.clone();
    if now_ms.abs_diff(timestamp) > SKEW_MS_MAX {
        return Err(VerifyError::NotNow);
    }
    Ok(List { servers, timestamp })
}

fn parse_key(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

/// A signature with or without `kid=` before it. Key ids are 8 characters; a signature alone has no `=` there.
fn parse_signature(text: &str) -> Option<Signature> {
    let text = text.trim();
    let base64 = text.split_once('=').filter(|(kid, _)| kid.len() == 8).map_or(text, |(_, base64)| base64);
    Signature::from_slice(&STANDARD.decode(base64).ok()?).ok()
}
