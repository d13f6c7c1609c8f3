//! What one of our objects tells another: judgements, grants, manifests and farewells, as JSON that no client ever sees.

use serde::{Deserialize, Serialize};

use super::request::parse_mac;
use crate::attestation::challenge::Asked;
use crate::attestation::policy::Build;
use crate::attestation::reference::Span;
use crate::attestation::session::{Grant, Tier};
use crate::attestation::verify::{Judgement, RegionMac};
use crate::attestation::visitor::{Outlook, Word};
use crate::attestation::whole::Manifest;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;

#[derive(Serialize, Deserialize)]
struct GrantNote {
    device_id: String,
    version: String,
    platform: String,
    build_hash: String,
    audience: String,
    tier: u64,
    thumbprint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AnswerNote(u64, u64, u64, String);

#[derive(Serialize, Deserialize)]
struct JudgementNote {
    reference_id: String,
    nonce: String,
    answers: Vec<AnswerNote>,
    grant: Option<GrantNote>,
}

#[derive(Serialize, Deserialize)]
struct ManifestNote {
    version: String,
    platform: String,
    build_hash: String,
    size: u64,
    tree_hash: String,
    critical: Vec<(u64, u64)>,
}

fn grant_note(grant: &Grant) -> GrantNote {
    let Build { version, platform, build_hash } = grant.build.clone();
    GrantNote {
        device_id: grant.device_id.clone(),
        version,
        platform,
        build_hash,
        audience: grant.audience.clone(),
        tier: grant.tier.number(),
        thumbprint: grant.key_thumbprint.clone(),
    }
}

fn grant_of(note: GrantNote) -> Option<Grant> {
    // Only proofs travel between objects.
    let tier = [Tier::BuildProof, Tier::DeviceKey].into_iter().find(|tier| tier.number() == note.tier)?;
    Some(Grant {
        device_id: note.device_id,
        build: Build { version: note.version, platform: note.platform, build_hash: note.build_hash },
        audience: note.audience,
        tier,
        key_thumbprint: note.thumbprint,
    })
}

fn corrupt() -> Fault {
    Fault::Corrupt(String::from("a note between objects is none of ours"))
}

/// Writes a grant.
pub(in crate::attestation) fn encode_grant(grant: &Grant) -> Result<String, Fault> {
    to_json(&grant_note(grant))
}

/// Reads a grant of ours.
pub(in crate::attestation) fn parse_grant(bytes: &[u8]) -> Result<Grant, Fault> {
    serde_json::from_slice(bytes).ok().and_then(grant_of).ok_or_else(corrupt)
}

/// Writes a judgement that is asked for.
pub(in crate::attestation) fn encode_judgement(judgement: &Judgement) -> Result<String, Fault> {
    let note = |(asked, mac): &(Asked, RegionMac)| {
        AnswerNote(asked.index, asked.span.offset, asked.span.length, hex::encode(mac))
    };
    to_json(&JudgementNote {
        reference_id: judgement.reference_id.clone(),
        nonce: judgement.nonce.clone(),
        answers: judgement.answers.iter().map(note).collect(),
        grant: judgement.grant.as_ref().map(grant_note),
    })
}

/// Reads a judgement of ours that is asked for.
pub(in crate::attestation) fn parse_judgement(bytes: &[u8]) -> Result<Judgement, Fault> {
    let note: JudgementNote = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    let answer = |AnswerNote(index, offset, length, mac)| {
        Some((Asked { index, span: Span { offset, length } }, parse_mac(&mac)?))
    };
    let answers: Option<Vec<_>> = note.answers.into_iter().map(answer).collect();
    let grant = note.grant.map(|grant| grant_of(grant).ok_or_else(corrupt)).transpose()?;
    Ok(Judgement { reference_id: note.reference_id, nonce: note.nonce, answers: answers.ok_or_else(corrupt)?, grant })
}

#[derive(Serialize, Deserialize)]
struct DeviceNote {
    device_id: String,
}

#[derive(Serialize, Deserialize)]
struct WordNote {
    goes_on: bool,
    changed_at: Timestamp,
}

/// Writes which device is in doubt.
pub(in crate::attestation) fn encode_device(device_id: &str) -> Vec<u8> {
    serde_json::json!({ "device_id": device_id }).to_string().into_bytes()
}

/// Reads which device is in doubt.
pub(in crate::attestation) fn parse_device(bytes: &[u8]) -> Result<String, Fault> {
    serde_json::from_slice(bytes).map(|note: DeviceNote| note.device_id).map_err(|_| corrupt())
}

/// Writes what the registry says of it.
pub(in crate::attestation) fn encode_word(word: &Word) -> Result<String, Fault> {
    let Word { outlook, changed_at } = *word;
    to_json(&WordNote { goes_on: outlook == Outlook::GoesOn, changed_at })
}

/// Reads what the registry says; nothing where it had trouble of its own.
pub(in crate::attestation) fn parse_word(reply: &Reply) -> Option<Word> {
    let note: WordNote = serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 200)?;
    let outlook = if note.goes_on { Outlook::GoesOn } else { Outlook::Ends };
    Some(Word { outlook, changed_at: note.changed_at })
}

#[derive(Serialize, Deserialize)]
struct FarewellNote {
    made_at: Timestamp,
}

/// Writes since when a file is not needed any longer.
pub(in crate::attestation) fn encode_farewell(made_at: Timestamp) -> Result<String, Fault> {
    to_json(&FarewellNote { made_at })
}

/// Reads a farewell of ours.
pub(in crate::attestation) fn parse_farewell(bytes: &[u8]) -> Result<Timestamp, Fault> {
    let note: FarewellNote = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    Ok(note.made_at)
}

/// Writes a manifest that was checked.
pub(in crate::attestation) fn encode_manifest(manifest: &Manifest) -> Result<String, Fault> {
    let Build { version, platform, build_hash } = manifest.build.clone();
    to_json(&ManifestNote {
        version,
        platform,
        build_hash,
        size: manifest.size,
        tree_hash: hex::encode(manifest.tree_hash),
        critical: manifest.critical.iter().map(|span| (span.offset, span.length)).collect(),
    })
}

/// Reads a manifest of ours.
pub(in crate::attestation) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, Fault> {
    let note: ManifestNote = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
    Ok(Manifest {
        build: Build { version: note.version, platform: note.platform, build_hash: note.build_hash },
        size: note.size,
        tree_hash: parse_mac(&note.tree_hash).ok_or_else(corrupt)?,
        critical: note.critical.into_iter().map(|(offset, length)| Span { offset, length }).collect(),
    })
}
