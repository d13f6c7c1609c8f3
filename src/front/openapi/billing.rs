//! The shapes of what billing users' scripts send, as JSON or as forms.

use serde_json::{Map, Value, json};

use super::schemas::{object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas =
        [("BillingPlanChange", plan_change()), ("BillingUpgrade", upgrade()), ("BillingSponsorship", sponsorship())];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A schema by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The header that scripts may send a form's token in.
pub(super) fn form_token() -> Value {
    json!({
        "name": "X-CSRFToken",
        "in": "header",
        "required": false,
        "schema": { "type": "string" },
        "description": "The token of a form of the session; may stand in the body as `csrf` instead.",
    })
}

fn csrf() -> Value {
    json!({ "type": "string", "description": "As `X-CSRFToken`." })
}

fn licenses() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 1 })
}

fn schedule() -> Value {
    json!({ "enum": [1, 2, null], "description": "1 annually, 2 monthly." })
}

fn plan_change() -> Value {
    let mut change = object(
        &[],
        json!({
            "csrf": csrf(),
            "status": { "enum": STATUSES },
            "licenses": licenses(),
            "licenses_at_next_renewal": licenses(),
            "schedule": schedule(),
            "toggle_license_management": { "type": ["boolean", "null"] },
        }),
    );
    super::set(&mut change, "description", json!("Exactly one change at a time."));
    change
}

/// What owners may ask for.
const STATUSES: [Option<u32>; 8] = [Some(1), Some(2), Some(3), Some(4), Some(6), Some(7), Some(11), None];

fn upgrade() -> Value {
    object(
        &["tier"],
        json!({
            "csrf": csrf(),
            "tier": { "enum": [103, 104] },
            "schedule": schedule(),
            "license_management": { "enum": ["automatic", "manual"], "default": "automatic" },
            "licenses": licenses(),
        }),
    )
}

fn sponsorship() -> Value {
    object(
        &["organization_type", "description", "expected_total_users", "paid_users_count"],
        json!({
            "csrf": csrf(),
            "organization_type": { "type": "integer" },
            "website": { "type": "string", "maxLength": 200 },
            "description": text(4_000),
            "expected_total_users": text(200),
            "paid_users_count": text(200),
            "paid_users_description": { "type": "string", "maxLength": 4_000 },
        }),
    )
}
