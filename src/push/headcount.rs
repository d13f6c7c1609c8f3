//! How many people an organization has, as its server's audit rows say, and for how long that is believed.

use std::collections::BTreeMap;

use crate::kernel::time::Timestamp;

/// How long the newest upload of audit rows is believed. Units: milliseconds; two days.
pub const FRESH_MS: u64 = 2 * 24 * 3_600_000;

/// Organizations of one server whose people are counted.
pub const TRACKED_MAX: usize = 10_000;

/// People of one organization, or of several together. Bots are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headcount {
    /// Owners, admins, moderators and members.
    pub non_guests: u64,
    /// Guests.
    pub guests: u64,
    /// Who works there, where the server knows (feature level 477).
    pub workplace: Option<Workplace>,
}

/// People by where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workplace {
    /// In the group that is billed by head.
    pub users: u64,
    /// Outside of it.
    pub others: u64,
}

impl Headcount {
    /// What a plan is billed for.
    #[must_use]
    pub const fn billed(&self) -> u64 {
        self.non_guests.saturating_add(self.guests)
    }

    /// Both together. Workplace counts are known only where both know them.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let workplace = self.workplace.zip(other.workplace).map(|(left, right)| Workplace {
            users: left.users.saturating_add(right.users),
            others: left.others.saturating_add(right.others),
        });
        Self {
            non_guests: self.non_guests.saturating_add(other.non_guests),
            guests: self.guests.saturating_add(other.guests),
            workplace,
        }
    }
}

/// What is known of a number of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Nothing that is fresh enough: an error, not zero.
    Missing,
    /// So many.
    People(Headcount),
}

/// A headcount that an audit row told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The row's id on the remote server: a later row has a larger one.
    pub remote_id: i64,
    /// When it was so there.
    pub event_time: Timestamp,
    /// The people.
    pub people: Headcount,
}

/// Rows from the future that wait for their time, of one organization.
pub const FUTURES_MAX: usize = 16;

/// What is kept of one organization's headcounts: flat, however many rows told of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Newest {
    /// The newest row that was not in the future when it came, or has come true since.
    pub past: Option<Noted>,
    /// Newer rows that were: the other server's clock is ahead of ours. Both ids and times rise, for a row that is older and
    /// later than another will never count.
    pub futures: Vec<Noted>,
}

impl Newest {
    /// The same with one more row. A row from the future waits for its time. When too many wait, the first counts early: a
    /// clock that is ahead must not put every row off.
    #[must_use]
    pub fn with(self, row: Noted, now: Timestamp) -> Self {
        let mut newest = self.at_rest(now);
        if row.event_time <= now {
            newest.past = newer(newest.past, row);
        } else {
            newest.futures.push(row);
        }
        newest.tidy();
        newest
    }

    /// The same with what is known of other rows.
    #[must_use]
    pub fn merged(mut self, other: &Self, now: Timestamp) -> Self {
        self.past = other.past.map_or(self.past, |row| newer(self.past, row));
        other.futures.iter().fold(self, |newest, row| newest.with(*row, now))
    }

    /// The same when the rows whose time has come are in the past.
    #[must_use]
    pub fn at_rest(mut self, now: Timestamp) -> Self {
        let come = self.come(now);
        if let Some(last) = come.last() {
            self.past = newer(self.past, *last);
            self.futures.drain(..come.len());
        }
        self
    }

    /// The rows from the future whose time has come, in the order of time.
    #[must_use]
    pub fn come(&self, now: Timestamp) -> Vec<Noted> {
        self.futures.iter().copied().take_while(|row| row.event_time <= now).collect()
    }

    /// The people at `now`; nobody when no row has told of any.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Headcount {
        let come = self.futures.iter().rfind(|row| row.event_time <= now);
        come.or(self.past.as_ref()).map_or_else(Headcount::default, |row| row.people)
    }

    /// What the rows of the past tell to be billed.
    #[must_use]
    pub fn billed(&self) -> u64 {
        self.past.map_or(0, |noted| noted.people.billed())
    }

    /// Leaves the rows that may count one day.
    fn tidy(&mut self) {
        let past = self.past.map_or(i64::MIN, |row| row.remote_id);
        self.futures.sort_by_key(|row| row.remote_id);
        let mut first = None;
        let mut kept: Vec<Noted> = Vec::new();
        for row in std::mem::take(&mut self.futures).into_iter().rev() {
            if row.remote_id > past && first.is_none_or(|first| row.event_time < first) {
                first = Some(row.event_time);
                kept.push(row);
            }
        }
        if kept.len() > FUTURES_MAX
            && let Some(early) = kept.pop()
        {
            self.past = newer(self.past, early);
        }
        kept.reverse();
        self.futures = kept;
    }
}

fn newer(known: Option<Noted>, row: Noted) -> Option<Noted> {
    known.filter(|known| known.remote_id > row.remote_id).or(Some(row))
}

/// The people of all organizations of a server. The gone and the deactivated ones count too.
#[must_use]
pub fn of_server(realms: &BTreeMap<i64, Newest>, now: Timestamp) -> Headcount {
    let known: Vec<Headcount> = realms.values().map(|newest| newest.at(now)).collect();
    known.iter().copied().reduce(Headcount::plus).unwrap_or_default()
}

/// What is known of a server's people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People {
    /// By the numbers that rows named, whosever these are: together they are the server's.
    pub numbers: BTreeMap<i64, Newest>,
    /// Of organizations, by their rows here.
    pub realms: BTreeMap<i64, Newest>,
    /// Of rows that are no organization's yet, by number.
    pub loose: BTreeMap<i64, Newest>,
}

impl People {
    /// What nobody's rows of a number said is an organization's from now on. Whether there was anything.
    pub fn give(&mut self, number: i64, realm_id: i64, now: Timestamp) -> bool {
        let Some(loose) = self.loose.remove(&number) else { return false };
        let newest = self.realms.remove(&realm_id).unwrap_or_default().merged(&loose, now);
        self.realms.insert(realm_id, newest);
        true
    }
}

/// The people of all organizations, and until when that is so if nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The people.
    pub people: Headcount,
    /// When the first headcount from the future comes true.
    pub until: Option<Timestamp>,
}

impl Total {
    /// The people of all organizations of a server.
    #[must_use]
    pub fn of(realms: &BTreeMap<i64, Newest>, now: Timestamp) -> Self {
        let futures = realms.values().flat_map(|newest| &newest.futures).map(|future| future.event_time);
        Self { people: of_server(realms, now), until: futures.filter(|at| *at > now).min() }
    }

    /// Whether it is still so.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The number, unless the newest upload is older than `fresh_ms` or there was none.
#[must_use]
pub const fn counted(people: Headcount, last_upload: Option<Timestamp>, now: Timestamp, fresh_ms: u64) -> Counted {
    match last_upload {
        Some(at) if now.since(at) <= fresh_ms => Counted::People(people),
        _ => Counted::Missing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Counted, FRESH_MS, Headcount, Newest, Noted, Workplace, counted, of_server};
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn people(non_guests: u64, guests: u64) -> Headcount {
        Headcount { non_guests, guests, workplace: None }
    }

    fn noted(remote_id: i64, event_time: Timestamp, count: u64) -> Noted {
        Noted { remote_id, event_time, people: people(count, 0) }
    }

    #[test]
    fn counts_are_stale_after_exactly_two_days() {
        let known = people(3, 1);
        for (last, expected) in [
            (None, Counted::Missing),
            (Some(NOW.minus(FRESH_MS + 1)), Counted::Missing),
            (Some(NOW.minus(FRESH_MS)), Counted::People(known)),
            (Some(NOW), Counted::People(known)),
            (Some(NOW.plus(5)), Counted::People(known)),
        ] {
            assert_eq!(counted(known, last, NOW, FRESH_MS), expected, "{last:?}");
        }
    }

    #[test]
    fn the_newest_row_by_id_counts_and_one_from_the_future_only_when_its_time_has_come() {
        let newest = Newest::default()
            .with(noted(2, NOW.minus(5), 7), NOW)
            .with(noted(3, NOW.minus(9), 8), NOW)
            .with(noted(1, NOW, 99), NOW);
        assert_eq!(newest.at(NOW).billed(), 8);
        let ahead = newest.with(noted(4, NOW.plus(60_000), 20), NOW);
        assert_eq!(ahead.at(NOW).billed(), 8);
        assert_eq!(ahead.at(NOW.plus(60_000)).billed(), 20);
        let later = ahead.with(noted(5, NOW.plus(120_000), 30), NOW.plus(60_000));
        assert_eq!(later.at(NOW.plus(60_000)).billed(), 20);
        assert_eq!(later.at(NOW.plus(120_000)).billed(), 30);
        assert_eq!(Newest::default().at(NOW), Headcount::default());
    }

    #[test]
    fn a_server_has_the_people_of_all_its_organizations() {
        let full = Headcount { non_guests: 4, guests: 2, workplace: Some(Workplace { users: 5, others: 1 }) };
        let of = |people| Newest { past: Some(Noted { remote_id: 1, event_time: NOW, people }), futures: Vec::new() };
        let both = BTreeMap::from([(1, of(full)), (2, of(full))]);
        assert_eq!(of_server(&both, NOW).workplace, Some(Workplace { users: 10, others: 2 }));
        assert_eq!(of_server(&both, NOW).billed(), 12);
        let mixed = BTreeMap::from([(1, of(full)), (2, of(people(1, 1)))]);
        assert_eq!(of_server(&mixed, NOW), Headcount { non_guests: 5, guests: 3, workplace: None });
        assert_eq!(of_server(&BTreeMap::new(), NOW), Headcount::default());
    }
}
