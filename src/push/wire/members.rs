//! JSON objects read member by member, so that a refusal points to what is wrong (RFC 6901) in words of the API.
//!
//! Stricter than derived readers: a list is no object, nothing stands there twice, and nothing unknown is passed over.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::push::operate::{Mistake, OperationError};
use crate::push::plan::Set;

/// The members of one object that are still to be read.
#[derive(Debug)]
pub(super) struct Members {
    pointer: String,
    left: Map<String, Value>,
}

/// What one value is read as.
///
/// Errors: what it must be, as the caller reads it.
pub(super) type Reading<T> = Result<T, String>;

fn mistake(pointer: String, detail: impl Into<String>) -> OperationError {
    OperationError::Body(Mistake { pointer, detail: detail.into() })
}

/// A pointer one step deeper.
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Members {
    /// The members of a body; an empty body has none.
    ///
    /// Errors: [`OperationError::NotJson`]; [`OperationError::Body`] for what is no object, and for members that stand
    /// there twice.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, OperationError> {
        if body.is_empty() {
            return Ok(Self { pointer: String::new(), left: Map::new() });
        }
        let twice = RefCell::new(None);
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let strict = Strict { pointer: String::new(), twice: &twice };
        let value = strict.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        match (value, twice.into_inner()) {
            (_, Some(pointer)) => Err(mistake(pointer, "stands there twice")),
            (Ok(value), None) => Self::of(String::new(), value),
            (Err(_), None) => Err(OperationError::NotJson),
        }
    }

    fn of(pointer: String, value: Value) -> Result<Self, OperationError> {
        match value {
            Value::Object(left) => Ok(Self { pointer, left }),
            _ => Err(mistake(pointer, "must be an object")),
        }
    }

    fn wrong(&self, name: &str, detail: impl Into<String>) -> OperationError {
        mistake(below(&self.pointer, name), detail)
    }

    /// A member that may be absent, or null, which is the same.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Reading<T>,
    ) -> Result<Option<T>, OperationError> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).map_err(|detail| self.wrong(name, detail)),
        }
    }

    /// A member that may be set to null, which is not the same as absent.
    pub(super) fn settable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Reading<T>,
    ) -> Result<Set<T>, OperationError> {
        match self.left.get(name) {
            None => Ok(Set::Keep),
            Some(_) => self.optional(name, read).map(Set::To),
        }
    }

    /// A member that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Reading<T>,
    ) -> Result<T, OperationError> {
        self.optional(name, read)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A member that is an object itself.
    pub(super) fn inner(&mut self, name: &str) -> Result<Option<Self>, OperationError> {
        let pointer = below(&self.pointer, name);
        let value = self.optional(name, Ok)?;
        value.map(|value| Self::of(pointer, value)).transpose()
    }

    /// A member that is an object itself and must be there.
    pub(super) fn required_inner(&mut self, name: &str) -> Result<Self, OperationError> {
        self.inner(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// That nothing unknown is left.
    pub(super) fn finish(self) -> Result<(), OperationError> {
        match self.left.keys().next() {
            Some(name) => Err(self.wrong(name, "is not known")),
            None => Ok(()),
        }
    }
}

/// True or false.
pub(super) fn flag(value: Value) -> Reading<bool> {
    value.as_bool().ok_or_else(|| String::from("must be true or false"))
}

/// A whole number.
pub(super) fn whole(value: Value) -> Reading<u64> {
    value.as_u64().ok_or_else(|| String::from("must be a whole number, not below 0"))
}

/// Text.
pub(super) fn text(value: Value) -> Reading<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(String::from("must be a text")),
    }
}

/// Text that is not too long.
pub(super) fn text_to(most: usize) -> impl FnOnce(Value) -> Reading<String> {
    move |value| {
        text(value).and_then(|text| {
            let fits = text.chars().count() <= most;
            if fits { Ok(text) } else { Err(format!("must have at most {most} characters")) }
        })
    }
}

/// One of the values that a number may have.
pub(super) fn one_of<T>(parse: impl FnOnce(u64) -> Option<T>) -> impl FnOnce(Value) -> Reading<T> {
    move |value| whole(value).and_then(|number| parse(number).ok_or_else(none_of_them))
}

/// That a value is none of those that there are.
pub(super) fn none_of_them() -> String {
    String::from("is none of the values that it may have")
}

/// Reads a value, and stops at a member that stands there twice.
struct Strict<'a> {
    pointer: String,
    twice: &'a RefCell<Option<String>>,
}

impl Strict<'_> {
    fn below(&self, name: &str) -> Self {
        Self { pointer: below(&self.pointer, name), twice: self.twice }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.below(&values.len().to_string()))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let inner = self.below(&name);
            if members.contains_key(&name) {
                self.twice.replace(Some(inner.pointer));
                return Err(A::Error::custom("twice"));
            }
            let value = object.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
