//! Requests: bodies of devices, relays and CI.

use serde_json::Value;

use super::body::{Body, NotJson, into_text, parse_body};
use crate::attestation::build_token::{PayloadClaim, TokenClaim, TokenShape};
use crate::attestation::challenge::ChallengeClaim;
use crate::attestation::device::{DeviceKey, ProofClaim};
use crate::attestation::reference::{RegionClaim, UploadClaim};
use crate::attestation::registration::RegistrationClaim;
use crate::attestation::verify::{AnswerClaim, RegionMac};
use crate::kernel::json::quote;
use crate::kernel::keys::parse_base64;

/// Reads a registration.
pub(in crate::attestation) fn parse_registration(bytes: &[u8]) -> Result<RegistrationClaim, NotJson> {
    let mut body = parse_body(bytes)?;
    Ok(RegistrationClaim {
        build_token: body.member("build_token", parse_token),
        device_id: body.text("device_id"),
        device_key: body.base64("device_key").and_then(DeviceKey::from_bytes),
        proof: proof(&mut body),
    })
}

/// Reads a wish for a challenge.
pub(in crate::attestation) fn parse_challenge(bytes: &[u8]) -> Result<ChallengeClaim, NotJson> {
    let mut body = parse_body(bytes)?;
    Ok(ChallengeClaim {
        device_id: body.text("device_id"),
        build_version: body.text("build_version"),
        build_token: body.member("build_token", |_| Some(())),
        audience: body.text("audience"),
        proof: proof(&mut body),
    })
}

fn proof(body: &mut Body) -> ProofClaim {
    ProofClaim { device_timestamp: body.time("device_timestamp"), device_signature: body.base64("device_signature") }
}

/// Reads an answer to a challenge.
pub(in crate::attestation) fn parse_answer(bytes: &[u8]) -> Result<AnswerClaim, NotJson> {
    let mut body = parse_body(bytes)?;
    Ok(AnswerClaim {
        device_id: body.text("device_id"),
        nonce: body.text("nonce"),
        responses: body.member("responses", |value| match value {
            Value::Array(items) => Some(items.into_iter().map(parse_response).collect()),
            _ => None,
        }),
        device_signature: body.base64("device_signature"),
    })
}

fn parse_response(item: Value) -> Option<(u64, RegionMac)> {
    let Body(members) = Body::of(item);
    let index = members.get("region_index")?.as_u64()?;
    Some((index, parse_mac(members.get("hmac")?.as_str()?)?))
}

/// 64 lower-case hex digits.
pub(super) fn parse_mac(text: &str) -> Option<RegionMac> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode(text).ok()?.try_into().ok()
}

/// Reads an upload of declared regions.
pub(in crate::attestation) fn parse_upload(bytes: &[u8]) -> Result<UploadClaim, NotJson> {
    let mut body = parse_body(bytes)?;
    Ok(UploadClaim {
        version: body.text("version"),
        platform: body.text("platform"),
        build_hash: body.text("build_hash"),
        size: body.number("size"),
        regions: body.member("critical_regions", |value| match value {
            Value::Array(items) => Some(items.into_iter().map(parse_region).collect()),
            _ => None,
        }),
    })
}

fn parse_region(item: Value) -> RegionClaim {
    let mut body = Body::of(item);
    RegionClaim {
        offset: body.number("offset"),
        length: body.number("length"),
        weight: body.number("weight"),
        bytes: body.text("data_hex").and_then(|text| hex::decode(text).ok()),
    }
}

/// Reads a build token in any form of the field: `{payload, signature}` with the payload as JSON text or in base64, the
/// same object in base64 or as text, or flat.
fn parse_token(value: Value) -> Option<TokenClaim> {
    let mut body = match value {
        Value::String(text) => Body::of(parse_packed(&text)?),
        other => Body::of(other),
    };
    let signature = body.text("signature").given()?;
    let signature = parse_base64(&signature);
    match body.text("payload").given() {
        Some(payload) => Some(wrapped(payload, signature)),
        None => flat(body, signature),
    }
}

fn parse_packed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_slice(&parse_base64(text)?).ok())
}

fn wrapped(payload: String, signature: Option<Vec<u8>>) -> TokenClaim {
    let decoded = parse_base64(&payload).filter(|_| !payload.trim_start().starts_with('{'));
    let text: &[u8] = decoded.as_deref().unwrap_or(payload.as_bytes());
    let members = match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => Some(Body(members)),
        _ => None,
    };
    let payload_claim = members.map(|mut members| payload_of(&mut members));
    let signed_forms = std::iter::once(payload.into_bytes()).chain(decoded).collect();
    TokenClaim { shape: TokenShape::Wrapped, signed_forms, signature, payload: payload_claim }
}

/// The flat form, signed over compact JSON of its four members in this order. Nothing when one is missing.
fn flat(mut body: Body, signature: Option<Vec<u8>>) -> Option<TokenClaim> {
    let members: Option<Vec<String>> = ["version", "platform", "build_hash", "timestamp"]
        .iter()
        .map(|name| body.0.get(*name).map(|value| format!("{}:{value}", quote(name))))
        .collect();
    let signed = format!("{{{}}}", members?.join(","));
    let payload = Some(payload_of(&mut body));
    Some(TokenClaim { shape: TokenShape::Flat, signed_forms: vec![signed.into_bytes()], signature, payload })
}

fn payload_of(body: &mut Body) -> PayloadClaim {
    PayloadClaim {
        typ: body.member("typ", into_text),
        version: body.text("version"),
        platform: body.text("platform"),
        build_hash: body.text("build_hash"),
        timestamp: body.time("timestamp"),
    }
}
