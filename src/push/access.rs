//! Signing in to see and change a plan: the identity that a link carries, and how long it lasts.
//!
//! The pages are elsewhere; here is what is signed, and what is said when it is not good.
//!
//! Source: sections 1.16 and 3.9 of the dialect.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::uuid::Uuid;
use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;
use crate::kernel::time::Timestamp;

/// How long a link, and the session after it, lasts. Units: milliseconds; two hours.
pub const LINK_MS: u64 = 2 * 3_600_000;

/// How long a link in a mail lasts. Units: milliseconds; a day.
pub const MAIL_MS: u64 = 24 * 3_600_000;

const SALT: &[u8] = b"remote_billing_access";
const MAC_BYTES: usize = 32;

/// Where somebody wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NextPage {
    Sponsorship,
    Upgrade,
    Billing,
    Plans,
    Deactivate,
}

impl NextPage {
    /// Every page.
    pub const ALL: [Self; 5] = [Self::Sponsorship, Self::Upgrade, Self::Billing, Self::Plans, Self::Deactivate];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sponsorship => "sponsorship",
            Self::Upgrade => "upgrade",
            Self::Billing => "billing",
            Self::Plans => "plans",
            Self::Deactivate => "deactivate",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.word() == word)
    }
}

/// Who asks for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The user's name on their server.
    pub uuid: Uuid,
    /// Their address.
    pub email: String,
    /// Their name.
    pub full_name: String,
}

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// It is too old.
    Expired,
    /// It is not ours.
    Invalid,
}

impl AccessError {
    /// The dialect's sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Expired => "Billing access token expired.",
            Self::Invalid => "Invalid billing access token.",
        }
    }
}

/// What a signed-in visitor is told when there is no session, or none any more.
pub const NOT_AUTHENTICATED: &str = "User not authenticated";
/// The same when the session is too old.
pub const SESSION_EXPIRED: &str = "Remote billing authentication expired";
/// When the account was never confirmed.
pub const NO_ACCOUNT: &str = "User account doesn't exist yet.";
/// When the terms were not accepted.
pub const NO_CONSENT: &str = "You must accept the Terms of Service to proceed.";
/// When the server, the organization or its registration is deactivated.
pub const DEACTIVATED: &str = "Registration is deactivated";

/// Signs an identity.
///
/// Shape: base64url of 8 bytes of time, the MAC and the identity's text.
#[must_use]
pub fn issue(key: &Key32, identity: &str, now: Timestamp) -> String {
    let time = now.as_millis().to_be_bytes();
    let mut token = time.to_vec();
    token.extend(mac(key, &time, identity.as_bytes()));
    token.extend(identity.as_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The identity of a link, and since when its bearer is authenticated.
///
/// Errors: [`AccessError`].
pub fn check(key: &Key32, token: &str, now: Timestamp) -> Result<(String, Timestamp), AccessError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| AccessError::Invalid)?;
    let (time, rest) = bytes.split_first_chunk::<8>().ok_or(AccessError::Invalid)?;
    let (given, identity) = rest.split_first_chunk::<MAC_BYTES>().ok_or(AccessError::Invalid)?;
    if !same_bytes(given, &mac(key, time, identity)) {
        return Err(AccessError::Invalid);
    }
    let issued = Timestamp::from_millis(u64::from_be_bytes(*time));
    if is_over(issued, now) {
        return Err(AccessError::Expired);
    }
    let identity = std::str::from_utf8(identity).map_err(|_| AccessError::Invalid)?;
    Ok((identity.to_owned(), issued))
}

/// Whether a session that began then is over.
#[must_use]
pub const fn is_over(authenticated_at: Timestamp, now: Timestamp) -> bool {
    now.since(authenticated_at) > LINK_MS
}

fn mac(key: &Key32, time: &[u8], identity: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return Vec::new() };
    mac.update(SALT);
    mac.update(time);
    mac.update(identity);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{AccessError, LINK_MS, NextPage, check, issue};
    use crate::kernel::settings::Key32;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_link_lasts_two_hours_and_only_under_its_key() {
        let key = Key32([7; 32]);
        let token = issue(&key, "{\"user\":{}}", NOW);
        assert_eq!(check(&key, &token, NOW.plus(LINK_MS)), Ok((String::from("{\"user\":{}}"), NOW)));
        assert_eq!(check(&key, &token, NOW.plus(LINK_MS + 1)), Err(AccessError::Expired));
        assert_eq!(check(&Key32([8; 32]), &token, NOW), Err(AccessError::Invalid));
        for bad in ["", "x", "####", token.get(..40).unwrap(), &format!("{token}AA")] {
            assert_eq!(check(&key, bad, NOW), Err(AccessError::Invalid), "{bad}");
        }
        assert_eq!(AccessError::Expired.sentence(), "Billing access token expired.");
        assert_eq!(AccessError::Invalid.sentence(), "Invalid billing access token.");
    }

    #[test]
    fn pages_have_the_dialects_names() {
        for word in ["sponsorship", "upgrade", "billing", "plans", "deactivate"] {
            assert_eq!(NextPage::parse(word).map(NextPage::word), Some(word));
        }
        assert_eq!(NextPage::parse("invoices"), None);
    }
}
