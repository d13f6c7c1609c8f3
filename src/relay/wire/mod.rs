//! Frames and attachments ↔ values.

pub mod attachment;
pub mod encode;
mod members;
pub mod parse;
mod parse_chunk;
