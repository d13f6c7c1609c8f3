//! Device tokens of the legacy path: what one may look like, whose it is, and which of them are reported as gone.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::provider::Kind;
use super::refusal::Refusal;
use super::sealed::is_hex;
use super::uuid::Uuid;
use crate::kernel::time::Timestamp;

/// The longest token. Units: characters.
pub const TOKEN_CHARS_MAX: usize = 4096;

/// Tokens that one user may have on one server. Phones are replaced, so there are more than phones.
pub const TOKENS_PER_USER_MAX: usize = 100;

/// Tokens that one server may have.
pub const TOKENS_PER_SERVER_MAX: u64 = 500_000;

/// The dialect's number of a provider.
#[must_use]
pub const fn number_of(kind: Kind) -> i64 {
    match kind {
        Kind::Apns => 1,
        Kind::Fcm => 2,
        Kind::WebPush => 3,
    }
}

/// The provider of a number.
#[must_use]
pub const fn kind_of(number: i64) -> Option<Kind> {
    match number {
        1 => Some(Kind::Apns),
        2 => Some(Kind::Fcm),
        3 => Some(Kind::WebPush),
        _ => None,
    }
}

/// The form by which tokens of a provider are compared: Apple's without regard to case.
#[must_use]
pub fn canonical(kind: Kind, token: &str) -> String {
    match kind {
        Kind::Apns => token.to_ascii_lowercase(),
        Kind::Fcm | Kind::WebPush => token.to_owned(),
    }
}

/// By what a token is found: the hash of its kind and canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token.
    #[must_use]
    pub fn of(kind: Kind, token: &str) -> Self {
        Self(Sha256::digest(format!("{}:{}", number_of(kind), canonical(kind, token))).into())
    }

    /// The hash of a token whose case counts.
    #[must_use]
    pub fn exact(kind: Kind, token: &str) -> Self {
        Self(Sha256::digest(format!("{}:{token}", number_of(kind))).into())
    }

    /// As 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// From 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// Whose a token is: old servers number their users, newer ones name them by UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number.
    pub id: Option<i64>,
    /// The UUID.
    pub uuid: Option<Uuid>,
}

impl User {
    /// Checks that the user is named at all.
    ///
    /// Errors: [`Refusal::MissingUser`]; [`Refusal::RealmWithoutUser`] when a realm is given and no UUID.
    pub fn check(self, realm: Option<&Uuid>) -> Result<Self, Refusal> {
        match (self.id, &self.uuid, realm) {
            (None, None, _) => Err(Refusal::MissingUser),
            (_, None, Some(_)) => Err(Refusal::RealmWithoutUser),
            _ => Ok(self),
        }
    }
}

/// A token as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaim {
    /// The provider's number.
    pub kind: i64,
    /// The token.
    pub token: String,
    /// The app, for Apple.
    pub app_id: Option<String>,
}

/// A token that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who carries to it.
    pub kind: Kind,
    /// The token; of Web Push the whole subscription, as browsers write it.
    pub token: String,
    /// The app, for Apple.
    pub app_id: Option<String>,
}

/// What is asked of a token beyond its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is to be kept.
    Keep,
    /// It is only named.
    Name,
}

impl TokenClaim {
    /// Checks a token, in the documented order.
    ///
    /// Errors: [`Refusal::TokenType`], [`Refusal::TokenLength`], [`Refusal::ApnsToken`], [`Refusal::MissingAppId`].
    /// A subscription is judged in `wire`, which can read it.
    pub fn check(self, purpose: Purpose) -> Result<Token, Refusal> {
        let kind = kind_of(self.kind).ok_or(Refusal::TokenType)?;
        if self.token.is_empty() || self.token.chars().count() > TOKEN_CHARS_MAX {
            return Err(Refusal::TokenLength);
        }
        if kind == Kind::Apns && !is_hex(&self.token) {
            return Err(Refusal::ApnsToken);
        }
        if purpose == Purpose::Keep && kind == Kind::Apns && self.app_id.is_none() {
            return Err(Refusal::MissingAppId);
        }
        let app_id = self.app_id.filter(|_| kind == Kind::Apns);
        Ok(Token { kind, token: self.token, app_id })
    }
}

/// A token that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The row.
    pub device_id: i64,
    /// The token.
    pub token: Token,
    /// Whether the row names its user by number.
    pub by_number: ByNumber,
    /// Whether a realm is linked.
    pub realm: Option<i64>,
    /// Since when.
    pub registered_at: Timestamp,
}

/// How a row names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ByNumber {
    Yes,
    No,
}

/// The devices of a user that are sent to, and the rows that say the same twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deduplicated {
    /// One per token, in the order of their rows.
    pub kept: Vec<Device>,
    /// Rows to delete: a token that is kept under the user's UUID needs none under the number.
    pub surplus: Vec<i64>,
}

/// Keeps one row per token. Of several the one by UUID counts, else the first.
#[must_use]
pub fn deduplicate(devices: Vec<Device>) -> Deduplicated {
    let mut best: BTreeMap<TokenHash, (ByNumber, i64)> = BTreeMap::new();
    for device in &devices {
        let hash = TokenHash::of(device.token.kind, &device.token.token);
        let here = (device.by_number, device.device_id);
        let entry = best.entry(hash).or_insert(here);
        if entry.0 == ByNumber::Yes && device.by_number == ByNumber::No {
            *entry = here;
        }
    }
    let winners: BTreeSet<i64> = best.into_values().map(|(_, device_id)| device_id).collect();
    let (kept, surplus) = devices.into_iter().partition(|device: &Device| winners.contains(&device.device_id));
    Deduplicated { kept, surplus: surplus.into_iter().map(|device: Device| device.device_id).collect() }
}

/// Which of the tokens that a server believes in are gone: sorted, each spelling once, and of several spellings of one
/// token all but the first.
#[must_use]
pub fn gone(kind: Kind, believed: &[String], held: &BTreeSet<String>) -> Vec<String> {
    let mut first_spelling: BTreeMap<String, &str> = BTreeMap::new();
    let mut reported = BTreeSet::new();
    for token in believed {
        let canonical = canonical(kind, token);
        let first = first_spelling.entry(canonical.clone()).or_insert(token.as_str());
        if *first != token.as_str() || !held.contains(&canonical) {
            reported.insert(token.clone());
        }
    }
    reported.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ByNumber, Device, Token, deduplicate, gone};
    use crate::kernel::time::Timestamp;
    use crate::push::provider::Kind;

    fn device(device_id: i64, token: &str, by_number: ByNumber) -> Device {
        let token = Token { kind: Kind::Apns, token: token.to_owned(), app_id: None };
        Device { device_id, token, by_number, realm: None, registered_at: Timestamp::EPOCH }
    }

    #[test]
    fn a_token_of_any_case_is_kept_once_and_under_the_uuid() {
        let devices = vec![
            device(1, "AA", ByNumber::Yes),
            device(2, "aa", ByNumber::No),
            device(3, "bb", ByNumber::Yes),
            device(4, "Aa", ByNumber::Yes),
        ];
        let result = deduplicate(devices);
        assert_eq!(result.kept.iter().map(|device| device.device_id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(result.surplus, [1, 4]);
    }

    #[test]
    fn only_what_is_not_held_is_reported_in_the_callers_spelling() {
        let held = BTreeSet::from([String::from("aa"), String::from("cc")]);
        let believed = ["AA", "aA", "bb", "BB", "bb", "cc", "cc"].map(String::from);
        assert_eq!(gone(Kind::Apns, &believed, &held), ["BB", "aA", "bb"]);
        assert_eq!(gone(Kind::Fcm, &believed, &held), ["AA", "BB", "aA", "bb"]);
    }
}
