//! SQL ↔ values of parties.

pub(super) mod directory;
pub(super) mod identities;
pub(super) mod party;
