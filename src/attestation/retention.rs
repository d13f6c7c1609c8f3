//! How long references and unfinished uploads are kept.
//!
//! A reference stays while the policy allows its build or any device runs it. One of which neither is true is *idle*, and
//! goes when it has been idle for [`IDLE_MS_MAX`]. An upload of a whole file that does not become a reference within
//! [`UPLOAD_MS_MAX`] goes too. Each is looked at once a day; a removal stands in the log.

use super::policy::{Build, Policy};
use crate::kernel::time::Timestamp;

/// How long an upload may take from its last beginning. Units: milliseconds; a day.
pub const UPLOAD_MS_MAX: u64 = 24 * 3_600_000;

/// How often it is looked at whether a reference is still needed. Units: milliseconds; a day.
pub const REVIEW_MS: u64 = 24 * 3_600_000;

/// How long an idle reference is kept. Units: milliseconds; 90 days.
pub const IDLE_MS_MAX: u64 = 90 * 24 * 3_600_000;

/// When an object that did not answer is told again to forget its file. Units: milliseconds.
pub const FAREWELL_AGAIN_MS: u64 = 300_000;

/// References, uploads and farewells that one alarm deals with, of each.
pub const PER_ALARM_MAX: u64 = 50;

/// A reference whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Due {
    pub reference_id: String,
    pub build: Build,
    /// Whether its file is in an object of its own.
    pub place: Place,
    pub idle_since: Option<Timestamp>,
}

/// Where a reference's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Beside the reference.
    Registry,
    /// In an object of its own.
    ReferenceStore,
}

/// What becomes of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// It is needed.
    Needed,
    /// It is not, since then.
    Idle(Timestamp),
    /// It was not for long enough.
    Over,
}

/// Decides whether a reference stays. `runners`: devices that run the build, of which one is enough.
#[must_use]
pub fn review(due: &Due, policy: &Policy, runners: u64, now: Timestamp) -> Review {
    if runners > 0 || policy.judge(&due.build, now).is_ok() {
        return Review::Needed;
    }
    let since = due.idle_since.unwrap_or(now);
    if now.since(since) >= IDLE_MS_MAX { Review::Over } else { Review::Idle(since) }
}

/// An object that must be told to forget its file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Farewell {
    pub id: u32,
    pub reference_id: String,
    /// What was begun later stays.
    pub made_at: Timestamp,
}
