//! Bytes ↔ values of parties.

pub mod body;
pub mod gateway;
pub mod identity;
pub mod peer;
pub mod problem;
pub mod relay;
pub mod service;
