//! Uploads of whole files.

use serde::Serialize;
use serde_json::Value;

use super::body::{Body, NotJson, into_text, parse_body};
use super::request::parse_mac;
use crate::attestation::reference::reference_id;
use crate::attestation::whole::{ContentClaim, Manifest, ManifestClaim, PART_LEN, State};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;

/// Reads `{manifest, signature}`, where the manifest is JSON text.
pub(in crate::attestation) fn parse_manifest(bytes: &[u8]) -> Result<ManifestClaim, NotJson> {
    let mut body = parse_body(bytes)?;
    let text = body.text("manifest");
    let content = text.as_ref().given().and_then(|text| match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Some(content(&mut Body(members))),
        _ => None,
    });
    Ok(ManifestClaim { text, signature: body.base64("signature"), content })
}

fn content(body: &mut Body) -> ContentClaim {
    let range = |item| {
        let mut range = Body::of(item);
        (range.number("offset"), range.number("length"))
    };
    ContentClaim {
        typ: body.member("typ", into_text),
        version: body.text("version"),
        platform: body.text("platform"),
        build_hash: body.text("build_hash"),
        size: body.number("size"),
        tree_hash: body.text("tree_hash").and_then(|text| parse_mac(&text)),
        critical_ranges: body.member("critical_ranges", |value| match value {
            Value::Array(items) => Some(items.into_iter().map(range).collect()),
            _ => None,
        }),
    }
}

/// The answer to the beginning of an upload: what is still to be sent.
pub(in crate::attestation) fn encode_begun(
    manifest: &Manifest,
    state: State,
    missing: &[u64],
) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct BegunBody<'a> {
        success: bool,
        reference_id: String,
        part_size: u64,
        parts: u64,
        missing_parts: &'a [u64],
        complete: bool,
    }
    to_json(&BegunBody {
        success: true,
        reference_id: reference_id(&manifest.build),
        part_size: PART_LEN,
        parts: manifest.parts(),
        missing_parts: missing,
        complete: state == State::Complete,
    })
}

/// The answer to a part.
pub(in crate::attestation) fn encode_part(part: u64) -> String {
    format!(r#"{{"success":true,"part":{part}}}"#)
}
