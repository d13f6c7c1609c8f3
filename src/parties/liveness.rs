//! Who is alive, with one row for all members and not a row per heartbeat.
//!
//! A sign of life is kept in memory. It is written, together with all others, when the member's stored one is older than
//! the flush interval. So what is stored is behind the truth by less than the interval, and whoever expires by
//! `stored + interval + TTL` never expires too early, whether or not the memory went away in between. Members who beat
//! twice an interval, as clients do, share a row about twice an interval, however many they are; no member costs more than
//! one an interval.

use super::ears::Ears;
use super::party::Party;
use crate::kernel::time::Timestamp;

/// The longest flush interval. Units: milliseconds.
const FLUSH_MS_MAX: u64 = 60_000;

/// The flush interval is at most this part of the TTL.
const FLUSH_PART: u64 = 5;

/// How often each listener is sent the whole party with fresh times. Units: milliseconds; 3.5 minutes, because clients
/// forget peers after five and an alarm may be late. Source: parties 2.4, point 3.
pub const REFRESH_MS: u64 = 210_000;

/// The times of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a member is kept without a sign of life. Units: milliseconds.
    pub ttl_ms: u64,
    /// How far the stored signs of life may be behind. Units: milliseconds.
    pub flush_ms: u64,
}

/// Whether signs of life must be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Flush {
    Due,
    NotDue,
}

impl Times {
    /// The times for a TTL. Units: milliseconds.
    #[must_use]
    pub const fn of(ttl_ms: u64) -> Self {
        let part = ttl_ms / FLUSH_PART;
        Self { ttl_ms, flush_ms: if part < FLUSH_MS_MAX { part } else { FLUSH_MS_MAX } }
    }

    /// A member gave a sign of life. One whose socket speaks needs none.
    pub fn see(&self, now: Timestamp, party: &mut Party, ears: &Ears, peer_id: &str) -> Flush {
        let Some(member) = party.members.get_mut(peer_id) else { return Flush::NotDue };
        member.seen_at = now;
        if ears.is_present(peer_id) || now.since(member.stored_at) < self.flush_ms {
            return Flush::NotDue;
        }
        Flush::Due
    }

    /// Brings the times of all whose socket speaks up to date; everything counts as stored afterwards.
    pub fn flush(now: Timestamp, party: &mut Party, ears: &Ears) {
        for (peer_id, member) in &mut party.members {
            if ears.is_present(peer_id) {
                member.seen_at = now;
            }
            member.stored_at = member.seen_at;
        }
    }

    /// When the first member expires.
    #[must_use]
    pub fn next_expiry(&self, party: &Party, ears: &Ears) -> Option<Timestamp> {
        let mortal = party.members.iter().filter(|(peer_id, _)| !ears.is_present(peer_id));
        mortal.map(|(_, member)| self.expiry(member.stored_at)).min()
    }

    /// Who has expired, longest unseen first.
    #[must_use]
    pub fn expired(&self, now: Timestamp, party: &Party, ears: &Ears) -> Vec<String> {
        let mortal = party.members.iter().filter(|(peer_id, _)| !ears.is_present(peer_id));
        let mut gone: Vec<_> = mortal.filter(|(_, member)| self.expiry(member.stored_at) <= now).collect();
        gone.sort_by_key(|(_, member)| (member.stored_at, member.seq));
        gone.into_iter().map(|(peer_id, _)| peer_id.clone()).collect()
    }

    const fn expiry(&self, stored_at: Timestamp) -> Timestamp {
        stored_at.plus(self.ttl_ms).plus(self.flush_ms)
    }
}

/// When a member was last seen: now, if its socket speaks.
#[must_use]
pub fn last_seen(now: Timestamp, party: &Party, ears: &Ears, peer_id: &str) -> Timestamp {
    if ears.is_present(peer_id) {
        return now;
    }
    party.members.get(peer_id).map_or(now, |member| member.seen_at)
}
