//! Bytes ↔ values of sealed registrations.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::kernel::time::Timestamp;
use crate::push::sealed::{Registration, RegistrationKeys, SealedError, Target, TokenId, judge};

/// The longest sealed registration: the longest token and app id with every character escaped, and room to spare.
/// Units: letters of base64.
pub const SEALED_CHARS_MAX: usize = 65_536;

/// The keys of the setting: a JSON object, base64 of a public key → base64 of its private key. Nothing when one is not
/// 32 bytes, or two do not belong together.
#[must_use]
pub fn parse_keys(text: &str) -> Option<RegistrationKeys> {
    let texts: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    let pairs: Option<Vec<_>> =
        texts.iter().map(|(public, private)| Some((parse_key(public)?, parse_key(private)?))).collect();
    RegistrationKeys::new(pairs?)
}

fn parse_key(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A sealed registration, as a server passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the parameters' names")]
pub struct Submission<'a> {
    pub bouncer_public_key: &'a str,
    pub encrypted_push_registration: &'a str,
    /// 12.x only.
    pub token_id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindText {
    Apns,
    Fcm,
}

#[derive(Deserialize)]
struct RegistrationText {
    token: String,
    token_kind: KindText,
    ios_app_id: Option<String>,
    timestamp: i64,
}

/// Opens, reads and judges a registration.
///
/// Errors: [`SealedError`]; the key first, the age last.
pub fn open(keys: &RegistrationKeys, submission: Submission<'_>, now: Timestamp) -> Result<Registration, SealedError> {
    let public = parse_key(submission.bouncer_public_key).ok_or(SealedError::UnknownKey)?;
    let letters = submission.encrypted_push_registration;
    // Decoded only when it is not too long; but an unknown key is told first.
    let sealed = if letters.len() <= SEALED_CHARS_MAX { STANDARD.decode(letters).unwrap_or_default() } else { vec![] };
    let plaintext = keys.open(&public, &sealed)?;
    let registration = parse_registration(&plaintext).ok_or(SealedError::Invalid)?;
    let claimed = match submission.token_id {
        Some(text) => Some(TokenId::parse(text).ok_or(SealedError::Invalid)?),
        None => None,
    };
    judge(&registration, claimed, now)?;
    Ok(registration)
}

/// The registration that stands in `plaintext`, judged only as far as its types go.
fn parse_registration(plaintext: &[u8]) -> Option<Registration> {
    let text: RegistrationText = serde_json::from_slice(plaintext).ok()?;
    let target = match (text.token_kind, text.ios_app_id) {
        (KindText::Apns, Some(app_id)) => Target::Apns { app_id },
        (KindText::Fcm, None) => Target::Fcm,
        (KindText::Apns, None) | (KindText::Fcm, Some(_)) => return None,
    };
    let seconds = u64::try_from(text.timestamp).unwrap_or(0);
    Some(Registration { token: text.token, target, made: Timestamp::from_millis(seconds.saturating_mul(1000)) })
}
