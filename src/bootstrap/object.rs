//! The registry as an object: parse → load → decide → commit → answer.

use std::collections::HashMap;
use std::rc::Rc;

use super::admission::{
    Authority, PROOFS_MAX, Refusal, RegistrationFacts, Removal, check_beat, check_registration, check_removal,
    decide_beat, decide_registration, decide_removal,
};
use super::endpoint::Reach;
use super::list::{CACHE_CONTROL, Revision, SignedCopy};
use super::liveness::{Coalescing, Due};
use super::proof::{BeatNonces, Demand, NonceSeen, Used};
use super::registry::{Liveness, Roster};
use super::{store, wire};
use crate::kernel::code::ErrorCode;
use crate::kernel::entropy::random_bytes;
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Principal, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;

/// Schema versions of the registry.
pub const MIGRATIONS: &[Migration] = store::MIGRATIONS;

/// Dead servers removed per alarm.
const SWEPT_SERVERS_MAX: usize = 250;

/// Expired proofs removed per alarm.
const SWEPT_PROOFS_MAX: u64 = 2500;

/// When the alarm rings again after one that left something to remove.
const SWEEP_AGAIN_MS: u64 = 1000;

/// The registry of relay servers.
#[derive(Debug)]
pub struct ServerRegistry {
    settings: Rc<Settings>,
    roster: Roster,
    coalescing: Coalescing,
    beat_nonces: BeatNonces,
    /// An upper bound of the proofs in storage; exact after loading and sweeping.
    proofs_kept: u64,
    revision: Revision,
    copy: Option<SignedCopy>,
    sweep_at: Timestamp,
}

/// Why an event ends early.
enum Stop {
    Refused(Refusal),
    Fault(Fault),
}

impl<E: Into<Refusal>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A fault is no refusal, so it needs its own way out of `?`.
fn fault(fault: Fault) -> Stop {
    Stop::Fault(fault)
}

impl ServerRegistry {
    /// The registry as it was stored, knowing of heartbeats what the last flush knew.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let ttl_ms = settings.bootstrap.server_ttl_ms;
        let snapshot = store::load_snapshot(sql)?;
        let flushed_at = snapshot.as_ref().map(|(flushed_at, _)| *flushed_at);
        let stored = snapshot.map_or(Ok(Vec::new()), |(_, text)| wire::parse_snapshot(&text))?;
        let liveness_by_registration: HashMap<u64, Liveness> = stored.into_iter().collect();
        let mut roster = Roster::new(ttl_ms);
        for (server_id, mut entry) in store::load_servers(sql)? {
            if let Some(liveness) = liveness_by_registration.get(&entry.registration) {
                entry.liveness = *liveness;
                entry.stored_seen = liveness.last_seen;
            }
            roster.put(server_id, entry);
        }
        Ok(Self {
            roster,
            coalescing: Coalescing::new(ttl_ms, flushed_at),
            beat_nonces: BeatNonces::new(now),
            proofs_kept: store::count_proofs(sql, Timestamp::EPOCH)?,
            revision: Revision::default(),
            copy: None,
            sweep_at: next_sweep(&settings, now),
            settings,
        })
    }

    fn register(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        let authority = self.writer(call)?;
        let claim = wire::parse_registration(&call.body)?;
        let registration = check_registration(claim, self.reach(), self.demand(), now)?;
        let id = registration.server_id.as_str();
        let known = self.roster.get(id);
        let used = store::load_used(turn.sql, id, registration.proof.nonce(), now).map_err(fault)?;
        let (proofs_kept, cleaning) = self.room_for_proofs(turn.sql, now).map_err(fault)?;
        let facts = RegistrationFacts {
            now,
            authority,
            living: known.filter(|entry| self.roster.is_alive(entry, now)),
            beat_signed_at: known.and_then(|entry| entry.liveness.signed_at),
            used,
            room: self.roster.room_for(id, now),
            proofs_kept,
            registration: u64::from_le_bytes(random_bytes(turn.entropy)) >> 12,
        };
        let plan = decide_registration(facts, registration)?;
        let mut batch: Vec<Statement> = cleaning.into_iter().collect();
        batch.extend(plan.displaced.as_deref().map(store::remove_server));
        batch.push(store::put_server(&plan.server_id, &plan.entry));
        batch.extend(store::put_spent(&plan.server_id, &plan.spent, now));
        turn.commit(batch).map_err(fault)?;
        let body = wire::encode_registered(&plan.server_id, &plan.entry).map_err(fault)?;
        self.wake_sweep(now);
        self.proofs_kept = proofs_kept + plan.spent.rows();
        if let Some(displaced) = plan.displaced {
            self.roster.remove(&displaced);
        }
        self.roster.put(plan.server_id, plan.entry);
        self.revision.membership_changed();
        Ok(Reply::json_text(body))
    }

    fn beat(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        self.writer(call)?;
        let beat = check_beat(wire::parse_beat(&call.body)?, self.demand(), now)?;
        let id = beat.server_id.as_str();
        let entry = self.roster.get(id);
        let used = Used {
            nonce: beat.proof.nonce().map_or(NonceSeen::No, |nonce| self.beat_nonces.seen(id, nonce)),
            memory: self.beat_nonces.memory_at(beat.proof.timestamp()),
            newest_signed: entry.and_then(|entry| entry.liveness.signed_at),
        };
        let liveness = decide_beat(now, entry, used, &beat)?;
        let was_alive = entry.is_some_and(|entry| self.roster.is_alive(entry, now));
        let flush = entry.map_or(Due::NotYet, |before| self.coalescing.flush(before, now));
        if flush == Due::Now {
            turn.commit(vec![self.snapshot_with(id, liveness, now).map_err(fault)?]).map_err(fault)?;
        }
        self.roster.hear(id, liveness);
        if flush == Due::Now {
            self.coalescing.flushed(now);
            self.roster.flushed();
        }
        if let Some(nonce) = beat.proof.nonce() {
            self.beat_nonces.remember(id, nonce, now);
        }
        self.revision.content_changed();
        if !was_alive {
            self.revision.membership_changed();
        }
        let peers = self.roster.alive(now).filter(|(peer, _)| *peer != id);
        wire::encode_peers(peers).map(Reply::json_text).map_err(fault)
    }

    /// Everybody's liveness, where `server_id` has a new one.
    fn snapshot_with(&self, server_id: &str, liveness: Liveness, now: Timestamp) -> Result<Statement, Fault> {
        let rows = self.roster.all().map(|(id, entry)| {
            let current = if id == server_id { liveness } else { entry.liveness };
            (entry.registration, current)
        });
        Ok(store::put_snapshot(now, wire::encode_snapshot(rows)?))
    }

    fn remove(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        let id = call.params.first().ok_or(Refusal::Path)?;
        let authority = self.authority(call.principal);
        let known = self.roster.get(id);
        let claim = match authority {
            Authority::Unknown => wire::parse_removal(&call.body, id)?,
            // Who needs no proof is not held to the form of a body, and may remove twice.
            Authority::Trusted | Authority::Open if known.is_none() => None,
            Authority::Trusted | Authority::Open => wire::parse_removal(&call.body, id).unwrap_or_default(),
        };
        let mut proofs_kept = self.proofs_kept;
        let batch = match check_removal(id, authority, claim, now)? {
            Removal::Trusted if known.is_none() => Vec::new(),
            Removal::Trusted => vec![store::remove_server(id)],
            Removal::ByKey(proof) => {
                let used = store::load_used(turn.sql, id, proof.nonce(), now).map_err(fault)?;
                let (kept, cleaning) = self.room_for_proofs(turn.sql, now).map_err(fault)?;
                let spent = decide_removal(known, used, kept, &proof)?;
                proofs_kept = kept + spent.rows();
                let mut batch: Vec<Statement> = cleaning.into_iter().collect();
                batch.push(store::remove_server(id));
                batch.extend(store::put_spent(id, &spent, now));
                batch
            }
        };
        turn.commit(batch).map_err(fault)?;
        self.proofs_kept = proofs_kept;
        if self.roster.remove(id).is_some() {
            self.revision.membership_changed();
        }
        Ok(Reply::json_text(String::from(wire::REMOVED)))
    }

    /// How many proofs are kept, and the statement that makes it so few when the storage looks full.
    fn room_for_proofs(&self, sql: &dyn Sql, now: Timestamp) -> Result<(u64, Option<Statement>), Fault> {
        // Two rows are the most that one request adds.
        if self.proofs_kept + 2 <= PROOFS_MAX {
            return Ok((self.proofs_kept, None));
        }
        Ok((store::count_proofs(sql, now)?, Some(store::remove_expired(now, PROOFS_MAX))))
    }

    fn list(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Fault> {
        let serving = self.copy.take().filter(|copy| copy.serves(self.revision, now));
        self.copy = serving.map_or_else(|| self.signed_copy(now), |copy| Ok(Some(copy)))?;
        let Some(copy) = &self.copy else { return Ok(no_key(call)) };
        Ok(Reply::json_text(copy.body.clone())
            .with_header("X-Bootstrap-Signature", copy.signature.as_str())
            .with_header("X-Bootstrap-Signatures", copy.signatures.as_str())
            .with_header("ETag", copy.etag.as_str())
            .with_header("Cache-Control", CACHE_CONTROL))
    }

    fn keys(&self, call: &Call) -> Result<Reply, Fault> {
        match self.settings.bootstrap.signing_keys.as_slice() {
            [] => Ok(no_key(call)),
            keys => wire::encode_keys(keys).map(Reply::json_text),
        }
    }

    fn signed_copy(&self, now: Timestamp) -> Result<Option<SignedCopy>, Fault> {
        let body = wire::encode_list(self.roster.alive(now), now)?;
        let keys = &self.settings.bootstrap.signing_keys;
        Ok(SignedCopy::sign(keys, body, now, self.revision, self.roster.first_death(now)))
    }

    fn sweep(&mut self, turn: &Turn<'_>) -> Result<(), Fault> {
        let now = turn.now;
        let dead = self.roster.dead(now, SWEPT_SERVERS_MAX);
        let expired = store::count_expired(turn.sql, now, SWEPT_PROOFS_MAX)?;
        let kept = store::count_proofs(turn.sql, Timestamp::EPOCH)?.saturating_sub(expired);
        let mut batch: Vec<Statement> = dead.iter().map(|id| store::remove_server(id)).collect();
        if expired > 0 {
            batch.push(store::remove_expired(now, SWEPT_PROOFS_MAX));
        }
        turn.commit(batch)?;
        for id in &dead {
            self.roster.remove(id);
        }
        self.proofs_kept = kept;
        let may_be_more = dead.len() == SWEPT_SERVERS_MAX || expired == SWEPT_PROOFS_MAX;
        self.sweep_at = if may_be_more { now.plus(SWEEP_AGAIN_MS) } else { next_sweep(&self.settings, now) };
        Ok(())
    }

    /// While nothing is kept no alarm is set, so the time of the next one may have passed.
    fn wake_sweep(&mut self, now: Timestamp) {
        if self.deadline().is_none() {
            self.sweep_at = next_sweep(&self.settings, now);
        }
    }

    fn authority(&self, principal: Principal) -> Authority {
        match principal {
            Principal::Operator => Authority::Trusted,
            Principal::RegistryWriter if self.settings.bootstrap.registry_secret.is_some() => Authority::Trusted,
            Principal::RegistryWriter => Authority::Open,
            Principal::Anonymous | Principal::Ci | Principal::Peer | Principal::Service => Authority::Unknown,
        }
    }

    /// The authority of a caller who may write. The front has refused the others already.
    fn writer(&self, call: &Call) -> Result<Authority, Refusal> {
        match self.authority(call.principal) {
            Authority::Unknown => Err(Refusal::NotAllowed),
            authority => Ok(authority),
        }
    }

    fn reach(&self) -> Reach {
        if self.settings.dev_mode.is_on() { Reach::Development } else { Reach::Public }
    }

    fn demand(&self) -> Demand {
        let required = self.settings.bootstrap.require_registration_auth.is_on();
        if required { Demand::Everything } else { Demand::WhatIsPresent }
    }
}

/// The next multiple of the sweep interval: the same whenever the object is asked within one interval, so that an
/// object that is dropped and rebuilt all the time neither moves its alarm nor puts it off.
fn next_sweep(settings: &Settings, now: Timestamp) -> Timestamp {
    let interval_ms = settings.sweep_interval_ms.max(1);
    Timestamp::from_millis((now.as_millis() / interval_ms + 1).saturating_mul(interval_ms))
}

/// Never the list without a signature: clients that verify would drop it, and the others must not learn to do without.
fn no_key(call: &Call) -> Reply {
    let sentence = "The server list cannot be signed: no signing key is configured";
    refuse(Problem::new(ErrorCode::NotConfigured, sentence), call)
}

fn refuse(problem: Problem, call: &Call) -> Reply {
    problem.into_reply(&call.request_id)
}

fn answer(outcome: Result<Reply, Stop>, call: &Call) -> Result<Reply, Fault> {
    match outcome {
        Ok(reply) => Ok(reply),
        Err(Stop::Refused(refusal)) => Ok(refuse(wire::problem(refusal), call)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

impl Object for ServerRegistry {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let reply = match call.operation {
            Operation::ServersRegister => answer(self.register(turn, call), call),
            Operation::ServersHeartbeat => answer(self.beat(turn, call), call),
            Operation::ServersRemove => answer(self.remove(turn, call), call),
            Operation::ServersList => self.list(call, turn.now),
            Operation::ServersKeys => self.keys(call),
            Operation::Probe => {
                store::probe(turn.sql)?;
                Ok(Reply::json_text(String::from(r#"{"ok":true}"#)))
            }
            _ => Ok(refuse(Problem::plain(ErrorCode::NotFound), call)),
        };
        reply.map(Answer::Now)
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.sweep(turn)
    }

    fn deadline(&self) -> Option<Timestamp> {
        (!self.roster.is_empty() || self.proofs_kept > 0).then_some(self.sweep_at)
    }
}
