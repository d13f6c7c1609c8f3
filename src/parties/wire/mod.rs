//! Bytes ↔ values of parties.

pub mod service;
