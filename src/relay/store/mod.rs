//! SQL ↔ values. Nothing here decides.

pub(super) mod channels;
pub(super) mod chunks;
pub(super) mod rendezvous;

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement};

/// The tables of a desk.
pub(super) const SCHEMA: &str = include_str!("../../../migrations/relay_registry/0001_relay.sql");

/// Schema versions of a relay registry.
pub(super) const MIGRATIONS: &[Migration] = &[Migration { version: 1, name: "relay", sql: SCHEMA }];

const ALIVE: &str = "SELECT 1";
const ANYTHING: &str = "SELECT EXISTS (SELECT 1 FROM rendezvous_point) OR EXISTS (SELECT 1 FROM rendezvous_token) \
    OR EXISTS (SELECT 1 FROM relay_quota) OR EXISTS (SELECT 1 FROM chunk_source) OR EXISTS (SELECT 1 FROM chunk_cache) \
    OR EXISTS (SELECT 1 FROM chunk_requester) OR EXISTS (SELECT 1 FROM channel_upstream)";

/// Asks the storage for a sign of life.
pub(super) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(ALIVE)).map(drop)
}

/// Whether anything is stored that will expire.
pub(super) fn is_anything_stored(sql: &dyn Sql) -> Result<bool, Fault> {
    Ok(single(&sql.read(Statement::plain(ANYTHING))?)?.unsigned(0)? != 0)
}

fn single(rows: &[Row]) -> Result<&Row, Fault> {
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))
}

fn texts(rows: &[Row]) -> Result<Vec<String>, Fault> {
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}
