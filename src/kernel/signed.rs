//! Signed messages between this service and those that its operator connects to it: payment systems, both ways, and mail
//! services.
//!
//! Shape of the header: `t=<unix seconds>,v1=<hex of HMAC-SHA-256 over "<t>.<body>">`. More `v1` may stand there while a key
//! is being changed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::{Secret, same_bytes};
use super::time::Timestamp;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "Waystation-Signature";

/// How far the clock of the other side may be from ours, and for how long an event's name is remembered after that. Units:
/// milliseconds.
pub const SKEW_MS: u64 = 5 * 60_000;

/// The header's value.
#[must_use]
pub fn sign(key: &Secret, body: &[u8], now: Timestamp) -> String {
    let seconds = now.as_millis() / 1_000;
    format!("t={seconds},v1={}", hex::encode(mac(key, seconds, body)))
}

/// Whether a message is the other side's, and from now.
#[must_use]
pub fn is_genuine(key: &Secret, header: Option<&str>, body: &[u8], now: Timestamp) -> bool {
    let Some(header) = header else { return false };
    let member = |name: &'static str| {
        header.split(',').filter_map(move |part| part.trim().split_once('=').filter(|(known, _)| *known == name))
    };
    let Some(seconds) = member("t").next().and_then(|(_, text)| text.parse::<u64>().ok()) else { return false };
    let at = Timestamp::from_millis(seconds.saturating_mul(1_000));
    let is_fresh = now.since(at) <= SKEW_MS && at.since(now) <= SKEW_MS;
    let expected = mac(key, seconds, body);
    let is_signed =
        member("v1").take(4).filter_map(|(_, text)| hex::decode(text).ok()).any(|given| same_bytes(&given, &expected));
    is_fresh && is_signed
}

fn mac(key: &Secret, seconds: u64, body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()) else { return Vec::new() };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{SKEW_MS, is_genuine, sign};
    use crate::kernel::secret::Secret;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// Computed with `printf '1800000000.{}' | openssl dgst -sha256 -hmac secret`.
    const OPENSSL: &str = "bb7079132825ac793cea8c013c1dd24d926b9b02132245b10588d9e5c0df70d7";

    #[test]
    fn signatures_are_what_other_programs_compute() {
        assert_eq!(sign(&Secret::new(String::from("secret")), b"{}", NOW), format!("t=1800000000,v1={OPENSSL}"));
    }

    #[test]
    fn only_the_same_body_key_and_time_are_genuine() {
        let key = Secret::new(String::from("a shared secret"));
        let header = sign(&key, b"{}", NOW);
        let is = |header: &str, body: &[u8], now| is_genuine(&key, Some(header), body, now);
        assert!(is(&header, b"{}", NOW));
        assert!(is(&header, b"{}", NOW.plus(SKEW_MS)) && is(&header, b"{}", NOW.minus(SKEW_MS)));
        assert!(!is(&header, b"{}", NOW.plus(SKEW_MS + 1)) && !is(&header, b"{}", NOW.minus(SKEW_MS + 1_000)));
        assert!(!is(&header, b"{ }", NOW));
        let other = sign(&Secret::new(String::from("another")), b"{}", NOW);
        assert!(!is(&other, b"{}", NOW));
        let (time, _) = header.split_once(',').unwrap();
        let (_, mac) = other.split_once(',').unwrap();
        assert!(is(&format!("{header},{mac}"), b"{}", NOW), "one of several is enough");
        for bad in ["", "t=", time, mac, "t=1,v1=zz", "v1=,t=x"] {
            assert!(!is(bad, b"{}", NOW), "{bad}");
        }
        assert!(!is_genuine(&key, None, b"{}", NOW));
    }
}
