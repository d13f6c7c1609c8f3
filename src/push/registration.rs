//! A registration: created, updated, rotated, deactivated, handed over.

use super::credential::{KeyHash, Keys};
use super::refusal::Refusal;
use super::uuid::Uuid;
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;

/// How stale the time of a server's last request may be. Units: milliseconds.
pub const SEEN_MS: u64 = 60_000;

/// What is kept of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its name, which is also its object's.
    pub uuid: Uuid,
    /// Its keys' hashes.
    pub keys: Keys,
    /// A claim, as it was given.
    pub hostname: String,
    /// A claim.
    pub email: String,
    /// Whether it may call.
    pub state: State,
    /// When it called last, to the minute.
    pub seen_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Whether a server may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may.
    Active,
    /// It has signed off.
    Deactivated,
}

/// What is noted of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// It was deactivated.
    Deactivated,
    /// It was created.
    Created,
    /// It was handed over.
    Transferred,
}

impl Audit {
    /// The dialect's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Deactivated => 10_201,
            Self::Created => 10_215,
            Self::Transferred => 10_216,
        }
    }
}

impl Registered {
    /// Whether the time of the last request is worth writing.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.seen_at.is_none_or(|seen| now.since(seen) >= SEEN_MS)
    }

    /// Whether this active registration goes by the name, in the form by which hosts are compared.
    #[must_use]
    pub fn holds(&self, hostname: &str) -> bool {
        self.state == State::Active && self.hostname.to_lowercase() == hostname
    }

    /// Judges a key on an authenticated endpoint.
    ///
    /// Errors: [`Refusal::WrongKey`], [`Refusal::Deactivated`].
    pub fn admit(&self, key: &Secret, now: Timestamp) -> Result<(), Refusal> {
        if !self.keys.admit(key, now) {
            return Err(Refusal::WrongKey { uuid: self.uuid.to_string() });
        }
        if self.state == State::Deactivated { Err(Refusal::Deactivated) } else { Ok(()) }
    }
}

/// What a registration asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The server.
    pub uuid: &'a Uuid,
    /// Its key.
    pub key: &'a Secret,
    /// Its host name.
    pub hostname: &'a str,
    /// Whom to write to.
    pub email: &'a str,
    /// The key from now on.
    pub new_key: Option<&'a Secret>,
}

/// What will be true afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationPlan {
    /// The registration.
    pub server: Registered,
    /// Whether it is new.
    pub novelty: Novelty,
    /// A host name that it no longer goes by.
    pub released: Option<String>,
    /// Whether the host name must be reserved before.
    pub claims_name: bool,
    /// Whether the address is another than before.
    pub checks_email: bool,
}

/// Whether a registration is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It is.
    Created,
    /// It was there.
    Updated,
}

/// Decides on a registration whose form is good. Only the current key may change anything: the old one is for requests
/// that were under way.
///
/// Errors: [`Refusal::RegisterWrongKey`], [`Refusal::RegisterDeactivated`].
pub fn decide_registration(
    now: Timestamp,
    known: Option<&Registered>,
    wish: Wish<'_>,
) -> Result<RegistrationPlan, Refusal> {
    let name = wish.hostname.to_lowercase();
    let Some(known) = known else {
        let server = Registered {
            uuid: wish.uuid.clone(),
            keys: Keys { current: KeyHash::of(wish.key.reveal()), old: None },
            hostname: wish.hostname.to_owned(),
            email: wish.email.to_owned(),
            state: State::Active,
            seen_at: Some(now),
            created_at: now,
        };
        let novelty = Novelty::Created;
        return Ok(RegistrationPlan { server, novelty, released: None, claims_name: true, checks_email: true });
    };
    let is_repeated =
        wish.new_key.is_some_and(|new| known.keys.current.matches(new) && known.keys.admit(wish.key, now));
    if !known.keys.current.matches(wish.key) && !is_repeated {
        return Err(Refusal::RegisterWrongKey { uuid: known.uuid.to_string() });
    }
    if known.state == State::Deactivated {
        return Err(Refusal::RegisterDeactivated);
    }
    let keys =
        wish.new_key.map_or_else(|| known.keys.clone(), |new| known.keys.rotated(KeyHash::of(new.reveal()), now));
    let old_name = known.hostname.to_lowercase();
    let is_moved = old_name != name;
    Ok(RegistrationPlan {
        server: Registered {
            keys,
            hostname: wish.hostname.to_owned(),
            email: wish.email.to_owned(),
            seen_at: Some(now),
            ..known.clone()
        },
        novelty: Novelty::Updated,
        released: is_moved.then_some(old_name),
        claims_name: is_moved,
        checks_email: known.email != wish.email,
    })
}
