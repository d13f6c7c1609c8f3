//! Refusals in the envelope that a route's clients read.

use serde_json::{Value, json};

use super::routes::{Dialect, Route};
use crate::kernel::code::ErrorCode;
use crate::kernel::html::{self, Html};
use crate::kernel::reply::{Media, Problem, Reply};

/// Whose paths begin like this: requests for paths that do not exist are refused in that envelope too.
const PREFIXES: &[(&str, Dialect)] = &[
    ("/api/v1/remotes/", Dialect::Push),
    ("/parties/", Dialect::Detail),
    ("/auth/", Dialect::Detail),
    ("/relays/", Dialect::Detail),
    ("/json/", Dialect::Push),
    ("/remote-billing-login/", Dialect::Page),
    ("/serverlogin/", Dialect::Page),
    ("/realm/", Dialect::Page),
    ("/server/", Dialect::Page),
    ("/billing/", Dialect::Page),
];

/// The envelope for a request: that of its row, or of its neighbours.
#[must_use]
pub fn dialect_of(route: Option<&Route>, path: &str) -> Dialect {
    let neighbours = || PREFIXES.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, dialect)| *dialect);
    route.map(|route| route.dialect).or_else(neighbours).unwrap_or(Dialect::Ours)
}

/// The answer to a refused request.
#[must_use]
pub fn refuse(problem: Problem, dialect: Dialect, request_id: &str) -> Reply {
    match dialect {
        Dialect::Ours => problem.into_reply(request_id),
        Dialect::Detail => {
            let body = json!({ "detail": problem.sentence }).to_string();
            Reply { media: Media::Json, body, ..problem.into_reply(request_id) }
        }
        Dialect::Push => push(problem, request_id),
        Dialect::Page => page(problem, request_id),
    }
}

/// A page with the sentence, and the request's id for whoever asks for help.
fn page(problem: Problem, request_id: &str) -> Reply {
    let main = Html::new()
        .markup("<main><h1>")
        .text(problem.code.row().title)
        .markup("</h1><p class=\"error\" role=\"alert\">")
        .text(&problem.sentence)
        .markup("</p><p><small>")
        .text(request_id)
        .markup("</small></p></main>");
    let (status, headers) = (problem.status.unwrap_or(problem.code.row().status), problem.headers);
    let page = html::page(status, problem.code.row().title, main);
    headers.into_iter().fold(page, |page, (name, value)| page.with_header(name, value))
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
    use super::{dialect_of, refuse};
    use crate::front::routes::{Dialect, ROUTES};
    use crate::kernel::code::ErrorCode;
    use crate::kernel::reply::{Media, Problem};

    #[test]
    fn each_dialect_keeps_status_and_headers_and_speaks_its_own_words() {
        let problem = || Problem::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").with_header("Allow", "GET");
        let ours = refuse(problem(), Dialect::Ours, "r-1");
        assert_eq!(ours.media, Media::Problem);
        let theirs = refuse(problem(), Dialect::Detail, "r-1");
        assert_eq!((theirs.status, theirs.media), (405, Media::Json));
        assert_eq!(theirs.body, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(theirs.header("Allow"), Some("GET"));
    }

    #[test]
    fn a_wrong_method_of_the_bouncer_is_named_with_the_right_ones_and_no_code() {
        let problem =
            Problem::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").with_header("Allow", "POST, OPTIONS");
        let body: serde_json::Value = serde_json::from_str(&refuse(problem, Dialect::Push, "r-1").body).unwrap();
        let expected =
            serde_json::json!({ "result": "error", "msg": "Method Not Allowed", "allowed_methods": ["POST"] });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_fast_client_of_the_bouncer_is_told_when_to_come_back() {
        let problem = Problem::new(ErrorCode::RateLimited, "Too Many Requests").with_header("Retry-After", "7");
        let reply = refuse(problem, Dialect::Push, "r-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, reply.header("Retry-After")), (429, Some("7")));
        assert_eq!((body["code"].as_str(), body["retry-after"].as_f64()), (Some("RATE_LIMIT_HIT"), Some(7.0)));
    }

    #[test]
    fn paths_that_do_not_exist_are_refused_like_their_neighbours() {
        for (path, dialect) in [
            ("/api/v1/remotes/push/nothing", Dialect::Push),
            ("/parties/a/b/c/d", Dialect::Detail),
            ("/nothing", Dialect::Ours),
            ("/partiesx", Dialect::Ours),
        ] {
            assert_eq!(dialect_of(None, path), dialect, "{path}");
        }
        for route in ROUTES {
            assert_eq!(dialect_of(Some(route), "/nothing"), route.dialect);
        }
    }
}
