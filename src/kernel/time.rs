//! The clock as a value: milliseconds since 1970, handed in by the shell once per event.

use serde::{Deserialize, Serialize};

/// A point in time.
///
/// Units: milliseconds since the Unix epoch, UTC.
/// Limits: 0 ..= 2^53 - 1, so that it passes JavaScript and SQLite unharmed; larger values are clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// The largest integer that JavaScript, and so the SQL port, carries exactly.
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// The time `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(if ms > SAFE_INTEGER_MAX { SAFE_INTEGER_MAX } else { ms })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This time, `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// This time, `ms` milliseconds earlier, not before the epoch.
    #[must_use]
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this time; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// ISO 8601 with exactly three decimals and `Z`, as JavaScript's `toISOString` writes it.
    #[must_use]
    pub fn to_iso(self) -> String {
        let ms = i64::try_from(self.0).unwrap_or(0);
        jiff::Timestamp::from_millisecond(ms)
            .map_or_else(|_| String::from("9999-12-31T23:59:59.999Z"), |t| format!("{t:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn iso_text_has_three_decimals() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_000).to_iso(), "2023-11-14T22:13:20.000Z");
        assert_eq!(Timestamp::from_millis(7).to_iso(), "1970-01-01T00:00:00.007Z");
    }

    #[test]
    fn times_never_leave_the_safe_range() {
        assert_eq!(Timestamp::from_millis(u64::MAX).as_millis(), super::SAFE_INTEGER_MAX);
        assert_eq!(Timestamp::from_millis(5).minus(9), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_millis(u64::MAX).plus(1).as_millis(), super::SAFE_INTEGER_MAX);
        assert_eq!(Timestamp::from_millis(3).since(Timestamp::from_millis(8)), 0);
    }
}
