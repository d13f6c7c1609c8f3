//! Letters on their way. Each is a row until somebody has taken it, so that none is lost; some arrive twice.

use super::counter::service_call;
use super::{BillingDesk, MailId, Tables, Work};
use crate::billing::link::LINK_KEPT_MS;
use crate::billing::mail::{DAY_MS, Letter, TRY_MS, is_stale, pause_ms};
use crate::billing::wire::{answer, letter};
use crate::billing::{DEV_MAIL, store};
use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;

/// Letters tried in one alarm.
const BATCH: u64 = 20;

/// Whether there is anybody to give letters to.
pub(super) fn is_configured(settings: &Settings) -> bool {
    settings.billing.mail.is_some() || settings.dev_mode.is_on()
}

/// The errand by which a letter is handed over; nothing when nobody takes letters.
pub(super) fn errand(settings: &Settings, written: &Letter, now: Timestamp) -> Result<Option<Errand>, Fault> {
    if let Some(webhook) = &settings.billing.mail {
        return Ok(Some(Errand::Fetch(Box::new(letter::fetch(webhook, written, now)?))));
    }
    if !settings.dev_mode.is_on() {
        return Ok(None);
    }
    let call = service_call(Operation::BillingKeepMail, answer::letter(written)?.into_bytes());
    Ok(Some(Errand::Call { class: Class::RemoteServer, name: DEV_MAIL.to_owned(), call: Box::new(call) }))
}

impl BillingDesk {
    /// What came of a letter's errand.
    ///
    /// Errors: [`Fault`] when storage is not readable.
    pub fn told(&self, sql: &dyn Sql, now: Timestamp, mail: MailId, outcome: &Outcome) -> Result<Work, Fault> {
        let is_taken = match outcome {
            Outcome::Fetched(fetched) => (200..300).contains(&fetched.status),
            Outcome::Replied(reply) => (200..300).contains(&reply.status),
            Outcome::Signed(_) | Outcome::Failed(_) => false,
        };
        let mut work = Work::default();
        if is_taken {
            work.statements.push(store::mail::remove(mail.0));
        } else if let Some(attempts) = store::mail::attempts(sql, mail.0)? {
            work.statements.push(store::mail::retry_at(mail.0, now.plus(pause_ms(attempts))));
        }
        Ok(work)
    }

    /// Tries what is due, gives up what is stale, and forgets old links.
    ///
    /// Errors: [`Fault`] when storage is not readable.
    pub fn alarm(&self, sql: &dyn Sql, now: Timestamp) -> Result<Work, Fault> {
        let mut work = Work::default();
        for waiting in store::mail::due(sql, now, BATCH)? {
            let mail_id = waiting.letter.mail_id;
            match errand(&self.settings, &waiting.letter, now)? {
                Some(errand) if !is_stale(waiting.letter.written_at, now) => {
                    let until = now.plus(TRY_MS.max(pause_ms(waiting.attempts)));
                    work.statements.push(store::mail::try_until(mail_id, until));
                    work.errands.push((MailId(mail_id), errand));
                }
                _ => work.statements.push(store::mail::remove(mail_id)),
            }
        }
        if store::user::oldest(sql)?.is_some_and(|oldest| now.since(oldest) >= LINK_KEPT_MS) {
            work.statements.push(store::user::forget_until(now.minus(LINK_KEPT_MS)));
        }
        if store::mail::oldest_count(sql)?.is_some_and(|oldest| now.since(oldest) >= DAY_MS) {
            work.statements.push(store::mail::forget_counts_until(now.minus(DAY_MS)));
        }
        Ok(work)
    }

    /// Reads anew when the alarm is needed. To be called after every commit of this desk's statements.
    ///
    /// Errors: [`Fault`] when storage is not readable.
    pub fn refresh(&mut self, sql: &dyn Sql) -> Result<(), Fault> {
        let forget_at = store::user::oldest(sql)?.map(|oldest| oldest.plus(LINK_KEPT_MS));
        let uncount_at = store::mail::oldest_count(sql)?.map(|oldest| oldest.plus(DAY_MS));
        self.tables = Tables::Present;
        self.due_at = [store::mail::first_due(sql)?, forget_at, uncount_at].into_iter().flatten().min();
        Ok(())
    }

    /// When the alarm should ring.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        self.due_at
    }
}
