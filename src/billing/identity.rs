//! Who comes, how long that is believed, and what forms must show.

use super::seal::{Purpose, sign};
use crate::kernel::entropy::{Entropy, random_bytes};
use crate::kernel::secret::same_bytes;
use crate::kernel::settings::Key32;
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

/// How long a token or a session counts, from the moment at which somebody was authenticated. Units: milliseconds.
pub const LIFE_MS: u64 = 2 * 3_600_000;

/// The scheme under which an organization's own server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum UriScheme {
    Http,
    Https,
}

impl UriScheme {
    /// As it stands before a host.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }

    /// From what stands before a host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|known| known.prefix() == text)
    }
}

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
    /// Every page that may be named.
    pub const ALL: [Self; 5] = [Self::Sponsorship, Self::Upgrade, Self::Billing, Self::Plans, Self::Deactivate];

    /// The name in parameters and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sponsorship => "sponsorship",
            Self::Upgrade => "upgrade",
            Self::Billing => "billing",
            Self::Plans => "plans",
            Self::Deactivate => "deactivate",
        }
    }

    /// From a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == text)
    }
}

/// A person, as an organization's own server knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name there.
    pub uuid: Uuid,
    /// Their address there, which nobody has proven.
    pub email: String,
    /// What they are called.
    pub full_name: String,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub person: Person,
    /// Of which server.
    pub server: Uuid,
    /// Of which of its organizations.
    pub realm: Uuid,
    /// Their billing user, once there is one.
    pub user_id: Option<u64>,
    /// When the server vouched for them.
    pub authenticated_at: Timestamp,
    /// How the server is reached.
    pub uri_scheme: UriScheme,
    /// Where they want to go.
    pub next_page: Option<NextPage>,
}

/// Whether something that was signed at `authenticated_at` still counts.
#[must_use]
pub const fn is_fresh(authenticated_at: Timestamp, now: Timestamp) -> bool {
    now.since(authenticated_at) <= LIFE_MS
}

/// For whom somebody is signed in: an organization, or a whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An organization.
    Realm(Uuid),
    /// A server.
    Server(Uuid),
}

impl Subject {
    /// The first segment of its pages' paths.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Realm(_) => "realm",
            Self::Server(_) => "server",
        }
    }

    /// Its name.
    #[must_use]
    pub const fn uuid(&self) -> &Uuid {
        match self {
            Self::Realm(uuid) | Self::Server(uuid) => uuid,
        }
    }

    /// The path of one of its pages.
    #[must_use]
    pub fn path(&self, page: &str) -> String {
        format!("/{}/{}/{page}/", self.kind(), self.uuid())
    }
}

/// Somebody who is signed in, or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The server whose object keeps the user.
    pub server: Uuid,
    /// For whom.
    pub subject: Subject,
    /// The billing user; nobody yet while a server's administrator has shown its key and no address.
    pub user_id: Option<u64>,
    /// Since when.
    pub authenticated_at: Timestamp,
    /// How an organization's own server is reached.
    pub uri_scheme: UriScheme,
    /// Where they want to go.
    pub next_page: Option<NextPage>,
}

/// What a browser's cookie holds. There is one per browser: who signs in anew is no longer signed in elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What the forms' token is made from. Changes whenever somebody signs in.
    pub nonce: String,
    /// Who; nobody while there were only forms.
    pub signed_in: Option<SignedIn>,
}

impl Session {
    /// A session of nobody, so that forms have a token.
    pub fn begin(entropy: &mut dyn Entropy) -> Self {
        Self { nonce: hex::encode(random_bytes::<16>(entropy)), signed_in: None }
    }

    /// A session of somebody.
    pub fn of(signed_in: SignedIn, entropy: &mut dyn Entropy) -> Self {
        Self { signed_in: Some(signed_in), ..Self::begin(entropy) }
    }

    /// The token that every form of this session carries.
    #[must_use]
    pub fn form_token(&self, key: &Key32) -> String {
        hex::encode(sign(key, Purpose::Form, self.nonce.as_bytes()))
    }

    /// Whether a form's token is this session's.
    #[must_use]
    pub fn owns_form(&self, key: &Key32, token: &str) -> bool {
        same_bytes(self.form_token(key).as_bytes(), token.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFE_MS, NextPage, Session, UriScheme, is_fresh};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::settings::Key32;
    use crate::kernel::time::Timestamp;

    #[test]
    fn two_hours_and_not_a_millisecond_more() {
        let at = Timestamp::from_millis(1_800_000_000_000);
        assert!(is_fresh(at, at) && is_fresh(at, at.plus(LIFE_MS)));
        assert!(!is_fresh(at, at.plus(LIFE_MS + 1)));
    }

    #[test]
    fn a_forms_token_belongs_to_one_session_and_one_key() {
        let (key, mut entropy) = (Key32([7; 32]), SeededEntropy::new(1));
        let (first, second) = (Session::begin(&mut entropy), Session::begin(&mut entropy));
        let token = first.form_token(&key);
        assert!(first.owns_form(&key, &token));
        assert!(!second.owns_form(&key, &token) && !first.owns_form(&Key32([8; 32]), &token));
        assert!(!first.owns_form(&key, "") && !first.owns_form(&key, &first.nonce));
    }

    #[test]
    fn names_of_pages_and_schemes_come_back() {
        for page in NextPage::ALL {
            assert_eq!(NextPage::parse(page.name()), Some(page));
        }
        for bad in ["", "Plans", "plans/", "../x"] {
            assert_eq!(NextPage::parse(bad), None);
        }
        assert_eq!(UriScheme::parse("https://"), Some(UriScheme::Https));
        assert_eq!(UriScheme::parse("javascript:"), None);
    }
}
