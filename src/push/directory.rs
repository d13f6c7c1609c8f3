//! Names that only one server may hold: reserved before use, confirmed after the commit, released on failure.
//!
//! A crash in between leaves a reservation that is not confirmed, or a name that its server has left. A reservation stands
//! by itself for a minute. Whoever wants a name otherwise makes the directory ask the server that has it, so that a name is
//! never given away that is in use, and never kept that is not.

use sha2::{Digest, Sha256};

use super::device::TokenHash;
use super::uuid::Uuid;
use crate::kernel::time::Timestamp;

/// How many objects share the names.
pub const SHARDS: u8 = 16;

/// Names in one message of a server to a shard.
pub const NAMES_PER_MESSAGE: usize = 1_000;

/// How long a reservation stands by itself. Units: milliseconds.
pub const RESERVED_MS: u64 = 60_000;

/// Servers that are told of one dead token.
pub const HOLDERS_MAX: u64 = 100;

/// New registrations from one client network within a day, so that nobody takes names wholesale.
pub const REGISTRATIONS_PER_NETWORK: u64 = 100;

/// The period of [`REGISTRATIONS_PER_NETWORK`]. Units: milliseconds.
pub const REGISTRATIONS_PERIOD_MS: u64 = 24 * 3_600_000;

/// Transfers begun from one client network within a minute, so that nobody enumerates names.
pub const TRANSFERS_PER_MINUTE: u64 = 30;

/// The object that keeps a name.
///
/// Shape: `00` … `15`.
#[must_use]
pub fn shard(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{kind}:{name}"));
    let number = digest.first().copied().unwrap_or(0) % SHARDS;
    format!("{number:02}")
}

/// By what a client network is known: 16 bytes of its hash, as hex.
#[must_use]
pub fn network_mark(network: &str) -> String {
    let mut mark = hex::encode(Sha256::digest(network.as_bytes()));
    mark.truncate(32);
    mark
}

/// What is kept of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The server.
    pub server: Uuid,
    /// How firmly.
    pub hold: Hold,
}

/// How firmly a server holds a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is about to use it.
    Reserved {
        /// Until when this stands by itself.
        until: Timestamp,
    },
    /// It uses it.
    Confirmed,
}

/// A server that must still be told that a token is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obituary {
    /// Its row.
    pub obituary_id: i64,
    /// The token.
    pub token: TokenHash,
    /// The app that it was dead for.
    pub app_id: Option<String>,
    /// Registrations after this time live.
    pub died_at: Timestamp,
    /// The server.
    pub server: String,
    /// Tries so far.
    pub attempts: u32,
}

/// What comes of a wish for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimPlan {
    /// It is reserved now.
    Reserve(Entry),
    /// The server has it already.
    Keep,
    /// Another is about to use it.
    Taken,
    /// Another has it, or had reserved it and never said more: does it use it?
    Ask(Uuid),
}

/// Decides on a wish.
#[must_use]
pub fn decide_claim(now: Timestamp, entry: Option<&Entry>, server: &Uuid) -> ClaimPlan {
    let reserve = || Entry { server: server.clone(), hold: Hold::Reserved { until: now.plus(RESERVED_MS) } };
    match entry {
        None => ClaimPlan::Reserve(reserve()),
        Some(entry) if entry.server == *server => match entry.hold {
            Hold::Confirmed => ClaimPlan::Keep,
            Hold::Reserved { .. } => ClaimPlan::Reserve(reserve()),
        },
        Some(Entry { hold: Hold::Reserved { until }, .. }) if now < *until => ClaimPlan::Taken,
        Some(entry) => ClaimPlan::Ask(entry.server.clone()),
    }
}

/// What comes of the answer to [`ClaimPlan::Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedPlan {
    /// The other uses it, and is known to from now on.
    Confirm(Entry),
    /// The other does not: it is reserved for who wanted it.
    Reserve(Entry),
    /// As before; it is not granted.
    Taken,
}

/// What the server said that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It uses the name.
    Yes,
    /// It does not.
    No,
    /// Nothing. That counts as yes.
    Silence,
}

/// Decides after `asked` was asked about a name that `server` wants. Somebody else may have been quicker.
#[must_use]
pub fn decide_asked(now: Timestamp, entry: Option<&Entry>, asked: &Uuid, used: Use, server: &Uuid) -> AskedPlan {
    match entry {
        None => {
            AskedPlan::Reserve(Entry { server: server.clone(), hold: Hold::Reserved { until: now.plus(RESERVED_MS) } })
        }
        Some(entry) if entry.server != *asked => AskedPlan::Taken,
        Some(Entry { hold: Hold::Reserved { until }, .. }) if now < *until => AskedPlan::Taken,
        Some(entry) => match (used, entry.hold) {
            (Use::No, _) => decide_asked(now, None, asked, used, server),
            (Use::Yes, Hold::Reserved { .. }) => AskedPlan::Confirm(Entry { hold: Hold::Confirmed, ..entry.clone() }),
            (Use::Yes, Hold::Confirmed) | (Use::Silence, _) => AskedPlan::Taken,
        },
    }
}

/// What a name is after its holder settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlePlan {
    /// The server holds it.
    Confirm(Entry),
    /// Nobody does.
    Remove,
    /// As before: another's name is not touched.
    Nothing,
}

/// Decides on a confirmation.
#[must_use]
pub fn decide_confirm(entry: Option<&Entry>, server: &Uuid) -> SettlePlan {
    match entry {
        Some(entry) if entry.server != *server || entry.hold == Hold::Confirmed => SettlePlan::Nothing,
        _ => SettlePlan::Confirm(Entry { server: server.clone(), hold: Hold::Confirmed }),
    }
}

/// Decides on a release.
#[must_use]
pub fn decide_release(entry: Option<&Entry>, server: &Uuid) -> SettlePlan {
    match entry {
        Some(entry) if entry.server == *server => SettlePlan::Remove,
        _ => SettlePlan::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        AskedPlan, ClaimPlan, Entry, Hold, RESERVED_MS, SettlePlan, Use, decide_asked, decide_claim, decide_confirm,
        decide_release, shard,
    };
    use crate::kernel::time::Timestamp;
    use crate::push::uuid::Uuid;

    fn uuid(digit: u8) -> Uuid {
        Uuid::parse(&format!("{digit}cde5f7a-1f7e-4978-9716-49f69ebfc9fe")).unwrap()
    }

    #[test]
    fn a_name_has_one_holder_from_its_reservation_on() {
        let now = Timestamp::from_millis(1_000_000);
        let ClaimPlan::Reserve(entry) = decide_claim(now, None, &uuid(1)) else { panic!("free") };
        assert_eq!(decide_claim(now, Some(&entry), &uuid(2)), ClaimPlan::Taken);
        assert_eq!(decide_claim(now, Some(&entry), &uuid(1)), ClaimPlan::Reserve(entry.clone()));
        assert_eq!(decide_claim(now.plus(RESERVED_MS), Some(&entry), &uuid(2)), ClaimPlan::Ask(uuid(1)));
        let SettlePlan::Confirm(held) = decide_confirm(Some(&entry), &uuid(1)) else { panic!("confirmed") };
        assert_eq!(decide_claim(now, Some(&held), &uuid(2)), ClaimPlan::Ask(uuid(1)));
        assert_eq!(decide_claim(now, Some(&held), &uuid(1)), ClaimPlan::Keep);
    }

    #[test]
    fn a_name_that_its_holder_does_not_use_is_given_away_and_no_other() {
        let now = Timestamp::from_millis(1_000_000);
        let held = Entry { server: uuid(1), hold: Hold::Confirmed };
        let stale = Entry { server: uuid(1), hold: Hold::Reserved { until: now } };
        let fresh = Entry { server: uuid(1), hold: Hold::Reserved { until: now.plus(1) } };
        let asked = |entry: Option<&Entry>, used| decide_asked(now, entry, &uuid(1), used, &uuid(2));
        for entry in [Some(&held), Some(&stale), None] {
            assert!(matches!(asked(entry, Use::No), AskedPlan::Reserve(entry) if entry.server == uuid(2)));
        }
        assert_eq!(asked(Some(&stale), Use::Yes), AskedPlan::Confirm(held.clone()));
        for (entry, used) in [(&held, Use::Yes), (&held, Use::Silence), (&stale, Use::Silence), (&fresh, Use::No)] {
            assert_eq!(asked(Some(entry), used), AskedPlan::Taken);
        }
        let others = Entry { server: uuid(3), hold: Hold::Confirmed };
        assert_eq!(asked(Some(&others), Use::No), AskedPlan::Taken);
    }

    #[test]
    fn nobody_settles_anothers_name() {
        let held = Entry { server: uuid(1), hold: Hold::Confirmed };
        assert_eq!(decide_confirm(Some(&held), &uuid(2)), SettlePlan::Nothing);
        assert_eq!(decide_release(Some(&held), &uuid(2)), SettlePlan::Nothing);
        assert_eq!(decide_release(Some(&held), &uuid(1)), SettlePlan::Remove);
        assert_eq!(decide_release(None, &uuid(1)), SettlePlan::Nothing);
    }

    #[test]
    fn names_spread_over_all_shards() {
        let shards: BTreeSet<String> = (0..500).map(|n| shard("hostname", &format!("chat{n}.example.org"))).collect();
        assert_eq!(shards.len(), 16);
    }
}
