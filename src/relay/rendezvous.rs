//! Rendezvous: peers that trust each other find each other again by points and tokens that only they can compute.
//!
//! What an operator could learn: that a peer id, over a socket, put in so many points and tokens, which relay it named,
//! and which ids share a point or token that somebody else put in. Not the points and tokens themselves, which are kept
//! as truncated hashes, and not what a dead drop says, which is ciphertext.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// Points of one message, and tokens of one message. Source: apps send 3 and 6 for each trusted peer, so this is room
/// for more than three hundred of those, as much as fits a frame.
pub const ENTRIES_MAX: usize = 2_000;
/// Characters of a point or token.
pub const ENTRY_CHARS_MAX: usize = 128;
/// Characters of a dead drop.
pub const DROP_CHARS_MAX: usize = 4_096;
/// Characters of a relay id.
pub const RELAY_ID_CHARS_MAX: usize = 128;
/// Dead drops, and live matches, in one answer: 250 drops of the largest size are a megabyte.
pub const ANSWERS_MAX: usize = 250;
/// Points, and tokens, of one object. Arithmetic: a row with its indices takes about 300 bytes without its drop, so a
/// million is 300 MB of the 10 GB that an object may store.
pub const STORED_MAX: u64 = 1_000_000;
/// Entries of one network per minute for each message that a socket may send.
pub const ENTRIES_PER_MESSAGE: u64 = 500;

/// A meeting point and what is left there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point<'a> {
    /// What both peers compute.
    pub name: Cow<'a, str>,
    /// Ciphertext for the other; empty for none.
    pub dead_drop: Cow<'a, str>,
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration<'a> {
    /// Who.
    pub peer_id: Cow<'a, str>,
    /// Through which relay it can be reached.
    pub relay_id: Option<Cow<'a, str>>,
    /// Where its peers may look for it for two days.
    pub points: Vec<Point<'a>>,
    /// What its peers, if they are connected, are matched by.
    pub tokens: Vec<Cow<'a, str>>,
}

impl Registration<'_> {
    /// How much the registration puts in.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.points.len() + self.tokens.len()
    }
}

/// A peer met by a live token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Who.
    pub peer_id: String,
    /// Its relay.
    pub relay_id: Option<String>,
    /// Its session.
    pub session: u64,
}

/// A dead drop found at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who left it.
    pub peer_id: String,
    /// Its relay.
    pub relay_id: Option<String>,
    /// The ciphertext.
    pub dead_drop: String,
    /// The session that left it; it may have ended.
    pub session: u64,
}

/// What stands in the storage for a point, token or network: the first 16 bytes of a SHA-256, as base64url.
#[must_use]
pub fn blind(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let (half, _) = digest.split_at_checked(16).unwrap_or((&digest, &[]));
    URL_SAFE_NO_PAD.encode(half)
}

/// Each peer once, in the order of first appearance.
#[must_use]
pub fn each_peer_once(matches: Vec<Match>) -> Vec<Match> {
    let mut known = HashSet::new();
    matches.into_iter().filter(|found| known.insert(found.peer_id.clone())).take(ANSWERS_MAX).collect()
}

/// Ids of stored rows: those that are used up and the oldest that may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The lowest id in use, or the next when none is.
    pub oldest: u64,
    /// The next id to use.
    pub next: u64,
}

impl Ids {
    /// The first of `count` new ids.
    ///
    /// Errors: [`Refusal::Full`] when that would be more than `max` ids between the oldest row and the newest.
    pub fn check(&self, count: usize, max: u64, what: &'static str) -> Result<u64, Refusal> {
        let span = self.next.saturating_add(count as u64).saturating_sub(self.oldest);
        if span > max { Err(Refusal::Full(what)) } else { Ok(self.next) }
    }

    /// Uses up `count` ids.
    pub const fn take(&mut self, count: usize) {
        self.next = self.next.saturating_add(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::{Ids, Match, blind, each_peer_once};
    use crate::relay::refusal::Refusal;

    #[test]
    fn what_is_stored_for_a_point_is_half_of_its_sha_256() {
        // SHA-256 of "abc" begins with ba7816bf 8f01cfea 414140de 5dae2223 (FIPS 180-2, B.1).
        assert_eq!(blind("abc"), "ungWv48Bz-pBQUDeXa4iIw");
    }

    #[test]
    fn a_peer_matched_by_several_tokens_is_named_once() {
        let found = |peer_id: &str| Match { peer_id: peer_id.to_owned(), relay_id: None, session: 1 };
        let names: Vec<String> =
            each_peer_once(vec![found("b"), found("a"), found("b")]).into_iter().map(|found| found.peer_id).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn ids_run_out_when_the_oldest_row_stays() {
        let mut ids = Ids { oldest: 1, next: 1 };
        assert_eq!(ids.check(3, 3, "x"), Ok(1));
        ids.take(3);
        assert_eq!(ids.check(1, 3, "x"), Err(Refusal::Full("x")));
        assert_eq!(Ids { oldest: 2, ..ids }.check(1, 3, "x"), Ok(4));
    }
}
