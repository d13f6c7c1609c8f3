//! The log of uploads, removals and policy changes: append-only, each entry bound to all before it by a hash.

use sha2::{Digest, Sha256};

use crate::kernel::time::Timestamp;

/// Most entries in one answer.
pub const PAGE_MAX: u64 = 100;

/// What the first entry is bound to: 64 zeroes.
pub const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A reference was uploaded.
    Reference,
    /// A reference that nobody needed any longer was removed.
    Removal,
    /// The policy was changed.
    Policy,
}

impl Kind {
    /// The word in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Removal => "removal",
            Self::Policy => "policy",
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// 1, 2, 3, … without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The word for what it is about.
    pub kind: String,
    /// What happened, as JSON text, byte for byte as hashed.
    pub entry: String,
    /// The hash of the entry before.
    pub previous: String,
    /// This entry's hash, in hex.
    pub hash: String,
}

/// The end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "those of the last entry")]
pub struct LogHead {
    pub seq: u64,
    pub hash: String,
}

impl Default for LogHead {
    fn default() -> Self {
        Self { seq: 0, hash: START.to_owned() }
    }
}

/// The entry that follows `head`.
#[must_use]
pub fn next_entry(head: &LogHead, kind: Kind, entry: String, at: Timestamp) -> LogEntry {
    let seq = head.seq + 1;
    let hash = entry_hash(seq, at, kind.name(), &head.hash, &entry);
    LogEntry { seq, at, kind: kind.name().to_owned(), entry, previous: head.hash.clone(), hash }
}

/// SHA-256 over the entry's members, one a line, the text last, so that no line end in it can move a border.
#[must_use]
pub fn entry_hash(seq: u64, at: Timestamp, kind: &str, previous: &str, entry: &str) -> String {
    let text = format!("waystation/attest/log/v1\n{seq}\n{}\n{kind}\n{previous}\n{entry}", at.as_millis());
    hex::encode(Sha256::digest(text.as_bytes()))
}
