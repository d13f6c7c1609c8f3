//! Plans of one server and its organizations: loaded, changed by a rule, written down.

use super::analytics::{known_realm, note};
use super::learn::Halt;
use super::permit::newest_of;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Entry, Event, Scope};
use crate::push::book::{Book, Terms};
use crate::push::headcount::{FRESH_MS, Newest, counted, of_server};
use crate::push::operate::OperationError;
use crate::push::plan::{Account, AccountPlan, Customer, LivePlan, PlanChange, PlanWish, decide_change};
use crate::push::plan_move::{Irreconcilable, MoveFacts, MovePlan, decide_move};
use crate::push::plan_note::{note_customer, note_plan, note_type};
use crate::push::realm_sync::REALMS_PER_SERVER_MAX;
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

/// Ends a live plan now, with what is owed as its last invoice.
///
/// Errors: as of [`change`].
pub(super) fn end(
    sql: &dyn Sql,
    now: Timestamp,
    key: &str,
    actor: &Actor,
    batch: &mut Vec<Statement>,
) -> Result<(), Halt> {
    let plan = PlanWish { status: Some(Status::Ended), ..PlanWish::default() };
    let end = PlanChange { plan: Some(plan), ..PlanChange::default() };
    match scope_of(sql, key)? {
        Some(scope) => change(sql, now, scope, &end, actor, batch),
        None => Ok(()),
    }
}

/// Takes from an account without a plan what an operator has let it use.
pub(super) fn reset(
    sql: &dyn Sql,
    now: Timestamp,
    key: &str,
    actor: &Actor,
    batch: &mut Vec<Statement>,
) -> Result<(), Fault> {
    let old = plan_type(sql, key)?;
    let Some(scope) = scope_of(sql, key)?.filter(|_| old != PlanType::SelfManaged) else { return Ok(()) };
    let mut entries = Vec::new();
    note_type(&mut entries, &scope, old, PlanType::SelfManaged);
    batch.extend(entries.iter().map(|entry| note(entry, actor, now)));
    batch.push(set_plan_type(&scope, PlanType::SelfManaged, now));
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
    if let Some(live) = &account.live {
        let invoice = |invoice| plans::add_invoice(key, live.plan_id, live.plan.tier, invoice, now);
        batch.extend(plan.invoices.iter().map(invoice));
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

/// The book of a live plan.
pub(super) fn open(sql: &dyn Sql, key: &str, live: &LivePlan) -> Result<Book, Fault> {
    let customer = plans::load_customer(sql, key)?.unwrap_or_default();
    Ok(Book::open(live, Terms::of(&customer, &live.plan)))
}

/// What is new in a plan's book, as statements. Whether anything is.
pub(super) fn close(
    sql: &dyn Sql,
    now: Timestamp,
    (key, live): (&str, &LivePlan),
    book: &Book,
    batch: &mut Vec<Statement>,
) -> Result<bool, Fault> {
    let is_new = book.plan != live.plan || !book.entries.is_empty();
    let Some(scope) = scope_of(sql, key)?.filter(|_| is_new) else { return Ok(false) };
    batch.push(plans::update_plan(live.plan_id, &book.plan));
    batch.extend(book.entries.iter().map(|entry| plans::add_entry(live.plan_id, entry)));
    for (tier, invoice) in book.sold_as(live.plan.tier) {
        batch.push(plans::add_invoice(key, live.plan_id, tier, invoice, now));
    }
    let mut entries = Vec::new();
    if book.months_spent > 0 {
        let before = plans::load_customer(sql, key)?.unwrap_or_default();
        let flat_discounted_months = before.flat_discounted_months.saturating_sub(book.months_spent);
        let after = Customer { flat_discounted_months, ..before.clone() };
        note_customer(&mut entries, &scope, &before, &after);
        batch.push(plans::spend_months(key, book.months_spent));
    }
    note_plan(&mut entries, &scope, &live.plan, &book.plan);
    let type_before = plan_type(sql, key)?;
    let type_after = match book.plan.status {
        Status::Ended => PlanType::SelfManaged,
        _ if book.plan.tier != live.plan.tier => book.plan.tier.plan_type(),
        _ => type_before,
    };
    note_type(&mut entries, &scope, type_before, type_after);
    if type_before != type_after {
        batch.push(set_plan_type(&scope, type_after, now));
    }
    batch.extend(entries.iter().map(|entry| note(entry, &Actor::Clock, now)));
    Ok(true)
}

/// Lets time pass for a plan whose time has come. Whether that changed anything.
pub(super) fn renew(
    sql: &dyn Sql,
    now: Timestamp,
    key: &str,
    live: &LivePlan,
    batch: &mut Vec<Statement>,
) -> Result<bool, Fault> {
    let mut book = open(sql, key, live)?;
    book.pass(now, uploads::load_uploads(sql)?.last_audit_update);
    close(sql, now, (key, live), &book, batch)
}

/// What the decision on a move rests on.
fn move_facts(sql: &dyn Sql, realm: &Uuid) -> Result<MoveFacts, Fault> {
    let server_customer = plans::load_customer(sql, "")?;
    let server_status = plans::load_live(sql, "")?.map(|live| live.plan.status);
    let mut for_people = Vec::new();
    // Most servers have no plan, and need not be asked for their organizations.
    if server_status.is_some() {
        for row in realms::load_page(sql, 0, REALMS_PER_SERVER_MAX as u64)? {
            let is_open = !row.registration_deactivated && !row.locally_deleted;
            let known = known_realm(row)?;
            if is_open && known.profile.is_for_people() {
                for_people.push(known.uuid);
            }
        }
    }
    Ok(MoveFacts {
        server_customer,
        server_status,
        for_people,
        realm: realm.clone(),
        realm_customer: plans::load_customer(sql, realm.as_str())?,
        realm_has_plan: plans::load_live(sql, realm.as_str())?.is_some(),
    })
}

/// A plan that was the server's and is an organization's now.
pub(super) struct Moved {
    pub(super) plan_type: PlanType,
    pub(super) customer: Customer,
    pub(super) live: LivePlan,
}

/// Gives the server's plan to the one organization that people use, when its owner comes.
///
/// Errors: [`Irreconcilable`] within.
pub(super) fn move_plan(
    sql: &dyn Sql,
    now: Timestamp,
    realm: &Uuid,
    batch: &mut Vec<Statement>,
) -> Result<Result<Option<Moved>, Irreconcilable>, Fault> {
    let facts = move_facts(sql, realm)?;
    let plan = match decide_move(&facts) {
        Ok(plan) => plan,
        Err(irreconcilable) => return Ok(Err(irreconcilable)),
    };
    let (Some(theirs), Some(mut live)) = (facts.server_customer, plans::load_live(sql, "")?) else {
        return Ok(Ok(None));
    };
    let number = realms::load(sql, realm.as_str())?.and_then(|row| row.number);
    let scope = Scope::Realm { uuid: realm.clone(), number };
    let mut entries = vec![Entry::plain(scope.clone(), Event::PlanMoved)];
    let customer = match plan {
        MovePlan::Nothing => return Ok(Ok(None)),
        MovePlan::Customer => {
            batch.push(plans::move_customer("", realm.as_str()));
            theirs
        }
        MovePlan::Plan => {
            let before = facts.realm_customer.unwrap_or_default();
            let own = Customer { payment_reference: theirs.payment_reference.clone(), ..before.clone() };
            let left = Customer { payment_reference: None, ..theirs.clone() };
            note_customer(&mut entries, &scope, &before, &own);
            note_customer(&mut entries, &Scope::Server, &theirs, &left);
            batch.push(plans::put_customer(realm.as_str(), &own));
            batch.push(plans::move_plan("", realm.as_str()));
            batch.push(plans::put_customer("", &left));
            own
        }
    };
    let plan_type = realms::load_server_plan_type(sql)?;
    note_type(&mut entries, &scope, self::plan_type(sql, realm.as_str())?, plan_type);
    note_type(&mut entries, &Scope::Server, plan_type, PlanType::SelfManaged);
    batch.push(realms::set_plan_type(realm, plan_type, now));
    batch.push(realms::set_server_plan_type(PlanType::SelfManaged, now));
    batch.extend(entries.iter().map(|entry| note(entry, &Actor::Server, now)));
    refresh(sql, now, &customer, number, &mut live, batch)?;
    Ok(Ok(Some(Moved { plan_type, customer, live })))
}

/// A plan that was counted by a whole server is counted by its organization from now on, as far as anything is known of that.
fn refresh(
    sql: &dyn Sql,
    now: Timestamp,
    customer: &Customer,
    number: Option<i64>,
    live: &mut LivePlan,
    batch: &mut Vec<Statement>,
) -> Result<(), Fault> {
    let newest = number.map(|number| uploads::load_headcount(sql, number)).transpose()?;
    let newest = newest.filter(|newest| live.plan.tier.is_paid() && *newest != Newest::default());
    let Some(newest) = newest else { return Ok(()) };
    let mut book = Book::open(live, Terms::of(customer, &live.plan));
    book.count(now, newest.at(now).billed());
    if !book.entries.is_empty() {
        batch.push(plans::update_plan(live.plan_id, &book.plan));
        batch.extend(book.entries.iter().map(|entry| plans::add_entry(live.plan_id, entry)));
        (live.plan, live.last) = (book.plan, book.last);
    }
    Ok(())
}
