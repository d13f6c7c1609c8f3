//! A circuit breaker: a provider that fails half of its calls is left alone for a while.
//!
//! Closed, it counts the last 20 calls. Open, it lets nothing through for 30 seconds. Then one probe goes, and its end
//! decides. A probe that never ends frees the next after another 30 seconds.

use super::{RetryBase, Verdict};
use crate::kernel::time::Timestamp;

/// So many calls are looked back at, and no fewer open the breaker.
pub const WINDOW: u32 = 20;

/// So many failures among them open it: half.
pub const FAILURES_MIN: u32 = WINDOW / 2;

/// How long it stays open, and how long a probe is waited for. Units: milliseconds.
pub const OPEN_MS: u64 = 30_000;

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go,
    /// It may, and how it ends decides whether others may.
    Probe,
    /// Not before.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
}

/// How a call ended, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The provider did its work, even if it refused ours.
    Well,
    /// It did not answer, or not properly.
    Ill,
}

impl From<Verdict> for Health {
    /// Quota is no illness: the provider works, and says when to come back.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Retry { base: RetryBase::Network | RetryBase::Server, .. } => Self::Ill,
            Verdict::Retry { base: RetryBase::Quota, .. }
            | Verdict::Delivered
            | Verdict::Dead { .. }
            | Verdict::Renew
            | Verdict::Refused(_) => Self::Well,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bits of the last calls, the newest lowest, 1 for ill; and how many there are.
    Closed {
        recent: u32,
        calls: u32,
    },
    Open {
        until: Timestamp,
    },
    Probing {
        until: Timestamp,
    },
}

/// The breaker of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { recent: 0, calls: 0 })
    }
}

impl Breaker {
    /// Asks for a call. Whoever may go tells [`Breaker::record`] how it ended.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        match self.0 {
            State::Closed { .. } => Admission::Go,
            State::Open { until } | State::Probing { until } if now < until => Admission::Wait { until },
            State::Open { .. } | State::Probing { .. } => {
                self.0 = State::Probing { until: now.plus(OPEN_MS) };
                Admission::Probe
            }
        }
    }

    /// Learns how a call ended that was let through as `admission`. Calls from before it opened count no more.
    pub fn record(&mut self, now: Timestamp, admission: Admission, health: Health) {
        match (self.0, admission) {
            (State::Closed { recent, calls }, Admission::Go | Admission::Probe) => {
                let mask = (1 << WINDOW) - 1;
                let recent = ((recent << 1) | u32::from(health == Health::Ill)) & mask;
                let calls = (calls + 1).min(WINDOW);
                let opens = calls == WINDOW && recent.count_ones() >= FAILURES_MIN;
                self.0 = if opens { State::Open { until: now.plus(OPEN_MS) } } else { State::Closed { recent, calls } };
            }
            (State::Open { .. } | State::Probing { .. }, Admission::Probe) => {
                *self = match health {
                    Health::Well => Self::default(),
                    Health::Ill => Self(State::Open { until: now.plus(OPEN_MS) }),
                };
            }
            (State::Open { .. } | State::Probing { .. }, Admission::Go) | (_, Admission::Wait { .. }) => {}
        }
    }
}
