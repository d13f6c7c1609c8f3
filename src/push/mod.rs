//! Push: self-hosted servers deliver notifications to their users' phones through this service.

pub mod audit;
pub mod count;
pub mod headcount;
pub mod permission;
pub mod provider;
pub mod rate;
pub mod realm_sync;
pub mod refusal;
pub mod sealed;
pub mod store;
pub mod tier;
pub mod upload;
pub mod uuid;
pub mod wire;
