//! Where a client comes from, and which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// What a client is counted by: an IPv4 address, or an IPv6 /64 (one household has at least that much).
///
/// Shape: `203.0.113.9`, `2001:db8:1:2::/64`, or `unknown`, which all clients without an address share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientNetwork(String);

impl ClientNetwork {
    /// The network of the address in the client-address header; anything unreadable counts as unknown.
    #[must_use]
    pub fn from_header(value: Option<&str>) -> Self {
        let Some(Ok(address)) = value.map(|text| text.trim().parse::<IpAddr>()) else {
            return Self::unknown();
        };
        match canonical(address) {
            IpAddr::V4(v4) => Self(v4.to_string()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self(format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
        }
    }

    /// The network of clients that come without an address.
    #[must_use]
    pub fn unknown() -> Self {
        Self(String::from("unknown"))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The IPv4 address inside an IPv4-mapped IPv6 address, else the address itself.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether packets to `address` leave for the public internet.
///
/// Source: IANA special-purpose address registries (RFC 6890 and successors), entries that are not globally reachable;
/// addresses that carry an IPv4 address inside (mapped, NAT64, 6to4) are judged by it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| {
        let ([h0, h1], [l0, l1]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(h0, h1, l0, l1))
    };
    match (a, b) {
        // NAT64, 64:ff9b::/96; its local-use sibling 64:ff9b:1::/48 is private.
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && inner(g, h),
        // 6to4.
        (0x2002, high) => inner(high, c),
        // Teredo, ORCHID, benchmarking, documentation.
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        (0x3fff, 0..=0xfff) => false,
        // Global unicast is 2000::/3; all else is loopback, unspecified, link-local, unique-local, multicast or unassigned.
        _ => (a & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientNetwork, is_public};

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.2",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2001:db8::1",
            "2002:a00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "100.63.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "2002:808:808::",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn clients_are_counted_by_address_or_by_64() {
        let of = |text: &str| ClientNetwork::from_header(Some(text));
        assert_eq!(of("203.0.113.9").as_str(), "203.0.113.9");
        assert_eq!(of("::ffff:203.0.113.9").as_str(), "203.0.113.9");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("not an address"), ClientNetwork::unknown());
        assert_eq!(ClientNetwork::from_header(None).as_str(), "unknown");
    }
}
