//! Refusals in the words that clients know.

use super::body::NotJson;
use crate::attestation::build_token::TokenError;
use crate::attestation::challenge::ChallengeError;
use crate::attestation::device::ProofError;
use crate::attestation::policy::{NotAllowed, PolicyError};
use crate::attestation::reference::UploadError;
use crate::attestation::registration::RegistrationError;
use crate::attestation::verify::MissingMembers;
use crate::attestation::whole::WholeError;
use crate::kernel::code::ErrorCode as Code;
use crate::kernel::reply::Problem;

impl From<NotJson> for Problem {
    fn from(_: NotJson) -> Self {
        Self::plain(Code::InvalidJson)
    }
}

impl From<RegistrationError> for Problem {
    fn from(error: RegistrationError) -> Self {
        use RegistrationError as E;
        let (code, sentence) = match error {
            E::Missing => (Code::InvalidRequest, "Missing required fields: build_token, device_id"),
            E::DeviceId => (Code::InvalidRequest, "Invalid device_id format"),
            E::Token(error) => return token_problem(error),
            E::DeviceKey => (Code::Forbidden, "Invalid device_key: not the key that device_id is derived from"),
            E::Proof(error) => return proof_problem(error),
            E::OtherKey => (Code::Forbidden, "device_id is registered with another key"),
            E::OtherPlatform => (Code::Forbidden, "device_id is registered on another platform"),
            E::NotAllowed(error) => return not_allowed(&error),
            E::TooMany { retry_after_ms } => {
                let sentence = "Too many registration attempts. Please try again later.";
                let retry_after = retry_after_ms.div_ceil(1000).to_string();
                return Self::new(Code::RateLimited, sentence).with_header("Retry-After", retry_after);
            }
        };
        Self::new(code, sentence)
    }
}

fn token_problem(error: TokenError) -> Problem {
    let (code, sentence) = match error {
        TokenError::Format => (Code::InvalidRequest, "Invalid build_token format: must include payload and signature"),
        TokenError::NoKey => (Code::NotConfigured, "Build token verification not configured"),
        TokenError::Signature => (Code::Forbidden, "Invalid build token signature"),
        TokenError::Payload => (Code::InvalidRequest, "Invalid build token payload"),
        TokenError::Members => {
            (Code::InvalidRequest, "Build token missing required fields: version, platform, build_hash, timestamp")
        }
        TokenError::Future => (Code::Forbidden, "Build token has a future timestamp"),
        TokenError::Expired => (Code::Forbidden, "Build token expired"),
    };
    Problem::new(code, sentence)
}

fn proof_problem(error: ProofError) -> Problem {
    match error {
        ProofError::Signature => Problem::new(Code::Forbidden, "Invalid device_signature"),
        ProofError::Time => Problem::new(Code::Forbidden, "Invalid device_timestamp: not from now"),
        ProofError::NotNewer => {
            Problem::new(Code::Replayed, "Replay detected: device_timestamp is not newer than the last signed one")
        }
    }
}

fn not_allowed(error: &NotAllowed) -> Problem {
    let sentence = match error {
        NotAllowed::Version { version } => format!("Invalid version format: {version}"),
        NotAllowed::Blocked { version } => format!("Version {version} has been blocked"),
        NotAllowed::BelowMinimum { version, minimum } => {
            format!("Version {version} is below minimum required version {minimum}")
        }
        NotAllowed::Sunset { version, at } => format!("Version {version} has reached its end on {}", at.to_iso()),
    };
    Problem::new(Code::Forbidden, sentence)
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        use ChallengeError as E;
        let (code, sentence) = match error {
            E::Missing => (Code::InvalidRequest, "Missing required fields: device_id, build_version"),
            E::Format => (Code::InvalidRequest, "Invalid device_id or build_version format"),
            E::Audience => (Code::InvalidRequest, "Invalid audience format"),
            E::NotRegistered => (Code::NotFound, "Device not registered"),
            E::Web => {
                (Code::InvalidRequest, "Binary attestation not available for web platform. Use registration token.")
            }
            E::OtherBuild => (Code::Forbidden, "build_version is not the version that the device is registered with"),
            E::NotAllowed(error) => return not_allowed(&error),
            E::Proof(error) => return proof_problem(error),
            E::TooMany => (
                Code::RateLimited,
                "Too many pending challenges. Please complete or wait for existing challenges to expire.",
            ),
            E::TooOften { retry_after_ms } => {
                let retry_after = retry_after_ms.div_ceil(1000).to_string();
                let sentence = "Too many attestations. Please try again later.";
                return Self::new(Code::RateLimited, sentence).with_header("Retry-After", retry_after);
            }
            E::NoReference => (Code::NotFound, "No reference binary found for this version and platform"),
        };
        Self::new(code, sentence)
    }
}

impl From<MissingMembers> for Problem {
    fn from(_: MissingMembers) -> Self {
        Self::new(Code::InvalidRequest, "Missing required fields: device_id, nonce, responses (array)")
    }
}

/// What every answer that is not good is told, whatever is wrong with it.
pub(in crate::attestation) fn verification_failed() -> Problem {
    Problem::new(Code::Forbidden, "Verification failed").with("valid", false)
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        use UploadError as E;
        let (code, sentence) = match error {
            E::Missing => (Code::InvalidRequest, "Missing required fields: version, platform, build_hash"),
            E::Format => (Code::InvalidRequest, "Invalid version or platform format"),
            E::NoRegions => {
                (Code::InvalidRequest, "critical_regions must be a non-empty array of { offset, length, hmac } objects")
            }
            E::RegionNumbers => (Code::InvalidRequest, "Each critical_region must have numeric offset and length"),
            E::RegionRange => (
                Code::InvalidRequest,
                "critical_regions must be whole bytes within the file, apart from each other, with data_hex of their length",
            ),
            E::Taken => (Code::Conflict, "Another reference is kept for this build"),
            E::Full => (Code::AtCapacity, "Reference store full"),
            E::Leaving => {
                (Code::Conflict, "The former upload of this build is being removed. Try again in some minutes.")
            }
        };
        Self::new(code, sentence)
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        let sentence = match error {
            PolicyError::Minimum => "Invalid minimum_version format (expected X.Y.Z)",
            PolicyError::Recommended => "Invalid recommended_version format (expected X.Y.Z)",
            PolicyError::Blocked => "Invalid blocked_versions: expected versions or ranges such as \">=1.2.0 <1.3.0\"",
            PolicyError::BlockedBuilds => "Invalid blocked_builds: expected build hashes",
            PolicyError::Sunset => "Invalid sunset_dates: expected a time for each version or range",
            PolicyError::Unknown => {
                "Unknown member: nothing was changed, because a misspelt one would reset the true one"
            }
            PolicyError::Platforms => "Invalid platforms: expected rules for each platform",
        };
        Self::new(Code::InvalidRequest, sentence)
    }
}

impl From<WholeError> for Problem {
    fn from(error: WholeError) -> Self {
        use WholeError as E;
        let (code, sentence) = match error {
            E::Missing => (Code::InvalidRequest, "Missing required fields: manifest, signature"),
            E::NoKey => (Code::NotConfigured, "Build token verification not configured"),
            E::Signature => (Code::Forbidden, "Invalid manifest signature"),
            E::Manifest => (
                Code::InvalidRequest,
                "Invalid manifest: version, platform, build_hash, size, tree_hash and critical_ranges must describe one file",
            ),
            E::Build(error) => return error.into(),
            E::Unknown => (Code::NotFound, "No upload of this id was begun"),
            E::PartNumber => (Code::NotFound, "The file has no such part"),
            E::PartLength { expected } => {
                return unprocessable(format!("The part must have {expected} bytes"));
            }
            E::PartDigest => {
                return unprocessable(String::from("The part's bytes are not those of the query parameter sha256"));
            }
            E::Complete => (Code::Conflict, "The reference is complete and does not change"),
            E::Incomplete { missing } => {
                return Self::new(Code::Conflict, "Parts are missing").with("missing_parts", missing);
            }
            E::TreeHash => return unprocessable(String::from("The parts are not the file of the manifest")),
        };
        Self::new(code, sentence)
    }
}

/// 422: understood, well-formed, and wrong.
fn unprocessable(sentence: String) -> Problem {
    Problem { status: Some(422), ..Problem::new(Code::InvalidRequest, sentence) }
}
