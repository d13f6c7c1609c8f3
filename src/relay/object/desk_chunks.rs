//! The desk's part in chunks.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::desk::{Event, RelayDesk, Stop};
use crate::kernel::fault::Fault;
use crate::kernel::object::Conn;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::relay::message::{Announced, Json, Route};
use crate::relay::refusal::Refusal;
use crate::relay::seats::Speaker;
use crate::relay::store::chunks::{self as store, Term};
use crate::relay::wants::{Asked, PULL_PATIENCE_MS, Requester, Want};
use crate::relay::wire::encode::{self, Origin};
use crate::relay::wire::parse;

/// Chunks that one socket may announce.
const SOURCES_PER_SOCKET_MAX: u64 = 2_000;
/// Sources of one object. Arithmetic: about 400 bytes a row with its indices, so 400 MB.
const SOURCES_MAX: u64 = 1_000_000;
/// A word of a source stands for a new one during this part of its life, so that apps which announce all they have
/// every five minutes do not cost a row for each chunk each time.
const FRESH_PART: u64 = 8;
/// Candidates for eviction whose unwritten accesses are looked at.
const CANDIDATES: u64 = 128;
/// Silent sources that are given up in one alarm.
const OVERDUE_MAX: usize = 250;

impl RelayDesk {
    pub(super) fn restore_wants(&mut self, sql: &dyn Sql) -> Result<(), Fault> {
        for (chunk_id, requester) in store::read_requesters(sql)? {
            if let Some(conn) = self.seats.conn(requester.session) {
                self.wants.wait(conn, &chunk_id, requester);
            }
        }
        for (chunk_id, asked, tried) in store::read_wants(sql)? {
            self.wants.restore(&chunk_id, asked, tried);
        }
        Ok(())
    }

    pub(super) fn announce(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (peer_id, channel): (&str, Option<&str>),
        chunks: &[Announced<'_>],
    ) -> Result<(), Stop> {
        self.seats.check_claim(speaker, peer_id)?;
        let ids: Vec<&str> = chunks.iter().map(|chunk| chunk.chunk_id.as_ref()).collect();
        if let Some(seat) = self.seats.get(speaker.conn) {
            let others = store::count_others(event.sql, seat.session, &ids)?;
            if others + ids.len() as u64 > SOURCES_PER_SOCKET_MAX {
                return Err(Refusal::TooManyChunks("announced chunks").into());
            }
        }
        let first_id = self.sources.check(ids.len(), SOURCES_MAX, "chunk sources")?;
        let charge = self.charge(event, speaker.network, ids.len())?;

        let session = self.seat(event, speaker, Some(peer_id));
        event.work.statements.extend(charge);
        event.work.tell(speaker.conn, encode::announce_ack(ids.len()));
        if ids.is_empty() {
            return Ok(());
        }
        let ttl_ms = self.settings.chunk_source_ttl_ms;
        let expires_at = event.now.plus(ttl_ms);
        let term = Term { now: event.now, expires_at, fresh_after: expires_at.minus(ttl_ms / FRESH_PART) };
        event.work.statements.push(store::put_sources(first_id, chunks, session, term)?);
        self.sources.take(ids.len());
        self.pull_wanted(event, session, &ids)?;
        if let Some(channel) = channel {
            let conns = self.channels.subscribers(channel, speaker.conn);
            if !conns.is_empty() {
                event.work.tell_many(conns, encode::chunk_available(channel, ids));
            }
        }
        Ok(())
    }

    /// Asks a source that has just spoken for those of its chunks that somebody waits for and nobody was asked for.
    fn pull_wanted(&mut self, event: &mut Event<'_>, session: u64, ids: &[&str]) -> Result<(), Fault> {
        let mut wanted: Vec<&str> = ids.iter().copied().filter(|id| self.wants.is_awaited(id, event.now)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let refused = store::read_refused(event.sql, session, event.now, &wanted)?;
        for chunk_id in wanted.into_iter().filter(|id| !refused.iter().any(|refused| refused == id)) {
            self.wants.forgive(chunk_id, session);
            if self.wants.get(chunk_id).is_some_and(|want| want.asked.is_none()) {
                self.pull(event, chunk_id, session)?;
            } else {
                self.keep_want(event, chunk_id)?;
            }
        }
        Ok(())
    }

    /// Asks a source for a chunk that somebody waits for.
    fn pull(&mut self, event: &mut Event<'_>, chunk_id: &str, session: u64) -> Result<(), Fault> {
        self.wants.ask(chunk_id, Asked { session, at: event.now });
        self.keep_want(event, chunk_id)?;
        let channel = self
            .wants
            .get(chunk_id)
            .and_then(|want| want.requesters.values().find_map(|requester| requester.channel.clone()));
        if let Some(conn) = self.seats.conn(session) {
            event.work.tell(conn, encode::chunk_pull(chunk_id, channel.as_deref()));
        }
        Ok(())
    }

    fn keep_want(&self, event: &mut Event<'_>, chunk_id: &str) -> Result<(), Fault> {
        if let Some(want) = self.wants.get(chunk_id) {
            event.work.statements.push(store::put_want(chunk_id, want)?);
        }
        Ok(())
    }

    pub(super) fn request_meta(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        who: (Option<&str>, Option<&str>),
        route: &Route<'_>,
    ) -> Result<(), Stop> {
        self.check_identity(speaker, who.0)?;
        match store::read_at_route(event.sql, route, event.now)? {
            Some(chunk_id) => self.request(event, speaker, who, &chunk_id),
            None => {
                event.work.tell(speaker.conn, encode::route_error(route));
                Ok(())
            }
        }
    }

    pub(super) fn request(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (peer_id, channel): (Option<&str>, Option<&str>),
        chunk_id: &str,
    ) -> Result<(), Stop> {
        self.check_identity(speaker, peer_id)?;
        if let Some(body) = self.cached_body(event, chunk_id)? {
            self.seat(event, speaker, peer_id);
            event.work.tell(speaker.conn, encode::chunk_data(chunk_id, channel, &body, Origin::Cache));
            return Ok(());
        }
        self.wants.check(speaker.conn, chunk_id)?;
        self.release_expired_of(event, chunk_id)?;
        let asked = self.wants.get(chunk_id).is_some_and(|want| want.asked.is_some());
        let asker = self.seats.get(speaker.conn).map(|seat| seat.session);
        let source = if asked { None } else { self.next_source(event, chunk_id, asker)? };
        let session = self.seat(event, speaker, peer_id);
        if !asked && source.is_none() {
            let Some(_) = channel else {
                self.wait(event, speaker.conn, chunk_id, session, None);
                event.work.tell(speaker.conn, encode::chunk_not_found(chunk_id));
                return Ok(());
            };
            event.work.tell(speaker.conn, encode::chunk_error(chunk_id));
            return Ok(());
        }
        self.wait(event, speaker.conn, chunk_id, session, channel);
        if channel.is_some() {
            event.work.tell(speaker.conn, encode::chunk_pulling(chunk_id));
        }
        match source {
            Some(source) => Ok(self.pull(event, chunk_id, source)?),
            None => Ok(()),
        }
    }

    fn wait(&mut self, event: &mut Event<'_>, conn: Conn, chunk_id: &str, session: u64, channel: Option<&str>) {
        let expires_at = event.now.plus(self.settings.chunk_pending_ttl_ms);
        let requester = Requester { session, channel: Self::known(channel), expires_at };
        event.work.statements.push(store::put_requester(chunk_id, &requester));
        self.wants.wait(conn, chunk_id, requester);
    }

    /// The source to ask for a chunk. When all were in vain, somebody new who asks is worth another round.
    fn next_source(&mut self, event: &Event<'_>, chunk_id: &str, asker: Option<u64>) -> Result<Option<u64>, Fault> {
        let sources = self.connected_sources(event, chunk_id)?;
        let fresh = Want::default();
        if let Some(source) = self.wants.get(chunk_id).unwrap_or(&fresh).next_source(&sources, asker) {
            return Ok(Some(source));
        }
        for source in &sources {
            self.wants.forgive(chunk_id, *source);
        }
        Ok(self.wants.get(chunk_id).unwrap_or(&fresh).next_source(&sources, asker))
    }

    /// A cached chunk's data, from memory or storage, as one more access.
    fn cached_body(&mut self, event: &mut Event<'_>, chunk_id: &str) -> Result<Option<Rc<str>>, Fault> {
        if let Some((body, access)) = self.hot.get(event.now, chunk_id) {
            event.work.statements.extend(access.map(|access| store::put_access(chunk_id, access)));
            return Ok(Some(body));
        }
        let Some((body, expires_at, accessed_at)) = store::read_cached(event.sql, chunk_id, event.now)? else {
            return Ok(None);
        };
        let body: Rc<str> = Rc::from(body);
        self.hot.put(chunk_id, body.clone(), expires_at, accessed_at);
        let access = self.hot.get(event.now, chunk_id).and_then(|(_, access)| access);
        event.work.statements.extend(access.map(|access| store::put_access(chunk_id, access)));
        Ok(Some(body))
    }

    pub(super) fn push(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (peer_id, channel): (Option<&str>, Option<&str>),
        (chunk_id, route, data): (&str, &Route<'_>, Json<'_>),
    ) -> Result<(), Stop> {
        match peer_id {
            Some(peer_id) => self.seats.check_claim(speaker, peer_id)?,
            None if channel.is_some() => self.check_identity(speaker, None)?,
            None => {}
        }
        if !parse::is_as_claimed(chunk_id, data) {
            self.distrust(event, speaker, chunk_id)?;
            return Err(Refusal::WrongContent.into());
        }
        let requesters = self.wants.settle(chunk_id);
        if !requesters.is_empty() {
            event.work.statements.extend(store::settle(chunk_id));
        }
        let is_cached = self.cache(event, chunk_id, (channel, route), data.0)?;
        let groups = by_channel(requesters, event.now);
        let served = groups.values().map(Vec::len).sum();
        let served = channel.map(|_| (if is_cached { "true" } else { "false" }, served));
        event.work.tell(speaker.conn, encode::push_ack(chunk_id, served));
        for (channel, conns) in groups {
            event.work.tell_many(conns, encode::chunk_data(chunk_id, channel.as_deref(), data.0, Origin::Relay));
        }
        Ok(())
    }

    /// A source that pushed something else under a chunk's hash is not asked for that chunk again, and the next one is.
    fn distrust(&mut self, event: &mut Event<'_>, speaker: &Speaker<'_>, chunk_id: &str) -> Result<(), Stop> {
        let Some(session) = self.seats.get(speaker.conn).map(|seat| seat.session) else { return Ok(()) };
        let id = self.sources.check(1, SOURCES_MAX, "chunk sources")?;
        self.sources.take(1);
        let until = event.now.plus(self.settings.chunk_source_ttl_ms);
        event.work.statements.push(store::refuse_source(id, chunk_id, session, until));
        let asked = self.wants.get(chunk_id).and_then(|want| want.asked);
        if asked.is_some_and(|asked| asked.session == session) {
            self.give_up_source(event, chunk_id)?;
        }
        Ok(())
    }

    /// Keeps a chunk in the cache; whether it could.
    fn cache(
        &mut self,
        event: &mut Event<'_>,
        chunk_id: &str,
        about: (Option<&str>, &Route<'_>),
        body: &str,
    ) -> Result<bool, Fault> {
        let max = self.settings.chunk_cache_max;
        if max == 0 {
            return Ok(false);
        }
        if !store::is_cached(event.sql, chunk_id)? {
            self.make_room(event, self.cached.saturating_add(1).saturating_sub(max))?;
            self.cached += 1;
        }
        let expires_at = event.now.plus(self.settings.chunk_cache_ttl_ms);
        event.work.statements.extend(store::put_cached(chunk_id, about, body, (event.now, expires_at)));
        self.hot.put(chunk_id, Rc::from(body), expires_at, event.now);
        Ok(true)
    }

    /// Lets `count` chunks go: expired ones first, then those that nobody has wanted for the longest time.
    fn make_room(&mut self, event: &mut Event<'_>, count: u64) -> Result<(), Fault> {
        if count == 0 {
            return Ok(());
        }
        let mut gone = store::read_late_cached(event.sql, event.now, count)?;
        if (gone.len() as u64) < count {
            let mut candidates = store::read_least_recent(event.sql, CANDIDATES.max(count))?;
            candidates.retain(|(id, _)| !gone.contains(id));
            while (gone.len() as u64) < count {
                let Some(id) = self.hot.least_recent(&candidates).map(str::to_owned) else { break };
                candidates.retain(|(candidate, _)| *candidate != id);
                gone.push(id);
            }
        }
        self.uncache(event, &gone)
    }

    /// Lets chunks of the cache go.
    pub(super) fn uncache(&mut self, event: &mut Event<'_>, gone: &[String]) -> Result<(), Fault> {
        if gone.is_empty() {
            return Ok(());
        }
        gone.iter().for_each(|id| self.hot.remove(id));
        self.cached = self.cached.saturating_sub(gone.len() as u64);
        event.work.statements.extend(store::remove_cached(gone)?);
        Ok(())
    }

    /// Gives up the source that was asked for a chunk, and asks the next. When there is none, those who wait are told:
    /// the elder dialect's stay in the queue, the younger's do not.
    fn give_up_source(&mut self, event: &mut Event<'_>, chunk_id: &str) -> Result<(), Fault> {
        self.wants.give_up_source(chunk_id);
        let sources = self.connected_sources(event, chunk_id)?;
        let Some(want) = self.wants.get(chunk_id) else { return Ok(()) };
        if let Some(source) = want.next_source(&sources, None).filter(|_| self.wants.is_awaited(chunk_id, event.now)) {
            return self.pull(event, chunk_id, source);
        }
        let awaiting = want.requesters.iter().filter(|(_, requester)| requester.expires_at > event.now);
        let (leaving, staying): (Vec<_>, Vec<_>) = awaiting.partition(|(_, requester)| requester.channel.is_some());
        let conns = |group: &[(&Conn, &Requester)]| group.iter().map(|(conn, _)| **conn).collect::<Vec<_>>();
        let (staying, leaving_conns) = (conns(&staying), conns(&leaving));
        let sessions: Vec<u64> = leaving.iter().map(|(_, requester)| requester.session).collect();
        event.work.tell_many(staying, encode::chunk_not_found(chunk_id));
        event.work.tell_many(leaving_conns.clone(), encode::chunk_error(chunk_id));
        for (conn, session) in leaving_conns.into_iter().zip(sessions) {
            event.work.statements.push(store::remove_requester(session, &[chunk_id])?);
            self.wants.release(conn, chunk_id);
        }
        match self.wants.get(chunk_id) {
            Some(_) => self.keep_want(event, chunk_id),
            None => {
                event.work.statements.extend(store::settle(chunk_id));
                Ok(())
            }
        }
    }

    /// Turns to other sources where the asked ones have been silent for too long.
    pub(super) fn retry_overdue(&mut self, event: &mut Event<'_>) -> Result<(), Fault> {
        for chunk_id in self.wants.overdue(event.now.minus(PULL_PATIENCE_MS), OVERDUE_MAX) {
            self.give_up_source(event, &chunk_id)?;
        }
        Ok(())
    }

    /// A socket is gone that may have waited for chunks, and may have been asked for some.
    pub(super) fn leave_wants(&mut self, event: &mut Event<'_>, conn: Conn, session: u64) -> Result<(), Fault> {
        let awaited = self.wants.awaited_by(conn);
        if !awaited.is_empty() {
            let ids: Vec<&str> = awaited.iter().map(|id| &**id).collect();
            event.work.statements.push(store::remove_requester(session, &ids)?);
            for id in ids {
                if self.wants.release(conn, id) {
                    event.work.statements.extend(store::settle(id));
                }
            }
        }
        for chunk_id in self.wants.asked_of(session) {
            self.give_up_source(event, &chunk_id)?;
        }
        Ok(())
    }

    /// Forgets who has waited too long for a chunk: whoever asks after the last of them begins anew.
    fn release_expired_of(&mut self, event: &mut Event<'_>, chunk_id: &str) -> Result<(), Fault> {
        for (conn, session) in self.wants.expired_of(chunk_id, event.now) {
            event.work.statements.push(store::remove_requester(session, &[chunk_id])?);
            if self.wants.release(conn, chunk_id) {
                event.work.statements.extend(store::settle(chunk_id));
            }
        }
        Ok(())
    }

    /// Forgets who has waited too long.
    pub(super) fn release_expired(&mut self, event: &mut Event<'_>) {
        for (conn, chunk_id) in self.wants.expired(event.now) {
            self.wants.release(conn, &chunk_id);
        }
        event.work.statements.extend(store::sweep_requesters(event.now));
    }
}

/// Those who still wait, by the channel that their answer must name.
fn by_channel(requesters: BTreeMap<Conn, Requester>, now: Timestamp) -> BTreeMap<Option<Rc<str>>, Vec<Conn>> {
    let mut groups: BTreeMap<Option<Rc<str>>, Vec<Conn>> = BTreeMap::new();
    for (conn, requester) in requesters.into_iter().filter(|(_, requester)| requester.expires_at > now) {
        groups.entry(requester.channel).or_default().push(conn);
    }
    groups
}
