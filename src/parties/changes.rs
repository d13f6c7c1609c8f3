//! How often a member may say anew what it says about itself: each time everybody else is sent the party.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Arrivals, changes of endpoint and of the party's name, by one peer.
pub const QUOTA: Quota = Quota::per_minute(30);

/// Peers remembered. Who would have one forgotten needs as many peers.
pub const PEERS_MAX: usize = 1_024;

/// What each peer has changed lately. Only in memory: while a party is spoken to this often, it stays there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    free_at_us_by_peer: BTreeMap<String, u64>,
}

impl Changes {
    /// Counts a change.
    ///
    /// Errors: [`Refusal::TooManyChanges`]; then nothing is counted.
    pub fn take(&mut self, now: Timestamp, peer_id: &str) -> Result<(), Refusal> {
        let known = self.free_at_us_by_peer.get(peer_id).copied();
        let allowance = QUOTA
            .take(known.unwrap_or(0), now)
            .map_err(|exhausted| Refusal::TooManyChanges { retry_after_ms: exhausted.retry_after_ms })?;
        if known.is_none() && self.free_at_us_by_peer.len() >= PEERS_MAX {
            self.make_room(now);
        }
        self.free_at_us_by_peer.insert(peer_id.to_owned(), allowance.free_at_us);
        Ok(())
    }

    fn make_room(&mut self, now: Timestamp) {
        let now_us = now.as_millis().saturating_mul(1_000);
        self.free_at_us_by_peer.retain(|_, free_at_us| *free_at_us > now_us);
        if self.free_at_us_by_peer.len() >= PEERS_MAX {
            let earliest = self.free_at_us_by_peer.iter().min_by_key(|(_, free)| **free).map(|(peer, _)| peer.clone());
            earliest.map(|peer_id| self.free_at_us_by_peer.remove(&peer_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, PEERS_MAX, QUOTA};
    use crate::kernel::time::Timestamp;

    #[test]
    fn each_peer_has_thirty_changes_a_minute() {
        let mut changes = Changes::default();
        let now = Timestamp::from_millis(1_000_000);
        for _ in 0..QUOTA.limit() {
            assert!(changes.take(now, "a").is_ok());
        }
        assert!(changes.take(now, "a").is_err());
        assert!(changes.take(now, "b").is_ok());
        assert!(changes.take(now.plus(2_000), "a").is_ok());
        assert!(changes.take(now.plus(2_000), "a").is_err());
    }

    #[test]
    fn endless_peers_leave_bounded_traces_and_do_not_free_a_busy_one() {
        let mut changes = Changes::default();
        let now = Timestamp::from_millis(1_000_000);
        while changes.take(now, "busy").is_ok() {}
        for number in 0..3 * PEERS_MAX {
            assert!(changes.take(now, &format!("p{number}")).is_ok());
            assert!(changes.free_at_us_by_peer.len() <= PEERS_MAX);
        }
        assert!(changes.take(now, "busy").is_err());
    }
}
