//! Peers' tokens: what they are made of, and where the object is that knows them.
//!
//! A token is 32 bytes in 43 URL-safe base64 characters: the number of its shard, 23 random bytes, and the first 8 bytes
//! of an HMAC-SHA-256 over these 24. So the front tells forgeries from tokens without asking an object, and which object
//! knows a token stands in the token. An object keeps the SHA-256 of a token only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::settings::Key32;

/// Objects that share the peers among them.
pub const SHARDS: u8 = 16;

/// Characters of a token.
pub const TOKEN_CHARS: usize = 43;

const SIGNED_BYTES: usize = 24;
const TAG_BYTES: usize = 8;

/// What an object keeps of a token.
pub type TokenHash = [u8; 32];

/// One of the objects that know peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

impl Shard {
    /// The one that knows a peer.
    #[must_use]
    pub fn of_peer(peer_id: &str) -> Self {
        let [first, ..] = <[u8; 32]>::from(Sha256::digest(peer_id));
        Self(first % SHARDS)
    }

    /// Its object's name.
    ///
    /// Shape: `00` to `15`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{:02}", self.0)
    }
}

/// A token that was made with our key. Whether anybody still holds it is for its shard to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genuine {
    /// Where it is known.
    pub shard: Shard,
    /// What it is known by.
    pub hash: TokenHash,
}

/// How an `Authorization` header is wrong before anybody looks at its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationError {
    /// There is none.
    Missing,
    /// It does not begin with `Bearer `, spelled so.
    Format,
}

impl AuthorizationError {
    /// In the words that clients know.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Missing => "Missing authorization header",
            Self::Format => "Invalid authorization format",
        }
    }
}

/// The token in an `Authorization` header.
///
/// Errors: [`AuthorizationError`]; the prefix is case-sensitive, as in the original.
pub fn parse_authorization(header: Option<&str>) -> Result<&str, AuthorizationError> {
    let header = header.filter(|header| !header.is_empty()).ok_or(AuthorizationError::Missing)?;
    header.strip_prefix("Bearer ").ok_or(AuthorizationError::Format)
}

/// A new token for a peer.
pub fn mint(key: &Key32, peer_id: &str, entropy: &mut dyn Entropy) -> String {
    let mut signed = [0_u8; SIGNED_BYTES];
    let shard = Shard::of_peer(peer_id).0;
    let random = random_bytes::<{ SIGNED_BYTES - 1 }>(entropy);
    for (to, from) in signed.iter_mut().zip(std::iter::once(shard).chain(random)) {
        *to = from;
    }
    let tag = tag(key, &signed);
    URL_SAFE_NO_PAD.encode([signed.as_slice(), tag.as_slice()].concat())
}

/// What a token says about itself, if it was made with our key.
#[must_use]
pub fn parse(key: &Key32, token: &str) -> Option<Genuine> {
    if token.len() != TOKEN_CHARS {
        return None;
    }
    let bytes: [u8; SIGNED_BYTES + TAG_BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (signed, claimed) = bytes.split_at(SIGNED_BYTES);
    let shard = *signed.first()?;
    let genuine = bool::from(tag(key, signed).ct_eq(claimed)) && shard < SHARDS;
    genuine.then(|| Genuine { shard: Shard(shard), hash: hash(token) })
}

/// What a token is known by.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// The name of the object that would know a token, whether or not it was made with our key.
#[must_use]
pub fn shard_of_token(token: &str) -> Option<String> {
    let bytes: [u8; SIGNED_BYTES + TAG_BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    bytes.first().filter(|shard| **shard < SHARDS).map(|shard| Shard(*shard).name())
}

/// The name of the object that knows a peer.
#[must_use]
pub fn shard_of_peer(peer_id: &str) -> String {
    Shard::of_peer(peer_id).name()
}

fn tag(key: &Key32, signed: &[u8]) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    // Any length of key is a key to HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return tag };
    mac.update(signed);
    for (to, from) in tag.iter_mut().zip(mac.finalize().into_bytes()) {
        *to = from;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::{AuthorizationError, Shard, TOKEN_CHARS, hash, mint, parse, parse_authorization, shard_of_token};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::settings::Key32;

    const KEY: Key32 = Key32([7; 32]);

    #[test]
    fn a_token_names_the_shard_of_its_peer_and_is_43_url_safe_characters() {
        let mut entropy = SeededEntropy::new(1);
        for index in 0..200 {
            let peer = format!("peer_{index}");
            let token = mint(&KEY, &peer, &mut entropy);
            assert_eq!(token.len(), TOKEN_CHARS);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
            let genuine = parse(&KEY, &token).unwrap();
            assert_eq!((genuine.shard, genuine.hash), (Shard::of_peer(&peer), hash(&token)));
            assert_eq!(shard_of_token(&token), Some(Shard::of_peer(&peer).name()));
        }
    }

    #[test]
    fn a_forgery_is_told_from_a_token_without_asking_anybody() {
        let token = mint(&KEY, "peer", &mut SeededEntropy::new(1));
        assert!(parse(&Key32([8; 32]), &token).is_none(), "another key");
        for index in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(parse(&KEY, &forged).is_none(), "character {index}");
        }
        for text in ["", "short", &"A".repeat(42), &"A".repeat(43), &format!("{token}A"), &"é".repeat(22)] {
            assert!(parse(&KEY, text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_shard_has_peers() {
        let shards: std::collections::BTreeSet<Shard> =
            (0..500).map(|index| Shard::of_peer(&index.to_string())).collect();
        assert_eq!(shards.len(), 16);
        assert_eq!((Shard(0).name(), Shard(15).name()), (String::from("00"), String::from("15")));
    }

    #[test]
    fn the_header_is_bearer_and_a_space_spelled_so() {
        assert_eq!(parse_authorization(Some("Bearer abc")), Ok("abc"));
        assert_eq!(parse_authorization(None), Err(AuthorizationError::Missing));
        assert_eq!(parse_authorization(Some("")), Err(AuthorizationError::Missing));
        for header in ["bearer abc", "BEARER abc", "Bearer", "Basic abc", " Bearer abc", "abc"] {
            assert_eq!(parse_authorization(Some(header)), Err(AuthorizationError::Format), "{header}");
        }
    }
}
