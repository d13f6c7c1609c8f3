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
//! for all). What a stop without warning may cost: signs of life since the last flush, but never a server that was
//! heard within the last half of its life ([`liveness`]); and the nonces of heartbeats, for which the signed time
//! stands in ([`proof`]). Used nonces of registrations and removals are in
//! `proof` until they could not be replayed anyway. The signed copy of the list is in memory only.
//!
//! # Who may do what
//!
//! Holders of the registry secret and operators may register, beat and remove under any id. In an open development
//! service everybody may, except that a living server keeps its id against other keys that sign, and one that
//! registered with a signature against everybody without its key. Whoever has no authority may remove a server with a
//! signature by its key, and learns nothing about servers otherwise.
//!
//! Reading order: [`registry`] (what is kept), [`admission`] (who gets in, stays in and out), [`member`], [`endpoint`]
//! and [`proof`] (what admission checks), [`liveness`] (when heartbeats are written down), [`list`] (when to sign
//! again), `wire`, `store`, [`object`].

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
