//! What waits: notifications for providers, and duties towards other objects.

use super::device::stored_kind;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::device::{Token, number_of};
use crate::push::queue::{Delivery, Duty, DutyAct, Path};

const LAST_DELIVERY: &str = "SELECT coalesce(max(delivery_id), 0) FROM delivery";
const COUNT_DELIVERIES: &str = "SELECT count(*) FROM (SELECT 1 FROM delivery LIMIT ?1)";
const PUT_DELIVERY: &str = "INSERT INTO delivery (delivery_id, path, device_id, kind, token, ios_app_id, \
    registered_at, parcel, begun_at, attempts, due_at, realm_id) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const DUE: &str = "SELECT delivery_id, path, device_id, kind, token, ios_app_id, registered_at, parcel, begun_at, \
    attempts, realm_id FROM delivery WHERE due_at <= ?1 ORDER BY due_at, delivery_id LIMIT ?2";
const NEXT_DELIVERY: &str = "SELECT min(due_at) FROM delivery";
const PUT_OFF: &str = "UPDATE delivery SET due_at = ?2, attempts = ?3 WHERE delivery_id = ?1";
const REMOVE_DELIVERY: &str = "DELETE FROM delivery WHERE delivery_id = ?1";

const LAST_DUTY: &str = "SELECT coalesce(max(duty_id), 0) FROM duty";
const PUT_DUTY: &str = "INSERT OR REPLACE INTO duty (duty_id, kind, name, act, extra, due_at, attempts) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DUE_DUTIES: &str = "SELECT duty_id, kind, name, act, extra, attempts FROM duty WHERE due_at <= ?1 \
    ORDER BY due_at, duty_id LIMIT ?2";
const NEXT_DUTY: &str = "SELECT min(due_at) FROM duty";
const PUT_OFF_DUTY: &str = "UPDATE duty SET due_at = ?2, attempts = attempts + 1 WHERE duty_id = ?1";
const REMOVE_DUTY: &str = "DELETE FROM duty WHERE duty_id = ?1";

/// The newest number of a delivery.
pub(in crate::push) fn last_delivery(sql: &dyn Sql) -> Result<i64, Fault> {
    sql.read(Statement::plain(LAST_DELIVERY))?.first().map_or(Ok(0), |row| row.integer(0))
}

/// How many notifications wait, counted up to `limit`.
pub(in crate::push) fn count_deliveries(sql: &dyn Sql, limit: u64) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(COUNT_DELIVERIES, vec![limit.into()]))?)
}

/// Keeps a notification until a provider has taken it.
pub(in crate::push) fn put_delivery(delivery: &Delivery, due: Timestamp) -> Statement {
    let path: u32 = match delivery.path {
        Path::Legacy => 0,
        Path::Sealed => 1,
    };
    let params = vec![
        delivery.delivery_id.into(),
        path.into(),
        delivery.device_id.into(),
        number_of(delivery.token.kind).into(),
        delivery.token.token.as_str().into(),
        delivery.token.app_id.as_deref().into(),
        delivery.registered_at.into(),
        delivery.parcel.as_str().into(),
        delivery.begun_at.into(),
        delivery.attempts.into(),
        due.into(),
        delivery.realm.into(),
    ];
    Statement::new(PUT_DELIVERY, params)
}

/// The notifications whose time has come, longest waiting first.
pub(in crate::push) fn due_deliveries(sql: &dyn Sql, now: Timestamp, limit: usize) -> Result<Vec<Delivery>, Fault> {
    let parse = |row: &Row| {
        Ok(Delivery {
            delivery_id: row.integer(0)?,
            path: if row.integer(1)? == 1 { Path::Sealed } else { Path::Legacy },
            realm: super::integer_or_null(row, 10)?,
            device_id: row.integer(2)?,
            token: Token {
                kind: stored_kind(row.integer(3)?)?,
                token: row.text(4)?.to_owned(),
                app_id: row.text_or_null(5)?.map(str::to_owned),
            },
            registered_at: row.time(6)?,
            parcel: row.text(7)?.to_owned(),
            begun_at: row.time(8)?,
            attempts: u32::try_from(row.unsigned(9)?).unwrap_or(u32::MAX),
        })
    };
    sql.read(Statement::new(DUE, vec![now.into(), limit.into()]))?.iter().map(parse).collect()
}

/// When the next notification is due.
pub(in crate::push) fn next_delivery(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT_DELIVERY))?)
}

/// A notification is due later.
pub(in crate::push) fn put_off(delivery: &Delivery, due: Timestamp) -> Statement {
    Statement::new(PUT_OFF, vec![delivery.delivery_id.into(), due.into(), delivery.attempts.into()])
}

/// A notification waits no longer.
pub(in crate::push) fn remove_delivery(delivery_id: i64) -> Statement {
    Statement::new(REMOVE_DELIVERY, vec![delivery_id.into()])
}

/// The newest number of a duty.
pub(in crate::push) fn last_duty(sql: &dyn Sql) -> Result<i64, Fault> {
    sql.read(Statement::plain(LAST_DUTY))?.first().map_or(Ok(0), |row| row.integer(0))
}

/// Keeps a duty, instead of an older one about the same name.
pub(in crate::push) fn put_duty(duty: &Duty, due: Timestamp) -> Statement {
    let params = vec![
        duty.duty_id.into(),
        duty.kind.as_str().into(),
        duty.name.as_str().into(),
        duty.act.word().into(),
        duty.extra.as_str().into(),
        due.into(),
        duty.attempts.into(),
    ];
    Statement::new(PUT_DUTY, params)
}

/// The duties whose time has come.
pub(in crate::push) fn due_duties(sql: &dyn Sql, now: Timestamp, limit: usize) -> Result<Vec<Duty>, Fault> {
    let parse = |row: &Row| {
        Ok(Duty {
            duty_id: row.integer(0)?,
            kind: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            act: DutyAct::parse(row.text(3)?).ok_or_else(|| Fault::Corrupt(String::from("no such duty")))?,
            extra: row.text(4)?.to_owned(),
            attempts: u32::try_from(row.unsigned(5)?).unwrap_or(u32::MAX),
        })
    };
    sql.read(Statement::new(DUE_DUTIES, vec![now.into(), limit.into()]))?.iter().map(parse).collect()
}

/// When the next duty is due.
pub(in crate::push) fn next_duty(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT_DUTY))?)
}

/// A duty is due later.
pub(in crate::push) fn put_off_duty(duty_id: i64, due: Timestamp) -> Statement {
    Statement::new(PUT_OFF_DUTY, vec![duty_id.into(), due.into()])
}

/// A duty is done.
pub(in crate::push) fn remove_duty(duty_id: i64) -> Statement {
    Statement::new(REMOVE_DUTY, vec![duty_id.into()])
}
