//! Web Push encryption: `aes128gcm` with a key that only the client can derive.
//!
//! Source: RFC 8291 (message encryption for Web Push), RFC 8188 (the content coding).

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _, Nonce};
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::web::Subscription;
use crate::kernel::entropy::{Entropy, random_bytes};

/// The record size in the header. There is one record, which may be shorter.
pub const RECORD_BYTES: u32 = 4096;

/// The header: salt, record size, length of the key id, and the key id, which is our ephemeral public key.
pub const HEADER_BYTES: usize = 16 + 4 + 1 + 65;

/// The longest plaintext: header, delimiter and tag fit with it into the 4096 bytes that push services take.
pub const PLAINTEXT_BYTES_MAX: usize = RECORD_BYTES as usize - HEADER_BYTES - 1 - 16;

/// Marks the end of the last record's plaintext.
const LAST_RECORD: u8 = 2;

/// Why a notification cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionError {
    /// The subscription's key is no point of the curve.
    Key,
    /// The plaintext is longer than [`PLAINTEXT_BYTES_MAX`].
    TooLarge,
}

/// Encrypts `plaintext` for `subscription` under a fresh key and salt.
///
/// Errors: [`EncryptionError`].
pub fn encrypt(
    subscription: &Subscription,
    plaintext: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, EncryptionError> {
    // A random string is a key unless it is 0 or not below the group's order: about one in 2^32.
    let ephemeral = loop {
        let bytes = Zeroizing::new(random_bytes::<32>(entropy));
        if let Ok(key) = SecretKey::from_slice(bytes.as_slice()) {
            break key;
        }
    };
    encrypt_with(subscription, plaintext, &ephemeral, random_bytes(entropy))
}

/// Encrypts under a key and a salt that are given, so that vectors can be checked. Neither may be used twice.
///
/// Errors: [`EncryptionError`].
pub fn encrypt_with(
    subscription: &Subscription,
    plaintext: &[u8],
    ephemeral: &SecretKey,
    salt: [u8; 16],
) -> Result<Vec<u8>, EncryptionError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(EncryptionError::TooLarge);
    }
    let client = PublicKey::from_sec1_bytes(&subscription.p256dh).map_err(|_| EncryptionError::Key)?;
    let shared = ephemeral.diffie_hellman(&client);
    let ours = ephemeral.public_key().to_sec1_point(false);

    let mut combine = Vec::with_capacity(14 + 65 + 65);
    combine.extend_from_slice(b"WebPush: info\0");
    combine.extend_from_slice(&subscription.p256dh);
    combine.extend_from_slice(ours.as_bytes());
    let material: Zeroizing<[u8; 32]> = expand(&subscription.auth, shared.raw_secret_bytes(), &combine)?;
    let key: Zeroizing<[u8; 16]> = expand(&salt, material.as_slice(), b"Content-Encoding: aes128gcm\0")?;
    let nonce: Zeroizing<[u8; 12]> = expand(&salt, material.as_slice(), b"Content-Encoding: nonce\0")?;

    let mut record = Zeroizing::new(Vec::with_capacity(plaintext.len() + 1));
    record.extend_from_slice(plaintext);
    record.push(LAST_RECORD);
    let cipher = Aes128Gcm::new_from_slice(key.as_slice()).map_err(|_| EncryptionError::Key)?;
    let sealed = cipher.encrypt(&Nonce::from(*nonce), record.as_slice()).map_err(|_| EncryptionError::TooLarge)?;

    let mut body = Vec::with_capacity(HEADER_BYTES + sealed.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(65);
    body.extend_from_slice(ours.as_bytes());
    body.extend_from_slice(&sealed);
    Ok(body)
}

/// HKDF with SHA-256 (RFC 5869).
fn expand<const N: usize>(salt: &[u8], secret: &[u8], label: &[u8]) -> Result<Zeroizing<[u8; N]>, EncryptionError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    // Fails for more than 8160 bytes only.
    Hkdf::<Sha256>::new(Some(salt), secret).expand(label, bytes.as_mut_slice()).map_err(|_| EncryptionError::Key)?;
    Ok(bytes)
}
