//! Bytes ↔ values of push.

pub mod answer;
pub mod audit;
pub mod envelope;
pub mod form;
pub mod host;
pub mod index;
mod members;
pub mod operator;
pub mod parcel;
pub mod provider;
pub mod query;
pub mod realm_report;
pub mod relocation;
pub mod request;
pub mod resolver;
pub mod send;
pub mod service;
pub mod upload;
pub mod wish;
