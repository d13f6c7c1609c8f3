//! What the service says about itself without asking anybody.

use serde::Serialize;

use crate::kernel::fault::Fault;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;

/// `GET /` and `GET /api/info`: what the field's clients read, and where the documents are.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    name: &'static str,
    version: &'static str,
    description: &'static str,
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

/// The answer of `GET /` and `GET /api/info`.
pub fn overview() -> Result<Reply, Fault> {
    Reply::json(&Overview {
        name: "Zajel Bootstrap Server",
        version: "4.0.0",
        description: "VPS server discovery and attestation service",
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
