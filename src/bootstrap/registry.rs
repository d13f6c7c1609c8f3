//! What is kept: servers by id, their registration and their liveness, and who of them is alive.

use std::collections::BTreeMap;

use crate::kernel::time::Timestamp;

/// Servers kept at once, the dead included.
///
/// Limits: an entry is about 400 bytes in the signed list, so a full list is about 400 KB and signs in milliseconds.
pub const SERVERS_MAX: usize = 1000;

/// Longest server id. Units: characters, all ASCII.
pub const SERVER_ID_LEN_MAX: usize = 128;

/// How busy a server says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Counters {
    pub connections: u64,
    pub relay_connections: u64,
    pub signaling_connections: u64,
    pub active_codes: u64,
}

/// What heartbeats change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// When the server was heard last.
    pub last_seen: Timestamp,
    /// What it said then.
    pub counters: Counters,
    /// The last sequence number of this registration, if it sends any.
    pub sequence: Option<u64>,
    /// The newest time that the server has signed in a heartbeat, if it signs; before the first, a time that its
    /// heartbeats must be newer than.
    pub signed_at: Option<Timestamp>,
}

/// Whether a registration was signed by the key that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Proven {
    Yes,
    No,
}

/// Where the last sign of life is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// From this object's own memory: every later one would be known too.
    Here,
    /// From storage: later ones may have been lost with an earlier memory.
    Stored,
}

/// One registered server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Random per registration; ties a stored liveness to it.
    pub registration: u64,
    /// Where clients connect, as sent.
    pub endpoint: String,
    /// The server's key, as sent.
    pub public_key: String,
    /// Region, or `unknown`.
    pub region: String,
    /// Whether the key's holder registered it.
    pub proven: Proven,
    /// When it registered last.
    pub registered_at: Timestamp,
    /// What heartbeats change.
    pub liveness: Liveness,
    /// Where the liveness is known from. Not stored.
    pub heard: Heard,
    /// The last sign of life that storage knows. Not stored by itself.
    pub stored_seen: Timestamp,
}

/// Whether one more server fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// It does.
    Free,
    /// It does when this dead server's entry goes.
    InsteadOf(String),
    /// [`SERVERS_MAX`] servers are alive.
    Full,
}

/// Every registered server, by id. Iterates in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    ttl_ms: u64,
    entry_by_id: BTreeMap<String, Entry>,
}

impl Roster {
    /// An empty roster whose servers live `ttl_ms` after they were heard last.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self { ttl_ms, entry_by_id: BTreeMap::new() }
    }

    /// Whether `entry` counts as alive.
    #[must_use]
    pub const fn is_alive(&self, entry: &Entry, now: Timestamp) -> bool {
        now.since(entry.liveness.last_seen) < self.ttl_ms
    }

    /// Every kept entry, dead ones too.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entry_by_id.iter().map(|(id, entry)| (id.as_str(), entry))
    }

    /// The living, sorted by id.
    pub fn alive(&self, now: Timestamp) -> impl Iterator<Item = (&str, &Entry)> {
        self.all().filter(move |(_, entry)| self.is_alive(entry, now))
    }

    /// When the first of the living would die if nobody were heard again.
    #[must_use]
    pub fn first_death(&self, now: Timestamp) -> Option<Timestamp> {
        self.alive(now).map(|(_, entry)| entry.liveness.last_seen.plus(self.ttl_ms)).min()
    }

    /// At most `limit` ids of the dead.
    #[must_use]
    pub fn dead(&self, now: Timestamp, limit: usize) -> Vec<String> {
        self.all().filter(|(_, entry)| !self.is_alive(entry, now)).take(limit).map(|(id, _)| id.to_owned()).collect()
    }

    /// Whether `id`, new or known, can be kept. The longest dead makes room, so that the dead never fill the house.
    #[must_use]
    pub fn room_for(&self, id: &str, now: Timestamp) -> Room {
        if self.entry_by_id.len() < SERVERS_MAX || self.entry_by_id.contains_key(id) {
            return Room::Free;
        }
        let dead = self.all().filter(|(_, entry)| !self.is_alive(entry, now));
        dead.min_by_key(|(_, entry)| entry.liveness.last_seen)
            .map_or(Room::Full, |(id, _)| Room::InsteadOf(id.to_owned()))
    }

    /// The entry under `id`, alive or dead.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entry_by_id.get(id)
    }

    /// Keeps `entry` under `id`.
    pub fn put(&mut self, id: String, entry: Entry) {
        self.entry_by_id.insert(id, entry);
    }

    /// Replaces the liveness of `id` by one heard here.
    pub fn hear(&mut self, id: &str, liveness: Liveness) {
        if let Some(entry) = self.entry_by_id.get_mut(id) {
            entry.liveness = liveness;
            entry.heard = Heard::Here;
        }
    }

    /// Storage knows everybody's liveness now.
    pub fn flushed(&mut self) {
        for entry in self.entry_by_id.values_mut() {
            entry.stored_seen = entry.liveness.last_seen;
        }
    }

    /// Forgets `id`.
    pub fn remove(&mut self, id: &str) -> Option<Entry> {
        self.entry_by_id.remove(id)
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry_by_id.is_empty()
    }
}

/// Whether `id` is a server id: 1 to 128 of `[A-Za-z0-9_:.+/=-]`.
#[must_use]
pub fn is_server_id(id: &str) -> bool {
    (1..=SERVER_ID_LEN_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:.+/=-".contains(&byte))
}
