//! Who gets into the register of devices.
//!
//! Whoever has the app can register any number of devices, because the build token is in it. So newcomers are kept in a
//! ring: the oldest that has proven nothing makes way, first within the newcomer's own network. A device that has
//! answered a challenge has left the ring and is displaced only by devices that have answered one too.

use super::build_token::{BuildToken, TokenClaim, TokenError, TokenShape, check_build_token};
use super::device::{
    DERIVED_PREFIX, Device, DeviceKey, ProofClaim, ProofError, Signed, Standing, check_proof, is_device_id,
};
use super::field::Field;
use super::policy::{Allowed, NotAllowed, Policy};
use super::session::{Grant, Tier};
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Devices that have proven nothing.
///
/// Limits: about 500 bytes each with their indexes, so 10 MB.
pub const PENDING_MAX: u64 = 20_000;

/// Devices of one network that have proven nothing.
pub const PENDING_PER_NETWORK_MAX: u64 = 64;

/// Devices that have answered a challenge.
///
/// Limits: about 500 bytes each with their indexes, so 50 MB.
pub const ATTESTED_MAX: u64 = 100_000;

/// The platform that has no file to prove.
pub const WEB: &str = "web";

/// Registrations of one web device.
pub const WEB_REGISTRATIONS: Quota = Quota::new(10, 3_600_000);

/// A registration as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct RegistrationClaim {
    pub build_token: Field<TokenClaim>,
    pub device_id: Field<String>,
    pub device_key: Field<DeviceKey>,
    pub proof: ProofClaim,
}

/// A registration that is fine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Registration {
    pub device_id: String,
    pub token: BuildToken,
    pub key: Option<DeviceKey>,
    pub proof: ProofClaim,
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationError {
    /// `build_token` or `device_id` is missing.
    Missing,
    /// Not a device id.
    DeviceId,
    /// The build token will not do.
    Token(TokenError),
    /// The device key is none, or not the one that the id is derived from.
    DeviceKey,
    /// The device's proof will not do.
    Proof(ProofError),
    /// The id belongs to another key.
    OtherKey,
    /// The id belongs to another platform.
    OtherPlatform,
    /// The build is not allowed.
    NotAllowed(NotAllowed),
    /// More than [`WEB_REGISTRATIONS`].
    TooMany {
        /// When one will be let through. Units: milliseconds.
        retry_after_ms: u64,
    },
}

impl From<TokenError> for RegistrationError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}
impl From<ProofError> for RegistrationError {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}
impl From<NotAllowed> for RegistrationError {
    fn from(error: NotAllowed) -> Self {
        Self::NotAllowed(error)
    }
}

/// Checks a registration by itself, in the order of the protocol.
pub fn check_registration(
    claim: RegistrationClaim,
    keys: &[[u8; 32]],
    now: Timestamp,
) -> Result<Registration, RegistrationError> {
    if claim.build_token.is_missing() || claim.device_id.is_missing() {
        return Err(RegistrationError::Missing);
    }
    let device_id = claim.device_id.given().filter(|id| is_device_id(id)).ok_or(RegistrationError::DeviceId)?;
    let token = claim.build_token.given().ok_or(TokenError::Format)?;
    let token = check_build_token(token, keys, now)?;
    let key = claim.device_key.optional(RegistrationError::DeviceKey)?;
    if device_id.starts_with(DERIVED_PREFIX) && key.as_ref().is_none_or(|key| key.device_id() != device_id) {
        return Err(RegistrationError::DeviceKey);
    }
    Ok(Registration { device_id, token, key, proof: claim.proof })
}

/// How many devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the standings' names")]
pub struct Tally {
    pub pending: u64,
    pub attested: u64,
}

/// The newcomers around a newcomer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring {
    /// Newcomers of the same network.
    pub in_network: u64,
    /// The oldest of them, where they are [`PENDING_PER_NETWORK_MAX`].
    pub oldest_in_network: Option<String>,
    /// The oldest of all, where they are [`PENDING_MAX`].
    pub oldest: Option<String>,
}

/// What must be known to decide a registration.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RegistrationFacts<'a> {
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub build_token_max_age_ms: u64,
    pub network: &'a str,
    pub known: Option<Device>,
    pub tally: Tally,
    pub ring: Ring,
}

/// What is true after a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationPlan {
    /// The id.
    pub device_id: String,
    /// What is kept under it.
    pub device: Device,
    /// A newcomer that makes way.
    pub displaced: Option<String>,
    /// How many devices there are then.
    pub tally: Tally,
    /// What the policy says about the build.
    pub allowed: Allowed,
    /// A session that is answered at once.
    pub grant: Option<Grant>,
}

/// Decides a registration.
pub fn decide_registration(
    facts: RegistrationFacts<'_>,
    registration: Registration,
) -> Result<RegistrationPlan, RegistrationError> {
    let Registration { device_id, token, key, proof } = registration;
    let BuildToken { build, issued_at, shape } = token;
    let now = facts.now;
    let known = facts.known;
    // An installed app goes on with the token that it was built with; policy retires it, not age.
    let is_known_build = known.as_ref().is_some_and(|device| device.build == build);
    if !is_known_build && now.since(issued_at) > facts.build_token_max_age_ms {
        return Err(TokenError::Expired.into());
    }
    let held = known.as_ref().and_then(|device| device.key.as_ref());
    if held.is_some_and(|held| key.as_ref().is_some_and(|key| key != held)) {
        return Err(RegistrationError::OtherKey);
    }
    let key = held.cloned().or(key);
    let newest = known.as_ref().and_then(|device| device.signed_at);
    let signed_at = match &key {
        Some(key) => Some(check_proof(key, &device_id, Signed::Registration(&build), &proof, newest, now)?),
        None => None,
    };
    if known.as_ref().is_some_and(|device| device.build.platform != build.platform) {
        return Err(RegistrationError::OtherPlatform);
    }
    let allowed = facts.policy.judge(&build, now)?;
    let is_web = build.platform == WEB;
    let mut web_free_at_us = known.as_ref().map_or(0, |device| device.web_free_at_us);
    if is_web {
        let taken = WEB_REGISTRATIONS.take(web_free_at_us, now);
        let taken = taken.map_err(|error| RegistrationError::TooMany { retry_after_ms: error.retry_after_ms })?;
        web_free_at_us = taken.free_at_us;
    }
    let mut tally = facts.tally;
    let displaced = if known.is_some() { None } else { make_way(&facts.ring, &mut tally) };
    let device = Device {
        key,
        build,
        shape,
        standing: known.as_ref().map_or(Standing::Pending, |device| device.standing),
        network: facts.network.to_owned(),
        registered_at: known.as_ref().map_or(now, |device| device.registered_at),
        last_seen: now,
        signed_at,
        web_free_at_us,
        attest_free_at_us: known.as_ref().map_or(0, |device| device.attest_free_at_us),
        asked_free_at_us: known.as_ref().map_or(0, |device| device.asked_free_at_us),
        anomalies: known.as_ref().map_or(0, |device| device.anomalies),
    };
    let tier = if is_web { Some(Tier::Web) } else { (shape == TokenShape::Flat).then_some(Tier::Registered) };
    let grant = tier.map(|tier| Grant::new(&device_id, &device, tier, None));
    Ok(RegistrationPlan { device_id, device, displaced, tally, allowed, grant })
}

/// Counts a newcomer in, and names the one that makes way for it.
fn make_way(ring: &Ring, tally: &mut Tally) -> Option<String> {
    let displaced = if ring.in_network >= PENDING_PER_NETWORK_MAX {
        ring.oldest_in_network.clone()
    } else if tally.pending >= PENDING_MAX {
        ring.oldest.clone()
    } else {
        None
    };
    if displaced.is_none() {
        tally.pending += 1;
    }
    displaced
}
