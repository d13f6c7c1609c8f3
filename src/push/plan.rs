//! Customers and their plans: what operators, owners and the payment system may change of them.
//!
//! Source: section 2.8 of the dialect. Every change is noted with its old and its new value.

use super::audit::{Entry, Event, Note, Scope};
use super::book::{Book, Terms};
use super::headcount::Counted;
use super::ledger::{Invoice, LedgerEntry, Owed, put_down};
use super::plan_note::{note_customer, note_licenses, note_new_plan, note_plan, note_type};
use super::plan_wish::{apply_customer, apply_plan};
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
        self.minimum_licenses.unwrap_or_else(|| tier.licenses_min(self.flat_discount)).max(1)
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
    /// For each license, if it is that. Units: cents.
    #[must_use]
    pub const fn per_license(self) -> Option<u64> {
        match self {
            Self::PerLicense(cents) => Some(cents),
            Self::Fixed(_) | Self::Free => None,
        }
    }

    /// For all, if it is that. Units: cents.
    #[must_use]
    pub const fn fixed(self) -> Option<u64> {
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
            ("automanage_licenses", Note::from(self.automanage_licenses)),
            ("charge_automatically", Note::from(self.charge_automatically)),
            ("price_per_license", Note::from(self.price.per_license())),
            ("fixed_price", Note::from(self.price.fixed())),
            ("discount", Note::from(self.discount.as_deref())),
            ("billing_cycle_anchor", Note::from(self.billing_cycle_anchor)),
            ("billing_schedule", Note::from(self.billing_schedule.number())),
            ("next_invoice_date", Note::from(self.next_invoice_date)),
            ("end_date", Note::from(self.end_date)),
            // Last, for the others follow from it.
            ("status", Note::from(self.status.number())),
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
    /// What becomes of what is known.
    #[must_use]
    pub fn apply(&self, known: Option<T>) -> Option<T> {
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
    /// A switch needs the tier that the customer is to have.
    NoNextTier,
    /// A discount is a percentage.
    Discount,
    /// Nobody buys no license at all.
    NoLicenses,
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
            Self::NoNextTier => String::from("A switch needs another tier: the customer's required_plan_tier"),
            Self::Discount => String::from("discount is a percentage from 0 to 100 with at most two decimal places"),
            Self::NoLicenses => String::from("minimum_licenses is at least 1"),
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
    /// What a plan that ends at once, or costs nothing any more, leaves to be paid.
    pub invoices: Vec<Invoice>,
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
        apply_customer(&mut customer, wish)?;
    }
    let plan = change.plan.as_ref().map(|wish| apply_plan(now, account, &customer, wish)).transpose()?;
    let plan = plan.map(|(plan, ledger)| {
        let (plan, invoices) = put_through(account, &mut customer, plan, ledger.as_ref());
        out.invoices = invoices;
        (plan, ledger)
    });
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
        match &account.live {
            None => note_new_plan(&mut out.entries, &account.scope, &plan),
            Some(live) => {
                note_plan(&mut out.entries, &account.scope, &live.plan, &plan);
                if let Some(entry) = &ledger {
                    note_licenses(&mut out.entries, &account.scope, &live.last, entry);
                }
            }
        }
        let is_changed = account.live.as_ref().is_none_or(|live| live.plan != plan);
        out.ledger = ledger;
        out.plan = is_changed.then_some(plan);
    }
    let followed = out.plan.as_ref().map(|plan| followed(account, plan));
    if let Some(plan_type) = change.plan_type.or(followed).filter(|plan_type| *plan_type != account.plan_type) {
        note_type(&mut out.entries, &account.scope, account.plan_type, plan_type);
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

/// What the new entry of the ledger means for what is to be paid, and what is left to be paid when the plan ends or costs
/// nothing any more.
fn put_through(
    account: &Account,
    customer: &mut Customer,
    mut plan: Plan,
    ledger: Option<&LedgerEntry>,
) -> (Plan, Vec<Invoice>) {
    let leaving = account
        .live
        .as_ref()
        .filter(|live| !plan.status.is_live() || (live.plan.tier.is_paid() && !plan.tier.is_paid()));
    match (&account.live, ledger) {
        (_, Some(entry)) if entry.is_renewal => plan.sold = entry.licenses,
        (Some(live), Some(entry)) if plan.tier.is_paid() || leaving.is_none() => {
            put_down(&mut plan, live.last_renewal, entry);
        }
        _ => {}
    }
    let Some(live) = leaving else { return (plan, Vec::new()) };
    let live = LivePlan { plan: Plan { sold: plan.sold, owed: plan.owed, ..live.plan.clone() }, ..live.clone() };
    let mut book = Book::open(&live, Terms::of(customer, &live.plan));
    book.settle();
    customer.flat_discounted_months = customer.flat_discounted_months.saturating_sub(book.months_spent);
    (plan.owed, plan.invoicing_status) = (Owed::default(), Invoicing::Done);
    (plan, book.invoices)
}
