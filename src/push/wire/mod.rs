//! Bytes ↔ values of push.

pub mod envelope;
pub mod form;
pub mod provider;
