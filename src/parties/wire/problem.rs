//! The original's refusals: `{"detail": "…"}`, and a list of what is wrong with a body. Source: parties 1.2.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::kernel::reply::{Media, Reply};
use crate::parties::refusal::Refusal;

/// A refusal in the room's envelope.
#[must_use]
pub fn detail(status: u16, text: &str) -> Reply {
    answer(status, &json!({ "detail": text }))
}

/// 422 with everything that is wrong.
#[must_use]
pub fn invalid(list: &[Invalid]) -> Reply {
    answer(422, &json!({ "detail": list }))
}

/// A party's refusal.
#[must_use]
pub fn refuse(refusal: &Refusal) -> Reply {
    let reply = detail(status(refusal), &refusal.to_string());
    match refusal {
        Refusal::TooManyTries { retry_after_ms } => {
            reply.with_header("Retry-After", retry_after_ms.div_ceil(1_000).to_string())
        }
        _ => reply,
    }
}

const fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::NotHostPeerInfo
        | Refusal::NotPeerInfo
        | Refusal::NotRequestedPeer
        | Refusal::NotMember(_)
        | Refusal::NotHost
        | Refusal::Banned(_)
        | Refusal::PasswordNeeded(_)
        | Refusal::PasswordWrong
        | Refusal::InviteInvalid => 403,
        Refusal::PartyNotFound(_)
        | Refusal::PeerNotInParty(_)
        | Refusal::PeerNotFound(_)
        | Refusal::InviteNotFound(_)
        | Refusal::NotBanned(_) => 404,
        Refusal::PartyExists(_)
        | Refusal::Full(_)
        | Refusal::TooManyInvites
        | Refusal::TooManyBans
        | Refusal::HostBan => 409,
        Refusal::OtherParty(_) | Refusal::TooManyPeers => 422,
        Refusal::TooManyTries { .. } | Refusal::TooManySignals(_) => 429,
        Refusal::Busy => 503,
    }
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply { status, media: Media::Json, headers: Vec::new(), body: body.to_string() }
}

/// One thing that is wrong with a request. Clients rely on `type` and `loc` only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Invalid {
    /// What, in pydantic's words: `missing`, `string_too_long`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: `body` or `query`, then names of members.
    pub loc: Vec<String>,
    /// What, in a sentence.
    pub msg: String,
    /// The value found.
    pub input: Value,
    /// The limits in question.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub ctx: Map<String, Value>,
}

impl Invalid {
    /// Something wrong at a place.
    #[must_use]
    pub fn new(kind: &'static str, loc: Vec<String>, msg: impl Into<String>, input: Value) -> Self {
        Self { kind, loc, msg: msg.into(), input, ctx: Map::new() }
    }

    /// With a limit.
    #[must_use]
    pub fn with(mut self, name: &str, limit: impl Into<Value>) -> Self {
        self.ctx.insert(name.to_owned(), limit.into());
        self
    }

    /// A member that is not there.
    #[must_use]
    pub fn missing(loc: Vec<String>, input: Value) -> Self {
        Self::new("missing", loc, "Field required", input)
    }

    /// A body that is no JSON.
    #[must_use]
    pub fn not_json(position: usize) -> Self {
        let loc = vec![String::from("body"), position.to_string()];
        Self::new("json_invalid", loc, "JSON decode error", json!({})).with("error", "Invalid JSON")
    }

    /// In one line, for `error` frames.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.loc.join("."), self.msg)
    }
}
