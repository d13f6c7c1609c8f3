//! Messages to a payment system: how many wait, how long, and how often they are tried.

pub use crate::kernel::signed::{SIGNATURE_HEADER, SKEW_MS, is_genuine, sign};

/// How long the name of a payment system's message is remembered: longer than anybody repeats one that was not answered.
/// Units: milliseconds; 30 days.
pub const SEEN_FOR_MS: u64 = 30 * 24 * 3_600_000;

/// How long an event is tried to be told. Units: milliseconds; three days.
pub const TOLD_FOR_MS: u64 = 3 * 24 * 3_600_000;

/// Events that wait to be told; the oldest give way.
pub const WAITING_MAX: u64 = 1_000;

/// How long the other side has to answer. Units: milliseconds.
pub const ANSWER_MS: u32 = 10_000;

/// When an event is tried again after so many tries: 30 s, doubling up to an hour.
#[must_use]
pub fn delay_ms(attempts: u64) -> u64 {
    30_000_u64.saturating_mul(1 << attempts.min(7)).min(3_600_000)
}

#[cfg(test)]
mod tests {
    use super::delay_ms;

    #[test]
    fn tries_become_rarer_until_they_are_hourly() {
        let delays: Vec<u64> = (0..9).map(|attempts| delay_ms(attempts) / 1_000).collect();
        assert_eq!(delays, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    }
}
