//! What the desk asks of its host, which keeps registrations, customers and plans.

use crate::billing::adoption::Adoption;
use crate::billing::change::Request;
use crate::billing::customer::{Invoice, RealmFacts, ServerFacts};
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

/// The books of one server.
pub trait Books {
    /// The server; nothing while it is not registered.
    ///
    /// Errors: [`Fault`], as for every reading here.
    fn server(&self, sql: &dyn Sql) -> Result<Option<ServerFacts>, Fault>;

    /// One of its organizations.
    fn realm(&self, sql: &dyn Sql, realm: &Uuid) -> Result<Option<RealmFacts>, Fault>;

    /// The organization in which people are, if there is exactly one: not deactivated, not deleted on its server, its
    /// registration active, no system bots' and its host not beginning with `zulipinternal.`.
    fn only_human_realm(&self, sql: &dyn Sql) -> Result<Option<Uuid>, Fault>;

    /// Whether any organization has a live plan.
    fn has_realm_plan(&self, sql: &dyn Sql) -> Result<bool, Fault>;

    /// Invoices, newest first, a bounded number of them.
    fn invoices(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Invoice>, Fault>;

    /// The newest request of each kind that owners made, newest first.
    fn requests(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Asked>, Fault>;

    /// Gives the server's customer or plan to an organization: copies the plan type to it, sets the server's back to 100,
    /// refreshes the ledger of a paid plan with automatic licenses, and notes event 20002.
    fn adopt(&self, sql: &dyn Sql, now: Timestamp, realm: &Uuid, adoption: Adoption) -> Entered;

    /// Does what an owner asks for.
    fn perform(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser, request: &Request) -> Entered;

    /// Ends the server's registration, as its own call for that would.
    fn deactivate(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser) -> Entered;
}
