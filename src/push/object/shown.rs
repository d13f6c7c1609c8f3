//! What operators are shown of a server and its organizations: values, and lists by pages.

use serde_json::{Value, json};

use super::analytics::known_realm;
use super::learn::Halt;
use super::permit::newest_of;
use crate::billing::identity::Subject;
use crate::billing::user::{BillingUser, masked};
use crate::billing::{Cell, table, users_page};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::push::count::{Own, is_series};
use crate::push::operate::OperationError;
use crate::push::permission::{Permission, Push};
use crate::push::realm_sync::Profile;
use crate::push::registration::{Registered, State};
use crate::push::role::Role;
use crate::push::store::counts::{Point, SERVER, Window};
use crate::push::store::realms::RealmRow;
use crate::push::store::{self, counts, operations, plans, realms, relocation, uploads};
use crate::push::tier::Tier;
use crate::push::upload::Table;
use crate::push::uuid::Uuid;
use crate::push::wire::operator::{self as wire, seconds};
use crate::push::wire::query::{PAGE_MAX, Query};

/// An account with its organizations and their plans, by pages of these. What is longer than that has pages of its own:
/// audits, counts, tokens, invoices. How much there is of each stands in the document.
pub(super) fn export(turn: &Turn<'_>, call: &Call, server: &Registered) -> Result<Reply, Halt> {
    let sql = turn.sql;
    let query = Query::of(call);
    let limit = query.limit_or(PAGE_MAX)?;
    let rows = realms::load_page(sql, query.after()?, limit)?;
    let entry = |row: RealmRow| {
        let billing = billing_value(sql, row.uuid.as_str())?;
        let mut value = realm_value(sql, server.uuid.as_str(), row, None)?;
        if let Some(members) = value.as_object_mut() {
            members.insert(String::from("billing"), billing);
        }
        Ok::<_, Fault>(value)
    };
    let (entries, next) = wire::cut(rows, limit, |row| Value::from(row.realm_id), entry)?;
    let kept = |table| uploads::load_kept(sql, table).map(|kept| kept.stored.saturating_sub(kept.removed));
    let body = json!({
        "exported_at": seconds(turn.now),
        "server": server_value(sql, server)?,
        "realms": entries,
        "realms_total": realms::count(sql)?,
        "uploaded_rows": {
            "realm_counts": kept(Table::RealmCounts)?,
            "installation_counts": kept(Table::InstallationCounts)?,
            "audit": kept(Table::AuditRows)?,
        },
        "next": next,
    });
    Ok(wire::once(&body))
}

/// An account's customer and plan.
pub(super) fn billing_value(sql: &dyn Sql, key: &str) -> Result<Value, Fault> {
    Ok(wire::plan_of(plans::load_customer(sql, key)?.as_ref(), plans::load_live(sql, key)?.as_ref()))
}

pub(super) fn permission_value(permission: &Permission) -> Value {
    json!({
        "can_push": permission.can_push == Push::Allowed,
        "expected_end_timestamp": permission.ends.map(seconds),
        "reason": permission.reason.sentence(),
    })
}

pub(super) fn server_value(sql: &dyn Sql, server: &Registered) -> Result<Value, Fault> {
    let about = uploads::load_about(sql)?;
    let uploaded = uploads::load_uploads(sql)?;
    let (devices, sealed) = store::device::counts(sql)?;
    let (last_updated, org_type) = operations::load_last_updated(sql)?;
    let billing = billing_value(sql, "")?;
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
        "billing": billing,
    }))
}

pub(super) fn realm_value(
    sql: &dyn Sql,
    server: &str,
    row: RealmRow,
    permission: Option<&Permission>,
) -> Result<Value, Fault> {
    let newest = newest_of(sql, &row)?;
    let billing = match permission {
        Some(_) => billing_value(sql, row.uuid.as_str())?,
        None => Value::Null,
    };
    let kept = row.clone();
    let Profile { host, name, org_type, authentication_methods, realm_deactivated, is_system_bot_realm, listing } =
        known_realm(row)?.profile;
    Ok(json!({
        "uuid": kept.uuid.as_str(),
        "server": server,
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

pub(super) fn show_realms(sql: &dyn Sql, call: &Call, server: &str) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let rows = realms::load_page(sql, query.after()?, limit)?;
    let entry = |row: RealmRow| realm_value(sql, server, row, None);
    let (entries, next) = wire::cut(rows, limit, |row| Value::from(row.realm_id), entry)?;
    Ok(wire::page("realms", entries, next))
}

/// What happened to the server, or with `realm` to an organization that is or was here: its row may be long gone.
pub(super) fn show_server_audit(sql: &dyn Sql, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    if let Some(realm) = query.realm()? {
        return show_realm_audit(sql, call, &realm);
    }
    let (after, limit) = (query.after()?, query.limit()?);
    audit_page(store::audit::load_server_page(sql, after, limit)?, limit)
}

pub(super) fn show_realm_audit(sql: &dyn Sql, call: &Call, realm: &Uuid) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let (after, limit) = (query.after()?, query.limit()?);
    let realm_id = match realms::load(sql, realm.as_str())? {
        Some(row) => Some(row.realm_id),
        None => relocation::load_heard(sql, realm.as_str())?.and_then(|(_, realm_id)| realm_id),
    };
    audit_page(store::audit::load_realm_page(sql, realm.as_str(), realm_id, after, limit)?, limit)
}

fn audit_page(lines: Vec<store::audit::AuditLine>, limit: u64) -> Result<Reply, Halt> {
    let entry = |line: store::audit::AuditLine| {
        Ok::<_, Fault>(json!({
            "id": line.audit_id,
            "event_time": seconds(line.event_time),
            "backfilled": line.backfilled,
            "event_type": line.event_type,
            "extra_data": wire::raw(&line.extra),
            "actor": line.actor,
            "remote_id": line.remote_id,
            "realm_id": line.number,
        }))
    };
    let (entries, next) = wire::cut(lines, limit, |line| Value::from(line.audit_id), entry)?;
    Ok(wire::page("rows", entries, next))
}

pub(super) fn show_counts(sql: &dyn Sql, now: Timestamp, call: &Call, realm: Option<&RealmRow>) -> Result<Reply, Halt> {
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
            let (end, place) = text.split_once(':').unwrap_or((text, ""));
            let end = end.parse().map_err(|_| OperationError::Query("after"))?;
            (Timestamp::from_millis(end), place.to_owned())
        }
    };
    let limit = query.limit_or(PAGE_MAX)?;
    let window = Window { after, to, limit };
    let is_own = [Own::Received, Own::Forwarded].iter().any(|own| own.property() == property);
    let points: Vec<Point> = match (realm, is_own) {
        (None, true) => counts::load_own(sql, SERVER, property, &window)?,
        (Some(row), true) => counts::load_own(sql, row.realm_id, property, &window)?,
        (None, false) => counts::load_installation(sql, property, &window)?,
        (Some(row), false) => counts::load_realm(sql, row.realm_id, property, &window)?,
    };
    let next = points
        .last()
        .filter(|_| points.len() as u64 == limit)
        .map(|point| Value::from(format!("{}:{}", point.end_time.as_millis(), point.place())));
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

pub(super) fn show_tokens(sql: &dyn Sql, call: &Call) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let lines = operations::load_tokens(sql, query.after()?, limit)?;
    let next = lines.last().filter(|_| lines.len() as u64 == limit).map(|line| Value::from(line.device_id));
    let entry = |line: &operations::TokenLine| {
        json!({
            "id": line.device_id,
            "kind": line.kind,
            "token_hash": line.token_hash,
            "ios_app_id": line.ios_app_id,
            "user_id": line.user_id,
            "user_uuid": line.user_uuid,
            "realm_uuid": line.realm_uuid,
            "registered_at": seconds(line.registered_at),
        })
    };
    Ok(wire::page("tokens", lines.iter().map(entry).collect(), next))
}

/// Who may look after plans here. What names a person is for those who may act on it: a viewer sees the first letter and
/// the domain of an address.
pub(super) fn show_billing_users(sql: &dyn Sql, call: &Call, server: &Uuid, role: Role) -> Result<Reply, Halt> {
    let query = Query::of(call);
    let limit = query.limit()?;
    let after = query.number("after")?.unwrap_or(0);
    let users = users_page(sql, server, after, limit)?;
    let next = users.last().filter(|_| users.len() as u64 == limit).map(|user| Value::from(user.user_id));
    let sees_all = role >= Role::Admin;
    let entry = |user: &BillingUser| {
        json!({
            "id": user.user_id,
            "realm_uuid": match &user.subject {
                Subject::Realm(realm) => Some(realm.as_str()),
                Subject::Server(_) => None,
            },
            "email": if sees_all { user.email.clone() } else { masked(&user.email) },
            "full_name": sees_all.then_some(&user.full_name),
            "date_joined": seconds(user.date_joined),
            "last_login": user.last_login.map(seconds),
            "is_active": user.is_active,
        })
    };
    Ok(wire::page("billing_users", users.iter().map(entry).collect(), next))
}

pub(super) fn show_invoices(sql: &dyn Sql, call: &Call, key: &str) -> Result<Reply, Halt> {
    const HEADER: [&str; 11] = [
        "id",
        "realm_uuid",
        "kind",
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
                let words = [row.invoice_id.to_string(), row.realm_uuid.clone(), row.invoice.kind.word().to_owned()];
                let mut cells: Vec<Cell> = words.into_iter().map(Cell::Ours).collect();
                cells.extend(columns(row).into_iter().map(Cell::number));
                cells.push(Cell::Ours(String::from("usd")));
                cells
            };
            Ok(table("invoices.csv", &HEADER, &rows.iter().map(line).collect::<Vec<_>>()))
        }
        None | Some("json") => {
            let next = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| Value::from(row.invoice_id));
            let entry = |row: &plans::InvoiceRow| {
                let realm = Some(row.realm_uuid.as_str()).filter(|uuid| !uuid.is_empty());
                let mut values = vec![row.invoice_id.into(), Value::from(realm), row.invoice.kind.word().into()];
                values.extend(columns(row).into_iter().map(Value::from));
                values.push(Value::from("usd"));
                Value::Object(HEADER.iter().map(|name| (*name).to_owned()).zip(values).collect())
            };
            Ok(wire::page("invoices", rows.iter().map(entry).collect(), next))
        }
        Some(_) => Err(OperationError::Query("format").into()),
    }
}
