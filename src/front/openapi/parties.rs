//! The shapes of bodies of parties.

use serde_json::{Map, Value, json};

use super::schemas::{count, object, text};

/// Every schema of this family by name.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("Refusal", refusal()),
        ("PeerProof", peer_proof()),
        ("PeerToken", peer_token()),
        ("Revocation", object(&[], json!({ "all": { "type": "boolean" } }))),
        ("PartyStatus", object(&["status"], json!({ "status": { "type": "string" } }))),
        ("PartyPeer", peer()),
        ("Party", party()),
        ("PartyWish", party_wish()),
        (
            "CreatedParty",
            object(&["party_id", "party"], json!({ "party_id": party_id(), "party": reference("Party") })),
        ),
        ("PartyAnswer", object(&["party"], json!({ "party": reference("Party") }))),
        ("JoinWish", join_wish()),
        ("PartyPeers", object(&["peers"], json!({ "peers": peers() }))),
        ("PartyPeerAnswer", object(&["peer"], json!({ "peer": reference("PartyPeer") }))),
        ("PeerChange", object(&[], peer_members())),
        ("PartySettings", party_settings()),
        ("PartyDetails", party_details()),
        ("Latencies", latencies()),
        ("SignalWish", signal_wish()),
        ("Signals", object(&["signals"], json!({ "signals": { "type": "array", "items": signal() } }))),
        ("InviteWish", object(&[], json!({ "expires_in_s": count(), "uses": count() }))),
        ("Invite", invite()),
        ("Invites", object(&["invites"], json!({ "invites": { "type": "array", "items": reference("Invite") } }))),
        ("BanWish", object(&["peer_id"], json!({ "peer_id": text(64), "seconds": count() }))),
        ("Bans", object(&["bans"], json!({ "bans": { "type": "array", "items": { "type": "object" } } }))),
        ("RelayWish", relay_wish()),
        (
            "RegisteredRelay",
            object(&["status", "relay_id"], json!({ "status": { "const": "registered" }, "relay_id": text(64) })),
        ),
        ("PartyRelay", relay()),
        (
            "PartyRelays",
            object(&["relays"], json!({ "relays": { "type": "array", "items": reference("PartyRelay") } })),
        ),
        (
            "RelayCandidates",
            object(&["relays"], json!({ "relays": { "type": "array", "items": reference("PartyRelay") } })),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn refusal() -> Value {
    object(
        &["detail"],
        json!({
            "detail": {
                "description": "A sentence; of a body or parameter that is not valid, a list of `{type, loc, msg}`.",
                "type": ["string", "array"],
            },
        }),
    )
}

fn naive() -> Value {
    json!({ "type": "string", "description": "ISO 8601 with microseconds and without zone, in the client's own offset." })
}

fn party_id() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{12,20}$" })
}

fn peer_proof() -> Value {
    object(
        &[],
        json!({
            "public_key": { "type": "string", "description": "Ed25519, base64." },
            "signature": {
                "type": "string",
                "description": "By that key over `waystation/party-identity/v1`, the peer id and the timestamp, a line each; base64.",
            },
            "timestamp": { "type": "integer", "description": "Milliseconds since the Unix epoch." },
        }),
    )
}

fn peer_token() -> Value {
    object(
        &["token", "peer_id", "expires_at"],
        json!({ "token": { "type": "string", "minLength": 43, "maxLength": 43 }, "peer_id": text(64), "expires_at": naive() }),
    )
}

fn peer_members() -> Value {
    json!({
        "peer_id": text(64),
        "name": { "type": "string" },
        "public_key": { "type": "string" },
        "nat_type": { "type": "string" },
        "public_ip": { "type": "string", "description": "An address, or `unknown`." },
        "public_port": { "type": "integer", "minimum": 0, "maximum": 65535 },
        "local_ip": { "type": "string" },
        "local_port": { "type": "integer", "minimum": 0, "maximum": 65535 },
        "last_seen": naive(),
    })
}

fn peer() -> Value {
    let required = [
        "peer_id",
        "name",
        "public_key",
        "nat_type",
        "public_ip",
        "public_port",
        "local_ip",
        "local_port",
        "last_seen",
    ];
    object(&required, peer_members())
}

fn peers() -> Value {
    json!({ "type": "object", "additionalProperties": reference("PartyPeer") })
}

fn party() -> Value {
    object(
        &["party_id", "name", "host_id", "created_at", "peers"],
        json!({
            "party_id": party_id(),
            "name": text(100),
            "host_id": text(64),
            "created_at": naive(),
            "peers": peers(),
        }),
    )
}

fn party_wish() -> Value {
    object(
        &["name", "host_peer_info"],
        json!({ "name": text(100), "host_peer_info": reference("PartyPeer"), "party_id": party_id() }),
    )
}

fn join_wish() -> Value {
    object(
        &["party_id", "peer_info"],
        json!({
            "party_id": text(64),
            "peer_info": reference("PartyPeer"),
            "password": { "type": "string" },
            "invite": { "type": "string" },
        }),
    )
}

fn party_settings() -> Value {
    object(
        &[],
        json!({
            "name": text(100),
            "password": { "type": ["string", "null"], "description": "`null` takes it away." },
            "peers_max": { "type": "integer", "minimum": 2, "maximum": 256 },
            "promotion": { "type": "boolean", "description": "Whether the longest-present member follows a host that leaves." },
        }),
    )
}

fn party_details() -> Value {
    let member = object(
        &["peer_id", "virtual_ip", "role", "online"],
        json!({
            "peer_id": text(64),
            "virtual_ip": { "type": "string", "pattern": "^10\\.66\\." },
            "role": { "enum": ["host", "member"] },
            "online": { "type": "boolean" },
            "last_seen_ms_ago": count(),
            "public_ip": { "type": "string" },
            "public_port": count(),
        }),
    );
    object(
        &["party_id", "host_id", "members", "server_time"],
        json!({
            "party_id": party_id(),
            "host_id": text(64),
            "peers_max": count(),
            "has_password": { "type": "boolean" },
            "promotion": { "type": "boolean" },
            "server_time": { "type": "string", "format": "date-time" },
            "members": { "type": "array", "items": member },
        }),
    )
}

fn latencies() -> Value {
    object(
        &["latencies"],
        json!({ "latencies": { "type": "object", "additionalProperties": { "type": "number", "minimum": 0 } } }),
    )
}

fn signal_wish() -> Value {
    object(&["to_peer_id", "signal_data"], json!({ "to_peer_id": text(64), "signal_data": { "type": "object" } }))
}

fn signal() -> Value {
    object(
        &["party_id", "from_peer_id", "to_peer_id", "signal_data", "sent_at"],
        json!({
            "party_id": party_id(),
            "from_peer_id": text(64),
            "to_peer_id": text(64),
            "signal_data": { "type": "object" },
            "sent_at": naive(),
        }),
    )
}

fn invite() -> Value {
    object(
        &["code", "expires_at", "uses_left"],
        json!({ "code": text(16), "expires_at": { "type": "string" }, "uses_left": { "type": ["integer", "null"] } }),
    )
}

fn relay_members() -> Value {
    json!({
        "relay_id": text(64),
        "public_ip": text(253),
        "port": { "type": ["integer", "string"], "description": "1 to 65535." },
        "region": { "type": "string" },
        "capacity": count(),
        "load": { "type": "number", "minimum": 0, "maximum": 1 },
        "health": { "type": "number", "minimum": 0, "maximum": 100 },
        "draining": { "type": "boolean" },
    })
}

fn relay_wish() -> Value {
    object(&["relay_id", "public_ip", "port"], relay_members())
}

fn relay() -> Value {
    object(
        &["relay_id", "public_ip", "port", "region", "capacity", "registered_at"],
        json!({
            "relay_id": text(64),
            "public_ip": text(253),
            "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
            "region": { "type": "string" },
            "capacity": { "type": ["integer", "null"] },
            "registered_at": naive(),
            "load": { "type": "number" },
            "health": { "type": "number" },
            "draining": { "type": "boolean" },
        }),
    )
}
