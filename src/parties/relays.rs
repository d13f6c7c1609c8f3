//! Relays of parties: who may change one, and how long it is listed.
//!
//! A relay that is not registered again in time is forgotten. A registration that changes nothing is written down only
//! once in a while: the memory is exact, and what is read back from storage is given the benefit of the doubt.

use std::collections::BTreeMap;

use crate::kernel::time::Timestamp;

/// Relays of the whole directory.
pub const RELAYS_MAX: usize = 10_000;
/// Relays of one owner.
pub const RELAYS_PER_OWNER_MAX: usize = 100;
/// Characters of a relay's id.
pub const RELAY_ID_CHARS_MAX: usize = 128;
/// Characters of an address: those of a host name.
pub const HOST_CHARS_MAX: usize = 253;
/// Characters of a region.
pub const REGION_CHARS_MAX: usize = 64;
/// Clients that a relay may say it takes.
pub const CAPACITY_MAX: u32 = 1_000_000_000;
/// The region of a relay that names none.
pub const REGION_DEFAULT: &str = "unknown";
/// The capacity of a relay that names none.
pub const CAPACITY_DEFAULT: u32 = 100;

/// Relays that one event forgets, at most.
pub const FORGOTTEN_MAX: usize = 200;

/// The owner of relays that were registered with the service's own secret.
pub const REGISTRY: &str = "registry";

/// Who registered a relay.
///
/// Shape: `registry`, or `peer:` and a peer's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(pub String);

impl Owner {
    /// A peer.
    #[must_use]
    pub fn peer(peer_id: &str) -> Self {
        Self(format!("peer:{peer_id}"))
    }

    /// Whoever holds the service's own secret.
    #[must_use]
    pub fn registry() -> Self {
        Self(String::from(REGISTRY))
    }
}

/// Whether a relay takes newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Intake {
    Open,
    Draining,
}

/// What a relay says about itself.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct Profile {
    pub public_ip: String,
    pub port: u16,
    pub region: String,
    pub capacity: u32,
    /// 0 to 1.
    pub load: Option<f64>,
    /// 0 to 100.
    pub health: Option<u8>,
    pub intake: Intake,
}

/// A relay that is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Who registered it.
    pub owner: Owner,
    /// What it says about itself.
    pub profile: Profile,
    /// Since when it is listed without a gap.
    pub registered_at: Timestamp,
    /// Its last registration.
    pub seen_at: Timestamp,
    /// Its last registration that was written down.
    pub stored_at: Timestamp,
    /// Until when it is listed.
    pub ends_at: Timestamp,
}

/// Why a relay is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayRefusal {
    /// Somebody else registered it.
    NotOwner,
    /// There is none.
    Unknown,
    /// The owner has as many as it may.
    OwnerFull,
    /// There are as many as there may be.
    Full,
}

/// Whether a registration is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Record {
    Write,
    Remember,
}

/// All relays that are listed, by id.
#[derive(Debug)]
pub struct Relays {
    ttl_ms: u64,
    by_id: BTreeMap<String, Relay>,
}

impl Relays {
    /// The relays as they were stored.
    #[must_use]
    pub fn new(ttl_ms: u64, stored: Vec<(String, Relay)>) -> Self {
        Self { ttl_ms, by_id: stored.into_iter().collect() }
    }

    /// How far the stored time may lie behind the real one. Units: milliseconds.
    #[must_use]
    pub fn grain_ms(ttl_ms: u64) -> u64 {
        (ttl_ms / 10).max(1)
    }

    /// When a relay ends that was stored as seen then.
    #[must_use]
    pub fn end_of_stored(ttl_ms: u64, seen_at: Timestamp) -> Timestamp {
        seen_at.plus(ttl_ms).plus(Self::grain_ms(ttl_ms))
    }

    /// The relay of an id, unless its time is over.
    #[must_use]
    pub fn get(&self, relay_id: &str, now: Timestamp) -> Option<&Relay> {
        self.by_id.get(relay_id).filter(|relay| now < relay.ends_at)
    }

    /// All that are listed, ordered by region and then id, by bytes.
    #[must_use]
    pub fn list(&self, region: Option<&str>, now: Timestamp) -> Vec<(&str, &Relay)> {
        let mut list: Vec<(&str, &Relay)> = self
            .by_id
            .iter()
            .filter(|(_, relay)| now < relay.ends_at && region.is_none_or(|region| relay.profile.region == region))
            .map(|(id, relay)| (id.as_str(), relay))
            .collect();
        list.sort_by(|(left_id, left), (right_id, right)| {
            (&left.profile.region, left_id).cmp(&(&right.profile.region, right_id))
        });
        list
    }

    /// How many are listed.
    #[must_use]
    pub fn count(&self, now: Timestamp) -> usize {
        self.by_id.values().filter(|relay| now < relay.ends_at).count()
    }

    /// Some of those whose time is over.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> Vec<String> {
        let over = self.by_id.iter().filter(|(_, relay)| now >= relay.ends_at);
        over.map(|(id, _)| id.clone()).take(FORGOTTEN_MAX).collect()
    }

    /// Forgets relays.
    pub fn forget(&mut self, ids: &[String]) {
        for id in ids {
            self.by_id.remove(id);
        }
    }

    /// Lists a relay.
    pub fn put(&mut self, relay_id: String, relay: Relay) {
        self.by_id.insert(relay_id, relay);
    }

    /// When the next relay's time is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.by_id.values().map(|relay| relay.ends_at).min()
    }

    /// What a registration makes of a relay, and whether that is written down.
    ///
    /// Errors: a [`RelayRefusal`].
    pub fn decide(
        &self,
        relay_id: &str,
        (owner, profile): (&Owner, Profile),
        now: Timestamp,
    ) -> Result<(Relay, Record), RelayRefusal> {
        let known = self.get(relay_id, now);
        if known.is_some_and(|known| known.owner != *owner) {
            return Err(RelayRefusal::NotOwner);
        }
        let is_due = known
            .is_none_or(|known| known.profile != profile || now.since(known.stored_at) >= Self::grain_ms(self.ttl_ms));
        if known.is_none() {
            self.check_room(owner, now)?;
        }
        let relay = Relay {
            owner: owner.clone(),
            profile,
            registered_at: known.map_or(now, |known| known.registered_at),
            seen_at: now,
            stored_at: known.filter(|_| !is_due).map_or(now, |known| known.stored_at),
            ends_at: now.plus(self.ttl_ms),
        };
        Ok((relay, if is_due { Record::Write } else { Record::Remember }))
    }

    fn check_room(&self, owner: &Owner, now: Timestamp) -> Result<(), RelayRefusal> {
        let (mut all, mut of_owner) = (0, 0);
        for relay in self.by_id.values().filter(|relay| now < relay.ends_at) {
            all += 1;
            of_owner += usize::from(relay.owner == *owner);
        }
        if owner.0 != REGISTRY && of_owner >= RELAYS_PER_OWNER_MAX {
            return Err(RelayRefusal::OwnerFull);
        }
        if all >= RELAYS_MAX { Err(RelayRefusal::Full) } else { Ok(()) }
    }

    /// Whether a relay may be taken off the list by `owner`; by anybody who `may_all`.
    ///
    /// Errors: a [`RelayRefusal`].
    pub fn check_removal(
        &self,
        relay_id: &str,
        owner: &Owner,
        power: Power,
        now: Timestamp,
    ) -> Result<(), RelayRefusal> {
        let known = self.get(relay_id, now).ok_or(RelayRefusal::Unknown)?;
        if power == Power::All || known.owner == *owner { Ok(()) } else { Err(RelayRefusal::NotOwner) }
    }
}

/// What somebody may take off the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// What they registered.
    Own,
    /// Everything: the operator.
    All,
}
