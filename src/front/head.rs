//! What the front looks at before it reads a body.

use crate::kernel::network::ClientNetwork;

/// The method, of which only these exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Method {
    /// The method by its name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The name on the wire; `OTHER` for what does not exist here.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// Whether the client wants a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// An answer.
    Answer,
    /// An upgrade.
    Socket,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Scheme and host as sent, without a slash at the end.
    pub base: String,
    /// The path as sent, percent escapes included.
    pub path: String,
    /// The query as sent, without `?`.
    pub query: String,
    /// Whether an upgrade is asked for.
    pub wish: Wish,
    /// Where from.
    pub client: ClientNetwork,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// The `Cookie` header.
    pub cookie: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Waystation-Signature` header.
    pub signature: Option<String>,
    /// The `X-CSRFToken` header.
    pub form_token: Option<String>,
    /// The `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// The `Content-Length` header, when it is a number.
    pub content_length: Option<u64>,
    /// The client's own request id, or a fresh one.
    pub request_id: String,
    /// The trace id of a valid `traceparent` header (W3C Trace Context), for the log.
    pub trace_id: Option<String>,
}

/// A client's request id, if it is one that may stand in logs: 1 to 64 of letters, digits, `.`, `_`, `-`.
#[must_use]
pub fn accept_request_id(text: &str) -> Option<&str> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    ((1..=64).contains(&text.len()) && text.bytes().all(fine)).then_some(text)
}

/// The trace id of a `traceparent` header of version 00: 32 lower-case hex digits, not all zero.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = trace.bytes().all(|byte| byte == b'0');
    (parts.next().is_none() && version == "00" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && !zero)
        .then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::{accept_request_id, trace_id};

    #[test]
    fn only_harmless_request_ids_are_kept() {
        assert_eq!(accept_request_id("a-B_9.z"), Some("a-B_9.z"));
        for bad in ["", "a b", "a\"b", "a\n", &"x".repeat(65)] {
            assert_eq!(accept_request_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn trace_ids_come_from_valid_headers_only() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in ["", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "01-x", &good.to_uppercase()] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
