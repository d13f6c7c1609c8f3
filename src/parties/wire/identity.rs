//! Registrations, revocations and what the objects ask of a peer's identity.

use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::body::{Chars, Members, parse_body};
use super::problem::{Invalid, detail, invalid};
use super::service::Held;
use crate::kernel::fault::Fault;
use crate::kernel::keys::{parse_32_bytes, parse_base64};
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;
use crate::parties::creation::{CreationError, is_party_id};
use crate::parties::identity::{ClaimRefusal, PEER_ID_CHARS_MAX, PeerIdError, Proof, Refusal, check_peer_id};
use crate::parties::naive::{Offset, render};
use crate::parties::peer::STAMP_CHARS_MAX;

/// The last value of a query parameter, decoded as a form's.
#[must_use]
pub fn query_value(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name).last().map(|(_, value)| value.into())
}

/// The peer id of a registration's query.
///
/// Errors: 422.
pub fn parse_peer_id(query: &str) -> Result<String, Reply> {
    let loc = vec![String::from("query"), String::from("peer_id")];
    let Some(peer_id) = query_value(query, "peer_id") else {
        return Err(invalid(&[Invalid::missing(loc, Value::Null)]));
    };
    let wrong = match check_peer_id(&peer_id) {
        Ok(()) => return Ok(peer_id),
        Err(PeerIdError::TooShort) => {
            let msg = "String should have at least 1 character";
            Invalid::new("string_too_short", loc, msg, Value::from(peer_id)).with("min_length", 1)
        }
        Err(PeerIdError::TooLong) => {
            let msg = format!("String should have at most {PEER_ID_CHARS_MAX} characters");
            Invalid::new("string_too_long", loc, msg, Value::from(peer_id)).with("max_length", PEER_ID_CHARS_MAX)
        }
    };
    Err(invalid(&[wrong]))
}

/// The signature of a registration's body. The original takes no body and ignores any, so nothing else in it matters.
///
/// Errors: what is wrong with the three members.
pub fn parse_proof(bytes: &[u8]) -> Result<Option<Proof>, Vec<Invalid>> {
    let Ok(mut members) = parse_body(bytes) else { return Ok(None) };
    if !members.has("public_key") && !members.has("signature") {
        return Ok(None);
    }
    let public_key = read_bytes(&mut members, "public_key", |text| {
        parse_32_bytes(text).or_else(|| parse_base64(text)?.try_into().ok())
    });
    let signature = read_bytes(&mut members, "signature", parse_base64);
    let timestamp = members.integer("timestamp", 0, i64::MAX);
    let timestamp = Timestamp::from_millis(u64::try_from(timestamp).unwrap_or(0));
    let proof = public_key.zip(signature).map(|(public_key, signature)| Proof { public_key, signature, timestamp });
    members.finish(proof)
}

fn read_bytes<T>(members: &mut Members, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let had = members.wrong.len();
    let text = members.text(name, Chars { min: 1, max: 2 * STAMP_CHARS_MAX });
    if members.wrong.len() > had {
        return None;
    }
    let bytes = parse(&text);
    if bytes.is_none() {
        members.blame(name, "bytes_invalid_encoding", "Input should be an Ed25519 value in base64", text.into());
    }
    bytes
}

/// Whether a revocation is meant for all tokens of the peer.
#[must_use]
pub fn parse_revoke_all(bytes: &[u8]) -> RevokeWhich {
    #[derive(Deserialize)]
    struct Wish {
        all: bool,
    }
    match serde_json::from_slice::<Wish>(bytes) {
        Ok(Wish { all: true }) => RevokeWhich::All,
        _ => RevokeWhich::Shown,
    }
}

/// Which tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeWhich {
    /// The one that came with the request.
    Shown,
    /// All of the peer's.
    All,
}

/// The id that a request to begin a party asks for.
///
/// Errors: what is wrong with the member, or with the body as a whole.
pub fn parse_wanted_id(bytes: &[u8]) -> Result<Option<String>, Vec<Invalid>> {
    let mut members = parse_body(bytes)?;
    let wanted = members.optional_text("party_id", Chars { min: 12, max: 20 });
    if let Some(party_id) = wanted.as_ref().filter(|party_id| !is_party_id(party_id)) {
        let msg = "String should match pattern '^[0-9a-f]{12,20}$'";
        members.blame("party_id", "string_pattern_mismatch", msg, party_id.as_str().into());
    }
    members.finish(wanted)
}

/// The answer to a registration.
#[must_use]
pub fn encode_token(token: &str, peer_id: &str, ends_at: Timestamp) -> String {
    json!({ "token": token, "peer_id": peer_id, "expires_at": render(ends_at, Offset::UTC) }).to_string()
}

/// The answer to a revocation.
pub const REVOKED: &str = r#"{"status":"revoked"}"#;

/// The answer where there is nothing to say.
pub const DONE: &str = "{}";

/// The parameter of a release that does not come from the socket's own gateway.
pub const HEARSAY: &str = "hearsay";

/// What an object of ours was sent by another one.
///
/// Errors: [`Fault::Corrupt`], because nobody else calls these operations.
pub fn parse_service<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Corrupt(format!("a message between our objects: {error}")))
}

/// A refusal to give a token for `peer_id`.
#[must_use]
pub fn refuse_registration(peer_id: &str, refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::InUse => detail(409, &format!("Peer id {peer_id} is in use")),
        Refusal::Signature => detail(401, "Invalid signature"),
        Refusal::SignatureTime => detail(401, "Signature timestamp is too far from now"),
        Refusal::Replayed => detail(409, "This signed registration was used before"),
        Refusal::TooMany { retry_after_ms } => too_many("Too many registrations", *retry_after_ms),
        Refusal::Full => detail(503, "Too many peers").with_header("Retry-After", "60"),
    }
}

fn too_many(text: &str, retry_after_ms: u64) -> Reply {
    detail(429, text).with_header("Retry-After", retry_after_ms.div_ceil(1_000).to_string())
}

/// A refusal to begin a party.
#[must_use]
pub fn refuse_creation(error: CreationError) -> Reply {
    match error {
        CreationError::OtherBody => detail(422, "Idempotency-Key was used with another body"),
        CreationError::Key => detail(422, "Idempotency-Key must have 1 to 255 characters"),
        CreationError::TooMany { retry_after_ms } => too_many("Too many new parties", retry_after_ms),
    }
}

/// A refusal to let a socket speak for `peer_id`.
///
/// Errors: as [`Reply::json`].
pub fn refuse_claim(peer_id: &str, refusal: ClaimRefusal) -> Result<Reply, Fault> {
    Ok(match refusal {
        ClaimRefusal::TokenRequired => detail(401, "A token is needed"),
        ClaimRefusal::NotProven => detail(401, &format!("Peer id {peer_id} belongs to a token")),
        ClaimRefusal::Held(seat) => {
            let text = format!("Peer id {peer_id} is in use");
            let held = Held { detail: text, gateway: seat.gateway, conn: seat.conn };
            Reply { status: 409, ..Reply::json(&held)? }
        }
    })
}

/// Nobody knows this token.
pub const UNKNOWN_TOKEN: &str = "Invalid or expired token";

/// Somebody knew this token.
pub const ENDED_TOKEN: &str = "Token expired";

/// There is no key to make tokens with.
pub const NO_KEY: &str = "Party tokens are not configured";
