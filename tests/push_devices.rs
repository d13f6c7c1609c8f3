//! Devices: registered, deduplicated, unregistered, sealed, each server's its own.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::push_support::{PUBLIC_KEY, sealed_text};
use push_world::support::body;
use push_world::{
    REALM, USER, UUID_A, UUID_B, World, accepted, answered, as_server, delivered, form_call, json_call, notification,
    refused,
};
use serde_json::{Value, json};
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;
use waystation::push::sealed::TokenId;

const FOREIGN: &str = "Your organization is registered to a different Zulip server. Please contact Zulip support for \
    assistance in resolving this issue.";

fn ready() -> World {
    let mut world = World::new();
    world.register(UUID_A);
    world
}

/// The form of a good registration with one field replaced, or removed by `-`.
fn changed(field: &str, value: &str) -> Vec<(String, String)> {
    let good =
        [("user_id", "10"), ("user_uuid", USER), ("token", "c0ffee"), ("token_kind", "1"), ("ios_app_id", "org.App")];
    let kept = good.into_iter().filter(|(name, _)| *name != field);
    kept.chain((value != "-").then_some((field, value))).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn send_form(world: &mut World, operation: Operation, form: &[(String, String)]) -> Reply {
    let pairs: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.send(&as_server(UUID_A, form_call(operation, &pairs)))
}

fn send_json(world: &mut World, uuid: &str, operation: Operation, body: &Value) -> Reply {
    world.send(&as_server(uuid, json_call(operation, body)))
}

#[test]
fn each_bad_device_is_refused_in_the_clients_words() {
    let long = "a".repeat(4098);
    let table: &[(&str, &str, &str)] = &[
        ("token", "-", "Missing 'token' argument"),
        ("token_kind", "-", "Missing 'token_kind' argument"),
        ("token_kind", "x", "token_kind is not valid JSON"),
        ("token_kind", "\"1\"", "token_kind is not an integer"),
        ("token_kind", "1.0", "token_kind is not an integer"),
        ("token_kind", "true", "token_kind is not an integer"),
        ("user_id", "\"10\"", "user_id is not an integer"),
        ("user_id", "9007199254740993", "user_id is not an integer"),
        ("user_uuid", "x", "user_uuid has invalid format"),
        ("realm_uuid", "x", "realm_uuid has invalid format"),
        ("ios_app_id", "a b", "ios_app_id has invalid format"),
        ("token_kind", "17", "Invalid token type"),
        ("token", "", "Empty or invalid length token"),
        ("token", &long, "Empty or invalid length token"),
        ("token", "xyz", "Invalid APNS token"),
        ("ios_app_id", "-", "Missing ios_app_id"),
    ];
    let mut world = ready();
    for (field, value, msg) in table {
        let reply = send_form(&mut world, Operation::PushDeviceRegister, &changed(field, value));
        let code = if msg.starts_with("Missing '") { "REQUEST_VARIABLE_MISSING" } else { "BAD_REQUEST" };
        refused(&reply, 400, code, msg);
    }
    for operation in [Operation::PushDeviceRegister, Operation::PushDeviceUnregister] {
        let nobody: Vec<_> = changed("user_id", "-").into_iter().filter(|(name, _)| name != "user_uuid").collect();
        refused(&send_form(&mut world, operation, &nobody), 400, "BAD_REQUEST", "Missing user_id or user_uuid");
        let mut realm_only = changed("user_uuid", "-");
        realm_only.push((String::from("realm_uuid"), String::from(REALM)));
        refused(&send_form(&mut world, operation, &realm_only), 400, "BAD_REQUEST", "realm_uuid requires user_uuid");
    }
    let reply = send_form(&mut world, Operation::PushDeviceUnregisterAll, &[]);
    refused(&reply, 400, "BAD_REQUEST", "Missing user_id or user_uuid");
    let reply = send_form(&mut world, Operation::PushDeviceUnregister, &changed("ios_app_id", "-"));
    refused(&reply, 400, "BAD_REQUEST", "Token does not exist");
    assert_eq!(world.rows(UUID_A, "device"), 0);
}

#[test]
fn repeating_a_registration_changes_nothing_and_the_case_of_apples_tokens_does_not_count() {
    let mut world = ready();
    let mut form = changed("token", "C0FFEE");
    form.push((String::from("server_uuid"), String::from(UUID_A)));
    let reply = send_form(&mut world, Operation::PushDeviceRegister, &form);
    assert_eq!(accepted(&reply)["ignored_parameters_unsupported"], json!(["server_uuid"]));
    let dump = world.dump();
    world.wait(120_000);
    accepted(&send_form(&mut world, Operation::PushDeviceRegister, &changed("token", "c0ffee")));
    accepted(&send_form(&mut world, Operation::PushDeviceRegister, &changed("ios_app_id", "other.App")));
    let without_times =
        |dump: Vec<String>| dump.into_iter().filter(|line| !line.contains(" server: ")).collect::<Vec<_>>();
    assert_eq!(without_times(world.dump()), without_times(dump));
    // Google's tokens are compared letter by letter.
    for token in ["AbC", "abc"] {
        world.device(UUID_A, "2", token);
    }
    assert_eq!(world.rows(UUID_A, "device"), 3);
}

#[test]
fn a_number_gives_way_to_a_uuid() {
    let mut world = ready();
    accepted(&send_form(&mut world, Operation::PushDeviceRegister, &changed("user_uuid", "-")));
    assert_eq!(world.rows(UUID_A, "device"), 1);
    accepted(&send_form(&mut world, Operation::PushDeviceRegister, &changed("token", "C0ffee")));
    assert_eq!(world.rows(UUID_A, "device"), 1);
    // A notification by both finds one device and sends once.
    let reply = send_json(&mut world, UUID_A, Operation::PushNotify, &with_number(notification(1)));
    assert_eq!(accepted(&reply)["total_apple_devices"], 1);
    assert_eq!(world.fetched.len(), 1);
}

fn with_number(mut body: Value) -> Value {
    body["user_id"] = json!(10);
    body
}

#[test]
fn rows_that_say_the_same_twice_are_cleaned_up_at_a_notification() {
    let mut world = ready();
    // An upgrade of the server in between: first by number, in other letters, then by UUID only.
    accepted(&send_form(
        &mut world,
        Operation::PushDeviceRegister,
        &[("user_id", "10"), ("token", "C0FFEE"), ("token_kind", "1"), ("ios_app_id", "org.App")]
            .map(|(n, v)| (n.to_owned(), v.to_owned())),
    ));
    accepted(&send_form(&mut world, Operation::PushDeviceRegister, &changed("user_id", "-")));
    assert_eq!(world.rows(UUID_A, "device"), 2);
    let reply = send_json(&mut world, UUID_A, Operation::PushNotify, &with_number(notification(1)));
    assert_eq!(accepted(&reply)["total_apple_devices"], 1);
    assert_eq!((world.rows(UUID_A, "device"), world.fetched.len()), (1, 1));
    assert_eq!(delivered(&world.fetched[0]).unwrap().0, "c0ffee", "the row by UUID stays");
}

#[test]
fn unregistering_takes_one_token_or_all_of_a_user_and_no_sealed_ones() {
    let mut world = ready();
    world.upload(UUID_A, &[REALM]);
    accepted(&register_sealed(&mut world, UUID_A, "fcm-token", REALM));
    for token in ["aa", "bb", "cc"] {
        world.device(UUID_A, "1", token);
    }
    let farewell =
        |token: &str| changed("token", token).into_iter().filter(|(n, _)| n != "ios_app_id").collect::<Vec<_>>();
    accepted(&send_form(&mut world, Operation::PushDeviceUnregister, &farewell("AA")));
    let again = send_form(&mut world, Operation::PushDeviceUnregister, &farewell("aa"));
    refused(&again, 400, "BAD_REQUEST", "Token does not exist");
    assert_eq!(world.rows(UUID_A, "device"), 2);
    let user = [(String::from("user_uuid"), String::from(USER))];
    for _ in 0..2 {
        accepted(&send_form(&mut world, Operation::PushDeviceUnregisterAll, &user));
    }
    assert_eq!((world.rows(UUID_A, "device"), world.rows(UUID_A, "sealed_device")), (0, 1));
    let holders = world.dump().iter().filter(|line| line.contains("token_holder: ")).count();
    assert_eq!(holders, 0, "the directory has forgotten the tokens");
}

#[test]
fn the_directory_hears_of_a_hundred_tokens_without_an_alarm() {
    let mut world = ready();
    let holders = |world: &World| world.dump().iter().filter(|line| line.contains("token_holder: ")).count();
    for number in 0..100 {
        world.device(UUID_A, "2", &format!("token-{number}"));
    }
    assert_eq!((holders(&world), world.rows(UUID_A, "duty")), (100, 0));
    let all = [(String::from("user_uuid"), String::from(USER))];
    accepted(&send_form(&mut world, Operation::PushDeviceUnregisterAll, &all));
    assert_eq!((holders(&world), world.rows(UUID_A, "duty")), (0, 0));
    // With the directory down the news wait, and arrive.
    world.directory_is_down = true;
    world.device(UUID_A, "2", "late");
    world.directory_is_down = false;
    world.wait(600_000);
    assert_eq!((holders(&world), world.rows(UUID_A, "duty")), (1, 0));
}

#[test]
fn one_user_has_at_most_a_hundred_tokens() {
    let mut world = ready();
    for number in 0..100 {
        world.device(UUID_A, "2", &format!("token-{number}"));
    }
    let form = [("user_uuid", USER), ("token", "one-more"), ("token_kind", "2")];
    refused(&world.register_device(UUID_A, &form), 400, "BAD_REQUEST", "Too many devices");
    let form = [("user_uuid", USER), ("token", "token-7"), ("token_kind", "2")];
    accepted(&world.register_device(UUID_A, &form));
}

#[test]
fn a_realm_belongs_to_the_server_that_reported_it_first() {
    let mut world = ready();
    world.register(UUID_B);
    let answer = accepted(&world.upload(UUID_A, &[REALM]));
    assert_eq!(answer["realms"][REALM], json!({ "can_push": true, "expected_end_timestamp": null }));
    refused(&world.upload(UUID_B, &[REALM]), 400, "BAD_REQUEST", "Duplicate registration detected.");
    // Of a refused upload nothing is kept, and what it had reserved is free again.
    let other = "cccccccc-1f7e-4978-9716-49f69ebfc9fe";
    refused(&world.upload(UUID_B, &[other, REALM]), 400, "BAD_REQUEST", "Duplicate registration detected.");
    assert_eq!(world.rows(UUID_B, "realm"), 0);
    accepted(&world.upload(UUID_A, &[REALM, other]));
    // Elsewhere it is foreign, to every endpoint that names it; an unknown one is none.
    let device =
        [("user_uuid", USER), ("realm_uuid", REALM), ("token", "aa"), ("token_kind", "1"), ("ios_app_id", "a.b")];
    for operation in
        [Operation::PushDeviceRegister, Operation::PushDeviceUnregister, Operation::PushDeviceUnregisterAll]
    {
        let reply = world.send(&as_server(UUID_B, form_call(operation, &device)));
        refused(&reply, 403, "REMOTE_REALM_SERVER_MISMATCH_ERROR", FOREIGN);
    }
    let mut body = notification(1);
    body["realm_uuid"] = json!(REALM);
    let reply = send_json(&mut world, UUID_B, Operation::PushNotify, &body);
    refused(&reply, 403, "REMOTE_REALM_SERVER_MISMATCH_ERROR", FOREIGN);
    refused(&register_sealed(&mut world, UUID_B, "t", REALM), 403, "REMOTE_REALM_SERVER_MISMATCH_ERROR", FOREIGN);
    body["realm_uuid"] = json!("dddddddd-1f7e-4978-9716-49f69ebfc9fe");
    assert_eq!(accepted(&send_json(&mut world, UUID_B, Operation::PushNotify, &body))["realm"], Value::Null);
    body["realm_uuid"] = json!(REALM);
    let reply = accepted(&send_json(&mut world, UUID_A, Operation::PushNotify, &body));
    assert_eq!(reply["realm"]["can_push"], true);
    assert_eq!((world.rows(UUID_B, "device"), world.rows(UUID_B, "delivery")), (0, 0));
}

#[test]
fn each_bad_upload_is_refused_in_the_clients_words() {
    let mut world = ready();
    let mut realm = push_world::realm(0, REALM);
    realm["uuid_owner_secret"] = json!(5);
    let wrong = json!([realm]).to_string();
    realm.as_object_mut().unwrap().remove("host");
    let missing = json!([realm]).to_string();
    for (realms, msg) in [
        ("x", "realms is not valid JSON"),
        ("{}", "realms is not a list"),
        ("[1]", "realms[0] is not a dict"),
        (wrong.as_str(), r#"realms[0]["uuid_owner_secret"] is not a string"#),
        (missing.as_str(), r#"realms[0]["host"] field is missing: Field required"#),
    ] {
        let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realms", realms)];
        let reply = world.send(&as_server(UUID_A, form_call(Operation::PushAnalytics, &form)));
        refused(&reply, 400, "BAD_REQUEST", msg);
    }
    let reply = world.send(&as_server(UUID_A, form_call(Operation::PushAnalytics, &[("realm_counts", "[]")])));
    refused(&reply, 400, "REQUEST_VARIABLE_MISSING", "Missing 'installation_counts' argument");
    let form = [("realm_counts", "[]"), ("installation_counts", "[]")];
    let reply = world.send(&as_server(UUID_A, form_call(Operation::PushAnalytics, &form)));
    assert_eq!(accepted(&reply)["realms"], json!({}));
}

fn plaintext(world: &World, token: &str) -> Value {
    json!({ "token": token, "token_kind": "fcm", "ios_app_id": null, "timestamp": world.now.as_millis() / 1000 })
}

fn sealed_form(world: &World, token: &str, realm: &str) -> Vec<(String, String)> {
    let sealed = sealed_text(&plaintext(world, token).to_string());
    [
        ("realm_uuid", realm),
        ("token_id", &TokenId::of(token).to_base64()),
        ("encrypted_push_registration", &sealed),
        ("bouncer_public_key", PUBLIC_KEY),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn register_sealed(world: &mut World, uuid: &str, token: &str, realm: &str) -> Reply {
    let form = sealed_form(world, token, realm);
    send_sealed(world, uuid, &form)
}

fn send_sealed(world: &mut World, uuid: &str, form: &[(String, String)]) -> Reply {
    let pairs: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.send(&as_server(uuid, form_call(Operation::PushSealedRegister, &pairs)))
}

fn replaced(mut form: Vec<(String, String)>, field: &str, value: &str) -> Vec<(String, String)> {
    form.retain(|(name, _)| name != field);
    form.push((field.to_owned(), value.to_owned()));
    form
}

#[test]
fn each_bad_sealed_registration_is_refused_in_the_clients_words() {
    let mut world = ready();
    let reply = register_sealed(&mut world, UUID_A, "t", REALM);
    refused(&reply, 403, "MISSING_REMOTE_REALM", "Organization not registered");
    accepted(&world.upload(UUID_A, &[REALM]));
    // That the realm was unknown a moment ago is forgotten at once.
    let good = sealed_form(&world, "t", REALM);
    let mut old = plaintext(&world, "t");
    old["timestamp"] = json!(world.now.as_millis() / 1000 - 86_401);
    let expired = sealed_text(&old.to_string());
    let unsealed = "Invalid encrypted_push_registration";
    let table: &[(&str, &str, &str, &str)] = &[
        ("bouncer_public_key", "AAAA", "INVALID_BOUNCER_PUBLIC_KEY", "Invalid bouncer_public_key"),
        ("encrypted_push_registration", "!!", "BAD_REQUEST", unsealed),
        ("encrypted_push_registration", "AAAA", "BAD_REQUEST", unsealed),
        ("token_id", "+wKIhyAx/Eg=", "BAD_REQUEST", unsealed),
        ("encrypted_push_registration", &expired, "REQUEST_EXPIRED", "Request expired"),
    ];
    for (field, value, code, msg) in table {
        let reply = send_sealed(&mut world, UUID_A, &replaced(good.clone(), field, value));
        refused(&reply, 400, code, msg);
    }
    for field in ["realm_uuid", "token_id", "encrypted_push_registration", "bouncer_public_key"] {
        let form: Vec<_> = good.iter().filter(|(name, _)| name != field).cloned().collect();
        let reply = send_sealed(&mut world, UUID_A, &form);
        refused(&reply, 400, "REQUEST_VARIABLE_MISSING", &format!("Missing '{field}' argument"));
    }
    assert_eq!(world.rows(UUID_A, "sealed_device"), 0);
    for _ in 0..2 {
        accepted(&send_sealed(&mut world, UUID_A, &good));
    }
    assert_eq!(world.rows(UUID_A, "sealed_device"), 1);
    let mut closed = World::with(&[("PUSH_REGISTRATION_KEYS", "-")]);
    closed.register(UUID_A);
    assert_eq!(send_sealed(&mut closed, UUID_A, &good).status, 503);
}

#[test]
fn the_older_dialect_gets_a_number_per_realm_account_and_token() {
    let mut world = ready();
    let other = "cccccccc-1f7e-4978-9716-49f69ebfc9fe";
    accepted(&world.upload(UUID_A, &[REALM, other]));
    let mut number = |realm: &str, account: &str, token: &str| {
        let form = sealed_form(&world, token, realm);
        let mut form: Vec<_> = form.into_iter().filter(|(name, _)| name != "token_id").collect();
        form.push((String::from("push_account_id"), account.to_owned()));
        accepted(&send_sealed(&mut world, UUID_A, &form))["device_id"].as_i64().unwrap()
    };
    let first = number(REALM, "1", "t");
    assert_eq!(number(REALM, "1", "t"), first);
    let others = [number(REALM, "2", "t"), number(REALM, "1", "u"), number(other, "1", "t")];
    assert!(others.iter().all(|other| *other != first));
    let request = |device: i64| json!({ "device_id": device, "fcm_priority": "high", "payload": { "push_account_id": 1, "encrypted_data": "x" } });
    let body = json!({ "realm_uuid": REALM, "push_requests": [request(first), request(others[2]), request(99)] });
    let reply = accepted(&send_json(&mut world, UUID_A, Operation::PushSealedNotify, &body));
    assert_eq!(reply["android_successfully_sent_count"], 1);
    assert_eq!(reply["delete_device_ids"], json!([others[2], 99]), "another realm's device is unknown here");
    assert_eq!(reply.get("delete_token_ids"), None);
}

fn sealed_request(token: &str) -> Value {
    json!({ "token_id": TokenId::of(token).to_base64(), "fcm_priority": "high",
        "payload": { "push_key_id": 2408, "encrypted_data": "AAAA" } })
}

#[test]
fn a_sealed_notification_tells_of_each_device_and_a_dead_one_revives_when_it_registers_again() {
    let mut world = ready();
    accepted(&world.upload(UUID_A, &[REALM]));
    for token in ["good", "dead"] {
        accepted(&register_sealed(&mut world, UUID_A, token, REALM));
    }
    world.outside = Box::new(|fetch| {
        let is_dead = String::from_utf8_lossy(&fetch.body).contains("\"dead\"");
        let gone = r#"{"error":{"code":404,"details":[{"errorCode":"UNREGISTERED"}]}}"#;
        Some(match (fetch.url.contains("oauth"), is_dead) {
            (true, _) => push_world::access(),
            (false, true) => answered(404, gone),
            (false, false) => answered(200, "{}"),
        })
    });
    let requests = ["good", "dead", "unknown"].map(sealed_request);
    let body = json!({ "realm_uuid": REALM, "push_requests": requests });
    let send = |world: &mut World| accepted(&send_json(world, UUID_A, Operation::PushSealedNotify, &body));
    for _ in 0..2 {
        let reply = send(&mut world);
        assert_eq!(reply["android_successfully_sent_count"], 1);
        assert_eq!(reply["apple_successfully_sent_count"], 0);
        assert_eq!(reply["realm_push_status"], json!({ "can_push": true, "expected_end_timestamp": null }));
        let mut gone = ["dead", "unknown"].map(|token| TokenId::of(token).to_base64());
        let mut told: Vec<String> = serde_json::from_value(reply["delete_token_ids"].clone()).unwrap();
        gone.sort();
        told.sort();
        assert_eq!(told, gone);
    }
    let sends = |world: &World| world.fetched.iter().filter(|fetch| fetch.url.contains("messages:send")).count();
    assert_eq!(sends(&world), 3, "the dead one is not sent to again");
    accepted(&register_sealed(&mut world, UUID_A, "dead", REALM));
    world.outside = push_world::everything_works();
    assert_eq!(send(&mut world)["android_successfully_sent_count"], 2);
    // What the provider got is what the client sent, as text.
    let last: Value = serde_json::from_slice(&world.fetched.last().unwrap().body).unwrap();
    assert_eq!(last["message"]["data"], json!({ "push_key_id": "2408", "encrypted_data": "AAAA" }));
}

#[test]
fn dead_sealed_devices_are_swept_and_living_ones_can_be_unregistered() {
    let mut world = ready();
    accepted(&world.upload(UUID_A, &[REALM]));
    for token in ["dead", "leaving"] {
        accepted(&register_sealed(&mut world, UUID_A, token, REALM));
    }
    let farewell = |token: &str| {
        let token_id = TokenId::of(token).to_base64();
        as_server(UUID_A, form_call(Operation::PushSealedUnregister, &[("realm_uuid", REALM), ("token_id", &token_id)]))
    };
    accepted(&world.send(&farewell("leaving")));
    refused(&world.send(&farewell("leaving")), 400, "BAD_REQUEST", "Token does not exist");
    world.outside = Box::new(|fetch| {
        let gone = r#"{"error":{"code":404,"details":[{"errorCode":"UNREGISTERED"}]}}"#;
        Some(if fetch.url.contains("oauth") { push_world::access() } else { answered(404, gone) })
    });
    let body = json!({ "realm_uuid": REALM, "push_requests": [sealed_request("dead")] });
    accepted(&send_json(&mut world, UUID_A, Operation::PushSealedNotify, &body));
    world.wait(29 * 86_400_000);
    assert_eq!(world.rows(UUID_A, "sealed_device"), 1);
    world.wait(86_400_000);
    assert_eq!(world.rows(UUID_A, "sealed_device"), 0);
}

#[test]
fn each_bad_body_is_refused_in_the_clients_words() {
    let mut world = ready();
    let raw = |body: &[u8], operation| {
        let call = as_server(UUID_A, json_call(operation, &json!({})));
        Call { body: body.to_vec(), ..call }
    };
    for operation in [Operation::PushNotify, Operation::PushTestNotification, Operation::PushSealedNotify] {
        refused(&world.send(&raw(b"{", operation)), 400, "BAD_REQUEST", "Malformed JSON");
        refused(&world.send(&raw(b"\xff", operation)), 400, "BAD_REQUEST", "Malformed payload");
        refused(&world.send(&raw(b"[]", operation)), 400, "BAD_REQUEST", "request is not a dict");
    }
    let trial = json!({ "token": "aa", "token_kind": 1, "user_id": 1, "user_uuid": USER,
        "base_payload": { "realm_name": "Chat", "realm_url": "https://chat" } });
    let reply = send_json(&mut world, UUID_A, Operation::PushTestNotification, &trial);
    refused(&reply, 400, "INVALID_REMOTE_PUSH_DEVICE_TOKEN", "Device not recognized by the push bouncer");
    let unknown = json!({ "realm_uuid": USER, "push_requests": [] });
    let reply = send_json(&mut world, UUID_A, Operation::PushSealedNotify, &unknown);
    refused(&reply, 403, "MISSING_REMOTE_REALM", "Organization not registered");
}

/// Bodies that are JSON and yet wrong.
fn wrong_bodies() -> Vec<(Operation, Value, &'static str)> {
    vec![
        (Operation::PushNotify, json!({}), "Missing user_id or user_uuid"),
        (Operation::PushNotify, json!({ "user_id": "1" }), r#"request["user_id"] is not an integer"#),
        (Operation::PushNotify, json!({ "user_uuid": "x" }), r#"request["user_uuid"] has invalid format"#),
        (Operation::PushNotify, json!({ "user_id": 1, "gcm_payload": [] }), r#"request["gcm_payload"] is not a dict"#),
        (
            Operation::PushNotify,
            json!({ "user_id": 1, "apple_devices": {} }),
            r#"request["apple_devices"] is not a list"#,
        ),
        (
            Operation::PushNotify,
            json!({ "user_id": 1, "android_devices": [1] }),
            r#"request["android_devices"][0] is not a string"#,
        ),
        (Operation::PushTestNotification, json!({}), r#"request["token"] field is missing: Field required"#),
        (
            Operation::PushTestNotification,
            json!({ "token": "aa", "token_kind": 1, "user_id": 1, "user_uuid": USER, "base_payload": {}, "more": 1 }),
            r#"Argument "more" at request is unexpected"#,
        ),
        (
            Operation::PushTestNotification,
            json!({ "token": "aa", "token_kind": 1, "user_id": 1, "user_uuid": USER, "base_payload": {} }),
            "base_payload must name realm_name and realm_url",
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "token_id": "x", "payload": {}, "fcm_priority": "high" }] }),
            r#"request["push_requests"][0]["token_id"] has invalid format"#,
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "device_id": 1, "payload": {}, "fcm_priority": "low" }] }),
            r#"Invalid request["push_requests"][0]["fcm_priority"]"#,
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "device_id": 1, "payload": {},
                "http_headers": { "apns_priority": 7, "apns_push_type": "alert" } }] }),
            r#"Invalid request["push_requests"][0]["http_headers"]["apns_priority"]"#,
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "device_id": 1, "fcm_priority": "high",
                "payload": { "push_key_id": "x", "encrypted_data": "x" } }] }),
            r#"request["push_requests"][0]["payload"]["push_key_id"] is not an integer"#,
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "device_id": 1, "fcm_priority": "high",
                "payload": { "push_account_id": 1 } }] }),
            r#"request["push_requests"][0]["payload"]["encrypted_data"] field is missing: Field required"#,
        ),
        (
            Operation::PushSealedNotify,
            json!({ "realm_uuid": REALM, "push_requests": [{ "token_id": TokenId::of("t").to_base64(),
                "payload": { "push_key_id": 1, "encrypted_data": "x" },
                "http_headers": { "apns_priority": 5, "apns_push_type": "alert" } }] }),
            r#"request["push_requests"][0] is for another kind of device"#,
        ),
    ]
}

#[test]
fn each_bad_notification_is_refused_in_the_clients_words() {
    let mut world = ready();
    accepted(&world.upload(UUID_A, &[REALM]));
    accepted(&register_sealed(&mut world, UUID_A, "t", REALM));
    for (operation, body, msg) in wrong_bodies() {
        refused(&send_json(&mut world, UUID_A, operation, &body), 400, "BAD_REQUEST", msg);
    }
    world.device(UUID_A, "2", "android");
    for (key, value, msg) in [
        ("gcm_options", json!({ "priority": "urgent" }), "Invalid GCM option to bouncer: priority 'urgent'"),
        ("gcm_options", json!({ "ttl": 5 }), "Invalid GCM options to bouncer: {\"ttl\":5}"),
        ("gcm_payload", json!({ "event": "remove", "zulip_message_ids": "1,x" }), "Invalid zulip_message_ids"),
    ] {
        let mut body = notification(1);
        body[key] = value;
        refused(&send_json(&mut world, UUID_A, Operation::PushNotify, &body), 400, "BAD_REQUEST", msg);
    }
    assert!(world.fetched.is_empty() && world.rows(UUID_A, "delivery") == 0);
}

#[test]
fn one_server_neither_sees_nor_touches_anothers_devices() {
    let mut world = ready();
    world.register(UUID_B);
    for uuid in [UUID_A, UUID_B] {
        world.device(uuid, "1", "c0ffee");
        world.device(uuid, "2", "android");
    }
    world.device(UUID_A, "1", "aa");
    let mut body = notification(1);
    body["apple_devices"] = json!(["c0ffee", "aa"]);
    let reply = accepted(&send_json(&mut world, UUID_B, Operation::PushNotify, &body));
    assert_eq!((reply["total_apple_devices"].as_u64(), reply["total_android_devices"].as_u64()), (Some(1), Some(1)));
    assert_eq!(reply["deleted_devices"]["apple_devices"], json!(["aa"]));
    let before = world.servers[UUID_A].database.dump();
    let all = form_call(Operation::PushDeviceUnregisterAll, &[("user_uuid", USER)]);
    accepted(&world.send(&as_server(UUID_B, all)));
    let trial = json!({ "token": "aa", "token_kind": 1, "user_id": 1, "user_uuid": USER,
        "base_payload": { "realm_name": "Chat", "realm_url": "https://chat" } });
    assert_eq!(send_json(&mut world, UUID_B, Operation::PushTestNotification, &trial).status, 400);
    assert_eq!(world.servers[UUID_A].database.dump(), before);
    // The key of one server opens no other.
    let call = as_server(UUID_A, form_call(Operation::PushDeviceUnregisterAll, &[("user_uuid", USER)]));
    let foreign = Call { authorization: push_world::basic(UUID_A, &push_world::key('b')), ..call };
    assert_eq!(world.send(&foreign).status, 401);
    assert_eq!(body_code(&world.send(&foreign)), "UNAUTHORIZED");
}

fn body_code(reply: &Reply) -> String {
    body(reply)["code"].as_str().unwrap().to_owned()
}
