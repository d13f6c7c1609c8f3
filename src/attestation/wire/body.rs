//! A JSON object as the rules want to see it: members of the right type, of the wrong type, or missing.

use serde_json::{Map, Value};

use crate::attestation::field::{Field, parse_iso};
use crate::attestation::reference::Number;
use crate::kernel::keys::parse_base64;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};

/// The body is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::attestation) struct NotJson;

/// The members of an object. JSON of another kind has none.
#[derive(Debug, Clone, Default)]
pub(in crate::attestation) struct Body(pub(super) Map<String, Value>);

/// Reads a body.
pub(super) fn parse_body(bytes: &[u8]) -> Result<Body, NotJson> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| NotJson)?;
    Ok(Body::of(value))
}

/// Whether JavaScript would take a value for false, which is what "missing" means in the field's protocol.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

impl Body {
    /// The members of `value`.
    pub(super) fn of(value: Value) -> Self {
        match value {
            Value::Object(members) => Self(members),
            _ => Self::default(),
        }
    }

    fn take(&mut self, name: &str) -> Field<Value> {
        match self.0.remove(name) {
            None => Field::Missing,
            Some(value) if is_falsy(&value) => Field::Missing,
            Some(value) => Field::Given(value),
        }
    }

    /// A member read by `read`.
    pub(super) fn member<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Option<T>) -> Field<T> {
        self.take(name).and_then(read)
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str) -> Field<String> {
        self.member(name, into_text)
    }

    /// Bytes in base64 of either alphabet.
    pub(super) fn base64(&mut self, name: &str) -> Field<Vec<u8>> {
        self.text(name).and_then(|text| parse_base64(&text))
    }

    /// A time: whole milliseconds, or ISO 8601 with an offset.
    pub(super) fn time(&mut self, name: &str) -> Field<Timestamp> {
        self.member(name, |value| into_time(&value))
    }

    /// A number of any kind.
    pub(super) fn number(&mut self, name: &str) -> Field<Number> {
        self.member(name, |value| value.as_f64().map(Number))
    }
}

/// A string's text.
pub(super) fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A time: whole milliseconds, or ISO 8601 with an offset.
pub(super) fn into_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_u64().filter(|ms| *ms <= SAFE_INTEGER_MAX).map(Timestamp::from_millis),
        Value::String(text) => parse_iso(text),
        _ => None,
    }
}
