//! Where clients may be sent: checks of a server's endpoint.
//!
//! Hosts are judged after WHATWG parsing, as clients will read them: `0x7f.1`, `2130706433`, `127.0.0.1.` and
//! `[::ffff:7f00:1]` are all loopback. What a public name resolves to is not known here; the registry secret, not this
//! filter, decides who is trusted to name a host.

use std::net::IpAddr;

use url::{Host, Url};

use crate::kernel::network::is_public;

/// Longest endpoint. Units: UTF-16 units, as the original counts.
pub const ENDPOINT_LEN_MAX: usize = 2048;

/// Which endpoints are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// TLS and public hosts only.
    Public,
    /// Plain text and any host too: `DEV_MODE`.
    Development,
}

/// What is wrong with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointError {
    /// No URL, or none without invisible characters.
    NotAUrl,
    /// Not a protocol that clients speak.
    Protocol,
    /// A host that is not on the public internet.
    NotPublic,
    /// Longer than [`ENDPOINT_LEN_MAX`].
    TooLong,
    /// A user name or password in it, which every client would publish.
    Credentials,
}

/// Checks an endpoint; the first failure wins, in the original's order.
pub fn check_endpoint(endpoint: &str, reach: Reach) -> Result<(), EndpointError> {
    // The parser drops tabs, line ends and spaces around; the list would repeat them.
    if endpoint.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(EndpointError::NotAUrl);
    }
    let url = Url::parse(endpoint).map_err(|_| EndpointError::NotAUrl)?;
    let protocol_is_fine = matches!((url.scheme(), reach), ("https" | "wss", _) | ("http" | "ws", Reach::Development));
    if !protocol_is_fine {
        return Err(EndpointError::Protocol);
    }
    if reach == Reach::Public && !url.host().is_some_and(|host| is_public_host(&host)) {
        return Err(EndpointError::NotPublic);
    }
    if endpoint.encode_utf16().count() > ENDPOINT_LEN_MAX {
        return Err(EndpointError::TooLong);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::Credentials);
    }
    Ok(())
}

fn is_public_host(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => is_public(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_public(IpAddr::V6(*address)),
        Host::Domain(name) => is_public_name(name),
    }
}

/// Names that by RFC 6761, RFC 6762 and the `internal` reservation of ICANN never leave a site. Lower-cased by parsing.
fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    !name.is_empty() && !matches!(last, "localhost" | "local" | "internal")
}

#[cfg(test)]
mod tests {
    use super::{EndpointError, Reach, check_endpoint};

    #[test]
    fn no_notation_of_a_private_address_is_let_in() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "printer.local",
            "printer.local.",
            "db.internal",
            "127.0.0.1",
            "127.0.0.2",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "①②⑦.0.0.1",
            "%31%32%37.0.0.1",
            "[::]",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:7f00:1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[64:ff9b::a00:1]",
            "[2002:7f00:1::]",
        ] {
            for scheme in ["https", "wss"] {
                let endpoint = format!("{scheme}://{host}:8443/x");
                assert_eq!(check_endpoint(&endpoint, Reach::Public), Err(EndpointError::NotPublic), "{endpoint}");
                assert_eq!(check_endpoint(&endpoint, Reach::Development), Ok(()), "{endpoint}");
            }
        }
    }

    #[test]
    fn public_hosts_are_let_in() {
        for endpoint in [
            "https://relay.example",
            "wss://relay.example:9000/ws?x=1",
            "wss://1.1.1.1",
            "wss://[2606:4700::1111]:443",
            "https://localhost.example",
            "https://internal.example",
            "https://172.32.0.1",
            "https://bücher.example",
        ] {
            assert_eq!(check_endpoint(endpoint, Reach::Public), Ok(()), "{endpoint}");
        }
    }

    #[test]
    fn the_first_failure_wins() {
        let long = "a".repeat(2048);
        for (endpoint, error) in [
            (String::from("relay.example"), EndpointError::NotAUrl),
            (String::from("https://"), EndpointError::NotAUrl),
            (String::from("https://a b.example"), EndpointError::NotAUrl),
            (String::from("https://relay.example/\n"), EndpointError::NotAUrl),
            (String::from("http://127.0.0.1"), EndpointError::Protocol),
            (String::from("ftp://relay.example"), EndpointError::Protocol),
            (format!("https://127.0.0.1/{long}"), EndpointError::NotPublic),
            (format!("https://u:p@relay.example/{long}"), EndpointError::TooLong),
            (String::from("https://u:p@relay.example"), EndpointError::Credentials),
            (String::from("https://u@relay.example"), EndpointError::Credentials),
        ] {
            assert_eq!(check_endpoint(&endpoint, Reach::Public), Err(error), "{endpoint}");
        }
        assert_eq!(check_endpoint("ftp://relay.example", Reach::Development), Err(EndpointError::Protocol));
    }
}
