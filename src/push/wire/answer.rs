//! Good answers.

use serde_json::{Map, Value, json};

use super::envelope::success;
use super::send::SealedTarget;
use crate::kernel::reply::Reply;
use crate::push::permission::{Permission, Push};
use crate::push::upload::Marks;

/// A plain success.
#[must_use]
pub fn plain(ignored: &[String]) -> Reply {
    success(Map::new(), ignored)
}

/// A success with one member.
#[must_use]
pub fn with(member: &str, value: impl Into<Value>, ignored: &[String]) -> Reply {
    let mut body = Map::new();
    body.insert(member.to_owned(), value.into());
    success(body, ignored)
}

/// A registration's name and new key, shown once.
#[must_use]
pub fn credentials(uuid: &str, key: &str, ignored: &[String]) -> Reply {
    let mut body = Map::new();
    body.insert(String::from("zulip_org_id"), Value::from(uuid));
    body.insert(String::from("zulip_org_key"), Value::from(key));
    success(body, ignored)
}

/// What clients are told of a permission.
#[must_use]
pub fn permission(permission: &Permission) -> Value {
    let ends = permission.ends.map(|ends| ends.as_millis() / 1_000);
    json!({ "can_push": permission.can_push == Push::Allowed, "expected_end_timestamp": ends })
}

/// What came of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Devices of the user at Google.
    pub android: u64,
    /// At Apple.
    pub apple: u64,
    /// Web Push.
    pub web: u64,
}

/// The tokens that are gone, of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gone {
    /// At Google.
    pub android: Vec<String>,
    /// At Apple.
    pub apple: Vec<String>,
    /// Web Push; nothing when the server did not say which it believes in.
    pub web: Option<Vec<String>>,
}

/// The answer to `push/notify`.
#[must_use]
pub fn notified(tally: &Tally, gone: Gone, realm: Option<&Permission>, ignored: &[String]) -> Reply {
    let mut deleted = Map::new();
    deleted.insert(String::from("android_devices"), Value::from(gone.android));
    deleted.insert(String::from("apple_devices"), Value::from(gone.apple));
    let mut body = Map::new();
    body.insert(String::from("total_android_devices"), Value::from(tally.android));
    body.insert(String::from("total_apple_devices"), Value::from(tally.apple));
    if let Some(web) = gone.web {
        deleted.insert(String::from("web_devices"), Value::from(web));
        body.insert(String::from("total_web_devices"), Value::from(tally.web));
    }
    body.insert(String::from("deleted_devices"), Value::Object(deleted));
    body.insert(String::from("realm"), realm.map_or(Value::Null, permission));
    success(body, ignored)
}

/// The answer to `push/e2ee/notify`. Each dialect gets its own list of what is gone.
#[must_use]
pub fn sealed_notified(
    sent: &Tally,
    asked: &[SealedTarget],
    gone: &[SealedTarget],
    realm: &Permission,
    ignored: &[String],
) -> Reply {
    let devices: Vec<i64> = gone
        .iter()
        .filter_map(|target| match target {
            SealedTarget::Device(device_id) => Some(*device_id),
            SealedTarget::Token(_) => None,
        })
        .collect();
    let tokens: Vec<String> = gone
        .iter()
        .filter_map(|target| match target {
            SealedTarget::Token(token_id) => Some(token_id.to_base64()),
            SealedTarget::Device(_) => None,
        })
        .collect();
    let by_device = |target: &SealedTarget| matches!(target, SealedTarget::Device(_));
    let mut body = Map::new();
    body.insert(String::from("android_successfully_sent_count"), Value::from(sent.android));
    body.insert(String::from("apple_successfully_sent_count"), Value::from(sent.apple));
    if asked.is_empty() || !asked.iter().all(by_device) {
        body.insert(String::from("delete_token_ids"), Value::from(tokens));
    }
    if asked.iter().any(by_device) {
        body.insert(String::from("delete_device_ids"), Value::from(devices));
    }
    body.insert(String::from("realm_push_status"), permission(realm));
    success(body, ignored)
}

/// The public keys for sealed registrations, and for Web Push subscriptions.
#[must_use]
pub fn public_keys(sealed: &[String], vapid: Option<String>) -> Reply {
    let mut body = Map::new();
    body.insert(String::from("bouncer_public_keys"), Value::from(sealed));
    body.insert(String::from("vapid_public_key"), vapid.map_or(Value::Null, Value::from));
    success(body, &[])
}

/// A page of a series, and the cursor of the next one.
#[must_use]
pub fn series(rows: Vec<Value>, next: Option<Value>, ignored: &[String]) -> Reply {
    let mut body = Map::new();
    body.insert(String::from("rows"), Value::from(rows));
    body.insert(String::from("next"), next.unwrap_or(Value::Null));
    success(body, ignored)
}

/// How far each uploaded table is.
#[must_use]
pub fn analytics_status(marks: Marks, ignored: &[String]) -> Reply {
    let mut body = Map::new();
    body.insert(String::from("last_realm_count_id"), Value::from(marks.realm_counts));
    body.insert(String::from("last_installation_count_id"), Value::from(marks.installation_counts));
    body.insert(String::from("last_realmauditlog_id"), Value::from(marks.audit_rows));
    success(body, ignored)
}

/// The answer to an upload: what each of its organizations may do.
#[must_use]
pub fn realms(realms: &[(String, Permission)], ignored: &[String]) -> Reply {
    let all: Map<String, Value> = realms.iter().map(|(uuid, may)| (uuid.clone(), permission(may))).collect();
    with("realms", Value::Object(all), ignored)
}
