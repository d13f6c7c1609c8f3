//! Bytes ↔ values of push.

pub mod provider;
