//! Challenges: for which pieces of its file a device is asked.
//!
//! A challenge belongs to one device, one build and one audience, counts once, and is chosen by the CSPRNG. Its nonce is
//! the key of the MACs, so no answer can be made before it is asked for.

use std::collections::BTreeSet;

use super::device::{Device, ProofClaim, ProofError, Signed, check_proof, is_device_id};
use super::field::{Field, is_name};
use super::policy::{NotAllowed, Policy};
use super::reference::{Answerable, Region, Shape, Span, reference_id};
use super::registration::WEB;
use super::version::VERSION_LEN_MAX;
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::quota::Quota;
use crate::kernel::time::Timestamp;

/// Challenges of one device that wait for an answer.
pub const LIVE_MAX: u64 = 5;

/// Sessions of one device. An honest one needs one an hour for each audience; more is a device that lends itself out.
pub const ATTESTATIONS: Quota = Quota::new(20, 3_600_000);

/// Challenges of one device; those beyond are given too, and counted as anomalies.
pub const CHALLENGES: Quota = Quota::new(10, 300_000);

/// Fewest and most declared regions in one challenge.
pub const DECLARED: std::ops::RangeInclusive<u32> = 3..=5;

/// Blocks of a whole file in one challenge, of which up to [`CRITICAL_BLOCKS`] are critical.
pub const BLOCKS: usize = 16;

/// Blocks out of critical pieces. Half: a patch of one block is found once in 2 · (critical blocks) / 16 challenges.
pub const CRITICAL_BLOCKS: usize = 8;

/// Units: bytes.
pub const BLOCK_LEN: u64 = 4096;

/// Longest audience. Units: characters.
pub const AUDIENCE_LEN_MAX: usize = 128;

/// A wish for a challenge as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ChallengeClaim {
    pub device_id: Field<String>,
    pub build_version: Field<String>,
    /// Whether a build token came instead of the version, as relays of the field forward it.
    pub build_token: Field<()>,
    pub audience: Field<String>,
    pub proof: ProofClaim,
}

/// A wish for a challenge that is fine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ChallengeWish {
    pub device_id: String,
    pub build_version: Option<String>,
    pub audience: Option<String>,
    pub proof: ProofClaim,
}

/// Why there is no challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChallengeError {
    /// `device_id`, or both `build_version` and `build_token`, are missing.
    Missing,
    /// One of them is malformed.
    Format,
    /// `audience` is malformed.
    Audience,
    /// No such device.
    NotRegistered,
    /// A web device has no file.
    Web,
    /// The device is registered with another version.
    OtherBuild,
    /// The build is not allowed.
    NotAllowed(NotAllowed),
    /// The device's proof will not do.
    Proof(ProofError),
    /// [`LIVE_MAX`].
    TooMany,
    /// [`ATTESTATIONS`].
    TooOften {
        /// When one will be let through. Units: milliseconds.
        retry_after_ms: u64,
    },
    /// Nothing is known about this build's file.
    NoReference,
}

impl From<NotAllowed> for ChallengeError {
    fn from(error: NotAllowed) -> Self {
        Self::NotAllowed(error)
    }
}
impl From<ProofError> for ChallengeError {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

/// Checks a wish by itself, in the order of the protocol.
pub fn check_challenge(claim: ChallengeClaim) -> Result<ChallengeWish, ChallengeError> {
    if claim.device_id.is_missing() || (claim.build_version.is_missing() && claim.build_token.is_missing()) {
        return Err(ChallengeError::Missing);
    }
    let device_id = claim.device_id.given().filter(|id| is_device_id(id)).ok_or(ChallengeError::Format)?;
    let is_version = |text: &String| !text.is_empty() && text.len() <= VERSION_LEN_MAX;
    let build_version = claim.build_version.and_then(|text| is_version(&text).then_some(text));
    let build_version = build_version.optional(ChallengeError::Format)?;
    let audience = claim.audience.and_then(|text| is_audience(&text).then_some(text));
    let audience = audience.optional(ChallengeError::Audience)?;
    Ok(ChallengeWish { device_id, build_version, audience, proof: claim.proof })
}

/// An audience is a name, or a server id, which has colons too.
fn is_audience(text: &str) -> bool {
    is_name(&text.replace(':', "."), AUDIENCE_LEN_MAX)
}

/// What must be known to decide a wish.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChallengeFacts<'a> {
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub ttl_ms: u64,
    pub device: Option<Device>,
    /// Challenges of this device that wait for an answer.
    pub live: u64,
    /// What is known about its build's file.
    pub reference: Option<&'a Shape>,
}

/// A piece of the file that a challenge asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Of a declared region its position in the reference, of a block its position in the challenge.
    pub index: u64,
    /// Where it is.
    pub span: Span,
}

/// Who can judge the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// The registry, which has the declared regions.
    Registry,
    /// The object that has the whole file.
    ReferenceStore,
}

/// A challenge that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Challenge {
    /// 64 hex digits.
    pub nonce: String,
    pub device_id: String,
    pub reference_id: String,
    pub judge: Judge,
    pub asked: Vec<Asked>,
    pub audience: Option<String>,
    pub expires_at: Timestamp,
}

/// What is true after a wish: the challenge, and the device that has asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChallengePlan {
    pub challenge: Challenge,
    pub device: Device,
}

/// Decides a wish for a challenge.
pub fn decide_challenge(
    facts: ChallengeFacts<'_>,
    wish: ChallengeWish,
    entropy: &mut dyn Entropy,
) -> Result<ChallengePlan, ChallengeError> {
    let now = facts.now;
    let mut device = facts.device.ok_or(ChallengeError::NotRegistered)?;
    if device.build.platform == WEB {
        return Err(ChallengeError::Web);
    }
    if wish.build_version.is_some_and(|version| version != device.build.version) {
        return Err(ChallengeError::OtherBuild);
    }
    facts.policy.judge(&device.build, now)?;
    if let Some(key) = &device.key {
        let signed_at = check_proof(key, &wish.device_id, Signed::Challenge, &wish.proof, device.signed_at, now)?;
        device.signed_at = Some(signed_at);
    }
    if facts.live >= LIVE_MAX {
        return Err(ChallengeError::TooMany);
    }
    let quota = ATTESTATIONS.take(device.attest_free_at_us, now);
    quota.map_err(|error| ChallengeError::TooOften { retry_after_ms: error.retry_after_ms })?;
    let shape = facts.reference.filter(|shape| shape.answerable() == Answerable::Yes);
    let shape = shape.ok_or(ChallengeError::NoReference)?;
    let (judge, asked) = match shape {
        Shape::Declared(regions) => (Judge::Registry, choose_regions(regions, entropy)),
        Shape::Whole { size, critical } => (Judge::ReferenceStore, choose_blocks(*size, critical, entropy)),
    };
    match CHALLENGES.take(device.asked_free_at_us, now) {
        Ok(allowance) => device.asked_free_at_us = allowance.free_at_us,
        Err(_) => device.anomalies += 1,
    }
    device.last_seen = now;
    let challenge = Challenge {
        nonce: hex::encode(random_bytes::<32>(entropy)),
        device_id: wish.device_id,
        reference_id: reference_id(&device.build),
        judge,
        asked,
        audience: wish.audience,
        expires_at: now.plus(facts.ttl_ms),
    };
    Ok(ChallengePlan { challenge, device })
}

/// [`DECLARED`] different regions, or all where there are fewer; a heavy one is as likely as as many light ones.
pub fn choose_regions(regions: &[Region], entropy: &mut dyn Entropy) -> Vec<Asked> {
    let mut left: Vec<(u64, &Region)> =
        (0..).zip(regions).filter(|(_, region)| region.answerable == Answerable::Yes).collect();
    let count = DECLARED.start() + entropy.below(DECLARED.end() - DECLARED.start() + 1);
    let mut asked = Vec::new();
    while asked.len() < count as usize && !left.is_empty() {
        // At most 1024 regions of weight 1000.
        let total: u64 = left.iter().map(|(_, region)| region.weight).sum();
        let mut at = u64::from(entropy.below(u32::try_from(total).unwrap_or(u32::MAX)));
        let hit = left.iter().position(|(_, region)| {
            let inside = at < region.weight;
            at = at.saturating_sub(region.weight);
            inside
        });
        let (index, region) = left.swap_remove(hit.unwrap_or(0));
        asked.push(Asked { index, span: region.span });
    }
    asked
}

/// [`BLOCKS`] different blocks of a file, or all where there are fewer.
pub fn choose_blocks(size: u64, critical: &[Span], entropy: &mut dyn Entropy) -> Vec<Asked> {
    let blocks = size.div_ceil(BLOCK_LEN);
    let critical = critical_blocks(critical);
    let critical_count: u64 = critical.iter().map(|(first, end)| end - first).sum();
    let mut chosen = BTreeSet::new();
    pick(&mut chosen, CRITICAL_BLOCKS, critical_count, entropy, |rank| nth(&critical, rank));
    pick(&mut chosen, BLOCKS, blocks, entropy, Some);
    (0..)
        .zip(chosen)
        .map(|(index, block)| {
            let offset = block * BLOCK_LEN;
            Asked { index, span: Span { offset, length: BLOCK_LEN.min(size.saturating_sub(offset)) } }
        })
        .collect()
}

/// Adds blocks until there are `wanted`, each as likely as any other of the `count` that `block_of` names.
fn pick(
    chosen: &mut BTreeSet<u64>,
    wanted: usize,
    count: u64,
    entropy: &mut dyn Entropy,
    block_of: impl Fn(u64) -> Option<u64>,
) {
    // Where nearly all are wanted, drawing would take long: then all are looked at in order.
    if count <= 2 * wanted as u64 {
        let mut left: Vec<u64> = (0..count).filter_map(&block_of).filter(|block| !chosen.contains(block)).collect();
        while chosen.len() < wanted && !left.is_empty() {
            let at = entropy.below(u32::try_from(left.len()).unwrap_or(u32::MAX));
            chosen.insert(left.swap_remove(at as usize));
        }
        return;
    }
    while chosen.len() < wanted {
        let rank = entropy.below(u32::try_from(count).unwrap_or(u32::MAX));
        chosen.extend(block_of(u64::from(rank)));
    }
}

/// The blocks that sorted pieces touch, as ranges apart from each other.
fn critical_blocks(critical: &[Span]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for span in critical {
        let (first, end) = (span.offset / BLOCK_LEN, span.end().div_ceil(BLOCK_LEN));
        match ranges.last_mut() {
            Some((_, last)) if *last >= first => *last = end.max(*last),
            _ => ranges.push((first, end)),
        }
    }
    ranges
}

fn nth(ranges: &[(u64, u64)], mut rank: u64) -> Option<u64> {
    for (first, end) in ranges {
        let count = end - first;
        if rank < count {
            return Some(first + rank);
        }
        rank -= count;
    }
    None
}
