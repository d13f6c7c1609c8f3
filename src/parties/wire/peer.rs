//! A peer in JSON: exactly nine members, because a client that finds more or fewer drops the whole frame.

use serde::Serialize;

use super::body::{Chars, Members};
use crate::kernel::time::Timestamp;
use crate::parties::naive::{Offset, parse_stamp, render};
use crate::parties::peer::{
    ADDRESS_CHARS_MAX, Introduction, NAT_TYPE_CHARS_MAX, PEER_ID_CHARS_MAX, PEER_NAME_CHARS_MAX, PUBLIC_KEY_CHARS_MAX,
    Peer, PeerChange, STAMP_CHARS_MAX,
};

/// A peer as it is answered. Source: parties 1.3.
#[derive(Debug, Serialize)]
pub struct PeerBody<'a> {
    peer_id: &'a str,
    name: &'a str,
    public_key: &'a str,
    nat_type: &'a str,
    public_ip: &'a str,
    public_port: u16,
    local_ip: &'a str,
    local_port: u16,
    last_seen: String,
}

impl<'a> PeerBody<'a> {
    /// The peer, last seen at a time, for a client of that offset.
    #[must_use]
    pub fn new(peer: &'a Peer, seen_at: Timestamp, offset: Offset) -> Self {
        Self::stamped(peer, render(seen_at, offset))
    }

    /// The peer with a time as it is written.
    #[must_use]
    pub fn stamped(peer: &'a Peer, last_seen: String) -> Self {
        Self {
            peer_id: &peer.peer_id,
            name: &peer.name,
            public_key: &peer.public_key,
            nat_type: &peer.nat_type,
            public_ip: &peer.public_ip,
            public_port: peer.public_port,
            local_ip: &peer.local_ip,
            local_port: peer.local_port,
            last_seen,
        }
    }
}

const fn up_to(max: usize) -> Chars {
    Chars { min: 0, max }
}

/// Reads a peer with all nine members. What is wrong is in `members` afterwards.
pub fn read_introduction(members: &mut Members) -> Introduction {
    let peer = Peer {
        peer_id: members.text("peer_id", Chars { min: 1, max: PEER_ID_CHARS_MAX }),
        name: members.text("name", up_to(PEER_NAME_CHARS_MAX)),
        public_key: members.text("public_key", up_to(PUBLIC_KEY_CHARS_MAX)),
        nat_type: members.text("nat_type", up_to(NAT_TYPE_CHARS_MAX)),
        public_ip: members.text("public_ip", up_to(ADDRESS_CHARS_MAX)),
        public_port: port(members.integer("public_port", 0, 65_535)),
        local_ip: members.text("local_ip", up_to(ADDRESS_CHARS_MAX)),
        local_port: port(members.integer("local_port", 0, 65_535)),
    };
    let was_wrong = members.wrong.len();
    let last_seen = members.text("last_seen", up_to(STAMP_CHARS_MAX));
    if members.wrong.len() == was_wrong {
        check_stamp(members, &last_seen);
    }
    Introduction { peer, last_seen }
}

/// Reads any of the members but the id.
pub fn read_change(members: &mut Members) -> PeerChange {
    let change = PeerChange {
        name: members.optional_text("name", up_to(PEER_NAME_CHARS_MAX)),
        public_key: members.optional_text("public_key", up_to(PUBLIC_KEY_CHARS_MAX)),
        nat_type: members.optional_text("nat_type", up_to(NAT_TYPE_CHARS_MAX)),
        public_ip: members.optional_text("public_ip", up_to(ADDRESS_CHARS_MAX)),
        public_port: members.optional_integer("public_port", 0, 65_535).map(port),
        local_ip: members.optional_text("local_ip", up_to(ADDRESS_CHARS_MAX)),
        local_port: members.optional_integer("local_port", 0, 65_535).map(port),
        last_seen: members.optional_text("last_seen", up_to(STAMP_CHARS_MAX)),
    };
    if let Some(stamp) = &change.last_seen {
        check_stamp(members, stamp);
    }
    change
}

fn check_stamp(members: &mut Members, stamp: &str) {
    if parse_stamp(stamp).is_none() {
        members.blame("last_seen", "datetime_parsing", "Input should be a valid datetime", stamp.into());
    }
}

fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}
