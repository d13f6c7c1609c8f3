//! Trouble of our own making or our storage's: never the caller's fault, never shown to the caller.

use std::fmt;

/// Why an event could not be finished although the input was fine.
///
/// Effects: the shell logs it once with the request id, answers with a fixed sentence, performs none of the event's
/// actions, and drops the object's memory so that the next event starts from what was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The storage refused a statement; the text names the statement, never its parameters.
    Storage(String),
    /// What was read back is not what this code ever writes.
    Corrupt(String),
    /// A setting or secret is malformed; names the setting and what it must look like.
    Setting(String),
    /// The platform refused a call.
    Platform(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(what) => write!(f, "storage: {what}"),
            Self::Corrupt(what) => write!(f, "corrupt state: {what}"),
            Self::Setting(what) => write!(f, "setting: {what}"),
            Self::Platform(what) => write!(f, "platform: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
