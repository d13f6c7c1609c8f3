//! Operators: what each role may do, and the tokens that say who somebody is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::operation::Operation;
use crate::kernel::secret::{Secret, same_bytes};
use crate::kernel::time::Timestamp;

/// How long a token lasts unless its owner says otherwise. Units: milliseconds; 90 days.
pub const TOKEN_MS: u64 = 90 * DAY_MS;

/// How long a token may last. Units: milliseconds; a year and a day.
pub const TOKEN_MS_MAX: u64 = 366 * DAY_MS;

/// Tokens that open doors at once. So many that have ended are kept beside.
pub const TOKENS_MAX: u64 = 1_000;

/// How long an ended token is still listed. Units: milliseconds; 30 days.
pub const ENDED_KEPT_MS: u64 = 30 * DAY_MS;

/// The longest name of a token. Units: characters.
pub const NAME_CHARS_MAX: usize = 64;

/// What every token begins with.
pub const PREFIX: &str = "wop_";

const DAY_MS: u64 = 24 * 3_600_000;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// The name of a token as it is kept: one line that somebody can read, without blanks around it. Nothing for what is
/// none, such as text that a list would show as two lines, backwards or not at all.
#[must_use]
pub fn token_name(given: &str) -> Option<String> {
    let name = given.trim();
    let is_odd = |letter: char| {
        // Line ends, directions, and what has no width.
        letter.is_control()
            || matches!(letter, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || letter == '\u{feff}'
    };
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    (fits && !given.chars().any(is_odd)).then(|| name.to_owned())
}

/// What somebody may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Change servers, organizations and plans.
    Admin,
    /// Remove servers, and give out tokens.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Admin, Self::Owner];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// The least role for each operation. What is not in it is no operator's.
pub const NEEDED: &[(Operation, Role)] = &[
    (Operation::OperatorServers, Role::Viewer),
    (Operation::OperatorServer, Role::Viewer),
    (Operation::OperatorServerRealms, Role::Viewer),
    (Operation::OperatorServerAudit, Role::Viewer),
    (Operation::OperatorServerCounts, Role::Viewer),
    (Operation::OperatorServerTokens, Role::Viewer),
    (Operation::OperatorServerInvoices, Role::Viewer),
    (Operation::OperatorBillingUsers, Role::Viewer),
    (Operation::OperatorRealm, Role::Viewer),
    (Operation::OperatorRealmAudit, Role::Viewer),
    (Operation::OperatorRealmCounts, Role::Viewer),
    (Operation::OperatorRealmInvoices, Role::Viewer),
    (Operation::OperatorMetrics, Role::Viewer),
    (Operation::OperatorDeactivate, Role::Admin),
    (Operation::OperatorReactivate, Role::Admin),
    (Operation::OperatorDeactivationLink, Role::Admin),
    (Operation::OperatorRotate, Role::Admin),
    (Operation::OperatorExport, Role::Admin),
    (Operation::OperatorBillingUserClose, Role::Admin),
    (Operation::OperatorServerPlan, Role::Admin),
    (Operation::OperatorRealmPlan, Role::Admin),
    (Operation::OperatorRealmMove, Role::Admin),
    (Operation::OperatorRealmDeactivate, Role::Admin),
    (Operation::OperatorRealmReactivate, Role::Admin),
    (Operation::OperatorServerRemove, Role::Owner),
    (Operation::OperatorTokenCreate, Role::Owner),
    (Operation::OperatorTokens, Role::Owner),
    (Operation::OperatorTokenRevoke, Role::Owner),
];

/// The least role for an operation; nothing when it is no operator's.
#[must_use]
pub fn needed(operation: Operation) -> Option<Role> {
    NEEDED.iter().find(|(known, _)| *known == operation).map(|(_, role)| *role)
}

/// An operator, as objects see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What they may do.
    pub role: Role,
    /// The token's id; `admin` for the holder of the service's secret.
    pub name: String,
}

impl Operator {
    /// From [`crate::kernel::object::Call::caller`]: nothing there is the holder of the service's secret.
    #[must_use]
    pub fn parse(caller: Option<&str>) -> Option<Self> {
        let Some(caller) = caller else { return Some(Self { role: Role::Owner, name: String::from("admin") }) };
        let (role, name) = caller.split_once(':')?;
        Some(Self { role: Role::parse(role)?, name: name.to_owned() })
    }

    /// For [`crate::kernel::object::Call::caller`].
    #[must_use]
    pub fn caller(&self) -> String {
        format!("{}:{}", self.role.word(), self.name)
    }
}

/// A token as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownToken {
    /// What it is known by.
    pub id: String,
    /// The rest.
    pub secret: Secret,
}

impl ShownToken {
    /// The whole, as it is shown once.
    #[must_use]
    pub fn text(&self) -> Secret {
        Secret::new(format!("{PREFIX}{}_{}", self.id, self.secret.reveal()))
    }

    /// From a bearer token; nothing when it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_id = is_token_id(id);
        let is_secret = URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES);
        (is_id && is_secret).then(|| Self { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }
}

/// Whether a text could be what a token is known by.
#[must_use]
pub fn is_token_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A fresh token.
pub fn fresh_token(entropy: &mut dyn Entropy) -> ShownToken {
    let id = hex::encode(random_bytes::<ID_BYTES>(entropy));
    let secret = URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>(entropy));
    ShownToken { id, secret: Secret::new(secret) }
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptToken {
    /// What it is known by.
    pub id: String,
    /// A hash of the rest; 32 random bytes need no salt.
    pub hash: [u8; 32],
    /// What for, in its owner's words.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Since when not any more.
    pub revoked_at: Option<Timestamp>,
}

/// The hash of a token's secret part.
#[must_use]
pub fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.reveal().as_bytes()).into()
}

/// The operator whose token it is, if it is good.
#[must_use]
pub fn admit(now: Timestamp, kept: Option<&KeptToken>, shown: &ShownToken) -> Option<Operator> {
    let kept = kept.filter(|kept| same_bytes(&kept.hash, &hash(&shown.secret)))?;
    let is_good = kept.revoked_at.is_none() && now < kept.expires_at;
    is_good.then(|| Operator { role: kept.role, name: kept.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::{KeptToken, Operator, Role, ShownToken, TOKEN_MS, admit, fresh_token, hash};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn kept(shown: &ShownToken) -> KeptToken {
        KeptToken {
            id: shown.id.clone(),
            hash: hash(&shown.secret),
            name: String::from("ci"),
            role: Role::Admin,
            created_at: NOW,
            expires_at: NOW.plus(TOKEN_MS),
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_comes_back_from_its_text_and_nothing_else_does() {
        let shown = fresh_token(&mut SeededEntropy::new(1));
        assert_eq!(ShownToken::parse(shown.text().reveal()), Some(shown.clone()));
        let text = shown.text().reveal().to_owned();
        for bad in ["", "wop_", "wop_1_2", &text.replace("wop_", "wat_"), &format!("{text}A"), &text.to_uppercase()] {
            assert_eq!(ShownToken::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_opens_until_it_expires_or_is_revoked() {
        let shown = fresh_token(&mut SeededEntropy::new(1));
        let good = kept(&shown);
        let operator = Operator { role: Role::Admin, name: shown.id.clone() };
        assert_eq!(admit(NOW, Some(&good), &shown), Some(operator.clone()));
        assert_eq!(Operator::parse(Some(&operator.caller())), Some(operator));
        assert_eq!(admit(NOW.plus(TOKEN_MS), Some(&good), &shown), None);
        let revoked = KeptToken { revoked_at: Some(NOW), ..good.clone() };
        assert_eq!(admit(NOW, Some(&revoked), &shown), None);
        let other = ShownToken { id: shown.id.clone(), ..fresh_token(&mut SeededEntropy::new(2)) };
        assert_eq!(admit(NOW, Some(&good), &other), None);
        assert_eq!(admit(NOW, None, &shown), None);
    }

    #[test]
    fn the_services_secret_is_an_owner_and_nonsense_is_nobody() {
        assert_eq!(Operator::parse(None).map(|operator| operator.role), Some(Role::Owner));
        for bad in ["", "owner", "root:x", ":x"] {
            assert_eq!(Operator::parse(Some(bad)), None, "{bad}");
        }
    }
}
