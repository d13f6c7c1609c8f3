//! SQL ↔ values of push.

pub mod audit;
pub mod counts;
pub mod realms;
pub mod uploads;
