//! The upload of usage: which rows are taken, in which order, and what they tell of people.
//!
//! One upload is one transaction. Each table has a high-water mark of its own, so that a client that numbers its rows
//! anew does not send the same ones for ever.
//!
//! Source: sections 1.15 and 3.3 of the dialect.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::SYNCED;
use super::count::Property;
use super::headcount::{Headcount, Newest, Noted, People};
use super::realm_sync::RealmReport;
use super::retention::aged_from;
use crate::kernel::time::Timestamp;

/// Rows of all tables that a server may upload within a day: clients send 10,000 of each an hour, and as many whenever
/// somebody joins. A row with more than [`ROW_BYTES`] of `extra_data` counts as several, so this is 256 MB a day too.
pub const ROWS_PER_DAY: u64 = 1_000_000;

/// The period of [`ROWS_PER_DAY`]. Units: milliseconds.
pub const ROWS_PERIOD_MS: u64 = 24 * 3_600_000;

/// What one row may carry; a multiple of it costs as many rows. Units: bytes.
pub const ROW_BYTES: u64 = 256;

/// What one entry of the audit log that an upload causes costs of [`ROWS_PER_DAY`], if it is no longer than [`ROW_BYTES`]:
/// such entries are kept for ever.
pub const ENTRY_COST: u64 = 100;

/// The longest version or merge base. Units: characters.
pub const VERSION_CHARS_MAX: usize = 128;

/// An uploaded table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Table {
    RealmCounts,
    InstallationCounts,
    AuditRows,
}

impl Table {
    /// Every table, in the order in which they are checked.
    pub const ALL: [Self; 3] = [Self::RealmCounts, Self::InstallationCounts, Self::AuditRows];

    /// The name of the field that it travels in.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::RealmCounts => "realm_counts",
            Self::InstallationCounts => "installation_counts",
            Self::AuditRows => "realmauditlog_rows",
        }
    }

    /// The word in storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RealmCounts => "realm_count",
            Self::InstallationCounts => "installation_count",
            Self::AuditRows => "audit",
        }
    }
}

/// A row of statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct CountRow {
    /// Its id on the remote server.
    pub remote_id: i64,
    /// The organization's number there; nothing for the whole installation.
    pub realm: Option<i64>,
    /// What is counted.
    pub property: Property,
    /// The end of the interval.
    pub end_time: Timestamp,
    /// Of which part.
    pub subgroup: Option<String>,
    /// How many.
    pub value: i64,
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its id on the remote server.
    pub remote_id: i64,
    /// The organization's number there.
    pub realm: i64,
    /// When.
    pub event_time: Timestamp,
    /// Whether the row was written later than it happened.
    pub backfilled: bool,
    /// What.
    pub event_type: i64,
    /// More.
    pub extra: Extra,
}

/// The `extra_data` of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Extra {
    /// A JSON object, and the people that it tells of.
    Object {
        /// The object's text.
        text: String,
        /// The people, if it has role counts.
        people: Option<Headcount>,
    },
    /// Text that is no JSON object.
    Malformed,
}

impl Extra {
    /// Units: bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::Object { text, .. } => text.len() as u64,
            Self::Malformed => 0,
        }
    }
}

/// What the server runs. What an upload does not say is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct About {
    pub version: Option<String>,
    pub merge_base: Option<String>,
    pub api_feature_level: Option<u64>,
}

/// An upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Statistics by organization.
    pub realm_counts: Vec<CountRow>,
    /// Statistics of the installation.
    pub installation_counts: Vec<CountRow>,
    /// Audit rows; servers up to 2.0.6 send none.
    pub audit_rows: Option<Vec<AuditRow>>,
    /// All organizations; servers before 8.0 do not say.
    pub realms: Option<Vec<RealmReport>>,
    /// What the server runs.
    pub about: About,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

impl Upload {
    /// What it costs of the day's quota when it causes entries of these lengths. One upload never costs more than a day.
    #[must_use]
    pub fn cost(&self, entries: &[u64]) -> u64 {
        let counts = (self.realm_counts.len() + self.installation_counts.len()) as u64;
        let audit = self.audit_rows.iter().flatten().map(|row| 1 + row.extra.bytes() / ROW_BYTES);
        let entries = entries.iter().map(|bytes| (1 + bytes / ROW_BYTES).saturating_mul(ENTRY_COST));
        audit.chain(entries).fold(counts, u64::saturating_add).min(ROWS_PER_DAY)
    }
}

/// The largest id of each table that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the tables'")]
pub struct Marks {
    pub realm_counts: i64,
    pub installation_counts: i64,
    pub audit_rows: i64,
}

impl Marks {
    /// The mark of a table.
    #[must_use]
    pub const fn of(&self, table: Table) -> i64 {
        match table {
            Table::RealmCounts => self.realm_counts,
            Table::InstallationCounts => self.installation_counts,
            Table::AuditRows => self.audit_rows,
        }
    }
}

/// Why rows are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadError {
    /// A property that no server may upload.
    Property(String),
    /// An event that no server may upload.
    EventType,
    /// An id that is not larger than the one before it.
    OutOfOrder,
    /// `extra_data` that is no object.
    Extra,
    /// More rows than a day takes.
    TooManyRows {
        /// Units: milliseconds.
        retry_after_ms: u64,
    },
    /// More changes of organizations than are ever noted for one server.
    LogFull,
}

impl UploadError {
    /// The dialect's sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Property(name) => format!("Invalid property {name}"),
            Self::EventType => String::from("Invalid event type."),
            Self::OutOfOrder => String::from("Data is out of order."),
            Self::Extra => String::from("Malformed audit log data"),
            Self::TooManyRows { .. } => String::from("Too many rows in one day."),
            Self::LogFull => String::from("Too many changes of organizations."),
        }
    }
}

/// Walks the tables in their order. The first violation counts.
///
/// Errors: [`UploadError::Property`], [`UploadError::EventType`], [`UploadError::OutOfOrder`].
pub fn check_rows(marks: Marks, upload: &Upload) -> Result<Marks, UploadError> {
    let audit = upload.audit_rows.as_deref().unwrap_or_default();
    Ok(Marks {
        realm_counts: check_counts(marks.realm_counts, &upload.realm_counts)?,
        installation_counts: check_counts(marks.installation_counts, &upload.installation_counts)?,
        audit_rows: check_audit(marks.audit_rows, audit)?,
    })
}

fn check_counts(mark: i64, rows: &[CountRow]) -> Result<i64, UploadError> {
    rows.iter().try_fold(mark, |last, row| {
        if let Property::Refused(name) = &row.property {
            return Err(UploadError::Property(name.clone()));
        }
        if row.remote_id > last { Ok(row.remote_id) } else { Err(UploadError::OutOfOrder) }
    })
}

fn check_audit(mark: i64, rows: &[AuditRow]) -> Result<i64, UploadError> {
    rows.iter().try_fold(mark, |last, row| {
        if !SYNCED.contains(&row.event_type) {
            return Err(UploadError::EventType);
        }
        if row.remote_id > last { Ok(row.remote_id) } else { Err(UploadError::OutOfOrder) }
    })
}

/// That every audit row's `extra_data` can be read.
///
/// Errors: [`UploadError::Extra`].
pub fn check_extra(upload: &Upload) -> Result<(), UploadError> {
    let rows = upload.audit_rows.as_deref().unwrap_or_default();
    if rows.iter().any(|row| row.extra == Extra::Malformed) { Err(UploadError::Extra) } else { Ok(()) }
}

/// What `rows` tell of people, on top of what was known, together with the rows from the future that have come true. `links`
/// says whose row a number's is. The second value is what plans with license ledgers are told, in order.
///
/// A ledger is never told a time from the future, which would shut it to every row until then. Headcounts wait for theirs,
/// unless it is so far ahead that it is no clock's ([`aged_from`]).
#[must_use]
pub fn count_people(
    now: Timestamp,
    known: People,
    links: &BTreeMap<i64, i64>,
    rows: &[AuditRow],
) -> (Recount, Vec<Told>) {
    let mut count = Counting { now, all: 0, recount: Recount::default(), told: Vec::new(), known };
    count.all = count.known.numbers.values().map(Newest::billed).fold(0, u64::saturating_add);
    count.come();
    for row in rows {
        let Extra::Object { people: Some(people), .. } = row.extra else { continue };
        let event_time = aged_from(row.event_time, now).unwrap_or(row.event_time);
        let noted = Noted { remote_id: row.remote_id, event_time, people };
        let at = event_time.min(now);
        count.note(Whose::Number(row.realm), at, |newest| newest.with(noted, now));
        let owner = links.get(&row.realm).map_or(Whose::Nobody(row.realm), |realm_id| Whose::Realm(*realm_id));
        count.note(owner, at, |newest| newest.with(noted, now));
    }
    let Counting { mut recount, told, known, .. } = count;
    recount.people = known;
    (recount, told)
}

/// What is known of people after an upload, and which of it is news.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recount {
    /// All that is known.
    pub people: People,
    /// What has changed.
    pub changed: BTreeSet<Whose>,
}

/// Whose headcount it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Whoever has or had this number.
    Number(i64),
    /// The organization's of this row.
    Realm(i64),
    /// That of rows of this number that are no organization's yet.
    Nobody(i64),
}

struct Counting {
    now: Timestamp,
    all: u64,
    known: People,
    recount: Recount,
    told: Vec<Told>,
}

impl Counting {
    /// Rows from the future whose time has come.
    fn come(&mut self) {
        let now = self.now;
        let of = |newest: &Newest, whose: Whose| -> Vec<(Timestamp, Whose)> {
            newest.come(now).iter().map(|row| (row.event_time, whose)).collect()
        };
        let People { numbers, realms, loose } = &self.known;
        let numbers = numbers.iter().flat_map(|(number, newest)| of(newest, Whose::Number(*number)));
        let realms = realms.iter().flat_map(|(realm_id, newest)| of(newest, Whose::Realm(*realm_id)));
        let loose = loose.iter().flat_map(|(number, newest)| of(newest, Whose::Nobody(*number)));
        let mut come: Vec<(Timestamp, Whose)> = numbers.chain(realms).chain(loose).collect();
        come.sort_unstable();
        for (at, whose) in come {
            self.note(whose, now, |newest| newest.at_rest(at));
        }
    }

    fn note(&mut self, whose: Whose, at: Timestamp, change: impl FnOnce(Newest) -> Newest) {
        let newest = match whose {
            Whose::Number(number) => self.known.numbers.entry(number).or_default(),
            Whose::Realm(realm_id) => self.known.realms.entry(realm_id).or_default(),
            Whose::Nobody(number) => self.known.loose.entry(number).or_default(),
        };
        let before = newest.billed();
        *newest = change(std::mem::take(newest));
        let (people, is_known) = (newest.billed(), newest.past.is_some());
        self.recount.changed.insert(whose);
        if let Whose::Number(_) = whose {
            self.all = self.all.saturating_sub(before).saturating_add(people);
        }
        // As long as all that is known is still to come, nothing is told: that is not the same as nobody.
        match whose {
            Whose::Number(_) if is_known => self.told.push(Told { realm: None, at, people: self.all }),
            Whose::Realm(realm_id) if is_known => self.told.push(Told { realm: Some(realm_id), at, people }),
            Whose::Number(_) | Whose::Realm(_) | Whose::Nobody(_) => {}
        }
    }
}

/// What was known after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The organization's row, or nothing for the whole server.
    pub realm: Option<i64>,
    /// When it happened, or when we learned that it has; never in the future.
    pub at: Timestamp,
    /// The billed people.
    pub people: u64,
}
