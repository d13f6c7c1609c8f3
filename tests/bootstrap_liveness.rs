//! Heartbeats: what is written, what is forgotten, and who dies when.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bootstrap_support;

use std::collections::BTreeMap;

use bootstrap_support::support::{Database, settings};
use bootstrap_support::{DEV, Registry, accepted, beat, entry, listed, plain, register, registry, remove};
use proptest::prelude::*;
use serde_json::json;
use waystation::bootstrap::{MIGRATIONS, ServerRegistry};
use waystation::kernel::migration::{migrate, schema_version};
use waystation::kernel::object::{Object, Principal};
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;

const TTL_MS: u64 = 300_000;
const FLUSH_MS: u64 = 30_000;

fn beat_plain(stage: &mut Registry, id: &str) {
    accepted(&beat(stage, &json!({ "serverId": id, "connections": 1 })));
}

/// Rows written while `turns` rounds of one heartbeat of each of `servers` pass, evenly spread over `every_ms`.
fn rows_per_round(servers: usize, every_ms: u64, rounds: usize) -> (u64, u64) {
    let mut stage = registry(DEV);
    for number in 0..servers {
        accepted(&register(&mut stage, &plain(&format!("s{number}"))));
    }
    let before = stage.database.rows_written();
    let mut beats = 0;
    for _ in 0..rounds {
        for number in 0..servers {
            stage.wait(every_ms / servers as u64);
            beat_plain(&mut stage, &format!("s{number}"));
            beats += 1;
        }
    }
    assert_eq!(listed(&mut stage).len(), servers);
    (stage.database.rows_written() - before, beats)
}

#[test]
fn a_fleet_that_beats_every_minute_writes_a_row_per_flush_interval() {
    let (rows, beats) = rows_per_round(100, 60_000, 10);
    assert_eq!(beats, 1000);
    assert!(rows <= 10 * 60_000 / FLUSH_MS + 1, "{rows}");
    assert!(rows * 10 <= beats, "{rows} rows for {beats} heartbeats");
}

#[test]
fn a_few_servers_that_beat_rapidly_write_a_row_per_flush_interval() {
    let (rows, beats) = rows_per_round(3, 3000, 100);
    assert!(rows <= 300_000 / FLUSH_MS + 1, "{rows}");
    assert!(rows * 10 <= beats, "{rows} rows for {beats} heartbeats");
}

#[test]
fn a_full_registry_flushes_into_one_row_far_below_the_platforms_limit() {
    let mut stage = registry(DEV);
    for number in 0..1000 {
        let mut body = plain(&format!("{number:0>128}"));
        body["timestamp"] = json!(stage.now.as_millis());
        for name in ["connections", "relayConnections", "signalingConnections", "activeCodes"] {
            body[name] = json!((1_u64 << 53) - 1);
        }
        accepted(&register(&mut stage, &body));
    }
    let before = stage.database.rows_written();
    beat_plain(&mut stage, &format!("{:0>128}", 7));
    assert_eq!(stage.database.rows_written() - before, 1);
    let rows = stage.database.read(Statement::plain("SELECT length(snapshot) FROM liveness")).unwrap();
    let bytes = rows[0].integer(0).unwrap();
    assert!((100_000..200_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn after_an_eviction_or_a_crash_the_living_are_listed_as_they_were_at_most_a_flush_interval_ago() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    for turn in 0..200 {
        stage.wait(10_000);
        beat_plain(&mut stage, "a");
        let heard = stage.now.as_millis();
        if turn % 3 == 0 {
            stage.evict();
        } else if turn % 7 == 0 {
            stage.crash();
        }
        let seen = entry(&mut stage, "a")["lastSeen"].as_u64().expect("listed");
        assert!(heard - seen <= FLUSH_MS, "{} ms lost", heard - seen);
    }
}

#[test]
fn servers_that_beat_in_turns_all_stay_listed_although_the_memory_never_lasts() {
    let mut stage = registry(DEV);
    for id in ["a", "b", "c"] {
        accepted(&register(&mut stage, &plain(id)));
    }
    // Every 60 s, ten seconds apart: a beat of b or c always follows a's flush too closely to flush by itself.
    for _ in 0..30 {
        for id in ["a", "b", "c"] {
            stage.wait(10_000);
            stage.evict();
            beat_plain(&mut stage, id);
        }
        stage.wait(30_000);
        stage.crash();
        assert_eq!(listed(&mut stage), ["a", "b", "c"]);
        for id in ["a", "b", "c"] {
            let seen = entry(&mut stage, id)["lastSeen"].as_u64().unwrap();
            assert!(stage.now.as_millis() - seen <= 120_000, "clients would drop {id}");
        }
    }
}

#[test]
fn a_server_that_is_heard_seldom_stays_listed_for_half_a_life_after_a_crash() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("seldom")));
    accepted(&register(&mut stage, &plain("often")));
    for _ in 0..8 {
        stage.wait(20_000);
        beat_plain(&mut stage, "often");
    }
    stage.wait(1000);
    beat_plain(&mut stage, "seldom");
    stage.crash();
    stage.wait(TTL_MS / 2 - 1);
    assert_eq!(listed(&mut stage), ["often", "seldom"]);
}

#[test]
fn registrations_and_removals_survive_a_crash_at_once() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    accepted(&register(&mut stage, &plain("b")));
    beat_plain(&mut stage, "a");
    accepted(&remove(&mut stage, "a", Principal::RegistryWriter, ""));
    stage.crash();
    assert_eq!(listed(&mut stage), ["b"]);
    let mut body = plain("a");
    body["connections"] = json!(42);
    accepted(&register(&mut stage, &body));
    stage.crash();
    assert_eq!(entry(&mut stage, "a")["connections"], 42, "not what the old snapshot says");
}

#[test]
fn counters_of_the_last_flush_survive_a_crash() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    stage.wait(FLUSH_MS);
    accepted(&beat(&mut stage, &json!({ "serverId": "a", "connections": 17, "activeCodes": 3 })));
    let before = entry(&mut stage, "a");
    stage.crash();
    assert_eq!(entry(&mut stage, "a"), before);
}

#[test]
fn the_dead_are_not_listed_and_the_alarm_removes_them() {
    let mut stage = registry(DEV);
    assert_eq!(stage.object.deadline(), None);
    accepted(&register(&mut stage, &plain("a")));
    let deadline = stage.object.deadline().expect("a sweep is due");
    assert!(deadline > stage.now && deadline <= stage.now.plus(300_000));
    stage.wait(TTL_MS / 2);
    accepted(&register(&mut stage, &plain("b")));
    stage.wait(TTL_MS / 2);
    assert_eq!(listed(&mut stage), ["b"]);
    stage.evict();
    assert_eq!(listed(&mut stage), ["b"]);
    stage.wait(2 * TTL_MS);
    assert!(!stage.database.dump().iter().any(|line| line.starts_with("server:")));
    assert_eq!(stage.object.deadline(), None);
    assert_eq!(beat(&mut stage, &json!({ "serverId": "a" })).status, 404);
}

#[test]
fn a_dead_server_that_was_not_swept_is_revived_by_its_heartbeat() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    stage.now = stage.now.plus(TTL_MS);
    assert!(listed(&mut stage).is_empty());
    beat_plain(&mut stage, "a");
    assert_eq!(listed(&mut stage), ["a"]);
    stage.evict();
    assert_eq!(listed(&mut stage), ["a"]);
}

#[test]
fn a_server_whose_heartbeats_are_in_memory_only_is_not_swept() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    for _ in 0..100 {
        stage.wait(20_000);
        beat_plain(&mut stage, "a");
    }
    stage.ring();
    assert_eq!(listed(&mut stage), ["a"]);
}

#[test]
fn the_alarm_keeps_its_time_however_often_the_memory_is_lost() {
    let mut stage = registry(DEV);
    accepted(&register(&mut stage, &plain("a")));
    let deadline = stage.object.deadline();
    while stage.now.plus(20_000) < deadline.unwrap() {
        stage.now = stage.now.plus(20_000);
        stage.evict();
        beat_plain(&mut stage, "a");
        assert_eq!(stage.object.deadline(), deadline);
    }
}

#[test]
fn the_alarm_sweeps_in_batches_and_ringing_it_twice_changes_nothing() {
    let mut stage = registry(DEV);
    for number in 0..600 {
        accepted(&register(&mut stage, &plain(&format!("s{number}"))));
    }
    stage.now = stage.now.plus(TTL_MS);
    let kept = |stage: &Registry| stage.database.dump().iter().filter(|line| line.starts_with("server:")).count();
    stage.ring();
    assert_eq!(kept(&stage), 350);
    assert_eq!(stage.object.deadline(), Some(stage.now.plus(1000)));
    stage.wait(2000);
    assert_eq!(kept(&stage), 0);
    let dump = stage.database.dump();
    stage.ring();
    stage.ring();
    assert_eq!(stage.database.dump(), dump);
}

#[test]
fn expired_nonces_are_swept() {
    let mut stage = registry(DEV);
    for number in 0..3000 {
        let mut body = plain("a");
        body["nonce"] = json!(format!("nonce-of-16-chars-{number}"));
        accepted(&register(&mut stage, &body));
    }
    accepted(&remove(&mut stage, "a", Principal::RegistryWriter, ""));
    assert!(stage.object.deadline().is_some());
    stage.wait(600_000);
    assert!(!stage.database.dump().iter().any(|line| line.starts_with("proof:")));
    assert_eq!(stage.object.deadline(), None);
}

#[test]
fn a_shorter_life_flushes_more_often() {
    let mut stage = registry(&[DEV, &[("SERVER_TTL_MS", "4000")]].concat());
    accepted(&register(&mut stage, &plain("a")));
    for _ in 0..50 {
        stage.wait(500);
        beat_plain(&mut stage, "a");
        let heard = stage.now.as_millis();
        stage.crash();
        assert!(heard - entry(&mut stage, "a")["lastSeen"].as_u64().unwrap() <= 1000);
    }
}

#[test]
fn the_schema_grows_from_nothing_and_growing_it_again_changes_nothing() {
    let database = Database::new();
    assert_eq!(schema_version(&database).unwrap(), 0);
    migrate(&database, MIGRATIONS, Timestamp::from_millis(1)).unwrap();
    assert_eq!(schema_version(&database).unwrap(), 1);
    let (dump, commits) = (database.dump(), database.commits());
    migrate(&database, MIGRATIONS, Timestamp::from_millis(2)).unwrap();
    assert_eq!((database.dump(), database.commits()), (dump, commits));
    let loaded = ServerRegistry::load(settings(DEV), &database, Timestamp::from_millis(3), Vec::new());
    assert_eq!(loaded.unwrap().deadline(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Register(u8, u32),
    Beat(u8, u32),
    Remove(u8),
    Wait(u64),
    Evict,
    Alarm,
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = 0_u8..5;
    prop_oneof![
        3 => (id.clone(), any::<u32>()).prop_map(|(id, connections)| Step::Register(id, connections)),
        6 => (id.clone(), any::<u32>()).prop_map(|(id, connections)| Step::Beat(id, connections)),
        1 => id.prop_map(Step::Remove),
        4 => prop_oneof![1_u64..2000, 10_000_u64..40_000, 100_000_u64..320_000].prop_map(Step::Wait),
        2 => Just(Step::Evict),
        1 => Just(Step::Alarm),
    ]
}

/// What the reference knows of a server: when it was heard, and its counter.
type Reference = BTreeMap<String, (u64, u32)>;

fn list_of(reference: &Reference, now: u64) -> Vec<(String, u64, u32)> {
    let alive = reference.iter().filter(|(_, (seen, _))| now - seen < TTL_MS);
    alive.map(|(id, (seen, connections))| (id.clone(), *seen, *connections)).collect()
}

fn list_in(stage: &mut Registry) -> Vec<(String, u64, u32)> {
    let body = bootstrap_support::support::body(&bootstrap_support::list(stage));
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    body["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| {
            let connections = u32::try_from(number(&server["connections"])).unwrap();
            (server["serverId"].as_str().unwrap().to_owned(), number(&server["lastSeen"]), connections)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The reference keeps everything for ever. Without evictions the registry agrees with it exactly; an eviction may
    /// take away what was not flushed, but nobody who was heard in the last half of a life; then the reference is set
    /// back to what the registry still knows.
    #[test]
    fn the_registry_is_a_map_with_a_clock(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut stage = registry(DEV);
        let mut reference = Reference::new();
        for step in steps {
            let now = stage.now.as_millis();
            match step {
                Step::Register(id, connections) => {
                    let id = format!("s{id}");
                    let mut body = plain(&id);
                    body["connections"] = json!(connections);
                    accepted(&register(&mut stage, &body));
                    reference.insert(id, (now, connections));
                }
                Step::Beat(id, connections) => {
                    let id = format!("s{id}");
                    let status = beat(&mut stage, &json!({ "serverId": id, "connections": connections })).status;
                    let known = reference.get_mut(&id);
                    let alive = known.as_ref().is_some_and(|(seen, _)| now - seen < TTL_MS);
                    prop_assert!(status == 200 || (status == 404 && !alive), "{status}");
                    if let Some(known) = known.filter(|_| status == 200) {
                        *known = (now, connections);
                    }
                }
                Step::Remove(id) => {
                    let id = format!("s{id}");
                    accepted(&remove(&mut stage, &id, Principal::RegistryWriter, ""));
                    reference.remove(&id);
                }
                Step::Wait(ms) => stage.wait(ms),
                Step::Evict => {
                    stage.evict();
                    let found: Reference =
                        list_in(&mut stage).into_iter().map(|(id, seen, number)| (id, (seen, number))).collect();
                    prop_assert!(found.keys().all(|id| reference.contains_key(id)));
                    for (id, known) in &mut reference {
                        let heard = known.0;
                        *known = found.get(id).copied().unwrap_or((0, 0));
                        prop_assert!(known.0 <= heard);
                        prop_assert!(known.0 + TTL_MS / 2 >= heard || now - heard >= TTL_MS / 2, "{id}: {known:?}");
                    }
                }
                Step::Alarm => stage.ring(),
            }
            // A second later even changed counters show.
            stage.now = stage.now.plus(1000);
            prop_assert_eq!(list_in(&mut stage), list_of(&reference, stage.now.as_millis()));
        }
    }
}
