//! The signed list: signed when it changed, at most about once per second, and never per request.
//!
//! A membership change (registration, removal, death, revival) shows at once. Changed counters and times wait until
//! the copy is a second old. An unchanged copy is renewed every 30 s, because clients refuse a `timestamp` older than
//! 5 minutes: 30 s here and 30 s in caches leave them 4.

use sha2::{Digest, Sha256};

use crate::kernel::keys::SigningPair;
use crate::kernel::time::Timestamp;

/// How old a copy must be before changed counters and times are worth a signature.
pub const CHANGED_AFTER_MS: u64 = 1000;

/// How old a copy may become.
pub const COPY_AGE_MS_MAX: u64 = 30_000;

/// How long caches may keep an answer.
pub const CACHE_CONTROL: &str = "public, max-age=30";

/// Counts changes, so that a copy knows whether it is one behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revision {
    membership: u64,
    content: u64,
}

impl Revision {
    /// Somebody came or left.
    pub const fn membership_changed(&mut self) {
        self.membership += 1;
    }

    /// Somebody was heard.
    pub const fn content_changed(&mut self) {
        self.content += 1;
    }
}

/// The list as it is answered until it must be signed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCopy {
    /// The exact signed bytes.
    pub body: String,
    /// Base64 of the current key's signature.
    pub signature: String,
    /// `kid=base64` of every key's signature, comma separated, current first.
    pub signatures: String,
    /// Strong entity tag, quotes included.
    pub etag: String,
    signed_at: Timestamp,
    revision: Revision,
    first_death: Option<Timestamp>,
}

impl SignedCopy {
    /// Signs `body`; nothing without a key.
    #[must_use]
    pub fn sign(
        keys: &[SigningPair],
        body: String,
        signed_at: Timestamp,
        revision: Revision,
        first_death: Option<Timestamp>,
    ) -> Option<Self> {
        let signatures: Vec<(&str, String)> =
            keys.iter().map(|key| (key.kid(), key.sign_base64(body.as_bytes()))).collect();
        let signature = signatures.first()?.1.clone();
        let signatures: Vec<String> = signatures.iter().map(|(kid, base64)| format!("{kid}={base64}")).collect();
        let mut etag = hex::encode(Sha256::digest(body.as_bytes()));
        etag.truncate(32);
        Some(Self {
            body,
            signature,
            signatures: signatures.join(","),
            etag: format!("\"{etag}\""),
            signed_at,
            revision,
            first_death,
        })
    }

    /// Whether this copy still answers a request at `now`, when the registry is at `revision`.
    #[must_use]
    pub fn serves(&self, revision: Revision, now: Timestamp) -> bool {
        let age_ms = now.since(self.signed_at);
        now >= self.signed_at
            && age_ms < COPY_AGE_MS_MAX
            && self.revision.membership == revision.membership
            && self.first_death.is_none_or(|death| now < death)
            && (self.revision.content == revision.content || age_ms < CHANGED_AFTER_MS)
    }
}
