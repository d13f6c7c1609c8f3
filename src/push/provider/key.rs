//! P-256 keys of ours: Apple's key files and VAPID, which both sign ES256 (RFC 7518, section 3.4).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::DecodePrivateKey as _;
use zeroize::{Zeroize as _, Zeroizing};

/// A private key that signs. Its `Debug` is a fixed word.
#[derive(Clone)]
pub struct Es256Key(SigningKey);

impl Es256Key {
    /// The key of a `.p8` file: PKCS#8 in PEM. Line breaks may be written as `\n`, or be missing, as settings often have
    /// them.
    #[must_use]
    pub fn parse_pem(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
        let (inner, _) = rest.split_once("-----END PRIVATE KEY-----")?;
        let letters: Zeroizing<String> = Zeroizing::new(
            inner.replace("\\r", "").replace("\\n", "").chars().filter(|c| !c.is_ascii_whitespace()).collect(),
        );
        let der = Zeroizing::new(STANDARD.decode(letters.as_bytes()).ok()?);
        SecretKey::from_pkcs8_der(&der).ok().map(|key| Self(SigningKey::from(key)))
    }

    /// The key whose 32 bytes stand in base64url, as VAPID keys are written.
    #[must_use]
    pub fn parse_base64url(text: &str) -> Option<Self> {
        let mut bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?.try_into().ok()?;
        let key = SigningKey::from_slice(&bytes).ok();
        bytes.zeroize();
        key.map(Self)
    }

    /// The signature of `message`: r and s, 32 bytes each. The same message always has the same (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }

    /// The public key, uncompressed, in base64url: what a VAPID header and a browser's `applicationServerKey` hold.
    #[must_use]
    pub fn public_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_affine().to_sec1_point(false).as_bytes())
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}
