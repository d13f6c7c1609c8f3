//! Moves: those under way at a directory, and what a server has heard of those of its organizations.

use super::integer_or_null;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::headcount::Headcount;
use crate::push::relocation::{Effect, Heard, Phase};
use crate::push::uuid::Uuid;

const BY_REALM: &str = "SELECT move_number, realm, origin, target, actor, phase, bundle, begun_at, attempts \
    FROM realm_move WHERE realm = ?1";
const DUE: &str = "SELECT move_number, realm, origin, target, actor, phase, bundle, begun_at, attempts FROM realm_move \
    WHERE due_at <= ?1 ORDER BY due_at, move_number LIMIT ?2";
const NEXT: &str = "SELECT min(due_at) FROM realm_move";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'realm_move'";
const BEGIN: &str = "INSERT INTO realm_move (move_number, realm, origin, target, actor, phase, bundle, begun_at, due_at, \
    attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)";
const ASK: &str = "UPDATE realm_move SET phase = ?2, due_at = ?3, attempts = CASE phase WHEN ?2 THEN attempts + 1 ELSE 1 END \
    WHERE move_number = ?1";
const END: &str = "DELETE FROM realm_move WHERE move_number = ?1";
const PAST: &str = "SELECT server FROM realm_past WHERE realm = ?1";
const PUT_PAST: &str = "INSERT OR REPLACE INTO realm_past (realm, server) VALUES (?1, ?2)";

const HEARD: &str = "SELECT move_number, is_here, realm_id FROM realm_moved WHERE realm_uuid = ?1";
const PUT_HEARD: &str = "INSERT OR REPLACE INTO realm_moved (realm_uuid, move_number, is_here, realm_id) \
    VALUES (?1, ?2, ?3, ?4)";
// Until the organization has a number here, the server's sum has its people under its row's, which no server uses: below
// zero.
const CARRY: &str = "INSERT OR REPLACE INTO headcount (number, is_future, remote_id, event_time, non_guests, guests, \
    workplace_users, workplace_others) SELECT -realm_id, 0, 0, ?2, ?3, ?4, ?5, ?6 FROM realm WHERE uuid = ?1";
const CARRY_OWN: &str = "INSERT OR REPLACE INTO realm_headcount (is_loose, key, is_future, remote_id, event_time, \
    non_guests, guests, workplace_users, workplace_others) SELECT 0, realm_id, 0, 0, ?2, ?3, ?4, ?5, ?6 FROM realm \
    WHERE uuid = ?1";
const CLOSE: &str = "UPDATE realm SET registration_deactivated = ?2, last_updated = ?3 WHERE uuid = ?1";
const FORGET_NUMBER: &str = "DELETE FROM headcount WHERE number = ?2 \
    AND NOT EXISTS (SELECT 1 FROM realm WHERE number = ?2 AND realm_id != ?1)";
const FORGET_OWN: &str = "DELETE FROM realm_headcount WHERE is_loose = 0 AND key = ?1";
const SETTLE_PEOPLE: &str = "UPDATE OR IGNORE headcount SET number = ?2 WHERE number = -?1";
const FORGET_CARRIED: &str = "DELETE FROM headcount WHERE number = -?1";
const FORGET_CUSTOMER: &str = "DELETE FROM customer WHERE realm_uuid = ?1 \
    AND NOT EXISTS (SELECT 1 FROM plan p WHERE p.customer_id = customer.customer_id)";

/// A move under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct MoveRow {
    /// Its number.
    pub move_number: u64,
    /// The organization.
    pub realm: String,
    /// The server that it leaves.
    pub origin: String,
    /// The server that it goes to.
    pub target: String,
    /// Whose wish it is.
    pub actor: String,
    /// What is being asked for.
    pub phase: Phase,
    /// What it takes along.
    pub bundle: String,
    /// Since when.
    pub begun_at: Timestamp,
    /// How often the present phase was asked for.
    pub attempts: u32,
}

fn parse(row: &Row) -> Result<MoveRow, Fault> {
    Ok(MoveRow {
        move_number: row.unsigned(0)?,
        realm: row.text(1)?.to_owned(),
        origin: row.text(2)?.to_owned(),
        target: row.text(3)?.to_owned(),
        actor: row.text(4)?.to_owned(),
        phase: Phase::parse(row.text(5)?).ok_or_else(|| Fault::Corrupt(String::from("a move of no phase")))?,
        bundle: row.text(6)?.to_owned(),
        begun_at: row.time(7)?,
        attempts: u32::try_from(row.unsigned(8)?).unwrap_or(u32::MAX),
    })
}

/// An organization's move, if one is under way.
pub(in crate::push) fn load(sql: &dyn Sql, realm: &str) -> Result<Option<MoveRow>, Fault> {
    sql.read(Statement::new(BY_REALM, vec![realm.into()]))?.first().map(parse).transpose()
}

/// Moves whose time has come.
pub(in crate::push) fn due(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<Vec<MoveRow>, Fault> {
    sql.read(Statement::new(DUE, vec![now.into(), limit.into()]))?.iter().map(parse).collect()
}

/// When the next move's time comes.
pub(in crate::push) fn next(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT))?)
}

/// A number that no move has had. The row is written under it within the same event.
pub(in crate::push) fn next_number(sql: &dyn Sql) -> Result<u64, Fault> {
    Ok(super::count(&sql.read(Statement::plain(NEWEST))?)? + 1)
}

/// Keeps a move that begins.
pub(in crate::push) fn begin(row: &MoveRow, due: Timestamp) -> Statement {
    let params = vec![
        row.move_number.into(),
        row.realm.as_str().into(),
        row.origin.as_str().into(),
        row.target.as_str().into(),
        row.actor.as_str().into(),
        row.phase.word().into(),
        row.bundle.as_str().into(),
        row.begun_at.into(),
        due.into(),
    ];
    Statement::new(BEGIN, params)
}

/// Something is asked for once more, or something else for the first time.
pub(in crate::push) fn ask(move_number: u64, phase: Phase, due: Timestamp) -> Statement {
    Statement::new(ASK, vec![move_number.into(), phase.word().into(), due.into()])
}

/// A move is at its end.
pub(in crate::push) fn end(move_number: u64) -> Statement {
    Statement::new(END, vec![move_number.into()])
}

/// Who held an organization last that nobody holds.
pub(in crate::push) fn load_past(sql: &dyn Sql, realm: &str) -> Result<Option<Uuid>, Fault> {
    let rows = sql.read(Statement::new(PAST, vec![realm.into()]))?;
    let parse =
        |row: &Row| Uuid::parse(row.text(0)?).ok_or_else(|| Fault::Corrupt(String::from("a holder is no server")));
    rows.first().map(parse).transpose()
}

/// Nobody holds an organization any more; this server did.
pub(in crate::push) fn put_past(realm: &str, server: &Uuid) -> Statement {
    Statement::new(PUT_PAST, vec![realm.into(), server.as_str().into()])
}

/// What a server has heard of an organization's moves, and the row that the organization had when it went.
pub(in crate::push) fn load_heard(sql: &dyn Sql, realm: &str) -> Result<Option<(Heard, Option<i64>)>, Fault> {
    let parse = |row: &Row| {
        let effect = if row.unsigned(1)? == 1 { Effect::Came } else { Effect::Went };
        Ok((Heard { move_number: row.unsigned(0)?, effect }, integer_or_null(row, 2)?))
    };
    sql.read(Statement::new(HEARD, vec![realm.into()]))?.first().map(parse).transpose()
}

/// Keeps what a server has heard.
pub(in crate::push) fn put_heard(realm: &str, heard: &Heard, realm_id: Option<i64>) -> Statement {
    let is_here = u32::from(heard.effect == Effect::Came);
    Statement::new(PUT_HEARD, vec![realm.into(), heard.move_number.into(), is_here.into(), realm_id.into()])
}

/// The people that an organization had at its old server count until the new one tells of them.
pub(in crate::push) fn carry_people(realm: &Uuid, people: &Headcount, told_at: Timestamp) -> [Statement; 2] {
    let params = vec![
        realm.as_str().into(),
        told_at.into(),
        people.non_guests.into(),
        people.guests.into(),
        people.workplace.map(|workplace| workplace.users).into(),
        people.workplace.map(|workplace| workplace.others).into(),
    ];
    [Statement::new(CARRY, params.clone()), Statement::new(CARRY_OWN, params)]
}

/// An organization has a number here: what was carried along counts under it until something newer does.
pub(in crate::push) fn settle_people(realm_id: i64, number: i64) -> [Statement; 2] {
    let settle = Statement::new(SETTLE_PEOPLE, vec![realm_id.into(), number.into()]);
    [settle, Statement::new(FORGET_CARRIED, vec![realm_id.into()])]
}

/// An organization's people are nobody's here any more. Under a number that another one has now they go on counting.
pub(in crate::push) fn forget_people(realm_id: i64, number: Option<i64>) -> Vec<Statement> {
    let mut batch = vec![Statement::new(FORGET_OWN, vec![realm_id.into()])];
    batch.push(Statement::new(FORGET_CARRIED, vec![realm_id.into()]));
    batch.extend(number.map(|number| Statement::new(FORGET_NUMBER, vec![realm_id.into(), number.into()])));
    batch
}

/// The operators' own switch.
pub(in crate::push) fn set_closed(realm: &Uuid, is_closed: Closed, now: Timestamp) -> Statement {
    let closed = u32::from(is_closed == Closed::Yes);
    Statement::new(CLOSE, vec![realm.as_str().into(), closed.into(), now.into()])
}

/// Whether operators have closed an organization's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Closed {
    /// They have.
    Yes,
    /// They have not.
    No,
}

/// Removes a customer that never had a plan. One that had stays, with nothing in it, for its invoices' sake.
pub(in crate::push) fn forget_customer(realm: &str) -> Statement {
    Statement::new(FORGET_CUSTOMER, vec![realm.into()])
}
