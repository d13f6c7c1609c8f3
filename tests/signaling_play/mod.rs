//! What the signaling tests share: a room on its stage, sockets on it, and the frames they expect.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Call, Conn};
use waystation::kernel::operation::Operation;
use waystation::signaling::object::{MIGRATIONS, SignalingRoom};

use crate::support::{Stage, call, settings};

pub type Room = Stage<SignalingRoom>;

pub const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
pub const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
pub const CALL_ID: &str = "6e1c4d6a-0b5e-4f7a-9c3d-1a2b3c4d5e6f";

/// A room without the limits that would be in the way.
pub fn open_room() -> Room {
    room(&[])
}

pub fn room(extra: &[(&str, &str)]) -> Room {
    let mut pairs = vec![
        ("SIGNAL_MESSAGES_PER_MINUTE", "0"),
        ("SIGNAL_PAIR_REQUESTS_PER_MINUTE", "0"),
        ("SIGNAL_UNKNOWN_CODES_PER_MINUTE", "0"),
        ("SIGNAL_SOCKETS_PER_ADDRESS", "0"),
        ("SIGNAL_SOCKETS_MAX", "0"),
    ];
    pairs.retain(|(name, _)| extra.iter().all(|(changed, _)| changed != name));
    pairs.extend_from_slice(extra);
    let mut stage = Stage::new(settings(&pairs), MIGRATIONS, SignalingRoom::load);
    // Every row must hold with a hibernation after every event.
    stage.evict_always = true;
    stage
}

pub fn from(operation: Operation, address: &str) -> Call {
    Call { client: ClientNetwork::from_header(Some(address)), ..call(operation) }
}

pub fn lobby(stage: &mut Room) -> Conn {
    stage.open(&call(Operation::SignalClient))
}

pub fn signal(stage: &mut Room) -> Conn {
    stage.open(&Call { params: vec![String::from("attic")], ..call(Operation::SignalRoom) })
}

pub fn say(stage: &mut Room, conn: Conn, message: &Value) -> Vec<Value> {
    stage.say(conn, &message.to_string());
    stage.inbox(conn)
}

/// A registered lobby peer.
pub fn peer(stage: &mut Room, code: &str) -> Conn {
    let conn = lobby(stage);
    enrol(stage, conn, code);
    conn
}

pub fn enrol(stage: &mut Room, conn: Conn, code: &str) {
    let told = say(stage, conn, &json!({"type": "register", "pairingCode": code, "publicKey": KEY}));
    assert_eq!(told, [json!({"type": "registered", "pairingCode": code, "serverId": "waystation"})]);
}

/// A registered peer of `/signal/{room}`.
pub fn guest(stage: &mut Room, code: &str) -> Conn {
    let conn = signal(stage);
    let told = say(stage, conn, &json!({"type": "register", "pairingCode": code}));
    assert_eq!(told, [json!({"type": "registered", "pairingCode": code})]);
    conn
}

pub fn matched(stage: &mut Room, asker: (Conn, &str), asked: (Conn, &str)) {
    say(stage, asker.0, &json!({"type": "pair_request", "targetCode": asked.1}));
    say(stage, asked.0, &json!({"type": "pair_accept", "targetCode": asker.1}));
    stage.inbox(asker.0);
    stage.inbox(asked.0);
}

pub fn error(message: &str) -> Value {
    json!({"type": "error", "message": message})
}

pub fn unprocessed() -> Value {
    json!({"type": "pair_error", "error": "Pair request could not be processed"})
}

pub fn nothing() -> Vec<Value> {
    Vec::new()
}
