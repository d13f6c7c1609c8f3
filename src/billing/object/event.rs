//! One request on its way: what is at hand, and what it has come to so far.

use super::books::{Books, BooksStop};
use super::known::{Known, Question};
use super::{MailId, Work};
use crate::billing::identity::Session;
use crate::billing::mail::{DAY_MS, Letter, MailLimit, Permit, TRY_MS, decide_mail};
use crate::billing::refusal::Refusal;
use crate::billing::store;
use crate::billing::wire::{cookie, request};
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::errand::Errand;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Browser, Call};
use crate::kernel::reply::Reply;
use crate::kernel::settings::{Key32, Settings};
use crate::kernel::sql::Sql;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::contact::{DomainVerdict, check_address, judge_domain};
use crate::push::hostname::is_loopback;
use crate::push::wire::resolver;

/// Why a request ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    /// Somebody must be asked first; the request then runs again.
    Ask(Question, Errand),
    Fault(Fault),
}

impl<E: Into<Refusal>> From<E> for Stop {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BooksStop> for Stop {
    fn from(stop: BooksStop) -> Self {
        match stop {
            BooksStop::Refused(sentence) => Self::Refused(Refusal::Books(sentence)),
            BooksStop::Irreconcilable => Self::Refused(Refusal::Irreconcilable),
            BooksStop::Fault(fault) => Self::Fault(fault),
        }
    }
}

pub(super) struct Event<'a> {
    pub(super) settings: &'a Settings,
    pub(super) key: &'a Key32,
    pub(super) now: Timestamp,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) sql: &'a dyn Sql,
    pub(super) books: &'a dyn Books,
    pub(super) call: &'a Call,
    pub(super) browser: Browser,
    /// What others have said.
    pub(super) known: &'a Known,
    /// The browser's, however old.
    pub(super) session: Option<Session>,
    pub(super) work: Work,
}

impl Event<'_> {
    /// A path parameter.
    pub(super) fn param(&self, index: usize) -> &str {
        self.call.params.get(index).map(String::as_str).unwrap_or_default()
    }

    /// A page with forms. A browser without a session gets one of nobody, so that the forms have a token.
    pub(super) fn with_forms(&mut self, make: impl FnOnce(&str) -> Reply) -> Result<Reply, Stop> {
        if let Some(session) = &self.session {
            return Ok(make(&session.form_token(self.key)));
        }
        let session = Session::begin(self.entropy);
        self.signed(&session, make)
    }

    /// A page with forms of a session that begins with it.
    pub(super) fn signed(&mut self, session: &Session, make: impl FnOnce(&str) -> Reply) -> Result<Reply, Stop> {
        let reply = make(&session.form_token(self.key));
        Ok(reply.with_header("Set-Cookie", self.cookie(session)?))
    }

    /// The cookie of a session.
    pub(super) fn cookie(&self, session: &Session) -> Result<String, Fault> {
        cookie::write(self.settings, self.key, &self.browser, session, self.now)
    }

    /// That a form was sent by a page of ours, in the session it was made for.
    pub(super) fn check_form(&self) -> Result<(), Refusal> {
        let own = own_base(self.settings, &self.browser);
        let is_ours = |origin: &String| {
            let is = |base: &String| origin.eq_ignore_ascii_case(base);
            is(&self.browser.base) || own.as_ref().is_some_and(is)
        };
        if self.browser.origin.as_ref().is_some_and(|origin| !is_ours(origin)) {
            return Err(Refusal::ForeignOrigin);
        }
        let (Some(session), Some(token)) = (&self.session, request::form_token(self.call)) else {
            return Err(Refusal::Csrf);
        };
        if session.owns_form(self.key, &token) { Ok(()) } else { Err(Refusal::Csrf) }
    }

    /// Scheme and host that links in letters are made with: never what a request says of itself, because who asks for a
    /// letter is not who reads it.
    pub(super) fn letter_base(&self) -> Result<String, Refusal> {
        own_base(self.settings, &self.browser).ok_or(Refusal::HostNotConfigured)
    }

    /// That a letter to an address may be asked for, as far as this server can tell: somebody sends letters, there are
    /// not too many, and the address takes some. By the rule and the words of registrations; where the resolver is off or
    /// in trouble, every domain does.
    pub(super) fn check_address(&self, email: &str) -> Result<(), Stop> {
        let domain = check_address(email)?;
        if !super::post::is_configured(self.settings) {
            return Err(Refusal::MailNotConfigured.into());
        }
        self.letter_base()?;
        let sent = store::user::sent_after(self.sql, self.now.minus(DAY_MS))?;
        decide_mail(&sent, &self.call.client, self.now)?;
        let Some(resolver) = &self.settings.push.dns_query_url else { return Ok(()) };
        match judge_domain(&domain, &self.known.lookups) {
            DomainVerdict::Good => Ok(()),
            DomainVerdict::Bad(error) => Err(error.into()),
            DomainVerdict::Ask(record) => {
                Err(Stop::Ask(Question::Domain(record), resolver::question(resolver, &domain, record)))
            }
        }
    }

    /// That the client's network may ask for one more letter, whatever the server. To be asked last: it counts.
    pub(super) fn check_network(&self) -> Result<(), Stop> {
        match self.known.permit {
            Permit::Granted => Ok(()),
            Permit::Unasked => Err(Stop::Ask(Question::Permit, super::counter::question(&self.call.client))),
            Permit::Refused => Err(MailLimit::Network.into()),
            Permit::Silent => Err(Refusal::Busy.into()),
        }
    }

    /// Writes a letter and begins to deliver it.
    pub(super) fn post(&mut self, to: &str, subject: String, text: String) -> Result<(), Stop> {
        let mail_id = u64::from_le_bytes(random_bytes::<8>(self.entropy)) & SAFE_INTEGER_MAX;
        let letter = Letter { mail_id, to: to.to_owned(), subject, text, written_at: self.now };
        let errand = super::post::errand(self.settings, &letter, self.now)?.ok_or(Refusal::MailNotConfigured)?;
        self.work.statements.push(store::mail::put(&letter, self.now.plus(TRY_MS)));
        self.work.errands.push((MailId(mail_id), errand));
        Ok(())
    }
}

/// Scheme and host by which this service knows itself: what the operator names, and on a developer's own machine what the
/// request says.
fn own_base(settings: &Settings, browser: &Browser) -> Option<String> {
    let (scheme, asked) = browser.base.split_once("://").unwrap_or(("https", ""));
    if let Some(host) = &settings.billing.host {
        return Some(format!("{scheme}://{host}"));
    }
    (settings.dev_mode.is_on() && is_loopback(asked)).then(|| browser.base.clone())
}

/// Scheme and host of a link that is answered to whoever asks for it: the service's own, or the request's while no letters
/// leave the service. Nothing where the operator must name a host first.
#[must_use]
pub fn public_base(settings: &Settings, browser: &Browser) -> Option<String> {
    let is_unmailed = settings.billing.mail.is_none();
    own_base(settings, browser).or_else(|| is_unmailed.then(|| browser.base.clone()))
}
