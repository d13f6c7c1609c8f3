//! The shapes of bodies of the push bouncer.

use serde_json::{Map, Value, json};

use super::schemas::{count, object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("PushRefusal", refusal()),
        ("PushSuccess", success(&[], json!({}))),
        ("PushServerRegistration", registration()),
        ("PushServerRegistered", success(&["created"], json!({ "created": { "type": "boolean" } }))),
        ("PushTransferSecret", success(&["verification_secret"], json!({ "verification_secret": text(512) }))),
        (
            "PushTransferred",
            success(
                &["zulip_org_id", "zulip_org_key"],
                json!({ "zulip_org_id": uuid(), "zulip_org_key": { "type": "string", "minLength": 64, "maxLength": 64 } }),
            ),
        ),
        ("PushNotification", notification()),
        ("PushNotified", notified()),
        ("PushTest", test()),
        ("PushSealedNotification", sealed_notification()),
        ("PushSealedNotified", sealed_notified()),
        ("PushPublicKeys", success(&[], json!({}))),
        (
            "PushAnalyticsStatus",
            success(
                &["last_realm_count_id", "last_installation_count_id", "last_realmauditlog_id"],
                json!({
                    "last_realm_count_id": count(),
                    "last_installation_count_id": count(),
                    "last_realmauditlog_id": count(),
                }),
            ),
        ),
        (
            "PushCounts",
            success(&["rows"], json!({ "rows": { "type": "array", "items": { "type": "object" } }, "next": {} })),
        ),
        (
            "PushBillingAccess",
            success(&["billing_access_url"], json!({ "billing_access_url": { "type": "string", "format": "uri" } })),
        ),
        (
            "PushBillingEvents",
            success(
                &["status", "events"],
                json!({
                    "status": { "enum": ["none", "waiting", "done"] },
                    "events": {
                        "type": "array",
                        "maxItems": 3,
                        "items": {
                            "type": "object",
                            "required": ["type", "status", "asked_at", "asked_by", "answered_at"],
                            "properties": {
                                "type": { "enum": ["change", "upgrade", "sponsorship"] },
                                "status": { "enum": ["waiting", "done"] },
                                "asked_at": count(),
                                "asked_by": { "type": "string" },
                                "answered_at": { "type": ["integer", "null"] },
                            },
                        },
                    },
                }),
            ),
        ),
        (
            "PushAnalytics",
            success(&["realms"], json!({ "realms": { "type": "object", "additionalProperties": standing() } })),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn success(required: &[&str], mut properties: Value) -> Value {
    if let Some(members) = properties.as_object_mut() {
        members.insert(String::from("result"), json!({ "const": "success" }));
        members.insert(String::from("msg"), json!({ "const": "" }));
        members.insert(
            String::from("ignored_parameters_unsupported"),
            json!({ "type": "array", "items": { "type": "string" } }),
        );
    }
    let all: Vec<&str> = ["result", "msg"].iter().chain(required).copied().collect();
    object(&all, properties)
}

fn refusal() -> Value {
    object(
        &["result", "msg"],
        json!({
            "result": { "const": "error" },
            "msg": { "type": "string" },
            "code": { "type": "string" },
            "allowed_methods": { "type": "array", "items": { "type": "string" } },
            "retry-after": { "type": "number" },
        }),
    )
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn registration() -> Value {
    object(
        &["zulip_org_id", "zulip_org_key", "hostname", "contact_email"],
        json!({
            "zulip_org_id": uuid(),
            "zulip_org_key": { "type": "string", "minLength": 64, "maxLength": 64 },
            "new_org_key": { "type": "string", "minLength": 64, "maxLength": 64 },
            "hostname": text(128),
            "contact_email": { "type": "string", "format": "email" },
        }),
    )
}

fn standing() -> Value {
    object(
        &["can_push", "expected_end_timestamp"],
        json!({ "can_push": { "type": "boolean" }, "expected_end_timestamp": { "type": ["integer", "null"] } }),
    )
}

fn tokens() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn notification() -> Value {
    object(
        &[],
        json!({
            "user_id": { "type": ["integer", "null"] },
            "user_uuid": { "type": ["string", "null"] },
            "realm_uuid": { "type": ["string", "null"] },
            "gcm_payload": { "type": "object" },
            "apns_payload": { "type": "object" },
            "gcm_options": { "type": "object" },
            "android_devices": tokens(),
            "apple_devices": tokens(),
        }),
    )
}

fn notified() -> Value {
    let deleted = object(
        &["android_devices", "apple_devices"],
        json!({ "android_devices": tokens(), "apple_devices": tokens() }),
    );
    success(
        &["total_android_devices", "total_apple_devices", "deleted_devices", "realm"],
        json!({
            "total_android_devices": count(),
            "total_apple_devices": count(),
            "deleted_devices": deleted,
            "realm": { "anyOf": [standing(), { "type": "null" }] },
        }),
    )
}

fn test() -> Value {
    object(
        &["token", "token_kind", "user_id", "user_uuid", "base_payload"],
        json!({
            "token": text(4096),
            "token_kind": { "enum": [1, 2] },
            "user_id": { "type": "integer" },
            "user_uuid": { "type": "string" },
            "realm_uuid": { "type": "string" },
            "base_payload": { "type": "object" },
        }),
    )
}

fn sealed_notification() -> Value {
    object(
        &["realm_uuid", "push_requests"],
        json!({ "realm_uuid": uuid(), "push_requests": { "type": "array", "items": { "type": "object" } } }),
    )
}

fn sealed_notified() -> Value {
    success(
        &["android_successfully_sent_count", "apple_successfully_sent_count", "realm_push_status"],
        json!({
            "android_successfully_sent_count": count(),
            "apple_successfully_sent_count": count(),
            "delete_token_ids": tokens(),
            "delete_device_ids": { "type": "array", "items": { "type": "integer" } },
            "realm_push_status": standing(),
        }),
    )
}
