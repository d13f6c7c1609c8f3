//! The signed list, kept for a second so that fetching it costs no object.

use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;

/// How long a copy answers. Units: milliseconds. The object signs at most once per second, so an older copy may differ.
pub const FRESH_MS: u64 = 1_000;

/// One isolate's copy.
#[derive(Debug, Default)]
pub struct ListCache {
    copy: Option<(Timestamp, Reply)>,
}

impl ListCache {
    /// The copy, while it is fresh. A clock that went backwards makes it stale.
    #[must_use]
    pub fn get(&self, now: Timestamp) -> Option<&Reply> {
        let (since, reply) = self.copy.as_ref()?;
        (now >= *since && now.since(*since) < FRESH_MS).then_some(reply)
    }

    /// Keeps a good answer.
    pub fn keep(&mut self, reply: &Reply, now: Timestamp) {
        if reply.status == 200 {
            self.copy = Some((now, reply.clone()));
        }
    }

    /// A write went through this isolate: the copy may no longer be true.
    pub fn forget_after(&mut self, operation: Operation) {
        if matches!(operation, Operation::ServersRegister | Operation::ServersRemove) {
            self.copy = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FRESH_MS, ListCache};
    use crate::kernel::operation::Operation;
    use crate::kernel::reply::Reply;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_copy_answers_for_a_second_and_no_longer() {
        let mut cache = ListCache::default();
        cache.keep(&Reply::json_text(String::from("{}")), NOW);
        assert!(cache.get(NOW.plus(FRESH_MS - 1)).is_some());
        assert!(cache.get(NOW.plus(FRESH_MS)).is_none());
        assert!(cache.get(NOW.minus(1)).is_none());
    }

    #[test]
    fn a_registration_is_seen_by_the_next_fetch() {
        let mut cache = ListCache::default();
        cache.keep(&Reply::json_text(String::from("{}")), NOW);
        cache.forget_after(Operation::ServersHeartbeat);
        assert!(cache.get(NOW).is_some());
        cache.forget_after(Operation::ServersRegister);
        assert!(cache.get(NOW).is_none());
    }

    #[test]
    fn refusals_are_not_kept() {
        let mut cache = ListCache::default();
        cache.keep(&Reply::empty(503), NOW);
        assert!(cache.get(NOW).is_none());
    }
}
