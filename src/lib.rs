//! Waystation: the meeting place at the edge for peer-to-peer apps and self-hosted fleets.

pub mod kernel;
