//! Parties: who is in a group, how to reach them and over which relay.

pub mod naive;
pub mod peer;
pub mod wire;
