//! The registration and its organizations.

use super::{hash, integer_or_null};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::credential::{KeyHash, Keys};
use crate::push::registration::{Audit, Registered, State};
use crate::push::uuid::Uuid;

/// Schema versions of a remote server's object.
pub(in crate::push) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "server", sql: include_str!("../../../migrations/remote_server/0001_server.sql") },
    Migration { version: 2, name: "usage", sql: include_str!("../../../migrations/remote_server/0002_usage.sql") },
    Migration { version: 3, name: "plans", sql: include_str!("../../../migrations/remote_server/0003_plans.sql") },
    Migration { version: 4, name: "billing", sql: crate::billing::SCHEMA },
    Migration { version: 5, name: "uploads", sql: include_str!("../../../migrations/remote_server/0004_uploads.sql") },
    Migration {
        version: 6,
        name: "invoices",
        sql: include_str!("../../../migrations/remote_server/0005_invoices.sql"),
    },
    Migration { version: 7, name: "moves", sql: include_str!("../../../migrations/remote_server/0006_moves.sql") },
    Migration { version: 8, name: "links", sql: include_str!("../../../migrations/remote_server/0007_links.sql") },
];

const SERVER: &str = "SELECT uuid, key_hash, old_key_hash, old_key_until, hostname, contact_email, deactivated, \
    last_request_at, created_at FROM server WHERE id = 1";
const PUT_SERVER: &str = "INSERT INTO server (id, uuid, key_hash, old_key_hash, old_key_until, hostname, \
    contact_email, plan_type, deactivated, created_at, last_updated, last_request_at) \
    VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, 100, ?7, ?8, ?9, ?10) \
    ON CONFLICT (id) DO UPDATE SET key_hash = ?2, old_key_hash = ?3, old_key_until = ?4, hostname = ?5, \
    contact_email = ?6, deactivated = ?7, last_updated = ?9, last_request_at = ?10";
const SEE_SERVER: &str = "UPDATE server SET last_request_at = ?1 WHERE id = 1";
const AUDIT: &str = "INSERT INTO server_audit (event_time, event_type, extra) VALUES (?1, ?2, '{}')";

const REALM: &str = "SELECT realm_id FROM realm WHERE uuid = ?1";

/// The registration.
pub(in crate::push) fn load(sql: &dyn Sql) -> Result<Option<Registered>, Fault> {
    sql.read(Statement::plain(SERVER))?.first().map(parse).transpose()
}

fn parse(row: &Row) -> Result<Registered, Fault> {
    let old = match (row.0.get(2), row.unsigned_or_null(3)?) {
        (Some(Value::Blob(_)), Some(until)) => Some((KeyHash(hash(row, 2)?), Timestamp::from_millis(until))),
        _ => None,
    };
    Ok(Registered {
        uuid: Uuid::parse(row.text(0)?).ok_or_else(|| Fault::Corrupt(String::from("a server's uuid is none")))?,
        keys: Keys { current: KeyHash(hash(row, 1)?), old },
        hostname: row.text(4)?.to_owned(),
        email: row.text(5)?.to_owned(),
        state: if row.unsigned(6)? == 1 { State::Deactivated } else { State::Active },
        seen_at: row.unsigned_or_null(7)?.map(Timestamp::from_millis),
        created_at: row.time(8)?,
    })
}

/// Keeps the registration.
pub(in crate::push) fn put(server: &Registered, now: Timestamp) -> Statement {
    let old = server.keys.old.as_ref();
    let params = vec![
        server.uuid.as_str().into(),
        server.keys.current.0.to_vec().into(),
        old.map(|(hash, _)| hash.0.to_vec()).into(),
        old.map(|(_, until)| *until).into(),
        server.hostname.as_str().into(),
        server.email.as_str().into(),
        u32::from(server.state == State::Deactivated).into(),
        server.created_at.into(),
        now.into(),
        server.seen_at.into(),
    ];
    Statement::new(PUT_SERVER, params)
}

/// Keeps when the server called last.
pub(in crate::push) fn see(now: Timestamp) -> Statement {
    Statement::new(SEE_SERVER, vec![now.into()])
}

/// Notes what happened.
pub(in crate::push) fn note(audit: Audit, now: Timestamp) -> Statement {
    Statement::new(AUDIT, vec![now.into(), audit.number().into()])
}

/// The row of an organization.
pub(in crate::push) fn load_realm(sql: &dyn Sql, uuid: &Uuid) -> Result<Option<i64>, Fault> {
    let rows = sql.read(Statement::new(REALM, vec![uuid.as_str().into()]))?;
    rows.first().map_or(Ok(None), |row| integer_or_null(row, 0))
}
