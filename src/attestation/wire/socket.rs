//! Attestation over a WebSocket of the signaling or relay rooms: frames ↔ calls.
//!
//! The room remembers the device id that a socket has asked with ([`Asking::device_id`]) and gives it back with the
//! answer, which names none. See [`Porch`](crate::attestation::Porch).

use serde_json::{Map, Value, json};

use crate::attestation::session::{Demand, Session};
use crate::kernel::keys::SigningPair;
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;

use super::body::Body;
use super::session::read_session;

/// The close code of a socket whose answer was not good.
pub const CLOSE_FAILED: (u16, &str) = (4001, "Attestation failed");

/// The longest body of a call that a frame asks for; as on the routes. Units: bytes.
pub const ASKING_BYTES_MAX: usize = 16 * 1024;

/// The types of the frames that ask.
const TYPES: [&str; 2] = ["attest_request", "attest_response"];

/// Whether a frame of this `type` asks for something here, whatever else it holds.
#[must_use]
pub fn handles(kind: &str) -> bool {
    TYPES.contains(&kind)
}

/// Whether a frame could be one that asks: found out without reading it, for rooms whose frames are mostly others.
#[must_use]
pub fn may_be_asking(frame: &str) -> bool {
    frame.len() <= 2 * ASKING_BYTES_MAX && TYPES.iter().any(|kind| frame.contains(kind))
}

/// A call that a frame asks for, for the object `global` of the registry's class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// [`Operation::AttestChallenge`] or [`Operation::AttestVerify`].
    pub operation: Operation,
    /// Whom the frame is about; to be remembered with the socket.
    pub device_id: String,
    /// The body of the call.
    pub body: Vec<u8>,
}

/// The call that an `attest_request` or `attest_response` asks for. Nothing for frames of other types.
///
/// `remembered` is the device id of the socket's last `attest_request`, `audience` whom the session will be for.
#[must_use]
pub fn parse_asking(frame: &str, remembered: Option<&str>, audience: &str) -> Option<Asking> {
    let Ok(Value::Object(members)) = serde_json::from_str(frame) else { return None };
    let mut body = Body(members);
    let operation = match body.text("type").given()?.as_str() {
        "attest_request" => Operation::AttestChallenge,
        "attest_response" => Operation::AttestVerify,
        _ => return None,
    };
    let own = body.0.get("device_id").and_then(Value::as_str).or(remembered).unwrap_or_default().to_owned();
    let names: &[&str] = match operation {
        Operation::AttestChallenge => &["build_token", "build_version", "device_timestamp", "device_signature"],
        _ => &["nonce", "responses", "device_signature"],
    };
    let mut members: Map<String, Value> =
        names.iter().filter_map(|name| body.0.remove(*name).map(|value| ((*name).to_owned(), value))).collect();
    members.insert(String::from("device_id"), json!(own));
    if operation == Operation::AttestChallenge {
        members.insert(String::from("audience"), json!(audience));
    }
    Some(Asking { operation, device_id: own, body: Value::Object(members).to_string().into_bytes() })
}

/// What a socket is told, and whether it is closed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The frame.
    pub frame: String,
    /// Code and reason.
    pub close: Option<(u16, &'static str)>,
    /// The session that was issued; the socket has this from now on.
    pub session: Option<Session>,
}

/// The frame for the answer to a call of [`parse_asking`], which the front has followed to its end.
#[must_use]
pub fn encode_told(operation: Operation, reply: &Reply, keys: &[SigningPair], audience: &str, now: Timestamp) -> Told {
    let Body(members) = Body::of(serde_json::from_str(&reply.body).unwrap_or_default());
    let is_good = reply.status == 200;
    let member = |name: &str| members.get(name).cloned().unwrap_or_default();
    let told = |frame: Value| Told { frame: frame.to_string(), close: None, session: None };
    match operation {
        Operation::AttestChallenge if is_good => {
            told(json!({ "type": "attest_challenge", "nonce": member("nonce"), "regions": member("regions") }))
        }
        Operation::AttestChallenge => told(error(
            "Failed to get attestation challenge from bootstrap",
            &json!({ "code": member("code"), "detail": member("error") }),
        )),
        _ if is_good => {
            let session = member("session_token");
            let demand = Demand { audience, tier_min: 0, policy_epoch_min: 0 };
            let genuine = session_text(&session).and_then(|token| read_session(token, keys, demand, now).ok());
            Told { session: genuine, ..told(json!({ "type": "attest_success", "session_token": session })) }
        }
        // Our own trouble says nothing about the device.
        _ if reply.status >= 500 => told(error(
            "Failed to get attestation verdict from bootstrap",
            &json!({ "code": member("code"), "detail": member("error") }),
        )),
        _ => Told {
            close: Some(CLOSE_FAILED),
            ..told(json!({ "type": "attest_failed", "message": "Verification failed" }))
        },
    }
}

/// The token in a session, which is text or an object.
fn session_text(session: &Value) -> Option<&str> {
    session.as_str().or_else(|| session.get("token")?.as_str())
}

/// Why a frame was not even taken to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// [`ASKING_BYTES_MAX`].
    TooLong,
    /// The socket waits for the registry already.
    Waiting,
    /// Too many sockets do.
    Busy,
}

/// The frame for a question that was not asked.
#[must_use]
pub fn encode_unasked(why: Unasked) -> String {
    let (code, detail) = match why {
        Unasked::TooLong => ("too_large", "The message is too large"),
        Unasked::Waiting => ("conflict", "An attestation step of this socket is under way"),
        Unasked::Busy => ("at_capacity", "Too many attestations are under way"),
    };
    error("Attestation step not taken", &json!({ "code": code, "detail": detail })).to_string()
}

/// `attest_error` with a sentence and the registry's own words.
fn error(message: &str, detail: &Value) -> Value {
    json!({ "type": "attest_error", "message": message, "code": detail.get("code"), "detail": detail.get("detail") })
}
