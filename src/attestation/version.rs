//! Versions of builds in their order, and ranges of them.
//!
//! Source: Semantic Versioning 2.0.0, section 11. Build metadata (`+…`) does not count: `1.2.3+a` is `1.2.3`, so a block
//! cannot be dodged with it. Ranges follow the same order, pre-releases included; the ranges of package managers pass
//! over pre-releases, which would leave `1.2.5-rc.1` allowed inside a blocked `>=1.2.0 <1.3.0`.

use std::cmp::Ordering;
use std::fmt;

/// Longest version. Units: characters.
pub const VERSION_LEN_MAX: usize = 64;

/// Most comparators in one range.
pub const COMPARATORS_MAX: usize = 4;

/// A version. Equality and order are precedence.
#[derive(Debug, Clone)]
pub struct Version(semver::Version);

impl Version {
    /// The version that every policy begins with as minimum.
    #[must_use]
    pub const fn first() -> Self {
        Self(semver::Version::new(1, 0, 0))
    }

    /// The version written in `text`; nothing for anything but a whole semantic version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > VERSION_LEN_MAX {
            return None;
        }
        semver::Version::parse(text).ok().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Exactly,
    AtLeast,
    Above,
}

impl Comparison {
    /// The operators, the longer ones first.
    const SIGNS: [(&'static str, Self); 5] =
        [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::Above), ("<", Self::Below), ("=", Self::Exactly)];

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Below => order == Ordering::Less,
            Self::AtMost => order != Ordering::Greater,
            Self::Exactly => order == Ordering::Equal,
            Self::AtLeast => order != Ordering::Less,
            Self::Above => order == Ordering::Greater,
        }
    }
}

/// Versions that fulfil every comparator: `1.2.3`, `<1.0.0`, `>=1.2.0 <1.3.0`. A comma may separate too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    comparators: Vec<(Comparison, Version)>,
}

impl VersionRange {
    /// The range written in `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut comparators = Vec::new();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let sign = Comparison::SIGNS.iter().find_map(|(sign, is)| Some((*is, word.strip_prefix(sign)?)));
            let (comparison, version) = sign.unwrap_or((Comparison::Exactly, word));
            comparators.push((comparison, Version::parse(version)?));
        }
        let fits = (1..=COMPARATORS_MAX).contains(&comparators.len());
        fits.then(|| Self { text: text.to_owned(), comparators })
    }

    /// Whether `version` is in the range.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.comparators.iter().all(|(comparison, bound)| comparison.holds(version.cmp(bound)))
    }

    /// The text it was written as.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::{Version, VersionRange};

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn the_standards_own_example_is_in_order() {
        // Semantic Versioning 2.0.0, section 11.4.
        let rising = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-0",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        for pair in rising.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1e9.0.0", "1.2.3-", " 1.2.3", "-1.0.0", "١.0.0"] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
        assert!(Version::parse(&format!("1.0.0-{}", "a".repeat(64))).is_none());
    }

    #[test]
    fn ranges_hold_pre_releases_and_pass_over_build_metadata() {
        let range = VersionRange::parse(">=1.2.0, <1.3.0").unwrap();
        for inside in ["1.2.0", "1.2.9", "1.2.5-rc.1", "1.3.0-rc.1", "1.2.0+build"] {
            assert!(range.contains(&version(inside)), "{inside}");
        }
        for outside in ["1.2.0-rc.1", "1.3.0", "1.3.0+build", "0.9.0"] {
            assert!(!range.contains(&version(outside)), "{outside}");
        }
        assert!(VersionRange::parse("1.2.3").unwrap().contains(&version("1.2.3+other")));
        for bad in ["", ">=", "^1.0.0", "1.x", ">=1.0.0 <2", "~1.0.0", ">1.0.0 >1.0.0 >1.0.0 >1.0.0 >1.0.0"] {
            assert!(VersionRange::parse(bad).is_none(), "{bad}");
        }
    }
}
