//! Push: self-hosted servers deliver notifications to their users' phones through this service.

pub mod provider;
pub mod sealed;
pub mod wire;
