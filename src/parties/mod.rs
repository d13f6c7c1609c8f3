//! Parties: who is in a group, how to reach them and over which relay.

pub mod naive;
pub mod object;
pub mod peer;
pub mod token;
pub mod wire;
pub use object::door;
