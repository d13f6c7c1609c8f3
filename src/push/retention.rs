//! How much is kept of what a server uploads. Anybody may register a server, so nothing that one uploads may grow without
//! bound.

use super::upload::Table;
use super::{audit, count, headcount};
use crate::kernel::time::Timestamp;

/// Uploaded rows may be dated so far ahead of our clock. A row that is further ahead is kept as it came, for it is a real
/// client's whose clock is wrong, but ages from when it came and counts from then. Units: milliseconds; a day.
pub const AHEAD_MS: u64 = 24 * 3_600_000;

/// What a row of statistics takes with its indexes. Units: bytes.
pub const COUNT_ROW_BYTES: u64 = 250;

/// What an audit row takes with its indexes, beside its `extra_data`. Units: bytes.
pub const AUDIT_ROW_BYTES: u64 = 160;

/// Uploaded rows of one server, all tables together. The table that takes most gives its oldest rows. Units: bytes.
pub const KEPT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Entries of ours that the uploads of one server may cause. They are kept for ever, so there is an end to them: a million
/// changes of organizations. Units: bytes.
pub const ENTRY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Rows of one table that an alarm removes.
pub const SWEPT_MAX: u64 = 5_000;

/// The limits of one server. Tests make them small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows of each table of statistics.
    pub count_rows: u64,
    /// Uploaded audit rows.
    pub audit_rows: u64,
    /// Uploaded rows of all tables. Units: bytes.
    pub kept_bytes: u64,
    /// Entries that uploads cause. Units: bytes.
    pub entry_bytes: u64,
    /// Organizations whose people are counted; numbers beyond are not ours to trust.
    pub headcounts: usize,
    /// Rows of one table that an alarm removes.
    pub swept_rows: u64,
}

impl Limits {
    /// The limits of the service.
    pub const REAL: Self = Self {
        count_rows: count::ROWS_MAX,
        audit_rows: audit::ROWS_MAX,
        kept_bytes: KEPT_BYTES_MAX,
        entry_bytes: ENTRY_BYTES_MAX,
        headcounts: headcount::TRACKED_MAX,
        swept_rows: SWEPT_MAX,
    };

    /// Rows of a table.
    #[must_use]
    pub const fn rows(&self, table: Table) -> u64 {
        match table {
            Table::RealmCounts | Table::InstallationCounts => self.count_rows,
            Table::AuditRows => self.audit_rows,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::REAL
    }
}

/// Since when a row ages that is not believed to be from its own time.
#[must_use]
pub fn aged_from(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (at.since(now) > AHEAD_MS).then_some(now)
}

/// What rows of a table take, with so much of `extra_data` in them. Units: bytes.
#[must_use]
pub const fn taken(table: Table, rows: u64, extra_bytes: u64) -> u64 {
    let each = match table {
        Table::RealmCounts | Table::InstallationCounts => COUNT_ROW_BYTES,
        Table::AuditRows => AUDIT_ROW_BYTES,
    };
    rows.saturating_mul(each).saturating_add(extra_bytes)
}

#[cfg(test)]
mod tests {
    use super::{AHEAD_MS, aged_from};
    use crate::kernel::time::Timestamp;

    #[test]
    fn a_row_ages_from_its_own_time_unless_that_is_more_than_a_day_ahead() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        for (at, expected) in [
            (Timestamp::EPOCH, None),
            (now, None),
            (now.plus(AHEAD_MS), None),
            (now.plus(AHEAD_MS + 1), Some(now)),
            (Timestamp::from_millis(253_402_300_799_000), Some(now)),
        ] {
            assert_eq!(aged_from(at, now), expected, "{at:?}");
        }
    }
}
