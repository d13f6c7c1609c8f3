//! The stateless front: from a request to an answer, or to the one object that can answer.
//!
//! A request runs straight down: [`limiter`] (is this client too fast?) → [`find`] (which row of [`routes`]?) →
//! [`auth`] (who calls, and may they?) → body limit → [`enter`] (answer here, or a [`Call`](crate::kernel::object::Call)
//! for an object) → [`finish`] (the headers that every answer carries, `304`, `HEAD`).
//!
//! Nothing here touches the platform or keeps state that must survive: the limiter and the list cache may vanish at any
//! time without anybody being worse off.

pub mod about;
pub mod admissions;
pub mod auth;
pub mod dialect;
pub mod docs;
pub mod enter;
pub mod find;
pub mod finish;
pub mod head;
pub mod limiter;
pub mod list_cache;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod openapi;
pub mod routes;
