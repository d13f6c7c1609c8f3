//! Chunks whose id is the hash of their data: whether what was pushed is what was asked for.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

/// The size of a chunk: UTF-16 units of its JSON text. Source: edge-wire 2.2.3.
pub const CHUNK_UNITS_MAX: usize = 65_536;
/// Characters of a chunk id or routing hash.
pub const CHUNK_ID_CHARS_MAX: usize = 256;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The hash that a chunk id claims to be: 64 hex digits, or 43 base64url characters.
#[must_use]
pub fn claimed_hash(chunk_id: &str) -> Option<[u8; 32]> {
    let bytes = match chunk_id.len() {
        64 => hex::decode(chunk_id).ok()?,
        43 => URL_SAFE_NO_PAD.decode(chunk_id).ok()?,
        _ => return None,
    };
    bytes.try_into().ok()
}

/// Whether `texts`, or the bytes that one of them is base64 of, have the hash `claimed`.
///
/// `texts` are what the data may mean: the JSON text as sent; the string, when it is one; the strings in it, when it is
/// an object, because apps hash the payload inside an envelope.
pub fn matches_hash<'a>(claimed: &[u8; 32], texts: impl IntoIterator<Item = &'a str>) -> bool {
    let is = |bytes: &[u8]| Sha256::digest(bytes).as_slice() == claimed;
    texts.into_iter().any(|text| {
        is(text.as_bytes())
            || STANDARD.decode(text).is_ok_and(|bytes| is(&bytes))
            || URL_SAFE.decode(text).is_ok_and(|bytes| is(&bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::{claimed_hash, matches_hash};

    // SHA-256 of "abc" (FIPS 180-2, B.1).
    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64URL: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    #[test]
    fn both_forms_of_a_hash_are_recognised_and_nothing_else_is() {
        assert_eq!(claimed_hash(HEX), claimed_hash(BASE64URL));
        assert!(claimed_hash(HEX).is_some());
        for other in ["", "chunk-1", HEX.split_at(1).1, &HEX.replace('b', "g"), &BASE64URL.replace('-', "+")] {
            assert_eq!(claimed_hash(other), None, "{other}");
        }
    }

    #[test]
    fn data_matches_as_text_and_as_what_it_is_base64_of() {
        let claimed = claimed_hash(HEX).unwrap();
        for good in ["abc", "YWJj"] {
            assert!(matches_hash(&claimed, [good]), "{good}");
        }
        for bad in ["abd", "YWJk", "", "616263"] {
            assert!(!matches_hash(&claimed, [bad]), "{bad}");
        }
    }
}
