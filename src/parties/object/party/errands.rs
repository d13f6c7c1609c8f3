//! What the party asks of other objects, and what becomes of the answers.

use std::collections::BTreeMap;

use super::work::{Post, Work, Write};
use super::{Done, Halt, PartyRoom};
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Call, Conn, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;
use crate::parties::candidates::{Latencies, PEERS_MAX};
use crate::parties::ears::Ear;
use crate::parties::refusal::Refusal;
use crate::parties::signals::Signal;
use crate::parties::wire::errand::{self, ask_relays, read_delivered, was_heard};
use crate::parties::wire::relays::{encode_candidates, remember};
use crate::parties::wire::service::{Deliver, Parcel};

/// Bits of a ticket that are a number; the others say what it was for, so that an answer is understood even when the
/// memory has gone since.
const NUMBER_BITS: u32 = 29;

/// How often a list of relays is written at most. Units: milliseconds.
const RELAY_LIST_MS: u64 = 300_000;

/// The first wait for a gateway that did not answer; doubled after each. Units: milliseconds.
const OWED_MS: u64 = 1_000;

/// After so many failures (half a minute) a gateway's sockets count as gone.
const OWED_MAX: u32 = 5;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whose token a socket of ours has shown; the number is the connection's.
    Admission,
    Announcement,
    Delivery,
    Candidates,
}

impl Kind {
    pub(super) const fn ticket(self, number: u32) -> Ticket {
        Ticket((self as u32) << NUMBER_BITS | (number & ((1 << NUMBER_BITS) - 1)))
    }

    const fn of(ticket: Ticket) -> (Self, u32) {
        let kind = match ticket.0 >> NUMBER_BITS {
            0 => Self::Admission,
            1 => Self::Announcement,
            2 => Self::Delivery,
            _ => Self::Candidates,
        };
        (kind, ticket.0 & ((1 << NUMBER_BITS) - 1))
    }
}

/// Bytes that wait for a gateway. What comes beyond them is dropped, and its sockets are sent the whole party later.
const LANE_BYTES_MAX: usize = 8 << 20;

/// Frames for a gateway.
#[derive(Debug, Default)]
struct Load {
    parcels: Vec<Parcel>,
    /// Signals that nobody else was sent, and to which connections they go.
    signals: Vec<(Vec<u32>, Signal)>,
    /// Units: bytes of all frames, dropped ones too.
    bytes: usize,
}

impl Load {
    fn add(&mut self, conns: Vec<u32>, text: &str, signal: Option<Signal>) {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > LANE_BYTES_MAX && !self.parcels.is_empty() {
            return;
        }
        self.signals.extend(signal.map(|signal| (conns.clone(), signal)));
        self.parcels.push(Parcel { conns, text: text.to_owned() });
    }
}

/// Frames on their way to a gateway.
#[derive(Debug)]
struct Delivery {
    gateway: String,
    signals: Vec<(Vec<u32>, Signal)>,
}

/// Somebody waits for candidates.
#[derive(Debug)]
struct Wish {
    peers: Vec<String>,
    home: Option<String>,
}

/// A gateway did not take what it was sent.
#[derive(Debug, Clone, Copy)]
struct Owed {
    failures: u32,
    /// When its sockets are sent the whole party; never, while an answer is due.
    due_at: Option<Timestamp>,
}

/// What is under way. Only in memory: what is lost with it, the next refresh makes good.
#[derive(Debug, Default)]
pub(super) struct Errands {
    next: u32,
    deliveries: BTreeMap<u32, Delivery>,
    /// What waits for each gateway that has a delivery under way: so frames arrive in their order.
    lanes: BTreeMap<String, Load>,
    wishes: BTreeMap<u32, Wish>,
    owed: BTreeMap<String, Owed>,
}

impl Errands {
    fn number(&mut self) -> u32 {
        self.next = (self.next + 1) & ((1 << NUMBER_BITS) - 1);
        self.next
    }

    /// When a gateway is to be sent what it did not take.
    pub(super) fn owed_at(&self) -> Option<Timestamp> {
        self.owed.values().filter_map(|owed| owed.due_at).min()
    }
}

impl PartyRoom {
    /// Sends the posts, in order; what goes to `but` is returned instead.
    pub(super) fn say(
        &mut self,
        turn: &mut Turn<'_>,
        posts: Vec<Post>,
        but: Option<&Ear>,
    ) -> Result<Vec<String>, Fault> {
        let mut frames = Vec::new();
        let mut loads: BTreeMap<String, Load> = BTreeMap::new();
        for Post { to, text, signal } in posts {
            let mut own = Vec::new();
            let mut remote: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            let mut is_taken = false;
            for ear in to {
                match ear {
                    ear if but == Some(&ear) => {
                        frames.push(text.clone());
                        is_taken = true;
                    }
                    Ear::Own(conn) => own.push(conn),
                    Ear::Remote { gateway, conn } => remote.entry(gateway).or_default().push(conn),
                }
            }
            is_taken |= !own.is_empty();
            for (gateway, conns) in remote {
                let kept = signal.clone().filter(|_| !is_taken);
                match self.errands.lanes.get_mut(&gateway) {
                    Some(lane) => lane.add(conns, &text, kept),
                    None => loads.entry(gateway).or_default().add(conns, &text, kept),
                }
            }
            push_send(turn, own, text);
        }
        for (gateway, load) in loads {
            let (ticket, errand) = self.dispatch_load(gateway, load)?;
            turn.ask(ticket, errand);
        }
        Ok(frames)
    }

    /// Sends frames to a gateway; what else there is for it waits until they are there.
    fn dispatch_load(&mut self, gateway: String, load: Load) -> Result<(Ticket, Errand), Fault> {
        let Load { parcels, signals, bytes } = load;
        let number = self.errands.number();
        let errand = errand::deliver(&gateway, &Deliver { party_id: self.party_id.clone(), parcels })?;
        // What was dropped already is made good after this delivery.
        let dropped = if bytes > LANE_BYTES_MAX { bytes } else { 0 };
        self.errands.lanes.insert(gateway.clone(), Load { bytes: dropped, ..Load::default() });
        self.errands.deliveries.insert(number, Delivery { gateway, signals });
        Ok((Kind::Delivery.ticket(number), errand))
    }

    /// An errand is done.
    pub(super) fn learn(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        outcome: &Outcome,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let (kind, number) = Kind::of(ticket);
        match kind {
            Kind::Admission => self.admitted(turn, Conn(number), outcome, work),
            Kind::Announcement => {
                let changed = if was_heard(outcome) {
                    self.announcements.heard(turn.now, number)
                } else {
                    self.announcements.failed(turn.now, number)
                };
                changed.into_iter().for_each(|subject| work.write(Write::Announcement(subject)));
                Ok(())
            }
            Kind::Delivery => self.delivered(turn.now, number, outcome, work),
            Kind::Candidates => self.answer_wish(turn.now, ticket, outcome, work),
        }
    }

    fn delivered(&mut self, now: Timestamp, number: u32, outcome: &Outcome, work: &mut Work) -> Result<(), Fault> {
        let Some(Delivery { gateway, signals }) = self.errands.deliveries.remove(&number) else { return Ok(()) };
        let waiting = self.errands.lanes.remove(&gateway).unwrap_or_default();
        let Some(delivered) = read_delivered(outcome).filter(|_| waiting.bytes <= LANE_BYTES_MAX) else {
            self.owe(now, &gateway, [signals, waiting.signals].concat(), work);
            return Ok(());
        };
        self.errands.owed.remove(&gateway);
        for conn in &delivered.gone {
            let ear = Ear::Remote { gateway: gateway.clone(), conn: *conn };
            self.unsubscribe(now, &ear, work);
        }
        for (conns, signal) in signals {
            if conns.iter().all(|conn| delivered.gone.contains(conn)) {
                self.keep_if_member(signal, work);
            }
        }
        if !waiting.parcels.is_empty() {
            let (ticket, errand) = self.dispatch_load(gateway, waiting)?;
            work.actions.push(Action::Ask { ticket, errand });
        }
        Ok(())
    }

    /// A gateway did not take what it was sent: its sockets are sent the whole party later, or count as gone.
    fn owe(&mut self, now: Timestamp, gateway: &str, signals: Vec<(Vec<u32>, Signal)>, work: &mut Work) {
        let owed = self.errands.owed.entry(gateway.to_owned()).or_insert(Owed { failures: 0, due_at: None });
        if owed.due_at.is_none() {
            owed.failures += 1;
            owed.due_at = Some(now.plus(OWED_MS << owed.failures.min(OWED_MAX)));
        }
        let failures = owed.failures;
        for (_, signal) in signals {
            self.keep_if_member(signal, work);
        }
        if failures >= OWED_MAX {
            self.errands.owed.remove(gateway);
            self.remote_ears(gateway).iter().for_each(|ear| self.unsubscribe(now, ear, work));
        }
    }

    /// Keeps a signal that no socket took. One for which there is no room is lost, as its sender was told "sent" already.
    fn keep_if_member(&mut self, signal: Signal, work: &mut Work) {
        if self.party.as_ref().is_some_and(|party| party.has(&signal.to_peer_id)) {
            let _lost = self.keep_signal(signal, work);
        }
    }

    fn remote_ears(&self, name: &str) -> Vec<Ear> {
        let is_of = |ear: &&Ear| matches!(ear, Ear::Remote { gateway, .. } if gateway == name);
        self.ears.all().map(|(ear, _)| ear).filter(is_of).cloned().collect()
    }

    /// Sends the sockets of gateways that did not answer the whole party, and the signals that waited.
    pub(super) fn make_good(&mut self, turn: &Turn<'_>, work: &mut Work) -> Result<(), Fault> {
        let due = self.errands.owed.iter_mut().filter(|(_, owed)| owed.due_at.is_some_and(|at| at <= turn.now));
        let names: Vec<String> = due
            .map(|(name, owed)| {
                owed.due_at = None;
                name.clone()
            })
            .collect();
        for name in names {
            let ears = self.remote_ears(&name);
            if ears.is_empty() {
                self.errands.owed.remove(&name);
            }
            self.post_whole(turn.now, &ears, work)?;
            for ear in ears {
                if let Some(peer_id) = self.ears.get(&ear).map(|hearing| hearing.peer_id.clone()) {
                    self.catch_up(turn, (&ear, &peer_id), work)?;
                }
            }
        }
        Ok(())
    }

    /// `GET /parties/{id}/relays?peers=a,b&region=eu`: asks the directory, answers later.
    pub(super) fn wish_candidates(&mut self, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let party = self.known(&self.party_id)?;
        party.check_member(caller)?;
        let mut peers = Vec::new();
        let mut home = None;
        for (name, value) in url::form_urlencoded::parse(call.query.as_bytes()) {
            match &*name {
                "peers" => peers.extend(value.split(',').filter(|peer| !peer.is_empty()).map(str::to_owned)),
                "region" if !value.is_empty() => home = Some(value.into_owned()),
                _ => {}
            }
            if peers.len() > PEERS_MAX {
                return Err(Refusal::TooManyPeers.into());
            }
        }
        if peers.is_empty() {
            peers.push(caller.to_owned());
        }
        for peer_id in &peers {
            party.member(peer_id)?;
        }
        let number = self.errands.number();
        let ticket = Kind::Candidates.ticket(number);
        self.errands.wishes.insert(number, Wish { peers, home });
        work.actions.push(Action::Ask { ticket, errand: ask_relays() });
        Ok(Done::Later(ticket))
    }

    fn answer_wish(&mut self, now: Timestamp, ticket: Ticket, outcome: &Outcome, work: &mut Work) -> Result<(), Fault> {
        let Some(Wish { peers, home }) = self.errands.wishes.remove(&Kind::of(ticket).1) else { return Ok(()) };
        let fresh = match outcome {
            Outcome::Replied(reply) if reply.status == 200 => Some(&reply.body),
            _ => None,
        };
        let kept = fresh.and_then(|body| remember(body));
        if kept.is_some() && kept != self.relay_list && self.party.is_some() {
            self.relay_list = kept;
            if now.since(self.relay_list_at) >= RELAY_LIST_MS {
                self.relay_list_at = now;
                work.write(Write::RelayList);
            }
        }
        let none = Latencies::new();
        let members = self.party.as_ref().map(|party| &party.members);
        let measured = |peer: &String| members.and_then(|members| members.get(peer)).map_or(&none, |m| &m.latencies);
        let latencies: Vec<&Latencies> = peers.iter().map(measured).collect();
        let list = fresh.or(self.relay_list.as_ref()).map(String::as_str);
        let body = encode_candidates(list, &latencies, home.as_deref())?;
        work.actions.push(Action::Answer { ticket, reply: Reply::json_text(body) });
        Ok(())
    }
}

fn push_send(turn: &mut Turn<'_>, mut own: Vec<Conn>, text: String) {
    match (own.pop(), own.is_empty()) {
        (None, _) => {}
        (Some(conn), true) => turn.send(conn, text),
        (Some(conn), false) => {
            own.push(conn);
            turn.actions.push(Action::SendMany { conns: own, text });
        }
    }
}
