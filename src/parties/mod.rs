//! Parties: who is in a group, how to reach them and over which relay.
//!
//! A gamer opens a party, friends join with its id, a password or an invite; everybody always knows who is there, under
//! which address and since when. Clients speak HTTP, WebSocket or both, and see each other in any case.
//!
//! One object ([`object::party::PartyRoom`]) is one party. Over HTTP the front has admitted the caller already
//! ([`crate::kernel::object::Principal::Peer`]). `/parties/{id}/ws` is a socket of the party itself; `/ws` is held by a
//! gateway, which forwards what its sockets say and delivers what the party answers ([`wire::service`]).
//!
//! Three more objects serve all parties: a shard of [`PartyIdentities`] knows a peer's tokens, the socket that speaks for
//! it and its parties ([`identity`], [`token`], [`creation`]); [`PartyDirectory`] lists relays and counts parties
//! ([`relays`]); a [`PartyGateway`] holds the sockets of `/ws`, whose first message decides whether they are of parties or
//! go on to the signaling lobby ([`gateway`]).
//!
//! # Messages of sockets
//!
//! In: `auth` (`hello`), `register_party`, `join_party`, `leave_party`, `heartbeat`, `update_peer`, `signal`. Out:
//! `party_update`, `peer_joined`, `peer_left`, `signal`, `error`. Source: parties 2; see [`wire::frames`].
//!
//! # Invariants
//!
//! - A party has exactly five members in JSON and a peer exactly nine; whatever is new stands outside. Times have no zone
//!   and are by the reader's own clock ([`naive`]).
//! - Peers speak for themselves only; the host may remove others. Only members look inside.
//! - A member's socket has been sent the whole party before it is sent anything else about it. Whoever is subscribed
//!   hears of every change, and every three and a half minutes the whole party again.
//! - Creating, joining and heartbeats may be repeated. A rejoin updates every field.
//! - No virtual address belongs to two peers, and who comes back has its old one ([`addresses`]).
//! - A member lives `PARTY_PEER_TTL_MS` after its last sign of life, and at most a minute longer ([`liveness`]). A socket
//!   that has spoken is a sign of life as long as it is open; one that merely came back is one when it comes.
//! - A host who leaves or expires ends the party, unless it has chosen to be followed by the longest-present member.
//! - A refusal changes nothing, but for the counting of wrong passwords and invites ([`tries`]).
//! - A peer id that somebody uses is given a token only against its token or its key, and one socket at most speaks for it
//!   when all is quiet, in whatever order claims, releases and displacements arrive.
//! - Use extends a token; no loss of memory ends one early, and a row is written once in a twenty-fourth of its life.
//! - Other objects are told of joining and leaving until they have heard it ([`announcements`]).
//! - Everything a stranger can add to is bounded: members 256, addresses 1,024, invites 64, bans 256, signals 64 a peer
//!   and 4,096 a party, sockets 600 of the party's own (4 a peer, 64 of outsiders), networks that guessed 256,
//!   announcements 1,024 and a party's members.
//!
//! # Where state lives
//!
//! - In SQL (`migrations/party_room/`): everything above; signs of life of all members in one row.
//! - With a socket of the party's own ([`wire::attachment`]): whose it is, its clock, its message quota. It dies with it.
//! - In SQL (`migrations/party_identities/`, `migrations/party_directory/`): peers, token hashes, bindings, memberships,
//!   relays, the census. A gateway stores nothing: all it knows of a socket is in the socket's attachment.
//! - In memory: the same, read once; deliveries under way, which the next refresh makes good.

pub mod addresses;
pub mod announcements;
pub mod bans;
pub mod candidates;
pub mod creation;
pub mod ears;
pub mod gateway;
pub mod identity;
pub mod invites;
pub mod liveness;
pub mod naive;
pub mod object;
pub mod party;
pub mod password;
pub mod peer;
pub mod refusal;
pub mod relays;
pub mod signals;
pub mod socket;
mod store;
pub mod token;
pub mod tries;
pub mod wire;

pub use object::{PartyDirectory, PartyGateway, PartyIdentities, PartyRoom, address, door};
