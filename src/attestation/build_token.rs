//! Build tokens: what CI signed about the build that an app carries.
//!
//! A token is public, because it is inside the app: it says which build a caller claims to run and proves nothing about
//! the caller. Its key is never the one that signs sessions, and a payload that says it is of another kind is none.

use super::field::Field;
use super::policy::{Build, is_build_hash, is_platform};
use crate::kernel::keys;
use crate::kernel::time::Timestamp;

/// How far ahead of our clock a token may be.
pub const AHEAD_MS_MAX: u64 = 60_000;

/// The kind that a payload may name; it need not name any.
pub const KIND: &str = "build";

/// How the caller writes tokens, and so how it wants to read ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenShape {
    /// `{payload, signature}`; sessions are answered as text.
    Wrapped,
    /// `{version, platform, build_hash, timestamp, signature}`; sessions are answered as objects.
    Flat,
}

/// A token as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaim {
    /// How it is written.
    pub shape: TokenShape,
    /// What the signature may be over: the field's writers do not agree whether to sign before or after base64.
    pub signed_forms: Vec<Vec<u8>>,
    /// The signature; nothing when it is no base64.
    pub signature: Option<Vec<u8>>,
    /// The payload; nothing when it is no JSON object.
    pub payload: Option<PayloadClaim>,
}

/// What is signed, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct PayloadClaim {
    pub typ: Field<String>,
    pub version: Field<String>,
    pub platform: Field<String>,
    pub build_hash: Field<String>,
    pub timestamp: Field<Timestamp>,
}

/// A token with a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BuildToken {
    pub build: Build,
    pub issued_at: Timestamp,
    pub shape: TokenShape,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not of any known form.
    Format,
    /// No key is configured that could check it.
    NoKey,
    /// The signature is nobody's we know.
    Signature,
    /// What is signed is no JSON object, or of another kind.
    Payload,
    /// A member is missing or malformed.
    Members,
    /// From the future.
    Future,
    /// Older than a new registration may be.
    Expired,
}

/// Checks signature and content of a token; not yet its age, which does not matter for a device that runs it already.
pub fn check_build_token(claim: TokenClaim, keys: &[[u8; 32]], now: Timestamp) -> Result<BuildToken, TokenError> {
    if keys.is_empty() {
        return Err(TokenError::NoKey);
    }
    let signature = claim.signature.ok_or(TokenError::Signature)?;
    let is_signed = claim.signed_forms.iter().any(|form| keys.iter().any(|key| keys::verify(key, form, &signature)));
    if !is_signed {
        return Err(TokenError::Signature);
    }
    let payload = claim.payload.ok_or(TokenError::Payload)?;
    if payload.typ.optional(TokenError::Payload)?.is_some_and(|kind| kind != KIND) {
        return Err(TokenError::Payload);
    }
    let member = |field: Field<String>| field.given().ok_or(TokenError::Members);
    let build = Build {
        version: member(payload.version)?,
        platform: member(payload.platform.and_then(|text| is_platform(&text).then_some(text)))?,
        build_hash: member(payload.build_hash.and_then(|text| is_build_hash(&text).then_some(text)))?,
    };
    let issued_at = payload.timestamp.given().ok_or(TokenError::Members)?;
    if issued_at.since(now) > AHEAD_MS_MAX {
        return Err(TokenError::Future);
    }
    Ok(BuildToken { build, issued_at, shape: claim.shape })
}
