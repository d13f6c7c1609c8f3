//! Chunk messages. Which dialect a message is in shows in its shape: the younger one names a channel.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::{Members, Text, bounded, peer_id, text, whole};
use super::parse::{optional_channel, required_peer_id};
use crate::relay::content::{CHUNK_ID_CHARS_MAX, CHUNK_UNITS_MAX, claimed_hash, matches_hash};
use crate::relay::message::{Announced, Dialect, Json, Message, Route};
use crate::relay::refusal::Refusal;

/// Chunks of one announcement. Source: edge-wire 2.3.2.
const ANNOUNCED_MAX: usize = 100;

/// What is known of a chunk, under either spelling.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow)]
    chunk_id: Option<&'a RawValue>,
    #[serde(borrow)]
    routing_hash: Option<&'a RawValue>,
    #[serde(borrow, rename = "routing_hash")]
    routing_hash_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    sequence: Option<&'a RawValue>,
    #[serde(borrow)]
    chunk_index: Option<&'a RawValue>,
    #[serde(borrow, rename = "chunk_index")]
    chunk_index_snake: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    /// What it says of where the chunk stands; what is malformed is not known.
    fn route(&self) -> Route<'a> {
        let hash = self.routing_hash.or(self.routing_hash_snake);
        Route {
            routing_hash: bounded(hash, CHUNK_ID_CHARS_MAX, ("", "")).ok().flatten(),
            sequence: whole(self.sequence),
            chunk_index: whole(self.chunk_index.or(self.chunk_index_snake)),
        }
    }
}

pub(super) fn parse_announce<'a>(dialect: Dialect, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    const KIND: &str = "chunk_announce";
    let peer_id = required_peer_id(members)?;
    let channel = optional_channel(KIND, members)?;
    let missing = Refusal::Missing("Missing or empty chunks array");
    let Some(items) = members.chunks.and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok()) else {
        return Err(missing);
    };
    if items.is_empty() {
        return Err(missing);
    }
    if items.len() > ANNOUNCED_MAX {
        return Err(Refusal::TooManyInMessage("chunks", ANNOUNCED_MAX));
    }
    let needs_hash = dialect == Dialect::Registry && channel.is_none();
    let mut chunks = Vec::with_capacity(items.len());
    for item in items {
        let Ok(item) = serde_json::from_str::<Item<'_>>(item.get()) else { continue };
        let sentence = "chunkId must be a string of at most 256 characters";
        let Some(chunk_id) = bounded(item.chunk_id, CHUNK_ID_CHARS_MAX, (KIND, sentence))? else { continue };
        let route = item.route();
        if route.routing_hash.is_some() || !needs_hash {
            chunks.push(Announced { chunk_id, route });
        }
    }
    Ok(Message::ChunkAnnounce { peer_id, channel, chunks })
}

fn chunk_id<'a>(kind: &'static str, members: &Members<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    bounded(members.chunk_id, CHUNK_ID_CHARS_MAX, (kind, "chunkId must be a string of at most 256 characters"))
}

pub(super) fn parse_request<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    const KIND: &str = "chunk_request";
    let channel = optional_channel(KIND, members)?;
    let (peer_id, chunk_id) = (peer_id(members.peer_id)?, chunk_id(KIND, members)?);
    match chunk_id {
        Some(chunk_id) if peer_id.is_some() || channel.is_some() => {
            Ok(Message::ChunkRequest { peer_id, chunk_id, channel })
        }
        _ => Err(Refusal::Missing("Missing required fields: peerId, chunkId")),
    }
}

pub(super) fn parse_request_meta<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    const KIND: &str = "chunk_request_meta";
    let hash = members.routing_hash.or(members.routing_hash_snake);
    let sentence = "routingHash must be a string of at most 256 characters";
    let routing_hash = bounded(hash, CHUNK_ID_CHARS_MAX, (KIND, sentence))?;
    if routing_hash.is_none() {
        return Err(Refusal::Missing("Missing required field: routingHash"));
    }
    let sequence = whole(members.sequence);
    let chunk_index = whole(members.chunk_index.or(members.chunk_index_snake));
    let route = Route { routing_hash, sequence, chunk_index };
    let channel = optional_channel(KIND, members)?;
    Ok(Message::ChunkRequestMeta { peer_id: peer_id(members.peer_id)?, route, channel })
}

pub(super) fn parse_push<'a>(members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    const KIND: &str = "chunk_push";
    let channel = optional_channel(KIND, members)?;
    let (Some(chunk_id), Some(data)) = (chunk_id(KIND, members)?, members.data) else {
        return Err(Refusal::Missing("Missing required fields: chunkId, data"));
    };
    let json = data.get();
    // What JavaScript takes for nothing.
    if matches!(json, "\"\"" | "false" | "0" | "-0" | "0.0") {
        return Err(Refusal::Missing("Missing required fields: chunkId, data"));
    }
    let units = utf16_units(json);
    if units > CHUNK_UNITS_MAX {
        return Err(Refusal::ChunkTooLarge(units));
    }
    let item = if json.starts_with('{') { serde_json::from_str::<Item<'_>>(json).ok() } else { None };
    let route = item.map(|item| item.route()).unwrap_or_default();
    Ok(Message::ChunkPush { peer_id: peer_id(members.peer_id)?, chunk_id, channel, data: Json(json), route })
}

/// The length that JavaScript would see.
fn utf16_units(json: &str) -> usize {
    if json.is_ascii() { json.len() } else { json.encode_utf16().count() }
}

/// Whether `data` is what the chunk's id says; ids that are no hash say nothing.
#[must_use]
pub(in crate::relay) fn is_as_claimed(chunk_id: &str, data: Json<'_>) -> bool {
    let Some(claimed) = claimed_hash(chunk_id) else { return true };
    let raw = serde_json::from_str::<&RawValue>(data.0).ok();
    if let Text::Some(text) = text(raw) {
        return matches_hash(&claimed, [&*text, data.0]);
    }
    let members: std::collections::BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(data.0).unwrap_or_default();
    let texts = members.values().filter_map(|raw| match text(Some(raw)) {
        Text::Some(text) => Some(text),
        Text::None | Text::Other => None,
    });
    matches_hash(&claimed, [data.0]) || texts.into_iter().any(|text| matches_hash(&claimed, [&*text]))
}
