//! JSON text as the field's clients need it.

use serde::Serialize;

use super::fault::Fault;

/// Compact JSON of `value`.
///
/// Errors: [`Fault::Corrupt`] when the value has no JSON form (a map with keys that are not text); none of ours is so.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Corrupt(format!("no JSON form: {error}")))
}

/// The same JSON text in ASCII: everything else becomes `\uXXXX`, in surrogate pairs where needed.
#[must_use]
pub fn to_ascii(json: String) -> String {
    if json.is_ascii() {
        return json;
    }
    let mut ascii = String::with_capacity(json.len() + 16);
    let mut units = [0_u16; 2];
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// `text` as a JSON string literal, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::{quote, to_ascii};

    #[test]
    fn ascii_text_keeps_its_meaning() {
        let original = String::from("{\"name\":\"Zoë 🛰\"}");
        let ascii = to_ascii(original.clone());
        assert!(ascii.is_ascii());
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&ascii), read(&original));
    }

    #[test]
    fn quotes_escape_what_must_be_escaped() {
        assert_eq!(quote("a\"b\n"), "\"a\\\"b\\n\"");
    }
}
