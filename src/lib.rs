//! Waystation: the meeting place at the edge for peer-to-peer apps and self-hosted fleets.

pub mod attestation;
pub mod billing;
pub mod bootstrap;
pub mod front;
pub mod kernel;
pub mod parties;
pub mod push;
pub mod relay;
pub mod signaling;

#[cfg(target_arch = "wasm32")]
pub mod shell;
