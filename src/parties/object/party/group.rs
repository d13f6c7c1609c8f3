//! What HTTP calls and messages of sockets do alike: opening, joining, leaving, changing, signalling.

use super::work::{Arrival, Post, Work, Write};
use super::{Halt, PartyRoom};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Conn, Turn};
use crate::kernel::time::Timestamp;
use crate::parties::announcements::{News, Subject};
use crate::parties::ears::{Ear, Voice};
use crate::parties::liveness::{Flush, REFRESH_MS};
use crate::parties::naive::{Offset, deduce_offset, parse_stamp};
use crate::parties::party::{Change, Departure, Entry, Party, Pass, Shut};
use crate::parties::peer::{Introduction, PeerChange};
use crate::parties::refusal::Refusal;
use crate::parties::signals::{Makes, Sent, Signal};
use crate::parties::store::party as store;
use crate::parties::tries::Tries;
use crate::parties::wire::frames::encode_signal;

/// The close code of a socket that had to go for a newer one of the same peer.
const REPLACED: u16 = 4409;

pub(super) fn offset_of(last_seen: &str, now: Timestamp) -> Offset {
    parse_stamp(last_seen).map_or(Offset::UTC, |stamp| deduce_offset(stamp, now))
}

impl PartyRoom {
    /// Opens the party, or lets its host say anew what it said.
    pub(super) fn open_party(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        host: &Introduction,
        work: &mut Work,
    ) -> Result<Arrival, Refusal> {
        let (now, offset) = (turn.now, offset_of(&host.last_seen, turn.now));
        let peer_id = &host.peer.peer_id;
        if let Some(party) = &mut self.party {
            if party.host_id != *peer_id {
                return Err(Refusal::PartyExists(party.party_id.clone()));
            }
            let changes = party.enter(now, host.peer.clone(), offset, &Entry::Again);
            work.rules(changes);
            self.see(now, peer_id, work);
            return Ok(Arrival::Again);
        }
        self.announcements.check()?;
        let (party, changes) = Party::found(now, &self.party_id, name, host.peer.clone(), offset);
        self.party = Some(party);
        work.rules(changes);
        work.write(Write::Liveness);
        self.put_news(turn, Subject::Party, News::Begun, work);
        self.put_news(turn, Subject::Peer(peer_id.clone()), News::Begun, work);
        Ok(Arrival::New)
    }

    /// Lets a peer in, or lets it say anew what it said. A wrong password or invite is counted, and is all that a refusal
    /// leaves behind.
    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        network: &str,
        (peer, pass): (&Introduction, Pass<'_>),
        work: &mut Work,
    ) -> Result<Arrival, Refusal> {
        let (now, peer_id) = (turn.now, &peer.peer.peer_id);
        let party = self.known(&self.party_id)?;
        let is_try = party.asks_for_secret(peer_id) && pass != Pass::default() && !party.bans.is_banned(now, peer_id);
        if is_try {
            self.tries.check(now, network)?;
        }
        let key = self.settings.party.token_key.as_ref();
        let entry = match party.check_entry(now, peer_id, pass, |hash, password| hash.matches(key, password)) {
            Ok(entry) => entry,
            Err(Shut::Plain(refusal)) => return Err(refusal),
            Err(Shut::Wrong(refusal)) => {
                count_try(&mut self.tries, now, network, work);
                return Err(refusal);
            }
        };
        if entry != Entry::Again {
            self.announcements.check()?;
        }
        let offset = offset_of(&peer.last_seen, now);
        let Some(party) = &mut self.party else { return Err(Refusal::PartyNotFound(self.party_id.clone())) };
        let changes = party.enter(now, peer.peer.clone(), offset, &entry);
        work.rules(changes);
        if entry == Entry::Again {
            self.see(now, peer_id, work);
            return Ok(Arrival::Again);
        }
        work.write(Write::Liveness);
        self.put_news(turn, Subject::Peer(peer_id.clone()), News::Begun, work);
        Ok(Arrival::New)
    }

    /// A member goes, or is made to go by the host.
    pub(super) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &str,
        peer_id: &str,
        work: &mut Work,
    ) -> Result<Departure, Halt> {
        let is_host = self.party.as_ref().is_some_and(|party| party.host_id == caller);
        if caller != peer_id && !is_host {
            return Err(Refusal::NotRequestedPeer.into());
        }
        if !self.known(&self.party_id)?.has(peer_id) {
            return Err(Refusal::PeerNotInParty(peer_id.to_owned()).into());
        }
        Ok(self.remove(turn, peer_id, work)?)
    }

    /// Removes a member: everybody hears it, its sockets too, and hear no more.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, peer_id: &str, work: &mut Work) -> Result<Departure, Fault> {
        let Some(party) = &mut self.party else { return Ok(Departure::Ended) };
        self.waiting.clear(peer_id);
        work.write(Write::ClearSignals(peer_id.to_owned()));
        let others: Vec<String> = party.members.keys().filter(|other| *other != peer_id).cloned().collect();
        let (departure, changes) = party.depart(peer_id);
        self.post_left(peer_id, work);
        for ear in self.ears.of_peer(peer_id).to_vec() {
            self.ears.forget(&ear);
            work.touch(&ear);
        }
        self.put_news(turn, Subject::Peer(peer_id.to_owned()), News::Over, work);
        match departure {
            Departure::Left => work.rules(changes),
            Departure::Promoted => {
                work.rules(changes);
                let everybody: Vec<Ear> = self.ears.all().map(|(ear, _)| ear.clone()).collect();
                self.post_whole(turn.now, &everybody, work)?;
            }
            Departure::Ended => self.end(turn, others, work),
        }
        Ok(departure)
    }

    fn end(&mut self, turn: &mut Turn<'_>, others: Vec<String>, work: &mut Work) {
        let everybody: Vec<Ear> = self.ears.all().map(|(ear, _)| ear.clone()).collect();
        for ear in everybody {
            self.ears.forget(&ear);
            if matches!(ear, Ear::Own(_)) {
                work.touch(&ear);
            }
        }
        for other in others {
            self.waiting.clear(&other);
            self.put_news(turn, Subject::Peer(other), News::Over, work);
        }
        self.put_news(turn, Subject::Party, News::Over, work);
        self.party = None;
        (self.tries, self.refresh_at, self.relay_list) = (Tries::default(), None, None);
        work.write(Write::Rule(Change::Ended));
    }

    /// Changes what a member says about itself.
    pub(super) fn update(
        &mut self,
        now: Timestamp,
        peer_id: &str,
        change: &PeerChange,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let member = self.known(&self.party_id)?.member(peer_id)?;
        let offset = change.last_seen.as_deref().map_or(member.offset, |stamp| offset_of(stamp, now));
        let peer = member.peer.changed(change);
        if let Some(party) = &mut self.party {
            let changes = party.enter(now, peer, offset, &Entry::Again);
            work.rules(changes);
        }
        self.see(now, peer_id, work);
        Ok(())
    }

    /// A member is alive.
    pub(super) fn beat(&mut self, now: Timestamp, peer_id: &str, work: &mut Work) -> Result<(), Refusal> {
        self.known(&self.party_id)?.member(peer_id)?;
        self.see(now, peer_id, work);
        Ok(())
    }

    pub(super) fn see(&mut self, now: Timestamp, peer_id: &str, work: &mut Work) {
        if let Some(party) = &mut self.party
            && self.times.see(now, party, &self.ears, peer_id) == Flush::Due
        {
            work.write(Write::Liveness);
        }
    }

    /// Brings a signal to the peer's sockets, or keeps it.
    pub(super) fn signal(
        &mut self,
        now: Timestamp,
        from: &str,
        (to, payload): (String, String),
        work: &mut Work,
    ) -> Result<Sent, Refusal> {
        let party = self.known(&self.party_id)?;
        party.check_member(from)?;
        if !party.has(&to) {
            return Err(Refusal::PeerNotInParty(to));
        }
        let signal = Signal { from_peer_id: from.to_owned(), to_peer_id: to, payload, sent_at: now };
        let ears = self.ears.of_peer(&signal.to_peer_id).to_vec();
        let sent = if ears.is_empty() {
            self.keep_signal(signal, work)?;
            Sent::Queued
        } else {
            let text = encode_signal(&self.party_id, &signal);
            work.posts.push(Post { to: ears, text, signal: Some(signal) });
            Sent::Pushed
        };
        self.see(now, from, work);
        Ok(sent)
    }

    /// Keeps a signal until its peer polls or comes back.
    pub(super) fn keep_signal(&mut self, signal: Signal, work: &mut Work) -> Result<(), Refusal> {
        if self.waiting.add(&self.party_id, &signal.to_peer_id)? == Makes::OldestGo {
            work.write(Write::DropOldestSignal(signal.to_peer_id.clone()));
        }
        let seq = self.next_signal;
        self.next_signal += 1;
        work.write(Write::Signal { seq, signal });
        Ok(())
    }

    /// The signals that waited for a peer, which wait no longer.
    pub(super) fn take_signals(
        &mut self,
        turn: &Turn<'_>,
        peer_id: &str,
        work: &mut Work,
    ) -> Result<Vec<Signal>, Fault> {
        if self.waiting.count(peer_id) == 0 {
            return Ok(Vec::new());
        }
        let signals = store::load_signals(turn.sql, peer_id)?;
        self.waiting.clear(peer_id);
        work.write(Write::ClearSignals(peer_id.to_owned()));
        Ok(signals)
    }

    /// Subscribes a member's socket.
    pub(super) fn subscribe(
        &mut self,
        now: Timestamp,
        (ear, peer_id): (&Ear, &str),
        (offset, voice): (Offset, Voice),
        work: &mut Work,
    ) {
        let was_present = self.ears.is_present(peer_id);
        let replaced = self.ears.listen(ear, peer_id, offset, voice);
        work.touch(ear);
        if !was_present && self.ears.is_present(peer_id) {
            work.write(Write::Liveness);
        }
        match replaced {
            Some(Ear::Own(conn)) => {
                self.close(now, conn, (REPLACED, "Replaced by a newer connection"), work);
            }
            Some(remote @ Ear::Remote { .. }) => self.unsubscribe(now, &remote, work),
            None => {}
        }
    }

    /// Sends a subscribed socket everything that it may have missed.
    pub(super) fn catch_up(
        &mut self,
        turn: &Turn<'_>,
        (ear, peer_id): (&Ear, &str),
        work: &mut Work,
    ) -> Result<(), Fault> {
        for signal in self.take_signals(turn, peer_id, work)? {
            let text = encode_signal(&self.party_id, &signal);
            work.posts.push(Post { to: vec![ear.clone()], text, signal: Some(signal) });
        }
        Ok(())
    }

    /// Ends a subscription. If it kept its peer alive, the peer was alive until now.
    pub(super) fn unsubscribe(&mut self, now: Timestamp, ear: &Ear, work: &mut Work) {
        let Some(hearing) = self.ears.forget(ear) else { return };
        work.touch(ear);
        if hearing.voice == Voice::Silent || self.ears.is_present(&hearing.peer_id) {
            return;
        }
        if let Some(member) = self.party.as_mut().and_then(|party| party.members.get_mut(&hearing.peer_id)) {
            member.seen_at = now;
            work.write(Write::Liveness);
        }
    }

    /// Closes one of the party's own sockets.
    pub(super) fn close(&mut self, now: Timestamp, conn: Conn, (code, reason): (u16, &'static str), work: &mut Work) {
        self.drop_socket(now, conn, work);
        work.actions.push(Action::Close { conn, code, reason });
    }

    /// Members without a sign of life go. A host who goes so ends the party as one who leaves.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>, work: &mut Work) -> Result<(), Fault> {
        let Some(party) = &self.party else { return Ok(()) };
        for peer_id in self.times.expired(turn.now, party, &self.ears) {
            if self.party.as_ref().is_some_and(|party| party.has(&peer_id)) {
                self.remove(turn, &peer_id, work)?;
            }
        }
        Ok(())
    }

    /// Sends every listener the whole party before its client takes the members for gone.
    pub(super) fn refresh(&mut self, now: Timestamp, work: &mut Work) -> Result<(), Fault> {
        if self.refresh_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let everybody: Vec<Ear> = self.ears.all().map(|(ear, _)| ear.clone()).collect();
        self.refresh_at = if everybody.is_empty() { None } else { Some(now.plus(REFRESH_MS)) };
        work.write(Write::Liveness);
        self.post_whole(now, &everybody, work)
    }
}

fn count_try(tries: &mut Tries, now: Timestamp, network: &str, work: &mut Work) {
    for forgotten in tries.miss(now, network) {
        work.write(Write::Try(forgotten));
    }
    work.write(Write::Try(network.to_owned()));
}
