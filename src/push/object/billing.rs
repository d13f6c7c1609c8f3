//! Messages of the payment system, counts for a server's own people, and organizations that move to another server.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::analytics::note;
use super::learn::{Halt, Learned};
use super::{RemoteServer, accounts};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::secret::same_bytes;
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Change, Entry, Event, Note, Scope};
use crate::push::operate::OperationError;
use crate::push::plan::PlanError;
use crate::push::refusal::Refusal;
use crate::push::registration::State;
use crate::push::store::realms::{ProfileText, RealmRow};
use crate::push::store::{self, operations, plans, realms};
use crate::push::tier::PlanType;
use crate::push::uuid::Uuid;
use crate::push::webhook::{SKEW_MS, is_genuine};
use crate::push::wire::form::Form;
use crate::push::wire::index::{Bundle, Farewell};
use crate::push::wire::service::{self, Granted};
use crate::push::wire::{answer, operator as wire};

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
        let message = wire::parse_billing(&call.body)?;
        if self.server.as_ref().is_none_or(|server| server.uuid != message.server) {
            return Err(OperationError::NoServer.into());
        }
        let done = wire::answer(&json!({ "received": true }));
        if operations::is_seen(turn.sql, &message.event)? {
            return Ok(done);
        }
        let scope = match &message.realm {
            None => Scope::Server,
            Some(uuid) => {
                let row = realms::load(turn.sql, uuid.as_str())?.ok_or(OperationError::NoRealm)?;
                Scope::Realm { uuid: uuid.clone(), number: row.number }
            }
        };
        // Twice the skew: a message dated ahead of us is genuine for so long.
        let mut batch = operations::put_seen(&message.event, now, now.minus(2 * SKEW_MS)).to_vec();
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

    /// What an organization takes along, for whoever knows its secret.
    pub(super) fn pack(&self, turn: &Turn<'_>, call: &Call, row: &RealmRow, actor: &Actor) -> Result<Reply, Halt> {
        let wish = wire::parse_move(&call.body)?;
        let secret = Sha256::digest(wish.secret.reveal().as_bytes());
        if !same_bytes(&row.owner_secret, &secret) {
            return Err(OperationError::WrongSecret.into());
        }
        let server = self.server.as_ref().map(|server| server.uuid.clone());
        if server.as_ref() == Some(&wish.server) {
            return Err(OperationError::SameServer.into());
        }
        if plans::load_live(turn.sql, row.uuid.as_str())?.is_some() {
            return Err(OperationError::LivePlan.into());
        }
        let bundle = Bundle {
            uuid: row.uuid.to_string(),
            number: row.number,
            profile: row.profile.clone(),
            host: row.host.clone(),
            name: row.name.clone(),
            owner_secret: hex::encode(&row.owner_secret),
            date_created: row.date_created.map(Timestamp::as_millis),
            plan_type: u64::from(row.plan_type.number()),
            actor: actor.label(),
            from: server.map(|server| server.to_string()).unwrap_or_default(),
        };
        Ok(service::answer(&bundle)?)
    }

    /// An organization comes here. Asked twice, it is here once.
    pub(super) fn adopt(&mut self, turn: &mut Turn<'_>, bundle: &Bundle) -> Result<Reply, Halt> {
        let now = turn.now;
        let corrupt = || Fault::Corrupt(String::from("a bundle is not one of ours"));
        let is_open = self.server.as_ref().is_some_and(|server| server.state == State::Active);
        if !is_open {
            return Err(OperationError::NoServer.into());
        }
        let uuid = Uuid::parse(&bundle.uuid).ok_or_else(corrupt)?;
        let done = service::answer(&Granted { granted: true })?;
        if realms::load(turn.sql, uuid.as_str())?.is_some() {
            return Ok(done);
        }
        if realms::count(turn.sql)? >= crate::push::realm_sync::REALMS_PER_SERVER_MAX as u64 {
            return Err(OperationError::Full.into());
        }
        let secret = hex::decode(&bundle.owner_secret).map_err(|_| corrupt())?;
        let plan_type = PlanType::parse(bundle.plan_type).ok_or_else(corrupt)?;
        let text = bundle.profile.as_deref().unwrap_or("");
        let profile = ProfileText { text, host: &bundle.host, name: &bundle.name };
        let created = Timestamp::from_millis(bundle.date_created.unwrap_or(0));
        // Its number here is the new server's to say, in its next upload.
        let mut batch = vec![realms::adopt(&uuid, profile, &secret, created, now)];
        batch.push(realms::set_plan_type(&uuid, plan_type, now));
        let change = moved(&bundle.from, self.server.as_ref().map_or("", |server| server.uuid.as_str()));
        let entry =
            Entry { scope: Scope::Realm { uuid: uuid.clone(), number: None }, event: Event::RealmMoved, change };
        batch.push(relabelled(&entry, &bundle.actor, now));
        batch.push(super::operator::announce(now));
        self.strangers.remove(&uuid);
        self.commit(turn, batch)?;
        Ok(done)
    }

    /// An organization has left.
    pub(super) fn drop_realm(&mut self, turn: &mut Turn<'_>, farewell: &Farewell) -> Result<Reply, Halt> {
        let now = turn.now;
        let done = Reply::json_text(String::from("{}"));
        if self.server.is_none() {
            return Ok(done);
        }
        let Some(row) = realms::load(turn.sql, &farewell.realm)? else { return Ok(done) };
        let sealed = operations::count_sealed(turn.sql, row.realm_id)?;
        let mut batch = operations::part_devices(row.realm_id).to_vec();
        batch.push(store::device::add(0, -i64::try_from(sealed).unwrap_or(0)));
        batch.push(realms::remove(row.realm_id));
        let from = self.server.as_ref().map_or("", |server| server.uuid.as_str());
        let change = moved(from, &farewell.to);
        let entry = Entry {
            scope: Scope::Realm { uuid: row.uuid.clone(), number: row.number },
            event: Event::RealmMoved,
            change,
        };
        batch.push(relabelled(&entry, &farewell.actor, now));
        batch.push(super::operator::announce(now));
        self.strangers.remove(&row.uuid);
        self.commit(turn, batch)?;
        Ok(done)
    }
}

fn moved(from: &str, to: &str) -> Change {
    Change::Attribute { name: "server", old: Note::from(from), new: Note::from(to) }
}

/// An entry by an actor whose label another object has written.
fn relabelled(entry: &Entry, label: &str, now: Timestamp) -> crate::kernel::sql::Statement {
    let name = label.strip_prefix("operator:").unwrap_or(label);
    note(entry, &Actor::Operator(name.to_owned()), now)
}
