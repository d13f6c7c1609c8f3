//! The machine: who holds which code, who waits for whose answer, who was matched with whom.
//!
//! It knows sockets by number, speaks in [`Effect`]s and forgets a peer when its socket goes. What must survive
//! hibernation is in each peer's [`Record`]; everything else here is an index over the records, rebuilt by
//! [`Room::restore`].

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::codes::{Code, Identity, Partner};
use super::event::{Effect, Event, Refusal};
use super::message::{Message, Registration, Standing};
use crate::kernel::object::{ByConn, Conn};
use crate::kernel::time::Timestamp;

/// Partners that a peer remembers; the oldest is forgotten first. 17 bytes each in the attachment.
pub const PARTNERS_MAX: usize = 24;

/// The life of a request. Units: milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Both sides are warned this long after the request. No warning when it would come with the end or after it.
    pub warning_ms: u64,
    /// The request ends this long after it was made.
    pub timeout_ms: u64,
}

impl Times {
    /// Whole seconds that a warned request has left.
    pub(super) const fn remaining_s(self) -> u64 {
        self.timeout_ms.saturating_sub(self.warning_ms) / 1_000
    }

    pub(super) fn due(self, request: &Request) -> Timestamp {
        match request.stage {
            Stage::Fresh if self.warning_ms < self.timeout_ms => request.asked_at.plus(self.warning_ms),
            Stage::Fresh | Stage::Warned => request.asked_at.plus(self.timeout_ms),
        }
    }
}

/// How far a pair request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody was warned.
    Fresh,
    /// Both sides know that it will end soon.
    Warned,
}

/// A pair request that waits for its answer; kept with the peer that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The code of the peer that was asked.
    pub target: Code,
    /// When.
    pub asked_at: Timestamp,
    /// Whether it was warned of.
    pub stage: Stage,
}

/// A device-link request that waits for its answer; kept with the browser that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The code of the device that was asked.
    pub device: Code,
    /// The browser's key for this link.
    pub public_key: Rc<str>,
    /// What the browser calls itself.
    pub device_name: Rc<str>,
    /// When.
    pub asked_at: Timestamp,
}

/// What must outlive the memory for a registered peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who it is.
    pub identity: Rc<Identity>,
    /// Pair requests it has made.
    pub requests: Vec<Request>,
    /// The device link it has asked for.
    pub link: Option<Link>,
    /// With whom it was matched, oldest first.
    pub partners: Vec<Partner>,
}

/// A registered peer: its record, and who waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) record: Record,
    pub(super) asked_by: BTreeSet<Conn>,
    pub(super) linked_by: Option<Conn>,
}

impl Peer {
    const fn new(record: Record) -> Self {
        Self { record, asked_by: BTreeSet::new(), linked_by: None }
    }
}

/// What ends, or is warned of, at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Request(Code),
    Link,
}

/// All peers of one room.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub(super) times: Times,
    pub(super) peers: ByConn<Peer>,
    pub(super) conn_by_code: HashMap<Code, Conn>,
    /// Who remembers a partner, present or not.
    pub(super) conns_by_partner: HashMap<Partner, BTreeSet<Conn>>,
    pub(super) timers: BTreeSet<(Timestamp, Conn, Due)>,
}

impl Room {
    /// An empty room.
    #[must_use]
    pub fn new(times: Times) -> Self {
        Self {
            times,
            peers: ByConn::default(),
            conn_by_code: HashMap::new(),
            conns_by_partner: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// The room as it was, from what was kept with its sockets.
    ///
    /// A request to a peer that is not there any more is dropped: the event that took the peer away had dropped it too.
    #[must_use]
    pub fn restore(times: Times, records: Vec<(Conn, Record)>) -> Self {
        let mut room = Self::new(times);
        for (conn, record) in records {
            room.conn_by_code.insert(record.identity.code.clone(), conn);
            for partner in &record.partners {
                room.conns_by_partner.entry(*partner).or_default().insert(conn);
            }
            room.peers.insert(conn, Peer::new(record));
        }
        let conns: Vec<Conn> = room.peers.keys().copied().collect();
        for conn in conns {
            room.restore_indexes(conn);
        }
        room
    }

    fn restore_indexes(&mut self, conn: Conn) {
        let Some(mut record) = self.peers.get(&conn).map(|peer| peer.record.clone()) else { return };
        record.requests.retain(|request| self.conn_by_code.contains_key(&request.target));
        record.link = record.link.filter(|link| self.conn_by_code.contains_key(&link.device));
        for request in &record.requests {
            self.timers.insert((self.times.due(request), conn, Due::Request(request.target.clone())));
            if let Some(target) = self.peer_of_code_mut(&request.target) {
                target.asked_by.insert(conn);
            }
        }
        if let Some(link) = &record.link {
            self.timers.insert((link.asked_at.plus(self.times.timeout_ms), conn, Due::Link));
            if let Some(device) = self.peer_of_code_mut(&link.device) {
                device.linked_by = Some(conn);
            }
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.record = record;
        }
    }

    /// What to keep with a socket; nothing while it holds no code.
    #[must_use]
    pub fn record(&self, conn: Conn) -> Option<&Record> {
        self.peers.get(&conn).map(|peer| &peer.record)
    }

    /// Whether a socket holds a code.
    #[must_use]
    pub fn standing(&self, conn: Conn) -> Standing {
        if self.peers.contains_key(&conn) { Standing::Registered } else { Standing::Stranger }
    }

    /// Whether the registration would make a registered peer another one.
    #[must_use]
    pub fn is_replacement(&self, conn: Conn, registration: &Registration<'_>) -> bool {
        self.peers.get(&conn).is_some_and(|peer| *peer.record.identity.code != *registration.code)
    }

    /// Whether the peer and the holder of `target` have dealt with each other: matched, or asked and not yet answered.
    #[must_use]
    pub fn is_acquainted(&self, conn: Conn, target: &str) -> bool {
        let (Some(to), Some(peer)) = (self.conn_by_code.get(target), self.peers.get(&conn)) else { return false };
        let Some(other) = self.peers.get(to) else { return false };
        peer.asked_by.contains(to)
            || other.asked_by.contains(&conn)
            || peer.record.partners.contains(&other.record.identity.partner())
            || other.record.partners.contains(&peer.record.identity.partner())
    }

    /// When something ends or must be warned of next.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// Follows one message.
    ///
    /// Errors: a [`Refusal`]; then nothing has changed and `out` is as it was.
    pub fn handle<'a>(
        &mut self,
        now: Timestamp,
        conn: Conn,
        message: Message<'a>,
        out: &mut Vec<Effect<'a>>,
    ) -> Result<(), Refusal> {
        match message {
            Message::Signal { kind, target, payload } => {
                let (to, from) = self.address(conn, &target)?;
                out.push(Effect::Tell { to, event: Event::Signal { kind, from, payload } });
            }
            Message::Call { kind, target, fields, payload } => {
                let (to, from) = self.address(conn, &target)?;
                out.push(Effect::Tell { to, event: Event::Call { kind, from, fields, payload } });
            }
            Message::Ping => out.push(Effect::Tell { to: conn, event: Event::Pong }),
            Message::Register(registration) => self.register(conn, &registration, out)?,
            Message::PairRequest { target, proposed_name } => {
                self.request_pair(now, conn, &target, proposed_name, out)?;
            }
            Message::PairResponse { requester, answer } => self.answer_pair(conn, &requester, answer, out)?,
            Message::LinkRequest { device, public_key, device_name } => {
                self.request_link(now, conn, (&device, &public_key, &device_name), out)?;
            }
            Message::LinkResponse { device, answer, device_id } => {
                self.answer_link(conn, &device, (answer, device_id), out)?;
            }
        }
        Ok(())
    }

    /// Where a carried message goes, and the code it comes from.
    fn address(&self, conn: Conn, target: &str) -> Result<(Conn, Code), Refusal> {
        let from = self.peer(conn)?.record.identity.code.clone();
        let to = self.conn_by_code.get(target).ok_or_else(|| Refusal::PeerNotFound(cut(target)))?;
        Ok((*to, from))
    }

    fn register<'a>(
        &mut self,
        conn: Conn,
        registration: &Registration<'_>,
        out: &mut Vec<Effect<'a>>,
    ) -> Result<(), Refusal> {
        if self.conn_by_code.get(&*registration.code).is_some_and(|holder| *holder != conn) {
            return Err(Refusal::CodeTaken);
        }
        let identity = Rc::new(Identity {
            code: Code::from(&*registration.code),
            public_key: Rc::from(&*registration.public_key),
            pq_public_key: registration.pq_public_key.as_deref().map(Rc::from),
            protocol_version: registration.protocol_version,
            supported_kems: registration.supported_kems.map(|json| Rc::from(json.0)),
        });
        let code = identity.code.clone();
        let partner = identity.partner();
        let told = Event::Registered { code: code.clone(), dialect: registration.dialect };
        match self.peers.get_mut(&conn) {
            // The same peer says so again, as clients do to recover; nothing it had is lost.
            Some(peer) if peer.record.identity.partner() == partner => {
                peer.record.identity = identity;
                out.push(Effect::Tell { to: conn, event: told });
            }
            _ => {
                self.leave(conn, out);
                let record = Record { identity, requests: Vec::new(), link: None, partners: Vec::new() };
                self.peers.insert(conn, Peer::new(record));
                self.conn_by_code.insert(code.clone(), conn);
                out.push(Effect::Tell { to: conn, event: told });
                self.announce(partner, |_| Event::PeerJoined { code: code.clone() }, out);
            }
        }
        out.push(Effect::Keep(conn));
        Ok(())
    }

    /// The peer of a socket goes, with everything it had asked for and was asked.
    pub fn leave(&mut self, conn: Conn, out: &mut Vec<Effect<'_>>) {
        let Some(peer) = self.peers.remove(&conn) else { return };
        let identity = peer.record.identity;
        self.conn_by_code.remove(&identity.code);
        for request in &peer.record.requests {
            self.timers.remove(&(self.times.due(request), conn, Due::Request(request.target.clone())));
            if let Some(target) = self.peer_of_code_mut(&request.target) {
                target.asked_by.remove(&conn);
            }
        }
        for asker in &peer.asked_by {
            if self.drop_request(*asker, &identity.code).is_some() {
                out.push(Effect::Tell { to: *asker, event: Event::PairTimeout { peer: identity.code.clone() } });
                out.push(Effect::Keep(*asker));
            }
        }
        self.leave_links(conn, peer.record.link.as_ref(), peer.linked_by, out);
        for partner in &peer.record.partners {
            self.forget(conn, *partner);
        }
        self.announce(identity.partner(), |_| Event::PeerLeft { code: identity.code.clone() }, out);
    }

    /// Ends and warns of everything that is due.
    pub fn expire(&mut self, now: Timestamp, out: &mut Vec<Effect<'_>>) {
        while self.timers.first().is_some_and(|(at, _, _)| *at <= now) {
            match self.timers.pop_first() {
                Some((_, conn, Due::Request(target))) => self.expire_request(now, conn, &target, out),
                Some((_, conn, Due::Link)) => self.expire_link(conn, out),
                None => return,
            }
        }
    }

    /// Tells everybody who remembers `partner`.
    fn announce<'a>(&self, partner: Partner, event: impl Fn(Conn) -> Event<'a>, out: &mut Vec<Effect<'a>>) {
        for conn in self.conns_by_partner.get(&partner).into_iter().flatten() {
            out.push(Effect::Tell { to: *conn, event: event(*conn) });
        }
    }

    /// Two peers were matched: from now on each is told when the other goes and comes back.
    pub(super) fn befriend(&mut self, one: Conn, other: Conn, out: &mut Vec<Effect<'_>>) {
        self.remember(one, other);
        self.remember(other, one);
        out.extend([Effect::Keep(one), Effect::Keep(other)]);
    }

    fn remember(&mut self, conn: Conn, other: Conn) {
        let Some(partner) = self.peers.get(&other).map(|peer| peer.record.identity.partner()) else { return };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let partners = &mut peer.record.partners;
        if partners.contains(&partner) {
            return;
        }
        partners.push(partner);
        let forgotten = if partners.len() > PARTNERS_MAX { Some(partners.remove(0)) } else { None };
        self.conns_by_partner.entry(partner).or_default().insert(conn);
        if let Some(forgotten) = forgotten {
            self.forget(conn, forgotten);
        }
    }

    fn forget(&mut self, conn: Conn, partner: Partner) {
        if let Some(conns) = self.conns_by_partner.get_mut(&partner) {
            conns.remove(&conn);
            if conns.is_empty() {
                self.conns_by_partner.remove(&partner);
            }
        }
    }

    pub(super) fn peer(&self, conn: Conn) -> Result<&Peer, Refusal> {
        self.peers.get(&conn).ok_or(Refusal::NotRegistered)
    }

    pub(super) fn peer_of_code_mut(&mut self, code: &str) -> Option<&mut Peer> {
        self.peers.get_mut(self.conn_by_code.get(code)?)
    }
}

/// As much of an unknown code as may be sent back.
fn cut(text: &str) -> Code {
    Code::from(text.chars().take(128).collect::<String>().as_str())
}
