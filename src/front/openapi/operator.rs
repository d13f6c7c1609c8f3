//! The shapes of bodies of the operators of the push bouncer, and the parameters of their lists.

use serde_json::{Map, Value, json};

use super::schemas::{count, object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("OperatorServers", page("servers", &reference("OperatorServerLine"), nullable(&uuid()))),
        ("OperatorServerLine", server_line()),
        ("OperatorServer", whole(server(), &["push"], json!({ "push": push() }))),
        ("OperatorRealm", realm()),
        ("OperatorRealms", page("realms", &reference("OperatorRealm"), cursor())),
        ("OperatorExport", export()),
        ("OperatorAudit", page("rows", &audit_row(), cursor())),
        ("OperatorCounts", page("rows", &point(), nullable(&json!({ "type": "string" })))),
        ("OperatorDeviceTokens", page("tokens", &device_token(), cursor())),
        ("OperatorInvoices", page("invoices", &invoice(), cursor())),
        ("OperatorBillingUsers", page("billing_users", &billing_user(), cursor())),
        ("OperatorBilling", billing()),
        ("OperatorPlanChanged", whole(billing(), &["plan_type"], json!({ "plan_type": plan_type() }))),
        ("OperatorMetrics", metrics()),
        ("OperatorTokens", page("tokens", &reference("OperatorToken"), nullable(&token_id()))),
        ("OperatorToken", token()),
        (
            "OperatorTokenShown",
            whole(token(), &["token"], json!({ "token": { "type": "string", "pattern": "^wop_" } })),
        ),
        ("OperatorTokenWish", token_wish()),
        ("OperatorPlan", change()),
        ("OperatorReason", wish(&[], json!({ "reason": { "type": ["string", "null"], "maxLength": 500 } }))),
        (
            "OperatorMove",
            wish(&["server", "uuid_owner_secret"], json!({ "server": uuid(), "uuid_owner_secret": text(1_024) })),
        ),
        ("OperatorMoved", moved()),
        ("OperatorLink", object(&["url"], json!({ "url": { "type": "string", "format": "uri" } }))),
        ("OperatorKey", key()),
        ("OperatorDeactivated", flag("deactivated")),
        ("OperatorRealmSwitched", flag("registration_deactivated")),
        ("OperatorRemoved", flag("removed")),
        ("OperatorRevoked", flag("revoked")),
        ("OperatorAccountClosed", flag("is_active")),
        ("BillingReceived", flag("received")),
        (
            "BillingMessage",
            wish(
                &["event", "server", "change"],
                json!({
                    "event": text(128),
                    "server": uuid(),
                    "realm": nullable(&uuid()),
                    "change": reference("OperatorPlan"),
                }),
            ),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A query parameter by its name.
pub(super) fn parameter(name: &str) -> Value {
    let (schema, says) = match name {
        "query" => (
            json!({ "type": "string", "minLength": 2, "maxLength": 500 }),
            "What to look for, in lower or upper case: at least two characters.",
        ),
        "limit" => (json!({ "type": "integer", "minimum": 1, "maximum": 200 }), "Entries of a page."),
        "after" => (json!({ "type": "string" }), "The `next` of the page before."),
        "property" => (json!({ "type": "string" }), "The name of the series."),
        "from" => (count(), "The first second of the series, as Unix time."),
        "to" => (count(), "Its last second, as Unix time."),
        "format" => (json!({ "enum": ["json", "csv"], "default": "json" }), "How the list is written."),
        "realm" => (uuid(), "An organization that is or was on the server, instead of the server itself."),
        "realm_uuid" => (uuid(), "One of the server's organizations, instead of the server itself."),
        _ => (json!({ "type": "string" }), ""),
    };
    json!({ "name": name, "in": "query", "required": name == "property", "schema": schema, "description": says })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn nullable(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A body that may hold nothing else.
fn wish(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// An object with more members, all of them required.
fn whole(mut schema: Value, more: &[&str], properties: Value) -> Value {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.extend(more.iter().map(|name| Value::from(*name)));
    }
    let known = schema.get_mut("properties").and_then(Value::as_object_mut);
    if let (Some(known), Value::Object(properties)) = (known, properties) {
        known.extend(properties);
    }
    schema
}

/// An object whose members are always there.
fn always(properties: Value) -> Value {
    let required: Vec<String> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn page(member: &str, entry: &Value, next: Value) -> Value {
    always(json!({ member: { "type": "array", "items": entry }, "next": next }))
}

fn flag(member: &str) -> Value {
    always(json!({ member: { "type": "boolean" } }))
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn words() -> Value {
    json!({ "type": "string" })
}

fn words_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn token_id() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
}

fn seconds() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "Unix time." })
}

fn seconds_or_null() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0, "description": "Unix time." })
}

fn count_or_null() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

fn cents_or_null() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 90_000_000, "description": "Cents." })
}

fn cursor() -> Value {
    json!({ "type": ["integer", "null"], "description": "For `after`; null on the last page." })
}

fn plan_type() -> Value {
    json!({ "enum": [1, 100, 101, 102, 103, 104, 105] })
}

fn server_line() -> Value {
    always(json!({
        "uuid": uuid(),
        "hostname": words(),
        "contact_email": words(),
        "plan_type": plan_type(),
        "deactivated": boolean(),
        "last_request_datetime": seconds_or_null(),
        "last_version": words_or_null(),
        "realms": count(),
        "devices": count(),
    }))
}

fn server() -> Value {
    always(json!({
        "uuid": uuid(),
        "hostname": words(),
        "contact_email": words(),
        "created_at": seconds(),
        "last_updated": seconds(),
        "last_request_datetime": seconds_or_null(),
        "last_version": words_or_null(),
        "last_merge_base": words_or_null(),
        "last_api_feature_level": count_or_null(),
        "deactivated": boolean(),
        "removed_at": seconds_or_null(),
        "plan_type": plan_type(),
        "org_type": count_or_null(),
        "last_audit_log_update": seconds_or_null(),
        "realms": count(),
        "legacy_tokens": count(),
        "e2ee_devices": count(),
        "billing": reference("OperatorBilling"),
    }))
}

fn push() -> Value {
    always(json!({
        "can_push": boolean(),
        "expected_end_timestamp": seconds_or_null(),
        "reason": words(),
    }))
}

fn realm() -> Value {
    let users = always(json!({
        "non_guests": count(),
        "guests": count(),
        "workplace": count_or_null(),
        "since": seconds(),
    }));
    always(json!({
        "uuid": uuid(),
        "server": uuid(),
        "id": { "type": ["integer", "null"] },
        "host": words(),
        "name": words(),
        "org_type": { "type": ["integer", "null"] },
        "authentication_methods": {
            "type": ["object", "null"],
            "additionalProperties": boolean(),
        },
        "is_system_bot_realm": boolean(),
        "realm_deactivated": boolean(),
        "realm_locally_deleted": boolean(),
        "registration_deactivated": boolean(),
        "realm_date_created": seconds_or_null(),
        "first_seen": seconds(),
        "last_updated": seconds(),
        "last_request_datetime": seconds_or_null(),
        "plan_type": plan_type(),
        "users": nullable(&users),
        "asks_to_advertise_in_communities_directory": boolean(),
        "push": nullable(&push()),
        "billing": nullable(&reference("OperatorBilling")),
    }))
}

fn export() -> Value {
    let uploaded = always(json!({ "realm_counts": count(), "installation_counts": count(), "audit": count() }));
    always(json!({
        "exported_at": seconds(),
        "server": server(),
        "realms": { "type": "array", "items": reference("OperatorRealm") },
        "realms_total": count(),
        "uploaded_rows": uploaded,
        "next": cursor(),
    }))
}

fn audit_row() -> Value {
    always(json!({
        "id": count(),
        "event_time": seconds(),
        "backfilled": boolean(),
        "event_type": { "type": "integer" },
        "extra_data": { "type": ["object", "null"], "additionalProperties": true },
        "actor": words_or_null(),
        "remote_id": { "type": ["integer", "null"] },
        "realm_id": { "type": ["integer", "null"] },
    }))
}

fn point() -> Value {
    always(json!({
        "property": words(),
        "subgroup": words_or_null(),
        "end_time": seconds(),
        "value": { "type": "integer" },
    }))
}

fn device_token() -> Value {
    always(json!({
        "id": count(),
        "kind": { "enum": [1, 2], "description": "1 Apple, 2 Google." },
        "token_hash": words(),
        "ios_app_id": words_or_null(),
        "user_id": { "type": ["integer", "null"] },
        "user_uuid": words_or_null(),
        "realm_uuid": words_or_null(),
        "registered_at": seconds(),
    }))
}

fn invoice() -> Value {
    always(json!({
        "id": count(),
        "realm_uuid": nullable(&uuid()),
        "kind": { "enum": ["period", "additional"] },
        "tier": count(),
        "created_at": seconds(),
        "period_start": seconds(),
        "period_end": seconds(),
        "licenses": count(),
        "amount": count(),
        "discount": count(),
        "currency": { "const": "usd" },
    }))
}

fn billing_user() -> Value {
    always(json!({
        "id": count(),
        "realm_uuid": nullable(&uuid()),
        "email": { "type": "string", "description": "Viewers see the first letter and the domain." },
        "full_name": { "type": ["string", "null"], "description": "Null for viewers." },
        "date_joined": seconds(),
        "last_login": seconds_or_null(),
        "is_active": boolean(),
    }))
}

fn customer() -> Value {
    json!({
        "payment_reference": { "type": ["string", "null"], "maxLength": 255 },
        "sponsorship_pending": boolean(),
        "monthly_discounted_price": cents(),
        "annual_discounted_price": cents(),
        "minimum_licenses": count_or_null(),
        "required_plan_tier": { "enum": [100, 101, 102, 103, 104, 105, null] },
        "exempt_from_license_number_check": boolean(),
        "flat_discount": cents(),
        "flat_discounted_months": count(),
    })
}

fn cents() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 90_000_000, "description": "Cents." })
}

fn plan() -> Value {
    json!({
        "tier": { "enum": TIERS },
        "status": { "enum": [1, 2, 3, 4, 5, 6, 7, 8, 11, 12] },
        "automanage_licenses": boolean(),
        "charge_automatically": boolean(),
        "price_per_license": cents_or_null(),
        "fixed_price": cents_or_null(),
        "discount": { "type": ["string", "null"], "maxLength": 255 },
        "billing_cycle_anchor": seconds(),
        "billing_schedule": { "enum": [1, 2] },
        "next_invoice_date": seconds_or_null(),
        "end_date": seconds_or_null(),
        "licenses": count(),
        "licenses_at_next_renewal": count(),
    })
}

/// Every tier.
const TIERS: [u32; 6] = [100, 101, 102, 103, 104, 105];

fn billing() -> Value {
    let owed = json!({
        "licenses": count_or_null(),
        "licenses_at_next_renewal": count_or_null(),
        "licenses_not_invoiced": count(),
        "amount_not_invoiced": count(),
    });
    let mut shown = plan();
    if let (Some(members), Value::Object(owed)) = (shown.as_object_mut(), owed) {
        members.extend(owed);
    }
    always(json!({ "customer": nullable(&always(customer())), "plan": nullable(&always(shown)) }))
}

fn change() -> Value {
    wish(&[], json!({ "plan_type": plan_type(), "customer": wish(&[], customer()), "plan": wish(&[], plan()) }))
}

fn metrics() -> Value {
    always(json!({
        "servers": count(),
        "servers_deactivated": count(),
        "servers_by_plan_type": { "type": "object", "additionalProperties": count() },
        "realms": count(),
        "legacy_tokens": count(),
        "e2ee_devices": count(),
    }))
}

fn role() -> Value {
    json!({ "enum": ["viewer", "admin", "owner"] })
}

fn name() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "description": "One line; blanks around it are dropped.",
    })
}

fn token() -> Value {
    always(json!({
        "id": token_id(),
        "name": name(),
        "role": role(),
        "created_at": seconds(),
        "expires_at": seconds(),
        "revoked_at": seconds_or_null(),
    }))
}

fn token_wish() -> Value {
    let lasts = json!({ "type": ["integer", "null"], "minimum": 1, "maximum": 31_622_400, "description": "Seconds." });
    wish(&["name", "role"], json!({ "name": name(), "role": role(), "expires_in": lasts }))
}

fn moved() -> Value {
    object(&["realm", "server"], json!({ "realm": uuid(), "server": uuid(), "under_way": { "const": true } }))
}

fn key() -> Value {
    always(json!({
        "zulip_org_id": uuid(),
        "zulip_org_key": { "type": "string", "minLength": 64, "maxLength": 64 },
    }))
}
