//! How often a network may try codes, and when a room stops listening to those who try wrong ones.
//!
//! Six letters of an alphabet of 32 are 2^30 codes: with 1,000 of them in use, ten tries a minute take 50 days to find
//! one with a chance of one half, ten thousand tries a minute take 72 minutes. Hence a quota per network, and a breaker
//! on the rate of misses of all networks together, which leaves alone those that have not missed.

use std::collections::HashMap;

use crate::kernel::network::ClientNetwork;
use crate::kernel::quota::{MINUTE_MS, Quota};
use crate::kernel::time::Timestamp;

/// How long a network counts as one that has missed.
pub const MISS_MEMORY_MS: u64 = 10 * MINUTE_MS;

/// How long the breaker stays open after the last miss beyond the rate.
pub const BREAKER_OPEN_MS: u64 = MINUTE_MS;

/// Networks that are remembered; beyond it, the one whose memory would end first is forgotten. About 80 bytes each.
pub const NETWORKS_MAX: u64 = 4_096;

/// What a network has tried. The default is a newcomer's, and is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkGuesses {
    /// The state of its quota. Units: microseconds since the epoch.
    pub free_at_us: u64,
    /// When it last named a code that could not be reached.
    pub missed_at: Option<Timestamp>,
}

impl NetworkGuesses {
    /// When nothing of this matters any more.
    #[must_use]
    pub fn forget_at(&self) -> Timestamp {
        let free_at = Timestamp::from_millis(self.free_at_us.div_ceil(1_000));
        self.missed_at.map_or(free_at, |missed_at| free_at.max(missed_at.plus(MISS_MEMORY_MS)))
    }

    const fn is_newcomer(&self) -> bool {
        self.free_at_us == 0 && self.missed_at.is_none()
    }

    fn has_missed(&self, now: Timestamp) -> bool {
        self.missed_at.is_some_and(|missed_at| missed_at.plus(MISS_MEMORY_MS) > now)
    }
}

/// The room's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    /// The state of the quota of misses. Units: microseconds since the epoch.
    pub free_at_us: u64,
    /// Until when networks that have missed are refused.
    pub open_until: Timestamp,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The code was reached.
    Hit,
    /// It was not: unknown, one's own, or full.
    Miss,
}

/// The two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessLimits {
    /// Tries of one network.
    pub tries: Quota,
    /// Misses of the room.
    pub misses: Quota,
}

impl GuessLimits {
    /// Whether anything is limited at all.
    #[must_use]
    pub const fn are_off(&self) -> bool {
        self.tries.is_off() && self.misses.is_off()
    }

    /// Whether the network's next try is refused.
    #[must_use]
    pub fn refuse(&self, now: Timestamp, network: &NetworkGuesses, breaker: &Breaker) -> bool {
        self.tries.take(network.free_at_us, now).is_err()
            || (!self.misses.is_off() && breaker.open_until > now && network.has_missed(now))
    }

    /// What is true after a try that was not refused.
    #[must_use]
    pub fn charge(
        &self,
        now: Timestamp,
        network: NetworkGuesses,
        breaker: Breaker,
        outcome: Outcome,
    ) -> (NetworkGuesses, Breaker) {
        let free_at_us = self.tries.take(network.free_at_us, now).map_or(network.free_at_us, |left| left.free_at_us);
        // A memory that has ended is dropped here too, so that it does not matter whether a sweep came first.
        let missed_at = network.missed_at.filter(|_| network.has_missed(now));
        let charged = NetworkGuesses { free_at_us, missed_at };
        if outcome == Outcome::Hit || self.misses.is_off() {
            return (charged, breaker);
        }
        let breaker = self.misses.take(breaker.free_at_us, now).map_or_else(
            |_| Breaker { open_until: now.plus(BREAKER_OPEN_MS), ..breaker },
            |left| Breaker { free_at_us: left.free_at_us, ..breaker },
        );
        (NetworkGuesses { missed_at: Some(now), ..charged }, breaker)
    }
}

/// What a try changes; nothing where it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charge {
    /// The network's new state.
    pub network: Option<(ClientNetwork, NetworkGuesses)>,
    /// A network to forget, because there is no room for another one.
    pub forgotten: Option<String>,
    /// The room's new state.
    pub breaker: Option<Breaker>,
}

/// What is stored, as far as it is stored: how many networks, and which of their memories ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    /// Remembered networks.
    pub networks: u64,
    /// When the first of them may be forgotten.
    pub earliest: Option<Timestamp>,
}

/// The tries of all networks: what is stored, and a copy of it for the networks that are here.
#[derive(Debug)]
pub struct Ledger {
    limits: GuessLimits,
    sweep_interval_ms: u64,
    breaker: Breaker,
    stored: Stored,
    by_network: HashMap<ClientNetwork, NetworkGuesses>,
}

impl Ledger {
    /// A ledger over what is stored.
    #[must_use]
    pub fn new(limits: GuessLimits, sweep_interval_ms: u64, breaker: Breaker, stored: Stored) -> Self {
        Self { limits, sweep_interval_ms, breaker, stored, by_network: HashMap::new() }
    }

    /// The two rates.
    #[must_use]
    pub const fn limits(&self) -> GuessLimits {
        self.limits
    }

    /// What the network has tried, if that was read already.
    #[must_use]
    pub fn network(&self, network: &ClientNetwork) -> Option<NetworkGuesses> {
        self.by_network.get(network).copied()
    }

    /// What was stored of a network that is here.
    pub fn learn(&mut self, network: &ClientNetwork, guesses: NetworkGuesses) {
        self.by_network.insert(network.clone(), guesses);
    }

    /// The network's last socket is gone: what it has tried need not be at hand.
    pub fn leave(&mut self, network: &ClientNetwork) {
        self.by_network.remove(network);
    }

    /// Whether the network's next try is refused.
    #[must_use]
    pub fn refuse(&self, now: Timestamp, guesses: &NetworkGuesses) -> bool {
        self.limits.refuse(now, guesses, &self.breaker)
    }

    /// Whether one more network would be one too many.
    #[must_use]
    pub const fn is_full_for(&self, guesses: &NetworkGuesses) -> bool {
        guesses.is_newcomer() && self.stored.networks >= NETWORKS_MAX
    }

    /// Charges one try, that of `network` being `before` so far. `oldest` makes way when the ledger is full.
    pub fn charge(
        &mut self,
        now: Timestamp,
        (network, before): (&ClientNetwork, NetworkGuesses),
        outcome: Outcome,
        oldest: Option<String>,
    ) -> Charge {
        let (after, breaker) = self.limits.charge(now, before, self.breaker, outcome);
        let mut charge = Charge::default();
        if breaker != self.breaker {
            self.breaker = breaker;
            charge.breaker = Some(breaker);
        }
        if after == before || after.is_newcomer() {
            return charge;
        }
        if before.is_newcomer() {
            self.stored.networks += 1;
            if let Some(oldest) = oldest {
                self.stored.networks = self.stored.networks.saturating_sub(1);
                self.by_network.retain(|network, _| network.as_str() != oldest);
                charge.forgotten = Some(oldest);
            }
        }
        let forget_at = after.forget_at();
        self.stored.earliest = Some(self.stored.earliest.map_or(forget_at, |earliest| earliest.min(forget_at)));
        self.by_network.insert(network.clone(), after);
        charge.network = Some((network.clone(), after));
        charge
    }

    /// When memories should be swept: at the first multiple of the interval at which one has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let earliest = self.stored.earliest?.as_millis();
        let interval = self.sweep_interval_ms.max(1);
        Some(Timestamp::from_millis(earliest.div_ceil(interval).saturating_mul(interval)))
    }

    /// All memories that had ended were swept, and `stored` is left.
    pub fn swept(&mut self, now: Timestamp, stored: Stored) {
        self.stored = stored;
        self.by_network.retain(|_, guesses| guesses.forget_at() > now);
    }
}

#[cfg(test)]
mod tests {
    use super::{BREAKER_OPEN_MS, Breaker, GuessLimits, MISS_MEMORY_MS, NetworkGuesses, Outcome};
    use crate::kernel::quota::Quota;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn an_open_breaker_refuses_only_who_has_missed_lately() {
        let limits = GuessLimits { tries: Quota::per_minute(0), misses: Quota::per_minute(2) };
        let (mut guesser, mut breaker) = (NetworkGuesses::default(), Breaker::default());
        for _ in 0..3 {
            assert!(!limits.refuse(NOW, &guesser, &breaker));
            (guesser, breaker) = limits.charge(NOW, guesser, breaker, Outcome::Miss);
        }
        assert!(limits.refuse(NOW, &guesser, &breaker));
        assert!(!limits.refuse(NOW, &NetworkGuesses::default(), &breaker));
        let almost = NOW.plus(BREAKER_OPEN_MS - 1);
        assert!(limits.refuse(almost, &guesser, &breaker));
        assert!(!limits.refuse(NOW.plus(BREAKER_OPEN_MS), &guesser, &breaker));
        let breaker = Breaker { open_until: NOW.plus(MISS_MEMORY_MS * 2), ..breaker };
        assert!(limits.refuse(NOW.plus(MISS_MEMORY_MS - 1), &guesser, &breaker));
        assert!(!limits.refuse(NOW.plus(MISS_MEMORY_MS), &guesser, &breaker));
    }

    #[test]
    fn hits_use_the_networks_quota_and_leave_the_breaker_alone() {
        let limits = GuessLimits { tries: Quota::per_minute(1), misses: Quota::per_minute(1) };
        let (network, breaker) = limits.charge(NOW, NetworkGuesses::default(), Breaker::default(), Outcome::Hit);
        assert_eq!(breaker, Breaker::default());
        assert!(limits.refuse(NOW, &network, &breaker));
        assert_eq!(network.forget_at(), NOW.plus(60_000));
    }
}
