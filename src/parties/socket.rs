//! A socket of the party's own: who it is, and how much it may say.

use crate::kernel::network::ClientNetwork;
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Sockets of one party: each member has two, and strangers may knock.
pub const SOCKETS_MAX: usize = 600;

/// Sockets of whoever is no member: who has not said who it is, and who has not joined.
pub const OUTSIDERS_MAX: usize = 64;

/// How long a socket may take to say who it is. Units: milliseconds.
pub const AUTH_MS: u64 = 10_000;

/// How long a socket may stay whose peer is no member (any more). Units: milliseconds.
pub const OUTSIDE_MS: u64 = 60_000;

/// What a socket may say.
pub const MESSAGES: Quota = Quota::per_minute(300);

/// Messages held while a token is looked at.
const HELD_MAX: usize = 8;

/// All of them. Units: bytes; the attachment holds 8,000 UTF-16 units and has escapes.
const HELD_BYTES_MAX: usize = 4_000;

/// Nothing more is held for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

/// Who a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has not said.
    Stranger,
    /// It has shown a token, which somebody else is looking at.
    Asked {
        /// What it has said since.
        held: Vec<String>,
    },
    /// This peer.
    Peer(String),
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// The party it was opened for.
    pub party_id: String,
    /// Where it comes from.
    pub network: ClientNetwork,
    /// The state of its message quota.
    pub free_at_us: u64,
    /// Who it is.
    pub standing: Standing,
    /// When it is closed unless it has said who it is, or has joined, by then.
    pub until: Option<Timestamp>,
}

impl Socket {
    /// Keeps a message until it is known who said it.
    ///
    /// Errors: [`NoRoom`], or there is nothing to wait for.
    pub fn hold(&mut self, text: &str) -> Result<(), NoRoom> {
        let Standing::Asked { held } = &mut self.standing else { return Err(NoRoom) };
        let bytes: usize = held.iter().map(String::len).sum();
        if held.len() >= HELD_MAX || bytes + text.len() > HELD_BYTES_MAX {
            return Err(NoRoom);
        }
        held.push(text.to_owned());
        Ok(())
    }
}
