//! The objects of parties: parse → load → decide → commit → answer.

mod address;
mod directory;
pub mod door;
mod gateway;
mod identities;
pub mod party;
mod refused;

pub use address::address;
pub use directory::{NAME as DIRECTORY_NAME, PartyDirectory};
pub use gateway::{PartyGateway, gateway_of};
pub use identities::PartyIdentities;
pub use party::PartyRoom;
