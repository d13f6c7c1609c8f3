//! Ed25519 keys in the forms that operators and clients write them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// 32 bytes from 64 hex digits or 44 characters of padded base64; nothing for anything else.
#[must_use]
pub fn parse_32_bytes(text: &str) -> Option<[u8; 32]> {
    let bytes = match text.len() {
        64 => hex::decode(text).ok()?,
        44 => STANDARD.decode(text).ok()?,
        _ => return None,
    };
    bytes.try_into().ok()
}

/// Bytes from standard base64 or base64url, with or without padding.
#[must_use]
pub fn parse_base64(text: &str) -> Option<Vec<u8>> {
    let normal: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    URL_SAFE_NO_PAD.decode(normal).ok()
}

/// A key pair of ours with its key id.
#[derive(Clone)]
pub struct SigningPair {
    key: SigningKey,
    kid: String,
}

impl SigningPair {
    /// The pair that grows from `seed` (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        let kid = key_id(key.verifying_key().as_bytes());
        Self { key, kid }
    }

    /// The pair for a seed written as 64 hex digits or 44 characters of base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_32_bytes(text).map(Self::from_seed)
    }

    /// First 8 hex digits of the SHA-256 of the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as padded base64, 44 characters.
    #[must_use]
    pub fn public_base64(&self) -> String {
        STANDARD.encode(self.key.verifying_key().as_bytes())
    }

    /// Plain Ed25519 signature of `message`, as padded base64.
    #[must_use]
    pub fn sign_base64(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningPair({})", self.kid)
    }
}

/// The id of a public key: first 8 hex digits of its SHA-256.
#[must_use]
pub fn key_id(public_key: &[u8; 32]) -> String {
    let mut text = hex::encode(Sha256::digest(public_key));
    text.truncate(8);
    text
}

/// Whether `signature` (64 bytes) is `public_key`'s over `message`. Weak keys and malleable signatures do not count.
#[must_use]
pub fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(public_key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{SigningPair, key_id, parse_32_bytes, parse_base64, verify};

    // RFC 8032, section 7.1, test 1, as the bootstrap clients pin it.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    #[test]
    fn the_bootstrap_vector_holds() {
        let pair = SigningPair::parse(SEED).unwrap();
        assert_eq!(pair.public_base64(), PUBLIC);
        let body = br#"{"servers":[],"timestamp":1700000000000}"#;
        let signature = pair.sign_base64(body);
        assert_eq!(
            signature,
            "Nfg6+EI6L6MSF4GCUMQ7OJjDKPKoAaMxGpcmIxRM+XkR83/++hlK6WLoasbcOlGxW1cZhjRB8ddVZmxDJjKaBA=="
        );
        let public = parse_32_bytes(PUBLIC).unwrap();
        assert!(verify(&public, body, &parse_base64(&signature).unwrap()));
    }

    #[test]
    fn every_flipped_bit_breaks_a_signature() {
        let pair = SigningPair::parse(SEED).unwrap();
        let public = parse_32_bytes(PUBLIC).unwrap();
        let message = b"waystation";
        let good = parse_base64(&pair.sign_base64(message)).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&public, message, &bad), "bit {bit}");
        }
        assert!(!verify(&public, b"waystatioN", &good));
        assert!(!verify(&public, message, &good[..63]));
    }

    #[test]
    fn seeds_are_hex_or_base64_of_32_bytes() {
        assert!(parse_32_bytes(SEED).is_some());
        assert!(parse_32_bytes(PUBLIC).is_some());
        assert!(parse_32_bytes("abc").is_none());
        assert!(parse_32_bytes(&"g".repeat(64)).is_none());
    }

    #[test]
    fn key_ids_are_eight_hex_digits_of_the_hash() {
        assert_eq!(key_id(&parse_32_bytes(PUBLIC).unwrap()), "21fe31df");
    }
}
