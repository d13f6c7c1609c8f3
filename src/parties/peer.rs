//! A peer as its party knows it: the nine fields of the field's protocol, and how long they may be.
//!
//! Source: parties 1.3. A real app without STUN says `"unknown"` for an address and 0 for a port, so neither is judged.

/// Characters of a peer id. Source: apps send 16, invented ids have 17.
pub const PEER_ID_CHARS_MAX: usize = 128;

/// Characters of a peer's name.
pub const PEER_NAME_CHARS_MAX: usize = 100;

/// Characters of a public key; WireGuard's have 44.
pub const PUBLIC_KEY_CHARS_MAX: usize = 128;

/// Characters of a NAT type; the longest known one is `port_restricted_cone`.
pub const NAT_TYPE_CHARS_MAX: usize = 32;

/// Characters of an address, whatever it is.
pub const ADDRESS_CHARS_MAX: usize = 64;

/// Characters of a timestamp.
pub const STAMP_CHARS_MAX: usize = 64;

/// Everything a peer says about itself but the time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct Peer {
    pub peer_id: String,
    pub name: String,
    pub public_key: String,
    pub nat_type: String,
    pub public_ip: String,
    pub public_port: u16,
    pub local_ip: String,
    pub local_port: u16,
}

/// A peer with the clock it showed: what a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The peer.
    pub peer: Peer,
    /// `last_seen` as it was sent; an ISO 8601 time, see [`super::naive`].
    pub last_seen: String,
}

/// What of a peer is to be otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct PeerChange {
    pub name: Option<String>,
    pub public_key: Option<String>,
    pub nat_type: Option<String>,
    pub public_ip: Option<String>,
    pub public_port: Option<u16>,
    pub local_ip: Option<String>,
    pub local_port: Option<u16>,
    /// As in [`Introduction`].
    pub last_seen: Option<String>,
}

impl Peer {
    /// This peer, changed.
    #[must_use]
    pub fn changed(&self, change: &PeerChange) -> Self {
        let text = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        Self {
            peer_id: self.peer_id.clone(),
            name: text(&change.name, &self.name),
            public_key: text(&change.public_key, &self.public_key),
            nat_type: text(&change.nat_type, &self.nat_type),
            public_ip: text(&change.public_ip, &self.public_ip),
            public_port: change.public_port.unwrap_or(self.public_port),
            local_ip: text(&change.local_ip, &self.local_ip),
            local_port: change.local_port.unwrap_or(self.local_port),
        }
    }
}

/// Whether `text` can be a peer's id.
#[must_use]
pub fn is_peer_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= PEER_ID_CHARS_MAX
}
