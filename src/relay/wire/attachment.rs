//! What is kept with a socket over hibernation, as ASCII text without spaces at its ends.
//!
//! Limits: a desk's part is at most 500 characters: a peer id of 128, a key of 256, a session of 16, and four numbers.

use std::rc::Rc;

use crate::kernel::fault::Fault;
use crate::kernel::json::quote;
use crate::kernel::network::ClientNetwork;
use crate::kernel::sockets::Socket;
use crate::kernel::time::Timestamp;
use crate::relay::message::Dialect;
use crate::relay::peers::Peer;
use crate::relay::seats::Seat;

/// The first member: changes when the members do.
const VERSION: &str = "1";

/// A desk's part: members separated by commas, the key, which may hold commas, last.
#[must_use]
pub fn encode_part(seat: &Seat, peer: Option<&Peer>) -> String {
    let Seat { session, dialect, peer_id, upstream_free_at_us } = seat;
    let dialect = match dialect {
        Dialect::Registry => 'r',
        Dialect::Lobby => 'l',
    };
    let id = peer_id.as_deref().unwrap_or_default();
    let mut text = format!("{VERSION},{session},{dialect},{upstream_free_at_us},{id}");
    if let Some(Peer { peer_id, public_key, connections_max, connected, last_seen }) = peer {
        // Hardly ever another id than the seat's; a key is never empty, so nothing stands for none.
        let relay_id = if **peer_id == *id { "" } else { peer_id };
        let key = public_key.as_deref().unwrap_or_default();
        text.push_str(&format!(",{relay_id},{connections_max},{connected},{},{key}", last_seen.as_millis()));
    }
    text
}

/// What [`encode_part`] wrote.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub fn decode_part(text: &str) -> Result<(Seat, Option<Peer>), Fault> {
    parse_part(text).ok_or_else(|| Fault::Corrupt(String::from("a relay socket's attachment")))
}

fn parse_part(text: &str) -> Option<(Seat, Option<Peer>)> {
    let mut members = text.splitn(10, ',');
    if members.next()? != VERSION {
        return None;
    }
    let session = members.next()?.parse().ok()?;
    let dialect = match members.next()? {
        "r" => Dialect::Registry,
        "l" => Dialect::Lobby,
        _ => return None,
    };
    let upstream_free_at_us = members.next()?.parse().ok()?;
    let peer_id: Option<Rc<str>> = Some(members.next()?).filter(|id| !id.is_empty()).map(Rc::from);
    let seat = Seat { session, dialect, peer_id: peer_id.clone(), upstream_free_at_us };
    let relay_id = match members.next() {
        None => return Some((seat, None)),
        Some("") => peer_id?,
        Some(id) => Rc::from(id),
    };
    let peer = Peer {
        peer_id: relay_id,
        connections_max: members.next()?.parse().ok()?,
        connected: members.next()?.parse().ok()?,
        last_seen: Timestamp::from_millis(members.next()?.parse().ok()?),
        public_key: Some(members.next()?).filter(|key| !key.is_empty()).map(Rc::from),
    };
    Some((seat, Some(peer)))
}

/// The first piece of a registry's attachment with a porch's part. One without begins with the quota's state, in digits.
const WITH_PORCH: &str = "v2 ";

/// What others keep with a registry's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts<'a> {
    /// The porch, where sockets attest; without spaces.
    pub porch: &'a str,
    /// The desk.
    pub desk: &'a str,
}

/// A registry's attachment: the quota's state, the network, and the parts.
#[must_use]
pub fn encode(socket: &Socket<()>, Parts { porch, desk }: Parts<'_>) -> String {
    format!("{WITH_PORCH}{} {} {porch} {desk}", socket.free_at_us, socket.network.as_str())
}

/// What [`encode`] wrote, or its predecessor, which knew no porch.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub fn decode(attachment: &str) -> Result<(Socket<()>, Parts<'_>), Fault> {
    let parse = || {
        let (mut members, has_porch) = match attachment.strip_prefix(WITH_PORCH) {
            Some(rest) => (rest.splitn(4, ' '), true),
            None => (attachment.splitn(3, ' '), false),
        };
        let free_at_us = members.next()?.parse().ok()?;
        let network: ClientNetwork = serde_json::from_str(&quote(members.next()?)).ok()?;
        let porch = if has_porch { members.next()? } else { "" };
        Some((Socket { dialect: (), network, free_at_us }, Parts { porch, desk: members.next()? }))
    };
    parse().ok_or_else(|| Fault::Corrupt(String::from("a relay socket's attachment")))
}
