//! What operators ask of one server and its organizations.

use serde_json::{Value, json};

use super::analytics::{known_realm, note};
use super::learn::{Halt, Learned};
use super::permit::newest_of;
use super::{RemoteServer, accounts};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Change, Entry, Event, Scope};
use crate::push::count::{Own, is_series};
use crate::push::credential::{KeyHash, Keys, fresh_key};
use crate::push::operate::OperationError;
use crate::push::permission::{Permission, Push};
use crate::push::queue::DutyAct;
use crate::push::realm_sync::Profile;
use crate::push::refusal::Refusal;
use crate::push::registration::{Registered, State};
use crate::push::role::{Operator, needed};
use crate::push::store::counts::{Point, SERVER, Window};
use crate::push::store::realms::RealmRow;
use crate::push::store::relocation::{self, Closed};
use crate::push::store::{self, counts, operations, plans, realms, uploads};
use crate::push::tier::Tier;
use crate::push::uuid::Uuid;
use crate::push::wire::operator::{self as wire, Query, seconds};
use crate::push::wire::service::{Name, NameKind};

/// Points of a series in one answer.
const POINTS_MAX: u64 = 1_000;

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
            Operation::OperatorServerRealms => show_realms(turn.sql, call),
            Operation::OperatorServerAudit => show_server_audit(turn.sql, call),
            Operation::OperatorServerCounts => show_counts(turn.sql, turn.now, call, None),
            Operation::OperatorServerTokens => show_tokens(turn.sql, call),
            Operation::OperatorServerInvoices => {
                let realm = Query::of(call).realm()?;
                show_invoices(turn.sql, call, realm.as_ref().map_or("", Uuid::as_str))
            }
            Operation::OperatorExport => self.export(turn, &server),
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
                Ok(wire::answer(&realm_value(turn.sql, row, Some(&permission))?))
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

    /// All of an account in one document: the registration, organizations, plans.
    fn export(&self, turn: &Turn<'_>, server: &Registered) -> Result<Reply, Halt> {
        let sql = turn.sql;
        let rows = realms::load_page(sql, 0, POINTS_MAX)?;
        let total = realms::count(sql)?;
        let realms: Result<Vec<Value>, Fault> = rows.into_iter().map(|row| realm_value(sql, row, None)).collect();
        let plans: Vec<Value> = plans::load_all_live(sql)?
            .iter()
            .map(|(key, live)| json!({ "realm": key, "billing": wire::plan_of(None, Some(live)) }))
            .collect();
        let body = json!({
            "exported_at": seconds(turn.now),
            "server": server_value(sql, server)?,
            "realms": realms?,
            "realms_total": total,
            "plans": plans,
        });
        Ok(wire::once(&body))
    }

    fn switch_off(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        mut server: Registered,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        if server.state == State::Deactivated {
            return Err(OperationError::AlreadyDeactivated.into());
        }
        let reason = wire::parse_reason(&call.body)?;
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
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        if server.state == State::Active {
            return Err(OperationError::AlreadyActive.into());
        }
        let reason = wire::parse_reason(&call.body)?;
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

    /// The operators' own switch of an organization: its owners are shut out of billing, its notifications go on.
    fn switch_realm(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        row: &RealmRow,
        closed: Closed,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let event = match (row.registration_deactivated, closed) {
            (true, Closed::Yes) => return Err(OperationError::RealmDeactivated.into()),
            (false, Closed::No) => return Err(OperationError::RealmActive.into()),
            (false, Closed::Yes) => Event::Deactivated,
            (true, Closed::No) => Event::Reactivated,
        };
        let change = wire::parse_reason(&call.body)?.map_or(Change::Plain, Change::Reason);
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
        let change = wire::parse_change(&call.body)?;
        let key = plans::key(&scope).to_owned();
        let mut batch = Vec::new();
        accounts::change(turn.sql, turn.now, scope, &change, actor, &mut batch)?;
        self.tell_of_plan(turn, &key, &mut batch);
        self.commit(turn, batch)?;
        let (customer, live) = (plans::load_customer(turn.sql, &key)?, plans::load_live(turn.sql, &key)?);
        let mut body = wire::plan_of(customer.as_ref(), live.as_ref());
        if let Some(members) = body.as_object_mut() {
            let plan_type = accounts::plan_type(turn.sql, &key)?;
            members.insert(String::from("plan_type"), Value::from(plan_type.number()));
        }
        Ok(wire::answer(&body))
    }

    /// What the law asks to be removed goes: at once what opens doors and names people, the rest by the alarm.
    fn remove(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        mut server: Registered,
        actor: &Actor,
    ) -> Result<Reply, Halt> {
        if operations::load_removed(turn.sql)?.is_some() {
            return Err(OperationError::Removed.into());
        }
        let reason = wire::parse_reason(&call.body)?;
        let now = turn.now;
        let hostname = (server.state == State::Active).then(|| server.hostname.to_lowercase());
        server.state = State::Deactivated;
        server.keys = Keys { current: KeyHash([0; 32]), old: None };
        (server.hostname, server.email) = (String::new(), String::new());
        let mut batch = vec![store::server::put(&server, now), operations::set_removed(now)];
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

fn permission_value(permission: &Permission) -> Value {
    json!({
        "can_push": permission.can_push == Push::Allowed,
        "expected_end_timestamp": permission.ends.map(seconds),
        "reason": permission.reason.sentence(),
    })
}

fn server_value(sql: &dyn Sql, server: &Registered) -> Result<Value, Fault> {
    let about = uploads::load_about(sql)?;
    let uploaded = uploads::load_uploads(sql)?;
    let (devices, sealed) = store::device::counts(sql)?;
    let (last_updated, org_type) = operations::load_last_updated(sql)?;
    let (customer, live) = (plans::load_customer(sql, "")?, plans::load_live(sql, "")?);
    Ok(json!({
        "uuid": server.uuid.as_str(),
        "hostname": server.hostname,
        "contact_email": server.email,
        "created_at": seconds(server.created_at),
        "last_updated": seconds(last_updated),
        "last_request_datetime": server.seen_at.map(seconds),
        "last_version": about.version,
        "last_merge_base": about.merge_base,
        "last_api_feature_level": about.api_feature_level,
        "deactivated": server.state == State::Deactivated,
        "removed_at": operations::load_removed(sql)?.map(seconds),
        "plan_type": realms::load_server_plan_type(sql)?.number(),
        "org_type": org_type,
        "last_audit_log_update": uploaded.last_audit_update.map(seconds),
        "realms": realms::count(sql)?,
        "legacy_tokens": devices,
        "e2ee_devices": sealed,
        "billing": wire::plan_of(customer.as_ref(), live.as_ref()),
    }))
}

fn realm_value(sql: &dyn Sql, row: RealmRow, permission: Option<&Permission>) -> Result<Value, Fault> {
    let newest = newest_of(sql, &row)?;
    let billing = match permission {
        Some(_) => {
            let key = row.uuid.as_str();
            wire::plan_of(plans::load_customer(sql, key)?.as_ref(), plans::load_live(sql, key)?.as_ref())
        }
        None => Value::Null,
    };
    let kept = row.clone();
    let Profile { host, name, org_type, authentication_methods, realm_deactivated, is_system_bot_realm, listing } =
        known_realm(row)?.profile;
    Ok(json!({
        "uuid": kept.uuid.as_str(),
        "id": kept.number,
        "host": host,
        "name": name,
        "org_type": org_type,
        "authentication_methods": authentication_methods,
        "is_system_bot_realm": is_system_bot_realm,
        "realm_deactivated": realm_deactivated,
        "realm_locally_deleted": kept.locally_deleted,
        "registration_deactivated": kept.registration_deactivated,
        "realm_date_created": kept.date_created.map(seconds),
        "first_seen": seconds(kept.created_at),
        "last_updated": seconds(kept.last_updated),
        "last_request_datetime": kept.last_request_at.map(seconds),
        "plan_type": kept.plan_type.number(),
        "users": newest.past.map(|noted| json!({
            "non_guests": noted.people.non_guests,
            "guests": noted.people.guests,
            "workplace": noted.people.workplace.map(|workplace| workplace.users),
            "since": seconds(noted.event_time),
        })),
        "asks_to_advertise_in_communities_directory": listing.is_some(),
        "push": permission.map(permission_value),
        "billing": billing,
    }))
}

fn show_realms(sql: &dyn Sql, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let rows = realms::load_page(sql, query.after()?, limit)?;
    let next = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| Value::from(row.realm_id));
    let entries: Result<Vec<Value>, Fault> = rows.into_iter().map(|row| realm_value(sql, row, None)).collect();
    Ok(wire::page("realms", entries?, next))
}

/// What happened to the server, or with `realm` to an organization that is or was here: its row may be long gone.
fn show_server_audit(sql: &dyn Sql, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    if let Some(realm) = query.realm()? {
        return show_realm_audit(sql, call, &realm);
    }
    Ok(audit_page(&store::audit::load_server_page(sql, query.after()?, query.limit()?)?, query.limit()?))
}

fn show_realm_audit(sql: &dyn Sql, call: &Call, realm: &Uuid) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let (after, limit) = (query.after()?, query.limit()?);
    let number = match realms::load(sql, realm.as_str())? {
        Some(row) => row.number,
        None => relocation::load_heard(sql, realm.as_str())?.and_then(|(_, number)| number),
    };
    Ok(audit_page(&store::audit::load_realm_page(sql, realm.as_str(), number, after, limit)?, limit))
}

fn audit_page(lines: &[store::audit::AuditLine], limit: u64) -> Reply {
    let next = lines.last().filter(|_| lines.len() as u64 == limit).map(|line| Value::from(line.audit_id));
    let entry = |line: &store::audit::AuditLine| {
        json!({
            "id": line.audit_id,
            "event_time": seconds(line.event_time),
            "backfilled": line.backfilled,
            "event_type": line.event_type,
            "extra_data": wire::raw(&line.extra),
            "actor": line.actor,
            "remote_id": line.remote_id,
            "realm_id": line.number,
        })
    };
    wire::page("rows", lines.iter().map(entry).collect(), next)
}

fn show_counts(sql: &dyn Sql, now: Timestamp, call: &Call, realm: Option<&RealmRow>) -> Result<Reply, Halt> {
    let (rows, next) = series(sql, now, call, realm)?;
    Ok(wire::page("rows", rows, next))
}

/// A page of a series, and the cursor of the next one.
pub(super) fn series(
    sql: &dyn Sql,
    now: Timestamp,
    call: &Call,
    realm: Option<&RealmRow>,
) -> Result<(Vec<Value>, Option<Value>), Halt> {
    let query = Query::of(call);
    let property = query.get("property").filter(|name| is_series(name)).ok_or(OperationError::Query("property"))?;
    let from = query.time("from")?.unwrap_or(Timestamp::EPOCH);
    // The bucket of today ends tomorrow.
    let to = query.time("to")?.unwrap_or(now.plus(24 * 3_600_000));
    let after = match query.get("after") {
        None => (from.minus(1), String::from("\u{10ffff}")),
        Some(text) => {
            let (end, subgroup) = text.split_once(':').unwrap_or((text, ""));
            let end = end.parse().map_err(|_| OperationError::Query("after"))?;
            (Timestamp::from_millis(end), subgroup.to_owned())
        }
    };
    let limit = query.number("limit")?.unwrap_or(POINTS_MAX).clamp(1, POINTS_MAX);
    let window = Window { after, to, limit };
    let is_own = [Own::Received, Own::Forwarded].iter().any(|own| own.property() == property);
    let points: Vec<Point> = match (realm, is_own) {
        (None, true) => counts::load_own(sql, SERVER, property, &window)?,
        (Some(row), true) => counts::load_own(sql, row.realm_id, property, &window)?,
        (None, false) => counts::load_installation(sql, property, &window)?,
        (Some(row), false) => match row.number {
            Some(number) => counts::load_realm(sql, number, property, &window)?,
            None => Vec::new(),
        },
    };
    let next = points.last().filter(|_| points.len() as u64 == limit).map(|point| {
        let subgroup = point.subgroup.as_deref().unwrap_or_default();
        Value::from(format!("{}:{subgroup}", point.end_time.as_millis()))
    });
    let entry = |point: &Point| {
        json!({
            "property": point.property,
            "subgroup": point.subgroup,
            "end_time": seconds(point.end_time),
            "value": point.value,
        })
    };
    Ok((points.iter().map(entry).collect(), next))
}

fn show_tokens(sql: &dyn Sql, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let lines = operations::load_tokens(sql, query.after()?, limit)?;
    let names = operations::load_realm_names(sql)?;
    let next = lines.last().filter(|_| lines.len() as u64 == limit).map(|line| Value::from(line.device_id));
    let entry = |line: &operations::TokenLine| {
        json!({
            "id": line.device_id,
            "kind": line.kind,
            "token_hash": line.token_hash,
            "ios_app_id": line.ios_app_id,
            "user_id": line.user_id,
            "user_uuid": line.user_uuid,
            "realm_uuid": line.realm_id.and_then(|realm_id| names.get(&realm_id)),
            "registered_at": seconds(line.registered_at),
        })
    };
    Ok(wire::page("tokens", lines.iter().map(entry).collect(), next))
}

fn show_invoices(sql: &dyn Sql, call: &Call, key: &str) -> Result<Reply, Halt> {
    const HEADER: [&str; 10] = [
        "id",
        "realm_uuid",
        "tier",
        "created_at",
        "period_start",
        "period_end",
        "licenses",
        "amount",
        "discount",
        "currency",
    ];
    let query = Query::of(call);
    let limit = query.limit()?;
    let rows = plans::load_invoices(sql, key, query.after()?, limit)?;
    let columns = |row: &plans::InvoiceRow| {
        let invoice = &row.invoice;
        let tier = Tier::parse(row.tier).map_or(row.tier, |tier| u64::from(tier.number()));
        let times = [row.created_at, invoice.period_start, invoice.period_end].map(seconds);
        [vec![tier], times.to_vec(), vec![invoice.licenses, invoice.amount, invoice.discount]].concat()
    };
    match query.get("format") {
        Some("csv") => {
            let line = |row: &plans::InvoiceRow| {
                let mut cells = vec![row.invoice_id.to_string(), row.realm_uuid.clone()];
                cells.extend(columns(row).iter().map(u64::to_string));
                cells.push(String::from("usd"));
                cells
            };
            Ok(wire::csv(&HEADER, &rows.iter().map(line).collect::<Vec<_>>()))
        }
        None | Some("json") => {
            let next = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| Value::from(row.invoice_id));
            let entry = |row: &plans::InvoiceRow| {
                let mut values = vec![Value::from(row.invoice_id), Value::from(row.realm_uuid.as_str())];
                values.extend(columns(row).into_iter().map(Value::from));
                values.push(Value::from("usd"));
                Value::Object(HEADER.iter().map(|name| (*name).to_owned()).zip(values).collect())
            };
            Ok(wire::page("invoices", rows.iter().map(entry).collect(), next))
        }
        Some(_) => Err(OperationError::Query("format").into()),
    }
}

/// Statements that tell the index soon.
pub(super) fn announce(now: Timestamp) -> Statement {
    operations::announce(now.plus(super::chores::ANNOUNCE_MS))
}
