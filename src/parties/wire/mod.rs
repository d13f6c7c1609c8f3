//! Bytes ↔ values of parties.

pub mod body;
pub mod peer;
pub mod problem;
pub mod service;
