//! Bytes and values: what clients send ([`parse`]), what they are told ([`encode`]), and what is kept with a socket
//! over hibernation ([`attachment`]).

pub mod attachment;
pub mod encode;
pub mod parse;
mod parse_call;
