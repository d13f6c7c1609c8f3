//! Pages. Text becomes part of one only by being escaped.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::reply::{Media, Reply};

const STYLE: &str = include_str!("page.css");

/// A piece of a page.
///
/// There are two ways in: markup that stands in this program's own text, and everything else, escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// This piece, then markup of ours.
    #[must_use]
    pub fn markup(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// This piece, then a text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                control if control.is_control() => self.0.push('\u{fffd}'),
                plain => self.0.push(plain),
            }
        }
        self
    }

    /// This piece, then ` name="value"`, inside a tag that markup has opened.
    #[must_use]
    pub fn attribute(self, name: &'static str, value: &str) -> Self {
        self.markup(" ").markup(name).markup("=\"").text(value).markup("\"")
    }

    /// This piece, then another one.
    #[must_use]
    pub fn html(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// The bytes to be sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A whole page with our one style sheet, named by its hash, and no script.
///
/// The referrer stays within this service. It is not withheld altogether, because a browser that withholds it also sends
/// `Origin: null` with forms.
#[must_use]
pub fn page(status: u16, title: &str, main: Html) -> Reply {
    let document = Html::new()
        .markup("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"")
        .markup("width=device-width, initial-scale=1\"><title>")
        .text(title)
        .markup("</title><style>")
        .markup(STYLE)
        .markup("</style></head><body>")
        .html(&main)
        .markup("</body></html>");
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    let headers = vec![
        (Cow::Borrowed("Content-Security-Policy"), policy),
        (Cow::Borrowed("Referrer-Policy"), String::from("same-origin")),
        (Cow::Borrowed("Permissions-Policy"), String::from("camera=(), geolocation=(), microphone=()")),
    ];
    Reply { status, media: Media::Html, headers, body: document.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Html, STYLE, page};

    /// As a parser undoes it.
    fn unescape(html: &str) -> String {
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(html.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let html = Html::new().text(&text);
            prop_assert!(!html.as_str().contains(['<', '>', '"', '\'']));
            prop_assert!(!html.as_str().chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            // Every ampersand begins one of our five escapes.
            for (at, _) in html.as_str().match_indices('&') {
                let rest = html.as_str().get(at..).unwrap();
                prop_assert!(["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|known| rest.starts_with(known)));
            }
            let shown: String =
                text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect();
            prop_assert_eq!(unescape(html.as_str()), shown);
        }

        #[test]
        fn no_value_ends_its_attribute(value in any::<String>()) {
            let html = Html::new().markup("<input").attribute("value", &value).markup(">");
            prop_assert_eq!(html.as_str().matches('"').count(), 2);
            prop_assert_eq!(html.as_str().matches('>').count(), 1);
        }
    }

    #[test]
    fn a_page_runs_nothing_and_says_so() {
        let reply = page(200, "<script>", Html::new());
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("form-action 'self'"));
        assert!(reply.body.contains("<title>&lt;script&gt;</title>") && reply.body.contains(STYLE));
    }
}
