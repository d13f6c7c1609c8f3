//! Relays as the directory lists them, and candidates for a pair.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::parties::candidates::{Draining, Latencies, Relay, order};

/// Relays of which a party remembers the last list.
pub const RELAYS_MAX: usize = 512;

/// Candidates of one answer.
const CANDIDATES_MAX: usize = 64;

/// The health of a relay that reports none. Source: parties 3.4, the selector's default.
const HEALTH: f64 = 100.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    relay_id: String,
    public_ip: Value,
    port: Value,
    region: String,
    capacity: Value,
    registered_at: Value,
    /// Unknown until the relay has said.
    #[serde(default)]
    health: Option<f64>,
    #[serde(default)]
    load: Option<f64>,
    #[serde(default)]
    draining: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct List {
    relays: Vec<Row>,
}

/// The directory's list as a party remembers it, or none when it is no list.
#[must_use]
pub fn remember(body: &str) -> Option<String> {
    let mut list: List = serde_json::from_str(body).ok()?;
    list.relays.sort_by(|left, right| {
        let worth = |row: &Row| row.health.unwrap_or(HEALTH) * (1.0 - row.load.unwrap_or(0.0));
        left.draining.cmp(&right.draining).then(worth(right).total_cmp(&worth(left)))
    });
    list.relays.truncate(RELAYS_MAX);
    to_json(&list).ok()
}

/// Six members as in the compatible list, score and latency of each relay, best first.
///
/// Errors: as [`to_json`].
pub fn encode_candidates(
    document: Option<&str>,
    latencies: &[&Latencies],
    home: Option<&str>,
) -> Result<String, Fault> {
    let list: List = document.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let relay = |row: &Row| Relay {
        relay_id: row.relay_id.clone(),
        region: row.region.clone(),
        health: row.health.unwrap_or(HEALTH),
        load: row.load.unwrap_or(0.0),
        draining: if row.draining { Draining::Yes } else { Draining::No },
    };
    let relays: Vec<Relay> = list.relays.iter().map(relay).collect();
    let candidates = order(&relays, latencies, home).into_iter().take(CANDIDATES_MAX).filter_map(|(relay, rank)| {
        let row = list.relays.iter().find(|row| row.relay_id == relay.relay_id)?;
        Some(json!({
            "relay_id": row.relay_id,
            "public_ip": row.public_ip,
            "port": row.port,
            "region": row.region,
            "capacity": row.capacity,
            "registered_at": row.registered_at,
            "score": (rank.score * 100.0).round() / 100.0,
            "latency_ms": rank.latency_ms,
        }))
    });
    let candidates: Vec<Value> = candidates.collect();
    to_json(&json!({ "relays": candidates }))
}
