//! Customers, plans, ledgers and invoices. The key of an account is its organization's uuid, or empty for the server.

use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::push::audit::Scope;
use crate::push::ledger::{Invoice, InvoiceKind, LedgerEntry, Owed};
use crate::push::plan::{Customer, LivePlan, Plan, Price};
use crate::push::tier::{Invoicing, Schedule, Status, Tier};

const CUSTOMER: &str = "SELECT payment_reference, sponsorship_pending, monthly_discounted_price, \
    annual_discounted_price, minimum_licenses, required_plan_tier, exempt_from_license_number_check, flat_discount, \
    flat_discounted_months FROM customer WHERE realm_uuid = ?1";
const PUT_CUSTOMER: &str = "INSERT INTO customer (realm_uuid, payment_reference, sponsorship_pending, \
    monthly_discounted_price, annual_discounted_price, minimum_licenses, required_plan_tier, \
    exempt_from_license_number_check, flat_discount, flat_discounted_months) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (realm_uuid) DO UPDATE SET payment_reference = ?2, \
    sponsorship_pending = ?3, monthly_discounted_price = ?4, annual_discounted_price = ?5, minimum_licenses = ?6, \
    required_plan_tier = ?7, exempt_from_license_number_check = ?8, flat_discount = ?9, flat_discounted_months = ?10";
const MOVE_CUSTOMER: &str = "UPDATE customer SET realm_uuid = ?2 WHERE realm_uuid = ?1";
const MOVE_PLAN: &str = "UPDATE plan SET customer_id = (SELECT customer_id FROM customer WHERE realm_uuid = ?2) \
    WHERE status < 10 AND customer_id = (SELECT customer_id FROM customer WHERE realm_uuid = ?1)";
const SPEND_MONTHS: &str = "UPDATE customer SET flat_discounted_months = max(flat_discounted_months - ?2, 0) \
    WHERE realm_uuid = ?1";

const LIVE: &str = "SELECT p.plan_id, p.tier, p.status, p.automanage_licenses, p.charge_automatically, \
    p.price_per_license, p.fixed_price, p.discount, p.billing_cycle_anchor, p.billing_schedule, p.next_invoice_date, \
    p.end_date, p.invoicing_status, c.realm_uuid, p.sold, p.owed_licenses, p.owed_amount, p.owed_since \
    FROM plan p JOIN customer c ON c.customer_id = p.customer_id \
    WHERE c.realm_uuid = ?1 AND p.status < 10";
const ALL_LIVE: &str = "SELECT p.plan_id, p.tier, p.status, p.automanage_licenses, p.charge_automatically, \
    p.price_per_license, p.fixed_price, p.discount, p.billing_cycle_anchor, p.billing_schedule, p.next_invoice_date, \
    p.end_date, p.invoicing_status, c.realm_uuid, p.sold, p.owed_licenses, p.owed_amount, p.owed_since \
    FROM plan p JOIN customer c ON c.customer_id = p.customer_id \
    WHERE p.status < 10 ORDER BY p.plan_id";
const DUE: &str = "SELECT p.plan_id, p.tier, p.status, p.automanage_licenses, p.charge_automatically, \
    p.price_per_license, p.fixed_price, p.discount, p.billing_cycle_anchor, p.billing_schedule, p.next_invoice_date, \
    p.end_date, p.invoicing_status, c.realm_uuid, p.sold, p.owed_licenses, p.owed_amount, p.owed_since \
    FROM plan p JOIN customer c ON c.customer_id = p.customer_id \
    WHERE p.status < 10 AND (p.end_date <= ?1 OR p.next_invoice_date <= ?1 AND (p.tier < 103 OR p.status IN (2, 7) \
    OR p.invoicing_status = 3 OR p.automanage_licenses = 0 OR p.price_per_license IS NULL \
    OR p.next_invoice_date <= (SELECT last_audit_update FROM server WHERE id = 1))) \
    ORDER BY p.plan_id LIMIT ?2";
// Other runs wait for an upload that is newer than their date: see `push::book`. So only the earliest can matter.
const NEXT_DUE: &str = "SELECT min(due) FROM (SELECT min(next_invoice_date) AS due FROM plan WHERE status < 10 AND \
    next_invoice_date IS NOT NULL AND (tier < 103 OR status IN (2, 7) OR invoicing_status = 3 \
    OR automanage_licenses = 0 OR price_per_license IS NULL) UNION ALL \
    SELECT due FROM (SELECT min(next_invoice_date) AS due FROM plan WHERE status < 10 AND next_invoice_date IS NOT NULL) \
    WHERE due <= (SELECT last_audit_update FROM server WHERE id = 1) UNION ALL \
    SELECT min(end_date) FROM plan WHERE status < 10 AND end_date IS NOT NULL)";
const ADD_PLAN: &str = "INSERT INTO plan (customer_id, tier, status, automanage_licenses, charge_automatically, \
    price_per_license, fixed_price, discount, billing_cycle_anchor, billing_schedule, next_invoice_date, end_date, \
    invoicing_status, sold, owed_licenses, owed_amount, owed_since) SELECT customer_id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
    ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17 FROM customer WHERE realm_uuid = ?1";
const UPDATE_PLAN: &str = "UPDATE plan SET tier = ?2, status = ?3, automanage_licenses = ?4, charge_automatically = ?5, \
    price_per_license = ?6, fixed_price = ?7, discount = ?8, billing_cycle_anchor = ?9, billing_schedule = ?10, \
    next_invoice_date = ?11, end_date = ?12, invoicing_status = ?13, sold = ?14, owed_licenses = ?15, owed_amount = ?16, \
    owed_since = ?17 WHERE plan_id = ?1";

const LAST_ENTRY: &str = "SELECT is_renewal, event_time, licenses, licenses_at_next_renewal FROM license_ledger \
    WHERE plan_id = ?1 ORDER BY ledger_id DESC LIMIT 1";
const LAST_RENEWAL: &str = "SELECT max(event_time) FROM license_ledger WHERE plan_id = ?1 AND is_renewal = 1";
const ADD_ENTRY: &str = "INSERT INTO license_ledger (plan_id, is_renewal, event_time, licenses, \
    licenses_at_next_renewal) VALUES (?1, ?2, ?3, ?4, ?5)";
const ADD_FIRST_ENTRY: &str = "INSERT INTO license_ledger (plan_id, is_renewal, event_time, licenses, \
    licenses_at_next_renewal) SELECT p.plan_id, ?2, ?3, ?4, ?5 FROM plan p JOIN customer c \
    ON c.customer_id = p.customer_id WHERE c.realm_uuid = ?1 AND p.status < 10";

const ADD_INVOICE: &str = "INSERT INTO invoice (realm_uuid, plan_id, tier, created_at, period_start, period_end, \
    licenses, amount, discount, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const INVOICES: &str = "SELECT invoice_id, realm_uuid, tier, created_at, period_start, period_end, licenses, amount, \
    discount, kind FROM invoice WHERE realm_uuid = ?1 AND invoice_id > ?2 ORDER BY invoice_id LIMIT ?3";

const NEWEST_INVOICES: &str = "SELECT invoice_id, realm_uuid, tier, created_at, period_start, period_end, licenses, \
    amount, discount, kind FROM invoice WHERE realm_uuid = ?1 ORDER BY invoice_id DESC LIMIT ?2";

/// An invoice as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::push) struct InvoiceRow {
    /// Its number on this server.
    pub(in crate::push) invoice_id: i64,
    /// Whose.
    pub(in crate::push) realm_uuid: String,
    /// What was sold.
    pub(in crate::push) tier: u64,
    /// When.
    pub(in crate::push) created_at: Timestamp,
    /// What for.
    pub(in crate::push) invoice: Invoice,
}

/// The key of an account.
#[must_use]
pub(in crate::push) fn key(scope: &Scope) -> &str {
    match scope {
        Scope::Server => "",
        Scope::Realm { uuid, .. } => uuid.as_str(),
    }
}

/// An account's customer.
pub(in crate::push) fn load_customer(sql: &dyn Sql, key: &str) -> Result<Option<Customer>, Fault> {
    let parse = |row: &Row| {
        Ok(Customer {
            payment_reference: row.text_or_null(0)?.map(str::to_owned),
            sponsorship_pending: row.unsigned(1)? == 1,
            monthly_discounted_price: row.unsigned(2)?,
            annual_discounted_price: row.unsigned(3)?,
            minimum_licenses: row.unsigned_or_null(4)?,
            required_plan_tier: row.unsigned_or_null(5)?.and_then(Tier::parse),
            exempt_from_license_number_check: row.unsigned(6)? == 1,
            flat_discount: row.unsigned(7)?,
            flat_discounted_months: row.unsigned(8)?,
        })
    };
    sql.read(Statement::new(CUSTOMER, vec![key.into()]))?.first().map(parse).transpose()
}

/// Keeps an account's customer.
pub(in crate::push) fn put_customer(key: &str, customer: &Customer) -> Statement {
    let params = vec![
        key.into(),
        customer.payment_reference.as_deref().into(),
        u32::from(customer.sponsorship_pending).into(),
        customer.monthly_discounted_price.into(),
        customer.annual_discounted_price.into(),
        customer.minimum_licenses.into(),
        customer.required_plan_tier.map(Tier::number).into(),
        u32::from(customer.exempt_from_license_number_check).into(),
        customer.flat_discount.into(),
        customer.flat_discounted_months.into(),
    ];
    Statement::new(PUT_CUSTOMER, params)
}

/// Gives an account's customer, with all its plans, to another account that has none.
pub(in crate::push) fn move_customer(from: &str, to: &str) -> Statement {
    Statement::new(MOVE_CUSTOMER, vec![from.into(), to.into()])
}

/// Gives an account's live plan to another account's customer that has none.
pub(in crate::push) fn move_plan(from: &str, to: &str) -> Statement {
    Statement::new(MOVE_PLAN, vec![from.into(), to.into()])
}

/// Counts months of a customer's flat discount as used up.
pub(in crate::push) fn spend_months(key: &str, months: u64) -> Statement {
    Statement::new(SPEND_MONTHS, vec![key.into(), months.into()])
}

/// An account's live plan.
pub(in crate::push) fn load_live(sql: &dyn Sql, key: &str) -> Result<Option<LivePlan>, Fault> {
    let rows = sql.read(Statement::new(LIVE, vec![key.into()]))?;
    rows.first().map(|row| live(sql, row).map(|(_, live)| live)).transpose()
}

/// All live plans with their accounts' keys.
pub(in crate::push) fn load_all_live(sql: &dyn Sql) -> Result<Vec<(String, LivePlan)>, Fault> {
    sql.read(Statement::plain(ALL_LIVE))?.iter().map(|row| live(sql, row)).collect()
}

/// Live plans whose time has come, with their accounts' keys.
pub(in crate::push) fn load_due(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<Vec<(String, LivePlan)>, Fault> {
    sql.read(Statement::new(DUE, vec![now.into(), limit.into()]))?.iter().map(|row| live(sql, row)).collect()
}

/// When the next plan's time comes.
pub(in crate::push) fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, Fault> {
    super::earliest(&sql.read(Statement::plain(NEXT_DUE))?)
}

fn live(sql: &dyn Sql, row: &Row) -> Result<(String, LivePlan), Fault> {
    let plan_id = row.integer(0)?;
    let plan = parse(row)?;
    let entries = sql.read(Statement::new(LAST_ENTRY, vec![plan_id.into()]))?;
    let entry = |row: &Row| {
        Ok::<_, Fault>(LedgerEntry {
            is_renewal: row.unsigned(0)? == 1,
            event_time: row.time(1)?,
            licenses: row.unsigned(2)?,
            licenses_at_next_renewal: row.unsigned(3)?,
        })
    };
    let last = entries.first().map(entry).transpose()?.unwrap_or(LedgerEntry {
        is_renewal: true,
        event_time: plan.billing_cycle_anchor,
        licenses: 0,
        licenses_at_next_renewal: 0,
    });
    let renewal = super::earliest(&sql.read(Statement::new(LAST_RENEWAL, vec![plan_id.into()]))?)?;
    let last_renewal = renewal.unwrap_or(plan.billing_cycle_anchor);
    Ok((row.text(13)?.to_owned(), LivePlan { plan_id, plan, last, last_renewal }))
}

fn parse(row: &Row) -> Result<Plan, Fault> {
    let corrupt = |what: &str| Fault::Corrupt(format!("a plan's {what}"));
    let time = |index| row.unsigned_or_null(index).map(|ms| ms.map(Timestamp::from_millis));
    let price = match (row.unsigned_or_null(5)?, row.unsigned_or_null(6)?) {
        (Some(cents), _) => Price::PerLicense(cents),
        (None, Some(cents)) => Price::Fixed(cents),
        (None, None) => Price::Free,
    };
    Ok(Plan {
        tier: Tier::parse(row.unsigned(1)?).ok_or_else(|| corrupt("tier"))?,
        status: Status::parse(row.unsigned(2)?).ok_or_else(|| corrupt("status"))?,
        automanage_licenses: row.unsigned(3)? == 1,
        charge_automatically: row.unsigned(4)? == 1,
        price,
        discount: row.text_or_null(7)?.map(str::to_owned),
        billing_cycle_anchor: row.time(8)?,
        billing_schedule: Schedule::parse(row.unsigned(9)?).ok_or_else(|| corrupt("schedule"))?,
        next_invoice_date: time(10)?,
        end_date: time(11)?,
        invoicing_status: Invoicing::parse(row.unsigned(12)?).ok_or_else(|| corrupt("invoicing"))?,
        sold: row.unsigned(14)?,
        owed: Owed { licenses: row.unsigned(15)?, amount: row.unsigned(16)?, since: time(17)? },
    })
}

fn columns(first: Value, plan: &Plan) -> Vec<Value> {
    let (per_license, fixed) = match plan.price {
        Price::PerLicense(cents) => (Some(cents), None),
        Price::Fixed(cents) => (None, Some(cents)),
        Price::Free => (None, None),
    };
    vec![
        first,
        plan.tier.number().into(),
        plan.status.number().into(),
        u32::from(plan.automanage_licenses).into(),
        u32::from(plan.charge_automatically).into(),
        per_license.into(),
        fixed.into(),
        plan.discount.as_deref().into(),
        plan.billing_cycle_anchor.into(),
        plan.billing_schedule.number().into(),
        plan.next_invoice_date.into(),
        plan.end_date.into(),
        plan.invoicing_status.number().into(),
        plan.sold.into(),
        plan.owed.licenses.into(),
        plan.owed.amount.into(),
        plan.owed.since.into(),
    ]
}

/// Adds a live plan to an account that has a customer and no live plan.
pub(in crate::push) fn add_plan(key: &str, plan: &Plan) -> Statement {
    Statement::new(ADD_PLAN, columns(key.into(), plan))
}

/// Changes a plan.
pub(in crate::push) fn update_plan(plan_id: i64, plan: &Plan) -> Statement {
    Statement::new(UPDATE_PLAN, columns(plan_id.into(), plan))
}

fn entry_params(first: Value, entry: &LedgerEntry) -> Vec<Value> {
    vec![
        first,
        u32::from(entry.is_renewal).into(),
        entry.event_time.into(),
        entry.licenses.into(),
        entry.licenses_at_next_renewal.into(),
    ]
}

/// Adds to a plan's ledger.
pub(in crate::push) fn add_entry(plan_id: i64, entry: &LedgerEntry) -> Statement {
    Statement::new(ADD_ENTRY, entry_params(plan_id.into(), entry))
}

/// Adds to the ledger of an account's live plan that has just been added.
pub(in crate::push) fn add_first_entry(key: &str, entry: &LedgerEntry) -> Statement {
    Statement::new(ADD_FIRST_ENTRY, entry_params(key.into(), entry))
}

/// Keeps an invoice.
pub(in crate::push) fn add_invoice(
    key: &str,
    plan_id: i64,
    tier: Tier,
    invoice: &Invoice,
    now: Timestamp,
) -> Statement {
    let params = vec![
        key.into(),
        plan_id.into(),
        tier.number().into(),
        now.into(),
        invoice.period_start.into(),
        invoice.period_end.into(),
        invoice.licenses.into(),
        invoice.amount.into(),
        invoice.discount.into(),
        invoice.kind.word().into(),
    ];
    Statement::new(ADD_INVOICE, params)
}

/// An account's invoices after one, oldest first.
pub(in crate::push) fn load_invoices(
    sql: &dyn Sql,
    key: &str,
    after: i64,
    limit: u64,
) -> Result<Vec<InvoiceRow>, Fault> {
    sql.read(Statement::new(INVOICES, vec![key.into(), after.into(), limit.into()]))?.iter().map(invoice).collect()
}

/// An account's newest invoices, newest first.
pub(in crate::push) fn load_newest_invoices(sql: &dyn Sql, key: &str, limit: u64) -> Result<Vec<InvoiceRow>, Fault> {
    sql.read(Statement::new(NEWEST_INVOICES, vec![key.into(), limit.into()]))?.iter().map(invoice).collect()
}

fn invoice(row: &Row) -> Result<InvoiceRow, Fault> {
    let kind = InvoiceKind::parse(row.text(9)?).ok_or_else(|| Fault::Corrupt(String::from("an invoice's kind")))?;
    Ok(InvoiceRow {
        invoice_id: row.integer(0)?,
        realm_uuid: row.text(1)?.to_owned(),
        tier: row.unsigned(2)?,
        created_at: row.time(3)?,
        invoice: Invoice {
            kind,
            period_start: row.time(4)?,
            period_end: row.time(5)?,
            licenses: row.unsigned(6)?,
            amount: row.unsigned(7)?,
            discount: row.unsigned(8)?,
        },
    })
}
