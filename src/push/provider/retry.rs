//! When a send is tried again, and when no more.
//!
//! Delays grow twofold and are drawn from all of `0 ..= limit`, so that sends that failed together do not come back
//! together ("full jitter"). What the provider asks for with `Retry-After` is always waited for.

use super::RetryBase;
use crate::kernel::entropy::Entropy;
use crate::kernel::time::Timestamp;

/// How often one notification is sent to one device, the first time included.
pub const ATTEMPTS_MAX: u32 = 5;

/// The longest delay that we choose ourselves. Units: milliseconds.
pub const DELAY_MS_MAX: u64 = 300_000;

/// However long a notification is worth delivering, it is given up after this. Units: milliseconds.
pub const COURSE_MS_MAX: u64 = 3_600_000;

impl RetryBase {
    /// The limit of the first delay. Units: milliseconds.
    #[must_use]
    pub const fn delay_ms(self) -> u64 {
        match self {
            Self::Network => 1_000,
            Self::Server => 10_000,
            Self::Quota => 60_000,
        }
    }
}

/// What has been tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// When it was first tried.
    pub begun: Timestamp,
    /// How long it is worth delivering. Units: milliseconds.
    pub ttl_ms: u64,
    /// How often it was tried, the last time included.
    pub attempts: u32,
}

impl Course {
    /// When it is given up.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.begun.plus(self.ttl_ms.min(COURSE_MS_MAX))
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again, not earlier.
    At(Timestamp),
    /// No more.
    GiveUp,
}

/// Decides about a send that ended with [`super::Verdict::Retry`] of these `base` and `after_ms`.
#[must_use]
pub fn next(
    course: &Course,
    base: RetryBase,
    after_ms: Option<u64>,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Next {
    if course.attempts >= ATTEMPTS_MAX {
        return Next::GiveUp;
    }
    let doublings = course.attempts.saturating_sub(1).min(16);
    let limit = base.delay_ms().saturating_mul(1 << doublings).min(DELAY_MS_MAX);
    let bound = u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1);
    let drawn = u64::from(entropy.below(bound));
    let at = now.plus(drawn.max(after_ms.unwrap_or(0)));
    if at > course.ends() { Next::GiveUp } else { Next::At(at) }
}

/// The milliseconds from `now` that a `Retry-After` header asks for: whole seconds, or an HTTP date (RFC 9110, section
/// 10.2.3). Nothing for anything else; 0 for a date that is past.
#[must_use]
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit ask for more time than anybody waits.
        return Some(text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let at = u64::try_from(date.timestamp().as_millisecond()).unwrap_or(0);
    Some(Timestamp::from_millis(at).since(now))
}
