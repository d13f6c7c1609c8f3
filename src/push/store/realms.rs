//! Organizations with all that is known of them. Their profiles are text here; `wire` reads it.

use std::collections::BTreeMap;

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::realm_sync::Presence;
use crate::push::registration::SEEN_MS;
use crate::push::tier::PlanType;
use crate::push::uuid::Uuid;

const COLUMNS: &str = "SELECT realm_id, uuid, number, profile, host, name, locally_deleted, plan_type, \
    registration_deactivated, date_created, created_at, last_updated, last_request_at, owner_secret, lost_at \
    FROM realm WHERE realm_id > ?1 ORDER BY realm_id LIMIT ?2";
const BY_UUID: &str = "SELECT realm_id, uuid, number, profile, host, name, locally_deleted, plan_type, \
    registration_deactivated, date_created, created_at, last_updated, last_request_at, owner_secret, lost_at \
    FROM realm WHERE uuid = ?1";
const LAST: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'realm'";
const ADD: &str = "INSERT INTO realm (realm_id, uuid, host, name, owner_secret, created_at, last_updated, number, profile, \
    date_created) VALUES (?9, ?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)";
// One that was here before has its row again.
const ADOPT: &str = "INSERT INTO realm (realm_id, uuid, host, name, owner_secret, created_at, last_updated, profile, \
    date_created) VALUES ((SELECT realm_id FROM realm_moved WHERE realm_uuid = ?1), ?1, ?2, ?3, ?4, ?5, ?5, \
    nullif(?6, ''), ?7)";
const UPDATE: &str = "UPDATE realm SET number = ?2, profile = ?3, host = ?4, name = ?5, locally_deleted = ?6, \
    last_updated = ?7, lost_at = CASE ?6 WHEN 1 THEN ?7 ELSE lost_at END WHERE realm_id = ?1";
const SET_PLAN_TYPE: &str = "UPDATE realm SET plan_type = ?2, last_updated = ?3 WHERE uuid = ?1";
const SET_SERVER_PLAN_TYPE: &str = "UPDATE server SET plan_type = ?1, last_updated = ?2 WHERE id = 1";
const SERVER_PLAN_TYPE: &str = "SELECT plan_type FROM server WHERE id = 1";
const SEE: &str = "UPDATE realm SET last_request_at = ?2 WHERE realm_id = ?1 AND ifnull(last_request_at, 0) <= ?3";
// Of several the one that its server still reports counts, else the newest.
const NUMBERS: &str =
    "SELECT number, realm_id FROM realm WHERE number IS NOT NULL ORDER BY locally_deleted DESC, realm_id";
const STANDINGS: &str = "SELECT uuid, realm_id, number IS NOT NULL, plan_type FROM realm";
const REMOVE: &str = "DELETE FROM realm WHERE realm_id = ?1";
const COUNT: &str = "SELECT count(*) FROM realm";

/// An organization's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct RealmRow {
    /// Its row's id.
    pub realm_id: i64,
    /// Its name.
    pub uuid: Uuid,
    /// Its number on its server.
    pub number: Option<i64>,
    /// What its server reports of it, as text; nothing before the first upload.
    pub profile: Option<String>,
    /// Its host.
    pub host: String,
    /// What its users call it.
    pub name: String,
    /// Whether it is missing from what its server reports.
    pub locally_deleted: bool,
    /// When it was last found missing.
    pub lost_at: Option<Timestamp>,
    /// What it may use.
    pub plan_type: PlanType,
    /// The operator's own switch.
    pub registration_deactivated: bool,
    /// Since when it exists on its server.
    pub date_created: Option<Timestamp>,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// When anything of it changed.
    pub last_updated: Timestamp,
    /// When it was in a request.
    pub last_request_at: Option<Timestamp>,
    /// The hash of its owner's secret.
    pub owner_secret: Vec<u8>,
}

/// What is written of an organization's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) struct ProfileText<'a> {
    /// The whole, as JSON.
    pub text: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// At most `limit` organizations after one, in the order in which they came.
pub(in crate::push) fn load_page(sql: &dyn Sql, after: i64, limit: u64) -> Result<Vec<RealmRow>, Fault> {
    sql.read(Statement::new(COLUMNS, vec![after.into(), limit.into()]))?.iter().map(parse).collect()
}

/// The organization of a name.
pub(in crate::push) fn load(sql: &dyn Sql, uuid: &str) -> Result<Option<RealmRow>, Fault> {
    sql.read(Statement::new(BY_UUID, vec![uuid.into()]))?.first().map(parse).transpose()
}

/// Which organization's row a number is.
pub(in crate::push) fn load_numbers(sql: &dyn Sql) -> Result<BTreeMap<i64, i64>, Fault> {
    let rows = sql.read(Statement::plain(NUMBERS))?;
    rows.iter().map(|row| Ok((row.integer(0)?, row.integer(1)?))).collect()
}

/// What decides whether an organization may push, beside its people and plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) struct RealmStand {
    /// Its row's id.
    pub realm_id: i64,
    /// Whether its server has told of it.
    pub is_numbered: bool,
    /// What it may use.
    pub plan_type: PlanType,
}

impl From<&RealmRow> for RealmStand {
    fn from(row: &RealmRow) -> Self {
        Self { realm_id: row.realm_id, is_numbered: row.number.is_some(), plan_type: row.plan_type }
    }
}

/// The same of all organizations, by name.
pub(in crate::push) fn load_stands(sql: &dyn Sql) -> Result<BTreeMap<String, RealmStand>, Fault> {
    let parse = |row: &Row| {
        let plan_type = PlanType::parse(row.unsigned(3)?);
        let plan_type = plan_type.ok_or_else(|| Fault::Corrupt(String::from("a realm's plan type")))?;
        let stand = RealmStand { realm_id: row.integer(1)?, is_numbered: row.unsigned(2)? == 1, plan_type };
        Ok((row.text(0)?.to_owned(), stand))
    };
    sql.read(Statement::plain(STANDINGS))?.iter().map(parse).collect()
}

/// How many there are.
pub(in crate::push) fn count(sql: &dyn Sql) -> Result<u64, Fault> {
    let rows = sql.read(Statement::plain(COUNT))?;
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?.unsigned(0)
}

fn parse(row: &Row) -> Result<RealmRow, Fault> {
    let corrupt = |what: &str| Fault::Corrupt(format!("a realm's {what}"));
    let time = |index| row.unsigned_or_null(index).map(|ms| ms.map(Timestamp::from_millis));
    let number = match row.0.get(2) {
        Some(Value::Null) => None,
        _ => Some(row.integer(2)?),
    };
    Ok(RealmRow {
        realm_id: row.integer(0)?,
        uuid: Uuid::parse(row.text(1)?).ok_or_else(|| corrupt("uuid"))?,
        number,
        profile: row.text_or_null(3)?.map(str::to_owned),
        host: row.text(4)?.to_owned(),
        name: row.text(5)?.to_owned(),
        locally_deleted: row.unsigned(6)? == 1,
        lost_at: time(14)?,
        plan_type: PlanType::parse(row.unsigned(7)?).ok_or_else(|| corrupt("plan type"))?,
        registration_deactivated: row.unsigned(8)? == 1,
        date_created: time(9)?,
        created_at: row.time(10)?,
        last_updated: row.time(11)?,
        last_request_at: time(12)?,
        owner_secret: row.blob(13)?.to_vec(),
    })
}

/// The newest row that any organization has had.
pub(in crate::push) fn last_id(sql: &dyn Sql) -> Result<i64, Fault> {
    sql.read(Statement::plain(LAST))?.first().map_or(Ok(0), |row| row.integer(0))
}

/// Adds an organization. Its row is one that none has had.
#[must_use]
pub(in crate::push) fn add(
    realm_id: i64,
    uuid: &Uuid,
    number: i64,
    profile: ProfileText<'_>,
    owner_secret: &[u8],
    date_created: Timestamp,
    now: Timestamp,
) -> Statement {
    let params = vec![
        uuid.as_str().into(),
        profile.host.into(),
        profile.name.into(),
        owner_secret.to_vec().into(),
        now.into(),
        number.into(),
        profile.text.into(),
        date_created.into(),
        realm_id.into(),
    ];
    Statement::new(ADD, params)
}

/// Adds an organization that comes from another server; its number here is not known yet.
#[must_use]
pub(in crate::push) fn adopt(
    uuid: &Uuid,
    profile: ProfileText<'_>,
    owner_secret: &[u8],
    date_created: Timestamp,
    now: Timestamp,
) -> Statement {
    let params = vec![
        uuid.as_str().into(),
        profile.host.into(),
        profile.name.into(),
        owner_secret.to_vec().into(),
        now.into(),
        profile.text.into(),
        date_created.into(),
    ];
    Statement::new(ADOPT, params)
}

/// Changes an organization.
#[must_use]
pub(in crate::push) fn update(
    realm_id: i64,
    number: Option<i64>,
    profile: ProfileText<'_>,
    presence: Presence,
    now: Timestamp,
) -> Statement {
    let params = vec![
        realm_id.into(),
        number.into(),
        profile.text.into(),
        profile.host.into(),
        profile.name.into(),
        u32::from(presence == Presence::Missing).into(),
        now.into(),
    ];
    Statement::new(UPDATE, params)
}

/// Changes what an organization may use.
#[must_use]
pub(in crate::push) fn set_plan_type(uuid: &Uuid, plan_type: PlanType, now: Timestamp) -> Statement {
    Statement::new(SET_PLAN_TYPE, vec![uuid.as_str().into(), plan_type.number().into(), now.into()])
}

/// Changes what the server may use.
#[must_use]
pub(in crate::push) fn set_server_plan_type(plan_type: PlanType, now: Timestamp) -> Statement {
    Statement::new(SET_SERVER_PLAN_TYPE, vec![plan_type.number().into(), now.into()])
}

/// What the server may use.
pub(in crate::push) fn load_server_plan_type(sql: &dyn Sql) -> Result<PlanType, Fault> {
    let rows = sql.read(Statement::plain(SERVER_PLAN_TYPE))?;
    let Some(row) = rows.first() else { return Ok(PlanType::SelfManaged) };
    PlanType::parse(row.unsigned(0)?).ok_or_else(|| Fault::Corrupt(String::from("the server's plan type")))
}

/// Keeps when an organization was in a request, to the minute.
#[must_use]
pub(in crate::push) fn see(realm_id: i64, now: Timestamp) -> Statement {
    Statement::new(SEE, vec![realm_id.into(), now.into(), now.minus(SEEN_MS).into()])
}

/// Removes an organization that has moved away.
#[must_use]
pub(in crate::push) fn remove(realm_id: i64) -> Statement {
    Statement::new(REMOVE, vec![realm_id.into()])
}
