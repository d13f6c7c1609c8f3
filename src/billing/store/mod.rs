//! SQL ↔ values of billing users.

pub(super) mod mail;
pub(super) mod user;

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::Row;

/// The tables of a desk, for an object that hosts one beside its own and applies them under a number of its own.
pub(super) const SCHEMA: &str = include_str!("../../../migrations/billing_desk/0001_billing.sql");

/// Schema versions of an object that hosts nothing but a desk.
pub(super) const MIGRATIONS: &[Migration] = &[Migration { version: 1, name: "billing", sql: SCHEMA }];

/// Forgets everybody.
pub(super) const PURGE: [&str; 3] =
    ["DELETE FROM billing_user", "DELETE FROM billing_preregistration", "DELETE FROM billing_mail"];

/// Forgets everybody of one organization. Letters that wait go within a day.
pub(super) const PURGE_REALM: [&str; 2] =
    ["DELETE FROM billing_user WHERE realm = ?1", "DELETE FROM billing_preregistration WHERE realm = ?1"];

fn single(rows: &[Row]) -> Result<&Row, Fault> {
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))
}

fn corrupt(what: &str) -> Fault {
    Fault::Corrupt(format!("{what} is not what we write"))
}
