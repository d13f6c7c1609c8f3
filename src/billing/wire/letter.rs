//! What letters say, and how a mail service knows that they are ours.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::billing::identity::Subject;
use crate::billing::link::LinkKey;
use crate::billing::mail::{Letter, TRY_MS};
use crate::kernel::errand::Fetch;
use crate::kernel::fault::Fault;
use crate::kernel::settings::MailWebhook;
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
/// Shape: the letter as JSON; `X-Waystation-Signature` is `sha256=` and the hex HMAC-SHA256 of the time in
/// `X-Waystation-Timestamp` (Unix seconds), a dot, and the body. A receiver refuses old times, and knows a repetition by
/// the letter's `id`.
///
/// Errors: as [`super::answer::letter`].
pub(crate) fn fetch(webhook: &MailWebhook, letter: &Letter, now: Timestamp) -> Result<Fetch, Fault> {
    let body = super::answer::letter(letter)?;
    let seconds = (now.as_millis() / 1_000).to_string();
    let signature = sign(webhook, &seconds, &body);
    Ok(Fetch {
        method: "POST",
        url: webhook.url.clone(),
        headers: vec![
            (Cow::Borrowed("Content-Type"), String::from("application/json")),
            (Cow::Borrowed("X-Waystation-Timestamp"), seconds),
            (Cow::Borrowed("X-Waystation-Signature"), format!("sha256={signature}")),
        ],
        body: body.into_bytes(),
        timeout_ms: u32::try_from(TRY_MS / 2).unwrap_or(u32::MAX),
        answer_bytes_max: ANSWER_MAX,
    })
}

fn sign(webhook: &MailWebhook, seconds: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(webhook.secret.reveal().as_bytes()) else { return String::new() };
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::sign;
    use crate::kernel::secret::Secret;
    use crate::kernel::settings::MailWebhook;

    /// Computed with `printf '1800000000.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn signatures_are_what_other_programs_compute() {
        let webhook = MailWebhook { url: String::new(), secret: Secret::new(String::from("secret")) };
        assert_eq!(sign(&webhook, "1800000000", "{}"), OPENSSL);
    }

    const OPENSSL: &str = "bb7079132825ac793cea8c013c1dd24d926b9b02132245b10588d9e5c0df70d7";
}
