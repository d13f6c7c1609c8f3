//! Session tokens: `base64url(payload).base64url(signature)`, Ed25519 over the payload's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::attestation::policy::Build;
use crate::attestation::session::{Demand, KIND, Session, SessionError, judge_session};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::keys::{SigningPair, parse_32_bytes, parse_base64, verify};
use crate::kernel::time::Timestamp;

/// The longest token that is looked at. Units: bytes; ours are below 1,200.
const TOKEN_LEN_MAX: usize = 4096;

/// The payload: the members of the field's older tokens first.
#[derive(Serialize, Deserialize)]
struct Payload {
    device_id: String,
    build_version: String,
    platform: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_level: Option<String>,
    typ: String,
    kid: String,
    aud: String,
    build_hash: String,
    tier: u64,
    policy_epoch: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<String>,
}

/// The token of a session.
pub(in crate::attestation) fn encode_token(key: &SigningPair, session: &Session) -> Result<String, Fault> {
    let session = session.clone();
    let Build { version, platform, build_hash } = session.build;
    let payload = to_json(&Payload {
        device_id: session.device_id,
        build_version: version,
        platform,
        issued_at: session.issued_at,
        expires_at: session.expires_at,
        trust_level: session.trust_level,
        typ: KIND.to_owned(),
        kid: key.kid().to_owned(),
        aud: session.audience,
        build_hash,
        tier: session.tier,
        policy_epoch: session.policy_epoch,
        jti: session.token_id,
        cnf: session.key_thumbprint,
    })?;
    let signature = to_base64url(&key.sign_base64(payload.as_bytes()));
    Ok(format!("{}.{signature}", URL_SAFE_NO_PAD.encode(payload)))
}

/// The same bytes in the other alphabet.
pub(super) fn to_base64url(standard: &str) -> String {
    URL_SAFE_NO_PAD.encode(parse_base64(standard).unwrap_or_default())
}

/// The session of a token, if one of `keys` has signed it and it fulfils `demand` at `now`.
///
/// Effects: none; needs no storage, so every object can check tokens by itself.
pub fn read_session(
    token: &str,
    keys: &[SigningPair],
    demand: Demand<'_>,
    now: Timestamp,
) -> Result<Session, SessionError> {
    let session = parse_token(token, keys).ok_or(SessionError::NotGenuine)?;
    judge_session(&session, demand, now)?;
    Ok(session)
}

fn parse_token(token: &str, keys: &[SigningPair]) -> Option<Session> {
    if token.len() > TOKEN_LEN_MAX {
        return None;
    }
    let (payload, signature) = token.split_once('.')?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let payload: Payload = serde_json::from_slice(&bytes).ok()?;
    // The id only chooses among our own keys; the algorithm is not the token's to choose.
    let key = keys.iter().find(|key| key.kid() == payload.kid)?;
    let public = parse_32_bytes(&key.public_base64())?;
    if payload.typ != KIND || !verify(&public, &bytes, &signature) {
        return None;
    }
    Some(Session {
        device_id: payload.device_id,
        build: Build { version: payload.build_version, platform: payload.platform, build_hash: payload.build_hash },
        audience: payload.aud,
        tier: payload.tier,
        trust_level: payload.trust_level,
        policy_epoch: payload.policy_epoch,
        issued_at: payload.issued_at,
        expires_at: payload.expires_at,
        key_thumbprint: payload.cnf,
        token_id: payload.jti,
    })
}

/// The public keys that sign sessions and documents, current first (RFC 7517, RFC 8037).
pub(in crate::attestation) fn encode_jwks(keys: &[SigningPair]) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct Key<'a> {
        kty: &'static str,
        crv: &'static str,
        x: String,
        kid: &'a str,
        #[serde(rename = "use")]
        used_for: &'static str,
        alg: &'static str,
    }
    #[derive(Serialize)]
    struct Keys<'a> {
        keys: Vec<Key<'a>>,
    }
    let key = |pair| {
        let pair: &SigningPair = pair;
        let x = to_base64url(&pair.public_base64());
        Key { kty: "OKP", crv: "Ed25519", x, kid: pair.kid(), used_for: "sig", alg: "EdDSA" }
    };
    to_json(&Keys { keys: keys.iter().map(key).collect() })
}
