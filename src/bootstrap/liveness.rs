//! When heartbeats are written down.
//!
//! Signs of life live in memory and are flushed, all servers in one row, with a heartbeat that finds the last flush
//! too old. So a fleet costs one row per interval whatever its size, and after a stop without warning the registry
//! knows everybody as it was at most one interval earlier.
//!
//! One trap: the platform may drop the object's memory between any two heartbeats, and then only the heartbeats that
//! happened to flush would count. Two servers that beat in turns would so forget one of them. Hence the second rule:
//! the first sign of life of a server that this memory knows from storage only is flushed when the stored one is old.

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
    interval_ms: u64,
    flushed_at: Option<Timestamp>,
}

impl Coalescing {
    /// Coalescing for servers that live `ttl_ms`, last flushed at `flushed_at`.
    #[must_use]
    pub fn new(ttl_ms: u64, flushed_at: Option<Timestamp>) -> Self {
        Self { interval_ms: FLUSH_INTERVAL_MS_MAX.min(ttl_ms / 4), flushed_at }
    }

    /// Whether a heartbeat of the server that was `before` so far must flush.
    #[must_use]
    pub fn flush(&self, before: &Entry, now: Timestamp) -> Due {
        let all_are_old = self.flushed_at.is_none_or(|flushed| is_past(flushed, now, self.interval_ms));
        let this_is_old =
            before.heard == Heard::Stored && is_past(before.liveness.last_seen, now, 2 * self.interval_ms);
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
