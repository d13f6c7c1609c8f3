//! What outlives every socket: the tries of networks, and the breaker. See `migrations/signaling_room/`.

use super::guesses::{Breaker, Charge, NetworkGuesses, Stored};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::network::ClientNetwork;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;

/// The room's own tables.
pub const GUESSES: Migration =
    Migration { version: 1, name: "guesses", sql: include_str!("../../migrations/signaling_room/0001_guesses.sql") };

const READ_NETWORK: &str = "SELECT free_at_us, missed_at FROM network_guesses WHERE network = ?1";
const READ_OLDEST: &str = "SELECT network FROM network_guesses ORDER BY forget_at, network LIMIT 1";
const READ_BREAKER: &str = "SELECT free_at_us, open_until FROM breaker WHERE id = 1";
const COUNT_AFTER: &str = "SELECT count(*), min(forget_at) FROM network_guesses WHERE forget_at > ?1";
const WRITE_NETWORK: &str = "INSERT INTO network_guesses (network, free_at_us, missed_at, forget_at) \
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT (network) DO UPDATE \
    SET free_at_us = excluded.free_at_us, missed_at = excluded.missed_at, forget_at = excluded.forget_at";
const WRITE_BREAKER: &str = "INSERT INTO breaker (id, free_at_us, open_until) VALUES (1, ?1, ?2) \
    ON CONFLICT (id) DO UPDATE SET free_at_us = excluded.free_at_us, open_until = excluded.open_until";
const FORGET_NETWORK: &str = "DELETE FROM network_guesses WHERE network = ?1";
const SWEEP: &str = "DELETE FROM network_guesses WHERE forget_at <= ?1";

/// What the network has tried; a newcomer's state when nothing is stored.
pub fn read_network(sql: &dyn Sql, network: &ClientNetwork) -> Result<NetworkGuesses, Fault> {
    let rows = sql.read(Statement::new(READ_NETWORK, vec![network.as_str().into()]))?;
    let Some(row) = rows.first() else { return Ok(NetworkGuesses::default()) };
    let missed_at = row.unsigned_or_null(1)?.map(Timestamp::from_millis);
    Ok(NetworkGuesses { free_at_us: row.unsigned(0)?, missed_at })
}

/// The network whose memory ends first, as stored.
pub fn read_oldest(sql: &dyn Sql) -> Result<Option<String>, Fault> {
    let rows = sql.read(Statement::plain(READ_OLDEST))?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// The breaker; one that never opened when nothing is stored.
pub fn read_breaker(sql: &dyn Sql) -> Result<Breaker, Fault> {
    let rows = sql.read(Statement::plain(READ_BREAKER))?;
    let Some(row) = rows.first() else { return Ok(Breaker::default()) };
    Ok(Breaker { free_at_us: row.unsigned(0)?, open_until: row.time(1)? })
}

/// What is stored of memories that end after `time`.
pub fn read_stored_after(sql: &dyn Sql, time: Timestamp) -> Result<Stored, Fault> {
    let rows = sql.read(Statement::new(COUNT_AFTER, vec![time.into()]))?;
    let row: &Row = rows.first().ok_or_else(|| Fault::Corrupt(String::from("a count without a row")))?;
    Ok(Stored { networks: row.unsigned(0)?, earliest: row.unsigned_or_null(1)?.map(Timestamp::from_millis) })
}

/// Everything that is stored.
pub fn read_stored(sql: &dyn Sql) -> Result<Stored, Fault> {
    // No memory ends at the epoch: a newcomer's state is never stored.
    read_stored_after(sql, Timestamp::EPOCH)
}

/// Writes a charge.
#[must_use]
pub fn charge_statements(charge: &Charge) -> Vec<Statement> {
    let mut batch = Vec::new();
    if let Some(network) = &charge.forgotten {
        batch.push(Statement::new(FORGET_NETWORK, vec![network.as_str().into()]));
    }
    if let Some((network, guesses)) = &charge.network {
        let params = vec![
            network.as_str().into(),
            guesses.free_at_us.into(),
            guesses.missed_at.into(),
            guesses.forget_at().into(),
        ];
        batch.push(Statement::new(WRITE_NETWORK, params));
    }
    if let Some(breaker) = &charge.breaker {
        batch.push(Statement::new(WRITE_BREAKER, vec![breaker.free_at_us.into(), breaker.open_until.into()]));
    }
    batch
}

/// Deletes the memories that have ended.
#[must_use]
pub fn sweep_statement(now: Timestamp) -> Statement {
    Statement::new(SWEEP, vec![now.into()])
}
