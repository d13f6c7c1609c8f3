//! The one cookie.

use super::token::{encode_session, parse_session};
use crate::billing::identity::{LIFE_MS, Session};
use crate::kernel::fault::Fault;
use crate::kernel::object::Browser;
use crate::kernel::settings::{Key32, Settings};
use crate::kernel::time::Timestamp;

/// Over HTTPS. The prefix makes browsers refuse it from other hosts and over plain HTTP (RFC 6265bis, section 4.1.3).
const SECURE_NAME: &str = "__Host-billing";
/// On a developer's machine, over plain HTTP.
const PLAIN_NAME: &str = "billing";

fn is_plain(settings: &Settings, browser: &Browser) -> bool {
    settings.dev_mode.is_on() && browser.base.starts_with("http://")
}

fn name(settings: &Settings, browser: &Browser) -> &'static str {
    if is_plain(settings, browser) { PLAIN_NAME } else { SECURE_NAME }
}

/// The session in a request's cookies, however old; nothing for none, or for what we have not signed.
pub(crate) fn read(settings: &Settings, key: &Key32, browser: &Browser) -> Option<Session> {
    let name = name(settings, browser);
    let pairs = browser.cookie.as_deref()?.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    values.find_map(|value| parse_session(key, value))
}

/// The `Set-Cookie` header that begins or renews a session.
///
/// Errors: as [`encode_session`].
pub(crate) fn write(
    settings: &Settings,
    key: &Key32,
    browser: &Browser,
    session: &Session,
    now: Timestamp,
) -> Result<String, Fault> {
    let age_ms = session.signed_in.as_ref().map_or(0, |who| now.since(who.authenticated_at));
    let left_s = LIFE_MS.saturating_sub(age_ms) / 1_000;
    Ok(header(settings, browser, &encode_session(key, session)?, left_s))
}

/// The `Set-Cookie` header that ends a session.
pub(crate) fn clear(settings: &Settings, browser: &Browser) -> String {
    header(settings, browser, "", 0)
}

fn header(settings: &Settings, browser: &Browser, value: &str, left_s: u64) -> String {
    let secure = if is_plain(settings, browser) { "" } else { "Secure; " };
    let name = name(settings, browser);
    format!("{name}={value}; Max-Age={left_s}; Path=/; {secure}HttpOnly; SameSite=Lax")
}
