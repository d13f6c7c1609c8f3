//! Who a server is: HTTP Basic with its id and key, and what is kept of keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use super::uuid::Uuid;
use crate::kernel::entropy::Entropy;
use crate::kernel::secret::{Secret, same_bytes};
use crate::kernel::time::Timestamp;

/// How long the old key works after a rotation, on authenticated endpoints only: today's clients still send it in the
/// upload that follows the rotation. Units: milliseconds.
pub const OLD_KEY_MS: u64 = 10 * 60_000;

/// The length of a key.
pub const KEY_CHARS: usize = 64;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The registration's id as it was sent.
    pub username: String,
    /// The same, if it is one.
    pub uuid: Option<Uuid>,
    /// The key.
    pub key: Secret,
}

/// Reads an `Authorization` header.
///
/// Errors: what needs no storage, in this order: [`Refusal::NoAuthorization`], [`Refusal::BadAuthorization`],
/// [`Refusal::NotBasic`], [`Refusal::UserKey`].
pub fn parse_basic(header: Option<&str>) -> Result<Credentials, Refusal> {
    let header = header.ok_or(Refusal::NoAuthorization)?;
    let mut words = header.split_whitespace();
    let (Some(scheme), Some(value), None) = (words.next(), words.next(), words.next()) else {
        return Err(Refusal::BadAuthorization);
    };
    let text = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.map(Secret::new).ok_or(Refusal::BadAuthorization)?;
    let (username, key) = text.reveal().split_once(':').ok_or(Refusal::BadAuthorization)?;
    if key.contains(':') {
        return Err(Refusal::BadAuthorization);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::NotBasic);
    }
    if username.contains('@') {
        return Err(Refusal::UserKey);
    }
    Ok(Credentials { username: username.to_owned(), uuid: Uuid::parse(username), key: Secret::new(key.to_owned()) })
}

/// What is kept of a key. Keys are long and random, so a plain hash tells nothing of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether this is the hash of `key`, in constant time.
    #[must_use]
    pub fn matches(&self, key: &Secret) -> bool {
        same_bytes(&self.0, &Self::of(key.reveal()).0)
    }
}

/// The keys of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The one that counts.
    pub current: KeyHash,
    /// The one before, and until when it works.
    pub old: Option<(KeyHash, Timestamp)>,
}

impl Keys {
    /// Whether `key` opens the authenticated endpoints.
    #[must_use]
    pub fn admit(&self, key: &Secret, now: Timestamp) -> bool {
        // Both are compared whatever comes of the first.
        let current = self.current.matches(key);
        let old = self.old.as_ref().is_some_and(|(old, until)| old.matches(key) && now < *until);
        current || old
    }

    /// The keys after a rotation by the registration's holder.
    #[must_use]
    pub fn rotated(&self, new: KeyHash, now: Timestamp) -> Self {
        if new == self.current {
            return self.clone();
        }
        Self { current: new, old: Some((self.current.clone(), now.plus(OLD_KEY_MS))) }
    }
}

/// A fresh key: 64 letters and digits.
pub fn fresh_key(entropy: &mut dyn Entropy) -> Secret {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = |_| {
        let index = entropy.below(62) as usize;
        char::from(ALPHABET.get(index).copied().unwrap_or(b'A'))
    };
    Secret::new((0..KEY_CHARS).map(letter).collect())
}

#[cfg(test)]
mod tests {
    use super::{KeyHash, Keys, OLD_KEY_MS, fresh_key, parse_basic};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::secret::Secret;
    use crate::kernel::time::Timestamp;
    use crate::push::refusal::Refusal;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn headers_are_refused_in_the_documented_order() {
        let header = |scheme: &str, text: &str| format!("{scheme} {}", STANDARD.encode(text));
        assert_eq!(parse_basic(None), Err(Refusal::NoAuthorization));
        for bad in ["", "Basic", "Basic !!!", "Basic a b", &header("Basic", "nocolon"), &header("Basic", "a:b:c")] {
            assert_eq!(parse_basic(Some(bad)), Err(Refusal::BadAuthorization), "{bad}");
        }
        assert_eq!(parse_basic(Some(&header("Bearer", "a:b"))), Err(Refusal::NotBasic));
        assert_eq!(parse_basic(Some(&header("Basic", "a@b.c:k"))), Err(Refusal::UserKey));
        let good = parse_basic(Some(&header("bASIC", "6CDE5F7A-1F7E-4978-9716-49F69EBFC9FE:k"))).unwrap();
        assert_eq!(good.uuid.unwrap().as_str(), "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe");
        assert!(good.key.matches("k"));
    }

    #[test]
    fn the_old_key_works_for_ten_minutes() {
        let (old, new) = (Secret::new(String::from("old")), Secret::new(String::from("new")));
        let now = Timestamp::from_millis(1_000_000);
        let keys = Keys { current: KeyHash::of("old"), old: None }.rotated(KeyHash::of("new"), now);
        assert!(keys.admit(&new, now) && keys.admit(&old, now.plus(OLD_KEY_MS - 1)));
        assert!(!keys.admit(&old, now.plus(OLD_KEY_MS)));
        assert_eq!(keys.rotated(KeyHash::of("new"), now.plus(5)), keys);
    }

    #[test]
    fn fresh_keys_have_64_letters_and_digits() {
        let mut entropy = SeededEntropy::new(3);
        let (first, second) = (fresh_key(&mut entropy), fresh_key(&mut entropy));
        assert_eq!(first.reveal().len(), 64);
        assert!(first.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(first, second);
    }
}
