//! When a send is tried again, and when no more.

use crate::kernel::time::Timestamp;

/// How often one notification is sent to one device, the first time included.
pub const ATTEMPTS_MAX: u32 = 5;

/// What has been tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// When it was first tried.
    pub begun: Timestamp,
    /// How long it is worth delivering. Units: milliseconds.
    pub ttl_ms: u64,
    /// How often it was tried, the last time included.
    pub attempts: u32,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again, not earlier.
    At(Timestamp),
    /// No more.
    GiveUp,
}
