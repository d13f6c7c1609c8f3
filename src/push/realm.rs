//! Organizations of a server.

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
