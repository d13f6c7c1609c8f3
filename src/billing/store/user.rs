//! Billing users, and those who are to become some.

use super::{corrupt, single};
use crate::billing::identity::{NextPage, Subject, UriScheme};
use crate::billing::mail::Sent;
use crate::billing::user::{BillingUser, Preferences};
use crate::kernel::fault::Fault;
use crate::kernel::network::ClientNetwork;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

const COLUMNS_BY_ID: &str = "SELECT user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
    tos_version, enable_major_release_emails, enable_maintenance_release_emails FROM billing_user WHERE user_id = ?1";
const OF_REALM: &str = "SELECT user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
    tos_version, enable_major_release_emails, enable_maintenance_release_emails FROM billing_user \
    WHERE realm = ?1 AND user_uuid = ?2";
const OF_SERVER: &str = "SELECT user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
    tos_version, enable_major_release_emails, enable_maintenance_release_emails FROM billing_user \
    WHERE realm IS NULL AND email = ?1";
const OF_SUBJECT: &str = "SELECT user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
    tos_version, enable_major_release_emails, enable_maintenance_release_emails FROM billing_user \
    WHERE realm IS ?1 AND is_active = 1 ORDER BY user_id LIMIT ?2";
const PAGE: &str = "SELECT user_id, realm, user_uuid, email, full_name, date_joined, last_login, is_active, \
    tos_version, enable_major_release_emails, enable_maintenance_release_emails FROM billing_user \
    WHERE user_id > ?1 ORDER BY user_id LIMIT ?2";
const COUNT: &str = "SELECT count(*) FROM billing_user";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'billing_user'";
const PUT: &str = "INSERT INTO billing_user (user_id, realm, user_uuid, email, full_name, date_joined, last_login, \
    is_active, tos_version, enable_major_release_emails, enable_maintenance_release_emails) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (user_id) DO UPDATE SET \
    full_name = excluded.full_name, last_login = excluded.last_login, is_active = excluded.is_active, \
    tos_version = excluded.tos_version, enable_major_release_emails = excluded.enable_major_release_emails, \
    enable_maintenance_release_emails = excluded.enable_maintenance_release_emails";

const PREREG_PUT: &str = "INSERT INTO billing_preregistration (key_hash, realm, user_uuid, email, full_name, \
    date_joined, status, next_page, uri_scheme, created_user, network) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, NULL, ?9)";
const PREREG_BY_KEY: &str = "SELECT prereg_id, realm, user_uuid, email, full_name, date_joined, status, next_page, \
    uri_scheme FROM billing_preregistration WHERE key_hash = ?1";
const PREREG_USE: &str = "UPDATE billing_preregistration SET status = 1, created_user = ?2 WHERE prereg_id = ?1";
const PREREG_NAME: &str = "UPDATE billing_preregistration SET created_user = ?2 WHERE prereg_id = ?1";
const PREREG_SENT: &str = "SELECT date_joined, network FROM billing_preregistration WHERE date_joined > ?1";
const PREREG_OLDEST: &str = "SELECT min(date_joined) FROM billing_preregistration";
const PREREG_FORGET: &str = "DELETE FROM billing_preregistration WHERE date_joined <= ?1";

/// Somebody who is to become a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preregistration {
    pub(crate) prereg_id: u64,
    /// The organization and the user's name on its server; nothing for a server's own.
    pub(crate) realm: Option<(Uuid, Uuid)>,
    pub(crate) email: String,
    pub(crate) full_name: String,
    pub(crate) date_joined: Timestamp,
    pub(crate) status: Status,
    pub(crate) next_page: Option<NextPage>,
    pub(crate) uri_scheme: UriScheme,
}

/// What has become of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    New,
    Used,
    Revoked,
}

fn uuid(text: &str) -> Result<Uuid, Fault> {
    Uuid::parse(text).ok_or_else(|| corrupt("uuid"))
}

fn realm_and_user(row: &Row) -> Result<Option<(Uuid, Uuid)>, Fault> {
    match (row.text_or_null(1)?, row.text_or_null(2)?) {
        (Some(realm), Some(user)) => Ok(Some((uuid(realm)?, uuid(user)?))),
        _ => Ok(None),
    }
}

fn user(server: &Uuid, row: &Row) -> Result<BillingUser, Fault> {
    let (subject, user_uuid) = match realm_and_user(row)? {
        Some((realm, user)) => (Subject::Realm(realm), Some(user)),
        None => (Subject::Server(server.clone()), None),
    };
    Ok(BillingUser {
        user_id: row.unsigned(0)?,
        subject,
        user_uuid,
        email: row.text(3)?.to_owned(),
        full_name: row.text(4)?.to_owned(),
        date_joined: row.time(5)?,
        last_login: row.unsigned_or_null(6)?.map(Timestamp::from_millis),
        is_active: row.integer(7)? != 0,
        terms_version: row.text(8)?.to_owned(),
        preferences: Preferences { major_releases: row.integer(9)? != 0, maintenance_releases: row.integer(10)? != 0 },
    })
}

fn one(sql: &dyn Sql, server: &Uuid, statement: Statement) -> Result<Option<BillingUser>, Fault> {
    sql.read(statement)?.first().map(|row| user(server, row)).transpose()
}

pub(crate) fn by_id(sql: &dyn Sql, server: &Uuid, user_id: u64) -> Result<Option<BillingUser>, Fault> {
    one(sql, server, Statement::new(COLUMNS_BY_ID, vec![user_id.into()]))
}

pub(crate) fn of_realm(sql: &dyn Sql, server: &Uuid, realm: &Uuid, user: &Uuid) -> Result<Option<BillingUser>, Fault> {
    one(sql, server, Statement::new(OF_REALM, vec![realm.as_str().into(), user.as_str().into()]))
}

pub(crate) fn of_server(sql: &dyn Sql, server: &Uuid, email: &str) -> Result<Option<BillingUser>, Fault> {
    one(sql, server, Statement::new(OF_SERVER, vec![email.into()]))
}

/// Those who may sign in for an organization or a server, as many as a page shows.
pub(crate) fn of_subject(
    sql: &dyn Sql,
    server: &Uuid,
    subject: &Subject,
    most: u64,
) -> Result<Vec<BillingUser>, Fault> {
    let realm = match subject {
        Subject::Realm(realm) => Some(realm.as_str()),
        Subject::Server(_) => None,
    };
    let rows = sql.read(Statement::new(OF_SUBJECT, vec![realm.into(), most.into()]))?;
    rows.iter().map(|row| user(server, row)).collect()
}

/// Everybody after a number, closed accounts too.
pub(crate) fn page(sql: &dyn Sql, server: &Uuid, after: u64, most: u64) -> Result<Vec<BillingUser>, Fault> {
    sql.read(Statement::new(PAGE, vec![after.into(), most.into()]))?.iter().map(|row| user(server, row)).collect()
}

pub(crate) fn count(sql: &dyn Sql) -> Result<u64, Fault> {
    single(&sql.read(Statement::plain(COUNT))?)?.unsigned(0)
}

/// A number that no user has had. The row is written under it within the same event.
pub(crate) fn next_id(sql: &dyn Sql) -> Result<u64, Fault> {
    Ok(single(&sql.read(Statement::plain(NEWEST))?)?.unsigned(0)? + 1)
}

/// Writes a user, new or changed.
pub(crate) fn put(user: &BillingUser) -> Statement {
    let realm = match &user.subject {
        Subject::Realm(realm) => Some(realm.as_str()),
        Subject::Server(_) => None,
    };
    let flag = |is_on: bool| Value::Integer(i64::from(is_on));
    let params = vec![
        user.user_id.into(),
        realm.into(),
        user.user_uuid.as_ref().map(Uuid::as_str).into(),
        user.email.as_str().into(),
        user.full_name.as_str().into(),
        user.date_joined.into(),
        user.last_login.into(),
        flag(user.is_active),
        user.terms_version.as_str().into(),
        flag(user.preferences.major_releases),
        flag(user.preferences.maintenance_releases),
    ];
    Statement::new(PUT, params)
}

/// Writes down somebody who is to become a user. Number and status are the row's own.
pub(crate) fn preregister(key_hash: Vec<u8>, prereg: &Preregistration, network: &ClientNetwork) -> Statement {
    let (realm, user) = prereg.realm.as_ref().map(|(realm, user)| (realm.as_str(), user.as_str())).unzip();
    let params = vec![
        key_hash.into(),
        realm.into(),
        user.into(),
        prereg.email.as_str().into(),
        prereg.full_name.as_str().into(),
        prereg.date_joined.into(),
        prereg.next_page.map(NextPage::name).into(),
        prereg.uri_scheme.prefix().into(),
        network.as_str().into(),
    ];
    Statement::new(PREREG_PUT, params)
}

/// Whoever a link belongs to.
pub(crate) fn by_key(sql: &dyn Sql, key_hash: Vec<u8>) -> Result<Option<Preregistration>, Fault> {
    let read = |row: &Row| {
        Ok(Preregistration {
            prereg_id: row.unsigned(0)?,
            realm: realm_and_user(row)?,
            email: row.text(3)?.to_owned(),
            full_name: row.text(4)?.to_owned(),
            date_joined: row.time(5)?,
            status: match row.integer(6)? {
                0 => Status::New,
                1 => Status::Used,
                _ => Status::Revoked,
            },
            next_page: row.text_or_null(7)?.and_then(NextPage::parse),
            uri_scheme: UriScheme::parse(row.text(8)?).ok_or_else(|| corrupt("scheme"))?,
        })
    };
    sql.read(Statement::new(PREREG_BY_KEY, vec![key_hash.into()]))?.first().map(read).transpose()
}

/// The link is used up, and this is who came of it.
pub(crate) fn use_up(prereg_id: u64, user_id: u64) -> Statement {
    Statement::new(PREREG_USE, vec![prereg_id.into(), user_id.into()])
}

/// This is who came of a link that stays usable.
pub(crate) fn name_user(prereg_id: u64, user_id: u64) -> Statement {
    Statement::new(PREREG_NAME, vec![prereg_id.into(), user_id.into()])
}

/// The letters that were asked for after a time.
pub(crate) fn sent_after(sql: &dyn Sql, after: Timestamp) -> Result<Vec<Sent>, Fault> {
    let read = |row: &Row| {
        let network = network_of(row.text(1)?);
        Ok(Sent { at: row.time(0)?, network })
    };
    sql.read(Statement::new(PREREG_SENT, vec![after.into()]))?.iter().map(read).collect()
}

/// As it was written down: an address, the first one of a /64, or a word, which counts as unknown.
fn network_of(text: &str) -> ClientNetwork {
    let address = text.strip_suffix("/64").unwrap_or(text);
    ClientNetwork::from_header(Some(address))
}

/// When the oldest was written down.
pub(crate) fn oldest(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    let rows = sql.read(Statement::plain(PREREG_OLDEST))?;
    Ok(single(&rows)?.unsigned_or_null(0)?.map(Timestamp::from_millis))
}

/// Forgets all that were written down until then.
pub(crate) fn forget_until(until: Timestamp) -> Statement {
    Statement::new(PREREG_FORGET, vec![until.into()])
}
