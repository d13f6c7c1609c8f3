//! Signaling rooms: two devices find each other by a code that people can read out, and exchange what WebRTC needs.
//!
//! A device registers a pairing code and a public key on its socket. Another one asks that code to pair; when the
//! answer is yes, both learn the other's key. Offers, answers, candidates and call messages are carried from code to
//! code. A browser can ask the phone that holds a code to be linked as another screen. Codes are names to meet under,
//! not proofs: who is who is decided by the key exchange between the devices, which never passes here.
//!
//! One object is one room. The paths without a room name share the lobby.
//!
//! # Messages
//!
//! In: `register` (with `pairingCode`), `pair_request`, `pair_response` (or `pair_accept`, `pair_reject`), `offer`,
//! `answer`, `ice_candidate`, `call_offer`, `call_answer`, `call_reject`, `call_hangup`, `call_ice` (flat or nested),
//! `link_request`, `link_response`, `ping`. Out: see [`event::Event`] and [`event::Refusal`]. The families of other
//! rooms are unknown types here; [`wire::parse::parse`] is where a message is told to belong to one. `attest_request` and
//! `attest_response` go to the [`Porch`](crate::attestation::Porch).
//!
//! Two dialects ([`message::Dialect`]): `/signal/{room}` takes any code and answers as the first Worker did, all other
//! paths take six-character codes and 32-byte keys and answer as the servers do. Source: edge-wire 2.1, 2.3.1, 2.4.
//!
//! # Invariants
//!
//! - A code has one holder; a socket has one code. Taking another code is leaving and coming.
//! - A code is told only to the peer that was asked, matched, or sent a message. `peer_joined` and
//!   `peer_left` go to the peers that remember a match with the one who comes or goes; a peer that comes back remembers
//!   nobody, because code and key are public and prove nothing.
//! - A request that reaches nobody (unknown, one's own, full) is answered in one way and costs one way.
//! - A request or link lives `PAIR_TIMEOUT_MS` from its last repetition and ends earlier when either side leaves. The
//!   asker is told `pair_timeout` (or `link_timeout`) whether time or the other side ended it: clients know that
//!   message.
//! - At most 10 requests wait at a peer, at most 10 of one peer wait; one link waits at a device, and the first stays.
//! - A refused message changes nothing and tells nobody anything, except that while a network is out of tries its
//!   carried messages still arrive (see `object.rs`).
//! - Payloads are carried byte for byte, at most 64 brackets deep, and never decoded.
//! - Nothing here logs, and `{:?}` of no type here shows a code or a payload.
//!
//! # Where state lives
//!
//! - With the socket ([`wire::attachment`], 16,000 bytes at most): dialect, network, message quota, what it has attested, and
//!   the peer's [`room::Record`]. It dies with the socket and survives hibernation.
//! - In SQL ([`store`]): how often each network has tried codes, and the breaker. At most 4,096 rows, swept by alarm.
//! - In memory: indexes over both ([`room::Room`], [`Sockets`](crate::kernel::sockets::Sockets), [`guesses::Ledger`]).

pub mod codes;
pub mod event;
pub mod guesses;
mod links;
pub mod message;
pub mod object;
pub mod pairing;
pub mod room;
pub mod store;
pub mod wire;
