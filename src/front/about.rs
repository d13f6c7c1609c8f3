//! What the service says about itself without asking anybody.

use serde::{Deserialize, Serialize};

use crate::kernel::fault::Fault;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;

/// `GET /` and `GET /api/info`: what the field's clients read, and where the documents are.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    /// What the field's party clients read as the service's name; the software's own is `name`.
    service: &'static str,
    status: &'static str,
    parties: u64,
    relays: u64,
    endpoints: Endpoints,
    documentation: &'static str,
    openapi: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoints {
    health: &'static str,
    list_servers: &'static str,
    register_server: &'static str,
    unregister_server: &'static str,
    heartbeat: &'static str,
    attest_register: &'static str,
    attest_upload_reference: &'static str,
    attest_challenge: &'static str,
    attest_verify: &'static str,
    attest_versions: &'static str,
    attest_set_versions: &'static str,
}

/// `GET /health`.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    status: &'static str,
    service: &'static str,
    timestamp: String,
}

/// `GET /ready`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether every class answered.
    pub ready: bool,
    /// Whether each class answered.
    pub classes: Vec<ClassState>,
    /// Names of the secrets that are absent; what needs them is closed.
    pub missing_secrets: Vec<&'static str>,
}

/// One class in [`Readiness`].
#[derive(Debug, Clone, Serialize)]
pub struct ClassState {
    /// The class.
    pub class: &'static str,
    /// Whether its storage answered.
    pub ok: bool,
}

/// How many parties and party relays there are: what the directory of parties answers with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct PartyCounts {
    /// Parties.
    pub parties: u64,
    /// Party relays.
    pub relays: u64,
}

impl PartyCounts {
    /// From the directory's answer; nothing when it is none.
    #[must_use]
    pub fn parse(reply: &Reply) -> Option<Self> {
        serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 200)
    }
}

/// How long counts are shown before they are asked for again. Units: milliseconds.
pub const COUNTS_FRESH_MS: u64 = 1_000;

/// One isolate's copy of the counts, so that the overview touches an object once a second at most.
#[derive(Debug, Default)]
pub struct Counts {
    copy: Option<(Timestamp, PartyCounts)>,
}

impl Counts {
    /// The copy, while it is fresh. A clock that went backwards makes it stale.
    #[must_use]
    pub fn get(&self, now: Timestamp) -> Option<PartyCounts> {
        let (since, counts) = self.copy?;
        (now >= since && now.since(since) < COUNTS_FRESH_MS).then_some(counts)
    }

    /// Keeps what the directory answered.
    pub const fn keep(&mut self, counts: PartyCounts, now: Timestamp) {
        self.copy = Some((now, counts));
    }
}

/// The answer of `GET /` and `GET /api/info`: the union of what clients of the bootstrap list and of parties read there.
pub fn overview(counts: PartyCounts) -> Result<Reply, Fault> {
    Reply::json(&Overview {
        name: "Zajel Bootstrap Server",
        version: "4.0.0",
        description: "VPS server discovery and attestation service",
        service: "LANrage Control Plane",
        status: "ok",
        parties: counts.parties,
        relays: counts.relays,
        endpoints: Endpoints {
            health: "GET /health",
            list_servers: "GET /servers",
            register_server: "POST /servers",
            unregister_server: "DELETE /servers/:serverId",
            heartbeat: "POST /servers/heartbeat",
            attest_register: "POST /attest/register",
            attest_upload_reference: "POST /attest/upload-reference",
            attest_challenge: "POST /attest/challenge",
            attest_verify: "POST /attest/verify",
            attest_versions: "GET /attest/versions",
            attest_set_versions: "POST /attest/versions",
        },
        documentation: "/docs",
        openapi: "/openapi.json",
    })
}

/// The answer of `GET /health`.
pub fn health(now: Timestamp) -> Result<Reply, Fault> {
    Reply::json(&Health { status: "ok", service: "zajel-bootstrap", timestamp: now.to_iso() })
}

/// The answer of `GET /ready`: 200 when every class answered, else 503. A missing secret is reported, not fatal.
pub fn readiness(classes: Vec<ClassState>, missing_secrets: Vec<&'static str>) -> Result<Reply, Fault> {
    let ready = classes.iter().all(|class| class.ok);
    let reply = Reply::json(&Readiness { ready, classes, missing_secrets })?;
    Ok(Reply { status: if ready { 200 } else { 503 }, ..reply })
}

#[cfg(test)]
mod tests {
    use super::{COUNTS_FRESH_MS, Counts, PartyCounts, overview};
    use crate::kernel::reply::Reply;
    use crate::kernel::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const COUNTS: PartyCounts = PartyCounts { parties: 3, relays: 2 };

    #[test]
    fn counts_are_asked_for_again_after_a_second() {
        let mut counts = Counts::default();
        assert_eq!(counts.get(NOW), None);
        counts.keep(COUNTS, NOW);
        assert_eq!(counts.get(NOW.plus(COUNTS_FRESH_MS - 1)), Some(COUNTS));
        assert_eq!(counts.get(NOW.plus(COUNTS_FRESH_MS)), None);
        assert_eq!(counts.get(NOW.minus(1)), None);
    }

    #[test]
    fn the_overview_serves_clients_of_the_list_and_of_parties() {
        let body: serde_json::Value = serde_json::from_str(&overview(COUNTS).unwrap().body).unwrap();
        assert_eq!((body["name"].as_str(), body["version"].as_str()), (Some("Zajel Bootstrap Server"), Some("4.0.0")));
        assert_eq!((body["service"].as_str(), body["status"].as_str()), (Some("LANrage Control Plane"), Some("ok")));
        assert_eq!((body["parties"].as_u64(), body["relays"].as_u64()), (Some(3), Some(2)));
    }

    #[test]
    fn only_a_good_answer_of_the_directory_is_read() {
        let good = Reply::json_text(String::from(r#"{"parties":3,"relays":2}"#));
        assert_eq!(PartyCounts::parse(&good), Some(COUNTS));
        assert_eq!(PartyCounts::parse(&Reply { status: 500, ..good }), None);
        assert_eq!(PartyCounts::parse(&Reply::json_text(String::from("{}"))), None);
    }
}
