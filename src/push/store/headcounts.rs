//! Headcounts: by the numbers that rows named, of organizations, and of rows that are no organization's yet.

use std::collections::BTreeMap;

use super::uploads::parameters;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::push::headcount::{Headcount, Newest, Noted, People, Workplace};
use crate::push::upload::{Recount, Whose};

const OF_NUMBERS: &str = "SELECT number, is_future, remote_id, event_time, non_guests, guests, workplace_users, \
    workplace_others FROM headcount ORDER BY number, is_future";
const OF_ALL: &str = "SELECT key, is_future, remote_id, event_time, non_guests, guests, workplace_users, \
    workplace_others FROM realm_headcount WHERE is_loose = ?1 ORDER BY key, is_future";
const OF_REALM: &str = "SELECT key, is_future, remote_id, event_time, non_guests, guests, workplace_users, \
    workplace_others FROM realm_headcount WHERE is_loose = 0 AND key = ?1 ORDER BY is_future";

const FORGET_NUMBERS: &str = "DELETE FROM headcount WHERE number IN (SELECT value FROM json_each(?1))";
const FORGET: &str = "DELETE FROM realm_headcount WHERE is_loose = ?2 AND key IN (SELECT value FROM json_each(?1))";
const PUT_NUMBERS: &str = "INSERT INTO headcount (number, is_future, remote_id, event_time, non_guests, guests, \
    workplace_users, workplace_others) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6, value ->> 7 FROM json_each(?1)";
const PUT: &str = "INSERT INTO realm_headcount (is_loose, key, is_future, remote_id, event_time, non_guests, guests, \
    workplace_users, workplace_others) SELECT ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7 FROM json_each(?1)";

/// The headcounts by number.
pub fn load_numbers(sql: &dyn Sql) -> Result<BTreeMap<i64, Newest>, Fault> {
    parse(&sql.read(Statement::plain(OF_NUMBERS))?)
}

/// The headcounts of organizations.
pub fn load_realms(sql: &dyn Sql) -> Result<BTreeMap<i64, Newest>, Fault> {
    parse(&sql.read(Statement::new(OF_ALL, vec![0_u32.into()]))?)
}

/// The headcount of one organization.
pub fn load_realm(sql: &dyn Sql, realm_id: i64) -> Result<Newest, Fault> {
    let rows = sql.read(Statement::new(OF_REALM, vec![realm_id.into()]))?;
    Ok(parse(&rows)?.remove(&realm_id).unwrap_or_default())
}

/// All that is known of people.
pub fn load(sql: &dyn Sql) -> Result<People, Fault> {
    let loose = parse(&sql.read(Statement::new(OF_ALL, vec![1_u32.into()]))?)?;
    Ok(People { numbers: load_numbers(sql)?, realms: load_realms(sql)?, loose })
}

fn parse(rows: &[Row]) -> Result<BTreeMap<i64, Newest>, Fault> {
    let mut all: BTreeMap<i64, Newest> = BTreeMap::new();
    for row in rows {
        let workplace = row.unsigned_or_null(6)?.zip(row.unsigned_or_null(7)?);
        let people = Headcount {
            non_guests: row.unsigned(4)?,
            guests: row.unsigned(5)?,
            workplace: workplace.map(|(users, others)| Workplace { users, others }),
        };
        let noted = Noted { remote_id: row.integer(2)?, event_time: row.time(3)?, people };
        let newest = all.entry(row.integer(0)?).or_default();
        if row.unsigned(1)? == 0 {
            newest.past = Some(noted);
        } else {
            newest.futures.push(noted);
        }
    }
    Ok(all)
}

/// Keeps what has changed.
///
/// Errors: as [`to_json`].
pub fn put(recount: &Recount) -> Result<Vec<Statement>, Fault> {
    let mut batch = Vec::new();
    for kind in [Whose::Number(0), Whose::Realm(0), Whose::Nobody(0)] {
        let (mut keys, mut lines) = (Vec::new(), Vec::new());
        for whose in &recount.changed {
            let (key, newest) = match (whose, kind) {
                (Whose::Number(key), Whose::Number(_)) => (key, recount.people.numbers.get(key)),
                (Whose::Realm(key), Whose::Realm(_)) => (key, recount.people.realms.get(key)),
                (Whose::Nobody(key), Whose::Nobody(_)) => (key, recount.people.loose.get(key)),
                _ => continue,
            };
            keys.push(to_json(key));
            lines.extend(newest.map(|newest| of(*key, newest)).unwrap_or_default());
        }
        for text in parameters(keys.into_iter())? {
            batch.push(match kind {
                Whose::Number(_) => Statement::new(FORGET_NUMBERS, vec![text.into()]),
                _ => Statement::new(FORGET, vec![text.into(), is_loose(kind).into()]),
            });
        }
        for text in parameters(lines.into_iter())? {
            batch.push(match kind {
                Whose::Number(_) => Statement::new(PUT_NUMBERS, vec![text.into()]),
                _ => Statement::new(PUT, vec![text.into(), is_loose(kind).into()]),
            });
        }
    }
    Ok(batch)
}

const fn is_loose(kind: Whose) -> u32 {
    match kind {
        Whose::Nobody(_) => 1,
        Whose::Number(_) | Whose::Realm(_) => 0,
    }
}

/// The lines of one headcount.
fn of(key: i64, newest: &Newest) -> Vec<Result<String, Fault>> {
    let line = |place: usize, noted: &Noted| {
        let Headcount { non_guests, guests, workplace } = noted.people;
        let workplace = workplace.map(|workplace| (workplace.users, workplace.others));
        let (users, others) = workplace.unzip();
        to_json(&(key, place, noted.remote_id, noted.event_time, non_guests, guests, users, others))
    };
    let past = newest.past.iter().map(|noted| line(0, noted));
    past.chain(newest.futures.iter().enumerate().map(|(place, noted)| line(place + 1, noted))).collect()
}
