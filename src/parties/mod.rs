//! Parties: who is in a group, how to reach them and over which relay.

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
pub mod store;
pub mod token;
pub mod tries;
pub mod wire;

pub use object::{PartyDirectory, PartyGateway, PartyIdentities, PartyRoom, address, door};
