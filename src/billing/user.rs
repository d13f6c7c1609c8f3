//! Billing users: what they have agreed to, and what they want to hear from us.

use super::identity::Subject;
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

/// The longest name. Units: characters.
pub const FULL_NAME_MAX: usize = 100;

/// Billing users of one server and its organizations together.
pub const USERS_MAX: u64 = 1_000;

/// The terms that somebody has accepted who has accepted none.
pub const NO_TERMS: &str = "-1";

/// A billing user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingUser {
    /// Its number.
    pub user_id: u64,
    /// For whom.
    pub subject: Subject,
    /// Their name on the organization's own server; absent for a server's users.
    pub user_uuid: Option<Uuid>,
    /// Proven by a link.
    pub email: String,
    /// What they are called.
    pub full_name: String,
    /// When they came first.
    pub date_joined: Timestamp,
    /// When they signed in last.
    pub last_login: Option<Timestamp>,
    /// Whether they may sign in.
    pub is_active: bool,
    /// The terms they accepted.
    pub terms_version: String,
    /// What they want to hear.
    pub preferences: Preferences,
}

/// What somebody wants to hear from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preferences {
    /// Of major releases.
    pub major_releases: bool,
    /// Of maintenance releases.
    pub maintenance_releases: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { major_releases: true, maintenance_releases: true }
    }
}

/// What the form at the door says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// A name, where one is given.
    pub full_name: Option<String>,
    /// Whether the terms are accepted.
    pub accepts_terms: bool,
    /// What is said of major releases.
    pub major_releases: Option<bool>,
    /// What is said of maintenance releases.
    pub maintenance_releases: Option<bool>,
}

/// Why somebody may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryError {
    /// There is no such user.
    NoUser,
    /// An operator has closed the account.
    Inactive,
    /// The terms are newer than what was accepted.
    Terms,
}

/// An address of which only the first letter and the domain are shown.
#[must_use]
pub fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    format!("{}***@{domain}", local.chars().next().map(String::from).unwrap_or_default())
}

/// Whether somebody must accept the terms: their major version is newer than what was accepted.
#[must_use]
pub fn needs_terms(current: &str, accepted: &str) -> bool {
    let major = |version: &str| version.split('.').next().and_then(|part| part.parse::<i64>().ok()).unwrap_or(-1);
    major(current) > major(accepted)
}

/// Whether somebody comes for the first time, and is asked for name and preferences.
#[must_use]
pub fn is_new(user: &BillingUser) -> bool {
    user.terms_version == NO_TERMS
}

/// The user after entering.
///
/// Errors: [`EntryError`], in the order of its variants.
pub fn decide_entry(
    now: Timestamp,
    terms: &str,
    user: Option<&BillingUser>,
    entry: &Entry,
) -> Result<BillingUser, EntryError> {
    let user = user.ok_or(EntryError::NoUser)?;
    if !user.is_active {
        return Err(EntryError::Inactive);
    }
    let must_accept = needs_terms(terms, &user.terms_version);
    if must_accept && !entry.accepts_terms {
        return Err(EntryError::Terms);
    }
    // A box that is not ticked is not sent: on the form that shows the boxes, silence is a no.
    let said = |value: Option<bool>, before: bool| value.unwrap_or(before && !is_new(user));
    Ok(BillingUser {
        full_name: entry.full_name.clone().unwrap_or_else(|| user.full_name.clone()),
        last_login: Some(now),
        terms_version: if must_accept { terms.to_owned() } else { user.terms_version.clone() },
        preferences: Preferences {
            major_releases: said(entry.major_releases, user.preferences.major_releases),
            maintenance_releases: said(entry.maintenance_releases, user.preferences.maintenance_releases),
        },
        ..user.clone()
    })
}

/// The user with what the refused form said, so that it need not be typed again.
#[must_use]
pub fn shown_again(user: BillingUser, entry: &Entry) -> BillingUser {
    if !is_new(&user) {
        return user;
    }
    let preferences = Preferences {
        major_releases: entry.major_releases == Some(true),
        maintenance_releases: entry.maintenance_releases == Some(true),
    };
    BillingUser { full_name: entry.full_name.clone().unwrap_or_default(), preferences, ..user }
}

#[cfg(test)]
mod tests {
    use super::{BillingUser, Entry, EntryError, NO_TERMS, Preferences, decide_entry, masked, needs_terms};
    use crate::billing::identity::Subject;
    use crate::kernel::time::Timestamp;
    use crate::push::uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn user(terms_version: &str) -> BillingUser {
        let uuid = Uuid::parse("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").unwrap();
        BillingUser {
            user_id: 1,
            subject: Subject::Realm(uuid.clone()),
            user_uuid: Some(uuid),
            email: String::from("ada@chat.example.org"),
            full_name: String::from("Ada"),
            date_joined: NOW.minus(5),
            last_login: None,
            is_active: true,
            terms_version: terms_version.to_owned(),
            preferences: Preferences::default(),
        }
    }

    const YES: Entry = Entry { full_name: None, accepts_terms: true, major_releases: None, maintenance_releases: None };
    const NO: Entry = Entry { accepts_terms: false, ..YES };

    #[test]
    fn a_masked_address_keeps_one_letter_and_the_domain() {
        for (email, shown) in
            [("ada@b.org", "a***@b.org"), ("a@b.org", "a***@b.org"), ("\"x@y\"@b.org", "\"***@b.org"), ("", "***@")]
        {
            assert_eq!(masked(email), shown);
        }
    }

    #[test]
    fn only_a_newer_major_version_is_asked_for() {
        for (current, accepted, asked) in [
            ("1.0", NO_TERMS, true),
            ("1.5", "1.0", false),
            ("2.0", "1.9", true),
            ("10.0", "9.0", true),
            ("1.0", "2.0", false),
            ("0.1", NO_TERMS, true),
        ] {
            assert_eq!(needs_terms(current, accepted), asked, "{current} {accepted}");
        }
    }

    #[test]
    fn strangers_closed_accounts_and_refusers_do_not_enter() {
        assert_eq!(decide_entry(NOW, "1.0", None, &YES), Err(EntryError::NoUser));
        let closed = BillingUser { is_active: false, ..user("1.0") };
        assert_eq!(decide_entry(NOW, "1.0", Some(&closed), &YES), Err(EntryError::Inactive));
        assert_eq!(decide_entry(NOW, "1.0", Some(&user(NO_TERMS)), &NO), Err(EntryError::Terms));
        assert_eq!(decide_entry(NOW, "2.0", Some(&user("1.0")), &NO), Err(EntryError::Terms));
    }

    #[test]
    fn the_first_entry_sets_what_the_form_shows_and_later_ones_keep_it() {
        let first = Entry { full_name: Some(String::from("Ada L.")), major_releases: Some(true), ..YES };
        let entered = decide_entry(NOW, "1.0", Some(&user(NO_TERMS)), &first).unwrap();
        assert_eq!((entered.full_name.as_str(), entered.terms_version.as_str()), ("Ada L.", "1.0"));
        assert_eq!(entered.last_login, Some(NOW));
        assert_eq!(entered.preferences, Preferences { major_releases: true, maintenance_releases: false });
        let again = decide_entry(NOW.plus(1), "1.1", Some(&entered), &NO).unwrap();
        assert_eq!(again, BillingUser { last_login: Some(NOW.plus(1)), ..entered.clone() });
        let renewed = decide_entry(NOW.plus(2), "2.0", Some(&entered), &YES).unwrap();
        assert_eq!((renewed.terms_version.as_str(), renewed.preferences), ("2.0", entered.preferences));
    }
}
