//! What every answer carries: request id, limits, CORS, caching and security headers; and `304` and `HEAD`.

use std::borrow::Cow;

use super::head::{Head, Method};
use super::limiter::Standing;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;

/// Headers that are the same on every answer unless the answer says otherwise.
///
/// Source: the OWASP REST security cheat sheet for answers that are data; a page brings its own policy.
pub const CONSTANT_HEADERS: &[(&str, &str)] = &[
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("Vary", "Origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
];

/// What a browser is told about calls from other origins, beside `Access-Control-Allow-Origin`.
const CORS_HEADERS: &[(&str, &str)] = &[
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, Authorization, If-Match, If-None-Match, Idempotency-Key, X-Request-Id",
    ),
    (
        "Access-Control-Expose-Headers",
        "X-Bootstrap-Signature, X-Bootstrap-Signatures, X-Attestation-Token, X-Attestation-Signature, ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
    ),
    ("Access-Control-Max-Age", "600"),
];

/// An answer with everything on it, beside the constant headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The status.
    pub status: u16,
    /// Headers that belong to the answer itself: the same whoever asks. They come on top of the constant ones.
    pub entity_headers: Vec<(Cow<'static, str>, String)>,
    /// Headers that belong to this request.
    pub request_headers: Vec<(Cow<'static, str>, String)>,
    /// The body; nothing for answers without one.
    pub body: Option<String>,
}

/// Finishes an answer. `settings` is absent while a setting is malformed; then no origin is allowed.
#[must_use]
pub fn finish(reply: Reply, head: &Head, standing: Standing, settings: Option<&Settings>) -> Finished {
    let unchanged = is_unchanged(&reply, head);
    let bodiless = unchanged || head.method == Method::Head || reply.body.is_empty();
    let mut entity_headers = reply.headers;
    if !bodiless || head.method == Method::Head {
        entity_headers.push((Cow::Borrowed("Content-Type"), reply.media.content_type().to_owned()));
    }
    let mut request_headers = vec![(Cow::Borrowed("X-Request-Id"), head.request_id.clone())];
    if head.origin.is_some() || head.method == Method::Options {
        request_headers.extend(CORS_HEADERS.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned())));
    }
    if let Some(origin) = head.origin.as_ref().filter(|origin| settings.is_some_and(|all| all.origins.allows(origin))) {
        request_headers.push((Cow::Borrowed("Access-Control-Allow-Origin"), origin.clone()));
    }
    push_limit(&mut request_headers, standing);
    Finished {
        status: if unchanged { 304 } else { reply.status },
        entity_headers,
        request_headers,
        body: if bodiless { None } else { Some(reply.body) },
    }
}

/// Whether the client's copy is current (RFC 9110, section 13.1.2; comparison is weak).
fn is_unchanged(reply: &Reply, head: &Head) -> bool {
    let (Some(etag), Some(wanted)) = (reply.header("ETag"), head.if_none_match.as_deref()) else { return false };
    let is_read = matches!(head.method, Method::Get | Method::Head) && reply.status == 200;
    is_read && wanted.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Source: draft-ietf-httpapi-ratelimit-headers-11.
fn push_limit(headers: &mut Vec<(Cow<'static, str>, String)>, standing: Standing) {
    let (limit, remaining, reset_s) = match standing {
        Standing::Off => return,
        Standing::Passed { limit, remaining, reset_s } => (limit, remaining, reset_s),
        Standing::Refused { limit, retry_after_s } => {
            headers.push((Cow::Borrowed("Retry-After"), retry_after_s.to_string()));
            (limit, 0, retry_after_s)
        }
    };
    headers.push((Cow::Borrowed("RateLimit-Policy"), format!("\"client\";q={limit};w=60")));
    headers.push((Cow::Borrowed("RateLimit"), format!("\"client\";r={remaining};t={reset_s}")));
}
