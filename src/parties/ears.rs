//! Who listens to a party: its own sockets, and sockets of gateways.

use std::collections::BTreeMap;

use super::naive::Offset;
use crate::kernel::object::Conn;

/// Sockets of one peer. Who opens more loses the oldest.
pub const EARS_PER_PEER_MAX: usize = 4;

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ear {
    /// The party object's own.
    Own(Conn),
    /// A gateway's.
    Remote {
        /// The gateway's object name.
        gateway: String,
        /// Its connection.
        conn: u32,
    },
}

/// Whether a socket has said anything of its own accord. One that merely came back may belong to a program that is gone.
/// Source: parties 2.4, point 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Voice {
    Silent,
    Spoken,
}

/// What a socket listens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearing {
    /// Whose socket it is.
    pub peer_id: String,
    /// By which clock it reads.
    pub offset: Offset,
    /// Whether it keeps its peer alive.
    pub voice: Voice,
    /// Grows with every subscription.
    pub seq: u64,
}

/// All sockets that are subscribed to a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ears {
    by_ear: BTreeMap<Ear, Hearing>,
    by_peer: BTreeMap<String, Vec<Ear>>,
    next_seq: u64,
}

impl Ears {
    /// A socket's subscription.
    #[must_use]
    pub fn get(&self, ear: &Ear) -> Option<&Hearing> {
        self.by_ear.get(ear)
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ear.is_empty()
    }

    /// All sockets.
    pub fn all(&self) -> impl Iterator<Item = (&Ear, &Hearing)> {
        self.by_ear.iter()
    }

    /// A peer's sockets, oldest first.
    #[must_use]
    pub fn of_peer(&self, peer_id: &str) -> &[Ear] {
        self.by_peer.get(peer_id).map_or(&[], Vec::as_slice)
    }

    /// Whether a socket keeps the peer alive.
    #[must_use]
    pub fn is_present(&self, peer_id: &str) -> bool {
        let speaks = |ear: &Ear| self.by_ear.get(ear).is_some_and(|hearing| hearing.voice == Voice::Spoken);
        self.of_peer(peer_id).iter().any(speaks)
    }

    /// Subscribes a socket, or changes its subscription. A voice once raised stays. Returns the socket of the same peer
    /// that must go for it.
    pub fn listen(&mut self, ear: &Ear, peer_id: &str, offset: Offset, voice: Voice) -> Option<Ear> {
        if let Some(known) = self.by_ear.get_mut(ear).filter(|known| known.peer_id == peer_id) {
            known.offset = offset;
            if voice == Voice::Spoken {
                known.voice = voice;
            }
            return None;
        }
        self.restore(ear.clone(), Hearing { peer_id: peer_id.to_owned(), offset, voice, seq: self.next_seq });
        let peers = self.by_peer.get(peer_id).map_or(&[] as &[Ear], Vec::as_slice);
        peers.first().cloned().filter(|_| peers.len() > EARS_PER_PEER_MAX)
    }

    /// Puts a subscription back as it was.
    pub fn restore(&mut self, ear: Ear, hearing: Hearing) {
        self.forget(&ear);
        self.next_seq = self.next_seq.max(hearing.seq + 1);
        let peer_id = hearing.peer_id.clone();
        self.by_ear.insert(ear.clone(), hearing);
        let ears = self.by_peer.entry(peer_id).or_default();
        ears.push(ear);
        ears.sort_by_key(|ear| self.by_ear.get(ear).map(|hearing| hearing.seq));
    }

    /// Notes that a socket spoke. Returns whether it is the first time.
    pub fn speak(&mut self, ear: &Ear) -> Voice {
        match self.by_ear.get_mut(ear) {
            Some(hearing) => std::mem::replace(&mut hearing.voice, Voice::Spoken),
            None => Voice::Spoken,
        }
    }

    /// Ends a subscription.
    pub fn forget(&mut self, ear: &Ear) -> Option<Hearing> {
        let hearing = self.by_ear.remove(ear)?;
        if let Some(ears) = self.by_peer.get_mut(&hearing.peer_id) {
            ears.retain(|known| known != ear);
            if ears.is_empty() {
                self.by_peer.remove(&hearing.peer_id);
            }
        }
        Some(hearing)
    }
}

#[cfg(test)]
mod tests {
    use super::{EARS_PER_PEER_MAX, Ear, Ears, Voice};
    use crate::kernel::object::Conn;
    use crate::parties::naive::Offset;

    #[test]
    fn a_socket_that_only_listens_is_no_presence() {
        let mut ears = Ears::default();
        let ear = Ear::Own(Conn(1));
        ears.listen(&ear, "a", Offset::UTC, Voice::Silent);
        assert!(!ears.is_present("a"));
        assert_eq!(ears.speak(&ear), Voice::Silent);
        assert!(ears.is_present("a"));
        ears.listen(&ear, "a", Offset::UTC, Voice::Silent);
        assert!(ears.is_present("a"), "a voice once raised stays");
        ears.forget(&ear);
        assert!(!ears.is_present("a") && ears.is_empty());
    }

    #[test]
    fn a_peers_oldest_socket_goes_when_it_opens_too_many() {
        let mut ears = Ears::default();
        for number in 0..EARS_PER_PEER_MAX as u32 {
            let remote = Ear::Remote { gateway: String::from("g"), conn: number };
            assert_eq!(ears.listen(&remote, "a", Offset::UTC, Voice::Spoken), None);
        }
        let gone = ears.listen(&Ear::Own(Conn(9)), "a", Offset::UTC, Voice::Spoken);
        assert_eq!(gone, Some(Ear::Remote { gateway: String::from("g"), conn: 0 }));
    }

    #[test]
    fn a_socket_that_changes_its_peer_is_no_longer_the_others() {
        let mut ears = Ears::default();
        let ear = Ear::Own(Conn(1));
        ears.listen(&ear, "a", Offset::UTC, Voice::Spoken);
        ears.listen(&ear, "b", Offset::UTC, Voice::Silent);
        assert!(ears.of_peer("a").is_empty() && !ears.is_present("b"));
    }
}
