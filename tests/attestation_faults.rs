//! The faults A1 to A16 of the original, each closed.

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

use attestation_support::support::{body, call};
use attestation_support::*;
use serde_json::{Value, json};
use waystation::attestation::build_token::{BuildToken, TokenShape};
use waystation::attestation::challenge::{BLOCKS, CRITICAL_BLOCKS, choose_blocks};
use waystation::attestation::device::ProofClaim;
use waystation::attestation::policy::{Build, Policy};
use waystation::attestation::reference::Span;
use waystation::attestation::registration::{
    PENDING_MAX, PENDING_PER_NETWORK_MAX, Registration, RegistrationFacts, Ring, Tally, decide_registration,
};
use waystation::front::auth::authorise;
use waystation::front::routes::{ROUTES, Who};
use waystation::kernel::entropy::{Entropy, SeededEntropy};
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::time::Timestamp;

// A1
#[test]
fn verify_rejects_duplicate_region_index() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    for duplicates in [2, 5] {
        let asked = accepted(&challenge(&mut stage, "device"));
        let mut good = answer("device", &asked, "hash-1");
        let known = good["responses"][0].clone();
        for response in good["responses"].as_array_mut().unwrap().iter_mut().take(duplicates) {
            *response = known.clone();
        }
        failed(&verify(&mut stage, &good));
    }
    let asked = accepted(&challenge(&mut stage, "device"));
    let mut good = answer("device", &asked, "hash-1");
    let again = good["responses"][0].clone();
    good["responses"].as_array_mut().unwrap().push(again);
    failed(&verify(&mut stage, &good));
    accepted(&attest(&mut stage, "device"));
}

// A2
#[test]
fn challenge_is_bound_to_registered_build() {
    let mut stage = ready();
    accepted(&upload(&mut stage, &upload_of("1.0.0", "android", "hash-0", 10)));
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-2", 10)));
    accepted(&register(&mut stage, "device"));
    let older = json!({ "device_id": "device", "build_version": "1.0.0" });
    let sentence = "build_version is not the version that the device is registered with";
    refused(&post(&mut stage, Operation::AttestChallenge, &older), 403, sentence);
    // The same version, but another build's file.
    let asked = accepted(&challenge(&mut stage, "device"));
    failed(&verify(&mut stage, &answer("device", &asked, "hash-2")));
    // A challenge ends with the build that it was for.
    let asked = accepted(&challenge(&mut stage, "device"));
    accepted(&register_build(&mut stage, "device", "1.2.0", "android", "hash-2"));
    failed(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    let asked = accepted(&challenge(&mut stage, "device"));
    accepted(&verify(&mut stage, &answer("device", &asked, "hash-2")));
}

// A3
#[test]
fn blocking_a_version_stops_challenge_and_verify() {
    let mut stage = ready();
    let first = accepted(&attest(&mut stage, "device"));
    let before = session(&stage, first["session_token"].as_str().unwrap());
    let asked = accepted(&challenge(&mut stage, "device"));
    set_policy(&mut stage, &json!({ "blocked_versions": ["1.2.0"] }));
    failed(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    refused(&challenge(&mut stage, "device"), 403, "Version 1.2.0 has been blocked");
    refused(&register(&mut stage, "device"), 403, "Version 1.2.0 has been blocked");
    refused(&register(&mut stage, "another"), 403, "Version 1.2.0 has been blocked");
    // And the sessions of before can be told from those of after.
    set_policy(&mut stage, &json!({}));
    let after = accepted(&attest(&mut stage, "device"));
    assert!(session(&stage, after["session_token"].as_str().unwrap()).policy_epoch > before.policy_epoch);
}

// A4
#[test]
fn device_id_cannot_be_taken_over() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let state = stage.database.dump();
    let other = register_build(&mut stage, "device", "1.2.0", "ios", "hash-1");
    refused(&other, 403, "device_id is registered on another platform");
    assert_eq!(stage.database.dump(), state);
}

// A5
#[test]
fn registry_fill_does_not_lock_out_new_devices() {
    let mut stage = ready();
    accepted(&attest(&mut stage, "proven"));
    let flood = |stage: &mut Registry, count: u64, networks: u64| {
        let token = token(stage);
        for number in 0..count {
            let body = json!({ "build_token": token, "device_id": format!("flood-{networks}-{number}") });
            let network = number % networks;
            let client = from(&format!("10.{}.{}.1", network / 256, network % 256));
            let request = Call { client, body: body.to_string().into_bytes(), ..call(Operation::AttestRegister) };
            assert_eq!(stage.call(&request).status, 200);
        }
    };
    // One network fills its own share, and nothing else.
    flood(&mut stage, 70, 1);
    assert_eq!(count(&stage, "device: "), PENDING_PER_NETWORK_MAX + 1);
    // Many networks fill the ring, and nothing else.
    flood(&mut stage, FLOOD, 1_000);
    assert_eq!(count(&stage, "device: "), PENDING_MAX + 1, "a full ring, and the one that has proven something");
    assert_eq!(count(&stage, "challenge: "), 0);
    accepted(&attest(&mut stage, "honest"));
    let asked = accepted(&challenge(&mut stage, "proven"));
    accepted(&verify(&mut stage, &answer("proven", &asked, "hash-1")));
}

/// Anonymous registrations through the object, each with its signature checked: some 15 s.
const FLOOD: u64 = 100_000;

/// The register as the rule sees it: newcomers by age, in all and by network.
#[derive(Default)]
struct Ledger {
    age_by_id: BTreeMap<String, (u64, String)>,
    by_age: BTreeMap<u64, String>,
    by_network: BTreeMap<String, BTreeMap<u64, String>>,
    tally: Tally,
}

impl Ledger {
    fn register(&mut self, number: u64, network: &str, policy: &Policy) {
        let now = Timestamp::from_millis(1_800_000_000_000 + number);
        let own = self.by_network.entry(network.to_owned()).or_default();
        let ring = Ring {
            in_network: own.len() as u64,
            oldest_in_network: own.values().next().cloned(),
            oldest: self.by_age.values().next().cloned(),
        };
        let facts = RegistrationFacts {
            now,
            policy,
            build_token_max_age_ms: 1_000,
            network,
            known: None,
            tally: self.tally,
            ring,
        };
        let build = Build {
            version: String::from("1.2.0"),
            platform: String::from("android"),
            build_hash: String::from("hash-1"),
        };
        let token = BuildToken { build, issued_at: now, shape: TokenShape::Wrapped };
        let registration =
            Registration { device_id: number.to_string(), token, key: None, proof: ProofClaim::default() };
        let plan = decide_registration(facts, registration).unwrap();
        if let Some(displaced) = &plan.displaced {
            let (age, network) = self.age_by_id.remove(displaced).unwrap();
            self.by_age.remove(&age);
            self.by_network.get_mut(&network).unwrap().remove(&age);
        }
        self.age_by_id.insert(plan.device_id.clone(), (number, network.to_owned()));
        self.by_age.insert(number, plan.device_id.clone());
        self.by_network.entry(network.to_owned()).or_default().insert(number, plan.device_id);
        self.tally = plan.tally;
    }
}

#[test]
fn a_hundred_thousand_anonymous_registrations_keep_a_bounded_number_of_devices() {
    let policy = Policy::default();
    let mut ledger = Ledger::default();
    for number in 0..100_000 {
        ledger.register(number, &format!("network-{}", number % 1_000), &policy);
        assert_eq!(ledger.tally.pending, ledger.age_by_id.len() as u64);
        assert!(ledger.tally.pending <= PENDING_MAX);
    }
    assert_eq!(ledger.tally.pending, PENDING_MAX);
    assert!(ledger.by_network.values().all(|own| own.len() as u64 <= PENDING_PER_NETWORK_MAX));
    // The newest is always in.
    ledger.register(100_000, "honest", &policy);
    assert!(ledger.age_by_id.contains_key("100000"));
}

fn count(stage: &Registry, table: &str) -> u64 {
    stage.database.dump().iter().filter(|line| line.starts_with(table)).count() as u64
}

// A6
#[test]
fn challenge_cost_is_constant() {
    let steps = |others: usize| {
        let mut stage = ready();
        for number in 0..others {
            let id = format!("other-{number}");
            let body = registration(&stage, &id).to_string().into_bytes();
            let client = from(&format!("10.0.{number}.1"));
            assert_eq!(stage.call(&Call { client, body, ..call(Operation::AttestRegister) }).status, 200);
            accepted(&challenge(&mut stage, &id));
        }
        stage.database.take_read_steps();
        accepted(&register(&mut stage, "device"));
        let registered = stage.database.take_read_steps();
        let asked = accepted(&challenge(&mut stage, "device"));
        let challenged = stage.database.take_read_steps();
        accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
        [registered, challenged, stage.database.take_read_steps()]
    };
    let (few, many) = (steps(3), steps(60));
    // The tree of an index grows by a level now and then; a scan would cost steps for each of the others.
    for (few, many) in few.iter().zip(many) {
        assert!(*few > 0 && many <= few + 20, "{few} {many}");
    }
}

/// Hands out bytes of a fixed sequence and counts them.
struct Counting(SeededEntropy, usize);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.1 += bytes.len();
        self.0.fill(bytes);
    }
}

// A7
#[test]
fn region_choice_uses_csprng() {
    // Everything that is chosen comes from the source that is handed in: the same bytes, the same choice; every block is
    // chosen about as often as any other; and nothing is chosen without taking bytes.
    let size = 4096 * 1_000;
    let mut hits: BTreeMap<u64, u64> = BTreeMap::new();
    for seed in 0..2_000 {
        let mut source = Counting(SeededEntropy::new(seed), 0);
        let chosen = choose_blocks(size, &[], &mut source);
        assert_eq!(chosen, choose_blocks(size, &[], &mut SeededEntropy::new(seed)));
        assert!(source.1 >= 4 * BLOCKS);
        chosen.iter().for_each(|asked| *hits.entry(asked.span.offset).or_default() += 1);
    }
    assert_eq!(hits.len(), 1_000);
    assert!(hits.values().all(|hits| (8..=64).contains(hits)), "32 each on average");
    let critical = [Span { offset: 4096 * 500, length: 4096 * 20 }];
    for seed in 0..100 {
        let chosen = choose_blocks(size, &critical, &mut SeededEntropy::new(seed));
        let inside = chosen.iter().filter(|asked| (500..520).contains(&(asked.span.offset / 4096))).count();
        assert!(chosen.len() == BLOCKS && inside >= CRITICAL_BLOCKS);
    }
}

// A9
#[test]
fn token_kinds_are_not_interchangeable() {
    // Even when an operator uses one seed for everything.
    let pairs =
        [("ATTESTATION_SIGNING_KEY", BUILD_SEED), ("BUILD_TOKEN_VERIFY_KEY", BUILD_PUBLIC), ("CI_UPLOAD_SECRET", "ci")];
    let mut stage = registry_with(&pairs);
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
    let token = accepted(&attest(&mut stage, "device"))["session_token"].as_str().unwrap().to_owned();
    let (payload, signature) = token.split_once('.').unwrap();
    let text = String::from_utf8(waystation::kernel::keys::parse_base64(payload).unwrap()).unwrap();
    for payload in [text.as_str(), payload] {
        let as_build = json!({ "build_token": { "payload": payload, "signature": signature }, "device_id": "x" });
        let reply = post(&mut stage, Operation::AttestRegister, &as_build);
        refused(&reply, 400, "Invalid build token payload");
    }
    // The other way: a build token that looks like a session.
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let build = signed(&text.replace("\"session\"", "\"build\""));
    let signature = waystation::kernel::keys::parse_base64(build["signature"].as_str().unwrap()).unwrap();
    let forged =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(build["payload"].as_str().unwrap()), URL_SAFE_NO_PAD.encode(signature));
    let demand = waystation::attestation::session::Demand { audience: "waystation", tier_min: 0, policy_epoch_min: 0 };
    assert!(waystation::attestation::read_session(&token, &[build_key()], demand, stage.now).is_ok());
    assert!(waystation::attestation::read_session(&forged, &[build_key()], demand, stage.now).is_err());
    // And without a key of its own a build token is checked by nobody, not by the session key either.
    let mut keyless = registry_with(&[("ATTESTATION_SIGNING_KEY", BUILD_SEED)]);
    refused(&register(&mut keyless, "device"), 503, "Build token verification not configured");
}

// A10
#[test]
fn ci_credential_cannot_change_policy() {
    let settings = attestation_support::support::settings(ALL);
    let write = ROUTES.iter().find(|route| route.operation == Operation::AttestVersionsWrite).unwrap();
    assert_eq!(write.who, Who::Operator);
    assert_eq!(authorise(write.who, Some("Bearer ci"), &settings).unwrap_err().code.row().status, 401);
    assert!(authorise(write.who, Some("Bearer admin"), &settings).is_ok());
    let uploads = [
        Operation::AttestUploadReference,
        Operation::AttestReferenceBegin,
        Operation::AttestPart,
        Operation::AttestComplete,
    ];
    for route in ROUTES.iter().filter(|route| uploads.contains(&route.operation)) {
        assert_eq!(route.who, Who::Ci, "{}", route.template);
    }
    // And the object does not rely on the front.
    let mut stage = ready();
    let state = stage.database.dump();
    for principal in [Principal::Ci, Principal::Anonymous, Principal::RegistryWriter] {
        let reply = post_as(&mut stage, principal, Operation::AttestVersionsWrite, &json!({}));
        assert_eq!(reply.status, 403, "{principal:?}");
    }
    for principal in [Principal::Operator, Principal::Anonymous, Principal::RegistryWriter] {
        let reply =
            post_as(&mut stage, principal, Operation::AttestUploadReference, &upload_of("2.0.0", "ios", "h", 3));
        assert_eq!(reply.status, 403, "{principal:?}");
    }
    assert_eq!(stage.database.dump(), state);
}

// A11
#[test]
fn verify_failures_are_indistinguishable() {
    let mut stage = ready();
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-2", 10)));
    accepted(&register(&mut stage, "device"));
    accepted(&register(&mut stage, "other"));
    let mut bodies = Vec::new();
    let spoil: [fn(&mut Value); 12] = [
        |body| body["responses"][0]["hmac"] = json!("0".repeat(64)),
        |body| body["responses"][0]["hmac"] = json!("short"),
        |body| body["responses"][0]["hmac"] = json!(body["responses"][0]["hmac"].as_str().unwrap().to_uppercase()),
        |body| body["responses"][0]["region_index"] = json!(99),
        |body| body["responses"][0]["region_index"] = json!("0"),
        |body| body["responses"][0] = Value::Null,
        |body| drop(body["responses"].as_array_mut().unwrap().pop()),
        |body| body["responses"] = json!([]),
        |body| body["device_id"] = json!("other"),
        |body| body["device_id"] = json!("nobody"),
        |body| body["device_id"] = json!(7),
        |body| body["nonce"] = json!("f".repeat(64)),
    ];
    for spoil in spoil {
        let mut stage_body = {
            let asked = accepted(&challenge(&mut stage, "device"));
            answer("device", &asked, "hash-1")
        };
        spoil(&mut stage_body);
        let reply = verify(&mut stage, &stage_body);
        failed(&reply);
        bodies.push((reply.status, reply.headers.clone(), reply.body));
        stage.wait(300_000);
    }
    let asked = accepted(&challenge(&mut stage, "device"));
    stage.now = stage.now.plus(300_000);
    let reply = verify(&mut stage, &answer("device", &asked, "hash-1"));
    bodies.push((reply.status, reply.headers.clone(), reply.body));
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // What is compared would show a difference if there were one.
    assert_ne!(bodies[0].2, body(&challenge(&mut stage, "nobody")).to_string());
}

// A12
#[test]
fn odd_answers_use_the_challenge_up_and_cause_no_trouble() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    for odd in [json!({}), json!({ "hmac": "00" }), json!(null), json!([]), json!({ "region_index": -1 }), json!("x")] {
        let asked = accepted(&challenge(&mut stage, "device"));
        let mut body = answer("device", &asked, "hash-1");
        let good = body.clone();
        body["responses"][0] = odd;
        failed(&verify(&mut stage, &body));
        failed(&verify(&mut stage, &good));
    }
}

// A13
#[test]
fn reference_ranges_validated() {
    let mut stage = registry();
    let numbers = "Each critical_region must have numeric offset and length";
    let range =
        "critical_regions must be whole bytes within the file, apart from each other, with data_hex of their length";
    let try_region = |stage: &mut Registry, member: &str, value: Value, sentence: &str| {
        let mut body = upload_of("1.2.0", "android", "hash-1", 3);
        body["critical_regions"][1][member] = value;
        refused(&upload(stage, &body), 400, sentence);
    };
    for value in [json!("100"), json!(null), json!([]), json!({})] {
        try_region(&mut stage, "offset", value, numbers);
    }
    for value in [json!(-1), json!(0.5), json!(63), json!(150), json!(1e300), json!(999_937), json!(9.1e15)] {
        try_region(&mut stage, "offset", value, range);
    }
    for value in [json!(0), json!(-64), json!(63), json!(1.5), json!(2_000_000)] {
        try_region(&mut stage, "length", value, range);
    }
    for value in [json!("zz"), json!("00"), json!(5)] {
        try_region(&mut stage, "data_hex", value, range);
    }
    for value in [json!(0), json!(1_001), json!(0.5), json!("1")] {
        try_region(&mut stage, "weight", value, range);
    }
    let mut body = upload_of("1.2.0", "android", "hash-1", 3);
    for size in [json!(200), json!("large"), json!(-1), json!(263)] {
        body["size"] = size;
        refused(&upload(&mut stage, &body), 400, range);
    }
    assert!(count(&stage, "reference: ") == 0 && count(&stage, "log: ") == 0);
    body["size"] = json!(264);
    accepted(&upload(&mut stage, &body));
}

// A16
#[test]
fn missing_secret_refuses_to_serve() {
    let without = |name: &str| {
        let left: Vec<(&str, &str)> = ALL.iter().copied().filter(|(known, _)| *known != name).collect();
        registry_with(&left)
    };
    let unsigned = "Session token signing not configured";
    let mut stage = without("ATTESTATION_SIGNING_KEY");
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
    accepted(&register(&mut stage, "device"));
    refused(&challenge(&mut stage, "device"), 503, unsigned);
    refused(&verify(&mut stage, &json!({ "device_id": "device", "nonce": "0", "responses": [] })), 503, unsigned);
    for operation in [Operation::AttestVersionsRead, Operation::AttestLog, Operation::AttestKeys] {
        refused(&stage.call(&call(operation)), 503, unsigned);
    }
    refused(&register_build(&mut stage, "page", "1.2.0", "web", "hash-1"), 503, unsigned);
    let mut stage = without("BUILD_TOKEN_VERIFY_KEY");
    refused(&register(&mut stage, "device"), 503, "Build token verification not configured");
    let settings = attestation_support::support::settings(&[]);
    for who in [Who::Ci, Who::Operator] {
        assert_eq!(authorise(who, Some("Bearer undefined"), &settings).unwrap_err().code.row().status, 503);
    }
}
