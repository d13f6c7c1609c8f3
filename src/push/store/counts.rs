//! Series of counts, and our own counts of notifications.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::count::{Own, day_end};
use crate::push::queue::Path;

/// The realm id under which the server's own counts stand.
pub(in crate::push) const SERVER: i64 = 0;

const ADD: &str = "INSERT INTO own_count (realm_id, property, end_time, value) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (realm_id, property, end_time) DO UPDATE SET value = value + excluded.value";
const OWN_SERIES: &str = "SELECT property, NULL, end_time, value, 0 FROM own_count \
    WHERE realm_id = ?1 AND property = ?2 AND end_time > ?3 AND end_time <= ?4 ORDER BY end_time LIMIT ?5";
const REALM_SERIES: &str = "SELECT property, subgroup, end_time, value, count_id FROM realm_count \
    WHERE realm_id = ?1 AND realm_id > 0 AND property = ?2 AND (end_time, ifnull('=' || subgroup, '')) > (?3, ?4) \
    AND end_time <= ?5 ORDER BY end_time, ifnull('=' || subgroup, '') LIMIT ?6";
const INSTALLATION_SERIES: &str = "SELECT property, subgroup, end_time, value, count_id FROM installation_count \
    WHERE property = ?1 AND (end_time, ifnull('=' || subgroup, '')) > (?2, ?3) AND end_time <= ?4 \
    ORDER BY end_time, ifnull('=' || subgroup, '') LIMIT ?5";

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

impl Point {
    /// Where it stands among those of one end: what has no subgroup comes first, and an empty one is a subgroup.
    #[must_use]
    pub(in crate::push) fn place(&self) -> String {
        self.subgroup.as_ref().map_or_else(String::new, |subgroup| format!("={subgroup}"))
    }
}

/// Which rows of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct Window {
    /// After this end and place within it.
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

/// Counts a notification that a provider has taken: for the organization of its request, and on the legacy path for the
/// server too.
#[must_use]
pub(in crate::push) fn forward(path: Path, realm_id: Option<i64>, now: Timestamp) -> Vec<Statement> {
    let server = (path == Path::Legacy).then_some(SERVER);
    server.into_iter().chain(realm_id).filter_map(|realm_id| add(realm_id, Own::Forwarded, 1, now)).collect()
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
    realm_id: i64,
    property: &str,
    window: &Window,
) -> Result<Vec<Point>, Fault> {
    let (after, subgroup) = &window.after;
    let params = vec![
        realm_id.into(),
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
