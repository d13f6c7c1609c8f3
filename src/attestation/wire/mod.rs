//! Bytes ↔ values. Serde lives here and in the files below, and nowhere else in this room.
//!
//! Source: the field's attestation protocol, whose member names, member order and sentences clients know.

pub(super) mod answer;
pub(super) mod body;
pub(super) mod handoff;
pub(super) mod manifest;
pub(super) mod policy;
pub(super) mod porch;
pub(super) mod problem;
pub(super) mod request;
pub(super) mod session;
pub mod socket;
