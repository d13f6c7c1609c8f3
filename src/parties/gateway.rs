//! Sockets that speak of parties: who each one speaks for, and one thing after the other.
//!
//! A message may need several objects: the peer's shard, the gateway of another socket, the party. While a line waits for
//! one, the messages that come meanwhile wait in order. A line is all that is kept of a socket, so whoever has it can go
//! on where it was: every question is one that may be repeated.

mod line;

use std::collections::{BTreeMap, HashMap};

pub use line::{Line, QUEUE_BYTES_MAX, QUEUE_MAX, SUBSCRIPTIONS_MAX, Step};

use line::Aftermath;
use sha2::{Digest as _, Sha256};

use crate::kernel::errand::Ticket;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::Conn;
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Objects that share the sockets among them.
pub const GATEWAYS: u8 = 64;
/// Bytes of one frame on a line.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Messages of one socket per minute.
pub const MESSAGES_PER_MINUTE: u64 = 300;
/// Messages of one client network per minute for parties that the socket does not hear of: each may wake an object.
pub const ENTRIES: Quota = Quota::per_minute(60);
/// Client networks whose entries are counted.
const NETWORKS_MAX: usize = 4_096;
/// Stamps of a millisecond. Units: all stay below 2^53.
const STAMPS_PER_MS: u64 = 1_024;
/// Frames of a party that wait until the line has its answer.
const EARLY_MAX: usize = 64;
/// How often a question is asked that is not answered.
const TRIES_MAX: u8 = 2;
/// How often a line asks for a peer that others hold.
const CLAIMS_MAX: u8 = 3;
/// How long a line that came back waits for the answers of its earlier self. Units: milliseconds.
const SETTLE_MS: u64 = 2_000;

/// The gateway of a client network.
///
/// Shape: `00` to `63`.
#[must_use]
pub fn name_of(network: &ClientNetwork) -> String {
    let [first, ..] = <[u8; 32]>::from(Sha256::digest(network.as_str()));
    format!("{:02}", first % GATEWAYS)
}

/// Where a line comes from; goes with everything it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The client's network.
    pub network: ClientNetwork,
    /// The id of the request that opened the socket.
    pub request_id: String,
}

/// A message, as far as a gateway must understand it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Who the client is, if it says so.
    Auth {
        /// Whom it speaks for.
        peer_id: Option<String>,
        /// Its token.
        token: Option<String>,
    },
    /// Something for a party.
    ToParty {
        /// Whether it makes the peer a member.
        manner: Manner,
        /// The party.
        party_id: String,
        /// Whom the message speaks for, where it says so.
        peer_id: Option<String>,
    },
}

/// What a message for a party may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It makes the peer a member; an unnamed socket takes its name from it.
    Enter,
    /// It needs a member.
    Speak,
}

/// What a line asks of another object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the messages")]
pub enum Question {
    /// May this socket speak for the peer?
    Claim { conn: Conn, peer_id: String, token: Option<String>, stamp: u64 },
    /// Does that socket still speak for the peer?
    Holds { gateway: String, conn: u32, peer_id: String },
    /// That socket, or one of ours, does not.
    Release { gateway: Option<String>, conn: u32, peer_id: String, stamp: u64 },
    /// A message for the party.
    Frame { conn: Conn, party_id: String, peer_id: String, text: String },
    /// The socket is back.
    Resume { conn: Conn, party_id: String, peer_id: String },
    /// The socket is gone.
    Gone { conn: Conn, party_id: String, peer_id: String },
    /// There is no such party any more.
    Forget { party_id: String, peer_id: String },
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the messages")]
pub enum Told {
    Claimed { peer_id: String, parties: Vec<String> },
    Held { detail: String, gateway: String, conn: u32 },
    Holding(Hold),
    Done,
    Forwarded { frames: Vec<String>, interest: Interest },
    Refused { status: u16, detail: String },
    NoAnswer,
}

/// Whether a socket still speaks for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Hold {
    Still,
    NoLonger,
}

/// Whether a socket hears of a party from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Interest {
    Subscribed,
    None,
}

/// What must happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame of a party.
    Send(Conn, String),
    /// Tell the client what is wrong.
    Error(Conn, String),
    /// Ask another object.
    Ask(Ticket, Origin, Question),
    /// The line has changed.
    Keep(Conn),
    /// The client sends faster than it is answered: close the socket, which is no line any more.
    Flooded(Conn),
}

/// What must still be done about a question whose line is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Orphan {
    /// If the claim was granted, give it back.
    Claim { conn: Conn },
    /// Whatever the party says, the socket is gone.
    Party { conn: Conn, party_id: String, peer_id: String },
}

/// Takes one entry from a network's quota, if there is one left.
fn take_entry(entries: &mut HashMap<ClientNetwork, u64>, network: &ClientNetwork, now: Timestamp) -> bool {
    let now_us = now.as_millis().saturating_mul(1_000);
    if entries.len() >= NETWORKS_MAX {
        entries.retain(|_, free_at_us| *free_at_us > now_us);
    }
    let Ok(allowance) = ENTRIES.take(entries.get(network).copied().unwrap_or(0), now) else { return false };
    // A gateway has hardly more networks than sockets; the others are not counted.
    if entries.len() < NETWORKS_MAX || entries.contains_key(network) {
        entries.insert(network.clone(), allowance.free_at_us);
    }
    true
}

/// All lines of one gateway.
#[derive(Debug, Default)]
pub struct Gateway {
    lines: BTreeMap<Conn, Line>,
    by_ticket: HashMap<Ticket, Conn>,
    orphans: HashMap<Ticket, (Origin, Orphan)>,
    last_ticket: u32,
    /// The time, and what was stamped last: claims and releases overtake one another on their way, and whoever reads
    /// them must know which came first.
    now: Timestamp,
    last_stamp: u64,
    /// What client networks have taken of [`ENTRIES`], as long as the memory lasts.
    entries: HashMap<ClientNetwork, u64>,
    /// When lines that came back in the middle of something ask again.
    settle_at: Option<Timestamp>,
}

impl Gateway {
    /// The gateway as it was.
    #[must_use]
    pub fn restore(now: Timestamp, lines: Vec<(Conn, Line)>) -> Self {
        let mut gateway = Self { now, ..Self::default() };
        for (conn, line) in lines {
            if line.is_busy() || line.has_lost {
                gateway.settle_at = Some(now.plus(SETTLE_MS));
            }
            if let Some(ticket) = line.ticket {
                gateway.last_ticket = gateway.last_ticket.max(ticket.0);
                gateway.by_ticket.insert(ticket, conn);
            }
            gateway.last_stamp = gateway.last_stamp.max(line.asked_stamp);
            gateway.lines.insert(conn, line);
        }
        gateway
    }

    /// The time of the event that begins.
    pub fn begin(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// A number larger than all before, also those of an earlier memory.
    fn stamp(&mut self) -> u64 {
        self.last_stamp = (self.last_stamp + 1).max(self.now.as_millis().saturating_mul(STAMPS_PER_MS));
        self.last_stamp
    }

    /// The line of a socket.
    #[must_use]
    pub fn line(&self, conn: Conn) -> Option<&Line> {
        self.lines.get(&conn)
    }

    /// What the line does whose question has this ticket.
    #[must_use]
    pub fn step_of(&self, ticket: Ticket) -> Option<&Step> {
        self.line(*self.by_ticket.get(&ticket)?)?.steps.front()
    }

    /// When lines must ask again.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        self.settle_at
    }

    /// A socket whose first message was one of parties.
    pub fn open(&mut self, conn: Conn, origin: Origin) {
        self.lines.insert(conn, Line::new(origin));
    }

    /// A message from a socket.
    pub fn hear(&mut self, conn: Conn, (said, text): (Said, &str), out: &mut Vec<Effect>) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let is_entry = matches!(&said, Said::ToParty { party_id, .. } if !line.parties.contains(party_id));
        if is_entry && !take_entry(&mut self.entries, &line.origin.network, now) {
            out.push(Effect::Error(conn, String::from("Too many parties; please wait")));
            return;
        }
        if line.enqueue(said, text) {
            self.advance(conn, out);
            out.push(Effect::Keep(conn));
        } else {
            self.close(conn, out);
            out.push(Effect::Flooded(conn));
        }
    }

    /// The socket is gone.
    pub fn close(&mut self, conn: Conn, out: &mut Vec<Effect>) {
        let Some(mut line) = self.lines.remove(&conn) else { return };
        self.abandon(conn, &mut line, out);
        if let Some(peer_id) = line.peer_id {
            let stamp = self.stamp();
            self.tell(line.origin, Question::Release { gateway: None, conn: conn.0, peer_id, stamp }, out);
        }
    }

    /// Another socket speaks for the peer now, which this one claimed at `stamp`. This one stays open and silent: its client may be one that was left
    /// behind and reconnects for ever, and closing it would start a quarrel.
    pub fn displace(&mut self, conn: Conn, (peer_id, stamp): (&str, u64), out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get(&conn) else { return };
        let is_bound = line.peer_id.as_deref() == Some(peer_id) && line.bound_stamp <= stamp;
        let is_claiming = line.claiming() == Some(peer_id);
        let claims_anew = is_claiming && line.asked_stamp > stamp;
        if !is_bound && (!is_claiming || claims_anew) {
            return;
        }
        let Some(mut line) = self.lines.remove(&conn) else { return };
        if claims_anew {
            self.leave_parties(conn, &mut line, out);
            line.peer_id = None;
        } else {
            self.abandon(conn, &mut line, out);
            line.silence();
        }
        self.lines.insert(conn, line);
        out.push(Effect::Keep(conn));
    }

    /// Whether a socket speaks for a peer, or is about to.
    #[must_use]
    pub fn holds(&self, conn: Conn, peer_id: &str) -> Hold {
        let line = self.lines.get(&conn);
        let bound = line.and_then(|line| line.peer_id.as_deref()).or_else(|| line.and_then(Line::claiming));
        if bound == Some(peer_id) { Hold::Still } else { Hold::NoLonger }
    }

    /// A party's frame for a socket; whether the socket hears of the party at all.
    pub fn deliver(&mut self, conn: Conn, party_id: &str, text: &str, out: &mut Vec<Effect>) -> Interest {
        let Some(line) = self.lines.get_mut(&conn) else { return Interest::None };
        if line.parties.contains(party_id) {
            out.push(Effect::Send(conn, text.to_owned()));
            return Interest::Subscribed;
        }
        if line.ticket.is_none() || line.asking_party() != Some(party_id) {
            return Interest::None;
        }
        // The party has subscribed the socket, and its answer is still on the way: first the answer, then this.
        if line.early.len() < EARLY_MAX {
            line.early.push(text.to_owned());
        }
        Interest::Subscribed
    }

    /// A line's peer joined a party, perhaps without the socket: the line goes there as after a claim.
    pub fn joined(&mut self, conn: Conn, (peer_id, party_id): (&str, &str), out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        if line.peer_id.as_deref().or(line.claiming()) == Some(peer_id) && line.resume(party_id) {
            self.advance(conn, out);
            out.push(Effect::Keep(conn));
        }
    }

    /// A line's peer left a party, perhaps without the socket.
    pub fn left(&mut self, conn: Conn, (peer_id, party_id): (&str, &str), out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        // An answer under way knows better.
        let is_heard = line.parties.contains(party_id) && line.asking_party() != Some(party_id);
        if line.peer_id.as_deref() == Some(peer_id) && is_heard && line.left.insert(party_id.to_owned()) {
            out.push(Effect::Keep(conn));
        }
    }

    /// What came of a question.
    pub fn told(&mut self, ticket: Ticket, told: Told, out: &mut Vec<Effect>) {
        if let Some((origin, orphan)) = self.orphans.remove(&ticket) {
            self.bury(origin, orphan, told, out);
            return;
        }
        let Some(conn) = self.by_ticket.remove(&ticket) else { return };
        if self.line(conn).and_then(|line| line.ticket) != Some(ticket) {
            return;
        }
        let Some(mut line) = self.lines.remove(&conn) else { return };
        line.ticket = None;
        let step = line.steps.pop_front();
        let aftermath = match step {
            Some(step) if told == Told::NoAnswer && line.tries < TRIES_MAX => {
                line.steps.push_front(step);
                None
            }
            Some(step) => {
                line.tries = 0;
                line.follow(conn, step, told, out)
            }
            None => None,
        };
        let origin = line.origin.clone();
        match aftermath {
            Some(Aftermath::Forget { party_id, peer_id }) => {
                self.tell(origin, Question::Forget { party_id, peer_id }, out);
            }
            Some(Aftermath::Release { peer_id }) => {
                let stamp = self.stamp();
                self.tell(origin, Question::Release { gateway: None, conn: conn.0, peer_id, stamp }, out);
            }
            None => {}
        }
        self.lines.insert(conn, line);
        self.advance(conn, out);
        out.push(Effect::Keep(conn));
    }

    /// Lines that came back in the middle of something ask again, and whoever lost something is told.
    pub fn settle(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.settle_at.is_none_or(|at| now < at) {
            return;
        }
        self.settle_at = None;
        let conns: Vec<Conn> = self.lines.keys().copied().collect();
        for conn in conns {
            let Some(line) = self.lines.get_mut(&conn) else { continue };
            if !line.is_busy() && !line.has_lost {
                continue;
            }
            if std::mem::take(&mut line.has_lost) {
                out.push(Effect::Error(conn, String::from("Messages were lost; please repeat them")));
            }
            if let Some(ticket) = line.ticket.take() {
                self.by_ticket.remove(&ticket);
            }
            self.advance(conn, out);
            out.push(Effect::Keep(conn));
        }
    }

    /// Asks the next question of a line that waits for none.
    fn advance(&mut self, conn: Conn, out: &mut Vec<Effect>) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        if line.ticket.is_some() {
            return;
        }
        let Some(mut question) = line.next_question(conn, out) else { return };
        let origin = line.origin.clone();
        if let Question::Claim { stamp, .. } = &mut question {
            *stamp = self.stamp();
            if let Some(line) = self.lines.get_mut(&conn) {
                line.asked_stamp = *stamp;
            }
        }
        let ticket = self.ticket();
        if let Some(line) = self.lines.get_mut(&conn) {
            line.ticket = Some(ticket);
            line.tries += 1;
        }
        self.by_ticket.insert(ticket, conn);
        out.push(Effect::Ask(ticket, origin, question));
    }

    /// Ends what a line has begun: its parties hear that the socket is gone, and what is under way is seen to later.
    fn abandon(&mut self, conn: Conn, line: &mut Line, out: &mut Vec<Effect>) {
        if let Some(ticket) = line.ticket.take() {
            self.by_ticket.remove(&ticket);
            let orphan = match (line.steps.front(), &line.peer_id) {
                (Some(Step::Claim { .. }), _) => Some(Orphan::Claim { conn }),
                (Some(Step::Resume { party_id } | Step::Frame { party_id, .. }), Some(peer_id)) => {
                    Some(Orphan::Party { conn, party_id: party_id.clone(), peer_id: peer_id.clone() })
                }
                _ => None,
            };
            self.orphans.extend(orphan.map(|orphan| (ticket, (line.origin.clone(), orphan))));
        }
        self.leave_parties(conn, line, out);
    }

    fn leave_parties(&mut self, conn: Conn, line: &mut Line, out: &mut Vec<Effect>) {
        if let Some(peer_id) = line.peer_id.clone() {
            line.left.clear();
            for party_id in std::mem::take(&mut line.parties) {
                let peer_id = peer_id.clone();
                self.tell(line.origin.clone(), Question::Gone { conn, party_id, peer_id }, out);
            }
        }
    }

    fn bury(&mut self, origin: Origin, orphan: Orphan, told: Told, out: &mut Vec<Effect>) {
        match (orphan, told) {
            (Orphan::Claim { conn }, Told::Claimed { peer_id, .. }) => {
                // Unless the socket has claimed it again meanwhile.
                if self.holds(conn, &peer_id) == Hold::NoLonger {
                    let stamp = self.stamp();
                    self.tell(origin, Question::Release { gateway: None, conn: conn.0, peer_id, stamp }, out);
                }
            }
            (Orphan::Party { conn, party_id, peer_id }, _) => {
                self.tell(origin, Question::Gone { conn, party_id, peer_id }, out);
            }
            (Orphan::Claim { .. }, _) => {}
        }
    }

    /// Says something whose answer does not matter.
    fn tell(&mut self, origin: Origin, question: Question, out: &mut Vec<Effect>) {
        let ticket = self.ticket();
        out.push(Effect::Ask(ticket, origin, question));
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        Ticket(self.last_ticket)
    }
}
