//! A party's password, of which only a salted and keyed hash is kept.
//!
//! The key is the service's own, so a stolen database does not open to guessing; and guessing through the door is
//! limited by [`super::tries`]. So one round is enough.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;

/// Characters of a password.
pub const PASSWORD_CHARS_MAX: usize = 128;

/// What is kept of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash {
    /// Random.
    pub salt: [u8; 16],
    /// HMAC-SHA-256 over salt and password.
    pub hash: [u8; 32],
}

/// What to keep of a new password.
pub fn seal(key: Option<&Key32>, password: &str, entropy: &mut dyn Entropy) -> PasswordHash {
    let salt = random_bytes(entropy);
    PasswordHash { salt, hash: hash(key, &salt, password) }
}

impl PasswordHash {
    /// Whether it is this password.
    #[must_use]
    pub fn matches(&self, key: Option<&Key32>, password: &str) -> bool {
        same_bytes(&self.hash, &hash(key, &self.salt, password))
    }
}

fn hash(key: Option<&Key32>, salt: &[u8], password: &str) -> [u8; 32] {
    let key = key.map_or(&[] as &[u8], |key| &key.0);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(b"waystation party password");
    mac.update(salt);
    mac.update(password.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::seal;
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::settings::Key32;

    #[test]
    fn only_the_same_password_matches_and_equal_ones_look_different() {
        let (key, mut entropy) = (Key32([7; 32]), SeededEntropy::new(3));
        let sealed = seal(Some(&key), "open", &mut entropy);
        assert!(sealed.matches(Some(&key), "open"));
        assert!(!sealed.matches(Some(&key), "Open") && !sealed.matches(Some(&key), ""));
        assert!(!sealed.matches(Some(&Key32([8; 32])), "open"));
        assert_ne!(seal(Some(&key), "open", &mut entropy).hash, sealed.hash);
    }
}
