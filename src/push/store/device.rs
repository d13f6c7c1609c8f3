//! Devices of the legacy path.

use super::integer_or_null;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::device::{ByNumber, Device, Token, TokenHash, User, kind_of, number_of};
use crate::push::provider::Kind;
use crate::push::uuid::Uuid;

const OF_USER: &str = "SELECT device_id, kind, token, ios_app_id, user_id, realm_id, registered_at FROM device \
    WHERE user_id = ?1 OR user_uuid = ?2 ORDER BY device_id";
const OF_USER_AND_TOKEN: &str = "SELECT device_id, kind, token, ios_app_id, user_id, realm_id, registered_at \
    FROM device WHERE (user_id = ?1 OR user_uuid = ?2) AND token_hash = ?3 ORDER BY device_id";
const PUT: &str = "INSERT INTO device (kind, token, token_hash, ios_app_id, user_id, user_uuid, realm_id, registered_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const REMOVE: &str = "DELETE FROM device WHERE device_id = ?1";
const LINK: &str = "UPDATE device SET realm_id = ?2 WHERE device_id = ?1";
const DEAD: &str = "SELECT device_id FROM device WHERE token_hash = ?1 AND (ios_app_id IS ?2) AND registered_at <= ?3";
const HOLDERS: &str = "SELECT device_id FROM device WHERE token_hash = ?1";
const COUNTS: &str = "SELECT devices, sealed FROM tally WHERE id = 1";
const ADD: &str = "INSERT INTO tally (id, devices, sealed, last_sealed) VALUES (1, max(?1, 0), max(?2, 0), 0) \
    ON CONFLICT (id) DO UPDATE SET devices = max(devices + ?1, 0), sealed = max(sealed + ?2, 0)";

fn parse(row: &Row) -> Result<Device, Fault> {
    let kind = kind_of(row.integer(1)?).ok_or_else(|| Fault::Corrupt(String::from("no such kind of device")))?;
    let by_number = integer_or_null(row, 4)?.map_or(ByNumber::No, |_| ByNumber::Yes);
    Ok(Device {
        device_id: row.integer(0)?,
        token: Token { kind, token: row.text(2)?.to_owned(), app_id: row.text_or_null(3)?.map(str::to_owned) },
        by_number,
        realm: integer_or_null(row, 5)?,
        registered_at: row.time(6)?,
    })
}

fn user_params(user: &User) -> Vec<Value> {
    vec![user.id.into(), user.uuid.as_ref().map(Uuid::as_str).into()]
}

/// The devices of a user, by number or UUID, oldest first.
pub(in crate::push) fn of_user(sql: &dyn Sql, user: &User) -> Result<Vec<Device>, Fault> {
    sql.read(Statement::new(OF_USER, user_params(user)))?.iter().map(parse).collect()
}

/// The rows of a user with one token.
pub(in crate::push) fn of_user_and_token(sql: &dyn Sql, user: &User, token: TokenHash) -> Result<Vec<Device>, Fault> {
    let mut params = user_params(user);
    params.push(token.0.to_vec().into());
    sql.read(Statement::new(OF_USER_AND_TOKEN, params))?.iter().map(parse).collect()
}

/// Keeps a device, under the user's UUID if there is one, else under the number.
pub(in crate::push) fn put(token: &Token, user: &User, realm: Option<i64>, now: Timestamp) -> Statement {
    let params = vec![
        number_of(token.kind).into(),
        token.token.as_str().into(),
        TokenHash::of(token.kind, &token.token).0.to_vec().into(),
        token.app_id.as_deref().into(),
        user.id.filter(|_| user.uuid.is_none()).into(),
        user.uuid.as_ref().map(Uuid::as_str).into(),
        realm.into(),
        now.into(),
    ];
    Statement::new(PUT, params)
}

/// Forgets a device.
pub(in crate::push) fn remove(device_id: i64) -> Statement {
    Statement::new(REMOVE, vec![device_id.into()])
}

/// Links a device to an organization.
pub(in crate::push) fn link(device_id: i64, realm: i64) -> Statement {
    Statement::new(LINK, vec![device_id.into(), realm.into()])
}

/// The rows that a token's death ends: of the same app, and registered before.
pub(in crate::push) fn struck(
    sql: &dyn Sql,
    token: TokenHash,
    app_id: Option<&str>,
    at: Timestamp,
) -> Result<Vec<i64>, Fault> {
    let params = vec![token.0.to_vec().into(), app_id.into(), at.into()];
    sql.read(Statement::new(DEAD, params))?.iter().map(|row| row.integer(0)).collect()
}

/// All rows with a token.
pub(in crate::push) fn with_token(sql: &dyn Sql, token: TokenHash) -> Result<Vec<i64>, Fault> {
    sql.read(Statement::new(HOLDERS, vec![token.0.to_vec().into()]))?.iter().map(|row| row.integer(0)).collect()
}

/// How many devices there are of each path.
pub(in crate::push) fn counts(sql: &dyn Sql) -> Result<(u64, u64), Fault> {
    let rows = sql.read(Statement::plain(COUNTS))?;
    rows.first().map_or(Ok((0, 0)), |row| Ok((row.unsigned(0)?, row.unsigned(1)?)))
}

/// Counts devices that come or go.
pub(in crate::push) fn add(devices: i64, sealed: i64) -> Statement {
    Statement::new(ADD, vec![devices.into(), sealed.into()])
}

/// The kind of a number that is stored.
pub(in crate::push) fn stored_kind(number: i64) -> Result<Kind, Fault> {
    kind_of(number).ok_or_else(|| Fault::Corrupt(String::from("no such kind of device")))
}
