//! The directory: which server holds which name, and proofs that a host name is somebody's.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Principal, Restored, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::push::device::TokenHash;
use crate::push::directory::{HOLDERS_MAX, Obituary, TRANSFERS_PER_MINUTE, network_mark, shard};
use crate::push::hostname::{is_loopback, may_be_public};
use crate::push::object::learn::Halt;
use crate::push::queue::duty_delay_ms;
use crate::push::refusal::{Refusal, TransferError};
use crate::push::role::needed;
use crate::push::store::{self, directory as rows};
use crate::push::transfer::{TRIES_MAX, check, issue};
use crate::push::uuid::Uuid;
use crate::push::wire::host::{self, Scheme};
use crate::push::wire::request::{Transfer, parse_challenge, parse_transfer};
use crate::push::wire::service::{self, Dead, Granted, Holder, Name, NameKind, Names, NewKey};
use crate::push::wire::{answer, envelope, operator};

use super::moves::{self, Packing, Step};
use super::names::{AnswerForm, Asking};

/// Schema versions of a directory's object.
pub const DIRECTORY_MIGRATIONS: &[Migration] = rows::MIGRATIONS;

/// Calls and obituaries under way at once.
pub(super) const UNDER_WAY_MAX: usize = 1_000;

/// Obituaries that the alarm takes up.
const OBITUARIES_MAX: usize = 32;

const DAY_MS: u64 = 24 * 3_600_000;

/// What a ticket stands for. A call that is put off has its errand's ticket.
pub(super) enum UnderWay {
    /// Whether a server that reserved a name uses it.
    Asking(Asking),
    /// A server is told that a token is dead.
    Telling(Obituary),
    /// Who holds the host name for which a secret is wanted.
    Beginning(Transfer),
    /// A transfer is being verified.
    Verifying(Box<Verification>),
    /// A server answers an operator; for the refusal, the request's id.
    PassedOn(String),
    /// An organization's server is asked what goes along on a move.
    Packing(Box<Packing>),
    /// An organization moves.
    Moving(Box<Step>),
}

pub(super) struct Verification {
    wish: Transfer,
    holder: Option<Uuid>,
    tries: u32,
    proven: Proven,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Proven {
    No,
    Yes,
}

/// One shard of the directory.
pub struct PushDirectory {
    settings: Rc<Settings>,
    next_ticket: u32,
    next_obituary: i64,
    pub(super) under_way: BTreeMap<Ticket, UnderWay>,
    due: Option<Timestamp>,
    /// While quotas are kept: when those that are free again are forgotten.
    sweep_at: Option<Timestamp>,
}

impl PushDirectory {
    /// The shard as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let mut object = Self {
            next_obituary: rows::last_obituary(sql)? + 1,
            settings,
            next_ticket: 1,
            under_way: BTreeMap::new(),
            due: None,
            sweep_at: None,
        };
        object.refresh(sql, now)?;
        Ok(object)
    }

    fn refresh(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        self.due = [rows::next_obituary(sql)?, moves::next_move(sql)?].into_iter().flatten().min();
        let interval_ms = self.settings.sweep_interval_ms.max(1);
        let next = Timestamp::from_millis((now.as_millis() / interval_ms + 1).saturating_mul(interval_ms));
        self.sweep_at = rows::any_quota(sql)?.then_some(next);
        Ok(())
    }

    pub(super) fn commit(&mut self, turn: &Turn<'_>, batch: Vec<crate::kernel::sql::Statement>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        turn.commit(batch)?;
        self.refresh(turn.sql, turn.now)
    }

    pub(super) const fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        ticket
    }

    fn step(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        match call.operation {
            Operation::Probe => {
                store::probe(turn.sql)?;
                return Ok(Answer::Now(Reply::json_text(String::from(r#"{"ok":true}"#))));
            }
            Operation::PushTransferBegin => return self.begin(turn, call),
            Operation::PushTransferVerify => return self.verify(turn, call),
            operation if is_operators(operation) => return self.operate(turn, call),
            _ => {}
        }
        if call.principal != Principal::Service {
            return Err(Refusal::NotFound.into());
        }
        match call.operation {
            Operation::PushReserve => self.reserve(turn, call, service::parse(call)?),
            Operation::PushReserveEach => {
                let Names { names, server } = service::parse(call)?;
                self.wish(turn, call, names, &server, AnswerForm::Each)
            }
            Operation::PushReleaseEach => self.release_each(turn, &service::parse(call)?).map(Answer::Now),
            Operation::PushSettleName => self.settle(turn, &service::parse(call)?).map(Answer::Now),
            Operation::PushLookup => {
                let name: Name = service::parse(call)?;
                let entry = rows::load_name(turn.sql, name.kind.word(), &name.name)?;
                Ok(Answer::Now(service::answer(&Holder { server: entry.map(|entry| entry.server.to_string()) })?))
            }
            Operation::PushTokenDead => self.mourn(turn, &service::parse(call)?).map(Answer::Now),
            _ => Err(Refusal::NotFound.into()),
        }
    }

    /// Takes one from a network's quota.
    pub(super) fn take(
        &mut self,
        turn: &Turn<'_>,
        network: &str,
        word: &str,
        quota: Quota,
    ) -> Result<Result<(), u64>, Fault> {
        // An address is nobody's business once its quota is free.
        let network = &network_mark(network);
        let state = rows::load_quota(turn.sql, network, word)?;
        match quota.take(state, turn.now) {
            Err(exhausted) => Ok(Err(exhausted.retry_after_ms)),
            Ok(allowance) => {
                self.commit(turn, vec![rows::put_quota(network, word, allowance.free_at_us)])?;
                Ok(Ok(()))
            }
        }
    }

    /// A token is dead: every other server that holds it is told, and which those are stays here.
    fn mourn(&mut self, turn: &mut Turn<'_>, dead: &Dead) -> Result<Reply, Halt> {
        let token =
            TokenHash::from_hex(&dead.token).ok_or_else(|| Fault::Corrupt(String::from("a token of no hash")))?;
        let mut batch = Vec::new();
        if !dead.keeps {
            batch.push(rows::remove_holder(token, &dead.server));
        }
        for server in rows::holders(turn.sql, token, HOLDERS_MAX)? {
            if server == dead.server {
                continue;
            }
            let obituary = Obituary {
                obituary_id: self.next_obituary,
                token,
                app_id: dead.app_id.clone(),
                died_at: Timestamp::from_millis(dead.at_ms),
                server,
                attempts: 0,
            };
            self.next_obituary += 1;
            batch.push(rows::put_obituary(&obituary, turn.now.plus(duty_delay_ms(0))));
            if self.under_way.len() < UNDER_WAY_MAX {
                self.tell(turn, obituary)?;
            }
        }
        self.commit(turn, batch)?;
        Ok(Reply::json_text(String::from("{}")))
    }

    fn tell(&mut self, turn: &mut Turn<'_>, obituary: Obituary) -> Result<(), Fault> {
        let dead = Dead {
            token: obituary.token.to_hex(),
            app_id: obituary.app_id.clone(),
            at_ms: obituary.died_at.as_millis(),
            server: obituary.server.clone(),
            keeps: false,
        };
        let (class, operation) = (Class::RemoteServer, Operation::PushTokenDead);
        let errand = service::errand(class, obituary.server.clone(), operation, &dead, "")?;
        let ticket = self.ticket();
        turn.ask(ticket, errand);
        self.under_way.insert(ticket, UnderWay::Telling(obituary));
        Ok(())
    }

    fn begin(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        if self.settings.push.transfer_key.is_none() {
            return Err(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" }.into());
        }
        if self.settings.rate_limit_per_minute > 0 {
            let quota = Quota::per_minute(TRANSFERS_PER_MINUTE);
            if let Err(retry_after_ms) = self.take(turn, call.client.as_str(), "transfers", quota)? {
                return Err(Refusal::RateLimited { retry_after_ms }.into());
            }
        }
        let wish = parse_transfer(call)?;
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(Refusal::Busy.into());
        }
        let ticket = self.look_up(turn, &wish.hostname, call)?;
        self.under_way.insert(ticket, UnderWay::Beginning(wish));
        Ok(Answer::Later(ticket))
    }

    fn look_up(&mut self, turn: &mut Turn<'_>, hostname: &str, call: &Call) -> Result<Ticket, Fault> {
        let name = Name { kind: NameKind::Hostname, name: hostname.to_owned() };
        let shard = shard(name.kind.word(), hostname);
        let errand = service::errand(Class::PushDirectory, shard, Operation::PushLookup, &name, &call.request_id)?;
        let ticket = self.ticket();
        turn.ask(ticket, errand);
        Ok(ticket)
    }

    fn begun(&self, now: Timestamp, wish: &Transfer, outcome: &Outcome) -> Result<Reply, Refusal> {
        let holder: Holder = service::replied(outcome).ok_or(Refusal::Busy)?;
        if holder.server.is_none() {
            return Err(Refusal::NotYetRegistered { hostname: wish.spelling.clone() });
        }
        let key = self.settings.push.transfer_key.as_ref();
        let key = key.ok_or(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" })?;
        Ok(answer::with("verification_secret", issue(key, &wish.hostname, now), &wish.ignored))
    }

    fn verify(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Halt> {
        if self.settings.push.transfer_key.is_none() {
            return Err(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" }.into());
        }
        let wish = parse_challenge(call)?;
        let max = self.settings.push.transfer_daily_max;
        let day_ago = turn.now.minus(DAY_MS);
        if max > 0 && rows::count_transfers(turn.sql, day_ago)? >= max {
            return Err(Refusal::TransferLimit.into());
        }
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(Refusal::Busy.into());
        }
        if max > 0 {
            self.commit(turn, rows::put_transfer(turn.now, day_ago).to_vec())?;
        }
        let ticket = self.look_up(turn, &wish.hostname, call)?;
        let verification = Verification { wish, holder: None, tries: 0, proven: Proven::No };
        self.under_way.insert(ticket, UnderWay::Verifying(Box::new(verification)));
        Ok(Answer::Later(ticket))
    }

    /// The next step of a verification: who holds the name, does the host show our secret, a new key. The first answer
    /// that is final ends it.
    fn verified(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        mut verification: Box<Verification>,
        outcome: &Outcome,
    ) -> Result<Option<Reply>, Halt> {
        let hostname = verification.wish.hostname.clone();
        let Some(holder) = verification.holder.clone() else {
            let holder: Holder = service::replied(outcome).ok_or(Refusal::Busy)?;
            let holder = holder.server.as_deref().and_then(Uuid::parse).ok_or(Refusal::RegistrationNotFound)?;
            verification.holder = Some(holder);
            self.knock(turn, ticket, verification)?;
            return Ok(None);
        };
        if verification.proven == Proven::Yes {
            let key: NewKey = match outcome {
                Outcome::Replied(reply) if reply.status == 400 => return Err(Refusal::RegistrationNotFound.into()),
                _ => service::replied(outcome).ok_or(Refusal::Busy)?,
            };
            return Ok(Some(answer::credentials(&key.uuid, &key.key, &verification.wish.ignored)));
        }
        let secret = match host::parse_secret(outcome) {
            Err(TransferError::Connection) if verification.tries < TRIES_MAX => {
                self.knock(turn, ticket, verification)?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
            Ok(secret) => secret,
        };
        let key = self.settings.push.transfer_key.as_ref();
        let key = key.ok_or(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" })?;
        check(key, &hostname, &secret, turn.now)?;
        let name = Name { kind: NameKind::Hostname, name: hostname };
        let (class, operation) = (Class::RemoteServer, Operation::PushTransferKey);
        turn.ask(ticket, service::errand(class, holder.to_string(), operation, &name, "")?);
        verification.proven = Proven::Yes;
        self.under_way.insert(ticket, UnderWay::Verifying(verification));
        Ok(None)
    }

    /// Asks the host for the secret. Only public hosts are asked; a developer's own machine too, and over plain HTTP.
    fn knock(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        mut verification: Box<Verification>,
    ) -> Result<(), Refusal> {
        let hostname = &verification.wish.hostname;
        let is_own = self.settings.dev_mode.is_on() && is_loopback(hostname);
        if !is_own && !may_be_public(hostname) {
            return Err(TransferError::Connection.into());
        }
        let scheme = if is_own { Scheme::Http } else { Scheme::Https };
        let access_token = verification.wish.access_token.as_deref().unwrap_or_default();
        turn.ask(ticket, host::question(scheme, hostname, access_token));
        verification.tries += 1;
        self.under_way.insert(ticket, UnderWay::Verifying(verification));
        Ok(())
    }

    /// A server was told that a token is dead; one that holds it no more is forgotten.
    fn consoled(&mut self, turn: &Turn<'_>, obituary: &Obituary, outcome: &Outcome) -> Result<(), Fault> {
        let Some(stays) = service::replied::<Granted>(outcome) else { return Ok(()) };
        let mut batch = vec![rows::remove_obituary(obituary.obituary_id)];
        if !stays.granted {
            batch.push(rows::remove_holder(obituary.token, &obituary.server));
        }
        self.commit(turn, batch)
    }
}

fn is_operators(operation: Operation) -> bool {
    matches!(operation, Operation::OperatorAdmit | Operation::PushAnnounce) || needed(operation).is_some()
}

impl Object for PushDirectory {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        match self.step(turn, call) {
            Ok(answer) => Ok(answer),
            Err(Halt::Refused(refusal)) if is_operators(call.operation) => {
                Ok(Answer::Now(operator::refused(&refusal, &call.request_id)))
            }
            Err(Halt::Refused(refusal)) => Ok(Answer::Now(envelope::refused(&refusal))),
            Err(Halt::Need(_)) => Ok(Answer::Now(envelope::refused(&Refusal::Busy))),
            Err(Halt::Fault(fault)) => Err(fault),
        }
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        match self.under_way.remove(&ticket) {
            None => Ok(()),
            Some(UnderWay::Asking(asking)) => self.asked(turn, ticket, asking, &outcome),
            Some(UnderWay::Telling(obituary)) => self.consoled(turn, &obituary, &outcome),
            Some(UnderWay::Packing(packing)) => self.packed(turn, ticket, *packing, &outcome),
            Some(UnderWay::Moving(step)) => self.moved(turn, ticket, *step, &outcome),
            Some(UnderWay::PassedOn(request_id)) => {
                turn.answer(
                    ticket,
                    match outcome {
                        Outcome::Replied(reply) => reply,
                        _ => operator::refused(&Refusal::Busy, &request_id),
                    },
                );
                Ok(())
            }
            Some(UnderWay::Beginning(wish)) => {
                let reply = self.begun(turn.now, &wish, &outcome);
                turn.answer(ticket, reply.unwrap_or_else(|refusal| envelope::refused(&refusal)));
                Ok(())
            }
            Some(UnderWay::Verifying(verification)) => {
                let reply = match self.verified(turn, ticket, verification, &outcome) {
                    Ok(None) => return Ok(()),
                    Ok(Some(reply)) => reply,
                    Err(Halt::Refused(refusal)) => envelope::refused(&refusal),
                    Err(Halt::Need(_)) => envelope::refused(&Refusal::Busy),
                    Err(Halt::Fault(fault)) => return Err(fault),
                };
                turn.answer(ticket, reply);
                Ok(())
            }
        }
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut batch = Vec::new();
        for obituary in rows::due_obituaries(turn.sql, turn.now, OBITUARIES_MAX)? {
            let due = turn.now.plus(duty_delay_ms(obituary.attempts + 1));
            batch.push(rows::put_off_obituary(obituary.obituary_id, due));
            self.tell(turn, obituary)?;
        }
        self.resume_moves(turn, &mut batch)?;
        let now_us = turn.now.as_millis().saturating_mul(1_000);
        if rows::count_free(turn.sql, now_us)? > 0 {
            batch.push(rows::sweep_quotas(now_us));
        }
        turn.commit(batch)?;
        self.refresh(turn.sql, turn.now)
    }

    fn deadline(&self) -> Option<Timestamp> {
        [self.due, self.sweep_at].into_iter().flatten().min()
    }
}
