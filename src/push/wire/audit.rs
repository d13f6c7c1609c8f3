//! Audit entries as JSON, and what `extra_data` tells of people.
//!
//! Source: section 2.6 of the dialect.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::kernel::time::SAFE_INTEGER_MAX;
use crate::push::audit::{Change, EXTRA_BYTES_MAX, Flag, Note};
use crate::push::headcount::{Headcount, Workplace};
use crate::push::upload::Extra;

/// Role counts, the old value, the new one.
const KNOWN: [&str; 3] = ["10", "1", "2"];

#[derive(Deserialize)]
struct Roles {
    #[serde(rename = "10")]
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(rename = "11")]
    humans: Humans,
}

#[derive(Deserialize)]
struct Humans {
    #[serde(rename = "100", default)]
    owners: u64,
    #[serde(rename = "200", default)]
    admins: u64,
    #[serde(rename = "300", default)]
    moderators: u64,
    #[serde(rename = "400", default)]
    members: u64,
    #[serde(rename = "600", default)]
    guests: u64,
    workplace_users: Option<u64>,
    non_workplace_users: Option<u64>,
}

/// Reads `extra_data`. An object without role counts tells of nobody, which is not the same as telling of none. None is too
/// long: a client would send it again for ever.
#[must_use]
pub fn parse_extra(text: &str) -> Extra {
    if !text.trim_start().starts_with('{') {
        return Extra::Malformed;
    }
    let kept = || if text.len() <= EXTRA_BYTES_MAX { text.to_owned() } else { essence(text) };
    if text.len() > 2
        && let Ok(roles) = serde_json::from_str::<Roles>(text)
    {
        return Extra::Object { text: kept(), people: Some(people(&roles.counts.humans)) };
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Extra::Object { text: kept(), people: None },
        Err(_) => Extra::Malformed,
    }
}

/// What the dialect knows of a long object: role counts, old and new value, as far as they fit.
fn essence(text: &str) -> String {
    let members: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let mut kept = Map::new();
    // The braces, and for each member its quotes, colon and comma.
    let mut room = EXTRA_BYTES_MAX.saturating_sub(2);
    for key in KNOWN {
        let Some(value) = members.get(key) else { continue };
        let length = value.to_string().len() + key.len() + 4;
        if length <= room {
            room -= length;
            kept.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(kept).to_string()
}

fn people(humans: &Humans) -> Headcount {
    // More people than storage carries are as many as it carries.
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)).min(SAFE_INTEGER_MAX);
    let workplace = humans
        .workplace_users
        .map(|users| Workplace { users: sum(&[users]), others: sum(&[humans.non_workplace_users.unwrap_or(0)]) });
    Headcount {
        non_guests: sum(&[humans.owners, humans.admins, humans.moderators, humans.members]),
        guests: sum(&[humans.guests]),
        workplace,
    }
}

/// What changed, as it stands in `extra_data`.
#[must_use]
pub fn encode_change(change: &Change) -> String {
    let value = match change {
        Change::Plain => json!({}),
        Change::Value { old, new } => json!({ "old_value": note(old), "new_value": note(new) }),
        Change::Attribute { name, old, new } => {
            json!({ "attr_name": name, "old_value": note(old), "new_value": note(new) })
        }
        Change::Property { name, old, new } => {
            json!({ "property": name, "old_value": note(old), "new_value": note(new) })
        }
        Change::Reason(words) => json!({ "reason": words }),
        Change::User { user_id, reason: Some(words) } => json!({ "billing_user": user_id, "reason": words }),
        Change::User { user_id, reason: None } => json!({ "billing_user": user_id }),
    };
    value.to_string()
}

fn note(note: &Note) -> Value {
    match note {
        Note::Nothing => Value::Null,
        Note::Flag(flag) => Value::from(*flag == Flag::On),
        Note::Number(number) => Value::from(*number),
        Note::Text(text) => Value::from(text.as_str()),
        Note::Flags(flags) => {
            Value::Object(flags.iter().map(|(name, is_on)| (name.clone(), Value::from(*is_on))).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{encode_change, parse_extra};
    use crate::push::audit::{Change, EXTRA_BYTES_MAX, Note};
    use crate::push::headcount::{Headcount, Workplace};
    use crate::push::upload::Extra;

    fn people(text: &str) -> Option<Headcount> {
        match parse_extra(text) {
            Extra::Object { people, text: kept } => {
                assert_eq!(kept, text);
                people
            }
            Extra::Malformed => panic!("{text}"),
        }
    }

    #[test]
    fn roles_add_up_and_bots_do_not_count() {
        let all = r#"{"10":{"11":{"100":1,"200":2,"300":3,"400":4,"600":5},"12":70}}"#;
        assert_eq!(people(all), Some(Headcount { non_guests: 10, guests: 5, workplace: None }));
        assert_eq!(people(r#"{"10":{"11":{"600":5}}}"#).unwrap().billed(), 5);
        let work = r#"{"10":{"11":{"400":4,"workplace_users":3,"non_workplace_users":1}}}"#;
        assert_eq!(people(work).unwrap().workplace, Some(Workplace { users: 3, others: 1 }));
    }

    #[test]
    fn an_object_without_role_counts_tells_of_nobody() {
        for text in ["{}", r#"{"1":400,"2":600}"#, r#"{"10":null}"#, r#"{"10":{"11":{"400":"x"}}}"#] {
            assert_eq!(people(text), None, "{text}");
        }
        for text in ["", "[]", "5", "null", "{", "{\"a\":}"] {
            assert_eq!(parse_extra(text), Extra::Malformed);
        }
    }

    #[test]
    fn of_a_long_object_only_what_the_dialect_knows_is_kept_and_none_is_too_long() {
        let padding = "x".repeat(EXTRA_BYTES_MAX);
        let kept = |text: &str| match parse_extra(text) {
            Extra::Object { text, people } => (text, people.map(|people| people.billed())),
            Extra::Malformed => panic!("refused"),
        };
        let roles = r#""10":{"11":{"400":7}}"#;
        let short = format!(r#"{{"a":"{}",{roles}}}"#, "x".repeat(EXTRA_BYTES_MAX - roles.len() - 9));
        assert_eq!(short.len(), EXTRA_BYTES_MAX);
        assert_eq!(kept(&short), (short.clone(), Some(7)));
        let long = format!(r#"{{"a":"{padding}","2":600,"1":400,{roles}}}"#);
        assert_eq!(kept(&long), (String::from(r#"{"1":400,"10":{"11":{"400":7}},"2":600}"#), Some(7)));
        let long = format!(r#"{{"1":"{padding}","2":600,{roles}}}"#);
        assert_eq!(kept(&long), (String::from(r#"{"10":{"11":{"400":7}},"2":600}"#), Some(7)));
        let long = format!(r#"{{"10":{{"11":{{"400":7}},"12":"{padding}"}}}}"#);
        assert_eq!(kept(&long), (String::from("{}"), Some(7)), "they are counted all the same");
        assert_eq!(kept(&format!(r#"{{"a":"{padding}"}}"#)), (String::from("{}"), None));
    }

    #[test]
    fn changes_say_old_and_new() {
        let change = Change::Attribute { name: "host", old: Note::from("a"), new: Note::from("b") };
        assert_eq!(encode_change(&change), r#"{"attr_name":"host","new_value":"b","old_value":"a"}"#);
        let change = Change::Value { old: Note::Nothing, new: Note::from(true) };
        assert_eq!(encode_change(&change), r#"{"new_value":true,"old_value":null}"#);
        assert_eq!(encode_change(&Change::Plain), "{}");
    }
}
