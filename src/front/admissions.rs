//! Whose token is whose, remembered for a moment so that not every request asks the identities.

use std::collections::HashMap;

use crate::kernel::time::Timestamp;

/// How long a judged token is not judged again, at most. Units: milliseconds. A token that was revoked through another
/// isolate works that much longer here; through this one it ends at once.
pub const ADMITTED_MS_MAX: u64 = 10_000;

/// Uses that identities do not hear of must not shorten a token's life by more than this part of it.
const LIFE_PARTS: u64 = 24;

/// How long a token that lives `token_ttl_ms` after its last use is not judged again.
#[must_use]
pub const fn admitted_ms(token_ttl_ms: u64) -> u64 {
    let part = token_ttl_ms / LIFE_PARTS;
    if part < ADMITTED_MS_MAX { part } else { ADMITTED_MS_MAX }
}

/// Tokens remembered at most; when there are more, all are forgotten, which costs one question each.
pub const ADMISSIONS_MAX: usize = 4_096;

/// Tokens judged lately, with their peers.
#[derive(Debug, Default)]
pub struct Admissions {
    peer_by_token: HashMap<String, (String, Timestamp)>,
}

impl Admissions {
    /// The peer of a token that was judged lately. A clock that went backwards forgets.
    #[must_use]
    pub fn get(&self, token: &str, token_ttl_ms: u64, now: Timestamp) -> Option<&str> {
        let (peer, since) = self.peer_by_token.get(token)?;
        (now >= *since && now.since(*since) < admitted_ms(token_ttl_ms)).then_some(peer.as_str())
    }

    /// Remembers what the identities said.
    pub fn keep(&mut self, token: &str, peer: &str, now: Timestamp) {
        if self.peer_by_token.len() >= ADMISSIONS_MAX {
            self.peer_by_token.clear();
        }
        self.peer_by_token.insert(token.to_owned(), (peer.to_owned(), now));
    }

    /// A token has ended: nobody is trusted without asking.
    pub fn clear(&mut self) {
        self.peer_by_token.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{ADMISSIONS_MAX, ADMITTED_MS_MAX, Admissions};
    use crate::kernel::time::Timestamp;

    const DAY_MS: u64 = 86_400_000;
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_judged_token_is_trusted_for_ten_seconds() {
        let mut admissions = Admissions::default();
        admissions.keep("t", "p", NOW);
        assert_eq!(admissions.get("t", DAY_MS, NOW.plus(ADMITTED_MS_MAX - 1)), Some("p"));
        assert_eq!(admissions.get("t", DAY_MS, NOW.plus(ADMITTED_MS_MAX)), None);
        assert_eq!(admissions.get("t", DAY_MS, NOW.minus(1)), None);
        assert_eq!(admissions.get("other", DAY_MS, NOW), None);
    }

    #[test]
    fn short_lived_tokens_are_judged_more_often() {
        let mut admissions = Admissions::default();
        admissions.keep("t", "p", NOW);
        assert_eq!(admissions.get("t", 2_400, NOW.plus(99)), Some("p"));
        assert_eq!(admissions.get("t", 2_400, NOW.plus(100)), None);
    }

    #[test]
    fn a_revocation_is_felt_at_once() {
        let mut admissions = Admissions::default();
        admissions.keep("t", "p", NOW);
        admissions.clear();
        assert_eq!(admissions.get("t", DAY_MS, NOW), None);
    }

    #[test]
    fn endless_tokens_take_bounded_room() {
        let mut admissions = Admissions::default();
        (0..ADMISSIONS_MAX * 2 + 1).for_each(|number| admissions.keep(&number.to_string(), "p", NOW));
        assert!(admissions.peer_by_token.len() <= ADMISSIONS_MAX);
    }
}
