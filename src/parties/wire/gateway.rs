//! Frames of parties' sockets, as far as a gateway reads them, and what is kept with a socket over hibernation.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::json::{to_ascii, to_json};
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::Conn;
use crate::kernel::reply::Reply;
use crate::parties::gateway::{Hold, Interest, Line, Manner, Origin, Question, Said, Step, Told, name_of};
use crate::parties::wire::service::{
    Claim, Claimed, Forward, ForwardWish, Forwarded, Held, Holding, Holds, Membership, MembershipState, Release,
};

/// Why a frame is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear(pub &'static str);

/// The members that a gateway looks at. What else a frame holds is for its party.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    party_id: Option<&'a RawValue>,
    #[serde(borrow)]
    peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    from_peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    peer: Option<&'a RawValue>,
    #[serde(borrow)]
    host_peer: Option<&'a RawValue>,
}

fn members(text: &str) -> Option<Members<'_>> {
    // Checked first, because a derived reader would take an array for an object's members in order.
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    if is_object { serde_json::from_str(text).ok() } else { None }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// Whether a socket's first frame makes it one of parties. No frame of signaling or relay does: theirs have other types,
/// but for `heartbeat`, and a relay's heartbeat names no party.
#[must_use]
pub fn is_of_parties(frame: &str) -> bool {
    let Some(members) = members(frame) else { return false };
    match text(members.kind).as_deref() {
        Some("auth" | "hello" | "register_party" | "join_party" | "leave_party") => true,
        Some("heartbeat" | "signal") => text(members.party_id).is_some(),
        _ => false,
    }
}

/// Reads a frame.
///
/// Errors: why it is not understood.
pub fn parse(frame: &str) -> Result<Said, Unclear> {
    let members = members(frame).ok_or(Unclear("Frames must be JSON objects"))?;
    let kind = text(members.kind).ok_or(Unclear("type must be a string"))?;
    if kind == "hello" {
        return Ok(Said::Auth { peer_id: None, token: None });
    }
    if kind == "auth" {
        let peer_id = optional(members.peer_id).map_err(|()| Unclear("peer_id must be a string or null"))?;
        let token = optional(members.token).map_err(|()| Unclear("token must be a string or null"))?;
        return Ok(Said::Auth { peer_id, token });
    }
    let (manner, peer_id) = match kind.as_str() {
        "register_party" => (Manner::Enter, Some(inner_peer(members.host_peer, "host_peer.peer_id must be a string")?)),
        "join_party" => (Manner::Enter, Some(inner_peer(members.peer, "peer.peer_id must be a string")?)),
        "leave_party" | "heartbeat" => {
            let peer_id = optional(members.peer_id).map_err(|()| Unclear("peer_id must be a string"))?;
            (Manner::Speak, peer_id)
        }
        "signal" => {
            let peer_id = optional(members.from_peer_id).map_err(|()| Unclear("from_peer_id must be a string"))?;
            (Manner::Speak, peer_id)
        }
        // What else a party understands is for the party to say.
        _ if members.party_id.is_some() => (Manner::Speak, None),
        _ => return Err(Unclear("Unknown message type")),
    };
    let party_id = text(members.party_id).ok_or(Unclear("party_id must be a string"))?;
    Ok(Said::ToParty { manner, party_id, peer_id })
}

fn optional(raw: Option<&RawValue>) -> Result<Option<String>, ()> {
    match raw {
        None => Ok(None),
        Some(raw) => serde_json::from_str(raw.get()).map_err(drop),
    }
}

fn inner_peer(peer: Option<&RawValue>, sentence: &'static str) -> Result<String, Unclear> {
    peer.and_then(|peer| members(peer.get())).and_then(|peer| text(peer.peer_id)).ok_or(Unclear(sentence))
}

/// An `error` frame.
#[must_use]
pub fn encode_error(message: &str) -> String {
    json!({ "type": "error", "message": message }).to_string()
}

/// The body of a question for another object.
///
/// Errors: as [`to_json`].
pub fn encode_question(origin: &Origin, question: Question) -> Result<String, Fault> {
    let own = || name_of(&origin.network);
    let forward = |conn: Conn, wish| to_json(&Forward { gateway: own(), conn: conn.0, wish });
    match question {
        Question::Claim { conn, peer_id, token, .. } => to_json(&Claim {
            peer_id,
            token,
            gateway: own(),
            conn: conn.0,
            network: origin.network.as_str().to_owned(),
        }),
        Question::Holds { conn, peer_id, .. } => to_json(&Holds { peer_id, conn }),
        Question::Release { gateway, conn, peer_id, .. } => {
            to_json(&Release { peer_id, gateway: gateway.unwrap_or_else(own), conn })
        }
        Question::Frame { conn, text, .. } => forward(conn, ForwardWish::Frame(text)),
        Question::Resume { conn, .. } => forward(conn, ForwardWish::Resume),
        Question::Gone { conn, .. } => forward(conn, ForwardWish::Gone),
        Question::Forget { party_id, peer_id } => {
            to_json(&Membership { peer_id, party_id, state: MembershipState::Left })
        }
    }
}

/// What came of the question of `step`.
#[must_use]
pub fn read_outcome(step: Option<&Step>, outcome: &Outcome) -> Told {
    let Outcome::Replied(reply) = outcome else { return Told::NoAnswer };
    match reply.status {
        200 => {}
        500 => return Told::NoAnswer,
        _ => return read_refusal(reply),
    }
    read_reply(step, &reply.body).unwrap_or(Told::NoAnswer)
}

fn read_reply(step: Option<&Step>, body: &str) -> Option<Told> {
    match step {
        // Without a line only a claim's answer matters; the others are told apart by what is asked.
        None | Some(Step::Claim { .. }) => match serde_json::from_str(body) {
            Ok(Claimed { peer_id, parties }) => Some(Told::Claimed { peer_id, parties }),
            Err(_) => Some(Told::Done),
        },
        Some(Step::AskHolder { .. }) => {
            let Holding { holds } = serde_json::from_str(body).ok()?;
            Some(Told::Holding(if holds { Hold::Still } else { Hold::NoLonger }))
        }
        Some(Step::ReleaseHolder { .. }) => Some(Told::Done),
        Some(Step::Resume { .. } | Step::Frame { .. }) => {
            let Forwarded { frames, subscribed } = serde_json::from_str(body).ok()?;
            let interest = if subscribed { Interest::Subscribed } else { Interest::None };
            Some(Told::Forwarded { frames, interest })
        }
    }
}

fn read_refusal(reply: &Reply) -> Told {
    if let Ok(Held { detail, gateway, conn }) = serde_json::from_str(&reply.body) {
        return Told::Held { detail, gateway, conn };
    }
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let detail = match body.get("detail") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.first().map(first_wrong).unwrap_or_default(),
        _ => format!("Refused with status {}", reply.status),
    };
    Told::Refused { status: reply.status, detail }
}

fn first_wrong(wrong: &Value) -> String {
    let place: Vec<&str> = wrong["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("{}: {}", place.join("."), wrong["msg"].as_str().unwrap_or("invalid"))
}

/// How an undecided socket was opened; what another room needs to open it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The request's id.
    pub request_id: String,
    /// The query string.
    pub query: String,
}

/// What is kept with a socket.
#[derive(Debug)]
pub struct Kept {
    /// How it was opened.
    pub door: Door,
    /// Its client network.
    pub network: ClientNetwork,
    /// The state of its message quota.
    pub free_at_us: u64,
    /// Its line, once its first message was one of parties.
    pub line: Option<Line>,
}

#[derive(Serialize, Deserialize)]
struct KeptBody {
    n: ClientNetwork,
    r: String,
    q: String,
    f: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    l: Option<LineBody>,
}

#[derive(Serialize, Deserialize)]
struct LineBody {
    peer: Option<String>,
    bound: u64,
    asked: u64,
    parties: Vec<String>,
    steps: Vec<StepBody>,
    ticket: Option<u32>,
    tries: u8,
    queue: Vec<String>,
    lost: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepBody {
    Claim(String, Option<String>, u8),
    AskHolder(String, String, String, u32, u8),
    ReleaseHolder(String, String, u32, u8),
    Resume(String),
    Frame(String, String),
}

/// The longest attachment that we write. What does not fit is forgotten if the memory goes away, and the client is told.
const KEPT_BYTES_MAX: usize = 15_000;

/// What is kept with a socket, in ASCII, because the platform counts two bytes per character otherwise.
///
/// Errors: as [`to_json`].
pub fn encode_kept(
    door: &Door,
    network: &ClientNetwork,
    free_at_us: u64,
    line: Option<&Line>,
) -> Result<String, Fault> {
    let body = |line| KeptBody {
        n: network.clone(),
        r: door.request_id.clone(),
        q: door.query.clone(),
        f: free_at_us,
        l: line,
    };
    let whole = to_ascii(to_json(&body(line.map(line_body)))?);
    if whole.len() <= KEPT_BYTES_MAX {
        return Ok(whole);
    }
    let short =
        line.map(|line| LineBody { steps: Vec::new(), ticket: None, queue: Vec::new(), lost: true, ..line_body(line) });
    Ok(to_ascii(to_json(&body(short))?))
}

fn line_body(line: &Line) -> LineBody {
    LineBody {
        peer: line.peer_id.clone(),
        bound: line.bound_stamp,
        asked: line.asked_stamp,
        parties: line.parties.iter().cloned().collect(),
        steps: line.steps.iter().cloned().map(step_body).collect(),
        ticket: line.ticket.map(|ticket| ticket.0),
        tries: line.tries,
        queue: line.queue.iter().map(|(_, text)| text.clone()).collect(),
        lost: line.has_lost,
    }
}

fn step_body(step: Step) -> StepBody {
    match step {
        Step::Claim { peer_id, token, claims } => StepBody::Claim(peer_id, token, claims),
        Step::AskHolder { peer_id, detail, gateway, conn, claims } => {
            StepBody::AskHolder(peer_id, detail, gateway, conn, claims)
        }
        Step::ReleaseHolder { peer_id, gateway, conn, claims } => {
            StepBody::ReleaseHolder(peer_id, gateway, conn, claims)
        }
        Step::Resume { party_id } => StepBody::Resume(party_id),
        Step::Frame { party_id, text } => StepBody::Frame(party_id, text),
    }
}

fn step(body: StepBody) -> Step {
    match body {
        StepBody::Claim(peer_id, token, claims) => Step::Claim { peer_id, token, claims },
        StepBody::AskHolder(peer_id, detail, gateway, conn, claims) => {
            Step::AskHolder { peer_id, detail, gateway, conn, claims }
        }
        StepBody::ReleaseHolder(peer_id, gateway, conn, claims) => {
            Step::ReleaseHolder { peer_id, gateway, conn, claims }
        }
        StepBody::Resume(party_id) => Step::Resume { party_id },
        StepBody::Frame(party_id, text) => Step::Frame { party_id, text },
    }
}

/// What [`encode_kept`] wrote.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub fn decode_kept(text: &str) -> Result<Kept, Fault> {
    let corrupt = |error| Fault::Corrupt(format!("a gateway socket's attachment: {error}"));
    let KeptBody { n, r, q, f, l } = serde_json::from_str(text).map_err(corrupt)?;
    let origin = Origin { network: n.clone(), request_id: r.clone() };
    let line = l.map(|body| Line {
        origin,
        peer_id: body.peer,
        bound_stamp: body.bound,
        asked_stamp: body.asked,
        parties: body.parties.into_iter().collect(),
        steps: body.steps.into_iter().map(step).collect(),
        ticket: body.ticket.map(Ticket),
        tries: body.tries,
        queue: body.queue.into_iter().filter_map(|text| Some((parse(&text).ok()?, text))).collect::<VecDeque<_>>(),
        has_lost: body.lost,
        early: Vec::new(),
    });
    Ok(Kept { door: Door { request_id: r, query: q }, network: n, free_at_us: f, line })
}
