//! Whom we may write to about a server: the administrator's e-mail address, and whether its domain takes mail.

use super::hostname::is_domain;
use super::refusal::EmailError;

/// The longest address. Units: characters.
const ADDRESS_CHARS_MAX: usize = 254;

/// Domains that hand out throw-away mailboxes.
const DISPOSABLE: [&str; 12] = [
    "10minutemail.com",
    "discard.email",
    "dispostable.com",
    "getnada.com",
    "guerrillamail.com",
    "maildrop.cc",
    "mailinator.com",
    "sharklasers.com",
    "temp-mail.org",
    "throwawaymail.com",
    "trashmail.com",
    "yopmail.com",
];

/// A record type of the domain name system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordType {
    /// Mail exchanger.
    Mx,
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Name server.
    Ns,
}

impl RecordType {
    /// In the order in which they are asked for.
    pub const ALL: [Self; 4] = [Self::Mx, Self::A, Self::Aaaa, Self::Ns];

    /// The name and the number of the type (RFC 1035, RFC 3596).
    #[must_use]
    pub const fn row(self) -> (&'static str, u64) {
        match self {
            Self::Mx => ("MX", 15),
            Self::A => ("A", 1),
            Self::Aaaa => ("AAAA", 28),
            Self::Ns => ("NS", 2),
        }
    }
}

/// What the resolver said of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// There are records.
    Found,
    /// There are none of this type.
    Absent,
    /// There is no such name.
    NoName,
    /// The resolver is in trouble.
    Unknown,
}

/// What is known of a domain after some lookups, in the order of [`RecordType::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainVerdict {
    /// It takes mail, or nobody can tell: a resolver in trouble is not the administrator's fault.
    Good,
    /// It does not.
    Bad(EmailError),
    /// This must be asked next.
    Ask(RecordType),
}

/// Checks what needs no asking, and returns the domain.
///
/// Errors: [`EmailError::Syntax`], [`EmailError::Disposable`], [`EmailError::Example`].
pub fn check_address(address: &str) -> Result<String, EmailError> {
    let (local, domain) = address.rsplit_once('@').ok_or(EmailError::Syntax)?;
    let is_atom = |part: &str| {
        let special = |c: char| "!#$%&'*+/=?^_`{}|~-".contains(c);
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || special(c))
    };
    let domain = domain.to_lowercase();
    let fits = address.chars().count() <= ADDRESS_CHARS_MAX && local.len() <= 64;
    if !fits || !local.split('.').all(is_atom) || !(domain == "localhost" || is_domain(&domain)) {
        return Err(EmailError::Syntax);
    }
    if DISPOSABLE.contains(&domain.as_str()) {
        return Err(EmailError::Disposable);
    }
    if domain == "example.com" { Err(EmailError::Example) } else { Ok(domain) }
}

/// Judges a domain by the lookups made so far.
#[must_use]
pub fn judge_domain(domain: &str, lookups: &[Lookup]) -> DomainVerdict {
    let domain = || domain.to_owned();
    for (position, lookup) in lookups.iter().enumerate() {
        match (position, lookup) {
            (_, Lookup::Unknown) | (0, Lookup::Found) => return DomainVerdict::Good,
            (_, Lookup::Found) => return DomainVerdict::Bad(EmailError::NoMail { domain: domain() }),
            (_, Lookup::NoName) => return DomainVerdict::Bad(EmailError::NoDomain { domain: domain() }),
            (_, Lookup::Absent) => {}
        }
    }
    RecordType::ALL
        .get(lookups.len())
        .map_or_else(|| DomainVerdict::Bad(EmailError::NoDomain { domain: domain() }), |next| DomainVerdict::Ask(*next))
}

#[cfg(test)]
mod tests {
    use super::{DomainVerdict, Lookup, RecordType, check_address, judge_domain};
    use crate::push::refusal::EmailError;

    #[test]
    fn addresses_are_judged_in_the_documented_order() {
        assert_eq!(check_address("admin@Chat.example.org"), Ok(String::from("chat.example.org")));
        for bad in ["", "admin", "admin@", "@example.org", "a b@example.org", "a@b", "a..b@example.org", "a@-b.org"] {
            assert_eq!(check_address(bad), Err(EmailError::Syntax), "{bad}");
        }
        assert_eq!(check_address("a@mailinator.com"), Err(EmailError::Disposable));
        assert_eq!(check_address("a@example.com"), Err(EmailError::Example));
    }

    #[test]
    fn a_domain_needs_a_mail_exchanger_and_a_silent_resolver_is_forgiven() {
        use Lookup::{Absent, Found, NoName, Unknown};
        let judge = |lookups: &[Lookup]| judge_domain("d.org", lookups);
        let no_mail = DomainVerdict::Bad(EmailError::NoMail { domain: String::from("d.org") });
        let no_domain = DomainVerdict::Bad(EmailError::NoDomain { domain: String::from("d.org") });
        assert_eq!(judge(&[]), DomainVerdict::Ask(RecordType::Mx));
        assert_eq!(judge(&[Found]), DomainVerdict::Good);
        assert_eq!(judge(&[Unknown]), DomainVerdict::Good);
        assert_eq!(judge(&[NoName]), no_domain);
        assert_eq!(judge(&[Absent, Found]), no_mail);
        assert_eq!(judge(&[Absent, Absent]), DomainVerdict::Ask(RecordType::Aaaa));
        assert_eq!(judge(&[Absent, Absent, Absent, Found]), no_mail);
        assert_eq!(judge(&[Absent; 4]), no_domain);
    }
}
