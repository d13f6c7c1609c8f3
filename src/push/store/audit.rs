//! The audit log. Entries are added; nothing here changes one.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Entry, Scope};

const ADD_TO_SERVER: &str = "INSERT INTO server_audit (event_time, event_type, extra, actor) VALUES (?1, ?2, ?3, ?4)";
const ADD_TO_REALM: &str = "INSERT INTO realm_audit (realm_uuid, number, event_time, backfilled, event_type, extra, \
    actor) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)";
const SERVER_PAGE: &str = "SELECT audit_id, event_time, 0, event_type, extra, actor, NULL, NULL FROM server_audit \
    WHERE audit_id > ?1 ORDER BY audit_id LIMIT ?2";
const REALM_PAGE: &str = "SELECT * FROM (SELECT audit_id, event_time, backfilled, event_type, extra, actor, remote_id, \
    number FROM realm_audit WHERE realm_uuid = ?1 AND audit_id > ?3 ORDER BY audit_id LIMIT ?4) \
    UNION ALL SELECT * FROM (SELECT audit_id, event_time, backfilled, event_type, extra, actor, remote_id, number \
    FROM realm_audit WHERE realm_id = ?2 AND realm_id > 0 AND audit_id > ?3 ORDER BY audit_id LIMIT ?4) \
    ORDER BY audit_id LIMIT ?4";

const NEWEST_OF_SERVER: &str = "SELECT audit_id, event_time, 0, event_type, extra, actor, NULL, NULL \
    FROM server_audit ORDER BY audit_id DESC LIMIT ?1";
const NEWEST_OF_REALM: &str = "SELECT audit_id, event_time, backfilled, event_type, extra, actor, remote_id, number \
    FROM realm_audit WHERE realm_uuid = ?1 ORDER BY audit_id DESC LIMIT ?2";

/// An entry as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct AuditLine {
    /// Its place.
    pub audit_id: i64,
    /// When it happened.
    pub event_time: Timestamp,
    /// Whether it was written later.
    pub backfilled: bool,
    /// What happened.
    pub event_type: i64,
    /// More, a JSON object.
    pub extra: String,
    /// Who did it.
    pub actor: String,
    /// The row's id on the remote server, if it is from there.
    pub remote_id: Option<i64>,
    /// The organization's number there.
    pub number: Option<i64>,
}

/// Adds an entry; `extra` is what changed, encoded.
#[must_use]
pub(in crate::push) fn add(entry: &Entry, extra: String, actor: &Actor, now: Timestamp) -> Statement {
    let event = entry.event.number(&entry.scope);
    match &entry.scope {
        Scope::Server => {
            Statement::new(ADD_TO_SERVER, vec![now.into(), event.into(), extra.into(), actor.label().into()])
        }
        Scope::Realm { uuid, number } => {
            let params = vec![
                uuid.as_str().into(),
                (*number).into(),
                now.into(),
                event.into(),
                extra.into(),
                actor.label().into(),
            ];
            Statement::new(ADD_TO_REALM, params)
        }
    }
}

/// The server's entries after one, oldest first.
pub(in crate::push) fn load_server_page(sql: &dyn Sql, after: i64, limit: u64) -> Result<Vec<AuditLine>, Fault> {
    sql.read(Statement::new(SERVER_PAGE, vec![after.into(), limit.into()]))?.iter().map(line).collect()
}

/// An organization's entries after one, oldest first. Rows that its server uploaded are known by its row.
pub(in crate::push) fn load_realm_page(
    sql: &dyn Sql,
    uuid: &str,
    realm_id: Option<i64>,
    after: i64,
    limit: u64,
) -> Result<Vec<AuditLine>, Fault> {
    let params = vec![uuid.into(), realm_id.into(), after.into(), limit.into()];
    sql.read(Statement::new(REALM_PAGE, params))?.iter().map(line).collect()
}

/// The newest entries of ours about an account, newest first. The key is its organization's uuid, or empty for the server.
pub(in crate::push) fn load_newest(sql: &dyn Sql, key: &str, limit: u64) -> Result<Vec<AuditLine>, Fault> {
    let statement = if key.is_empty() {
        Statement::new(NEWEST_OF_SERVER, vec![limit.into()])
    } else {
        Statement::new(NEWEST_OF_REALM, vec![key.into(), limit.into()])
    };
    sql.read(statement)?.iter().map(line).collect()
}

fn line(row: &Row) -> Result<AuditLine, Fault> {
    let integer_or_null = |index| match row.0.get(index) {
        Some(crate::kernel::sql::Value::Null) => Ok(None),
        _ => row.integer(index).map(Some),
    };
    Ok(AuditLine {
        audit_id: row.integer(0)?,
        event_time: row.time(1)?,
        backfilled: row.unsigned(2)? == 1,
        event_type: row.integer(3)?,
        extra: row.text(4)?.to_owned(),
        actor: row.text(5)?.to_owned(),
        remote_id: integer_or_null(6)?,
        number: integer_or_null(7)?,
    })
}
