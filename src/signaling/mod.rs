//! (room: signaling)

pub mod codes;
pub mod event;
pub mod guesses;
mod links;
pub mod message;
pub mod object;
pub mod pairing;
pub mod room;
pub mod sockets;
pub mod store;
pub mod wire;
