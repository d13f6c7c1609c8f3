//! What operators read of a server, and the small tables of its chores.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::webhook::WAITING_MAX;

const REMOVED: &str = "SELECT removed_at FROM server WHERE id = 1";
const SET_REMOVED: &str = "UPDATE server SET removed_at = ?1, contact_email = '', hostname = '', key_hash = zeroblob(32), \
    old_key_hash = NULL, old_key_until = NULL, last_version = NULL, last_merge_base = NULL, last_feature_level = NULL, last_audit_update = NULL \
    WHERE id = 1";
const LAST_UPDATED: &str = "SELECT last_updated, org_type FROM server WHERE id = 1";

const TOKENS: &str = "SELECT d.device_id, d.kind, hex(d.token_hash), d.ios_app_id, d.user_id, d.user_uuid, r.uuid, \
    d.registered_at FROM device d LEFT JOIN realm r ON r.realm_id = d.realm_id WHERE d.device_id > ?1 \
    ORDER BY d.device_id LIMIT ?2";

// What is told is as it is now, after the statements before this one, whenever it is told and however often. Its shape is that
// of `wire::operator::plan_of`. Less than 2 KiB: its texts are bounded, and the rest are numbers.
const PUT_EVENT: &str = "INSERT INTO billing_event (body, created_at, due_at, attempts) SELECT json_object( \
    'event', json(?1), \
    'plan_type', CASE WHEN ?2 = '' THEN (SELECT plan_type FROM server WHERE id = 1) \
    ELSE coalesce((SELECT plan_type FROM realm WHERE uuid = ?2), 100) END, \
    'billing', json_object('customer', json((SELECT json_object( \
    'payment_reference', payment_reference, \
    'sponsorship_pending', json(CASE sponsorship_pending WHEN 1 THEN 'true' ELSE 'false' END), \
    'monthly_discounted_price', monthly_discounted_price, 'annual_discounted_price', annual_discounted_price, \
    'minimum_licenses', minimum_licenses, 'required_plan_tier', required_plan_tier, \
    'exempt_from_license_number_check', \
    json(CASE exempt_from_license_number_check WHEN 1 THEN 'true' ELSE 'false' END), \
    'flat_discount', flat_discount, 'flat_discounted_months', flat_discounted_months) \
    FROM customer WHERE realm_uuid = ?2)), 'plan', json((SELECT json_object( \
    'tier', p.tier, 'status', p.status, \
    'automanage_licenses', json(CASE p.automanage_licenses WHEN 1 THEN 'true' ELSE 'false' END), \
    'charge_automatically', json(CASE p.charge_automatically WHEN 1 THEN 'true' ELSE 'false' END), \
    'price_per_license', p.price_per_license, 'fixed_price', p.fixed_price, 'discount', p.discount, \
    'billing_cycle_anchor', p.billing_cycle_anchor / 1000, 'billing_schedule', p.billing_schedule, \
    'next_invoice_date', p.next_invoice_date / 1000, 'end_date', p.end_date / 1000, \
    'licenses', (SELECT licenses FROM license_ledger WHERE plan_id = p.plan_id ORDER BY ledger_id DESC LIMIT 1), \
    'licenses_not_invoiced', p.owed_licenses, 'amount_not_invoiced', p.owed_amount, \
    'licenses_at_next_renewal', (SELECT licenses_at_next_renewal FROM license_ledger WHERE plan_id = p.plan_id \
    ORDER BY ledger_id DESC LIMIT 1)) \
    FROM plan p JOIN customer c ON c.customer_id = p.customer_id WHERE c.realm_uuid = ?2 AND p.status < 10)))), \
    ?3, ?3, 0";
const TRIM_EVENTS: &str = "DELETE FROM billing_event WHERE event_id <= (SELECT max(event_id) FROM billing_event) - ?1";
const DUE_EVENTS: &str = "SELECT event_id, body, created_at, attempts FROM billing_event WHERE due_at <= ?1 \
    ORDER BY due_at, event_id LIMIT ?2";
const NEXT_EVENT: &str = "SELECT min(due_at) FROM billing_event";
const PUT_OFF_EVENT: &str = "UPDATE billing_event SET due_at = ?2, attempts = attempts + 1 WHERE event_id = ?1";
const REMOVE_EVENT: &str = "DELETE FROM billing_event WHERE event_id = ?1";
const SEEN: &str = "SELECT count(*) FROM billing_seen WHERE event = ?1";
const PUT_SEEN: &str = "INSERT OR IGNORE INTO billing_seen (event, seen_at) VALUES (?1, ?2)";
const SWEEP_SEEN: &str = "DELETE FROM billing_seen WHERE seen_at < ?1";

const ANNOUNCE: &str = "INSERT INTO announcement (id, due_at, attempts) VALUES (1, ?1, 0) \
    ON CONFLICT (id) DO UPDATE SET due_at = min(due_at, excluded.due_at)";
const ANNOUNCEMENT: &str = "SELECT due_at, attempts FROM announcement WHERE id = 1";
const PUT_OFF_ANNOUNCEMENT: &str = "UPDATE announcement SET due_at = ?1, attempts = attempts + 1 WHERE id = 1";
const ANNOUNCED: &str = "DELETE FROM announcement WHERE id = 1 AND due_at = ?1";

const INDEX_DUTIES: &str = "SELECT duty_id, realm FROM index_duty ORDER BY duty_id LIMIT ?1";
const INDEX_DUTY_AFTER: &str = "SELECT count(*) FROM (SELECT 1 FROM index_duty WHERE duty_id > ?1 LIMIT 1)";
const FORGET_INDEX_DUTIES: &str = "DELETE FROM index_duty WHERE duty_id <= ?1";
const ANNOUNCEMENTS: &str = "SELECT seq FROM index_state WHERE id = 1";
const PUT_ANNOUNCEMENTS: &str = "UPDATE index_state SET seq = ?1 WHERE id = 1";

const SOME_DEVICES: &str = "SELECT device_id, hex(token_hash) FROM device ORDER BY device_id LIMIT ?1";
const REMOVE_DEVICES: &str =
    "DELETE FROM device WHERE device_id IN (SELECT device_id FROM device ORDER BY device_id LIMIT ?1)";
const SOME_REALMS: &str = "SELECT uuid FROM realm WHERE profile IS NOT NULL OR host != '' ORDER BY realm_id LIMIT ?1";
const BLANK_REALM: &str =
    "UPDATE realm SET host = '', name = '', profile = NULL, owner_secret = zeroblob(32) WHERE uuid = ?1";
const REMOVE_SEALED: &str = "DELETE FROM sealed_device";
const REMOVE_DELIVERIES: &str = "DELETE FROM delivery";
const REMOVE_REALM_COUNTS: &str = "DELETE FROM realm_count";
const REMOVE_INSTALLATION_COUNTS: &str = "DELETE FROM installation_count";
const REMOVE_OWN_COUNTS: &str = "DELETE FROM own_count";
const REMOVE_HEADCOUNTS: &str = "DELETE FROM headcount";
const REMOVE_MARKS: &str = "UPDATE upload_mark SET removed = stored WHERE table_name != 'audit'";
const BLANK_CUSTOMERS: &str = "UPDATE customer SET payment_reference = NULL";
const RESET_TALLY: &str = "UPDATE tally SET devices = 0, sealed = 0";

const UNLINK: &str = "UPDATE device SET realm_id = NULL WHERE realm_id = ?1";
const COUNT_SEALED: &str = "SELECT count(*) FROM sealed_device WHERE realm_id = ?1";
const REMOVE_SEALED_OF: &str = "DELETE FROM sealed_device WHERE realm_id = ?1";

/// A device as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns'")]
pub(in crate::push) struct TokenLine {
    pub(in crate::push) device_id: i64,
    pub(in crate::push) kind: i64,
    pub(in crate::push) token_hash: String,
    pub(in crate::push) ios_app_id: Option<String>,
    pub(in crate::push) user_id: Option<i64>,
    pub(in crate::push) user_uuid: Option<String>,
    pub(in crate::push) realm_uuid: Option<String>,
    pub(in crate::push) registered_at: Timestamp,
}

/// An event that the payment system must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the columns'")]
pub(in crate::push) struct BillingEvent {
    pub(in crate::push) event_id: i64,
    pub(in crate::push) body: String,
    pub(in crate::push) created_at: Timestamp,
    pub(in crate::push) attempts: u64,
}

/// Since when the registration is being removed.
pub(in crate::push) fn load_removed(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(REMOVED))?)
}

/// The registration is being removed.
pub(in crate::push) fn set_removed(now: Timestamp) -> Statement {
    Statement::new(SET_REMOVED, vec![now.into()])
}

/// When anything of the registration changed, and what kind of organization it is.
pub(in crate::push) fn load_last_updated(sql: &dyn Sql) -> Result<(Timestamp, u64), Fault> {
    let rows = sql.read(Statement::plain(LAST_UPDATED))?;
    rows.first().map_or(Ok((Timestamp::EPOCH, 0)), |row| Ok((row.time(0)?, row.unsigned(1)?)))
}

/// A page of devices.
pub(in crate::push) fn load_tokens(sql: &dyn Sql, after: i64, limit: u64) -> Result<Vec<TokenLine>, Fault> {
    let parse = |row: &Row| {
        Ok(TokenLine {
            device_id: row.integer(0)?,
            kind: row.integer(1)?,
            token_hash: row.text(2)?.to_lowercase(),
            ios_app_id: row.text_or_null(3)?.map(str::to_owned),
            user_id: super::integer_or_null(row, 4)?,
            user_uuid: row.text_or_null(5)?.map(str::to_owned),
            realm_uuid: row.text_or_null(6)?.map(str::to_owned),
            registered_at: row.time(7)?,
        })
    };
    sql.read(Statement::new(TOKENS, vec![after.into(), limit.into()]))?.iter().map(parse).collect()
}

/// Keeps an event for the payment system, with the account of a key as the statements before leave it. The oldest give way
/// when it does not listen.
pub(in crate::push) fn put_event(event: String, key: &str, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(PUT_EVENT, vec![event.into(), key.into(), now.into()]),
        Statement::new(TRIM_EVENTS, vec![WAITING_MAX.into()]),
    ]
}

fn event(row: &Row) -> Result<BillingEvent, Fault> {
    Ok(BillingEvent {
        event_id: row.integer(0)?,
        body: row.text(1)?.to_owned(),
        created_at: row.time(2)?,
        attempts: row.unsigned(3)?,
    })
}

/// Events whose time has come.
pub(in crate::push) fn due_events(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<Vec<BillingEvent>, Fault> {
    sql.read(Statement::new(DUE_EVENTS, vec![now.into(), limit.into()]))?.iter().map(event).collect()
}

/// When the next event is due.
pub(in crate::push) fn next_event(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT_EVENT))?)
}

/// An event is tried again later.
pub(in crate::push) fn put_off_event(event_id: i64, due: Timestamp) -> Statement {
    Statement::new(PUT_OFF_EVENT, vec![event_id.into(), due.into()])
}

/// An event is told, or given up.
pub(in crate::push) fn remove_event(event_id: i64) -> Statement {
    Statement::new(REMOVE_EVENT, vec![event_id.into()])
}

/// Whether a message of the payment system has counted already.
pub(in crate::push) fn is_seen(sql: &dyn Sql, event: &str) -> Result<bool, Fault> {
    Ok(super::count(&sql.read(Statement::new(SEEN, vec![event.into()]))?)? > 0)
}

/// A message has counted; those that are too old to be sent again are forgotten.
pub(in crate::push) fn put_seen(event: &str, now: Timestamp, forget: Timestamp) -> [Statement; 2] {
    [Statement::new(SWEEP_SEEN, vec![forget.into()]), Statement::new(PUT_SEEN, vec![event.into(), now.into()])]
}

/// The index must be told how this server is.
pub(in crate::push) fn announce(due: Timestamp) -> Statement {
    Statement::new(ANNOUNCE, vec![due.into()])
}

/// When the index must be told, and how often that failed.
pub(in crate::push) fn load_announcement(sql: &dyn Sql) -> Result<Option<(Timestamp, u64)>, Fault> {
    let rows = sql.read(Statement::plain(ANNOUNCEMENT))?;
    rows.first().map(|row| Ok((row.time(0)?, row.unsigned(1)?))).transpose()
}

/// The index is told again later, unless it answers before.
pub(in crate::push) fn put_off_announcement(due: Timestamp) -> Statement {
    Statement::new(PUT_OFF_ANNOUNCEMENT, vec![due.into()])
}

/// The index was told, unless something has changed since.
pub(in crate::push) fn announced(due: Timestamp) -> Statement {
    Statement::new(ANNOUNCED, vec![due.into()])
}

/// Organizations of which the index must be told, oldest change first.
pub(in crate::push) fn index_duties(sql: &dyn Sql, limit: u64) -> Result<Vec<(i64, String)>, Fault> {
    let rows = sql.read(Statement::new(INDEX_DUTIES, vec![limit.into()]))?;
    rows.iter().map(|row| Ok((row.integer(0)?, row.text(1)?.to_owned()))).collect()
}

/// Whether the index must be told of more organizations than up to a duty.
pub(in crate::push) fn has_index_duty_after(sql: &dyn Sql, duty_id: i64) -> Result<bool, Fault> {
    Ok(super::count(&sql.read(Statement::new(INDEX_DUTY_AFTER, vec![duty_id.into()]))?)? > 0)
}

/// The index knows of organizations up to a duty.
pub(in crate::push) fn forget_index_duties(duty_id: i64) -> Statement {
    Statement::new(FORGET_INDEX_DUTIES, vec![duty_id.into()])
}

/// How many announcements there have been.
pub(in crate::push) fn load_announcements(sql: &dyn Sql) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::plain(ANNOUNCEMENTS))?)
}

/// There has been one more announcement.
pub(in crate::push) fn put_announcements(seq: u64) -> Statement {
    Statement::new(PUT_ANNOUNCEMENTS, vec![seq.into()])
}

/// Some devices' rows and the hashes of their tokens.
pub(in crate::push) fn some_devices(sql: &dyn Sql, limit: u64) -> Result<Vec<String>, Fault> {
    let rows = sql.read(Statement::new(SOME_DEVICES, vec![limit.into()]))?;
    rows.iter().map(|row| row.text(1).map(str::to_lowercase)).collect()
}

/// Removes the devices that [`some_devices`] names.
pub(in crate::push) fn remove_devices(limit: u64) -> Statement {
    Statement::new(REMOVE_DEVICES, vec![limit.into()])
}

/// Some organizations whose names are still kept.
pub(in crate::push) fn some_realms(sql: &dyn Sql, limit: u64) -> Result<Vec<String>, Fault> {
    let rows = sql.read(Statement::new(SOME_REALMS, vec![limit.into()]))?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Forgets what an organization is called and where it is.
pub(in crate::push) fn blank_realm(uuid: &str) -> Statement {
    Statement::new(BLANK_REALM, vec![uuid.into()])
}

/// Removes what is neither audit nor account.
pub(in crate::push) fn remove_rest() -> Vec<Statement> {
    [
        REMOVE_SEALED,
        REMOVE_DELIVERIES,
        REMOVE_REALM_COUNTS,
        REMOVE_INSTALLATION_COUNTS,
        REMOVE_OWN_COUNTS,
        REMOVE_HEADCOUNTS,
        REMOVE_MARKS,
        BLANK_CUSTOMERS,
        RESET_TALLY,
    ]
    .map(Statement::plain)
    .to_vec()
}

/// Sealed devices of an organization.
pub(in crate::push) fn count_sealed(sql: &dyn Sql, realm_id: i64) -> Result<u64, Fault> {
    super::count(&sql.read(Statement::new(COUNT_SEALED, vec![realm_id.into()]))?)
}

/// Takes an organization's devices from it.
pub(in crate::push) fn part_devices(realm_id: i64) -> [Statement; 2] {
    [Statement::new(UNLINK, vec![realm_id.into()]), Statement::new(REMOVE_SEALED_OF, vec![realm_id.into()])]
}
