//! Letters that wait, and those of developers.

use super::single;
use crate::billing::mail::Letter;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;

/// Letters that developers can read.
const DEV_LETTERS: u64 = 20;

const PUT: &str = "INSERT INTO billing_mail (mail_id, recipient, subject, body, written_at, attempts, due_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)";
const DUE: &str = "SELECT mail_id, recipient, subject, body, written_at, attempts FROM billing_mail WHERE due_at <= ?1 \
    ORDER BY due_at, mail_id LIMIT ?2";
const FIRST: &str = "SELECT min(due_at) FROM billing_mail";
const ATTEMPTS: &str = "SELECT attempts FROM billing_mail WHERE mail_id = ?1";
const RETRY: &str = "UPDATE billing_mail SET due_at = ?2 WHERE mail_id = ?1";
const TRY: &str = "UPDATE billing_mail SET due_at = ?2, attempts = attempts + 1 WHERE mail_id = ?1";
const DROP: &str = "DELETE FROM billing_mail WHERE mail_id = ?1";
const KEEP: &str = "INSERT INTO billing_dev_mail (letter) VALUES (?1)";
const FORGET: &str = "DELETE FROM billing_dev_mail WHERE position <= (SELECT max(position) FROM billing_dev_mail) - ?1";
const KEPT: &str = "SELECT letter FROM billing_dev_mail ORDER BY position DESC";

const COUNT: &str = "INSERT INTO billing_mail_count (network, asked_at) VALUES (?1, ?2)";
const COUNTED: &str = "SELECT count(*) FROM billing_mail_count WHERE network = ?1 AND asked_at > ?2";
const COUNTED_FIRST: &str = "SELECT min(asked_at) FROM billing_mail_count";
const COUNTED_FORGET: &str = "DELETE FROM billing_mail_count WHERE asked_at <= ?1";

/// A letter that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) letter: Letter,
    pub(crate) attempts: u64,
}

pub(crate) fn put(letter: &Letter, due_at: Timestamp) -> Statement {
    let params = vec![
        letter.mail_id.into(),
        letter.to.as_str().into(),
        letter.subject.as_str().into(),
        letter.text.as_str().into(),
        letter.written_at.into(),
        due_at.into(),
    ];
    Statement::new(PUT, params)
}

pub(crate) fn due(sql: &dyn Sql, now: Timestamp, most: u64) -> Result<Vec<Waiting>, Fault> {
    let waiting = |row: &Row| {
        let letter = Letter {
            mail_id: row.unsigned(0)?,
            to: row.text(1)?.to_owned(),
            subject: row.text(2)?.to_owned(),
            text: row.text(3)?.to_owned(),
            written_at: row.time(4)?,
        };
        Ok(Waiting { letter, attempts: row.unsigned(5)? })
    };
    sql.read(Statement::new(DUE, vec![now.into(), most.into()]))?.iter().map(waiting).collect()
}

/// When the next letter is due.
pub(crate) fn first_due(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    let rows = sql.read(Statement::plain(FIRST))?;
    Ok(single(&rows)?.unsigned_or_null(0)?.map(Timestamp::from_millis))
}

/// How often a letter was tried; nothing when it waits no more.
pub(crate) fn attempts(sql: &dyn Sql, mail_id: u64) -> Result<Option<u64>, Fault> {
    sql.read(Statement::new(ATTEMPTS, vec![mail_id.into()]))?.first().map(|row| row.unsigned(0)).transpose()
}

pub(crate) fn retry_at(mail_id: u64, due_at: Timestamp) -> Statement {
    Statement::new(RETRY, vec![mail_id.into(), due_at.into()])
}

pub(crate) fn try_until(mail_id: u64, due_at: Timestamp) -> Statement {
    Statement::new(TRY, vec![mail_id.into(), due_at.into()])
}

pub(crate) fn remove(mail_id: u64) -> Statement {
    Statement::new(DROP, vec![mail_id.into()])
}

/// Keeps a developer's letter, and forgets all but the last.
pub(crate) fn keep_for_developers(letter: &str) -> [Statement; 2] {
    [Statement::new(KEEP, vec![letter.into()]), Statement::new(FORGET, vec![DEV_LETTERS.into()])]
}

/// Developers' letters, newest first.
pub(crate) fn kept_for_developers(sql: &dyn Sql) -> Result<Vec<String>, Fault> {
    sql.read(Statement::plain(KEPT))?.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Counts a letter for a network.
pub(crate) fn count(network: &str, now: Timestamp) -> Statement {
    Statement::new(COUNT, vec![network.into(), now.into()])
}

/// The letters counted for a network after a time.
pub(crate) fn counted(sql: &dyn Sql, network: &str, after: Timestamp) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(COUNTED, vec![network.into(), after.into()]))?)?.unsigned(0)
}

/// When the oldest letter was counted.
pub(crate) fn oldest_count(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    let rows = sql.read(Statement::plain(COUNTED_FIRST))?;
    Ok(single(&rows)?.unsigned_or_null(0)?.map(Timestamp::from_millis))
}

/// Forgets all that was counted until then.
pub(crate) fn forget_counts_until(until: Timestamp) -> Statement {
    Statement::new(COUNTED_FORGET, vec![until.into()])
}
