//! What waits: notifications that no provider has taken yet, and duties towards other objects.
//!
//! A row is written before anything is sent, with a due time by which a try that nobody answered counts as failed. So a
//! crash at any moment loses nothing, and repeats only what was under way.

use super::device::Token;
use super::provider::retry::{Course, Next, next};
use super::provider::{RetryBase, Verdict};
use crate::kernel::entropy::Entropy;
use crate::kernel::time::Timestamp;

/// Tries under way at once, of one server.
pub const PARALLEL_MAX: usize = 32;

/// When a try without an answer is given up. Longer than any errand lasts, so that only a crash gets here.
pub const LEASE_MS: u64 = 30_000;

/// How long a caller waits for the verdicts; it gives up itself after 15 seconds. Units: milliseconds.
pub const BUDGET_MS: u64 = 12_000;

/// Notifications of one server that wait. With more the server is asked to come back: it keeps them itself.
pub const WAITING_MAX: u64 = 20_000;

/// Duties under way at once.
pub const DUTIES_PARALLEL_MAX: usize = 8;

/// The longest time between two tries at a duty. Units: milliseconds.
const DUTY_DELAY_MS_MAX: u64 = 300_000;

/// Where the device's row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Among those of the legacy path.
    Legacy,
    /// Among the sealed ones.
    Sealed,
}

/// A notification on its way to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its row.
    pub delivery_id: i64,
    /// Where the device's row is.
    pub path: Path,
    /// The device's row.
    pub device_id: i64,
    /// The device.
    pub token: Token,
    /// Since when the device is known.
    pub registered_at: Timestamp,
    /// What it is sent, as `wire::parcel` wrote it.
    pub parcel: String,
    /// When it was first tried.
    pub begun_at: Timestamp,
    /// Tries begun, the present one included.
    pub attempts: u32,
}

/// What becomes of a delivery after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider has it.
    Sent,
    /// The device's token is dead.
    Dead,
    /// It is tried again then.
    Again(Timestamp),
    /// It is not.
    Dropped,
}

/// Decides after a try.
pub fn decide_fate(now: Timestamp, delivery: &Delivery, verdict: Verdict, entropy: &mut dyn Entropy) -> Fate {
    let (base, after_ms) = match verdict {
        Verdict::Delivered => return Fate::Sent,
        Verdict::Dead { .. } if verdict.kills(delivery.registered_at) => return Fate::Dead,
        Verdict::Dead { .. } | Verdict::Refused(_) => return Fate::Dropped,
        // New credentials did not help: ours are wrong, or the provider is not well.
        Verdict::Renew => (RetryBase::Server, None),
        Verdict::Retry { after_ms, base } => (base, after_ms),
    };
    let course = Course { begun: delivery.begun_at, ttl_ms: u64::MAX, attempts: delivery.attempts };
    match next(&course, base, after_ms, now, entropy) {
        Next::At(at) => Fate::Again(at),
        Next::GiveUp => Fate::Dropped,
    }
}

/// Something that another object must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// Its row.
    pub duty_id: i64,
    /// Which kind of name, in a word.
    pub kind: String,
    /// The name.
    pub name: String,
    /// What about it.
    pub act: DutyAct,
    /// More, for a dead token: the time of its death, a space, the app.
    pub extra: String,
    /// Tries so far.
    pub attempts: u32,
}

/// What another object must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DutyAct {
    /// This server holds the name.
    Confirm,
    /// It does not.
    Release,
    /// The token is dead.
    Dead,
}

impl DutyAct {
    /// The word in storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Release => "release",
            Self::Dead => "dead",
        }
    }

    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Confirm, Self::Release, Self::Dead].into_iter().find(|act| act.word() == word)
    }
}

/// When a duty is tried again that was tried `attempts` times.
#[must_use]
pub const fn duty_delay_ms(attempts: u32) -> u64 {
    let doublings = if attempts > 5 { 5 } else { attempts };
    let delay = 10_000 << doublings;
    if delay > DUTY_DELAY_MS_MAX { DUTY_DELAY_MS_MAX } else { delay }
}
