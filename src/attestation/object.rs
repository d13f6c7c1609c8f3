//! The registry as an object: parse → load → decide → commit → answer.

mod build;
pub mod handoff;
pub mod porch;
mod upkeep;
mod upload;

use std::rc::Rc;

pub use build::{BUILD_MIGRATIONS, ReferenceStore};

use super::challenge::{ChallengeFacts, Judge, check_challenge, decide_challenge};
use super::device::Standing;
use super::log::{Kind, PAGE_MAX, next_entry};
use super::policy::{Policy, applies_to, check_policy, effect, entity_tag};
use super::reference::reference_id;
use super::registration::{RegistrationFacts, Ring, Tally, check_registration, decide_registration};
use super::session::{Grant, issue};
use super::store;
use super::verify::{GrantFacts, GrantPlan, Verdict, VerifyFacts, check_answer, decide_grant, decide_verify};
use super::visitor::{Outlook, Word};
use super::wire::policy::DryRun;
use super::wire::{self, answer::SessionBody};
use crate::kernel::code::ErrorCode;
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::keys::SigningPair;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Principal, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::stop::{Stop, settle};
use crate::kernel::time::Timestamp;
use handoff::{Next, hand_on};

/// Schema versions of the registry.
pub const MIGRATIONS: &[Migration] = store::MIGRATIONS;

/// How long a device is kept that nobody sees. Units: milliseconds; 90 days.
pub const UNSEEN_MS_MAX: u64 = 90 * 24 * 3_600_000;

/// Challenges removed per alarm.
const SWEPT_CHALLENGES_MAX: u64 = 2_500;

/// Devices of each standing removed per alarm.
const SWEPT_DEVICES_MAX: u64 = 500;

/// When the alarm rings again after one that left something to remove.
const SWEEP_AGAIN_MS: u64 = 1_000;

/// The header that signs a document.
const SIGNATURE: &str = "X-Attestation-Signature";

/// The registry of devices, references and the version policy.
#[derive(Debug)]
pub struct AttestationRegistry {
    settings: Rc<Settings>,
    policy: Policy,
    /// The policy as it is answered.
    document: String,
    /// Whether anything is kept that a sweep could find.
    sweepable: bool,
    sweep_at: Timestamp,
    /// When a reference, an upload or a farewell is due next.
    upkeep_at: Option<Timestamp>,
}

impl AttestationRegistry {
    /// The registry as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let stored = store::load_policy(sql)?;
        let policy = stored.as_deref().map(wire::policy::parse_stored_policy).transpose()?.unwrap_or_default();
        let tally = store::load_tally(sql)?;
        Ok(Self {
            document: stored.unwrap_or_else(|| wire::policy::encode_policy(&policy)),
            policy,
            sweepable: tally != Tally::default() || store::any_challenge(sql)? > 0,
            sweep_at: next_sweep(&settings, now),
            upkeep_at: upkeep::next(sql, now)?,
            settings,
        })
    }

    fn register(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        let attest = &self.settings.attest;
        let claim = wire::request::parse_registration(&call.body)?;
        let registration = check_registration(claim, &attest.build_token_keys, now)?;
        let known = store::load_device(turn.sql, &registration.device_id)?;
        let ring = match known {
            Some(_) => Ring::default(),
            None => store::load_ring(turn.sql, call.client.as_str())?,
        };
        let facts = RegistrationFacts {
            now,
            policy: &self.policy,
            build_token_max_age_ms: attest.build_token_max_age_ms,
            network: call.client.as_str(),
            known,
            tally: store::load_tally(turn.sql)?,
            ring,
        };
        let before = facts.tally;
        let plan = decide_registration(facts, registration)?;
        let session = match &plan.grant {
            Some(grant) => Some(self.session(turn, grant, plan.device.shape)?),
            None => None,
        };
        let body = wire::answer::encode_registered(&plan, session)?;
        let mut batch: Vec<Statement> = plan.displaced.iter().flat_map(|id| store::remove_device(id)).collect();
        batch.push(store::put_device(&plan.device_id, &plan.device));
        batch.extend((plan.tally != before).then(|| store::put_tally(plan.tally)));
        turn.commit(batch)?;
        self.wake_sweep(now);
        Ok(Reply::json_text(body))
    }

    fn challenge(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        self.key()?;
        let wish = check_challenge(wire::request::parse_challenge(&call.body)?)?;
        let device = store::load_device(turn.sql, &wish.device_id)?;
        let reference = match &device {
            Some(device) => store::reference::load_reference(turn.sql, &reference_id(&device.build))?,
            None => None,
        };
        let facts = ChallengeFacts {
            now,
            policy: &self.policy,
            ttl_ms: self.settings.attest.nonce_ttl_ms,
            device,
            live: store::count_live(turn.sql, &wish.device_id, now)?,
            reference: reference.as_ref().map(|reference| &reference.shape),
        };
        let plan = decide_challenge(facts, wish, turn.entropy)?;
        let body = wire::answer::encode_challenge(&plan.challenge)?;
        let seen = store::see_device(&plan.challenge.device_id, &plan.device);
        turn.commit(vec![store::put_challenge(&plan.challenge), seen])?;
        self.wake_sweep(now);
        Ok(Reply::json_text(body))
    }

    /// Judges an answer. The challenge goes with the event's one commit, before anything is answered.
    fn verify(&self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        self.key()?;
        let answer = check_answer(wire::request::parse_answer(&call.body)?)?;
        let challenge = store::load_challenge(turn.sql, &answer.nonce)?;
        let device = store::load_device(turn.sql, &answer.device_id)?;
        let bytes = match &challenge {
            Some(challenge) if challenge.judge == Judge::Registry => {
                store::reference::load_regions(turn.sql, challenge)
            }
            _ => Ok(Vec::new()),
        };
        let facts = VerifyFacts { now, policy: &self.policy, challenge, device: device.as_ref(), bytes: bytes? };
        let verdict = decide_verify(&facts, &answer);
        let used_up = store::remove_challenge(&answer.nonce);
        match verdict {
            Verdict::Good(grant) => self.grant(turn, &grant, vec![used_up]),
            Verdict::Refused => {
                turn.commit(vec![used_up])?;
                Err(wire::problem::verification_failed().into())
            }
            Verdict::Elsewhere(judgement) => {
                let note = wire::handoff::encode_judgement(&judgement)?;
                turn.commit(vec![used_up])?;
                Ok(hand_on(&Next::Judge(judgement.reference_id), note))
            }
        }
    }

    /// Acts on a good answer, together with `batch`, which happens in any case.
    fn grant(&self, turn: &mut Turn<'_>, grant: &Grant, mut batch: Vec<Statement>) -> Result<Reply, Stop> {
        let device = store::load_device(turn.sql, &grant.device_id)?;
        let facts = GrantFacts {
            now: turn.now,
            policy: &self.policy,
            device,
            tally: store::load_tally(turn.sql)?,
            oldest_attested: store::load_oldest(turn.sql, Standing::Attested)?,
        };
        let before = facts.tally;
        let Some(GrantPlan { device, displaced, tally }) = decide_grant(facts, grant) else {
            turn.commit(batch)?;
            return Err(wire::problem::verification_failed().into());
        };
        let session = self.session(turn, grant, device.shape)?;
        let body = wire::answer::encode_verified(&session)?;
        batch.extend(displaced.iter().flat_map(|id| store::remove_device(id)));
        batch.push(store::put_device(&grant.device_id, &device));
        batch.extend((tally != before).then(|| store::put_tally(tally)));
        turn.commit(batch)?;
        Ok(Reply::json_text(body))
    }

    fn session(
        &self,
        turn: &mut Turn<'_>,
        grant: &Grant,
        shape: super::build_token::TokenShape,
    ) -> Result<SessionBody, Stop> {
        let ttl_ms = self.settings.attest.session_ttl_ms;
        let session = issue(grant, self.policy.epoch, ttl_ms, turn.now, turn.entropy);
        Ok(wire::answer::session_body(self.key()?, &session, shape)?)
    }

    /// Whether the policy still allows the build of a device that has a session.
    fn standing(&self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let device = store::load_device(turn.sql, &wire::handoff::parse_device(&call.body)?)?;
        let is_refused = device.is_some_and(|device| self.policy.judge(&device.build, turn.now).is_err());
        let outlook = if is_refused { Outlook::Ends } else { Outlook::GoesOn };
        let word = Word { outlook, changed_at: self.policy.changed_at(turn.now) };
        Ok(Reply::json_text(wire::handoff::encode_word(&word)?))
    }

    /// The key that signs sessions and documents. Without one nothing is answered that needs it.
    fn key(&self) -> Result<&SigningPair, Problem> {
        let sentence = "Session token signing not configured";
        self.settings.attest.signing_keys.first().ok_or_else(|| Problem::new(ErrorCode::NotConfigured, sentence))
    }

    fn read_policy(&self, now: Timestamp) -> Result<Reply, Stop> {
        let signature = wire::answer::sign_document(self.key()?, "versions", &self.document, now);
        Ok(Reply::json_text(self.document.clone())
            .with_header(SIGNATURE, signature)
            .with_header("ETag", entity_tag(self.policy.epoch))
            .with_header("Cache-Control", "no-cache"))
    }

    fn write_policy(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        if call.principal != Principal::Operator {
            return Err(Problem::plain(ErrorCode::Forbidden).into());
        }
        if !applies_to(call.if_match.as_deref(), self.policy.epoch) {
            let problem = Problem::plain(ErrorCode::PreconditionFailed);
            return Err(problem.with_header("ETag", entity_tag(self.policy.epoch)).into());
        }
        let claim = wire::policy::parse_policy(&call.body)?;
        let policy = check_policy(claim, self.policy.epoch + 1, now)?;
        let population = store::load_population(turn.sql)?;
        let effect = effect(&self.policy, &policy, &population, now);
        let document = wire::policy::encode_policy(&policy);
        let dry_run = wire::policy::parse_dry_run(&call.query);
        let body = wire::policy::encode_change(&document, effect, dry_run);
        if dry_run == DryRun::Yes {
            return Ok(Reply::json_text(body).with_header("ETag", entity_tag(self.policy.epoch)));
        }
        let head = store::load_log_head(turn.sql)?;
        let entry = next_entry(&head, Kind::Policy, wire::policy::encode_log_policy(&document, effect), now);
        turn.commit(vec![store::put_policy(&document), store::add_log(&entry)])?;
        self.policy = policy;
        self.document = document;
        Ok(Reply::json_text(body).with_header("ETag", entity_tag(self.policy.epoch)))
    }

    fn read_log(&self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let number = |name: &str| wire::policy::query_value(&call.query, name).map(str::parse::<u64>).transpose();
        let (Ok(after), Ok(limit)) = (number("after"), number("limit")) else {
            return Err(Problem::new(ErrorCode::InvalidRequest, "after and limit must be whole numbers").into());
        };
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let entries = store::load_log(turn.sql, after.unwrap_or(0), limit)?;
        let head = store::load_log_head(turn.sql)?;
        let body = wire::answer::encode_log(&entries, &head)?;
        let signature = wire::answer::sign_document(self.key()?, "log", &body, turn.now);
        Ok(Reply::json_text(body).with_header(SIGNATURE, signature))
    }

    fn read_keys(&self) -> Result<Reply, Stop> {
        self.key()?;
        let body = wire::session::encode_jwks(&self.settings.attest.signing_keys)?;
        Ok(Reply::json_text(body).with_header("Cache-Control", "public, max-age=300"))
    }

    /// What a sweep removes of devices and challenges.
    fn sweep(&mut self, turn: &Turn<'_>) -> Result<Vec<Statement>, Fault> {
        let now = turn.now;
        let before = now.minus(UNSEEN_MS_MAX);
        let expired = store::count_expired(turn.sql, now, SWEPT_CHALLENGES_MAX)?;
        let pending = store::count_unseen(turn.sql, Standing::Pending, before, SWEPT_DEVICES_MAX)?;
        let attested = store::count_unseen(turn.sql, Standing::Attested, before, SWEPT_DEVICES_MAX)?;
        let tally = store::load_tally(turn.sql)?;
        let left =
            Tally { pending: tally.pending.saturating_sub(pending), attested: tally.attested.saturating_sub(attested) };
        let mut batch = Vec::new();
        if expired > 0 {
            batch.push(store::remove_expired(now, SWEPT_CHALLENGES_MAX));
        }
        if pending + attested > 0 {
            batch.push(store::remove_unseen(Standing::Pending, before, SWEPT_DEVICES_MAX));
            batch.push(store::remove_unseen(Standing::Attested, before, SWEPT_DEVICES_MAX));
            batch.push(store::put_tally(left));
        }
        let may_be_more =
            expired == SWEPT_CHALLENGES_MAX || pending == SWEPT_DEVICES_MAX || attested == SWEPT_DEVICES_MAX;
        self.sweep_at = if may_be_more { now.plus(SWEEP_AGAIN_MS) } else { next_sweep(&self.settings, now) };
        self.sweepable = left != Tally::default();
        Ok(batch)
    }

    /// An upload may be due before everything else.
    fn after_upload(&mut self, turn: &Turn<'_>, outcome: Result<Reply, Stop>) -> Result<Reply, Stop> {
        self.upkeep_at = upkeep::next(turn.sql, turn.now)?;
        outcome
    }

    /// While nothing is kept no alarm is set, so the time of the next one may have passed.
    fn wake_sweep(&mut self, now: Timestamp) {
        if !self.sweepable {
            self.sweep_at = next_sweep(&self.settings, now);
            self.sweepable = true;
        }
    }
}

/// The next multiple of the sweep interval: the same whenever the object is asked within one interval, so that an
/// object that is dropped and rebuilt all the time neither moves its alarm nor puts it off.
fn next_sweep(settings: &Settings, now: Timestamp) -> Timestamp {
    let interval_ms = settings.sweep_interval_ms.max(1);
    Timestamp::from_millis((now.as_millis() / interval_ms + 1).saturating_mul(interval_ms))
}

/// Whoever uploads references. The front has refused the others already.
fn check_ci(call: &Call) -> Result<(), Problem> {
    match call.principal {
        Principal::Ci => Ok(()),
        Principal::Anonymous
        | Principal::RegistryWriter
        | Principal::Operator
        | Principal::Peer
        | Principal::Service => Err(Problem::plain(ErrorCode::Forbidden)),
    }
}

fn alive(sql: &dyn Sql) -> Result<Reply, Stop> {
    store::probe(sql)?;
    Ok(Reply::json_text(String::from(r#"{"ok":true}"#)))
}

impl Object for AttestationRegistry {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let outcome = match call.operation {
            Operation::AttestRegister => self.register(turn, call),
            Operation::AttestChallenge => self.challenge(turn, call),
            Operation::AttestVerify => self.verify(turn, call),
            Operation::AttestGrant => match wire::handoff::parse_grant(&call.body) {
                Ok(grant) => self.grant(turn, &grant, Vec::new()),
                Err(error) => Err(error.into()),
            },
            Operation::AttestStanding => self.standing(turn, call),
            Operation::AttestVersionsRead => self.read_policy(turn.now),
            Operation::AttestVersionsWrite => self.write_policy(turn, call),
            Operation::AttestLog => self.read_log(turn, call),
            Operation::AttestKeys => self.read_keys(),
            Operation::AttestUploadReference => self.after_upload(turn, upload::declared(turn, call)),
            Operation::AttestReferenceBegin => self.after_upload(turn, upload::begin(&self.settings, turn, call)),
            Operation::AttestCount => self.after_upload(turn, upload::count(turn, call)),
            Operation::Probe => alive(turn.sql),
            _ => Err(Problem::plain(ErrorCode::NotFound).into()),
        };
        settle(outcome, &call.request_id).map(Answer::Now)
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        turn.commit(upkeep::told(ticket, &outcome))?;
        self.upkeep_at = upkeep::next(turn.sql, turn.now)?;
        Ok(())
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut batch = self.sweep(turn)?;
        let farewells = upkeep::decide(turn, &self.policy, &mut batch)?;
        turn.commit(batch)?;
        self.sweepable = self.sweepable || store::any_challenge(turn.sql)? > 0;
        self.upkeep_at = upkeep::next(turn.sql, turn.now)?;
        upkeep::ask(turn, farewells)
    }

    fn deadline(&self) -> Option<Timestamp> {
        [self.sweepable.then_some(self.sweep_at), self.upkeep_at].into_iter().flatten().min()
    }
}
