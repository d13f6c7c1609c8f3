//! Requests per client and minute, counted in this isolate's memory: a first filter, not a security boundary.

use std::collections::HashMap;

use crate::kernel::network::ClientNetwork;
use crate::kernel::quota::{Allowance, Exhausted, Quota};
use crate::kernel::time::Timestamp;

/// Clients remembered at once; beyond it the ones with a full allowance are forgotten, and if all are busy, all are.
const CLIENTS_MAX: usize = 20_000;

/// The limiter of one isolate.
#[derive(Debug)]
pub struct Limiter {
    quota: Quota,
    free_at_us_by_client: HashMap<ClientNetwork, u64>,
}

/// What a client is told about its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The limiter is switched off.
    Off,
    /// Let through, with this many requests left.
    Passed {
        /// The limit per minute.
        limit: u64,
        /// What is left of it.
        remaining: u64,
        /// Seconds until it is whole again.
        reset_s: u64,
    },
    /// Refused until then.
    Refused {
        /// The limit per minute.
        limit: u64,
        /// Seconds until one request would pass.
        retry_after_s: u64,
    },
}

impl Limiter {
    /// A limiter; 0 switches it off.
    #[must_use]
    pub fn new(per_minute: u64) -> Self {
        Self { quota: Quota::per_minute(per_minute), free_at_us_by_client: HashMap::new() }
    }

    /// Counts one request of `client`.
    pub fn take(&mut self, client: &ClientNetwork, now: Timestamp) -> Standing {
        if self.quota.is_off() {
            return Standing::Off;
        }
        let limit = self.quota.limit();
        let known = self.free_at_us_by_client.get_mut(client);
        match self.quota.take(known.as_deref().copied().unwrap_or(0), now) {
            Ok(Allowance { free_at_us, remaining }) => {
                match known {
                    Some(slot) => *slot = free_at_us,
                    None => self.remember(client.clone(), free_at_us, now),
                }
                let reset_s = (free_at_us / 1_000).saturating_sub(now.as_millis()).div_ceil(1_000);
                Standing::Passed { limit, remaining, reset_s }
            }
            Err(Exhausted { retry_after_ms }) => {
                Standing::Refused { limit, retry_after_s: retry_after_ms.div_ceil(1_000).max(1) }
            }
        }
    }

    fn remember(&mut self, client: ClientNetwork, free_at_us: u64, now: Timestamp) {
        if self.free_at_us_by_client.len() >= CLIENTS_MAX {
            let now_us = now.as_millis() * 1_000;
            self.free_at_us_by_client.retain(|_, free_at| *free_at > now_us);
            if self.free_at_us_by_client.len() >= CLIENTS_MAX {
                self.free_at_us_by_client.clear();
            }
        }
        self.free_at_us_by_client.insert(client, free_at_us);
    }
}

#[cfg(test)]
mod tests {
    use super::{CLIENTS_MAX, Limiter, Standing};
    use crate::kernel::network::ClientNetwork;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn the_limit_passes_and_one_more_is_refused_for_that_client_only() {
        let mut limiter = Limiter::new(3);
        let (one, other) = (ClientNetwork::from_header(Some("1.1.1.1")), ClientNetwork::from_header(Some("1.1.1.2")));
        for remaining in [2, 1, 0] {
            let standing = limiter.take(&one, NOW);
            assert!(matches!(standing, Standing::Passed { limit: 3, remaining: left, .. } if left == remaining));
        }
        assert_eq!(limiter.take(&one, NOW), Standing::Refused { limit: 3, retry_after_s: 20 });
        assert!(matches!(limiter.take(&other, NOW), Standing::Passed { .. }));
        assert!(matches!(limiter.take(&one, NOW.plus(20_000)), Standing::Passed { remaining: 0, .. }));
    }

    #[test]
    fn endless_clients_do_not_fill_the_memory() {
        let mut limiter = Limiter::new(3);
        for index in 0..3 * CLIENTS_MAX as u32 {
            let [a, b, c, d] = index.to_be_bytes();
            limiter.take(&ClientNetwork::from_header(Some(&format!("{}.{b}.{c}.{d}", a + 1))), NOW);
        }
        assert!(limiter.free_at_us_by_client.len() <= CLIENTS_MAX);
    }

    #[test]
    fn zero_switches_it_off() {
        assert_eq!(Limiter::new(0).take(&ClientNetwork::unknown(), NOW), Standing::Off);
    }
}
