//! From method and path to a row of the table.

use super::head::{Head, Method, Wish};
use super::routes::{ROUTES, Route};
use crate::kernel::code::ErrorCode;
use crate::kernel::reply::Problem;

/// The longest path with query that is looked at. Units: bytes.
pub const TARGET_MAX: usize = 4096;

/// A row with the values of its path parameters, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The row.
    pub route: &'static Route,
    /// The values of `{…}`, in order.
    pub params: Vec<String>,
}

/// A request that did not pass: the row, if one was found, and what was wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Its row, or another one of its path: for the log and the envelope.
    pub route: Option<&'static Route>,
    /// What was wrong.
    pub problem: Problem,
}

/// Finds the row for a request.
///
/// Errors: 404 for an unknown path, 405 with `Allow` for an unknown method of a known path, 426 for a plain request to a
/// WebSocket, 400 for a broken percent escape, 414 for a target that is too long.
pub fn find(head: &Head) -> Result<Found, Refused> {
    if head.path.len() + head.query.len() > TARGET_MAX {
        return Err(Refused { route: None, problem: Problem::plain(ErrorCode::UriTooLong) });
    }
    let method = if head.method == Method::Head { Method::Get } else { head.method };
    let same_path = || ROUTES.iter().filter(|route| fits(route.template, &head.path));
    let exact = same_path().find(|route| route.method == method && route.wish == head.wish);
    // A plain request to `/` is answered as such, an upgrade to a path without sockets as a plain request.
    let row = exact.or_else(|| match head.wish {
        Wish::Socket => same_path().find(|route| route.method == method && route.wish == Wish::Answer),
        Wish::Answer => None,
    });
    if let Some(route) = row {
        let params = params(route.template, &head.path).map_err(|problem| Refused { route: Some(route), problem })?;
        return Ok(Found { route, params });
    }
    let rows: Vec<_> = same_path().collect();
    Err(Refused { route: rows.first().copied(), problem: refuse(method, &rows) })
}

fn refuse(method: Method, same_path: &[&'static Route]) -> Problem {
    if same_path.is_empty() {
        let hint = "Use GET /servers to list VPS servers";
        return Problem::new(ErrorCode::NotFound, "Not Found").with("hint", hint);
    }
    if method == Method::Get && same_path.iter().any(|route| route.wish == Wish::Socket) {
        return Problem::new(ErrorCode::UpgradeRequired, "Expected WebSocket").with_header("Upgrade", "websocket");
    }
    Problem::new(ErrorCode::MethodNotAllowed, "Method Not Allowed").with_header("Allow", allow(same_path))
}

/// The value of `Allow` for rows that share a path.
fn allow(same_path: &[&Route]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for route in same_path {
        let more: &[&str] = if route.method == Method::Get { &["GET", "HEAD"] } else { &[route.method.name()] };
        names.extend(more.iter().filter(|name| !names.contains(name)).copied().collect::<Vec<_>>());
    }
    names.push("OPTIONS");
    names.join(", ")
}

fn is_param(segment: &str) -> bool {
    segment.starts_with('{')
}

fn fits(template: &str, path: &str) -> bool {
    if !template.contains('{') {
        return template == path;
    }
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if is_param(pattern) && !segment.is_empty() => {}
            (Some(pattern), Some(segment)) if pattern == segment => {}
            _ => return false,
        }
    }
}

fn params(template: &str, path: &str) -> Result<Vec<String>, Problem> {
    let pairs = template.split('/').zip(path.split('/'));
    pairs.filter(|(pattern, _)| is_param(pattern)).map(|(_, segment)| decode(segment)).collect()
}

/// Undoes percent escapes.
fn decode(segment: &str) -> Result<String, Problem> {
    let broken = || Problem::new(ErrorCode::InvalidPath, "Invalid path format");
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = rest.next().zip(rest.next()).ok_or_else(broken)?;
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high).ok_or_else(broken)? * 16 + digit(low).ok_or_else(broken)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::{decode, fits};

    #[test]
    fn templates_fit_whole_paths_only() {
        assert!(fits("/servers/{serverId}", "/servers/a%3Ab"));
        for path in ["/servers/", "/servers", "/servers/a/b", "/serversfoo", "servers/a", "/servers/a/"] {
            assert!(!fits("/servers/{serverId}", path), "{path}");
        }
    }

    #[test]
    fn escapes_are_undone_or_refused() {
        assert_eq!(decode("ed25519%3Aa%2Bb").unwrap(), "ed25519:a+b");
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
