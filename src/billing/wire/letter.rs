//! What letters say, and how a mail service knows that they are ours.

use std::borrow::Cow;

use crate::billing::identity::Subject;
use crate::billing::link::LinkKey;
use crate::billing::mail::{Letter, TRY_MS};
use crate::kernel::errand::Fetch;
use crate::kernel::fault::Fault;
use crate::kernel::settings::MailWebhook;
use crate::kernel::signed::{SIGNATURE_HEADER, sign};
use crate::kernel::time::Timestamp;

/// The longest answer of a mail service that is read. Units: bytes.
const ANSWER_MAX: u32 = 16 * 1024;

/// The path of a confirmation link.
pub(crate) fn link_path(subject: &Subject, link: &LinkKey) -> String {
    match subject {
        Subject::Realm(_) => format!("/remote-billing-login/do_confirm/{}", link.text()),
        Subject::Server(_) => format!("/serverlogin/do_confirm/{}", link.text()),
    }
}

/// Subject line and text of the letter with a confirmation link. `host` was checked to be a host name: a letter carries
/// nothing else that somebody else has written.
pub(crate) fn confirmation(subject: &Subject, host: &str, url: &str) -> (String, String) {
    let (line, once) = match subject {
        Subject::Realm(_) => ("Confirm your e-mail for plan management", "It works once, within 24 hours."),
        Subject::Server(_) => ("Sign in to plan management", "It works for 24 hours."),
    };
    let text = format!(
        "Somebody, most likely you, asked to manage the plan of {host}.\n\nFollow this link to go on:\n\n{url}\n\n{once} \
         If it was not you, ignore this letter.\n"
    );
    (format!("{line}: {host}"), text)
}

/// The request by which a letter is handed to a mail service.
///
/// Shape: the letter as JSON, signed as [`crate::kernel::signed`] says. A receiver refuses old times, and knows a repetition
/// by the letter's `id`.
///
/// Errors: as [`super::answer::letter`].
pub(crate) fn fetch(webhook: &MailWebhook, letter: &Letter, now: Timestamp) -> Result<Fetch, Fault> {
    let body = super::answer::letter(letter)?;
    let signature = sign(&webhook.secret, body.as_bytes(), now);
    Ok(Fetch {
        method: "POST",
        url: webhook.url.clone(),
        headers: vec![
            (Cow::Borrowed("Content-Type"), String::from("application/json")),
            (Cow::Borrowed(SIGNATURE_HEADER), signature),
        ],
        body: body.into_bytes(),
        timeout_ms: u32::try_from(TRY_MS / 2).unwrap_or(u32::MAX),
        answer_bytes_max: ANSWER_MAX,
    })
}
