//! Series of counts, and our own counts of notifications.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::count::{Own, ROWS_MAX, day_end};
use crate::push::store::uploads::{count_removed, load_kept};
use crate::push::upload::Table;

/// The realm id under which the server's own counts stand.
pub(in crate::push) const SERVER: i64 = 0;

/// Rows removed per alarm and table.
pub(in crate::push) const SWEPT_MAX: u64 = 5_000;

const ADD: &str = "INSERT INTO own_count (realm_id, property, end_time, value) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (realm_id, property, end_time) DO UPDATE SET value = value + excluded.value";
const FORWARD_LEGACY: &str = "INSERT INTO own_count (realm_id, property, end_time, value) \
    SELECT realm_id, ?2, ?3, 1 FROM device WHERE device_id = ?1 AND realm_id IS NOT NULL \
    ON CONFLICT (realm_id, property, end_time) DO UPDATE SET value = value + excluded.value";
const FORWARD_SEALED: &str = "INSERT INTO own_count (realm_id, property, end_time, value) \
    SELECT realm_id, ?2, ?3, 1 FROM sealed_device WHERE device_id = ?1 \
    ON CONFLICT (realm_id, property, end_time) DO UPDATE SET value = value + excluded.value";
const OWN_SERIES: &str = "SELECT property, NULL, end_time, value, 0 FROM own_count \
    WHERE realm_id = ?1 AND property = ?2 AND end_time > ?3 AND end_time <= ?4 ORDER BY end_time LIMIT ?5";
const REALM_SERIES: &str = "SELECT property, subgroup, end_time, value, count_id FROM realm_count \
    WHERE number = ?1 AND property = ?2 AND (end_time, ifnull(subgroup, '')) > (?3, ?4) AND end_time <= ?5 \
    ORDER BY end_time, ifnull(subgroup, '') LIMIT ?6";
const INSTALLATION_SERIES: &str = "SELECT property, subgroup, end_time, value, count_id FROM installation_count \
    WHERE property = ?1 AND (end_time, ifnull(subgroup, '')) > (?2, ?3) AND end_time <= ?4 \
    ORDER BY end_time, ifnull(subgroup, '') LIMIT ?5";

const OLD_REALM_COUNTS: &str =
    "SELECT count(*) FROM (SELECT end_time FROM realm_count ORDER BY count_id LIMIT ?1) WHERE end_time < ?2";
const OLD_INSTALLATION_COUNTS: &str =
    "SELECT count(*) FROM (SELECT end_time FROM installation_count ORDER BY count_id LIMIT ?1) WHERE end_time < ?2";
const REMOVE_REALM_COUNTS: &str = "DELETE FROM realm_count WHERE end_time < ?2 AND count_id IN \
    (SELECT count_id FROM realm_count ORDER BY count_id LIMIT ?1)";
const REMOVE_INSTALLATION_COUNTS: &str = "DELETE FROM installation_count WHERE end_time < ?2 AND count_id IN \
    (SELECT count_id FROM installation_count ORDER BY count_id LIMIT ?1)";
const COUNT_OWN: &str = "SELECT count(*) FROM (SELECT 1 FROM own_count WHERE end_time < ?1 LIMIT ?2)";
const REMOVE_OWN: &str = "DELETE FROM own_count WHERE (realm_id, property, end_time) IN \
    (SELECT realm_id, property, end_time FROM own_count WHERE end_time < ?1 ORDER BY end_time LIMIT ?2)";
const OLDEST: &str = "SELECT min(end_time) FROM (SELECT min(end_time) AS end_time FROM own_count UNION ALL \
    SELECT end_time FROM (SELECT end_time FROM realm_count ORDER BY count_id LIMIT 1) UNION ALL \
    SELECT end_time FROM (SELECT end_time FROM installation_count ORDER BY count_id LIMIT 1))";
const REMOVE_AUDIT: &str = "DELETE FROM realm_audit WHERE remote_id IS NOT NULL AND audit_id IN \
    (SELECT audit_id FROM realm_audit WHERE remote_id IS NOT NULL ORDER BY audit_id LIMIT ?1)";

/// A row of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct Point {
    /// What is counted.
    pub property: String,
    /// Of which part.
    pub subgroup: Option<String>,
    /// The end of the interval.
    pub end_time: Timestamp,
    /// How many.
    pub value: i64,
}

/// Which rows of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct Window {
    /// After this end and subgroup.
    pub after: (Timestamp, String),
    /// Up to this end.
    pub to: Timestamp,
    /// At most so many.
    pub limit: u64,
}

/// Adds to our own counts of the day. Nothing is written for nothing.
#[must_use]
pub(in crate::push) fn add(realm_id: i64, own: Own, count: u64, now: Timestamp) -> Option<Statement> {
    let params = vec![realm_id.into(), own.property().into(), day_end(now).into(), count.into()];
    (count > 0).then(|| Statement::new(ADD, params))
}

/// Counts a notification that a provider has taken for a legacy device: for the server, and for the device's organization.
#[must_use]
pub(in crate::push) fn forward_legacy(device_id: i64, now: Timestamp) -> Vec<Statement> {
    let mut batch: Vec<Statement> = add(SERVER, Own::Forwarded, 1, now).into_iter().collect();
    batch.push(forward(FORWARD_LEGACY, device_id, now));
    batch
}

/// The same for a sealed device, which counts for its organization only.
#[must_use]
pub(in crate::push) fn forward_sealed(device_id: i64, now: Timestamp) -> Vec<Statement> {
    vec![forward(FORWARD_SEALED, device_id, now)]
}

fn forward(sql: &'static str, device_id: i64, now: Timestamp) -> Statement {
    Statement::new(sql, vec![device_id.into(), Own::Forwarded.property().into(), day_end(now).into()])
}

/// Our own series of an organization, or of the server.
pub(in crate::push) fn load_own(
    sql: &dyn Sql,
    realm_id: i64,
    property: &str,
    window: &Window,
) -> Result<Vec<Point>, Fault> {
    let params = vec![realm_id.into(), property.into(), window.after.0.into(), window.to.into(), window.limit.into()];
    sql.read(Statement::new(OWN_SERIES, params))?.iter().map(point).collect()
}

/// An uploaded series of an organization.
pub(in crate::push) fn load_realm(
    sql: &dyn Sql,
    number: i64,
    property: &str,
    window: &Window,
) -> Result<Vec<Point>, Fault> {
    let (after, subgroup) = &window.after;
    let params = vec![
        number.into(),
        property.into(),
        (*after).into(),
        subgroup.as_str().into(),
        window.to.into(),
        window.limit.into(),
    ];
    sql.read(Statement::new(REALM_SERIES, params))?.iter().map(point).collect()
}

/// An uploaded series of the whole installation.
pub(in crate::push) fn load_installation(sql: &dyn Sql, property: &str, window: &Window) -> Result<Vec<Point>, Fault> {
    let (after, subgroup) = &window.after;
    let params =
        vec![property.into(), (*after).into(), subgroup.as_str().into(), window.to.into(), window.limit.into()];
    sql.read(Statement::new(INSTALLATION_SERIES, params))?.iter().map(point).collect()
}

fn point(row: &Row) -> Result<Point, Fault> {
    Ok(Point {
        property: row.text(0)?.to_owned(),
        subgroup: row.text_or_null(1)?.map(str::to_owned),
        end_time: row.time(2)?,
        value: row.integer(3)?,
    })
}

/// The end of the oldest interval that is kept, as far as rows came in the order of time.
pub(in crate::push) fn oldest(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(OLDEST))?)
}

/// Whether any table is longer than it may be.
pub(in crate::push) fn has_excess(sql: &dyn Sql, audit_rows_max: u64) -> Result<bool, Fault> {
    for (table, most) in
        [(Table::RealmCounts, ROWS_MAX), (Table::InstallationCounts, ROWS_MAX), (Table::AuditRows, audit_rows_max)]
    {
        if excess(sql, table, most)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a sweep of counts and uploaded audit rows would remove.
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

/// Removes counts that ended before `before`, and the oldest rows of tables that are too long.
pub(in crate::push) fn sweep(sql: &dyn Sql, before: Timestamp, audit_rows_max: u64) -> Result<Sweep, Fault> {
    let mut sweep = Sweep::default();
    for (table, count, remove) in [
        (Table::RealmCounts, OLD_REALM_COUNTS, REMOVE_REALM_COUNTS),
        (Table::InstallationCounts, OLD_INSTALLATION_COUNTS, REMOVE_INSTALLATION_COUNTS),
    ] {
        let excess = excess(sql, table, ROWS_MAX)?;
        // What is too much goes whatever its age.
        let (limit, before) = if excess > 0 { (excess, Timestamp::from_millis(u64::MAX)) } else { (SWEPT_MAX, before) };
        let params = || vec![limit.into(), before.into()];
        let found = super::count(&sql.read(Statement::new(count, params()))?)?;
        if found > 0 {
            sweep.batch.push(Statement::new(remove, params()));
            sweep.batch.push(count_removed(table));
        }
        sweep.note(found);
    }
    let found = super::count(&sql.read(Statement::new(COUNT_OWN, vec![before.into(), SWEPT_MAX.into()]))?)?;
    if found > 0 {
        sweep.batch.push(Statement::new(REMOVE_OWN, vec![before.into(), SWEPT_MAX.into()]));
    }
    sweep.note(found);
    let excess = excess(sql, Table::AuditRows, audit_rows_max)?;
    if excess > 0 {
        sweep.batch.push(Statement::new(REMOVE_AUDIT, vec![excess.into()]));
        sweep.batch.push(count_removed(Table::AuditRows));
    }
    sweep.note(excess);
    Ok(sweep)
}

impl Sweep {
    const fn note(&mut self, found: u64) {
        if found >= SWEPT_MAX {
            self.again = Again::Soon;
        }
    }
}

fn excess(sql: &dyn Sql, table: Table, most: u64) -> Result<u64, Fault> {
    let kept = load_kept(sql, table)?;
    Ok(kept.stored.saturating_sub(kept.removed).saturating_sub(most).min(SWEPT_MAX))
}
