//! What the bootstrap tests share: a registry on the stage, servers with keys, and requests in the field's words.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]

#[path = "../support/mod.rs"]
pub mod support;

use serde_json::{Value, json};
use support::{Stage, body, call, settings};
use waystation::bootstrap::{MIGRATIONS, ServerRegistry};
use waystation::kernel::keys::SigningPair;
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;

/// RFC 8032, section 7.1, tests 1 and 2.
pub const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
pub const NEXT_SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";

pub const DEV: &[(&str, &str)] = &[("BOOTSTRAP_SIGNING_KEY", SEED), ("DEV_MODE", "true")];
pub const SECRET: &[(&str, &str)] =
    &[("BOOTSTRAP_SIGNING_KEY", SEED), ("SERVER_REGISTRY_SECRET", "a-registry-secret-of-32-characters")];
pub const REQUIRED: &[(&str, &str)] = &[
    ("BOOTSTRAP_SIGNING_KEY", SEED),
    ("SERVER_REGISTRY_SECRET", "a-registry-secret-of-32-characters"),
    ("REQUIRE_REGISTRATION_AUTH", "true"),
];

pub type Registry = Stage<ServerRegistry>;

pub fn registry(pairs: &[(&str, &str)]) -> Registry {
    Stage::new(settings(pairs), MIGRATIONS, ServerRegistry::load)
}

/// A request of a caller that the front let write.
pub fn write(operation: Operation, text: impl Into<String>) -> Call {
    Call { principal: Principal::RegistryWriter, body: text.into().into_bytes(), ..call(operation) }
}

pub fn register(stage: &mut Registry, body: &Value) -> Reply {
    stage.call(&write(Operation::ServersRegister, body.to_string()))
}

pub fn beat(stage: &mut Registry, body: &Value) -> Reply {
    stage.call(&write(Operation::ServersHeartbeat, body.to_string()))
}

pub fn remove(stage: &mut Registry, id: &str, principal: Principal, text: &str) -> Reply {
    let params = vec![id.to_owned()];
    stage.call(&Call { params, principal, body: text.as_bytes().to_vec(), ..call(Operation::ServersRemove) })
}

pub fn list(stage: &mut Registry) -> Reply {
    stage.call(&call(Operation::ServersList))
}

/// The listed ids.
pub fn listed(stage: &mut Registry) -> Vec<String> {
    let list = body(&list(stage));
    list["servers"].as_array().unwrap().iter().map(|server| server["serverId"].as_str().unwrap().to_owned()).collect()
}

/// The listed entry of `id`.
pub fn entry(stage: &mut Registry, id: &str) -> Value {
    let list = body(&list(stage));
    list["servers"].as_array().unwrap().iter().find(|server| server["serverId"] == id).cloned().unwrap_or(Value::Null)
}

/// A registration as today's servers send it.
pub fn plain(id: &str) -> Value {
    json!({ "serverId": id, "endpoint": "wss://relay.example:9000", "publicKey": "key", "region": "eu-west" })
}

pub fn key(number: u8) -> SigningPair {
    SigningPair::from_seed([number; 32])
}

/// `body` with a signature over all of it. `serde_json` sorts members, so its text is the canonical form here.
pub fn signed(mut body: Value, key: &SigningPair) -> Value {
    body.as_object_mut().unwrap().remove("signature");
    let signature = key.sign_base64(body.to_string().as_bytes());
    body["signature"] = Value::from(signature);
    body
}

/// `body` with a signature over the field's five members.
pub fn signed_five(mut body: Value, key: &SigningPair) -> Value {
    let mut five = body.clone();
    let names = ["endpoint", "publicKey", "region", "serverId", "timestamp"];
    five.as_object_mut().unwrap().retain(|name, _| names.contains(&name.as_str()));
    body["signature"] = Value::from(key.sign_base64(five.to_string().as_bytes()));
    body
}

/// A registration with everything that can be proven, not yet signed.
pub fn provable(stage: &Registry, id: &str, key: &SigningPair, nonce: &str) -> Value {
    let mut body = plain(id);
    body["publicKey"] = Value::from(key.public_base64());
    body["timestamp"] = Value::from(stage.now.as_millis());
    body["nonce"] = Value::from(format!("nonce-of-16-chars-{nonce}"));
    body
}

/// A heartbeat with everything that can be proven, not yet signed.
pub fn provable_beat(stage: &Registry, id: &str, nonce: &str) -> Value {
    json!({
        "serverId": id,
        "connections": 3,
        "timestamp": stage.now.as_millis(),
        "nonce": format!("nonce-of-16-chars-{nonce}"),
    })
}

/// The proof of a removal.
pub fn removal(stage: &Registry, id: &str, key: &SigningPair, nonce: &str) -> Value {
    let nonce = format!("nonce-of-16-chars-{nonce}");
    let timestamp = stage.now.as_millis();
    let message = json!({ "action": "unregister", "nonce": nonce, "serverId": id, "timestamp": timestamp });
    json!({
        "nonce": nonce,
        "timestamp": timestamp,
        "signature": key.sign_base64(message.to_string().as_bytes()),
    })
}

/// Asserts status and sentence.
#[track_caller]
pub fn refused(reply: &Reply, status: u16, sentence: &str) {
    let problem = body(reply);
    assert_eq!((reply.status, problem["error"].as_str().unwrap()), (status, sentence), "{problem}");
}

#[track_caller]
pub fn accepted(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(reply)
}
