//! Reading the members of a JSON object as pydantic does, and collecting all that is wrong with them.

use serde_json::{Map, Value};

use super::problem::Invalid;

/// An object whose members are taken out one by one.
#[derive(Debug)]
pub struct Members {
    members: Map<String, Value>,
    loc: Vec<String>,
    /// What is wrong so far.
    pub wrong: Vec<Invalid>,
}

/// The object of a request's body.
///
/// Errors: it is none.
pub fn parse_body(bytes: &[u8]) -> Result<Members, Vec<Invalid>> {
    let loc = vec![String::from("body")];
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(vec![Invalid::missing(loc, Value::Null)]);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| vec![Invalid::not_json(error.column())])?;
    Members::of(value, loc).map_err(|wrong| vec![wrong])
}

/// A text's limits. Units: characters.
#[derive(Debug, Clone, Copy)]
pub struct Chars {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

impl Members {
    /// The members of `value`, which stands at `loc`.
    ///
    /// Errors: it has none.
    pub fn of(value: Value, loc: Vec<String>) -> Result<Self, Invalid> {
        match value {
            Value::Object(members) => Ok(Self { members, loc, wrong: Vec::new() }),
            other => Err(Invalid::new("dict_type", loc, "Input should be a valid dictionary", other)),
        }
    }

    /// The place of a member.
    #[must_use]
    pub fn at(&self, name: &str) -> Vec<String> {
        let mut loc = self.loc.clone();
        loc.push(name.to_owned());
        loc
    }

    /// Whether there is a member of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member as it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// A member that must be there.
    pub fn need(&mut self, name: &str) -> Option<Value> {
        let value = self.members.remove(name);
        if value.is_none() {
            let input = Value::Object(self.members.clone());
            self.wrong.push(Invalid::missing(self.at(name), input));
        }
        value
    }

    /// Notes what is wrong with a member.
    pub fn blame(&mut self, name: &str, kind: &'static str, msg: impl Into<String>, input: Value) {
        self.wrong.push(Invalid::new(kind, self.at(name), msg, input));
    }

    /// A text that must be there. What is returned for a wrong one does not matter.
    pub fn text(&mut self, name: &str, chars: Chars) -> String {
        self.need(name).and_then(|value| self.read_text(name, value, chars)).unwrap_or_default()
    }

    /// A text that may be there; `null` is none.
    pub fn optional_text(&mut self, name: &str, chars: Chars) -> Option<String> {
        match self.take(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.read_text(name, value, chars),
        }
    }

    fn read_text(&mut self, name: &str, value: Value, chars: Chars) -> Option<String> {
        let Value::String(text) = value else {
            self.blame(name, "string_type", "Input should be a valid string", value);
            return None;
        };
        let count = text.chars().count();
        if count < chars.min {
            let msg = format!("String should have at least {}", characters(chars.min));
            let wrong = Invalid::new("string_too_short", self.at(name), msg, Value::from(text));
            self.wrong.push(wrong.with("min_length", chars.min));
            return None;
        }
        if count > chars.max {
            let msg = format!("String should have at most {}", characters(chars.max));
            let wrong = Invalid::new("string_too_long", self.at(name), msg, Value::from(text));
            self.wrong.push(wrong.with("max_length", chars.max));
            return None;
        }
        Some(text)
    }

    /// A whole number that must be there.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> i64 {
        self.need(name).and_then(|value| self.read_integer(name, value, min, max)).unwrap_or(min)
    }

    /// A whole number that may be there; `null` is none.
    pub fn optional_integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        match self.take(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.read_integer(name, value, min, max),
        }
    }

    fn read_integer(&mut self, name: &str, value: Value, min: i64, max: i64) -> Option<i64> {
        let number = match whole(&value) {
            Ok(number) => number,
            Err(kind) => {
                let msg = match kind {
                    "int_from_float" => "Input should be a valid integer, got a number with a fractional part",
                    "int_parsing" => "Input should be a valid integer, unable to parse string as an integer",
                    _ => "Input should be a valid integer",
                };
                self.blame(name, kind, msg, value);
                return None;
            }
        };
        if number < min {
            let msg = format!("Input should be greater than or equal to {min}");
            self.wrong.push(Invalid::new("greater_than_equal", self.at(name), msg, value).with("ge", min));
            return None;
        }
        if number > max {
            let msg = format!("Input should be less than or equal to {max}");
            self.wrong.push(Invalid::new("less_than_equal", self.at(name), msg, value).with("le", max));
            return None;
        }
        Some(number)
    }

    /// The names of all members.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    /// A number from 0 to `max` that must be there, rounded.
    pub fn number(&mut self, name: &str, max: f64) -> u32 {
        let Some(value) = self.need(name) else { return 0 };
        match value.as_f64() {
            // Within the limits, so nothing is cut off.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to max")]
            Some(number) if (0.0..=max).contains(&number) => number.round() as u32,
            _ => {
                self.blame(name, "number_range", format!("Input should be a number from 0 to {max}"), value);
                0
            }
        }
    }

    /// Yes or no, which may be there.
    pub fn optional_truth(&mut self, name: &str) -> Option<bool> {
        match self.take(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(truth)) => Some(truth),
            Some(value) => {
                self.blame(name, "bool_type", "Input should be a valid boolean", value);
                None
            }
        }
    }

    /// An object within, which must be there.
    pub fn object(&mut self, name: &str) -> Option<Self> {
        let value = self.need(name)?;
        let inner = Self::of(value, self.at(name));
        inner.map_err(|wrong| self.wrong.push(wrong)).ok()
    }

    /// `value`, unless anything was wrong.
    ///
    /// Errors: all that was.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Invalid>> {
        if self.wrong.is_empty() { Ok(value) } else { Err(self.wrong) }
    }
}

fn characters(count: usize) -> String {
    format!("{count} character{}", if count == 1 { "" } else { "s" })
}

/// A whole number as pydantic takes it: also a float without fraction and a numeric string.
///
/// Errors: the kind of what is wrong.
fn whole(value: &Value) -> Result<i64, &'static str> {
    match value {
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                return Ok(number);
            }
            let float = number.as_f64().unwrap_or(f64::NAN);
            if float.fract() != 0.0 {
                return Err("int_from_float");
            }
            // Saturates; the limits refuse what is out of range.
            #[allow(clippy::cast_possible_truncation, reason = "saturates")]
            Ok(float as i64)
        }
        Value::String(text) => text.trim().parse().map_err(|_| "int_parsing"),
        _ => Err("int_type"),
    }
}
