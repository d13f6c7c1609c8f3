//! (room: attestation)
