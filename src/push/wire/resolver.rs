//! DNS over HTTPS, in the JSON form that resolvers share.

use std::borrow::Cow;

use serde::Deserialize;

use crate::kernel::errand::{Errand, Fetch, Outcome};
use crate::push::contact::{Lookup, RecordType};

/// How long a resolver may take. Units: milliseconds.
const TIMEOUT_MS: u32 = 3_000;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u32 = 65_536;

/// The question for one type of a domain.
#[must_use]
pub fn question(query_url: &str, domain: &str, record: RecordType) -> Errand {
    let (name, _) = record.row();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("name", domain)
        .append_pair("type", name)
        .finish();
    Errand::Fetch(Box::new(Fetch {
        method: "GET",
        url: format!("{query_url}?{query}"),
        headers: vec![(Cow::Borrowed("accept"), String::from("application/dns-json"))],
        body: Vec::new(),
        timeout_ms: TIMEOUT_MS,
        answer_bytes_max: ANSWER_BYTES_MAX,
    }))
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "Status")]
    status: u32,
    #[serde(rename = "Answer", default)]
    answer: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    number: u64,
    #[serde(default)]
    data: String,
}

/// What the resolver said.
#[must_use]
pub fn parse_answer(outcome: &Outcome, record: RecordType) -> Lookup {
    let Outcome::Fetched(fetched) = outcome else { return Lookup::Unknown };
    let body = if fetched.status == 200 { serde_json::from_slice::<Body>(&fetched.body).ok() } else { None };
    let (_, wanted) = record.row();
    match body {
        None => Lookup::Unknown,
        Some(body) => match body.status {
            // An MX of "." says that the domain takes no mail (RFC 7505).
            0 if body.answer.iter().any(|found| {
                found.number == wanted && !(record == RecordType::Mx && found.data.trim().ends_with(" ."))
            }) =>
            {
                Lookup::Found
            }
            0 => Lookup::Absent,
            3 => Lookup::NoName,
            _ => Lookup::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Lookup, Outcome, RecordType, parse_answer, question};
    use crate::kernel::errand::{Errand, Failure, Fetched};

    #[test]
    fn questions_are_escaped_and_answers_are_read() {
        let Errand::Fetch(fetch) = question("https://dns.example/q", "bü.org", RecordType::Mx) else {
            panic!("a fetch")
        };
        assert_eq!(fetch.url, "https://dns.example/q?name=b%C3%BC.org&type=MX");
        let say = |status: u16, body: &str| {
            let fetched = Fetched { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
            parse_answer(&Outcome::Fetched(fetched), RecordType::Mx)
        };
        let found = r#"{"Status":0,"Answer":[{"name":"a.org","type":15,"TTL":5,"data":"10 mx.a.org."}]}"#;
        assert_eq!(say(200, found), Lookup::Found);
        assert_eq!(say(200, r#"{"Status":0,"Answer":[{"type":15,"data":"0 ."}]}"#), Lookup::Absent);
        assert_eq!(say(200, r#"{"Status":0,"Answer":[{"type":5,"data":"x"}]}"#), Lookup::Absent);
        assert_eq!(say(200, r#"{"Status":3}"#), Lookup::NoName);
        for (status, body) in [(200, r#"{"Status":2}"#), (200, "no"), (500, found)] {
            assert_eq!(say(status, body), Lookup::Unknown, "{body}");
        }
        assert_eq!(parse_answer(&Outcome::Failed(Failure::TimedOut), RecordType::Mx), Lookup::Unknown);
    }
}
