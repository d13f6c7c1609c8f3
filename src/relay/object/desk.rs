//! The relay families behind one counter, for every object whose sockets speak them.
//!
//! The host owns the sockets, their limits and their attachments, says who speaks, commits, and performs. The desk
//! decides, and returns everything as [`Work`]: the host appends the statements to its event's one commit, and only
//! then adds the actions and renews the attachments of the changed sockets.

use std::rc::Rc;

use crate::kernel::entropy::Entropy;
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Action, Conn, Turn};
use crate::kernel::quota::Quota;
use crate::kernel::settings::{AttestFamily, RelaySettings, Settings};
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::relay::channels::Channels;
use crate::relay::hot::{HOT_BYTES_MAX, Hot};
use crate::relay::message::Message;
use crate::relay::peers::Peers;
use crate::relay::refusal::Refusal;
use crate::relay::rendezvous::{ENTRIES_PER_MESSAGE, Ids, blind};
use crate::relay::seats::{Seats, Speaker};
use crate::relay::store;
use crate::relay::store::chunks::ChunkCounts;
use crate::relay::store::rendezvous::{Aging, put_quota, read_ids, read_quota};
use crate::relay::wants::{PULL_PATIENCE_MS, Wants};
use crate::relay::wire::attachment::{decode_part, encode_part};
use crate::relay::wire::encode::{self, Counts};
use crate::relay::wire::parse;

/// Schema versions of an object that hosts nothing but a desk.
pub const MIGRATIONS: &[Migration] = store::MIGRATIONS;
/// The tables of a desk, for an object that hosts one beside its own and applies them under a number of its own.
pub const SCHEMA: &str = store::SCHEMA;

/// What one event came to.
#[derive(Debug, Default)]
pub struct Work {
    /// To be committed.
    pub statements: Vec<Statement>,
    /// To be performed after the commit, in order. Never [`Action::Attach`] or [`Action::Close`].
    pub actions: Vec<Action>,
    /// Sockets whose [`RelayDesk::part`] is new. May name one twice.
    pub changed: Vec<Conn>,
    /// Relay peers that were silent for too long and are none any longer. A host whose sockets do nothing else closes
    /// them with 1000 [`SILENCE`], and tells the desk that they are [`RelayDesk::closed`].
    pub silent: Vec<Conn>,
}

/// The close reason for a silent relay peer. Source: edge-wire 2.3.
pub const SILENCE: &str = "Heartbeat timeout";

impl Work {
    pub(super) fn tell(&mut self, conn: Conn, text: String) {
        self.actions.push(Action::Send { conn, text });
    }

    pub(super) fn tell_many(&mut self, conns: Vec<Conn>, text: String) {
        match conns.as_slice() {
            [] => {}
            [conn] => self.tell(*conn, text),
            _ => self.actions.push(Action::SendMany { conns, text }),
        }
    }
}

/// Why a message ends early.
pub(super) enum Stop {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One message on its way: when, with what at hand, and what it has come to so far.
pub(super) struct Event<'a> {
    pub(super) now: Timestamp,
    pub(super) sql: &'a dyn Sql,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) work: Work,
}

/// Relay peers, rendezvous, chunks and channels of one object.
#[derive(Debug)]
pub struct RelayDesk {
    pub(super) settings: RelaySettings,
    pub(super) entries: Quota,
    pub(super) seats: Seats,
    pub(super) peers: Peers,
    pub(super) wants: Wants,
    pub(super) channels: Channels,
    pub(super) hot: Hot,
    pub(super) points: Ids,
    pub(super) tokens: Ids,
    pub(super) sources: Ids,
    /// Rows of the chunk cache.
    pub(super) cached: u64,
    pub(super) sweep: Sweep,
    /// The stored things, as they were counted last.
    counted: Option<Counted>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Timestamp,
    rendezvous: [(u64, u64); 2],
    chunks: ChunkCounts,
}

/// Rows that are counted for everybody who asks; more are counted twice a minute, because anybody may ask.
const COUNTED_ANEW_MAX: u64 = 10_000;
/// See [`COUNTED_ANEW_MAX`].
const COUNTED_AGAIN_MS: u64 = 30_000;

/// When expired rows are looked for.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) interval_ms: u64,
    /// When next; nothing while nothing is stored.
    pub(super) at: Option<Timestamp>,
    /// Whether rows of sessions that ended without a word were seen.
    pub(super) orphans: Orphans,
    /// Whether this memory has swept before. If not, the alarm that rings may be the one that woke the object, and
    /// nobody knows any longer for when that was set.
    pub(super) memory: Memory,
}

/// See [`Sweep::memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Fresh,
    Swept,
}

/// Rows of channels whose session is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orphans {
    Seen,
    None,
}

impl Sweep {
    /// The next multiple of the interval: the same whenever the desk is asked within one interval, so that a desk that
    /// is dropped and rebuilt all the time neither moves its alarm nor puts it off.
    pub(super) fn after(&self, now: Timestamp) -> Timestamp {
        let interval_ms = self.interval_ms.max(1);
        Timestamp::from_millis((now.as_millis() / interval_ms + 1).saturating_mul(interval_ms))
    }
}

/// Silent peers that one alarm ends; the next follows at once.
const SILENT_MAX: usize = 250;

/// A grain of 60 s for the default life of 30 min.
const GRAINS_PER_LIFE: u64 = 30;

impl RelayDesk {
    /// The desk as it was, from storage and from the parts that the host kept with the sockets that are still open.
    ///
    /// Errors: [`Fault`] when storage or a part is not readable.
    pub fn load(
        settings: &Settings,
        sql: &dyn Sql,
        now: Timestamp,
        parts: impl IntoIterator<Item = (Conn, String)>,
    ) -> Result<Self, Fault> {
        let relay = settings.relay.clone();
        let (mut seats, mut peers) = (Seats::default(), Peers::default());
        for (conn, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            let (seat, peer) = decode_part(&part)?;
            seats.restore(conn, seat);
            if let Some(peer) = peer {
                peers.restore(conn, peer);
            }
        }
        let per_message = settings.signal.messages_per_minute;
        let interval_ms = settings.sweep_interval_ms;
        let sweep = Sweep { interval_ms, at: None, orphans: Orphans::None, memory: Memory::Fresh };
        let mut desk = Self {
            entries: Quota::per_minute(per_message.saturating_mul(ENTRIES_PER_MESSAGE)),
            hot: Hot::new(relay.chunk_cache_ttl_ms / GRAINS_PER_LIFE, HOT_BYTES_MAX),
            settings: relay,
            seats,
            peers,
            wants: Wants::default(),
            channels: Channels::default(),
            points: read_ids(sql, Aging::Points)?,
            tokens: read_ids(sql, Aging::Tokens)?,
            sources: read_ids(sql, Aging::Sources)?,
            cached: store::chunks::count_cached(sql)?,
            sweep,
            counted: None,
        };
        desk.restore_wants(sql)?;
        desk.restore_channels(sql)?;
        if store::is_anything_stored(sql)? || desk.sweep.orphans == Orphans::Seen {
            desk.sweep.at = Some(desk.sweep.after(now));
        }
        Ok(desk)
    }

    /// What the host must keep with the socket, given back to [`Self::load`]. Empty for a socket that needs none.
    ///
    /// Limits: ASCII, at most 500 characters.
    #[must_use]
    pub fn part(&self, conn: Conn) -> String {
        self.seats.get(conn).map_or_else(String::new, |seat| encode_part(seat, self.peers.get(conn)))
    }

    /// A text frame from a socket.
    ///
    /// Errors: [`Fault`]; then the desk must be dropped and loaded again.
    pub fn message(&mut self, turn: &mut Turn<'_>, speaker: &Speaker<'_>, frame: &str) -> Result<Work, Fault> {
        let mut event = Event { now: turn.now, sql: turn.sql, entropy: &mut *turn.entropy, work: Work::default() };
        let outcome = match parse::parse(speaker.dialect, frame) {
            Ok(Message::Ping) => {
                event.work.tell(speaker.conn, encode::pong());
                Ok(())
            }
            Ok(message) => self.follow(&mut event, speaker, message),
            Err(refusal) => Err(Stop::Refused(refusal)),
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => event.work.tell(speaker.conn, encode::error(&refusal)),
            Err(Stop::Fault(fault)) => return Err(fault),
        }
        Ok(self.finish(event))
    }

    /// Expects a sweep when something was stored.
    pub(super) fn finish(&mut self, event: Event<'_>) -> Work {
        if !event.work.statements.is_empty() && self.sweep.at.is_none() {
            self.sweep.at = Some(self.sweep.after(event.now));
        }
        event.work
    }

    fn follow(&mut self, event: &mut Event<'_>, speaker: &Speaker<'_>, message: Message<'_>) -> Result<(), Stop> {
        if message.family().is_some_and(|family| speaker.barred.contains(&family)) {
            return Err(Refusal::NotAttested.into());
        }
        if let (Some(peer_id), false) = (message.peer_id(), matches!(message, Message::Register { .. })) {
            self.seats.check(speaker, peer_id)?;
        }
        match message {
            Message::Ping => {}
            Message::Register { peer_id, connections_max, public_key } => {
                self.register(event, speaker, (&peer_id, connections_max, public_key.as_deref()))?;
            }
            Message::UpdateLoad { peer_id, connected } => {
                self.update_load(event, speaker, peer_id.as_deref(), connected);
            }
            Message::GetRelays { peer_id, count, preference } => {
                self.get_relays(event, speaker, peer_id.as_deref(), (count, preference))?;
            }
            Message::Heartbeat { peer_id } => self.heartbeat(event, speaker, &peer_id),
            Message::Rendezvous(registration) => self.rendezvous(event, speaker, &registration)?,
            Message::ChunkAnnounce { peer_id, channel, chunks } => {
                self.announce(event, speaker, (&peer_id, channel.as_deref()), &chunks)?;
            }
            Message::ChunkRequest { peer_id, chunk_id, channel } => {
                self.request(event, speaker, (peer_id.as_deref(), channel.as_deref()), &chunk_id)?;
            }
            Message::ChunkRequestMeta { peer_id, route, channel } => {
                self.request_meta(event, speaker, (peer_id.as_deref(), channel.as_deref()), &route)?;
            }
            Message::ChunkPush { chunk_id, channel, data, route, peer_id } => {
                self.push(event, speaker, (peer_id.as_deref(), channel.as_deref()), (&chunk_id, &route, data))?;
            }
            Message::OwnChannel { channel } => self.own(event, speaker, &channel)?,
            Message::Subscribe { channel } => self.subscribe(event, speaker, &channel)?,
            Message::Upstream { channel, message_id, frame } => {
                self.upstream(event, speaker, (&channel, message_id), frame)?;
            }
            Message::Stream { kind, stream_id, channel, frame } => {
                self.stream(event, speaker, (kind, &stream_id, &channel), frame)?;
            }
        }
        // A relay that would have to attest and has not is not kept in the list by what else it says.
        if !speaker.barred.contains(&AttestFamily::Relays) && self.peers.see(speaker.conn, event.now) {
            event.work.changed.push(speaker.conn);
        }
        Ok(())
    }

    /// A socket is gone, or goes now: everything that lives by it ends.
    ///
    /// Errors: as [`Self::message`].
    pub fn closed(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<Work, Fault> {
        let mut event = Event { now: turn.now, sql: turn.sql, entropy: &mut *turn.entropy, work: Work::default() };
        let Some(seat) = self.seats.leave(conn) else { return Ok(event.work) };
        self.peers.remove(conn);
        let points = match self.settings.keep_dead_drops.is_on() {
            true => store::rendezvous::remove_empty_points(seat.session),
            false => store::rendezvous::remove_points(seat.session),
        };
        event.work.statements.extend([
            store::rendezvous::remove_tokens(seat.session),
            points,
            store::chunks::remove_sources(seat.session),
        ]);
        self.leave_channels(&mut event, conn, seat.session)?;
        self.leave_wants(&mut event, conn, seat.session)?;
        Ok(self.finish(event))
    }

    /// Does what is due. May come late, twice, or for nothing.
    ///
    /// Errors: as [`Self::message`].
    pub fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<Work, Fault> {
        let mut event = Event { now: turn.now, sql: turn.sql, entropy: &mut *turn.entropy, work: Work::default() };
        self.retry_overdue(&mut event)?;
        for _ in 0..SILENT_MAX {
            let Some((seen, conn)) = self.peers.longest_silent() else { break };
            if seen.plus(self.settings.peer_ttl_ms) > event.now {
                break;
            }
            self.peers.remove(conn);
            event.work.changed.push(conn);
            event.work.silent.push(conn);
        }
        self.sweep_expired(&mut event)?;
        Ok(self.finish(event))
    }

    /// When the next alarm should ring.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let pull = self.wants.first_asked_at().map(|at| at.plus(PULL_PATIENCE_MS));
        let silence = self.peers.longest_silent().map(|(seen, _)| seen.plus(self.settings.peer_ttl_ms));
        [pull, silence, self.sweep.at].into_iter().flatten().min()
    }

    /// The body of the statistics. `connections`: open sockets, as the host counts them.
    ///
    /// Errors: as [`Self::message`].
    pub fn statistics(&mut self, sql: &dyn Sql, now: Timestamp, connections: u64) -> Result<String, Fault> {
        let stored =
            [self.points, self.tokens, self.sources].into_iter().map(|ids| ids.next.saturating_sub(ids.oldest));
        let is_large = stored.sum::<u64>() > COUNTED_ANEW_MAX;
        let known = self.counted.filter(|known| is_large && now.since(known.at) < COUNTED_AGAIN_MS);
        let counted = match known {
            Some(counted) => counted,
            None => Counted {
                at: now,
                rendezvous: store::rendezvous::count(sql, now)?,
                chunks: store::chunks::count(sql, now)?,
            },
        };
        self.counted = Some(counted);
        let Counted { rendezvous: [daily, hourly], chunks, .. } = counted;
        let counts = Counts {
            relays: self.peers.totals(),
            daily,
            hourly,
            tracked_chunks: chunks.tracked,
            sources: chunks.sources + chunks.cached,
            cached: chunks.cached,
            pending: self.wants.requesters() as u64,
            accesses: (chunks.accesses + self.hot.unwritten(), chunks.most_accesses),
        };
        Ok(encode::statistics(&counts, connections))
    }

    /// Takes `entries` from what the speaker's network may put in, and the statement that keeps it.
    ///
    /// Errors: [`Refusal::TooManyEntries`].
    pub(super) fn charge(
        &self,
        event: &Event<'_>,
        network: &ClientNetwork,
        entries: usize,
    ) -> Result<Option<Statement>, Stop> {
        if self.entries.is_off() || entries == 0 {
            return Ok(None);
        }
        let network = blind(network.as_str());
        let free_at_us = read_quota(event.sql, &network)?;
        let taken = self.entries.take_many(entries as u64, free_at_us, event.now);
        let allowance = taken.map_err(|_| Refusal::TooManyEntries)?;
        Ok(Some(put_quota(network, allowance.free_at_us)))
    }

    /// Whom the speaker is, where a message need not say: its relay id, or its code.
    ///
    /// Errors: [`Refusal::NotRegistered`], [`Refusal::PeerIdTaken`], [`Refusal::Mismatch`].
    pub(super) fn check_identity(&self, speaker: &Speaker<'_>, peer_id: Option<&str>) -> Result<(), Refusal> {
        match peer_id {
            Some(peer_id) => self.seats.check_claim(speaker, peer_id),
            None if speaker.code.is_some() => Ok(()),
            None if self.seats.get(speaker.conn).is_some_and(|seat| seat.peer_id.is_some()) => Ok(()),
            None => Err(Refusal::NotRegistered),
        }
    }

    /// Seats the speaker under the id it named, which [`Self::check_identity`] has allowed; its session.
    pub(super) fn seat(&mut self, event: &mut Event<'_>, speaker: &Speaker<'_>, peer_id: Option<&str>) -> u64 {
        let before = self.seats.get(speaker.conn).map(|seat| (seat.session, seat.peer_id.is_some()));
        if let Some(peer_id) = peer_id {
            self.seats.claim(event.entropy, speaker, peer_id);
        }
        let seat = self.seats.take(event.entropy, speaker);
        if before != Some((seat.session, seat.peer_id.is_some())) {
            event.work.changed.push(speaker.conn);
        }
        seat.session
    }

    /// The chunk's sources that are connected, longest first.
    pub(super) fn connected_sources(&self, event: &Event<'_>, chunk_id: &str) -> Result<Vec<u64>, Fault> {
        // Sessions that ended without a word stand in the way until they expire; so more are read than are needed.
        let sources = store::chunks::read_sources(event.sql, chunk_id, event.now, 100)?;
        Ok(sources.into_iter().filter(|session| self.seats.conn(*session).is_some()).collect())
    }

    pub(super) fn known(text: Option<&str>) -> Option<Rc<str>> {
        text.map(Rc::from)
    }
}
