//! What a socket can say to a relay desk, in types. Borrowed from the frame it came in, so that bodies are passed on
//! undecoded.

use std::borrow::Cow;

use super::peers::Preference;
use super::rendezvous::Registration;
use crate::kernel::settings::AttestFamily;

/// JSON text that was seen to be valid and is passed on byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(pub &'a str);

/// Whose sentences a socket expects; decided by the path it came in on.
///
/// Source: edge-wire 2.2 (`Registry`) and 2.3.2 (`Lobby`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/relay/…`: the first Worker's relay registry.
    Registry,
    /// The signaling paths: relay families beside pairing, on one socket.
    Lobby,
}

/// Where a chunk stands in what its author publishes, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route<'a> {
    /// The author's rotating address.
    pub routing_hash: Option<Cow<'a, str>>,
    /// The number of the publication.
    pub sequence: Option<u64>,
    /// The chunk's place in the publication.
    pub chunk_index: Option<u64>,
}

/// One chunk that a source says to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced<'a> {
    /// The chunk.
    pub chunk_id: Cow<'a, str>,
    /// What is known of it.
    pub route: Route<'a>,
}

/// What is said about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the messages' types")]
pub enum StreamKind {
    Start,
    Frame,
    End,
}

/// One message. Members called `frame` are the whole frame as it came, for those to whom it is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A sign of life that wants one back.
    Ping,
    /// Offer to relay for others.
    Register {
        /// The id to be known by.
        peer_id: Cow<'a, str>,
        /// How many connections it takes.
        connections_max: u32,
        /// Passed on to those who ask for relays.
        public_key: Option<Cow<'a, str>>,
    },
    /// How many connections a relay has.
    UpdateLoad {
        /// The relay; nothing when only today's apps' `sourceId` was given.
        peer_id: Option<Cow<'a, str>>,
        /// Connections.
        connected: u32,
    },
    /// Name some relays that have room.
    GetRelays {
        /// Who asks.
        peer_id: Option<Cow<'a, str>>,
        /// How many at most.
        count: usize,
        /// How to choose.
        preference: Preference,
    },
    /// Still here.
    Heartbeat {
        /// Who.
        peer_id: Cow<'a, str>,
    },
    /// Meeting points and tokens.
    Rendezvous(Registration<'a>),
    /// Chunks that the sender holds.
    ChunkAnnounce {
        /// Who.
        peer_id: Cow<'a, str>,
        /// Whose subscribers to tell.
        channel: Option<Cow<'a, str>>,
        /// Which.
        chunks: Vec<Announced<'a>>,
    },
    /// Send a chunk.
    ChunkRequest {
        /// Who wants it; nothing means whoever the socket is.
        peer_id: Option<Cow<'a, str>>,
        /// Which.
        chunk_id: Cow<'a, str>,
        /// Present in the younger dialect, and then in every answer.
        channel: Option<Cow<'a, str>>,
    },
    /// Send the chunk that stands there.
    ChunkRequestMeta {
        /// Who wants it; nothing means whoever the socket is.
        peer_id: Option<Cow<'a, str>>,
        /// Where it stands.
        route: Route<'a>,
        /// As in [`Message::ChunkRequest`].
        channel: Option<Cow<'a, str>>,
    },
    /// Here is a chunk.
    ChunkPush {
        /// Who sends it.
        peer_id: Option<Cow<'a, str>>,
        /// Which.
        chunk_id: Cow<'a, str>,
        /// As in [`Message::ChunkRequest`].
        channel: Option<Cow<'a, str>>,
        /// The chunk.
        data: Json<'a>,
        /// What the chunk says of itself.
        route: Route<'a>,
    },
    /// The sender publishes in this channel.
    OwnChannel {
        /// Which.
        channel: Cow<'a, str>,
    },
    /// The sender follows this channel.
    Subscribe {
        /// Which.
        channel: Cow<'a, str>,
    },
    /// A subscriber's word to the owner.
    Upstream {
        /// Which channel.
        channel: Cow<'a, str>,
        /// The message's own id, for the acknowledgement.
        message_id: Option<Json<'a>>,
        /// Everything.
        frame: &'a str,
    },
    /// An owner's live stream.
    Stream {
        /// What of it.
        kind: StreamKind,
        /// Which.
        stream_id: Cow<'a, str>,
        /// In which channel.
        channel: Cow<'a, str>,
        /// Everything.
        frame: &'a str,
    },
}

impl Message<'_> {
    /// The family that an operator can make need an attested socket; nothing for what everybody may say.
    ///
    /// Channels are in none: they carry what their members have encrypted, and no setting names them.
    #[must_use]
    pub const fn family(&self) -> Option<AttestFamily> {
        match self {
            Self::Register { .. }
            | Self::UpdateLoad { .. }
            | Self::GetRelays { .. }
            | Self::Heartbeat { .. }
            | Self::Rendezvous(_) => Some(AttestFamily::Relays),
            Self::ChunkAnnounce { .. }
            | Self::ChunkRequest { .. }
            | Self::ChunkRequestMeta { .. }
            | Self::ChunkPush { .. } => Some(AttestFamily::Chunks),
            Self::Ping
            | Self::OwnChannel { .. }
            | Self::Subscribe { .. }
            | Self::Upstream { .. }
            | Self::Stream { .. } => None,
        }
    }

    /// For whom the message speaks, when it says so.
    #[must_use]
    pub fn peer_id(&self) -> Option<&str> {
        match self {
            Self::Register { peer_id, .. } | Self::Heartbeat { peer_id } | Self::ChunkAnnounce { peer_id, .. } => {
                Some(peer_id)
            }
            Self::Rendezvous(registration) => Some(&registration.peer_id),
            Self::UpdateLoad { peer_id, .. }
            | Self::GetRelays { peer_id, .. }
            | Self::ChunkRequest { peer_id, .. }
            | Self::ChunkRequestMeta { peer_id, .. }
            | Self::ChunkPush { peer_id, .. } => peer_id.as_deref(),
            Self::Ping
            | Self::OwnChannel { .. }
            | Self::Subscribe { .. }
            | Self::Upstream { .. }
            | Self::Stream { .. } => None,
        }
    }
}
