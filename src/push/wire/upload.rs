//! The upload of usage: a form whose values are JSON texts.
//!
//! Good tables are read into rows at once. Only when one is not good is it read again, slowly, to name the first place
//! that is wrong.
//!
//! Source: sections 1.3 and 1.15 of the dialect.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::audit::parse_extra;
use super::form::{At, Form, check_longest};
use super::realm_report::parse_reports;
use crate::kernel::object::Call;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::count::{Property, SUBGROUP_CHARS_MAX};
use crate::push::refusal::{Expected, ParameterError, Place};
use crate::push::upload::{About, AuditRow, CountRow, Extra, Upload, VERSION_CHARS_MAX};

const KNOWN: [&str; 7] = [
    "realm_counts",
    "installation_counts",
    "realmauditlog_rows",
    "realms",
    "version",
    "merge_base",
    "api_feature_level",
];

/// Reads `server/analytics`.
///
/// Errors: section 1.3.
pub fn parse_upload(call: &Call) -> Result<Upload, ParameterError> {
    let form = Form::of(call);
    let realm_counts = parse_counts("realm_counts", form.need("realm_counts")?, Owner::Realm)?;
    let installation_counts =
        parse_counts("installation_counts", form.need("installation_counts")?, Owner::Installation)?;
    let audit_rows = given(&form, "realmauditlog_rows").map(parse_audit).transpose()?;
    let realms = given(&form, "realms").map(parse_reports).transpose()?;
    let about = parse_about(&form)?;
    Ok(Upload { realm_counts, installation_counts, audit_rows, realms, about, ignored: form.ignored(&KNOWN) })
}

/// The text of an optional parameter; `null` is as good as absent.
fn given<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.get(name).filter(|text| text.trim() != "null")
}

fn parse_about(form: &Form) -> Result<About, ParameterError> {
    let text = |name: &str| -> Result<Option<String>, ParameterError> {
        let value = form.json(name)?.filter(|value| !value.is_null());
        value.map(|value| At::new(name, &value).text().map(str::to_owned)).transpose()
    };
    let version = text("version")?.map(|version| version.chars().take(VERSION_CHARS_MAX).collect());
    let merge_base = text("merge_base")?;
    if let Some(merge_base) = &merge_base {
        check_longest("merge_base", merge_base, VERSION_CHARS_MAX)?;
    }
    let level = form.json("api_feature_level")?.filter(|value| !value.is_null());
    let api_feature_level = match level {
        None => None,
        Some(value) => {
            let at = At::new("api_feature_level", &value);
            let level = u64::try_from(at.integer()?);
            Some(level.map_err(|_| ParameterError::Type(at.place().clone(), Expected::Integer))?)
        }
    };
    Ok(About { version, merge_base, api_feature_level })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Realm,
    Installation,
}

#[derive(Deserialize)]
struct CountText<'a> {
    id: i64,
    realm: Option<i64>,
    #[serde(borrow)]
    property: Cow<'a, str>,
    end_time: f64,
    #[serde(borrow, deserialize_with = "present")]
    subgroup: Option<Cow<'a, str>>,
    value: i64,
}

#[derive(Deserialize)]
struct AuditText<'a> {
    id: i64,
    realm: i64,
    event_time: f64,
    backfilled: bool,
    #[serde(borrow)]
    extra_data: &'a RawValue,
    event_type: i64,
}

/// A member that may be null and must be there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Option::deserialize(deserializer)
}

fn parse_counts(name: &str, text: &str, owner: Owner) -> Result<Vec<CountRow>, ParameterError> {
    if let Ok(rows) = serde_json::from_str::<Vec<CountText<'_>>>(text) {
        let rows: Option<Vec<CountRow>> = rows.into_iter().map(|row| count_row(row, owner)).collect();
        if let Some(rows) = rows {
            return Ok(rows);
        }
    }
    let value: Value = serde_json::from_str(text).map_err(|_| ParameterError::NotJson(name.to_owned()))?;
    At::new(name, &value).list()?.iter().map(|row| slow_count(row, owner)).collect()
}

/// The row, unless something of it cannot be kept.
fn count_row(row: CountText<'_>, owner: Owner) -> Option<CountRow> {
    let realm = match owner {
        Owner::Realm => Some(row.realm.filter(is_safe)?),
        Owner::Installation => None,
    };
    let fits = row.subgroup.as_ref().is_none_or(|subgroup| subgroup.chars().count() <= SUBGROUP_CHARS_MAX);
    Some(CountRow {
        remote_id: Some(row.id).filter(is_safe)?,
        realm,
        property: Property::parse(&row.property),
        end_time: time(row.end_time)?,
        subgroup: row.subgroup.filter(|_| fits).map(Cow::into_owned),
        value: Some(row.value).filter(|value| fits && is_safe(value))?,
    })
}

fn slow_count(row: &At<'_>, owner: Owner) -> Result<CountRow, ParameterError> {
    let property = row.need("property")?.text()?;
    let realm = match owner {
        Owner::Realm => Some(row.need("realm")?.integer()?),
        Owner::Installation => None,
    };
    let remote_id = row.need("id")?.integer()?;
    let end_time = slow_time(&row.need("end_time")?)?;
    row.need("subgroup")?;
    let subgroup = match row.nullable("subgroup")? {
        None => None,
        Some(at) => {
            check_longest(&at.place().0, at.text()?, SUBGROUP_CHARS_MAX)?;
            Some(at.text()?.to_owned())
        }
    };
    let value = row.need("value")?.integer()?;
    Ok(CountRow { remote_id, realm, property: Property::parse(property), end_time, subgroup, value })
}

fn parse_audit(text: &str) -> Result<Vec<AuditRow>, ParameterError> {
    const NAME: &str = "realmauditlog_rows";
    if let Ok(rows) = serde_json::from_str::<Vec<AuditText<'_>>>(text) {
        let rows: Option<Vec<AuditRow>> = rows.iter().map(audit_row).collect();
        if let Some(rows) = rows {
            return Ok(rows);
        }
    }
    let value: Value = serde_json::from_str(text).map_err(|_| ParameterError::NotJson(NAME.to_owned()))?;
    At::new(NAME, &value).list()?.iter().map(slow_audit).collect()
}

fn audit_row(row: &AuditText<'_>) -> Option<AuditRow> {
    Some(AuditRow {
        remote_id: Some(row.id).filter(is_safe)?,
        realm: Some(row.realm).filter(is_safe)?,
        event_time: time(row.event_time)?,
        backfilled: row.backfilled,
        event_type: row.event_type,
        extra: extra(row.extra_data.get())?,
    })
}

/// What stands in `extra_data`; nothing when it is of a type that may not stand there.
fn extra(raw: &str) -> Option<Extra> {
    match raw.bytes().next()? {
        b'n' => Some(parse_extra("{}")),
        b'{' => Some(parse_extra(raw)),
        b'"' => serde_json::from_str::<Cow<'_, str>>(raw).ok().map(|text| parse_extra(&text)),
        _ => None,
    }
}

fn slow_audit(row: &At<'_>) -> Result<AuditRow, ParameterError> {
    let remote_id = row.need("id")?.integer()?;
    let realm = row.need("realm")?.integer()?;
    let event_time = slow_time(&row.need("event_time")?)?;
    let backfilled = row.need("backfilled")?.boolean()?;
    let at = row.need("extra_data")?;
    let extra = match row.nullable("extra_data")? {
        None => parse_extra("{}"),
        Some(at) => match at.object() {
            Ok(object) => parse_extra(&Value::Object(object.clone()).to_string()),
            Err(_) => parse_extra(at.text()?),
        },
    };
    let event_type = row.need("event_type")?.integer()?;
    drop(at);
    Ok(AuditRow { remote_id, realm, event_time, backfilled, event_type, extra })
}

const fn is_safe(number: &i64) -> bool {
    number.unsigned_abs() <= SAFE_INTEGER_MAX
}

/// Seconds since 1970 with decimals. Nothing for a time that no clock shows.
pub(super) fn time(seconds: f64) -> Option<Timestamp> {
    // The year 9999, in which the dialect's own times end.
    const LAST: f64 = 253_402_300_799.0;
    if !(0.0..=LAST).contains(&seconds) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 2^48")]
    let ms = (seconds * 1_000.0).round() as u64;
    Some(Timestamp::from_millis(ms))
}

pub(super) fn slow_time(at: &At<'_>) -> Result<Timestamp, ParameterError> {
    let wrong = |place: &Place| ParameterError::Value { at: place.clone(), reason: String::from("Out of range") };
    time(at.float()?).ok_or_else(|| wrong(at.place()))
}
