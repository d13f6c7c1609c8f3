//! The operators' index and tokens, and farewells of organizations that have moved.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::role::{ENDED_KEPT_MS, KeptToken, Role};

const PUT: &str = "INSERT OR REPLACE INTO server_index (uuid, hostname, contact_email, plan_type, deactivated, \
    last_request_at, last_version, realms, devices, sealed_devices, names, told_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const REMOVE: &str = "DELETE FROM server_index WHERE uuid = ?1";
const PAGE: &str = "SELECT uuid, hostname, contact_email, plan_type, deactivated, last_request_at, last_version, \
    realms, devices, sealed_devices FROM server_index WHERE uuid > ?1 AND (?2 = '' OR instr(lower(hostname), ?2) > 0 \
    OR instr(lower(contact_email), ?2) > 0 OR instr(uuid, ?2) > 0 OR instr(names, ?2) > 0) ORDER BY uuid LIMIT ?3";
const TOTALS: &str = "SELECT plan_type, deactivated, count(*), coalesce(sum(realms), 0), coalesce(sum(devices), 0), \
    coalesce(sum(sealed_devices), 0) FROM server_index GROUP BY plan_type, deactivated ORDER BY plan_type, deactivated";

const TOKEN: &str = "SELECT id, hash, name, role, created_at, expires_at, revoked_at FROM operator_token WHERE id = ?1";
const TOKENS: &str = "SELECT id, hash, name, role, created_at, expires_at, revoked_at FROM operator_token \
    WHERE id > ?1 ORDER BY id LIMIT ?2";
const COUNT_TOKENS: &str = "SELECT count(*) FROM operator_token";
const PUT_TOKEN: &str = "INSERT INTO operator_token (id, hash, name, role, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REVOKE: &str = "UPDATE operator_token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
const SWEEP_TOKENS: &str = "DELETE FROM operator_token WHERE expires_at < ?1 OR revoked_at < ?1";

const PUT_FAREWELL: &str = "INSERT INTO farewell (realm, server, target, actor, due_at, attempts) \
    VALUES (?1, ?2, ?3, ?4, ?5, 0)";
const DUE_FAREWELLS: &str = "SELECT farewell_id, realm, server, target, actor, attempts FROM farewell WHERE due_at <= ?1 \
    ORDER BY due_at, farewell_id LIMIT ?2";
const NEXT_FAREWELL: &str = "SELECT min(due_at) FROM farewell";
const PUT_OFF_FAREWELL: &str = "UPDATE farewell SET due_at = ?2, attempts = attempts + 1 WHERE farewell_id = ?1";
const REMOVE_FAREWELL: &str = "DELETE FROM farewell WHERE farewell_id = ?1";

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

/// A server that must be told that an organization has left it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns'")]
pub(in crate::push) struct FarewellRow {
    pub(in crate::push) farewell_id: i64,
    pub(in crate::push) realm: String,
    pub(in crate::push) server: String,
    pub(in crate::push) target: String,
    pub(in crate::push) actor: String,
    pub(in crate::push) attempts: u32,
}

/// Keeps how a server is.
pub(in crate::push) fn put(row: &IndexRow, names: &str, now: Timestamp) -> Statement {
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
        names.into(),
        now.into(),
    ];
    Statement::new(PUT, params)
}

/// Forgets a server.
pub(in crate::push) fn remove(uuid: &str) -> Statement {
    Statement::new(REMOVE, vec![uuid.into()])
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

/// How many tokens are kept.
pub(in crate::push) fn count_tokens(sql: &dyn Sql) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::plain(COUNT_TOKENS))?)
}

/// Keeps a token, and forgets those that ended long ago.
pub(in crate::push) fn put_token(kept: &KeptToken) -> [Statement; 2] {
    let params = vec![
        kept.id.as_str().into(),
        kept.hash.to_vec().into(),
        kept.name.as_str().into(),
        kept.role.word().into(),
        kept.created_at.into(),
        kept.expires_at.into(),
    ];
    let forget = kept.created_at.minus(ENDED_KEPT_MS);
    [Statement::new(SWEEP_TOKENS, vec![forget.into()]), Statement::new(PUT_TOKEN, params)]
}

/// Ends a token.
pub(in crate::push) fn revoke(id: &str, now: Timestamp) -> Statement {
    Statement::new(REVOKE, vec![id.into(), now.into()])
}

/// Keeps that a server must be told of a loss.
pub(in crate::push) fn put_farewell(realm: &str, server: &str, target: &str, actor: &str, due: Timestamp) -> Statement {
    Statement::new(PUT_FAREWELL, vec![realm.into(), server.into(), target.into(), actor.into(), due.into()])
}

/// Farewells whose time has come.
pub(in crate::push) fn due_farewells(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<Vec<FarewellRow>, Fault> {
    let parse = |row: &Row| {
        Ok(FarewellRow {
            farewell_id: row.integer(0)?,
            realm: row.text(1)?.to_owned(),
            server: row.text(2)?.to_owned(),
            target: row.text(3)?.to_owned(),
            actor: row.text(4)?.to_owned(),
            attempts: u32::try_from(row.unsigned(5)?).unwrap_or(u32::MAX),
        })
    };
    sql.read(Statement::new(DUE_FAREWELLS, vec![now.into(), limit.into()]))?.iter().map(parse).collect()
}

/// When the next farewell is due.
pub(in crate::push) fn next_farewell(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT_FAREWELL))?)
}

/// A farewell is said again later.
pub(in crate::push) fn put_off_farewell(farewell_id: i64, due: Timestamp) -> Statement {
    Statement::new(PUT_OFF_FAREWELL, vec![farewell_id.into(), due.into()])
}

/// A farewell was heard.
pub(in crate::push) fn remove_farewell(farewell_id: i64) -> Statement {
    Statement::new(REMOVE_FAREWELL, vec![farewell_id.into()])
}
