//! Proof that a request comes from the holder of a server's key, and that it comes once.
//!
//! A request may carry a timestamp, a nonce and a signature. What is present is enforced; what is absent is the older
//! protocol, unless proof is demanded. Two forms are signed in the field: the whole body in canonical JSON
//! ([`Coverage::Whole`]), or five members of a registration ([`Coverage::FiveMembers`]), which leave the nonce to
//! whoever carries the request. So a nonce protects against replay only where it is covered; elsewhere the signed time
//! must be newer than every time that the server has signed before.

use std::collections::{HashSet, VecDeque};

use sha2::{Digest, Sha256};

use super::member::Member;
use crate::kernel::keys::{self, parse_32_bytes, parse_base64};
use crate::kernel::time::Timestamp;

/// How old a timestamp may be.
pub const AGE_MS_MAX: u64 = 120_000;

/// How far ahead of our clock a timestamp may be.
pub const AHEAD_MS_MAX: u64 = 30_000;

/// How long a nonce must be remembered: accepted 30 s early, a timestamp stays acceptable for 150 s and one tick.
pub const NONCE_TTL_MS: u64 = AGE_MS_MAX + AHEAD_MS_MAX + 1;

/// Shortest and longest nonce. Units: characters.
pub const NONCE_LEN: std::ops::RangeInclusive<usize> = 16..=128;

/// Nonces of heartbeats kept in memory.
///
/// Limits: 1000 servers that beat every 3 s fill it; 24 bytes and an index each make about 4 MB.
pub const BEAT_NONCES_MAX: usize = 65_536;

/// Whether a request may come without proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It may; what it carries is enforced.
    WhatIsPresent,
    /// Timestamp, nonce and signature are all needed.
    Everything,
}

/// What the signature of a request may be over, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedForms {
    /// Canonical JSON of the whole body without `signature`; none when the body cannot be of this kind of request.
    pub whole: Option<String>,
    /// Canonical JSON of `endpoint`, `publicKey`, `region`, `serverId`, `timestamp`; none where the field has no such form.
    pub five_members: Option<String>,
}

/// The proof that a request carries, unchecked.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ProofClaim {
    pub timestamp: Member,
    pub nonce: Member,
    pub signature: Member,
    pub forms: SignedForms,
}

/// A proof whose parts have the right shape and whose time is near ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    timestamp: Option<Timestamp>,
    nonce: Option<String>,
    signature: Option<Vec<u8>>,
    forms: SignedForms,
}

/// What a good signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// There is no signature.
    Nothing,
    /// The five members of the field's older form.
    FiveMembers,
    /// Everything.
    Whole,
}

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofError {
    /// A signature is demanded and absent.
    NotSigned,
    /// Absent although needed, or not a time.
    Timestamp,
    /// Older than [`AGE_MS_MAX`].
    TooOld,
    /// Further ahead than [`AHEAD_MS_MAX`].
    TooFarAhead,
    /// Absent although needed, or not 16 to 128 characters.
    Nonce,
    /// Not the key's signature over any form.
    Signature,
    /// The nonce was used.
    NonceUsed,
    /// The signed time is not newer than the newest one.
    NotNewer,
}

/// What earlier requests of the same server have used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Whether the nonce was seen.
    pub nonce: NonceSeen,
    /// Whether it would be known if it had been.
    pub memory: NonceMemory,
    /// The newest time signed so far.
    pub newest_signed: Option<Timestamp>,
}

/// Whether a nonce was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NonceSeen {
    Yes,
    No,
}

/// Whether every nonce is known that could still be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceMemory {
    /// An unknown nonce is fresh.
    Complete,
    /// An unknown nonce may have been forgotten.
    Partial,
}

/// Checks shape and time of a proof.
pub fn check_shape(claim: ProofClaim, demand: Demand, now: Timestamp) -> Result<Proof, ProofError> {
    if demand == Demand::Everything && !claim.signature.is_present() {
        return Err(ProofError::NotSigned);
    }
    let timestamp = match claim.timestamp {
        Member::Missing if demand == Demand::Everything || claim.signature.is_present() => {
            return Err(ProofError::Timestamp);
        }
        Member::Missing => None,
        present => Some(check_time(&present, now)?),
    };
    let nonce = match claim.nonce {
        Member::Missing if demand == Demand::Everything => return Err(ProofError::Nonce),
        Member::Missing => None,
        Member::Text(nonce) if NONCE_LEN.contains(&nonce.chars().count()) => Some(nonce),
        _ => return Err(ProofError::Nonce),
    };
    let signature = match claim.signature {
        Member::Missing => None,
        Member::Text(text) => Some(parse_base64(&text).ok_or(ProofError::Signature)?),
        _ => return Err(ProofError::Signature),
    };
    Ok(Proof { timestamp, nonce, signature, forms: claim.forms })
}

fn check_time(member: &Member, now: Timestamp) -> Result<Timestamp, ProofError> {
    let time = Timestamp::from_millis(member.floored().ok_or(ProofError::Timestamp)?);
    if now.since(time) > AGE_MS_MAX {
        return Err(ProofError::TooOld);
    }
    if time.since(now) > AHEAD_MS_MAX {
        return Err(ProofError::TooFarAhead);
    }
    Ok(time)
}

impl Proof {
    /// The nonce, if there is one.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The time that is signed, if this proof is signed.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signature.as_ref().and(self.timestamp)
    }

    /// The request's own time, if it has one.
    #[must_use]
    pub const fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// What `public_key` has signed. A key that is not 32 bytes, in hex or base64, signs nothing.
    pub fn verify(&self, public_key: &str) -> Result<Coverage, ProofError> {
        let Some(signature) = &self.signature else { return Ok(Coverage::Nothing) };
        let key = parse_key(public_key).ok_or(ProofError::Signature)?;
        let is_over = |form: &Option<String>| {
            form.as_ref().is_some_and(|message| keys::verify(&key, message.as_bytes(), signature))
        };
        if is_over(&self.forms.whole) {
            Ok(Coverage::Whole)
        } else if is_over(&self.forms.five_members) {
            Ok(Coverage::FiveMembers)
        } else {
            Err(ProofError::Signature)
        }
    }

    /// Whether the request comes for the first time, as far as its proof can tell.
    pub fn check_fresh(&self, coverage: Coverage, used: Used) -> Result<(), ProofError> {
        if self.nonce.is_some() && used.nonce == NonceSeen::Yes {
            return Err(ProofError::NonceUsed);
        }
        let nonce_decides = coverage == Coverage::Whole && self.nonce.is_some() && used.memory == NonceMemory::Complete;
        match (self.signed_at(), used.newest_signed) {
            (Some(signed), Some(newest)) if !nonce_decides && signed <= newest => Err(ProofError::NotNewer),
            _ => Ok(()),
        }
    }
}

/// An Ed25519 key as servers write it: hex, or base64 of either alphabet, padded or not.
fn parse_key(text: &str) -> Option<[u8; 32]> {
    parse_32_bytes(text).or_else(|| parse_base64(text)?.try_into().ok())
}

/// Nonces of heartbeats, in memory: bounded, oldest first out.
#[derive(Debug, Clone)]
pub struct BeatNonces {
    known: HashSet<[u8; 16]>,
    by_age: VecDeque<([u8; 16], Timestamp)>,
    complete_since: Timestamp,
}

impl BeatNonces {
    /// An empty memory that begins at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { known: HashSet::new(), by_age: VecDeque::new(), complete_since: now }
    }

    /// Whether `server_id` has used `nonce`.
    #[must_use]
    pub fn seen(&self, server_id: &str, nonce: &str) -> NonceSeen {
        if self.known.contains(&digest(server_id, nonce)) { NonceSeen::Yes } else { NonceSeen::No }
    }

    /// Whether every heartbeat of time `timestamp` would be known. One that came before this memory began was at most
    /// [`AHEAD_MS_MAX`] ahead of it.
    #[must_use]
    pub fn memory_at(&self, timestamp: Option<Timestamp>) -> NonceMemory {
        let complete = timestamp.is_some_and(|time| time > self.complete_since.plus(AHEAD_MS_MAX));
        if complete { NonceMemory::Complete } else { NonceMemory::Partial }
    }

    /// Remembers a nonce and forgets what is too old to matter.
    pub fn remember(&mut self, server_id: &str, nonce: &str, now: Timestamp) {
        while let Some((oldest, heard_at)) = self.by_age.front().copied() {
            let matters = now.since(heard_at) < NONCE_TTL_MS;
            if matters && self.by_age.len() < BEAT_NONCES_MAX {
                break;
            }
            if matters {
                self.complete_since = self.complete_since.max(heard_at);
            }
            self.by_age.pop_front();
            self.known.remove(&oldest);
        }
        let key = digest(server_id, nonce);
        if self.known.insert(key) {
            self.by_age.push_back((key, now));
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}

/// A fixed-size stand-in for a server's nonce. A space is in no server id, so the pair is unambiguous.
fn digest(server_id: &str, nonce: &str) -> [u8; 16] {
    let hash = Sha256::new().chain_update(server_id).chain_update(" ").chain_update(nonce).finalize();
    let mut key = [0_u8; 16];
    for (to, from) in key.iter_mut().zip(hash) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::{BEAT_NONCES_MAX, BeatNonces, NONCE_TTL_MS, NonceMemory, NonceSeen};
    use crate::kernel::time::Timestamp;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn a_nonce_is_known_per_server_until_it_cannot_be_replayed() {
        let mut nonces = BeatNonces::new(at(0));
        nonces.remember("a", "n", at(0));
        assert_eq!(nonces.seen("a", "n"), NonceSeen::Yes);
        assert_eq!(nonces.seen("b", "n"), NonceSeen::No);
        nonces.remember("b", "m", at(NONCE_TTL_MS - 1));
        assert_eq!(nonces.seen("a", "n"), NonceSeen::Yes);
        nonces.remember("b", "o", at(NONCE_TTL_MS));
        assert_eq!(nonces.seen("a", "n"), NonceSeen::No);
    }

    #[test]
    fn endless_nonces_take_bounded_memory_and_the_forgotten_ones_are_not_taken_for_fresh() {
        let mut nonces = BeatNonces::new(at(0));
        let time = Some(at(40_000));
        assert_eq!(nonces.memory_at(time), NonceMemory::Complete);
        for number in 0..BEAT_NONCES_MAX + 100 {
            nonces.remember("a", &number.to_string(), at(20_000));
        }
        assert_eq!(nonces.len(), BEAT_NONCES_MAX);
        assert_eq!(nonces.known.len(), BEAT_NONCES_MAX);
        assert_eq!(nonces.seen("a", "0"), NonceSeen::No);
        assert_eq!(nonces.memory_at(time), NonceMemory::Partial);
    }
}
