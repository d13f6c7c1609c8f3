//! The memory tier of the chunk cache: bodies that were wanted lately, and accesses that are not written down yet.
//!
//! A read that wrote a row each time would cost more than the chunk. So the time of the last access is written only
//! when the written one is older than the grain; the order of eviction is that of last access, exact to the grain.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::kernel::time::Timestamp;

/// Bytes of bodies in memory: 128 chunks of the largest size, a sixteenth of what an isolate has.
pub const HOT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is written of a chunk's accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The last one.
    pub at: Timestamp,
    /// How many came since the last time this was written.
    pub count: u64,
}

#[derive(Debug)]
struct Body {
    text: Rc<str>,
    expires_at: Timestamp,
    written_at: Timestamp,
    last: Timestamp,
    unwritten: u64,
    turn: u64,
}

/// Bodies in memory, bounded by their bytes; the least recently used goes first.
#[derive(Debug)]
pub struct Hot {
    grain_ms: u64,
    bytes_max: usize,
    bytes: usize,
    by_id: HashMap<Rc<str>, Body>,
    id_by_turn: BTreeMap<u64, Rc<str>>,
    turns: u64,
}

impl Hot {
    /// Nothing yet. `grain_ms`: how old a written access may become while newer ones come.
    #[must_use]
    pub fn new(grain_ms: u64, bytes_max: usize) -> Self {
        Self { grain_ms, bytes_max, bytes: 0, by_id: HashMap::new(), id_by_turn: BTreeMap::new(), turns: 0 }
    }

    /// Bytes of bodies held.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a body in; `written_at` is the access that the storage knows.
    pub fn put(&mut self, chunk_id: &str, text: Rc<str>, expires_at: Timestamp, written_at: Timestamp) {
        self.remove(chunk_id);
        if text.len() > self.bytes_max {
            return;
        }
        while self.bytes + text.len() > self.bytes_max {
            let Some((_, oldest)) = self.id_by_turn.pop_first() else { break };
            self.forget(&oldest);
        }
        let id: Rc<str> = Rc::from(chunk_id);
        self.turns += 1;
        self.bytes += text.len();
        self.id_by_turn.insert(self.turns, id.clone());
        let body = Body { text, expires_at, written_at, last: written_at, unwritten: 0, turn: self.turns };
        self.by_id.insert(id, body);
    }

    fn forget(&mut self, chunk_id: &str) -> Option<Body> {
        let body = self.by_id.remove(chunk_id)?;
        self.bytes = self.bytes.saturating_sub(body.text.len());
        Some(body)
    }

    /// Lets a body go.
    pub fn remove(&mut self, chunk_id: &str) {
        if let Some(body) = self.forget(chunk_id) {
            self.id_by_turn.remove(&body.turn);
        }
    }

    /// A body that is here and not expired, as one more access, and what of its accesses must be written now.
    pub fn get(&mut self, now: Timestamp, chunk_id: &str) -> Option<(Rc<str>, Option<Access>)> {
        if self.by_id.get(chunk_id)?.expires_at <= now {
            self.remove(chunk_id);
            return None;
        }
        self.turns += 1;
        let turn = self.turns;
        let body = self.by_id.get_mut(chunk_id)?;
        if let Some(id) = self.id_by_turn.remove(&body.turn) {
            self.id_by_turn.insert(turn, id);
        }
        (body.turn, body.last) = (turn, now);
        body.unwritten += 1;
        let access = (now.since(body.written_at) >= self.grain_ms).then(|| {
            body.written_at = now;
            Access { at: now, count: std::mem::take(&mut body.unwritten) }
        });
        Some((body.text.clone(), access))
    }

    /// Which of the least recently used chunks, as the storage knows them, goes first.
    #[must_use]
    pub fn least_recent<'a>(&self, candidates: &'a [(String, Timestamp)]) -> Option<&'a str> {
        let last = |id: &str, written: Timestamp| self.by_id.get(id).map_or(written, |body| body.last.max(written));
        candidates.iter().min_by_key(|(id, written)| last(id, *written)).map(|(id, _)| id.as_str())
    }

    /// Accesses of all chunks that are not written yet, and the most of one.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.by_id.values().map(|body| body.unwritten).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Hot};
    use crate::kernel::time::Timestamp;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn the_least_recently_used_body_makes_way_and_the_bytes_stay_bounded() {
        let mut hot = Hot::new(1_000, 10);
        hot.put("a", "aaaa".into(), at(99), at(0));
        hot.put("b", "bbbb".into(), at(99), at(0));
        assert!(hot.get(at(1), "a").is_some());
        hot.put("c", "cccc".into(), at(99), at(0));
        assert!(hot.get(at(1), "b").is_none());
        assert!(hot.get(at(1), "a").is_some());
        assert_eq!(hot.bytes(), 8);
        hot.put("d", "dddddddddddd".into(), at(99), at(0));
        assert!(hot.get(at(1), "d").is_none());
        assert_eq!(hot.bytes(), 8);
    }

    #[test]
    fn accesses_are_written_once_per_grain() {
        let mut hot = Hot::new(1_000, 10);
        hot.put("a", "a".into(), at(9_999), at(0));
        assert_eq!(hot.get(at(999), "a").unwrap().1, None);
        assert_eq!(hot.get(at(1_000), "a").unwrap().1, Some(Access { at: at(1_000), count: 2 }));
        assert_eq!(hot.get(at(1_001), "a").unwrap().1, None);
    }

    #[test]
    fn an_access_that_is_not_written_yet_counts_for_eviction() {
        let mut hot = Hot::new(1_000, 10);
        hot.put("a", "a".into(), at(9_999), at(1));
        assert!(hot.get(at(500), "a").is_some());
        let candidates = [(String::from("a"), at(1)), (String::from("b"), at(2))];
        assert_eq!(hot.least_recent(&candidates), Some("b"));
    }

    #[test]
    fn an_expired_body_is_gone() {
        let mut hot = Hot::new(1_000, 10);
        hot.put("a", "a".into(), at(5), at(0));
        assert!(hot.get(at(4), "a").is_some());
        assert!(hot.get(at(5), "a").is_none());
        assert_eq!(hot.bytes(), 0);
    }
}
