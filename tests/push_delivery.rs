//! Delivery: written down before it is sent, tried again, never lost, repeated only where a crash leaves no choice.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use push_world::support::body;
use push_world::{
    REALM, USER, UUID_A, UUID_B, World, accepted, access, answered, as_server, delivered, everything_works, form_call,
    json_call, notification,
};
use serde_json::{Value, json};
use waystation::kernel::entropy::{Entropy as _, SeededEntropy};
use waystation::kernel::errand::{Errand, Failure, Fetched, Outcome};
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;

const GONE: &str = r#"{"error":{"code":404,"details":[{"errorCode":"UNREGISTERED"}]}}"#;

fn ready() -> World {
    let mut world = World::new();
    world.register(UUID_A);
    world
}

fn notify(uuid: &str, body: &Value) -> Call {
    as_server(uuid, json_call(Operation::PushNotify, body))
}

/// A provider that answers messages by `judge`, and always gives access.
fn provider(judge: impl Fn(&str, u64) -> Option<Outcome> + 'static) -> push_world::Outside {
    Box::new(move |fetch| {
        if fetch.url.contains("oauth") {
            return Some(access());
        }
        let (token, number) = delivered(fetch).expect("a message");
        judge(&token, number)
    })
}

fn sends(world: &World) -> usize {
    world.fetched.iter().filter(|fetch| !fetch.url.contains("oauth")).count()
}

#[test]
fn a_notification_reaches_each_device_in_its_providers_form() {
    let mut world = ready();
    accepted(&world.upload(UUID_A, &[REALM]));
    world.device(UUID_A, "1", "C0FFEE");
    world.device(UUID_A, "2", "android");
    let mut wish = notification(7);
    wish["realm_uuid"] = json!(REALM);
    wish["android_devices"] = json!(["android", "old"]);
    wish["apple_devices"] = json!(["c0ffee", "C0FFEE", "bb"]);
    let reply = world.send(&notify(UUID_A, &wish));
    let success = accepted(&reply);
    assert_eq!(success["total_android_devices"], 1);
    assert_eq!(success["total_apple_devices"], 1);
    assert_eq!(success["deleted_devices"], json!({ "android_devices": ["old"], "apple_devices": ["C0FFEE", "bb"] }));
    assert_eq!(success["realm"], json!({ "can_push": true, "expected_end_timestamp": null }));
    assert_eq!(success.get("ignored_parameters_unsupported"), None);
    assert_eq!(reply.header("X-RateLimit-Limit"), Some("1000"));
    assert!(reply.header("Expires").is_some());
    let apns = world.fetched.iter().find(|fetch| fetch.url.contains("apns")).unwrap();
    assert_eq!(apns.url, "https://apns.example/3/device/C0FFEE");
    assert!(apns.headers.contains(&("apns-topic".into(), String::from("org.example.App"))));
    let sent: Value = serde_json::from_slice(&apns.body).unwrap();
    assert_eq!(sent, json!({ "aps": { "alert": "x" }, "zulip": { "number": 7 } }));
    let fcm = world.fetched.iter().find(|fetch| fetch.url.contains("messages:send")).unwrap();
    let sent: Value = serde_json::from_slice(&fcm.body).unwrap();
    assert_eq!(sent["message"]["data"], json!({ "event": "message", "number": "7" }));
    assert_eq!(sent["message"]["android"], json!({ "priority": "HIGH" }));
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
}

#[test]
fn what_was_never_sent_counts_all_the_same_and_without_keys_nobody_is_asked() {
    let mut world = World::with(&[("FCM_SERVICE_ACCOUNT", "-"), ("APNS_KEY_P8", "-")]);
    world.register(UUID_A);
    world.device(UUID_A, "1", "aa");
    world.device(UUID_A, "2", "android");
    let success = accepted(&world.send(&notify(UUID_A, &notification(1))));
    assert_eq!((&success["total_android_devices"], &success["total_apple_devices"]), (&json!(1), &json!(1)));
    assert_eq!((sends(&world), world.rows(UUID_A, "delivery")), (0, 0));
    let mut world = ready();
    world.device(UUID_A, "2", "android");
    world.outside = provider(|_, _| Some(answered(400, "{}")));
    assert_eq!(accepted(&world.send(&notify(UUID_A, &notification(1))))["total_android_devices"], 1);
    // What the provider refuses for its own sake is not tried again, and the token stays.
    assert_eq!((world.rows(UUID_A, "delivery"), world.rows(UUID_A, "device")), (0, 1));
}

#[test]
fn everything_is_written_down_before_the_first_request_leaves() {
    let mut world = ready();
    for number in 0..3 {
        world.device(UUID_A, "1", &format!("0{number}"));
    }
    let commits = world.server(UUID_A).database.commits();
    world.server(UUID_A).begin(&notify(UUID_A, &notification(1)));
    assert_eq!(world.rows(UUID_A, "delivery"), 3);
    assert_eq!(world.server(UUID_A).database.commits(), commits + 1);
    assert_eq!(world.server(UUID_A).take_errands().len(), 3);
}

#[test]
fn at_most_32_requests_are_under_way_and_the_rest_follows() {
    let mut world = ready();
    for number in 0..100 {
        world.device(UUID_A, "1", &format!("{number:04}"));
    }
    let waystation::kernel::object::Answer::Later(ticket) =
        world.server(UUID_A).begin(&notify(UUID_A, &notification(1)))
    else {
        panic!("later")
    };
    let mut under_way = world.server(UUID_A).take_errands();
    let mut asked = under_way.len();
    assert_eq!(asked, 32);
    while let Some((ticket, _)) = under_way.pop() {
        world.server(UUID_A).tell(ticket, answered(200, ""));
        let more = world.server(UUID_A).take_errands();
        asked += more.len();
        under_way.extend(more);
        assert!(under_way.len() <= 32);
    }
    assert_eq!(asked, 100);
    assert_eq!(accepted(&world.server(UUID_A).answer(ticket).unwrap())["total_apple_devices"], 100);
}

#[test]
fn a_caller_waits_twelve_seconds_and_what_is_late_is_sent_later() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    world.device(UUID_A, "1", "bb");
    world.outside = provider(|token, _| (token == "aa").then(|| answered(200, "")));
    let place = world.start(&notify(UUID_A, &notification(1))).unwrap_err();
    world.wait(11_999);
    assert_eq!(world.answer(&place), None);
    world.wait(1);
    assert_eq!(accepted(&world.answer(&place).unwrap())["total_apple_devices"], 2);
    assert_eq!(world.rows(UUID_A, "delivery"), 1, "what is under way is kept");
}

#[test]
fn a_crash_in_the_middle_of_a_send_repeats_only_what_had_no_answer() {
    let mut world = ready();
    for token in ["aa", "bb", "cc"] {
        world.device(UUID_A, "1", token);
    }
    let counts: Rc<RefCell<BTreeMap<String, u32>>> = Rc::default();
    let seen = counts.clone();
    world.outside = provider(move |token, _| {
        *seen.borrow_mut().entry(token.to_owned()).or_default() += 1;
        (token == "aa").then(|| answered(200, ""))
    });
    assert!(world.start(&notify(UUID_A, &notification(1))).is_err());
    world.crash();
    let seen = counts.clone();
    world.outside = provider(move |token, _| {
        *seen.borrow_mut().entry(token.to_owned()).or_default() += 1;
        Some(answered(200, ""))
    });
    world.wait(31_000);
    let expected = [("aa", 1), ("bb", 2), ("cc", 2)].map(|(token, count)| (token.to_owned(), count));
    assert_eq!(*counts.borrow(), BTreeMap::from(expected));
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
}

#[test]
fn thirty_percent_failures_and_two_restarts_lose_nothing() {
    for seed in 1..=5 {
        let mut world = ready();
        world.device(UUID_A, "1", "aa");
        world.device(UUID_A, "2", "android");
        let arrived: Rc<RefCell<BTreeMap<(String, u64), u32>>> = Rc::default();
        let (seen, entropy) = (arrived.clone(), RefCell::new(SeededEntropy::new(seed)));
        world.outside = provider(move |token, number| {
            let draw = entropy.borrow_mut().below(100);
            let outcome = match draw {
                0..10 => Outcome::Failed(Failure::Unreachable),
                10..18 => answered(503, ""),
                18..24 => answered(429, ""),
                // The provider has it, but its answer is lost with the process, or never comes.
                24..30 => {
                    *seen.borrow_mut().entry((token.to_owned(), number)).or_default() += 1;
                    return None;
                }
                _ => answered(200, "{}"),
            };
            if draw >= 30 {
                *seen.borrow_mut().entry((token.to_owned(), number)).or_default() += 1;
            }
            Some(outcome)
        });
        for number in 0..150 {
            let _ = world.start(&notify(UUID_A, &notification(number)));
            world.wait(300);
            if number == 50 || number == 100 {
                world.crash();
            }
        }
        world.wait(3_600_000);
        let arrived = arrived.borrow();
        assert_eq!(arrived.len(), 300, "seed {seed}: every notification reached every device");
        assert_eq!(world.rows(UUID_A, "delivery"), 0, "seed {seed}");
    }
}

#[test]
fn an_outage_of_half_an_hour_loses_nothing_and_makes_no_storm() {
    let mut world = ready();
    for number in 0..20 {
        world.device(UUID_A, "1", &format!("{number:02}"));
    }
    let (is_down, tries, arrived) =
        (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)), Rc::new(RefCell::new(BTreeSet::new())));
    let (down, count, seen) = (is_down.clone(), tries.clone(), arrived.clone());
    world.outside = provider(move |token, number| {
        count.set(count.get() + 1);
        if down.get() {
            return Some(answered(503, ""));
        }
        seen.borrow_mut().insert((token.to_owned(), number));
        Some(answered(200, ""))
    });
    for number in 0..10 {
        accepted(&world.send(&notify(UUID_A, &notification(number))));
    }
    world.wait(1_800_000);
    assert!(tries.get() < 1_000, "{} tries for 200 notifications", tries.get());
    is_down.set(false);
    world.wait(1_200_000);
    assert_eq!(arrived.borrow().len(), 200);
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
}

#[test]
fn nothing_waits_longer_than_an_hour() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    world.outside = provider(|_, _| Some(answered(500, "")));
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    world.wait(3_300_000);
    assert_eq!(world.rows(UUID_A, "delivery"), 1);
    assert!((8..35).contains(&sends(&world)), "{} tries", sends(&world));
    world.wait(600_000);
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
    let count = sends(&world);
    world.wait(3_600_000);
    assert_eq!(sends(&world), count);
}

#[test]
fn a_provider_says_when_it_wants_to_be_asked_again() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    world.outside = Box::new(|_| {
        let headers = vec![(String::from("retry-after"), String::from("120"))];
        Some(Outcome::Fetched(Fetched { status: 429, headers, body: Vec::new() }))
    });
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    world.wait(119_000);
    assert_eq!(sends(&world), 1);
    world.outside = everything_works();
    world.wait(60_000);
    assert_eq!((sends(&world), world.rows(UUID_A, "delivery")), (2, 0));
}

#[test]
fn one_access_token_serves_all_and_is_renewed_once_when_it_is_refused() {
    let mut world = ready();
    for number in 0..50 {
        world.device(UUID_A, "2", &format!("android-{number}"));
    }
    let tokens = |world: &World| world.fetched.iter().filter(|fetch| fetch.url.contains("oauth")).count();
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    assert_eq!((tokens(&world), sends(&world)), (1, 50));
    world.wait(56 * 60_000);
    accepted(&world.send(&notify(UUID_A, &notification(2))));
    assert_eq!((tokens(&world), sends(&world)), (2, 100));
    // The token is refused from now on, to all that went with it; one new token serves them.
    world.outside = Box::new(|fetch| {
        if fetch.url.contains("oauth") {
            return Some(answered(200, r#"{"access_token":"new","expires_in":3600}"#));
        }
        let is_new = fetch.headers.iter().any(|(_, value)| value == "Bearer new");
        Some(if is_new { answered(200, "{}") } else { answered(401, "{}") })
    });
    world.wait(1_000);
    accepted(&world.send(&notify(UUID_A, &notification(3))));
    // 32 were under way with the old one.
    assert_eq!((tokens(&world), sends(&world)), (3, 100 + 32 + 50));
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
}

#[test]
fn a_late_refusal_of_the_old_access_token_costs_no_new_one() {
    let mut world = ready();
    for token in ["a", "b"] {
        world.device(UUID_A, "2", token);
    }
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    world.server(UUID_A).begin(&notify(UUID_A, &notification(2)));
    let mut sent = world.server(UUID_A).take_errands();
    let (late, early) = (sent.pop().unwrap().0, sent.pop().unwrap().0);
    // The first is refused, and a new access token comes.
    world.server(UUID_A).tell(early, answered(401, "{}"));
    for outcome in [Outcome::Signed(vec![1]), access()] {
        let (ticket, _) = world.server(UUID_A).take_errands().remove(0);
        world.server(UUID_A).tell(ticket, outcome);
    }
    world.server(UUID_A).take_errands();
    world.server(UUID_A).tell(late, answered(401, "{}"));
    let next = world.server(UUID_A).take_errands();
    assert!(matches!(&next[..], [(_, Errand::Fetch(fetch))] if fetch.url.contains("messages:send")), "{next:?}");
}

#[test]
fn two_servers_show_apple_one_provider_token_and_one_that_is_refused_makes_one_new_one_for_all_in_flight() {
    let mut world = ready();
    world.register(UUID_B);
    for (uuid, token) in [(UUID_A, "aa"), (UUID_A, "bb"), (UUID_A, "cc"), (UUID_B, "dd")] {
        world.device(uuid, "1", token);
    }
    let shown = |world: &World| -> BTreeSet<String> {
        let authorizations = world.fetched.iter().flat_map(|fetch| &fetch.headers);
        authorizations.filter(|(name, _)| name == "authorization").map(|(_, value)| value.clone()).collect()
    };
    for uuid in [UUID_A, UUID_B] {
        accepted(&world.send(&notify(uuid, &notification(1))));
        world.wait(1_000);
    }
    assert_eq!((sends(&world), shown(&world).len()), (4, 1));
    let common = shown(&world).pop_first().unwrap();
    let refused = common.clone();
    world.outside = Box::new(move |fetch| {
        let is_refused = fetch.headers.iter().any(|(_, value)| *value == refused);
        let reason = r#"{"reason":"ExpiredProviderToken"}"#;
        Some(if is_refused { answered(403, reason) } else { answered(200, "") })
    });
    accepted(&world.send(&notify(UUID_A, &notification(2))));
    assert_eq!((sends(&world), shown(&world).len()), (4 + 3 + 3, 2), "each of three twice, and one new token");
    assert_eq!(world.rows(UUID_A, "delivery"), 0);
    // Apple refuses that one, too: no storm of tokens.
    world.outside = Box::new(|_| Some(answered(403, r#"{"reason":"ExpiredProviderToken"}"#)));
    for number in 3..9 {
        world.wait(60_000);
        accepted(&world.send(&notify(UUID_A, &notification(number))));
    }
    assert_eq!(shown(&world).len(), 2);
}

#[test]
fn without_an_access_token_notifications_wait() {
    for trouble in [Outcome::Failed(Failure::TimedOut), answered(503, ""), answered(400, "{}"), answered(200, "no")] {
        let mut world = ready();
        world.device(UUID_A, "2", "android");
        world.outside = Box::new(move |_| Some(trouble.clone()));
        accepted(&world.send(&notify(UUID_A, &notification(1))));
        assert_eq!(world.rows(UUID_A, "delivery"), 1);
        world.outside = everything_works();
        world.wait(600_000);
        assert_eq!(world.rows(UUID_A, "delivery"), 0);
    }
}

#[test]
fn a_dead_token_vanishes_on_every_server_that_has_it_for_the_same_app() {
    let mut world = ready();
    world.register(UUID_B);
    world.device(UUID_A, "1", "C0FFEE");
    world.device(UUID_A, "1", "aa");
    world.device(UUID_B, "1", "c0ffee");
    let other = [("user_id", "5"), ("token", "c0ffee"), ("token_kind", "1"), ("ios_app_id", "org.other.App")];
    accepted(&world.register_device(UUID_B, &other));
    world.outside = provider(|token, _| {
        Some(if token == "C0FFEE" { answered(410, r#"{"reason":"Unregistered"}"#) } else { answered(200, "") })
    });
    let mut wish = notification(1);
    wish["apple_devices"] = json!(["C0FFEE", "aa"]);
    let success = accepted(&world.send(&notify(UUID_A, &wish)));
    assert_eq!(success["total_apple_devices"], 2, "counted before sending");
    assert_eq!(success["deleted_devices"]["apple_devices"], json!(["C0FFEE"]), "told in the same answer");
    assert_eq!(world.rows(UUID_A, "device"), 1);
    assert_eq!(world.rows(UUID_B, "device"), 1, "another app's registration is another thing");
    assert_eq!(world.rows(UUID_A, "duty") + world.rows(UUID_B, "duty"), 0, "everybody was told");
    assert_eq!(world.dump().iter().filter(|line| line.contains("obituary: ")).count(), 0);
    // UUID_B and "aa" on UUID_A are still known to the directory.
    assert_eq!(world.dump().iter().filter(|line| line.contains("token_holder: ")).count(), 2);
}

#[test]
fn a_wrong_app_does_not_kill_another_servers_token() {
    let mut world = ready();
    world.register(UUID_B);
    world.device(UUID_B, "1", "c0ffee");
    let wrong = [("user_uuid", USER), ("token", "c0ffee"), ("token_kind", "1"), ("ios_app_id", "evil.App")];
    accepted(&world.register_device(UUID_A, &wrong));
    world.outside = provider(|_, _| Some(answered(400, r#"{"reason":"DeviceTokenNotForTopic"}"#)));
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    assert_eq!((world.rows(UUID_A, "device"), world.rows(UUID_B, "device")), (0, 1));
}

#[test]
fn the_news_of_a_dead_token_survive_a_directory_that_is_down_and_a_crash() {
    let mut world = ready();
    world.register(UUID_B);
    for uuid in [UUID_A, UUID_B] {
        world.device(uuid, "2", "android");
    }
    world.outside = provider(|_, _| Some(answered(404, GONE)));
    world.directory_is_down = true;
    accepted(&world.send(&notify(UUID_A, &notification(1))));
    assert_eq!((world.rows(UUID_A, "device"), world.rows(UUID_B, "device")), (0, 1));
    world.crash();
    world.directory_is_down = false;
    world.wait(600_000);
    assert_eq!(world.rows(UUID_B, "device"), 0);
    assert_eq!(world.rows(UUID_A, "duty") + world.rows(UUID_B, "duty"), 0);
}

#[test]
fn a_token_that_came_back_since_its_death_stays() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    let before = world.now.as_millis() - 1;
    world.outside = provider(move |_, _| {
        Some(answered(410, &json!({ "reason": "Unregistered", "timestamp": before }).to_string()))
    });
    let mut wish = notification(1);
    wish["apple_devices"] = json!(["aa"]);
    let success = accepted(&world.send(&notify(UUID_A, &wish)));
    assert_eq!(success["deleted_devices"]["apple_devices"], json!([]), "never more than is gone");
    assert_eq!(world.rows(UUID_A, "device"), 1);
}

#[test]
fn a_full_queue_asks_the_server_to_keep_its_notifications() {
    let mut world = ready();
    for number in 0..100 {
        world.device(UUID_A, "1", &format!("{number:04}"));
    }
    world.outside = Box::new(|_| None);
    for number in 0..200 {
        assert!(world.start(&notify(UUID_A, &notification(number))).is_err());
    }
    assert_eq!(world.rows(UUID_A, "delivery"), 20_000);
    let reply = world.send(&notify(UUID_A, &notification(201)));
    assert_eq!((reply.status, body(&reply)["result"].as_str().unwrap()), (503, "error"));
    assert_eq!(world.rows(UUID_A, "delivery"), 20_000);
}

#[test]
fn one_slow_device_does_not_stop_the_others() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    world.device(UUID_A, "2", "android");
    let tries = Rc::new(RefCell::new(Vec::new()));
    let seen = tries.clone();
    world.outside = provider(move |token, number| {
        seen.borrow_mut().push((token.to_owned(), number));
        Some(if token == "aa" && number == 0 { answered(500, "") } else { answered(200, "") })
    });
    for number in 0..5 {
        accepted(&world.send(&notify(UUID_A, &notification(number))));
    }
    let poisoned = tries.borrow().iter().filter(|(token, number)| token == "aa" && *number == 0).count();
    assert_eq!((poisoned, tries.borrow().len()), (1, 10));
}

#[test]
fn a_removal_carries_the_200_newest_ids() {
    let mut world = ready();
    world.device(UUID_A, "2", "android");
    let ids: Vec<String> = (1..=250).rev().map(|id: u32| id.to_string()).collect();
    let mut wish = notification(1);
    wish["gcm_payload"] = json!({ "event": "remove", "zulip_message_ids": ids.join(",") });
    wish["gcm_options"] = json!({});
    accepted(&world.send(&notify(UUID_A, &wish)));
    let sent: Value = serde_json::from_slice(&world.fetched.last().unwrap().body).unwrap();
    let kept = sent["message"]["data"]["zulip_message_ids"].as_str().unwrap();
    assert!(kept.starts_with("51,52,") && kept.ends_with(",250"), "{kept}");
    assert_eq!(sent["message"]["android"]["priority"], "NORMAL");
}

#[test]
fn a_trial_succeeds_whatever_the_provider_says() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    let trial = json!({ "token": "AA", "token_kind": 1, "user_id": 1, "user_uuid": USER,
        "base_payload": { "realm_name": "Chat", "realm_url": "https://chat" } });
    let call = as_server(UUID_A, json_call(Operation::PushTestNotification, &trial));
    accepted(&world.send(&call));
    let sent: Value = serde_json::from_slice(&world.fetched[0].body).unwrap();
    assert_eq!(sent["aps"]["alert"]["body"], "This is a test notification from Chat (https://chat).");
    assert_eq!(sent["zulip"]["event"], "test");
    world.outside = Box::new(|_| Some(answered(500, "")));
    accepted(&world.send(&call));
    world.outside = Box::new(|_| None);
    let place = world.start(&call).unwrap_err();
    world.wait(12_000);
    accepted(&world.answer(&place).unwrap());
}

/// A browser's subscription, as it writes it itself.
fn subscription(host: &str) -> String {
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    let point = p256::SecretKey::from_slice(&[5; 32]).unwrap().public_key().to_sec1_point(false);
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let keys = json!({ "p256dh": encode(point.as_bytes()), "auth": encode(&[3; 16]) });
    json!({ "endpoint": format!("https://{host}/send/abc"), "keys": keys }).to_string()
}

#[test]
fn web_push_is_a_third_kind_and_goes_only_where_the_operator_allows() {
    let mut world = ready();
    let register = |world: &mut World, token: &str| -> Reply {
        world.register_device(UUID_A, &[("user_uuid", USER), ("token", token), ("token_kind", "3")])
    };
    for bad in ["{}", &subscription("evil.example"), &subscription("127.0.0.1")] {
        push_world::refused(&register(&mut world, bad), 400, "BAD_REQUEST", "Invalid Web Push subscription");
    }
    // A kind that the field does not know yet, for servers that do not mean ours.
    push_world::refused(&register(&mut world, "abcdef"), 400, "BAD_REQUEST", "Invalid token type");
    let token = subscription("push.example");
    accepted(&register(&mut world, &token));
    let gone = Rc::new(Cell::new(false));
    let is_gone = gone.clone();
    world.outside = Box::new(move |_| Some(answered(if is_gone.get() { 410 } else { 201 }, "")));
    let mut wish = notification(1);
    wish["web_payload"] = json!({ "title": "x" });
    wish["web_devices"] = json!([token]);
    let success = accepted(&world.send(&notify(UUID_A, &wish)));
    assert_eq!((&success["total_web_devices"], &success["deleted_devices"]["web_devices"]), (&json!(1), &json!([])));
    let fetch = &world.fetched[0];
    assert_eq!(fetch.url, "https://push.example/send/abc");
    assert!(fetch.headers.contains(&("content-encoding".into(), String::from("aes128gcm"))));
    gone.set(true);
    let success = accepted(&world.send(&notify(UUID_A, &wish)));
    assert_eq!(success["deleted_devices"]["web_devices"], json!([token]));
    assert_eq!(world.rows(UUID_A, "device"), 0);
    // A stock server that never heard of the kind is answered in its own words.
    let success = accepted(&world.send(&notify(UUID_A, &notification(2))));
    assert_eq!(success.get("total_web_devices"), None);
}

#[test]
fn memory_is_only_a_cache() {
    let script = |world: &mut World| {
        for token in ["aa", "bb", "AA"] {
            world.device(UUID_A, "1", token);
        }
        world.wait(400_000);
        let farewell = [("user_uuid", USER), ("token", "bb"), ("token_kind", "1")];
        accepted(&world.send(&as_server(UUID_A, form_call(Operation::PushDeviceUnregister, &farewell))));
        world.wait(400_000);
    };
    let (mut kept, mut evicted) = (ready(), ready());
    evicted.evict_always = true;
    script(&mut kept);
    script(&mut evicted);
    // What an eviction forgets is at most that a duty was done: the alarm does it again.
    let stored =
        |world: &World| -> Vec<String> { world.dump().into_iter().filter(|line| !line.contains(" duty: ")).collect() };
    assert_eq!(stored(&kept), stored(&evicted));
    evicted.evict_always = false;
    evicted.wait(600_000);
    assert_eq!(evicted.rows(UUID_A, "duty"), 0);
}

#[test]
fn an_answer_that_comes_after_a_crash_changes_nothing() {
    let mut world = ready();
    world.device(UUID_A, "1", "aa");
    world.server(UUID_A).begin(&notify(UUID_A, &notification(1)));
    let (ticket, errand) = world.server(UUID_A).take_errands().remove(0);
    assert!(matches!(errand, Errand::Fetch(_)));
    world.crash();
    let dump = world.dump();
    world.server(UUID_A).tell(ticket, answered(410, r#"{"reason":"Unregistered"}"#));
    assert_eq!(world.dump(), dump);
}

#[test]
fn a_rush_waits_in_rows_and_not_in_memory() {
    let mut world = ready();
    for number in 0..100 {
        world.device(UUID_A, "1", &format!("{number:04}"));
    }
    // Nothing is answered yet, so nothing gets through.
    let mut under_way = Vec::new();
    for number in 0..20 {
        world.server(UUID_A).begin(&notify(UUID_A, &notification(number)));
        under_way.extend(world.server(UUID_A).take_errands());
    }
    assert_eq!((under_way.len(), world.rows(UUID_A, "delivery")), (32, 2_000));
    let mut arrived = BTreeSet::new();
    while let Some((ticket, errand)) = under_way.pop() {
        let Errand::Fetch(fetch) = errand else { panic!("a fetch") };
        assert!(arrived.insert(delivered(&fetch).unwrap()), "nothing is sent twice");
        world.server(UUID_A).tell(ticket, answered(200, ""));
        under_way.extend(world.server(UUID_A).take_errands());
        assert!(under_way.len() <= 32);
    }
    assert_eq!((arrived.len(), world.rows(UUID_A, "delivery")), (2_000, 0), "and no alarm was needed");
}

#[test]
fn whatever_the_order_of_events_nothing_is_lost_and_no_answer_is_missing() {
    for seed in 1..=12 {
        let mut world = ready();
        let mut entropy = SeededEntropy::new(seed);
        world.device(UUID_A, "1", "aa");
        world.device(UUID_A, "2", "android");
        let (mut under_way, mut arrived, mut open) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut taken = Vec::new();
        for step in 0..400_u64 {
            match entropy.below(10) {
                0..3 => {
                    let call = notify(UUID_A, &notification(step as usize));
                    taken.push(step);
                    match world.server(UUID_A).begin(&call) {
                        waystation::kernel::object::Answer::Later(ticket) => open.push(ticket),
                        waystation::kernel::object::Answer::Now(reply) => drop(accepted(&reply)),
                    }
                }
                3..9 if !under_way.is_empty() => {
                    let index = entropy.below(u32::try_from(under_way.len()).unwrap()) as usize;
                    let (ticket, errand) = under_way.swap_remove(index);
                    let outcome = play(&errand, &mut entropy, &mut arrived);
                    world.server(UUID_A).tell(ticket, outcome);
                }
                9 if entropy.below(20) == 0 => {
                    world.crash();
                    (under_way, open) = (Vec::new(), Vec::new());
                }
                _ => {
                    world.now = world.now.plus(u64::from(entropy.below(4_000)));
                    world.server(UUID_A).ring();
                }
            }
            under_way.extend(world.server(UUID_A).take_errands());
            open.retain(|ticket| world.server(UUID_A).answer(*ticket).is_none());
        }
        while let Some((ticket, errand)) = under_way.pop() {
            let outcome = play(&errand, &mut entropy, &mut arrived);
            world.server(UUID_A).tell(ticket, outcome);
            under_way.extend(world.server(UUID_A).take_errands());
        }
        open.retain(|ticket| world.server(UUID_A).answer(*ticket).is_none());
        assert!(open.is_empty(), "seed {seed}: everybody was answered");
        let accepted = world.rows(UUID_A, "delivery");
        let seen = Rc::new(RefCell::new(arrived));
        let late = seen.clone();
        world.outside = provider(move |token, number| {
            late.borrow_mut().insert((token.to_owned(), number));
            Some(answered(200, ""))
        });
        world.wait(3_000_000);
        assert_eq!(world.rows(UUID_A, "delivery"), 0, "seed {seed}: {accepted} were left");
        assert!(taken.len() > 50, "seed {seed}: there was something to lose");
        for number in taken {
            for token in ["aa", "android"] {
                assert!(seen.borrow().contains(&(token.to_owned(), number)), "seed {seed}: {token} {number}");
            }
        }
    }
}

/// What the world makes of an errand; three of ten sends fail.
fn play(errand: &Errand, entropy: &mut SeededEntropy, arrived: &mut BTreeSet<(String, u64)>) -> Outcome {
    let Errand::Fetch(fetch) = errand else {
        return match errand {
            Errand::SignRs256 { .. } => Outcome::Signed(vec![1]),
            _ => Outcome::Failed(Failure::Other),
        };
    };
    match (fetch.url.contains("oauth"), entropy.below(10)) {
        (true, 0..8) => access(),
        (_, 0..3) => Outcome::Failed(Failure::TimedOut),
        (true, _) => answered(500, ""),
        (false, _) => {
            arrived.insert(delivered(fetch).unwrap());
            answered(200, "{}")
        }
    }
}
