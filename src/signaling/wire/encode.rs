//! From an [`Event`] or a [`Refusal`] to a frame.
//!
//! Frames are written by hand, member by member: what is passed on goes in as the bytes it came as, and a relayed
//! message costs one string of the right size.

use crate::signaling::codes::Identity;
use crate::signaling::event::{Event, LinkEvent, Refusal, Role};
use crate::signaling::message::{CallFields, Dialect, Json};

/// Who we say we are. No setting names a server, and clients only show it.
pub const SERVER_ID: &str = "waystation";

/// Room for a frame's frame: braces, member names, two codes.
const SMALL: usize = 192;

/// The frame that tells `event`.
#[must_use]
pub fn encode(event: &Event<'_>) -> String {
    match event {
        Event::Signal { kind, from, payload } => {
            let frame = Object::new(kind.name(), SMALL + payload.map_or(0, |json| json.0.len()));
            frame.text("from", from).json_if("payload", *payload).end()
        }
        Event::Call { kind, from, fields, payload } => encode_call(kind.name(), from, fields, *payload),
        Event::Pong => Object::new("pong", 16).end(),
        Event::ServerInfo => Object::new("server_info", SMALL)
            .text("serverId", SERVER_ID)
            .text("endpoint", "")
            .json("region", "null")
            .end(),
        Event::Registered { code, dialect } => {
            let frame = Object::new("registered", SMALL).text("pairingCode", code);
            match dialect {
                Dialect::Lobby => frame.text("serverId", SERVER_ID).end(),
                Dialect::Room => frame.end(),
            }
        }
        Event::PairIncoming { from, expires_in_ms, proposed_name } => Object::new("pair_incoming", SMALL)
            .text("fromCode", &from.code)
            .text("fromPublicKey", &from.public_key)
            .number("expiresIn", *expires_in_ms)
            .json_if("proposedName", *proposed_name)
            .end(),
        Event::PairMatched { peer, role } => encode_match(peer, *role),
        Event::PairRejected { peer } => Object::new("pair_rejected", SMALL).text("peerCode", peer).end(),
        Event::PairExpiring { peer, remaining_s } => {
            Object::new("pair_expiring", SMALL).text("peerCode", peer).number("remainingSeconds", *remaining_s).end()
        }
        Event::PairTimeout { peer } => Object::new("pair_timeout", SMALL).text("peerCode", peer).end(),
        Event::PeerJoined { code } => Object::new("peer_joined", SMALL).text("pairingCode", code).end(),
        Event::PeerLeft { code } => Object::new("peer_left", SMALL).text("pairingCode", code).end(),
        Event::Link(event) => encode_link(event),
    }
}

fn encode_link(event: &LinkEvent<'_>) -> String {
    match event {
        LinkEvent::Asked { device, public_key, device_name, expires_in_ms } => Object::new("link_request", SMALL)
            .text("linkCode", device)
            .text("publicKey", public_key)
            .text("deviceName", device_name)
            .number("expiresIn", *expires_in_ms)
            .end(),
        LinkEvent::ToDevice { device, device_id } => Object::new("link_matched", SMALL)
            .text("linkCode", &device.code)
            .text("peerPublicKey", &device.public_key)
            .json("isInitiator", "true")
            .json_if("deviceId", *device_id)
            .end(),
        LinkEvent::ToBrowser { device, public_key, browser, device_name } => Object::new("link_matched", SMALL)
            .text("linkCode", device)
            .text("peerPublicKey", public_key)
            .json("isInitiator", "false")
            .text("webClientCode", browser)
            .text("deviceName", device_name)
            .end(),
        LinkEvent::Rejected { device } => Object::new("link_rejected", SMALL).text("linkCode", device).end(),
        LinkEvent::Timeout { device } => Object::new("link_timeout", SMALL).text("linkCode", device).end(),
    }
}

fn encode_match(peer: &Identity, role: Role) -> String {
    let is_initiator = match role {
        Role::Initiator => "true",
        Role::Responder => "false",
    };
    let pq_public_key = peer.pq_public_key.as_deref();
    let frame = Object::new("pair_matched", SMALL + pq_public_key.map_or(0, str::len))
        .text("peerCode", &peer.code)
        .text("peerPublicKey", &peer.public_key)
        .json("isInitiator", is_initiator);
    let frame = pq_public_key.into_iter().fold(frame, |frame, key| frame.text("peerPqPublicKey", key));
    let version = peer.protocol_version.map(u64::from);
    let frame = version.into_iter().fold(frame, |frame, version| frame.number("peerProtocolVersion", version));
    frame.json_if("peerSupportedKEMs", peer.supported_kems.as_deref().map(Json)).end()
}

/// The union of both forms, so that every client finds the members where it looks for them.
fn encode_call(kind: &'static str, from: &str, fields: &CallFields<'_>, payload: Option<Json<'_>>) -> String {
    let sizes = [fields.sdp, fields.candidate, fields.reason, fields.with_video];
    let flat: usize = sizes.iter().flatten().map(|json| json.0.len()).sum();
    let frame = Object::new(kind, 2 * SMALL + flat + payload.map_or(flat, |json| json.0.len()));
    let frame = frame.text("from", from).call(fields);
    match payload {
        Some(payload) => frame.json("payload", payload.0).end(),
        None => frame.open("payload").call(fields).end_inner().end(),
    }
}

/// The frame that answers a message which was not followed.
#[must_use]
pub fn encode_refusal(dialect: Dialect, refusal: &Refusal) -> String {
    match refusal {
        Refusal::CodeTaken if dialect == Dialect::Lobby => Object::new("code_collision", SMALL)
            .text("message", "Pairing code already in use. Please reconnect with a new code.")
            .end(),
        Refusal::PairUnprocessed => failure("pair_error", "Pair request could not be processed"),
        Refusal::NoPairRequest => failure("pair_error", "No pending request from this peer"),
        Refusal::LinkUnprocessed => failure("link_error", "Link request could not be processed"),
        Refusal::NoLinkRequest => failure("link_error", "No pending link request found"),
        other => Object::new("error", SMALL).text("message", &sentence(dialect, other)).end(),
    }
}

fn failure(kind: &'static str, error: &str) -> String {
    Object::new(kind, SMALL).text("error", error).end()
}

/// The words of edge-wire 2.1 and 2.3.
fn sentence(dialect: Dialect, refusal: &Refusal) -> String {
    let in_lobby = dialect == Dialect::Lobby;
    let fixed = match refusal {
        Refusal::NoType(said) if !in_lobby => return format!("Unknown message type: {said}"),
        Refusal::NotObject if !in_lobby => "Unknown message type: undefined",
        Refusal::NotJson if !in_lobby => "Invalid message format",
        Refusal::BadCode if !in_lobby => "Invalid pairing code",
        Refusal::NotRegistered if !in_lobby => "Not registered",
        Refusal::PeerNotFound(_) if !in_lobby => "Target peer not found",
        Refusal::NoType(_) => "Invalid message: Missing or invalid \"type\" field",
        Refusal::NotObject => "Invalid message: Message must be a JSON object",
        Refusal::NotJson => "Invalid message format: JSON parse error",
        Refusal::BadCode => "Invalid pairing code format",
        Refusal::NotRegistered => "Not registered. Send register message first.",
        Refusal::PeerNotFound(code) => return format!("Peer not found: {}", &**code),
        Refusal::UnknownType(said) => return format!("Unknown message type: {said}"),
        Refusal::Malformed(kind, what) => return format!("Invalid message: {kind}: {what}"),
        Refusal::Missing(name) => return format!("Missing required field: {name}"),
        Refusal::BadSdp(kind) => return format!("Missing or invalid sdp in {}", kind.name()),
        Refusal::MissingTargetOrPayload => "Missing target or payload",
        Refusal::BadKeyFormat => "Invalid public key format",
        Refusal::BadKeyLength => "Invalid public key length",
        Refusal::BadTarget => "Invalid target code format",
        Refusal::CodeTaken => "Pairing code already in use",
        Refusal::LinkOfAnother => "Cannot respond to link request for another device",
        Refusal::BadCallPayload => "Missing or invalid payload",
        Refusal::BadCallId => "Invalid or missing callId (must be UUID v4 format)",
        Refusal::SdpTooLarge => "SDP too large (max 65536 bytes)",
        Refusal::BadCandidate => "Missing or invalid candidate in call_ice",
        Refusal::CandidateTooLarge => "ICE candidate too large (max 1024 bytes)",
        Refusal::TooManyMessages => "Rate limit exceeded. Please slow down.",
        Refusal::TooManyPairRequests => "Too many pair requests. Please slow down.",
        Refusal::PairUnprocessed | Refusal::NoPairRequest | Refusal::LinkUnprocessed | Refusal::NoLinkRequest => {
            "Request could not be processed"
        }
    };
    String::from(fixed)
}

/// A JSON object that is being written. Member names are ours and need no escapes.
struct Object(String);

impl Object {
    /// An object with its `type`.
    fn new(kind: &'static str, capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push_str("{\"type\":\"");
        text.push_str(kind);
        text.push('"');
        Self(text)
    }

    fn name(&mut self, name: &'static str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn text(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        push_quoted(&mut self.0, value);
        self
    }

    fn json(mut self, name: &'static str, value: &str) -> Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    fn json_if(self, name: &'static str, value: Option<Json<'_>>) -> Self {
        match value {
            Some(json) => self.json(name, json.0),
            None => self,
        }
    }

    fn number(self, name: &'static str, value: u64) -> Self {
        let digits = value.to_string();
        self.json(name, &digits)
    }

    fn call(self, fields: &CallFields<'_>) -> Self {
        self.json("callId", fields.call_id.0)
            .json_if("sdp", fields.sdp)
            .json_if("withVideo", fields.with_video)
            .json_if("candidate", fields.candidate)
            .json_if("reason", fields.reason)
    }

    fn open(mut self, name: &'static str) -> Self {
        self.name(name);
        self.0.push('{');
        self
    }

    fn end_inner(mut self) -> Self {
        self.0.push('}');
        self
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Codes and keys hardly ever need an escape; then they are copied as they are.
fn push_quoted(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&crate::kernel::json::quote(text));
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}
