//! SQL ↔ values of one build's file. Nothing here decides.

use crate::attestation::reference::Span;
use crate::attestation::whole::{Hash, Leaf, State, rows_of};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;

/// Schema versions of one build's object.
pub(in crate::attestation) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "file", sql: include_str!("../../../migrations/reference_store/0001_file.sql") },
    Migration { version: 2, name: "begun", sql: include_str!("../../../migrations/reference_store/0002_begun.sql") },
];

const MANIFEST: &str = "SELECT note, complete FROM manifest WHERE id = 1";
const PUT_MANIFEST: &str = "INSERT OR REPLACE INTO manifest (id, note, complete, begun_at) VALUES (1, ?1, 0, ?2)";
const BEGUN_AT: &str = "SELECT begun_at FROM manifest WHERE id = 1";
const REMOVE_MANIFEST: &str = "DELETE FROM manifest";
const COMPLETE: &str = "UPDATE manifest SET complete = 1 WHERE id = 1";
const LEAVES: &str = "SELECT number, hash FROM leaf ORDER BY number";
const PUT_LEAF: &str = "INSERT OR REPLACE INTO leaf (number, hash, bytes) VALUES (?1, ?2, ?3)";
const REMOVE_LEAVES: &str = "DELETE FROM leaf";
const PIECE: &str = "SELECT substr(bytes, ?2, ?3) FROM leaf WHERE number = ?1";

/// The manifest, as a note, and how far the upload is.
pub(in crate::attestation) fn load_manifest(sql: &dyn Sql) -> Result<Option<(String, State)>, Fault> {
    let rows = sql.read(Statement::plain(MANIFEST))?;
    let manifest = |row: &Row| {
        let state = if row.unsigned(1)? == 1 { State::Complete } else { State::Open };
        Ok((row.text(0)?.to_owned(), state))
    };
    rows.first().map(manifest).transpose()
}

/// Begins with a manifest and no leaf.
pub(in crate::attestation) fn put_manifest(note: &str, now: Timestamp) -> [Statement; 2] {
    [Statement::new(PUT_MANIFEST, vec![note.into(), now.into()]), Statement::plain(REMOVE_LEAVES)]
}

/// When the upload was begun; nothing when there is none.
pub(in crate::attestation) fn load_begun_at(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    sql.read(Statement::plain(BEGUN_AT))?.first().map(|row| row.time(0)).transpose()
}

/// Nothing is left of the file.
pub(in crate::attestation) fn forget() -> [Statement; 2] {
    [Statement::plain(REMOVE_MANIFEST), Statement::plain(REMOVE_LEAVES)]
}

/// From now on nothing changes.
pub(in crate::attestation) fn complete() -> Statement {
    Statement::plain(COMPLETE)
}

/// Numbers and hashes of the leaves that are here, in order.
pub(in crate::attestation) fn load_leaves(sql: &dyn Sql) -> Result<Vec<(u64, Hash)>, Fault> {
    let leaf = |row: &Row| {
        let hash = row.blob(1)?.try_into().map_err(|_| Fault::Corrupt(String::from("leaf hash of another length")))?;
        Ok((row.unsigned(0)?, hash))
    };
    sql.read(Statement::plain(LEAVES))?.iter().map(leaf).collect()
}

/// Keeps a leaf.
pub(in crate::attestation) fn put_leaf(leaf: Leaf) -> Statement {
    Statement::new(PUT_LEAF, vec![leaf.number.into(), leaf.hash.to_vec().into(), leaf.bytes.into()])
}

/// A piece of the file.
pub(in crate::attestation) fn load_piece(sql: &dyn Sql, span: Span) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(usize::try_from(span.length).unwrap_or(0));
    for (number, first, length) in rows_of(span) {
        // SQLite counts from 1.
        let params = vec![number.into(), (first + 1).into(), length.into()];
        let rows = sql.read(Statement::new(PIECE, params))?;
        let row = rows.first().ok_or_else(|| Fault::Corrupt(format!("leaf {number} is missing")))?;
        bytes.extend_from_slice(row.blob(0)?);
    }
    Ok(bytes)
}
