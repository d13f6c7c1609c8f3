//! Bytes ↔ values of the push providers, and of registrations sealed for us.
