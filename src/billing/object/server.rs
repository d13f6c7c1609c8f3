//! An administrator signs in with a server's id and key, and then with an address.

use super::event::{Event, Stop};
use crate::billing::customer::{Registration, ServerFacts};
use crate::billing::identity::{NextPage, Session, SignedIn, Subject, UriScheme};
use crate::billing::link::LinkKey;
use crate::billing::refusal::Refusal;
use crate::billing::store;
use crate::billing::store::user::{Preregistration, Status};
use crate::billing::user::{BillingUser, EntryError, decide_entry, shown_again};
use crate::billing::wire::{letter, pages, request};
use crate::kernel::entropy::Entropy;
use crate::kernel::network::ClientNetwork;
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::Statement;
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

/// A link by which a server's contact ends its registration, for an operator to send, and the row that makes it work.
/// Nothing comes back while there is no key to sign with.
///
/// Shape: `base` is scheme and host of this service, without a slash at the end.
pub fn deactivation_link(
    settings: &Settings,
    entropy: &mut dyn Entropy,
    now: Timestamp,
    base: &str,
    server: &Uuid,
    contact_email: &str,
) -> Option<(String, Statement)> {
    let link = LinkKey::mint(settings.push.transfer_key.as_ref()?, server, entropy);
    let prereg = Preregistration {
        prereg_id: 0,
        realm: None,
        email: contact_email.to_owned(),
        full_name: String::new(),
        date_joined: now,
        status: Status::New,
        next_page: Some(NextPage::Deactivate),
        uri_scheme: UriScheme::Https,
    };
    let path = letter::link_path(&Subject::Server(server.clone()), &link);
    Some((format!("{base}{path}"), store::user::preregister(link.hash(), &prereg, &ClientNetwork::unknown())))
}

impl Event<'_> {
    /// `GET /serverlogin/` and `GET /serverlogin/deactivate`.
    pub(super) fn server_login(&mut self) -> Result<Reply, Stop> {
        let next = match self.call.operation {
            Operation::BillingServerLeave => Some(NextPage::Deactivate),
            _ => request::next_page(self.call),
        };
        self.with_forms(|token| pages::server_login(200, token, next, "", None))
    }

    /// `POST /serverlogin/`.
    pub(super) fn server_enter(&mut self) -> Result<Reply, Stop> {
        self.check_form()?;
        let next_page = request::next_page(self.call);
        let server = match self.known_server() {
            Ok(server) => server,
            Err(Stop::Refused(refusal)) => return self.server_again(next_page, &refusal),
            Err(fault) => return Err(fault),
        };
        self.check_realm_plans(next_page)?;
        let who = SignedIn {
            server: server.uuid.clone(),
            subject: Subject::Server(server.uuid.clone()),
            user_id: None,
            authenticated_at: self.now,
            uri_scheme: UriScheme::Https,
            next_page,
        };
        let session = Session::of(who, self.entropy);
        let action = format!("/serverlogin/{}/confirm/", server.uuid);
        self.signed(&session, |token| pages::ask_email(200, &action, token, &server.hostname, "", None))
    }

    /// `POST /serverlogin/{uuid}/confirm/`.
    pub(super) fn server_mail(&mut self) -> Result<Reply, Stop> {
        let who = self.fresh_session(&self.path_subject()?, "billing")?;
        self.check_form()?;
        let server = self.active_server(&who.server)?;
        self.check_realm_plans(who.next_page)?;
        let email = request::email(self.call);
        match self.check_address(&email) {
            Err(Stop::Refused(error @ Refusal::Email(_))) => {
                let action = format!("/serverlogin/{}/confirm/", server.uuid);
                return self.email_page(400, &action, &server.hostname, &email, Some(&error));
            }
            checked => checked?,
        }
        let prereg = Preregistration {
            prereg_id: 0,
            realm: None,
            email,
            full_name: String::new(),
            date_joined: self.now,
            status: Status::New,
            next_page: who.next_page,
            uri_scheme: who.uri_scheme,
        };
        self.send_link(&server.uuid, &who.subject, &server.hostname, &prereg)
    }

    /// `GET /serverlogin/do_confirm/{key}`.
    pub(super) fn server_confirm(&mut self) -> Result<Reply, Stop> {
        let (server, _, user) = self.linked_server()?;
        let action = format!("/serverlogin/do_confirm/{}", self.param(0));
        self.door(200, &action, &server.hostname, &user, None)
    }

    /// `POST /serverlogin/do_confirm/{key}`.
    pub(super) fn server_accept(&mut self) -> Result<Reply, Stop> {
        let (server, prereg, user) = self.linked_server()?;
        self.check_form()?;
        let entry = request::entry(self.call)?;
        let entered = match decide_entry(self.now, &self.settings.billing.terms_version, Some(&user), &entry) {
            Ok(entered) => entered,
            Err(EntryError::Terms) => {
                let action = format!("/serverlogin/do_confirm/{}", self.param(0));
                let user = shown_again(user, &entry);
                return self.door(400, &action, &server.hostname, &user, Some(&EntryError::Terms.into()));
            }
            Err(error) => return Err(error.into()),
        };
        self.work.statements.push(store::user::name_user(prereg.prereg_id, entered.user_id));
        let who = SignedIn {
            server: server.uuid.clone(),
            subject: Subject::Server(server.uuid),
            user_id: Some(entered.user_id),
            authenticated_at: self.now,
            uri_scheme: prereg.uri_scheme,
            next_page: prereg.next_page,
        };
        self.enter(&entered, &server.account, who)
    }

    /// The server whose id and key the form holds.
    fn known_server(&self) -> Result<ServerFacts, Stop> {
        let wanted = request::server_id(self.call);
        let server = self.books.server(self.sql)?.filter(|server| Some(&server.uuid) == wanted.as_ref());
        let server = server.ok_or(Refusal::NotRegistered)?;
        if !server.key.matches(&request::server_key(self.call)) {
            return Err(Refusal::WrongKey.into());
        }
        match server.account.registration {
            Registration::Active => Ok(server),
            Registration::Deactivated => Err(Refusal::ServerDeactivated.into()),
        }
    }

    /// The same form again, with what was wrong. The key is not shown again.
    fn server_again(&mut self, next: Option<NextPage>, refusal: &Refusal) -> Result<Reply, Stop> {
        let error = super::words(refusal);
        let id = request::server_id(self.call).map(|uuid| uuid.to_string()).unwrap_or_default();
        self.with_forms(|token| pages::server_login(401, token, next, &id, Some(&error)))
    }

    /// That no organization has a plan of its own, unless the registration is to end.
    pub(super) fn check_realm_plans(&self, next: Option<NextPage>) -> Result<(), Stop> {
        if next != Some(NextPage::Deactivate) && self.books.has_realm_plan(self.sql)? {
            return Err(Refusal::RealmsHavePlans.into());
        }
        Ok(())
    }

    /// The server and the user of the link in the path. The user may not be written down yet.
    fn linked_server(&self) -> Result<(ServerFacts, Preregistration, BillingUser), Stop> {
        let (link, prereg) = self.linked()?;
        if prereg.realm.is_some() {
            return Err(Refusal::LinkUnknown.into());
        }
        let server = self.active_server(link.server())?;
        self.check_realm_plans(prereg.next_page)?;
        let user = match store::user::of_server(self.sql, &server.uuid, &prereg.email)? {
            Some(user) => user,
            None => self.new_user(Subject::Server(server.uuid.clone()), None, &prereg)?,
        };
        if !user.is_active {
            return Err(EntryError::Inactive.into());
        }
        Ok((server, prereg, user))
    }
}
