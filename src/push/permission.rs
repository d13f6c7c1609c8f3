//! May this request push? Plans and user counts will decide; until they are known everybody may.

use crate::kernel::time::Timestamp;

/// The decision, as clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Whether notifications are sent.
    pub can_push: Push,
    /// When they will no longer be.
    pub ends: Option<Timestamp>,
}

/// Whether notifications are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// They are.
    Allowed,
    /// They are not, for this reason.
    Denied(String),
}

/// Decides.
#[must_use]
pub const fn decide_permission() -> Permission {
    Permission { can_push: Push::Allowed, ends: None }
}
