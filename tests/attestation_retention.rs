//! What is kept and for how long: references, unfinished uploads, and how often one device may attest.

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

use attestation_support::support::{Stage, body, call, settings};
use attestation_support::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waystation::attestation::challenge::{ATTESTATIONS, CHALLENGES};
use waystation::attestation::object::handoff::next_call;
use waystation::attestation::policy::{Build, Policy};
use waystation::attestation::reference::{
    BUILDS_PER_PLATFORM_MAX, Counts, REFERENCES_MAX, UploadError, UploadPlan, decide_upload,
};
use waystation::attestation::retention::{
    Due, FAREWELL_AGAIN_MS, IDLE_MS_MAX, PER_ALARM_MAX, Place, REVIEW_MS, Review, UPLOAD_MS_MAX, review,
};
use waystation::attestation::whole::{LEAF_LEN, leaf_hash, tree_hash};
use waystation::attestation::{BUILD_MIGRATIONS, ReferenceStore};
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::object::{Call, Object as _, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::kernel::sql::{Sql as _, Statement};
use waystation::kernel::time::Timestamp;

const DAY_MS: u64 = 24 * 3_600_000;

fn rows(stage: &Registry, table: &str) -> usize {
    let table = format!("{table}: ");
    stage.database.dump().iter().filter(|line| line.starts_with(&table)).count()
}

/// The registry and the object of one build.
struct House {
    registry: Registry,
    build: Stage<ReferenceStore>,
    id: String,
}

fn file() -> Vec<u8> {
    file_piece("hash-1", 0, 2 * LEAF_LEN + 77)
}

fn manifest(version: &str) -> String {
    let file = file();
    let leaves = file.chunks(LEAF_LEN as usize).map(leaf_hash).collect();
    json!({ "typ": "manifest", "version": version, "platform": "android", "build_hash": "hash-1", "size": file.len(),
        "tree_hash": hex::encode(tree_hash(leaves)) })
    .to_string()
}

fn begin(registry: &mut Registry, manifest: &str) -> Reply {
    let signature = build_key().sign_base64(format!("waystation/attest/manifest/v1\n{manifest}").as_bytes());
    let body = json!({ "manifest": manifest, "signature": signature });
    post_as(registry, Principal::Ci, Operation::AttestReferenceBegin, &body)
}

impl House {
    fn new() -> Self {
        let build = Stage::new(settings(ALL), BUILD_MIGRATIONS, ReferenceStore::load);
        let mut house = Self { registry: registry(), build, id: String::new() };
        house.registry.evict_always = true;
        house
    }

    fn begin(&mut self) -> Reply {
        let reply = begin(&mut self.registry, &manifest("1.2.0"));
        let ci = Call { principal: Principal::Ci, ..call(Operation::AttestReferenceBegin) };
        let Some((_, name, next)) = next_call(&reply, &ci) else { return reply };
        self.id = name;
        self.build.now = self.registry.now;
        self.build.call(&next)
    }

    fn part(&mut self) -> Reply {
        let (query, params) =
            (format!("sha256={}", hex::encode(Sha256::digest(file()))), vec![self.id.clone(), "0".into()]);
        let ci = Call { principal: Principal::Ci, params, query, body: file(), ..call(Operation::AttestPart) };
        self.build.call(&ci)
    }

    fn complete(&mut self) -> Reply {
        let ci = Call { principal: Principal::Ci, params: vec![self.id.clone()], ..call(Operation::AttestComplete) };
        let reply = self.build.call(&ci);
        match next_call(&reply, &ci) {
            Some((_, _, next)) => self.registry.call(&next),
            None => reply,
        }
    }

    fn upload(&mut self) {
        accepted(&self.begin());
        accepted(&self.part());
        accepted(&self.complete());
    }

    /// What objects must be told by now.
    fn farewells(&mut self) -> Vec<(Ticket, Call)> {
        let errands = self.registry.take_errands().into_iter();
        errands
            .map(|(ticket, errand)| {
                let Errand::Call { class: Class::ReferenceStore, name, call } = errand else { panic!("{errand:?}") };
                assert_eq!((name, call.operation), (self.id.clone(), Operation::AttestForget));
                (ticket, *call)
            })
            .collect()
    }

    /// Tells the object, and the registry what it said.
    fn carry(&mut self) -> usize {
        let farewells = self.farewells();
        for (ticket, call) in &farewells {
            let reply = self.build.call(call);
            self.registry.tell(*ticket, Outcome::Replied(reply));
        }
        farewells.len()
    }

    fn stored(&self) -> usize {
        self.build
            .database
            .dump()
            .iter()
            .filter(|line| line.starts_with("manifest") || line.starts_with("leaf"))
            .count()
    }
}

// Uploads

#[test]
fn an_upload_that_is_not_completed_within_a_day_is_forgotten() {
    let mut house = House::new();
    accepted(&house.begin());
    accepted(&house.part());
    assert_eq!((rows(&house.registry, "upload"), house.stored()), (1, 4));
    house.registry.wait(UPLOAD_MS_MAX - 1);
    assert_eq!((house.carry(), rows(&house.registry, "upload")), (0, 1));
    house.registry.wait(1_000);
    assert_eq!(rows(&house.registry, "upload"), 0);
    // Until the object has answered the build cannot be uploaded, and a late completion does not count.
    assert_eq!((house.begin().status, house.complete().status), (409, 409));
    assert_eq!(house.carry(), 1);
    assert_eq!((house.stored(), rows(&house.registry, "farewell")), (0, 0));
    assert_eq!((house.complete().status, house.registry.object.deadline()), (404, None));
    house.upload();
    assert_eq!(rows(&house.registry, "reference"), 1);
}

#[test]
fn an_upload_that_goes_on_has_another_day() {
    let mut house = House::new();
    accepted(&house.begin());
    house.registry.wait(UPLOAD_MS_MAX - 1);
    accepted(&house.begin());
    house.registry.wait(UPLOAD_MS_MAX - 1);
    assert_eq!(house.carry(), 0);
    accepted(&house.part());
    accepted(&house.complete());
    assert_eq!((rows(&house.registry, "upload"), rows(&house.registry, "reference")), (0, 1));
    house.registry.wait(10 * DAY_MS);
    assert_eq!((house.carry(), house.stored()), (0, 4));
}

#[test]
fn an_object_that_does_not_answer_is_told_again_and_an_old_farewell_meets_no_newer_upload() {
    let mut house = House::new();
    accepted(&house.begin());
    accepted(&house.part());
    house.registry.wait(UPLOAD_MS_MAX + 1_000);
    let (ticket, first) = house.farewells().pop().unwrap();
    house.registry.tell(ticket, Outcome::Failed(Failure::TimedOut));
    assert_eq!(rows(&house.registry, "farewell"), 1);
    house.registry.wait(FAREWELL_AGAIN_MS - 2_000);
    assert!(house.farewells().is_empty());
    house.registry.wait(3_000);
    let again = house.farewells();
    assert_eq!((again.len(), &again[0]), (1, &(ticket, first.clone())));
    let reply = house.build.call(&first);
    house.registry.tell(ticket, Outcome::Replied(reply));
    house.registry.wait(1);
    house.upload();
    // The other farewell arrives late.
    accepted(&house.build.call(&again[0].1));
    assert_eq!(house.stored(), 4);
}

#[test]
fn begun_uploads_count_against_the_caps() {
    let mut stage = registry();
    let row = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
        INSERT INTO upload (reference_id, platform, begun_at) SELECT 'id-' || i, 'android', 1800000000000 FROM n";
    stage.database.commit(vec![Statement::plain(row)]).unwrap();
    assert_eq!(begin(&mut stage, &manifest("1.2.0")).status, 200);
    assert_eq!(rows(&stage, "upload") as u64, BUILDS_PER_PLATFORM_MAX);
    refused(&begin(&mut stage, &manifest("1.3.0")), 503, "Reference store full");
    refused(&upload(&mut stage, &upload_of("1.4.0", "android", "h", 3)), 503, "Reference store full");
    // It counts itself once only, and other platforms are another matter.
    assert_eq!(begin(&mut stage, &manifest("1.2.0")).status, 200);
    accepted(&upload(&mut stage, &upload_of("1.4.0", "ios", "h", 3)));
    stage.wait(UPLOAD_MS_MAX + 60_000);
    assert_eq!(rows(&stage, "upload"), 0);
    assert_eq!(begin(&mut stage, &manifest("1.3.0")).status, 200);
}

#[test]
fn the_caps_are_on_all_and_on_each_platform() {
    let counts = |all: u64, of_platform: u64| Counts { all, of_platform, leaving: 0 };
    assert_eq!(decide_upload(None, counts(REFERENCES_MAX - 1, BUILDS_PER_PLATFORM_MAX - 1), "d"), Ok(UploadPlan::Keep));
    assert_eq!(decide_upload(None, counts(REFERENCES_MAX, 0), "d"), Err(UploadError::Full));
    assert_eq!(
        decide_upload(None, counts(BUILDS_PER_PLATFORM_MAX, BUILDS_PER_PLATFORM_MAX), "d"),
        Err(UploadError::Full)
    );
    assert_eq!(decide_upload(None, Counts { leaving: 1, ..counts(0, 0) }, "d"), Err(UploadError::Leaving));
}

// References

#[test]
fn a_reference_stays_while_its_build_is_allowed_or_runs_and_90_days_longer() {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let build = |version: &str| Build { version: version.into(), platform: "p".into(), build_hash: "h".into() };
    let due = |version: &str, idle_since: Option<Timestamp>| Due {
        reference_id: String::new(),
        build: build(version),
        place: Place::Registry,
        idle_since,
    };
    let policy = Policy::default();
    let long_ago = Some(now.minus(IDLE_MS_MAX));
    for (version, runners, idle_since, expected) in [
        ("1.0.0", 0, None, Review::Needed),
        ("1.0.0", 0, long_ago, Review::Needed),
        ("0.9.0", 1, None, Review::Needed),
        ("0.9.0", 1, long_ago, Review::Needed),
        ("0.9.0", 0, None, Review::Idle(now)),
        ("0.9.0", 0, Some(now.minus(IDLE_MS_MAX - 1)), Review::Idle(now.minus(IDLE_MS_MAX - 1))),
        ("0.9.0", 0, long_ago, Review::Over),
    ] {
        assert_eq!(review(&due(version, idle_since), &policy, runners, now), expected, "{version} {runners}");
    }
}

#[test]
fn a_declared_reference_goes_with_its_bytes_and_the_log_says_so() {
    let mut stage = ready();
    stage.evict_always = true;
    accepted(&register(&mut stage, "device"));
    set_policy(&mut stage, &json!({ "minimum_version": "2.0.0" }));
    accepted(&upload(&mut stage, &upload_of("2.0.0", "android", "hash-2", 3)));
    // The device is forgotten after 90 days, and only then is the reference idle.
    stage.wait(150 * DAY_MS);
    assert_eq!((rows(&stage, "device"), rows(&stage, "reference")), (0, 2));
    stage.wait(40 * DAY_MS);
    assert_eq!((rows(&stage, "reference"), rows(&stage, "region")), (1, 3));
    assert!(stage.take_errands().is_empty(), "nobody else holds anything of it");
    let log = accepted(&stage.call(&call(Operation::AttestLog)));
    let last = log["entries"].as_array().unwrap().last().unwrap();
    let entry: Value = serde_json::from_str(last["entry"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&last["kind"], &entry["version"], &entry["build_hash"]),
        (&json!("removal"), &json!("1.2.0"), &json!("hash-1"))
    );
    // What is gone may come again.
    accepted(&upload(&mut stage, &upload_of("1.2.0", "android", "hash-1", 10)));
}

#[test]
fn a_build_that_is_allowed_again_is_not_idle_any_longer() {
    let mut stage = ready();
    set_policy(&mut stage, &json!({ "minimum_version": "2.0.0" }));
    stage.wait(80 * DAY_MS);
    set_policy(&mut stage, &json!({ "minimum_version": "1.0.0" }));
    stage.wait(2 * DAY_MS);
    set_policy(&mut stage, &json!({ "minimum_version": "2.0.0" }));
    stage.wait(80 * DAY_MS);
    assert_eq!(rows(&stage, "reference"), 1);
    stage.wait(12 * DAY_MS);
    assert_eq!(rows(&stage, "reference"), 0);
    assert_eq!(stage.object.deadline(), None);
}

#[test]
fn the_file_of_a_reference_that_goes_is_forgotten_by_its_object() {
    let mut house = House::new();
    house.upload();
    set_policy(&mut house.registry, &json!({ "blocked_builds": ["hash-1"] }));
    house.registry.wait(92 * DAY_MS);
    assert_eq!((rows(&house.registry, "reference"), house.stored()), (0, 4));
    assert!(!house.farewells().is_empty(), "told, and told again");
    house.registry.wait(FAREWELL_AGAIN_MS + 2_000);
    house.carry();
    assert_eq!((house.stored(), rows(&house.registry, "farewell"), house.registry.object.deadline()), (0, 0, None));
}

#[test]
fn one_alarm_looks_at_a_bounded_number_and_the_next_goes_on() {
    let mut stage = registry();
    let count = 2 * PER_ALARM_MAX + 7;
    for number in 0..count {
        accepted(&upload(&mut stage, &upload_of("1.2.0", "android", &format!("hash-{number}"), 1)));
    }
    set_policy(&mut stage, &json!({ "minimum_version": "2.0.0" }));
    stage.now = stage.now.plus(REVIEW_MS);
    let idle = |stage: &Registry| {
        let sql = "SELECT 1 FROM reference WHERE idle_since IS NOT NULL";
        stage.database.read(Statement::plain(sql)).unwrap().len() as u64
    };
    for expected in [PER_ALARM_MAX, 2 * PER_ALARM_MAX, count] {
        stage.evict();
        assert!(stage.object.deadline().is_some_and(|at| at.since(stage.now) <= 1_000));
        stage.ring();
        assert_eq!(idle(&stage), expected);
    }
    assert!(stage.object.deadline().is_some_and(|at| at.since(stage.now) > DAY_MS - 1_000));
}

// Devices

#[test]
fn a_device_gets_so_many_sessions_and_then_429_until_the_next_is_due() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    for _ in 0..ATTESTATIONS.limit() {
        let asked = accepted(&challenge(&mut stage, "device"));
        accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    }
    let reply = challenge(&mut stage, "device");
    refused(&reply, 429, "Too many attestations. Please try again later.");
    assert_eq!(reply.header("Retry-After"), Some("180"));
    // Registering again gives no more, and others are not concerned.
    accepted(&register(&mut stage, "device"));
    assert_eq!(challenge(&mut stage, "device").status, 429);
    accepted(&attest(&mut stage, "another"));
    stage.now = stage.now.plus(180_000);
    let asked = accepted(&challenge(&mut stage, "device"));
    accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
}

#[test]
fn challenges_kept_waiting_do_not_get_around_the_quota() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    let mut granted = 0;
    for _ in 0..10 {
        let asked: Vec<Reply> = (0..5).map(|_| challenge(&mut stage, "device")).collect();
        for asked in asked.iter().filter(|asked| asked.status == 200) {
            let reply = verify(&mut stage, &answer("device", &body(asked), "hash-1"));
            if reply.status == 200 {
                granted += 1;
            } else {
                failed(&reply);
            }
        }
    }
    assert_eq!(granted, ATTESTATIONS.limit());
}

#[test]
fn bad_answers_use_up_no_session() {
    let mut stage = ready();
    accepted(&register(&mut stage, "device"));
    for _ in 0..2 * ATTESTATIONS.limit() {
        let asked = accepted(&challenge(&mut stage, "device"));
        failed(&verify(&mut stage, &answer("device", &asked, "hash-2")));
    }
    let asked = accepted(&challenge(&mut stage, "device"));
    accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
}

#[test]
fn asking_too_fast_is_counted_as_an_anomaly_and_nothing_else() {
    let mut stage = ready();
    stage.evict_always = true;
    let flags = |stage: &mut Registry| accepted(&register(stage, "device"))["device"]["anomaly_flags"].clone();
    assert_eq!(flags(&mut stage), 0);
    for _ in 0..CHALLENGES.limit() {
        let asked = accepted(&challenge(&mut stage, "device"));
        failed(&verify(&mut stage, &answer("device", &asked, "hash-2")));
    }
    assert_eq!(flags(&mut stage), 0);
    for _ in 0..3 {
        let asked = accepted(&challenge(&mut stage, "device"));
        accepted(&verify(&mut stage, &answer("device", &asked, "hash-1")));
    }
    assert_eq!(flags(&mut stage), 3);
    stage.now = stage.now.plus(300_000);
    accepted(&challenge(&mut stage, "device"));
    assert_eq!(flags(&mut stage), 3);
}
