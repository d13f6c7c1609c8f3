//! Answers that are no pages.

use serde_json::{Map, Value, json};

use crate::billing::mail::Letter;
use crate::billing::standing::{Asked, Standing};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;
use crate::push::wire::envelope;

/// To another page, by GET. `to` is put together by us, out of checked parts.
pub(crate) fn redirect(to: &str) -> Reply {
    Reply::empty(302).with_header("Location", to)
}

/// A change is done.
pub(crate) fn done() -> Reply {
    envelope::success(Map::new(), &[])
}

/// What became of requests, newest first. Query parameters are another payment system's, and not needed.
pub(crate) fn event_status(requests: &[(&Asked, Standing)], ignored: &[String]) -> Reply {
    let has = |wanted: Standing| requests.iter().any(|(_, standing)| *standing == wanted);
    let status = match (has(Standing::Waiting), has(Standing::Done)) {
        (true, _) => Standing::Waiting.name(),
        (false, true) => Standing::Done.name(),
        (false, false) => "none",
    };
    let seconds = |at: Timestamp| at.as_millis() / 1_000;
    let event = |(asked, standing): &(&Asked, Standing)| {
        json!({
            "type": asked.kind.name(),
            "status": standing.name(),
            "asked_at": seconds(asked.at),
            "asked_by": asked.by,
            "answered_at": asked.answered_at.filter(|_| *standing == Standing::Done).map(seconds),
        })
    };
    let mut body = Map::new();
    body.insert(String::from("status"), Value::from(status));
    body.insert(String::from("events"), Value::Array(requests.iter().map(event).collect()));
    envelope::uncached(envelope::success(body, ignored))
}

/// A link by which an owner signs in.
pub(crate) fn access_url(url: &str, ignored: &[String]) -> Reply {
    let mut body = Map::new();
    body.insert(String::from("billing_access_url"), Value::from(url));
    envelope::uncached(envelope::success(body, ignored))
}

/// A letter, as it is handed to a mail service and shown to developers.
///
/// Errors: as [`to_json`], never for one of ours.
pub(crate) fn letter(letter: &Letter) -> Result<String, Fault> {
    to_json(&json!({
        "id": letter.mail_id,
        "to": letter.to,
        "subject": letter.subject,
        "text": letter.text,
        "written_at": letter.written_at.as_millis(),
    }))
}

/// The last letters, newest first, each as it was kept.
pub(crate) fn letters(kept: &[String]) -> Reply {
    Reply::json_text(format!("{{\"mails\":[{}]}}", kept.join(",")))
}
