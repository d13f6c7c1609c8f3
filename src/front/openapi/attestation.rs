//! The shapes of bodies of `/attest`.

use serde_json::{Map, Value, json};

use super::schemas::{count, milliseconds, object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("DeviceRegistration", device_registration()),
        ("RegisteredDevice", registered_device()),
        ("ReferenceUpload", reference_upload()),
        ("UploadedReference", uploaded_reference()),
        ("SignedManifest", signed_manifest()),
        ("BegunUpload", begun_upload()),
        ("UploadedPart", object(&["success", "part"], json!({ "success": { "const": true }, "part": count() }))),
        ("ChallengeWish", challenge_wish()),
        ("Challenge", challenge()),
        ("ChallengeAnswer", challenge_answer()),
        (
            "Verified",
            object(&["valid", "session_token"], json!({ "valid": { "const": true }, "session_token": session() })),
        ),
        ("VersionPolicyWish", object(&[], policy_members())),
        ("VersionPolicy", policy()),
        ("VersionPolicyChange", policy_change()),
        ("AttestationLog", log()),
        ("KeySet", key_set()),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn device_id() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "description": "New clients: `dk1-` and base32 of SHA-256 of the device key." })
}

fn base64(description: &str) -> Value {
    json!({ "type": "string", "description": format!("{description}, base64.") })
}

fn hash() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

fn build_token() -> Value {
    json!({
        "description": "`{payload, signature}`, that object in base64, or flat `{version, platform, build_hash, timestamp, signature}`.",
        "type": ["object", "string"],
    })
}

fn session() -> Value {
    let flat = object(
        &["token", "expires_at", "device_id"],
        json!({ "token": text(4096), "expires_at": milliseconds(), "device_id": device_id() }),
    );
    json!({ "anyOf": [text(4096), flat] })
}

fn device_registration() -> Value {
    object(
        &["build_token", "device_id"],
        json!({
            "build_token": build_token(),
            "device_id": device_id(),
            "device_key": base64("Ed25519 (32 bytes) or P-256 (33 or 65 bytes)"),
            "device_timestamp": milliseconds(),
            "device_signature": base64("By the device key, over the text that docs/threat-model.md gives"),
        }),
    )
}

fn registered_device() -> Value {
    let device = object(
        &["device_id", "build_version", "platform", "build_hash", "registered_at", "last_seen"],
        json!({
            "device_id": device_id(),
            "build_version": text(64),
            "platform": text(32),
            "build_hash": text(128),
            "registered_at": milliseconds(),
            "last_seen": milliseconds(),
        }),
    );
    object(
        &["status", "device", "version_status"],
        json!({
            "status": { "const": "registered" },
            "device": device,
            "version_status": { "enum": ["current", "update_recommended"] },
            "recommended_version": text(64),
            "sunset_at": milliseconds(),
            "attestation_mode": { "const": "web_fallback" },
            "session_token": session(),
        }),
    )
}

fn reference_upload() -> Value {
    let region = object(
        &["offset", "length"],
        json!({
            "offset": count(),
            "length": { "type": "integer", "minimum": 1 },
            "data_hex": { "type": "string", "description": "The region's bytes; without them it cannot be asked for." },
            "weight": { "type": "integer", "minimum": 1, "maximum": 1000 },
        }),
    );
    object(
        &["version", "platform", "build_hash", "critical_regions"],
        json!({
            "version": text(64),
            "platform": text(32),
            "build_hash": text(128),
            "size": count(),
            "critical_regions": { "type": "array", "minItems": 1, "maxItems": 1024, "items": region },
        }),
    )
}

fn uploaded_reference() -> Value {
    let region = object(&["offset", "length"], json!({ "offset": count(), "length": count(), "weight": count() }));
    let reference = object(
        &["version", "platform", "build_hash", "critical_regions", "uploaded_at", "reference_id", "digest"],
        json!({
            "version": text(64),
            "platform": text(32),
            "build_hash": text(128),
            "size": count(),
            "critical_regions": { "type": "array", "items": region },
            "uploaded_at": milliseconds(),
            "reference_id": hash(),
            "digest": hash(),
        }),
    );
    object(
        &["success", "reference", "answerable"],
        json!({ "success": { "const": true }, "reference": reference, "answerable": { "type": "boolean" } }),
    )
}

fn signed_manifest() -> Value {
    object(
        &["manifest", "signature"],
        json!({
            "manifest": { "type": "string", "description": "JSON text of `{typ: \"manifest\", version, platform, build_hash, size, tree_hash, critical_ranges}`." },
            "signature": base64("Ed25519 by the CI build key over `waystation/attest/manifest/v1\\n` and the manifest"),
        }),
    )
}

fn begun_upload() -> Value {
    object(
        &["success", "reference_id", "part_size", "parts", "missing_parts", "complete"],
        json!({
            "success": { "const": true },
            "reference_id": hash(),
            "part_size": count(),
            "parts": count(),
            "missing_parts": { "type": "array", "items": count() },
            "complete": { "type": "boolean" },
        }),
    )
}

fn challenge_wish() -> Value {
    object(
        &["device_id"],
        json!({
            "device_id": device_id(),
            "build_version": text(64),
            "build_token": build_token(),
            "audience": { "type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$", "default": "waystation" },
            "device_timestamp": milliseconds(),
            "device_signature": base64("By the device key"),
        }),
    )
}

fn challenge() -> Value {
    let region = object(
        &["index", "offset", "length"],
        json!({ "index": count(), "offset": count(), "length": { "type": "integer", "minimum": 1 } }),
    );
    object(
        &["nonce", "regions", "expires_at"],
        json!({ "nonce": hash(), "regions": { "type": "array", "items": region }, "expires_at": milliseconds() }),
    )
}

fn challenge_answer() -> Value {
    let response = object(&["region_index", "hmac"], json!({ "region_index": count(), "hmac": hash() }));
    object(
        &["device_id", "nonce", "responses"],
        json!({
            "device_id": device_id(),
            "nonce": hash(),
            "responses": { "type": "array", "items": response },
            "device_signature": base64("By the device key"),
        }),
    )
}

fn rules_members() -> Map<String, Value> {
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let members = json!({
        "minimum_version": text(64),
        "recommended_version": text(64),
        "blocked_versions": texts(),
        "blocked_builds": texts(),
        "sunset_dates": { "type": "object", "additionalProperties": { "type": ["string", "integer"] } },
    });
    members.as_object().cloned().unwrap_or_default()
}

fn policy_members() -> Value {
    let mut members = rules_members();
    let platform = object(&[], Value::Object(rules_members()));
    members.insert("platforms".to_owned(), json!({ "type": "object", "additionalProperties": platform }));
    Value::Object(members)
}

fn policy() -> Value {
    let mut members = policy_members();
    if let Some(members) = members.as_object_mut() {
        members.insert("sunset_date".to_owned(), json!({ "type": ["string", "null"] }));
        members.insert("policy_epoch".to_owned(), count());
        members.insert("updated_at".to_owned(), json!({ "type": ["integer", "null"] }));
    }
    object(&["minimum_version", "recommended_version", "blocked_versions", "sunset_dates", "policy_epoch"], members)
}

fn policy_change() -> Value {
    let effect = object(
        &["devices", "locked_out", "let_in"],
        json!({ "devices": count(), "locked_out": count(), "let_in": count() }),
    );
    object(
        &["success", "policy", "dry_run", "effect"],
        json!({ "success": { "const": true }, "policy": policy(), "dry_run": { "type": "boolean" }, "effect": effect }),
    )
}

fn log() -> Value {
    let entry = object(
        &["seq", "at", "kind", "entry", "previous", "hash"],
        json!({
            "seq": count(),
            "at": milliseconds(),
            "kind": { "enum": ["reference", "removal", "policy"] },
            "entry": { "type": "string", "description": "JSON text, byte for byte as hashed." },
            "previous": hash(),
            "hash": hash(),
        }),
    );
    let head = object(&["seq", "hash"], json!({ "seq": count(), "hash": hash() }));
    object(&["entries", "head"], json!({ "entries": { "type": "array", "items": entry }, "head": head }))
}

fn key_set() -> Value {
    let key = object(
        &["kty", "crv", "x", "kid", "use", "alg"],
        json!({
            "kty": { "const": "OKP" },
            "crv": { "const": "Ed25519" },
            "x": { "type": "string" },
            "kid": { "type": "string" },
            "use": { "const": "sig" },
            "alg": { "const": "EdDSA" },
        }),
    );
    object(&["keys"], json!({ "keys": { "type": "array", "items": key } }))
}
