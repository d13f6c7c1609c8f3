//! Uploaded tables: one statement for thousands of rows, because each row travels in one JSON parameter.

use std::collections::BTreeMap;

use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::count::Property;
use crate::push::retention::aged_from;
use crate::push::upload::{About, AuditRow, CountRow, Extra, Marks, Table};

/// A JSON parameter is cut at this length: the platform takes 2 MB. Units: bytes.
const PARAMETER_BYTES: usize = 512 * 1024;

const MARKS: &str = "SELECT table_name, last_id FROM upload_mark";
const PUT_MARK: &str = "INSERT INTO upload_mark (table_name, last_id, offered, stored, removed) VALUES (?1, ?2, ?3, 0, 0) \
    ON CONFLICT (table_name) DO UPDATE SET last_id = excluded.last_id, offered = offered + excluded.offered";
const COUNT_STORED: &str = "UPDATE upload_mark SET stored = stored + changes() WHERE table_name = ?1";
const COUNT_REMOVED: &str = "UPDATE upload_mark SET removed = removed + changes() WHERE table_name = ?1";
const COUNT_EXTRA: &str = "UPDATE upload_mark SET extra_bytes = extra_bytes + (SELECT ifnull(sum(length(CAST(extra AS BLOB))), 0) \
    FROM realm_audit WHERE remote_id >= ?2) WHERE table_name = ?1";
const LEDGER: &str = "SELECT offered, stored, removed, extra_bytes FROM upload_mark WHERE table_name = ?1";

const PUT_REALM_COUNTS: &str = "INSERT OR IGNORE INTO realm_count (remote_id, number, property, end_time, subgroup, value, \
    aged_from, realm_id) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
    value ->> 7 FROM json_each(?1)";
const PUT_INSTALLATION_COUNTS: &str = "INSERT OR IGNORE INTO installation_count (remote_id, property, end_time, subgroup, value, \
    aged_from) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?1)";
const PUT_AUDIT_ROWS: &str = "INSERT OR IGNORE INTO realm_audit \
    (remote_id, number, event_time, backfilled, event_type, extra, aged_from, realm_id, actor) SELECT value ->> 0, \
    value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, 'server' \
    FROM json_each(?1)";

const PUT_ABOUT: &str =
    "UPDATE server SET last_version = ?1, last_merge_base = ?2, last_feature_level = ?3 WHERE id = 1";
const ABOUT: &str = "SELECT last_version, last_merge_base, last_feature_level FROM server WHERE id = 1";
const UPLOADS: &str =
    "SELECT last_audit_update, empty_realms_since, rows_free_at_us, entry_bytes FROM server WHERE id = 1";
const PUT_UPLOADS: &str = "UPDATE server SET last_audit_update = ?1, empty_realms_since = ?2, rows_free_at_us = ?3, entry_bytes = ?4 \
    WHERE id = 1";

/// When things were uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uploads {
    /// The newest upload with audit rows.
    pub last_audit_update: Option<Timestamp>,
    /// Since when only empty lists of organizations have come.
    pub empty_realms_since: Option<Timestamp>,
    /// Quota state of rows.
    pub rows_free_at_us: u64,
    /// What our own entries take that uploads have caused. Units: bytes.
    pub entry_bytes: u64,
}

/// How many rows of a table there were and are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Rows that were to be kept.
    pub offered: u64,
    /// Rows that were no duplicates.
    pub stored: u64,
    /// Rows that have been removed since.
    pub removed: u64,
    /// What `extra_data` takes in those that are left. Units: bytes.
    pub extra_bytes: u64,
}

/// The high-water marks.
pub fn load_marks(sql: &dyn Sql) -> Result<Marks, Fault> {
    let mut marks = Marks::default();
    for row in sql.read(Statement::plain(MARKS))? {
        let last = row.integer(1)?;
        match Table::ALL.into_iter().find(|table| row.text(0).is_ok_and(|word| word == table.word())) {
            Some(Table::RealmCounts) => marks.realm_counts = last,
            Some(Table::InstallationCounts) => marks.installation_counts = last,
            Some(Table::AuditRows) => marks.audit_rows = last,
            None => return Err(Fault::Corrupt(String::from("a mark of no table"))),
        }
    }
    Ok(marks)
}

/// How many rows of a table are kept.
pub fn load_kept(sql: &dyn Sql, table: Table) -> Result<Kept, Fault> {
    let rows = sql.read(Statement::new(LEDGER, vec![table.word().into()]))?;
    let kept = |row: &Row| {
        Ok(Kept {
            offered: row.unsigned(0)?,
            stored: row.unsigned(1)?,
            removed: row.unsigned(2)?,
            extra_bytes: row.unsigned(3)?,
        })
    };
    rows.first().map_or(Ok(Kept::default()), kept)
}

/// Counts the rows that the statement before this one has removed.
#[must_use]
pub fn count_removed(table: Table) -> Statement {
    Statement::new(COUNT_REMOVED, vec![table.word().into()])
}

/// Keeps rows of statistics and the table's new mark. `links` says whose row a number's is.
///
/// Errors: as [`to_json`].
pub fn put_counts(
    table: Table,
    rows: &[CountRow],
    links: &BTreeMap<i64, i64>,
    last_id: i64,
    now: Timestamp,
) -> Result<Vec<Statement>, Fault> {
    let kept: Vec<(&CountRow, &'static str)> = rows
        .iter()
        .filter_map(|row| match row.property {
            Property::Stored(name) => Some((row, name)),
            Property::Unkept | Property::Refused(_) => None,
        })
        .collect();
    let (sql, texts) = match table {
        Table::RealmCounts => {
            let line = |(row, name): &(&CountRow, &'static str)| {
                let aged = aged_from(row.end_time, now);
                let owner = row.realm.and_then(|number| links.get(&number));
                to_json(&(row.remote_id, row.realm, name, row.end_time, &row.subgroup, row.value, aged, owner))
            };
            (PUT_REALM_COUNTS, parameters(kept.iter().map(line))?)
        }
        Table::InstallationCounts | Table::AuditRows => {
            let line = |(row, name): &(&CountRow, &'static str)| {
                let aged = aged_from(row.end_time, now);
                to_json(&(row.remote_id, name, row.end_time, &row.subgroup, row.value, aged))
            };
            (PUT_INSTALLATION_COUNTS, parameters(kept.iter().map(line))?)
        }
    };
    Ok(put_rows(table, sql, texts, kept.len(), last_id))
}

/// Keeps audit rows and the table's new mark. `links` says whose row a number's is.
///
/// Errors: as [`to_json`].
pub fn put_audit_rows(
    rows: &[AuditRow],
    links: &BTreeMap<i64, i64>,
    last_id: i64,
    now: Timestamp,
) -> Result<Vec<Statement>, Fault> {
    let line = |row: &AuditRow| {
        let extra = match &row.extra {
            Extra::Object { text, .. } => text.as_str(),
            Extra::Malformed => "{}",
        };
        let (backfilled, aged) = (u8::from(row.backfilled), aged_from(row.event_time, now));
        let owner = links.get(&row.realm);
        to_json(&(row.remote_id, row.realm, row.event_time, backfilled, row.event_type, extra, aged, owner))
    };
    let texts = parameters(rows.iter().map(line))?;
    let mut batch = put_rows(Table::AuditRows, PUT_AUDIT_ROWS, texts, rows.len(), last_id);
    // Ids rise from upload to upload, so the new rows are those from the first one on.
    if let Some(first) = rows.first() {
        batch.push(Statement::new(COUNT_EXTRA, vec![Table::AuditRows.word().into(), first.remote_id.into()]));
    }
    Ok(batch)
}

fn put_rows(table: Table, sql: &'static str, texts: Vec<String>, offered: usize, last_id: i64) -> Vec<Statement> {
    let mut batch = vec![Statement::new(PUT_MARK, vec![table.word().into(), last_id.into(), offered.into()])];
    for text in texts {
        batch.push(Statement::new(sql, vec![text.into()]));
        batch.push(Statement::new(COUNT_STORED, vec![table.word().into()]));
    }
    batch
}

/// JSON arrays of the lines, each short enough to be a parameter.
pub(super) fn parameters(lines: impl Iterator<Item = Result<String, Fault>>) -> Result<Vec<String>, Fault> {
    let mut texts = Vec::new();
    let mut text = String::new();
    for line in lines {
        let line = line?;
        if !text.is_empty() && text.len() + line.len() > PARAMETER_BYTES {
            text.push(']');
            texts.push(std::mem::take(&mut text));
        }
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&line);
    }
    if !text.is_empty() {
        text.push(']');
        texts.push(text);
    }
    Ok(texts)
}

/// What the server runs.
pub fn load_about(sql: &dyn Sql) -> Result<About, Fault> {
    let rows = sql.read(Statement::plain(ABOUT))?;
    let Some(row) = rows.first() else { return Ok(About::default()) };
    Ok(About {
        version: row.text_or_null(0)?.map(str::to_owned),
        merge_base: row.text_or_null(1)?.map(str::to_owned),
        api_feature_level: row.unsigned_or_null(2)?,
    })
}

/// Keeps what the server runs.
#[must_use]
pub fn put_about(about: &About) -> Statement {
    let params = vec![about.version.clone().into(), about.merge_base.clone().into(), about.api_feature_level.into()];
    Statement::new(PUT_ABOUT, params)
}

/// When things were uploaded.
pub fn load_uploads(sql: &dyn Sql) -> Result<Uploads, Fault> {
    let rows = sql.read(Statement::plain(UPLOADS))?;
    let Some(row) = rows.first() else { return Ok(Uploads::default()) };
    Ok(Uploads {
        last_audit_update: row.unsigned_or_null(0)?.map(Timestamp::from_millis),
        empty_realms_since: row.unsigned_or_null(1)?.map(Timestamp::from_millis),
        rows_free_at_us: row.unsigned(2)?,
        entry_bytes: row.unsigned(3)?,
    })
}

/// Keeps when things were uploaded.
#[must_use]
pub fn put_uploads(uploads: &Uploads) -> Statement {
    let params = vec![
        uploads.last_audit_update.into(),
        uploads.empty_realms_since.into(),
        uploads.rows_free_at_us.into(),
        uploads.entry_bytes.into(),
    ];
    Statement::new(PUT_UPLOADS, params)
}
