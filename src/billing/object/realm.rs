//! An owner of an organization signs in, sent over by the organization's own server.

use super::books::Adopted;
use super::event::{Event, Stop};
use crate::billing::customer::{Account, RealmFacts, Registration, ServerFacts};
use crate::billing::identity::{Identity, Person, Session, SignedIn, Subject, is_fresh};
use crate::billing::landing::landing;
use crate::billing::link::{LINK_MS, LinkKey};
use crate::billing::refusal::Refusal;
use crate::billing::store;
use crate::billing::store::user::{Preregistration, Status};
use crate::billing::user::{
    BillingUser, EntryError, NO_TERMS, Preferences, USERS_MAX, decide_entry, is_new, needs_terms, shown_again,
};
use crate::billing::wire::{answer, letter, pages, request, token};
use crate::kernel::fault::Fault;
use crate::kernel::reply::Reply;
use crate::push::hostname::check_hostname;
use crate::push::uuid::Uuid;

/// Who came with a token, to which organization.
struct Arrival {
    identity: Identity,
    realm: RealmFacts,
}

/// The host as it may be shown in letters: what the server says, if that is a host name, else its name with us.
pub(super) fn shown_host(host: &str, uuid: &Uuid) -> String {
    check_hostname(host).unwrap_or_else(|_| uuid.to_string())
}

impl Event<'_> {
    /// `GET /remote-billing-login/{token}`.
    pub(super) fn realm_login(&mut self) -> Result<Reply, Stop> {
        let arrival = self.arrive()?;
        let user = self.user_of(&arrival)?;
        let action = format!("/remote-billing-login/{}", self.param(0));
        match user {
            Some(user) if !user.is_active => Err(EntryError::Inactive.into()),
            Some(user) => self.door(200, &action, &arrival.realm.host, &user, None),
            None => self.ask_for_email(200, &arrival, &arrival.identity.person.email, None),
        }
    }

    /// `POST /remote-billing-login/{token}/confirm/`.
    pub(super) fn realm_mail(&mut self) -> Result<Reply, Stop> {
        let arrival = self.arrive()?;
        self.check_form()?;
        let email = request::email(self.call);
        match self.check_address(&email) {
            Err(Stop::Refused(error @ Refusal::Email(_))) => {
                return self.ask_for_email(400, &arrival, &email, Some(&error));
            }
            checked => checked?,
        }
        let Identity { person, server, realm, uri_scheme, next_page, .. } = arrival.identity;
        let prereg = Preregistration {
            prereg_id: 0,
            realm: Some((realm.clone(), person.uuid)),
            email,
            full_name: person.full_name,
            date_joined: self.now,
            status: Status::New,
            next_page,
            uri_scheme,
        };
        self.send_link(&server, &Subject::Realm(realm), &arrival.realm.host, &prereg)
    }

    /// `GET /remote-billing-login/do_confirm/{key}`.
    pub(super) fn realm_confirm(&mut self) -> Result<Reply, Stop> {
        let (link, prereg) = self.linked()?;
        let (realm, user_uuid) = prereg.realm.clone().ok_or(Refusal::LinkUnknown)?;
        if prereg.status == Status::Used {
            return Err(Refusal::LinkUsed.into());
        }
        let server = self.active_server(link.server())?;
        let facts = self.active_realm(&realm)?;
        let known = store::user::of_realm(self.sql, &server.uuid, &realm, &user_uuid)?;
        let user = match known {
            Some(user) => user,
            None => self.new_user(Subject::Realm(realm.clone()), Some(user_uuid.clone()), &prereg)?,
        };
        if !user.is_active {
            return Err(EntryError::Inactive.into());
        }
        self.work.statements.push(store::user::put(&user));
        self.work.statements.push(store::user::use_up(prereg.prereg_id, user.user_id));
        let identity = Identity {
            person: Person { uuid: user_uuid, email: user.email.clone(), full_name: user.full_name.clone() },
            server: server.uuid,
            realm,
            user_id: Some(user.user_id),
            authenticated_at: self.now,
            uri_scheme: prereg.uri_scheme,
            next_page: prereg.next_page,
        };
        let action = format!("/remote-billing-login/{}", token::encode_identity(self.key, &identity)?);
        self.door(200, &action, &facts.host, &user, None)
    }

    /// `POST /remote-billing-login/{token}`.
    pub(super) fn realm_enter(&mut self) -> Result<Reply, Stop> {
        let arrival = self.arrive()?;
        self.check_form()?;
        let user = self.user_of(&arrival)?;
        let entry = request::entry(self.call)?;
        let entered = match decide_entry(self.now, &self.settings.billing.terms_version, user.as_ref(), &entry) {
            Ok(entered) => entered,
            Err(EntryError::Terms) => {
                let user = user.ok_or(EntryError::NoUser)?;
                let action = format!("/remote-billing-login/{}", self.param(0));
                let user = shown_again(user, &entry);
                return self.door(400, &action, &arrival.realm.host, &user, Some(&EntryError::Terms.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let subject = Subject::Realm(arrival.realm.uuid);
        self.enter(
            &entered,
            &arrival.realm.account,
            SignedIn {
                server: arrival.identity.server,
                subject,
                user_id: Some(entered.user_id),
                authenticated_at: arrival.identity.authenticated_at,
                uri_scheme: arrival.identity.uri_scheme,
                next_page: arrival.identity.next_page,
            },
        )
    }

    /// Who came with the token, after the server's plan has become the organization's where it should.
    fn arrive(&mut self) -> Result<Arrival, Stop> {
        let identity = token::parse_identity(self.key, self.param(0)).ok_or(Refusal::TokenInvalid)?;
        if !is_fresh(identity.authenticated_at, self.now) {
            return Err(Refusal::TokenExpired.into());
        }
        let server = self.active_server(&identity.server)?;
        let mut realm = self.active_realm(&identity.realm)?;
        match self.books.adopt(self.sql, self.now, &realm.uuid)? {
            Adopted::Nothing if server.account.plan().is_some() => return Err(Refusal::ServerHasPlan.into()),
            Adopted::Nothing => {}
            Adopted::Moved { statements, account } => {
                self.work.statements.extend(statements);
                realm.account = account;
            }
        }
        Ok(Arrival { identity, realm })
    }

    /// The server, if it is this one and its registration counts.
    pub(super) fn active_server(&self, server: &Uuid) -> Result<ServerFacts, Stop> {
        let facts = self.books.server(self.sql)?.filter(|facts| facts.uuid == *server);
        let facts = facts.ok_or(Refusal::TokenInvalid)?;
        match facts.account.registration {
            Registration::Active => Ok(facts),
            Registration::Deactivated => Err(Refusal::Deactivated.into()),
        }
    }

    /// The organization, if its registration counts.
    pub(super) fn active_realm(&self, realm: &Uuid) -> Result<RealmFacts, Stop> {
        let facts = self.books.realm(self.sql, realm)?.ok_or(Refusal::TokenInvalid)?;
        match facts.account.registration {
            Registration::Active => Ok(facts),
            Registration::Deactivated => Err(Refusal::Deactivated.into()),
        }
    }

    fn user_of(&self, arrival: &Arrival) -> Result<Option<BillingUser>, Fault> {
        let Identity { server, realm, person, .. } = &arrival.identity;
        store::user::of_realm(self.sql, server, realm, &person.uuid)
    }

    fn ask_for_email(
        &mut self,
        status: u16,
        arrival: &Arrival,
        email: &str,
        error: Option<&Refusal>,
    ) -> Result<Reply, Stop> {
        let action = format!("/remote-billing-login/{}/confirm/", self.param(0));
        self.email_page(status, &action, &arrival.realm.host, email, error)
    }

    /// The page that asks for an address.
    pub(super) fn email_page(
        &mut self,
        status: u16,
        action: &str,
        host: &str,
        email: &str,
        error: Option<&Refusal>,
    ) -> Result<Reply, Stop> {
        let error = error.map(super::words);
        self.with_forms(|token| pages::ask_email(status, action, token, host, email, error.as_deref()))
    }

    /// The page at the door.
    pub(super) fn door(
        &mut self,
        status: u16,
        action: &str,
        host: &str,
        user: &BillingUser,
        error: Option<&Refusal>,
    ) -> Result<Reply, Stop> {
        let settings = self.settings;
        let terms = if needs_terms(&settings.billing.terms_version, &user.terms_version) {
            pages::Terms::Asked { url: settings.billing.terms_url.as_deref() }
        } else {
            pages::Terms::Accepted
        };
        let guest = if is_new(user) { pages::Guest::New } else { pages::Guest::Known };
        let error = error.map(super::words);
        self.with_forms(|token| {
            let (email, full_name, preferences) = (&user.email, &user.full_name, user.preferences);
            let error = error.as_deref();
            let door = pages::Door { action, token, host, email, full_name, preferences, guest, terms, error };
            pages::door(status, &door)
        })
    }

    /// Writes down who is to become a user, and mails the link. The address was checked.
    pub(super) fn send_link(
        &mut self,
        server: &Uuid,
        subject: &Subject,
        host: &str,
        prereg: &Preregistration,
    ) -> Result<Reply, Stop> {
        self.check_network()?;
        let link = LinkKey::mint(self.key, server, self.entropy);
        let url = format!("{}{}", self.letter_base()?, letter::link_path(subject, &link));
        let (line, text) = letter::confirmation(subject, &shown_host(host, subject.uuid()), &url);
        self.work.statements.push(store::user::preregister(link.hash(), prereg, &self.call.client));
        self.post(&prereg.email, line, text)?;
        Ok(pages::email_sent(&prereg.email))
    }

    /// Whoever the link in the path belongs to, while it works.
    pub(super) fn linked(&self) -> Result<(LinkKey, Preregistration), Stop> {
        let link = LinkKey::parse(self.key, self.param(0)).ok_or(Refusal::LinkUnknown)?;
        // Where nobody is registered, nothing is stored.
        self.books.server(self.sql)?.ok_or(Refusal::LinkUnknown)?;
        let prereg = store::user::by_key(self.sql, link.hash())?.ok_or(Refusal::LinkUnknown)?;
        if prereg.status == Status::Revoked {
            return Err(Refusal::LinkUnknown.into());
        }
        if self.now.since(prereg.date_joined) > LINK_MS {
            return Err(Refusal::LinkExpired.into());
        }
        Ok((link, prereg))
    }

    /// A user of nobody yet written down.
    pub(super) fn new_user(
        &self,
        subject: Subject,
        user_uuid: Option<Uuid>,
        prereg: &Preregistration,
    ) -> Result<BillingUser, Stop> {
        if store::user::count(self.sql)? >= USERS_MAX {
            return Err(Refusal::TooManyUsers.into());
        }
        Ok(BillingUser {
            user_id: store::user::next_id(self.sql)?,
            subject,
            user_uuid,
            email: prereg.email.clone(),
            full_name: prereg.full_name.clone(),
            date_joined: self.now,
            last_login: None,
            is_active: true,
            terms_version: NO_TERMS.to_owned(),
            preferences: Preferences::default(),
        })
    }

    /// Lets somebody in: their row, a session that replaces every other, and the next page.
    pub(super) fn enter(&mut self, user: &BillingUser, account: &Account, who: SignedIn) -> Result<Reply, Stop> {
        let page = landing(&who.subject, who.next_page, account);
        let to = who.subject.path(page.name());
        self.work.statements.push(store::user::put(user));
        let session = Session::of(who, self.entropy);
        Ok(answer::redirect(&to).with_header("Set-Cookie", self.cookie(&session)?))
    }
}
