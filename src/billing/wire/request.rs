//! Forms and parameters.

use serde_json::Value;

use crate::billing::change::{LICENSES_MAX, ORG_TYPES, PlanChange, Request, Sponsorship, Upgrade, WantedStatus};
use crate::billing::customer::{Licensing, Schedule};
use crate::billing::identity::{NextPage, Person, UriScheme};
use crate::billing::refusal::Refusal;
use crate::billing::user::{Entry, FULL_NAME_MAX, Preferences};
use crate::kernel::object::Call;
use crate::kernel::secret::Secret;
use crate::push::refusal::ParameterError;
use crate::push::uuid::Uuid;
use crate::push::wire::form::{At, Form, check_longest, parse_body};
use crate::push::wire::realm_report::parse_report;

/// The field that carries a form's token.
pub(crate) const FORM_TOKEN: &str = "csrf";

const EMAIL_MAX: usize = 254;
const LINE_MAX: usize = 200;
const TEXT_MAX: usize = 4_000;

/// What a server says when it sends an owner over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandOff {
    pub(crate) person: Person,
    pub(crate) realm: Uuid,
    pub(crate) uri_scheme: UriScheme,
    pub(crate) next_page: Option<NextPage>,
    pub(crate) ignored: Vec<String>,
}

/// Reads the parameters of a hand-over.
///
/// Errors: [`ParameterError`], the first.
pub(crate) fn parse_hand_off(call: &Call) -> Result<HandOff, ParameterError> {
    let form = Form::of(call);
    let (user, realm) = (form.need_json("user")?, form.need_json("realm")?);
    let user = At::new("user", &user);
    let person = Person {
        uuid: user.need("uuid")?.uuid_v4()?,
        email: user.need("email")?.text()?.to_owned(),
        full_name: user.need("full_name")?.text()?.to_owned(),
    };
    check_longest("user[\"email\"]", &person.email, EMAIL_MAX)?;
    check_longest("user[\"full_name\"]", &person.full_name, FULL_NAME_MAX)?;
    let realm = parse_report(&At::new("realm", &realm))?.uuid;
    let invalid = |name: &str| ParameterError::NotAllowed(name.to_owned());
    let uri_scheme = form.get("uri_scheme").map_or(Some(UriScheme::Https), UriScheme::parse);
    let uri_scheme = uri_scheme.ok_or_else(|| invalid("uri_scheme"))?;
    let next_page = form.get("next_page").map(|name| NextPage::parse(name).ok_or_else(|| invalid("next_page")));
    let ignored = form.ignored(&["user", "realm", "uri_scheme", "next_page"]);
    Ok(HandOff { person, realm, uri_scheme, next_page: next_page.transpose()?, ignored })
}

/// The token of a form, where there is one: a field of the form, or a script's header.
pub(crate) fn form_token(call: &Call) -> Option<String> {
    Form::of(call).get(FORM_TOKEN).map(str::to_owned).or_else(|| call.authorization.clone())
}

/// A script's call as the form that says the same, where its body is JSON: an object of texts, whole numbers, booleans and
/// null, which counts as absent.
///
/// Errors: [`ParameterError::MalformedJson`]; [`ParameterError::NotAllowed`] for a member that no form can say.
pub(crate) fn as_form(call: &Call) -> Result<Option<Call>, ParameterError> {
    let kind = call.content_type.as_deref().and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Ok(None);
    }
    let Value::Object(members) = parse_body(&call.body)? else { return Err(ParameterError::MalformedJson) };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &members {
        match value {
            Value::Null => {}
            Value::String(text) => drop(form.append_pair(name, text)),
            Value::Bool(flag) => drop(form.append_pair(name, if *flag { "true" } else { "false" })),
            Value::Number(number) if number.is_u64() => drop(form.append_pair(name, &number.to_string())),
            _ => return Err(ParameterError::NotAllowed(name.clone())),
        }
    }
    let body = form.finish().into_bytes();
    Ok(Some(Call { body, content_type: None, ..call.clone() }))
}

/// The page that is wanted next. What is none counts as none wanted.
pub(crate) fn next_page(call: &Call) -> Option<NextPage> {
    Form::of(call).get("next_page").and_then(NextPage::parse)
}

/// The address in a form; empty where there is none, which is no address either.
pub(crate) fn email(call: &Call) -> String {
    Form::of(call).get("email").unwrap_or_default().trim().to_owned()
}

/// The id of a server that wants to sign in, if it is one.
pub(crate) fn server_id(call: &Call) -> Option<Uuid> {
    Uuid::parse(Form::of(call).get("zulip_org_id")?.trim())
}

/// The key of a server that wants to sign in.
pub(crate) fn server_key(call: &Call) -> Secret {
    Secret::new(Form::of(call).get("zulip_org_key").unwrap_or_default().trim().to_owned())
}

/// What the form at the door says.
///
/// Errors: [`ParameterError::TooLong`].
pub(crate) fn entry(call: &Call) -> Result<Entry, ParameterError> {
    let form = Form::of(call);
    let said = |name: &str| form.get(name).map(|value| value == "true");
    let full_name = form.get("full_name").map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = full_name {
        check_longest("full_name", name, FULL_NAME_MAX)?;
    }
    Ok(Entry {
        full_name: full_name.map(str::to_owned),
        accepts_terms: said("tos_consent") == Some(true),
        major_releases: said("enable_major_release_emails"),
        maintenance_releases: said("enable_maintenance_release_emails"),
    })
}

/// What the form of the account page says: the name, and what somebody wants to hear. A box that is not ticked is not sent.
///
/// Errors: [`ParameterError::TooLong`].
pub(crate) fn preferences(call: &Call) -> Result<(String, Preferences), ParameterError> {
    let form = Form::of(call);
    let is_ticked = |name: &str| form.get(name) == Some("true");
    let full_name = form.get("full_name").unwrap_or_default().trim();
    check_longest("full_name", full_name, FULL_NAME_MAX)?;
    let preferences = Preferences {
        major_releases: is_ticked("enable_major_release_emails"),
        maintenance_releases: is_ticked("enable_maintenance_release_emails"),
    };
    Ok((full_name.to_owned(), preferences))
}

/// How invoices are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Page,
    Json,
    Csv,
}

/// How invoices are wanted.
///
/// Errors: [`ParameterError::NotAllowed`].
pub(crate) fn format(call: &Call) -> Result<Format, ParameterError> {
    match Form::of(call).get("format") {
        None => Ok(Format::Page),
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(_) => Err(ParameterError::NotAllowed(String::from("format"))),
    }
}

/// Whether the page before has just been kept.
pub(crate) fn is_saved(call: &Call) -> bool {
    Form::of(call).get("saved") == Some("true")
}

/// Whether the owner ticked the box.
pub(crate) fn is_confirmed(call: &Call) -> bool {
    Form::of(call).get("confirmed") == Some("true")
}

/// A whole number in a form. Empty counts as absent, as forms without script cannot leave a field out.
fn number(form: &Form, name: &str) -> Result<Option<u64>, ParameterError> {
    let Some(text) = form.get(name).map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.map(Some).ok_or_else(|| ParameterError::NotAllowed(name.to_owned()))
}

fn licenses(form: &Form, name: &str) -> Result<Option<u64>, ParameterError> {
    match number(form, name)? {
        Some(count) if count == 0 || count > LICENSES_MAX => Err(ParameterError::NotAllowed(name.to_owned())),
        count => Ok(count),
    }
}

fn schedule(form: &Form) -> Result<Option<Schedule>, ParameterError> {
    let invalid = || ParameterError::NotAllowed(String::from("schedule"));
    number(form, "schedule")?.map(|number| Schedule::parse(number).ok_or_else(invalid)).transpose()
}

/// A change of a plan.
///
/// Errors: [`Refusal::Parameter`]; [`Refusal::NothingToChange`]; [`Refusal::Books`] for several at once.
pub(crate) fn plan_change(call: &Call) -> Result<Request, Refusal> {
    let form = Form::of(call);
    let invalid = |name: &str| ParameterError::NotAllowed(name.to_owned());
    let status = number(&form, "status")?.map(|number| WantedStatus::parse(number).ok_or_else(|| invalid("status")));
    let toggle = match form.get("toggle_license_management") {
        None | Some("" | "false") => None,
        Some("true") => Some(PlanChange::ToggleLicenseManagement),
        Some(_) => return Err(invalid("toggle_license_management").into()),
    };
    let wished = [
        status.transpose()?.map(PlanChange::Status),
        licenses(&form, "licenses")?.map(PlanChange::Licenses),
        licenses(&form, "licenses_at_next_renewal")?.map(PlanChange::LicensesAtNextRenewal),
        schedule(&form)?.map(PlanChange::Schedule),
        toggle,
    ];
    let mut wished = wished.into_iter().flatten();
    match (wished.next(), wished.next()) {
        (None, _) => Err(Refusal::NothingToChange),
        (Some(change), None) => Ok(Request::Change(change)),
        (Some(_), Some(_)) => Err(Refusal::Books(String::from("Exactly one change at a time"))),
    }
}

/// A paid plan that is asked for.
///
/// Errors: [`ParameterError`].
pub(crate) fn upgrade(call: &Call) -> Result<Request, ParameterError> {
    let form = Form::of(call);
    let invalid = |name: &str| ParameterError::NotAllowed(name.to_owned());
    form.need("tier")?;
    let tier = number(&form, "tier")?.filter(|tier| matches!(tier, 103 | 104)).ok_or_else(|| invalid("tier"))?;
    let schedule = schedule(&form)?.unwrap_or(Schedule::Annual);
    let licensing = match form.get("license_management").unwrap_or("automatic") {
        "automatic" => Licensing::Automatic,
        "manual" => Licensing::Manual,
        _ => return Err(invalid("license_management")),
    };
    let licenses = licenses(&form, "licenses")?;
    if licensing == Licensing::Manual && licenses.is_none() {
        return Err(ParameterError::Missing(String::from("licenses")));
    }
    let licenses = licenses.filter(|_| licensing == Licensing::Manual);
    let tier = u32::try_from(tier).unwrap_or(103);
    Ok(Request::Upgrade(Upgrade { tier, schedule, licensing, licenses }))
}

/// A plan that is asked for as a gift.
///
/// Errors: [`ParameterError`].
pub(crate) fn sponsorship(call: &Call) -> Result<Request, ParameterError> {
    let form = Form::of(call);
    let text = |name: &str, max: usize| {
        let text = form.get(name).unwrap_or_default().trim().to_owned();
        check_longest(name, &text, max).map(|()| text)
    };
    let need = |name: &str, max: usize| {
        form.need(name)?;
        text(name, max)
            .and_then(|text| if text.is_empty() { Err(ParameterError::Missing(name.to_owned())) } else { Ok(text) })
    };
    let invalid = || ParameterError::NotAllowed(String::from("organization_type"));
    form.need("organization_type")?;
    let org_type = number(&form, "organization_type")?.ok_or_else(invalid)?;
    let known = ORG_TYPES.into_iter().find(|(number, _)| u64::from(*number) == org_type);
    Ok(Request::Sponsorship(Sponsorship {
        org_type: known.map(|(number, _)| number).ok_or_else(invalid)?,
        website: text("website", LINE_MAX)?,
        description: need("description", TEXT_MAX)?,
        expected_total_users: need("expected_total_users", LINE_MAX)?,
        paid_users_count: need("paid_users_count", LINE_MAX)?,
        paid_users_description: text("paid_users_description", TEXT_MAX)?,
    }))
}
