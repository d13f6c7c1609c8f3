//! SQL ↔ values of references, of uploads that are not references yet, and of files that must be forgotten. Nothing here
//! decides.

use super::{build, parse_numbers, single, write_numbers};
use crate::attestation::challenge::Challenge;
use crate::attestation::policy::Build;
use crate::attestation::reference::{Answerable, Counts, Kept, Reference, Region, Shape, Span};
use crate::attestation::retention::{Due, FAREWELL_AGAIN_MS, Farewell, Place, REVIEW_MS, UPLOAD_MS_MAX};
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;

const REFERENCE: &str = "SELECT version, platform, build_hash, size, whole, regions, digest, uploaded_at \
    FROM reference WHERE reference_id = ?1";
const KEPT: &str = "SELECT digest, answerable FROM reference WHERE reference_id = ?1";
const COUNT: &str = "SELECT (SELECT count(*) FROM reference) \
    + (SELECT count(*) FROM upload WHERE reference_id <> ?1), \
    (SELECT count(*) FROM reference WHERE platform = ?2) \
    + (SELECT count(*) FROM upload WHERE platform = ?2 AND reference_id <> ?1), \
    (SELECT count(*) FROM farewell WHERE reference_id = ?1)";
const PUT_REFERENCE: &str = "INSERT OR REPLACE INTO reference (reference_id, version, platform, build_hash, size, \
    whole, answerable, regions, digest, uploaded_at, reviewed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)";
const REGION: &str = "SELECT bytes FROM region WHERE reference_id = ?1 AND position = ?2";
const PUT_REGION: &str = "INSERT OR REPLACE INTO region (reference_id, position, bytes) VALUES (?1, ?2, ?3)";

const DUE: &str = "SELECT reference_id, version, platform, build_hash, whole, idle_since FROM reference \
    WHERE reviewed_at <= ?1 ORDER BY reviewed_at LIMIT ?2";
const RUNS: &str = "SELECT count(*) FROM (SELECT 1 FROM device WHERE build_hash = ?1 AND version = ?2 \
    AND platform = ?3 LIMIT 1)";
const REVIEWED: &str = "UPDATE reference SET reviewed_at = ?2, idle_since = ?3 WHERE reference_id = ?1";
const REMOVE_REFERENCE: &str = "DELETE FROM reference WHERE reference_id = ?1";
const REMOVE_REGIONS: &str = "DELETE FROM region WHERE reference_id = ?1";

const PUT_UPLOAD: &str = "INSERT OR REPLACE INTO upload (reference_id, platform, begun_at) VALUES (?1, ?2, ?3)";
const REMOVE_UPLOAD: &str = "DELETE FROM upload WHERE reference_id = ?1";
const UPLOADS_OVER: &str = "SELECT reference_id FROM upload WHERE begun_at <= ?1 ORDER BY begun_at LIMIT ?2";

const FAREWELLS: &str =
    "SELECT id, reference_id, made_at FROM farewell WHERE asked_at <= ?1 ORDER BY asked_at LIMIT ?2";
const PUT_FAREWELL: &str = "INSERT INTO farewell (id, reference_id, made_at, asked_at) VALUES (?1, ?2, ?3, ?3)";
const ASKED_FAREWELL: &str = "UPDATE farewell SET asked_at = ?2 WHERE id = ?1";
const REMOVE_FAREWELL: &str = "DELETE FROM farewell WHERE id = ?1";

const NEXT_UPKEEP: &str = "SELECT min(at) FROM (SELECT min(reviewed_at) + ?1 AS at FROM reference \
    UNION ALL SELECT min(begun_at) + ?2 FROM upload UNION ALL SELECT min(asked_at) + ?3 FROM farewell)";

/// The reference of an id.
pub(in crate::attestation) fn load_reference(sql: &dyn Sql, reference_id: &str) -> Result<Option<Reference>, Fault> {
    let rows = sql.read(Statement::new(REFERENCE, vec![reference_id.into()]))?;
    rows.first().map(parse_reference).transpose()
}

fn parse_reference(row: &Row) -> Result<Reference, Fault> {
    let size = row.unsigned_or_null(3)?;
    let regions = row.text(5)?;
    let shape = if row.unsigned(4)? == 1 {
        let spans = parse_numbers::<2>(regions)?;
        let critical = spans.into_iter().map(|[offset, length]| Span { offset, length }).collect();
        Shape::Whole { size: size.unwrap_or(0), critical }
    } else {
        let region = |[offset, length, weight, has_bytes]: [u64; 4]| Region {
            span: Span { offset, length },
            weight,
            answerable: if has_bytes == 1 { Answerable::Yes } else { Answerable::No },
        };
        Shape::Declared(parse_numbers::<4>(regions)?.into_iter().map(region).collect())
    };
    Ok(Reference { build: build(row, 0)?, size, shape, digest: row.text(6)?.to_owned(), uploaded_at: row.time(7)? })
}

/// What an upload for this id meets.
pub(in crate::attestation) fn load_kept(sql: &dyn Sql, reference_id: &str) -> Result<Option<Kept>, Fault> {
    let rows = sql.read(Statement::new(KEPT, vec![reference_id.into()]))?;
    let kept = |row: &Row| {
        let answerable = if row.unsigned(1)? == 1 { Answerable::Yes } else { Answerable::No };
        Ok(Kept { digest: row.text(0)?.to_owned(), answerable })
    };
    rows.first().map(kept).transpose()
}

/// How many references and uploads there are, this one's own upload aside.
pub(in crate::attestation) fn count_references(
    sql: &dyn Sql,
    reference_id: &str,
    platform: &str,
) -> Result<Counts, Fault> {
    let rows = sql.read(Statement::new(COUNT, vec![reference_id.into(), platform.into()]))?;
    let row = rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?;
    Ok(Counts { all: row.unsigned(0)?, of_platform: row.unsigned(1)?, leaving: row.unsigned(2)? })
}

/// Keeps a reference.
pub(in crate::attestation) fn put_reference(reference_id: &str, reference: &Reference) -> Statement {
    let (is_whole, regions) = match &reference.shape {
        Shape::Whole { critical, .. } => (true, write_numbers(critical.iter().map(|span| [span.offset, span.length]))),
        Shape::Declared(regions) => {
            let numbers = regions.iter().map(|region| {
                let has_bytes = u64::from(region.answerable == Answerable::Yes);
                [region.span.offset, region.span.length, region.weight, has_bytes]
            });
            (false, write_numbers(numbers))
        }
    };
    let Build { version, platform, build_hash } = &reference.build;
    let params = vec![
        reference_id.into(),
        version.as_str().into(),
        platform.as_str().into(),
        build_hash.as_str().into(),
        reference.size.into(),
        u32::from(is_whole).into(),
        u32::from(reference.shape.answerable() == Answerable::Yes).into(),
        regions.into(),
        reference.digest.as_str().into(),
        reference.uploaded_at.into(),
    ];
    Statement::new(PUT_REFERENCE, params)
}

/// Keeps the bytes of a region.
pub(in crate::attestation) fn put_region(reference_id: &str, position: u64, bytes: &[u8]) -> Statement {
    Statement::new(PUT_REGION, vec![reference_id.into(), position.into(), bytes.to_vec().into()])
}

/// The bytes of the regions that are asked for, in that order; shorter when one is not here.
pub(in crate::attestation) fn load_regions(sql: &dyn Sql, challenge: &Challenge) -> Result<Vec<Vec<u8>>, Fault> {
    let mut all = Vec::with_capacity(challenge.asked.len());
    for asked in &challenge.asked {
        let params = vec![challenge.reference_id.as_str().into(), asked.index.into()];
        if let Some(row) = sql.read(Statement::new(REGION, params))?.first() {
            all.push(row.blob(0)?.to_vec());
        }
    }
    Ok(all)
}

/// At most `limit` references that nobody has looked at since `before`.
pub(in crate::attestation) fn load_due(sql: &dyn Sql, before: Timestamp, limit: u64) -> Result<Vec<Due>, Fault> {
    let due = |row: &Row| {
        Ok(Due {
            reference_id: row.text(0)?.to_owned(),
            build: build(row, 1)?,
            place: if row.unsigned(4)? == 1 { Place::ReferenceStore } else { Place::Registry },
            idle_since: row.unsigned_or_null(5)?.map(Timestamp::from_millis),
        })
    };
    sql.read(Statement::new(DUE, vec![before.into(), limit.into()]))?.iter().map(due).collect()
}

/// Whether any device runs a build: 1 or 0.
pub(in crate::attestation) fn count_runners(sql: &dyn Sql, build: &Build) -> Result<u64, Fault> {
    let Build { version, platform, build_hash } = build;
    let params = vec![build_hash.as_str().into(), version.as_str().into(), platform.as_str().into()];
    single(&sql.read(Statement::new(RUNS, params))?)
}

/// Keeps that a reference was looked at, and since when it is idle.
pub(in crate::attestation) fn put_review(
    reference_id: &str,
    now: Timestamp,
    idle_since: Option<Timestamp>,
) -> Statement {
    Statement::new(REVIEWED, vec![reference_id.into(), now.into(), idle_since.map(Timestamp::as_millis).into()])
}

/// Forgets a reference and its regions.
pub(in crate::attestation) fn remove_reference(reference_id: &str) -> [Statement; 2] {
    [REMOVE_REFERENCE, REMOVE_REGIONS].map(|sql| Statement::new(sql, vec![reference_id.into()]))
}

/// Keeps that an upload was begun, or begun again.
pub(in crate::attestation) fn put_upload(reference_id: &str, platform: &str, now: Timestamp) -> Statement {
    Statement::new(PUT_UPLOAD, vec![reference_id.into(), platform.into(), now.into()])
}

/// An upload is none any longer.
pub(in crate::attestation) fn remove_upload(reference_id: &str) -> Statement {
    Statement::new(REMOVE_UPLOAD, vec![reference_id.into()])
}

/// At most `limit` uploads that were begun before `before`.
pub(in crate::attestation) fn load_uploads_over(
    sql: &dyn Sql,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<String>, Fault> {
    let rows = sql.read(Statement::new(UPLOADS_OVER, vec![before.into(), limit.into()]))?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// At most `limit` objects that were last told before `before` to forget their files.
pub(in crate::attestation) fn load_farewells(
    sql: &dyn Sql,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<Farewell>, Fault> {
    let farewell = |row: &Row| {
        let id =
            u32::try_from(row.unsigned(0)?).map_err(|_| Fault::Corrupt(String::from("farewell id of another kind")))?;
        Ok(Farewell { id, reference_id: row.text(1)?.to_owned(), made_at: row.time(2)? })
    };
    sql.read(Statement::new(FAREWELLS, vec![before.into(), limit.into()]))?.iter().map(farewell).collect()
}

/// Keeps an object that is now told to forget its file.
pub(in crate::attestation) fn put_farewell(farewell: &Farewell) -> Statement {
    let params = vec![farewell.id.into(), farewell.reference_id.as_str().into(), farewell.made_at.into()];
    Statement::new(PUT_FAREWELL, params)
}

/// Keeps that an object is told again.
pub(in crate::attestation) fn ask_farewell(id: u32, now: Timestamp) -> Statement {
    Statement::new(ASKED_FAREWELL, vec![id.into(), now.into()])
}

/// An object has forgotten its file.
pub(in crate::attestation) fn remove_farewell(id: u32) -> Statement {
    Statement::new(REMOVE_FAREWELL, vec![id.into()])
}

/// When the next reference, upload or farewell is due, if there is any.
pub(in crate::attestation) fn load_next_upkeep(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    let params = vec![REVIEW_MS.into(), UPLOAD_MS_MAX.into(), FAREWELL_AGAIN_MS.into()];
    let rows = sql.read(Statement::new(NEXT_UPKEEP, params))?;
    let next = rows.first().map(|row| row.unsigned_or_null(0)).transpose()?;
    Ok(next.flatten().map(Timestamp::from_millis))
}
