//! The conductors of parties, one per object class.

pub mod door;
