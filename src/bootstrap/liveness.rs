//! When heartbeats are written down.
//!
//! Signs of life live in memory and are flushed, all servers in one row, with a heartbeat that finds the last flush
//! too old. So a fleet costs one row per interval whatever its size, and after a stop without warning the registry
//! knows everybody as it was at most one interval earlier.
//!
//! That alone would forget servers, so what storage knows of the server that beats matters too:
//!
//! - The platform may drop the memory between any two heartbeats, and then only those that happen to flush count. Of
//!   two servers that beat in turns, one would never be stored. So the first heartbeat of a server that this memory
//!   knows from storage only is flushed when two intervals have passed since the stored one.
//! - Whoever is heard seldom must not be stored as it was long ago. So a heartbeat is flushed when half a life has
//!   passed since the stored one: whatever stops, a server stays listed for half a life after its last heartbeat.

use super::registry::{Entry, Heard};
use crate::kernel::time::Timestamp;

/// Longest time between a heartbeat and the flush that covers it, as long as heartbeats come.
///
/// Clients drop servers that were not seen for 120 s, servers beat every 60 s: 30 s leave as much again for the network.
pub const FLUSH_INTERVAL_MS_MAX: u64 = 30_000;

/// Whether something is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Due {
    Now,
    NotYet,
}

/// The state of coalescing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalescing {
    ttl_ms: u64,
    interval_ms: u64,
    flushed_at: Option<Timestamp>,
}

impl Coalescing {
    /// Coalescing for servers that live `ttl_ms`, last flushed at `flushed_at`.
    #[must_use]
    pub fn new(ttl_ms: u64, flushed_at: Option<Timestamp>) -> Self {
        Self { ttl_ms, interval_ms: FLUSH_INTERVAL_MS_MAX.min(ttl_ms / 4), flushed_at }
    }

    /// Whether a heartbeat of the server that was `before` so far must flush.
    #[must_use]
    pub fn flush(&self, before: &Entry, now: Timestamp) -> Due {
        let all_are_old = self.flushed_at.is_none_or(|flushed| is_past(flushed, now, self.interval_ms));
        let stored_for_ms = match before.heard {
            Heard::Stored => 2 * self.interval_ms,
            Heard::Here => self.ttl_ms / 2,
        };
        let this_is_old = is_past(before.stored_seen, now, stored_for_ms);
        if all_are_old || this_is_old { Due::Now } else { Due::NotYet }
    }

    /// A flush was committed.
    pub const fn flushed(&mut self, now: Timestamp) {
        self.flushed_at = Some(now);
    }
}

/// Whether `interval_ms` have passed since `then`. A clock that went back must not stop flushing until it catches up.
fn is_past(then: Timestamp, now: Timestamp, interval_ms: u64) -> bool {
    now < then || now.since(then) >= interval_ms
}
