//! Refusals as pages and as JSON.
//!
//! Source: section 3.9 of the dialect for the sentences that its servers' owners know; the others are ours.

use serde_json::json;

use crate::billing::mail::MailLimit;
use crate::billing::refusal::Refusal;
use crate::billing::user::EntryError;
use crate::kernel::html::{Html, page};
use crate::kernel::reply::{Media, Reply};
use crate::push::refusal::{self as push, EmailError, ParameterError};
use crate::push::wire::envelope;

/// Status, title and sentence.
pub(crate) fn words(refusal: &Refusal) -> (u16, &'static str, String) {
    use Refusal as R;
    let (status, title, sentence) = match refusal {
        R::TokenInvalid => (400, "Sign-in failed", "Invalid billing access token."),
        R::TokenExpired => (400, "Sign-in failed", "Billing access token expired."),
        R::Deactivated => (400, "Sign-in failed", "Registration is deactivated"),
        R::Irreconcilable => (
            400,
            "Sign-in failed",
            "Couldn't reconcile billing data between server and realm. Please contact the operator of this service.",
        ),
        R::ServerHasPlan => (
            403,
            "Plan management not available",
            "Your server has a plan of its own. Plan management is available for the server as a whole; sign in with \
             the server's id and key.",
        ),
        R::RealmsHavePlans => (
            403,
            "Plan management not available",
            "Organizations on this server have plans of their own. Sign in from each organization instead.",
        ),
        R::Entry(EntryError::NoUser) => (400, "Sign-in failed", "User account doesn't exist yet."),
        R::Entry(EntryError::Inactive) => (403, "Sign-in failed", "Your account is deactivated."),
        R::Entry(EntryError::Terms) => (400, "Sign-in failed", "You must accept the Terms of Service to proceed."),
        R::TooManyUsers => (403, "Sign-in failed", "This server has too many billing users."),
        R::NotAuthenticated => (401, "Not signed in", "User not authenticated"),
        R::SessionExpired { .. } => (401, "Session expired", "Remote billing authentication expired"),
        R::Csrf => (403, "Form refused", "The form has expired, or cookies are off. Go back, reload and try again."),
        R::ForeignOrigin => (403, "Form refused", "The form was sent by a page of another site."),
        R::LinkUnknown => {
            (404, "Link not found", "This confirmation link does not exist. Sign in again for a new one.")
        }
        R::LinkExpired => (404, "Link expired", "This confirmation link has expired. Sign in again for a new one."),
        R::LinkUsed => (404, "Link used", "This confirmation link was used already. Sign in again for a new one."),
        R::Mail(limit) => (429, "Too many e-mails", mail_limit(*limit)),
        R::Busy => (503, "Try again", "The service could not finish the request; try again later."),
        R::MailNotConfigured => (503, "E-mail is not configured", "E-mail is not configured"),
        R::HostNotConfigured => (
            503,
            "E-mail is not configured",
            "No e-mail was sent: this service does not know its own address. Its operator must set BILLING_HOST.",
        ),
        R::NotConfigured => (503, "Not available", "Plan management is not configured on this service."),
        R::NotRegistered => (401, "Sign-in failed", "Did not find a server registration for this zulip_org_id."),
        R::WrongKey => (401, "Sign-in failed", "Invalid zulip_org_key."),
        R::ServerDeactivated => (401, "Sign-in failed", "Your server registration has been deactivated."),
        R::Email(error) => return (400, "Check the address", email(error)),
        R::NoSuchPage => (404, "Not found", "There is no such page."),
        R::Parameter(error) => return (400, "Check the form", parameter(error)),
        R::NotConfirmed => (400, "Check the form", "Tick the box to confirm."),
        R::NothingToChange => (400, "Nothing changed", "Nothing to change."),
        R::Books(sentence) => return (400, "Not possible", sentence.clone()),
    };
    (status, title, sentence.to_owned())
}

const fn mail_limit(limit: MailLimit) -> &'static str {
    match limit {
        MailLimit::Network => "Too many e-mails were requested from your network today. Please try again tomorrow.",
        MailLimit::Server => "Too many e-mails were requested for this server today. Please try again tomorrow.",
    }
}

/// The dialect's own sentence for a parameter.
fn parameter(error: &ParameterError) -> String {
    dialects(&push::Refusal::Parameter(error.clone()), "msg")
}

/// The dialect's own sentence for an address, without what registrations say before it.
fn email(error: &EmailError) -> String {
    dialects(&push::Refusal::Email(error.clone()), "email_reason")
}

fn dialects(refusal: &push::Refusal, member: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(&envelope::refused(refusal).body).unwrap_or_default();
    body.get(member).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// A refusal as a page, with a way back to signing in where that helps.
pub(crate) fn as_page(refusal: &Refusal) -> Reply {
    let (status, title, sentence) = words(refusal);
    let main = Html::new().markup("<main><h1>").text(title).markup("</h1><p class=\"error\" role=\"alert\">");
    let main = main.text(&sentence).markup("</p>");
    let main = match refusal {
        Refusal::SessionExpired { login, .. } => link(main, login),
        Refusal::NotAuthenticated => link(
            main.markup(
                "<p>Owners of an organization come from its own server, by the page for plan management there. \
                 Administrators sign in with the server's id and key.</p>",
            ),
            "/serverlogin/",
        ),
        Refusal::ServerHasPlan => link(main, "/serverlogin/"),
        Refusal::RealmsHavePlans => {
            main.markup("<p><a href=\"/serverlogin/deactivate\">End this server's registration</a></p>")
        }
        _ => main,
    };
    page(status, title, main.markup("</main>")).with_header("Vary", "Origin, Cookie")
}

fn link(main: Html, to: &str) -> Html {
    main.markup("<p><a").attribute("href", to).markup(">Sign in</a></p>")
}

/// A refusal as JSON, for scripts.
pub(crate) fn as_json(refusal: &Refusal) -> Reply {
    let (status, _, sentence) = words(refusal);
    let body = match refusal {
        Refusal::SessionExpired { login, .. } => json!({ "error_message": sentence, "login_url": login }),
        Refusal::NotAuthenticated => {
            json!({ "result": "error", "msg": sentence, "code": "REMOTE_BILLING_UNAUTHENTICATED_USER" })
        }
        _ => json!({ "result": "error", "msg": sentence, "code": code(status) }),
    };
    Reply { status, media: Media::Json, headers: Vec::new(), body: format!("{body}\n") }
}

const fn code(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHORIZED",
        429 => "RATE_LIMIT_HIT",
        _ => "BAD_REQUEST",
    }
}

#[cfg(test)]
mod tests {
    use super::{as_json, as_page, words};
    use crate::billing::identity::Subject;
    use crate::billing::mail::MailLimit;
    use crate::billing::refusal::Refusal as R;
    use crate::billing::user::EntryError;
    use crate::push::refusal::{EmailError, ParameterError};
    use crate::push::uuid::Uuid;

    fn every() -> Vec<R> {
        let uuid = Uuid::parse("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").unwrap();
        let domain = || String::from("b.org");
        let mut all = vec![
            R::TokenInvalid,
            R::TokenExpired,
            R::Deactivated,
            R::Irreconcilable,
            R::ServerHasPlan,
            R::RealmsHavePlans,
            R::TooManyUsers,
            R::NotAuthenticated,
            R::SessionExpired { subject: Subject::Server(uuid), login: String::from("/serverlogin/") },
            R::Csrf,
            R::ForeignOrigin,
            R::LinkUnknown,
            R::LinkExpired,
            R::LinkUsed,
            R::Busy,
            R::MailNotConfigured,
            R::NotConfigured,
            R::NotRegistered,
            R::WrongKey,
            R::ServerDeactivated,
            R::NoSuchPage,
            R::NotConfirmed,
            R::NothingToChange,
            R::Books(String::from("What the books say")),
            R::Parameter(ParameterError::Missing(String::from("tier"))),
            R::Parameter(ParameterError::NotAllowed(String::from("status"))),
        ];
        all.extend([EntryError::NoUser, EntryError::Inactive, EntryError::Terms].map(R::Entry));
        all.extend([MailLimit::Network, MailLimit::Server].map(R::Mail));
        let bad = [EmailError::NoMail { domain: domain() }, EmailError::NoDomain { domain: domain() }];
        all.extend(
            [EmailError::Syntax, EmailError::Disposable, EmailError::Example].into_iter().chain(bad).map(R::Email),
        );
        all
    }

    #[test]
    fn refusals_are_said_in_these_words() {
        let line = |refusal: &R| {
            let (status, title, sentence) = words(refusal);
            format!("{status}\t{title}\t{sentence}\n")
        };
        let said: String = every().iter().map(line).collect();
        assert_eq!(said, include_str!("../../../tests/golden/billing/words.tsv"));
    }

    #[test]
    fn pages_and_json_say_the_same() {
        for refusal in every() {
            let (status, title, sentence) = words(&refusal);
            let (page, json) = (as_page(&refusal), as_json(&refusal));
            assert_eq!((page.status, json.status), (status, status));
            let shown = sentence.replace('\'', "&#39;");
            assert!(page.body.contains(&format!("<h1>{title}</h1>")) && page.body.contains(&shown), "{}", page.body);
            let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
            let member = if matches!(refusal, R::SessionExpired { .. }) { "error_message" } else { "msg" };
            assert_eq!(json[member], sentence.as_str());
        }
    }
}
