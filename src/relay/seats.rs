//! Who a socket is: the one peer id it speaks for, and the session that its stored rows belong to.

use std::collections::HashMap;
use std::rc::Rc;

use super::message::Dialect;
use super::refusal::Refusal;
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::object::Conn;
use crate::kernel::settings::AttestFamily;

/// Characters of a peer id. Source: edge-wire section 8, decision 9.
pub const PEER_ID_CHARS_MAX: usize = 128;

/// Whether `text` is 1 to 128 of `[A-Za-z0-9_-]`.
#[must_use]
pub fn is_peer_id(text: &str) -> bool {
    let fits = (1..=PEER_ID_CHARS_MAX).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether `text` has the form of a pairing code of the lobby. Source: edge-wire 2.3.1.
#[must_use]
pub fn is_code_shaped(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789".contains(&byte))
}

/// Who is speaking, as the host of the socket knows it.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// The socket.
    pub conn: Conn,
    /// The pairing code that the host has seen to be the socket's alone.
    pub code: Option<&'a str>,
    /// Where it comes from.
    pub network: &'a crate::kernel::network::ClientNetwork,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// What it may not do, because it has not attested.
    pub barred: &'a [AttestFamily],
}

/// One life of one socket, as far as the desk has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Whose stored rows are whose. Limits: 52 random bits, never 0.
    pub session: u64,
    /// How the socket is spoken to.
    pub dialect: Dialect,
    /// The id it speaks for, once it has named one.
    pub peer_id: Option<Rc<str>>,
    /// The state of its quota of upstream messages. Units: microseconds since the epoch.
    pub upstream_free_at_us: u64,
}

/// All seats of one desk.
#[derive(Debug, Default)]
pub struct Seats {
    by_conn: HashMap<Conn, Seat>,
    conn_by_session: HashMap<u64, Conn>,
    conn_by_peer_id: HashMap<Rc<str>, Conn>,
}

impl Seats {
    /// Takes a seat as it was before the memory went away.
    pub fn restore(&mut self, conn: Conn, seat: Seat) {
        self.conn_by_session.insert(seat.session, conn);
        if let Some(peer_id) = &seat.peer_id {
            self.conn_by_peer_id.insert(peer_id.clone(), conn);
        }
        self.by_conn.insert(conn, seat);
    }

    /// The socket's seat, if it has one.
    #[must_use]
    pub fn get(&self, conn: Conn) -> Option<&Seat> {
        self.by_conn.get(&conn)
    }

    /// The socket's seat; a new one when it has none.
    pub fn take(&mut self, entropy: &mut dyn Entropy, speaker: &Speaker<'_>) -> &mut Seat {
        let Self { by_conn, conn_by_session, .. } = self;
        by_conn.entry(speaker.conn).or_insert_with(|| {
            let session = (u64::from_le_bytes(random_bytes(entropy)) >> 12).max(1);
            conn_by_session.insert(session, speaker.conn);
            Seat { session, dialect: speaker.dialect, peer_id: None, upstream_free_at_us: 0 }
        })
    }

    /// The connected socket of a session.
    #[must_use]
    pub fn conn(&self, session: u64) -> Option<Conn> {
        self.conn_by_session.get(&session).copied()
    }

    /// The connected socket that speaks for `peer_id`.
    #[must_use]
    pub fn conn_of(&self, peer_id: &str) -> Option<Conn> {
        self.conn_by_peer_id.get(peer_id).copied()
    }

    /// Whether the socket contradicts itself by speaking for `peer_id`.
    ///
    /// Errors: [`Refusal::Mismatch`].
    pub fn check(&self, speaker: &Speaker<'_>, peer_id: &str) -> Result<(), Refusal> {
        if speaker.code == Some(peer_id) {
            return Ok(());
        }
        match self.get(speaker.conn).and_then(|seat| seat.peer_id.as_deref()) {
            Some(own) if own == peer_id => Ok(()),
            Some(_) => Err(Refusal::Mismatch),
            // A code is an identity that others meet by, so only its holder may speak for it.
            None if speaker.dialect == Dialect::Lobby && is_code_shaped(peer_id) => Err(Refusal::Mismatch),
            None => Ok(()),
        }
    }

    /// Whether the socket may speak for `peer_id` from now on.
    ///
    /// Errors: [`Refusal::Mismatch`] when it speaks for somebody else; [`Refusal::PeerIdTaken`] when another socket
    /// does for this one.
    pub fn check_claim(&self, speaker: &Speaker<'_>, peer_id: &str) -> Result<(), Refusal> {
        self.check(speaker, peer_id)?;
        match self.conn_of(peer_id) {
            Some(holder) if holder != speaker.conn => Err(Refusal::PeerIdTaken),
            _ => Ok(()),
        }
    }

    /// Lets the socket speak for `peer_id`, which [`Self::check_claim`] has allowed. Its own code needs no claim.
    pub fn claim(&mut self, entropy: &mut dyn Entropy, speaker: &Speaker<'_>, peer_id: &str) {
        let seat = self.take(entropy, speaker);
        if speaker.code != Some(peer_id) && seat.peer_id.is_none() {
            let peer_id: Rc<str> = Rc::from(peer_id);
            seat.peer_id = Some(peer_id.clone());
            self.conn_by_peer_id.insert(peer_id, speaker.conn);
        }
    }

    /// The socket is gone.
    pub fn leave(&mut self, conn: Conn) -> Option<Seat> {
        let seat = self.by_conn.remove(&conn)?;
        self.conn_by_session.remove(&seat.session);
        if let Some(peer_id) = &seat.peer_id {
            self.conn_by_peer_id.remove(peer_id);
        }
        Some(seat)
    }

    /// The sessions of all connected sockets.
    #[must_use]
    pub fn sessions(&self) -> Vec<u64> {
        self.conn_by_session.keys().copied().collect()
    }

    /// Sockets with a seat.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_conn.len()
    }

    /// Whether nobody has a seat.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_conn.is_empty()
    }
}
