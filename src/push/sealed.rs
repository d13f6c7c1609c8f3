//! Sealed registrations: a phone tells us its token through a self-hosted server that cannot read it.
//!
//! The seal is libsodium's: an ephemeral X25519 key, then XSalsa20-Poly1305 under a nonce that BLAKE2b makes of both
//! public keys. The app carries the public key; several may be active, so that one can be replaced. Whatever is wrong
//! with a registration is one refusal, because the difference would tell a server what it cannot read.
//!
//! Source: <https://doc.libsodium.org/public-key_cryptography/sealed_boxes>.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::{U10, U24};
use blake2::{Blake2b, Digest as _};
use curve25519_dalek::montgomery::MontgomeryPoint;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use salsa20::{XSalsa20, hsalsa};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::kernel::time::Timestamp;

/// A registration that is older is refused.
pub const AGE_MS_MAX: u64 = 86_400_000;

/// The longest token. Units: characters.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// The longest app id; Apple's bundle ids have at most 155 characters. Units: characters.
pub const APP_ID_CHARS_MAX: usize = 255;

/// What a seal adds: the ephemeral key and the tag.
pub const SEAL_BYTES: usize = 32 + 16;

/// Why a registration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedError {
    /// Sealed for a key that is not ours.
    UnknownKey,
    /// Not sealed properly, not a registration, or not of the token that the server names.
    Invalid,
    /// Older than [`AGE_MS_MAX`].
    Expired,
}

/// The keys that registrations may be sealed for.
#[derive(Clone, Default)]
pub struct RegistrationKeys(Vec<([u8; 32], Zeroizing<[u8; 32]>)>);

impl RegistrationKeys {
    /// From pairs of public and private key; nothing when two do not belong together.
    #[must_use]
    pub fn new(pairs: Vec<([u8; 32], [u8; 32])>) -> Option<Self> {
        let belongs = |(public, private): &([u8; 32], [u8; 32])| {
            MontgomeryPoint::mul_base_clamped(*private).to_bytes().ct_eq(public).into()
        };
        pairs
            .iter()
            .all(belongs)
            .then(|| Self(pairs.into_iter().map(|(public, private)| (public, Zeroizing::new(private))).collect()))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens what was sealed for `public`.
    ///
    /// Errors: [`SealedError::UnknownKey`], [`SealedError::Invalid`].
    pub fn open(&self, public: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let (_, private) = self.0.iter().find(|(known, _)| known == public).ok_or(SealedError::UnknownKey)?;
        open_box(public, private, sealed).ok_or(SealedError::Invalid)
    }
}

impl fmt::Debug for RegistrationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistrationKeys({})", self.0.len())
    }
}

/// `crypto_box_seal_open`.
fn open_box(public: &[u8; 32], private: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (ephemeral, rest) = sealed.split_first_chunk::<32>()?;
    let (tag, ciphertext) = rest.split_first_chunk::<16>()?;
    let shared = Zeroizing::new(MontgomeryPoint(*ephemeral).mul_clamped(*private).to_bytes());
    // A point of small order makes a secret that everybody knows; libsodium refuses it too.
    if bool::from(shared.ct_eq(&[0_u8; 32])) {
        return None;
    }
    let key = Zeroizing::new(<[u8; 32]>::from(hsalsa::<U10>(&(*shared).into(), &[0_u8; 16].into())));
    let nonce: [u8; 24] = Blake2b::<U24>::new().chain_update(ephemeral).chain_update(public).finalize().into();

    let mut stream = XSalsa20::new((&*key).into(), (&nonce).into());
    let mut mac_key = Zeroizing::new([0_u8; 32]);
    stream.apply_keystream(mac_key.as_mut_slice());
    let expected = Poly1305::new((&*mac_key).into()).compute_unpadded(ciphertext);
    if !bool::from(expected.as_slice().ct_eq(tag.as_slice())) {
        return None;
    }
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    stream.apply_keystream(plaintext.as_mut_slice());
    Some(plaintext)
}

/// The name under which a server knows a token: the first 8 bytes of the token's SHA-256.
///
/// As an integer it does not fit the SQL port; it is stored as a blob, or as [`TokenId::to_base64`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 8]);

impl TokenId {
    /// The name of `token`. Upper and lower case are different tokens.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }

    /// From padded base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As padded base64, 12 characters.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// As other bouncers store it.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        i64::from_be_bytes(self.0)
    }
}

/// Where a phone receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// At Apple, for one app.
    Apns {
        /// The app's bundle id, which is the topic.
        app_id: String,
    },
    /// At Google.
    Fcm,
}

/// What a sealed registration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The device token, in the case it was given.
    pub token: String,
    /// Where it counts.
    pub target: Target,
    /// When the phone made it.
    pub made: Timestamp,
}

/// Judges a registration that was opened. `claimed` is the token that the server names (12.x); servers of 11.x name
/// an account of the phone's instead, and there is nothing to compare.
///
/// Errors: [`SealedError::Invalid`] before [`SealedError::Expired`].
pub fn judge(registration: &Registration, claimed: Option<TokenId>, now: Timestamp) -> Result<(), SealedError> {
    let token = &registration.token;
    let is_sound = match &registration.target {
        Target::Apns { app_id } => is_hex(token) && is_app_id(app_id),
        Target::Fcm => true,
    };
    let has_length = (1..=TOKEN_CHARS_MAX).contains(&token.chars().count());
    if !is_sound || !has_length || claimed.is_some_and(|claimed| claimed != TokenId::of(token)) {
        return Err(SealedError::Invalid);
    }
    if now.since(registration.made) > AGE_MS_MAX { Err(SealedError::Expired) } else { Ok(()) }
}

/// Whether a token is what Apple hands out: pairs of hex digits.
#[must_use]
pub fn is_hex(token: &str) -> bool {
    token.len().is_multiple_of(2) && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether an app id is one: letters, digits, dots and hyphens.
#[must_use]
pub fn is_app_id(app_id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    (1..=APP_ID_CHARS_MAX).contains(&app_id.len()) && app_id.bytes().all(is_letter)
}
