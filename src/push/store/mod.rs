//! SQL ↔ values of push. Nothing here decides.

pub(super) mod audit;
pub(super) mod counts;
pub(super) mod device;
pub(super) mod directory;
pub mod headcounts;
pub(super) mod index;
pub(super) mod links;
pub(super) mod operations;
pub(super) mod people;
pub(super) mod plans;
pub(super) mod queue;
pub(super) mod realms;
pub(super) mod relocation;
pub(super) mod sealed;
pub(super) mod server;
pub(super) mod sweep;
pub mod uploads;

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;

const ALIVE: &str = "SELECT 1";

/// Asks the storage for a sign of life.
pub(super) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(ALIVE)).map(drop)
}

/// The earliest time in the first row; nothing when there is no row, or no time in it.
fn earliest(rows: &[Row]) -> Result<Option<Timestamp>, Fault> {
    rows.first().map_or(Ok(None), |row| Ok(row.unsigned_or_null(0)?.map(Timestamp::from_millis)))
}

fn count(rows: &[Row]) -> Result<u64, Fault> {
    rows.first().map_or(Ok(0), |row| row.unsigned(0))
}

fn hash(row: &Row, index: usize) -> Result<[u8; 32], Fault> {
    row.blob(index)?.try_into().map_err(|_| Fault::Corrupt(String::from("a hash of another length")))
}

/// The integer in a column, or nothing for `NULL`.
fn integer_or_null(row: &Row, index: usize) -> Result<Option<i64>, Fault> {
    match row.0.get(index) {
        Some(Value::Null) => Ok(None),
        _ => row.integer(index).map(Some),
    }
}
