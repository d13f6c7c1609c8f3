//! Answers.

use serde::Serialize;

use super::session::encode_token;
use crate::attestation::build_token::TokenShape;
use crate::attestation::challenge::Challenge;
use crate::attestation::log::{LogEntry, LogHead};
use crate::attestation::policy::Build;
use crate::attestation::reference::{Reference, Region, Shape, Span, reference_id};
use crate::attestation::registration::{RegistrationPlan, WEB};
use crate::attestation::retention::Due;
use crate::attestation::session::Session;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::keys::SigningPair;
use crate::kernel::time::Timestamp;

/// A session as the caller reads it: text, or an object for callers that write flat build tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::attestation) enum SessionBody {
    /// For callers that write `{payload, signature}`.
    Text(String),
    /// For the others.
    Object {
        /// The token.
        token: String,
        /// Units: milliseconds since 1970.
        expires_at: Timestamp,
        /// Whose.
        device_id: String,
    },
}

/// Signs a session and writes it as the caller reads it.
pub(in crate::attestation) fn session_body(
    key: &SigningPair,
    session: &Session,
    shape: TokenShape,
) -> Result<SessionBody, Fault> {
    let token = encode_token(key, session)?;
    Ok(match shape {
        TokenShape::Wrapped => SessionBody::Text(token),
        TokenShape::Flat => {
            SessionBody::Object { token, expires_at: session.expires_at, device_id: session.device_id.clone() }
        }
    })
}

#[derive(Serialize)]
struct DeviceBody<'a> {
    device_id: &'a str,
    build_version: &'a str,
    platform: &'a str,
    build_hash: &'a str,
    registered_at: Timestamp,
    last_seen: Timestamp,
    // A member of the original that clients may read. Nothing is kept under it here; nor under the last one.
    attestation_history: [(); 0],
    anomaly_flags: u64,
    web_registration_timestamps: [(); 0],
}

#[derive(Serialize)]
struct RegisteredBody<'a> {
    status: &'static str,
    device: DeviceBody<'a>,
    version_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommended_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<SessionBody>,
}

/// The answer to a registration.
pub(in crate::attestation) fn encode_registered(
    plan: &RegistrationPlan,
    session_token: Option<SessionBody>,
) -> Result<String, Fault> {
    let device = &plan.device;
    let recommended_version = plan.allowed.recommended.as_ref().map(ToString::to_string);
    to_json(&RegisteredBody {
        status: "registered",
        device: DeviceBody {
            device_id: &plan.device_id,
            build_version: &device.build.version,
            platform: &device.build.platform,
            build_hash: &device.build.build_hash,
            registered_at: device.registered_at,
            last_seen: device.last_seen,
            attestation_history: [],
            anomaly_flags: device.anomalies,
            web_registration_timestamps: [],
        },
        version_status: if recommended_version.is_some() { "update_recommended" } else { "current" },
        recommended_version,
        sunset_at: plan.allowed.sunset_at,
        attestation_mode: (device.build.platform == WEB).then_some("web_fallback"),
        session_token,
    })
}

/// The answer to a wish for a challenge.
pub(in crate::attestation) fn encode_challenge(challenge: &Challenge) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct RegionBody {
        index: u64,
        offset: u64,
        length: u64,
    }
    #[derive(Serialize)]
    struct ChallengeBody<'a> {
        nonce: &'a str,
        regions: Vec<RegionBody>,
        expires_at: Timestamp,
    }
    let region = |asked: &crate::attestation::challenge::Asked| {
        let Span { offset, length } = asked.span;
        RegionBody { index: asked.index, offset, length }
    };
    let regions = challenge.asked.iter().map(region).collect();
    to_json(&ChallengeBody { nonce: &challenge.nonce, regions, expires_at: challenge.expires_at })
}

/// The answer to a good answer.
pub(in crate::attestation) fn encode_verified(session_token: &SessionBody) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct VerifiedBody<'a> {
        valid: bool,
        session_token: &'a SessionBody,
    }
    to_json(&VerifiedBody { valid: true, session_token })
}

#[derive(Serialize)]
struct DeclaredBody {
    offset: u64,
    length: u64,
    weight: u64,
}

#[derive(Serialize)]
struct ReferenceBody<'a> {
    version: &'a str,
    platform: &'a str,
    build_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    critical_regions: Vec<DeclaredBody>,
    uploaded_at: Timestamp,
    reference_id: String,
    digest: &'a str,
}

/// What may be told about a reference: never a byte of it.
fn reference_body(reference: &Reference) -> ReferenceBody<'_> {
    let declared = |span: Span, weight: u64| DeclaredBody { offset: span.offset, length: span.length, weight };
    let critical_regions = match &reference.shape {
        Shape::Declared(regions) => {
            regions.iter().map(|Region { span, weight, .. }| declared(*span, *weight)).collect()
        }
        Shape::Whole { critical, .. } => critical.iter().map(|span| declared(*span, 1)).collect(),
    };
    ReferenceBody {
        version: &reference.build.version,
        platform: &reference.build.platform,
        build_hash: &reference.build.build_hash,
        size: reference.size,
        critical_regions,
        uploaded_at: reference.uploaded_at,
        reference_id: reference_id(&reference.build),
        digest: &reference.digest,
    }
}

/// The answer to an upload.
pub(in crate::attestation) fn encode_uploaded(reference: &Reference) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct UploadedBody<'a> {
        success: bool,
        reference: ReferenceBody<'a>,
        answerable: bool,
    }
    let answerable = reference.shape.answerable() == crate::attestation::reference::Answerable::Yes;
    to_json(&UploadedBody { success: true, reference: reference_body(reference), answerable })
}

/// What the log says about an upload.
pub(in crate::attestation) fn encode_log_reference(reference: &Reference) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct Entry<'a> {
        reference_id: String,
        version: &'a str,
        platform: &'a str,
        build_hash: &'a str,
        whole: bool,
        digest: &'a str,
    }
    let build = &reference.build;
    to_json(&Entry {
        reference_id: reference_id(build),
        version: &build.version,
        platform: &build.platform,
        build_hash: &build.build_hash,
        whole: matches!(reference.shape, Shape::Whole { .. }),
        digest: &reference.digest,
    })
}

/// What the log says of a reference that went.
pub(in crate::attestation) fn encode_log_removal(due: &Due) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct Entry<'a> {
        reference_id: &'a str,
        version: &'a str,
        platform: &'a str,
        build_hash: &'a str,
    }
    let Build { version, platform, build_hash } = &due.build;
    to_json(&Entry { reference_id: &due.reference_id, version, platform, build_hash })
}

/// A page of the log.
pub(in crate::attestation) fn encode_log(entries: &[LogEntry], head: &LogHead) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct EntryBody<'a> {
        seq: u64,
        at: Timestamp,
        kind: &'a str,
        /// JSON as text: these very bytes are hashed.
        entry: &'a str,
        previous: &'a str,
        hash: &'a str,
    }
    #[derive(Serialize)]
    struct HeadBody<'a> {
        seq: u64,
        hash: &'a str,
    }
    #[derive(Serialize)]
    struct LogBody<'a> {
        entries: Vec<EntryBody<'a>>,
        head: HeadBody<'a>,
    }
    let entries = entries.iter().map(|LogEntry { seq, at, kind, entry, previous, hash }| EntryBody {
        seq: *seq,
        at: *at,
        kind,
        entry,
        previous,
        hash,
    });
    to_json(&LogBody { entries: entries.collect(), head: HeadBody { seq: head.seq, hash: &head.hash } })
}

/// The value of `X-Attestation-Signature` for a document of a kind: key id, time, and Ed25519 over a context line, the
/// time and the exact bytes of the body.
pub(in crate::attestation) fn sign_document(key: &SigningPair, kind: &str, body: &str, now: Timestamp) -> String {
    let at = now.as_millis();
    let signature = key.sign_base64(format!("waystation/attest/{kind}/v1\n{at}\n{body}").as_bytes());
    format!("kid={};t={at};sig={signature}", key.kid())
}
