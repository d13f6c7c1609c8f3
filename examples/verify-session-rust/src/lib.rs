//! How a relay or a service checks a session token of Waystation's attestation, without asking anybody.
//!
//! A token is `base64url(payload).base64url(signature)`: Ed25519 over the payload's bytes, by a key of
//! `GET /.well-known/jwks.json`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

/// How far this clock may be behind the issuer's. Units: milliseconds.
pub const SKEW_MS_MAX: u64 = 60_000;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// Who.
    pub device_id: String,
    /// Semantic version of the build.
    pub build_version: String,
    /// Platform of the build.
    pub platform: String,
    /// What names the build.
    pub build_hash: String,
    /// Milliseconds since 1970.
    pub issued_at: u64,
    /// Milliseconds since 1970.
    pub expires_at: u64,
    /// `session`.
    pub typ: String,
    /// Which key has signed.
    pub kid: String,
    /// For whom.
    pub aud: String,
    /// 0: registered; 1: has the released file; 2: has it and holds a device key.
    pub tier: u64,
    /// Grows with every change of the version policy.
    pub policy_epoch: u64,
    /// Unique to the token.
    pub jti: String,
    /// SHA-256 of the device's key, where it has one.
    pub cnf: Option<String>,
}

/// What an operation wants.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// `waystation`, or what was named when the challenge was asked for.
    pub audience: &'a str,
    /// The least tier.
    pub tier_min: u64,
    /// After a version was blocked its epoch goes here, and older sessions end at once; 0 for any.
    pub policy_epoch_min: u64,
}

/// A key of the key set.
#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    /// Its id.
    pub kid: String,
    /// 32 bytes in base64url.
    pub x: String,
}

/// Why a token must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// Not a session that a known key has signed.
    NotGenuine,
    /// Over, or not yet.
    NotNow,
    /// For somebody else.
    Audience,
    /// Too little was shown for it.
    Tier,
    /// The version policy has changed since.
    PolicyEpoch,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotGenuine => "not a session that a known key has signed",
            Self::NotNow => "the session is over, or not yet",
            Self::Audience => "the session is for somebody else",
            Self::Tier => "too little was shown for this session",
            Self::PolicyEpoch => "the version policy has changed since",
        })
    }
}

impl std::error::Error for SessionError {}

/// The session in `token`, if one of `keys` has signed it and it fulfils `demand`.
pub fn verify_session(token: &str, keys: &[Key], demand: Demand<'_>, now_ms: u64) -> Result<Session, SessionError> {
    let session = genuine(token, keys).ok_or(SessionError::NotGenuine)?;
    if session.expires_at <= now_ms || session.issued_at > now_ms.saturating_add(SKEW_MS_MAX) {
        return Err(SessionError::NotNow);
    }
    if session.aud != demand.audience {
        return Err(SessionError::Audience);
    }
    if session.tier < demand.tier_min {
        return Err(SessionError::Tier);
    }
    if session.policy_epoch < demand.policy_epoch_min {
        return Err(SessionError::PolicyEpoch);
    }
    Ok(session)
}

fn genuine(token: &str, keys: &[Key]) -> Option<Session> {
    let (payload, signature) = token.split_once('.')?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let session: Session = serde_json::from_slice(&payload).ok()?;
    // The id only chooses among known keys. The algorithm is fixed, and the kind keeps other signed things out.
    let key = keys.iter().find(|key| key.kid == session.kid)?;
    let raw: [u8; 32] = URL_SAFE_NO_PAD.decode(&key.x).ok()?.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&raw).ok()?;
    (session.typ == "session" && key.verify_strict(&payload, &signature).is_ok()).then_some(session)
}
