//! Billing: messages of the payment system, and counts for a server's own people.

use serde_json::json;

use super::learn::{Halt, Learned};
use super::{RemoteServer, accounts};
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::push::audit::{Actor, Scope};
use crate::push::operate::OperationError;
use crate::push::plan::PlanError;
use crate::push::refusal::Refusal;
use crate::push::store::{operations, realms};
use crate::push::webhook::{SEEN_FOR_MS, is_genuine};
use crate::push::wire::form::Form;
use crate::push::wire::{answer, operator as wire, wish};

/// The parameters of a series.
const COUNTS_KNOWN: [&str; 6] = ["property", "from", "to", "after", "limit", "realm_uuid"];

impl RemoteServer {
    /// A signed message of the payment system sets a plan. The same message counts once.
    pub(super) fn billing_event(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let now = turn.now;
        let Some(key) = &self.settings.push.billing_key else {
            return Err(Refusal::NotConfigured { setting: "PUSH_BILLING_KEY" }.into());
        };
        if !is_genuine(key, call.authorization.as_deref(), &call.body, now) {
            return Err(OperationError::Signature.into());
        }
        let message = wish::parse_billing(&call.body)?;
        if self.server.as_ref().is_none_or(|server| server.uuid != message.server) {
            return Err(OperationError::NoServer.into());
        }
        let done = wire::answer(&json!({ "received": true }));
        if operations::is_seen(turn.sql, &message.event)? {
            return Ok(done);
        }
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let scope = match &message.realm {
            None => Scope::Server,
            Some(uuid) => {
                let row = realms::load(turn.sql, uuid.as_str())?.ok_or(OperationError::NoRealm)?;
                Scope::Realm { uuid: uuid.clone(), number: row.number }
            }
        };
        let mut batch = operations::put_seen(&message.event, now, now.minus(SEEN_FOR_MS)).to_vec();
        match accounts::change(turn.sql, now, scope, &message.change, &Actor::Payment, &mut batch) {
            Ok(()) => batch.push(super::operator::announce(now)),
            // What is as they wish already need not be said again.
            Err(Halt::Refused(Refusal::Operation(OperationError::Plan(PlanError::Nothing)))) => {}
            Err(halt) => return Err(halt),
        }
        self.commit(turn, batch)?;
        Ok(done)
    }

    /// A series of counts for the server's own people.
    pub(super) fn own_counts(&mut self, turn: &Turn<'_>, call: &Call, learned: &Learned) -> Result<Reply, Halt> {
        let realm = Form::of(call).uuid("realm_uuid")?;
        let row = match &realm {
            None => None,
            Some(uuid) => {
                self.required_realm(turn, uuid, learned)?;
                realms::load(turn.sql, uuid.as_str())?
            }
        };
        let (rows, next) = super::shown::series(turn.sql, turn.now, call, row.as_ref())?;
        Ok(answer::series(rows, next, &Form::of(call).ignored(&COUNTS_KNOWN)))
    }
}
