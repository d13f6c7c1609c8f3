//! The OpenAPI document and the page that shows the same to people, from bundled text only.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::head::Wish;
use super::routes::{ROUTES, Route, Who};
use crate::kernel::code::CODES;
use crate::kernel::reply::{Media, Reply};

const OPENAPI: &str = include_str!("../../openapi.json");
const STYLE: &str = include_str!("docs.css");

/// The answer of `GET /openapi.json`.
#[must_use]
pub fn openapi() -> Reply {
    static ETAG: OnceLock<String> = OnceLock::new();
    let etag = ETAG.get_or_init(|| etag_of(OPENAPI)).clone();
    Reply::json_text(OPENAPI.to_owned()).with_header("ETag", etag).with_header("Cache-Control", "public, max-age=300")
}

/// The answer of `GET /docs`.
#[must_use]
pub fn page() -> Reply {
    static PAGE: OnceLock<(String, String, String)> = OnceLock::new();
    let (html, etag, policy) = PAGE.get_or_init(|| {
        let html = render();
        let etag = etag_of(&html);
        (html, etag, style_policy())
    });
    Reply { status: 200, media: Media::Html, headers: Vec::new(), body: html.clone() }
        .with_header("ETag", etag.as_str())
        .with_header("Cache-Control", "public, max-age=300")
        .with_header("Content-Security-Policy", policy.as_str())
        .with_header("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

/// A strong entity tag of a text.
#[must_use]
pub fn etag_of(text: &str) -> String {
    let mut tag = hex::encode(Sha256::digest(text.as_bytes()));
    tag.truncate(32);
    format!("\"{tag}\"")
}

/// Only our one style sheet runs, named by its hash; no script does.
fn style_policy() -> String {
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn render() -> String {
    let mut html = String::with_capacity(32 * 1024);
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Waystation API</title><style>{STYLE}</style></head><body>\
         <header><h1>Waystation API</h1><p>The machine-readable form is <a href=\"/openapi.json\">/openapi.json</a> \
         (OpenAPI 3.1). Errors are <code>application/problem+json</code> (RFC 9457).</p></header><main>\
         <section><h2>Operations</h2>"
    );
    ROUTES.iter().for_each(|route| render_route(&mut html, route));
    html.push_str("</section><section><h2>Error codes</h2><table><thead><tr><th>code</th><th>status</th><th>meaning</th><th>retry</th></tr></thead><tbody>");
    for row in CODES {
        let retry = if row.retryable { "later" } else { "no" };
        let _ = write!(
            html,
            "<tr id=\"{name}\"><td><code>{name}</code></td><td>{}</td><td>{}</td><td>{retry}</td></tr>",
            row.status,
            row.title,
            name = row.name
        );
    }
    html.push_str("</tbody></table></section></main></body></html>");
    html
}

fn render_route(html: &mut String, route: &Route) {
    let method = if route.wish == Wish::Socket { "WS" } else { route.method.name() };
    let _ = write!(
        html,
        "<article><h3><span class=\"method\">{method}</span> <code>{}</code></h3><p>{}</p><p class=\"who\">{}</p><ul>",
        route.template,
        prose(route.summary),
        who(route.who)
    );
    for answer in route.answers {
        let _ = write!(html, "<li><strong>{}</strong> {}</li>", answer.status, prose(answer.when));
    }
    html.push_str("</ul></article>");
}

/// A sentence of the table as HTML: what stands between backticks is code.
fn prose(sentence: &str) -> String {
    let mut html = String::with_capacity(sentence.len() + 16);
    for (index, piece) in sentence.split('`').enumerate() {
        let escaped = piece.replace('&', "&amp;").replace('<', "&lt;");
        let _ = if index % 2 == 1 { write!(html, "<code>{escaped}</code>") } else { write!(html, "{escaped}") };
    }
    html
}

/// Who may call, in words.
#[must_use]
pub const fn who(who: Who) -> &'static str {
    match who {
        Who::Anyone => "Anybody may call this.",
        Who::RegistryWriter => "Needs the registry's bearer token.",
        Who::RegistryWriterOrOwner => "Needs the registry's bearer token, or a signature by the server's own key.",
        Who::Ci => "Needs the CI upload token.",
        Who::Operator => "Needs an operator's token.",
        Who::PushOperator => "Needs the operator's secret, or a token made with it.",
        Who::Peer => "Needs a peer's token.",
        Who::PeerOrRegistryWriter => "Needs a peer's token, or the registry's bearer token.",
        Who::RemoteServer => "Needs the Basic credentials of a registered server.",
        Who::Signer => "Needs the payment system's signature.",
        Who::BillingUser => "Needs the session of a billing user.",
        Who::PeerOrLater => "Needs a peer's token, at once or in the first message.",
    }
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn backticks_become_code_and_markup_stays_text() {
        assert_eq!(
            prose("Greets with `server_info` & <more>."),
            "Greets with <code>server_info</code> &amp; &lt;more>."
        );
    }
}
