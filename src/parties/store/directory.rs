//! Relays, and which parties there are. See `migrations/party_directory/`.

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::parties::relays::{Intake, Owner, Profile, Relay, Relays};

/// Schema versions of the directory.
pub(in crate::parties) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../../../migrations/party_directory/0001_init.sql") }];

const RELAYS: &str = "SELECT relay_id, owner, public_ip, port, region, capacity, load, health, draining, \
    registered_at, seen_at FROM relay";
const PUT_RELAY: &str = "INSERT OR REPLACE INTO relay (relay_id, owner, public_ip, port, region, capacity, load, \
    health, draining, registered_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const REMOVE_RELAY: &str = "DELETE FROM relay WHERE relay_id = ?1";
const PARTY: &str = "SELECT 1 FROM party WHERE party_id = ?1";
const PUT_PARTY: &str = "INSERT INTO party (party_id) VALUES (?1)";
const REMOVE_PARTY: &str = "DELETE FROM party WHERE party_id = ?1";
const TALLY: &str = "SELECT parties FROM tally WHERE id = 1";
const PUT_TALLY: &str = "INSERT OR REPLACE INTO tally (id, parties) VALUES (1, ?1)";

/// All relays. They may be over for as long as the last written time may lie behind.
pub(in crate::parties) fn load_relays(sql: &dyn Sql, ttl_ms: u64) -> Result<Vec<(String, Relay)>, Fault> {
    let rows = sql.read(Statement::plain(RELAYS))?;
    rows.iter().map(|row| parse_relay(row, ttl_ms)).collect()
}

fn parse_relay(row: &Row, ttl_ms: u64) -> Result<(String, Relay), Fault> {
    let wrong = |_| Fault::Corrupt(String::from("a relay's number is out of range"));
    let seen_at = row.time(10)?;
    let profile = Profile {
        public_ip: row.text(2)?.to_owned(),
        port: u16::try_from(row.integer(3)?).map_err(wrong)?,
        region: row.text(4)?.to_owned(),
        capacity: u32::try_from(row.integer(5)?).map_err(wrong)?,
        load: match row.0.get(6) {
            Some(Value::Real(load)) => Some(*load),
            // Storage hands a whole number back as an integer.
            Some(Value::Integer(load)) => Some(if *load == 0 { 0.0 } else { 1.0 }),
            _ => None,
        },
        health: row.unsigned_or_null(7)?.and_then(|health| u8::try_from(health).ok()),
        intake: if row.integer(8)? == 1 { Intake::Draining } else { Intake::Open },
    };
    let relay = Relay {
        owner: Owner(row.text(1)?.to_owned()),
        profile,
        registered_at: row.time(9)?,
        seen_at,
        stored_at: seen_at,
        ends_at: Relays::end_of_stored(ttl_ms, seen_at),
    };
    Ok((row.text(0)?.to_owned(), relay))
}

/// Writes a relay.
#[must_use]
pub(in crate::parties) fn put_relay(relay_id: &str, relay: &Relay) -> Statement {
    let Profile { public_ip, port, region, capacity, load, health, intake } = &relay.profile;
    let params = vec![
        relay_id.into(),
        relay.owner.0.as_str().into(),
        public_ip.as_str().into(),
        u32::from(*port).into(),
        region.as_str().into(),
        (*capacity).into(),
        load.map_or(Value::Null, Value::Real),
        health.map(u32::from).into(),
        u32::from(*intake == Intake::Draining).into(),
        relay.registered_at.into(),
        relay.seen_at.into(),
    ];
    Statement::new(PUT_RELAY, params)
}

/// Forgets a relay.
#[must_use]
pub(in crate::parties) fn remove_relay(relay_id: &str) -> Statement {
    Statement::new(REMOVE_RELAY, vec![relay_id.into()])
}

/// Whether a party is counted.
pub(in crate::parties) fn has_party(sql: &dyn Sql, party_id: &str) -> Result<bool, Fault> {
    Ok(!sql.read(Statement::new(PARTY, vec![party_id.into()]))?.is_empty())
}

/// How many parties are counted.
pub(in crate::parties) fn load_tally(sql: &dyn Sql) -> Result<u64, Fault> {
    let rows = sql.read(Statement::plain(TALLY))?;
    rows.first().map_or(Ok(0), |row| row.unsigned(0))
}

/// Counts a party in; afterwards there are `parties`.
#[must_use]
pub(in crate::parties) fn count_in(party_id: &str, parties: u64) -> Vec<Statement> {
    vec![Statement::new(PUT_PARTY, vec![party_id.into()]), Statement::new(PUT_TALLY, vec![parties.into()])]
}

/// Counts a party out; afterwards there are `parties`.
#[must_use]
pub(in crate::parties) fn count_out(party_id: &str, parties: u64) -> Vec<Statement> {
    vec![Statement::new(REMOVE_PARTY, vec![party_id.into()]), Statement::new(PUT_TALLY, vec![parties.into()])]
}
