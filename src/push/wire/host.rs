//! A self-hosted server as we call it: the one page where it shows our verification secret.

use serde::Deserialize;

use crate::kernel::errand::{Errand, Failure, Fetch, Outcome};
use crate::push::refusal::TransferError;
use crate::push::transfer::TIMEOUT_MS;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u32 = 16_384;

/// Over what a host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Always, but for a developer's own machine.
    Https,
    /// There.
    Http,
}

/// The question for the secret that a host has prepared.
#[must_use]
pub fn question(scheme: Scheme, hostname: &str, access_token: &str) -> Errand {
    let scheme = match scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
    };
    Errand::Fetch(Box::new(Fetch {
        method: "GET",
        url: format!("{scheme}://{hostname}/api/v1/zulip-services/verify/{access_token}/"),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }))
}

#[derive(Deserialize)]
struct Secret {
    verification_secret: String,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
}

/// The secret that the host shows.
///
/// Errors: those of [`TransferError`] that are the host's.
pub fn parse_secret(outcome: &Outcome) -> Result<String, TransferError> {
    let fetched = match outcome {
        Outcome::Fetched(fetched) => fetched,
        Outcome::Failed(failure) => return Err(failed(*failure)),
        Outcome::Replied(_) | Outcome::Signed(_) => return Err(TransferError::Other),
    };
    match fetched.status {
        200 => serde_json::from_slice::<Secret>(&fetched.body)
            .map(|body| body.verification_secret)
            .map_err(|_| TransferError::Unreadable),
        400 if serde_json::from_slice::<Refused>(&fetched.body)
            .is_ok_and(|body| body.code == "REMOTE_SERVER_VERIFICATION_SECRET_NOT_PREPARED") =>
        {
            Err(TransferError::NothingPrepared)
        }
        // What the platform answers itself when it finds no good certificate, or no host.
        525 | 526 => Err(TransferError::Tls),
        521..=523 => Err(TransferError::Connection),
        524 => Err(TransferError::TimedOut),
        status => Err(TransferError::Status(status)),
    }
}

const fn failed(failure: Failure) -> TransferError {
    match failure {
        Failure::TimedOut => TransferError::TimedOut,
        Failure::Unreachable => TransferError::Connection,
        Failure::Untrusted => TransferError::Tls,
        Failure::TooLarge | Failure::Other => TransferError::Other,
    }
}
