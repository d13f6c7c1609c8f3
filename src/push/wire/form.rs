//! Parameters: the form body first, then the query string; JSON texts inside them typed strictly.
//!
//! Source: sections 1.2 and 1.3 of the dialect.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::kernel::object::Call;
use crate::kernel::time::SAFE_INTEGER_MAX;
use crate::push::refusal::{Expected, ParameterError, Place};
use crate::push::uuid::Uuid;

/// The parameters of a request, each under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    body: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Form {
    /// The parameters of a call. A body of another type than a form's has none.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let is_form = call.content_type.as_deref().is_none_or(|kind| {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let body = if is_form { parse_pairs(&call.body) } else { Vec::new() };
        Self { body, query: parse_pairs(call.query.as_bytes()) }
    }

    /// The value of a parameter. Of several under one name the last counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let last = |pairs: &'_ [(String, String)]| pairs.iter().rposition(|(known, _)| known == name);
        let found = last(&self.body).and_then(|at| self.body.get(at));
        let found = found.or_else(|| last(&self.query).and_then(|at| self.query.get(at)));
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a required parameter.
    ///
    /// Errors: [`ParameterError::Missing`].
    pub fn need(&self, name: &str) -> Result<&str, ParameterError> {
        self.get(name).ok_or_else(|| ParameterError::Missing(name.to_owned()))
    }

    /// The JSON value of a parameter, if it is given.
    ///
    /// Errors: [`ParameterError::NotJson`].
    pub fn json(&self, name: &str) -> Result<Option<Value>, ParameterError> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|_| ParameterError::NotJson(name.to_owned()));
        self.get(name).map(parse).transpose()
    }

    /// The JSON value of a required parameter.
    ///
    /// Errors: [`ParameterError::Missing`], [`ParameterError::NotJson`].
    pub fn need_json(&self, name: &str) -> Result<Value, ParameterError> {
        self.json(name)?.ok_or_else(|| ParameterError::Missing(name.to_owned()))
    }

    /// The UUID of a parameter, if it is given.
    ///
    /// Errors: [`ParameterError::Format`].
    pub fn uuid(&self, name: &str) -> Result<Option<Uuid>, ParameterError> {
        let parse = |text: &str| Uuid::parse(text).ok_or_else(|| ParameterError::Format(name.to_owned()));
        self.get(name).map(parse).transpose()
    }

    /// The names of parameters that the endpoint does not know, sorted.
    #[must_use]
    pub fn ignored(&self, known: &[&str]) -> Vec<String> {
        let names = self.body.iter().chain(&self.query).map(|(name, _)| name.as_str());
        let unknown: BTreeSet<&str> = names.filter(|name| !known.contains(name)).collect();
        unknown.into_iter().map(str::to_owned).collect()
    }
}

fn parse_pairs(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// A fixed length.
///
/// Errors: [`ParameterError::NotLength`].
pub fn check_length(name: &str, value: &str, length: usize) -> Result<(), ParameterError> {
    if value.chars().count() == length {
        Ok(())
    } else {
        Err(ParameterError::NotLength { name: name.to_owned(), length })
    }
}

/// A greatest length.
///
/// Errors: [`ParameterError::TooLong`].
pub fn check_longest(name: &str, value: &str, max: usize) -> Result<(), ParameterError> {
    if value.chars().count() <= max { Ok(()) } else { Err(ParameterError::TooLong { name: name.to_owned(), max }) }
}

/// The bundle id of an app.
///
/// Errors: [`ParameterError::Format`].
pub fn check_app_id(name: &str, value: &str) -> Result<(), ParameterError> {
    let fits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    if fits { Ok(()) } else { Err(ParameterError::Format(name.to_owned())) }
}

/// The JSON body of a call.
///
/// Errors: [`ParameterError::MalformedPayload`], [`ParameterError::MalformedJson`].
pub fn parse_body(body: &[u8]) -> Result<Value, ParameterError> {
    let text = std::str::from_utf8(body).map_err(|_| ParameterError::MalformedPayload)?;
    serde_json::from_str(text).map_err(|_| ParameterError::MalformedJson)
}

/// A JSON value and where it stands.
#[derive(Debug, Clone)]
pub struct At<'a> {
    value: &'a Value,
    place: Place,
}

impl<'a> At<'a> {
    /// The value of a variable.
    #[must_use]
    pub fn new(name: &str, value: &'a Value) -> Self {
        Self { value, place: Place::of(name) }
    }

    /// The place, for errors.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    fn wrong(&self, expected: Expected) -> ParameterError {
        ParameterError::Type(self.place.clone(), expected)
    }

    /// An integer, not coerced, and one that storage carries.
    ///
    /// Errors: [`ParameterError::Type`], as for every reading here.
    pub fn integer(&self) -> Result<i64, ParameterError> {
        let number = self.value.as_i64().filter(|number| number.unsigned_abs() <= SAFE_INTEGER_MAX);
        number.ok_or_else(|| self.wrong(Expected::Integer))
    }

    /// A string.
    pub fn text(&self) -> Result<&'a str, ParameterError> {
        self.value.as_str().ok_or_else(|| self.wrong(Expected::Text))
    }

    /// A boolean.
    pub fn boolean(&self) -> Result<bool, ParameterError> {
        self.value.as_bool().ok_or_else(|| self.wrong(Expected::Boolean))
    }

    /// A number; an integer counts as one.
    pub fn float(&self) -> Result<f64, ParameterError> {
        self.value.as_f64().ok_or_else(|| self.wrong(Expected::Float))
    }

    /// An object.
    pub fn object(&self) -> Result<&'a Map<String, Value>, ParameterError> {
        self.value.as_object().ok_or_else(|| self.wrong(Expected::Object))
    }

    /// The elements of a list.
    pub fn list(&self) -> Result<Vec<Self>, ParameterError> {
        let list = self.value.as_array().ok_or_else(|| self.wrong(Expected::List))?;
        let at = |(index, value): (usize, &'a Value)| Self { value, place: self.place.index(index) };
        Ok(list.iter().enumerate().map(at).collect())
    }

    /// A list of strings.
    pub fn texts(&self) -> Result<Vec<String>, ParameterError> {
        self.list()?.iter().map(|at| at.text().map(str::to_owned)).collect()
    }

    /// A UUID.
    ///
    /// Errors: [`ParameterError::Format`] too.
    pub fn uuid(&self) -> Result<Uuid, ParameterError> {
        Uuid::parse(self.text()?).ok_or_else(|| ParameterError::Format(self.place.0.clone()))
    }

    /// A UUID of version 4, in any spelling.
    ///
    /// Errors: [`ParameterError::Format`] too.
    pub fn uuid_v4(&self) -> Result<Uuid, ParameterError> {
        let uuid = self.uuid()?;
        if uuid.is_v4() { Ok(uuid) } else { Err(ParameterError::Format(self.place.0.clone())) }
    }

    /// A member, if it is there.
    pub fn member(&self, key: &str) -> Result<Option<Self>, ParameterError> {
        Ok(self.object()?.get(key).map(|value| Self { value, place: self.place.key(key) }))
    }

    /// A member that may also be null.
    pub fn nullable(&self, key: &str) -> Result<Option<Self>, ParameterError> {
        Ok(self.member(key)?.filter(|at| !at.value.is_null()))
    }

    /// A member that must be there.
    ///
    /// Errors: [`ParameterError::MissingKey`] too.
    pub fn need(&self, key: &str) -> Result<Self, ParameterError> {
        self.member(key)?.ok_or_else(|| ParameterError::MissingKey(self.place.key(key)))
    }

    /// That there are no other members.
    ///
    /// Errors: [`ParameterError::ExtraKey`] too.
    pub fn only(&self, known: &[&str]) -> Result<(), ParameterError> {
        let extra = self.object()?.keys().find(|key| !known.contains(&key.as_str()));
        extra.map_or(Ok(()), |key| Err(ParameterError::ExtraKey { key: key.clone(), at: self.place.clone() }))
    }
}
