//! Why a message was not followed. On a refusal nothing has changed.

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON, or nested too deeply.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// No `type`, or one that is not text.
    NoType,
    /// A `type` that nobody here understands, cut to a bounded length.
    UnknownType(String),
    /// A member that is not what it must be: message type, and the rest of the sentence.
    Malformed(&'static str, &'static str),
    /// Members that are absent or empty, in the protocol's words.
    Missing(&'static str),
    /// `peerId` is not an id.
    BadPeerId,
    /// `maxConnections` is out of range.
    BadConnectionsMax,
    /// `connectedCount` is out of range.
    BadConnectedCount,
    /// `publicKey` is no printable ASCII text of bounded length.
    BadPublicKey,
    /// The id is held by another socket.
    PeerIdTaken,
    /// The socket has another id already.
    OtherPeerId,
    /// The message speaks for somebody else.
    Mismatch,
    /// The socket has no identity to speak with.
    NotRegistered,
    /// More messages than a socket may send.
    TooManyMessages,
    /// More entries than a network may put in per minute.
    TooManyEntries,
    /// More points, tokens or chunks than one message may hold; the limit.
    TooManyInMessage(&'static str, usize),
    /// The object holds as much of this as it may.
    Full(&'static str),
    /// A chunk over the limit; its size in UTF-16 units.
    ChunkTooLarge(usize),
    /// The chunk's id is a hash, and not that of its data.
    WrongContent,
    /// The socket waits for as many chunks as it may, or announced as many.
    TooManyChunks(&'static str),
    /// The channel id is empty or too long.
    BadChannel,
    /// Another socket owns the channel.
    ChannelOwned,
    /// The socket owns or follows as many channels as it may.
    TooManyChannels,
    /// The speaker does not follow the channel.
    NotSubscribed,
    /// More upstream messages than a socket may send.
    UpstreamTooFast,
    /// An upstream message or stream frame over the limit.
    FrameTooLarge,
    /// The absent owner's queue is full.
    UpstreamQueueFull,
    /// The speaker does not own the channel.
    NotStreamOwner,
    /// The message is of a family that needs an attested socket.
    NotAttested,
}
