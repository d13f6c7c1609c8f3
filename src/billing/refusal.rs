//! Why somebody is not let further. The sentences are in `wire::refusal`.

use super::identity::Subject;
use super::mail::MailLimit;
use super::user::EntryError;
use crate::push::refusal::{EmailError, ParameterError};

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The access token is not ours, or damaged.
    TokenInvalid,
    /// The access token is older than two hours.
    TokenExpired,
    /// The server, the organization or its registration was deactivated.
    Deactivated,
    /// Server and organization both have plans or payments, and nobody but a person can say which counts.
    Irreconcilable,
    /// The server has a plan of its own, so its organizations have none.
    ServerHasPlan,
    /// Organizations of the server have plans, so the server has none.
    RealmsHavePlans,
    /// The person may not enter.
    Entry(EntryError),
    /// There are as many billing users as one server may have.
    TooManyUsers,
    /// Nobody is signed in here.
    NotAuthenticated,
    /// Somebody was, more than two hours ago.
    SessionExpired {
        /// For whom.
        subject: Subject,
        /// Where to sign in again.
        login: String,
    },
    /// A form's token is missing or of another session.
    Csrf,
    /// A page of another origin sent the form.
    ForeignOrigin,
    /// The confirmation link is unknown, or forgotten.
    LinkUnknown,
    /// The confirmation link is older than a day.
    LinkExpired,
    /// The confirmation link was used.
    LinkUsed,
    /// Too many letters.
    Mail(MailLimit),
    /// Nobody can say whether there are too many.
    Busy,
    /// Nobody sends letters for us.
    MailNotConfigured,
    /// Nobody has said which host links in letters lead to.
    HostNotConfigured,
    /// There is no key to sign with.
    NotConfigured,
    /// No server is registered under that id.
    NotRegistered,
    /// The key is not that server's.
    WrongKey,
    /// The server's registration has ended.
    ServerDeactivated,
    /// The address cannot be used.
    Email(EmailError),
    /// There is no such page.
    NoSuchPage,
    /// A field of a form is not what it must be.
    Parameter(ParameterError),
    /// The owner did not tick the box.
    NotConfirmed,
    /// A change that changes nothing.
    NothingToChange,
    /// The books say no, in their own words.
    Books(String),
}

impl From<EntryError> for Refusal {
    fn from(error: EntryError) -> Self {
        Self::Entry(error)
    }
}

impl From<MailLimit> for Refusal {
    fn from(limit: MailLimit) -> Self {
        Self::Mail(limit)
    }
}

impl From<EmailError> for Refusal {
    fn from(error: EmailError) -> Self {
        Self::Email(error)
    }
}

impl From<ParameterError> for Refusal {
    fn from(error: ParameterError) -> Self {
        Self::Parameter(error)
    }
}
