//! The shapes of bodies of the operators of the push bouncer.

use serde_json::{Map, Value, json};

use super::schemas::{count, object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("OperatorAnswer", json!({ "type": "object" })),
        ("OperatorPage", json!({ "type": "object", "properties": { "next": {} } })),
        ("OperatorPlan", change()),
        (
            "OperatorMove",
            object(&["server", "uuid_owner_secret"], json!({ "server": uuid(), "uuid_owner_secret": text(1_024) })),
        ),
        (
            "OperatorTokenWish",
            object(
                &["name", "role"],
                json!({ "name": text(64), "role": { "enum": ["viewer", "admin", "owner"] }, "expires_in": count() }),
            ),
        ),
        (
            "BillingMessage",
            object(
                &["event", "server", "change"],
                json!({ "event": text(128), "server": uuid(), "realm": uuid(), "change": change() }),
            ),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn change() -> Value {
    object(
        &[],
        json!({
            "plan_type": { "enum": [1, 100, 101, 102, 103, 104, 105] },
            "customer": { "type": "object" },
            "plan": { "type": "object" },
        }),
    )
}
