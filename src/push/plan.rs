//! Customers and their plans: what operators, owners and the payment system may change of them.
//!
//! Source: section 2.8 of the dialect. Every change is noted with its old and its new value.

use super::audit::{Change, Entry, Event, Note, Scope};
use super::book::entry_time;
use super::headcount::Counted;
use super::ledger::{Invoice, LedgerEntry, Owed, bill_owed, put_down};
use super::tier::{Invoicing, PlanType, Schedule, Status, Tier};
use crate::kernel::time::Timestamp;

/// Who has or could have a plan, beyond the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct Customer {
    /// Its name at the payment system.
    pub payment_reference: Option<String>,
    pub sponsorship_pending: bool,
    /// Units: cents.
    pub monthly_discounted_price: u64,
    /// Units: cents.
    pub annual_discounted_price: u64,
    pub minimum_licenses: Option<u64>,
    pub required_plan_tier: Option<Tier>,
    pub exempt_from_license_number_check: bool,
    /// Units: cents a month.
    pub flat_discount: u64,
    pub flat_discounted_months: u64,
}

impl Default for Customer {
    fn default() -> Self {
        Self {
            payment_reference: None,
            sponsorship_pending: false,
            monthly_discounted_price: 0,
            annual_discounted_price: 0,
            minimum_licenses: None,
            required_plan_tier: None,
            exempt_from_license_number_check: false,
            flat_discount: 2_000,
            flat_discounted_months: 12,
        }
    }
}

impl Customer {
    /// Names and values, for what is noted.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, Note)> {
        vec![
            ("payment_reference", Note::from(self.payment_reference.as_deref())),
            ("sponsorship_pending", Note::from(self.sponsorship_pending)),
            ("monthly_discounted_price", Note::from(self.monthly_discounted_price)),
            ("annual_discounted_price", Note::from(self.annual_discounted_price)),
            ("minimum_licenses", Note::from(self.minimum_licenses)),
            ("required_plan_tier", Note::from(self.required_plan_tier.map(Tier::number))),
            ("exempt_from_license_number_check", Note::from(self.exempt_from_license_number_check)),
            ("flat_discount", Note::from(self.flat_discount)),
            ("flat_discounted_months", Note::from(self.flat_discounted_months)),
        ]
    }

    /// The fewest licenses of a tier that this customer may have.
    #[must_use]
    pub fn licenses_min(&self, tier: Tier) -> u64 {
        if self.exempt_from_license_number_check {
            return 1;
        }
        self.minimum_licenses.unwrap_or_else(|| tier.licenses_min(self.flat_discount))
    }
}

/// What a plan costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// For each license and period. Units: cents.
    PerLicense(u64),
    /// For all and each period. Units: cents.
    Fixed(u64),
    /// Nothing.
    Free,
}

impl Price {
    const fn per_license(self) -> Option<u64> {
        match self {
            Self::PerLicense(cents) => Some(cents),
            Self::Fixed(_) | Self::Free => None,
        }
    }

    const fn fixed(self) -> Option<u64> {
        match self {
            Self::Fixed(cents) => Some(cents),
            Self::PerLicense(_) | Self::Free => None,
        }
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct Plan {
    pub tier: Tier,
    pub status: Status,
    pub automanage_licenses: bool,
    pub charge_automatically: bool,
    pub price: Price,
    pub discount: Option<String>,
    pub billing_cycle_anchor: Timestamp,
    pub billing_schedule: Schedule,
    pub next_invoice_date: Option<Timestamp>,
    pub end_date: Option<Timestamp>,
    pub invoicing_status: Invoicing,
    /// The most licenses that the current period has had.
    pub sold: u64,
    /// What is not invoiced yet.
    pub owed: Owed,
}

impl Plan {
    /// Names and values, for what is noted.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, Note)> {
        vec![
            ("tier", Note::from(self.tier.number())),
            ("status", Note::from(self.status.number())),
            ("automanage_licenses", Note::from(self.automanage_licenses)),
            ("charge_automatically", Note::from(self.charge_automatically)),
            ("price_per_license", Note::from(self.price.per_license())),
            ("fixed_price", Note::from(self.price.fixed())),
            ("discount", Note::from(self.discount.as_deref())),
            ("billing_cycle_anchor", Note::from(self.billing_cycle_anchor)),
            ("billing_schedule", Note::from(self.billing_schedule.number())),
            ("next_invoice_date", Note::from(self.next_invoice_date)),
            ("end_date", Note::from(self.end_date)),
        ]
    }
}

/// A live plan with its newest license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePlan {
    /// Its row.
    pub plan_id: i64,
    /// The plan.
    pub plan: Plan,
    /// The newest entry of its ledger.
    pub last: LedgerEntry,
    /// When the newest renewal was.
    pub last_renewal: Timestamp,
}

/// A server or an organization, as far as plans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub scope: Scope,
    /// What it may use.
    pub plan_type: PlanType,
    /// Its customer.
    pub customer: Option<Customer>,
    /// Its live plan.
    pub live: Option<LivePlan>,
    /// Its people.
    pub people: Counted,
}

/// A member that a wish may set, also to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Set<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Set it.
    To(Option<T>),
}

impl<T: Clone> Set<T> {
    fn apply(&self, known: Option<T>) -> Option<T> {
        match self {
            Self::Keep => known,
            Self::To(value) => value.clone(),
        }
    }
}

/// What is wished of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct CustomerWish {
    pub payment_reference: Set<String>,
    pub sponsorship_pending: Option<bool>,
    pub monthly_discounted_price: Option<u64>,
    pub annual_discounted_price: Option<u64>,
    pub minimum_licenses: Set<u64>,
    pub required_plan_tier: Set<Tier>,
    pub exempt_from_license_number_check: Option<bool>,
    pub flat_discount: Option<u64>,
    pub flat_discounted_months: Option<u64>,
}

/// What is wished of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct PlanWish {
    pub tier: Option<Tier>,
    pub status: Option<Status>,
    pub automanage_licenses: Option<bool>,
    pub charge_automatically: Option<bool>,
    pub price_per_license: Set<u64>,
    pub fixed_price: Set<u64>,
    pub discount: Set<String>,
    pub billing_cycle_anchor: Option<Timestamp>,
    pub billing_schedule: Option<Schedule>,
    pub next_invoice_date: Set<Timestamp>,
    pub end_date: Set<Timestamp>,
    pub licenses: Option<u64>,
    pub licenses_at_next_renewal: Option<u64>,
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanChange {
    /// What the account may use from now on; else it follows the plan.
    pub plan_type: Option<PlanType>,
    /// Of the customer.
    pub customer: Option<CustomerWish>,
    /// Of the plan. Without a live one, a new one is made.
    pub plan: Option<PlanWish>,
}

/// Why a wish is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanError {
    /// Nothing is wished.
    Nothing,
    /// A new plan needs a tier.
    NoTier,
    /// There is no live plan.
    NoPlan,
    /// A new plan is live.
    NotLive,
    /// It costs by license or a fixed price.
    TwoPrices,
    /// A tier that somebody pays for needs a price.
    NoPrice,
    /// Fewer licenses than are sold, or than there are people.
    TooFewLicenses {
        /// The fewest.
        least: u64,
    },
    /// The plan does not go there from where it stands.
    StatusNotAllowed,
    /// Licenses follow the people by themselves.
    AutomaticLicenses,
    /// Licenses of the current period are paid for.
    FewerLicenses,
    /// An owner changes one thing at a time.
    OneThing,
    /// The number of people is not known.
    MissingCounts,
}

impl PlanError {
    /// What the caller reads.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Nothing => String::from("Nothing to change"),
            Self::NoTier => String::from("A new plan needs a tier"),
            Self::NoPlan => String::from("There is no live plan"),
            Self::NotLive => String::from("A new plan must be live"),
            Self::TwoPrices => String::from("A plan has a price per license or a fixed price, not both"),
            Self::NoPrice => String::from("A plan of this tier needs a price"),
            Self::TooFewLicenses { least } => format!("At least {least} licenses are needed"),
            Self::StatusNotAllowed => String::from("The plan's status does not allow this change"),
            Self::AutomaticLicenses => String::from("Licenses are managed automatically"),
            Self::FewerLicenses => String::from("Licenses of the current period cannot be given back"),
            Self::OneThing => String::from("Exactly one change at a time"),
            Self::MissingCounts => String::from("The number of users is not known; the server must upload it first"),
        }
    }
}

/// What will be true of an account. What is nothing stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountPlan {
    /// What it may use.
    pub plan_type: Option<PlanType>,
    /// Its customer.
    pub customer: Option<Customer>,
    /// Its plan.
    pub plan: Option<Plan>,
    /// One more entry of the plan's ledger.
    pub ledger: Option<LedgerEntry>,
    /// What a plan that ends at once leaves to be paid.
    pub invoice: Option<Invoice>,
    /// What is noted.
    pub entries: Vec<Entry>,
}

/// Decides on a wish of an operator or of the payment system.
///
/// Errors: [`PlanError`].
pub fn decide_change(now: Timestamp, account: &Account, change: &PlanChange) -> Result<AccountPlan, PlanError> {
    let mut out = AccountPlan::default();
    let mut customer = account.customer.clone().unwrap_or_default();
    if let Some(wish) = &change.customer {
        apply_customer(&mut customer, wish);
    }
    let plan = change.plan.as_ref().map(|wish| apply_plan(now, account, &customer, wish)).transpose()?;
    let is_sponsored = plan.as_ref().is_some_and(|(plan, _)| plan.tier == Tier::Community && plan.status.is_live());
    let was_sponsored = account.live.as_ref().is_some_and(|live| live.plan.tier == Tier::Community);
    if is_sponsored && !was_sponsored {
        customer.sponsorship_pending = false;
        out.entries.push(Entry::plain(account.scope.clone(), Event::SponsorshipApproved));
    }
    if account.customer.is_none() && (change.customer.is_some() || plan.is_some()) {
        out.entries.push(Entry::plain(account.scope.clone(), Event::CustomerCreated));
        out.customer = Some(customer.clone());
    }
    let before = account.customer.clone().unwrap_or_default();
    note_customer(&mut out.entries, &account.scope, &before, &customer);
    if before != customer {
        out.customer = Some(customer);
    }
    if let Some((plan, ledger)) = plan {
        note_plan(&mut out.entries, account, &plan, ledger.as_ref());
        let (plan, invoice) = put_through(account, plan, ledger.as_ref());
        out.invoice = invoice;
        let is_changed = account.live.as_ref().is_none_or(|live| live.plan != plan);
        out.ledger = ledger;
        out.plan = is_changed.then_some(plan);
    }
    let followed = out.plan.as_ref().map(|plan| followed(account, plan));
    if let Some(plan_type) = change.plan_type.or(followed).filter(|plan_type| *plan_type != account.plan_type) {
        let (old, new) = (account.plan_type.number(), plan_type.number());
        out.entries.push(Entry::changed(account.scope.clone(), Event::PlanTypeChanged, old, new));
        out.plan_type = Some(plan_type);
    }
    if out.entries.is_empty() && out.ledger.is_none() { Err(PlanError::Nothing) } else { Ok(out) }
}

/// What the account may use by its plan. A change within the same tier leaves what an operator has set.
fn followed(account: &Account, plan: &Plan) -> PlanType {
    let before = account.live.as_ref().map(|live| live.plan.tier);
    match plan.status.is_live() {
        true if before == Some(plan.tier) => account.plan_type,
        true => plan.tier.plan_type(),
        false => PlanType::SelfManaged,
    }
}

fn apply_customer(customer: &mut Customer, wish: &CustomerWish) {
    customer.payment_reference = wish.payment_reference.apply(customer.payment_reference.take());
    customer.sponsorship_pending = wish.sponsorship_pending.unwrap_or(customer.sponsorship_pending);
    customer.monthly_discounted_price = wish.monthly_discounted_price.unwrap_or(customer.monthly_discounted_price);
    customer.annual_discounted_price = wish.annual_discounted_price.unwrap_or(customer.annual_discounted_price);
    customer.minimum_licenses = wish.minimum_licenses.apply(customer.minimum_licenses);
    customer.required_plan_tier = wish.required_plan_tier.apply(customer.required_plan_tier);
    customer.exempt_from_license_number_check =
        wish.exempt_from_license_number_check.unwrap_or(customer.exempt_from_license_number_check);
    customer.flat_discount = wish.flat_discount.unwrap_or(customer.flat_discount);
    customer.flat_discounted_months = wish.flat_discounted_months.unwrap_or(customer.flat_discounted_months);
}

fn apply_plan(
    now: Timestamp,
    account: &Account,
    customer: &Customer,
    wish: &PlanWish,
) -> Result<(Plan, Option<LedgerEntry>), PlanError> {
    let known = account.live.as_ref();
    let mut plan = match known {
        Some(live) => live.plan.clone(),
        None => fresh(now, customer, wish)?,
    };
    plan.tier = wish.tier.unwrap_or(plan.tier);
    plan.status = wish.status.unwrap_or(plan.status);
    if known.is_none() && !plan.status.is_live() {
        return Err(PlanError::NotLive);
    }
    plan.automanage_licenses = wish.automanage_licenses.unwrap_or(plan.automanage_licenses);
    plan.charge_automatically = wish.charge_automatically.unwrap_or(plan.charge_automatically);
    plan.price = price(&plan, wish)?;
    plan.discount = wish.discount.apply(plan.discount);
    plan.billing_cycle_anchor = wish.billing_cycle_anchor.unwrap_or(plan.billing_cycle_anchor);
    plan.billing_schedule = wish.billing_schedule.unwrap_or(plan.billing_schedule);
    plan.next_invoice_date = wish.next_invoice_date.apply(plan.next_invoice_date);
    plan.end_date = wish.end_date.apply(plan.end_date);
    if plan.status.is_live() && plan.tier.is_paid() && plan.price == Price::Free {
        return Err(PlanError::NoPrice);
    }
    if !plan.status.is_live() {
        plan.next_invoice_date = None;
    }
    let is_due = plan.next_invoice_date.is_some_and(|at| at <= now) && plan.tier.is_paid();
    if known.is_none() && is_due && plan.status != Status::FreeTrial {
        plan.invoicing_status = Invoicing::InitialPending;
    }
    let ledger = licenses(now, account, customer, &plan, wish)?;
    Ok((plan, ledger))
}

fn fresh(now: Timestamp, customer: &Customer, wish: &PlanWish) -> Result<Plan, PlanError> {
    let tier = wish.tier.ok_or(PlanError::NoTier)?;
    let schedule = wish.billing_schedule.unwrap_or(Schedule::Monthly);
    let discounted = match schedule {
        Schedule::Monthly => customer.monthly_discounted_price,
        Schedule::Annual => customer.annual_discounted_price,
    };
    let listed = Some(discounted).filter(|cents| *cents > 0).or_else(|| tier.list_price(schedule));
    Ok(Plan {
        tier,
        status: Status::Active,
        automanage_licenses: tier.is_paid(),
        charge_automatically: false,
        price: listed.map_or(Price::Free, Price::PerLicense),
        discount: None,
        billing_cycle_anchor: now,
        billing_schedule: schedule,
        next_invoice_date: tier.is_paid().then_some(now),
        end_date: None,
        invoicing_status: Invoicing::Done,
        sold: 0,
        owed: Owed::default(),
    })
}

/// What the new entry of the ledger means for what is to be paid, and what is left to be paid when the plan ends.
fn put_through(account: &Account, mut plan: Plan, ledger: Option<&LedgerEntry>) -> (Plan, Option<Invoice>) {
    match (&account.live, ledger) {
        (Some(live), Some(entry)) => put_down(&mut plan, live.last_renewal, entry),
        (None, Some(entry)) => plan.sold = entry.licenses,
        (_, None) => {}
    }
    let ended = account.live.as_ref().filter(|_| !plan.status.is_live());
    let invoice = ended.and_then(|live| bill_owed(&mut plan, live.last_renewal));
    (plan, invoice)
}

fn price(plan: &Plan, wish: &PlanWish) -> Result<Price, PlanError> {
    match (&wish.price_per_license, &wish.fixed_price) {
        (Set::To(Some(_)), Set::To(Some(_))) => Err(PlanError::TwoPrices),
        (Set::To(Some(cents)), _) => Ok(Price::PerLicense(*cents)),
        (_, Set::To(Some(cents))) => Ok(Price::Fixed(*cents)),
        (Set::To(None), _) if plan.price.per_license().is_some() => Ok(Price::Free),
        (_, Set::To(None)) if plan.price.fixed().is_some() => Ok(Price::Free),
        _ => Ok(plan.price),
    }
}

fn licenses(
    now: Timestamp,
    account: &Account,
    customer: &Customer,
    plan: &Plan,
    wish: &PlanWish,
) -> Result<Option<LedgerEntry>, PlanError> {
    let least = customer.licenses_min(plan.tier);
    let last = account.live.as_ref().map(|live| &live.last);
    let people = match account.people {
        Counted::People(people) => people.billed(),
        Counted::Missing => 0,
    };
    let licenses = wish.licenses.or_else(|| last.map(|last| last.licenses)).unwrap_or_else(|| people.max(least));
    let next = wish
        .licenses_at_next_renewal
        .or(wish.licenses)
        .or_else(|| last.map(|last| last.licenses_at_next_renewal))
        .unwrap_or(licenses);
    let is_said = wish.licenses.is_some() || wish.licenses_at_next_renewal.is_some();
    if is_said && (licenses < least || next < least) {
        return Err(PlanError::TooFewLicenses { least });
    }
    let is_renewal = last.is_none();
    let event_time = account.live.as_ref().map_or(now, |live| entry_time(plan, live.last_renewal, now));
    let entry = LedgerEntry { is_renewal, event_time, licenses, licenses_at_next_renewal: next };
    Ok((is_renewal || is_said).then_some(entry))
}

fn note_customer(entries: &mut Vec<Entry>, scope: &Scope, before: &Customer, after: &Customer) {
    for ((name, old), (_, new)) in before.properties().into_iter().zip(after.properties()) {
        if old == new {
            continue;
        }
        let (event, change) = match name {
            "sponsorship_pending" => (Event::SponsorshipPendingChanged, Change::Value { old, new }),
            "monthly_discounted_price" | "annual_discounted_price" | "flat_discount" | "flat_discounted_months" => {
                (Event::DiscountChanged, Change::Property { name, old, new })
            }
            _ => (Event::CustomerChanged, Change::Property { name, old, new }),
        };
        entries.push(Entry { scope: scope.clone(), event, change });
    }
}

fn note_plan(entries: &mut Vec<Entry>, account: &Account, plan: &Plan, ledger: Option<&LedgerEntry>) {
    let scope = &account.scope;
    let Some(live) = &account.live else {
        for (name, new) in plan.properties() {
            if name == "tier" {
                let change = Change::Property { name, old: Note::Nothing, new };
                entries.push(Entry { scope: scope.clone(), event: Event::PlanCreated, change });
            }
        }
        return;
    };
    for ((name, old), (_, new)) in live.plan.properties().into_iter().zip(plan.properties()) {
        if old == new {
            continue;
        }
        let event = match (name, plan.billing_schedule) {
            ("billing_schedule", Schedule::Annual) => Event::SwitchedToAnnual,
            ("billing_schedule", Schedule::Monthly) => Event::SwitchedToMonthly,
            ("charge_automatically", _) => Event::BillingModalityChanged,
            _ => Event::PlanChanged,
        };
        entries.push(Entry { scope: scope.clone(), event, change: Change::Property { name, old, new } });
    }
    let Some(ledger) = ledger else { return };
    for (name, old, new) in [
        ("licenses", live.last.licenses, ledger.licenses),
        ("licenses_at_next_renewal", live.last.licenses_at_next_renewal, ledger.licenses_at_next_renewal),
    ] {
        if old != new {
            let change = Change::Property { name, old: Note::from(old), new: Note::from(new) };
            entries.push(Entry { scope: scope.clone(), event: Event::PlanChanged, change });
        }
    }
}
