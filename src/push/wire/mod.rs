//! Bytes ↔ values of push.

pub mod audit;
pub mod envelope;
pub mod form;
pub mod provider;
pub mod realm_report;
pub mod upload;
