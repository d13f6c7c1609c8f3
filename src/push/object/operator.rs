//! What operators ask of one server and its organizations.

use serde_json::{Value, json};

use super::analytics::note;
use super::learn::{Halt, Learned};
use super::shown::{
    billing_value, export, permission_value, realm_value, server_value, show_billing_users, show_counts, show_invoices,
    show_realm_audit, show_realms, show_server_audit, show_tokens,
};
use super::{RemoteServer, accounts};
use crate::billing;
use crate::billing::identity::Subject;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::sql::Statement;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::audit::{Actor, Change, Entry, Event, Scope};
use crate::push::credential::{KeyHash, Keys, fresh_key};
use crate::push::operate::OperationError;
use crate::push::queue::DutyAct;
use crate::push::refusal::Refusal;
use crate::push::registration::{Registered, State};
use crate::push::role::{Operator, needed};
use crate::push::store::realms::RealmRow;
use crate::push::store::relocation::{self, Closed};
use crate::push::store::{self, operations, plans, realms};
use crate::push::uuid::Uuid;
use crate::push::wire::operator as wire;
use crate::push::wire::query::Query;
use crate::push::wire::service::{Name, NameKind};
use crate::push::wire::wish;

/// The operator who calls, if they may do what they ask for.
///
/// Errors: [`OperationError::NotOperator`], [`OperationError::Forbidden`].
pub(super) fn admitted(call: &Call) -> Result<Operator, OperationError> {
    let operator = Operator::parse(call.caller.as_deref()).filter(|_| call.principal == Principal::Operator);
    let operator = operator.ok_or(OperationError::NotOperator)?;
    let needed = needed(call.operation).ok_or(OperationError::NotOperator)?;
    if operator.role < needed { Err(OperationError::Forbidden { needed }) } else { Ok(operator) }
}

fn param(call: &Call) -> &str {
    call.params.first().map_or("", String::as_str)
}

impl RemoteServer {
    pub(super) fn operate(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Reply, Halt> {
        let operator = admitted(call)?;
        let Some(server) = self.server.clone() else { return Err(OperationError::NoServer.into()) };
        let actor = Actor::Operator(operator.name);
        match call.operation {
            Operation::OperatorServer => self.show(turn, &server),
            Operation::OperatorServerRealms => show_realms(turn.sql, call, self.own_name()),
            Operation::OperatorServerAudit => show_server_audit(turn.sql, call),
            Operation::OperatorServerCounts => show_counts(turn.sql, turn.now, call, None),
            Operation::OperatorServerTokens => show_tokens(turn.sql, call),
            Operation::OperatorServerInvoices => {
                let realm = Query::of(call).realm()?;
                show_invoices(turn.sql, call, realm.as_ref().map_or("", Uuid::as_str))
            }
            Operation::OperatorBillingUsers => show_billing_users(turn.sql, call, &server.uuid, operator.role),
            Operation::OperatorBillingUserClose => self.close_billing_user(turn, call, &server.uuid, &actor),
            Operation::OperatorExport => export(turn, call, &server),
            Operation::OperatorDeactivationLink => self.mint_link(turn, call, &server, &actor),
            Operation::OperatorDeactivate => self.switch_off(turn, call, server, &actor),
            Operation::OperatorReactivate => self.switch_on(turn, call, server, &actor, learned),
            Operation::OperatorRotate => self.rotate(turn, server, &actor),
            Operation::OperatorServerPlan => self.change_plan(turn, call, Scope::Server, &actor),
            Operation::OperatorServerRemove => self.remove(turn, call, server, &actor),
            _ => self.operate_realm(turn, call, &actor),
        }
    }

    fn operate_realm(&mut self, turn: &mut Turn<'_>, call: &Call, actor: &Actor) -> Result<Reply, Halt> {
        let uuid = Uuid::parse(param(call)).ok_or(OperationError::NoRealm)?;
        let row = realms::load(turn.sql, uuid.as_str())?.ok_or(OperationError::NoRealm)?;
        match call.operation {
            Operation::OperatorRealm => {
                let permission = self.permission(turn.sql, turn.now, Some(&uuid))?;
                Ok(wire::answer(&realm_value(turn.sql, self.own_name(), row, Some(&permission))?))
            }
            Operation::OperatorRealmAudit => show_realm_audit(turn.sql, call, &uuid),
            Operation::OperatorRealmDeactivate => self.switch_realm(turn, call, &row, Closed::Yes, actor),
            Operation::OperatorRealmReactivate => self.switch_realm(turn, call, &row, Closed::No, actor),
            Operation::OperatorRealmCounts => show_counts(turn.sql, turn.now, call, Some(&row)),
            Operation::OperatorRealmInvoices => show_invoices(turn.sql, call, uuid.as_str()),
            Operation::OperatorRealmMove => self.pack(turn, call, &row, actor),
            Operation::OperatorRealmPlan => {
                self.change_plan(turn, call, Scope::Realm { uuid, number: row.number }, actor)
            }
            _ => Err(Refusal::NotFound.into()),
        }
    }

    fn show(&self, turn: &Turn<'_>, server: &Registered) -> Result<Reply, Halt> {
        let permission = self.permission(turn.sql, turn.now, None)?;
        let mut value = server_value(turn.sql, server)?;
        if let Some(members) = value.as_object_mut() {
            members.insert(String::from("push"), permission_value(&permission));
        }
        Ok(wire::answer(&value))
    }

    /// A link for the server's contact, for an operator to send.
    fn mint_link(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        server: &Registered,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        if server.state == State::Deactivated {
            return Err(OperationError::AlreadyDeactivated.into());
        }
        let base = billing::public_base(&self.settings, &call.browser.clone().unwrap_or_default())
            .ok_or(Refusal::NotConfigured { setting: "BILLING_HOST" })?;
        let made = billing::deactivation_link(
            &self.settings,
            &mut *turn.entropy,
            turn.now,
            &base,
            &server.uuid,
            &server.email,
        );
        let (url, statement) = made.ok_or(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" })?;
        self.commit(turn, vec![statement, note(&because(Event::LinkMinted, reason), actor, turn.now)])?;
        self.refresh_desk(turn.sql)?;
        Ok(wire::once(&json!({ "url": url })))
    }

    fn switch_off(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        mut server: Registered,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        if server.state == State::Deactivated {
            return Err(OperationError::AlreadyDeactivated.into());
        }
        server.state = State::Deactivated;
        let mut batch = vec![store::server::put(&server, turn.now)];
        batch.push(note(&because(Event::Deactivated, reason), actor, turn.now));
        let name = server.hostname.to_lowercase();
        self.server = Some(server);
        self.owe(turn, NameKind::Hostname, name, DutyAct::Release, &mut batch)?;
        self.tell_of_server(turn, "server.deactivated", &mut batch);
        self.commit(turn, batch)?;
        Ok(wire::answer(&json!({ "deactivated": true })))
    }

    fn switch_on(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        mut server: Registered,
        actor: &Actor,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        if server.state == State::Active {
            return Err(OperationError::AlreadyActive.into());
        }
        let hostname = server.hostname.to_lowercase();
        if !learned.claim(&Name { kind: NameKind::Hostname, name: hostname.clone() })? {
            return Err(Refusal::HostnameTaken { hostname: server.hostname }.into());
        }
        server.state = State::Active;
        let mut batch = vec![store::server::put(&server, turn.now)];
        batch.push(note(&because(Event::Reactivated, reason), actor, turn.now));
        self.server = Some(server);
        self.owe(turn, NameKind::Hostname, hostname, DutyAct::Confirm, &mut batch)?;
        self.tell_of_server(turn, "server.reactivated", &mut batch);
        self.commit(turn, batch)?;
        Ok(wire::answer(&json!({ "deactivated": false })))
    }

    /// Closes the account of a billing user. Doing so again changes nothing.
    fn close_billing_user(
        &mut self,
        turn: &Turn<'_>,
        call: &Call,
        server: &Uuid,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        let user_id = call.params.get(1).and_then(|text| text.parse().ok());
        let user_id = user_id.filter(|user_id| *user_id <= SAFE_INTEGER_MAX).ok_or(OperationError::NoUser)?;
        let user = billing::user_of(turn.sql, server, user_id)?.ok_or(OperationError::NoUser)?;
        if user.is_active {
            let scope = match &user.subject {
                Subject::Server(_) => Scope::Server,
                Subject::Realm(uuid) => {
                    let number = realms::load(turn.sql, uuid.as_str())?.and_then(|row| row.number);
                    Scope::Realm { uuid: uuid.clone(), number }
                }
            };
            let entry = Entry { scope, event: Event::BillingUserClosed, change: Change::User { user_id, reason } };
            self.commit(turn, vec![billing::close_user(&user), note(&entry, actor, turn.now)])?;
        }
        Ok(wire::answer(&json!({ "is_active": false })))
    }

    /// The operators' own switch of an organization: its owners are shut out of billing, its notifications go on.
    fn switch_realm(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        row: &RealmRow,
        closed: Closed,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let event = match (row.registration_deactivated, closed) {
            (true, Closed::Yes) => return Err(OperationError::RealmDeactivated.into()),
            (false, Closed::No) => return Err(OperationError::RealmActive.into()),
            (false, Closed::Yes) => Event::Deactivated,
            (true, Closed::No) => Event::Reactivated,
        };
        let change = reason.map_or(Change::Plain, Change::Reason);
        let scope = Scope::Realm { uuid: row.uuid.clone(), number: row.number };
        let entry = Entry { scope, event, change };
        let batch = vec![relocation::set_closed(&row.uuid, closed, turn.now), note(&entry, actor, turn.now)];
        self.commit(turn, batch)?;
        Ok(wire::answer(&json!({ "registration_deactivated": closed == Closed::Yes })))
    }

    /// A new key, shown once. The old one dies at once.
    fn rotate(&mut self, turn: &mut Turn<'_>, mut server: Registered, actor: &Actor) -> Result<Reply, Halt> {
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let key = fresh_key(turn.entropy);
        server.keys = Keys { current: KeyHash::of(key.reveal()), old: None };
        let mut batch = vec![store::server::put(&server, turn.now)];
        batch.push(note(&Entry::plain(Scope::Server, Event::Transferred), actor, turn.now));
        let body = json!({ "zulip_org_id": server.uuid.as_str(), "zulip_org_key": key.reveal() });
        self.server = Some(server);
        self.commit(turn, batch)?;
        Ok(wire::once(&body))
    }

    fn change_plan(&mut self, turn: &mut Turn<'_>, call: &Call, scope: Scope, actor: &Actor) -> Result<Reply, Halt> {
        let change = wish::parse_change(&call.body)?;
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let key = plans::key(&scope).to_owned();
        let mut batch = Vec::new();
        accounts::change(turn.sql, turn.now, scope, &change, actor, &mut batch)?;
        self.tell_of_plan(turn, &key, &mut batch);
        self.commit(turn, batch)?;
        let mut body = billing_value(turn.sql, &key)?;
        if let Some(members) = body.as_object_mut() {
            let plan_type = accounts::plan_type(turn.sql, &key)?;
            members.insert(String::from("plan_type"), Value::from(plan_type.number()));
        }
        Ok(wire::answer(&body))
    }

    /// What the law asks to be removed goes: at once what opens doors and names people, the rest by the alarm. Plans of the
    /// server and its organizations end with it, and what is owed is invoiced a last time.
    fn remove(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        mut server: Registered,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        let reason = wish::parse_reason(&call.body)?;
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let now = turn.now;
        let hostname = (server.state == State::Active).then(|| server.hostname.to_lowercase());
        server.state = State::Deactivated;
        server.keys = Keys { current: KeyHash([0; 32]), old: None };
        (server.hostname, server.email) = (String::new(), String::new());
        let mut batch = Vec::new();
        let live = plans::load_all_live(turn.sql)?;
        if !live.iter().any(|(key, _)| key.is_empty()) {
            accounts::reset(turn.sql, now, "", actor, &mut batch)?;
        }
        // First, so that the payment system hears by which name it knows them.
        for (key, _) in live {
            accounts::end(turn.sql, now, &key, actor, &mut batch)?;
            self.tell_of_plan(turn, &key, &mut batch);
        }
        batch.extend([store::server::put(&server, now), operations::set_removed(now)]);
        batch.push(note(&because(Event::Scrubbed, reason), actor, now));
        batch.extend(operations::remove_rest());
        batch.extend(crate::billing::purge());
        self.server = Some(server);
        if let Some(hostname) = hostname {
            self.owe(turn, NameKind::Hostname, hostname, DutyAct::Release, &mut batch)?;
        }
        self.tell_of_server(turn, "server.removed", &mut batch);
        self.commit(turn, batch)?;
        Ok(wire::answer(&json!({ "removed": true })))
    }
}

fn because(event: Event, reason: Option<String>) -> Entry {
    let change = reason.map_or(Change::Plain, Change::Reason);
    Entry { scope: Scope::Server, event, change }
}

/// Statements that tell the index soon.
pub(super) fn announce(now: Timestamp) -> Statement {
    operations::announce(now.plus(super::chores::ANNOUNCE_MS))
}
