//! What is counted: the statistics that servers upload, and our own of what they sent.
//!
//! Source: section 2.7 of the dialect.

use crate::kernel::time::Timestamp;

/// The longest property. Units: characters.
pub const PROPERTY_CHARS_MAX: usize = 32;

/// The longest subgroup. Units: characters.
pub const SUBGROUP_CHARS_MAX: usize = 16;

/// How long counts are kept, ours too. Units: milliseconds; 400 days, a year and a month.
pub const KEPT_MS: u64 = 400 * DAY_MS;

/// Rows of one uploaded table that are kept; the oldest go first.
pub const ROWS_MAX: u64 = 2_000_000;

/// Units: milliseconds.
pub const DAY_MS: u64 = 24 * 3_600_000;

const STORED: [&str; 14] = [
    "messages_sent:is_bot:hour",
    "messages_sent:message_type:day",
    "messages_sent:client:day",
    "messages_in_stream:is_bot:day",
    "ai_credit_usage::day",
    "active_users_audit:is_bot:day",
    "upload_quota_used_bytes::day",
    "messages_read::hour",
    "messages_read_interactions::hour",
    "1day_actives::day",
    "7day_actives::day",
    "15day_actives::day",
    "minutes_active::day",
    "realm_active_humans::day",
];

const NOT_STORED: [&str; 4] =
    ["invites_sent::day", "mobile_pushes_sent::day", "active_users_log:is_bot:day", "active_users:is_bot:day"];

/// An uploaded row's property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// It is kept.
    Stored(&'static str),
    /// It is taken and forgotten.
    Unkept,
    /// No server may upload it.
    Refused(String),
}

impl Property {
    /// From the name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if let Some(stored) = STORED.into_iter().find(|known| *known == name) {
            return Self::Stored(stored);
        }
        if NOT_STORED.contains(&name) {
            return Self::Unkept;
        }
        Self::Refused(name.to_owned())
    }
}

/// What we count ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// Devices that notifications were for.
    Received,
    /// Devices whose provider took one.
    Forwarded,
}

impl Own {
    /// The property's name.
    #[must_use]
    pub const fn property(self) -> &'static str {
        match self {
            Self::Received => "mobile_pushes_received::day",
            Self::Forwarded => "mobile_pushes_forwarded::day",
        }
    }
}

/// The bucket that `now` falls into: the next midnight, and midnight itself still the day before.
#[must_use]
pub const fn day_end(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().div_ceil(DAY_MS).saturating_mul(DAY_MS))
}

/// Whether a series can be asked for.
#[must_use]
pub fn is_series(property: &str) -> bool {
    STORED.contains(&property) || [Own::Received, Own::Forwarded].iter().any(|own| own.property() == property)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, NOT_STORED, Own, PROPERTY_CHARS_MAX, Property, STORED, day_end, is_series};
    use crate::kernel::time::Timestamp;

    #[test]
    fn properties_are_kept_forgotten_or_refused() {
        for name in STORED {
            assert_eq!(Property::parse(name), Property::Stored(name));
            assert!(name.len() <= PROPERTY_CHARS_MAX && is_series(name), "{name}");
        }
        for name in NOT_STORED {
            assert_eq!(Property::parse(name), Property::Unkept);
            assert!(!is_series(name), "{name}");
        }
        for own in [Own::Received, Own::Forwarded] {
            assert_eq!(Property::parse(own.property()), Property::Refused(own.property().to_owned()));
            assert!(is_series(own.property()));
        }
        for name in ["", "messages_sent", "messages_sent:is_bot:hour "] {
            assert!(matches!(Property::parse(name), Property::Refused(_)) && !is_series(name), "{name}");
        }
    }

    #[test]
    fn a_day_ends_at_the_next_midnight() {
        let midnight = 20_000 * DAY_MS;
        for (now, end) in [(midnight, midnight), (midnight + 1, midnight + DAY_MS), (midnight - 1, midnight)] {
            assert_eq!(day_end(Timestamp::from_millis(now)).as_millis(), end, "{now}");
        }
    }
}
