//! The audit log: which rows of servers are taken, and what we note ourselves. Nothing in it is ever changed.
//!
//! Source: section 2.6 of the dialect.

use std::collections::BTreeMap;

use super::uuid::Uuid;
use crate::kernel::time::Timestamp;

/// The event types that servers upload. 725 arrived with workplace counts.
pub const SYNCED: [i64; 9] = [101, 102, 103, 104, 105, 201, 202, 229, 725];

/// `extra_data` of an uploaded row up to this length is kept as it came; of longer ones only what the dialect knows. Units:
/// bytes. A role change of a real client takes 200.
pub const EXTRA_BYTES_MAX: usize = 4 * 1024;

/// Uploaded rows that are kept; the oldest go first. Our own are kept for ever.
pub const ROWS_MAX: u64 = 1_000_000;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The server itself.
    Server,
    /// One of its organizations, and its number there where one was reported with the event.
    Realm {
        /// Its name.
        uuid: Uuid,
        /// Its number on its server.
        number: Option<i64>,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Event {
    Deactivated,
    Reactivated,
    Scrubbed,
    PlanTypeChanged,
    DiscountChanged,
    SponsorshipApproved,
    BillingModalityChanged,
    SponsorshipPendingChanged,
    Created,
    Transferred,
    CustomerCreated,
    PlanCreated,
    SwitchedToAnnual,
    SwitchedToMonthly,
    CustomerChanged,
    PlanChanged,
    ValueUpdated,
    PlanMoved,
    LocallyDeleted,
    Restored,
    RealmMoved,
    LinkMinted,
    BillingUserClosed,
}

impl Event {
    /// The dialect's number. For what happens to a server itself it is larger by 10,000.
    ///
    /// 20,005, the move of an organization to another server, 20,006, a deactivation link that an operator was given, and
    /// 20,007, a billing user whose account an operator has closed, are ours.
    #[must_use]
    pub fn number(self, scope: &Scope) -> u32 {
        let shift = if *scope == Scope::Server { 10_000 } else { 0 };
        match self {
            Self::Deactivated => 201 + shift,
            Self::Reactivated => 202 + shift,
            Self::Scrubbed => 203 + shift,
            Self::PlanTypeChanged => 204 + shift,
            Self::DiscountChanged => 209 + shift,
            Self::SponsorshipApproved => 210 + shift,
            Self::BillingModalityChanged => 211 + shift,
            Self::SponsorshipPendingChanged => 213 + shift,
            Self::Created => 215 + shift,
            Self::Transferred => 216 + shift,
            Self::CustomerCreated => 501,
            Self::PlanCreated => 502,
            Self::SwitchedToAnnual => 503,
            Self::SwitchedToMonthly => 504,
            Self::CustomerChanged => 505,
            Self::PlanChanged => 506,
            Self::ValueUpdated => 20_001,
            Self::PlanMoved => 20_002,
            Self::LocallyDeleted => 20_003,
            Self::Restored => 20_004,
            Self::RealmMoved => 20_005,
            Self::LinkMinted => 20_006,
            Self::BillingUserClosed => 20_007,
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The server, by what it uploaded or asked for.
    Server,
    /// An operator; the name of the token, or `admin` for the holder of the service's secret.
    Operator(String),
    /// An owner who signed in.
    Owner(String),
    /// The payment system.
    Payment,
    /// The service itself, when a time had come.
    Clock,
}

impl Actor {
    /// As it is kept and shown.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Server => String::from("server"),
            Self::Operator(name) => format!("operator:{name}"),
            Self::Owner(name) => format!("owner:{name}"),
            Self::Payment => String::from("payment"),
            Self::Clock => String::from("clock"),
        }
    }
}

/// A value before or after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// None.
    Nothing,
    /// A switch.
    Flag(Flag),
    /// A number; times are seconds since 1970.
    Number(i64),
    /// A text.
    Text(String),
    /// Switches by name.
    Flags(BTreeMap<String, bool>),
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Flag {
    On,
    Off,
}

impl From<bool> for Note {
    fn from(is_on: bool) -> Self {
        Self::Flag(if is_on { Flag::On } else { Flag::Off })
    }
}

impl From<u64> for Note {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Note {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<Timestamp> for Note {
    fn from(time: Timestamp) -> Self {
        Self::from(time.as_millis() / 1_000)
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Note {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing more to say.
    Plain,
    /// The one value that the event is about.
    Value {
        /// Before.
        old: Note,
        /// After.
        new: Note,
    },
    /// A named attribute of an organization.
    Attribute {
        /// Its name.
        name: &'static str,
        /// Before.
        old: Note,
        /// After.
        new: Note,
    },
    /// A named property of a customer or a plan.
    Property {
        /// Its name.
        name: &'static str,
        /// Before.
        old: Note,
        /// After.
        new: Note,
    },
    /// Words that an operator gave.
    Reason(String),
    /// A billing user by its number, and an operator's words.
    User {
        /// Which.
        user_id: u64,
        /// Why.
        reason: Option<String>,
    },
}

/// An entry of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// About what.
    pub scope: Scope,
    /// What.
    pub event: Event,
    /// From what to what.
    pub change: Change,
}

impl Entry {
    /// An entry without more to say.
    #[must_use]
    pub const fn plain(scope: Scope, event: Event) -> Self {
        Self { scope, event, change: Change::Plain }
    }

    /// An entry about one value.
    #[must_use]
    pub fn changed(scope: Scope, event: Event, old: impl Into<Note>, new: impl Into<Note>) -> Self {
        Self { scope, event, change: Change::Value { old: old.into(), new: new.into() } }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, SYNCED, Scope};
    use crate::push::uuid::Uuid;

    #[test]
    fn what_happens_to_a_server_has_numbers_of_its_own() {
        let uuid = Uuid::parse("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").unwrap();
        let realm = Scope::Realm { uuid, number: None };
        for (event, of_realm, of_server) in [
            (Event::Deactivated, 201, 10_201),
            (Event::Reactivated, 202, 10_202),
            (Event::PlanTypeChanged, 204, 10_204),
            (Event::DiscountChanged, 209, 10_209),
            (Event::SponsorshipApproved, 210, 10_210),
            (Event::BillingModalityChanged, 211, 10_211),
            (Event::SponsorshipPendingChanged, 213, 10_213),
            (Event::Created, 215, 10_215),
            (Event::Transferred, 216, 10_216),
            (Event::CustomerCreated, 501, 501),
            (Event::PlanChanged, 506, 506),
            (Event::PlanMoved, 20_002, 20_002),
            (Event::LocallyDeleted, 20_003, 20_003),
            (Event::Restored, 20_004, 20_004),
            (Event::LinkMinted, 20_006, 20_006),
            (Event::BillingUserClosed, 20_007, 20_007),
        ] {
            assert_eq!((event.number(&realm), event.number(&Scope::Server)), (of_realm, of_server), "{event:?}");
        }
        assert!(!SYNCED.contains(&204) && !SYNCED.contains(&215));
    }
}
