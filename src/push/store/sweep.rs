//! What is forgotten of uploads and of our own counts: by age, by rows, by bytes. The oldest rows go, in the order of their
//! own times and not of their upload.

use std::collections::BTreeMap;

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::retention::{AUDIT_ROW_BYTES, COUNT_ROW_BYTES, Limits, taken};
use crate::push::store::uploads::{Kept, count_removed, load_kept};
use crate::push::upload::Table;

const OLD_REALM_COUNTS: &str =
    "SELECT count(*) FROM (SELECT 1 FROM realm_count WHERE ifnull(aged_from, end_time) < ?1 LIMIT ?2)";
const OLD_INSTALLATION_COUNTS: &str =
    "SELECT count(*) FROM (SELECT 1 FROM installation_count WHERE ifnull(aged_from, end_time) < ?1 LIMIT ?2)";
const REMOVE_REALM_COUNTS: &str = "DELETE FROM realm_count WHERE count_id IN \
    (SELECT count_id FROM realm_count ORDER BY ifnull(aged_from, end_time), count_id LIMIT ?1)";
const REMOVE_INSTALLATION_COUNTS: &str = "DELETE FROM installation_count WHERE count_id IN \
    (SELECT count_id FROM installation_count ORDER BY ifnull(aged_from, end_time), count_id LIMIT ?1)";
const REMOVE_AUDIT_ROWS: &str = "DELETE FROM realm_audit WHERE audit_id IN (SELECT audit_id FROM realm_audit \
    WHERE remote_id IS NOT NULL ORDER BY ifnull(aged_from, event_time), audit_id LIMIT ?1)";
const EXTRA_BYTES: &str = "SELECT length(CAST(extra AS BLOB)) FROM realm_audit WHERE remote_id IS NOT NULL \
    ORDER BY ifnull(aged_from, event_time), audit_id LIMIT ?1";
const DISCOUNT_EXTRA: &str = "UPDATE upload_mark SET extra_bytes = max(0, extra_bytes - (SELECT ifnull(sum(bytes), 0) \
    FROM (SELECT length(CAST(extra AS BLOB)) AS bytes FROM realm_audit WHERE remote_id IS NOT NULL \
    ORDER BY ifnull(aged_from, event_time), audit_id LIMIT ?2))) WHERE table_name = ?1";
const OLD_OWN: &str = "SELECT count(*) FROM (SELECT 1 FROM own_count WHERE end_time < ?1 LIMIT ?2)";
const REMOVE_OWN: &str = "DELETE FROM own_count WHERE (realm_id, property, end_time) IN \
    (SELECT realm_id, property, end_time FROM own_count WHERE end_time < ?1 ORDER BY end_time LIMIT ?2)";
const OLDEST: &str = "SELECT min(at) FROM (SELECT min(end_time) AS at FROM own_count UNION ALL \
    SELECT at FROM (SELECT ifnull(aged_from, end_time) AS at FROM realm_count \
        ORDER BY ifnull(aged_from, end_time) LIMIT 1) UNION ALL \
    SELECT at FROM (SELECT ifnull(aged_from, end_time) AS at FROM installation_count \
        ORDER BY ifnull(aged_from, end_time) LIMIT 1))";

/// From when the oldest count is that is kept.
pub(in crate::push) fn oldest(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(OLDEST))?)
}

/// Whether anything is larger than it may be.
pub(in crate::push) fn has_excess(sql: &dyn Sql, limits: &Limits) -> Result<bool, Fault> {
    let shelves = load_shelves(sql)?;
    let is_long = |shelf: &Shelf| shelf.rows > limits.rows(shelf.table);
    Ok(shelves.iter().any(is_long) || total(&shelves) > limits.kept_bytes)
}

/// What a sweep would remove.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::push) struct Sweep {
    /// The statements.
    pub batch: Vec<Statement>,
    /// Whether there may be more.
    pub again: Again,
}

/// Whether a sweep has left something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::push) enum Again {
    #[default]
    Done,
    Soon,
}

/// How much of a table there is.
struct Shelf {
    table: Table,
    rows: u64,
    bytes: u64,
}

fn load_shelves(sql: &dyn Sql) -> Result<Vec<Shelf>, Fault> {
    let shelf = |table| {
        let Kept { stored, removed, extra_bytes, .. } = load_kept(sql, table)?;
        let rows = stored.saturating_sub(removed);
        Ok(Shelf { table, rows, bytes: taken(table, rows, extra_bytes) })
    };
    Table::ALL.into_iter().map(shelf).collect()
}

fn total(shelves: &[Shelf]) -> u64 {
    shelves.iter().map(|shelf| shelf.bytes).fold(0, u64::saturating_add)
}

/// Removes counts from before `before`, and the oldest rows of what is too large.
pub(in crate::push) fn sweep(sql: &dyn Sql, before: Timestamp, limits: &Limits) -> Result<Sweep, Fault> {
    let mut sweep = Sweep::default();
    let shelves = load_shelves(sql)?;
    let mut gone = BTreeMap::new();
    for Shelf { table, rows, .. } in &shelves {
        let old = count_old(sql, *table, before, limits.swept_rows)?;
        let excess = rows.saturating_sub(limits.rows(*table)).min(limits.swept_rows);
        gone.insert(*table, old.max(excess));
    }
    if let Some(heaviest) = shelves.iter().max_by_key(|shelf| shelf.bytes) {
        let others = gone.iter().filter(|(table, _)| **table != heaviest.table);
        let freed = others.map(|(table, rows)| taken(*table, *rows, 0)).fold(0, u64::saturating_add);
        let over = total(&shelves).saturating_sub(limits.kept_bytes).saturating_sub(freed);
        let heavy = rows_of(sql, heaviest.table, over, limits)?;
        gone.entry(heaviest.table).and_modify(|rows| *rows = heavy.max(*rows));
    }
    for (table, rows) in gone {
        if rows > 0 {
            sweep.batch.extend(remove(table, rows));
        }
        sweep.note(rows, limits);
    }
    let params = || vec![before.into(), limits.swept_rows.into()];
    let found = super::count(&sql.read(Statement::new(OLD_OWN, params()))?)?;
    if found > 0 {
        sweep.batch.push(Statement::new(REMOVE_OWN, params()));
    }
    sweep.note(found, limits);
    Ok(sweep)
}

impl Sweep {
    const fn note(&mut self, found: u64, limits: &Limits) {
        if found >= limits.swept_rows {
            self.again = Again::Soon;
        }
    }
}

/// Rows that are too old, at most `limit`. Audit rows never are.
fn count_old(sql: &dyn Sql, table: Table, before: Timestamp, limit: u64) -> Result<u64, Fault> {
    let count = match table {
        Table::RealmCounts => OLD_REALM_COUNTS,
        Table::InstallationCounts => OLD_INSTALLATION_COUNTS,
        Table::AuditRows => return Ok(0),
    };
    super::count(&sql.read(Statement::new(count, vec![before.into(), limit.into()]))?)
}

/// How many of a table's oldest rows take at least so many bytes, as far as one sweep goes.
fn rows_of(sql: &dyn Sql, table: Table, bytes: u64, limits: &Limits) -> Result<u64, Fault> {
    if bytes == 0 || table != Table::AuditRows {
        return Ok(bytes.div_ceil(COUNT_ROW_BYTES).min(limits.swept_rows));
    }
    let (mut rows, mut freed) = (0, 0_u64);
    for row in sql.read(Statement::new(EXTRA_BYTES, vec![limits.swept_rows.into()]))? {
        if freed >= bytes {
            break;
        }
        freed = freed.saturating_add(AUDIT_ROW_BYTES).saturating_add(row.unsigned(0)?);
        rows += 1;
    }
    Ok(rows)
}

/// Removes a table's oldest rows and counts that.
fn remove(table: Table, rows: u64) -> Vec<Statement> {
    let delete = match table {
        Table::RealmCounts => REMOVE_REALM_COUNTS,
        Table::InstallationCounts => REMOVE_INSTALLATION_COUNTS,
        Table::AuditRows => REMOVE_AUDIT_ROWS,
    };
    let mut batch = Vec::new();
    if table == Table::AuditRows {
        batch.push(Statement::new(DISCOUNT_EXTRA, vec![table.word().into(), rows.into()]));
    }
    batch.push(Statement::new(delete, vec![rows.into()]));
    batch.push(count_removed(table));
    batch
}
