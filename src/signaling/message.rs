//! What a socket can say, in types. Borrowed from the frame it came in, so that payloads are passed on undecoded.

use std::borrow::Cow;
use std::fmt;

/// JSON text that was seen to be valid and is passed on byte for byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(pub &'a str);

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[json]")
    }
}

/// Whose rules and sentences a socket lives by; decided by the path it came in on.
///
/// Source: edge-wire 2.1 (`Room`) and 2.3.1 (`Lobby`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `/`, `/ws`, `/client`, `/signaling`: six-character codes, keys of 32 bytes, the servers' sentences.
    Lobby,
    /// `/signal/{room}`: any code, no key needed, the first Worker's sentences.
    Room,
}

/// Whether the speaker holds a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Registered,
    /// It does not.
    Stranger,
}

/// A peer's answer to a request of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Accept,
    /// No.
    Reject,
}

/// A message that is carried from one peer to another without being understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the messages' types")]
pub enum SignalKind {
    Offer,
    Answer,
    IceCandidate,
}

impl SignalKind {
    /// The `type` member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::IceCandidate => "ice_candidate",
        }
    }
}

/// A message of a voice or video call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the messages' types")]
pub enum CallKind {
    Offer,
    Answer,
    Reject,
    Hangup,
    Ice,
}

impl CallKind {
    /// The `type` member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offer => "call_offer",
            Self::Answer => "call_answer",
            Self::Reject => "call_reject",
            Self::Hangup => "call_hangup",
            Self::Ice => "call_ice",
        }
    }
}

/// `register` with a pairing code.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration<'a> {
    /// In which words the answer is wanted.
    pub dialect: Dialect,
    /// The code asked for.
    pub code: Cow<'a, str>,
    /// Empty where the dialect does not ask for one.
    pub public_key: Cow<'a, str>,
    /// The post-quantum key of newer clients, passed on to the matched peer.
    pub pq_public_key: Option<Cow<'a, str>>,
    /// Passed on to the matched peer.
    pub protocol_version: Option<u32>,
    /// A JSON array of texts, passed on to the matched peer.
    pub supported_kems: Option<Json<'a>>,
}

/// The members of a call message that newer and older clients put in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallFields<'a> {
    /// A UUID version 4, as JSON text.
    pub call_id: Json<'a>,
    /// The session description.
    pub sdp: Option<Json<'a>>,
    /// Whether video is wanted.
    pub with_video: Option<Json<'a>>,
    /// The candidate.
    pub candidate: Option<Json<'a>>,
    /// Why a call was declined.
    pub reason: Option<Json<'a>>,
}

/// One message. Printed by its kind only: the rest names codes.
#[derive(Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A sign of life that wants one back.
    Ping,
    /// Take a code.
    Register(Registration<'a>),
    /// Ask the holder of a code to pair.
    PairRequest {
        /// Whom.
        target: Cow<'a, str>,
        /// The name the asker wants to be shown under.
        proposed_name: Option<Json<'a>>,
    },
    /// Answer somebody's [`Message::PairRequest`].
    PairResponse {
        /// Who had asked.
        requester: Cow<'a, str>,
        /// The answer.
        answer: Answer,
    },
    /// Carry this to a peer.
    Signal {
        /// Which type.
        kind: SignalKind,
        /// To whom.
        target: Cow<'a, str>,
        /// What.
        payload: Option<Json<'a>>,
    },
    /// Carry this call message to a peer.
    Call {
        /// Which type.
        kind: CallKind,
        /// To whom.
        target: Cow<'a, str>,
        /// The members, wherever they stood.
        fields: CallFields<'a>,
        /// The nested form, when it came nested.
        payload: Option<Json<'a>>,
    },
    /// A browser asks the device that holds a code to be linked.
    LinkRequest {
        /// The device's code.
        device: Cow<'a, str>,
        /// The browser's key for this link.
        public_key: Cow<'a, str>,
        /// What the browser calls itself.
        device_name: Cow<'a, str>,
    },
    /// The device answers.
    LinkResponse {
        /// The device's own code.
        device: Cow<'a, str>,
        /// The answer.
        answer: Answer,
        /// The device's id, passed on.
        device_id: Option<Json<'a>>,
    },
}

impl Message<'_> {
    /// The code that this message tries to reach without having been spoken to, if any.
    #[must_use]
    pub fn reaches_for(&self) -> Option<&str> {
        match self {
            Self::PairRequest { target, .. } | Self::Signal { target, .. } | Self::Call { target, .. } => Some(target),
            Self::LinkRequest { device, .. } => Some(device),
            Self::Ping | Self::Register(_) | Self::PairResponse { .. } | Self::LinkResponse { .. } => None,
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ping => "ping",
            Self::Register(_) => "register",
            Self::PairRequest { .. } => "pair_request",
            Self::PairResponse { .. } => "pair_response",
            Self::Signal { kind, .. } => kind.name(),
            Self::Call { kind, .. } => kind.name(),
            Self::LinkRequest { .. } => "link_request",
            Self::LinkResponse { .. } => "link_response",
        })
    }
}
