//! Answers to challenges, and what a good one brings.
//!
//! Whatever is wrong with an answer, the work is the same and the verdict is the same word: there is nothing to learn
//! from trying. The challenge is used up by the first answer that names it, good or bad.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::challenge::{ATTESTATIONS, Asked, Challenge, Judge};
use super::device::{Device, Standing, signed_answers};
use super::field::Field;
use super::policy::Policy;
use super::reference::reference_id;
use super::registration::{ATTESTED_MAX, Tally};
use super::session::{Grant, Tier};
use crate::kernel::time::Timestamp;

/// A MAC of one region.
pub type RegionMac = [u8; 32];

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct AnswerClaim {
    pub device_id: Field<String>,
    pub nonce: Field<String>,
    /// Index and MAC of each region; nothing for what is neither.
    pub responses: Field<Vec<Option<(u64, RegionMac)>>>,
    pub device_signature: Field<Vec<u8>>,
}

/// An answer that is fine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Answer {
    pub device_id: String,
    pub nonce: String,
    pub responses: Vec<Option<(u64, RegionMac)>>,
    pub device_signature: Option<Vec<u8>>,
}

/// `device_id`, `nonce` or `responses` is missing: the one thing that a failed answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingMembers;

/// Checks an answer by itself. An id or nonce of another type is one that nobody holds.
pub fn check_answer(claim: AnswerClaim) -> Result<Answer, MissingMembers> {
    let Field::Given(responses) = claim.responses else { return Err(MissingMembers) };
    if claim.device_id.is_missing() || claim.nonce.is_missing() {
        return Err(MissingMembers);
    }
    Ok(Answer {
        device_id: claim.device_id.given().unwrap_or_default(),
        nonce: claim.nonce.given().unwrap_or_default(),
        responses,
        device_signature: claim.device_signature.given(),
    })
}

/// What must be known to judge an answer.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct VerifyFacts<'a> {
    pub now: Timestamp,
    pub policy: &'a Policy,
    /// The challenge that the answer names.
    pub challenge: Option<Challenge>,
    /// The device that the answer names.
    pub device: Option<&'a Device>,
    /// The bytes of the regions that the challenge asks for, in its order, where the registry has them.
    pub bytes: Vec<Vec<u8>>,
}

/// What becomes of an answer. The challenge that it names is gone in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not good, for whatever reason.
    Refused,
    /// Good.
    Good(Grant),
    /// To be judged where the file is.
    Elsewhere(Judgement),
}

/// A question to the object that has the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Which file.
    pub reference_id: String,
    /// The key of the MACs, 64 hex digits.
    pub nonce: String,
    /// The pieces and the MACs that were given for them.
    pub answers: Vec<(Asked, RegionMac)>,
    /// What a good answer brings; nothing when it brings nothing anyway, which the object does not hurry for.
    pub grant: Option<Grant>,
}

/// Judges an answer.
#[must_use]
pub fn decide_verify(facts: &VerifyFacts<'_>, answer: &Answer) -> Verdict {
    let sound = facts.challenge.as_ref().is_some_and(|challenge| is_sound(facts, challenge, answer));
    let decoy = Vec::new();
    let asked = facts.challenge.as_ref().map_or(&decoy, |challenge| &challenge.asked);
    let arranged = arrange(asked, &answer.responses);
    let macs: Vec<RegionMac> = arranged.clone().unwrap_or_else(|| vec![[0; 32]; asked.len()]);
    let tier = facts.device.and_then(|device| tier_of(device, answer, arranged.as_deref(), asked));
    let grant = facts
        .device
        .zip(tier)
        .zip(facts.challenge.as_ref())
        .filter(|_| sound && arranged.is_some())
        .map(|((device, tier), challenge)| Grant::new(&answer.device_id, device, tier, challenge.audience.clone()));
    match &facts.challenge {
        Some(challenge) if challenge.judge == Judge::ReferenceStore => Verdict::Elsewhere(Judgement {
            reference_id: challenge.reference_id.clone(),
            nonce: challenge.nonce.clone(),
            answers: challenge.asked.iter().copied().zip(macs).collect(),
            grant,
        }),
        Some(_) if facts.bytes.len() == macs.len() => {
            let good = all_good(&answer.nonce, facts.bytes.iter().map(Vec::as_slice).zip(&macs));
            grant.filter(|_| good).map_or(Verdict::Refused, Verdict::Good)
        }
        _ => {
            judge_nothing();
            Verdict::Refused
        }
    }
}

/// Whether challenge, device, build, policy and time belong together.
fn is_sound(facts: &VerifyFacts<'_>, challenge: &Challenge, answer: &Answer) -> bool {
    let Some(device) = facts.device else { return false };
    challenge.device_id == answer.device_id
        && challenge.expires_at > facts.now
        && challenge.reference_id == reference_id(&device.build)
        && facts.policy.judge(&device.build, facts.now).is_ok()
}

/// The MACs in the order asked; nothing unless exactly the asked indexes are answered, each once.
fn arrange(asked: &[Asked], responses: &[Option<(u64, RegionMac)>]) -> Option<Vec<RegionMac>> {
    if asked.len() != responses.len() {
        return None;
    }
    // As many answers as questions, and one to each question: then none is answered twice.
    let given = |index: u64| responses.iter().flatten().find(|(given, _)| *given == index).map(|(_, mac)| *mac);
    asked.iter().map(|asked| given(asked.index)).collect()
}

/// What a good answer of this device is worth; nothing when the device has a key and has not signed with it.
fn tier_of(device: &Device, answer: &Answer, macs: Option<&[RegionMac]>, asked: &[Asked]) -> Option<Tier> {
    let Some(key) = &device.key else { return Some(Tier::BuildProof) };
    let answers: Vec<(u64, RegionMac)> =
        asked.iter().zip(macs.unwrap_or_default()).map(|(asked, mac)| (asked.index, *mac)).collect();
    let message = signed_answers(&answer.device_id, &answer.nonce, &answers);
    let signature = answer.device_signature.as_deref().unwrap_or_default();
    key.verify(&message, signature).then_some(Tier::DeviceKey)
}

/// Whether every MAC is the one of its bytes, in time that depends on the number and length of the regions only.
///
/// The field's clients do not agree whether the key is the nonce's 32 bytes or its 64 hex digits: each may use either.
pub fn all_good<'a>(nonce: &str, answers: impl Iterator<Item = (&'a [u8], &'a RegionMac)>) -> bool {
    let raw = hex::decode(nonce).unwrap_or_default();
    let mut good = Choice::from(1);
    for (bytes, given) in answers {
        let is = |key: &[u8]| mac(key, bytes).ct_eq(given);
        good &= is(&raw) | is(nonce.as_bytes());
    }
    good.into()
}

/// HMAC-SHA256.
#[must_use]
pub fn mac(key: &[u8], bytes: &[u8]) -> RegionMac {
    // HMAC takes keys of every length, so the error does not exist.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// As much work as a challenge of four blocks, for answers that name none.
fn judge_nothing() {
    let block = [0_u8; 4096];
    let macs = [[0_u8; 32]; 4];
    std::hint::black_box(all_good(&"0".repeat(64), macs.iter().map(|mac| (block.as_slice(), mac))));
}

/// What must be known to act on a good answer.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GrantFacts<'a> {
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub device: Option<Device>,
    pub tally: Tally,
    /// The attested device that was seen longest ago.
    pub oldest_attested: Option<String>,
}

/// What is true after a good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GrantPlan {
    pub device: Device,
    /// An attested device that makes way.
    pub displaced: Option<String>,
    pub tally: Tally,
}

/// Decides what a good answer does. Nothing when the device or the policy has changed since it was judged, or the device
/// has had all the sessions that it may.
#[must_use]
pub fn decide_grant(facts: GrantFacts<'_>, grant: &Grant) -> Option<GrantPlan> {
    let mut device = facts.device.filter(|device| device.build == grant.build)?;
    facts.policy.judge(&device.build, facts.now).ok()?;
    device.attest_free_at_us = ATTESTATIONS.take(device.attest_free_at_us, facts.now).ok()?.free_at_us;
    let mut tally = facts.tally;
    let mut displaced = None;
    if device.standing == Standing::Pending {
        device.standing = Standing::Attested;
        tally.pending = tally.pending.saturating_sub(1);
        displaced = facts.oldest_attested.filter(|_| tally.attested >= ATTESTED_MAX);
        if displaced.is_none() {
            tally.attested += 1;
        }
    }
    device.last_seen = facts.now;
    Some(GrantPlan { device, displaced, tally })
}

#[cfg(test)]
mod tests {
    use super::{all_good, mac};

    #[test]
    fn both_keys_of_the_field_make_the_documented_macs() {
        let nonce = format!("{}01", "00".repeat(31));
        let bytes = hex::decode("deadbeef").unwrap();
        let raw = hex::decode(&nonce).unwrap();
        let (of_bytes, of_text) = (mac(&raw, &bytes), mac(nonce.as_bytes(), &bytes));
        assert_eq!(hex::encode(of_bytes), "54ea88d7af71fe2ef2f8c1fb6c07b3d58d0f3bc52c9f49698ec4b0ea5ede85cd");
        assert_eq!(hex::encode(of_text), "b5447641a4609908461dd5f6ad38f546c33dde42e80b82dbac8b9be3a2fe19c0");
        for good in [of_bytes, of_text] {
            assert!(all_good(&nonce, [(bytes.as_slice(), &good)].into_iter()));
            for bit in 0..256 {
                let mut bad = good;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!all_good(&nonce, [(bytes.as_slice(), &bad)].into_iter()), "bit {bit}");
            }
        }
    }
}
