//! Parties: who is in a group, how to reach them and over which relay.

pub mod creation;
pub mod gateway;
pub mod identity;
pub mod naive;
pub mod object;
pub mod peer;
pub mod relays;
pub mod store;
pub mod token;
pub mod wire;

pub use object::{PartyDirectory, PartyGateway, PartyIdentities, address};
