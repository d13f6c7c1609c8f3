//! Virtual addresses: who has which in a party's `10.66.0.0/16`.
//!
//! An address belongs to a peer id as long as it is remembered, also while the peer is away. So whoever comes back has
//! the address it had, and nobody has one that another has.

use std::collections::{BTreeMap, BTreeSet};

/// Addresses remembered per party: all members, and three times as many who have left.
pub const LEASES_MAX: usize = 1_024;

/// The host's address: `10.66.0.1`. Source: parties 3.3.
const HOST_NUMBER: u16 = 1;

/// The last number whose address is no broadcast address.
const NUMBER_MAX: u16 = 0xfffe;

/// A peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The last two bytes of the address.
    pub number: u16,
    /// Grows with every joining and leaving: who left first has the lowest.
    pub used: u64,
}

impl Lease {
    /// The address in text.
    #[must_use]
    pub fn address(&self) -> String {
        let [high, low] = self.number.to_be_bytes();
        format!("10.66.{high}.{low}")
    }
}

/// For whom an address is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// Who opened the party.
    Founder,
    /// Anybody else.
    Guest,
}

/// All addresses of a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    by_peer: BTreeMap<String, Lease>,
    taken: BTreeSet<u16>,
}

impl Leases {
    /// The leases as they were stored.
    #[must_use]
    pub fn restore(leases: Vec<(String, Lease)>) -> Self {
        let taken = leases.iter().map(|(_, lease)| lease.number).collect();
        Self { by_peer: leases.into_iter().collect(), taken }
    }

    /// A peer's lease.
    #[must_use]
    pub fn get(&self, peer_id: &str) -> Option<Lease> {
        self.by_peer.get(peer_id).copied()
    }

    /// How many addresses are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_peer.len()
    }

    /// Gives the peer the address it had, or else the lowest free one. Returns whose address was forgotten for it: never
    /// that of a peer who `is_here`.
    pub fn take(&mut self, peer_id: &str, tenant: Tenant, used: u64, is_here: impl Fn(&str) -> bool) -> Option<String> {
        if self.by_peer.contains_key(peer_id) {
            return None;
        }
        let mut forgotten = None;
        if self.by_peer.len() >= LEASES_MAX {
            let away = self.by_peer.iter().filter(|(peer, _)| !is_here(peer));
            forgotten = away.min_by_key(|(_, lease)| lease.used).map(|(peer, _)| peer.clone());
            if let Some(lease) = forgotten.as_ref().and_then(|peer| self.by_peer.remove(peer)) {
                self.taken.remove(&lease.number);
            }
        }
        let first = match tenant {
            Tenant::Founder => HOST_NUMBER,
            Tenant::Guest => HOST_NUMBER + 1,
        };
        let free = |number: &u16| !matches!(number & 0xff, 0 | 0xff) && !self.taken.contains(number);
        if let Some(number) = (first..=NUMBER_MAX).find(free) {
            self.taken.insert(number);
            self.by_peer.insert(peer_id.to_owned(), Lease { number, used });
        }
        forgotten
    }

    /// The peer leaves; its address is remembered.
    pub fn leave(&mut self, peer_id: &str, used: u64) {
        if let Some(lease) = self.by_peer.get_mut(peer_id) {
            lease.used = used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEASES_MAX, Leases, Tenant};

    #[test]
    fn the_founder_has_the_first_address_and_guests_never_have_a_networks_own() {
        let mut leases = Leases::default();
        leases.take("host", Tenant::Founder, 0, |_| true);
        assert_eq!(leases.get("host").unwrap().address(), "10.66.0.1");
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..700 {
            let peer = format!("p{index}");
            leases.take(&peer, Tenant::Guest, index, |_| true);
            let address = leases.get(&peer).unwrap().address();
            assert!(!address.ends_with(".0") && !address.ends_with(".255"), "{address}");
            assert!(address != "10.66.0.1" && seen.insert(address));
        }
    }

    #[test]
    fn who_comes_back_has_the_address_it_had() {
        let mut leases = Leases::default();
        leases.take("a", Tenant::Guest, 0, |_| true);
        let before = leases.get("a");
        leases.leave("a", 1);
        leases.take("b", Tenant::Guest, 2, |_| true);
        leases.take("a", Tenant::Guest, 3, |_| true);
        assert_eq!(leases.get("a").unwrap().number, before.unwrap().number);
        assert_ne!(leases.get("b").unwrap().number, before.unwrap().number);
    }

    #[test]
    fn memory_is_bounded_and_who_left_first_is_forgotten_first() {
        let mut leases = Leases::default();
        for index in 0..LEASES_MAX as u64 {
            leases.take(&format!("p{index}"), Tenant::Guest, index, |_| true);
        }
        leases.leave("p5", 5_000);
        leases.leave("p9", 4_000);
        let forgotten = leases.take("late", Tenant::Guest, 6_000, |peer| peer != "p5" && peer != "p9");
        assert_eq!(forgotten.as_deref(), Some("p9"));
        assert_eq!(leases.count(), LEASES_MAX);
        assert!(leases.get("late").is_some() && leases.get("p5").is_some());
    }
}
