//! Who gets into the registry, who stays, and who leaves.
//!
//! Each request is checked by itself first ([`check_registration`], [`check_beat`], [`check_removal`]), then decided
//! against what is known ([`decide_registration`], …). On a refusal nothing has changed.

use super::endpoint::{EndpointError, Reach, check_endpoint};
use super::member::Member;
use super::proof::{Coverage, Demand, Proof, ProofClaim, ProofError, Used, check_shape};
use super::registry::{Counters, Entry, Heard, Liveness, Proven, Room, is_server_id};
use crate::kernel::time::Timestamp;

/// Longest public key. Units: characters.
pub const PUBLIC_KEY_LEN_MAX: usize = 1024;

/// Longest region. Units: characters.
pub const REGION_LEN_MAX: usize = 64;

/// Used nonces and signed times kept for registrations and removals.
///
/// Limits: each lives 150 s, so this is 66 signed registrations a second for ever; a row is at most 300 bytes.
pub const PROOFS_MAX: u64 = 10_000;

/// How much the caller's credentials say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The operator, or a holder of the registry secret.
    Trusted,
    /// Anybody, in a development service without registry secret.
    Open,
    /// Nothing: only a signature can speak for the caller.
    Unknown,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The body is not JSON.
    Malformed,
    /// The credentials do not allow registry writes.
    NotAllowed,
    /// `serverId`, `endpoint` or `publicKey` is missing.
    MissingFields,
    /// `serverId` is missing.
    MissingServerId,
    /// Not a server id.
    ServerId,
    /// Not a server id, in the path.
    ServerIdInPath,
    /// No server id in the path.
    Path,
    /// The endpoint will not do.
    Endpoint(EndpointError),
    /// The public key is longer than [`PUBLIC_KEY_LEN_MAX`].
    PublicKeyTooLong,
    /// The public key is no printable ASCII text.
    PublicKey,
    /// The sequence number is no integer.
    Sequence,
    /// The proof will not do.
    Proof(ProofError),
    /// Another key holds the id.
    OtherKey,
    /// The id was registered with a signature and this is none.
    SignatureNeeded,
    /// [`super::registry::SERVERS_MAX`] servers are alive.
    Full,
    /// [`PROOFS_MAX`] proofs are remembered.
    TooManyProofs,
    /// No such server.
    NotRegistered,
    /// The sequence number is not above the last one.
    StaleSequence {
        /// The last one.
        last: u64,
    },
    /// Nothing speaks for the caller.
    NoProof,
    /// What speaks for the caller is not enough.
    NotTheOwner,
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<EndpointError> for Refusal {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

/// The four counters as they came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct CounterClaim {
    pub connections: Member,
    pub relay_connections: Member,
    pub signaling_connections: Member,
    pub active_codes: Member,
}

impl CounterClaim {
    /// The counters that are numbers; `before` for the others.
    #[must_use]
    pub fn over(&self, before: Counters) -> Counters {
        Counters {
            connections: self.connections.floored().unwrap_or(before.connections),
            relay_connections: self.relay_connections.floored().unwrap_or(before.relay_connections),
            signaling_connections: self.signaling_connections.floored().unwrap_or(before.signaling_connections),
            active_codes: self.active_codes.floored().unwrap_or(before.active_codes),
        }
    }
}

/// A registration as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct RegistrationClaim {
    pub server_id: Member,
    pub endpoint: Member,
    pub public_key: Member,
    pub region: Member,
    pub counters: CounterClaim,
    pub proof: ProofClaim,
}

/// A registration that is fine by itself.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Registration {
    pub server_id: String,
    pub endpoint: String,
    pub public_key: String,
    pub region: String,
    pub counters: Counters,
    pub proof: Proof,
}

/// Checks a registration by itself; the first failure wins, in the order of the protocol.
pub fn check_registration(
    claim: RegistrationClaim,
    reach: Reach,
    demand: Demand,
    now: Timestamp,
) -> Result<Registration, Refusal> {
    if claim.server_id.is_falsy() || claim.endpoint.is_falsy() || claim.public_key.is_falsy() {
        return Err(Refusal::MissingFields);
    }
    let server_id = claim.server_id.text().filter(|id| is_server_id(id)).ok_or(Refusal::ServerId)?.to_owned();
    let endpoint = claim.endpoint.text().ok_or(EndpointError::NotAUrl)?.to_owned();
    check_endpoint(&endpoint, reach)?;
    let public_key = check_public_key(&claim.public_key)?.to_owned();
    let region = claim.region.text().filter(|region| is_region(region)).unwrap_or("unknown").to_owned();
    let counters = claim.counters.over(Counters::default());
    let proof = check_shape(claim.proof, demand, now)?;
    Ok(Registration { server_id, endpoint, public_key, region, counters, proof })
}

fn check_public_key(member: &Member) -> Result<&str, Refusal> {
    let key = member.text().ok_or(Refusal::PublicKey)?;
    if key.encode_utf16().count() > PUBLIC_KEY_LEN_MAX {
        return Err(Refusal::PublicKeyTooLong);
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(Refusal::PublicKey);
    }
    Ok(key)
}

fn is_region(text: &str) -> bool {
    (1..=REGION_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// What must be known to decide a registration.
#[derive(Debug)]
#[allow(missing_docs, reason = "the rest is named after what it is")]
pub struct RegistrationFacts<'a> {
    pub now: Timestamp,
    pub authority: Authority,
    /// The living server under this id.
    pub living: Option<&'a Entry>,
    /// The newest time that the server under this id, living or dead, has signed in a heartbeat.
    pub beat_signed_at: Option<Timestamp>,
    pub used: Used,
    pub room: Room,
    /// Proofs that are remembered and not expired.
    pub proofs_kept: u64,
    /// A number that no other registration has.
    pub registration: u64,
}

/// What is true after a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationPlan {
    /// The id.
    pub server_id: String,
    /// What is kept under it.
    pub entry: Entry,
    /// A dead server that makes room.
    pub displaced: Option<String>,
    /// What is used up.
    pub spent: Spent,
}

/// What a request uses up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The nonce.
    pub nonce: Option<String>,
    /// The newest time that the server has signed from now on, when this request is signed.
    pub newest_signed: Option<Timestamp>,
}

impl Spent {
    fn by(proof: &Proof, used: Used) -> Self {
        let newest_signed =
            proof.signed_at().map(|signed| used.newest_signed.map_or(signed, |known| known.max(signed)));
        Self { nonce: proof.nonce().map(str::to_owned), newest_signed }
    }

    /// How many rows it takes to remember this.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::from(self.nonce.is_some()) + u64::from(self.newest_signed.is_some())
    }
}

/// Decides a registration.
///
/// Whoever is trusted may take over any id. In an open service a living server keeps its id against other keys that
/// sign, and a server that registered with a signature keeps it against everybody who does not sign with its key.
pub fn decide_registration(
    facts: RegistrationFacts<'_>,
    registration: Registration,
) -> Result<RegistrationPlan, Refusal> {
    let proof = &registration.proof;
    let coverage = proof.verify(&registration.public_key)?;
    proof.check_fresh(coverage, facts.used)?;
    check_holder(&facts, &registration.public_key, coverage)?;
    let displaced = match facts.room {
        Room::Free => None,
        Room::InsteadOf(dead) => Some(dead),
        Room::Full => return Err(Refusal::Full),
    };
    let spent = Spent::by(proof, facts.used);
    if facts.proofs_kept + spent.rows() > PROOFS_MAX {
        return Err(Refusal::TooManyProofs);
    }
    // A heartbeat signed before this registration belongs to an earlier one; of the same millisecond, to this one.
    let signed_before = proof.signed_at().map(|signed_at| signed_at.minus(1));
    let liveness = Liveness {
        last_seen: facts.now,
        counters: registration.counters,
        sequence: None,
        signed_at: facts.beat_signed_at.max(signed_before),
    };
    let entry = Entry {
        registration: facts.registration,
        endpoint: registration.endpoint,
        public_key: registration.public_key,
        region: registration.region,
        proven: if coverage == Coverage::Nothing { Proven::No } else { Proven::Yes },
        registered_at: facts.now,
        liveness,
        heard: Heard::Here,
        stored_seen: facts.now,
    };
    Ok(RegistrationPlan { server_id: registration.server_id, entry, displaced, spent })
}

fn check_holder(facts: &RegistrationFacts<'_>, public_key: &str, coverage: Coverage) -> Result<(), Refusal> {
    let Some(holder) = facts.living.filter(|_| facts.authority != Authority::Trusted) else { return Ok(()) };
    let same_key = holder.public_key == public_key;
    match (coverage, holder.proven) {
        (Coverage::Nothing, Proven::No) => Ok(()),
        (Coverage::Nothing, Proven::Yes) if same_key => Err(Refusal::SignatureNeeded),
        _ if same_key => Ok(()),
        _ => Err(Refusal::OtherKey),
    }
}

/// A heartbeat as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct BeatClaim {
    pub server_id: Member,
    pub counters: CounterClaim,
    pub sequence: Member,
    pub proof: ProofClaim,
}

/// A heartbeat that is fine by itself.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Beat {
    pub server_id: String,
    pub counters: CounterClaim,
    pub sequence: Option<u64>,
    pub proof: Proof,
}

/// Checks a heartbeat by itself.
pub fn check_beat(claim: BeatClaim, demand: Demand, now: Timestamp) -> Result<Beat, Refusal> {
    if claim.server_id.is_falsy() {
        return Err(Refusal::MissingServerId);
    }
    let server_id = claim.server_id.text().filter(|id| is_server_id(id)).ok_or(Refusal::ServerId)?.to_owned();
    let proof = check_shape(claim.proof, demand, now)?;
    let sequence = match claim.sequence {
        Member::Missing if demand == Demand::Everything => return Err(Refusal::Sequence),
        Member::Missing => None,
        present => Some(present.exact().ok_or(Refusal::Sequence)?),
    };
    Ok(Beat { server_id, counters: claim.counters, sequence, proof })
}

/// Decides a heartbeat of `entry`: its liveness afterwards.
pub fn decide_beat(now: Timestamp, entry: Option<&Entry>, used: Used, beat: &Beat) -> Result<Liveness, Refusal> {
    let entry = entry.ok_or(Refusal::NotRegistered)?;
    let coverage = beat.proof.verify(&entry.public_key)?;
    beat.proof.check_fresh(coverage, used)?;
    let before = entry.liveness;
    if let (Some(sequence), Some(last)) = (beat.sequence, before.sequence)
        && sequence <= last
    {
        return Err(Refusal::StaleSequence { last });
    }
    Ok(Liveness {
        last_seen: before.last_seen.max(now),
        counters: beat.counters.over(before.counters),
        sequence: beat.sequence.or(before.sequence),
        signed_at: before.signed_at.max(beat.proof.signed_at()),
    })
}

/// The caller's right to remove a server, checked by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Removal {
    /// Removing is the caller's right.
    Trusted,
    /// It is if this proof holds.
    ByKey(Proof),
}

/// Checks the id and what speaks for the caller. `claim` is absent when nothing came that could. A signature that is
/// there must hold even where the caller needs none.
pub fn check_removal(
    server_id: &str,
    authority: Authority,
    claim: Option<ProofClaim>,
    now: Timestamp,
) -> Result<Removal, Refusal> {
    if !is_server_id(server_id) {
        return Err(Refusal::ServerIdInPath);
    }
    let Some(claim) = claim.filter(|claim| claim.signature.is_present()) else {
        return if authority == Authority::Unknown { Err(Refusal::NoProof) } else { Ok(Removal::Trusted) };
    };
    match check_shape(claim, Demand::Everything, now) {
        Ok(proof) => Ok(Removal::ByKey(proof)),
        Err(ProofError::Signature | ProofError::NotSigned) => Err(Refusal::NotTheOwner),
        Err(error) => Err(Refusal::Proof(error)),
    }
}

/// A key that no server holds: RFC 8032, section 7.1, test 1. An unknown id takes as long to refuse as a wrong key.
const NOBODYS_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Decides a removal by proof: what it uses up.
pub fn decide_removal(entry: Option<&Entry>, used: Used, proofs_kept: u64, proof: &Proof) -> Result<Spent, Refusal> {
    let key = entry.map_or(NOBODYS_KEY, |entry| entry.public_key.as_str());
    let coverage = proof.verify(key).map_err(|_| Refusal::NotTheOwner)?;
    if entry.is_none() {
        return Err(Refusal::NotTheOwner);
    }
    proof.check_fresh(coverage, used)?;
    let spent = Spent::by(proof, used);
    if proofs_kept + spent.rows() > PROOFS_MAX {
        return Err(Refusal::TooManyProofs);
    }
    Ok(spent)
}
