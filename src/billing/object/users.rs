//! Billing users as operators see them.

use crate::billing::store;
use crate::billing::user::BillingUser;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::push::uuid::Uuid;

/// Users of a server and its organizations, by number, closed accounts too.
///
/// Errors: [`Fault`] when storage is not readable; so for everything here.
pub fn users_page(sql: &dyn Sql, server: &Uuid, after: u64, limit: u64) -> Result<Vec<BillingUser>, Fault> {
    store::user::page(sql, server, after, limit)
}

/// One of them.
pub fn user_of(sql: &dyn Sql, server: &Uuid, user_id: u64) -> Result<Option<BillingUser>, Fault> {
    store::user::by_id(sql, server, user_id)
}

/// Closes an account. Sessions and links look it up, so they end with it.
#[must_use]
pub fn close_user(user: &BillingUser) -> Statement {
    store::user::put(&BillingUser { is_active: false, ..user.clone() })
}
