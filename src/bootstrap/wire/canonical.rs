//! Canonical JSON, so that a signature survives the way a body was written.
//!
//! Source: RFC 8785 (JSON Canonicalization Scheme). Members sorted by UTF-16 units at every depth, no white space,
//! strings and numbers as JavaScript's `JSON.stringify` writes them. For bodies of text and integers this is what any
//! language's compact JSON with sorted keys gives.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::kernel::json::quote;

/// The canonical form of an object without the member `left_out`.
///
/// `text` must have been parsed before, which bounds its depth. Nothing when it is no object.
pub(super) fn canonical_without(text: &str, left_out: &str) -> Option<String> {
    let mut members = parse_object(text)?;
    members.remove(left_out);
    write_object(members)
}

/// The canonical form of an object's members named in `kept`, as far as they are there.
pub(super) fn canonical_of(text: &str, kept: &[&str]) -> Option<String> {
    let mut members = parse_object(text)?;
    members.retain(|name, _| kept.contains(&name.as_str()));
    write_object(members)
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn parse_object(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

fn write_object(members: Members<'_>) -> Option<String> {
    let mut members: Vec<(String, &RawValue)> = members.into_iter().collect();
    members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    let members: Option<Vec<String>> = members
        .into_iter()
        .map(|(name, value)| Some(format!("{}:{}", quote(&name), write_value(value.get())?)))
        .collect();
    Some(format!("{{{}}}", members?.join(",")))
}

fn write_value(text: &str) -> Option<String> {
    let text = text.trim();
    match text.as_bytes().first()? {
        b'{' => write_object(parse_object(text)?),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items: Option<Vec<String>> = items.into_iter().map(|item| write_value(item.get())).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        b'"' => serde_json::from_str::<String>(text).ok().map(|text| quote(&text)),
        b'-' | b'0'..=b'9' => text.parse().ok().and_then(write_number),
        _ => Some(text.to_owned()),
    }
}

/// A number as ECMAScript writes it (ECMA-262, Number::toString): shortest digits, laid out by the place of the point.
fn write_number(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).ok()?;
    let point = exponent.parse::<i32>().ok()? + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let text = if (1..=21).contains(&point) {
        if point >= count {
            format!("{digits}{}", zeros(point - count))
        } else {
            let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
            format!("{whole}.{fraction}")
        }
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let exponent = point - 1;
        let plus = if exponent > 0 { "+" } else { "" };
        format!("{mantissa}e{plus}{exponent}")
    };
    Some(format!("{sign}{text}"))
}

#[cfg(test)]
mod tests {
    use super::{canonical_of, canonical_without, write_number};

    #[test]
    fn members_are_sorted_at_every_depth_and_white_space_goes() {
        let text = " { \"b\" : [ 1 , { \"z\" : null , \"a\" : true } ] , \"a\" : \"x\" , \"signature\" : \"s\" } ";
        assert_eq!(canonical_without(text, "signature").unwrap(), r#"{"a":"x","b":[1,{"a":true,"z":null}]}"#);
        assert_eq!(canonical_of(text, &["a", "missing"]).unwrap(), r#"{"a":"x"}"#);
        assert_eq!(canonical_without("[1]", "signature"), None);
    }

    #[test]
    fn strings_lose_their_notation_but_not_their_meaning() {
        let text = r#"{"a":"\u0041\/\u00e9\u000a\u0001","\u0062":1}"#;
        assert_eq!(canonical_without(text, "").unwrap(), "{\"a\":\"A/é\\n\\u0001\",\"b\":1}");
    }

    #[test]
    fn names_sort_by_utf_16_units_as_in_rfc_8785() {
        let text = "{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{20ac}\":3,\"1\":4}";
        assert_eq!(canonical_without(text, "").unwrap(), "{\"1\":4,\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (text, written) in [
            ("0", "0"),
            ("-0", "0"),
            ("1.0", "1"),
            ("-7", "-7"),
            ("1700000000000", "1700000000000"),
            ("9007199254740991", "9007199254740991"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("123.456", "123.456"),
            ("1e3", "1000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e300", "1.5e+300"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.25e-9", "1.25e-9"),
            ("333333333.33333329", "333333333.3333333"),
        ] {
            assert_eq!(write_number(text.parse().unwrap()).unwrap(), written, "{text}");
        }
        assert_eq!(write_number(f64::INFINITY), None);
    }
}
