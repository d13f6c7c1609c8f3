//! A member of a JSON body, as far as the rules care.

use crate::kernel::time::Timestamp;

/// What stands, or does not stand, under a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Nothing, or what JavaScript takes for false, which is what "missing" means in the field's protocol.
    #[default]
    Missing,
    /// Something of another type or form.
    Wrong,
    /// What was expected.
    Given(T),
}

impl<T> Field<T> {
    /// Whether there is nothing.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// What was given, by reference.
    #[must_use]
    pub const fn as_ref(&self) -> Field<&T> {
        match self {
            Self::Missing => Field::Missing,
            Self::Wrong => Field::Wrong,
            Self::Given(value) => Field::Given(value),
        }
    }

    /// What was given, if it was what was expected.
    #[must_use]
    pub fn given(self) -> Option<T> {
        match self {
            Self::Missing | Self::Wrong => None,
            Self::Given(value) => Some(value),
        }
    }

    /// What was given, nothing when it is missing.
    ///
    /// Errors: `error` when it is something else.
    pub fn optional<E>(self, error: E) -> Result<Option<T>, E> {
        match self {
            Self::Missing => Ok(None),
            Self::Wrong => Err(error),
            Self::Given(value) => Ok(Some(value)),
        }
    }

    /// What was given, under a further condition.
    #[must_use]
    pub fn and_then<U>(self, accept: impl FnOnce(T) -> Option<U>) -> Field<U> {
        match self {
            Self::Missing => Field::Missing,
            Self::Wrong => Field::Wrong,
            Self::Given(value) => accept(value).map_or(Field::Wrong, Field::Given),
        }
    }
}

/// Whether `text` is 1 to `max` characters of letters, digits, dot, underscore and hyphen.
#[must_use]
pub fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A time in ISO 8601 with an offset, not before 1970.
#[must_use]
pub fn parse_iso(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// The start of a day written `2027-01-31`, in UTC.
#[must_use]
pub fn parse_day(text: &str) -> Option<Timestamp> {
    if text.len() != 10 {
        return None;
    }
    parse_iso(&format!("{text}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::{is_name, parse_day, parse_iso};

    #[test]
    fn times_are_iso_with_an_offset() {
        assert_eq!(parse_iso("2023-11-14T22:13:20.000Z").unwrap().as_millis(), 1_700_000_000_000);
        assert_eq!(parse_iso("2023-11-14T23:13:20+01:00").unwrap().as_millis(), 1_700_000_000_000);
        assert_eq!(parse_day("2023-11-14").unwrap().to_iso(), "2023-11-14T00:00:00.000Z");
        for bad in ["", "2023-11-14", "now", "1969-12-31T00:00:00Z", "1700000000000"] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("a.B_9-", 6));
        for bad in ["", "a b", "a\n", "é", "abcdefg"] {
            assert!(!is_name(bad, 6), "{bad}");
        }
    }
}
