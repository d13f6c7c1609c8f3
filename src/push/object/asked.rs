//! What owners asked for, as the audit log tells it, and how often they may ask.

use std::collections::BTreeMap;

use crate::billing::BooksStop;
use crate::billing::standing::{Asked, Kind};
use crate::kernel::fault::Fault;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::push::store::audit::{self, AuditLine};

/// Entries that are looked through, newest first.
const LOOKED_THROUGH: u64 = 500;

/// Entries that owners of one account may cause in a day, so that nobody fills the log, which is kept for ever.
const PER_DAY_MAX: usize = 100;

const DAY_MS: u64 = 24 * 3_600_000;

fn owner(line: &AuditLine) -> Option<&str> {
    line.actor.strip_prefix("owner:")
}

/// The number of an event whomever it concerns.
const fn event(line: &AuditLine) -> i64 {
    if line.event_type > 10_000 && line.event_type < 20_000 { line.event_type - 10_000 } else { line.event_type }
}

/// What an entry of an owner tells of; nothing for one that came along with another.
fn kind(line: &AuditLine) -> Option<Kind> {
    match event(line) {
        213 => Some(Kind::Sponsorship),
        505 if line.extra.contains("\"reason\":") => Some(Kind::Upgrade),
        204 | 503 | 504 | 506 => Some(Kind::Change),
        _ => None,
    }
}

/// Whether an entry of an operator or the payment system answers a request.
fn answers(line: &AuditLine, kind: Kind) -> bool {
    let is_about_the_plan = matches!(event(line), 204 | 210 | 502 | 503 | 504 | 506);
    let is_answering = line.actor.starts_with("operator:") || line.actor == "payment";
    is_answering && (is_about_the_plan || (kind == Kind::Sponsorship && event(line) == 213))
}

/// The newest request of each kind, newest first.
pub(super) fn requests(sql: &dyn Sql, key: &str) -> Result<Vec<Asked>, Fault> {
    let lines = audit::load_newest(sql, key, LOOKED_THROUGH)?;
    let mut newest: BTreeMap<Kind, Asked> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((kind, by)) = kind(line).zip(owner(line)) else { continue };
        let later = lines.get(..at).unwrap_or_default();
        let answered_at = later.iter().rev().find(|later| answers(later, kind)).map(|later| later.event_time);
        newest.entry(kind).or_insert_with(|| Asked { kind, at: line.event_time, by: by.to_owned(), answered_at });
    }
    let mut requests: Vec<Asked> = newest.into_values().collect();
    requests.sort_by_key(|asked| std::cmp::Reverse(asked.at));
    Ok(requests)
}

/// That owners of an account have not caused too many entries today.
pub(super) fn check_pace(sql: &dyn Sql, key: &str, now: Timestamp) -> Result<(), BooksStop> {
    let lines = audit::load_newest(sql, key, LOOKED_THROUGH)?;
    let today = lines.iter().filter(|line| owner(line).is_some() && now.since(line.event_time) < DAY_MS);
    if today.count() < PER_DAY_MAX {
        return Ok(());
    }
    Err(BooksStop::Refused(String::from("Too many changes today. Please try again tomorrow.")))
}
