//! A member of a JSON body, as far as the rules care.

/// What stands, or does not stand, under a name.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Member {
    /// Nothing.
    #[default]
    Missing,
    /// `null` or `false`.
    Falsy,
    /// A string.
    Text(String),
    /// A number, always finite.
    Number(f64),
    /// `true`, an array or an object.
    Other,
}

/// The largest counter or sequence number: what every client's JSON reader carries exactly.
const INTEGER_MAX: f64 = crate::kernel::time::SAFE_INTEGER_MAX as f64;

impl Member {
    /// Whether JavaScript would take it for false, which is what "missing" means in the field's protocol.
    #[must_use]
    pub fn is_falsy(&self) -> bool {
        match self {
            Self::Missing | Self::Falsy => true,
            Self::Text(text) => text.is_empty(),
            Self::Number(number) => *number == 0.0,
            Self::Other => false,
        }
    }

    /// Whether the member is there at all, with whatever value.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// The string, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Missing | Self::Falsy | Self::Number(_) | Self::Other => None,
        }
    }

    /// A number rounded down into 0 ..= 2^53 - 1; nothing for anything but a number.
    #[must_use]
    pub fn floored(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number.floor().clamp(0.0, INTEGER_MAX) as u64),
            Self::Missing | Self::Falsy | Self::Text(_) | Self::Other => None,
        }
    }

    /// A number that already is an integer in 0 ..= 2^53 - 1.
    #[must_use]
    pub fn exact(&self) -> Option<u64> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && (0.0..=INTEGER_MAX).contains(number) => self.floored(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Member;

    #[test]
    fn numbers_become_integers_that_javascript_carries() {
        for (number, floored) in
            [(-1.5, 0), (0.0, 0), (2.9, 2), (9_007_199_254_740_991.0, 9_007_199_254_740_991), (1e300, (1 << 53) - 1)]
        {
            assert_eq!(Member::Number(number).floored(), Some(floored), "{number}");
        }
        assert_eq!(Member::Text(String::from("7")).floored(), None);
    }

    #[test]
    fn exact_numbers_are_not_rounded() {
        assert_eq!(Member::Number(7.0).exact(), Some(7));
        for number in [7.5, -1.0, 1e16] {
            assert_eq!(Member::Number(number).exact(), None, "{number}");
        }
    }

    #[test]
    fn what_javascript_takes_for_false_counts_as_missing() {
        for member in [Member::Missing, Member::Falsy, Member::Text(String::new()), Member::Number(0.0)] {
            assert!(member.is_falsy(), "{member:?}");
        }
        for member in [Member::Other, Member::Text(String::from("0")), Member::Number(-1.0)] {
            assert!(!member.is_falsy(), "{member:?}");
        }
    }
}
