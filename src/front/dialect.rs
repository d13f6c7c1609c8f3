//! Refusals in the envelope that a route's clients read.

use serde_json::{Value, json};

use super::routes::{Dialect, Route};
use crate::kernel::code::ErrorCode;
use crate::kernel::reply::{Media, Problem, Reply};

/// The answer to a refused request. Requests without a row are refused in our own envelope, whose `detail` and `error`
/// most clients find.
#[must_use]
pub fn refuse(problem: Problem, route: Option<&Route>, request_id: &str) -> Reply {
    match route.map_or(Dialect::Ours, |route| route.dialect) {
        Dialect::Ours => problem.into_reply(request_id),
        Dialect::Detail => {
            let body = json!({ "detail": problem.sentence }).to_string();
            Reply { media: Media::Json, body, ..problem.into_reply(request_id) }
        }
        Dialect::Push => push(problem, request_id),
    }
}

/// Source: `push-bouncer` 1.2 and 1.5. A wrong method has no `code`, and names the methods that there are.
fn push(problem: Problem, request_id: &str) -> Reply {
    let value = |name: &str| problem.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let mut body = json!({ "result": "error", "msg": problem.sentence });
    match problem.code {
        ErrorCode::MethodNotAllowed => {
            let allowed = value("Allow").unwrap_or_default();
            let methods: Vec<&str> = allowed.split(", ").filter(|name| *name != "OPTIONS").collect();
            set(&mut body, "allowed_methods", json!(methods));
        }
        ErrorCode::RateLimited => {
            let seconds: f64 = value("Retry-After").and_then(|text| text.parse().ok()).unwrap_or(1.0);
            set(&mut body, "code", json!("RATE_LIMIT_HIT"));
            set(&mut body, "msg", json!(RATE_LIMITED));
            set(&mut body, "retry-after", json!(seconds));
        }
        ErrorCode::Internal => set(&mut body, "code", json!("INTERNAL_SERVER_ERROR")),
        ErrorCode::Unauthorized => set(&mut body, "code", json!("UNAUTHORIZED")),
        _ => set(&mut body, "code", json!("BAD_REQUEST")),
    }
    Reply { media: Media::Json, body: format!("{body}\n"), ..problem.into_reply(request_id) }
}

/// The sentence that clients of the field know.
const RATE_LIMITED: &str =
    "API usage exceeded rate limit; see https://zulip.com/api/http-headers#rate-limiting-response-headers";

/// The answer to `OPTIONS` on a path of a dialect that has one of its own; nothing for the others.
#[must_use]
pub fn options(same_path: &[&Route], allow: String) -> Option<Reply> {
    let is_push = same_path.iter().any(|route| route.dialect == Dialect::Push);
    is_push.then(|| Reply::empty(204).with_header("Allow", allow))
}

fn set(object: &mut Value, member: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::refuse;
    use crate::front::routes::{Dialect, ROUTES};
    use crate::kernel::code::ErrorCode;
    use crate::kernel::reply::{Media, Problem};

    #[test]
    fn each_dialect_keeps_status_and_headers_and_speaks_its_own_words() {
        let problem = || Problem::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").with_header("Allow", "GET");
        let ours = refuse(problem(), None, "r-1");
        assert_eq!(ours.media, Media::Problem);
        let route = ROUTES.iter().find(|route| route.dialect == Dialect::Detail);
        let theirs = refuse(problem(), route, "r-1");
        assert_eq!((theirs.status, theirs.media), (405, Media::Json));
        assert_eq!(theirs.body, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(theirs.header("Allow"), Some("GET"));
    }

    #[test]
    fn a_wrong_method_of_the_bouncer_is_named_with_the_right_ones_and_no_code() {
        let problem =
            Problem::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").with_header("Allow", "POST, OPTIONS");
        let route = ROUTES.iter().find(|route| route.dialect == Dialect::Push);
        let body: serde_json::Value = serde_json::from_str(&refuse(problem, route, "r-1").body).unwrap();
        let expected =
            serde_json::json!({ "result": "error", "msg": "Method Not Allowed", "allowed_methods": ["POST"] });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_fast_client_of_the_bouncer_is_told_when_to_come_back() {
        let problem = Problem::new(ErrorCode::RateLimited, "Too Many Requests").with_header("Retry-After", "7");
        let route = ROUTES.iter().find(|route| route.dialect == Dialect::Push);
        let reply = refuse(problem, route, "r-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, reply.header("Retry-After")), (429, Some("7")));
        assert_eq!((body["code"].as_str(), body["retry-after"].as_f64()), (Some("RATE_LIMIT_HIT"), Some(7.0)));
    }
}
