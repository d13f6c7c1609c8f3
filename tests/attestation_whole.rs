//! Whole files as references: manifest, parts, tree hash, and answers that two objects judge.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod attestation_support;

use std::collections::BTreeMap;

use attestation_support::support::{Stage, body, call, settings};
use attestation_support::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waystation::attestation::object::handoff::{HOPS_MAX, next_call};
use waystation::attestation::whole::{LEAF_LEN, PART_LEN, leaf_hash, tree_hash};
use waystation::attestation::{BUILD_MIGRATIONS, ReferenceStore, socket};
use waystation::front::routes::{ROUTES, To};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;

/// The registry and the objects of builds, with a front that takes notes from one to the other.
struct House {
    registry: Registry,
    builds: BTreeMap<String, Stage<ReferenceStore>>,
}

impl House {
    fn new() -> Self {
        Self { registry: registry(), builds: BTreeMap::new() }
    }

    fn build(&mut self, name: &str) -> &mut Stage<ReferenceStore> {
        let new = || Stage::new(settings(ALL), BUILD_MIGRATIONS, ReferenceStore::load);
        self.builds.entry(name.to_owned()).or_insert_with(new)
    }

    /// A request to the object that the route names, followed to its answer.
    fn ask(&mut self, call: &Call) -> Reply {
        let route = ROUTES.iter().find(|route| route.operation == call.operation).unwrap();
        let mut reply = match route.to {
            To::Fixed(Class::AttestationRegistry, "global") => self.registry.call(call),
            To::Named(Class::ReferenceStore, prefix) => {
                let name = format!("{prefix}{}", call.params[0]);
                self.build(&name).call(call)
            }
            other => panic!("{other:?}"),
        };
        for _ in 0..HOPS_MAX {
            let Some((class, name, next)) = next_call(&reply, call) else { break };
            reply =
                if class == Class::ReferenceStore { self.build(&name).call(&next) } else { self.registry.call(&next) };
        }
        assert!(next_call(&reply, call).is_none(), "the client gets an answer and no note");
        reply
    }

    fn ci(&mut self, operation: Operation, params: &[&str], query: &str, body: Vec<u8>) -> Reply {
        let params = params.iter().map(|param| (*param).to_owned()).collect();
        self.ask(&Call { principal: Principal::Ci, params, query: query.to_owned(), body, ..call(operation) })
    }

    fn begin(&mut self, manifest: &str) -> Reply {
        let signed = format!("waystation/attest/manifest/v1\n{manifest}");
        let signature = build_key().sign_base64(signed.as_bytes());
        let body = json!({ "manifest": manifest, "signature": signature }).to_string().into_bytes();
        self.ci(Operation::AttestReferenceBegin, &[], "", body)
    }

    fn part(&mut self, id: &str, number: u64, bytes: &[u8]) -> Reply {
        let query = format!("sha256={}", hex::encode(Sha256::digest(bytes)));
        self.ci(Operation::AttestPart, &[id, &number.to_string()], &query, bytes.to_vec())
    }

    fn complete(&mut self, id: &str) -> Reply {
        self.ci(Operation::AttestComplete, &[id], "", Vec::new())
    }

    fn post(&mut self, operation: Operation, body: &Value) -> Reply {
        self.ask(&Call { body: body.to_string().into_bytes(), ..call(operation) })
    }
}

/// Two parts, of which the second is short and ends in a short leaf and a short block.
const SIZE: u64 = PART_LEN + LEAF_LEN + 5_000;

fn file() -> Vec<u8> {
    file_piece("hash-1", 0, SIZE)
}

fn manifest_of(file: &[u8]) -> Value {
    let leaves = file.chunks(LEAF_LEN as usize).map(leaf_hash).collect();
    json!({
        "typ": "manifest", "version": "1.2.0", "platform": "android", "build_hash": "hash-1", "size": file.len(),
        "tree_hash": hex::encode(tree_hash(leaves)),
        "critical_ranges": [{ "offset": LEAF_LEN - 100, "length": 40_000 }],
    })
}

fn parts(file: &[u8]) -> [&[u8]; 2] {
    let (first, second) = file.split_at(PART_LEN as usize);
    [first, second]
}

/// A house in which CI has uploaded the file.
fn furnished() -> House {
    let (mut house, file) = (House::new(), file());
    let begun = accepted(&house.begin(&manifest_of(&file).to_string()));
    let id = begun["reference_id"].as_str().unwrap().to_owned();
    for (number, part) in (0..).zip(parts(&file)) {
        accepted(&house.part(&id, number, part));
    }
    accepted(&house.complete(&id));
    house
}

fn ask(house: &mut House) -> Value {
    accepted(&house.post(Operation::AttestChallenge, &json!({ "device_id": "device", "build_version": "1.2.0" })))
}

#[test]
fn a_file_is_uploaded_in_parts_and_then_asked_for_in_sixteen_blocks() {
    let (mut house, file) = (House::new(), file());
    let manifest = manifest_of(&file).to_string();
    let begun = accepted(&house.begin(&manifest));
    assert_eq!((&begun["parts"], &begun["missing_parts"]), (&json!(2), &json!([0, 1])));
    let id = begun["reference_id"].as_str().unwrap().to_owned();
    let [first, second] = parts(&file);
    accepted(&house.part(&id, 1, second));
    // After a restart the upload goes on where it was; a part may come twice.
    house.build(&format!("build/{id}")).evict();
    assert_eq!(accepted(&house.begin(&manifest))["missing_parts"], json!([0]));
    let incomplete = house.complete(&id);
    refused(&incomplete, 409, "Parts are missing");
    assert_eq!(body(&incomplete)["missing_parts"], json!([0]));
    accepted(&house.part(&id, 0, first));
    accepted(&house.part(&id, 1, second));
    house.registry.wait(1);
    accepted(&register(&mut house.registry, "device"));
    let wish = json!({ "device_id": "device", "build_version": "1.2.0" });
    refused(
        &house.post(Operation::AttestChallenge, &wish),
        404,
        "No reference binary found for this version and platform",
    );
    let complete = accepted(&house.complete(&id));
    assert_eq!(complete["reference"]["reference_id"], id);
    assert_eq!(accepted(&house.complete(&id)), complete);
    assert_eq!(accepted(&house.begin(&manifest))["complete"], true);
    let asked = ask(&mut house);
    let regions = asked["regions"].as_array().unwrap();
    assert_eq!(regions.len(), 16);
    let critical = (LEAF_LEN - 100) / 4096..(LEAF_LEN - 100 + 40_000).div_ceil(4096);
    let inside =
        regions.iter().filter(|region| critical.contains(&(region["offset"].as_u64().unwrap() / 4096))).count();
    assert!(inside >= 8, "{inside}");
    let verified = accepted(&house.post(Operation::AttestVerify, &answer("device", &asked, "hash-1")));
    assert_eq!(session(&house.registry, verified["session_token"].as_str().unwrap()).tier, 1);
}

#[test]
fn an_answer_about_a_whole_file_counts_once_and_fails_with_the_one_word() {
    let mut house = furnished();
    accepted(&register(&mut house.registry, "device"));
    let asked = ask(&mut house);
    let good = answer("device", &asked, "hash-1");
    assert!((0..20).filter(|_| house.post(Operation::AttestVerify, &good).status == 200).count() == 1);
    let spoil: [fn(&mut Value); 4] = [
        |body| body["responses"][15]["hmac"] = json!("0".repeat(64)),
        |body| body["responses"][1] = body["responses"][0].clone(),
        |body| drop(body["responses"].as_array_mut().unwrap().pop()),
        |body| body["device_id"] = json!("nobody"),
    ];
    let mut bodies = Vec::new();
    for spoil in spoil {
        let asked = ask(&mut house);
        let good = answer("device", &asked, "hash-1");
        let mut bad = good.clone();
        spoil(&mut bad);
        let reply = house.post(Operation::AttestVerify, &bad);
        failed(&reply);
        bodies.push(reply);
        failed(&house.post(Operation::AttestVerify, &good));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let asked = ask(&mut house);
    set_policy(&mut house.registry, &json!({ "blocked_versions": ["1.2.0"] }));
    let blocked = house.post(Operation::AttestVerify, &answer("device", &asked, "hash-1"));
    assert_eq!(blocked, bodies[0]);
}

#[test]
fn one_flipped_byte_is_noticed_and_nothing_counts() {
    let (mut house, file) = (House::new(), file());
    let begun = accepted(&house.begin(&manifest_of(&file).to_string()));
    let id = begun["reference_id"].as_str().unwrap().to_owned();
    let [first, second] = parts(&file);
    let mut flipped = second.to_vec();
    flipped[LEAF_LEN as usize + 7] ^= 1;
    // Under the hash of the true part it is not even taken.
    let query = format!("sha256={}", hex::encode(Sha256::digest(second)));
    let state = house.build(&format!("build/{id}")).database.dump();
    for query in [query.as_str(), "", "sha256=00"] {
        let reply = house.ci(Operation::AttestPart, &[&id, "1"], query, flipped.clone());
        refused(&reply, 422, "The part's bytes are not those of the query parameter sha256");
    }
    assert_eq!(house.build(&format!("build/{id}")).database.dump(), state);
    // Under its own hash it does not become the file.
    accepted(&house.part(&id, 0, first));
    accepted(&house.part(&id, 1, &flipped));
    refused(&house.complete(&id), 422, "The parts are not the file of the manifest");
    assert!(!house.registry.database.dump().iter().any(|line| line.starts_with("reference: ")));
    accepted(&house.part(&id, 1, second));
    accepted(&house.complete(&id));
}

#[test]
fn a_complete_file_never_changes() {
    let mut house = furnished();
    let file = file();
    let id = body(&house.begin(&manifest_of(&file).to_string()))["reference_id"].as_str().unwrap().to_owned();
    let sentence = "The reference is complete and does not change";
    refused(&house.part(&id, 0, parts(&file)[0]), 409, sentence);
    let mut other = file;
    other[0] ^= 1;
    let taken = "Another reference is kept for this build";
    refused(&house.begin(&manifest_of(&other).to_string()), 409, taken);
    refused(&upload(&mut house.registry, &upload_of("1.2.0", "android", "hash-1", 3)), 409, taken);
}

#[test]
fn a_manifest_counts_only_with_the_signature_of_ci_and_if_it_describes_a_file() {
    let mut house = House::new();
    let good = manifest_of(&file());
    let text = good.to_string();
    for signature in [build_key().sign_base64(text.as_bytes()), session_key().sign_base64(text.as_bytes()), "x".into()]
    {
        let body = json!({ "manifest": text, "signature": signature }).to_string().into_bytes();
        let reply = house.ci(Operation::AttestReferenceBegin, &[], "", body);
        refused(&reply, 403, "Invalid manifest signature");
    }
    let sentence =
        "Invalid manifest: version, platform, build_hash, size, tree_hash and critical_ranges must describe one file";
    for (member, value) in [
        ("typ", json!("build")),
        ("typ", Value::Null),
        ("size", json!(0)),
        ("size", json!(256 * 1024 * 1024 + 1)),
        ("size", json!(1.5)),
        ("tree_hash", json!("00")),
        ("critical_ranges", json!([{ "offset": SIZE, "length": 1 }])),
        ("critical_ranges", json!([{ "offset": 0, "length": 9 }, { "offset": 8, "length": 1 }])),
        ("critical_ranges", json!("all")),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        refused(&house.begin(&bad.to_string()), 400, sentence);
    }
    refused(
        &house.ci(Operation::AttestReferenceBegin, &[], "", b"{}".to_vec()),
        400,
        "Missing required fields: manifest, signature",
    );
    assert!(house.builds.is_empty());
}

#[test]
fn parts_of_nothing_and_parts_of_another_length_are_refused() {
    let mut house = House::new();
    refused(&house.part("unknown", 0, b"x"), 404, "No upload of this id was begun");
    refused(&house.complete("unknown"), 404, "No upload of this id was begun");
    let begun = accepted(&house.begin(&manifest_of(&file()).to_string()));
    let id = begun["reference_id"].as_str().unwrap().to_owned();
    refused(&house.part(&id, 2, b"x"), 404, "The file has no such part");
    refused(&house.part(&id, 0, b"x"), 422, &format!("The part must have {PART_LEN} bytes"));
    for number in ["-1", "x", "0.5"] {
        let reply = house.ci(Operation::AttestPart, &[&id, number], "", b"x".to_vec());
        refused(&reply, 404, "The file has no such part");
    }
    for principal in [Principal::Anonymous, Principal::Operator] {
        let params = vec![id.clone(), String::from("0")];
        let reply = house.ask(&Call { principal, params, ..call(Operation::AttestPart) });
        assert_eq!(reply.status, 403);
    }
}

#[test]
fn no_route_leads_to_what_objects_ask_each_other() {
    let inner = [
        Operation::AttestBegin,
        Operation::AttestJudge,
        Operation::AttestGrant,
        Operation::AttestCount,
        Operation::AttestForget,
    ];
    assert!(ROUTES.iter().all(|route| !inner.contains(&route.operation)));
}

#[test]
fn a_relay_attests_a_socket_by_the_same_rules() {
    let mut house = furnished();
    accepted(&register(&mut house.registry, "device"));
    let keys = [session_key()];
    let hear = |house: &mut House, frame: &Value, remembered: Option<&str>| {
        let asking = socket::parse_asking(&frame.to_string(), remembered, "relay-1").unwrap();
        let request = Call { body: asking.body, ..call(asking.operation) };
        let reply = house.ask(&request);
        let told = socket::encode_told(asking.operation, &reply, &keys, "relay-1", house.registry.now);
        (
            serde_json::from_str::<Value>(&told.frame).unwrap(),
            told.close,
            told.session.map(|session| session.tier),
            asking.device_id,
        )
    };
    let request = json!({ "type": "attest_request", "build_token": "token", "device_id": "device" });
    for (good, close, tier) in [(true, None, Some(1)), (false, Some(socket::CLOSE_FAILED), None)] {
        let (asked, none, _, device_id) = hear(&mut house, &request, None);
        assert_eq!((asked["type"].as_str().unwrap(), none, device_id.as_str()), ("attest_challenge", None, "device"));
        let file = if good { "hash-1" } else { "hash-2" };
        let mut response = answer("device", &asked, file);
        response["type"] = json!("attest_response");
        response.as_object_mut().unwrap().remove("device_id");
        let (told, closed, reached, _) = hear(&mut house, &response, Some("device"));
        assert_eq!(told["type"], if good { "attest_success" } else { "attest_failed" });
        assert_eq!((closed, reached), (close, tier));
    }
    let (error, close, tier, _) =
        hear(&mut house, &json!({ "type": "attest_request", "device_id": "nobody", "build_token": "t" }), None);
    assert_eq!(error["message"], "Failed to get attestation challenge from bootstrap");
    assert_eq!((close, tier), (None, None));
    assert_eq!(socket::parse_asking(r#"{"type":"ping"}"#, None, "relay-1"), None);
    assert_eq!(socket::parse_asking("nonsense", None, "relay-1"), None);
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/attestation/manifest.json");

/// `scripts/attest/attest.test.mjs` holds CI's programs against the same file.
/// `WAYSTATION_WRITE=1 cargo test --test attestation_whole golden` writes the file anew.
#[test]
fn the_golden_manifest_is_one_that_the_service_takes() {
    // Byte n of the file is n · 31 mod 251; it ends within a leaf.
    let file: Vec<u8> = (0..3 * LEAF_LEN + 77).map(|at| (at * 31 % 251) as u8).collect();
    let leaves = file.chunks(LEAF_LEN as usize).map(leaf_hash).collect();
    let hash = hex::encode(Sha256::digest(&file));
    let manifest = format!(
        r#"{{"typ":"manifest","version":"1.2.0","platform":"linux","build_hash":"{hash}","size":{},"tree_hash":"{}","critical_ranges":[{{"offset":4096,"length":100}}]}}"#,
        file.len(),
        hex::encode(tree_hash(leaves))
    );
    let signature = build_key().sign_base64(format!("waystation/attest/manifest/v1\n{manifest}").as_bytes());
    let golden = json!({ "size": file.len(), "manifest": manifest, "signature": signature });
    let text = format!("{}\n", serde_json::to_string_pretty(&golden).unwrap());
    if std::env::var_os("WAYSTATION_WRITE").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(GOLDEN).unwrap(), text);
    let mut house = House::new();
    let body = json!({ "manifest": manifest, "signature": signature }).to_string().into_bytes();
    let begun = accepted(&house.ci(Operation::AttestReferenceBegin, &[], "", body));
    let id = begun["reference_id"].as_str().unwrap().to_owned();
    accepted(&house.part(&id, 0, &file));
    accepted(&house.complete(&id));
}
