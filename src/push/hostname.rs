//! Under which name a server can be reached. A claim, until it is proven by a transfer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::refusal::Refusal;
use crate::kernel::network::is_public;

/// The longest host name with port. Units: characters.
pub const HOSTNAME_CHARS_MAX: usize = 128;

/// Checks the authority of a URL, and returns the form by which hosts are compared.
///
/// Shape: a dotted name with a top-level domain, `localhost`, an IPv4 address or an IPv6 address in brackets; an optional
/// port.
///
/// Errors: [`Refusal::HostnameParts`], [`Refusal::HostnameInvalid`].
pub fn check_hostname(hostname: &str) -> Result<String, Refusal> {
    if hostname.contains(['/', '?', '#']) {
        return Err(Refusal::HostnameParts { hostname: hostname.to_owned() });
    }
    let invalid = || Refusal::HostnameInvalid { hostname: hostname.to_owned() };
    let (host, port) = split_port(hostname).ok_or_else(invalid)?;
    let port_fits = port.is_none_or(|port| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if port_fits && is_host(host) { Ok(hostname.to_lowercase()) } else { Err(invalid()) }
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, tail) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return match tail {
            "" => Some(("[]", None)),
            _ => Some(("[]", Some(tail.strip_prefix(':')?))),
        };
    }
    Some(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn is_host(host: &str) -> bool {
    host == "[]" || host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok() || is_domain(host)
}

/// Whether the text is a dotted name with a top-level domain that is no number.
#[must_use]
pub fn is_domain(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.chars().count());
        fits && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphanumeric()))
    };
    let Some((_, top)) = host.rsplit_once('.') else { return false };
    let top_fits = top.starts_with("xn--") || (top.chars().count() >= 2 && !top.chars().any(|c| c.is_ascii_digit()));
    host.len() <= 253 && top_fits && host.split('.').all(is_label)
}

/// Whether this machine is meant.
#[must_use]
pub fn is_loopback(hostname: &str) -> bool {
    let host = hostname
        .rsplit_once(':')
        .map_or(hostname, |(host, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { hostname });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the host, as far as its name tells, is on the public Internet. We open a connection to nothing else.
#[must_use]
pub fn may_be_public(hostname: &str) -> bool {
    let Some((host, _)) = split_port(hostname) else { return false };
    let literal = if host == "[]" {
        hostname.split_once(']').and_then(|(address, _)| address.strip_prefix('[')?.parse::<IpAddr>().ok())
    } else {
        host.parse::<IpAddr>().ok()
    };
    let lower = host.trim_end_matches('.').to_ascii_lowercase();
    let is_inside = |suffix: &str| lower == suffix || lower.ends_with(&format!(".{suffix}"));
    literal.map_or_else(|| !["localhost", "local", "internal", "home.arpa"].into_iter().any(is_inside), is_public)
}

#[cfg(test)]
mod tests {
    use super::{check_hostname, is_loopback, may_be_public};
    use crate::push::refusal::Refusal;

    #[test]
    fn hosts_are_what_a_url_takes_as_authority() {
        for good in
            ["example.com", "chat.Example.com:8443", "localhost", "127.0.0.1:9991", "[::1]:80", "xn--bcher-kva.ch"]
        {
            assert_eq!(check_hostname(good), Ok(good.to_lowercase()), "{good}");
        }
        for bad in [
            "",
            "invalid-host",
            "a b.com",
            "-a.com",
            "a..com",
            "user@example.com",
            "example.com:",
            "example.com:99999",
            "[::1",
            "[zz]",
            "example.c",
            "1.2.3",
            "example.com:80:80",
        ] {
            assert_eq!(check_hostname(bad), Err(Refusal::HostnameInvalid { hostname: bad.to_owned() }), "{bad}");
        }
        for parts in ["example.com/path", "example.com?q", "example.com#f", "https://example.com"] {
            assert_eq!(check_hostname(parts), Err(Refusal::HostnameParts { hostname: parts.to_owned() }), "{parts}");
        }
    }

    #[test]
    fn only_public_hosts_are_connected_to() {
        for inside in ["localhost", "10.0.0.1", "127.0.0.1:9991", "[::1]", "[fd00::1]:80", "db.internal", "a.local:80"]
        {
            assert!(!may_be_public(inside), "{inside}");
        }
        for outside in ["chat.example.com", "1.1.1.1", "[2606:4700::1111]:443"] {
            assert!(may_be_public(outside), "{outside}");
        }
        for here in ["localhost", "localhost:80", "127.0.0.1:9991", "[::1]:80", "[::1]"] {
            assert!(is_loopback(here), "{here}");
        }
        assert!(!is_loopback("10.0.0.1:80"));
    }
}
