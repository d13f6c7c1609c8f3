//! What we hand to browsers and want back unchanged: signed, and each kind signed so that it is no other kind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The token by which an organization's server sends its owner to us.
    Access,
    /// The cookie of a session.
    Session,
    /// The token in the forms of a session.
    Form,
    /// The key in a confirmation link.
    Link,
}

impl Purpose {
    /// What is signed before the message. No context is the beginning of another.
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Access => b"waystation/billing/access/v1\0",
            Self::Session => b"waystation/billing/session/v1\0",
            Self::Form => b"waystation/billing/form/v1\0",
            Self::Link => b"waystation/billing/link/v1\0",
        }
    }
}

/// The signature of a message: HMAC-SHA256.
#[must_use]
pub fn sign(key: &Key32, purpose: Purpose, message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return [0; 32] };
    mac.update(purpose.context());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A message with its signature, as text that may stand in a path or a cookie.
///
/// Shape: base64url of the message, a dot, base64url of the signature.
#[must_use]
pub fn seal(key: &Key32, purpose: Purpose, message: &[u8]) -> String {
    let text = URL_SAFE_NO_PAD.encode(message);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(key, purpose, message)))
}

/// The message of a sealed text, if the signature is ours and for this purpose.
#[must_use]
pub fn open(key: &Key32, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
    let (message, signature) = text.split_once('.')?;
    let (message, signature) = (URL_SAFE_NO_PAD.decode(message).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
    same_bytes(&sign(key, purpose, &message), &signature).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::{Purpose, open, seal};
    use crate::kernel::settings::Key32;

    const ALL: [Purpose; 4] = [Purpose::Access, Purpose::Session, Purpose::Form, Purpose::Link];

    #[test]
    fn what_is_sealed_for_one_purpose_opens_for_no_other_and_with_no_other_key() {
        let (key, other) = (Key32([7; 32]), Key32([8; 32]));
        for purpose in ALL {
            let sealed = seal(&key, purpose, b"{\"a\":1}");
            for candidate in ALL {
                assert_eq!(open(&key, candidate, &sealed).is_some(), candidate == purpose, "{purpose:?} {candidate:?}");
            }
            assert_eq!(open(&other, purpose, &sealed), None);
        }
    }

    #[test]
    fn every_changed_character_breaks_a_seal() {
        let key = Key32([7; 32]);
        let sealed = seal(&key, Purpose::Session, b"waystation");
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(&key, Purpose::Session, &String::from_utf8(bytes).unwrap()), None, "{at}");
        }
        for text in ["", ".", "a.b", "a", sealed.get(1..).unwrap(), &format!("{sealed}.")] {
            assert_eq!(open(&key, Purpose::Session, text), None, "{text}");
        }
    }
}
