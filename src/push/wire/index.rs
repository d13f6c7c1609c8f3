//! What servers tell the operators' index, and what the front asks the operators' tokens.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub uuid: String,
    pub hostname: String,
    pub contact_email: String,
    pub plan_type: u64,
    pub deactivated: bool,
    /// Units: milliseconds.
    pub last_request_at: Option<u64>,
    pub last_version: Option<String>,
    pub realms: u64,
    pub devices: u64,
    pub sealed_devices: u64,
    /// Which announcement of this server it is; a later one has a larger number.
    pub seq: u64,
    /// Organizations that are not as the index knows them; at most [`CHANGES_MAX`].
    pub changes: Vec<RealmWords>,
    /// The server was removed: the index forgets it.
    pub removed: bool,
}

/// By what an organization is found: its host and name in lower case, cut. None when it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RealmWords {
    pub realm: String,
    pub words: Option<String>,
}

impl RealmWords {
    /// The words of an organization.
    #[must_use]
    pub fn of(realm: String, host: &str, name: &str) -> Self {
        let cut = |text: &str| text.to_lowercase().chars().take(WORDS_CHARS_MAX).collect::<String>();
        Self { realm, words: Some(format!("{}\n{}", cut(host), cut(name))) }
    }
}

/// Organizations in one announcement; the others follow in the next.
pub const CHANGES_MAX: u64 = 200;

/// What is kept of a host, and of a name. Units: characters.
const WORDS_CHARS_MAX: usize = 200;

/// The row of a list.
#[must_use]
pub fn server(summary: &Summary) -> Value {
    json!({
        "uuid": summary.uuid,
        "hostname": summary.hostname,
        "contact_email": summary.contact_email,
        "plan_type": summary.plan_type,
        "deactivated": summary.deactivated,
        "last_request_datetime": summary.last_request_at.map(|ms| ms / 1_000),
        "last_version": summary.last_version,
        "realms": summary.realms,
        "devices": summary.devices + summary.sealed_devices,
    })
}

/// Whose token it is: the question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The bearer token.
    pub token: String,
}

/// The operator, as [`crate::push::role::Operator::caller`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Role and token.
    pub caller: String,
}
