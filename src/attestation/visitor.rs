//! Sockets of other rooms that attest: what is remembered of each, and what it may not do without a session.
//!
//! A session that was granted over a socket, or presented when the socket was opened, counts on that socket until it
//! expires, or until the version policy no longer allows the device's build: when a socket does what needs a session, the
//! registry is asked again at most [`RECHECK_MS`] after it was asked last. Frames go on meanwhile.

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

/// How long what the registry said of the version policy counts. An operator who blocks a build is obeyed within a minute:
/// after this, and one frame. Units: milliseconds.
pub const RECHECK_MS: u64 = 30_000;

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
    /// When the policy allowed the build last.
    pub checked_at: Timestamp,
}

/// The question whether a device's build is still allowed, on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Doubt {
    pub ticket: Ticket,
    pub at: Timestamp,
}

/// What the registry says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Whether the session goes on. It does for a device that has been displaced: it was good when it was issued.
    pub outlook: Outlook,
    /// When the last change of the policy took effect, by an operator or by a sunset.
    pub changed_at: Timestamp,
}

/// Whether a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Outlook {
    GoesOn,
    Ends,
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
    /// Whether its session is being looked into, of which its client knows nothing.
    pub doubt: Option<Doubt>,
}

impl Visitor {
    /// A socket that is opened now.
    #[must_use]
    pub const fn new(came_at: Timestamp) -> Self {
        Self { came_at, device_id: None, pass: None, asked: None, doubt: None }
    }

    /// It has a session, which takes the place of an older one.
    pub fn admit(&mut self, session: &Session) {
        // What is said of an older session is not said of this one.
        self.doubt = None;
        self.device_id = Some(Rc::from(session.device_id.as_str()));
        let Session { tier, expires_at, issued_at, .. } = *session;
        self.pass = Some(Pass { tier, expires_at, checked_at: issued_at });
    }

    /// It asks for a challenge for a device. A session of another device ends, so that whoever is asked about is always the
    /// session's own device.
    pub fn announce(&mut self, device_id: &str) {
        if self.device_id.as_deref() != Some(device_id) {
            self.device_id = Some(Rc::from(device_id));
            (self.pass, self.doubt) = (None, None);
        }
    }

    /// The device whose standing must be asked for before long. `heard_at` is when the registry was heard last, `changed_at`
    /// when it said that the policy had changed.
    #[must_use]
    pub fn in_doubt(&self, heard_at: Option<Timestamp>, changed_at: Timestamp, now: Timestamp) -> Option<&str> {
        let is_asked = self.doubt.is_some_and(|doubt| now.since(doubt.at) < PATIENCE_MS);
        let pass = self.pass.filter(|_| self.is_attested(now) && !is_asked)?;
        let is_old = |at: Timestamp| now.since(at) >= RECHECK_MS;
        let is_outdated = pass.checked_at < changed_at;
        let is_due = is_outdated || (is_old(pass.checked_at) && heard_at.is_none_or(is_old));
        self.device_id.as_deref().filter(|_| is_due)
    }

    /// The registry has spoken.
    pub fn settle(&mut self, word: Word, now: Timestamp) {
        self.doubt = None;
        let checked_at = now.max(word.changed_at);
        self.pass = match word.outlook {
            Outlook::GoesOn => self.pass.map(|pass| Pass { checked_at, ..pass }),
            Outlook::Ends => None,
        };
    }

    /// Whether it has a session that counts now.
    #[must_use]
    pub fn is_attested(&self, now: Timestamp) -> bool {
        self.pass.is_some_and(|pass| pass.tier >= TIER_MIN && pass.expires_at > now)
    }

    /// Whether `ticket` is the question that looks into its session.
    #[must_use]
    pub fn is_doubted_by(&self, ticket: Ticket, now: Timestamp) -> bool {
        self.doubt.is_some_and(|doubt| doubt.ticket == ticket && now.since(doubt.at) < PATIENCE_MS)
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
