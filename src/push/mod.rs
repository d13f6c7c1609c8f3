//! Push: self-hosted servers deliver notifications to their users' phones through this service.

pub mod contact;
pub mod credential;
pub mod hostname;
pub mod provider;
pub mod rate;
pub mod refusal;
pub mod sealed;
pub mod uuid;
pub mod wire;
