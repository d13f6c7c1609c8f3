//! What the directory and two servers tell one another of an organization that moves.

use serde::{Deserialize, Serialize};

use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;
use crate::push::headcount::{Headcount, Workplace};
use crate::push::plan::Customer;
use crate::push::tier::Tier;

/// An organization on its way from one server to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Bundle {
    /// The move; the directory fills it in.
    #[serde(default)]
    pub move_number: u64,
    pub uuid: String,
    pub profile: Option<String>,
    pub host: String,
    pub name: String,
    /// Hex.
    pub owner_secret: String,
    /// Units: milliseconds.
    pub date_created: Option<u64>,
    pub plan_type: u64,
    pub registration_deactivated: bool,
    /// What was agreed with it.
    pub customer: Option<Agreement>,
    /// How many people it had.
    pub people: Option<People>,
    /// The operator, for the audit.
    pub actor: String,
    /// The server that it leaves.
    pub from: String,
}

/// What was agreed with a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct Agreement {
    payment_reference: Option<String>,
    sponsorship_pending: bool,
    monthly_discounted_price: u64,
    annual_discounted_price: u64,
    minimum_licenses: Option<u64>,
    required_plan_tier: Option<u32>,
    exempt_from_license_number_check: bool,
    flat_discount: u64,
    flat_discounted_months: u64,
}

impl From<&Customer> for Agreement {
    fn from(customer: &Customer) -> Self {
        Self {
            payment_reference: customer.payment_reference.clone(),
            sponsorship_pending: customer.sponsorship_pending,
            monthly_discounted_price: customer.monthly_discounted_price,
            annual_discounted_price: customer.annual_discounted_price,
            minimum_licenses: customer.minimum_licenses,
            required_plan_tier: customer.required_plan_tier.map(Tier::number),
            exempt_from_license_number_check: customer.exempt_from_license_number_check,
            flat_discount: customer.flat_discount,
            flat_discounted_months: customer.flat_discounted_months,
        }
    }
}

impl From<&Agreement> for Customer {
    fn from(agreement: &Agreement) -> Self {
        Self {
            payment_reference: agreement.payment_reference.clone(),
            sponsorship_pending: agreement.sponsorship_pending,
            monthly_discounted_price: agreement.monthly_discounted_price,
            annual_discounted_price: agreement.annual_discounted_price,
            minimum_licenses: agreement.minimum_licenses,
            required_plan_tier: agreement.required_plan_tier.and_then(|number| Tier::parse(u64::from(number))),
            exempt_from_license_number_check: agreement.exempt_from_license_number_check,
            flat_discount: agreement.flat_discount,
            flat_discounted_months: agreement.flat_discounted_months,
        }
    }
}

/// How many people an organization had, and when its old server last said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct People {
    non_guests: u64,
    guests: u64,
    workplace: Option<(u64, u64)>,
    /// Units: milliseconds.
    told_at: u64,
}

impl People {
    /// The people of a headcount.
    #[must_use]
    pub fn of(people: &Headcount, told_at: Timestamp) -> Self {
        Self {
            non_guests: people.non_guests,
            guests: people.guests,
            workplace: people.workplace.map(|workplace| (workplace.users, workplace.others)),
            told_at: told_at.as_millis(),
        }
    }

    /// As the rules count them, and since when.
    #[must_use]
    pub fn headcount(&self) -> (Headcount, Timestamp) {
        let workplace = self.workplace.map(|(users, others)| Workplace { users, others });
        let people = Headcount { non_guests: self.non_guests, guests: self.guests, workplace };
        (people, Timestamp::from_millis(self.told_at))
    }
}

/// The bundle that a directory has kept.
///
/// Errors: [`Fault::Corrupt`].
pub fn parse_bundle(text: &str) -> Result<Bundle, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::Corrupt(String::from("a bundle is not one of ours")))
}

/// An organization shall leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Farewell {
    pub move_number: u64,
    pub realm: String,
    /// Who has it from now on.
    pub to: String,
    pub actor: String,
    /// Whether a live plan holds it back.
    pub mode: FarewellMode,
}

/// Why an organization shall leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FarewellMode {
    /// It moves away; a live plan holds it back.
    Leave,
    /// It was taken in for a move that did not come about.
    Undo,
}
