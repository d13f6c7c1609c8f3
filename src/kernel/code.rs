//! The table of error codes: one row per thing that can be wrong, shared by HTTP and WebSocket.

/// A stable name for what was wrong with a request. Clients may match on it; it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The body is not what the operation expects.
    InvalidRequest,
    /// The body is not JSON.
    InvalidJson,
    /// A path segment is malformed.
    InvalidPath,
    /// A query parameter is malformed.
    InvalidQuery,
    /// No credentials, or wrong ones.
    Unauthorized,
    /// Credentials are fine but do not allow this.
    Forbidden,
    /// The browser page's origin is not on the allow-list.
    OriginNotAllowed,
    /// No such path, or no such thing.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The state does not allow this now.
    Conflict,
    /// A signed request was seen before.
    Replayed,
    /// `If-Match` names another version.
    PreconditionFailed,
    /// The body or frame is larger than the operation takes.
    TooLarge,
    /// The request line is longer than the service takes.
    UriTooLong,
    /// The path is a WebSocket and the request is not an upgrade.
    UpgradeRequired,
    /// The caller asks more often than allowed.
    RateLimited,
    /// A setting or secret that this operation needs is missing.
    NotConfigured,
    /// A setting is malformed; every route but health is closed until it is mended.
    Misconfigured,
    /// A fixed number of things is reached.
    AtCapacity,
    /// Our own trouble.
    Internal,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRow {
    /// The code.
    pub code: ErrorCode,
    /// The stable name, as it stands in `code` and in the fragment of `type`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The WebSocket close code, or nothing when the socket stays open.
    pub close: Option<u16>,
    /// The fixed sentence: `title` of the problem, and its `detail` where there is nothing better to say.
    pub title: &'static str,
    /// Whether the same request may succeed later without being changed.
    pub retryable: bool,
}

const fn row(
    code: ErrorCode,
    name: &'static str,
    status: u16,
    close: Option<u16>,
    title: &'static str,
    retryable: Retry,
) -> CodeRow {
    CodeRow { code, name, status, close, title, retryable: matches!(retryable, Retry::Later) }
}

enum Retry {
    Never,
    Later,
}

/// Every code with its meaning on the wire.
pub const CODES: &[CodeRow] = &[
    row(ErrorCode::InvalidRequest, "invalid_request", 400, None, "The request is not valid", Retry::Never),
    row(ErrorCode::InvalidJson, "invalid_json", 400, None, "The body is not valid JSON", Retry::Never),
    row(ErrorCode::InvalidPath, "invalid_path", 400, None, "The path is not valid", Retry::Never),
    row(ErrorCode::InvalidQuery, "invalid_query", 400, None, "The query is not valid", Retry::Never),
    row(ErrorCode::Unauthorized, "unauthorized", 401, None, "Valid credentials are needed", Retry::Never),
    row(ErrorCode::Forbidden, "forbidden", 403, None, "The credentials do not allow this", Retry::Never),
    row(ErrorCode::OriginNotAllowed, "origin_not_allowed", 403, None, "This origin is not allowed", Retry::Never),
    row(ErrorCode::NotFound, "not_found", 404, None, "There is nothing here", Retry::Never),
    row(ErrorCode::MethodNotAllowed, "method_not_allowed", 405, None, "The path takes other methods", Retry::Never),
    row(ErrorCode::Conflict, "conflict", 409, None, "The current state does not allow this", Retry::Never),
    row(ErrorCode::Replayed, "replayed", 409, None, "This signed request was used before", Retry::Never),
    row(ErrorCode::PreconditionFailed, "precondition_failed", 412, None, "The resource has changed", Retry::Never),
    row(ErrorCode::TooLarge, "too_large", 413, Some(1009), "The body is too large", Retry::Never),
    row(ErrorCode::UriTooLong, "uri_too_long", 414, None, "The request line is too long", Retry::Never),
    row(ErrorCode::UpgradeRequired, "upgrade_required", 426, None, "This path is a WebSocket", Retry::Never),
    row(ErrorCode::RateLimited, "rate_limited", 429, None, "Too many requests", Retry::Later),
    row(ErrorCode::NotConfigured, "not_configured", 503, None, "This operation is not configured", Retry::Later),
    row(ErrorCode::Misconfigured, "misconfigured", 503, Some(1013), "The service is misconfigured", Retry::Later),
    row(ErrorCode::AtCapacity, "at_capacity", 503, Some(1013), "The service is at capacity", Retry::Later),
    row(ErrorCode::Internal, "internal", 500, Some(1011), "The service could not finish the request", Retry::Later),
];

impl ErrorCode {
    /// This code's row of [`CODES`].
    #[must_use]
    pub fn row(self) -> &'static CodeRow {
        const FALLBACK: CodeRow = row(
            ErrorCode::Internal,
            "internal",
            500,
            Some(1011),
            "The service could not finish the request",
            Retry::Later,
        );
        CODES.iter().find(|row| row.code == self).unwrap_or(&FALLBACK)
    }
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn every_row_is_found_by_its_own_code_and_name_once() {
        for row in CODES {
            assert_eq!(row.code.row(), row);
            assert_eq!(CODES.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
        }
    }
}
