//! A relay registry on the stage, and short words for what its sockets say.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
pub mod support;

use serde_json::{Value, json};
use support::{Stage, call, settings};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Call, Conn};
use waystation::kernel::operation::Operation;
use waystation::relay::{MIGRATIONS, RelayRegistry};

pub type Registry = Stage<RelayRegistry>;

/// A registry without limits on messages and sockets, and with other settings as given.
pub fn registry(pairs: &[(&str, &str)]) -> Registry {
    let mut all =
        vec![("SIGNAL_MESSAGES_PER_MINUTE", "0"), ("SIGNAL_SOCKETS_PER_ADDRESS", "0"), ("SIGNAL_SOCKETS_MAX", "0")];
    all.retain(|(name, _)| !pairs.iter().any(|(other, _)| other == name));
    all.extend_from_slice(pairs);
    Stage::new(settings(&all), MIGRATIONS, RelayRegistry::load)
}

pub fn upgrade() -> Call {
    call(Operation::RelayOpen)
}

pub fn upgrade_from(address: &str) -> Call {
    Call { client: ClientNetwork::from_header(Some(address)), ..upgrade() }
}

pub fn join(stage: &mut Registry) -> Conn {
    stage.open(&upgrade())
}

/// Says a message and takes what its sender is answered.
pub fn ask(stage: &mut Registry, conn: Conn, message: &Value) -> Vec<Value> {
    stage.say(conn, &message.to_string());
    stage.inbox(conn)
}

/// As [`ask`], for exactly one answer.
pub fn ask_one(stage: &mut Registry, conn: Conn, message: &Value) -> Value {
    let mut answers = ask(stage, conn, message);
    assert_eq!(answers.len(), 1, "{message} is answered by {answers:?}");
    answers.remove(0)
}

pub fn error(message: &str) -> Value {
    json!({"type": "error", "message": message})
}

/// A socket that is registered as `peer_id`.
pub fn peer(stage: &mut Registry, peer_id: &str) -> Conn {
    let conn = join(stage);
    let answer = ask_one(stage, conn, &json!({"type": "register", "peerId": peer_id}));
    assert_eq!(answer["type"], "registered", "{answer}");
    conn
}

pub fn stats(stage: &mut Registry) -> Value {
    let reply = stage.call(&call(Operation::RelayStats));
    assert_eq!(reply.status, 200);
    support::body(&reply)
}
