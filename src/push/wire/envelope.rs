//! The dialect's envelope: every answer is one JSON object that ends with a line break.
//!
//! Source: sections 1.2, 1.3, 1.5 and 1.17 of the dialect. Clients compare `msg` and `code` letter by letter.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::kernel::reply::{Media, Reply};
use crate::kernel::time::Timestamp;
use crate::push::rate::Standing;
use crate::push::refusal::{EmailError, Expected, ParameterError, Refusal, TransferError};

const BAD_REQUEST: &str = "BAD_REQUEST";
const UNAUTHORIZED: &str = "UNAUTHORIZED";
const DEACTIVATED: &str = "The mobile push notification service registration for your server has been deactivated";
const FOREIGN_REALM: &str = "Your organization is registered to a different Zulip server. Please contact Zulip support \
    for assistance in resolving this issue.";
const RATE_LIMITED: &str =
    "API usage exceeded rate limit; see https://zulip.com/api/http-headers#rate-limiting-response-headers";
const TRANSFER_LIMIT: &str = "The global limits on recent usage of this endpoint have been reached. Please try again \
    later or reach out to the operator of this service for assistance.";
const NO_PLAN: &str = "Your plan doesn't allow sending push notifications.";

/// 200 with the members of `body` beside the envelope's, which come first.
#[must_use]
pub fn success(body: Map<String, Value>, ignored: &[String]) -> Reply {
    let mut all = Map::new();
    all.insert(String::from("result"), Value::from("success"));
    all.insert(String::from("msg"), Value::from(""));
    all.extend(body);
    if !ignored.is_empty() {
        all.insert(String::from("ignored_parameters_unsupported"), Value::from(ignored));
    }
    Reply::json_text(format!("{}\n", Value::Object(all)))
}

/// A refusal as it is answered.
#[must_use]
pub fn refused(refusal: &Refusal) -> Reply {
    let (status, code, msg) = sentence(refusal);
    let mut body = Map::new();
    body.insert(String::from("result"), Value::from("error"));
    body.insert(String::from("msg"), Value::from(msg));
    body.insert(String::from("code"), Value::from(code));
    let mut headers: Vec<(Cow<'static, str>, String)> = Vec::new();
    for (member, value) in members(refusal) {
        body.insert(member.to_owned(), value);
    }
    if code == UNAUTHORIZED {
        headers.push((Cow::Borrowed("WWW-Authenticate"), String::from("Basic realm=\"zulip\"")));
    }
    if let Refusal::RateLimited { retry_after_ms } = refusal {
        headers.push((Cow::Borrowed("Retry-After"), Value::from(seconds(*retry_after_ms)).to_string()));
    }
    Reply { status, media: Media::Json, headers, body: format!("{}\n", Value::Object(body)) }
}

/// The answer to a method that a path does not take. It has no code.
#[must_use]
pub fn method_not_allowed(allowed: &[&str]) -> Reply {
    let body = serde_json::json!({ "result": "error", "msg": "Method Not Allowed", "allowed_methods": allowed });
    let headers = vec![(Cow::Borrowed("Allow"), allowed.join(", "))];
    Reply { status: 405, media: Media::Json, headers, body: format!("{body}\n") }
}

/// The same answer, never to be cached.
#[must_use]
pub fn uncached(reply: Reply) -> Reply {
    reply
        .with_header("Cache-Control", "max-age=0, no-cache, no-store, must-revalidate, private")
        .with_header("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
}

/// The same answer with what is left of the caller's rate.
#[must_use]
pub fn with_rate(reply: Reply, standing: Option<Standing>, now: Timestamp) -> Reply {
    let Some(standing) = standing else { return reply };
    let reset = now.plus(standing.reset_ms).as_millis().div_ceil(1_000);
    reply
        .with_header("X-RateLimit-Limit", standing.limit.to_string())
        .with_header("X-RateLimit-Remaining", standing.remaining.to_string())
        .with_header("X-RateLimit-Reset", reset.to_string())
}

/// Exact: milliseconds of a rate's window are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn members(refusal: &Refusal) -> Vec<(&'static str, Value)> {
    match refusal {
        Refusal::Parameter(ParameterError::Missing(name)) => vec![("var_name", Value::from(name.as_str()))],
        Refusal::RegisterWrongKey { uuid } => vec![("role", Value::from(uuid.as_str()))],
        Refusal::HostnameTaken { hostname } => vec![("hostname", Value::from(hostname.as_str()))],
        Refusal::RateLimited { retry_after_ms } => vec![("retry-after", Value::from(seconds(*retry_after_ms)))],
        Refusal::LivePlan => vec![("error_description", Value::from("server deactivation with existing plan"))],
        Refusal::Email(error) => vec![("email_reason", Value::from(email(error)))],
        _ => Vec::new(),
    }
}

/// Status, code and sentence.
#[allow(clippy::too_many_lines, reason = "a table")]
fn sentence(refusal: &Refusal) -> (u16, &'static str, String) {
    use Refusal as R;
    let bad = |text: &str| (400, BAD_REQUEST, text.to_owned());
    let unauthorized = |text: &str| (401, UNAUTHORIZED, text.to_owned());
    match refusal {
        R::Parameter(error) => parameter(error),
        R::NoAuthorization => unauthorized("Missing authorization header for basic auth"),
        R::BadAuthorization => unauthorized("Invalid authorization header for basic auth"),
        R::NotBasic => bad("This endpoint requires HTTP basic authentication."),
        R::UserKey => bad("Must validate with valid Zulip server API key"),
        R::NotRegistered { username } => unauthorized(&format!(
            "Zulip server auth failure: {username} is not registered -- did you run `manage.py register_server`?"
        )),
        R::WrongKey { uuid } => unauthorized(&wrong_key(uuid)),
        R::Deactivated => unauthorized(DEACTIVATED),
        R::RateLimited { .. } => (429, "RATE_LIMIT_HIT", RATE_LIMITED.to_owned()),
        R::HostnameParts { hostname } => {
            bad(&format!("{hostname} contains invalid components (e.g., path, query, fragment)."))
        }
        R::HostnameInvalid { hostname } => bad(&format!("{hostname} is not a valid hostname")),
        R::Email(error) => bad(&format!("Invalid server administrator email address: {}", email(error))),
        R::InvalidUuid => bad("Invalid UUID"),
        R::RegisterWrongKey { uuid } => (400, "INVALID_ZULIP_SERVER", wrong_key(uuid)),
        R::RegisterDeactivated => (401, "REALM_DEACTIVATED", DEACTIVATED.to_owned()),
        R::HostnameTaken { hostname } => {
            (400, "HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR", format!("A server with hostname {hostname} already exists"))
        }
        R::NotYetRegistered { hostname } => bad(&format!("{hostname} not yet registered")),
        R::RegistrationNotFound => bad("Registration not found for this hostname"),
        R::TransferLimit => (429, "RATE_LIMIT_HIT", TRANSFER_LIMIT.to_owned()),
        R::Transfer(error) => bad(&transfer(error)),
        R::TokenType => bad("Invalid token type"),
        R::TokenLength => bad("Empty or invalid length token"),
        R::ApnsToken => bad("Invalid APNS token"),
        R::MissingAppId => bad("Missing ios_app_id"),
        R::MissingUser => bad("Missing user_id or user_uuid"),
        R::RealmWithoutUser => bad("realm_uuid requires user_uuid"),
        R::TooManyDevices => bad("Too many devices"),
        R::WebSubscription => bad("Invalid Web Push subscription"),
        R::NoSuchToken => bad("Token does not exist"),
        R::UnknownDevice => {
            (400, "INVALID_REMOTE_PUSH_DEVICE_TOKEN", String::from("Device not recognized by the push bouncer"))
        }
        R::ForeignRealm => (403, "REMOTE_REALM_SERVER_MISMATCH_ERROR", FOREIGN_REALM.to_owned()),
        R::UnknownRealm => (403, "MISSING_REMOTE_REALM", String::from("Organization not registered")),
        R::DuplicateRealm => bad("Duplicate registration detected."),
        R::LivePlan => bad(""),
        R::Operation(error) => bad(&error.sentence()),
        R::Upload(error) => bad(&error.sentence()),
        R::Legacy(error) => bad(&error.sentence()),
        R::BasePayload => bad("base_payload must name realm_name and realm_url"),
        R::KindMismatch { place } => bad(&format!("{} is for another kind of device", place.0)),
        R::NotAllowedOld => (400, "INVALID_ZULIP_SERVER", NO_PLAN.to_owned()),
        R::NotAllowed { message } => {
            (400, "PUSH_NOTIFICATIONS_DISALLOWED", format!("{NO_PLAN} Reason provided by the server: {message}"))
        }
        R::QueueFull => (503, "QUEUE_FULL", String::from("Too many notifications wait to be sent; try again later")),
        R::SealedKey => (400, "INVALID_BOUNCER_PUBLIC_KEY", String::from("Invalid bouncer_public_key")),
        R::Sealed => bad("Invalid encrypted_push_registration"),
        R::SealedExpired => (400, "REQUEST_EXPIRED", String::from("Request expired")),
        R::NotConfigured { setting } => (503, "NOT_CONFIGURED", format!("{setting} is not configured on this service")),
        R::Busy => (503, "TRY_AGAIN", String::from("The service could not finish the request; try again later")),
        R::NotFound => (404, BAD_REQUEST, String::from("Not found")),
    }
}

fn wrong_key(uuid: &str) -> String {
    format!("Zulip server auth failure: key does not match role {uuid}")
}

fn email(error: &EmailError) -> String {
    match error {
        EmailError::Syntax => String::from("Enter a valid email address."),
        EmailError::Disposable => String::from("Please use your real email address."),
        EmailError::Example => String::from("example.com is not a valid email domain."),
        EmailError::NoMail { domain } => format!("{domain} is invalid because it does not have any MX records"),
        EmailError::NoDomain { domain } => format!("{domain} does not exist"),
    }
}

fn transfer(error: &TransferError) -> String {
    use TransferError as E;
    let text = match error {
        E::NothingPrepared => "The host reported it has no verification secret.",
        E::Status(status) => return format!("Unexpected status code received from the host: {status}"),
        E::Tls => "SSL error occurred while communicating with the host.",
        E::Connection => "Connection error occurred while communicating with the host.",
        E::TimedOut => "The request timed out while communicating with the host.",
        E::Other => "An error occurred while communicating with the host.",
        E::Unreadable => "An error occurred while parsing the response from the host.",
        E::SecretMalformed => "The verification secret is malformed",
        E::SecretForged => "The verification secret is invalid",
        E::SecretExpired => "The verification secret has expired",
        E::SecretForOther => "The verification secret is for a different hostname",
    };
    text.to_owned()
}

fn parameter(error: &ParameterError) -> (u16, &'static str, String) {
    use ParameterError as E;
    let msg = match error {
        E::Missing(name) => return (400, "REQUEST_VARIABLE_MISSING", format!("Missing '{name}' argument")),
        E::NotJson(name) => format!("{name} is not valid JSON"),
        E::MalformedJson => String::from("Malformed JSON"),
        E::MalformedPayload => String::from("Malformed payload"),
        E::Type(at, expected) => format!("{} is not {}", at.0, kind(*expected)),
        E::MissingKey(at) => format!("{} field is missing: Field required", at.0),
        E::ExtraKey { key, at } => format!("Argument \"{key}\" at {} is unexpected", at.0),
        E::TooLong { name, max } => format!("{name} is too long (limit: {max} characters)"),
        E::NotLength { name, length } => format!("{name} is not length {length}"),
        E::Format(name) => format!("{name} has invalid format"),
        E::NotAllowed(name) => format!("Invalid {name}"),
        E::Value { at, reason } => format!("Invalid {}: Value error, {reason}", at.0),
    };
    (400, BAD_REQUEST, msg)
}

const fn kind(expected: Expected) -> &'static str {
    match expected {
        Expected::Integer => "an integer",
        Expected::Text => "a string",
        Expected::List => "a list",
        Expected::Object => "a dict",
        Expected::Boolean => "a boolean",
        Expected::Float => "a float",
    }
}

#[cfg(test)]
mod tests {
    use super::{method_not_allowed, refused, success};
    use crate::push::refusal::{ParameterError, Place, Refusal};

    #[test]
    fn every_answer_is_one_object_and_a_line_break() {
        assert_eq!(success(serde_json::Map::new(), &[]).body, "{\"msg\":\"\",\"result\":\"success\"}\n");
        let reply = method_not_allowed(&["POST"]);
        assert_eq!((reply.status, reply.header("Allow")), (405, Some("POST")));
        assert_eq!(
            reply.body,
            "{\"allowed_methods\":[\"POST\"],\"msg\":\"Method Not Allowed\",\"result\":\"error\"}\n"
        );
        assert_eq!(refused(&Refusal::NotFound).status, 404);
    }

    #[test]
    fn plans_will_refuse_in_these_words() {
        let told = |refusal: &Refusal| {
            let reply = refused(refusal);
            let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            format!("{} {} {}", reply.status, body["code"].as_str().unwrap(), body["msg"].as_str().unwrap())
        };
        let sentence = "Your plan doesn't allow sending push notifications.";
        assert_eq!(told(&Refusal::NotAllowedOld), format!("400 INVALID_ZULIP_SERVER {sentence}"));
        let new = Refusal::NotAllowed { message: String::from("Missing data") };
        let expected =
            format!("400 PUSH_NOTIFICATIONS_DISALLOWED {sentence} Reason provided by the server: Missing data");
        assert_eq!(told(&new), expected);
        let at = Place::of("realms").index(0).key("org_type");
        let value = ParameterError::Value { at, reason: String::from("Not a valid org_type value") };
        let expected = r#"400 BAD_REQUEST Invalid realms[0]["org_type"]: Value error, Not a valid org_type value"#;
        assert_eq!(told(&Refusal::Parameter(value)), expected);
    }
}
