//! Bans: which peer ids a party does not let in, and until when.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::time::Timestamp;

/// Bans in force at a time.
pub const BANS_MAX: usize = 256;

/// The longest ban with an end. Units: seconds; a year.
pub const BAN_S_MAX: u64 = 365 * 86_400;

/// All bans of a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bans {
    until_by_peer: BTreeMap<String, Option<Timestamp>>,
}

fn holds(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| until > now)
}

impl Bans {
    /// The bans as they were stored.
    #[must_use]
    pub fn restore(bans: Vec<(String, Option<Timestamp>)>) -> Self {
        Self { until_by_peer: bans.into_iter().collect() }
    }

    /// Whether a peer is banned.
    #[must_use]
    pub fn is_banned(&self, now: Timestamp, peer_id: &str) -> bool {
        self.until_by_peer.get(peer_id).is_some_and(|until| holds(*until, now))
    }

    /// A peer's ban, whether or not it is over: the time of its end if it has one.
    #[must_use]
    pub fn get(&self, peer_id: &str) -> Option<Option<Timestamp>> {
        self.until_by_peer.get(peer_id).copied()
    }

    /// The bans in force, by peer.
    pub fn in_force(&self, now: Timestamp) -> impl Iterator<Item = (&str, Option<Timestamp>)> {
        self.until_by_peer.iter().filter(move |(_, until)| holds(**until, now)).map(|(peer, until)| (&**peer, *until))
    }

    /// Bans a peer, or changes its ban. Returns whose bans were forgotten because they are over.
    ///
    /// Errors: [`Refusal::TooManyBans`].
    pub fn add(&mut self, now: Timestamp, peer_id: &str, until: Option<Timestamp>) -> Result<Vec<String>, Refusal> {
        if !self.is_banned(now, peer_id) && self.in_force(now).count() >= BANS_MAX {
            return Err(Refusal::TooManyBans);
        }
        let is_over = |ban: &Option<Timestamp>| !holds(*ban, now);
        let mut over: Vec<String> =
            self.until_by_peer.iter().filter(|(_, ban)| is_over(ban)).map(|(peer, _)| peer.clone()).collect();
        self.until_by_peer.retain(|_, ban| !is_over(ban));
        over.retain(|peer| peer != peer_id);
        self.until_by_peer.insert(peer_id.to_owned(), until);
        Ok(over)
    }

    /// Lifts a ban.
    ///
    /// Errors: [`Refusal::NotBanned`].
    pub fn lift(&mut self, now: Timestamp, peer_id: &str) -> Result<(), Refusal> {
        if !self.is_banned(now, peer_id) {
            return Err(Refusal::NotBanned(peer_id.to_owned()));
        }
        self.until_by_peer.remove(peer_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BANS_MAX, Bans};
    use crate::kernel::time::Timestamp;
    use crate::parties::refusal::Refusal;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_ban_holds_until_its_end_or_until_it_is_lifted() {
        let mut bans = Bans::default();
        bans.add(NOW, "a", Some(NOW.plus(5))).unwrap();
        bans.add(NOW, "b", None).unwrap();
        assert!(bans.is_banned(NOW.plus(4), "a") && !bans.is_banned(NOW.plus(5), "a"));
        assert!(bans.is_banned(NOW.plus(1 << 50), "b"));
        assert_eq!(bans.lift(NOW.plus(5), "a"), Err(Refusal::NotBanned(String::from("a"))));
        bans.lift(NOW, "b").unwrap();
        assert!(!bans.is_banned(NOW, "b"));
    }

    #[test]
    fn bans_are_bounded_and_those_that_are_over_make_room() {
        let mut bans = Bans::default();
        for index in 0..BANS_MAX {
            bans.add(NOW, &index.to_string(), Some(NOW.plus(5))).unwrap();
        }
        assert_eq!(bans.add(NOW, "late", None), Err(Refusal::TooManyBans));
        assert!(bans.add(NOW, "7", None).unwrap().is_empty());
        assert_eq!(bans.add(NOW.plus(5), "late", None).unwrap().len(), BANS_MAX - 1);
        assert_eq!(bans.in_force(NOW.plus(5)).count(), 2);
    }
}
