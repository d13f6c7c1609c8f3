//! SQL ↔ values of the registry. Nothing here decides.

pub(super) mod build;
pub(super) mod reference;

use super::build_token::TokenShape;
use super::challenge::{Asked, Challenge, Judge, LIVE_MAX};
use super::device::{Device, DeviceKey, Standing};
use super::log::{LogEntry, LogHead};
use super::policy::{Build, Population};
use super::reference::Span;
use super::registration::{PENDING_MAX, PENDING_PER_NETWORK_MAX, Ring, Tally};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;

/// Schema versions of the registry.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "devices",
        sql: include_str!("../../migrations/attestation_registry/0001_devices.sql"),
    },
    Migration {
        version: 2,
        name: "retention",
        sql: include_str!("../../migrations/attestation_registry/0002_retention.sql"),
    },
];

const ALIVE: &str = "SELECT 1";

const DEVICE: &str = "SELECT device_key, version, platform, build_hash, flat, standing, network, registered_at, \
    last_seen, signed_at, web_free_at_us, attest_free_at_us, asked_free_at_us, anomalies FROM device WHERE device_id = ?1";
const PUT_DEVICE: &str = "INSERT OR REPLACE INTO device (device_id, device_key, version, platform, build_hash, flat, \
    standing, network, registered_at, last_seen, signed_at, web_free_at_us, attest_free_at_us, asked_free_at_us, \
    anomalies) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const SEE_DEVICE: &str = "UPDATE device SET last_seen = ?2, signed_at = ?3, asked_free_at_us = ?4, anomalies = ?5 \
    WHERE device_id = ?1";
const REMOVE_DEVICE: &str = "DELETE FROM device WHERE device_id = ?1";
const REMOVE_DEVICE_CHALLENGES: &str = "DELETE FROM challenge WHERE device_id = ?1";
const OLDEST: &str = "SELECT device_id FROM device WHERE standing = ?1 ORDER BY last_seen LIMIT 1";
/// One statement, because each costs more on its way than in SQLite. The oldest are looked for only where one makes way.
const RING: &str = "WITH own (n) AS (SELECT count(*) FROM (SELECT 1 FROM device WHERE standing = 0 AND network = ?1 LIMIT ?2)), \
    all_of (n) AS (SELECT coalesce((SELECT pending FROM tally WHERE id = 1), 0)) \
    SELECT own.n, \
    CASE WHEN own.n >= ?2 THEN (SELECT device_id FROM device WHERE standing = 0 AND network = ?1 ORDER BY last_seen LIMIT 1) END, \
    CASE WHEN all_of.n >= ?3 THEN (SELECT device_id FROM device WHERE standing = 0 ORDER BY last_seen LIMIT 1) END \
    FROM own, all_of";
const UNSEEN: &str = "SELECT device_id FROM device WHERE standing = ?1 AND last_seen <= ?2 ORDER BY last_seen LIMIT ?3";
const REMOVE_UNSEEN: &str = "DELETE FROM device WHERE device_id IN \
    (SELECT device_id FROM device WHERE standing = ?1 AND last_seen <= ?2 ORDER BY last_seen LIMIT ?3)";
const POPULATION: &str =
    "SELECT version, platform, build_hash, count(*) FROM device GROUP BY version, platform, build_hash";

const TALLY: &str = "SELECT pending, attested FROM tally WHERE id = 1";
const PUT_TALLY: &str = "INSERT OR REPLACE INTO tally (id, pending, attested) VALUES (1, ?1, ?2)";

const LIVE: &str = "SELECT count(*) FROM (SELECT 1 FROM challenge WHERE device_id = ?1 AND expires_at > ?2 LIMIT ?3)";
const CHALLENGE: &str =
    "SELECT device_id, reference_id, whole, asked, audience, expires_at FROM challenge WHERE nonce = ?1";
const PUT_CHALLENGE: &str = "INSERT INTO challenge (nonce, device_id, reference_id, whole, asked, audience, \
    expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const REMOVE_CHALLENGE: &str = "DELETE FROM challenge WHERE nonce = ?1";
const COUNT_EXPIRED: &str = "SELECT count(*) FROM (SELECT 1 FROM challenge WHERE expires_at <= ?1 LIMIT ?2)";
const REMOVE_EXPIRED: &str = "DELETE FROM challenge WHERE nonce IN \
    (SELECT nonce FROM challenge WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
const ANY_CHALLENGE: &str = "SELECT count(*) FROM (SELECT 1 FROM challenge LIMIT 1)";

const POLICY: &str = "SELECT document FROM policy WHERE id = 1";
const PUT_POLICY: &str = "INSERT OR REPLACE INTO policy (id, document) VALUES (1, ?1)";

const LOG_HEAD: &str = "SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1";
const LOG_PAGE: &str = "SELECT seq, at, kind, entry, previous, hash FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const ADD_LOG: &str = "INSERT INTO log (seq, at, kind, entry, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Asks the storage for a sign of life.
pub(super) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(ALIVE)).map(drop)
}

fn single(rows: &[Row]) -> Result<u64, Fault> {
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?.unsigned(0)
}

fn first_text(rows: &[Row]) -> Result<Option<String>, Fault> {
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// The device under an id.
pub(super) fn load_device(sql: &dyn Sql, device_id: &str) -> Result<Option<Device>, Fault> {
    let rows = sql.read(Statement::new(DEVICE, vec![device_id.into()]))?;
    rows.first().map(parse_device).transpose()
}

fn parse_device(row: &Row) -> Result<Device, Fault> {
    let key = match row.0.first() {
        Some(Value::Null) => None,
        _ => Some(
            DeviceKey::from_bytes(row.blob(0)?.to_vec())
                .ok_or_else(|| Fault::Corrupt(String::from("device key is no key")))?,
        ),
    };
    Ok(Device {
        key,
        build: build(row, 1)?,
        shape: if row.unsigned(4)? == 1 { TokenShape::Flat } else { TokenShape::Wrapped },
        standing: if row.unsigned(5)? == 1 { Standing::Attested } else { Standing::Pending },
        network: row.text(6)?.to_owned(),
        registered_at: row.time(7)?,
        last_seen: row.time(8)?,
        signed_at: row.unsigned_or_null(9)?.map(Timestamp::from_millis),
        web_free_at_us: row.unsigned(10)?,
        attest_free_at_us: row.unsigned(11)?,
        asked_free_at_us: row.unsigned(12)?,
        anomalies: row.unsigned(13)?,
    })
}

fn build(row: &Row, first: usize) -> Result<Build, Fault> {
    Ok(Build {
        version: row.text(first)?.to_owned(),
        platform: row.text(first + 1)?.to_owned(),
        build_hash: row.text(first + 2)?.to_owned(),
    })
}

const fn standing(standing: Standing) -> u32 {
    match standing {
        Standing::Pending => 0,
        Standing::Attested => 1,
    }
}

/// Keeps a device.
pub(super) fn put_device(device_id: &str, device: &Device) -> Statement {
    let Build { version, platform, build_hash } = &device.build;
    let params = vec![
        device_id.into(),
        device.key.as_ref().map(|key| key.as_bytes().to_vec()).into(),
        version.as_str().into(),
        platform.as_str().into(),
        build_hash.as_str().into(),
        u32::from(device.shape == TokenShape::Flat).into(),
        standing(device.standing).into(),
        device.network.as_str().into(),
        device.registered_at.into(),
        device.last_seen.into(),
        device.signed_at.into(),
        device.web_free_at_us.into(),
        device.attest_free_at_us.into(),
        device.asked_free_at_us.into(),
        device.anomalies.into(),
    ];
    Statement::new(PUT_DEVICE, params)
}

/// Keeps that a device was seen, and how often it asks.
pub(super) fn see_device(device_id: &str, device: &Device) -> Statement {
    let params = vec![
        device_id.into(),
        device.last_seen.into(),
        device.signed_at.into(),
        device.asked_free_at_us.into(),
        device.anomalies.into(),
    ];
    Statement::new(SEE_DEVICE, params)
}

/// Forgets a device and what it was asked.
pub(super) fn remove_device(device_id: &str) -> [Statement; 2] {
    [
        Statement::new(REMOVE_DEVICE, vec![device_id.into()]),
        Statement::new(REMOVE_DEVICE_CHALLENGES, vec![device_id.into()]),
    ]
}

/// The newcomers around a newcomer from `network`.
pub(super) fn load_ring(sql: &dyn Sql, network: &str) -> Result<Ring, Fault> {
    let params = vec![network.into(), PENDING_PER_NETWORK_MAX.into(), PENDING_MAX.into()];
    let rows = sql.read(Statement::new(RING, params))?;
    let row = rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?;
    let id = |index| row.text_or_null(index).map(|id| id.map(str::to_owned));
    Ok(Ring { in_network: row.unsigned(0)?, oldest_in_network: id(1)?, oldest: id(2)? })
}

/// The device of a standing that was seen longest ago.
pub(super) fn load_oldest(sql: &dyn Sql, of: Standing) -> Result<Option<String>, Fault> {
    first_text(&sql.read(Statement::new(OLDEST, vec![standing(of).into()]))?)
}

/// At most `limit` devices that nobody has seen since `before`.
pub(super) fn count_unseen(sql: &dyn Sql, of: Standing, before: Timestamp, limit: u64) -> Result<u64, Fault> {
    let params = vec![standing(of).into(), before.into(), limit.into()];
    Ok(sql.read(Statement::new(UNSEEN, params))?.len() as u64)
}

/// Forgets at most `limit` devices that nobody has seen since `before`, the same that [`count_unseen`] counts.
pub(super) fn remove_unseen(of: Standing, before: Timestamp, limit: u64) -> Statement {
    Statement::new(REMOVE_UNSEEN, vec![standing(of).into(), before.into(), limit.into()])
}

/// How many devices run each build.
pub(super) fn load_population(sql: &dyn Sql) -> Result<Vec<Population>, Fault> {
    let rows = sql.read(Statement::plain(POPULATION))?;
    rows.iter().map(|row| Ok(Population { build: build(row, 0)?, devices: row.unsigned(3)? })).collect()
}

/// How many devices there are.
pub(super) fn load_tally(sql: &dyn Sql) -> Result<Tally, Fault> {
    let rows = sql.read(Statement::plain(TALLY))?;
    let tally = rows.first().map(|row| Ok(Tally { pending: row.unsigned(0)?, attested: row.unsigned(1)? }));
    Ok(tally.transpose()?.unwrap_or_default())
}

/// Keeps how many devices there are.
pub(super) fn put_tally(tally: Tally) -> Statement {
    Statement::new(PUT_TALLY, vec![tally.pending.into(), tally.attested.into()])
}

/// Challenges of a device that wait for an answer, counted up to the limit.
pub(super) fn count_live(sql: &dyn Sql, device_id: &str, now: Timestamp) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(LIVE, vec![device_id.into(), now.into(), LIVE_MAX.into()]))?)
}

/// The challenge of a nonce.
pub(super) fn load_challenge(sql: &dyn Sql, nonce: &str) -> Result<Option<Challenge>, Fault> {
    let rows = sql.read(Statement::new(CHALLENGE, vec![nonce.into()]))?;
    rows.first().map(|row| parse_challenge(nonce, row)).transpose()
}

fn parse_challenge(nonce: &str, row: &Row) -> Result<Challenge, Fault> {
    let asked = parse_numbers::<3>(row.text(3)?)?;
    let asked = asked.into_iter().map(|[index, offset, length]| Asked { index, span: Span { offset, length } });
    Ok(Challenge {
        nonce: nonce.to_owned(),
        device_id: row.text(0)?.to_owned(),
        reference_id: row.text(1)?.to_owned(),
        judge: if row.unsigned(2)? == 1 { Judge::ReferenceStore } else { Judge::Registry },
        asked: asked.collect(),
        audience: row.text_or_null(4)?.map(str::to_owned),
        expires_at: row.time(5)?,
    })
}

/// Keeps a challenge.
pub(super) fn put_challenge(challenge: &Challenge) -> Statement {
    let asked = challenge.asked.iter().map(|asked| [asked.index, asked.span.offset, asked.span.length]);
    let params = vec![
        challenge.nonce.as_str().into(),
        challenge.device_id.as_str().into(),
        challenge.reference_id.as_str().into(),
        u32::from(challenge.judge == Judge::ReferenceStore).into(),
        write_numbers(asked).into(),
        challenge.audience.as_deref().into(),
        challenge.expires_at.into(),
    ];
    Statement::new(PUT_CHALLENGE, params)
}

/// Uses a challenge up.
pub(super) fn remove_challenge(nonce: &str) -> Statement {
    Statement::new(REMOVE_CHALLENGE, vec![nonce.into()])
}

/// How many challenges are over, counted up to `limit`.
pub(super) fn count_expired(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(COUNT_EXPIRED, vec![now.into(), limit.into()]))?)
}

/// Forgets at most `limit` challenges that are over.
pub(super) fn remove_expired(now: Timestamp, limit: u64) -> Statement {
    Statement::new(REMOVE_EXPIRED, vec![now.into(), limit.into()])
}

/// Whether there is any challenge: 1 or 0.
pub(super) fn any_challenge(sql: &dyn Sql) -> Result<u64, Fault> {
    single(&sql.read(Statement::plain(ANY_CHALLENGE))?)
}

/// The policy document.
pub(super) fn load_policy(sql: &dyn Sql) -> Result<Option<String>, Fault> {
    first_text(&sql.read(Statement::plain(POLICY))?)
}

/// Keeps a policy document instead of the one before.
pub(super) fn put_policy(document: &str) -> Statement {
    Statement::new(PUT_POLICY, vec![document.into()])
}

/// The end of the log.
pub(super) fn load_log_head(sql: &dyn Sql) -> Result<LogHead, Fault> {
    let rows = sql.read(Statement::plain(LOG_HEAD))?;
    let head = rows.first().map(|row| Ok(LogHead { seq: row.unsigned(0)?, hash: row.text(1)?.to_owned() }));
    Ok(head.transpose()?.unwrap_or_default())
}

/// At most `limit` entries after `after`.
pub(super) fn load_log(sql: &dyn Sql, after: u64, limit: u64) -> Result<Vec<LogEntry>, Fault> {
    let entry = |row: &Row| {
        Ok(LogEntry {
            seq: row.unsigned(0)?,
            at: row.time(1)?,
            kind: row.text(2)?.to_owned(),
            entry: row.text(3)?.to_owned(),
            previous: row.text(4)?.to_owned(),
            hash: row.text(5)?.to_owned(),
        })
    };
    sql.read(Statement::new(LOG_PAGE, vec![after.into(), limit.into()]))?.iter().map(entry).collect()
}

/// Adds an entry.
pub(super) fn add_log(entry: &LogEntry) -> Statement {
    let params = vec![
        entry.seq.into(),
        entry.at.into(),
        entry.kind.as_str().into(),
        entry.entry.as_str().into(),
        entry.previous.as_str().into(),
        entry.hash.as_str().into(),
    ];
    Statement::new(ADD_LOG, params)
}

fn write_numbers<const N: usize>(rows: impl Iterator<Item = [u64; N]>) -> String {
    let row = |numbers: [u64; N]| numbers.map(|number| number.to_string()).join(" ");
    rows.map(row).collect::<Vec<_>>().join(";")
}

fn parse_numbers<const N: usize>(text: &str) -> Result<Vec<[u64; N]>, Fault> {
    let row = |text: &str| {
        let numbers: Option<Vec<u64>> = text.split(' ').map(|number| number.parse().ok()).collect();
        numbers.and_then(|numbers| <[u64; N]>::try_from(numbers).ok())
    };
    let rows: Option<Vec<_>> = text.split(';').filter(|row| !row.is_empty()).map(row).collect();
    rows.ok_or_else(|| Fault::Corrupt(String::from("a list of regions is not one of ours")))
}
