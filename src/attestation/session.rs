//! Sessions: what a token says about a device, and whether it is enough.
//!
//! | tier | what was shown |
//! | --- | --- |
//! | 0 | a build token, which is public: a registration, or a web page that has no file to prove |
//! | 1 | possession of the released file |
//! | 2 | the same, and a device key |

use super::device::Device;
use super::policy::Build;
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::time::Timestamp;

/// How long a web session lives at most: nothing was proven for it.
pub const WEB_TTL_MS: u64 = 900_000;

/// The kind that a session's payload names, so that nothing else that our key signs is taken for one.
pub const KIND: &str = "session";

/// Who a session is for unless the challenge says otherwise.
pub const AUDIENCE: &str = "waystation";

/// How far our clock may be behind the one that issued a session.
pub const SKEW_MS_MAX: u64 = 60_000;

/// What was shown for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// A build token of a web page.
    Web,
    /// A build token.
    Registered,
    /// Possession of the released file.
    BuildProof,
    /// Possession of the released file, and of a device key.
    DeviceKey,
}

impl Tier {
    /// The number that stands in the token.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Web | Self::Registered => 0,
            Self::BuildProof => 1,
            Self::DeviceKey => 2,
        }
    }

    /// The word beside the number where nothing was proven; web clients of the field know theirs.
    #[must_use]
    pub const fn trust_level(self) -> Option<&'static str> {
        match self {
            Self::Web => Some("web_fallback"),
            Self::Registered => Some("registration"),
            Self::BuildProof | Self::DeviceKey => None,
        }
    }
}

/// A session that is to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Grant {
    pub device_id: String,
    pub build: Build,
    pub audience: String,
    pub tier: Tier,
    /// The thumbprint of the device's key, where it has one.
    pub key_thumbprint: Option<String>,
}

impl Grant {
    /// A session for `device`.
    #[must_use]
    pub fn new(device_id: &str, device: &Device, tier: Tier, audience: Option<String>) -> Self {
        Self {
            device_id: device_id.to_owned(),
            build: device.build.clone(),
            audience: audience.unwrap_or_else(|| AUDIENCE.to_owned()),
            tier,
            key_thumbprint: device.key.as_ref().map(super::device::DeviceKey::thumbprint),
        }
    }
}

/// A session as its token says it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Session {
    pub device_id: String,
    pub build: Build,
    pub audience: String,
    /// See the table above.
    pub tier: u64,
    pub trust_level: Option<String>,
    pub policy_epoch: u64,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub key_thumbprint: Option<String>,
    /// 16 random bytes in hex.
    pub token_id: String,
}

/// Issues a session.
#[must_use]
pub fn issue(grant: &Grant, policy_epoch: u64, ttl_ms: u64, now: Timestamp, entropy: &mut dyn Entropy) -> Session {
    let ttl_ms = if grant.tier == Tier::Web { ttl_ms.min(WEB_TTL_MS) } else { ttl_ms };
    Session {
        device_id: grant.device_id.clone(),
        build: grant.build.clone(),
        audience: grant.audience.clone(),
        tier: grant.tier.number(),
        trust_level: grant.tier.trust_level().map(str::to_owned),
        policy_epoch,
        issued_at: now,
        expires_at: now.plus(ttl_ms),
        key_thumbprint: grant.key_thumbprint.clone(),
        token_id: hex::encode(random_bytes::<16>(entropy)),
    }
}

/// What an operation wants of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    /// Whom it must be for.
    pub audience: &'a str,
    /// The least tier.
    pub tier_min: u64,
    /// The least policy epoch; 0 for any. After a block the operator's epoch goes here, and older sessions end.
    pub policy_epoch_min: u64,
}

/// Why a session is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// Not a token, or not one that our keys have signed as a session.
    NotGenuine,
    /// Its time is over, or has not come.
    NotNow,
    /// For somebody else.
    Audience,
    /// Too little was shown for it.
    Tier,
    /// Issued under a policy that has changed since.
    PolicyEpoch,
}

/// Judges a genuine session.
pub fn judge_session(session: &Session, demand: Demand<'_>, now: Timestamp) -> Result<(), SessionError> {
    if session.expires_at <= now || session.issued_at.since(now) > SKEW_MS_MAX {
        return Err(SessionError::NotNow);
    }
    if session.audience != demand.audience {
        return Err(SessionError::Audience);
    }
    if session.tier < demand.tier_min {
        return Err(SessionError::Tier);
    }
    if session.policy_epoch < demand.policy_epoch_min {
        return Err(SessionError::PolicyEpoch);
    }
    Ok(())
}
