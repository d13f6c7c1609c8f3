//! What the objects of this room say to one another. Calls carry [`crate::kernel::object::Principal::Service`]; no route
//! leads to these operations.
//!
//! | operation | from → to | body | good answer |
//! | --- | --- | --- | --- |
//! | `PartyAdmit` | front, party → identities | [`Admit`] | [`Admitted`]; else 401 in the room's envelope |
//! | `PartyClaim` | gateway → identities | [`Claim`] | [`Claimed`]; else 401, or 409 with [`Held`] |
//! | `PartyRelease` | gateway → identities | [`Release`] | `{}` |
//! | `PartyHolds` | gateway → gateway | [`Holds`] | [`Holding`] |
//! | `PartyMembership` | party → identities | [`Membership`] | `{}` |
//! | `PartyForward` | gateway → party | [`Forward`] | [`Forwarded`] |
//! | `PartyDeliver` | party → gateway | [`Deliver`] | [`Delivered`] |
//! | `PartyCensus` | party → directory | [`Census`] | `{}` |
//! | `PartyNews` | identities → gateway | [`PeerNews`] | `{}`; what gets lost is not repeated |
//!
//! All are idempotent: whoever asks repeats what was not answered.

use serde::{Deserialize, Serialize};

/// Who holds this token?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The token as the client sent it.
    pub token: String,
}

/// The holder of a token. Its use has extended it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Whose it is.
    pub peer_id: String,
}

/// A gateway's socket wants to speak for a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The peer.
    pub peer_id: String,
    /// The token of the socket's `auth` frame, if it had one; without one the claim is anonymous.
    pub token: Option<String>,
    /// The gateway's object name.
    pub gateway: String,
    /// Its connection.
    pub conn: u32,
    /// The client's network.
    pub network: String,
}

/// The socket speaks for the peer from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The peer.
    pub peer_id: String,
    /// The parties it is in, as far as they reported.
    pub parties: Vec<String>,
}

/// Another socket speaks for the peer. The gateway asks that socket's gateway whether it is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The refusal for the client.
    pub detail: String,
    /// The other socket's gateway.
    pub gateway: String,
    /// Its connection.
    pub conn: u32,
}

/// A socket no longer speaks for a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The peer.
    pub peer_id: String,
    /// The gateway's object name.
    pub gateway: String,
    /// Its connection.
    pub conn: u32,
}

/// Does your socket `conn` speak for this peer?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// The peer.
    pub peer_id: String,
    /// The connection.
    pub conn: u32,
}

/// The answer to [`Holds`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Whether it does.
    pub holds: bool,
}

/// A peer joined or left a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The peer.
    pub peer_id: String,
    /// The party.
    pub party_id: String,
    /// Which.
    pub state: MembershipState,
}

/// Whether a peer is in a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipState {
    /// It is a member.
    Joined,
    /// It is none.
    Left,
}

/// The peer of a gateway's socket joined or left a party, perhaps not over that socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNews {
    /// The connection.
    pub conn: u32,
    /// What is new.
    pub membership: Membership,
}

/// A message of a gateway's socket. The peer is [`crate::kernel::object::Call::caller`], the party the first of
/// `params`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// The gateway's object name.
    pub gateway: String,
    /// Its connection.
    pub conn: u32,
    /// What the socket wants.
    pub wish: ForwardWish,
}

/// What a gateway's socket wants of a party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardWish {
    /// A client's frame, as it came.
    Frame(String),
    /// The socket came back for a peer that is a member: subscribe it and send what it missed.
    Resume,
    /// The socket is gone.
    Gone,
}

/// What the socket is sent at once, in order, and whether it hears of the party from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// Frames for the socket.
    pub frames: Vec<String>,
    /// Whether the socket is subscribed to the party.
    pub subscribed: bool,
}

/// Frames for sockets of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// The party.
    pub party_id: String,
    /// What goes to whom, in order.
    pub parcels: Vec<Parcel>,
}

/// One frame for some sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// To whom.
    pub conns: Vec<u32>,
    /// The frame.
    pub text: String,
}

/// Which of the sockets exist no longer; the party forgets them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The connections.
    pub gone: Vec<u32>,
}

/// A party begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// The party.
    pub party_id: String,
    /// Which.
    pub state: CensusState,
}

/// Whether a party exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CensusState {
    /// It does.
    Begun,
    /// It does not.
    Ended,
}
