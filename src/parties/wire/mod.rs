//! Bytes ↔ values of parties.

pub mod attachment;
pub mod body;
pub mod errand;
pub mod frames;
pub mod gateway;
pub mod identity;
pub mod party;
pub mod peer;
pub mod problem;
pub mod relay;
pub mod relays;
pub mod service;
