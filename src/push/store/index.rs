//! The operators' index and tokens.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::role::{ENDED_KEPT_MS, KeptToken, Role, TOKENS_MAX};

const PUT: &str = "INSERT OR REPLACE INTO server_index (uuid, hostname, contact_email, plan_type, deactivated, \
    last_request_at, last_version, realms, devices, sealed_devices, names, seq, told_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '', ?11, ?12)";
const LATE: &str = "SELECT (SELECT count(*) FROM server_gone WHERE uuid = ?1) + (SELECT count(*) FROM server_index \
    WHERE uuid = ?1 AND seq >= ?2)";
const REMOVE: &str = "DELETE FROM server_index WHERE uuid = ?1";
const REMOVE_REALMS: &str = "DELETE FROM realm_index WHERE server = ?1";
const PUT_GONE: &str = "INSERT OR IGNORE INTO server_gone (uuid) VALUES (?1)";
const REMOVE_CHANGED: &str = "DELETE FROM realm_index WHERE server = ?1 AND realm IN \
    (SELECT value ->> 'realm' FROM json_each(?2) WHERE value ->> 'words' IS NULL)";
const PUT_CHANGED: &str = "INSERT INTO realm_index (server, realm, words) \
    SELECT ?1, value ->> 'realm', value ->> 'words' FROM json_each(?2) WHERE value ->> 'words' IS NOT NULL \
    AND (SELECT realms FROM index_tally WHERE id = 1) < ?3 \
    ON CONFLICT (server, realm) DO UPDATE SET words = excluded.words";
const PAGE: &str = "SELECT uuid, hostname, contact_email, plan_type, deactivated, last_request_at, last_version, \
    realms, devices, sealed_devices FROM server_index WHERE uuid > ?1 AND (?2 = '' OR instr(lower(hostname), ?2) > 0 \
    OR instr(lower(contact_email), ?2) > 0 OR instr(uuid, ?2) > 0 OR uuid IN (SELECT server FROM realm_index \
    WHERE instr(realm, ?2) > 0 OR instr(words, ?2) > 0)) ORDER BY uuid LIMIT ?3";
const TOTALS: &str = "SELECT plan_type, deactivated, count(*), coalesce(sum(realms), 0), coalesce(sum(devices), 0), \
    coalesce(sum(sealed_devices), 0) FROM server_index GROUP BY plan_type, deactivated ORDER BY plan_type, deactivated";

const TOKEN: &str = "SELECT id, hash, name, role, created_at, expires_at, revoked_at FROM operator_token WHERE id = ?1";
const TOKENS: &str = "SELECT id, hash, name, role, created_at, expires_at, revoked_at FROM operator_token \
    WHERE id > ?1 ORDER BY id LIMIT ?2";
const COUNT_LIVE: &str = "SELECT count(*) FROM operator_token WHERE expires_at > ?1 AND revoked_at IS NULL";
const PUT_TOKEN: &str = "INSERT INTO operator_token (id, hash, name, role, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REVOKE: &str = "UPDATE operator_token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
const SWEEP_TOKENS: &str = "DELETE FROM operator_token WHERE expires_at < ?1 OR revoked_at < ?1";
const TRIM_TOKENS: &str = "DELETE FROM operator_token WHERE id IN (SELECT id FROM operator_token \
    WHERE expires_at <= ?1 OR revoked_at IS NOT NULL ORDER BY min(expires_at, ifnull(revoked_at, expires_at)) DESC \
    LIMIT -1 OFFSET ?2)";

/// Organizations of all servers together that can be searched. Each server has 10,000 at most.
pub(in crate::push) const REALMS_MAX: u64 = 1_000_000;

/// A server as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns'")]
pub(in crate::push) struct IndexRow {
    pub(in crate::push) uuid: String,
    pub(in crate::push) hostname: String,
    pub(in crate::push) contact_email: String,
    pub(in crate::push) plan_type: u64,
    pub(in crate::push) deactivated: bool,
    pub(in crate::push) last_request_at: Option<u64>,
    pub(in crate::push) last_version: Option<String>,
    pub(in crate::push) realms: u64,
    pub(in crate::push) devices: u64,
    pub(in crate::push) sealed_devices: u64,
}

/// Servers of one plan type and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::push) struct Totals {
    pub(in crate::push) plan_type: u64,
    pub(in crate::push) deactivated: bool,
    pub(in crate::push) servers: u64,
    pub(in crate::push) realms: u64,
    pub(in crate::push) devices: u64,
    pub(in crate::push) sealed_devices: u64,
}

/// Keeps how a server is.
pub(in crate::push) fn put(row: &IndexRow, seq: u64, now: Timestamp) -> Statement {
    let params = vec![
        row.uuid.as_str().into(),
        row.hostname.as_str().into(),
        row.contact_email.as_str().into(),
        row.plan_type.into(),
        u32::from(row.deactivated).into(),
        row.last_request_at.into(),
        row.last_version.as_deref().into(),
        row.realms.into(),
        row.devices.into(),
        row.sealed_devices.into(),
        seq.into(),
        now.into(),
    ];
    Statement::new(PUT, params)
}

/// Whether an announcement comes after a newer one, or from a server that was removed.
pub(in crate::push) fn is_late(sql: &dyn Sql, uuid: &str, seq: u64) -> Result<bool, Fault> {
    Ok(super::count(&sql.read(Statement::new(LATE, vec![uuid.into(), seq.into()]))?)? > 0)
}

/// Keeps or forgets organizations of a server; `changes` is their JSON. Beyond [`REALMS_MAX`] no more are kept: operators
/// still find them by their uuid.
pub(in crate::push) fn put_realms(uuid: &str, changes: String) -> [Statement; 2] {
    [
        Statement::new(REMOVE_CHANGED, vec![uuid.into(), changes.clone().into()]),
        Statement::new(PUT_CHANGED, vec![uuid.into(), changes.into(), REALMS_MAX.into()]),
    ]
}

/// Forgets a server for ever, whatever else arrives of it.
pub(in crate::push) fn remove(uuid: &str) -> Vec<Statement> {
    [REMOVE, REMOVE_REALMS, PUT_GONE].into_iter().map(|sql| Statement::new(sql, vec![uuid.into()])).collect()
}

/// A page of servers in which `search` stands somewhere.
pub(in crate::push) fn load_page(sql: &dyn Sql, after: &str, search: &str, limit: u64) -> Result<Vec<IndexRow>, Fault> {
    let parse = |row: &Row| {
        Ok(IndexRow {
            uuid: row.text(0)?.to_owned(),
            hostname: row.text(1)?.to_owned(),
            contact_email: row.text(2)?.to_owned(),
            plan_type: row.unsigned(3)?,
            deactivated: row.unsigned(4)? == 1,
            last_request_at: row.unsigned_or_null(5)?,
            last_version: row.text_or_null(6)?.map(str::to_owned),
            realms: row.unsigned(7)?,
            devices: row.unsigned(8)?,
            sealed_devices: row.unsigned(9)?,
        })
    };
    sql.read(Statement::new(PAGE, vec![after.into(), search.into(), limit.into()]))?.iter().map(parse).collect()
}

/// All servers together.
pub(in crate::push) fn load_totals(sql: &dyn Sql) -> Result<Vec<Totals>, Fault> {
    let parse = |row: &Row| {
        Ok(Totals {
            plan_type: row.unsigned(0)?,
            deactivated: row.unsigned(1)? == 1,
            servers: row.unsigned(2)?,
            realms: row.unsigned(3)?,
            devices: row.unsigned(4)?,
            sealed_devices: row.unsigned(5)?,
        })
    };
    sql.read(Statement::plain(TOTALS))?.iter().map(parse).collect()
}

fn token(row: &Row) -> Result<KeptToken, Fault> {
    Ok(KeptToken {
        id: row.text(0)?.to_owned(),
        hash: super::hash(row, 1)?,
        name: row.text(2)?.to_owned(),
        role: Role::parse(row.text(3)?).ok_or_else(|| Fault::Corrupt(String::from("a token of no role")))?,
        created_at: row.time(4)?,
        expires_at: row.time(5)?,
        revoked_at: row.unsigned_or_null(6)?.map(Timestamp::from_millis),
    })
}

/// A token.
pub(in crate::push) fn load_token(sql: &dyn Sql, id: &str) -> Result<Option<KeptToken>, Fault> {
    sql.read(Statement::new(TOKEN, vec![id.into()]))?.first().map(token).transpose()
}

/// A page of tokens.
pub(in crate::push) fn load_tokens(sql: &dyn Sql, after: &str, limit: u64) -> Result<Vec<KeptToken>, Fault> {
    sql.read(Statement::new(TOKENS, vec![after.into(), limit.into()]))?.iter().map(token).collect()
}

/// How many tokens open doors.
pub(in crate::push) fn count_live_tokens(sql: &dyn Sql, now: Timestamp) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(COUNT_LIVE, vec![now.into()]))?)
}

/// Keeps a token, and forgets those that ended long ago, or before too many others.
pub(in crate::push) fn put_token(kept: &KeptToken) -> [Statement; 3] {
    let params = vec![
        kept.id.as_str().into(),
        kept.hash.to_vec().into(),
        kept.name.as_str().into(),
        kept.role.word().into(),
        kept.created_at.into(),
        kept.expires_at.into(),
    ];
    let forget = kept.created_at.minus(ENDED_KEPT_MS);
    [
        Statement::new(SWEEP_TOKENS, vec![forget.into()]),
        Statement::new(TRIM_TOKENS, vec![kept.created_at.into(), TOKENS_MAX.into()]),
        Statement::new(PUT_TOKEN, params),
    ]
}

/// Ends a token.
pub(in crate::push) fn revoke(id: &str, now: Timestamp) -> Statement {
    Statement::new(REVOKE, vec![id.into(), now.into()])
}
