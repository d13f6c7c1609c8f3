//! The shapes of bodies, in JSON Schema 2020-12. `tests/openapi.rs` holds real answers against them.

use serde_json::{Map, Value, json};

/// Every schema by name.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    for (name, schema) in [
        ("Problem", problem()),
        ("Overview", overview()),
        ("Health", health()),
        ("Readiness", readiness()),
        ("ServerEntry", server_entry()),
        ("Registration", registration()),
        ("Registered", registered()),
        ("Heartbeat", heartbeat()),
        ("Peers", peers()),
        ("Removal", removal()),
        ("Success", success()),
        ("SignedList", signed_list()),
        ("SigningKeys", signing_keys()),
        ("RelayStatistics", relay_statistics()),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
    schemas.extend(super::attestation::all());
    schemas.extend(super::parties::all());
    schemas.extend(super::push::all());
    schemas.extend(super::operator::all());
    schemas.extend(super::billing::all());
    schemas
}

pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

pub(super) fn text(max: u32) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max })
}

pub(super) fn milliseconds() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "Milliseconds since the Unix epoch." })
}

pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn signature() -> Value {
    json!({ "type": "string", "description": "Ed25519 by the server's own key, base64." })
}

fn nonce() -> Value {
    json!({ "type": "string", "minLength": 16, "maxLength": 128 })
}

fn server_ref() -> Value {
    json!({ "$ref": "#/components/schemas/ServerEntry" })
}

fn problem() -> Value {
    object(
        &["error", "type", "title", "status", "detail", "code", "request_id"],
        json!({
            "error": { "type": "string", "description": "The sentence for people and for clients of older servers." },
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "Stable; see the table on /docs." },
            "errors": {
                "type": "array",
                "description": "What is wrong, where that is known: a JSON Pointer into the body, or a query parameter.",
                "items": object(
                    &["detail"],
                    json!({
                        "pointer": { "type": "string", "format": "json-pointer" },
                        "parameter": { "type": "string" },
                        "detail": { "type": "string" },
                    }),
                ),
            },
            "request_id": { "type": "string" },
        }),
    )
}

fn overview() -> Value {
    object(
        &["name", "version", "description", "endpoints", "service", "status", "parties", "relays"],
        json!({
            "name": { "type": "string" },
            "version": { "type": "string" },
            "description": { "type": "string" },
            "endpoints": { "type": "object", "additionalProperties": { "type": "string" } },
            "documentation": { "type": "string" },
            "openapi": { "type": "string" },
            "service": { "type": "string" },
            "status": { "const": "ok" },
            "parties": count(),
            "relays": count(),
        }),
    )
}

fn health() -> Value {
    object(
        &["status", "service", "timestamp"],
        json!({
            "status": { "const": "ok" },
            "service": { "type": "string" },
            "timestamp": { "type": "string", "format": "date-time" },
        }),
    )
}

fn readiness() -> Value {
    let class = object(&["class", "ok"], json!({ "class": { "type": "string" }, "ok": { "type": "boolean" } }));
    object(
        &["ready", "classes", "missingSecrets"],
        json!({
            "ready": { "type": "boolean" },
            "classes": { "type": "array", "items": class },
            "missingSecrets": { "type": "array", "items": { "type": "string" } },
        }),
    )
}

fn server_entry() -> Value {
    object(
        &[
            "serverId",
            "endpoint",
            "publicKey",
            "region",
            "connections",
            "relayConnections",
            "signalingConnections",
            "activeCodes",
            "registeredAt",
            "lastSeen",
        ],
        json!({
            "serverId": server_id(),
            "endpoint": endpoint(),
            "publicKey": text(1024),
            "region": region(),
            "connections": count(),
            "relayConnections": count(),
            "signalingConnections": count(),
            "activeCodes": count(),
            "registeredAt": milliseconds(),
            "lastSeen": milliseconds(),
        }),
    )
}

fn server_id() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_:.+/=-]{1,128}$" })
}

fn endpoint() -> Value {
    json!({ "type": "string", "format": "uri", "maxLength": 2048, "description": "https or wss, to a public address." })
}

fn region() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "default": "unknown" })
}

/// What a registration and a heartbeat may carry beside their own members.
fn counters_and_proof() -> Map<String, Value> {
    let members = json!({
        "connections": { "type": "number" },
        "relayConnections": { "type": "number" },
        "signalingConnections": { "type": "number" },
        "activeCodes": { "type": "number" },
        "timestamp": milliseconds(),
        "nonce": nonce(),
        "signature": signature(),
    });
    members.as_object().cloned().unwrap_or_default()
}

fn registration() -> Value {
    let mut properties = counters_and_proof();
    properties.insert("serverId".to_owned(), server_id());
    properties.insert("endpoint".to_owned(), endpoint());
    properties.insert("publicKey".to_owned(), text(1024));
    properties.insert(
        "region".to_owned(),
        json!({ "type": "string", "description": "Anything malformed becomes `unknown`." }),
    );
    object(&["serverId", "endpoint", "publicKey"], Value::Object(properties))
}

fn registered() -> Value {
    object(&["success", "server"], json!({ "success": { "const": true }, "server": server_ref() }))
}

fn heartbeat() -> Value {
    let mut properties = counters_and_proof();
    properties.insert("serverId".to_owned(), server_id());
    properties.insert(
        "sequenceNumber".to_owned(),
        json!({ "type": "integer", "description": "Strictly increasing since registration." }),
    );
    object(&["serverId"], Value::Object(properties))
}

fn peers() -> Value {
    let list = json!({ "type": "array", "items": server_ref() });
    object(&["success", "peers"], json!({ "success": { "const": true }, "peers": list }))
}

fn removal() -> Value {
    object(&[], json!({ "timestamp": milliseconds(), "nonce": nonce(), "signature": signature() }))
}

fn success() -> Value {
    object(&["success"], json!({ "success": { "const": true } }))
}

fn signed_list() -> Value {
    let list = json!({ "type": "array", "items": server_ref() });
    object(&["servers", "timestamp"], json!({ "servers": list, "timestamp": milliseconds() }))
}

fn signing_keys() -> Value {
    let key = object(
        &["kid", "publicKey", "algorithm", "state"],
        json!({
            "kid": { "type": "string", "pattern": "^[0-9a-f]{8}$" },
            "publicKey": { "type": "string", "description": "32 bytes, base64." },
            "algorithm": { "const": "Ed25519" },
            "state": { "enum": ["current", "accepted"] },
        }),
    );
    object(&["keys"], json!({ "keys": { "type": "array", "items": key } }))
}

fn relay_statistics() -> Value {
    let counts = |names: &[&str]| {
        let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), count())).collect();
        object(names, Value::Object(properties))
    };
    object(
        &["relays", "rendezvous", "chunks", "connections"],
        json!({
            "relays": counts(&["totalPeers", "totalCapacity", "totalConnected", "availableRelays"]),
            "rendezvous": counts(&["dailyPoints", "hourlyTokens", "totalEntries", "dailyEntries", "hourlyEntries"]),
            "chunks": counts(&[
                "trackedChunks", "totalSources", "cachedChunks", "pendingRequests", "cacheAccesses", "mostAccesses",
            ]),
            "connections": count(),
        }),
    )
}

/// The headers of the signed list.
pub(super) fn signed_list_headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "X-Bootstrap-Signature": text("Ed25519 by the current key over the exact body bytes, base64."),
        "X-Bootstrap-Signatures": text("`kid=base64` of every key, separated by commas."),
        "ETag": text("Strong; use it with `If-None-Match`."),
    })
}
