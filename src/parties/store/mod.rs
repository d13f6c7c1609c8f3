//! SQL ↔ values of parties.

pub mod directory;
pub mod identities;
pub(super) mod party;
