//! Bootstrap: the registry of relay servers and the signed list by which clients find one.
//!
//! # Routes
//!
//! | route | what |
//! | --- | --- |
//! | `POST /servers` | register, or overwrite one's registration |
//! | `POST /servers/heartbeat` | stay listed; answers the other living servers |
//! | `DELETE /servers/{id}` | leave, with the registry secret or a signature by the server's key |
//! | `GET /servers` | the list, signed by every signing key |
//! | `GET /servers/keys` | the public keys, current first |
//!
//! # Invariants
//!
//! - The list is never answered unsigned; it is ASCII, sorted by `serverId`, and all its numbers are integers.
//! - A signed request counts once. What its signature does not cover cannot make it count twice.
//! - At most [`registry::SERVERS_MAX`] servers and [`admission::PROOFS_MAX`] used nonces are kept.
//! - A read never writes. A heartbeat writes at most one row, and in steady state hardly ever that one ([`liveness`]).
//! - Registration and removal are stored before they are answered.
//!
//! # Where the state lives
//!
//! The whole registry is in memory, rebuilt at start from `server` (one row per registration) and `liveness` (one row
//! for all). What a stop without warning may cost: signs of life of the last flush interval, and the nonces of
//! heartbeats, for which the signed time stands in ([`proof`]). Used nonces of registrations and removals are in
//! `proof` until they could not be replayed anyway. The signed copy of the list is in memory only.
//!
//! Reading order: [`registry`] (what is kept), [`admission`] (who gets in, stays in and out), [`endpoint`] and
//! [`proof`] (what admission checks), [`liveness`] (when heartbeats are written down), [`list`] (when to sign again),
//! `wire`, `store`, [`object`].

pub mod admission;
pub mod endpoint;
pub mod list;
pub mod liveness;
pub mod member;
pub mod object;
pub mod proof;
pub mod registry;
mod store;
mod wire;

pub use object::{MIGRATIONS, ServerRegistry};
