//! Every object class can be brought to its newest schema from every older one, with what was stored kept.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::Database;
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::{Migration, migrate, schema_version};
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const CLASSES: [(&str, &[Migration]); 11] = [
    ("SignalingRoom", waystation::signaling::object::MIGRATIONS),
    ("RelayRegistry", waystation::relay::MIGRATIONS),
    ("ServerRegistry", waystation::bootstrap::MIGRATIONS),
    ("AttestationRegistry", waystation::attestation::MIGRATIONS),
    ("ReferenceStore", waystation::attestation::BUILD_MIGRATIONS),
    ("PartyRoom", waystation::parties::object::party::MIGRATIONS),
    ("PartyIdentities", waystation::parties::PartyIdentities::MIGRATIONS),
    ("PartyDirectory", waystation::parties::PartyDirectory::MIGRATIONS),
    ("RemoteServer", waystation::push::MIGRATIONS),
    ("PushDirectory", waystation::push::DIRECTORY_MIGRATIONS),
    ("BillingDesk", waystation::billing::MIGRATIONS),
];

/// The statements that would make the database's tables and indices.
fn schema(database: &Database) -> Vec<String> {
    let sql = "SELECT coalesce(sql, name) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name";
    database.read(Statement::plain(sql)).unwrap().iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

fn at_version(migrations: &'static [Migration], version: usize) -> Database {
    let database = Database::new();
    migrate(&database, &migrations[..version], NOW).unwrap();
    database
}

#[test]
fn every_older_schema_grows_into_the_newest_and_running_again_changes_nothing() {
    for (class, migrations) in CLASSES {
        let fresh = schema(&at_version(migrations, migrations.len()));
        for older in 0..=migrations.len() {
            let database = at_version(migrations, older);
            assert_eq!(schema_version(&database).unwrap() as usize, older, "{class}");
            migrate(&database, migrations, NOW.plus(1)).unwrap();
            assert_eq!(schema(&database), fresh, "{class} from version {older}");
            assert_eq!(schema_version(&database).unwrap() as usize, migrations.len(), "{class}");
            let (commits, dump) = (database.commits(), database.dump());
            migrate(&database, migrations, NOW.plus(2)).unwrap();
            assert_eq!((database.commits(), database.dump()), (commits, dump), "{class}: nothing left to do");
        }
    }
}

#[test]
fn what_was_stored_by_an_older_version_is_kept() {
    let migrations = waystation::signaling::object::MIGRATIONS;
    let database = at_version(migrations, 1);
    let row = "INSERT INTO network_guesses (network, free_at_us, missed_at, forget_at) VALUES ('203.0.113.9', 1, 2, 3)";
    database.commit(vec![Statement::plain(row)]).unwrap();
    migrate(&database, migrations, NOW).unwrap();
    let kept = database.read(Statement::plain("SELECT free_at_us FROM network_guesses")).unwrap();
    assert_eq!(kept[0].integer(0).unwrap(), 1);
}

#[test]
fn uploaded_rows_of_an_older_version_age_and_are_weighed() {
    let migrations = waystation::push::MIGRATIONS;
    let before = migrations.iter().position(|migration| migration.name == "uploads").unwrap();
    let database = at_version(migrations, before);
    let now = NOW.as_millis();
    let (day, far) = (now + 86_400_000, now + 86_400_001);
    for sql in [
        format!(
            "INSERT INTO server (id, uuid, key_hash, hostname, contact_email, plan_type, deactivated, created_at, \
             last_updated, last_request_at) VALUES (1, 'a', x'00', '', '', 100, 0, 1, 1, {now})"
        ),
        String::from("INSERT INTO upload_mark VALUES ('audit', 3, 3, 3, 0), ('realm_count', 2, 2, 2, 0)"),
        format!(
            "INSERT INTO realm_count (remote_id, number, property, end_time, value) VALUES (1, 0, 'x', {day}, 1), \
             (2, 0, 'x', {far}, 1)"
        ),
        format!(
            "INSERT INTO realm_audit (remote_id, number, event_time, backfilled, event_type, extra, actor) VALUES \
             (1, 0, 1, 0, 101, '{{}}', 'server'), (2, 0, {far}, 0, 101, '{{\"a\":\"ä\"}}', 'server'), \
             (NULL, 0, {far}, 0, 204, '{{\"long\":1}}', 'clock')"
        ),
    ] {
        database.commit(vec![Statement::plain(Box::leak(sql.into_boxed_str()))]).unwrap();
    }
    migrate(&database, migrations, NOW).unwrap();
    let numbers = |sql: &'static str| -> Vec<i64> {
        database.read(Statement::plain(sql)).unwrap().iter().map(|row| row.integer(0).unwrap()).collect()
    };
    let now = i64::try_from(now).unwrap();
    assert_eq!(numbers("SELECT ifnull(aged_from, 0) FROM realm_count ORDER BY remote_id"), [0, now]);
    assert_eq!(numbers("SELECT ifnull(aged_from, 0) FROM realm_audit ORDER BY audit_id"), [0, now, 0]);
    assert_eq!(numbers("SELECT extra_bytes FROM upload_mark ORDER BY table_name"), [12, 0]);
}

#[test]
fn versions_are_numbered_without_gaps() {
    for (class, migrations) in CLASSES {
        let numbers: Vec<usize> = migrations.iter().map(|migration| migration.version as usize).collect();
        assert_eq!(numbers, (1..=migrations.len()).collect::<Vec<_>>(), "{class}");
        assert!(!migrations.is_empty(), "{class}");
    }
}

#[test]
fn a_database_from_the_future_is_not_touched() {
    let migrations = waystation::signaling::object::MIGRATIONS;
    let database = at_version(migrations, migrations.len());
    let dump = database.dump();
    let refused = migrate(&database, &migrations[..1], NOW);
    assert!(matches!(refused, Err(Fault::Corrupt(_))), "{refused:?}");
    assert_eq!(database.dump(), dump);
}

#[test]
fn a_step_that_fails_leaves_nothing_behind() {
    const BROKEN: &[Migration] = &[
        Migration { version: 1, name: "good", sql: "CREATE TABLE good (id INTEGER PRIMARY KEY) STRICT;\n" },
        Migration {
            version: 2,
            name: "broken",
            sql: "CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT;\nCREATE TABLE good (id INTEGER) STRICT;\n",
        },
    ];
    let database = Database::new();
    assert!(migrate(&database, BROKEN, NOW).is_err());
    assert_eq!((schema(&database), schema_version(&database).unwrap()), (Vec::<String>::new(), 0));
}
