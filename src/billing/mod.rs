//! Billing users: owners of organizations and administrators of servers sign in, and look after their plans.
//!
//! Two ways lead in. An owner is sent over by the organization's own server with a signed token (`identity`); an
//! administrator shows a server's id and key. Both prove an address by a link (`link`, `mail`), accept the terms (`user`),
//! and then hold a session of two hours in one signed cookie.
//!
//! State: rows of the server's own object, which hosts a [`BillingDesk`] and opens its registrations, customers and plans
//! to it as [`Books`]. Sessions and tokens are signed and stored nowhere.
//!
//! Invariants: a session opens the pages of one organization or one server and no others; nothing is changed by a form
//! without its session's token, or by a page of another origin; a link of an organization works once; no text becomes
//! markup but by `kernel::html`; every letter is a row until somebody has taken it.
//!
//! Routes: `/remote-billing-login/…`, `/serverlogin/…`, `/realm/…`, `/server/…`, `/json/…/billing/…`, `/billing/logout`,
//! `/dev/mail`, and `POST server/billing` of the bouncer, whose caller the host has authenticated ([`HandOff`]).
//!
//! Source: sections 1.16, 2.5, 3.9 and 3.10 of the dialect. Where it is silent, or a browser is in the way: pages of refusals
//! have the status of the refusal (403 where a plan is managed elsewhere); a form that comes after its session has ended is
//! answered with a page that links to the sign-in, because `form-action` keeps a form's answer on this site; only paths under
//! `/json/` count as AJAX, because no page of ours has a script; the terms that are stored are the ones that were shown and
//! accepted, so a newer minor version, which nobody is asked about, is not. Owners of one account may cause a hundred entries
//! of the audit log a day.

pub mod change;
pub mod customer;
pub mod identity;
pub mod landing;
pub mod link;
pub mod mail;
pub mod object;
pub mod refusal;
pub mod seal;
pub mod standing;
mod store;
pub mod user;
mod wire;

pub use object::{
    Adopted, BillingDesk, Books, BooksStop, Entered, HandOff, Known, MIGRATIONS, MailId, SCHEMA, Step, Work,
    close_user, deactivation_link, handles, public_base, purge, purge_realm, user_of, users_page,
};
pub use wire::sheet::{Cell, table};

use crate::kernel::code::ErrorCode;
use crate::kernel::object::{Browser, Call};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::{Key32, Settings};
use crate::push::uuid::Uuid;
use link::LinkKey;
use refusal::Refusal;
use wire::{cookie, request, token};

/// The object that shows the form at which nobody is known yet. It keeps nothing.
pub const SIGN_IN: &str = "sign-in";

/// The objects that count letters by network: this, a slash and a number.
pub const MAIL_COUNTER: &str = "mail-counter";

/// The object that keeps letters of a development service.
pub const DEV_MAIL: &str = "dev-mail";

/// The object that a call of this room goes to.
///
/// Errors: an answer, where what the call shows is not ours, or nothing at all: no object is woken by what a stranger
/// makes up, except for a server's id at the form that asks for one.
pub fn address(settings: &Settings, call: &Call) -> Result<(Class, String), Reply> {
    let refuse = |refusal: &Refusal| object::refused(call, refusal);
    if call.operation == Operation::BillingDevMail {
        let missing = || Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id);
        return if settings.dev_mode.is_on() { Ok(to(DEV_MAIL)) } else { Err(missing()) };
    }
    let key = settings.push.transfer_key.as_ref().ok_or_else(|| refuse(&Refusal::NotConfigured))?;
    named(settings, key, call).map(|name| to(&name)).map_err(|refusal| refuse(&refusal))
}

fn to(name: &str) -> (Class, String) {
    (Class::RemoteServer, name.to_owned())
}

fn named(settings: &Settings, key: &Key32, call: &Call) -> Result<String, Refusal> {
    use Operation as O;
    let param = call.params.first().map(String::as_str).unwrap_or_default();
    let name = |uuid: &Uuid| uuid.to_string();
    match call.operation {
        O::BillingRealmLogin | O::BillingRealmEnter | O::BillingRealmMail => {
            let identity = token::parse_identity(key, param).ok_or(Refusal::TokenInvalid)?;
            Ok(name(&identity.server))
        }
        O::BillingRealmConfirm | O::BillingServerConfirm | O::BillingServerAccept => {
            Ok(name(LinkKey::parse(key, param).ok_or(Refusal::LinkUnknown)?.server()))
        }
        O::BillingServerEnter => Ok(request::server_id(call).map_or_else(|| SIGN_IN.to_owned(), |uuid| name(&uuid))),
        O::BillingServerLogin | O::BillingServerLeave | O::BillingLogout => Ok(SIGN_IN.to_owned()),
        _ => {
            let nobody = Browser::default();
            let session = cookie::read(settings, key, call.browser.as_ref().unwrap_or(&nobody));
            let who = session.and_then(|session| session.signed_in).ok_or(Refusal::NotAuthenticated)?;
            Ok(name(&who.server))
        }
    }
}
