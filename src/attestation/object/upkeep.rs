//! What the registry does once a day for references and unfinished uploads, and how it has files forgotten.
//!
//! The file of a build is in an object of its own. The row of the reference or upload goes first, and one of `farewell` takes
//! its place in the same commit; the object is told, and the row goes when it has answered. A farewell that is not answered
//! is said again by a later alarm. Until it was answered the build cannot be uploaded again.

use super::handoff::build_name;
use crate::attestation::log::LogHead;
use crate::attestation::log::{Kind, next_entry};
use crate::attestation::policy::Policy;
use crate::attestation::retention::{
    FAREWELL_AGAIN_MS, Farewell, PER_ALARM_MAX, Place, REVIEW_MS, Review, UPLOAD_MS_MAX, review,
};
use crate::attestation::store::reference as store;
use crate::attestation::store::{add_log, load_log_head};
use crate::attestation::wire;
use crate::kernel::entropy::random_bytes;
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;

/// When an alarm that left something to do rings again. Units: milliseconds.
const AGAIN_MS: u64 = 1_000;

/// When the next alarm is needed. What is overdue waits for the next full second, which is the same whenever the object is
/// asked within one, so that an object that is rebuilt all the time does not put its alarm off.
pub(super) fn next(sql: &dyn Sql, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let soon = Timestamp::from_millis((now.as_millis() / AGAIN_MS + 1).saturating_mul(AGAIN_MS));
    Ok(store::load_next_upkeep(sql)?.map(|at| if at <= now { soon } else { at }))
}

/// Decides what is due, adds the statements for it to `batch`, and returns who must be told afterwards.
pub(super) fn decide(turn: &mut Turn<'_>, policy: &Policy, batch: &mut Vec<Statement>) -> Result<Vec<Farewell>, Fault> {
    let now = turn.now;
    let mut farewells = store::load_farewells(turn.sql, now.minus(FAREWELL_AGAIN_MS), PER_ALARM_MAX)?;
    batch.extend(farewells.iter().map(|farewell| store::ask_farewell(farewell.id, now)));
    let mut leaving = Vec::new();
    for reference_id in store::load_uploads_over(turn.sql, now.minus(UPLOAD_MS_MAX), PER_ALARM_MAX)? {
        batch.push(store::remove_upload(&reference_id));
        leaving.push(reference_id);
    }
    let mut head: Option<LogHead> = None;
    for due in store::load_due(turn.sql, now.minus(REVIEW_MS), PER_ALARM_MAX)? {
        let runners = store::count_runners(turn.sql, &due.build)?;
        match review(&due, policy, runners, now) {
            Review::Needed => batch.push(store::put_review(&due.reference_id, now, None)),
            Review::Idle(since) => batch.push(store::put_review(&due.reference_id, now, Some(since))),
            Review::Over => {
                let before = head.take().map_or_else(|| load_log_head(turn.sql), Ok)?;
                let entry = next_entry(&before, Kind::Removal, wire::answer::encode_log_removal(&due)?, now);
                head = Some(LogHead { seq: entry.seq, hash: entry.hash.clone() });
                batch.extend(store::remove_reference(&due.reference_id));
                batch.push(add_log(&entry));
                if due.place == Place::ReferenceStore && !leaving.contains(&due.reference_id) {
                    leaving.push(due.reference_id);
                }
            }
        }
    }
    for reference_id in leaving {
        let id = u32::from_le_bytes(random_bytes::<4>(turn.entropy));
        let farewell = Farewell { id, reference_id, made_at: now };
        batch.push(store::put_farewell(&farewell));
        farewells.push(farewell);
    }
    Ok(farewells)
}

/// Tells objects to forget their files.
pub(super) fn ask(turn: &mut Turn<'_>, farewells: Vec<Farewell>) -> Result<(), Fault> {
    for Farewell { id, reference_id, made_at } in farewells {
        let call = Call {
            operation: Operation::AttestForget,
            params: Vec::new(),
            query: String::new(),
            principal: Principal::Service,
            client: ClientNetwork::from_header(None),
            request_id: format!("farewell-{id:08x}"),
            bearer: None,
            if_match: None,
            authorization: None,
            content_type: None,
            idempotency_key: None,
            browser: None,
            caller: None,
            body: wire::handoff::encode_farewell(made_at)?.into_bytes(),
        };
        let name = build_name(&reference_id);
        turn.ask(Ticket(id), Errand::Call { class: Class::ReferenceStore, name, call: Box::new(call) });
    }
    Ok(())
}

/// An object has answered: when it has forgotten its file, so does the registry.
pub(super) fn told(ticket: Ticket, outcome: &Outcome) -> Vec<Statement> {
    match outcome {
        Outcome::Replied(reply) if reply.status == 200 => vec![store::remove_farewell(ticket.0)],
        Outcome::Replied(_) | Outcome::Fetched(_) | Outcome::Signed(_) | Outcome::Failed(_) => Vec::new(),
    }
}
