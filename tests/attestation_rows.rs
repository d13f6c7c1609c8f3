//! Rows: upgrade, restart, faults, sweeps, and input that nobody should send.

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

use attestation_support::support::{Database, call};
use attestation_support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use waystation::attestation::object::UNSEEN_MS_MAX;
use waystation::attestation::{AttestationRegistry, BUILD_MIGRATIONS, MIGRATIONS, ReferenceStore};
use waystation::kernel::migration::{migrate, schema_version};
use waystation::kernel::object::{Call, Object as _, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::sql::{Sql as _, Statement};
use waystation::kernel::time::Timestamp;

const OPERATIONS: [Operation; 8] = [
    Operation::AttestRegister,
    Operation::AttestChallenge,
    Operation::AttestVerify,
    Operation::AttestVersionsRead,
    Operation::AttestVersionsWrite,
    Operation::AttestUploadReference,
    Operation::AttestReferenceBegin,
    Operation::AttestLog,
];

#[test]
fn an_empty_database_is_brought_to_the_newest_schema_once() {
    for migrations in [MIGRATIONS, BUILD_MIGRATIONS] {
        let database = Database::new();
        for _ in 0..2 {
            migrate(&database, migrations, Timestamp::EPOCH).unwrap();
            assert_eq!(schema_version(&database).unwrap(), migrations.last().unwrap().version);
        }
    }
    let settings = attestation_support::support::settings(ALL);
    let database = Database::new();
    migrate(&database, BUILD_MIGRATIONS, Timestamp::EPOCH).unwrap();
    assert!(ReferenceStore::load(settings, &database, Timestamp::EPOCH, Vec::new()).is_ok());
}

#[test]
fn everything_survives_an_eviction_after_every_event() {
    let play = |evict: bool| {
        let mut stage = registry();
        stage.evict_always = evict;
        accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
        accepted(&attest(&mut stage, "device"));
        set_policy(&mut stage, &json!({ "minimum_version": "1.1.0" }));
        accepted(&attest(&mut stage, "device"));
        accepted(&challenge(&mut stage, "device"));
        stage.wait(1_000_000);
        stage.database.dump()
    };
    assert_eq!(play(false), play(true));
}

#[test]
fn a_fault_changes_nothing_and_leaves_no_session() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let asked = accepted(&challenge(&mut stage, "device"));
    let good = answer("device", &asked, "hash-1");
    let state = stage.database.dump();
    stage.database.refuse_commits();
    let new = registration(&stage, "another");
    let wish = json!({ "device_id": "device", "build_version": "1.2.0" });
    let requests = [
        (Operation::AttestRegister, new, Principal::Anonymous),
        (Operation::AttestChallenge, wish, Principal::Anonymous),
        (Operation::AttestVerify, good, Principal::Anonymous),
        (Operation::AttestVersionsWrite, json!({ "minimum_version": "9.0.0" }), Principal::Operator),
        (Operation::AttestUploadReference, upload_of("2.0.0", "ios", "h", 3), Principal::Ci),
    ];
    for (operation, body, principal) in requests {
        let request = Call { principal, body: body.to_string().into_bytes(), ..call(operation) };
        assert!(stage.try_call(&request).is_err(), "{operation:?}");
        assert_eq!(stage.database.dump(), state, "{operation:?}");
    }
    let policy = accepted(&stage.call(&call(Operation::AttestVersionsRead)));
    assert_eq!(policy["minimum_version"], "1.0.0");
}

#[test]
fn a_read_writes_nothing_and_a_refusal_hardly_anything() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let before = stage.database.rows_written();
    for operation in [Operation::AttestVersionsRead, Operation::AttestLog, Operation::AttestKeys, Operation::Probe] {
        accepted(&stage.call(&call(operation)));
    }
    failed(&verify(&mut stage, &json!({ "device_id": "device", "nonce": "f".repeat(64), "responses": [] })));
    assert_eq!(challenge(&mut stage, "nobody").status, 404);
    assert_eq!(stage.database.rows_written(), before);
}

#[test]
fn what_is_over_is_swept_and_then_no_alarm_is_set_for_it() {
    assert_eq!(registry().object.deadline(), None);
    let mut stage = ready();
    // For the reference alone it rings once a day.
    let is_daily = |stage: &Registry| stage.object.deadline().is_some_and(|at| at.since(stage.now) >= 80_000_000);
    assert!(is_daily(&stage));
    accepted(&attest(&mut stage, "proven"));
    accepted(&register(&mut stage, "pending"));
    accepted(&challenge(&mut stage, "pending"));
    assert!(stage.object.deadline().is_some_and(|at| at.since(stage.now) <= 300_000));
    let rows =
        |stage: &Registry, table: &str| stage.database.dump().iter().filter(|line| line.starts_with(table)).count();
    stage.wait(700_000);
    assert_eq!((rows(&stage, "challenge: "), rows(&stage, "device: ")), (0, 2));
    stage.now = stage.now.plus(UNSEEN_MS_MAX);
    stage.ring();
    assert_eq!(rows(&stage, "device: "), 0);
    assert!(is_daily(&stage));
    assert!(stage.database.dump().contains(&String::from("tally: Integer(1), Integer(0), Integer(0)")));
    accepted(&register(&mut stage, "pending"));
    assert!(stage.object.deadline().is_some_and(|at| at > stage.now));
}

#[test]
fn a_displaced_device_takes_its_challenges_along() {
    let mut stage = ready();
    accepted(&register(&mut stage, "first"));
    accepted(&challenge(&mut stage, "first"));
    for number in 0..waystation::attestation::registration::PENDING_PER_NETWORK_MAX {
        stage.now = stage.now.plus(1);
        accepted(&register(&mut stage, &format!("device-{number}")));
    }
    assert_eq!(challenge(&mut stage, "first").status, 404);
    assert!(!stage.database.dump().iter().any(|line| line.starts_with("challenge: ")));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
        "[a-f0-9]{64}".prop_map(Value::from),
        Just(json!("device")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const MEMBERS: [&str; 26] = [
    "build_token",
    "device_id",
    "device_key",
    "device_timestamp",
    "device_signature",
    "build_version",
    "audience",
    "nonce",
    "responses",
    "version",
    "platform",
    "build_hash",
    "size",
    "critical_regions",
    "minimum_version",
    "recommended_version",
    "blocked_versions",
    "blocked_builds",
    "sunset_dates",
    "platforms",
    "manifest",
    "signature",
    "region_index",
    "hmac",
    "payload",
    "timestamp",
];

fn prepared() -> Registry {
    let mut stage = registry();
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 4)));
    accepted(&register(&mut stage, "device"));
    stage
}

fn survive(stage: &mut Registry, bytes: &[u8]) {
    for operation in OPERATIONS {
        for principal in [Principal::Anonymous, Principal::Ci, Principal::Operator] {
            let request = Call { principal, body: bytes.to_vec(), query: "after=1".into(), ..call(operation) };
            let reply = stage.try_call(&request).unwrap();
            assert!(reply.status < 500, "{operation:?} {}", reply.body);
            assert!(reply.status == 200 || serde_json::from_str::<Value>(&reply.body).unwrap()["error"].is_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_bytes_make_the_registry_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&mut prepared(), &bytes);
    }

    #[test]
    fn no_members_make_the_registry_fail(members in prop::collection::vec((0_usize..MEMBERS.len(), any_json()), 0..8)) {
        let mut body = json!({ "device_id": "device", "nonce": "0".repeat(64), "responses": [] });
        for (index, value) in members {
            body[MEMBERS[index]] = value;
        }
        survive(&mut prepared(), body.to_string().as_bytes());
    }

    #[test]
    fn no_damage_to_good_requests_makes_the_registry_fail(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stage = prepared();
        let asked = accepted(&challenge(&mut stage, "device"));
        let good = [
            registration(&stage, "device"),
            answer("device", &asked, "hash-1"),
            upload_of("1.3.0", "android", "hash-3", 2),
            json!({ "minimum_version": "1.1.0", "sunset_dates": { "1.0.0": "2030-01-01" }, "platforms": { "ios": {} } }),
        ];
        for body in good {
            let mut bytes = body.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            survive(&mut stage, &bytes);
            bytes.truncate(at);
            survive(&mut stage, &bytes);
        }
    }

    #[test]
    fn what_was_stored_is_read_back(
        offsets in prop::collection::btree_set(0_u64..50, 1..12), weights in prop::collection::vec(1_u64..1000, 12),
    ) {
        let mut stage = registry();
        let regions: Vec<Value> = offsets
            .iter()
            .zip(weights)
            .map(|(at, weight)| json!({ "offset": at * 100, "length": 64, "weight": weight,
                "data_hex": hex::encode(file_piece("hash-1", at * 100, 64)) }))
            .collect();
        let mut body = upload_of("1.2.0", "android", "hash-1", 1);
        body["critical_regions"] = json!(regions);
        let first = accepted(&upload(&mut stage, &body));
        stage.evict();
        prop_assert_eq!(accepted(&upload(&mut stage, &body)), first.clone());
        for (region, kept) in regions.iter().zip(first["reference"]["critical_regions"].as_array().unwrap()) {
            prop_assert_eq!(&region["weight"], &kept["weight"]);
        }
    }
}

#[test]
fn a_database_that_holds_what_we_never_write_is_not_guessed_about() {
    let stage = ready();
    stage.database.commit(vec![Statement::plain("INSERT INTO policy (id, document) VALUES (1, '{}')")]).unwrap();
    let settings = attestation_support::support::settings(ALL);
    assert!(AttestationRegistry::load(settings, &*stage.database, stage.now, Vec::new()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_tally_is_always_the_number_of_devices(steps in prop::collection::vec((0_u8..4, 0_u8..5), 1..14)) {
        let mut stage = prepared();
        for (step, device) in steps {
            let id = format!("device-{device}");
            match step {
                0 => drop(register(&mut stage, &id)),
                1 => {
                    let asked = challenge(&mut stage, &id);
                    if asked.status == 200 {
                        let asked = serde_json::from_str(&asked.body).unwrap();
                        accepted(&verify(&mut stage, &answer(&id, &asked, "hash-1")));
                    }
                }
                2 => stage.now = stage.now.plus(UNSEEN_MS_MAX / 2),
                _ => stage.ring(),
            }
            let numbers = |sql| {
                let rows = stage.database.read(Statement::plain(sql)).unwrap();
                rows.first().map(|row| (row.unsigned(0).unwrap(), row.unsigned(1).unwrap()))
            };
            let counted = numbers("SELECT count(*) - coalesce(sum(standing), 0), coalesce(sum(standing), 0) FROM device");
            let kept = numbers("SELECT pending, attested FROM tally");
            prop_assert_eq!(kept, counted);
        }
    }
}
