//! What the attestation tests share: a registry on the stage, CI with its key, devices that have the file, and requests
//! in the field's words.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]

#[path = "../support/mod.rs"]
pub mod support;

use serde_json::{Value, json};
use support::{Stage, body, call, settings};
use waystation::attestation::object::handoff::next_call;
use waystation::attestation::session::{Demand, Session};
use waystation::attestation::verify::mac;
use waystation::attestation::{AttestationRegistry, MIGRATIONS, read_session};
use waystation::kernel::keys::SigningPair;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;

/// RFC 8032, section 7.1, test 1: signs sessions.
pub const SESSION_SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
/// RFC 8032, section 7.1, test 2: signs builds, as in the documented vector.
pub const BUILD_SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
pub const BUILD_PUBLIC: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

pub const ALL: &[(&str, &str)] = &[
    ("ATTESTATION_SIGNING_KEY", SESSION_SEED),
    ("BUILD_TOKEN_VERIFY_KEY", BUILD_PUBLIC),
    ("CI_UPLOAD_SECRET", "ci"),
    ("ADMIN_SECRET", "admin"),
];

pub type Registry = Stage<AttestationRegistry>;

pub fn registry_with(pairs: &[(&str, &str)]) -> Registry {
    Stage::new(settings(pairs), MIGRATIONS, AttestationRegistry::load)
}

pub fn registry() -> Registry {
    registry_with(ALL)
}

pub fn post(stage: &mut Registry, operation: Operation, body: &Value) -> Reply {
    stage.call(&Call { body: body.to_string().into_bytes(), ..call(operation) })
}

pub fn post_as(stage: &mut Registry, principal: Principal, operation: Operation, body: &Value) -> Reply {
    stage.call(&Call { principal, body: body.to_string().into_bytes(), ..call(operation) })
}

pub fn build_key() -> SigningPair {
    SigningPair::parse(BUILD_SEED).unwrap()
}

pub fn session_key() -> SigningPair {
    SigningPair::parse(SESSION_SEED).unwrap()
}

/// A build token's payload.
pub fn payload(stage: &Registry, version: &str, platform: &str, hash: &str) -> Value {
    json!({ "version": version, "platform": platform, "build_hash": hash, "timestamp": stage.now.as_millis() })
}

/// A payload, signed by CI.
pub fn signed(payload: &str) -> Value {
    json!({ "payload": payload, "signature": build_key().sign_base64(payload.as_bytes()) })
}

pub fn token_for(stage: &Registry, version: &str, platform: &str, hash: &str) -> Value {
    signed(&payload(stage, version, platform, hash).to_string())
}

/// The token of the build that most tests run.
pub fn token(stage: &Registry) -> Value {
    token_for(stage, "1.2.0", "android", "hash-1")
}

pub fn registration(stage: &Registry, id: &str) -> Value {
    json!({ "build_token": token(stage), "device_id": id })
}

pub fn register(stage: &mut Registry, id: &str) -> Reply {
    let body = registration(stage, id);
    post(stage, Operation::AttestRegister, &body)
}

pub fn register_build(stage: &mut Registry, id: &str, version: &str, platform: &str, hash: &str) -> Reply {
    let body = json!({ "build_token": token_for(stage, version, platform, hash), "device_id": id });
    post(stage, Operation::AttestRegister, &body)
}

/// Byte `at` of the file of a build.
pub fn file_byte(hash: &str, at: u64) -> u8 {
    let seed = hash.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mixed = (at ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as u8
}

pub fn file_piece(hash: &str, offset: u64, length: u64) -> Vec<u8> {
    (offset..offset + length).map(|at| file_byte(hash, at)).collect()
}

/// An upload of regions of 64 bytes, 100 bytes apart.
pub fn upload_of(version: &str, platform: &str, hash: &str, regions: u64) -> Value {
    let region = |number: u64| {
        let offset = number * 100;
        json!({ "offset": offset, "length": 64, "data_hex": hex::encode(file_piece(hash, offset, 64)) })
    };
    let regions: Vec<Value> = (0..regions).map(region).collect();
    json!({ "version": version, "platform": platform, "build_hash": hash, "size": 1_000_000, "critical_regions": regions })
}

pub fn upload(stage: &mut Registry, body: &Value) -> Reply {
    post_as(stage, Principal::Ci, Operation::AttestUploadReference, body)
}

/// A registry that knows the file of the build that most tests run.
pub fn ready() -> Registry {
    let mut stage = registry();
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
    stage
}

pub fn challenge(stage: &mut Registry, id: &str) -> Reply {
    post(stage, Operation::AttestChallenge, &json!({ "device_id": id, "build_version": "1.2.0" }))
}

/// The answer of somebody who has the file.
pub fn answer(id: &str, challenge: &Value, hash: &str) -> Value {
    let nonce = challenge["nonce"].as_str().unwrap();
    let key = hex::decode(nonce).unwrap();
    let responses: Vec<Value> = challenge["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| {
            let (offset, length) = (region["offset"].as_u64().unwrap(), region["length"].as_u64().unwrap());
            let hmac = hex::encode(mac(&key, &file_piece(hash, offset, length)));
            json!({ "region_index": region["index"], "hmac": hmac })
        })
        .collect();
    json!({ "device_id": id, "nonce": nonce, "responses": responses })
}

pub fn verify(stage: &mut Registry, body: &Value) -> Reply {
    post(stage, Operation::AttestVerify, body)
}

/// Registers, is asked and answers.
pub fn attest(stage: &mut Registry, id: &str) -> Reply {
    accepted(&register(stage, id));
    let asked = accepted(&challenge(stage, id));
    verify(stage, &answer(id, &asked, "hash-1"))
}

pub fn set_policy(stage: &mut Registry, body: &Value) -> Value {
    accepted(&post_as(stage, Principal::Operator, Operation::AttestVersionsWrite, body))
}

/// Reads a session token with the keys and the audience of the tests.
pub fn session(stage: &Registry, token: &str) -> Session {
    let demand = Demand { audience: "waystation", tier_min: 0, policy_epoch_min: 0 };
    read_session(token, &[session_key()], demand, stage.now).unwrap()
}

pub fn from(network: &str) -> ClientNetwork {
    ClientNetwork::from_header(Some(network))
}

/// Asserts status and sentence.
#[track_caller]
pub fn refused(reply: &Reply, status: u16, sentence: &str) {
    let problem = body(reply);
    assert_eq!((reply.status, problem["error"].as_str().unwrap()), (status, sentence), "{problem}");
}

#[track_caller]
pub fn failed(reply: &Reply) {
    refused(reply, 403, "Verification failed");
    assert_eq!(body(reply)["valid"], false);
}

#[track_caller]
pub fn accepted(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(next_call(reply, &call(Operation::Probe)).is_none(), "a note between objects");
    body(reply)
}
