//! The people of all organizations of a server, added up once and kept until one of them changes.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::headcount::{Headcount, Total, Workplace};

const LOAD: &str = "SELECT non_guests, guests, workplace_users, workplace_others, until FROM people WHERE id = 1";
const PUT: &str = "INSERT OR REPLACE INTO people (id, non_guests, guests, workplace_users, workplace_others, until) \
    VALUES (1, ?1, ?2, ?3, ?4, ?5)";

/// The sum, if it is known. A headcount that is written forgets it by itself.
pub(in crate::push) fn load(sql: &dyn Sql) -> Result<Option<Total>, Fault> {
    let parse = |row: &Row| {
        let workplace = row.unsigned_or_null(2)?.zip(row.unsigned_or_null(3)?);
        Ok(Total {
            people: Headcount {
                non_guests: row.unsigned(0)?,
                guests: row.unsigned(1)?,
                workplace: workplace.map(|(users, others)| Workplace { users, others }),
            },
            until: row.unsigned_or_null(4)?.map(Timestamp::from_millis),
        })
    };
    sql.read(Statement::plain(LOAD))?.first().map(parse).transpose()
}

/// Keeps the sum.
pub(in crate::push) fn put(total: &Total) -> Statement {
    let workplace = total.people.workplace;
    let params = vec![
        total.people.non_guests.into(),
        total.people.guests.into(),
        workplace.map(|workplace| workplace.users).into(),
        workplace.map(|workplace| workplace.others).into(),
        total.until.into(),
    ];
    Statement::new(PUT, params)
}
