//! Relay peers: who relays for others, how full they are, and which of them an asker is told.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::kernel::entropy::Entropy;
use crate::kernel::object::Conn;
use crate::kernel::time::Timestamp;

/// Connections of a relay that does not say how many it takes.
pub const CONNECTIONS_DEFAULT: u32 = 20;
/// Connections that a relay may offer.
pub const CONNECTIONS_MAX: u32 = 1_000;
/// Connections that a relay may report.
pub const CONNECTED_MAX: u32 = 10_000;
/// Characters of a relay's public key.
pub const PUBLIC_KEY_CHARS_MAX: usize = 256;
/// Relays named when the asker does not say how many.
pub const COUNT_DEFAULT: usize = 10;
/// Relays named at most.
pub const COUNT_MAX: usize = 100;

/// How long a relay that was named counts as chosen, unless it reports its load before: twice the 30 s at which apps
/// report, in two halves.
const LEASE_HALF_MS: u64 = 30_000;

/// How to choose among the relays that have room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// Fisher-Yates, as the first server did.
    Shuffled,
    /// The emptier of two at random, counting those that were just sent there, so that a burst of askers is spread.
    ///
    /// Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996).
    Balanced,
}

/// A relay peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub peer_id: Rc<str>,
    /// What it wants askers to know.
    pub public_key: Option<Rc<str>>,
    /// How many connections it takes.
    pub connections_max: u32,
    /// How many it reported last.
    pub connected: u32,
    /// The last sign of life.
    pub last_seen: Timestamp,
}

impl Peer {
    /// Whether less than half of it is taken. Source: edge-wire 2.2.1, exactly half is out.
    const fn has_room(&self) -> bool {
        self.connected < self.connections_max.div_ceil(2)
    }
}

/// How often a relay was named lately: in this half of the lease, and in the one before.
#[derive(Debug, Default, Clone, Copy)]
struct Lease {
    recent: u32,
    before: u32,
    since: Timestamp,
}

impl Lease {
    const fn roll(&mut self, now: Timestamp) {
        let age_ms = now.since(self.since);
        if age_ms >= 2 * LEASE_HALF_MS {
            *self = Self { recent: 0, before: 0, since: now };
        } else if age_ms >= LEASE_HALF_MS {
            *self = Self { recent: 0, before: self.recent, since: self.since.plus(LEASE_HALF_MS) };
        }
    }
}

#[derive(Debug)]
struct Known {
    peer: Peer,
    lease: Lease,
    /// Where it stands among those with room.
    place: Option<usize>,
}

/// Sums over all relay peers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Relay peers.
    pub peers: usize,
    /// Connections they take together.
    pub capacity: u64,
    /// Connections they have together.
    pub connected: u64,
    /// Relay peers with room.
    pub available: usize,
}

/// All relay peers of one desk, with those that have room at hand.
#[derive(Debug, Default)]
pub struct Peers {
    by_conn: HashMap<Conn, Known>,
    /// Those with room, in no order: naming some of them shuffles only as far as it draws.
    open: Vec<Conn>,
    by_last_seen: BTreeSet<(Timestamp, Conn)>,
    capacity: u64,
    connected: u64,
}

impl Peers {
    /// The relay peer of a socket.
    #[must_use]
    pub fn get(&self, conn: Conn) -> Option<&Peer> {
        self.by_conn.get(&conn).map(|known| &known.peer)
    }

    /// Enters a peer, or overwrites what it said of itself; a load that is known stays.
    pub fn register(&mut self, conn: Conn, peer: Peer) {
        let connected = self.get(conn).map_or(peer.connected, |before| before.connected);
        self.remove(conn);
        self.restore(conn, Peer { connected, ..peer });
    }

    /// Enters a peer as it was before the memory went away.
    pub fn restore(&mut self, conn: Conn, peer: Peer) {
        self.capacity += u64::from(peer.connections_max);
        self.connected += u64::from(peer.connected);
        self.by_last_seen.insert((peer.last_seen, conn));
        self.by_conn.insert(conn, Known { peer, lease: Lease::default(), place: None });
        self.settle(conn);
    }

    /// Puts a peer among those with room, or takes it out.
    fn settle(&mut self, conn: Conn) {
        let Some(known) = self.by_conn.get_mut(&conn) else { return };
        match (known.peer.has_room(), known.place) {
            (true, None) => {
                known.place = Some(self.open.len());
                self.open.push(conn);
            }
            (false, Some(place)) => {
                known.place = None;
                self.close_gap(place);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn close_gap(&mut self, place: usize) {
        if place < self.open.len() {
            self.open.swap_remove(place);
            self.note_place(place);
        }
    }

    fn note_place(&mut self, place: usize) {
        if let Some(known) = self.open.get(place).and_then(|conn| self.by_conn.get_mut(conn)) {
            known.place = Some(place);
        }
    }

    /// Takes a peer out.
    pub fn remove(&mut self, conn: Conn) -> Option<Peer> {
        let known = self.by_conn.remove(&conn)?;
        if let Some(place) = known.place {
            self.close_gap(place);
        }
        self.capacity = self.capacity.saturating_sub(u64::from(known.peer.connections_max));
        self.connected = self.connected.saturating_sub(u64::from(known.peer.connected));
        self.by_last_seen.remove(&(known.peer.last_seen, conn));
        Some(known.peer)
    }

    /// Notes a peer's load, which ends its leases: whoever came is in it.
    pub fn load(&mut self, conn: Conn, connected: u32) {
        let Some(known) = self.by_conn.get_mut(&conn) else { return };
        self.connected = self.connected.saturating_sub(u64::from(known.peer.connected)) + u64::from(connected);
        known.peer.connected = connected;
        known.lease = Lease::default();
        self.settle(conn);
    }

    /// Notes a sign of life; whether the socket is a peer's.
    pub fn see(&mut self, conn: Conn, now: Timestamp) -> bool {
        let Some(known) = self.by_conn.get_mut(&conn) else { return false };
        self.by_last_seen.remove(&(known.peer.last_seen, conn));
        known.peer.last_seen = now;
        self.by_last_seen.insert((now, conn));
        true
    }

    /// When the most silent peer was last heard.
    #[must_use]
    pub fn longest_silent(&self) -> Option<(Timestamp, Conn)> {
        self.by_last_seen.first().copied()
    }

    /// Sums over all.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            peers: self.by_conn.len(),
            capacity: self.capacity,
            connected: self.connected,
            available: self.open.len(),
        }
    }

    /// At most `count` relays that have room, without `except`.
    ///
    /// Draws from the list of those with room and moves what was drawn to its front: the first steps of a Fisher-Yates
    /// shuffle, so the cost follows `count` and not the number of relays.
    pub fn choose(
        &mut self,
        (now, entropy): (Timestamp, &mut dyn Entropy),
        except: Option<Conn>,
        count: usize,
        preference: Preference,
    ) -> Vec<&Peer> {
        let (mut drawn, mut front) = (Vec::with_capacity(count.min(self.open.len())), 0);
        while front < self.open.len() && drawn.len() < count {
            let place = match preference {
                Preference::Shuffled => self.draw(entropy, front),
                Preference::Balanced => {
                    let (one, other) = (self.draw(entropy, front), self.draw(entropy, front));
                    self.emptier(now, one, other)
                }
            };
            self.open.swap(front, place);
            self.note_place(front);
            self.note_place(place);
            if let Some(conn) = self.open.get(front).copied().filter(|conn| Some(*conn) != except) {
                drawn.push(conn);
                if preference == Preference::Balanced {
                    self.lease(now, conn);
                }
            }
            front += 1;
        }
        drawn.into_iter().filter_map(|conn| self.get(conn)).collect()
    }

    fn draw(&self, entropy: &mut dyn Entropy, front: usize) -> usize {
        let rest = u32::try_from(self.open.len() - front).unwrap_or(u32::MAX);
        front + entropy.below(rest) as usize
    }

    fn emptier(&mut self, now: Timestamp, one: usize, other: usize) -> usize {
        match (self.expected(now, one), self.expected(now, other)) {
            (Some((load, room)), Some((other_load, other_room))) if other_load * room < load * other_room => other,
            _ => one,
        }
    }

    /// The connections a peer will have when everybody who was sent to it has come, and those it takes.
    fn expected(&mut self, now: Timestamp, place: usize) -> Option<(u64, u64)> {
        let known = self.open.get(place).and_then(|conn| self.by_conn.get_mut(conn))?;
        known.lease.roll(now);
        let load = u64::from(known.peer.connected) + u64::from(known.lease.recent) + u64::from(known.lease.before);
        Some((load, u64::from(known.peer.connections_max)))
    }

    fn lease(&mut self, now: Timestamp, conn: Conn) {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.lease.roll(now);
            known.lease.recent = known.lease.recent.saturating_add(1);
        }
    }
}
