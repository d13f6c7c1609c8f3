//! Sealed registrations: a phone tells us its token through a self-hosted server that cannot read it.

use crate::kernel::time::Timestamp;

/// The name under which a server knows a token: the first 8 bytes of the token's SHA-256.
///
/// As an integer it does not fit the SQL port; it is stored as a blob, or as [`TokenId::to_base64`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 8]);

/// Where a phone receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// At Apple, for one app.
    Apns {
        /// The app's bundle id, which is the topic.
        app_id: String,
    },
    /// At Google.
    Fcm,
}

/// What a sealed registration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The device token, in the case it was given.
    pub token: String,
    /// Where it counts.
    pub target: Target,
    /// When the phone made it.
    pub made: Timestamp,
}

/// Which registration a server says it passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// 12.x: of this token.
    Token(TokenId),
    /// 11.x: of this account of the phone; nothing to compare.
    Account(u64),
}
