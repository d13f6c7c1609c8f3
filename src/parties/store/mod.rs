//! SQL ↔ values of parties.

pub(super) mod party;
