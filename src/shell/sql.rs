//! The SQL port over a Durable Object's SQLite.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::{DurableObjectStorage, SqlStorage};

use super::ambient::platform;
use super::bindings::{commit_all, read_all};
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::SAFE_INTEGER_MAX;

/// The platform's limits, which local workerd does not enforce.
const PARAMS_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 2_000_000;

/// One object's database.
pub(super) struct ObjectSql {
    storage: DurableObjectStorage,
    sql: SqlStorage,
}

impl ObjectSql {
    pub(super) fn new(storage: DurableObjectStorage) -> Self {
        let sql = storage.sql();
        Self { storage, sql }
    }

    pub(super) const fn storage(&self) -> &DurableObjectStorage {
        &self.storage
    }
}

impl Sql for ObjectSql {
    fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        let rows = read_all(&self.sql, statement.sql, params_to_js(&statement)?).map_err(|error| storage(&error))?;
        rows.iter()
            .map(|row| Array::from(&row).iter().map(|cell| from_js(&cell)).collect::<Result<_, _>>().map(Row))
            .collect()
    }

    fn commit(&self, batch: Vec<Statement>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        let (statements, params) = (Array::new(), Array::new());
        for statement in &batch {
            statements.push(&JsValue::from_str(statement.sql));
            params.push(params_to_js(statement)?.as_ref());
        }
        commit_all(&self.storage, statements, params).map_err(|error| storage(&error))
    }
}

fn storage(error: &JsValue) -> Fault {
    Fault::Storage(platform(error).to_string())
}

fn params_to_js(statement: &Statement) -> Result<Array, Fault> {
    if statement.params.len() > PARAMS_MAX {
        return Err(Fault::Storage(format!("more than {PARAMS_MAX} parameters: {}", statement.sql)));
    }
    let array = Array::new();
    for value in &statement.params {
        array.push(&to_js(value)?);
    }
    Ok(array)
}

fn to_js(value: &Value) -> Result<JsValue, Fault> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    if length > VALUE_BYTES_MAX {
        return Err(Fault::Storage(format!("a value of {length} bytes is too large for a row")));
    }
    Ok(match value {
        Value::Null => JsValue::NULL,
        // Exact: integers beyond 2^53 are refused below.
        #[allow(clippy::cast_precision_loss)]
        Value::Integer(number) if number.unsigned_abs() <= SAFE_INTEGER_MAX => JsValue::from_f64(*number as f64),
        Value::Integer(number) => return Err(Fault::Storage(format!("{number} is beyond 2^53"))),
        Value::Real(number) => JsValue::from_f64(*number),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(bytes.as_slice()).into(),
    })
}

fn from_js(cell: &JsValue) -> Result<Value, Fault> {
    if cell.is_null() || cell.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(number) = cell.as_f64() {
        // Whole numbers come back as numbers, whatever the column's type.
        #[allow(clippy::cast_possible_truncation)]
        let whole = js_sys::Number::is_safe_integer(cell).then_some(number as i64);
        return Ok(whole.map_or(Value::Real(number), Value::Integer));
    }
    if let Some(text) = cell.as_string() {
        return Ok(Value::Text(text));
    }
    if cell.is_instance_of::<js_sys::ArrayBuffer>() || cell.is_instance_of::<Uint8Array>() {
        return Ok(Value::Blob(Uint8Array::new(cell).to_vec()));
    }
    Err(Fault::Corrupt(String::from("a column of an unknown type")))
}
