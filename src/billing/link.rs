//! Keys of confirmation links.
//!
//! A key tells which server's object knows it, so that no directory has to be asked, and is signed, so that a made-up key
//! wakes no object. What is stored is its hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::seal::{Purpose, sign};
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;
use crate::push::uuid::Uuid;

/// How long a link works. Units: milliseconds.
pub const LINK_MS: u64 = 24 * 3_600_000;

/// How long it is remembered that a link existed, so that its holder can be told why it fails. Units: milliseconds.
pub const LINK_KEPT_MS: u64 = 2 * LINK_MS;

const UUID_BYTES: usize = 16;
const RANDOM_BYTES: usize = 20;
/// 16 + 20 + 12 bytes are 64 characters of base64url, without a remainder.
const MAC_BYTES: usize = 12;

/// A key of a confirmation link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkKey {
    server: Uuid,
    text: String,
}

impl LinkKey {
    /// A fresh key for a link of a server.
    pub fn mint(key: &Key32, server: &Uuid, entropy: &mut dyn Entropy) -> Self {
        let mut bytes = hex::decode(server.as_str().replace('-', "")).unwrap_or_default();
        bytes.extend_from_slice(&random_bytes::<RANDOM_BYTES>(entropy));
        let mac = sign(key, Purpose::Link, &bytes);
        bytes.extend(mac.iter().take(MAC_BYTES));
        Self { server: server.clone(), text: URL_SAFE_NO_PAD.encode(bytes) }
    }

    /// From the text in a link, if it is one of ours.
    #[must_use]
    pub fn parse(key: &Key32, text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (message, mac) = bytes.split_at_checked(UUID_BYTES + RANDOM_BYTES)?;
        let genuine: Vec<u8> = sign(key, Purpose::Link, message).into_iter().take(MAC_BYTES).collect();
        if !same_bytes(&genuine, mac) {
            return None;
        }
        let server = Uuid::parse(&hex::encode(message.get(..UUID_BYTES)?))?;
        Some(Self { server, text: text.to_owned() })
    }

    /// The server whose object knows it.
    #[must_use]
    pub const fn server(&self) -> &Uuid {
        &self.server
    }

    /// The text in the link.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.text.as_bytes()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::LinkKey;
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::settings::Key32;
    use crate::push::uuid::Uuid;

    #[test]
    fn a_key_names_its_server_and_cannot_be_made_up() {
        let (key, mut entropy) = (Key32([7; 32]), SeededEntropy::new(1));
        let server = Uuid::parse("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").unwrap();
        let link = LinkKey::mint(&key, &server, &mut entropy);
        assert_eq!(link.text().len(), 64);
        assert_eq!(LinkKey::parse(&key, link.text()), Some(link.clone()));
        assert_eq!(LinkKey::parse(&Key32([8; 32]), link.text()), None);
        for at in 0..64 {
            let mut bytes = link.text().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(LinkKey::parse(&key, &String::from_utf8(bytes).unwrap()), None, "{at}");
        }
        for bad in ["", "abc", link.text().get(..62).unwrap(), &format!("{}AA", link.text())] {
            assert_eq!(LinkKey::parse(&key, bad), None, "{bad}");
        }
        let other = LinkKey::mint(&key, &server, &mut entropy);
        assert_ne!((link.text(), link.hash()), (other.text(), other.hash()));
    }
}
