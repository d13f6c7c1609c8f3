//! Why a party says no, in the words that clients know. Source: parties 1.4 and 1.5, and section 7 for what is new.

use std::fmt;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences below say it")]
pub enum Refusal {
    PartyNotFound(String),
    PartyExists(String),
    /// A message names another party than the one it was sent to.
    OtherParty(String),
    PeerNotInParty(String),
    PeerNotFound(String),
    NotHostPeerInfo,
    NotPeerInfo,
    NotRequestedPeer,
    NotMember(String),
    NotHost,
    Banned(String),
    PasswordNeeded(String),
    PasswordWrong,
    InviteInvalid,
    /// Units: milliseconds.
    TooManyTries {
        retry_after_ms: u64,
    },
    Full(String),
    TooManyInvites,
    InviteNotFound(String),
    TooManyBans,
    HostBan,
    NotBanned(String),
    TooManySignals(String),
    TooManyPeers,
    /// More is waiting to be told to other objects than may wait.
    Busy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartyNotFound(party) => write!(f, "Party {party} not found"),
            Self::PartyExists(party) => write!(f, "Party {party} already exists"),
            Self::OtherParty(party) => write!(f, "This is party {party}"),
            Self::PeerNotInParty(peer) => write!(f, "Peer {peer} not in party"),
            Self::PeerNotFound(peer) => write!(f, "Peer {peer} not found"),
            Self::NotHostPeerInfo => f.write_str("Token peer_id does not match host_peer_info.peer_id"),
            Self::NotPeerInfo => f.write_str("Token peer_id does not match peer_info.peer_id"),
            Self::NotRequestedPeer => f.write_str("Token peer_id does not match requested peer_id"),
            Self::NotMember(party) => write!(f, "Not a member of party {party}"),
            Self::NotHost => f.write_str("Only the host may do this"),
            Self::Banned(party) => write!(f, "Banned from party {party}"),
            Self::PasswordNeeded(party) => write!(f, "Party {party} needs a password or an invite"),
            Self::PasswordWrong => f.write_str("Wrong password"),
            Self::InviteInvalid => f.write_str("Invalid or expired invite"),
            Self::TooManyTries { .. } => f.write_str("Too many wrong passwords or invites, try again later"),
            Self::Full(party) => write!(f, "Party {party} is full"),
            Self::TooManyInvites => f.write_str("Too many invites"),
            Self::InviteNotFound(code) => write!(f, "Invite {code} not found"),
            Self::TooManyBans => f.write_str("Too many bans"),
            Self::HostBan => f.write_str("The host cannot be banned"),
            Self::NotBanned(peer) => write!(f, "Peer {peer} is not banned"),
            Self::TooManySignals(party) => write!(f, "Too many signals wait in party {party}"),
            Self::TooManyPeers => f.write_str("Name one or two peers"),
            Self::Busy => f.write_str("Too busy, try again later"),
        }
    }
}
