//! Push: self-hosted servers deliver notifications to their users' phones through this service.
