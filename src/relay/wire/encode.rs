//! From what happened to frames, written by hand, member by member: what is passed on goes in as the bytes it came as.

use std::fmt::Write as _;

use crate::kernel::json::quote;
use crate::kernel::time::Timestamp;
use crate::relay::message::{Dialect, Json, Route};
use crate::relay::peers::{Peer, Totals};
use crate::relay::refusal::Refusal;
use crate::relay::rendezvous::{Found, Match};

/// Who we say we are, as in signaling: no setting names a server, and clients only show it.
const SERVER_ID: &str = "waystation";

/// A frame in the making: an object whose first member is its `type`.
struct Object(String);

impl Object {
    fn new(kind: &'static str, capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity + 64);
        text.push_str("{\"type\":\"");
        text.push_str(kind);
        text.push('"');
        Self(text)
    }

    fn json(mut self, name: &'static str, json: &str) -> Self {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
        self
    }

    fn text(self, name: &'static str, text: &str) -> Self {
        self.json(name, &quote(text))
    }

    fn text_if(self, name: &'static str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    fn number(self, name: &'static str, number: u64) -> Self {
        self.json(name, &number.to_string())
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON array of what `write` writes for each item.
fn array<T>(items: impl IntoIterator<Item = T>, write: impl Fn(&mut String, T)) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        write(&mut text, item);
    }
    text.push(']');
    text
}

/// `pong`.
#[must_use]
pub fn pong() -> String {
    Object::new("pong", 0).end()
}

fn relay_list(relays: &[&Peer]) -> String {
    array(relays, |text, relay| {
        let capacity = f64::from(relay.connected) / f64::from(relay.connections_max.max(1));
        let key = relay.public_key.as_deref().map_or_else(|| String::from("null"), quote);
        let _ = write!(text, "{{\"peerId\":\"{}\",\"publicKey\":{key},\"capacity\":{capacity}}}", relay.peer_id);
    })
}

/// `registered`.
#[must_use]
pub fn registered(dialect: Dialect, peer_id: &str, relays: &[&Peer]) -> String {
    let frame = Object::new("registered", 128).text("peerId", peer_id);
    let frame = frame.text_if("serverId", Some(SERVER_ID).filter(|_| dialect == Dialect::Lobby));
    frame.json("relays", &relay_list(relays)).end()
}

/// `relays`.
#[must_use]
pub fn relays(relays: &[&Peer]) -> String {
    Object::new("relays", 128).json("relays", &relay_list(relays)).end()
}

/// `load_updated`.
#[must_use]
pub fn load_updated(peer_id: &str, connected: u32) -> String {
    Object::new("load_updated", 128).text("peerId", peer_id).number("connectedCount", connected.into()).end()
}

/// `heartbeat_ack`.
#[must_use]
pub fn heartbeat_ack(now: Timestamp) -> String {
    Object::new("heartbeat_ack", 32).number("timestamp", now.as_millis()).end()
}

/// `"relayId":…` with its comma: absent where the first server left it out, empty where the others wrote it so.
fn relay_member(dialect: Dialect, relay_id: Option<&str>) -> String {
    match (relay_id, dialect) {
        (Some(id), _) => format!(",\"relayId\":{}", quote(id)),
        (None, Dialect::Lobby) => String::from(",\"relayId\":\"\""),
        (None, Dialect::Registry) => String::new(),
    }
}

/// `rendezvous_result`.
#[must_use]
pub fn rendezvous_result(dialect: Dialect, matches: &[Match], drops: &[Found]) -> String {
    let matches = array(matches, |text, found| {
        let relay = relay_member(dialect, found.relay_id.as_deref());
        let _ = write!(text, "{{\"peerId\":{}{relay}}}", quote(&found.peer_id));
    });
    let drops = array(drops, |text, found| {
        let (relay, drop) = (relay_member(dialect, found.relay_id.as_deref()), quote(&found.dead_drop));
        let _ = write!(text, "{{\"peerId\":{},\"deadDrop\":{drop}{relay}}}", quote(&found.peer_id));
    });
    let capacity = matches.len() + drops.len();
    Object::new("rendezvous_result", capacity).json("liveMatches", &matches).json("deadDrops", &drops).end()
}

/// `rendezvous_match`.
#[must_use]
pub fn rendezvous_match(dialect: Dialect, peer_id: &str, relay_id: Option<&str>) -> String {
    let found = format!("{{\"peerId\":{}{}}}", quote(peer_id), relay_member(dialect, relay_id));
    Object::new("rendezvous_match", found.len()).json("match", &found).end()
}

/// `chunk_announce_ack`.
#[must_use]
pub fn announce_ack(registered: usize) -> String {
    Object::new("chunk_announce_ack", 32).number("registered", registered as u64).end()
}

/// `chunk_pull`.
#[must_use]
pub fn chunk_pull(chunk_id: &str, channel: Option<&str>) -> String {
    Object::new("chunk_pull", 256).text("chunkId", chunk_id).text_if("channelId", channel).end()
}

/// `chunk_pulling`.
#[must_use]
pub fn chunk_pulling(chunk_id: &str) -> String {
    Object::new("chunk_pulling", 128).text("chunkId", chunk_id).end()
}

/// Where a chunk comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From our cache.
    Cache,
    /// From the source that was just asked.
    Relay,
}

/// `chunk_data`.
#[must_use]
pub fn chunk_data(chunk_id: &str, channel: Option<&str>, data: &str, origin: Origin) -> String {
    let source = match origin {
        Origin::Cache => "\"cache\"",
        Origin::Relay => "\"relay\"",
    };
    let frame = Object::new("chunk_data", data.len() + chunk_id.len() + 384).text("chunkId", chunk_id);
    frame.text_if("channelId", channel).json("data", data).json("source", source).end()
}

/// `chunk_push_ack`; `served` in the younger dialect only.
#[must_use]
pub fn push_ack(chunk_id: &str, served: Option<(&'static str, usize)>) -> String {
    let frame = Object::new("chunk_push_ack", 128).text("chunkId", chunk_id);
    match served {
        None => frame.end(),
        Some((cached, count)) => frame.json("cached", cached).number("servedCount", count as u64).end(),
    }
}

/// `chunk_not_found`: the elder dialect's requester stays in the queue.
#[must_use]
pub fn chunk_not_found(chunk_id: &str) -> String {
    let message = "No online sources available. You will be notified when available.";
    Object::new("chunk_not_found", 192).text("chunkId", chunk_id).text("message", message).end()
}

/// `chunk_error`: the younger dialect's requester does not.
#[must_use]
pub fn chunk_error(chunk_id: &str) -> String {
    let error = "No source available for chunk";
    Object::new("chunk_error", 192).text("chunkId", chunk_id).text("error", error).end()
}

/// `chunk_error` for a place at which no chunk is known.
#[must_use]
pub fn route_error(route: &Route<'_>) -> String {
    let mut frame = Object::new("chunk_error", 384).text_if("routingHash", route.routing_hash.as_deref());
    for (name, number) in [("sequence", route.sequence), ("chunkIndex", route.chunk_index)] {
        if let Some(number) = number {
            frame = frame.number(name, number);
        }
    }
    frame.text("error", "No chunk known for this routing hash and sequence").end()
}

/// `chunk_available`.
#[must_use]
pub fn chunk_available<'a>(channel: &str, chunk_ids: impl IntoIterator<Item = &'a str>) -> String {
    let ids = array(chunk_ids, |text, id| text.push_str(&quote(id)));
    Object::new("chunk_available", ids.len() + 256).text("channelId", channel).json("chunkIds", &ids).end()
}

/// `channel-owner-registered`.
#[must_use]
pub fn owner_registered(channel: &str) -> String {
    Object::new("channel-owner-registered", 128).text("channelId", channel).end()
}

/// `channel-subscribed`.
#[must_use]
pub fn subscribed(channel: &str) -> String {
    Object::new("channel-subscribed", 128).text("channelId", channel).end()
}

/// `upstream-ack`.
#[must_use]
pub fn upstream_ack(channel: &str, message_id: Option<Json<'_>>) -> String {
    let id = message_id.map_or("null", |id| id.0);
    Object::new("upstream-ack", 256).text("channelId", channel).json("messageId", id).end()
}

/// `stream-started`.
#[must_use]
pub fn stream_started(stream_id: &str, channel: &str, subscribers: usize) -> String {
    let frame = Object::new("stream-started", 256).text("streamId", stream_id).text("channelId", channel);
    frame.number("subscriberCount", subscribers as u64).end()
}

/// `stream-ended`, for the owner.
#[must_use]
pub fn stream_ended(stream_id: &str, channel: &str) -> String {
    Object::new("stream-ended", 256).text("streamId", stream_id).text("channelId", channel).end()
}

/// `stream-end`, for subscribers of an owner who left.
#[must_use]
pub fn stream_end(stream_id: &str, channel: &str) -> String {
    Object::new("stream-end", 256).text("streamId", stream_id).text("channelId", channel).end()
}

/// The frame that answers a message which was not followed.
#[must_use]
pub fn error(refusal: &Refusal) -> String {
    let code = Some("NOT_ATTESTED").filter(|_| *refusal == Refusal::NotAttested);
    Object::new("error", 128).text_if("code", code).text("message", &sentence(refusal)).end()
}

/// The words of edge-wire 2.2 and 2.3.
fn sentence(refusal: &Refusal) -> String {
    let fixed = match refusal {
        Refusal::UnknownType(kind) => return format!("Unknown message type: {kind}"),
        Refusal::Malformed(kind, rest) => return format!("Invalid message: {kind}: {rest}"),
        Refusal::TooManyInMessage(what, max) => return format!("Too many {what} in one message (max {max})"),
        Refusal::Full(what) => return format!("Too many {what} on this server. Please try again later."),
        Refusal::ChunkTooLarge(units) => {
            return format!("Chunk payload too large: {units} bytes exceeds 65536 byte limit");
        }
        Refusal::TooManyChunks(what) => return format!("Too many {what} on this connection"),
        Refusal::Missing(sentence) => sentence,
        Refusal::NotJson => "Invalid message format: JSON parse error",
        Refusal::NotObject => "Invalid message: Message must be a JSON object",
        Refusal::NoType => "Invalid message: Missing or invalid \"type\" field",
        Refusal::BadPeerId => "Invalid peerId: must be 1-128 alphanumeric characters, hyphens, or underscores",
        Refusal::BadConnectionsMax => "maxConnections must be a finite number between 1 and 1000",
        Refusal::BadConnectedCount => "Invalid connectedCount",
        Refusal::BadPublicKey => "Invalid publicKey: must be at most 256 printable ASCII characters",
        Refusal::PeerIdTaken => "Peer ID already in use by another connection",
        Refusal::OtherPeerId => "Cannot re-register with a different peerId",
        Refusal::Mismatch => "peerId mismatch with registered identity",
        Refusal::NotRegistered => "Not registered",
        Refusal::TooManyMessages => "Rate limit exceeded. Please slow down.",
        Refusal::TooManyEntries => "Too many entries from this network. Please slow down.",
        Refusal::WrongContent => "Chunk data does not match its id",
        Refusal::BadChannel => "Invalid channel ID",
        Refusal::ChannelOwned => "Channel already has an active owner",
        Refusal::TooManyChannels => "Too many channels on this connection",
        Refusal::NotSubscribed => "Not subscribed to this channel",
        Refusal::UpstreamTooFast => "Upstream rate limit exceeded. Please slow down.",
        Refusal::FrameTooLarge => "Message too large",
        Refusal::UpstreamQueueFull => "Upstream queue is full. Please try again later.",
        Refusal::NotStreamOwner => "Only the channel owner can start a stream",
        Refusal::NotAttested => "Attestation required",
    };
    fixed.to_owned()
}

/// Counts of one desk for its statistics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Relay peers.
    pub relays: Totals,
    /// Points, and registrations at them.
    pub daily: (u64, u64),
    /// Tokens, and registrations at them.
    pub hourly: (u64, u64),
    /// Chunks that have a source or are cached.
    pub tracked_chunks: u64,
    /// Sources, our cache included.
    pub sources: u64,
    /// Cached chunks.
    pub cached: u64,
    /// Sockets that wait, summed over chunks.
    pub pending: u64,
    /// How often cached chunks were served, and the most of one.
    pub accesses: (u64, u64),
}

/// The body of the statistics.
#[must_use]
pub fn statistics(counts: &Counts, connections: u64) -> String {
    let Counts { relays, daily, hourly, tracked_chunks, sources, cached, pending, accesses } = counts;
    let Totals { peers, capacity, connected, available } = relays;
    let entries = daily.1 + hourly.1;
    format!(
        "{{\"relays\":{{\"totalPeers\":{peers},\"totalCapacity\":{capacity},\"totalConnected\":{connected},\
         \"availableRelays\":{available}}},\"rendezvous\":{{\"dailyPoints\":{},\"hourlyTokens\":{},\
         \"totalEntries\":{entries},\"dailyEntries\":{},\"hourlyEntries\":{}}},\"chunks\":{{\
         \"trackedChunks\":{tracked_chunks},\"totalSources\":{sources},\"cachedChunks\":{cached},\
         \"pendingRequests\":{pending},\"cacheAccesses\":{},\"mostAccesses\":{}}},\"connections\":{connections}}}",
        daily.0, hourly.0, daily.1, hourly.1, accesses.0, accesses.1
    )
}
