//! How often a server may call: a sliding log.
//!
//! A request is refused when the Nth most recent accepted one is younger than the window; refused ones are not recorded.
//! The log is in memory: a server that is quiet for so long that its object sleeps has mostly earned its rate again.

use std::collections::VecDeque;

use crate::kernel::time::Timestamp;

/// What is left of a rate after a request was let through or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests per window.
    pub limit: u64,
    /// Further requests that would pass now.
    pub remaining: u64,
    /// How long until the oldest counted request counts no more. Units: milliseconds.
    pub reset_ms: u64,
}

/// When requests were let through.
#[derive(Debug, Clone)]
pub struct SlidingLog {
    limit: u64,
    window_ms: u64,
    accepted: VecDeque<Timestamp>,
}

impl SlidingLog {
    /// An empty log; a limit of 0 switches it off.
    #[must_use]
    pub const fn new(limit: u64, window_ms: u64) -> Self {
        Self { limit, window_ms, accepted: VecDeque::new() }
    }

    /// Lets a request through or refuses it. Nothing comes back when the limit is off.
    ///
    /// Errors: the standing, with nothing remaining, when too many were let through within the window.
    pub fn admit(&mut self, now: Timestamp) -> Result<Option<Standing>, Standing> {
        if self.limit == 0 {
            return Ok(None);
        }
        while self.accepted.front().is_some_and(|at| now.since(*at) >= self.window_ms) {
            self.accepted.pop_front();
        }
        if self.accepted.len() as u64 >= self.limit {
            return Err(self.standing(now));
        }
        self.accepted.push_back(now);
        Ok(Some(self.standing(now)))
    }

    fn standing(&self, now: Timestamp) -> Standing {
        let reset_ms = self.accepted.front().map_or(0, |oldest| self.window_ms.saturating_sub(now.since(*oldest)));
        Standing { limit: self.limit, remaining: self.limit.saturating_sub(self.accepted.len() as u64), reset_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::SlidingLog;
    use crate::kernel::time::Timestamp;

    #[test]
    fn only_accepted_requests_count_and_each_leaves_after_the_window() {
        let mut log = SlidingLog::new(2, 1_000);
        let at = |ms: u64| Timestamp::from_millis(5_000_000 + ms);
        assert_eq!(log.admit(at(0)).unwrap().unwrap().remaining, 1);
        assert!(log.admit(at(400)).is_ok());
        for ms in [500, 600, 999] {
            assert_eq!(log.admit(at(ms)).unwrap_err().reset_ms, 1_000 - ms);
        }
        assert!(log.admit(at(1_000)).is_ok());
        assert!(log.admit(at(1_001)).is_err());
        assert!(log.admit(at(1_400)).is_ok());
    }

    #[test]
    fn zero_switches_the_log_off() {
        let mut log = SlidingLog::new(0, 1_000);
        assert!((0..5_000).all(|_| log.admit(Timestamp::EPOCH) == Ok(None)));
    }
}
