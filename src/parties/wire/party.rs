//! A party in JSON, and what is asked and answered about it over HTTP.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::body::{Chars, Members, parse_body};
use super::peer::{PeerBody, read_change, read_introduction};
use super::problem::Invalid;
use crate::kernel::json::quote;
use crate::kernel::time::Timestamp;
use crate::parties::bans::BAN_S_MAX;
use crate::parties::candidates::{LATENCIES_MAX, LATENCY_MS_MAX, Latencies, RELAY_ID_CHARS_MAX};
use crate::parties::ears::Ears;
use crate::parties::invites::{EXPIRES_IN_S, EXPIRES_IN_S_MAX, Invite, USES_MAX, normalize};
use crate::parties::liveness::last_seen;
use crate::parties::naive::{Offset, render};
use crate::parties::party::{PARTY_NAME_CHARS_MAX, PEERS_MAX, PEERS_MIN, Party, Promotion};
use crate::parties::password::PASSWORD_CHARS_MAX;
use crate::parties::peer::{Introduction, PEER_ID_CHARS_MAX, PeerChange};
use crate::parties::signals::{SIGNAL_BYTES_MAX, Sent, Signal};

/// A list of everything that is wrong.
pub type Wrong = Vec<Invalid>;

const PEER_ID: Chars = Chars { min: 1, max: PEER_ID_CHARS_MAX };
const PARTY_NAME: Chars = Chars { min: 1, max: PARTY_NAME_CHARS_MAX };
const PASSWORD: Chars = Chars { min: 1, max: PASSWORD_CHARS_MAX };

/// A party as it is answered: exactly five members, because a client that finds more drops it. Source: parties 1.3.
#[derive(Debug, Serialize)]
pub struct PartyBody<'a> {
    party_id: &'a str,
    name: &'a str,
    host_id: &'a str,
    created_at: String,
    peers: BTreeMap<&'a str, PeerBody<'a>>,
}

/// Who reads: by which clock, now.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The time.
    pub now: Timestamp,
    /// The reader's offset.
    pub offset: Offset,
}

impl<'a> PartyBody<'a> {
    /// The party for a reader.
    #[must_use]
    pub fn new(party: &'a Party, ears: &Ears, reader: Reader) -> Self {
        let peer = |peer_id: &'a String| {
            let member = party.members.get(peer_id)?;
            let seen_at = last_seen(reader.now, party, ears, peer_id);
            Some((peer_id.as_str(), PeerBody::new(&member.peer, seen_at, reader.offset)))
        };
        Self {
            party_id: &party.party_id,
            name: &party.name,
            host_id: &party.host_id,
            created_at: render(party.created_at, reader.offset),
            peers: party.members.keys().filter_map(peer).collect(),
        }
    }

    /// With a peer's `last_seen` as the peer itself wrote it.
    #[must_use]
    pub fn echoing(mut self, party: &'a Party, introduction: &Introduction) -> Self {
        if let Some(member) = party.members.get(&introduction.peer.peer_id) {
            let echo = PeerBody::stamped(&member.peer, introduction.last_seen.clone());
            self.peers.insert(member.peer.peer_id.as_str(), echo);
        }
        self
    }
}

/// The answer to creating.
#[derive(Debug, Serialize)]
pub struct Created<'a> {
    /// The party's id.
    pub party_id: &'a str,
    /// The party.
    pub party: PartyBody<'a>,
}

/// The answer to joining and to reading.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    /// The party.
    pub party: PartyBody<'a>,
}

/// `{"peers": …}`.
#[must_use]
pub fn encode_peers(party: &PartyBody<'_>) -> Value {
    json!({ "peers": party.peers })
}

/// `{"peer": …}`.
#[must_use]
pub fn encode_peer(party: &PartyBody<'_>, peer_id: &str) -> Value {
    json!({ "peer": party.peers.get(peer_id) })
}

/// `{"status": …}`.
#[must_use]
pub fn encode_status(status: &str) -> String {
    format!(r#"{{"status":{}}}"#, quote(status))
}

/// Everything that has no place in a compatible party.
#[must_use]
pub fn encode_details(party: &Party, ears: &Ears, now: Timestamp) -> Value {
    let members = party.members.iter().map(|(peer_id, member)| {
        json!({
            "peer_id": peer_id,
            "virtual_ip": party.leases.get(peer_id).map(|lease| lease.address()),
            "role": if *peer_id == party.host_id { "host" } else { "member" },
            "online": !ears.of_peer(peer_id).is_empty(),
            "last_seen_ms_ago": now.since(last_seen(now, party, ears, peer_id)),
            "public_ip": member.peer.public_ip,
            "public_port": member.peer.public_port,
        })
    });
    let members: Vec<Value> = members.collect();
    json!({
        "party_id": party.party_id,
        "host_id": party.host_id,
        "peers_max": party.peers_max,
        "has_password": party.password.is_some(),
        "promotion": party.promotion == Promotion::On,
        "server_time": now.to_iso(),
        "members": members,
    })
}

/// A party's settings.
#[must_use]
pub fn encode_settings(party: &Party) -> Value {
    json!({
        "party_id": party.party_id,
        "name": party.name,
        "peers_max": party.peers_max,
        "has_password": party.password.is_some(),
        "promotion": party.promotion == Promotion::On,
    })
}

/// What became of a signal.
#[must_use]
pub fn encode_sent(sent: Sent) -> String {
    encode_status(match sent {
        Sent::Pushed => "sent",
        Sent::Queued => "queued",
    })
}

/// A signal as its receiver reads it; `sent_at` by the reader's clock. The payload is JSON already.
fn encode_envelope(party_id: &str, signal: &Signal, offset: Offset) -> String {
    format!(
        r#"{{"party_id":{},"from_peer_id":{},"to_peer_id":{},"signal_data":{},"sent_at":{}}}"#,
        quote(party_id),
        quote(&signal.from_peer_id),
        quote(&signal.to_peer_id),
        signal.payload,
        quote(&render(signal.sent_at, offset)),
    )
}

/// `{"signals": […]}`.
#[must_use]
pub fn encode_signals(party_id: &str, signals: &[Signal], offset: Offset) -> String {
    let list: Vec<String> = signals.iter().map(|signal| encode_envelope(party_id, signal, offset)).collect();
    format!(r#"{{"signals":[{}]}}"#, list.join(","))
}

/// An invite.
#[must_use]
pub fn encode_invite(code: &str, invite: Invite) -> Value {
    json!({ "code": code, "expires_at": invite.expires_at.to_iso(), "uses_left": invite.uses_left })
}

/// A ban.
#[must_use]
pub fn encode_ban(peer_id: &str, until: Option<Timestamp>) -> Value {
    json!({ "peer_id": peer_id, "until": until.map(Timestamp::to_iso) })
}

/// What a new party is like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct Creation {
    pub name: String,
    pub host: Introduction,
}

/// Reads the body of `POST /parties`. An id in it was the front's business.
///
/// Errors: all that is wrong; so for every reader here.
pub fn parse_creation(body: &[u8]) -> Result<Creation, Wrong> {
    let mut members = parse_body(body)?;
    let name = members.text("name", PARTY_NAME);
    let host = read_inner(&mut members, "host_peer_info", read_introduction);
    finish_inner(members, host, |host| Creation { name, host })
}

/// Who wants to join, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct Joining {
    pub peer: Introduction,
    pub password: Option<String>,
    pub invite: Option<String>,
}

/// Reads the body of `POST /parties/{id}/join`. Its `party_id` is not compared with the path. Source: parties 1.5.
pub fn parse_joining(body: &[u8]) -> Result<Joining, Wrong> {
    let mut members = parse_body(body)?;
    members.text("party_id", Chars { min: 1, max: 256 });
    let peer = read_inner(&mut members, "peer_info", read_introduction);
    let (password, invite) = read_pass(&mut members);
    finish_inner(members, peer, |peer| Joining { peer, password, invite })
}

/// Password and invite, the latter as invites are kept.
pub(super) fn read_pass(members: &mut Members) -> (Option<String>, Option<String>) {
    let password = members.optional_text("password", PASSWORD);
    let invite = members.optional_text("invite", Chars { min: 1, max: 32 });
    (password, invite.map(|code| normalize(&code)))
}

/// An object within, read by `read`; what is wrong with it counts as wrong with the whole.
pub(super) fn read_inner<T>(outer: &mut Members, name: &str, read: impl FnOnce(&mut Members) -> T) -> Option<T> {
    let mut inner = outer.object(name)?;
    let value = read(&mut inner);
    outer.wrong.append(&mut inner.wrong);
    Some(value)
}

/// The whole, once its object within is there.
pub(super) fn finish_inner<T, U>(members: Members, inner: Option<T>, make: impl FnOnce(T) -> U) -> Result<U, Wrong> {
    match inner {
        Some(inner) => members.finish(()).map(|()| make(inner)),
        None => Err(members.wrong),
    }
}

/// A peer's new description, and the id in it if there is one.
pub fn parse_change(body: &[u8]) -> Result<(Option<String>, PeerChange), Wrong> {
    let mut members = parse_body(body)?;
    let peer_id = members.optional_text("peer_id", PEER_ID);
    let change = read_change(&mut members);
    members.finish((peer_id, change))
}

/// What becomes of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PasswordChange {
    Keep,
    Remove,
    Set(String),
}

/// What the host changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct SettingsChange {
    pub name: Option<String>,
    pub password: PasswordChange,
    pub peers_max: Option<u32>,
    pub promotion: Option<Promotion>,
}

/// Reads the body of `PUT /parties/{id}/settings`.
pub fn parse_settings(body: &[u8]) -> Result<SettingsChange, Wrong> {
    let mut members = parse_body(body)?;
    let name = members.optional_text("name", PARTY_NAME);
    let has_password = members.has("password");
    let password = match members.optional_text("password", PASSWORD) {
        Some(password) => PasswordChange::Set(password),
        None if has_password => PasswordChange::Remove,
        None => PasswordChange::Keep,
    };
    let peers_max = members.optional_integer("peers_max", i64::from(PEERS_MIN), i64::from(PEERS_MAX));
    let peers_max = peers_max.and_then(|peers_max| u32::try_from(peers_max).ok());
    let promotion = members.optional_truth("promotion");
    let promotion = promotion.map(|promotion| if promotion { Promotion::On } else { Promotion::Off });
    members.finish(SettingsChange { name, password, peers_max, promotion })
}

/// Reads the body of `POST /parties/{id}/signals`: to whom, and the data as JSON text.
pub fn parse_signal(body: &[u8]) -> Result<(String, String), Wrong> {
    let mut members = parse_body(body)?;
    let signal = read_signal(&mut members);
    members.finish(signal)
}

/// To whom a signal goes, and its data as JSON text; without data an empty object. Source: parties 2.3.
pub(super) fn read_signal(members: &mut Members) -> (String, String) {
    let to_peer_id = members.text("to_peer_id", PEER_ID);
    let data = match members.take("signal_data") {
        None | Some(Value::Null) => json!({}),
        Some(data @ Value::Object(_)) => data,
        Some(other) => {
            members.blame("signal_data", "dict_type", "Input should be a valid dictionary", other);
            json!({})
        }
    };
    let payload = data.to_string();
    if payload.len() > SIGNAL_BYTES_MAX {
        let msg = format!("Data should have at most {SIGNAL_BYTES_MAX} bytes");
        members.blame("signal_data", "too_long", msg, Value::Null);
    }
    (to_peer_id, payload)
}

/// Reads the body of `POST /parties/{id}/invites`, which may be empty.
pub fn parse_invite(body: &[u8], now: Timestamp) -> Result<Invite, Wrong> {
    let mut members = parse_body(if body.is_empty() { b"{}" } else { body })?;
    let (longest, most) = (i64::try_from(EXPIRES_IN_S_MAX).unwrap_or(i64::MAX), i64::from(USES_MAX));
    let expires_in_s = members.optional_integer("expires_in_s", 1, longest);
    let uses = members.optional_integer("uses", 1, most);
    let expires_in_s = expires_in_s.and_then(|s| u64::try_from(s).ok()).unwrap_or(EXPIRES_IN_S);
    let uses_left = uses.and_then(|uses| u32::try_from(uses).ok());
    members.finish(Invite { expires_at: now.plus(expires_in_s * 1_000), uses_left })
}

/// Reads the body of `POST /parties/{id}/bans`: who, and until when.
pub fn parse_ban(body: &[u8], now: Timestamp) -> Result<(String, Option<Timestamp>), Wrong> {
    let mut members = parse_body(body)?;
    let peer_id = members.text("peer_id", PEER_ID);
    let seconds = members.optional_integer("seconds", 1, i64::try_from(BAN_S_MAX).unwrap_or(i64::MAX));
    let until = seconds.and_then(|s| u64::try_from(s).ok()).map(|s| now.plus(s * 1_000));
    members.finish((peer_id, until))
}

/// Reads the body of `PUT …/latencies`.
pub fn parse_latencies(body: &[u8]) -> Result<Latencies, Wrong> {
    let mut members = parse_body(body)?;
    let latencies = read_inner(&mut members, "latencies", |inner| {
        let names = inner.names();
        if names.len() > LATENCIES_MAX {
            let msg = format!("Dictionary should have at most {LATENCIES_MAX} items");
            inner.wrong.push(Invalid::new(
                "too_long",
                vec![String::from("body"), String::from("latencies")],
                msg,
                Value::Null,
            ));
            return Latencies::new();
        }
        let mut latencies = Latencies::new();
        for name in names {
            let ms = inner.number(&name, f64::from(LATENCY_MS_MAX));
            if name.is_empty() || name.chars().count() > RELAY_ID_CHARS_MAX || name.chars().any(char::is_control) {
                inner.blame(&name, "string_pattern_mismatch", "Not a relay id", Value::Null);
            }
            latencies.insert(name, ms);
        }
        latencies
    });
    finish_inner(members, latencies, |latencies| latencies)
}
