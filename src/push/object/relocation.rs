//! An organization comes or goes: what a server packs, takes in and lets go.

use sha2::{Digest, Sha256};

use super::analytics::note;
use super::learn::Halt;
use super::{RemoteServer, accounts, permit};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::secret::same_bytes;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Change, Entry, Event, Note, Scope};
use crate::push::operate::OperationError;
use crate::push::plan::Customer;
use crate::push::realm_sync::REALMS_PER_SERVER_MAX;
use crate::push::registration::State;
use crate::push::relocation::{Arrival, Departure, Effect, Heard, Held, decide_arrival, decide_departure};
use crate::push::store::realms::{ProfileText, RealmRow};
use crate::push::store::relocation::{self as kept, Closed};
use crate::push::store::{self, operations, plans, realms, uploads};
use crate::push::tier::PlanType;
use crate::push::uuid::Uuid;
use crate::push::wire::relocation::{Agreement, Bundle, Farewell, FarewellMode, People};
use crate::push::wire::service::{self, Granted};
use crate::push::wire::wish;

impl RemoteServer {
    /// What an organization takes along, for whoever knows its secret.
    pub(super) fn pack(&self, turn: &Turn<'_>, call: &Call, row: &RealmRow, actor: &Actor) -> Result<Reply, Halt> {
        let wish = wish::parse_move(&call.body)?;
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
            move_number: 0,
            uuid: row.uuid.to_string(),
            profile: row.profile.clone(),
            host: row.host.clone(),
            name: row.name.clone(),
            owner_secret: hex::encode(&row.owner_secret),
            date_created: row.date_created.map(Timestamp::as_millis),
            plan_type: u64::from(row.plan_type.number()),
            registration_deactivated: row.registration_deactivated,
            customer: plans::load_customer(turn.sql, row.uuid.as_str())?.as_ref().map(Agreement::from),
            people: people_of(turn.sql, row, turn.now)?,
            actor: actor.label(),
            from: server.map(|server| server.to_string()).unwrap_or_default(),
        };
        Ok(service::answer(&bundle)?)
    }

    /// An organization comes here. Asked twice, it is here once; asked for a move that is over, it does not come.
    pub(super) fn adopt(&mut self, turn: &mut Turn<'_>, bundle: &Bundle) -> Result<Reply, Halt> {
        let is_open = self.server.as_ref().is_some_and(|server| server.state == State::Active);
        if !is_open {
            return Err(OperationError::NoServer.into());
        }
        let uuid = Uuid::parse(&bundle.uuid).ok_or_else(corrupt)?;
        let heard = kept::load_heard(turn.sql, uuid.as_str())?;
        let held = if realms::load(turn.sql, uuid.as_str())?.is_some() { Held::Yes } else { Held::No };
        let mut batch = Vec::new();
        match decide_arrival(heard.as_ref().map(|(heard, _)| heard), bundle.move_number, held) {
            Arrival::Stale => return Err(OperationError::MoveOver.into()),
            Arrival::Repeated => {}
            Arrival::Note => batch.push(came(&uuid, bundle.move_number)),
            Arrival::TakeIn if realms::count(turn.sql)? >= REALMS_PER_SERVER_MAX as u64 => {
                return Err(OperationError::Full.into());
            }
            Arrival::TakeIn => self.take_in(turn.now, &uuid, bundle, &mut batch)?,
        }
        self.strangers.remove(&uuid);
        self.commit(turn, batch)?;
        Ok(service::answer(&Granted { granted: true })?)
    }

    fn take_in(&self, now: Timestamp, uuid: &Uuid, bundle: &Bundle, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let secret = hex::decode(&bundle.owner_secret).map_err(|_| corrupt())?;
        let plan_type = PlanType::parse(bundle.plan_type).ok_or_else(corrupt)?;
        let text = bundle.profile.as_deref().unwrap_or("");
        let profile = ProfileText { text, host: &bundle.host, name: &bundle.name };
        let created = Timestamp::from_millis(bundle.date_created.unwrap_or(0));
        // Its number here is the new server's to say, in its next upload.
        batch.push(realms::adopt(uuid, profile, &secret, created, now));
        batch.push(realms::set_plan_type(uuid, plan_type, now));
        if bundle.registration_deactivated {
            batch.push(kept::set_closed(uuid, Closed::Yes, now));
        }
        if let Some(agreement) = &bundle.customer {
            batch.push(plans::put_customer(uuid.as_str(), &Customer::from(agreement)));
        }
        if let Some((people, told_at)) = bundle.people.as_ref().map(People::headcount) {
            batch.extend(kept::carry_people(uuid, &people, told_at));
        }
        batch.push(came(uuid, bundle.move_number));
        let scope = Scope::Realm { uuid: uuid.clone(), number: None };
        batch.push(relabelled(&moved(scope, &bundle.from, self.own_name()), &bundle.actor, now));
        batch.push(super::operator::announce(now));
        Ok(())
    }

    /// An organization leaves, or does not stay after all. Nothing of it is left but its audit, plans that ended and
    /// invoices.
    pub(super) fn drop_realm(&mut self, turn: &mut Turn<'_>, farewell: &Farewell) -> Result<Reply, Halt> {
        let now = turn.now;
        let done = Reply::json_text(String::from("{}"));
        let heard = kept::load_heard(turn.sql, &farewell.realm)?;
        let decided = decide_departure(heard.as_ref().map(|(heard, _)| heard), farewell.move_number);
        if decided == Departure::Stale {
            return Ok(done);
        }
        let heard = Heard { move_number: farewell.move_number, effect: Effect::Went };
        let Some(row) = realms::load(turn.sql, &farewell.realm)? else {
            self.commit(turn, vec![kept::put_heard(&farewell.realm, &heard, None)])?;
            return Ok(done);
        };
        let mut batch = Vec::new();
        let scope = Scope::Realm { uuid: row.uuid.clone(), number: row.number };
        match (plans::load_live(turn.sql, &farewell.realm)?, farewell.mode) {
            (Some(_), FarewellMode::Leave) => return Err(OperationError::LivePlan.into()),
            (Some(_), FarewellMode::Undo) => {
                accounts::end(turn.sql, now, &farewell.realm, &Actor::Clock, &mut batch)?;
                self.tell_of_plan(turn, &farewell.realm, &mut batch);
            }
            (None, _) => {}
        }
        batch.push(kept::put_heard(&farewell.realm, &heard, Some(row.realm_id)));
        let_go(turn.sql, &row, &mut batch)?;
        if farewell.mode == FarewellMode::Leave {
            self.tell_of_move(turn, &row.uuid, &farewell.to, &mut batch);
        }
        batch.push(relabelled(&moved(scope, self.own_name(), &farewell.to), &farewell.actor, now));
        batch.push(super::operator::announce(now));
        self.strangers.remove(&row.uuid);
        self.commit(turn, batch)?;
        Ok(done)
    }

    /// The directory says that another server holds an organization which this one took for its own: it is not.
    pub(super) fn lose_realm(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        realm: &str,
        holder: &Uuid,
    ) -> Result<Vec<Statement>, Fault> {
        // A move brought it: that counts, whatever an older message says.
        let came = kept::load_heard(sql, realm)?.is_some_and(|(heard, _)| heard.effect == Effect::Came);
        let Some(row) = realms::load(sql, realm)?.filter(|_| !came) else { return Ok(Vec::new()) };
        let mut batch = Vec::new();
        let_go(sql, &row, &mut batch)?;
        let scope = Scope::Realm { uuid: row.uuid, number: row.number };
        batch.push(note(&moved(scope, self.own_name(), holder.as_str()), &Actor::Clock, now));
        batch.push(super::operator::announce(now));
        Ok(batch)
    }

    pub(super) fn own_name(&self) -> &str {
        self.server.as_ref().map_or("", |server| server.uuid.as_str())
    }
}

/// How many people the organization's server says it has, and since when.
fn people_of(sql: &dyn Sql, row: &RealmRow, now: Timestamp) -> Result<Option<People>, Fault> {
    let newest = permit::newest_of(sql, row)?;
    let told_at = match row.number {
        Some(_) => uploads::load_uploads(sql)?.last_audit_update,
        // It came here itself, and its new server has said nothing yet.
        None => newest.past.map(|noted| noted.event_time),
    };
    Ok(told_at.map(|told_at| People::of(&newest.at(now), told_at)))
}

/// Everything of an organization but its audit, and what invoices are made of.
fn let_go(sql: &dyn Sql, row: &RealmRow, batch: &mut Vec<Statement>) -> Result<(), Fault> {
    let sealed = operations::count_sealed(sql, row.realm_id)?;
    batch.extend(operations::part_devices(row.realm_id));
    batch.push(store::device::add(0, -i64::try_from(sealed).unwrap_or(0)));
    batch.extend(kept::forget_people(row.realm_id, row.number));
    batch.extend(crate::billing::purge_realm(&row.uuid));
    if plans::load_customer(sql, row.uuid.as_str())?.is_some() {
        batch.push(plans::put_customer(row.uuid.as_str(), &Customer::default()));
        batch.push(kept::forget_customer(row.uuid.as_str()));
    }
    batch.push(realms::remove(row.realm_id));
    Ok(())
}

fn came(uuid: &Uuid, move_number: u64) -> Statement {
    kept::put_heard(uuid.as_str(), &Heard { move_number, effect: Effect::Came }, None)
}

fn corrupt() -> Fault {
    Fault::Corrupt(String::from("a bundle is not one of ours"))
}

fn moved(scope: Scope, from: &str, to: &str) -> Entry {
    let change = Change::Attribute { name: "server", old: Note::from(from), new: Note::from(to) };
    Entry { scope, event: Event::RealmMoved, change }
}

/// An entry by an actor whose label another object has written.
fn relabelled(entry: &Entry, label: &str, now: Timestamp) -> Statement {
    let name = label.strip_prefix("operator:").unwrap_or(label);
    note(entry, &Actor::Operator(name.to_owned()), now)
}
