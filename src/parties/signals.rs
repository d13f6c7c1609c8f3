//! Signals for peers who have no socket now: kept until they poll or come back.
//!
//! A peer's queue is bounded; when it is full its oldest signal goes, because of two offers the newer one counts.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::time::Timestamp;

/// Signals that wait for one peer.
pub const QUEUE_MAX: u64 = 64;

/// Signals that wait in one party: 64 MiB at most.
pub const WAITING_MAX: u64 = 4_096;

/// A signal's data as JSON. Units: bytes.
pub const SIGNAL_BYTES_MAX: usize = 16 * 1024;

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Who sent it: whom the socket or the token belongs to, whatever the message says.
    pub from_peer_id: String,
    /// To whom.
    pub to_peer_id: String,
    /// A JSON object, as text.
    pub payload: String,
    /// When.
    pub sent_at: Timestamp,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It went to the peer's sockets.
    Pushed,
    /// It waits.
    Queued,
}

/// How many signals wait for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    count_by_peer: BTreeMap<String, u64>,
}

/// What goes for a new signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Nothing; there is room.
    Room,
    /// The oldest signal for the same peer.
    OldestGo,
}

impl Waiting {
    /// The counts as they are stored.
    #[must_use]
    pub fn restore(counts: Vec<(String, u64)>) -> Self {
        Self { count_by_peer: counts.into_iter().collect() }
    }

    /// How many wait for a peer.
    #[must_use]
    pub fn count(&self, peer_id: &str) -> u64 {
        self.count_by_peer.get(peer_id).copied().unwrap_or(0)
    }

    /// Counts one more.
    ///
    /// Errors: [`Refusal::TooManySignals`].
    pub fn add(&mut self, party_id: &str, peer_id: &str) -> Result<Makes, Refusal> {
        let waiting = self.count(peer_id);
        if waiting >= QUEUE_MAX {
            return Ok(Makes::OldestGo);
        }
        if self.count_by_peer.values().sum::<u64>() >= WAITING_MAX {
            return Err(Refusal::TooManySignals(party_id.to_owned()));
        }
        self.count_by_peer.insert(peer_id.to_owned(), waiting + 1);
        Ok(Makes::Room)
    }

    /// All of a peer's are gone.
    pub fn clear(&mut self, peer_id: &str) {
        self.count_by_peer.remove(peer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::{Makes, QUEUE_MAX, WAITING_MAX, Waiting};

    #[test]
    fn a_full_queue_loses_its_oldest_and_the_party_has_a_limit_too() {
        let mut waiting = Waiting::default();
        for _ in 0..QUEUE_MAX {
            assert_eq!(waiting.add("x", "a"), Ok(Makes::Room));
        }
        assert_eq!(waiting.add("x", "a"), Ok(Makes::OldestGo));
        assert_eq!(waiting.count("a"), QUEUE_MAX);
        for index in 0..WAITING_MAX - QUEUE_MAX {
            assert_eq!(waiting.add("x", &format!("p{}", index % 200)), Ok(Makes::Room));
        }
        assert!(waiting.add("x", "late").is_err());
        waiting.clear("a");
        assert!(waiting.add("x", "late").is_ok());
    }
}
