//! The only files that know the platform.
//!
//! `shim.mjs` is the module that the runtime loads. It instantiates the WASM module, exports one class per Durable
//! Object, and hands every event to an export of this folder: requests to [`fetch`], an object's events to [`host`].
//! Those turn JavaScript values into kernel values, call a rule, and perform the [`Action`](crate::kernel::object::Action)s
//! it returned. No rule stands here.
//!
//! The `worker` crate's own `#[durable_object]` and `#[event]` glue is not used: it builds a request, a future and a
//! proxy per call and costs a third more CPU per relayed message, and a panic under it leaves requests hanging. Its
//! bindings are.

pub mod fetch;
pub mod host;

mod ambient;
mod bindings;
mod errands;
mod objects;
mod rooms;
mod sql;
