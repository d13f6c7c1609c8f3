//! What CI tells the registry: declared regions, and files that are complete.

use super::check_ci;
use super::handoff::{Next, hand_on};
use crate::attestation::log::{Kind, next_entry};
use crate::attestation::reference::{
    Reference, Shape, Upload, UploadError, UploadPlan, check_upload, decide_upload, reference_id,
};
use crate::attestation::store::reference as references;
use crate::attestation::whole::check_manifest;
use crate::attestation::{store, wire};
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::stop::Stop;

/// Keeps declared regions with their bytes.
pub(super) fn declared(turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
    check_ci(call)?;
    let upload = check_upload(wire::request::parse_upload(&call.body)?, turn.now)?;
    let Upload { reference, bytes } = upload;
    let id = reference_id(&reference.build);
    let regions = (0..)
        .zip(&bytes)
        .filter_map(|(position, bytes)| bytes.as_ref().map(|bytes| references::put_region(&id, position, bytes)));
    keep(turn, reference, regions.collect())
}

/// Checks a manifest, counts the upload, and sends it on to the object that will hold the file.
pub(super) fn begin(settings: &Settings, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
    check_ci(call)?;
    let claim = wire::manifest::parse_manifest(&call.body)?;
    let manifest = check_manifest(claim, &settings.attest.build_token_keys)?;
    let id = reference_id(&manifest.build);
    let plan = decide(turn.sql, (&id, &manifest.build.platform), &manifest.digest())?;
    let note = wire::handoff::encode_manifest(&manifest)?;
    if plan == UploadPlan::Keep {
        turn.commit(vec![references::put_upload(&id, &manifest.build.platform, turn.now)])?;
    }
    Ok(hand_on(&Next::Begin(id), note))
}

/// Counts a complete file as a reference.
pub(super) fn count(turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
    let manifest = wire::handoff::parse_manifest(&call.body)?;
    keep(turn, manifest.reference(turn.now), Vec::new())
}

fn decide(sql: &dyn Sql, (id, platform): (&str, &str), digest: &str) -> Result<UploadPlan, Stop> {
    let kept = references::load_kept(sql, id)?;
    let counts = references::count_references(sql, id, platform)?;
    decide_upload(kept.as_ref(), counts, digest).map_err(|error: UploadError| error.into())
}

fn keep(turn: &Turn<'_>, reference: Reference, mut batch: Vec<Statement>) -> Result<Reply, Stop> {
    let id = reference_id(&reference.build);
    let reference = match decide(turn.sql, (&id, &reference.build.platform), &reference.digest)? {
        UploadPlan::Unchanged => references::load_reference(turn.sql, &id)?.unwrap_or(reference),
        UploadPlan::Keep => {
            let head = store::load_log_head(turn.sql)?;
            let entry = wire::answer::encode_log_reference(&reference)?;
            batch.push(references::put_reference(&id, &reference));
            if matches!(reference.shape, Shape::Whole { .. }) {
                batch.push(references::remove_upload(&id));
            }
            batch.push(store::add_log(&next_entry(&head, Kind::Reference, entry, turn.now)));
            turn.commit(batch)?;
            reference
        }
    };
    Ok(Reply::json_text(wire::answer::encode_uploaded(&reference)?))
}
