//! The objects of parties: parse → load → decide → commit → answer.

pub mod party;
