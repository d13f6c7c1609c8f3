//! An HTTP answer as a value.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::code::ErrorCode;
use super::fault::Fault;
use super::json;

/// What kind of bytes the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// `application/json`, without charset, as the field's clients expect it.
    Json,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// `text/plain; charset=utf-8`.
    Text,
    /// `text/html; charset=utf-8`.
    Html,
    /// `text/csv; charset=utf-8` (RFC 4180).
    Csv,
}

impl Media {
    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Problem => "application/problem+json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// An answer before the front adds what every answer carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The kind of body; meaningless when the body is empty.
    pub media: Media,
    /// Headers beyond the ones that every answer carries. Names in the spelling they are sent in.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; empty for none. Travels beside the rest, not in it.
    #[serde(skip)]
    pub body: String,
}

impl Reply {
    /// 200 with JSON.
    ///
    /// Errors: as [`json::to_json`].
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Fault> {
        Ok(Self::json_text(json::to_json(value)?))
    }

    /// 200 with text that is JSON already.
    #[must_use]
    pub const fn json_text(body: String) -> Self {
        Self { status: 200, media: Media::Json, headers: Vec::new(), body }
    }

    /// An answer without body.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self { status, media: Media::Text, headers: Vec::new(), body: String::new() }
    }

    /// This answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// The value of a header that this answer sets itself.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A refusal on its way to becoming an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What was wrong.
    pub code: ErrorCode,
    /// The sentence for this case, in the words that compatible clients know; stands in `error` and `detail`.
    pub sentence: String,
    /// Further members, beside the standard ones.
    pub members: Map<String, Value>,
    /// Further headers, such as `Retry-After` or `Allow`.
    pub headers: Vec<(&'static str, String)>,
    /// A status that the compatible protocol wants instead of the code's own.
    pub status: Option<u16>,
}

impl Problem {
    /// A refusal with its sentence.
    #[must_use]
    pub fn new(code: ErrorCode, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), members: Map::new(), headers: Vec::new(), status: None }
    }

    /// A refusal with the code's own sentence.
    #[must_use]
    pub fn plain(code: ErrorCode) -> Self {
        Self::new(code, code.row().title)
    }

    /// This refusal with one more member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// This refusal with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer: one JSON object with the sentence in `error` and the members of RFC 9457 beside it.
    #[must_use]
    pub fn into_reply(self, request_id: &str) -> Reply {
        let row = self.code.row();
        let status = self.status.unwrap_or(row.status);
        let mut body = Map::new();
        body.insert(String::from("error"), Value::from(self.sentence.as_str()));
        body.extend(self.members);
        body.insert(String::from("type"), Value::from(format!("/docs#{}", row.name)));
        body.insert(String::from("title"), Value::from(row.title));
        body.insert(String::from("status"), Value::from(status));
        body.insert(String::from("detail"), Value::from(self.sentence));
        body.insert(String::from("code"), Value::from(row.name));
        body.insert(String::from("request_id"), Value::from(request_id));
        let headers = self.headers.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        Reply { status, media: Media::Problem, headers, body: Value::Object(body).to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorCode, Problem};

    #[test]
    fn a_problem_has_the_originals_sentence_and_the_standard_members() {
        let reply = Problem::new(ErrorCode::Unauthorized, "Unauthorized").with("hint", "x").into_reply("r-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(reply.status, 401);
        assert_eq!(reply.media.content_type(), "application/problem+json");
        for (member, value) in [
            ("error", "Unauthorized"),
            ("detail", "Unauthorized"),
            ("code", "unauthorized"),
            ("hint", "x"),
            ("type", "/docs#unauthorized"),
            ("title", "Valid credentials are needed"),
            ("request_id", "r-1"),
        ] {
            assert_eq!(body[member], value, "{member}");
        }
        assert_eq!(body["status"], 401);
    }
}
