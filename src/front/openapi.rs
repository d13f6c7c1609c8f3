//! generated later
