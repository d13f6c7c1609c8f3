//! Pages and calls of those who are signed in.

use super::event::{Event, Stop};
use crate::billing::customer::Account;
use crate::billing::identity::{NextPage, SignedIn, Subject, is_fresh};
use crate::billing::refusal::Refusal;
use crate::billing::standing::decide_standing;
use crate::billing::store;
use crate::billing::user::{BillingUser, EntryError};
use crate::billing::wire::pages_account::{self, Frame, Mistake};
use crate::billing::wire::pages_customer::{self, News, Portal};
use crate::billing::wire::request::Format;
use crate::billing::wire::{answer, cookie, pages, refusal, request, sheet};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::push::hostname::check_hostname;
use crate::push::uuid::Uuid;
use crate::push::wire::form::Form;

/// Billing users on the page of the customer.
const USERS_SHOWN: u64 = 200;

/// Whoever is signed in, and for whom.
struct Visitor {
    server: Uuid,
    subject: Subject,
    host: String,
    account: Account,
    user: BillingUser,
}

impl Event<'_> {
    /// `GET /realm/{uuid}/{page}/` and `GET /server/{uuid}/{page}/`.
    pub(super) fn account_page(&mut self) -> Result<Reply, Stop> {
        let page = self.param(1).to_owned();
        let visitor = self.visit(&page)?;
        self.show(&visitor, &page, None)
    }

    /// `POST` to the same.
    pub(super) fn account_act(&mut self) -> Result<Reply, Stop> {
        let page = self.param(1).to_owned();
        let visitor = self.visit(&page)?;
        self.check_form()?;
        match self.act(&visitor, &page) {
            Err(Stop::Refused(refusal)) if refusal != Refusal::NoSuchPage => {
                self.work.statements.clear();
                self.show(&visitor, &page, Some(&refusal))
            }
            outcome => outcome,
        }
    }

    fn act(&mut self, visitor: &Visitor, page: &str) -> Result<Reply, Stop> {
        let wanted = match (page, &visitor.subject) {
            ("billing", _) => request::plan_change(self.call)?,
            ("upgrade", _) => request::upgrade(self.call)?,
            ("sponsorship", _) => request::sponsorship(self.call)?,
            ("deactivate", Subject::Server(_)) => return self.leave(visitor),
            ("customer_portal", _) => return self.prefer(visitor),
            _ => return Err(Refusal::NoSuchPage.into()),
        };
        self.work.statements.extend(self.books.perform(self.sql, self.now, &visitor.user, &wanted)?);
        // What waits for somebody is to be seen there.
        let next = if page == "billing" { page } else { "event_status" };
        Ok(answer::redirect(&visitor.subject.path(next)))
    }

    /// Keeps what somebody wants to hear from us.
    fn prefer(&mut self, visitor: &Visitor) -> Result<Reply, Stop> {
        let (full_name, preferences) = request::preferences(self.call)?;
        let user = BillingUser { full_name, preferences, ..visitor.user.clone() };
        self.work.statements.push(store::user::put(&user));
        Ok(answer::redirect(&format!("{}?saved=true", visitor.subject.path("customer_portal"))))
    }

    fn leave(&mut self, visitor: &Visitor) -> Result<Reply, Stop> {
        if !request::is_confirmed(self.call) {
            return Err(Refusal::NotConfirmed.into());
        }
        self.work.statements.extend(self.books.deactivate(self.sql, self.now, &visitor.user)?);
        let reply = pages::finished("Registration deactivated", "Your server's registration has been deactivated.");
        Ok(reply.with_header("Set-Cookie", cookie::clear(self.settings, &self.browser)))
    }

    /// `PATCH …/billing/plan`, `POST …/billing/sponsorship` and `POST …/billing/upgrade`.
    pub(super) fn account_call(&mut self) -> Result<Reply, Stop> {
        use Operation as O;
        let page = match self.call.operation {
            O::BillingRealmUpgrade | O::BillingServerUpgrade => "upgrade",
            O::BillingRealmSponsorship | O::BillingServerSponsorship => "sponsorship",
            _ => "billing",
        };
        let visitor = self.visit(page)?;
        self.check_form()?;
        self.act(&visitor, page)?;
        Ok(answer::done())
    }

    /// `GET …/billing/event/status`.
    pub(super) fn event_status(&self) -> Result<Reply, Stop> {
        let visitor = self.visit("billing")?;
        let requests = self.books.requests(self.sql, &visitor.subject)?;
        let standing = |asked| (asked, decide_standing(asked, &visitor.account));
        let standings: Vec<_> = requests.iter().map(standing).collect();
        Ok(answer::event_status(&standings, &Form::of(self.call).ignored(&[])))
    }

    /// `POST /billing/logout`.
    pub(super) fn logout(&mut self) -> Result<Reply, Stop> {
        self.check_form()?;
        let reply = pages::finished("Logged out", "You are logged out of plan management.");
        Ok(reply.with_header("Set-Cookie", cookie::clear(self.settings, &self.browser)))
    }

    /// For whom the page in the path is.
    pub(super) fn path_subject(&self) -> Result<Subject, Stop> {
        use Operation as O;
        let uuid = Uuid::parse(self.param(0)).ok_or(Refusal::NotAuthenticated)?;
        Ok(match self.call.operation {
            O::BillingRealmPage
            | O::BillingRealmAct
            | O::BillingRealmPlan
            | O::BillingRealmSponsorship
            | O::BillingRealmUpgrade
            | O::BillingRealmEventStatus => Subject::Realm(uuid),
            _ => Subject::Server(uuid),
        })
    }

    /// Whoever is signed in for `subject` and nobody else, for no longer than two hours.
    pub(super) fn fresh_session(&self, subject: &Subject, page: &str) -> Result<SignedIn, Stop> {
        let who = self.session.as_ref().and_then(|session| session.signed_in.clone());
        let who = who.filter(|who| who.subject == *subject).ok_or(Refusal::NotAuthenticated)?;
        if is_fresh(who.authenticated_at, self.now) {
            return Ok(who);
        }
        let login = self.login_url(&who, page)?;
        Err(Refusal::SessionExpired { subject: who.subject, login }.into())
    }

    /// Where to sign in again. An organization's own host is only named when it is one.
    fn login_url(&self, who: &SignedIn, page: &str) -> Result<String, Stop> {
        let next = NextPage::parse(page).unwrap_or(NextPage::Billing).name();
        let host = match &who.subject {
            Subject::Realm(realm) => {
                self.books.realm(self.sql, realm)?.and_then(|realm| check_hostname(&realm.host).ok())
            }
            Subject::Server(_) => None,
        };
        Ok(host.map_or_else(
            || format!("/serverlogin/?next_page={next}"),
            |host| format!("{}{host}/self-hosted-billing/?next_page={next}", who.uri_scheme.prefix()),
        ))
    }

    fn visit(&self, page: &str) -> Result<Visitor, Stop> {
        let who = self.fresh_session(&self.path_subject()?, page)?;
        let server = self.active_server(&who.server)?;
        let (host, account) = match &who.subject {
            Subject::Realm(realm) => {
                // It may have left for another server.
                if self.books.realm(self.sql, realm)?.is_none() {
                    return Err(Refusal::NotAuthenticated.into());
                }
                let realm = self.active_realm(realm)?;
                (realm.host, realm.account)
            }
            Subject::Server(_) => {
                self.check_realm_plans(NextPage::parse(page))?;
                (server.hostname, server.account)
            }
        };
        let user = who.user_id.map(|user_id| store::user::by_id(self.sql, &who.server, user_id)).transpose()?;
        let user = user.flatten().filter(|user| user.subject == who.subject).ok_or(Refusal::NotAuthenticated)?;
        if !user.is_active {
            return Err(EntryError::Inactive.into());
        }
        Ok(Visitor { server: who.server, subject: who.subject, host, account, user })
    }

    fn show(&self, visitor: &Visitor, page: &str, error: Option<&Refusal>) -> Result<Reply, Stop> {
        let token = self.session.as_ref().map(|session| session.form_token(self.key)).unwrap_or_default();
        let (words, typed) = (error.map(refusal::words), Form::of(self.call));
        let frame = Frame {
            subject: &visitor.subject,
            host: &visitor.host,
            email: &visitor.user.email,
            token: &token,
            account: &visitor.account,
            error: words.as_ref().map(|(status, _, sentence)| Mistake { status: *status, sentence, typed: &typed }),
        };
        let requests = || self.books.requests(self.sql, &visitor.subject);
        Ok(match (page, &visitor.subject) {
            ("plans", _) => pages_account::plans(&frame),
            ("billing", _) => pages_account::billing(&frame),
            ("upgrade", _) => pages_account::upgrade(&frame, &requests()?),
            ("sponsorship", _) => pages_account::sponsorship(&frame),
            ("event_status", _) => pages_customer::event_status(&frame, &requests()?),
            ("invoices", subject) => {
                let invoices = self.books.invoices(self.sql, subject)?;
                match request::format(self.call)? {
                    Format::Page => pages_customer::invoices(&frame, &invoices),
                    Format::Json => sheet::json(&invoices)?,
                    Format::Csv => sheet::csv(&invoices),
                }
            }
            ("customer_portal", subject) => {
                let users = store::user::of_subject(self.sql, &visitor.server, subject, USERS_SHOWN)?;
                let news = if request::is_saved(self.call) { News::Kept } else { News::None };
                let pays_at = self.settings.billing.portal_url.as_deref();
                let portal = Portal { user: &visitor.user, users: &users, pays_at, news };
                pages_customer::customer_portal(&frame, &portal)
            }
            ("deactivate", Subject::Server(_)) => pages_account::deactivate(&frame),
            _ => return Err(Refusal::NoSuchPage.into()),
        })
    }
}
