//! A party: who is in it, who may come in, and what happens when somebody goes.
//!
//! The machine holds everything about the members; listeners, signals and announcements are beside it. Every change says
//! what of it must be kept, as [`Change`]s; on a refusal there is none.

use std::collections::BTreeMap;

use super::addresses::{Leases, Tenant};
use super::bans::Bans;
use super::candidates::Latencies;
use super::invites::Invites;
use super::naive::Offset;
use super::password::PasswordHash;
use super::peer::Peer;
use super::refusal::Refusal;
use crate::kernel::time::Timestamp;

/// Members of a party at most, and unless its host says less.
pub const PEERS_MAX: u32 = 256;

/// The least that can be asked for: a host and a guest.
pub const PEERS_MIN: u32 = 2;

/// Characters of a party's name. Source: parties 1.5.
pub const PARTY_NAME_CHARS_MAX: usize = 100;

/// Characters of a party's id. Source: parties 3.3, point 4.
pub const PARTY_ID_CHARS_MAX: usize = 20;

/// Whether `text` can be a party's id.
#[must_use]
pub fn is_party_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= PARTY_ID_CHARS_MAX && text.bytes().all(is_plain)
}

/// What happens when the host goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// The party ends, as in the original.
    Off,
    /// Whoever has been here longest is the host from then on.
    On,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it says about itself.
    pub peer: Peer,
    /// By which clock it reads over HTTP.
    pub offset: Offset,
    /// Grows with every joining.
    pub seq: u64,
    /// Its last sign of life.
    pub seen_at: Timestamp,
    /// Its last sign of life that is stored.
    pub stored_at: Timestamp,
    /// What it measured.
    pub latencies: Latencies,
}

/// A party. Fields are read by whoever asks, and changed here only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Party {
    pub party_id: String,
    pub name: String,
    pub host_id: String,
    pub created_at: Timestamp,
    pub peers_max: u32,
    pub password: Option<PasswordHash>,
    pub promotion: Promotion,
    pub next_seq: u64,
    pub members: BTreeMap<String, Member>,
    pub leases: Leases,
    pub invites: Invites,
    pub bans: Bans,
}

/// What must be written. Names what has changed; the writer reads the new state, or finds that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the tables' names")]
pub enum Change {
    /// Everything but announcements goes.
    Ended,
    Party,
    Member(String),
    Lease(String),
    Invite(String),
    Ban(String),
}

/// What a newcomer shows at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub struct Pass<'a> {
    pub password: Option<&'a str>,
    pub invite: Option<&'a str>,
}

/// By what right somebody comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It is a member already.
    Again,
    /// As anybody.
    Free,
    /// By an invite, which is used once more.
    Invited(String),
}

/// Why somebody does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// A reason that says nothing about secrets.
    Plain(Refusal),
    /// A wrong password or invite: a try that is counted.
    Wrong(Refusal),
}

/// What somebody's going came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The party goes on.
    Left,
    /// It goes on with another host.
    Promoted,
    /// It is over.
    Ended,
}

impl Party {
    /// A new party with its host in it.
    #[must_use]
    pub fn found(now: Timestamp, party_id: &str, name: String, host: Peer, offset: Offset) -> (Self, Vec<Change>) {
        let mut party = Self {
            party_id: party_id.to_owned(),
            name,
            host_id: host.peer_id.clone(),
            created_at: now,
            peers_max: PEERS_MAX,
            password: None,
            promotion: Promotion::Off,
            next_seq: 0,
            members: BTreeMap::new(),
            leases: Leases::default(),
            invites: Invites::default(),
            bans: Bans::default(),
        };
        let changes = party.seat(now, host, offset, Tenant::Founder);
        (party, changes)
    }

    /// Whether a peer is a member.
    #[must_use]
    pub fn has(&self, peer_id: &str) -> bool {
        self.members.contains_key(peer_id)
    }

    /// A member.
    ///
    /// Errors: [`Refusal::PeerNotFound`].
    pub fn member(&self, peer_id: &str) -> Result<&Member, Refusal> {
        self.members.get(peer_id).ok_or_else(|| Refusal::PeerNotFound(peer_id.to_owned()))
    }

    /// Whether the peer may look inside.
    ///
    /// Errors: [`Refusal::NotMember`].
    pub fn check_member(&self, peer_id: &str) -> Result<(), Refusal> {
        if self.has(peer_id) { Ok(()) } else { Err(Refusal::NotMember(self.party_id.clone())) }
    }

    /// Whether the peer may rule.
    ///
    /// Errors: [`Refusal::NotHost`].
    pub fn check_host(&self, peer_id: &str) -> Result<(), Refusal> {
        if self.host_id == peer_id { Ok(()) } else { Err(Refusal::NotHost) }
    }

    /// Whether coming in takes a secret, so that a wrong one is worth counting.
    #[must_use]
    pub fn asks_for_secret(&self, peer_id: &str) -> bool {
        self.password.is_some() && !self.has(peer_id)
    }

    /// Whether a peer may come in. Changes nothing.
    ///
    /// Errors: [`Shut`].
    pub fn check_entry(
        &self,
        now: Timestamp,
        peer_id: &str,
        pass: Pass<'_>,
        is_password: impl Fn(&PasswordHash, &str) -> bool,
    ) -> Result<Entry, Shut> {
        if self.bans.is_banned(now, peer_id) {
            return Err(Shut::Plain(Refusal::Banned(self.party_id.clone())));
        }
        if self.has(peer_id) {
            return Ok(Entry::Again);
        }
        let entry = match (&self.password, pass) {
            (None, _) => Entry::Free,
            (Some(_), Pass { invite: Some(code), .. }) if self.invites.is_good(now, code) => {
                Entry::Invited(code.to_owned())
            }
            (Some(hash), Pass { password: Some(password), .. }) if is_password(hash, password) => Entry::Free,
            (Some(_), Pass { password: Some(_), .. }) => return Err(Shut::Wrong(Refusal::PasswordWrong)),
            (Some(_), Pass { invite: Some(_), .. }) => return Err(Shut::Wrong(Refusal::InviteInvalid)),
            (Some(_), _) => return Err(Shut::Plain(Refusal::PasswordNeeded(self.party_id.clone()))),
        };
        if self.members.len() >= self.peers_max as usize {
            return Err(Shut::Plain(Refusal::Full(self.party_id.clone())));
        }
        Ok(entry)
    }

    /// Lets a peer in, or takes what it says anew.
    pub fn enter(&mut self, now: Timestamp, peer: Peer, offset: Offset, entry: &Entry) -> Vec<Change> {
        let mut changes = self.seat(now, peer, offset, Tenant::Guest);
        if let Entry::Invited(code) = entry {
            self.invites.redeem(code);
            changes.push(Change::Invite(code.clone()));
        }
        changes
    }

    fn seat(&mut self, now: Timestamp, peer: Peer, offset: Offset, tenant: Tenant) -> Vec<Change> {
        let peer_id = peer.peer_id.clone();
        if let Some(member) = self.members.get_mut(&peer_id) {
            let is_same = member.peer == peer && member.offset == offset;
            (member.peer, member.offset, member.seen_at) = (peer, offset, now);
            return if is_same { Vec::new() } else { vec![Change::Member(peer_id)] };
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let had = self.leases.get(&peer_id);
        let members = &self.members;
        let forgotten = self.leases.take(&peer_id, tenant, seq, |peer| members.contains_key(peer));
        let mut changes = vec![Change::Party, Change::Member(peer_id.clone())];
        changes.extend(forgotten.map(Change::Lease));
        changes.extend(had.is_none().then(|| Change::Lease(peer_id.clone())));
        let latencies = Latencies::new();
        self.members.insert(peer_id, Member { peer, offset, seq, seen_at: now, stored_at: now, latencies });
        changes
    }

    /// What a member measured.
    pub fn measure(&mut self, peer_id: &str, latencies: Latencies) -> Vec<Change> {
        match self.members.get_mut(peer_id) {
            Some(member) if member.latencies != latencies => {
                member.latencies = latencies;
                vec![Change::Member(peer_id.to_owned())]
            }
            _ => Vec::new(),
        }
    }

    /// A member goes. After [`Departure::Ended`] nothing of the party counts any more.
    pub fn depart(&mut self, peer_id: &str) -> (Departure, Vec<Change>) {
        self.members.remove(peer_id);
        let is_host = self.host_id == peer_id;
        let heir = self.members.iter().min_by_key(|(_, member)| member.seq).map(|(peer, _)| peer.clone());
        let Some(heir) = heir.filter(|_| !is_host || self.promotion == Promotion::On) else {
            return (Departure::Ended, vec![Change::Ended]);
        };
        let used = self.next_seq;
        self.next_seq += 1;
        self.leases.leave(peer_id, used);
        let (gone, lease) = (Change::Member(peer_id.to_owned()), Change::Lease(peer_id.to_owned()));
        let changes = vec![gone, lease, Change::Party];
        if is_host {
            self.host_id = heir;
            return (Departure::Promoted, changes);
        }
        (Departure::Left, changes)
    }
}
