//! What operators and payment systems wish for.

use super::members::{Members, Reading, flag, none_of_them, one_of, text, text_to, whole};
use crate::kernel::secret::Secret;
use crate::kernel::time::Timestamp;
use crate::push::operate::OperationError;
use crate::push::plan::{CustomerWish, PlanChange, PlanWish};
use crate::push::price::AMOUNT_MAX;
use crate::push::role::{Role, TOKEN_MS, TOKEN_MS_MAX, token_name};
use crate::push::tier::{PlanType, Schedule, Status, Tier};
use crate::push::uuid::Uuid;

/// The longest reason or search. Units: characters.
pub const WORDS_CHARS_MAX: usize = 500;

/// The longest text about a customer or a plan. Units: characters.
const TEXT_CHARS_MAX: usize = 255;

/// The end of the year 9999. Units: Unix seconds.
const SECONDS_MAX: u64 = 253_402_300_799;

fn amount(value: serde_json::Value) -> Reading<u64> {
    let number = whole(value)?;
    if number <= AMOUNT_MAX { Ok(number) } else { Err(format!("must be at most {AMOUNT_MAX}")) }
}

fn instant(value: serde_json::Value) -> Reading<Timestamp> {
    let seconds = whole(value)?;
    if seconds > SECONDS_MAX {
        return Err(String::from("must be before the year 10000"));
    }
    Ok(Timestamp::from_millis(seconds * 1_000))
}

fn uuid(value: serde_json::Value) -> Reading<Uuid> {
    value.as_str().and_then(Uuid::parse).ok_or_else(|| String::from("must be a UUID"))
}

/// The reason that an operator gives, if any.
///
/// Errors: [`OperationError::Body`], [`OperationError::NotJson`]; so for every reader here.
pub fn parse_reason(body: &[u8]) -> Result<Option<String>, OperationError> {
    let mut members = Members::of_body(body)?;
    let reason = members.optional("reason", text_to(WORDS_CHARS_MAX))?;
    members.finish()?;
    Ok(reason)
}

/// What is wished of a plan.
///
/// Errors: as [`parse_reason`].
pub fn parse_change(body: &[u8]) -> Result<PlanChange, OperationError> {
    change(Members::of_body(body)?)
}

fn change(mut members: Members) -> Result<PlanChange, OperationError> {
    let change = PlanChange {
        plan_type: members.optional("plan_type", one_of(PlanType::parse))?,
        customer: members.inner("customer")?.map(customer_wish).transpose()?,
        plan: members.inner("plan")?.map(plan_wish).transpose()?,
    };
    members.finish()?;
    Ok(change)
}

fn customer_wish(mut members: Members) -> Result<CustomerWish, OperationError> {
    let wish = CustomerWish {
        payment_reference: members.settable("payment_reference", text_to(TEXT_CHARS_MAX))?,
        sponsorship_pending: members.optional("sponsorship_pending", flag)?,
        monthly_discounted_price: members.optional("monthly_discounted_price", amount)?,
        annual_discounted_price: members.optional("annual_discounted_price", amount)?,
        minimum_licenses: members.settable("minimum_licenses", amount)?,
        required_plan_tier: members.settable("required_plan_tier", one_of(Tier::parse))?,
        exempt_from_license_number_check: members.optional("exempt_from_license_number_check", flag)?,
        flat_discount: members.optional("flat_discount", amount)?,
        flat_discounted_months: members.optional("flat_discounted_months", amount)?,
    };
    members.finish()?;
    Ok(wish)
}

fn plan_wish(mut members: Members) -> Result<PlanWish, OperationError> {
    let wish = PlanWish {
        tier: members.optional("tier", one_of(Tier::parse))?,
        status: members.optional("status", one_of(Status::parse))?,
        automanage_licenses: members.optional("automanage_licenses", flag)?,
        charge_automatically: members.optional("charge_automatically", flag)?,
        price_per_license: members.settable("price_per_license", amount)?,
        fixed_price: members.settable("fixed_price", amount)?,
        discount: members.settable("discount", text_to(TEXT_CHARS_MAX))?,
        billing_cycle_anchor: members.optional("billing_cycle_anchor", instant)?,
        billing_schedule: members.optional("billing_schedule", one_of(Schedule::parse))?,
        next_invoice_date: members.settable("next_invoice_date", instant)?,
        end_date: members.settable("end_date", instant)?,
        licenses: members.optional("licenses", amount)?,
        licenses_at_next_renewal: members.optional("licenses_at_next_renewal", amount)?,
    };
    members.finish()?;
    Ok(wish)
}

/// Where an organization shall go, and the proof that it is its owner's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The server.
    pub server: Uuid,
    /// The owner's secret.
    pub secret: Secret,
}

/// Reads a move.
///
/// Errors: as [`parse_reason`].
pub fn parse_move(body: &[u8]) -> Result<Move, OperationError> {
    let mut members = Members::of_body(body)?;
    let server = members.required("server", uuid)?;
    let secret = Secret::new(members.required("uuid_owner_secret", text)?);
    members.finish()?;
    Ok(Move { server, secret })
}

/// A token that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWish {
    /// What for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How long it lasts. Units: milliseconds.
    pub lasts_ms: u64,
}

/// Reads a wish for a token.
///
/// Errors: as [`parse_reason`].
pub fn parse_token_wish(body: &[u8]) -> Result<TokenWish, OperationError> {
    let mut members = Members::of_body(body)?;
    let named =
        |given: String| token_name(&given).ok_or_else(|| String::from("must be one line of 1 to 64 characters"));
    let name = members.required("name", |value| text(value).and_then(named))?;
    let known = |word: String| Role::parse(&word).ok_or_else(none_of_them);
    let role = members.required("role", |value| text(value).and_then(known))?;
    let lasts_ms = members.optional("expires_in", |value| {
        let lasts_ms = whole(value)?.saturating_mul(1_000);
        let fits = (1..=TOKEN_MS_MAX).contains(&lasts_ms);
        if fits { Ok(lasts_ms) } else { Err(format!("must be from 1 to {}", TOKEN_MS_MAX / 1_000)) }
    })?;
    members.finish()?;
    Ok(TokenWish { name, role, lasts_ms: lasts_ms.unwrap_or(TOKEN_MS) })
}

/// A message of the payment system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingMessage {
    /// Its name: the same one counts once.
    pub event: String,
    /// The server that it is about, so that a message for one is none for another.
    pub server: Uuid,
    /// The organization; nothing for the server itself.
    pub realm: Option<Uuid>,
    /// What is wished.
    pub change: PlanChange,
}

/// Reads a message of the payment system.
///
/// Errors: as [`parse_reason`].
pub fn parse_billing(body: &[u8]) -> Result<BillingMessage, OperationError> {
    let mut members = Members::of_body(body)?;
    let event = members.required("event", |value| {
        let event = text(value)?;
        if (1..=128).contains(&event.len()) { Ok(event) } else { Err(String::from("must have 1 to 128 bytes")) }
    })?;
    let server = members.required("server", uuid)?;
    let realm = members.optional("realm", uuid)?;
    let wished = members.required_inner("change")?;
    members.finish()?;
    Ok(BillingMessage { event, server, realm, change: change(wished)? })
}
