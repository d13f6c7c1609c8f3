//! Sockets of other rooms that attest: what is remembered of each, and what it may not do without a session.
//!
//! A session that was granted over a socket, or presented when the socket was opened, counts on that socket until it
//! expires, and no longer: the room does not read the version policy. So a build that is blocked meanwhile goes on for at
//! most the life of a session (`ATTEST_SESSION_TTL_MS`); the next challenge is refused.

use std::rc::Rc;

use super::session::Session;
use crate::kernel::errand::Ticket;
use crate::kernel::settings::AttestFamily;
use crate::kernel::time::Timestamp;

/// The least tier of a session that counts.
pub const TIER_MIN: u64 = 1;

/// How long a socket waits for the registry before it may ask again. An outcome can only be lost with the object's memory,
/// and then with everything else that was under way.
pub const PATIENCE_MS: u64 = 30_000;

/// What the registry was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A challenge.
    Challenge,
    /// A verdict on an answer.
    Verdict,
}

/// A question to the registry that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Asked {
    pub ticket: Ticket,
    pub step: Step,
    pub at: Timestamp,
}

/// A session, as far as it counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pass {
    pub tier: u64,
    pub expires_at: Timestamp,
}

/// What is remembered of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// When it was opened.
    pub came_at: Timestamp,
    /// The device that it asked for last, or whose session it has.
    pub device_id: Option<Rc<str>>,
    /// Its newest session.
    pub pass: Option<Pass>,
    /// What it waits for.
    pub asked: Option<Asked>,
}

impl Visitor {
    /// A socket that is opened now.
    #[must_use]
    pub const fn new(came_at: Timestamp) -> Self {
        Self { came_at, device_id: None, pass: None, asked: None }
    }

    /// It has a session, which takes the place of an older one.
    pub fn admit(&mut self, session: &Session) {
        self.device_id = Some(Rc::from(session.device_id.as_str()));
        self.pass = Some(Pass { tier: session.tier, expires_at: session.expires_at });
    }

    /// Whether it has a session that counts now.
    #[must_use]
    pub fn is_attested(&self, now: Timestamp) -> bool {
        self.pass.is_some_and(|pass| pass.tier >= TIER_MIN && pass.expires_at > now)
    }

    /// Whether it waits for the registry.
    #[must_use]
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.asked.is_some_and(|asked| now.since(asked.at) < PATIENCE_MS)
    }

    /// What it may not do now, out of what needs a session.
    #[must_use]
    pub fn barred<'a>(&self, required: &'a [AttestFamily], grace_ms: u64, now: Timestamp) -> &'a [AttestFamily] {
        if now < self.came_at.plus(grace_ms) || self.is_attested(now) { &[] } else { required }
    }
}
