//! Which builds are allowed: minimum, recommended, blocked and sunset versions, for all platforms and for each.

use std::collections::BTreeMap;

use super::field::{Field, is_name};
use super::version::{Version, VersionRange};
use crate::kernel::time::Timestamp;

/// Longest platform name. Units: characters.
pub const PLATFORM_LEN_MAX: usize = 32;

/// Longest build hash. Units: characters.
pub const BUILD_HASH_LEN_MAX: usize = 128;

/// Most entries in each list of a policy. With the route's body limit of 4 KiB nobody gets near it.
pub const ENTRIES_MAX: usize = 512;

/// What a device runs, as its build token says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build {
    /// Semantic version, as written.
    pub version: String,
    /// The platform.
    pub platform: String,
    /// The hash that names this very build.
    pub build_hash: String,
}

/// Whether `text` can be a platform.
#[must_use]
pub fn is_platform(text: &str) -> bool {
    is_name(text, PLATFORM_LEN_MAX)
}

/// Whether `text` can be a build hash.
#[must_use]
pub fn is_build_hash(text: &str) -> bool {
    (1..=BUILD_HASH_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Rules that hold for all platforms, or on top of those for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Older versions are refused.
    pub minimum: Option<Version>,
    /// Older versions are told to update.
    pub recommended: Option<Version>,
    /// Versions that are refused.
    pub blocked: Vec<VersionRange>,
    /// Builds that are refused whatever their version.
    pub blocked_builds: Vec<String>,
    /// Versions that are refused from a time on.
    pub sunset: Vec<Sunset>,
}

/// The end of some versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sunset {
    /// Which.
    pub range: VersionRange,
    /// When.
    pub at: Timestamp,
    /// The time as the operator wrote it.
    pub written: String,
}

/// The whole policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For all platforms.
    pub general: Rules,
    /// For one platform: its minimum and recommended version replace the general ones, its lists join them.
    pub rules_by_platform: BTreeMap<String, Rules>,
    /// Grows by one with every change.
    pub epoch: u64,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

impl Default for Policy {
    /// The policy before anybody has written one: everything from 1.0.0 on.
    fn default() -> Self {
        Self { general: Rules::default().or_first(), rules_by_platform: BTreeMap::new(), epoch: 0, updated_at: None }
    }
}

impl Rules {
    /// These rules, with the first version where none is named.
    fn or_first(mut self) -> Self {
        self.minimum.get_or_insert_with(Version::first);
        self.recommended.get_or_insert_with(Version::first);
        self
    }
}

/// A build that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// A newer version that the user should have.
    pub recommended: Option<Version>,
    /// When this version will be refused.
    pub sunset_at: Option<Timestamp>,
}

/// Why a build is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NotAllowed {
    Version { version: String },
    Blocked { version: String },
    BelowMinimum { version: String, minimum: Version },
    Sunset { version: String, at: Timestamp },
}

impl Policy {
    /// Judges a build.
    pub fn judge(&self, build: &Build, now: Timestamp) -> Result<Allowed, NotAllowed> {
        let name = || build.version.clone();
        let Some(version) = Version::parse(&build.version) else {
            return Err(NotAllowed::Version { version: name() });
        };
        let own = self.rules_by_platform.get(&build.platform);
        let layers = || std::iter::once(&self.general).chain(own);
        let is_blocked = layers().any(|rules| {
            rules.blocked.iter().any(|range| range.contains(&version))
                || rules.blocked_builds.contains(&build.build_hash)
        });
        if is_blocked {
            return Err(NotAllowed::Blocked { version: name() });
        }
        let minimum = self.minimum_for(own);
        if version < minimum {
            return Err(NotAllowed::BelowMinimum { version: name(), minimum });
        }
        let sunsets = layers().flat_map(|rules| &rules.sunset).filter(|sunset| sunset.range.contains(&version));
        let sunset_at = sunsets.map(|sunset| sunset.at).min();
        if let Some(at) = sunset_at.filter(|at| *at <= now) {
            return Err(NotAllowed::Sunset { version: name(), at });
        }
        let recommended = own.and_then(|rules| rules.recommended.clone()).or_else(|| self.general.recommended.clone());
        Ok(Allowed { recommended: recommended.filter(|recommended| version < *recommended), sunset_at })
    }

    fn minimum_for(&self, own: Option<&Rules>) -> Version {
        let own = own.and_then(|rules| rules.minimum.clone());
        own.or_else(|| self.general.minimum.clone()).unwrap_or_else(Version::first)
    }

    /// When what this policy says of any build changed last: by its writing, or by a sunset since.
    #[must_use]
    pub fn changed_at(&self, now: Timestamp) -> Timestamp {
        let all = std::iter::once(&self.general).chain(self.rules_by_platform.values());
        let sunsets = all.flat_map(|rules| &rules.sunset).map(|sunset| sunset.at).filter(|at| *at <= now);
        sunsets.chain(self.updated_at).max().unwrap_or(Timestamp::EPOCH)
    }

    /// The earliest sunset of all, which the field's clients read under another name.
    #[must_use]
    pub fn first_sunset(&self) -> Option<&Sunset> {
        let all = std::iter::once(&self.general).chain(self.rules_by_platform.values());
        all.flat_map(|rules| &rules.sunset).min_by_key(|sunset| sunset.at)
    }
}

/// A range, and its time with the way that it is written.
pub type SunsetClaim = (String, Field<(Timestamp, String)>);

/// Rules as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct RulesClaim {
    pub minimum_version: Field<String>,
    pub recommended_version: Field<String>,
    pub blocked_versions: Field<Vec<Field<String>>>,
    pub blocked_builds: Field<Vec<Field<String>>>,
    pub sunset_dates: Field<Vec<SunsetClaim>>,
    /// Names of members that are none of these.
    pub unknown: Vec<String>,
}

/// A policy as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct PolicyClaim {
    pub general: RulesClaim,
    pub platforms: Field<Vec<(String, Field<RulesClaim>)>>,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the member")]
pub enum PolicyError {
    Minimum,
    Recommended,
    Blocked,
    BlockedBuilds,
    Sunset,
    Platforms,
    /// A member of an unknown name, which may be a misspelt one: its true one would silently be reset.
    Unknown,
}

/// Checks a policy. What is missing is as in a policy that nobody has written: the whole policy is replaced.
pub fn check_policy(claim: PolicyClaim, epoch: u64, now: Timestamp) -> Result<Policy, PolicyError> {
    let mut rules_by_platform = BTreeMap::new();
    for (platform, rules) in claim.platforms.optional(PolicyError::Platforms)?.unwrap_or_default() {
        let rules = rules.given().filter(|_| is_platform(&platform)).ok_or(PolicyError::Platforms)?;
        rules_by_platform.insert(platform, check_rules(rules)?);
    }
    let general = check_rules(claim.general)?.or_first();
    Ok(Policy { general, rules_by_platform, epoch, updated_at: Some(now) })
}

fn check_rules(claim: RulesClaim) -> Result<Rules, PolicyError> {
    if !claim.unknown.is_empty() {
        return Err(PolicyError::Unknown);
    }
    let version = |field: Field<String>, error| field.and_then(|text| Version::parse(&text)).optional(error);
    let minimum = version(claim.minimum_version, PolicyError::Minimum)?;
    let recommended = version(claim.recommended_version, PolicyError::Recommended)?;
    let blocked = list(claim.blocked_versions, PolicyError::Blocked, |text| VersionRange::parse(&text))?;
    let blocked_builds =
        list(claim.blocked_builds, PolicyError::BlockedBuilds, |text| is_build_hash(&text).then_some(text))?;
    let dates = claim.sunset_dates.optional(PolicyError::Sunset)?.unwrap_or_default();
    let sunset: Option<Vec<Sunset>> = dates
        .into_iter()
        .map(|(range, time)| {
            let (at, written) = time.given()?;
            Some(Sunset { range: VersionRange::parse(&range)?, at, written })
        })
        .collect();
    let sunset = sunset.filter(|all| all.len() <= ENTRIES_MAX).ok_or(PolicyError::Sunset)?;
    Ok(Rules { minimum, recommended, blocked, blocked_builds, sunset })
}

fn list<T>(
    field: Field<Vec<Field<String>>>,
    error: PolicyError,
    accept: impl Fn(String) -> Option<T>,
) -> Result<Vec<T>, PolicyError> {
    let items = field.optional(error)?.unwrap_or_default();
    let items: Option<Vec<T>> = items.into_iter().map(|item| item.given().and_then(&accept)).collect();
    items.filter(|all| all.len() <= ENTRIES_MAX).ok_or(error)
}

/// How many devices run a build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Population {
    pub build: Build,
    pub devices: u64,
}

/// What a change would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// Registered devices.
    pub devices: u64,
    /// Devices that are allowed now and would be refused.
    pub locked_out: u64,
    /// Devices that are refused now and would be allowed.
    pub let_in: u64,
}

/// What changing from `before` to `after` would do at `now`.
#[must_use]
pub fn effect(before: &Policy, after: &Policy, population: &[Population], now: Timestamp) -> Effect {
    population.iter().fold(Effect::default(), |sum, Population { build, devices }| {
        let (was, will) = (before.judge(build, now).is_ok(), after.judge(build, now).is_ok());
        Effect {
            devices: sum.devices + devices,
            locked_out: sum.locked_out + if was && !will { *devices } else { 0 },
            let_in: sum.let_in + if !was && will { *devices } else { 0 },
        }
    })
}

/// Whether a change that is made only to a certain version of the policy applies to `epoch`.
///
/// `if_match` is the header as sent: entity tags separated by commas, or `*`. Strong and weak tags are both taken,
/// because what compresses answers on the way weakens tags.
#[must_use]
pub fn applies_to(if_match: Option<&str>, epoch: u64) -> bool {
    let Some(wanted) = if_match else { return true };
    let current = entity_tag(epoch);
    wanted.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == current)
}

/// The entity tag of the policy of an epoch.
#[must_use]
pub fn entity_tag(epoch: u64) -> String {
    format!("\"policy-{epoch}\"")
}
