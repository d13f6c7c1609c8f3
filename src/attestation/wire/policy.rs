//! The policy document: read from operators and from storage, written to clients and to storage.

use serde_json::{Map, Value, json};

use super::body::{Body, NotJson, into_text, into_time};
use crate::attestation::field::{Field, parse_day};
use crate::attestation::policy::{Effect, Policy, PolicyClaim, Rules, RulesClaim, Sunset, check_policy};
use crate::attestation::version::{Version, VersionRange};
use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;

/// What a document has beside the rules, so that one that was read can be changed and written back.
const OUR_OWN: [&str; 3] = ["sunset_date", "policy_epoch", "updated_at"];

/// Reads a policy. JSON that is no object is none: taken for an empty one it would reset everything.
pub(in crate::attestation) fn parse_policy(bytes: &[u8]) -> Result<PolicyClaim, NotJson> {
    let Value::Object(members) = serde_json::from_slice(bytes).map_err(|_| NotJson)? else { return Err(NotJson) };
    let mut body = Body(members);
    for name in OUR_OWN {
        body.0.remove(name);
    }
    let platforms = body.member("platforms", |value| {
        let Value::Object(members) = value else { return None };
        let rules = |value: Value| match value {
            Value::Object(members) => Field::Given(rules_claim(Body(members))),
            _ => Field::Wrong,
        };
        Some(members.into_iter().map(|(platform, value)| (platform, rules(value))).collect())
    });
    Ok(PolicyClaim { general: rules_claim(body), platforms })
}

fn rules_claim(mut body: Body) -> RulesClaim {
    RulesClaim {
        minimum_version: body.text("minimum_version"),
        recommended_version: body.text("recommended_version"),
        blocked_versions: body.member("blocked_versions", texts),
        blocked_builds: body.member("blocked_builds", texts),
        sunset_dates: body.member("sunset_dates", |value| {
            let Value::Object(members) = value else { return None };
            Some(members.into_iter().map(|(range, time)| (range, sunset_time(&time))).collect())
        }),
        unknown: body.0.keys().cloned().collect(),
    }
}

fn texts(value: Value) -> Option<Vec<Field<String>>> {
    let Value::Array(items) = value else { return None };
    Some(items.into_iter().map(|item| into_text(item).map_or(Field::Wrong, Field::Given)).collect())
}

/// A time as documents of the field write it: a day, ISO 8601, or milliseconds.
fn sunset_time(value: &Value) -> Field<(Timestamp, String)> {
    let day = value.as_str().and_then(parse_day);
    let Some(at) = day.or_else(|| into_time(value)) else { return Field::Wrong };
    Field::Given((at, value.as_str().map_or_else(|| at.to_iso(), str::to_owned)))
}

/// The document: as it is answered, signed and stored.
pub(in crate::attestation) fn encode_policy(policy: &Policy) -> String {
    let mut members = rules_members(&policy.general);
    let own = policy.rules_by_platform.iter().map(|(platform, rules)| {
        let members = rules_members(rules).into_iter().filter(|(_, value)| !is_empty(value));
        (platform.clone(), Value::Object(members.collect()))
    });
    members.insert(String::from("platforms"), Value::Object(own.collect()));
    let first_sunset = policy.first_sunset().map(|sunset| sunset.written.as_str());
    members.insert(String::from("sunset_date"), json!(first_sunset));
    members.insert(String::from("policy_epoch"), json!(policy.epoch));
    members.insert(String::from("updated_at"), json!(policy.updated_at));
    Value::Object(members).to_string()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn rules_members(rules: &Rules) -> Map<String, Value> {
    let version = |version: &Option<Version>| json!(version.as_ref().map(Version::to_string));
    let sunsets = rules.sunset.iter().map(|Sunset { range, written, .. }| (range.as_str().to_owned(), json!(written)));
    let blocked: Vec<&str> = rules.blocked.iter().map(VersionRange::as_str).collect();
    let members = [
        ("minimum_version", version(&rules.minimum)),
        ("recommended_version", version(&rules.recommended)),
        ("blocked_versions", json!(blocked)),
        ("blocked_builds", json!(rules.blocked_builds)),
        ("sunset_dates", Value::Object(sunsets.collect())),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads a stored document.
///
/// Errors: [`Fault::Corrupt`] when it is none of ours.
pub(in crate::attestation) fn parse_stored_policy(document: &str) -> Result<Policy, Fault> {
    let corrupt = || Fault::Corrupt(String::from("the stored policy is none"));
    let claim = parse_policy(document.as_bytes()).map_err(|NotJson| corrupt())?;
    let value: Value = serde_json::from_str(document).map_err(|_| corrupt())?;
    let number = |name: &str| value.get(name).and_then(Value::as_u64).ok_or_else(corrupt);
    let updated_at = Timestamp::from_millis(number("updated_at")?);
    check_policy(claim, number("policy_epoch")?, updated_at).map_err(|_| corrupt())
}

/// The answer to a change, or to a rehearsal of one.
pub(in crate::attestation) fn encode_change(document: &str, effect: Effect, dry_run: DryRun) -> String {
    let Effect { devices, locked_out, let_in } = effect;
    let effect = format!(r#"{{"devices":{devices},"locked_out":{locked_out},"let_in":{let_in}}}"#);
    let dry_run = matches!(dry_run, DryRun::Yes);
    format!(r#"{{"success":true,"policy":{document},"dry_run":{dry_run},"effect":{effect}}}"#)
}

/// Whether a change is only rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::attestation) enum DryRun {
    Yes,
    No,
}

/// Reads `dry_run` of a query string.
pub(in crate::attestation) fn parse_dry_run(query: &str) -> DryRun {
    match query_value(query, "dry_run") {
        Some("true" | "1") => DryRun::Yes,
        _ => DryRun::No,
    }
}

/// The value of a query parameter, as it stands there.
pub(in crate::attestation) fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// What the log says about a change.
pub(in crate::attestation) fn encode_log_policy(document: &str, effect: Effect) -> String {
    format!(r#"{{"policy":{document},"locked_out":{}}}"#, effect.locked_out)
}
