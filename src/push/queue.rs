//! What waits: notifications that no provider has taken yet, and duties towards other objects.
//!
//! A row is written before anything is sent, with a due time by which a try that nobody answered counts as failed. So a
//! crash at any moment loses nothing, and repeats only what was under way.

use super::device::Token;
use super::provider::retry::{ATTEMPTS_MAX, Course, DELAY_MS_MAX, Next, next};
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
    /// The organization of the request.
    pub realm: Option<i64>,
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
    /// The device's token is dead: since when, if the provider says it.
    Dead(Option<Timestamp>),
    /// It is tried again then.
    Again(Timestamp),
    /// It is not.
    Dropped,
}

/// Decides after a try.
pub fn decide_fate(now: Timestamp, delivery: &Delivery, verdict: Verdict, entropy: &mut dyn Entropy) -> Fate {
    let (base, after_ms) = match verdict {
        Verdict::Delivered => return Fate::Sent,
        Verdict::Dead { since } if verdict.kills(delivery.registered_at) => return Fate::Dead(since),
        Verdict::Dead { .. } | Verdict::Refused(_) => return Fate::Dropped,
        // New credentials did not help: ours are wrong, or the provider is not well.
        Verdict::Renew => (RetryBase::Server, None),
        Verdict::Retry { after_ms, base } => (base, after_ms),
    };
    let course = Course { begun: delivery.begun_at, ttl_ms: u64::MAX, attempts: delivery.attempts };
    match next(&course, base, after_ms, now, entropy) {
        Next::At(at) => Fate::Again(at),
        Next::GiveUp if delivery.attempts >= ATTEMPTS_MAX => patient(now, &course, after_ms, entropy),
        Next::GiveUp => Fate::Dropped,
    }
}

/// The longest pause before the first slow try; it doubles. Units: milliseconds.
const PATIENT_MS: u64 = 30_000;

/// After the quick tries come slow ones, to the end of the course: an outage is not the notification's fault, and what a
/// provider refuses for the notification's own sake is not tried again at all.
fn patient(now: Timestamp, course: &Course, after_ms: Option<u64>, entropy: &mut dyn Entropy) -> Fate {
    let doublings = course.attempts.saturating_sub(ATTEMPTS_MAX).min(8);
    let half_ms = (PATIENT_MS << doublings).min(DELAY_MS_MAX) / 2;
    let drawn = half_ms + u64::from(entropy.below(u32::try_from(half_ms).unwrap_or(u32::MAX)));
    let at = now.plus(drawn.max(after_ms.unwrap_or(0)));
    if at > course.ends() { Fate::Dropped } else { Fate::Again(at) }
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

#[cfg(test)]
mod tests {
    use super::{Delivery, Fate, Path, decide_fate};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::time::Timestamp;
    use crate::push::device::Token;
    use crate::push::provider::retry::COURSE_MS_MAX;
    use crate::push::provider::{Kind, RetryBase, Verdict};

    const BEGUN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn delivery(attempts: u32) -> Delivery {
        Delivery {
            delivery_id: 1,
            path: Path::Legacy,
            realm: None,
            device_id: 1,
            token: Token { kind: Kind::Fcm, token: String::from("t"), app_id: None },
            registered_at: BEGUN,
            parcel: String::new(),
            begun_at: BEGUN,
            attempts,
        }
    }

    #[test]
    fn an_outage_of_most_of_an_hour_loses_nothing() {
        let mut entropy = SeededEntropy::new(1);
        for base in [RetryBase::Network, RetryBase::Server, RetryBase::Quota] {
            let (mut now, mut attempts) = (BEGUN, 1);
            while now < BEGUN.plus(COURSE_MS_MAX - 600_000) {
                let verdict = Verdict::Retry { after_ms: None, base };
                let Fate::Again(at) = decide_fate(now, &delivery(attempts), verdict, &mut entropy) else {
                    panic!("given up after {} ms and {attempts} tries", now.since(BEGUN));
                };
                (now, attempts) = (at.plus(1), attempts + 1);
            }
            assert!(attempts < 40, "{attempts} tries are a storm");
        }
    }

    #[test]
    fn nothing_is_tried_after_its_hour_or_before_the_provider_allows() {
        let mut entropy = SeededEntropy::new(1);
        for attempts in 1..20 {
            let late = BEGUN.plus(COURSE_MS_MAX);
            let verdict = Verdict::Retry { after_ms: Some(1_000), base: RetryBase::Server };
            assert_eq!(decide_fate(late, &delivery(attempts), verdict, &mut entropy), Fate::Dropped);
            let verdict = Verdict::Retry { after_ms: Some(900_000), base: RetryBase::Server };
            let fate = decide_fate(BEGUN, &delivery(attempts), verdict, &mut entropy);
            assert!(matches!(fate, Fate::Again(at) if at >= BEGUN.plus(900_000)), "{fate:?}");
        }
    }

    #[test]
    fn a_token_that_was_registered_after_its_death_lives() {
        let mut entropy = SeededEntropy::new(1);
        let mut fate = |since| decide_fate(BEGUN, &delivery(1), Verdict::Dead { since }, &mut entropy);
        assert_eq!(fate(None), Fate::Dead(None));
        assert_eq!(fate(Some(BEGUN)), Fate::Dead(Some(BEGUN)));
        assert_eq!(fate(Some(BEGUN.minus(1))), Fate::Dropped);
    }
}
