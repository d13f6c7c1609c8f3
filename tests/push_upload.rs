//! Uploads as bytes: what is read, what is refused in which words, and what one upload costs.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use support::Database;
use waystation::kernel::migration::{Migration, migrate};
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation;
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;
use waystation::push::count::Property;
use waystation::push::headcount::{Newest, People};
use waystation::push::refusal::{ParameterError, Refusal};
use waystation::push::store::{headcounts, uploads};
use waystation::push::upload::{Extra, Marks, Table, Upload, check_extra, check_rows, count_people};
use waystation::push::wire::envelope::refused;
use waystation::push::wire::upload::parse_upload;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const SCHEMA: &[Migration] = waystation::push::MIGRATIONS;

fn form(fields: &[(&str, String)]) -> Call {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        body.append_pair(name, value);
    }
    let mut call = support::call(Operation::PushAnalytics);
    call.content_type = Some(String::from("application/x-www-form-urlencoded"));
    call.body = body.finish().into_bytes();
    call
}

fn parse(fields: &[(&str, Value)]) -> Result<Upload, ParameterError> {
    let fields: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, value.to_string())).collect();
    parse_upload(&form(&fields))
}

fn count(id: i64) -> Value {
    json!({ "property": "messages_sent:is_bot:hour", "realm": 2, "id": id, "end_time": 1_700_000_000.0 + (id * 3600) as f64,
        "subgroup": "false", "value": 5 })
}

fn audit(id: i64, people: u64) -> Value {
    json!({ "id": id, "realm": 2, "event_time": 1_700_000_000.5, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": people }, "12": 1 } } })
}

fn realm() -> Value {
    json!({ "id": 2, "host": "chat.example.com", "url": "https://chat.example.com", "date_created": 1_600_000_000.25,
        "deactivated": false, "uuid": "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe", "uuid_owner_secret": "secret" })
}

/// A good upload with one member of one place replaced; `None` removes it.
fn with(path: &str, key: &str, value: Option<Value>) -> Vec<(&'static str, Value)> {
    let mut tables = BTreeMap::from([
        ("realm_counts", json!([count(1)])),
        ("installation_counts", json!([count(1)])),
        ("realmauditlog_rows", json!([audit(1, 3)])),
        ("realms", json!([realm()])),
    ]);
    let row = tables.get_mut(path).unwrap().get_mut(0).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => row.insert(key.to_owned(), value),
        None => row.remove(key),
    };
    tables.into_iter().collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_wrong_upload_is_refused_in_the_golden_words() {
    let mut lines = String::new();
    let mut note = |case: String, outcome: Result<Upload, ParameterError>| {
        let told = match outcome {
            Ok(_) => String::from("accepted"),
            Err(error) => {
                let reply = refused(&Refusal::Parameter(error));
                format!("{} {}", reply.status, reply.body.trim_end())
            }
        };
        writeln!(lines, "{case}\t{told}").unwrap();
    };
    let empty = || json!([]);
    note(String::from("nothing"), parse(&[]));
    note(String::from("no installation_counts"), parse(&[("realm_counts", empty())]));
    for name in ["realm_counts", "installation_counts", "realmauditlog_rows", "realms"] {
        let fields = |text: &str| {
            let value = |field: &str| if field == name { text.to_owned() } else { String::from("[]") };
            form(
                &["realm_counts", "installation_counts", "realmauditlog_rows", "realms"]
                    .map(|field| (field, value(field))),
            )
        };
        for text in ["[", "{}", "5", "[5]", "[{}]", "null"] {
            note(format!("{name}={text}"), parse_upload(&fields(text)));
        }
    }
    let wrong = [
        ("property", vec![None, Some(json!(5))]),
        ("realm", vec![None, Some(json!("2")), Some(json!(2.5))]),
        ("id", vec![None, Some(json!(null)), Some(json!("1")), Some(json!(1_u64 << 60))]),
        ("end_time", vec![None, Some(json!("x")), Some(json!(-1)), Some(json!(1e18)), Some(json!(5))]),
        ("subgroup", vec![None, Some(json!(5)), Some(json!(null)), Some(json!("x".repeat(17)))]),
        ("value", vec![None, Some(json!(1.5)), Some(json!(true))]),
        ("unknown", vec![Some(json!(1))]),
    ];
    for table in ["realm_counts", "installation_counts"] {
        for (key, values) in &wrong {
            for value in values {
                let shown = value.as_ref().map_or(String::from("absent"), ToString::to_string);
                note(format!("{table}.{key}={shown}"), parse(&with(table, key, value.clone())));
            }
        }
    }
    for (key, values) in [
        ("id", vec![None, Some(json!("1"))]),
        ("realm", vec![None, Some(json!(null))]),
        ("event_time", vec![None, Some(json!("x")), Some(json!(-5))]),
        ("backfilled", vec![None, Some(json!(0))]),
        ("extra_data", vec![None, Some(json!(5)), Some(json!([])), Some(json!("x")), Some(json!(null))]),
        ("event_type", vec![None, Some(json!("101"))]),
    ] {
        for value in values {
            let shown = value.as_ref().map_or(String::from("absent"), ToString::to_string);
            note(format!("realmauditlog_rows.{key}={shown}"), parse(&with("realmauditlog_rows", key, value)));
        }
    }
    for (key, values) in [
        ("id", vec![None, Some(json!("1"))]),
        ("host", vec![None, Some(json!(1)), Some(json!("x".repeat(1_025)))]),
        ("url", vec![None, Some(json!(1))]),
        ("name", vec![Some(json!(null)), Some(json!("n"))]),
        ("org_type", vec![Some(json!(11)), Some(json!("10")), Some(json!(1_000))]),
        ("date_created", vec![None, Some(json!("x")), Some(json!(-1))]),
        ("deactivated", vec![None, Some(json!(null))]),
        ("is_system_bot_realm", vec![Some(json!(1)), Some(json!(true))]),
        (
            "authentication_methods",
            vec![
                Some(json!([])),
                Some(json!({ "Email": 1 })),
                Some(json!({ "Email": true })),
                Some(json!({ "M".repeat(100): true })),
                Some(json!({ "M".repeat(101): true })),
            ],
        ),
        ("uuid", vec![None, Some(json!(5)), Some(json!("x"))]),
        ("uuid_owner_secret", vec![None, Some(json!(5))]),
        (
            "advertise_realm_data",
            vec![Some(json!(null)), Some(json!(5)), Some(json!({ "invite_required": 1 })), Some(json!({}))],
        ),
        ("from_the_future", vec![Some(json!(1))]),
    ] {
        for value in values {
            let shown =
                value.as_ref().map_or(String::from("absent"), |value| value.to_string().chars().take(40).collect());
            note(format!("realms.{key}={shown}"), parse(&with("realms", key, value)));
        }
    }
    for (name, value) in [
        ("version", json!(5)),
        ("version", json!("v".repeat(500))),
        ("merge_base", json!(5)),
        ("merge_base", json!("m".repeat(129))),
        ("api_feature_level", json!("5")),
        ("api_feature_level", json!(-1)),
        ("api_feature_level", json!(null)),
    ] {
        let shown: String = value.to_string().chars().take(40).collect();
        note(
            format!("{name}={shown}"),
            parse(&[("realm_counts", empty()), ("installation_counts", empty()), (name, value)]),
        );
    }
    assert_eq!(lines, include_str!("golden/push/upload_errors.tsv"), "\n{lines}");
}

#[test]
fn the_quick_reader_and_the_exact_one_read_the_same() {
    let quick = parse(&with("realms", "name", Some(json!("x")))).unwrap();
    // A key that stands twice is no good to the quick reader; the exact one takes the last, as the dialect does.
    let twice = |value: &Value| {
        let text = value.to_string();
        format!("[{}", text.trim_start_matches('[').replacen('{', "{\"id\":0,", 1))
    };
    let exact = parse_upload(&form(&[
        ("realm_counts", twice(&json!([count(1)]))),
        ("installation_counts", twice(&json!([count(1)]))),
        ("realmauditlog_rows", twice(&json!([audit(1, 3)]))),
        (
            "realms",
            json!([{ "name": "x", "id": 2, "host": "chat.example.com", "url": "https://chat.example.com",
            "date_created": 1_600_000_000.25, "deactivated": false, "uuid": "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe",
            "uuid_owner_secret": "secret" }])
            .to_string(),
        ),
    ]))
    .unwrap();
    assert_eq!(quick, exact);
    let row = &quick.audit_rows.as_ref().unwrap()[0];
    assert_eq!(row.event_time.as_millis(), 1_700_000_000_500);
    assert!(matches!(&row.extra, Extra::Object { people: Some(people), .. } if people.billed() == 3));
}

#[test]
fn the_first_violation_of_the_first_table_counts() {
    let upload = |realm: Value, installation: Value, audit: Value| {
        parse(&[("realm_counts", realm), ("installation_counts", installation), ("realmauditlog_rows", audit)]).unwrap()
    };
    let renamed = |id: i64, name: &str| {
        let mut row = count(id);
        row["property"] = json!(name);
        row
    };
    let typed = |id: i64, event_type: i64| {
        let mut row = audit(id, 1);
        row["event_type"] = json!(event_type);
        row
    };
    let marks = Marks { realm_counts: 10, installation_counts: 20, audit_rows: 30 };
    let none = || json!([]);
    for (case, upload, expected) in [
        ("the mark itself", upload(json!([count(10)]), none(), none()), Err("Data is out of order.")),
        ("equal ids", upload(json!([count(11), count(11)]), none(), none()), Err("Data is out of order.")),
        ("falling ids", upload(json!([count(13), count(12)]), none(), none()), Err("Data is out of order.")),
        (
            "property before order",
            upload(json!([renamed(1, "mobile_pushes_received::day")]), none(), none()),
            Err("Invalid property mobile_pushes_received::day"),
        ),
        ("unknown property", upload(none(), json!([renamed(21, "x")]), none()), Err("Invalid property x")),
        (
            "realm counts before installation counts",
            upload(json!([count(1)]), json!([renamed(1, "x")]), none()),
            Err("Data is out of order."),
        ),
        ("event type", upload(none(), none(), json!([typed(31, 215)])), Err("Invalid event type.")),
        ("event order", upload(none(), none(), json!([audit(30, 1)])), Err("Data is out of order.")),
        ("event 725", upload(none(), none(), json!([typed(31, 725)])), Ok((10, 20, 31))),
        (
            "rows that are not kept move the mark",
            upload(json!([renamed(11, "invites_sent::day")]), none(), none()),
            Ok((11, 20, 30)),
        ),
        ("gaps", upload(json!([count(15), count(99)]), json!([count(21)]), json!([audit(40, 1)])), Ok((99, 21, 40))),
    ] {
        let got = check_rows(marks, &upload);
        let got = got.map(|marks| (marks.realm_counts, marks.installation_counts, marks.audit_rows));
        assert_eq!(got.map_err(|error| error.sentence()), expected.map_err(str::to_owned), "{case}");
    }
    let mut bad = audit(31, 1);
    bad["extra_data"] = json!("{");
    let malformed = check_extra(&upload(none(), none(), json!([bad])));
    assert_eq!(malformed.unwrap_err().sentence(), "Malformed audit log data");
    let mut text = audit(31, 1);
    text["extra_data"] = json!("{\"10\":{\"11\":{\"400\":7}}}");
    assert!(check_extra(&upload(none(), none(), json!([text]))).is_ok());
}

fn database() -> Database {
    let database = Database::new();
    migrate(&database, SCHEMA, NOW).unwrap();
    database
}

fn number(database: &Database, sql: &'static str) -> i64 {
    database.read(Statement::plain(sql)).unwrap()[0].integer(0).unwrap()
}

#[test]
fn duplicates_are_dropped_and_the_mark_moves_on() {
    let (database, nobody) = (database(), BTreeMap::new());
    let upload = |from: i64| {
        let rows: Vec<Value> = (0..50)
            .map(|row| {
                let mut value = count(row);
                value["id"] = json!(from + row);
                value
            })
            .collect();
        parse(&[("realm_counts", json!(rows)), ("installation_counts", json!(rows))]).unwrap()
    };
    for (from, last) in [(1, 50), (1_000, 1_049)] {
        let upload = upload(from);
        let mut batch = uploads::put_counts(Table::RealmCounts, &upload.realm_counts, &nobody, last, NOW).unwrap();
        batch.extend(
            uploads::put_counts(Table::InstallationCounts, &upload.installation_counts, &nobody, last, NOW).unwrap(),
        );
        database.commit(batch).unwrap();
        assert_eq!(uploads::load_marks(&database).unwrap().realm_counts, last);
    }
    assert_eq!(number(&database, "SELECT count(*) FROM realm_count"), 50);
    assert_eq!(number(&database, "SELECT count(*) FROM installation_count"), 50);
    let kept = uploads::load_kept(&database, Table::RealmCounts).unwrap();
    assert_eq!((kept.offered, kept.stored), (100, 50));
}

#[test]
fn ten_thousand_rows_of_each_table_are_few_statements_and_come_out_as_they_went_in() {
    let counts: Vec<Value> = (1..=10_000).map(count).collect();
    let audits: Vec<Value> = (1..=10_000).map(|id| audit(id, u64::try_from(id).unwrap())).collect();
    let call = form(&[
        ("realm_counts", json!(counts).to_string()),
        ("installation_counts", json!(counts).to_string()),
        ("realmauditlog_rows", json!(audits).to_string()),
    ]);
    let upload = parse_upload(&call).unwrap();
    let marks = check_rows(Marks::default(), &upload).unwrap();
    let rows = upload.audit_rows.as_deref().unwrap();
    let owners = BTreeMap::from([(2, 5)]);
    let (people, told) = count_people(NOW, People::default(), &owners, rows);
    let mut batch =
        uploads::put_counts(Table::RealmCounts, &upload.realm_counts, &owners, marks.realm_counts, NOW).unwrap();
    let (rows_of_all, last) = (&upload.installation_counts, marks.installation_counts);
    batch.extend(uploads::put_counts(Table::InstallationCounts, rows_of_all, &owners, last, NOW).unwrap());
    batch.extend(uploads::put_audit_rows(rows, &owners, marks.audit_rows, NOW).unwrap());
    batch.extend(headcounts::put(&people).unwrap());
    assert!(batch.len() <= 30, "{} statements", batch.len());
    for statement in &batch {
        for param in &statement.params {
            let length = if let waystation::kernel::sql::Value::Text(text) = param { text.len() } else { 0 };
            assert!(length < 1_000_000, "a parameter of {length} bytes");
        }
    }
    let database = database();
    database.commit(batch).unwrap();
    for table in ["realm_count", "installation_count", "realm_audit"] {
        let rows = database.dump().iter().filter(|line| line.starts_with(&format!("{table}: "))).count();
        assert_eq!(rows, 10_000, "{table}");
    }
    assert_eq!(told.len(), 20_000, "of the server and of its organization");
    let newest: Newest = headcounts::load_realm(&database, 5).unwrap();
    assert_eq!(newest.at(NOW).billed(), 10_000);
    assert_eq!(number(&database, "SELECT count(*) FROM headcount"), 1, "flat in audit rows");
    let line = "SELECT count(*) FROM realm_count WHERE remote_id = 77 AND number = 2 AND realm_id = 5 AND subgroup = 'false' AND value = 5 \
        AND end_time = 1700277200000 AND property = 'messages_sent:is_bot:hour'";
    assert_eq!(number(&database, line), 1);
    assert_eq!(upload.realm_counts[0].property, Property::Stored("messages_sent:is_bot:hour"));
}
