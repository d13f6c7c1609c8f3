//! Rows that came before their organization was known, and are given to it in portions.

use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Sql, Statement};

const LOOSE: &str = "SELECT wanted.value FROM json_each(?1) AS wanted WHERE EXISTS (SELECT 1 FROM realm_count \
    WHERE realm_count.realm_id IS NULL AND realm_count.number = wanted.value) OR EXISTS (SELECT 1 FROM realm_audit \
    WHERE realm_audit.realm_id IS NULL AND realm_audit.remote_id IS NOT NULL AND realm_audit.number = wanted.value)";
const OWE: &str = "INSERT INTO realm_link (number, realm_id, counts_to, audit_to) SELECT ?1, ?2, \
    (SELECT ifnull(max(count_id), 0) FROM realm_count), (SELECT ifnull(max(audit_id), 0) FROM realm_audit)";
const OWED: &str = "SELECT link_id, number, realm_id, counts_to, audit_to FROM realm_link ORDER BY link_id LIMIT ?1";
const ANY: &str = "SELECT count(*) FROM (SELECT 1 FROM realm_link LIMIT 1)";
const DONE: &str = "DELETE FROM realm_link WHERE link_id = ?1";
const SOME_COUNTS: &str = "SELECT count(*), ifnull(max(count_id), 0) FROM (SELECT count_id FROM realm_count \
    WHERE realm_id IS NULL AND number = ?1 AND count_id <= ?2 ORDER BY count_id LIMIT ?3)";
const SOME_AUDIT: &str = "SELECT count(*), ifnull(max(audit_id), 0) FROM (SELECT audit_id FROM realm_audit \
    WHERE realm_id IS NULL AND remote_id IS NOT NULL AND number = ?1 AND audit_id <= ?2 ORDER BY audit_id LIMIT ?3)";
const GIVE_COUNTS: &str =
    "UPDATE OR IGNORE realm_count SET realm_id = ?3 WHERE realm_id IS NULL AND number = ?1 AND count_id <= ?2";
const PASS_COUNTS: &str =
    "UPDATE realm_count SET realm_id = 0 WHERE realm_id IS NULL AND number = ?1 AND count_id <= ?2";
const GIVE_AUDIT: &str = "UPDATE realm_audit SET realm_id = ?3 WHERE realm_id IS NULL AND remote_id IS NOT NULL \
    AND number = ?1 AND audit_id <= ?2";

/// Rows that are to be given to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) struct Owed {
    /// Its row.
    pub link_id: i64,
    /// The number that they name.
    pub number: i64,
    /// The organization.
    pub realm_id: i64,
    /// The last row of statistics that is meant.
    pub counts_to: i64,
    /// The last audit row that is meant.
    pub audit_to: i64,
}

/// Those of the numbers of which there are rows that are nobody's yet.
pub(in crate::push) fn loose(sql: &dyn Sql, numbers: &[i64]) -> Result<Vec<i64>, Fault> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    sql.read(Statement::new(LOOSE, vec![to_json(&numbers)?.into()]))?.iter().map(|row| row.integer(0)).collect()
}

/// All rows of a number that are nobody's yet are to be an organization's.
pub(in crate::push) fn owe(number: i64, realm_id: i64) -> Statement {
    Statement::new(OWE, vec![number.into(), realm_id.into()])
}

/// What is owed longest.
pub(in crate::push) fn owed(sql: &dyn Sql, limit: u64) -> Result<Vec<Owed>, Fault> {
    let rows = sql.read(Statement::new(OWED, vec![limit.into()]))?;
    let owed = rows.iter().map(|row| {
        Ok(Owed {
            link_id: row.integer(0)?,
            number: row.integer(1)?,
            realm_id: row.integer(2)?,
            counts_to: row.integer(3)?,
            audit_to: row.integer(4)?,
        })
    });
    owed.collect()
}

/// Whether anything is owed.
pub(in crate::push) fn any(sql: &dyn Sql) -> Result<bool, Fault> {
    Ok(super::count(&sql.read(Statement::plain(ANY))?)? > 0)
}

/// Gives at most `limit` rows of each table, and says how many. With fewer than that nothing is owed any more.
pub(in crate::push) fn give(sql: &dyn Sql, owed: &Owed, limit: u64, batch: &mut Vec<Statement>) -> Result<u64, Fault> {
    let some = |query: &'static str, to: i64| -> Result<(u64, i64), Fault> {
        let rows = sql.read(Statement::new(query, vec![owed.number.into(), to.into(), limit.into()]))?;
        rows.first().map_or(Ok((0, 0)), |row| Ok((row.unsigned(0)?, row.integer(1)?)))
    };
    let ((counts, counts_to), (audit, audit_to)) =
        (some(SOME_COUNTS, owed.counts_to)?, some(SOME_AUDIT, owed.audit_to)?);
    let (number, realm_id) = (owed.number, owed.realm_id);
    if counts > 0 {
        batch.push(Statement::new(GIVE_COUNTS, vec![number.into(), counts_to.into(), realm_id.into()]));
        batch.push(Statement::new(PASS_COUNTS, vec![number.into(), counts_to.into()]));
    }
    if audit > 0 {
        batch.push(Statement::new(GIVE_AUDIT, vec![number.into(), audit_to.into(), realm_id.into()]));
    }
    if counts < limit && audit < limit {
        batch.push(Statement::new(DONE, vec![owed.link_id.into()]));
    }
    Ok(counts + audit)
}
