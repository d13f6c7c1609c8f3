//! Organizations of a server.

use super::uuid::Uuid;

/// An organization as its server reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmClaim {
    /// Its name for ever.
    pub uuid: Uuid,
    /// Where its users find it.
    pub host: String,
    /// What its users call it.
    pub name: String,
    /// The hash of the secret by which its owner can prove that it is theirs.
    pub owner_secret: [u8; 32],
}

/// Organizations of one server.
pub const REALMS_PER_SERVER_MAX: u64 = 10_000;

/// What is known of the organization that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealmStanding {
    /// It is this server's.
    Ours(i64),
    /// It is another server's.
    Foreign,
    /// Nobody has reported it.
    Unknown,
}
