//! Wrong passwords and invites: how many a network may try.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Ten in ten minutes.
const QUOTA: Quota = Quota::new(10, 600_000);

/// Networks remembered. Who would have one forgotten needs as many networks.
pub const NETWORKS_MAX: usize = 256;

/// What each network has tried lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    free_at_us_by_network: BTreeMap<String, u64>,
}

impl Tries {
    /// The tries as they were stored.
    #[must_use]
    pub fn restore(tries: Vec<(String, u64)>) -> Self {
        Self { free_at_us_by_network: tries.into_iter().collect() }
    }

    /// What is kept of a network. Units: microseconds since the epoch.
    #[must_use]
    pub fn get(&self, network: &str) -> Option<u64> {
        self.free_at_us_by_network.get(network).copied()
    }

    /// Whether a network may try once more.
    ///
    /// Errors: [`Refusal::TooManyTries`].
    pub fn check(&self, now: Timestamp, network: &str) -> Result<(), Refusal> {
        let known = self.get(network).unwrap_or(0);
        match QUOTA.take(known, now) {
            Ok(_) => Ok(()),
            Err(exhausted) => Err(Refusal::TooManyTries { retry_after_ms: exhausted.retry_after_ms }),
        }
    }

    /// Counts a wrong try. Returns the networks that were forgotten for it.
    pub fn miss(&mut self, now: Timestamp, network: &str) -> Vec<String> {
        let known = self.get(network).unwrap_or(0);
        let Ok(allowance) = QUOTA.take(known, now) else { return Vec::new() };
        let mut forgotten = Vec::new();
        if !self.free_at_us_by_network.contains_key(network) && self.free_at_us_by_network.len() >= NETWORKS_MAX {
            let now_us = now.as_millis().saturating_mul(1_000);
            let earliest =
                self.free_at_us_by_network.iter().min_by_key(|(_, free)| **free).map(|(name, _)| name.clone());
            let is_free = |free: u64| free <= now_us;
            forgotten
                .extend(self.free_at_us_by_network.iter().filter(|(_, free)| is_free(**free)).map(|(n, _)| n.clone()));
            if forgotten.is_empty() {
                forgotten.extend(earliest);
            }
            self.free_at_us_by_network.retain(|name, _| !forgotten.contains(name));
        }
        self.free_at_us_by_network.insert(network.to_owned(), allowance.free_at_us);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::{NETWORKS_MAX, Tries};
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_network_has_ten_tries_in_ten_minutes() {
        let mut tries = Tries::default();
        for _ in 0..10 {
            tries.check(NOW, "a").unwrap();
            tries.miss(NOW, "a");
        }
        assert!(tries.check(NOW, "a").is_err());
        assert!(tries.check(NOW, "b").is_ok());
        assert!(tries.check(NOW.plus(60_000), "a").is_ok());
    }

    #[test]
    fn endless_networks_do_not_grow_the_memory() {
        let mut tries = Tries::default();
        for index in 0..NETWORKS_MAX * 3 {
            tries.miss(NOW.plus(index as u64), &index.to_string());
        }
        assert_eq!(tries.free_at_us_by_network.len(), NETWORKS_MAX);
    }
}
