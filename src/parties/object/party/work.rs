//! What an event has come to: what must be written, and who must be told, in order.

use std::collections::BTreeMap;

use super::PartyRoom;
use super::errands::Kind;
use crate::kernel::errand::Errand;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Conn, Turn};
use crate::kernel::sql::Statement;
use crate::kernel::time::Timestamp;
use crate::parties::announcements::{News, Subject};
use crate::parties::ears::{Ear, Voice};
use crate::parties::liveness::{Flush, REFRESH_MS, Times, last_seen};
use crate::parties::naive::Offset;
use crate::parties::party::Change;
use crate::parties::signals::Signal;
use crate::parties::store::party as store;
use crate::parties::token::shard_of_peer;
use crate::parties::wire::attachment;
use crate::parties::wire::errand;
use crate::parties::wire::frames::{encode_error, encode_joined, encode_left, encode_update};
use crate::parties::wire::party::{PartyBody, Reader};
use crate::parties::wire::peer::PeerBody;

/// Members up to whom everybody is sent the whole party at every arrival; more would be a party's size squared. Beyond
/// them the others are sent the newcomer only, and the whole party with the next refresh.
const WHOLE_TO_ALL_MAX: usize = 64;

/// Something to write. The state is read when it is written; only signals are written in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Rule(Change),
    Liveness,
    Listener { gateway: String, conn: u32 },
    Announcement(Subject),
    Try(String),
    Signal { seq: u64, signal: Signal },
    DropOldestSignal(String),
    ClearSignals(String),
    RelayList,
}

/// A frame for some sockets.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) to: Vec<Ear>,
    pub(super) text: String,
    /// What is kept for the peer if no socket takes it.
    pub(super) signal: Option<Signal>,
}

/// Whether an arrival is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Again,
}

#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) writes: Vec<Write>,
    pub(super) posts: Vec<Post>,
    /// What happens after the posts.
    pub(super) actions: Vec<Action>,
    /// Sockets whose attachment changed.
    pub(super) attach: Vec<Conn>,
}

impl Work {
    pub(super) const fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.posts.is_empty() && self.actions.is_empty() && self.attach.is_empty()
    }

    pub(super) fn write(&mut self, write: Write) {
        if write == Write::Rule(Change::Ended) {
            // What was to be written goes with the party; what others must be told does not.
            self.writes.retain(|write| matches!(write, Write::Announcement(_)));
        }
        let is_new = matches!(write, Write::Signal { .. } | Write::DropOldestSignal(_) | Write::ClearSignals(_))
            || !self.writes.contains(&write);
        if is_new {
            self.writes.push(write);
        }
    }

    pub(super) fn rules(&mut self, changes: Vec<Change>) {
        changes.into_iter().for_each(|change| self.write(Write::Rule(change)));
    }

    pub(super) fn post(&mut self, to: Vec<Ear>, text: String) {
        if !to.is_empty() {
            self.posts.push(Post { to, text, signal: None });
        }
    }

    pub(super) fn error(&mut self, ear: &Ear, message: &str) {
        self.post(vec![ear.clone()], encode_error(message));
    }

    /// A subscription changed.
    pub(super) fn touch(&mut self, ear: &Ear) {
        match ear {
            Ear::Own(conn) if !self.attach.contains(conn) => self.attach.push(*conn),
            Ear::Own(_) => {}
            Ear::Remote { gateway, conn } => self.write(Write::Listener { gateway: gateway.clone(), conn: *conn }),
        }
    }
}

impl PartyRoom {
    /// Writes everything, then says everything.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>, work: Work) -> Result<(), Fault> {
        self.finish_but(turn, work, None).map(drop)
    }

    /// As [`Self::finish`]; what goes to one socket is returned instead.
    pub(super) fn finish_but(
        &mut self,
        turn: &mut Turn<'_>,
        mut work: Work,
        but: Option<&Ear>,
    ) -> Result<Vec<String>, Fault> {
        let now = turn.now;
        if std::mem::replace(&mut self.flush, Flush::NotDue) == Flush::Due {
            work.write(Write::Liveness);
        }
        if !self.ears.is_empty() && self.refresh_at.is_none() {
            self.refresh_at = Some(now.plus(REFRESH_MS));
            work.write(Write::Liveness);
        }
        let mut asks = Vec::new();
        for (subject, news, number) in self.announcements.take_due(now) {
            asks.push((Kind::Announcement.ticket(number), self.announce(&subject, news)?));
            work.write(Write::Announcement(subject));
        }
        let has_changed = !work.writes.is_empty() || !work.attach.is_empty();
        let batch = self.statements(now, &work.writes);
        turn.commit(batch)?;
        if has_changed {
            self.count_expiry();
        }
        let frames = self.say(turn, work.posts, but)?;
        turn.actions.append(&mut work.actions);
        for conn in work.attach {
            self.limit_stay(now, conn);
            if let Some(socket) = self.sockets.get(&conn) {
                let attachment = attachment::encode(socket, self.ears.get(&Ear::Own(conn)))?;
                turn.actions.push(Action::Attach { conn, attachment });
            }
        }
        for (ticket, errand) in asks {
            turn.ask(ticket, errand);
        }
        Ok(frames)
    }

    fn announce(&self, subject: &Subject, news: News) -> Result<Errand, Fault> {
        match subject {
            Subject::Party => errand::tell_census(&self.party_id, news),
            Subject::Peer(peer_id) => errand::tell_membership(&shard_of_peer(peer_id), &self.party_id, peer_id, news),
        }
    }

    fn statements(&mut self, now: Timestamp, writes: &[Write]) -> Vec<Statement> {
        let mut batch = Vec::new();
        for write in writes {
            match write {
                Write::Rule(change) => batch.extend(store::change_statements(self.party.as_ref(), change)),
                Write::Liveness => batch.extend(self.liveness_statement(now)),
                Write::Listener { gateway, conn } => {
                    let ear = Ear::Remote { gateway: gateway.clone(), conn: *conn };
                    batch.push(store::put_listener(gateway, *conn, self.ears.get(&ear)));
                }
                Write::Announcement(subject) => {
                    let announcement = self.announcements.get(subject);
                    batch.push(store::put_announcement(&self.party_id, subject, announcement));
                }
                Write::Try(network) => batch.push(store::put_try(network, self.tries.get(network))),
                Write::Signal { seq, signal } => batch.push(store::add_signal(*seq, signal)),
                Write::DropOldestSignal(peer_id) => batch.push(store::drop_oldest_signal(peer_id)),
                Write::ClearSignals(peer_id) => batch.push(store::clear_signals(peer_id)),
                Write::RelayList => batch.extend(self.relay_list.as_deref().map(store::put_relay_list)),
            }
        }
        batch
    }

    fn liveness_statement(&mut self, now: Timestamp) -> Option<Statement> {
        let party = self.party.as_mut()?;
        Times::flush(now, party, &self.ears);
        let is_own = |ear: &&Ear| matches!(ear, Ear::Own(_));
        let speaks = |ear: &Ear| self.ears.get(ear).is_some_and(|hearing| hearing.voice == Voice::Spoken);
        let seen = party.members.iter().map(|(peer_id, member)| {
            let by_own = self.ears.of_peer(peer_id).iter().filter(is_own).any(speaks);
            let by = if by_own { Voice::Spoken } else { Voice::Silent };
            (member.seq, store::Seen { at: member.stored_at, by })
        });
        Some(store::put_liveness(&seen.collect(), self.refresh_at))
    }

    /// The whole party, to each by its own clock.
    pub(super) fn post_whole(&self, now: Timestamp, to: &[Ear], work: &mut Work) -> Result<(), Fault> {
        let Some(party) = &self.party else { return Ok(()) };
        for (offset, ears) in self.by_offset(to) {
            work.post(ears, encode_update(PartyBody::new(party, &self.ears, Reader { now, offset }))?);
        }
        Ok(())
    }

    fn by_offset(&self, to: &[Ear]) -> BTreeMap<Offset, Vec<Ear>> {
        let mut by_offset: BTreeMap<Offset, Vec<Ear>> = BTreeMap::new();
        for ear in to {
            if let Some(hearing) = self.ears.get(ear) {
                by_offset.entry(hearing.offset).or_default().push(ear.clone());
            }
        }
        by_offset
    }

    /// Everybody hears of an arrival; who arrives hears of everybody.
    pub(super) fn post_arrival(
        &self,
        now: Timestamp,
        (peer_id, arrival): (&str, Arrival),
        work: &mut Work,
    ) -> Result<(), Fault> {
        let Some((party, member)) = self.party.as_ref().and_then(|party| Some((party, party.members.get(peer_id)?)))
        else {
            return Ok(());
        };
        let (own, others): (Vec<_>, Vec<_>) = self.ears.all().partition(|(_, hearing)| hearing.peer_id == peer_id);
        let ears = |list: Vec<(&Ear, _)>| list.into_iter().map(|(ear, _)| ear.clone()).collect::<Vec<_>>();
        let (own, others) = (ears(own), ears(others));
        let is_small = party.members.len() <= WHOLE_TO_ALL_MAX;
        if arrival == Arrival::New || !is_small {
            let seen_at = last_seen(now, party, &self.ears, peer_id);
            for (offset, ears) in self.by_offset(&others) {
                work.post(ears, encode_joined(&party.party_id, &PeerBody::new(&member.peer, seen_at, offset))?);
            }
        }
        let whole = if is_small { [own, others].concat() } else { own };
        self.post_whole(now, &whole, work)
    }

    /// Everybody hears that somebody is gone.
    pub(super) fn post_left(&self, peer_id: &str, work: &mut Work) {
        let everybody = self.ears.all().map(|(ear, _)| ear.clone()).collect();
        work.post(everybody, encode_left(&self.party_id, peer_id));
    }

    /// Announces something to other objects.
    pub(super) fn put_news(&mut self, turn: &mut Turn<'_>, subject: Subject, news: News, work: &mut Work) {
        self.announcements.put(turn.now, subject.clone(), news, turn.entropy);
        work.write(Write::Announcement(subject));
    }
}
