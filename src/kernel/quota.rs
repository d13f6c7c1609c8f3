//! Rates: how much a caller may do per minute, as one number of state per caller.
//!
//! Source: the generic cell rate algorithm (ITU-T I.371), which needs only the theoretical arrival time of the next
//! conforming event, survives being written down between events, and has no window edges to exploit.

use super::time::Timestamp;

/// The length of every rate's period.
pub const MINUTE_MS: u64 = 60_000;

/// "At most `per_period` events in any fresh period, refilled evenly".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    per_period: u64,
    period_ms: u64,
}

/// What is left of a quota after an event was let through or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The state to keep: the time at which the quota is entirely free again. Units: microseconds since the epoch,
    /// below 2^53 until the year 2255.
    pub free_at_us: u64,
    /// Further events that would pass now.
    pub remaining: u64,
}

/// The event does not conform; nothing was consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// How long until one event would pass. Units: milliseconds.
    pub retry_after_ms: u64,
}

impl Quota {
    /// A quota per minute; 0 switches it off.
    #[must_use]
    pub const fn per_minute(events: u64) -> Self {
        Self { per_period: events, period_ms: MINUTE_MS }
    }

    /// A quota per `period_ms`; 0 events switch it off.
    #[must_use]
    pub const fn new(events: u64, period_ms: u64) -> Self {
        Self { per_period: events, period_ms }
    }

    /// Whether this quota limits anything.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.per_period == 0
    }

    /// Events per period.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.per_period
    }

    /// Takes one event from the quota whose kept state is `free_at_us` (0 for a newcomer).
    ///
    /// Errors: [`Exhausted`] when the event does not conform.
    pub fn take(&self, free_at_us: u64, now: Timestamp) -> Result<Allowance, Exhausted> {
        self.take_many(1, free_at_us, now)
    }

    /// Takes `events` at once, or none of them.
    ///
    /// Errors: as [`Self::take`]; more than a whole period's never conform.
    pub fn take_many(&self, events: u64, free_at_us: u64, now: Timestamp) -> Result<Allowance, Exhausted> {
        if self.is_off() {
            return Ok(Allowance { free_at_us: 0, remaining: u64::MAX });
        }
        let period = self.period_ms.saturating_mul(1_000);
        let step = (period / self.per_period).max(1);
        let now_us = now.as_millis().saturating_mul(1_000);
        let next = free_at_us.max(now_us).saturating_add(step.saturating_mul(events));
        let horizon = now_us.saturating_add(period);
        if next > horizon {
            return Err(Exhausted { retry_after_ms: (next - horizon).div_ceil(1_000) });
        }
        Ok(Allowance { free_at_us: next, remaining: (horizon - next) / step })
    }
}

#[cfg(test)]
mod tests {
    use super::{MINUTE_MS, Quota};
    use crate::kernel::time::Timestamp;

    fn passes(quota: Quota, events: u64, spacing_ms: u64) -> u64 {
        let (mut state, mut passed) = (0, 0);
        for index in 0..events {
            let now = Timestamp::from_millis(1_000_000 + index * spacing_ms);
            if let Ok(allowance) = quota.take(state, now) {
                state = allowance.free_at_us;
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn exactly_the_limit_passes_at_once_and_one_more_does_not() {
        for limit in [1, 7, 10, 100, 600, 1_000] {
            assert_eq!(passes(Quota::per_minute(limit), limit + 5, 0), limit, "limit {limit}");
        }
    }

    #[test]
    fn a_full_period_gives_everything_back() {
        let quota = Quota::per_minute(3);
        let start = Timestamp::from_millis(9_000_000);
        let mut state = 0;
        for _ in 0..3 {
            state = quota.take(state, start).unwrap().free_at_us;
        }
        let refused = quota.take(state, start).unwrap_err();
        assert_eq!(refused.retry_after_ms, MINUTE_MS / 3);
        assert!(quota.take(state, start.plus(refused.retry_after_ms)).is_ok());
        assert_eq!(quota.take(state, start.plus(MINUTE_MS)).unwrap().remaining, 2);
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let (quota, now) = (Quota::per_minute(10), Timestamp::from_millis(9_000_000));
        let at_once = quota.take_many(7, 0, now).unwrap();
        let one_by_one = (0..7).fold(0, |state, _| quota.take(state, now).unwrap().free_at_us);
        assert_eq!(at_once.free_at_us, one_by_one);
        assert_eq!(at_once.remaining, 3);
        assert!(quota.take_many(4, at_once.free_at_us, now).is_err());
        assert!(quota.take_many(11, 0, now).is_err());
    }

    #[test]
    fn zero_switches_the_quota_off() {
        assert_eq!(passes(Quota::per_minute(0), 5_000, 0), 5_000);
    }
}
