//! Registrations: created, updated, rotated, refused word for word, handed over by proof, limited.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use push_world::support::{body, call};
use push_world::{
    UUID_A, UUID_B, World, accepted, answered, as_server, basic, form_call, json_call, key, refused, registration,
};
use serde_json::json;
use waystation::kernel::errand::{Failure, Outcome};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation;

const NOT_THERE: &str = "Zulip server auth failure: 6cde5f7a-1f7e-4978-9716-49f69ebfc9fe is not registered -- did you run \
    `manage.py register_server`?";
const WRONG_KEY: &str = "Zulip server auth failure: key does not match role 6cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
const DEACTIVATED: &str = "The mobile push notification service registration for your server has been deactivated";

/// The form of a good registration with one field replaced, or removed by `-`.
fn changed(field: &str, value: &str) -> Call {
    let key = key('k');
    let good = [
        ("zulip_org_id", UUID_A),
        ("zulip_org_key", key.as_str()),
        ("hostname", "chat.example.org"),
        ("contact_email", "admin@example.org"),
        ("new_org_key", ""),
    ];
    let form: Vec<(&str, &str)> = good
        .into_iter()
        .filter(|(name, value)| *name != field && !value.is_empty())
        .chain((value != "-").then_some((field, value)))
        .collect();
    form_call(Operation::PushServerRegister, &form)
}

/// Any authenticated call without effect.
fn ping(authorization: Option<String>) -> Call {
    let form = [("user_id", "10")];
    Call { authorization, ..form_call(Operation::PushDeviceUnregisterAll, &form) }
}

#[test]
fn each_bad_registration_is_refused_in_the_clients_words() {
    let long = format!("{}.org", "a".repeat(130));
    let table: &[(&str, &str, &str, &str)] = &[
        ("zulip_org_id", "-", "REQUEST_VARIABLE_MISSING", "Missing 'zulip_org_id' argument"),
        ("zulip_org_key", "-", "REQUEST_VARIABLE_MISSING", "Missing 'zulip_org_key' argument"),
        ("hostname", "-", "REQUEST_VARIABLE_MISSING", "Missing 'hostname' argument"),
        ("contact_email", "-", "REQUEST_VARIABLE_MISSING", "Missing 'contact_email' argument"),
        ("zulip_org_id", "short", "BAD_REQUEST", "zulip_org_id is not length 36"),
        ("zulip_org_key", "short", "BAD_REQUEST", "zulip_org_key is not length 64"),
        ("new_org_key", "short", "BAD_REQUEST", "new_org_key is not length 64"),
        ("hostname", &long, "BAD_REQUEST", "hostname is too long (limit: 128 characters)"),
        ("hostname", "invalid-host", "BAD_REQUEST", "invalid-host is not a valid hostname"),
        (
            "hostname",
            "example.com/path",
            "BAD_REQUEST",
            "example.com/path contains invalid components (e.g., path, query, fragment).",
        ),
        ("zulip_org_id", "6CDE5F7A-1F7E-4978-9716-49F69EBFC9FE", "BAD_REQUEST", "Invalid UUID"),
        ("zulip_org_id", "not-a-uuid-but-it-has-36-characters-", "BAD_REQUEST", "Invalid UUID"),
    ];
    let mut world = World::new();
    for (field, value, code, msg) in table {
        let reply = world.send(&changed(field, value));
        refused(&reply, 400, code, msg);
        if *code == "REQUEST_VARIABLE_MISSING" {
            assert_eq!(body(&reply)["var_name"], *field);
        }
    }
    for (address, reason) in [
        ("admin", "Enter a valid email address."),
        ("a@mailinator.com", "Please use your real email address."),
        ("a@example.com", "example.com is not a valid email domain."),
    ] {
        let reply = world.send(&changed("contact_email", address));
        refused(&reply, 400, "BAD_REQUEST", &format!("Invalid server administrator email address: {reason}"));
        assert_eq!(body(&reply)["email_reason"], reason);
    }
    assert!(world.servers.is_empty() && world.shards.is_empty(), "nothing was even asked");
}

#[test]
fn the_addresses_domain_must_take_mail_and_a_silent_resolver_is_forgiven() {
    let cases: &[(&str, Option<&str>)] = &[
        (r#"{"Status":0,"Answer":[{"type":15,"data":"1 mx."}]}"#, None),
        (r#"{"Status":3}"#, Some("example.org does not exist")),
        (r#"{"Status":0}"#, Some("example.org does not exist")),
        (r#"{"Status":2}"#, None),
    ];
    for (answer, reason) in cases {
        let mut world = World::with(&[("DNS_QUERY_URL", "https://dns.example/q")]);
        let answer = (*answer).to_owned();
        world.outside = Box::new(move |_| Some(answered(200, &answer)));
        let reply = world.send(&registration(UUID_A, "chat.example.org"));
        match reason {
            None => assert_eq!(accepted(&reply)["created"], true),
            Some(reason) => {
                refused(&reply, 400, "BAD_REQUEST", &format!("Invalid server administrator email address: {reason}"));
                assert_eq!(world.rows(UUID_A, "server"), 0);
            }
        }
    }
    let mut world = World::with(&[("DNS_QUERY_URL", "https://dns.example/q")]);
    world.outside = Box::new(|fetch| {
        let found = fetch.url.ends_with("type=A");
        Some(answered(
            200,
            if found { r#"{"Status":0,"Answer":[{"type":1,"data":"1.1.1.1"}]}"# } else { r#"{"Status":0}"# },
        ))
    });
    let reply = world.send(&registration(UUID_A, "chat.example.org"));
    let sentence =
        "Invalid server administrator email address: example.org is invalid because it does not have any MX records";
    refused(&reply, 400, "BAD_REQUEST", sentence);
    // With the check switched off nobody is asked.
    let mut world = World::with(&[("DNS_QUERY_URL", "")]);
    accepted(&world.send(&registration(UUID_A, "chat.example.org")));
    assert!(world.fetched.is_empty());
}

#[test]
fn a_server_registers_once_and_updates_itself_with_its_key() {
    let mut world = World::new();
    assert_eq!(accepted(&world.send(&registration(UUID_A, "chat.example.org")))["created"], true);
    assert_eq!(accepted(&world.send(&registration(UUID_A, "new.example.org")))["created"], false);
    let wrong = Call { ..changed("zulip_org_key", &key('x')) };
    let reply = world.send(&wrong);
    refused(&reply, 400, "INVALID_ZULIP_SERVER", WRONG_KEY);
    assert_eq!(body(&reply)["role"], UUID_A);
    // The old host name is free again, the new one is not.
    let taken = world.send(&registration(UUID_B, "NEW.example.org"));
    refused(
        &taken,
        400,
        "HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR",
        "A server with hostname NEW.example.org already exists",
    );
    assert_eq!(body(&taken)["hostname"], "NEW.example.org");
    assert_eq!(world.rows(UUID_B, "server"), 0);
    accepted(&world.send(&registration(UUID_B, "chat.example.org")));
    // An update to a name in use is refused like a registration.
    let reply = world.send(&registration(UUID_A, "chat.example.org"));
    assert_eq!(body(&reply)["code"], "HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR");
}

#[test]
fn keys_are_stored_as_hashes_only() {
    let mut world = World::new();
    world.register(UUID_A);
    assert!(world.dump().iter().all(|line| !line.contains(&key('k'))), "no key in any row");
}

#[test]
fn credentials_are_refused_in_the_clients_words_and_order() {
    let mut world = World::new();
    world.register(UUID_A);
    let unauthorized: &[(Option<String>, &str)] = &[
        (None, "Missing authorization header for basic auth"),
        (Some(String::from("Basic !!")), "Invalid authorization header for basic auth"),
        (basic("a:b", "c"), "Invalid authorization header for basic auth"),
        (
            basic("not-a-uuid", "x"),
            "Zulip server auth failure: not-a-uuid is not registered -- did you run `manage.py register_server`?",
        ),
        (basic(UUID_A, &key('x')), WRONG_KEY),
    ];
    for (header, msg) in unauthorized {
        let reply = world.send(&ping(header.clone()));
        refused(&reply, 401, "UNAUTHORIZED", msg);
        assert_eq!(reply.header("WWW-Authenticate"), Some("Basic realm=\"zulip\""));
        assert!(reply.header("Cache-Control").unwrap().contains("no-store"), "{msg}");
    }
    let bearer = basic(UUID_A, &key('k')).unwrap().replace("Basic", "Bearer");
    refused(&world.send(&ping(Some(bearer))), 400, "BAD_REQUEST", "This endpoint requires HTTP basic authentication.");
    let reply = world.send(&ping(basic("user@example.org", "k")));
    refused(&reply, 400, "BAD_REQUEST", "Must validate with valid Zulip server API key");
    accepted(&world.send(&ping(basic(&UUID_A.to_uppercase(), &key('k')))));
}

#[test]
fn a_strangers_uuid_leaves_no_row_and_no_alarm() {
    use waystation::kernel::object::Object as _;
    let mut world = World::new();
    let reply = world.send(&ping(basic(UUID_A, &key('k'))));
    refused(&reply, 401, "UNAUTHORIZED", NOT_THERE);
    // Nor when other objects ask it, or an alarm that was never set rings.
    for operation in [Operation::PushLookup, Operation::PushTokenDead, Operation::PushTransferKey] {
        let principal = waystation::kernel::object::Principal::Service;
        let service = Call { principal, body: b"{}".to_vec(), ..call(operation) };
        world.server(UUID_A).call(&service);
        assert_eq!(world.server(UUID_A).call(&call(operation)).status, 404, "and nobody else may");
    }
    world.server(UUID_A).ring();
    let stage = &world.servers[UUID_A];
    assert_eq!((stage.database.commits(), stage.object.deadline()), (0, None));
    assert!(stage.database.dump().is_empty(), "not even tables");
}

#[test]
fn the_old_key_works_for_ten_minutes_after_a_rotation_and_changes_nothing() {
    let mut world = World::new();
    accepted(&world.send(&changed("hostname", "chat.example.org")));
    accepted(&world.send(&changed("new_org_key", &key('n'))));
    // The answer was lost, and the client asks again.
    accepted(&world.send(&changed("new_org_key", &key('n'))));
    for letter in ['k', 'n'] {
        accepted(&world.send(&ping(basic(UUID_A, &key(letter)))));
    }
    let reply = world.send(&changed("hostname", "chat.example.org"));
    refused(&reply, 400, "INVALID_ZULIP_SERVER", WRONG_KEY);
    world.wait(600_000);
    refused(&world.send(&ping(basic(UUID_A, &key('k')))), 401, "UNAUTHORIZED", WRONG_KEY);
    accepted(&world.send(&ping(basic(UUID_A, &key('n')))));
}

#[test]
fn a_server_signs_off_and_frees_its_host_name() {
    let mut world = World::new();
    accepted(&world.send(&registration(UUID_A, "chat.example.org")));
    accepted(&world.send(&as_server(UUID_A, json_call(Operation::PushServerDeactivate, &json!({})))));
    refused(&world.send(&ping(basic(UUID_A, &key('k')))), 401, "UNAUTHORIZED", DEACTIVATED);
    let again = world.send(&registration(UUID_A, "chat.example.org"));
    refused(&again, 401, "REALM_DEACTIVATED", DEACTIVATED);
    assert_eq!(again.header("WWW-Authenticate"), None);
    accepted(&world.send(&registration(UUID_B, "chat.example.org")));
}

#[test]
fn a_name_is_freed_even_if_its_release_was_lost() {
    let mut world = World::new();
    accepted(&world.send(&registration(UUID_A, "chat.example.org")));
    world.directory_is_down = true;
    accepted(&world.send(&as_server(UUID_A, json_call(Operation::PushServerDeactivate, &json!({})))));
    world.directory_is_down = false;
    accepted(&world.send(&registration(UUID_B, "chat.example.org")));
    // The release that comes late takes nothing away from the new holder.
    world.wait(3_600_000);
    let reply = world.send(&registration("8cde5f7a-1f7e-4978-9716-49f69ebfc9fe", "chat.example.org"));
    assert_eq!(body(&reply)["code"], "HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR");
}

#[test]
fn a_registration_that_crashed_before_its_commit_blocks_nobody_for_long() {
    let mut world = World::new();
    world.outside = Box::new(|_| None);
    // Reserved in the directory, and then the process died.
    let call = registration(UUID_A, "chat.example.org");
    world.server(UUID_A).begin(&call);
    let (_, errand) = world.server(UUID_A).take_errands().remove(0);
    let waystation::kernel::errand::Errand::Call { name, call: quota, .. } = errand else { panic!("quota") };
    let waystation::kernel::object::Answer::Now(reply) = world.shard(&name).begin(&quota) else { panic!("now") };
    let ticket = waystation::kernel::errand::Ticket(1);
    world.server(UUID_A).tell(ticket, Outcome::Replied(reply));
    let (_, errand) = world.server(UUID_A).take_errands().remove(0);
    let waystation::kernel::errand::Errand::Call { name, call: claim, .. } = errand else { panic!("claim") };
    world.shard(&name).begin(&claim);
    world.crash();
    let reply = world.send(&registration(UUID_B, "chat.example.org"));
    assert_eq!(body(&reply)["code"], "HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR");
    world.wait(60_000);
    accepted(&world.send(&registration(UUID_B, "chat.example.org")));
}

#[test]
fn two_registrations_of_one_name_at_once_make_one_server() {
    let mut world = World::new();
    let (first, second) = (registration(UUID_A, "chat.example.org"), registration(UUID_B, "chat.example.org"));
    let a = world.server(UUID_A).begin(&first);
    let b = world.server(UUID_B).begin(&second);
    assert!(matches!(
        (a, b),
        (waystation::kernel::object::Answer::Later(_), waystation::kernel::object::Answer::Later(_))
    ));
    world.settle();
    assert_eq!(world.rows(UUID_A, "server") + world.rows(UUID_B, "server"), 1);
}

#[test]
fn unknown_parameters_are_named_in_a_success() {
    let mut world = World::new();
    let mut call = registration(UUID_A, "chat.example.org");
    call.query = String::from("zebra=1&apple=2&zebra=3");
    let success = accepted(&world.send(&call));
    assert_eq!(success["ignored_parameters_unsupported"], json!(["apple", "zebra"]));
    // Parameters are found in the query when the body has none.
    let query = String::from_utf8(registration(UUID_A, "chat.example.org").body).unwrap();
    let call = Call { query, ..call_without_body() };
    assert_eq!(accepted(&world.send(&call))["created"], false);
}

fn call_without_body() -> Call {
    call(Operation::PushServerRegister)
}

#[test]
fn a_server_has_so_many_requests_a_window_and_is_told() {
    let mut world = World::with(&[("PUSH_RATE_LIMIT", "3/60")]);
    world.send(&registration(UUID_A, "chat.example.org"));
    for remaining in ["2", "1", "0"] {
        let reply = world.send(&ping(basic(UUID_A, &key('k'))));
        accepted(&reply);
        assert_eq!(reply.header("X-RateLimit-Limit"), Some("3"));
        assert_eq!(reply.header("X-RateLimit-Remaining"), Some(remaining));
        assert_eq!(reply.header("X-RateLimit-Reset"), Some("1800000060"));
    }
    world.wait(20_500);
    for _ in 0..3 {
        let reply = world.send(&ping(basic(UUID_A, &key('k'))));
        let sentence =
            "API usage exceeded rate limit; see https://zulip.com/api/http-headers#rate-limiting-response-headers";
        refused(&reply, 429, "RATE_LIMIT_HIT", sentence);
        assert_eq!(body(&reply)["retry-after"], 39.5);
        assert_eq!(reply.header("Retry-After"), Some("39.5"));
        assert_eq!(reply.header("X-RateLimit-Remaining"), Some("0"));
    }
    // Refused requests were not recorded, and wrong keys do not count.
    world.wait(39_500);
    refused(&world.send(&ping(basic(UUID_A, &key('x')))), 401, "UNAUTHORIZED", WRONG_KEY);
    assert_eq!(world.send(&ping(basic(UUID_A, &key('k')))).header("X-RateLimit-Remaining"), Some("2"));
}

#[test]
fn one_network_registers_only_so_many_servers_a_day() {
    let uuid = |number: u32| format!("{number:08x}-1f7e-4978-9716-49f69ebfc9fe");
    let register = |world: &mut World, number: u32, from: &str| {
        let call = registration(&uuid(number), &format!("chat{number}.example.org"));
        world.send(&Call { client: ClientNetwork::from_header(Some(from)), ..call })
    };
    let mut world = World::new();
    for number in 0..100 {
        accepted(&register(&mut world, number, "203.0.113.1"));
    }
    let reply = register(&mut world, 100, "203.0.113.1");
    assert_eq!((reply.status, body(&reply)["code"].as_str().unwrap()), (429, "RATE_LIMIT_HIT"));
    // Updates and other networks are not concerned, and a day later all is forgotten.
    accepted(&register(&mut world, 7, "203.0.113.1"));
    accepted(&register(&mut world, 100, "203.0.113.2"));
    world.wait(25 * 3_600_000);
    let quotas = world.dump().iter().filter(|line| line.contains("network_quota: ")).count();
    assert_eq!(quotas, 0);
    let mut world = World::with(&[("RATE_LIMIT_PER_MINUTE", "0")]);
    for number in 0..150 {
        accepted(&register(&mut world, number, "203.0.113.1"));
    }
}

fn begin_transfer(hostname: &str) -> Call {
    form_call(Operation::PushTransferBegin, &[("hostname", hostname)])
}

fn verify(hostname: &str, token: &str) -> Call {
    form_call(Operation::PushTransferVerify, &[("hostname", hostname), ("access_token", token)])
}

#[test]
fn whoever_serves_our_secret_over_https_gets_a_new_key_and_the_old_one_dies() {
    let mut world = World::new();
    accepted(&world.send(&registration(UUID_A, "Chat.example.org")));
    let secret = accepted(&world.send(&begin_transfer("chat.Example.org")))["verification_secret"].clone();
    world.outside = Box::new(move |_| Some(answered(200, &json!({ "verification_secret": secret }).to_string())));
    let success = accepted(&world.send(&verify("chat.example.org", "Ab_-9")));
    let asked = &world.fetched.last().unwrap().url;
    assert_eq!(asked, "https://chat.example.org/api/v1/zulip-services/verify/Ab_-9/");
    assert_eq!(success["zulip_org_id"], UUID_A);
    let new_key = success["zulip_org_key"].as_str().unwrap().to_owned();
    assert_eq!(new_key.len(), 64);
    accepted(&world.send(&ping(basic(UUID_A, &new_key))));
    refused(&world.send(&ping(basic(UUID_A, &key('k')))), 401, "UNAUTHORIZED", WRONG_KEY);
    assert_eq!(world.rows(UUID_A, "server_audit"), 2);
}

#[test]
fn each_failed_transfer_is_refused_in_the_clients_words() {
    let mut world = World::with(&[("PUSH_TRANSFER_DAILY_MAX", "1000")]);
    let reply = world.send(&begin_transfer("Chat.example.org"));
    refused(&reply, 400, "BAD_REQUEST", "Chat.example.org not yet registered");
    let reply = world.send(&verify("chat.example.org", "a"));
    refused(&reply, 400, "BAD_REQUEST", "Registration not found for this hostname");
    let reply = world.send(&verify("chat.example.org", "a/b"));
    refused(&reply, 400, "BAD_REQUEST", "access_token has invalid format");
    let reply = world.send(&begin_transfer("invalid-host"));
    refused(&reply, 400, "BAD_REQUEST", "invalid-host is not a valid hostname");

    accepted(&world.send(&registration(UUID_A, "chat.example.org")));
    accepted(&world.send(&registration(UUID_B, "other.example.org")));
    let other = accepted(&world.send(&begin_transfer("other.example.org")))["verification_secret"].clone();
    let old = accepted(&world.send(&begin_transfer("chat.example.org")))["verification_secret"].clone();
    world.wait(10_001);
    let shown = |secret: &serde_json::Value| json!({ "verification_secret": secret }).to_string();
    let fresh_other = accepted(&world.send(&begin_transfer("other.example.org")))["verification_secret"].clone();
    let unprepared = r#"{"result":"error","code":"REMOTE_SERVER_VERIFICATION_SECRET_NOT_PREPARED","msg":"x"}"#;
    let table: Vec<(Outcome, &str)> = vec![
        (answered(400, unprepared), "The host reported it has no verification secret."),
        (answered(400, "{}"), "Unexpected status code received from the host: 400"),
        (answered(302, ""), "Unexpected status code received from the host: 302"),
        (answered(200, "no"), "An error occurred while parsing the response from the host."),
        (answered(200, "{}"), "An error occurred while parsing the response from the host."),
        (answered(200, &shown(&json!("xyz"))), "The verification secret is malformed"),
        (answered(200, &shown(&json!("ABCD"))), "The verification secret is invalid"),
        (answered(200, &shown(&old)), "The verification secret has expired"),
        (answered(200, &shown(&other)), "The verification secret has expired"),
        (answered(200, &shown(&fresh_other)), "The verification secret is for a different hostname"),
        (Outcome::Failed(Failure::Untrusted), "SSL error occurred while communicating with the host."),
        (Outcome::Failed(Failure::Unreachable), "Connection error occurred while communicating with the host."),
        (Outcome::Failed(Failure::TimedOut), "The request timed out while communicating with the host."),
        (Outcome::Failed(Failure::Other), "An error occurred while communicating with the host."),
    ];
    for (outcome, msg) in table {
        world.outside = Box::new(move |_| Some(outcome.clone()));
        refused(&world.send(&verify("chat.example.org", "a")), 400, "BAD_REQUEST", msg);
    }
    accepted(&world.send(&ping(basic(UUID_A, &key('k')))));
}

#[test]
fn we_never_call_into_a_private_network() {
    let mut world = World::new();
    for hostname in ["localhost", "127.0.0.1:8080", "10.0.0.7", "[::1]:80"] {
        let uuid = format!("{:08x}-1f7e-4978-9716-49f69ebfc9fe", hostname.len());
        accepted(&world.send(&registration(&uuid, hostname)));
        let reply = world.send(&verify(hostname, "a"));
        refused(&reply, 400, "BAD_REQUEST", "Connection error occurred while communicating with the host.");
    }
    assert!(world.fetched.is_empty());
    let mut world = World::with(&[("DEV_MODE", "true")]);
    accepted(&world.send(&registration(UUID_A, "127.0.0.1:8080")));
    world.send(&verify("127.0.0.1:8080", "a"));
    assert_eq!(world.fetched[0].url, "http://127.0.0.1:8080/api/v1/zulip-services/verify/a/");
}

#[test]
fn transfers_are_limited_per_network_and_all_together() {
    let mut world = World::new();
    for _ in 0..30 {
        refused(&world.send(&begin_transfer("a.example.org")), 400, "BAD_REQUEST", "a.example.org not yet registered");
    }
    assert_eq!(world.send(&begin_transfer("b.example.org")).status, 429);
    world.wait(60_000);
    assert_eq!(world.send(&begin_transfer("b.example.org")).status, 400);

    for _ in 0..30 {
        let reply = world.send(&verify("a.example.org", "x"));
        refused(&reply, 400, "BAD_REQUEST", "Registration not found for this hostname");
    }
    let reply = world.send(&verify("a.example.org", "x"));
    assert_eq!((reply.status, body(&reply)["code"].as_str().unwrap()), (429, "RATE_LIMIT_HIT"));
    assert!(body(&reply)["msg"].as_str().unwrap().starts_with("The global limits on recent usage of this endpoint"));
    assert_eq!(body(&reply).get("retry-after"), None);
    world.crash();
    assert_eq!(world.send(&verify("a.example.org", "x")).status, 429, "a restart forgets nothing");
    world.wait(86_400_000);
    assert_eq!(world.send(&verify("a.example.org", "x")).status, 400);
}

#[test]
fn without_its_key_a_transfer_is_closed() {
    let mut world = World::with(&[("PUSH_TRANSFER_KEY", "-")]);
    for call in [begin_transfer("chat.example.org"), verify("chat.example.org", "a")] {
        assert_eq!(world.send(&call).status, 503);
    }
}

#[test]
fn the_public_keys_are_for_everybody() {
    let mut world = World::new();
    let success = accepted(&world.send(&call(Operation::PushPublicKeys)));
    assert_eq!(success["bouncer_public_keys"], json!([push_world::push_support::PUBLIC_KEY]));
    assert_eq!(success["vapid_public_key"].as_str().unwrap().len(), 87);
}
