//! What a code, a key and a call id look like, and who a peer is.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::event::Refusal;
use super::message::Dialect;

/// Without I, O, 0 and 1, which people mistake for one another.
pub const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Characters of a code in the lobby.
pub const LOBBY_CODE_CHARS: usize = 6;
/// Characters of a code in a room. At most 512 bytes each, of which an attachment holds twelve.
pub const ROOM_CODE_CHARS_MAX: usize = 128;
/// Bytes of a key as text; the web client takes no longer one.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a post-quantum key as text: ML-KEM-768 has 1,184 bytes, about 1,580 characters of base64.
pub const PQ_KEY_BYTES_MAX: usize = 2_048;
/// Bytes of the list of key encapsulations as JSON.
pub const KEMS_BYTES_MAX: usize = 512;

/// Whether `code` can be held, and so reached, by a socket of this dialect.
#[must_use]
pub fn is_code(dialect: Dialect, code: &str) -> bool {
    match dialect {
        Dialect::Lobby => code.len() == LOBBY_CODE_CHARS && code.bytes().all(|byte| ALPHABET.contains(&byte)),
        // The length in bytes bounds the count, so that a long text is not walked.
        Dialect::Room => {
            !code.is_empty() && code.len() <= 4 * ROOM_CODE_CHARS_MAX && code.chars().count() <= ROOM_CODE_CHARS_MAX
        }
    }
}

/// Checks a public key.
///
/// Errors: [`Refusal::BadKeyFormat`] and [`Refusal::BadKeyLength`].
pub fn check_key(dialect: Dialect, key: &str) -> Result<(), Refusal> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Refusal::BadKeyLength);
    }
    match dialect {
        Dialect::Room => Ok(()),
        Dialect::Lobby => match STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == 32 => Ok(()),
            Ok(_) => Err(Refusal::BadKeyLength),
            Err(_) => Err(Refusal::BadKeyFormat),
        },
    }
}

/// Whether `text` is a UUID of version 4, in either case.
#[must_use]
pub fn is_uuid_v4(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'4',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A code that somebody holds or is asked for. Shared, and never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(Rc<str>);

impl From<&str> for Code {
    fn from(text: &str) -> Self {
        Self(Rc::from(text))
    }
}

impl Deref for Code {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Code {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[code]")
    }
}

/// What a registered peer has said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The code under which it is reached.
    pub code: Code,
    /// Empty when it gave none.
    pub public_key: Rc<str>,
    /// Passed on to matched peers.
    pub pq_public_key: Option<Rc<str>>,
    /// Passed on to matched peers.
    pub protocol_version: Option<u32>,
    /// A JSON array of texts, passed on to matched peers.
    pub supported_kems: Option<Rc<str>>,
}

impl Identity {
    /// Under which mark its partners remember it.
    #[must_use]
    pub fn partner(&self) -> Partner {
        let mut hash = Sha256::new();
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((self.code.len() as u64).to_be_bytes());
        hash.update(self.code.as_bytes());
        hash.update(self.public_key.as_bytes());
        let digest = hash.finalize();
        Partner(digest.iter().take(8).fold(0, |mark, byte| (mark << 8) | u64::from(*byte)))
    }
}

/// A peer as its partners remember it: 64 bits of the SHA-256 of code and key, so that a memory of many partners fits
/// into an attachment and holds no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partner(pub u64);

#[cfg(test)]
mod tests {
    use super::{check_key, is_code, is_uuid_v4};
    use crate::signaling::event::Refusal;
    use crate::signaling::message::Dialect;

    #[test]
    fn lobby_codes_are_six_unmistakable_characters() {
        for good in ["ABCDEF", "Z23456", "999999"] {
            assert!(is_code(Dialect::Lobby, good), "{good}");
        }
        for bad in ["", "ABCDE", "ABCDEFG", "ABCDE0", "ABCDE1", "ABCDEI", "ABCDEO", "abcdef", "ABCDÉ", "ABC EF"] {
            assert!(!is_code(Dialect::Lobby, bad), "{bad}");
        }
    }

    #[test]
    fn room_codes_are_anything_up_to_128_characters() {
        assert!(is_code(Dialect::Room, "x"));
        assert!(is_code(Dialect::Room, &"🛰".repeat(128)));
        assert!(!is_code(Dialect::Room, &"x".repeat(129)));
        assert!(!is_code(Dialect::Room, ""));
    }

    #[test]
    fn lobby_keys_are_base64_of_32_bytes() {
        assert_eq!(check_key(Dialect::Lobby, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="), Ok(()));
        assert_eq!(check_key(Dialect::Lobby, "11qYAYKxCrfVS/7TyWQHOg=="), Err(Refusal::BadKeyLength));
        assert_eq!(check_key(Dialect::Lobby, "not base64!"), Err(Refusal::BadKeyFormat));
        assert_eq!(check_key(Dialect::Lobby, &"A".repeat(400)), Err(Refusal::BadKeyLength));
    }

    #[test]
    fn call_ids_are_uuids_of_version_four() {
        assert!(is_uuid_v4("6e1c4d6a-0b5e-4f7a-9c3d-1a2b3c4d5e6f"));
        assert!(is_uuid_v4("6E1C4D6A-0B5E-4F7A-BC3D-1A2B3C4D5E6F"));
        for bad in [
            "",
            "6e1c4d6a-0b5e-1f7a-9c3d-1a2b3c4d5e6f",
            "6e1c4d6a-0b5e-4f7a-7c3d-1a2b3c4d5e6f",
            "6e1c4d6a00b5e-4f7a-9c3d-1a2b3c4d5e6f",
            "6e1c4d6a-0b5e-4f7a-9c3d-1a2b3c4d5e6",
            "6e1c4d6a-0b5e-4f7a-9c3d-1a2b3c4d5e6g",
        ] {
            assert!(!is_uuid_v4(bad), "{bad}");
        }
    }
}
