//! A circuit breaker: a provider that fails half of its calls is left alone for a while.

use crate::kernel::time::Timestamp;

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go,
    /// It may, and how it ends decides whether others may.
    Probe,
    /// Not before.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
}
