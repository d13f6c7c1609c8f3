//! Bytes ↔ values of the push providers, and of registrations sealed for us.
//!
//! Per provider: its request as an errand, what its answer means, and what a client's payload becomes.

pub mod apns;
pub mod fcm;
pub mod sealed;
pub mod web;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::kernel::errand::{Fetched, Outcome};
use crate::kernel::time::Timestamp;
use crate::push::provider::key::Es256Key;
use crate::push::provider::{Refusal, Verdict, retry};

/// How long a provider may take for an answer. The callers of the bouncer wait 15 seconds for all of theirs.
pub const TIMEOUT_MS: u32 = 5_000;

/// The longest answer that is read. Providers say what is wrong in a few hundred bytes.
pub const ANSWER_BYTES_MAX: u32 = 65_536;

/// A JSON object, as clients send payloads.
pub type Object = Map<String, Value>;

/// The first two parts of a JWT: what is signed (RFC 7515, section 5.1).
fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// A JWT, from what is signed and its signature.
fn jwt(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A JWT that `key` signs.
fn es256_jwt(header: &Value, claims: &Value, key: &Es256Key) -> String {
    let input = signing_input(header, claims);
    jwt(&input, &key.sign(input.as_bytes()))
}

/// The provider's answer.
///
/// Errors: what it means that there is none.
fn answered(outcome: &Outcome) -> Result<&Fetched, Verdict> {
    match outcome {
        Outcome::Fetched(fetched) => Ok(fetched),
        Outcome::Failed(failure) => Err(Verdict::unanswered(*failure)),
        Outcome::Replied(_) | Outcome::Signed(_) => Err(Verdict::Refused(Refusal::Unexpected)),
    }
}

/// What the answer's `Retry-After` asks for.
fn retry_after_ms(fetched: &Fetched, now: Timestamp) -> Option<u64> {
    fetched.header("retry-after").and_then(|text| retry::parse_retry_after(text, now))
}

/// A value as text: text as it is, everything else as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Cuts a list of removed messages to what fits.
///
/// Errors: see [`crate::push::provider::legacy::truncate_ids`].
fn truncate_removal(payload: &mut Object) -> Result<(), crate::push::provider::legacy::LegacyError> {
    use crate::push::provider::legacy::{LegacyError, truncate_ids};
    if payload.get("event").and_then(Value::as_str) != Some("remove") {
        return Ok(());
    }
    let ids = match payload.get("zulip_message_ids") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(ids)) if ids.is_empty() => return Ok(()),
        Some(Value::String(ids)) => truncate_ids(ids)?,
        Some(_) => return Err(LegacyError::MessageIds),
    };
    payload.insert(String::from("zulip_message_ids"), Value::String(ids));
    Ok(())
}

/// `text` as a segment of a URL's path: whatever is not a letter, a digit, `-`, `.`, `_` or `~` is escaped.
fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
