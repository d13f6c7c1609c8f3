//! Letters: limits, delivery, and what developers see.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod billing_support;
mod support;

use billing_support::{HOUR_MS, KEY, OTHER, Person, REALM, SERVER, SETTINGS, Scene, resolved, takes_mail};
use support::{body, call};
use waystation::billing;
use waystation::kernel::errand::{Errand, Failure, Fetched, Outcome};
use waystation::kernel::object::{Answer, Call, Object as _, Principal};
use waystation::kernel::operation::{Class, Operation as O};
use waystation::kernel::reply::Reply;
use waystation::kernel::secret::Secret;
use waystation::kernel::signed::is_genuine;

/// Asks for one letter from a network; the status.
fn ask(scene: &mut Scene, network: &'static str) -> u16 {
    ask_for(scene, network, REALM)
}

fn ask_for(scene: &mut Scene, network: &'static str, realm: &str) -> u16 {
    let mut ada = Person { network, ..Person::new() };
    let token = scene.token_to(realm, None);
    ada.get(scene, O::BillingRealmLogin, &[&token]);
    ada.post(scene, O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]).status
}

#[test]
fn five_letters_a_day_from_one_place_and_ten_for_one_server() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
    }
    let dump = scene.stage.database.dump();
    assert_eq!(ask(&mut scene, "203.0.113.1"), 429);
    assert_eq!(ask_for(&mut scene, "203.0.113.1", OTHER), 429, "whichever organization");
    assert_eq!(scene.stage.database.dump(), dump, "a refusal is not counted");
    scene.stage.evict();
    for _ in 0..5 {
        assert_eq!(ask(&mut scene, "2001:db8:1:2::1"), 200);
    }
    assert_eq!(ask(&mut scene, "198.51.100.7"), 429);
    assert_eq!(scene.letters(200).len(), 10);
    scene.stage.wait(24 * HOUR_MS);
    assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
}

#[test]
fn a_network_has_one_limit_for_all_servers() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
    }
    let mut other = Scene::new();
    other.counter = scene.counter.take();
    assert_eq!(ask(&mut other, "203.0.113.1"), 429);
    assert_eq!(other.number("SELECT count(*) FROM billing_preregistration"), 0);
    assert!(other.letters(200).is_empty());
    assert_eq!(ask(&mut other, "203.0.113.2"), 200);
    other.stage.now = other.stage.now.plus(24 * HOUR_MS);
    assert_eq!(ask(&mut other, "203.0.113.1"), 200);
    let counter = other.counter.as_mut().unwrap();
    counter.wait(24 * HOUR_MS);
    assert_eq!(counter.object.deadline(), None, "nothing is kept for longer than it counts");
}

#[test]
fn without_the_counter_no_letter_is_sent() {
    let mut scene = Scene::new();
    scene.counter = None;
    assert_eq!(ask(&mut scene, "203.0.113.1"), 503);
    assert!(scene.letters(200).is_empty());
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
}

#[test]
fn only_our_own_objects_count_letters() {
    let mut scene = Scene::new();
    let request = Call { principal: Principal::Anonymous, ..call(O::BillingCountMail) };
    assert_eq!(scene.stage.call(&request).status, 404);
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail_count"), 0);
}

#[test]
fn neighbours_in_one_network_share_its_limit() {
    let mut scene = Scene::new();
    for address in ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3", "2001:db8:1:2::4", "2001:db8:1:2::5"] {
        assert_eq!(ask(&mut scene, address), 200);
    }
    assert_eq!(ask(&mut scene, "2001:db8:1:2::6"), 429);
    assert_eq!(ask(&mut scene, "2001:db8:1:3::6"), 200);
}

#[test]
fn a_letter_is_signed_and_carries_the_link_and_the_host_only() {
    let mut scene = Scene::new();
    scene.sql(&format!("UPDATE host_owner SET host = 'Buy <b>now</b> http://evil.example' WHERE owner = '{REALM}'"));
    assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
    let (_, errand) = scene.stage.take_errands().remove(0);
    let Errand::Fetch(fetch) = errand else { panic!() };
    let header = |name: &str| fetch.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((fetch.method, fetch.url.as_str()), ("POST", "https://mail.example/send"));
    assert_eq!(header("Content-Type"), Some("application/json"));
    let secret = Secret::new(String::from("hush"));
    assert!(is_genuine(&secret, header("Waystation-Signature"), &fetch.body, scene.stage.now));
    assert!(!is_genuine(&secret, header("Waystation-Signature"), b"another letter", scene.stage.now));
    assert_eq!(fetch.headers.len(), 2, "one scheme, and nothing of another");
    let letter: serde_json::Value = serde_json::from_slice(&fetch.body).unwrap();
    assert_eq!(
        (letter["to"].as_str(), letter["written_at"].as_u64()),
        (Some("ada@chat.example.org"), Some(1_800_000_000_000))
    );
    let text = letter["text"].as_str().unwrap();
    assert!(!text.contains("evil") && !text.contains("Ada") && text.contains(REALM));
    assert!(text.contains("https://push.example.org/remote-billing-login/do_confirm/"));
    assert!(!letter["subject"].as_str().unwrap().contains('\n'));
}

#[test]
fn keys_of_links_are_stored_hashed_and_letters_go_when_they_are_taken() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail"), 1);
    let key = scene.mailed_key();
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail"), 0);
    assert!(!scene.stage.database.dump().iter().any(|line| line.contains(&key)), "no key at rest");
}

#[test]
fn a_letter_that_is_not_taken_is_tried_again_until_its_link_ends() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    let first = scene.letters(500);
    let mut tries = 1;
    let mut last = first.clone();
    for _ in 0..300 {
        scene.stage.wait(5 * 60_000);
        let letters = scene.letters(503);
        tries += letters.len();
        if !letters.is_empty() {
            last = letters;
        }
    }
    assert_eq!(first, last, "the same letter, with the same number");
    assert!((40..80).contains(&tries), "{tries} tries");
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail"), 0, "given up after a day");
}

#[test]
fn a_failed_try_is_repeated_after_ten_seconds() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    let (ticket, _) = scene.stage.take_errands().remove(0);
    scene.stage.tell(ticket, Outcome::Failed(Failure::TimedOut));
    scene.stage.wait(9_999);
    assert!(scene.stage.errands.is_empty());
    scene.stage.wait(1);
    assert_eq!(scene.letters(200).len(), 1);
    scene.stage.wait(60_000);
    assert!(scene.stage.errands.is_empty(), "taken");
}

#[test]
fn a_letter_survives_a_crash() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    scene.stage.crash();
    assert!(scene.stage.errands.is_empty());
    scene.stage.wait(30_000);
    assert_eq!(scene.letters(200).len(), 1);
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail"), 0);
}

#[test]
fn a_late_answer_about_a_letter_that_is_gone_changes_nothing() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    let (first, _) = scene.stage.take_errands().remove(0);
    scene.stage.wait(30_000);
    assert_eq!(scene.letters(200).len(), 1);
    let dump = scene.stage.database.dump();
    let fetched = Fetched { status: 500, headers: Vec::new(), body: Vec::new() };
    scene.stage.tell(first, Outcome::Fetched(fetched));
    assert_eq!(scene.stage.database.dump(), dump);
}

#[test]
fn old_links_are_forgotten_after_two_days() {
    let mut scene = Scene::new();
    ask(&mut scene, "203.0.113.1");
    scene.letters(200);
    scene.stage.wait(48 * HOUR_MS - 1);
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 1);
    scene.stage.wait(1);
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
    assert_eq!(scene.stage.object.deadline(), None, "nothing left to do");
}

#[test]
fn without_a_mail_service_nobody_is_promised_a_letter() {
    let mut scene = Scene::with(&SETTINGS[..1]);
    assert_eq!(ask(&mut scene, "203.0.113.1"), 503);
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let reply = ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]);
    assert!(reply.body.contains("E-mail is not configured"));
}

#[test]
fn developers_read_their_letters_and_only_the_last_twenty() {
    let mut scene = Scene::with(&[SETTINGS[0], SETTINGS[3], ("DEV_MODE", "true")]);
    assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
    let (ticket, errand) = scene.stage.take_errands().remove(0);
    let Errand::Call { class, name, call: keep } = errand else { panic!() };
    assert_eq!((class, name.as_str(), keep.principal), (Class::RemoteServer, "dev-mail", Principal::Service));
    let mut desk = Scene::with(&[SETTINGS[0], SETTINGS[3], ("DEV_MODE", "true")]);
    let reply = desk.stage.call(&keep);
    scene.stage.tell(ticket, Outcome::Replied(reply));
    assert_eq!(scene.number("SELECT count(*) FROM billing_mail"), 0);
    let read = call(O::BillingDevMail);
    assert_eq!(billing::address(&desk.settings, &read), Ok((Class::RemoteServer, String::from("dev-mail"))));
    assert_eq!(body(&desk.stage.call(&read))["mails"][0]["to"], "ada@chat.example.org");
    for number in 0..30 {
        desk.stage.call(&Call { body: format!("{{\"n\":{number}}}").into_bytes(), ..(*keep).clone() });
    }
    let mails = body(&desk.stage.call(&read));
    assert_eq!((mails["mails"].as_array().unwrap().len(), mails["mails"][0]["n"].as_u64()), (20, Some(29)));
}

#[test]
fn letters_of_a_real_service_are_nobodys_to_read_or_plant() {
    let mut real = Scene::new();
    let mut developers = Scene::with(&[SETTINGS[0], SETTINGS[3], ("DEV_MODE", "true")]);
    for principal in [Principal::Anonymous, Principal::Operator, Principal::Service] {
        for operation in [O::BillingDevMail, O::BillingKeepMail] {
            let request = Call { principal, body: b"{}".to_vec(), ..call(operation) };
            assert_eq!(real.stage.call(&request).status, 404, "{operation:?} {principal:?}");
        }
    }
    let planted = Call { body: b"{}".to_vec(), ..call(O::BillingKeepMail) };
    assert_eq!(developers.stage.call(&planted).status, 404);
    assert_eq!(
        real.number("SELECT count(*) FROM billing_dev_mail")
            + developers.number("SELECT count(*) FROM billing_dev_mail"),
        0
    );
}

#[test]
fn a_full_disk_promises_nothing() {
    let mut scene = without_resolver();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let csrf = billing_support::attribute(&ada.page, "name=\"csrf\" value=\"").unwrap();
    let request = ada.call(O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org"), ("csrf", &csrf)]);
    let Answer::Later(ticket) = scene.stage.begin(&request) else { panic!() };
    scene.stage.take_errands();
    scene.stage.database.refuse_commits();
    let told = scene.stage.try_tell(ticket, Outcome::Replied(Reply::json_text(String::from("{}"))));
    assert!(told.is_err());
    assert!(scene.stage.errands.is_empty(), "no letter whose link would not work");
}

fn without_resolver() -> Scene {
    let pairs: Vec<_> = SETTINGS.iter().copied().chain([("DNS_QUERY_URL", "")]).collect();
    Scene::with(&pairs)
}

/// Types an address into both forms that ask for one; what each answers.
fn type_address(scene: &mut Scene, email: &str) -> [Reply; 2] {
    let (mut ada, token) = (Person { network: "203.0.113.8", ..Person::new() }, scene.token());
    ada.get(scene, O::BillingRealmLogin, &[&token]);
    let of_realm = ada.post(scene, O::BillingRealmMail, &[&token], &[("email", email)]);
    let mut root = Person { network: "203.0.113.9", ..Person::new() };
    root.get(scene, O::BillingServerLogin, &[]);
    root.post(scene, O::BillingServerEnter, &[], &[("zulip_org_id", SERVER), ("zulip_org_key", KEY)]);
    [of_realm, root.post(scene, O::BillingServerMail, &[SERVER], &[("email", email)])]
}

/// The same, from a browser that claims to be at `base`.
fn type_address_at(scene: &mut Scene, base: &str) -> [Reply; 2] {
    let at = |network| Person { network, base: base.to_owned(), origin: None, ..Person::new() };
    let (mut ada, mut root, token) = (at("203.0.113.8"), at("203.0.113.9"), Scene::new().token());
    ada.get(scene, O::BillingRealmLogin, &[&token]);
    let of_realm = ada.post(scene, O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]);
    root.get(scene, O::BillingServerLogin, &[]);
    root.post(scene, O::BillingServerEnter, &[], &[("zulip_org_id", SERVER), ("zulip_org_key", KEY)]);
    [of_realm, root.post(scene, O::BillingServerMail, &[SERVER], &[("email", "ada@chat.example.org")])]
}

#[test]
fn a_letter_leads_to_the_configured_host_whatever_host_was_asked() {
    for base in ["https://evil.example", "http://127.0.0.1:8787", "https://push.example.org"] {
        let mut scene = Scene::new();
        assert_eq!(type_address_at(&mut scene, base).map(|reply| reply.status), [200, 200], "{base}");
        let letters = scene.letters(200);
        assert_eq!(letters.len(), 2);
        for letter in letters {
            let text = letter["text"].as_str().unwrap();
            assert!(
                text.contains("://push.example.org/") && !text.contains("evil") && !text.contains("8787"),
                "{text}"
            );
        }
    }
}

#[test]
fn without_a_configured_host_no_letter_is_written() {
    for base in ["https://evil.example", "https://push.example.org", "http://127.0.0.1:8787"] {
        let mut scene = Scene::with(&SETTINGS[..3]);
        for reply in type_address_at(&mut scene, base) {
            assert!(reply.status == 503 && reply.body.contains("BILLING_HOST"), "{base}: {}", reply.body);
        }
        assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
        assert!(scene.letters(200).is_empty() && scene.resolved.is_empty());
    }
}

#[test]
fn developers_need_no_host_on_their_own_machine_and_only_there() {
    let loopback = ["http://127.0.0.1:8787", "http://localhost:8787", "http://[::1]:8787"];
    let others = ["https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://"];
    let cases = loopback.map(|base| (base, 200)).into_iter().chain(others.map(|base| (base, 503)));
    for (base, status) in cases {
        let mut scene = Scene::with(&[SETTINGS[0], ("DEV_MODE", "true")]);
        assert_eq!(type_address_at(&mut scene, base).map(|reply| reply.status), [status; 2], "{base}");
    }
}

/// What a resolver says of a record.
type Resolver = fn(&str) -> Outcome;

/// Nothing of the type asked for.
fn absent() -> Outcome {
    resolved(r#"{"Status":0}"#)
}

#[test]
fn an_address_whose_domain_takes_no_mail_is_refused_in_the_words_of_registrations() {
    let no_mail = "chat.example.org is invalid because it does not have any MX records";
    let no_domain = "chat.example.org does not exist";
    let cases: [(Resolver, &str, &[&str]); 6] = [
        (|_| resolved(r#"{"Status":3}"#), no_domain, &["MX"]),
        (|_| absent(), no_domain, &["MX", "A", "AAAA", "NS"]),
        (|record| if record == "A" { records(1) } else { absent() }, no_mail, &["MX", "A"]),
        (|record| if record == "AAAA" { records(28) } else { absent() }, no_mail, &["MX", "A", "AAAA"]),
        (|record| if record == "NS" { records(2) } else { absent() }, no_mail, &["MX", "A", "AAAA", "NS"]),
        // RFC 7505: no mail, thank you.
        (
            |record| match record {
                "MX" => resolved(r#"{"Status":0,"Answer":[{"type":15,"data":"0 ."}]}"#),
                "A" => records(1),
                _ => absent(),
            },
            no_mail,
            &["MX", "A"],
        ),
    ];
    for (resolver, sentence, asked) in cases {
        let mut scene = Scene::new();
        scene.resolver = resolver;
        for reply in type_address(&mut scene, "ada@Chat.example.org") {
            assert!(reply.status == 400 && reply.body.contains(sentence), "{sentence}: {}", reply.body);
            assert!(reply.body.contains("value=\"ada@Chat.example.org\"") && reply.body.contains("role=\"alert\""));
        }
        let asked: Vec<String> = asked.iter().map(|record| format!("chat.example.org {record}")).collect();
        assert_eq!(scene.resolved, [asked.clone(), asked].concat());
        assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
        assert!(scene.letters(200).is_empty());
        let counted = scene.counter.as_ref().unwrap().database.dump().iter().any(|row| row.contains("203.0.113"));
        assert!(!counted, "a refused address uses up no letter");
    }
}

fn records(number: u32) -> Outcome {
    resolved(&format!(r#"{{"Status":0,"Answer":[{{"type":{number},"data":"x"}}]}}"#))
}

#[test]
fn a_domain_that_takes_mail_and_a_resolver_that_is_silent_or_off_let_a_letter_go() {
    let cases: [Resolver; 5] = [
        takes_mail,
        |_| Outcome::Failed(Failure::TimedOut),
        |_| Outcome::Fetched(Fetched { status: 500, headers: Vec::new(), body: Vec::new() }),
        |_| resolved("no"),
        |_| resolved(r#"{"Status":2}"#),
    ];
    for resolver in cases {
        let mut scene = Scene::new();
        scene.resolver = resolver;
        assert_eq!(type_address(&mut scene, "ada@chat.example.org").map(|reply| reply.status), [200, 200]);
        assert_eq!((scene.letters(200).len(), scene.resolved.len()), (2, 2));
    }
    let mut scene = without_resolver();
    assert_eq!(type_address(&mut scene, "ada@chat.example.org").map(|reply| reply.status), [200, 200]);
    assert_eq!((scene.letters(200).len(), scene.resolved.len()), (2, 0));
}

#[test]
fn the_resolver_is_not_asked_where_the_answer_is_known_without() {
    let mut scene = Scene::new();
    type_address(&mut scene, "nonsense");
    type_address(&mut scene, "a@mailinator.com");
    assert!(scene.resolved.is_empty());
    for _ in 0..5 {
        assert_eq!(ask(&mut scene, "203.0.113.1"), 200);
    }
    assert_eq!((ask(&mut scene, "203.0.113.1"), scene.resolved.len()), (429, 5));
    let mut unable = Scene::with(&SETTINGS[..1]);
    assert_eq!((ask(&mut unable, "203.0.113.1"), unable.resolved.len()), (503, 0));
}

#[test]
fn a_call_that_waits_for_the_resolver_decides_on_what_is_true_then() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let csrf = billing_support::attribute(&ada.page, "name=\"csrf\" value=\"").unwrap();
    let request = ada.call(O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org"), ("csrf", &csrf)]);
    let Answer::Later(ticket) = scene.stage.begin(&request) else { panic!() };
    scene.deactivate(REALM);
    scene.stage.take_errands();
    scene.stage.tell(ticket, takes_mail("MX"));
    let reply = scene.stage.answer(ticket).expect("an answer");
    assert!(reply.status == 400 && reply.body.contains("Registration is deactivated"));
    assert!(scene.stage.errands.is_empty());
}
