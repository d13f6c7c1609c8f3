//! Names of servers, organizations and users.

use std::fmt;

/// A UUID, canonical: lower case, with hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(String);

impl Uuid {
    /// From text of either case, with or without hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = match text.len() {
            32 => text.to_ascii_lowercase(),
            36 => {
                let hyphens = text.bytes().enumerate().filter(|(_, byte)| *byte == b'-').map(|(index, _)| index);
                if !hyphens.eq([8, 13, 18, 23]) {
                    return None;
                }
                text.replace('-', "").to_ascii_lowercase()
            }
            _ => return None,
        };
        let bytes = hex::decode(digits).ok()?;
        let [a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16] = bytes.try_into().ok()?;
        let part = |bytes: &[u8]| hex::encode(bytes);
        let [i, j, tail @ ..] = rest;
        let parts = [part(&[a, b, c, d]), part(&[e, f]), part(&[g, h]), part(&[i, j]), part(&tail)];
        Some(Self(parts.join("-")))
    }

    /// From canonical text of an RFC 4122 version 4 UUID, and nothing else.
    #[must_use]
    pub fn parse_v4(text: &str) -> Option<Self> {
        Self::parse(text).filter(|uuid| uuid.0 == text && uuid.is_v4())
    }

    /// Whether it is an RFC 4122 version 4 UUID.
    #[must_use]
    pub fn is_v4(&self) -> bool {
        let mut bytes = self.0.bytes();
        let (version, variant) = (bytes.nth(14), bytes.nth(4));
        version == Some(b'4') && matches!(variant, Some(b'8' | b'9' | b'a' | b'b'))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn either_case_with_or_without_hyphens_is_one_name() {
        let canonical = "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
        for text in [canonical, "6CDE5F7A-1F7E-4978-9716-49F69EBFC9FE", "6cde5f7a1f7e4978971649f69ebfc9fe"] {
            assert_eq!(Uuid::parse(text).unwrap().as_str(), canonical);
        }
        for text in ["", "6cde5f7a-1f7e-4978-9716-49f69ebfc9f", "6cde5f7a1-f7e-4978-9716-49f69ebfc9fe", "zz"] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_canonical_version_4_names_a_server() {
        assert!(Uuid::parse_v4("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").is_some());
        for text in [
            "6CDE5F7A-1F7E-4978-9716-49F69EBFC9FE",
            "6cde5f7a1f7e4978971649f69ebfc9fe",
            "6cde5f7a-1f7e-1978-9716-49f69ebfc9fe",
            "6cde5f7a-1f7e-4978-c716-49f69ebfc9fe",
        ] {
            assert_eq!(Uuid::parse_v4(text), None, "{text}");
        }
    }
}
