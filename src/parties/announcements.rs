//! What other objects must be told, until they have heard it.
//!
//! Each subject (a peer's membership, or the party's own existence) has at most one announcement: the newest. While an
//! older one of the same subject is under way the newer one waits, so that they cannot arrive in the wrong order.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::entropy::Entropy;
use crate::kernel::time::Timestamp;

/// Announcements that may wait before nobody can join or leave any more: all members', and as many who have left.
pub const WAITING_MAX: usize = 1_024;

/// Announcements that are sent within one event.
pub const SENT_AT_ONCE_MAX: usize = 24;

/// How long an answer may take before the announcement is repeated. Units: milliseconds.
const ANSWER_MS: u64 = 15_000;

/// The wait after the first failure; doubled after each. Units: milliseconds.
const RETRY_MS: u64 = 1_000;

/// The longest wait. Units: milliseconds.
const RETRY_MS_MAX: u64 = 300_000;

/// After so many failures (two hours) it is given up: whoever did not hear it finds out when it asks the party.
const FAILURES_MAX: u32 = 32;

/// What is announced about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// That the party exists, to the directory.
    Party,
    /// That a peer is a member, to the identities.
    Peer(String),
}

/// What is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It begins.
    Begun,
    /// It is over.
    Over,
}

/// One announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What the answer is known by.
    pub number: u32,
    /// What.
    pub news: News,
    /// How often it has failed.
    pub failures: u32,
    /// When it is sent, or sent again.
    pub due_at: Timestamp,
    /// The older announcement that is under way.
    pub waits_for: Option<u32>,
    /// Whether it is under way.
    pub sent: Sent,
}

/// Whether an announcement is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Sent {
    No,
    Yes,
}

/// All announcements of a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcements {
    by_subject: BTreeMap<Subject, Announcement>,
}

impl Announcements {
    /// The announcements as they were stored.
    #[must_use]
    pub fn restore(waiting: Vec<(Subject, Announcement)>) -> Self {
        Self { by_subject: waiting.into_iter().collect() }
    }

    /// A subject's announcement.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<&Announcement> {
        self.by_subject.get(subject)
    }

    /// Whether there is room for what one stranger's request may announce.
    ///
    /// Errors: [`Refusal::Busy`].
    pub fn check(&self) -> Result<(), Refusal> {
        if self.by_subject.len() >= WAITING_MAX { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Announces something instead of whatever was to be announced about the same subject.
    pub fn put(&mut self, now: Timestamp, subject: Subject, news: News, entropy: &mut dyn Entropy) {
        let under_way = self.by_subject.get(&subject).and_then(|old| match old.sent {
            Sent::Yes => Some((old.number, old.due_at)),
            Sent::No => old.waits_for.map(|number| (number, old.due_at)),
        });
        let (waits_for, due_at) = under_way.map_or((None, now), |(number, due_at)| (Some(number), due_at));
        let number = entropy.below(1 << 29);
        let announcement = Announcement { number, news, failures: 0, due_at, waits_for, sent: Sent::No };
        self.by_subject.insert(subject, announcement);
    }

    /// What is to be sent now; it counts as under way afterwards.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<(Subject, News, u32)> {
        let due = self.by_subject.iter_mut().filter(|(_, announcement)| announcement.due_at <= now);
        due.take(SENT_AT_ONCE_MAX)
            .map(|(subject, announcement)| {
                announcement.due_at = now.plus(ANSWER_MS);
                announcement.waits_for = None;
                announcement.sent = Sent::Yes;
                (subject.clone(), announcement.news, announcement.number)
            })
            .collect()
    }

    /// When something is to be sent next.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_subject.values().map(|announcement| announcement.due_at).min()
    }

    /// It was heard. Returns the subject whose announcement changed, if any did.
    pub fn heard(&mut self, now: Timestamp, number: u32) -> Option<Subject> {
        let subject = self.find(number)?;
        let announcement = self.by_subject.get_mut(&subject)?;
        if announcement.number == number {
            self.by_subject.remove(&subject);
        } else {
            announcement.waits_for = None;
            announcement.due_at = now;
        }
        Some(subject)
    }

    /// It was not heard, as far as is known. Returns the subject whose announcement changed, if any did.
    pub fn failed(&mut self, now: Timestamp, number: u32) -> Option<Subject> {
        let subject = self.find(number)?;
        let announcement = self.by_subject.get_mut(&subject)?;
        if announcement.number != number {
            announcement.waits_for = None;
            announcement.due_at = now;
            return Some(subject);
        }
        announcement.sent = Sent::No;
        announcement.failures += 1;
        announcement.due_at = now.plus(RETRY_MS << (announcement.failures - 1).min(9)).min(now.plus(RETRY_MS_MAX));
        if announcement.failures >= FAILURES_MAX {
            self.by_subject.remove(&subject);
        }
        Some(subject)
    }

    fn find(&self, number: u32) -> Option<Subject> {
        let names =
            |announcement: &Announcement| announcement.number == number || announcement.waits_for == Some(number);
        self.by_subject.iter().find(|(_, announcement)| names(announcement)).map(|(subject, _)| subject.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Announcements, FAILURES_MAX, News, SENT_AT_ONCE_MAX, Subject};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn peer() -> Subject {
        Subject::Peer(String::from("a"))
    }

    #[test]
    fn news_are_repeated_until_they_are_heard_and_later_each_time() {
        let (mut all, mut entropy) = (Announcements::default(), SeededEntropy::new(1));
        all.put(NOW, peer(), News::Begun, &mut entropy);
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..4 {
            let [(_, News::Begun, number)] = all.take_due(now)[..] else { panic!("due") };
            assert!(all.take_due(now).is_empty(), "under way");
            all.failed(now, number);
            waits.push(all.next_due().unwrap().since(now));
            now = all.next_due().unwrap();
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000]);
        let number = all.take_due(now)[0].2;
        all.heard(now, number);
        assert_eq!(all, Announcements::default());
    }

    #[test]
    fn an_answer_that_never_comes_is_a_failure_too() {
        let (mut all, mut entropy) = (Announcements::default(), SeededEntropy::new(1));
        all.put(NOW, peer(), News::Begun, &mut entropy);
        all.take_due(NOW);
        let again = all.next_due().unwrap();
        assert!(again > NOW && all.take_due(again).len() == 1);
    }

    #[test]
    fn newer_news_wait_until_the_older_ones_are_answered() {
        let (mut all, mut entropy) = (Announcements::default(), SeededEntropy::new(1));
        all.put(NOW, peer(), News::Begun, &mut entropy);
        let first = all.take_due(NOW)[0].2;
        all.put(NOW, peer(), News::Over, &mut entropy);
        all.put(NOW, peer(), News::Over, &mut entropy);
        assert!(all.take_due(NOW).is_empty());
        all.heard(NOW, first);
        let [(_, News::Over, second)] = all.take_due(NOW)[..] else { panic!("due") };
        all.heard(NOW, first);
        assert!(all.get(&peer()).is_some(), "a late answer to the older one ends nothing");
        all.heard(NOW, second);
        assert!(all.get(&peer()).is_none());
    }

    #[test]
    fn nobody_is_told_for_ever_and_not_all_at_once() {
        let (mut all, mut entropy) = (Announcements::default(), SeededEntropy::new(1));
        for index in 0..100 {
            all.put(NOW, Subject::Peer(index.to_string()), News::Over, &mut entropy);
        }
        assert_eq!(all.take_due(NOW).len(), SENT_AT_ONCE_MAX);
        let mut all = Announcements::default();
        all.put(NOW, Subject::Party, News::Over, &mut entropy);
        let mut now = NOW;
        for _ in 0..FAILURES_MAX {
            let number = all.take_due(now)[0].2;
            all.failed(now, number);
            now = all.next_due().unwrap_or(now);
        }
        assert_eq!(all, Announcements::default());
    }
}
