//! What operators ask for and are answered. Times are Unix seconds.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::kernel::code::ErrorCode;
use crate::kernel::object::Call;
use crate::kernel::reply::{Media, Problem, Reply};
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::operate::OperationError;
use crate::push::plan::{Customer, CustomerWish, LivePlan, Plan, PlanChange, PlanError, PlanWish, Set};
use crate::push::price::AMOUNT_MAX;
use crate::push::refusal::Refusal;
use crate::push::role::{KeptToken, NAME_CHARS_MAX, Role, TOKEN_MS, TOKEN_MS_MAX};
use crate::push::tier::{PlanType, Schedule, Status, Tier};
use crate::push::uuid::Uuid;

/// Entries of a page.
pub const PAGE_MAX: u64 = 200;

/// A page ends after the entry that brings it to this size, however many were wanted: entries hold what servers wrote.
/// Units: bytes.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

const PAGE: u64 = 50;

/// The longest reason or search. Units: characters.
pub const WORDS_CHARS_MAX: usize = 500;

/// A refusal as it is answered to operators.
#[must_use]
pub fn refused(refusal: &Refusal, request_id: &str) -> Reply {
    let problem = match refusal {
        Refusal::Operation(error) => Problem::new(code(error), error.sentence()),
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

const fn code(error: &OperationError) -> ErrorCode {
    match error {
        OperationError::NotOperator | OperationError::Signature => ErrorCode::Unauthorized,
        OperationError::Forbidden { .. } | OperationError::WrongSecret => ErrorCode::Forbidden,
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
        OperationError::Query(_) => ErrorCode::InvalidPath,
        OperationError::NoServer | OperationError::NoRealm | OperationError::NoToken => ErrorCode::NotFound,
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

/// Query parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let pairs = url::form_urlencoded::parse(call.query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter that is given and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// A number.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, OperationError> {
        let parse = |text: &str| text.parse().ok().filter(|number| *number <= SAFE_INTEGER_MAX);
        self.get(name).map(|text| parse(text).ok_or(OperationError::Query(name))).transpose()
    }

    /// How many entries are wanted.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn limit(&self) -> Result<u64, OperationError> {
        self.limit_or(PAGE)
    }

    /// How many entries are wanted, where it is `usual` unless said.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn limit_or(&self, usual: u64) -> Result<u64, OperationError> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if (1..=PAGE_MAX).contains(&limit) { Ok(limit) } else { Err(OperationError::Query("limit")) }
    }

    /// The row after which a page begins.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn after(&self) -> Result<i64, OperationError> {
        let after = self.number("after")?.unwrap_or(0);
        i64::try_from(after).map_err(|_| OperationError::Query("after"))
    }

    /// The name after which a page begins; empty at the first.
    ///
    /// Errors: [`OperationError::Query`] for what is no such name.
    pub fn after_name(&self, is_name: impl Fn(&str) -> bool) -> Result<&str, OperationError> {
        match self.get("after") {
            Some(name) if !is_name(name) => Err(OperationError::Query("after")),
            name => Ok(name.unwrap_or_default()),
        }
    }

    /// The organization that is meant, if one is.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn realm(&self) -> Result<Option<Uuid>, OperationError> {
        self.get("realm").map(|text| Uuid::parse(text).ok_or(OperationError::Query("realm"))).transpose()
    }

    /// A time in seconds.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>, OperationError> {
        Ok(self.number(name)?.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000))))
    }

    /// What is searched for, in lower case.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn search(&self) -> Result<String, OperationError> {
        let text = self.get("query").unwrap_or_default().to_lowercase();
        if text.chars().count() > WORDS_CHARS_MAX { Err(OperationError::Query("query")) } else { Ok(text) }
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, OperationError> {
    let body = if body.is_empty() { b"{}" } else { body };
    // The sentence names members and what was expected of them, and nothing of ours.
    serde_json::from_slice(body).map_err(|error| OperationError::Body(error.to_string().chars().take(200).collect()))
}

/// A member that may be set to null, which is not the same as absent.
fn twice<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    #[serde(default)]
    reason: Option<String>,
}

/// The reason that an operator gives, if any.
///
/// Errors: [`OperationError::Body`].
pub fn parse_reason(body: &[u8]) -> Result<Option<String>, OperationError> {
    let reason = parse::<ReasonBody>(body)?.reason;
    match reason {
        Some(reason) if reason.chars().count() > WORDS_CHARS_MAX => Err(too_long("reason")),
        reason => Ok(reason),
    }
}

fn too_long(name: &str) -> OperationError {
    OperationError::Body(format!("{name} is too long"))
}

fn not_allowed(name: &str) -> OperationError {
    OperationError::Body(format!("{name} has no such value"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    plan_type: Option<u64>,
    customer: Option<CustomerBody>,
    plan: Option<PlanBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerBody {
    #[serde(default, deserialize_with = "twice")]
    payment_reference: Option<Option<String>>,
    sponsorship_pending: Option<bool>,
    monthly_discounted_price: Option<u64>,
    annual_discounted_price: Option<u64>,
    #[serde(default, deserialize_with = "twice")]
    minimum_licenses: Option<Option<u64>>,
    #[serde(default, deserialize_with = "twice")]
    required_plan_tier: Option<Option<u64>>,
    exempt_from_license_number_check: Option<bool>,
    flat_discount: Option<u64>,
    flat_discounted_months: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    tier: Option<u64>,
    status: Option<u64>,
    automanage_licenses: Option<bool>,
    charge_automatically: Option<bool>,
    #[serde(default, deserialize_with = "twice")]
    price_per_license: Option<Option<u64>>,
    #[serde(default, deserialize_with = "twice")]
    fixed_price: Option<Option<u64>>,
    #[serde(default, deserialize_with = "twice")]
    discount: Option<Option<String>>,
    billing_cycle_anchor: Option<u64>,
    billing_schedule: Option<u64>,
    #[serde(default, deserialize_with = "twice")]
    next_invoice_date: Option<Option<u64>>,
    #[serde(default, deserialize_with = "twice")]
    end_date: Option<Option<u64>>,
    licenses: Option<u64>,
    licenses_at_next_renewal: Option<u64>,
}

fn amount(name: &str, value: u64) -> Result<u64, OperationError> {
    if value <= AMOUNT_MAX { Ok(value) } else { Err(OperationError::Body(format!("{name} is too large"))) }
}

fn amount_of(name: &str, value: Option<u64>) -> Result<Option<u64>, OperationError> {
    value.map(|value| amount(name, value)).transpose()
}

fn set<T, U>(
    value: Option<Option<T>>,
    convert: impl Fn(T) -> Result<U, OperationError>,
) -> Result<Set<U>, OperationError> {
    match value {
        None => Ok(Set::Keep),
        Some(value) => Ok(Set::To(value.map(convert).transpose()?)),
    }
}

fn named<T>(name: &str, value: Option<u64>, parse: impl Fn(u64) -> Option<T>) -> Result<Option<T>, OperationError> {
    value.map(|number| parse(number).ok_or_else(|| not_allowed(name))).transpose()
}

fn instant(name: &str, seconds: u64) -> Result<Timestamp, OperationError> {
    // The year 9999.
    if seconds > 253_402_300_799 {
        return Err(not_allowed(name));
    }
    Ok(Timestamp::from_millis(seconds * 1_000))
}

fn words(name: &str, text: String) -> Result<String, OperationError> {
    if text.chars().count() <= 255 { Ok(text) } else { Err(too_long(name)) }
}

/// What is wished of a plan.
///
/// Errors: [`OperationError::Body`].
pub fn parse_change(body: &[u8]) -> Result<PlanChange, OperationError> {
    change(parse(body)?)
}

fn change(body: ChangeBody) -> Result<PlanChange, OperationError> {
    Ok(PlanChange {
        plan_type: named("plan_type", body.plan_type, PlanType::parse)?,
        customer: body.customer.map(customer_wish).transpose()?,
        plan: body.plan.map(plan_wish).transpose()?,
    })
}

fn customer_wish(body: CustomerBody) -> Result<CustomerWish, OperationError> {
    Ok(CustomerWish {
        payment_reference: set(body.payment_reference, |text| words("payment_reference", text))?,
        sponsorship_pending: body.sponsorship_pending,
        monthly_discounted_price: amount_of("monthly_discounted_price", body.monthly_discounted_price)?,
        annual_discounted_price: amount_of("annual_discounted_price", body.annual_discounted_price)?,
        minimum_licenses: set(body.minimum_licenses, |value| amount("minimum_licenses", value))?,
        required_plan_tier: set(body.required_plan_tier, |number| {
            Tier::parse(number).ok_or_else(|| not_allowed("required_plan_tier"))
        })?,
        exempt_from_license_number_check: body.exempt_from_license_number_check,
        flat_discount: amount_of("flat_discount", body.flat_discount)?,
        flat_discounted_months: amount_of("flat_discounted_months", body.flat_discounted_months)?,
    })
}

fn plan_wish(body: PlanBody) -> Result<PlanWish, OperationError> {
    let anchor = body.billing_cycle_anchor;
    Ok(PlanWish {
        tier: named("tier", body.tier, Tier::parse)?,
        status: named("status", body.status, Status::parse)?,
        automanage_licenses: body.automanage_licenses,
        charge_automatically: body.charge_automatically,
        price_per_license: set(body.price_per_license, |cents| amount("price_per_license", cents))?,
        fixed_price: set(body.fixed_price, |cents| amount("fixed_price", cents))?,
        discount: set(body.discount, |text| words("discount", text))?,
        billing_cycle_anchor: anchor.map(|at| instant("billing_cycle_anchor", at)).transpose()?,
        billing_schedule: named("billing_schedule", body.billing_schedule, Schedule::parse)?,
        next_invoice_date: set(body.next_invoice_date, |at| instant("next_invoice_date", at))?,
        end_date: set(body.end_date, |at| instant("end_date", at))?,
        licenses: amount_of("licenses", body.licenses)?,
        licenses_at_next_renewal: amount_of("licenses_at_next_renewal", body.licenses_at_next_renewal)?,
    })
}

/// Where an organization shall go, and the proof that it is its owner's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The server.
    pub server: Uuid,
    /// The owner's secret.
    pub secret: crate::kernel::secret::Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    server: String,
    uuid_owner_secret: String,
}

/// Reads a move.
///
/// Errors: [`OperationError::Body`].
pub fn parse_move(body: &[u8]) -> Result<Move, OperationError> {
    let body: MoveBody = parse(body)?;
    let server = Uuid::parse(&body.server).ok_or_else(|| not_allowed("server"))?;
    Ok(Move { server, secret: crate::kernel::secret::Secret::new(body.uuid_owner_secret) })
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    name: String,
    role: String,
    expires_in: Option<u64>,
}

/// Reads a wish for a token.
///
/// Errors: [`OperationError::Body`].
pub fn parse_token_wish(body: &[u8]) -> Result<TokenWish, OperationError> {
    let body: TokenBody = parse(body)?;
    if body.name.is_empty() || body.name.chars().count() > NAME_CHARS_MAX {
        return Err(not_allowed("name"));
    }
    let role = Role::parse(&body.role).ok_or_else(|| not_allowed("role"))?;
    let lasts_ms = body.expires_in.map_or(TOKEN_MS, |seconds| seconds.saturating_mul(1_000));
    if lasts_ms == 0 || lasts_ms > TOKEN_MS_MAX {
        return Err(not_allowed("expires_in"));
    }
    Ok(TokenWish { name: body.name, role, lasts_ms })
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BillingBody {
    event: String,
    server: String,
    realm: Option<String>,
    change: ChangeBody,
}

/// Reads a message of the payment system.
///
/// Errors: [`OperationError::Body`].
pub fn parse_billing(body: &[u8]) -> Result<BillingMessage, OperationError> {
    let body: BillingBody = parse(body)?;
    if body.event.is_empty() || body.event.len() > 128 {
        return Err(not_allowed("event"));
    }
    let realm = body.realm.map(|text| Uuid::parse(&text).ok_or_else(|| not_allowed("realm"))).transpose()?;
    let server = Uuid::parse(&body.server).ok_or_else(|| not_allowed("server"))?;
    Ok(BillingMessage { event: body.event, server, realm, change: change(body.change)? })
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

/// Text in columns. Cells of ours are numbers and UUIDs, which need no quotes.
#[must_use]
pub fn csv(header: &[&str], rows: &[Vec<String>]) -> Reply {
    let mut text = header.join(",");
    text.push_str("\r\n");
    for row in rows {
        text.push_str(&row.join(","));
        text.push_str("\r\n");
    }
    let mut reply = Reply::json_text(text).with_header("Content-Disposition", "attachment; filename=\"invoices.csv\"");
    reply.media = Media::Text;
    reply
}
