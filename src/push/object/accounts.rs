//! Plans of one server and its organizations: loaded, changed by a rule, written down.

use super::analytics::{known_realm, note};
use super::learn::Halt;
use super::permit::newest_of;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Entry, Event, Scope};
use crate::push::headcount::{FRESH_MS, counted, of_server};
use crate::push::ledger::{RenewalPlan, decide_renewal};
use crate::push::operate::OperationError;
use crate::push::plan::{Account, AccountPlan, LivePlan, PlanChange, decide_change};
use crate::push::plan_move::{MoveFacts, MovePlan, decide_move};
use crate::push::refusal::Refusal;
use crate::push::store::{plans, realms, uploads};
use crate::push::tier::{PlanType, Status};
use crate::push::uuid::Uuid;

/// What an account may use.
pub(super) fn plan_type(sql: &dyn Sql, key: &str) -> Result<PlanType, Fault> {
    if key.is_empty() {
        return realms::load_server_plan_type(sql);
    }
    Ok(realms::load(sql, key)?.map_or(PlanType::SelfManaged, |row| row.plan_type))
}

/// An account as the rules know it.
pub(super) fn load(sql: &dyn Sql, now: Timestamp, scope: Scope) -> Result<Account, Fault> {
    let uploaded = uploads::load_uploads(sql)?;
    let people = match &scope {
        Scope::Server => of_server(&uploads::load_headcounts(sql)?, now),
        Scope::Realm { uuid, .. } => {
            let row = realms::load(sql, uuid.as_str())?;
            row.map(|row| newest_of(sql, &row)).transpose()?.unwrap_or_default().at(now)
        }
    };
    let key = plans::key(&scope).to_owned();
    Ok(Account {
        scope,
        plan_type: plan_type(sql, &key)?,
        customer: plans::load_customer(sql, &key)?,
        live: plans::load_live(sql, &key)?,
        people: counted(people, uploaded.last_audit_update, now, FRESH_MS),
    })
}

/// Changes an account as an operator or the payment system wishes.
///
/// Errors: [`OperationError::Plan`].
pub(super) fn change(
    sql: &dyn Sql,
    now: Timestamp,
    scope: Scope,
    change: &PlanChange,
    actor: &Actor,
    batch: &mut Vec<Statement>,
) -> Result<(), Halt> {
    let account = load(sql, now, scope)?;
    let plan = decide_change(now, &account, change).map_err(OperationError::from)?;
    write(&account, &plan, actor, now, batch);
    Ok(())
}

/// What was decided, as statements.
pub(super) fn write(account: &Account, plan: &AccountPlan, actor: &Actor, now: Timestamp, batch: &mut Vec<Statement>) {
    let key = plans::key(&account.scope);
    if let Some(customer) = &plan.customer {
        batch.push(plans::put_customer(key, customer));
    }
    match (&account.live, &plan.plan) {
        (Some(live), Some(changed)) => batch.push(plans::update_plan(live.plan_id, changed)),
        (None, Some(fresh)) => batch.push(plans::add_plan(key, fresh)),
        (_, None) => {}
    }
    match (&account.live, &plan.ledger) {
        (Some(live), Some(entry)) => batch.push(plans::add_entry(live.plan_id, entry)),
        (None, Some(entry)) => batch.push(plans::add_first_entry(key, entry)),
        (_, None) => {}
    }
    if let Some(plan_type) = plan.plan_type {
        batch.push(set_plan_type(&account.scope, plan_type, now));
    }
    batch.extend(plan.entries.iter().map(|entry| note(entry, actor, now)));
}

fn set_plan_type(scope: &Scope, plan_type: PlanType, now: Timestamp) -> Statement {
    match scope {
        Scope::Server => realms::set_server_plan_type(plan_type, now),
        Scope::Realm { uuid, .. } => realms::set_plan_type(uuid, plan_type, now),
    }
}

/// The scope of an account's key.
pub(super) fn scope_of(sql: &dyn Sql, key: &str) -> Result<Option<Scope>, Fault> {
    if key.is_empty() {
        return Ok(Some(Scope::Server));
    }
    let Some(uuid) = Uuid::parse(key) else { return Ok(None) };
    Ok(Some(Scope::Realm { number: realms::load(sql, key)?.and_then(|row| row.number), uuid }))
}

/// Renews or ends a plan whose time has come.
pub(super) fn renew(
    sql: &dyn Sql,
    now: Timestamp,
    key: &str,
    live: &LivePlan,
    batch: &mut Vec<Statement>,
) -> Result<bool, Fault> {
    let customer = plans::load_customer(sql, key)?.unwrap_or_default();
    let decided = decide_renewal(now, live, customer.flat_discount, customer.flat_discounted_months);
    let Some(RenewalPlan { plan, ledger, invoice, discounted_months }) = decided else { return Ok(false) };
    let Some(scope) = scope_of(sql, key)? else { return Ok(false) };
    batch.push(plans::update_plan(live.plan_id, &plan));
    batch.extend(ledger.iter().map(|entry| plans::add_entry(live.plan_id, entry)));
    batch.extend(invoice.iter().map(|invoice| plans::add_invoice(key, live.plan_id, plan.tier, invoice, now)));
    if discounted_months > 0 {
        batch.push(plans::spend_months(key, discounted_months));
    }
    if live.plan.status != plan.status {
        let (old, new) = (live.plan.status.number(), plan.status.number());
        batch.push(note(&Entry::changed(scope.clone(), Event::PlanChanged, old, new), &Actor::Clock, now));
    }
    if plan.status == Status::Ended {
        let old = plan_type(sql, key)?;
        if old != PlanType::SelfManaged {
            let entry =
                Entry::changed(scope.clone(), Event::PlanTypeChanged, old.number(), PlanType::SelfManaged.number());
            batch.push(note(&entry, &Actor::Clock, now));
            batch.push(set_plan_type(&scope, PlanType::SelfManaged, now));
        }
    }
    Ok(true)
}

/// Gives the server's plan to the one organization that people use, when its owner signs in.
///
/// Errors: [`Refusal::Reconcile`].
pub(super) fn move_plan(sql: &dyn Sql, now: Timestamp, realm: &Uuid, batch: &mut Vec<Statement>) -> Result<(), Halt> {
    let (Some(customer), Some(live)) = (plans::load_customer(sql, "")?, plans::load_live(sql, "")?) else {
        return Ok(());
    };
    let mut for_people = Vec::new();
    for row in realms::load_page(sql, 0, crate::push::realm_sync::REALMS_PER_SERVER_MAX as u64)? {
        let is_open = !row.registration_deactivated && !row.locally_deleted;
        let known = known_realm(row)?;
        if is_open && known.profile.is_for_people() {
            for_people.push(known.uuid);
        }
    }
    let facts = MoveFacts {
        sponsorship_pending: customer.sponsorship_pending,
        server_status: live.plan.status,
        realms_for_people: for_people.len(),
        realm_customer: plans::load_customer(sql, realm.as_str())?,
        realm_has_plan: plans::load_live(sql, realm.as_str())?.is_some(),
    };
    if for_people.first() != Some(realm) {
        return Ok(());
    }
    let from = "";
    match decide_move(&facts).map_err(|_| Refusal::Reconcile)? {
        MovePlan::Nothing => return Ok(()),
        MovePlan::Customer => batch.push(plans::move_customer(from, realm.as_str())),
        MovePlan::Plan => {
            let mut theirs = facts.realm_customer.unwrap_or_default();
            theirs.payment_reference.clone_from(&customer.payment_reference);
            batch.push(plans::put_customer(realm.as_str(), &theirs));
            batch.push(plans::move_plan(from, realm.as_str()));
            batch.push(plans::put_customer(from, &crate::push::plan::Customer { payment_reference: None, ..customer }));
        }
    }
    let plan_type = realms::load_server_plan_type(sql)?;
    batch.push(realms::set_plan_type(realm, plan_type, now));
    batch.push(realms::set_server_plan_type(PlanType::SelfManaged, now));
    let number = realms::load(sql, realm.as_str())?.and_then(|row| row.number);
    let scope = Scope::Realm { uuid: realm.clone(), number };
    batch.push(note(&Entry::plain(scope, Event::PlanMoved), &Actor::Server, now));
    Ok(())
}
