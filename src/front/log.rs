//! One JSON line per request, and nothing in it that a stranger may not see.
//!
//! A line is built from a closed list of fields: route templates instead of paths, roles instead of credentials, never
//! a body, a code, a token, a key or an address. What cannot be put in cannot leak.

use serde::Serialize;

use super::head::{Head, Wish};
use super::routes::{Route, Who};
use crate::kernel::fault::Fault;
use crate::kernel::object::Notice;
use crate::kernel::operation::Class;
use crate::kernel::settings::{LogLevel, SettingProblem};
use crate::kernel::time::Timestamp;

#[derive(Serialize)]
struct RequestLine<'a> {
    ts: String,
    level: &'static str,
    event: &'static str,
    method: &'static str,
    route: &'static str,
    status: u16,
    ms: u64,
    role: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    ts: String,
    level: &'static str,
    event: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// How grave an answer is: ours to mend, worth a look, or everyday.
#[must_use]
pub const fn level_of(status: u16) -> LogLevel {
    match status {
        501 | 503 => LogLevel::Warning,
        500.. => LogLevel::Error,
        _ => LogLevel::Info,
    }
}

const fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

const fn role_of(route: Option<&Route>) -> &'static str {
    match route {
        Some(Route { who: Who::Operator | Who::PushOperator, .. }) => "operator",
        Some(Route { who: Who::Ci, .. }) => "ci",
        Some(Route { who: Who::RegistryWriter | Who::RegistryWriterOrOwner, .. }) => "registry",
        Some(Route { who: Who::Peer | Who::PeerOrLater | Who::PeerOrRegistryWriter, .. }) => "peer",
        Some(Route { who: Who::RemoteServer, .. }) => "server",
        Some(Route { who: Who::BillingUser, .. }) => "owner",
        Some(Route { who: Who::Signer, .. }) => "payment",
        Some(Route { who: Who::Anyone, .. }) | None => "anyone",
    }
}

/// The line for a finished request.
#[must_use]
pub fn request_line(head: &Head, route: Option<&Route>, status: u16, started: Timestamp, ended: Timestamp) -> String {
    let line = RequestLine {
        ts: ended.to_iso(),
        level: name_of(level_of(status)),
        event: if matches!(head.wish, Wish::Socket) { "upgrade" } else { "request" },
        method: head.method.name(),
        route: route.map_or("-", |route| route.template),
        status,
        ms: ended.since(started),
        role: role_of(route),
        request_id: &head.request_id,
        trace_id: head.trace_id.as_deref(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// The line for trouble of our own.
#[must_use]
pub fn fault_line(class: Class, fault: &Fault, request_id: Option<&str>, now: Timestamp) -> String {
    event_line(LogLevel::Error, "fault", &format!("{}: {fault}", class.name()), request_id, now)
}

/// The line for trouble of our own in the front.
#[must_use]
pub fn front_fault_line(fault: &Fault, request_id: &str, now: Timestamp) -> String {
    event_line(LogLevel::Error, "fault", &format!("front: {fault}"), Some(request_id), now)
}

/// How grave a notice is.
#[must_use]
pub const fn level_of_notice(notice: &Notice) -> LogLevel {
    match notice {
        Notice::DroppedRows { .. } => LogLevel::Warning,
    }
}

/// The line for what an object has to tell.
///
/// Source: section 3.3 of the push dialect for the sentence about rows.
#[must_use]
pub fn notice_line(notice: &Notice, now: Timestamp) -> String {
    let (event, message) = match notice {
        Notice::DroppedRows { dropped, saving, table, hostname, server } => (
            "dropped_rows",
            format!(
                "Dropped {dropped} duplicated rows while saving {saving} rows of {table} for server {hostname}/{server}"
            ),
        ),
    };
    event_line(level_of_notice(notice), event, &message, None, now)
}

/// The line for a malformed setting: its name and what it must look like, not what it is.
#[must_use]
pub fn setting_line(problem: &SettingProblem, now: Timestamp) -> String {
    let message = format!("setting {} must be {}", problem.name, problem.expected);
    event_line(LogLevel::Error, "misconfigured", &message, None, now)
}

fn event_line(level: LogLevel, event: &'static str, message: &str, request_id: Option<&str>, now: Timestamp) -> String {
    let line = EventLine { ts: now.to_iso(), level: name_of(level), event, message, request_id };
    serde_json::to_string(&line).unwrap_or_default()
}
