//! What operators are answered. Times are Unix seconds.

use serde_json::{Map, Value, json};

use super::query::must;
use crate::kernel::code::ErrorCode;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::time::Timestamp;
use crate::push::operate::{Mistake, OperationError};
use crate::push::plan::{Customer, LivePlan, Plan, PlanError};
use crate::push::refusal::Refusal;
use crate::push::role::KeptToken;
use crate::push::tier::Tier;

/// A page ends after the entry that brings it to this size, however many were wanted: entries hold what servers wrote.
/// Units: bytes.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// A refusal as it is answered to operators.
#[must_use]
pub fn refused(refusal: &Refusal, request_id: &str) -> Reply {
    let problem = match refusal {
        Refusal::Operation(error) => pointed(Problem::new(code(error), error.sentence()), error),
        Refusal::HostnameTaken { hostname } => {
            Problem::new(ErrorCode::Conflict, format!("Another server goes by {hostname}"))
        }
        Refusal::NotConfigured { setting } => Problem::new(ErrorCode::NotConfigured, format!("{setting} is not set")),
        Refusal::Busy => Problem::plain(ErrorCode::AtCapacity),
        Refusal::NotFound => Problem::plain(ErrorCode::NotFound),
        _ => Problem::plain(ErrorCode::InvalidRequest),
    };
    problem.into_reply(request_id)
}

/// The problem with the place that is wrong, where one is.
fn pointed(problem: Problem, error: &OperationError) -> Problem {
    let place = match error {
        OperationError::NotJson => json!({ "pointer": "", "detail": "is not JSON" }),
        OperationError::Body(Mistake { pointer, detail }) => json!({ "pointer": pointer, "detail": detail }),
        OperationError::Query(name) => json!({ "parameter": name, "detail": must(name) }),
        _ => return problem,
    };
    problem.with("errors", json!([place]))
}

const fn code(error: &OperationError) -> ErrorCode {
    match error {
        OperationError::NotOperator | OperationError::Signature => ErrorCode::Unauthorized,
        OperationError::Forbidden { .. } | OperationError::WrongSecret => ErrorCode::Forbidden,
        OperationError::NotJson => ErrorCode::InvalidJson,
        // What no state would allow.
        OperationError::Body(_)
        | OperationError::Plan(
            PlanError::Nothing
            | PlanError::NoTier
            | PlanError::NotLive
            | PlanError::TwoPrices
            | PlanError::NoPrice
            | PlanError::NoNextTier
            | PlanError::Discount
            | PlanError::NoLicenses
            | PlanError::OneThing,
        ) => ErrorCode::InvalidRequest,
        OperationError::Query(_) => ErrorCode::InvalidQuery,
        OperationError::NoServer | OperationError::NoRealm | OperationError::NoToken | OperationError::NoUser => {
            ErrorCode::NotFound
        }
        OperationError::Plan(_)
        | OperationError::AlreadyDeactivated
        | OperationError::AlreadyActive
        | OperationError::Removed
        | OperationError::SameServer
        | OperationError::LivePlan
        | OperationError::RealmDeactivated
        | OperationError::RealmActive
        | OperationError::MoveUnderWay
        | OperationError::MoveOver => ErrorCode::Conflict,
        OperationError::Full => ErrorCode::AtCapacity,
    }
}

/// A time as it is shown.
#[must_use]
pub fn seconds(at: Timestamp) -> u64 {
    at.as_millis() / 1_000
}

/// JSON that is kept as text, as a value.
#[must_use]
pub fn raw(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap_or(Value::Null)
}

/// The entries of a page as far as it reaches, and the cursor of the next one: that of the last entry, if there may be more.
///
/// Errors: of `entry`.
pub fn cut<R, E>(
    rows: Vec<R>,
    limit: u64,
    cursor: impl Fn(&R) -> Value,
    entry: impl Fn(R) -> Result<Value, E>,
) -> Result<(Vec<Value>, Option<Value>), E> {
    let count = rows.len() as u64;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let at = cursor(&row);
        let value = entry(row)?;
        bytes += value.to_string().len();
        entries.push(value);
        let is_last = entries.len() as u64 == count;
        if (is_last && count == limit) || (!is_last && bytes >= PAGE_BYTES_MAX) {
            return Ok((entries, Some(at)));
        }
    }
    Ok((entries, None))
}

/// A page: its entries and the cursor of the next one.
#[must_use]
pub fn page(member: &str, entries: Vec<Value>, next: Option<Value>) -> Reply {
    let mut body = Map::new();
    body.insert(member.to_owned(), Value::from(entries));
    body.insert(String::from("next"), next.unwrap_or(Value::Null));
    Reply::json_text(Value::Object(body).to_string())
}

/// The JSON of an answer.
#[must_use]
pub fn answer(body: &Value) -> Reply {
    Reply::json_text(body.to_string())
}

/// An answer that nobody may keep a copy of.
#[must_use]
pub fn once(body: &Value) -> Reply {
    answer(body).with_header("Cache-Control", "no-store")
}

/// A customer and its live plan.
#[must_use]
pub fn plan_of(customer: Option<&Customer>, live: Option<&LivePlan>) -> Value {
    let customer = customer.map(|customer| {
        json!({
            "payment_reference": customer.payment_reference,
            "sponsorship_pending": customer.sponsorship_pending,
            "monthly_discounted_price": customer.monthly_discounted_price,
            "annual_discounted_price": customer.annual_discounted_price,
            "minimum_licenses": customer.minimum_licenses,
            "required_plan_tier": customer.required_plan_tier.map(Tier::number),
            "exempt_from_license_number_check": customer.exempt_from_license_number_check,
            "flat_discount": customer.flat_discount,
            "flat_discounted_months": customer.flat_discounted_months,
        })
    });
    let plan = live.map(|live| {
        let mut plan = plan_members(&live.plan);
        plan.insert(String::from("licenses"), Value::from(live.last.licenses));
        plan.insert(String::from("licenses_not_invoiced"), Value::from(live.plan.owed.licenses));
        plan.insert(String::from("amount_not_invoiced"), Value::from(live.plan.owed.amount));
        plan.insert(String::from("licenses_at_next_renewal"), Value::from(live.last.licenses_at_next_renewal));
        Value::Object(plan)
    });
    json!({ "customer": customer, "plan": plan })
}

fn plan_members(plan: &Plan) -> Map<String, Value> {
    use crate::push::audit::{Flag, Note};
    let value = |note: Note| match note {
        Note::Flag(flag) => Value::from(flag == Flag::On),
        Note::Number(number) => Value::from(number),
        Note::Text(text) => Value::from(text),
        Note::Nothing | Note::Flags(_) => Value::Null,
    };
    plan.properties().into_iter().map(|(name, note)| (name.to_owned(), value(note))).collect()
}

/// A token without its secret.
#[must_use]
pub fn token(kept: &KeptToken) -> Value {
    json!({
        "id": kept.id,
        "name": kept.name,
        "role": kept.role.word(),
        "created_at": seconds(kept.created_at),
        "expires_at": seconds(kept.expires_at),
        "revoked_at": kept.revoked_at.map(seconds),
    })
}
