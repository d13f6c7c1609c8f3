//! The object that holds one build's file: it takes parts, counts them as whole, judges answers about them, and forgets
//! them when the registry says so.

use std::rc::Rc;

use super::handoff::{Next, hand_on};
use super::{alive, check_ci};
use crate::attestation::store::build as store;
use crate::attestation::verify::all_good;
use crate::attestation::whole::{
    BeginPlan, Manifest, State, decide_begin, decide_complete, decide_part, missing_parts,
};
use crate::attestation::wire;
use crate::kernel::code::ErrorCode;
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::stop::{Stop, settle};
use crate::kernel::time::Timestamp;

/// Schema versions of one build's object.
pub const BUILD_MIGRATIONS: &[Migration] = store::MIGRATIONS;

/// The file of one build.
#[derive(Debug)]
pub struct ReferenceStore {
    kept: Option<(Manifest, State)>,
}

impl ReferenceStore {
    /// The file as far as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        _settings: Rc<Settings>,
        sql: &dyn Sql,
        _now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let stored = store::load_manifest(sql)?;
        let kept = stored.map(|(note, state)| Ok((wire::handoff::parse_manifest(note.as_bytes())?, state)));
        Ok(Self { kept: kept.transpose()? })
    }

    fn kept(&self) -> Option<(&Manifest, State)> {
        self.kept.as_ref().map(|(manifest, state)| (manifest, *state))
    }

    fn begin(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let manifest = wire::handoff::parse_manifest(&call.body)?;
        let (state, missing) = match decide_begin(self.kept(), &manifest)? {
            BeginPlan::Begin => {
                let note = wire::handoff::encode_manifest(&manifest)?;
                turn.commit(store::put_manifest(&note, turn.now).into())?;
                (State::Open, (0..manifest.parts()).collect())
            }
            BeginPlan::Resume => {
                let leaves = store::load_leaves(turn.sql)?;
                let state = self.kept().map_or(State::Open, |(_, state)| state);
                (state, missing_parts(&manifest, &leaves))
            }
        };
        let body = wire::manifest::encode_begun(&manifest, state, &missing)?;
        self.kept = Some((manifest, state));
        Ok(Reply::json_text(body))
    }

    fn part(&self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        check_ci(call)?;
        let number = call.params.get(1).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
        let digest = wire::policy::query_value(&call.query, "sha256");
        let leaves = decide_part(self.kept(), number, digest, &call.body)?;
        turn.commit(leaves.into_iter().map(store::put_leaf).collect())?;
        Ok(Reply::json_text(wire::manifest::encode_part(number)))
    }

    /// Counts the file as whole, and sends it on to the registry, again and again if need be.
    fn complete(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        check_ci(call)?;
        let leaves = store::load_leaves(turn.sql)?;
        decide_complete(self.kept(), &leaves)?;
        let Some((manifest, state)) = &mut self.kept else { return Err(Problem::plain(ErrorCode::NotFound).into()) };
        let note = wire::handoff::encode_manifest(manifest)?;
        if *state == State::Open {
            turn.commit(vec![store::complete()])?;
            *state = State::Complete;
        }
        Ok(hand_on(&Next::Count, note))
    }

    fn judge(&self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let judgement = wire::handoff::parse_judgement(&call.body)?;
        if !matches!(self.kept, Some((_, State::Complete))) {
            return Err(wire::problem::verification_failed().into());
        }
        let mut pieces = Vec::with_capacity(judgement.answers.len());
        for (asked, _) in &judgement.answers {
            pieces.push(store::load_piece(turn.sql, asked.span)?);
        }
        let macs = judgement.answers.iter().map(|(_, mac)| mac);
        let good = all_good(&judgement.nonce, pieces.iter().map(Vec::as_slice).zip(macs));
        let grant = judgement.grant.filter(|_| good).ok_or_else(wire::problem::verification_failed)?;
        Ok(hand_on(&Next::Grant, wire::handoff::encode_grant(&grant)?))
    }
}

impl ReferenceStore {
    /// Forgets the file, unless it was begun after the farewell was said: then the farewell is an old one.
    fn forget(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let made_at = wire::handoff::parse_farewell(&call.body)?;
        if store::load_begun_at(turn.sql)?.is_some_and(|begun_at| begun_at <= made_at) {
            turn.commit(store::forget().into())?;
            self.kept = None;
        }
        Ok(Reply::json_text(String::from(r#"{"forgotten":true}"#)))
    }
}

impl Object for ReferenceStore {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let outcome = match call.operation {
            Operation::AttestBegin => self.begin(turn, call),
            Operation::AttestPart => self.part(turn, call),
            Operation::AttestComplete => self.complete(turn, call),
            Operation::AttestJudge => self.judge(turn, call),
            Operation::AttestForget => self.forget(turn, call),
            Operation::Probe => alive(turn.sql),
            _ => Err(Problem::plain(ErrorCode::NotFound).into()),
        };
        settle(outcome, &call.request_id).map(Answer::Now)
    }
}
