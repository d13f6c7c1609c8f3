//! Who waits for which chunk, and which source was asked for it: one pull per chunk, however many wait.
//!
//! A machine over the tables `chunk_requester` and `chunk_want`, which hold the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::refusal::Refusal;
use crate::kernel::object::Conn;
use crate::kernel::time::Timestamp;

/// How long a source may take before another is asked.
pub const PULL_PATIENCE_MS: u64 = 2_000;
/// Chunks that one socket may wait for.
pub const WANTS_PER_SOCKET_MAX: usize = 256;
/// Waiting sockets, summed over chunks. Arithmetic: about 300 bytes each in memory, so 15 MB.
pub const REQUESTERS_MAX: usize = 50_000;
/// Sources that are asked in vain for one chunk.
const TRIED_MAX: usize = 32;

/// A socket that waits for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Its session.
    pub session: u64,
    /// The channel it asked for, when it speaks the younger dialect.
    pub channel: Option<Rc<str>>,
    /// When it waits no longer.
    pub expires_at: Timestamp,
}

/// A source that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its session.
    pub session: u64,
    /// When.
    pub at: Timestamp,
}

/// A chunk that somebody waits for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Want {
    /// Who waits.
    pub requesters: BTreeMap<Conn, Requester>,
    /// The source that was asked last and has not answered.
    pub asked: Option<Asked>,
    /// Sources that were asked in vain.
    pub tried: Vec<u64>,
}

impl Want {
    /// The source to ask next: the first that was not asked in vain, one that does not wait itself if there is one.
    /// `asker`: a session that is about to wait.
    #[must_use]
    pub fn next_source(&self, sources: &[u64], asker: Option<u64>) -> Option<u64> {
        if self.tried.len() >= TRIED_MAX {
            return None;
        }
        let untried = || sources.iter().copied().filter(|source| !self.tried.contains(source));
        let waits = |source: u64| {
            asker == Some(source) || self.requesters.values().any(|requester| requester.session == source)
        };
        untried().find(|source| !waits(*source)).or_else(|| untried().next())
    }

    fn is_awaited(&self, now: Timestamp) -> bool {
        self.requesters.values().any(|requester| requester.expires_at > now)
    }
}

/// All wanted chunks of one desk.
#[derive(Debug, Default)]
pub struct Wants {
    by_chunk: HashMap<Rc<str>, Want>,
    chunks_by_conn: HashMap<Conn, BTreeSet<Rc<str>>>,
    chunks_by_source: HashMap<u64, BTreeSet<Rc<str>>>,
    by_asked_at: BTreeSet<(Timestamp, Rc<str>)>,
    requesters: usize,
}

impl Wants {
    /// The chunk, if somebody waits for it.
    #[must_use]
    pub fn get(&self, chunk_id: &str) -> Option<&Want> {
        self.by_chunk.get(chunk_id)
    }

    /// Whether somebody waits for the chunk at `now`.
    #[must_use]
    pub fn is_awaited(&self, chunk_id: &str, now: Timestamp) -> bool {
        self.get(chunk_id).is_some_and(|want| want.is_awaited(now))
    }

    /// Sockets that wait, summed over chunks.
    #[must_use]
    pub const fn requesters(&self) -> usize {
        self.requesters
    }

    /// Whether nobody waits for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_chunk.is_empty()
    }

    /// Whether `conn` may wait for one more chunk.
    ///
    /// Errors: [`Refusal::TooManyChunks`], [`Refusal::Full`].
    pub fn check(&self, conn: Conn, chunk_id: &str) -> Result<(), Refusal> {
        let waiting = self.chunks_by_conn.get(&conn);
        if waiting.is_some_and(|chunks| chunks.contains(chunk_id)) {
            return Ok(());
        }
        if waiting.map_or(0, BTreeSet::len) >= WANTS_PER_SOCKET_MAX {
            return Err(Refusal::TooManyChunks("pending chunk requests"));
        }
        if self.requesters >= REQUESTERS_MAX { Err(Refusal::Full("pending chunk requests")) } else { Ok(()) }
    }

    /// Lets a socket wait; again is the same as anew.
    pub fn wait(&mut self, conn: Conn, chunk_id: &str, requester: Requester) {
        let id = match self.by_chunk.get_key_value(chunk_id) {
            Some((id, _)) => id.clone(),
            None => Rc::from(chunk_id),
        };
        self.chunks_by_conn.entry(conn).or_default().insert(id.clone());
        if self.by_chunk.entry(id).or_default().requesters.insert(conn, requester).is_none() {
            self.requesters += 1;
        }
    }

    /// Notes what the storage knows of a chunk that somebody waits for.
    pub fn restore(&mut self, chunk_id: &str, asked: Option<Asked>, tried: Vec<u64>) {
        if let Some(want) = self.by_chunk.get_mut(chunk_id) {
            want.tried = tried;
        }
        if let Some(asked) = asked {
            self.ask(chunk_id, asked);
        }
    }

    /// Notes that a source was asked.
    pub fn ask(&mut self, chunk_id: &str, asked: Asked) {
        self.unask(chunk_id);
        let Some((id, _)) = self.by_chunk.get_key_value(chunk_id) else { return };
        let id = id.clone();
        if let Some(want) = self.by_chunk.get_mut(&id) {
            want.asked = Some(asked);
        }
        self.by_asked_at.insert((asked.at, id.clone()));
        self.chunks_by_source.entry(asked.session).or_default().insert(id);
    }

    fn unask(&mut self, chunk_id: &str) -> Option<Asked> {
        let (id, want) = self.by_chunk.get_key_value(chunk_id)?;
        let (id, asked) = (id.clone(), want.asked?);
        self.by_asked_at.remove(&(asked.at, id.clone()));
        if let Some(chunks) = self.chunks_by_source.get_mut(&asked.session) {
            chunks.remove(&id);
            if chunks.is_empty() {
                self.chunks_by_source.remove(&asked.session);
            }
        }
        self.by_chunk.get_mut(&id)?.asked.take()
    }

    /// Notes that the source that was asked does not answer, and is not to be asked again.
    pub fn give_up_source(&mut self, chunk_id: &str) {
        let Some(asked) = self.unask(chunk_id) else { return };
        if let Some(want) = self.by_chunk.get_mut(chunk_id) {
            want.tried.push(asked.session);
        }
    }

    /// Notes that a source says anew to hold the chunk.
    pub fn forgive(&mut self, chunk_id: &str, session: u64) {
        if let Some(want) = self.by_chunk.get_mut(chunk_id) {
            want.tried.retain(|tried| *tried != session);
        }
    }

    /// The chunks whose source was asked at `before` or earlier and has not answered.
    #[must_use]
    pub fn overdue(&self, before: Timestamp, limit: usize) -> Vec<Rc<str>> {
        self.by_asked_at.iter().take_while(|(at, _)| *at <= before).take(limit).map(|(_, id)| id.clone()).collect()
    }

    /// When the longest unanswered source was asked.
    #[must_use]
    pub fn first_asked_at(&self) -> Option<Timestamp> {
        self.by_asked_at.first().map(|(at, _)| *at)
    }

    /// The chunks that a source was asked for.
    #[must_use]
    pub fn asked_of(&self, session: u64) -> Vec<Rc<str>> {
        self.chunks_by_source.get(&session).into_iter().flatten().cloned().collect()
    }

    /// Nobody waits any longer; who did.
    pub fn settle(&mut self, chunk_id: &str) -> BTreeMap<Conn, Requester> {
        self.unask(chunk_id);
        let Some(want) = self.by_chunk.remove(chunk_id) else { return BTreeMap::new() };
        for conn in want.requesters.keys() {
            self.forget(*conn, chunk_id);
        }
        want.requesters
    }

    fn forget(&mut self, conn: Conn, chunk_id: &str) {
        self.requesters = self.requesters.saturating_sub(1);
        if let Some(chunks) = self.chunks_by_conn.get_mut(&conn) {
            chunks.remove(chunk_id);
            if chunks.is_empty() {
                self.chunks_by_conn.remove(&conn);
            }
        }
    }

    /// A socket waits no longer for a chunk; whether nobody else does.
    pub fn release(&mut self, conn: Conn, chunk_id: &str) -> bool {
        let Some(want) = self.by_chunk.get_mut(chunk_id) else { return false };
        if want.requesters.remove(&conn).is_some() {
            self.forget(conn, chunk_id);
        }
        if self.by_chunk.get(chunk_id).is_some_and(|want| want.requesters.is_empty()) {
            self.settle(chunk_id);
            return true;
        }
        false
    }

    /// The chunks that a socket waits for.
    #[must_use]
    pub fn awaited_by(&self, conn: Conn) -> Vec<Rc<str>> {
        self.chunks_by_conn.get(&conn).into_iter().flatten().cloned().collect()
    }

    /// Who has waited too long for this chunk.
    #[must_use]
    pub fn expired_of(&self, chunk_id: &str, now: Timestamp) -> Vec<(Conn, u64)> {
        let all = self.get(chunk_id).into_iter().flat_map(|want| &want.requesters);
        all.filter(|(_, one)| one.expires_at <= now).map(|(conn, one)| (*conn, one.session)).collect()
    }

    /// Who has waited too long.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Vec<(Conn, Rc<str>)> {
        let of = |(id, want): (&Rc<str>, &Want)| {
            let late = want.requesters.iter().filter(|(_, requester)| requester.expires_at <= now);
            late.map(|(conn, _)| (*conn, id.clone())).collect::<Vec<_>>()
        };
        self.by_chunk.iter().flat_map(of).collect()
    }
}
