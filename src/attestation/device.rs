//! Devices: their ids, their keys, and what a key signs.
//!
//! The id of a new client is `dk1-` and the hash of its key, so nobody else can hold it. A free-form id of an older client
//! belongs to the platform, and the key where one was given, of its first registration.

use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest, Sha256};

use super::build_token::TokenShape;
use super::field::{Field, is_name};
use super::policy::Build;
use crate::kernel::keys;
use crate::kernel::time::Timestamp;

/// Longest device id. Units: characters.
pub const DEVICE_ID_LEN_MAX: usize = 128;

/// What ids begin with that are derived from a key.
pub const DERIVED_PREFIX: &str = "dk1-";

/// How old a time that a device has signed may be.
pub const AGE_MS_MAX: u64 = 120_000;

/// How far ahead of our clock a time that a device has signed may be.
pub const AHEAD_MS_MAX: u64 = 30_000;

/// Whether `text` can be a device id.
#[must_use]
pub fn is_device_id(text: &str) -> bool {
    is_name(text, DEVICE_ID_LEN_MAX)
}

/// How a device key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, in software.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, which phones keep in hardware.
    P256,
}

/// A device's public key: 32 bytes of Ed25519, or a P-256 point of 33 or 65 bytes (SEC 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl DeviceKey {
    /// The key in `bytes`; its length says which algorithm it is for. Nothing when it is no point of the curve.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let algorithm = match bytes.len() {
            32 => Algorithm::Ed25519,
            33 | 65 => Algorithm::P256,
            _ => return None,
        };
        let is_point = match algorithm {
            Algorithm::Ed25519 => true,
            Algorithm::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).is_ok(),
        };
        is_point.then_some(Self { algorithm, bytes })
    }

    /// The bytes it was made from.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id that belongs to this key and to no other.
    #[must_use]
    pub fn device_id(&self) -> String {
        format!("{DERIVED_PREFIX}{}", base32(&Sha256::digest(&self.bytes)))
    }

    /// SHA-256 of the key in hex, as it stands in session tokens.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }

    /// Whether `signature` is this key's over `message`: 64 bytes, or for P-256 also ASN.1 as platforms make it.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => {
                <[u8; 32]>::try_from(self.bytes.as_slice()).is_ok_and(|key| keys::verify(&key, message, signature))
            }
            Algorithm::P256 => {
                let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.bytes) else { return false };
                let plain = p256::ecdsa::Signature::from_slice(signature);
                let Ok(signature) = plain.or_else(|_| p256::ecdsa::Signature::from_der(signature)) else {
                    return false;
                };
                key.verify(message, &signature).is_ok()
            }
        }
    }
}

/// Source: RFC 4648, section 6, in lower case and without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    let letter = |five: u32| LETTERS.get((five & 31) as usize).map_or('a', |letter| char::from(*letter));
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

/// What is known about a device's honesty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has registered, which anybody can.
    Pending,
    /// It has answered a challenge.
    Attested,
}

/// A device as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its key, where it has one.
    pub key: Option<DeviceKey>,
    /// What it runs.
    pub build: Build,
    /// How it writes tokens.
    pub shape: TokenShape,
    /// What is known about its honesty.
    pub standing: Standing,
    /// Where it registered from; see [`crate::kernel::network::ClientNetwork`].
    pub network: String,
    /// When it registered first.
    pub registered_at: Timestamp,
    /// When it registered or asked for a challenge last.
    pub last_seen: Timestamp,
    /// The newest time that its key has signed.
    pub signed_at: Option<Timestamp>,
    /// State of the quota of web registrations; see [`crate::kernel::quota`].
    pub web_free_at_us: u64,
    /// State of the quota of sessions.
    pub attest_free_at_us: u64,
    /// State of the quota of challenges.
    pub asked_free_at_us: u64,
    /// Challenges that it asked for faster than an honest device asks.
    pub anomalies: u64,
}

/// The proof of a device that has a key, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ProofClaim {
    pub device_timestamp: Field<Timestamp>,
    pub device_signature: Field<Vec<u8>>,
}

/// What is wrong with a device's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofError {
    /// Not the key's over this request.
    Signature,
    /// Missing, too old or too far ahead.
    Time,
    /// Not newer than the newest one.
    NotNewer,
}

/// What a device signs, so that no signature counts for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed<'a> {
    /// A registration with this build.
    Registration(&'a Build),
    /// A wish for a challenge.
    Challenge,
}

/// The bytes that a device signs.
#[must_use]
pub fn signed_bytes(device_id: &str, what: Signed<'_>, at: Timestamp) -> Vec<u8> {
    let at = at.as_millis();
    match what {
        Signed::Registration(Build { version, platform, build_hash }) => {
            format!("waystation/attest/register/v1\n{device_id}\n{version}\n{platform}\n{build_hash}\n{at}")
        }
        Signed::Challenge => format!("waystation/attest/challenge/v1\n{device_id}\n{at}"),
    }
    .into_bytes()
}

/// The bytes that a device signs with its answers: index and MAC of each region, in the order asked.
#[must_use]
pub fn signed_answers(device_id: &str, nonce: &str, answers: &[(u64, [u8; 32])]) -> Vec<u8> {
    let answers: Vec<String> = answers.iter().map(|(index, mac)| format!("{index}:{}", hex::encode(mac))).collect();
    format!("waystation/attest/verify/v1\n{device_id}\n{nonce}\n{}", answers.join(",")).into_bytes()
}

/// Checks the proof of the holder of `key`: the time that it has signed.
pub fn check_proof(
    key: &DeviceKey,
    device_id: &str,
    what: Signed<'_>,
    claim: &ProofClaim,
    newest: Option<Timestamp>,
    now: Timestamp,
) -> Result<Timestamp, ProofError> {
    let at = claim.device_timestamp.clone().given().ok_or(ProofError::Time)?;
    let signature = claim.device_signature.as_ref().given().ok_or(ProofError::Signature)?;
    if now.since(at) > AGE_MS_MAX || at.since(now) > AHEAD_MS_MAX {
        return Err(ProofError::Time);
    }
    if !key.verify(&signed_bytes(device_id, what, at), signature) {
        return Err(ProofError::Signature);
    }
    if newest.is_some_and(|newest| at <= newest) {
        return Err(ProofError::NotNewer);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::base32;

    #[test]
    fn base32_is_the_standards() {
        // RFC 4648, section 10.
        for (bytes, text) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }
}
