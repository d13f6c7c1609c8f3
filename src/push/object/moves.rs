//! Moves of organizations, as the directory drives them: packed, taken in, let go, and the name changes hands.
//!
//! From the moment that anything may have changed anywhere, a move is a row; the alarm asks again for whatever was not
//! answered, so that a move ends on one server or the other whatever is lost. While the row is there, nobody else gets the
//! name, and no other move of the organization begins.

use serde_json::json;

use super::directory::{PushDirectory, UNDER_WAY_MAX, UnderWay};
use super::learn::Halt;
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::object::{Answer, Call, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::directory::{Entry, Hold};
use crate::push::operate::OperationError;
use crate::push::queue::duty_delay_ms;
use crate::push::refusal::Refusal;
use crate::push::relocation::{Next, Phase, Verdict, decide_again, decide_next};
use crate::push::store::directory as rows;
use crate::push::store::relocation::{self as kept, MoveRow};
use crate::push::uuid::Uuid;
use crate::push::wire::operator::{self as wire};
use crate::push::wire::relocation::{Bundle, Farewell, FarewellMode, parse_bundle};
use crate::push::wire::service::{self, Granted, NameKind};

/// Moves that the alarm takes up.
const MOVES_MAX: u64 = 16;

/// A move whose old server has been asked what goes along. Nothing has changed yet.
pub(super) struct Packing {
    realm: Uuid,
    from: Uuid,
    to: Uuid,
    request_id: String,
}

/// A question to one of a move's two servers.
pub(super) struct Step {
    realm: String,
    move_number: u64,
    phase: Phase,
    target: String,
    /// The request of the operator who waits, if one does.
    waits: Option<String>,
}

impl PushDirectory {
    /// An operator wishes a move: the organization's server is asked what goes along.
    pub(super) fn begin_move(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        realm: Uuid,
        from: Uuid,
    ) -> Result<Answer, Halt> {
        let wish = crate::push::wire::wish::parse_move(&call.body)?;
        let is_packing = self.under_way.values().any(|other| match other {
            UnderWay::Packing(packing) => packing.realm == realm,
            _ => false,
        });
        if is_packing || kept::load(turn.sql, realm.as_str())?.is_some() {
            return Err(OperationError::MoveUnderWay.into());
        }
        let ticket = self.ticket();
        let (class, name) = (Class::RemoteServer, from.to_string());
        turn.ask(ticket, Errand::Call { class, name, call: Box::new(call.clone()) });
        let packing = Packing { realm, from, to: wish.server, request_id: call.request_id.clone() };
        self.under_way.insert(ticket, UnderWay::Packing(Box::new(packing)));
        Ok(Answer::Later(ticket))
    }

    /// The old server has packed, or will not.
    pub(super) fn packed(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        packing: Packing,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let Packing { realm, from, to, request_id } = packing;
        let Some(bundle) = service::replied::<Bundle>(outcome) else {
            let reply = match outcome {
                Outcome::Replied(reply) if reply.status != 200 => reply.clone(),
                _ => wire::refused(&Refusal::Busy, &request_id),
            };
            turn.answer(ticket, reply);
            return Ok(());
        };
        // Time has passed since the name was looked up.
        let entry = rows::load_name(turn.sql, NameKind::Realm.word(), realm.as_str())?;
        let is_there = entry.is_some_and(|entry| entry.server == from);
        if !is_there || kept::load(turn.sql, realm.as_str())?.is_some() {
            turn.answer(ticket, wire::refused(&OperationError::MoveUnderWay.into(), &request_id));
            return Ok(());
        }
        let move_number = kept::next_number(turn.sql)?;
        let bundle = Bundle { move_number, ..bundle };
        let row = MoveRow {
            move_number,
            realm: realm.to_string(),
            origin: from.to_string(),
            target: to.to_string(),
            actor: bundle.actor.clone(),
            phase: Phase::Adopt,
            bundle: to_json(&bundle)?,
            begun_at: turn.now,
            attempts: 1,
        };
        self.commit(turn, vec![kept::begin(&row, turn.now.plus(duty_delay_ms(0)))])?;
        self.ask_for(turn, ticket, &row, Some(request_id))
    }

    /// Asks for what a move's phase needs.
    fn ask_for(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        row: &MoveRow,
        waits: Option<String>,
    ) -> Result<(), Fault> {
        let class = Class::RemoteServer;
        let request_id = waits.as_deref().unwrap_or_default();
        let farewell = |mode: FarewellMode, to: &str| Farewell {
            move_number: row.move_number,
            realm: row.realm.clone(),
            to: to.to_owned(),
            actor: row.actor.clone(),
            mode,
        };
        let errand = match row.phase {
            Phase::Adopt => {
                let bundle = parse_bundle(&row.bundle)?;
                service::errand(class, row.target.clone(), Operation::PushRealmAdopt, &bundle, request_id)?
            }
            Phase::Drop => {
                let body = farewell(FarewellMode::Leave, &row.target);
                service::errand(class, row.origin.clone(), Operation::PushRealmDrop, &body, request_id)?
            }
            Phase::Undo => {
                let body = farewell(FarewellMode::Undo, &row.origin);
                service::errand(class, row.target.clone(), Operation::PushRealmDrop, &body, request_id)?
            }
        };
        turn.ask(ticket, errand);
        let (realm, target) = (row.realm.clone(), row.target.clone());
        let step = Step { realm, move_number: row.move_number, phase: row.phase, target, waits };
        self.under_way.insert(ticket, UnderWay::Moving(Box::new(step)));
        Ok(())
    }

    /// One of a move's servers has answered, or has not.
    pub(super) fn moved(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        step: Step,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let row = kept::load(turn.sql, &step.realm)?;
        let Some(row) = row.filter(|row| (row.move_number, row.phase) == (step.move_number, step.phase)) else {
            // Another answer has come before.
            return self.report(turn, ticket, &step);
        };
        // An answer that says nothing of what was done, or not done, may stand for either.
        let attempts = if is_plain(outcome) { row.attempts } else { u32::MAX };
        let next = decide_next(row.phase, verdict(row.phase, outcome), attempts);
        let batch = match next {
            Next::Ask(phase) => vec![kept::ask(row.move_number, phase, turn.now.plus(duty_delay_ms(0)))],
            Next::Forget => vec![kept::end(row.move_number)],
            Next::Finish => finish(&row)?,
            Next::Wait => Vec::new(),
        };
        self.commit(turn, batch)?;
        match next {
            Next::Ask(Phase::Undo) => {
                self.refuse_move(turn, ticket, &step, outcome);
                let ticket = self.ticket();
                self.ask_for(turn, ticket, &MoveRow { phase: Phase::Undo, ..row }, None)
            }
            Next::Ask(phase) => self.ask_for(turn, ticket, &MoveRow { phase, ..row }, step.waits),
            Next::Forget => {
                self.refuse_move(turn, ticket, &step, outcome);
                Ok(())
            }
            Next::Finish | Next::Wait => self.report(turn, ticket, &step),
        }
    }

    /// Tells the operator who waits why the organization stays.
    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn refuse_move(&self, turn: &mut Turn<'_>, ticket: Ticket, step: &Step, outcome: &Outcome) {
        if let Some(request_id) = &step.waits {
            let reply = match outcome {
                Outcome::Replied(reply) if reply.status != 200 => reply.clone(),
                _ => wire::refused(&Refusal::Busy, request_id),
            };
            turn.answer(ticket, reply);
        }
    }

    /// Tells the operator who waits where the organization is, and whether that is still to change.
    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn report(&self, turn: &mut Turn<'_>, ticket: Ticket, step: &Step) -> Result<(), Fault> {
        let Some(request_id) = &step.waits else { return Ok(()) };
        let row = kept::load(turn.sql, &step.realm)?;
        let entry = rows::load_name(turn.sql, NameKind::Realm.word(), &step.realm)?;
        let is_there = entry.is_some_and(|entry| entry.server.as_str() == step.target);
        let reply: Reply = match row {
            Some(row) if row.move_number == step.move_number && row.phase != Phase::Undo => {
                wire::answer(&json!({ "realm": step.realm, "server": step.target, "under_way": true }))
            }
            None if is_there => wire::answer(&json!({ "realm": step.realm, "server": step.target })),
            _ => wire::refused(&OperationError::MoveOver.into(), request_id),
        };
        turn.answer(ticket, reply);
        Ok(())
    }

    /// Takes up the moves whose time has come.
    pub(super) fn resume_moves(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        for row in kept::due(turn.sql, turn.now, MOVES_MAX)? {
            let phase = decide_again(row.phase, row.begun_at, turn.now);
            let attempts = if phase == row.phase { row.attempts } else { 0 };
            batch.push(kept::ask(row.move_number, phase, turn.now.plus(duty_delay_ms(attempts))));
            if self.under_way.len() < UNDER_WAY_MAX {
                let ticket = self.ticket();
                self.ask_for(turn, ticket, &MoveRow { phase, ..row }, None)?;
            }
        }
        Ok(())
    }
}

/// The name changes hands, and the move is at its end.
fn finish(row: &MoveRow) -> Result<Vec<Statement>, Fault> {
    let server = Uuid::parse(&row.target).ok_or_else(|| Fault::Corrupt(String::from("a move to no server")))?;
    let entry = Entry { server, hold: Hold::Confirmed };
    Ok(vec![rows::put_name(NameKind::Realm.word(), &row.realm, &entry), kept::end(row.move_number)])
}

/// What an answer to a phase's question says.
fn verdict(phase: Phase, outcome: &Outcome) -> Verdict {
    match (phase, outcome) {
        (Phase::Adopt, _) if service::replied::<Granted>(outcome).is_some_and(|granted| granted.granted) => {
            Verdict::Done
        }
        (Phase::Adopt, Outcome::Replied(reply)) if !matches!(reply.status, 200 | 500) => Verdict::Refused,
        (Phase::Drop, Outcome::Replied(reply)) if reply.status == 409 => Verdict::Refused,
        (Phase::Drop | Phase::Undo, _) if service::is_done(outcome) => Verdict::Done,
        _ => Verdict::Silence,
    }
}

/// Whether a refusal is the server's own, so that it has surely done nothing.
fn is_plain(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Replied(reply) if (400..500).contains(&reply.status))
}

/// When the next move is due.
pub(super) fn next_move(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    kept::next(sql)
}
