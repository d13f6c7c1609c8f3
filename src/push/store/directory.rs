//! The names that this shard keeps.

use super::hash;
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::device::TokenHash;
use crate::push::directory::{Entry, Hold, Obituary};
use crate::push::uuid::Uuid;

/// Schema versions of a directory's object.
pub(in crate::push) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "names", sql: include_str!("../../../migrations/push_directory/0001_names.sql") },
    Migration {
        version: 2,
        name: "operators",
        sql: include_str!("../../../migrations/push_directory/0002_operators.sql"),
    },
    Migration { version: 3, name: "moves", sql: include_str!("../../../migrations/push_directory/0003_moves.sql") },
];

const NAME: &str = "SELECT server, reserved_until FROM name WHERE kind = ?1 AND name = ?2";
const PUT_NAME: &str = "INSERT OR REPLACE INTO name (kind, name, server, reserved_until) VALUES (?1, ?2, ?3, ?4)";
const REMOVE_NAME: &str = "DELETE FROM name WHERE kind = ?1 AND name = ?2";
const HOLDERS: &str = "SELECT server FROM token_holder WHERE token_hash = ?1 ORDER BY server LIMIT ?2";
const PUT_HOLDER: &str = "INSERT OR IGNORE INTO token_holder (token_hash, server) VALUES (?1, ?2)";
const REMOVE_HOLDER: &str = "DELETE FROM token_holder WHERE token_hash = ?1 AND server = ?2";
const LAST_OBITUARY: &str = "SELECT coalesce(max(obituary_id), 0) FROM obituary";
const PUT_OBITUARY: &str = "INSERT INTO obituary (obituary_id, token_hash, ios_app_id, died_at, server, due_at, attempts) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)";
const DUE: &str = "SELECT obituary_id, token_hash, ios_app_id, died_at, server, attempts FROM obituary \
    WHERE due_at <= ?1 ORDER BY due_at, obituary_id LIMIT ?2";
const NEXT: &str = "SELECT min(due_at) FROM obituary";
const PUT_OFF: &str = "UPDATE obituary SET due_at = ?2, attempts = attempts + 1 WHERE obituary_id = ?1";
const REMOVE_OBITUARY: &str = "DELETE FROM obituary WHERE obituary_id = ?1";
const QUOTA: &str = "SELECT free_at_us FROM network_quota WHERE network = ?1 AND quota = ?2";
const PUT_QUOTA: &str = "INSERT OR REPLACE INTO network_quota (network, quota, free_at_us) VALUES (?1, ?2, ?3)";
const ANY_QUOTA: &str = "SELECT count(*) FROM (SELECT 1 FROM network_quota LIMIT 1)";
const COUNT_FREE: &str = "SELECT count(*) FROM network_quota WHERE free_at_us <= ?1";
const SWEEP_QUOTAS: &str = "DELETE FROM network_quota WHERE free_at_us <= ?1";
const TRANSFERS: &str = "SELECT count(*) FROM transfer_log WHERE verified_at > ?1";
const PUT_TRANSFER: &str = "INSERT INTO transfer_log (verified_at) VALUES (?1)";
const SWEEP_TRANSFERS: &str = "DELETE FROM transfer_log WHERE verified_at <= ?1";

/// Who holds a name.
pub(in crate::push) fn load_name(sql: &dyn Sql, kind: &str, name: &str) -> Result<Option<Entry>, Fault> {
    let parse = |row: &Row| {
        let server = Uuid::parse(row.text(0)?).ok_or_else(|| Fault::Corrupt(String::from("a holder is no server")))?;
        let until = row.unsigned_or_null(1)?;
        let hold = until.map_or(Hold::Confirmed, |until| Hold::Reserved { until: Timestamp::from_millis(until) });
        Ok(Entry { server, hold })
    };
    sql.read(Statement::new(NAME, vec![kind.into(), name.into()]))?.first().map(parse).transpose()
}

/// Keeps who holds a name.
pub(in crate::push) fn put_name(kind: &str, name: &str, entry: &Entry) -> Statement {
    let until = match entry.hold {
        Hold::Confirmed => None,
        Hold::Reserved { until } => Some(until),
    };
    Statement::new(PUT_NAME, vec![kind.into(), name.into(), entry.server.as_str().into(), until.into()])
}

/// Nobody holds a name.
pub(in crate::push) fn remove_name(kind: &str, name: &str) -> Statement {
    Statement::new(REMOVE_NAME, vec![kind.into(), name.into()])
}

/// The servers that hold a token.
pub(in crate::push) fn holders(sql: &dyn Sql, token: TokenHash, limit: u64) -> Result<Vec<String>, Fault> {
    let rows = sql.read(Statement::new(HOLDERS, vec![token.0.to_vec().into(), limit.into()]))?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// A server holds a token.
pub(in crate::push) fn put_holder(token: TokenHash, server: &Uuid) -> Statement {
    Statement::new(PUT_HOLDER, vec![token.0.to_vec().into(), server.as_str().into()])
}

/// A server does not hold a token.
pub(in crate::push) fn remove_holder(token: TokenHash, server: &str) -> Statement {
    Statement::new(REMOVE_HOLDER, vec![token.0.to_vec().into(), server.into()])
}

/// The newest number of an obituary.
pub(in crate::push) fn last_obituary(sql: &dyn Sql) -> Result<i64, Fault> {
    sql.read(Statement::plain(LAST_OBITUARY))?.first().map_or(Ok(0), |row| row.integer(0))
}

/// Keeps whom to tell of a dead token.
pub(in crate::push) fn put_obituary(obituary: &Obituary, due: Timestamp) -> Statement {
    let params = vec![
        obituary.obituary_id.into(),
        obituary.token.0.to_vec().into(),
        obituary.app_id.as_deref().into(),
        obituary.died_at.into(),
        obituary.server.as_str().into(),
        due.into(),
    ];
    Statement::new(PUT_OBITUARY, params)
}

/// The obituaries whose time has come.
pub(in crate::push) fn due_obituaries(sql: &dyn Sql, now: Timestamp, limit: usize) -> Result<Vec<Obituary>, Fault> {
    let parse = |row: &Row| {
        Ok(Obituary {
            obituary_id: row.integer(0)?,
            token: TokenHash(hash(row, 1)?),
            app_id: row.text_or_null(2)?.map(str::to_owned),
            died_at: row.time(3)?,
            server: row.text(4)?.to_owned(),
            attempts: u32::try_from(row.unsigned(5)?).unwrap_or(u32::MAX),
        })
    };
    sql.read(Statement::new(DUE, vec![now.into(), limit.into()]))?.iter().map(parse).collect()
}

/// When the next obituary is due.
pub(in crate::push) fn next_obituary(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT))?)
}

/// An obituary is due later.
pub(in crate::push) fn put_off_obituary(obituary_id: i64, due: Timestamp) -> Statement {
    Statement::new(PUT_OFF, vec![obituary_id.into(), due.into()])
}

/// An obituary is delivered.
pub(in crate::push) fn remove_obituary(obituary_id: i64) -> Statement {
    Statement::new(REMOVE_OBITUARY, vec![obituary_id.into()])
}

/// What a network has used up of a quota.
pub(in crate::push) fn load_quota(sql: &dyn Sql, network: &str, quota: &str) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(QUOTA, vec![network.into(), quota.into()]))?)
}

/// Keeps what a network has used up of a quota.
pub(in crate::push) fn put_quota(network: &str, quota: &str, free_at_us: u64) -> Statement {
    Statement::new(PUT_QUOTA, vec![network.into(), quota.into(), free_at_us.into()])
}

/// Whether any network has used up anything.
pub(in crate::push) fn any_quota(sql: &dyn Sql) -> Result<bool, Fault> {
    Ok(super::count(&sql.read(Statement::plain(ANY_QUOTA))?)? > 0)
}

/// How many quotas are entirely free again.
pub(in crate::push) fn count_free(sql: &dyn Sql, now_us: u64) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(COUNT_FREE, vec![now_us.into()]))?)
}

/// Forgets quotas that are entirely free again.
pub(in crate::push) fn sweep_quotas(now_us: u64) -> Statement {
    Statement::new(SWEEP_QUOTAS, vec![now_us.into()])
}

/// Transfers that were verified after a time.
pub(in crate::push) fn count_transfers(sql: &dyn Sql, after: Timestamp) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(TRANSFERS, vec![after.into()]))?)
}

/// Notes a transfer, and forgets those that count no longer.
pub(in crate::push) fn put_transfer(now: Timestamp, forget: Timestamp) -> [Statement; 2] {
    [Statement::new(SWEEP_TRANSFERS, vec![forget.into()]), Statement::new(PUT_TRANSFER, vec![now.into()])]
}
