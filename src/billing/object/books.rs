//! What the desk asks of its host, which keeps registrations, customers and plans.

use crate::billing::change::Request;
use crate::billing::customer::{Account, Invoice, RealmFacts, ServerFacts};
use crate::billing::identity::Subject;
use crate::billing::standing::Asked;
use crate::billing::user::BillingUser;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

/// Why the books do not do what they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksStop {
    /// The plan does not allow it; the owner reads the sentence.
    Refused(String),
    /// Server and organization both have plans or payments, and nobody but a person can say which counts.
    Irreconcilable,
    /// Trouble of our own.
    Fault(Fault),
}

impl From<Fault> for BooksStop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Statements for the event's one commit, with their entries in the audit log among them.
pub type Entered = Result<Vec<Statement>, BooksStop>;

/// What became of a server's plan when the owner of one of its organizations came.
#[derive(Debug)]
pub enum Adopted {
    /// Nothing.
    Nothing,
    /// It is the organization's.
    Moved {
        /// For the event's one commit.
        statements: Vec<Statement>,
        /// The organization's account after that.
        account: Account,
    },
}

/// The books of one server.
pub trait Books {
    /// The server; nothing while it is not registered.
    ///
    /// Errors: [`Fault`], as for every reading here.
    fn server(&self, sql: &dyn Sql) -> Result<Option<ServerFacts>, Fault>;

    /// One of its organizations.
    fn realm(&self, sql: &dyn Sql, realm: &Uuid) -> Result<Option<RealmFacts>, Fault>;

    /// Whether any organization has a live plan.
    fn has_realm_plan(&self, sql: &dyn Sql) -> Result<bool, Fault>;

    /// Invoices, newest first, a bounded number of them.
    fn invoices(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Invoice>, Fault>;

    /// The newest request of each kind that owners made, newest first.
    fn requests(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Asked>, Fault>;

    /// Gives the server's customer or plan to the organization whose owner has come, if it is the only one that people
    /// use: copies the plan type to it, sets the server's back to 100, refreshes the ledger of a paid plan with automatic
    /// licenses, and notes event 20002.
    ///
    /// Errors: [`BooksStop::Irreconcilable`].
    fn adopt(&self, sql: &dyn Sql, now: Timestamp, realm: &Uuid) -> Result<Adopted, BooksStop>;

    /// Does what an owner asks for.
    fn perform(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser, request: &Request) -> Entered;

    /// Ends the server's registration, as its own call for that would.
    fn deactivate(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser) -> Entered;
}
