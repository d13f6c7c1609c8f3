//! What servers tell the operators' index, and what the directory tells servers of a moving organization.

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
    /// Names and hosts of organizations, in lower case, to search in.
    pub names: String,
    /// The server was removed: the index forgets it.
    pub removed: bool,
}

/// The longest [`Summary::names`]. Units: characters.
pub const NAMES_CHARS_MAX: usize = 2_000;

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

/// An organization on its way from one server to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Bundle {
    pub uuid: String,
    pub number: Option<i64>,
    pub profile: Option<String>,
    pub host: String,
    pub name: String,
    /// Hex.
    pub owner_secret: String,
    /// Units: milliseconds.
    pub date_created: Option<u64>,
    pub plan_type: u64,
    /// The operator, for the audit.
    pub actor: String,
    /// The server that it leaves.
    pub from: String,
}

/// An organization has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Farewell {
    pub realm: String,
    pub to: String,
    pub actor: String,
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
