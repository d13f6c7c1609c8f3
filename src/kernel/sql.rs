//! The SQL port: one way to read, one way to write.
//!
//! Nothing else reaches the storage. A room reads with [`Sql::read`], decides, and writes everything the event changes
//! with a single [`Sql::commit`], which either happens whole or not at all.

use super::fault::Fault;
use super::time::{SAFE_INTEGER_MAX, Timestamp};

/// One SQL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// An integer; within ±(2^53 - 1), because JavaScript carries it.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// UTF-8 text; at most 2 MB a row on the platform.
    Text(String),
    /// Bytes; at most 2 MB a row on the platform.
    Blob(Vec<u8>),
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::from(time.as_millis())
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number.min(SAFE_INTEGER_MAX)).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A statement with its positional parameters.
///
/// Limits: the text is constant (the platform caches compiled statements by text); at most 100 parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// SQL with `?` placeholders, numbered (`?1`) or not.
    pub sql: &'static str,
    /// Values for the placeholders, in order.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement with parameters.
    #[must_use]
    pub const fn new(sql: &'static str, params: Vec<Value>) -> Self {
        Self { sql, params }
    }

    /// A statement without parameters.
    #[must_use]
    pub const fn plain(sql: &'static str) -> Self {
        Self { sql, params: Vec::new() }
    }
}

/// One row of an answer, columns in the order of the `SELECT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn column(&self, index: usize) -> Result<&Value, Fault> {
        self.0.get(index).ok_or_else(|| Fault::Corrupt(format!("row has no column {index}")))
    }

    /// The integer in column `index`.
    ///
    /// Errors: [`Fault::Corrupt`] when the column is missing or of another type; so for every getter here.
    pub fn integer(&self, index: usize) -> Result<i64, Fault> {
        match self.column(index)? {
            Value::Integer(number) => Ok(*number),
            other => Err(Fault::Corrupt(format!("column {index}: integer expected, {} found", kind(other)))),
        }
    }

    /// The integer in column `index`, not negative.
    pub fn unsigned(&self, index: usize) -> Result<u64, Fault> {
        u64::try_from(self.integer(index)?).map_err(|_| Fault::Corrupt(format!("column {index}: negative")))
    }

    /// The time in column `index`, stored as integer milliseconds.
    pub fn time(&self, index: usize) -> Result<Timestamp, Fault> {
        Ok(Timestamp::from_millis(self.unsigned(index)?))
    }

    /// The text in column `index`.
    pub fn text(&self, index: usize) -> Result<&str, Fault> {
        match self.column(index)? {
            Value::Text(text) => Ok(text),
            other => Err(Fault::Corrupt(format!("column {index}: text expected, {} found", kind(other)))),
        }
    }

    /// The text in column `index`, or nothing for `NULL`.
    pub fn text_or_null(&self, index: usize) -> Result<Option<&str>, Fault> {
        match self.column(index)? {
            Value::Null => Ok(None),
            _ => self.text(index).map(Some),
        }
    }

    /// The integer in column `index`, or nothing for `NULL`.
    pub fn unsigned_or_null(&self, index: usize) -> Result<Option<u64>, Fault> {
        match self.column(index)? {
            Value::Null => Ok(None),
            _ => self.unsigned(index).map(Some),
        }
    }

    /// The bytes in column `index`.
    pub fn blob(&self, index: usize) -> Result<&[u8], Fault> {
        match self.column(index)? {
            Value::Blob(bytes) => Ok(bytes),
            other => Err(Fault::Corrupt(format!("column {index}: blob expected, {} found", kind(other)))),
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Text(_) => "text",
        Value::Blob(_) => "blob",
    }
}

/// An object's own SQLite database.
pub trait Sql {
    /// Runs one `SELECT` and returns all its rows.
    ///
    /// Errors: [`Fault::Storage`].
    fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault>;

    /// Runs all statements in one transaction; an empty batch does nothing and costs nothing.
    ///
    /// Errors: [`Fault::Storage`]; then none of them has happened.
    fn commit(&self, batch: Vec<Statement>) -> Result<(), Fault>;
}
