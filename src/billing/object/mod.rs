//! Billing users of one server behind one counter, for the object that is that server.
//!
//! The host owns registrations, customers and plans, and opens them to the desk as [`Books`]. The desk answers a call and
//! returns everything else as a [`Step`]: the host appends the statements to its event's one commit, then asks for the
//! errands under tickets of its own, and lets the desk [`BillingDesk::refresh`].

mod account;
mod books;
mod counter;
mod event;
mod hand_off;
mod known;
mod post;
mod realm;
mod server;
mod users;

use std::rc::Rc;

pub use books::{Adopted, Books, BooksStop, Entered};
pub use event::public_base;
pub use hand_off::HandOff;
pub use known::Known;
pub use server::deactivation_link;
pub use users::{close_user, user_of, users_page};

use super::refusal::Refusal;
use super::store;
use super::wire::{answer, cookie, refusal, request};
use crate::kernel::errand::Errand;
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;
use event::{Event, Stop};

/// Schema versions of an object that hosts nothing but a desk.
pub const MIGRATIONS: &[Migration] = store::MIGRATIONS;
/// The tables of a desk, for an object that hosts one beside its own and applies them under a number of its own.
pub const SCHEMA: &str = store::SCHEMA;

/// Forgets all billing users of a server and what waits for them, for an operator who removes the server.
#[must_use]
pub fn purge() -> Vec<Statement> {
    store::PURGE.into_iter().map(Statement::plain).collect()
}

/// Forgets the billing users of an organization that has left its server.
#[must_use]
pub fn purge_realm(realm: &Uuid) -> Vec<Statement> {
    store::PURGE_REALM.into_iter().map(|sql| Statement::new(sql, vec![realm.as_str().into()])).collect()
}

/// A letter, by which [`BillingDesk::told`] knows what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub u64);

/// What one event came to, beside the answer.
#[derive(Debug, Default)]
pub struct Work {
    /// To be committed.
    pub statements: Vec<Statement>,
    /// To be asked for after the commit.
    pub errands: Vec<(MailId, Errand)>,
}

/// What a call came to.
#[derive(Debug)]
pub enum Step {
    /// The answer, and what goes with it.
    Done(Reply, Work),
    /// Somebody must be asked first. The host asks, lets the call wait, and calls again with what is then known
    /// ([`Known::told`]). Nothing has changed so far.
    Ask(Errand, Known),
}

/// Billing users of one server.
#[derive(Debug)]
pub struct BillingDesk {
    settings: Rc<Settings>,
    tables: Tables,
    due_at: Option<Timestamp>,
}

/// Whether the host's database has the desk's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tables {
    /// The host makes them with its first commit.
    Absent,
    Present,
}

/// Whether an operation is the desk's. `PushBilling` is not: the host authenticates its caller first, and uses
/// [`HandOff`].
#[must_use]
pub const fn handles(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::BillingRealmLogin
            | O::BillingRealmEnter
            | O::BillingRealmMail
            | O::BillingRealmConfirm
            | O::BillingServerLogin
            | O::BillingServerLeave
            | O::BillingServerEnter
            | O::BillingServerMail
            | O::BillingServerConfirm
            | O::BillingServerAccept
            | O::BillingRealmPage
            | O::BillingRealmAct
            | O::BillingServerPage
            | O::BillingServerAct
            | O::BillingLogout
            | O::BillingDevMail
            | O::BillingKeepMail
            | O::BillingCountMail
    ) || is_script(operation)
}

/// Whether an operation's caller reads JSON.
pub(super) const fn is_script(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::BillingRealmPlan
            | O::BillingRealmSponsorship
            | O::BillingRealmUpgrade
            | O::BillingRealmEventStatus
            | O::BillingServerPlan
            | O::BillingServerSponsorship
            | O::BillingServerUpgrade
            | O::BillingServerEventStatus
    )
}

impl BillingDesk {
    /// A desk whose host has no tables yet, because nobody is registered there.
    #[must_use]
    pub const fn new(settings: Rc<Settings>) -> Self {
        Self { settings, tables: Tables::Absent, due_at: None }
    }

    /// The desk as it was.
    ///
    /// Errors: [`Fault`] when storage is not readable.
    pub fn load(settings: Rc<Settings>, sql: &dyn Sql) -> Result<Self, Fault> {
        let mut desk = Self::new(settings);
        desk.refresh(sql)?;
        Ok(desk)
    }

    /// Answers a call. A refusal comes without work. At first nothing is `known`.
    ///
    /// Errors: [`Fault`].
    pub fn call(&self, turn: &mut Turn<'_>, books: &dyn Books, call: &Call, known: &Known) -> Result<Step, Fault> {
        let done = |(reply, work)| Step::Done(reply, work);
        match call.operation {
            Operation::BillingDevMail | Operation::BillingKeepMail => {
                return self.developers(turn.sql, call).map(done);
            }
            Operation::BillingCountMail => return self.count_mail(turn.sql, turn.now, call).map(done),
            _ => {}
        }
        let Some(key) = &self.settings.push.transfer_key else {
            return Ok(Step::Done(refused(call, &Refusal::NotConfigured), Work::default()));
        };
        let said = match request::as_form(call) {
            Ok(said) if is_script(call.operation) => said,
            Err(error) if is_script(call.operation) => {
                return Ok(Step::Done(refused(call, &error.into()), Work::default()));
            }
            _ => None,
        };
        let call = said.as_ref().unwrap_or(call);
        let browser = call.browser.clone().unwrap_or_default();
        let session = cookie::read(&self.settings, key, &browser);
        let mut event = Event {
            settings: &self.settings,
            key,
            now: turn.now,
            entropy: &mut *turn.entropy,
            sql: turn.sql,
            books,
            call,
            browser,
            known,
            session,
            work: Work::default(),
        };
        match event.run() {
            Ok(reply) => Ok(Step::Done(reply, event.work)),
            Err(Stop::Refused(refusal)) => Ok(Step::Done(refused(call, &refusal), Work::default())),
            Err(Stop::Ask(question, errand)) => Ok(Step::Ask(errand, known.asking(question))),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Letters of a development service: kept in one object, where its developer reads them.
    fn developers(&self, sql: &dyn Sql, call: &Call) -> Result<(Reply, Work), Fault> {
        let mut work = Work::default();
        let is_keeping = call.operation == Operation::BillingKeepMail;
        let is_allowed = self.settings.dev_mode.is_on() && (!is_keeping || call.principal == Principal::Service);
        if !is_allowed {
            let missing = Problem::plain(crate::kernel::code::ErrorCode::NotFound);
            return Ok((missing.into_reply(&call.request_id), work));
        }
        if !is_keeping {
            let kept = match self.tables {
                Tables::Present => store::mail::kept_for_developers(sql)?,
                Tables::Absent => Vec::new(),
            };
            return Ok((answer::letters(&kept), work));
        }
        let letter = String::from_utf8_lossy(&call.body);
        work.statements.extend(store::mail::keep_for_developers(&letter));
        Ok((Reply::json_text(String::from("{}")), work))
    }
}

impl Event<'_> {
    fn run(&mut self) -> Result<Reply, Stop> {
        use Operation as O;
        match self.call.operation {
            O::BillingRealmLogin => self.realm_login(),
            O::BillingRealmEnter => self.realm_enter(),
            O::BillingRealmMail => self.realm_mail(),
            O::BillingRealmConfirm => self.realm_confirm(),
            O::BillingServerLogin | O::BillingServerLeave => self.server_login(),
            O::BillingServerEnter => self.server_enter(),
            O::BillingServerMail => self.server_mail(),
            O::BillingServerConfirm => self.server_confirm(),
            O::BillingServerAccept => self.server_accept(),
            O::BillingRealmPage | O::BillingServerPage => self.account_page(),
            O::BillingRealmAct | O::BillingServerAct => self.account_act(),
            O::BillingLogout => self.logout(),
            O::BillingRealmEventStatus | O::BillingServerEventStatus => self.event_status(),
            operation if is_script(operation) => self.account_call(),
            _ => Err(Refusal::NoSuchPage.into()),
        }
    }
}

/// What a page says of a refusal.
fn words(refusal: &Refusal) -> String {
    refusal::words(refusal).2
}

/// A refusal in the form that the caller reads.
pub(super) fn refused(call: &Call, refusal: &Refusal) -> Reply {
    let is_look = matches!(call.operation, Operation::BillingRealmPage | Operation::BillingServerPage);
    match refusal {
        _ if is_script(call.operation) => refusal::as_json(refusal),
        // A form's own answer may not lead to another site (`form-action`), so only looks are sent there at once.
        Refusal::SessionExpired { login, .. } if is_look => answer::redirect(login),
        _ => refusal::as_page(refusal),
    }
}
