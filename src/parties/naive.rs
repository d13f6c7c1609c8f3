//! Times without a zone, as the field's clients write and read them: by their own wall clock.
//!
//! A client subtracts the times it is sent from its own naive now and forgets peers that look five minutes old. So each
//! client is answered in its own offset, which is deduced from the `last_seen` it sends. Source: parties 2.4.

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz;

use crate::kernel::time::Timestamp;

/// The farthest offset there is. Units: minutes; 14 hours (Kiribati).
const OFFSET_MINUTES_MAX: i64 = 14 * 60;

/// All offsets are multiples of this, and clocks may be wrong by half of it. Units: minutes.
const STEP_MINUTES: i64 = 15;

const MINUTE_MS: i64 = 60_000;

/// How far a client's wall clock is ahead of UTC.
///
/// Units: minutes, a multiple of 15 within ±14 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(i16);

impl Offset {
    /// No offset.
    pub const UTC: Self = Self(0);

    /// The offset of so many minutes, or none when there is no such offset.
    #[must_use]
    pub fn from_minutes(minutes: i64) -> Self {
        if minutes.abs() > OFFSET_MINUTES_MAX || minutes % STEP_MINUTES != 0 {
            return Self::UTC;
        }
        Self(i16::try_from(minutes).unwrap_or(0))
    }

    /// Minutes ahead of UTC.
    #[must_use]
    pub const fn minutes(self) -> i16 {
        self.0
    }
}

/// A client's time as it wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    civil: DateTime,
    /// Seconds ahead of UTC, where the client said so.
    offset_s: Option<i32>,
}

/// Reads an ISO 8601 date, or date and time, with or without an offset.
#[must_use]
pub fn parse_stamp(text: &str) -> Option<Stamp> {
    let pieces = Pieces::parse(text).ok()?;
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    Some(Stamp { civil, offset_s: pieces.to_numeric_offset().map(tz::Offset::seconds) })
}

/// The offset of a client whose clock showed `stamp` at `now`: rounded to a quarter of an hour, and none when it is
/// farther from UTC than any place on earth.
#[must_use]
pub fn deduce_offset(stamp: Stamp, now: Timestamp) -> Offset {
    let ahead_ms = stamp.offset_s.map_or_else(
        || {
            let shown = stamp.civil.to_zoned(tz::TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_millisecond());
            shown.saturating_sub(i64::try_from(now.as_millis()).unwrap_or(0))
        },
        |seconds| i64::from(seconds) * 1_000,
    );
    let step_ms = STEP_MINUTES * MINUTE_MS;
    let steps = (ahead_ms.saturating_add(step_ms / 2)).div_euclid(step_ms);
    Offset::from_minutes(steps.saturating_mul(STEP_MINUTES))
}

/// `time` by a wall clock of that offset, with six decimals and no zone.
#[must_use]
pub fn render(time: Timestamp, offset: Offset) -> String {
    let ms = i64::try_from(time.as_millis()).unwrap_or(0);
    let shown = ms.saturating_add(i64::from(offset.0) * MINUTE_MS);
    jiff::Timestamp::from_millisecond(shown).map_or_else(
        |_| String::from("9999-12-31T23:59:59.999000"),
        |time| format!("{:.6}", time.to_zoned(tz::TimeZone::UTC).datetime()),
    )
}

#[cfg(test)]
mod tests {
    use super::{Offset, deduce_offset, parse_stamp, render};
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn offset_of(text: &str) -> i16 {
        deduce_offset(parse_stamp(text).unwrap(), NOW).minutes()
    }

    #[test]
    fn a_clock_is_shown_without_a_zone_and_with_six_decimals() {
        assert_eq!(render(NOW, Offset::UTC), "2027-01-15T08:00:00.000000");
        assert_eq!(render(NOW.plus(7), Offset::from_minutes(345)), "2027-01-15T13:45:00.007000");
        assert_eq!(render(Timestamp::EPOCH, Offset::from_minutes(-60)), "1969-12-31T23:00:00.000000");
    }

    #[test]
    fn an_offset_is_deduced_to_a_quarter_of_an_hour() {
        for (text, minutes) in [
            ("2027-01-15T08:00:00.000000", 0),
            ("2027-01-15T10:00:03.107294", 120),
            ("2027-01-15 09:57:30", 120),
            ("2027-01-15T13:45:00", 345),
            ("2027-01-15T00:30:00", -450),
            ("2027-01-15T22:00:00", 840),
        ] {
            assert_eq!(offset_of(text), minutes, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_nowhere_on_earth_counts_as_utc() {
        for text in ["2027-01-15T22:30:00", "2027-01-14T17:00:00", "1970-01-01T00:00:00", "9999-12-31T23:59:59"] {
            assert_eq!(offset_of(text), 0, "{text}");
        }
    }

    #[test]
    fn a_stamp_with_an_offset_is_believed() {
        assert_eq!(offset_of("2020-01-01T00:00:00+02:00"), 120);
        assert_eq!(offset_of("2020-01-01T00:00:00Z"), 0);
    }

    #[test]
    fn only_iso_times_are_stamps() {
        for good in ["2027-01-15", "2027-01-15T08:00:00", "2027-01-15T08:00:00.5", "2027-01-15T08:00:00.123456+00:00"] {
            assert!(parse_stamp(good).is_some(), "{good}");
        }
        for bad in ["", "now", "1800000000", "2027-13-01T00:00:00", "2027-01-15T25:00:00", "15.01.2027"] {
            assert!(parse_stamp(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_rendered_is_read_back_as_the_same_offset() {
        for minutes in (-840..=840).step_by(15) {
            let offset = Offset::from_minutes(minutes);
            assert_eq!(deduce_offset(parse_stamp(&render(NOW, offset)).unwrap(), NOW), offset);
        }
    }
}
