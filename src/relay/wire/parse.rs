//! From a frame to a [`Message`], in one pass and without decoding what is only passed on.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::{Members, Text, bounded, is_shallow, is_within, number, peer_id, text};
pub(in crate::relay) use super::parse_chunk::is_as_claimed;
use super::parse_chunk::{parse_announce, parse_push, parse_request, parse_request_meta};
use crate::relay::channels::is_channel_id;
use crate::relay::message::{Dialect, Json, Message, StreamKind};
use crate::relay::peers::{
    CONNECTED_MAX, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, COUNT_DEFAULT, COUNT_MAX, PUBLIC_KEY_CHARS_MAX, Preference,
};
use crate::relay::refusal::Refusal;
use crate::relay::rendezvous::{DROP_CHARS_MAX, ENTRIES_MAX, ENTRY_CHARS_MAX, Point, RELAY_ID_CHARS_MAX, Registration};

/// The types that only a relay desk understands. `register` is ours when it has `peerId` and no `pairingCode`; `ping`
/// is everybody's.
const TYPES: [&str; 14] = [
    "update_load",
    "get_relays",
    "heartbeat",
    "register_rendezvous",
    "chunk_announce",
    "chunk_request",
    "chunk_request_meta",
    "chunk_push",
    "channel-owner-register",
    "channel-subscribe",
    "upstream-message",
    "stream-start",
    "stream-frame",
    "stream-end",
];

/// Whether messages of this `type` are for a relay desk, whatever else they hold.
#[must_use]
pub fn handles(kind: &str) -> bool {
    TYPES.contains(&kind)
}

/// Characters of an unknown type that are repeated to its sender.
const TYPE_CHARS_MAX: usize = 64;

/// Reads one text frame.
///
/// Errors: a [`Refusal`] that says what is wrong with it.
pub fn parse(dialect: Dialect, frame: &str) -> Result<Message<'_>, Refusal> {
    let members = match serde_json::from_str::<Members<'_>>(frame) {
        Ok(members) if is_shallow(frame) => members,
        Ok(_) => return Err(Refusal::NotJson),
        Err(_) if serde_json::from_str::<&RawValue>(frame).is_ok_and(|raw| !raw.get().starts_with('{')) => {
            return Err(Refusal::NotObject);
        }
        Err(_) => return Err(Refusal::NotJson),
    };
    let Text::Some(kind) = text(members.kind) else { return Err(Refusal::NoType) };
    match &*kind {
        "ping" => Ok(Message::Ping),
        "register" => parse_register(&members),
        "update_load" => parse_load(&members),
        "get_relays" => parse_get_relays(&members),
        "heartbeat" => Ok(Message::Heartbeat { peer_id: required_peer_id(&members)? }),
        "register_rendezvous" => parse_rendezvous(&members).map(Message::Rendezvous),
        "chunk_announce" => parse_announce(dialect, &members),
        "chunk_request" => parse_request(&members),
        "chunk_request_meta" => parse_request_meta(&members),
        "chunk_push" => parse_push(&members),
        "channel-owner-register" => Ok(Message::OwnChannel { channel: channel(&members)? }),
        "channel-subscribe" => Ok(Message::Subscribe { channel: channel(&members)? }),
        "upstream-message" => parse_upstream(&members, frame),
        "stream-start" => parse_stream(StreamKind::Start, &members, frame),
        "stream-frame" => parse_stream(StreamKind::Frame, &members, frame),
        "stream-end" => parse_stream(StreamKind::End, &members, frame),
        other => Err(Refusal::UnknownType(other.chars().take(TYPE_CHARS_MAX).collect())),
    }
}

pub(super) fn required_peer_id<'a>(members: &Members<'a>) -> Result<Cow<'a, str>, Refusal> {
    peer_id(members.peer_id)?.ok_or(Refusal::Missing("Missing required field: peerId"))
}

fn parse_register<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let peer_id = required_peer_id(members)?;
    let connections_max = match members.max_connections {
        None => CONNECTIONS_DEFAULT,
        Some(raw) => whole_within(raw, 1, CONNECTIONS_MAX).ok_or(Refusal::BadConnectionsMax)?,
    };
    let public_key = match text(members.public_key) {
        Text::None => None,
        Text::Some(key) if key.len() <= PUBLIC_KEY_CHARS_MAX && is_printable(&key) => Some(key),
        Text::Some(_) | Text::Other => return Err(Refusal::BadPublicKey),
    };
    Ok(Message::Register { peer_id, connections_max, public_key })
}

/// ASCII only, so that what is kept with the socket stays one byte per character; a key has no `"` or `\`.
fn is_printable(key: &str) -> bool {
    key.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\')
}

/// A number between `min` and `max`, cut to a whole one.
fn whole_within(raw: &RawValue, min: u32, max: u32) -> Option<u32> {
    let number = number(Some(raw))?;
    // In range by the comparison; the fraction is meant to go.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (f64::from(min)..=f64::from(max)).contains(&number).then_some(number as u32)
}

fn parse_load<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let peer_id = match peer_id(members.peer_id)? {
        // Today's apps name their channel source instead of their peer and must not be answered with an error.
        None if members.source_id.is_some() => None,
        None => return Err(Refusal::Missing("Missing required field: peerId")),
        some => some,
    };
    let connected = members.connected_count.and_then(|raw| whole_within(raw, 0, CONNECTED_MAX));
    match (connected, &peer_id) {
        (Some(connected), _) => Ok(Message::UpdateLoad { peer_id, connected }),
        (None, _) => Err(Refusal::BadConnectedCount),
    }
}

fn parse_get_relays<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let count = number(members.count).map_or(COUNT_DEFAULT, |count| {
        // Clamped first.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let count = count.clamp(1.0, COUNT_MAX as f64) as usize;
        count
    });
    let preference = match text(members.prefer) {
        Text::Some(prefer) if prefer == "balanced" => Preference::Balanced,
        _ => Preference::Shuffled,
    };
    Ok(Message::GetRelays { peer_id: peer_id(members.peer_id)?, count, preference })
}

const RENDEZVOUS: &str = "register_rendezvous";

fn parse_rendezvous<'a>(members: &Members<'a>) -> Result<Registration<'a>, Refusal> {
    let peer_id = required_peer_id(members)?;
    let relay_id = members.relay_id.or(members.relay_id_snake);
    let relay_id = bounded(relay_id, RELAY_ID_CHARS_MAX, (RENDEZVOUS, "relayId must be a string"))?;
    let points = members.daily_points.or(members.daily_points_snake);
    let points = entries(points, "daily points", "dailyPoints must be an array of strings")?;
    let tokens = members.hourly_tokens.or(members.hourly_tokens_snake);
    let tokens = entries(tokens, "hourly tokens", "hourlyTokens must be an array of strings")?;
    let one = members.dead_drop.or(members.dead_drop_snake);
    let one = bounded(one, DROP_CHARS_MAX, (RENDEZVOUS, "deadDrop must be a string of at most 4096 characters"))?;
    let drops = parse_drops(members.dead_drops.or(members.dead_drops_snake))?;
    let drop = |name: &str| drops.get(name).or(one.as_ref()).cloned().unwrap_or_default();
    let points = points.into_iter().map(|name| Point { dead_drop: drop(&name), name }).collect();
    Ok(Registration { peer_id, relay_id, points, tokens })
}

/// An array of points or tokens.
fn entries<'a>(
    raw: Option<&'a RawValue>,
    what: &'static str,
    sentence: &'static str,
) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let items: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Refusal::Malformed(RENDEZVOUS, sentence))?;
    if items.len() > ENTRIES_MAX {
        return Err(Refusal::TooManyInMessage(what, ENTRIES_MAX));
    }
    let entry = |item| match text(Some(item)) {
        Text::Some(entry) if is_within(&entry, ENTRY_CHARS_MAX) => Ok(entry),
        _ => Err(Refusal::Malformed(RENDEZVOUS, sentence)),
    };
    items.into_iter().map(entry).collect()
}

/// A text as a map's key or value, borrowed where it can be.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(transparent)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// The map form of dead drops.
fn parse_drops(raw: Option<&RawValue>) -> Result<HashMap<String, Cow<'_, str>>, Refusal> {
    const SENTENCE: &str = "deadDrops must be an object of strings of at most 4096 characters";
    let malformed = Refusal::Malformed(RENDEZVOUS, SENTENCE);
    let Some(raw) = raw else { return Ok(HashMap::new()) };
    let Ok(drops) = serde_json::from_str::<HashMap<Borrowed<'_>, &RawValue>>(raw.get()) else { return Err(malformed) };
    let drop = |(name, raw): (Borrowed<'_>, _)| {
        let drop = bounded(Some(raw), DROP_CHARS_MAX, (RENDEZVOUS, SENTENCE))?;
        Ok((name.0.into_owned(), drop.unwrap_or_default()))
    };
    drops.into_iter().map(drop).collect()
}

pub(super) fn optional_channel<'a>(kind: &'static str, members: &Members<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    match text(members.channel_id) {
        Text::None => Ok(None),
        Text::Some(id) if is_channel_id(&id) => Ok(Some(id)),
        Text::Some(_) => Err(Refusal::BadChannel),
        Text::Other => Err(Refusal::Malformed(kind, "channelId must be a string")),
    }
}

fn channel<'a>(members: &Members<'a>) -> Result<Cow<'a, str>, Refusal> {
    match text(members.channel_id) {
        Text::Some(id) if is_channel_id(&id) => Ok(id),
        _ => Err(Refusal::BadChannel),
    }
}

/// The only member of an upstream message's body that we look at.
#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

fn parse_upstream<'a>(members: &Members<'a>, frame: &'a str) -> Result<Message<'a>, Refusal> {
    let channel = channel(members)?;
    let Some(message) = members.message else {
        return Err(Refusal::Missing("Missing required field: message"));
    };
    let message_id = serde_json::from_str::<Identified<'_>>(message.get()).ok().and_then(|message| message.id);
    // An id is short; anything else is not repeated.
    let message_id = message_id.map(|id| Json(id.get())).filter(|id| id.0.len() <= 256);
    Ok(Message::Upstream { channel, message_id, frame })
}

fn parse_stream<'a>(kind: StreamKind, members: &Members<'a>, frame: &'a str) -> Result<Message<'a>, Refusal> {
    let channel = channel(members)?;
    let name = match kind {
        StreamKind::Start => "stream-start",
        StreamKind::Frame => "stream-frame",
        StreamKind::End => "stream-end",
    };
    let sentence = "streamId must be a string of 1 to 256 characters";
    let stream_id = bounded(members.stream_id, 256, (name, sentence))?;
    let stream_id = stream_id.ok_or(Refusal::Malformed(name, sentence))?;
    Ok(Message::Stream { kind, stream_id, channel, frame })
}
