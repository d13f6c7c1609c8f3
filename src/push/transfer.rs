//! Registration transfer: who serves our secret over HTTPS under a host name is its owner.
//!
//! The secret is stateless: a time and the host name with an HMAC over both, in capital hex. It is good for ten seconds.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::refusal::TransferError;
use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;
use crate::kernel::time::Timestamp;

/// How long a secret is good. Units: milliseconds.
pub const SECRET_MS: u64 = 10_000;

/// What the HMAC is for, so that it proves nothing elsewhere.
const SALT: &[u8] = b"remote_server_transfer";

const MAC_BYTES: usize = 32;
const TIME_BYTES: usize = 8;

/// How often a host is asked that cannot be reached.
pub const TRIES_MAX: u32 = 3;

/// How long a host may take to answer. Units: milliseconds.
pub const TIMEOUT_MS: u32 = 5_000;

fn sign(key: &Key32, message: &[u8]) -> [u8; MAC_BYTES] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return [0; MAC_BYTES] };
    mac.update(SALT);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A secret for a host.
#[must_use]
pub fn issue(key: &Key32, hostname: &str, now: Timestamp) -> String {
    let mut bytes = now.as_millis().to_be_bytes().to_vec();
    bytes.extend_from_slice(hostname.as_bytes());
    let mac = sign(key, &bytes);
    bytes.extend_from_slice(&mac);
    hex::encode_upper(bytes)
}

/// Checks a secret that a host serves.
///
/// Errors: in the order of the dialect's table, from [`TransferError::SecretMalformed`] on.
pub fn check(key: &Key32, hostname: &str, secret: &str, now: Timestamp) -> Result<(), TransferError> {
    let is_base16 = secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    let bytes = if is_base16 { hex::decode(secret).ok() } else { None };
    let bytes = bytes.ok_or(TransferError::SecretMalformed)?;
    let (message, mac) = bytes
        .len()
        .checked_sub(MAC_BYTES)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(TransferError::SecretForged)?;
    let (time, host) = message.split_at_checked(TIME_BYTES).ok_or(TransferError::SecretForged)?;
    if !same_bytes(&sign(key, message), mac) {
        return Err(TransferError::SecretForged);
    }
    let time: [u8; TIME_BYTES] = time.try_into().map_err(|_| TransferError::SecretForged)?;
    if now.since(Timestamp::from_millis(u64::from_be_bytes(time))) > SECRET_MS {
        return Err(TransferError::SecretExpired);
    }
    if host == hostname.as_bytes() { Ok(()) } else { Err(TransferError::SecretForOther) }
}

#[cfg(test)]
mod tests {
    use super::{SECRET_MS, check, issue};
    use crate::kernel::settings::Key32;
    use crate::kernel::time::Timestamp;
    use crate::push::refusal::TransferError as E;

    #[test]
    fn a_secret_proves_one_host_for_ten_seconds() {
        let (key, now) = (Key32([7; 32]), Timestamp::from_millis(1_800_000_000_000));
        let secret = issue(&key, "chat.example.org", now);
        assert_eq!(check(&key, "chat.example.org", &secret, now.plus(SECRET_MS)), Ok(()));
        assert_eq!(check(&key, "chat.example.org", &secret, now.plus(SECRET_MS + 1)), Err(E::SecretExpired));
        assert_eq!(check(&key, "other.example.org", &secret, now), Err(E::SecretForOther));
        assert_eq!(check(&Key32([8; 32]), "chat.example.org", &secret, now), Err(E::SecretForged));
        for malformed in ["xyz", "ABC", &secret.to_lowercase()] {
            assert_eq!(check(&key, "chat.example.org", malformed, now), Err(E::SecretMalformed), "{malformed}");
        }
        for forged in ["", "AB", &"00".repeat(60)] {
            assert_eq!(check(&key, "chat.example.org", forged, now), Err(E::SecretForged), "{forged}");
        }
    }
}
