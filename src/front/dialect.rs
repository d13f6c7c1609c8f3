//! Refusals in the envelope that a route's clients read.

use serde_json::json;

use super::routes::{Dialect, Route};
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
}
