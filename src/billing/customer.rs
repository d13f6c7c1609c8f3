//! What sign-in and pages must know of servers, organizations and their plans. The host reads it from its own books.

use crate::kernel::time::Timestamp;
use crate::push::credential::KeyHash;
use crate::push::uuid::Uuid;

/// Whether somebody's registration counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It does.
    Active,
    /// The server, the organization or its registration was deactivated.
    Deactivated,
}

/// A server or an organization, as far as its plan goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// 100 to 105; 1 for those that do not use the service.
    pub plan_type: u32,
    /// Whether it may sign in.
    pub registration: Registration,
    /// Absent until it asked for anything that is paid for or given.
    pub customer: Option<Customer>,
}

impl Account {
    /// Its live plan.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.customer.as_ref().and_then(|customer| customer.plan.as_ref())
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its name.
    pub uuid: Uuid,
    /// Under which it says that it is reached.
    pub hostname: String,
    /// Its current key.
    pub key: KeyHash,
    /// Its plan.
    pub account: Account,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmFacts {
    /// Its name.
    pub uuid: Uuid,
    /// Under which its server says that it is reached.
    pub host: String,
    /// What it is called.
    pub name: String,
    /// Its plan. Deactivated, too, when it or its server is.
    pub account: Account,
}

/// Who pays, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Whether a sponsorship was asked for and not answered.
    pub sponsorship_pending: bool,
    /// Whether the payment system knows it.
    pub is_known_to_payment: bool,
    /// The live plan.
    pub plan: Option<Plan>,
}

/// A live plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// 100 to 105.
    pub tier: u32,
    /// 1 to 8.
    pub status: u32,
    /// How often it is paid for.
    pub schedule: Schedule,
    /// Who counts the licenses.
    pub licensing: Licensing,
    /// Licenses in this period.
    pub licenses: u64,
    /// Licenses from the next period on.
    pub licenses_at_next_renewal: u64,
    /// When the next period begins.
    pub renews_at: Option<Timestamp>,
}

/// The plan will become one of another tier when it ends.
pub const SWITCH_TIER_AT_PLAN_END: u32 = 8;

/// How often a plan is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Schedule {
    Annual,
    Monthly,
}

impl Schedule {
    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Annual => 1,
            Self::Monthly => 2,
        }
    }

    /// From the dialect's number.
    #[must_use]
    pub fn parse(number: u64) -> Option<Self> {
        [Self::Annual, Self::Monthly].into_iter().find(|known| u64::from(known.number()) == number)
    }
}

/// Who counts the licenses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Licensing {
    /// They follow the number of users.
    Automatic,
    /// The owner buys them.
    Manual,
}

/// An invoice, for its page and for taking along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its number; no other invoice of the server has it.
    pub number: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Why, in a few words: for a billing period, for licenses in the midst of one.
    pub kind: String,
    /// For what, in a few words: the plan.
    pub what: String,
    /// From when on that is paid for.
    pub period_start: Timestamp,
    /// Until when.
    pub period_end: Timestamp,
    /// Licenses that are paid for.
    pub licenses: u64,
    /// What is to be paid. Units: cents.
    pub amount: u64,
    /// What was taken off before. Units: cents.
    pub discount: u64,
}

/// The name of a plan type or tier.
#[must_use]
pub const fn plan_name(number: u32) -> &'static str {
    match number {
        101 => "Zulip Basic (complimentary)",
        102 => "Community",
        103 => "Basic",
        104 => "Business",
        105 => "Enterprise",
        _ => "Self-managed",
    }
}
