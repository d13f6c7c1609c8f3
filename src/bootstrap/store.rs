//! SQL ↔ values. Nothing here decides.

use super::admission::Spent;
use super::proof::{NONCE_TTL_MS, NonceMemory, NonceSeen, Used};
use super::registry::{Counters, Entry, Heard, Liveness, Proven};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;

/// Schema versions of the registry.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "servers",
    sql: include_str!("../../migrations/server_registry/0001_servers.sql"),
}];

const ALIVE: &str = "SELECT 1";
const SERVERS: &str = "SELECT server_id, registration, endpoint, public_key, region, proven, registered_at, \
    connections, relay_connections, signaling_connections, active_codes, signed_at FROM server";
const PUT_SERVER: &str = "INSERT OR REPLACE INTO server (server_id, registration, endpoint, public_key, region, \
    proven, registered_at, connections, relay_connections, signaling_connections, active_codes, signed_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const REMOVE_SERVER: &str = "DELETE FROM server WHERE server_id = ?1";

const SNAPSHOT: &str = "SELECT flushed_at, snapshot FROM liveness WHERE id = 1";
const PUT_SNAPSHOT: &str = "INSERT INTO liveness (id, flushed_at, snapshot) VALUES (1, ?1, ?2) \
    ON CONFLICT (id) DO UPDATE SET flushed_at = excluded.flushed_at, snapshot = excluded.snapshot";

const USED: &str = "SELECT nonce, signed_at FROM proof \
    WHERE server_id = ?1 AND nonce IN (?2, ?3) AND expires_at > ?4";
const PUT_PROOF: &str =
    "INSERT OR REPLACE INTO proof (server_id, nonce, signed_at, expires_at) VALUES (?1, ?2, ?3, ?4)";
const COUNT_PROOFS: &str = "SELECT count(*) FROM proof WHERE expires_at > ?1";
const COUNT_EXPIRED: &str = "SELECT count(*) FROM (SELECT 1 FROM proof WHERE expires_at <= ?1 LIMIT ?2)";
const REMOVE_EXPIRED: &str = "DELETE FROM proof WHERE (server_id, nonce) IN \
    (SELECT server_id, nonce FROM proof WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

/// Stands in the column `nonce` for the newest signed time. No nonce is empty.
const NEWEST_SIGNED: &str = "";

/// Asks the storage for a sign of life.
pub(super) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(ALIVE)).map(drop)
}

/// Every registration, with the liveness that it began with.
pub(super) fn load_servers(sql: &dyn Sql) -> Result<Vec<(String, Entry)>, Fault> {
    sql.read(Statement::plain(SERVERS))?.iter().map(parse_server).collect()
}

fn parse_server(row: &Row) -> Result<(String, Entry), Fault> {
    let registered_at = row.time(6)?;
    let counters = Counters {
        connections: row.unsigned(7)?,
        relay_connections: row.unsigned(8)?,
        signaling_connections: row.unsigned(9)?,
        active_codes: row.unsigned(10)?,
    };
    let signed_at = row.unsigned_or_null(11)?.map(Timestamp::from_millis);
    let entry = Entry {
        registration: row.unsigned(1)?,
        endpoint: row.text(2)?.to_owned(),
        public_key: row.text(3)?.to_owned(),
        region: row.text(4)?.to_owned(),
        proven: if row.unsigned(5)? == 1 { Proven::Yes } else { Proven::No },
        registered_at,
        liveness: Liveness { last_seen: registered_at, counters, sequence: None, signed_at },
        heard: Heard::Stored,
        stored_seen: registered_at,
    };
    Ok((row.text(0)?.to_owned(), entry))
}

/// The last snapshot and when it was flushed; nothing before the first.
pub(super) fn load_snapshot(sql: &dyn Sql) -> Result<Option<(Timestamp, String)>, Fault> {
    let rows = sql.read(Statement::plain(SNAPSHOT))?;
    rows.first().map(|row| Ok((row.time(0)?, row.text(1)?.to_owned()))).transpose()
}

/// Proofs that are remembered at `now` and not expired.
pub(super) fn count_proofs(sql: &dyn Sql, now: Timestamp) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(COUNT_PROOFS, vec![now.into()]))?)
}

/// How many expired proofs there are, counted up to `limit`.
pub(super) fn count_expired(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(COUNT_EXPIRED, vec![now.into(), limit.into()]))?)
}

fn single(rows: &[Row]) -> Result<u64, Fault> {
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?.unsigned(0)
}

/// What earlier registrations and removals of `server_id` have used up.
pub(super) fn load_used(sql: &dyn Sql, server_id: &str, nonce: Option<&str>, now: Timestamp) -> Result<Used, Fault> {
    let nonce = nonce.unwrap_or(NEWEST_SIGNED);
    let params = vec![server_id.into(), NEWEST_SIGNED.into(), nonce.into(), now.into()];
    let mut used = Used { nonce: NonceSeen::No, memory: NonceMemory::Complete, newest_signed: None };
    for row in sql.read(Statement::new(USED, params))? {
        if row.text(0)? == NEWEST_SIGNED {
            used.newest_signed = row.unsigned_or_null(1)?.map(Timestamp::from_millis);
        } else {
            used.nonce = NonceSeen::Yes;
        }
    }
    Ok(used)
}

/// Keeps a registration.
pub(super) fn put_server(server_id: &str, entry: &Entry) -> Statement {
    let Liveness { counters, signed_at, .. } = entry.liveness;
    let proven: u32 = match entry.proven {
        Proven::Yes => 1,
        Proven::No => 0,
    };
    let params = vec![
        server_id.into(),
        entry.registration.into(),
        entry.endpoint.as_str().into(),
        entry.public_key.as_str().into(),
        entry.region.as_str().into(),
        proven.into(),
        entry.registered_at.into(),
        counters.connections.into(),
        counters.relay_connections.into(),
        counters.signaling_connections.into(),
        counters.active_codes.into(),
        signed_at.into(),
    ];
    Statement::new(PUT_SERVER, params)
}

/// Forgets a registration.
pub(super) fn remove_server(server_id: &str) -> Statement {
    Statement::new(REMOVE_SERVER, vec![server_id.into()])
}

/// Keeps a liveness snapshot instead of the one before.
pub(super) fn put_snapshot(now: Timestamp, snapshot: String) -> Statement {
    Statement::new(PUT_SNAPSHOT, vec![now.into(), snapshot.into()])
}

/// Remembers what a request of `server_id` used up.
pub(super) fn put_spent(server_id: &str, spent: &Spent, now: Timestamp) -> Vec<Statement> {
    let expires_at = now.plus(NONCE_TTL_MS);
    let put = |nonce: &str, signed_at: Option<Timestamp>| {
        let params: Vec<Value> = vec![server_id.into(), nonce.into(), signed_at.into(), expires_at.into()];
        Statement::new(PUT_PROOF, params)
    };
    let nonce = spent.nonce.as_deref().map(|nonce| put(nonce, None));
    let newest = spent.newest_signed.map(|signed_at| put(NEWEST_SIGNED, Some(signed_at)));
    nonce.into_iter().chain(newest).collect()
}

/// Forgets at most `limit` expired proofs, oldest first.
pub(super) fn remove_expired(now: Timestamp, limit: u64) -> Statement {
    Statement::new(REMOVE_EXPIRED, vec![now.into(), limit.into()])
}
