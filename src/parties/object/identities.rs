//! One shard of the peers: their tokens, the sockets that speak for them, and the parties they are in.

mod creating;
mod speaking;

use std::collections::HashMap;
use std::rc::Rc;

use super::refused::{Stop, is_intruding, settle};
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::settings::{Key32, PartySettings, Settings};
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::parties::creation::{Mark, mark};
use crate::parties::identity::{
    BINDING_MS_MAX, KnownToken, Lifetime, REGISTRATIONS, Refusal, RegistrationFacts, StoredToken, Use,
    decide_registration, decide_room,
};
use crate::parties::store::identities::{self as store, Batch, Ends, Place, Tally};
use crate::parties::token::{self, TokenHash, parse_authorization};
use crate::parties::wire::identity as wire;
use crate::parties::wire::identity::RevokeWhich;
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::{Admit, Admitted};
use speaking::Displaced;

/// Clients whose quotas are kept.
const ALLOWANCES_MAX: u64 = 4_096;

/// When the alarm rings again after one that left something to remove.
const SWEEP_AGAIN_MS: u64 = 1_000;

/// Peers whose tokens' last uses are remembered beside what is stored.
const REMEMBERED_MAX: usize = 50_000;

/// A shard of the peers.
#[derive(Debug)]
pub struct PartyIdentities {
    settings: Rc<Settings>,
    tally: Tally,
    /// Last uses of tokens, as far as this memory has seen them.
    used_at_by_token: HashMap<TokenHash, Timestamp>,
    /// Whether anything is kept that a sweep could find.
    sweepable: bool,
    sweep_at: Timestamp,
    next_ticket: u32,
    displaced: HashMap<Ticket, Displaced>,
    /// When the gateways of displaced sockets are told again, if any may not know.
    retell_at: Option<Timestamp>,
    creating: HashMap<Ticket, creating::Waiting>,
}

/// A token that its peer may use.
struct Valid {
    peer_id: String,
    stored: StoredToken,
}

impl PartyIdentities {
    /// Schema versions.
    pub const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;

    /// The shard as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            tally: store::load_tally(sql)?,
            used_at_by_token: HashMap::new(),
            sweepable: store::any(sql)?,
            sweep_at: next_sweep(&settings, now),
            settings,
            next_ticket: 0,
            displaced: HashMap::new(),
            retell_at: (!store::load_formers(sql, 1)?.is_empty()).then_some(now),
            creating: HashMap::new(),
        })
    }

    fn party(&self) -> &PartySettings {
        &self.settings.party
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::new(self.party().token_ttl_ms)
    }

    fn key(&self) -> Result<&Key32, Reply> {
        self.party().token_key.as_ref().ok_or_else(|| detail(503, wire::NO_KEY))
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        Ticket(self.next_ticket)
    }

    fn commit(&mut self, turn: &Turn<'_>, batch: Batch) -> Result<(), Fault> {
        let tally = batch.tally;
        turn.commit(batch.finish())?;
        self.tally = tally;
        // While nothing is kept no alarm is set, so the time of the next one may have passed.
        if !self.sweepable {
            self.sweep_at = next_sweep(&self.settings, turn.now);
            self.sweepable = true;
        }
        Ok(())
    }

    fn known(&self, stored: StoredToken) -> KnownToken {
        let remembered = self.used_at_by_token.get(&stored.hash).copied();
        KnownToken { ends_at: self.lifetime().end(&stored, remembered), stored }
    }

    fn known_tokens(&self, sql: &dyn Sql, peer_id: &str) -> Result<Vec<KnownToken>, Fault> {
        Ok(store::load_tokens(sql, peer_id)?.into_iter().map(|stored| self.known(stored)).collect())
    }

    /// The token, if its peer may use it. One that has ended is deleted, so that it is unknown the next time.
    fn judge(&mut self, turn: &Turn<'_>, text: &str) -> Result<Valid, Stop> {
        let unknown = || detail(401, wire::UNKNOWN_TOKEN);
        let genuine = token::parse(self.key()?, text).ok_or_else(unknown)?;
        let (peer_id, stored) = store::load_token(turn.sql, &genuine.hash)?.ok_or_else(unknown)?;
        let known = self.known(stored);
        if turn.now >= known.ends_at {
            let mut batch = Batch::new(self.tally);
            batch.remove_token(&genuine.hash);
            self.used_at_by_token.remove(&genuine.hash);
            self.commit(turn, batch)?;
            return Err(detail(401, wire::ENDED_TOKEN).into());
        }
        Ok(Valid { peer_id, stored: known.stored })
    }

    /// Extends a token: always in memory, now and then in a row.
    fn extend(&mut self, batch: &mut Batch, valid: &Valid, now: Timestamp) {
        if self.lifetime().is_worth_a_row(&valid.stored, now) {
            batch.see(&valid.peer_id, &valid.stored.hash, now);
        }
        // Storage is never behind by more than a grain, so a full memory may start again.
        if self.used_at_by_token.len() >= REMEMBERED_MAX {
            self.used_at_by_token.clear();
        }
        self.used_at_by_token.insert(valid.stored.hash, now);
    }

    fn take(
        &self,
        (sql, batch): (&dyn Sql, &mut Batch),
        (subject, quota): (Mark, Quota),
        now: Timestamp,
    ) -> Result<Result<(), u64>, Fault> {
        let known = store::load_allowance(sql, &subject)?;
        match quota.take(known.unwrap_or(0), now) {
            Ok(allowance) => {
                batch.put_allowance(Place::of(known.as_ref()), subject, allowance.free_at_us, ALLOWANCES_MAX);
                Ok(Ok(()))
            }
            Err(exhausted) => Ok(Err(exhausted.retry_after_ms)),
        }
    }

    fn register(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let (now, lifetime, peer_ttl_ms) = (turn.now, self.lifetime(), self.party().peer_ttl_ms);
        let key = self.key()?.clone();
        let peer_id = wire::parse_peer_id(&call.query)?;
        let proof = wire::parse_proof(&call.body)?;
        let known = store::load_identity(turn.sql, &peer_id)?;
        let place = Place::of(known.as_ref());
        let shown = parse_authorization(call.authorization.as_deref()).ok();
        let facts = RegistrationFacts {
            now,
            lifetime,
            open: self.party().open_identities,
            network: call.client.as_str(),
            known,
            tokens: self.known_tokens(turn.sql, &peer_id)?,
            presented: shown.and_then(|text| token::parse(&key, text)).map(|genuine| genuine.hash),
            binding: store::load_binding(turn.sql, &peer_id)?,
            peer_ttl_ms,
        };
        let refuse = |refusal: Refusal| wire::refuse_registration(&peer_id, &refusal);
        let plan = decide_registration(facts, &peer_id, proof.as_ref()).map_err(refuse)?;
        let mut batch = Batch::new(self.tally);
        let subject = mark("registrations", call.client.as_str().as_bytes());
        if let Err(retry_after_ms) = self.take((turn.sql, &mut batch), (subject, REGISTRATIONS), now)? {
            return Err(refuse(Refusal::TooMany { retry_after_ms }).into());
        }
        if place == Place::New && self.tally.identities >= crate::parties::identity::IDENTITIES_MAX {
            let oldest = store::load_oldest(turn.sql)?;
            let displaced = decide_room((self.tally.identities, oldest), lifetime, peer_ttl_ms, now).map_err(refuse)?;
            displaced.iter().for_each(|peer_id| batch.remove_identity(peer_id));
        }
        plan.dropped.iter().for_each(|hash| batch.remove_token(hash));
        batch.put_identity(place, &peer_id, &plan.identity);
        if let Some(hash) = &plan.used {
            batch.see(&peer_id, hash, now);
            self.used_at_by_token.insert(*hash, now);
        }
        let text = token::mint(&key, &peer_id, turn.entropy);
        let (hash, network) = (token::hash(&text), call.client.as_str().to_owned());
        batch.put_token(&peer_id, &StoredToken { hash, network, made_at: now, seen_at: now, used: Use::Never });
        self.commit(turn, batch)?;
        Ok(Reply::json_text(wire::encode_token(&text, &peer_id, lifetime.from(now))))
    }

    fn admit(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let Admit { token } = wire::parse_service(&call.body)?;
        let valid = self.judge(turn, &token)?;
        let mut batch = Batch::new(self.tally);
        self.extend(&mut batch, &valid, turn.now);
        self.commit(turn, batch)?;
        Ok(Reply::json(&Admitted { peer_id: valid.peer_id })?)
    }

    fn revoke(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let text = parse_authorization(call.authorization.as_deref()).map_err(|error| detail(401, error.detail()))?;
        let valid = self.judge(turn, text)?;
        let mut batch = Batch::new(self.tally);
        // The peer stays somebody's for the life of a token, so that nobody else takes the id at once.
        batch.see(&valid.peer_id, &valid.stored.hash, turn.now);
        match wire::parse_revoke_all(&call.body) {
            RevokeWhich::All => batch.remove_tokens(&valid.peer_id),
            RevokeWhich::Shown => batch.remove_token(&valid.stored.hash),
        }
        self.commit(turn, batch)?;
        self.used_at_by_token.remove(&valid.stored.hash);
        Ok(Reply::json_text(String::from(wire::REVOKED)))
    }

    fn sweep(&mut self, turn: &Turn<'_>) -> Result<(), Fault> {
        let now = turn.now;
        let mut batch = Batch::new(self.tally);
        let ends = Ends {
            now,
            seen: self.lifetime().is_over_before(now),
            released: now.minus(self.party().peer_ttl_ms),
            bound: now.minus(BINDING_MS_MAX),
        };
        let more = store::sweep(turn.sql, &mut batch, ends)?;
        self.commit(turn, batch)?;
        let ttl_ms = self.party().token_ttl_ms;
        self.used_at_by_token.retain(|_, used_at| now < used_at.plus(ttl_ms));
        self.sweep_at = if more { now.plus(SWEEP_AGAIN_MS) } else { next_sweep(&self.settings, now) };
        self.sweepable = store::any(turn.sql)?;
        Ok(())
    }
}

/// The next multiple of the sweep interval: the same whenever the object is asked within one interval.
fn next_sweep(settings: &Settings, now: Timestamp) -> Timestamp {
    let interval_ms = settings.sweep_interval_ms.max(1);
    Timestamp::from_millis((now.as_millis() / interval_ms + 1).saturating_mul(interval_ms))
}

impl Object for PartyIdentities {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        if is_intruding(call) {
            return Ok(detail(404, "Not Found").into());
        }
        match call.operation {
            Operation::PartyRegister => settle(self.register(turn, call)),
            Operation::PartyAdmit => settle(self.admit(turn, call)),
            Operation::PartyRevoke => settle(self.revoke(turn, call)),
            Operation::PartyCreate => settle(self.create(turn, call)),
            Operation::PartyClaim => settle(self.claim(turn, call)),
            Operation::PartyRelease => settle(self.release(turn, call)),
            Operation::PartyMembership => settle(self.note_membership(turn, call)),
            Operation::Probe => {
                store::probe(turn.sql)?;
                Ok(Reply::json_text(String::from(r#"{"ok":true}"#)).into())
            }
            _ => Ok(detail(404, "Not Found").into()),
        }
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        if let Some(waiting) = self.creating.remove(&ticket) {
            creating::finish(turn, (ticket, waiting), outcome);
        } else if let Some(displaced) = self.displaced.remove(&ticket) {
            self.told_displaced(turn, &displaced, &outcome)?;
        }
        Ok(())
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.retell_at.is_some_and(|at| at <= turn.now) {
            self.tell_again(turn)?;
        }
        // Sweeping too often costs little; one event has one commit, and this is it.
        self.sweep(turn)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.sweepable.then_some(self.sweep_at).into_iter().chain(self.retell_at).min()
    }
}
