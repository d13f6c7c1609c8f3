//! Relay: peers that relay for others, peers that find each other again, and channels whose content is pulled once.
//!
//! # Messages
//!
//! | family | messages |
//! | --- | --- |
//! | relay peers | `register` (with `peerId`), `update_load`, `get_relays`, `heartbeat` |
//! | rendezvous | `register_rendezvous` → `rendezvous_result`, `rendezvous_match` |
//! | chunks | `chunk_announce`, `chunk_request`, `chunk_request_meta`, `chunk_push` → `chunk_pull`, `chunk_data`, … |
//! | channels | `channel-owner-register`, `channel-subscribe`, `upstream-message`, `stream-start`, `-frame`, `-end` |
//!
//! on `GET /relay`, `GET /relay/{name}`, and `GET /relay/{name}/stats` for the counts. The same families on the
//! signaling paths are served by the same [`RelayDesk`] inside another object.
//!
//! Sockets attest by `attest_request` and `attest_response`, and an operator can make relay peers with rendezvous, and
//! chunks, need it ([`message::Message::family`]).
//!
//! # Invariants
//!
//! - A socket speaks for one peer id, the first it names, and no two sockets speak for the same. The holder of a
//!   pairing code speaks for its code as well, and nobody else does.
//! - A live match is sent only to a connected socket, whose tokens are forgotten when it goes. A dead drop stays.
//! - However many wait for a chunk, one source is asked at a time; it has two seconds.
//! - A chunk whose id is a hash is never cached or passed on with other data.
//! - Everything is bounded: per message, per socket, per network and minute, and per object.
//!
//! # Where the state lives
//!
//! Relay peers and identities live with their sockets: in memory and in the sockets' attachments. Points, tokens,
//! sources and cached chunks live in SQL and nowhere else, but for hot bodies in memory. Waiting requesters and channel
//! members live in memory and, line by line, in SQL, from which they are restored. Rows belong to a *session*, one life
//! of one socket; those of a session that ended without a word are nobody's and expire.
//!
//! What a stop without warning may cost: everything that dies with sockets anyway, and the accesses of cached chunks
//! since they were last written, at most a thirtieth of the cache's time.
//!
//! Reading order: [`seats`] (who speaks), [`peers`], [`rendezvous`], [`wants`], [`content`] and [`hot`] (chunks),
//! [`channels`], [`message`] and [`refusal`], `wire`, `store`, `object/desk` (the counter), [`object`].

pub mod channels;
pub mod content;
pub mod hot;
pub mod message;
pub mod object;
pub mod peers;
pub mod refusal;
pub mod rendezvous;
pub mod seats;
mod store;
pub mod wants;
pub mod wire;

pub use object::{MIGRATIONS, RelayDesk, RelayRegistry, SCHEMA, SILENCE, Work};
pub use wire::parse::handles;
