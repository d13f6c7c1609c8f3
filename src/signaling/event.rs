//! What a socket can be told, in types; the words are in `wire`.

use std::rc::Rc;

use super::codes::{Code, Identity};
use super::message::{CallFields, CallKind, Dialect, Json, SignalKind};
use crate::kernel::object::Conn;

/// Something that a room wants done after it has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<'a> {
    /// Tell a socket something.
    Tell {
        /// Whom.
        to: Conn,
        /// What.
        event: Event<'a>,
    },
    /// What must outlive the memory changed for this socket.
    Keep(Conn),
}

/// Which of two matched peers opens the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that asked.
    Initiator,
    /// The one that accepted.
    Responder,
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the messages' members")]
pub enum Event<'a> {
    ServerInfo,
    Pong,
    Registered { code: Code, dialect: Dialect },
    PairIncoming { from: Rc<Identity>, expires_in_ms: u64, proposed_name: Option<Json<'a>> },
    PairMatched { peer: Rc<Identity>, role: Role },
    PairRejected { peer: Code },
    PairExpiring { peer: Code, remaining_s: u64 },
    PairTimeout { peer: Code },
    PeerJoined { code: Code },
    PeerLeft { code: Code },
    Signal { kind: SignalKind, from: Code, payload: Option<Json<'a>> },
    Call { kind: CallKind, from: Code, fields: CallFields<'a>, payload: Option<Json<'a>> },
    Link(LinkEvent<'a>),
}

/// One thing to say about a device link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the messages' members")]
pub enum LinkEvent<'a> {
    /// To the device: somebody asks.
    Asked {
        device: Code,
        public_key: Rc<str>,
        device_name: Rc<str>,
        expires_in_ms: u64,
    },
    /// To the browser: the device said yes.
    ToDevice {
        device: Rc<Identity>,
        device_id: Option<Json<'a>>,
    },
    /// To the device: that is whom you said yes to.
    ToBrowser {
        device: Code,
        public_key: Rc<str>,
        browser: Code,
        device_name: Rc<str>,
    },
    Rejected {
        device: Code,
    },
    Timeout {
        device: Code,
    },
}

/// Why a message was not followed. On a refusal nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON, or nested too deeply.
    NotJson,
    /// JSON, but not an object.
    NotObject,
    /// No `type`, or one that is not text; the type as text, as far as it goes.
    NoType(String),
    /// A `type` that nobody here understands, cut to a bounded length.
    UnknownType(String),
    /// A member that is not what it must be: message type, and the rest of the sentence.
    Malformed(&'static str, &'static str),
    /// A member that is absent or empty.
    Missing(&'static str),
    /// An offer, answer or candidate without target or payload.
    MissingTargetOrPayload,
    /// The code to register is not a code.
    BadCode,
    /// The key is not base64.
    BadKeyFormat,
    /// The key is not 32 bytes.
    BadKeyLength,
    /// The code to reach is not a code.
    BadTarget,
    /// The speaker holds no code.
    NotRegistered,
    /// The code is held by another socket.
    CodeTaken,
    /// The code to reach is not here; the code as the speaker wrote it, cut to a bounded length.
    PeerNotFound(Code),
    /// The pair request reaches nobody; deliberately says no more.
    PairUnprocessed,
    /// There is nothing to answer.
    NoPairRequest,
    /// The link request reaches nobody; deliberately says no more.
    LinkUnprocessed,
    /// There is nothing to answer.
    NoLinkRequest,
    /// A device answered for another.
    LinkOfAnother,
    /// A call message's `payload` is missing or no object.
    BadCallPayload,
    /// A call message's `callId` is no UUID version 4.
    BadCallId,
    /// A call offer or answer without description.
    BadSdp(CallKind),
    /// A description over the limit.
    SdpTooLarge,
    /// A call candidate that is no text.
    BadCandidate,
    /// A candidate over the limit.
    CandidateTooLarge,
    /// More messages than a socket may send.
    TooManyMessages,
    /// More guesses than a network may make.
    TooManyPairRequests,
}

impl Refusal {
    /// Whether the speaker named a code that it could not reach: what a guesser's misses look like.
    #[must_use]
    pub const fn is_miss(&self) -> bool {
        matches!(self, Self::PeerNotFound(_) | Self::PairUnprocessed | Self::LinkUnprocessed)
    }
}
