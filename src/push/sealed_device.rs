//! Devices whose registration was sealed: under which names they are known, and how long a dead one is kept.

use super::device::Token;
use super::sealed::TokenId;
use crate::kernel::time::Timestamp;

/// How long a dead device is kept, so that its server learns of it. Units: milliseconds; 30 days.
pub const EXPIRED_KEPT_MS: u64 = 30 * 24 * 3_600_000;

/// Under which name a server knows a sealed registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedName {
    /// 12.x: the token's id.
    Token(TokenId),
    /// 11.x: the account of the phone.
    Account(i64),
}

/// A device that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedDevice {
    /// Our number.
    pub device_id: i64,
    /// The token.
    pub token: Token,
    /// Since when.
    pub registered_at: Timestamp,
    /// Since when the provider says that it is dead.
    pub expired_at: Option<Timestamp>,
}
