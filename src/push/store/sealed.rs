//! Devices whose registration was sealed.

use super::device::stored_kind;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::device::{Token, TokenHash, number_of};
use crate::push::sealed::TokenId;
use crate::push::sealed_device::{SealedDevice, SealedName};

const COLUMNS_BY_TOKEN: &str = "SELECT device_id, kind, token, ios_app_id, registered_at, expired_at \
    FROM sealed_device WHERE realm_id = ?1 AND token_id = ?2";
const COLUMNS_BY_DEVICE: &str = "SELECT device_id, kind, token, ios_app_id, registered_at, expired_at \
    FROM sealed_device WHERE realm_id = ?1 AND device_id = ?2";
const COLUMNS_BY_ACCOUNT: &str = "SELECT device_id, kind, token, ios_app_id, registered_at, expired_at \
    FROM sealed_device WHERE realm_id = ?1 AND push_account_id = ?2 AND token_hash = ?3";
const PUT: &str = "INSERT INTO sealed_device (device_id, realm_id, token_id, push_account_id, kind, token, token_hash, \
    ios_app_id, registered_at, expired_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)";
const REVIVE: &str = "UPDATE sealed_device SET expired_at = NULL, registered_at = ?2, ios_app_id = ?3 \
    WHERE device_id = ?1";
const EXPIRE: &str = "UPDATE sealed_device SET expired_at = ?2 WHERE device_id = ?1 AND expired_at IS NULL";
const REMOVE: &str = "DELETE FROM sealed_device WHERE device_id = ?1";
const LAST: &str = "SELECT last_sealed FROM tally WHERE id = 1";
const PUT_LAST: &str = "INSERT INTO tally (id, devices, sealed, last_sealed) VALUES (1, 0, 1, ?1) \
    ON CONFLICT (id) DO UPDATE SET sealed = sealed + 1, last_sealed = ?1";
const OLDEST_EXPIRED: &str = "SELECT min(expired_at) FROM sealed_device WHERE expired_at IS NOT NULL";
const COUNT_SWEPT: &str = "SELECT count(*) FROM (SELECT 1 FROM sealed_device WHERE expired_at <= ?1 LIMIT ?2)";
const SWEEP: &str = "DELETE FROM sealed_device WHERE device_id IN \
    (SELECT device_id FROM sealed_device WHERE expired_at <= ?1 ORDER BY expired_at LIMIT ?2)";

fn parse(row: &Row) -> Result<SealedDevice, Fault> {
    Ok(SealedDevice {
        device_id: row.integer(0)?,
        token: Token {
            kind: stored_kind(row.integer(1)?)?,
            token: row.text(2)?.to_owned(),
            app_id: row.text_or_null(3)?.map(str::to_owned),
        },
        registered_at: row.time(4)?,
        expired_at: row.unsigned_or_null(5)?.map(Timestamp::from_millis),
    })
}

fn one(sql: &dyn Sql, statement: Statement) -> Result<Option<SealedDevice>, Fault> {
    sql.read(statement)?.first().map(parse).transpose()
}

/// The device of an organization by its token's id.
pub(in crate::push) fn by_token(sql: &dyn Sql, realm: i64, token: TokenId) -> Result<Option<SealedDevice>, Fault> {
    one(sql, Statement::new(COLUMNS_BY_TOKEN, vec![realm.into(), token.0.to_vec().into()]))
}

/// The device of an organization by our number.
pub(in crate::push) fn by_device(sql: &dyn Sql, realm: i64, device_id: i64) -> Result<Option<SealedDevice>, Fault> {
    one(sql, Statement::new(COLUMNS_BY_DEVICE, vec![realm.into(), device_id.into()]))
}

/// The device of an organization by what its server knows it by.
pub(in crate::push) fn by_name(
    sql: &dyn Sql,
    realm: i64,
    name: SealedName,
    token: TokenHash,
) -> Result<Option<SealedDevice>, Fault> {
    match name {
        SealedName::Token(token_id) => by_token(sql, realm, token_id),
        SealedName::Account(account) => {
            one(sql, Statement::new(COLUMNS_BY_ACCOUNT, vec![realm.into(), account.into(), token.0.to_vec().into()]))
        }
    }
}

/// The newest number of a device.
pub(in crate::push) fn last_id(sql: &dyn Sql) -> Result<i64, Fault> {
    sql.read(Statement::plain(LAST))?.first().map_or(Ok(0), |row| row.integer(0))
}

/// Keeps a device under a new number.
pub(in crate::push) fn put(
    device_id: i64,
    realm: i64,
    name: SealedName,
    token: &Token,
    now: Timestamp,
) -> [Statement; 2] {
    let (token_id, account): (Value, Value) = match name {
        SealedName::Token(token_id) => (token_id.0.to_vec().into(), Value::Null),
        SealedName::Account(account) => (Value::Null, account.into()),
    };
    let params = vec![
        device_id.into(),
        realm.into(),
        token_id,
        account,
        number_of(token.kind).into(),
        token.token.as_str().into(),
        sealed_hash(token).0.to_vec().into(),
        token.app_id.as_deref().into(),
        now.into(),
    ];
    [Statement::new(PUT, params), Statement::new(PUT_LAST, vec![device_id.into()])]
}

/// Sealed tokens are compared with regard to case, as their ids are.
pub(in crate::push) fn sealed_hash(token: &Token) -> TokenHash {
    TokenHash::exact(token.kind, &token.token)
}

/// A device that was registered again.
pub(in crate::push) fn revive(device_id: i64, token: &Token, now: Timestamp) -> Statement {
    Statement::new(REVIVE, vec![device_id.into(), now.into(), token.app_id.as_deref().into()])
}

/// A device whose token is dead.
pub(in crate::push) fn expire(device_id: i64, now: Timestamp) -> Statement {
    Statement::new(EXPIRE, vec![device_id.into(), now.into()])
}

/// Forgets a device.
pub(in crate::push) fn remove(device_id: i64) -> Statement {
    Statement::new(REMOVE, vec![device_id.into()])
}

/// Since when the oldest dead device is dead.
pub(in crate::push) fn oldest_expired(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(OLDEST_EXPIRED))?)
}

/// At most `limit` devices that have been dead since `before`.
pub(in crate::push) fn count_expired(sql: &dyn Sql, before: Timestamp, limit: u64) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(COUNT_SWEPT, vec![before.into(), limit.into()]))?)
}

/// Forgets the devices that [`count_expired`] counts.
pub(in crate::push) fn sweep(before: Timestamp, limit: u64) -> Statement {
    Statement::new(SWEEP, vec![before.into(), limit.into()])
}
