//! Sessions, forms and pages of those who are signed in.
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

use billing_support::{HOUR_MS, OTHER, Person, REALM, SERVER, Scene, attribute};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use support::body;
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation as O;
use waystation::kernel::reply::{Media, Reply};

const PAGES: [&str; 7] = ["plans", "billing", "upgrade", "sponsorship", "event_status", "invoices", "customer_portal"];

#[test]
fn a_session_opens_its_own_pages_and_nobody_elses() {
    let mut scene = Scene::new();
    let mut people = vec![
        ("ada", scene.owner_of(REALM)),
        ("bob", scene.owner_of(OTHER)),
        ("root", scene.administrator()),
        ("nobody", Person::new()),
    ];
    let mut cells = 0;
    for (name, person) in &mut people {
        for (owner, subject, look, act, script) in [
            ("ada", REALM, O::BillingRealmPage, O::BillingRealmAct, O::BillingRealmPlan),
            ("bob", OTHER, O::BillingRealmPage, O::BillingRealmAct, O::BillingRealmSponsorship),
            ("root", SERVER, O::BillingServerPage, O::BillingServerAct, O::BillingServerUpgrade),
            // Names that exist, on the other kind of path.
            ("-", SERVER, O::BillingRealmPage, O::BillingRealmAct, O::BillingRealmPlan),
            ("-", REALM, O::BillingServerPage, O::BillingServerAct, O::BillingServerPlan),
        ] {
            for page in PAGES {
                let status = person.get(&mut scene, look, &[subject, page]).status;
                assert_eq!(status, if *name == owner { 200 } else { 401 }, "{name} {subject} {page}");
                cells += 1;
            }
            let dump = scene.stage.database.dump();
            let acted = person.post(&mut scene, act, &[subject, "billing"], &[("status", "99")]).status;
            let called = person.post(&mut scene, script, &[subject], &[("status", "99")]).status;
            let expected = if *name == owner { 400 } else { 401 };
            assert_eq!((acted, called), (expected, expected), "{name} {subject}");
            assert_eq!(scene.stage.database.dump(), dump);
        }
    }
    assert_eq!(cells, 140);
}

#[test]
fn a_session_ends_with_its_user_and_its_organization() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    for (before, after) in [
        (format!("UPDATE billing_user SET realm = '{OTHER}'"), format!("UPDATE billing_user SET realm = '{REALM}'")),
        (
            format!("UPDATE host_owner SET owner = 'gone' WHERE owner = '{REALM}'"),
            format!("UPDATE host_owner SET owner = '{REALM}' WHERE owner = 'gone'"),
        ),
        (String::from("DELETE FROM billing_user"), String::new()),
    ] {
        assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 200);
        scene.sql(&before);
        let reply = ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
        assert!(reply.status == 401 && reply.body.contains("User not authenticated"), "{before}");
        if !after.is_empty() {
            scene.sql(&after);
        }
    }
}

#[test]
fn signing_in_makes_a_new_session_with_a_new_form_token() {
    let mut scene = Scene::new();
    scene.owner_of(REALM);
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let (planted, known) = (ada.cookie.clone(), attribute(&ada.page, "name=\"csrf\" value=\""));
    ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[]);
    assert_ne!(ada.cookie, planted);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
    let fresh = attribute(&ada.page, "name=\"csrf\" value=\"");
    assert!(fresh.is_some() && fresh != known, "who planted the first cookie knows no token of the second");
}

#[test]
fn who_signs_in_elsewhere_is_signed_out_here() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    scene.owner_of(OTHER);
    let token = scene.token_to(OTHER, None);
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert_eq!(ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[]).status, 302);
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[OTHER, "plans"]).status, 200);
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 401);
}

#[test]
fn sessions_end_after_two_hours_and_say_where_to_begin_again() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let mut root = scene.administrator();
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
    scene.stage.now = scene.stage.now.plus(2 * HOUR_MS);
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 200);
    scene.stage.now = scene.stage.now.plus(1);
    let looked = ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
    let login = "https://a.chat.example.org/self-hosted-billing/?next_page=plans";
    assert_eq!((looked.status, looked.header("Location")), (302, Some(login)));
    let acted = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "billing"], &[("status", "2")]);
    assert!(acted.status == 401 && acted.body.contains("self-hosted-billing/?next_page=billing"));
    let called = ada.post(&mut scene, O::BillingRealmUpgrade, &[REALM], &[]);
    assert_eq!((called.status, called.media), (401, Media::Json));
    assert_eq!(body(&called)["error_message"], "Remote billing authentication expired");
    assert_eq!(body(&called)["login_url"], "https://a.chat.example.org/self-hosted-billing/?next_page=upgrade");
    let looked = root.get(&mut scene, O::BillingServerPage, &[SERVER, "sponsorship"]);
    assert_eq!(looked.header("Location"), Some("/serverlogin/?next_page=sponsorship"));
}

#[test]
fn a_host_that_is_none_is_not_redirected_to() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    for host in ["evil.example/x", "a b", "evil.example\nSet-Cookie: a=b", ""] {
        scene.sql(&format!("UPDATE host_owner SET host = '{host}' WHERE owner = '{REALM}'"));
        let mut late = ada.clone();
        let now = scene.stage.now;
        scene.stage.now = now.plus(3 * HOUR_MS);
        let looked = late.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
        assert_eq!(looked.header("Location"), Some("/serverlogin/?next_page=plans"), "{host}");
        scene.stage.now = now;
    }
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 200);
}

#[test]
fn forms_need_their_sessions_token() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let mut bob = scene.owner_of(OTHER);
    bob.get(&mut scene, O::BillingRealmPage, &[OTHER, "plans"]);
    let foreign = attribute(&bob.page, "name=\"csrf\" value=\"");
    scene.plan(REALM, 103, 1);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let page = ada.page.clone();
    let dump = scene.stage.database.dump();
    for token in [Some(String::new()), Some(String::from("0").repeat(64)), foreign] {
        ada.token = token;
        for (operation, params) in [
            (O::BillingRealmAct, vec![REALM, "billing"]),
            (O::BillingRealmPlan, vec![REALM]),
            (O::BillingLogout, vec![]),
        ] {
            ada.page.clone_from(&page);
            let reply = ada.post(&mut scene, operation, &params, &[("status", "2")]);
            assert_eq!(reply.status, 403, "{operation:?}");
        }
    }
    ada.token = None;
    ada.page.clear();
    assert_eq!(ada.post(&mut scene, O::BillingRealmPlan, &[REALM], &[("status", "2")]).status, 403, "no token at all");
    assert_eq!(scene.stage.database.dump(), dump);
    ada.page = page;
    let reply = ada.post(&mut scene, O::BillingRealmPlan, &[REALM], &[("status", "2")]);
    assert_eq!((reply.status, body(&reply)["result"].as_str()), (200, Some("success")));
}

#[test]
fn forms_at_the_door_need_the_token_of_the_browser_they_were_shown_to() {
    let mut scene = Scene::new();
    scene.owner_of(REALM);
    let token = scene.token();
    let mut eve = Person::new();
    eve.get(&mut scene, O::BillingRealmLogin, &[&token]);
    // Eve's form in a victim's browser that has no cookie of ours, and in one that has its own.
    let mut fresh = Person { cookie: None, ..eve.clone() };
    let mut other = Person::new();
    other.get(&mut scene, O::BillingServerLogin, &[]);
    other.page.clone_from(&eve.page);
    for victim in [&mut fresh, &mut other] {
        let before = victim.cookie.clone();
        for (operation, params) in [
            (O::BillingRealmEnter, vec![token.as_str()]),
            (O::BillingServerEnter, vec![]),
            (O::BillingRealmMail, vec![&token]),
        ] {
            victim.page.clone_from(&eve.page);
            assert_eq!(
                victim.post(&mut scene, operation, &params, &[("email", "a@b.org")]).status,
                403,
                "{operation:?}"
            );
        }
        assert_eq!(victim.cookie, before);
    }
}

#[test]
fn forms_of_other_origins_are_refused() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    scene.plan(REALM, 103, 1);
    for (origin, status) in [
        (Some("https://evil.example"), 403),
        (Some("null"), 403),
        (Some("http://push.example.org"), 403),
        (Some("https://push.example.org.evil.example"), 403),
        (Some("https://push.example.org:444"), 403),
        (Some("https://PUSH.example.org"), 200),
        (None, 200),
    ] {
        ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
        ada.origin = origin.map(str::to_owned);
        let reply = ada.post(&mut scene, O::BillingRealmPlan, &[REALM], &[("status", "2")]);
        assert_eq!(reply.status, status, "{origin:?}");
    }
}

#[test]
fn changed_cookies_are_no_sessions() {
    let mut scene = Scene::new();
    let ada = scene.owner_of(REALM);
    let good = ada.cookie.clone().unwrap();
    let value = good.strip_prefix("__Host-billing=").unwrap();
    let (message, signature) = value.split_once('.').unwrap();
    for bad in [
        format!("__Host-billing={message}"),
        format!("__Host-billing={message}.{}", signature.to_lowercase()),
        format!("__Host-billing={message}A.{signature}"),
        format!("billing={value}"),
        format!("__host-billing={value}"),
        format!("__Host-billing={}", scene.token()),
        String::from("__Host-billing="),
    ] {
        let mut thief = Person { cookie: Some(bad.clone()), ..Person::new() };
        assert_eq!(thief.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 401, "{bad}");
    }
    let mut own = Person { cookie: Some(format!("__Host-billing=x; {good}")), ..Person::new() };
    assert_eq!(own.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 200);
}

#[test]
fn logging_out_ends_the_session_in_this_browser() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
    let reply = ada.post(&mut scene, O::BillingLogout, &[], &[]);
    let cookie = reply.header("Set-Cookie").unwrap();
    assert!(reply.status == 200 && cookie.starts_with("__Host-billing=; Max-Age=0;"), "{cookie}");
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 401);
}

#[test]
fn pages_show_what_a_plan_allows() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let billing = |scene: &mut Scene, ada: &mut Person| {
        ada.get(scene, O::BillingRealmPage, &[REALM, "billing"]);
        let offers = ada.page.split("name=\"status\" value=\"").skip(1);
        offers.map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(billing(&mut scene, &mut ada).is_empty());
    assert!(ada.page.contains("You have no plan"));
    for (status, offers) in [
        (1, vec!["6", "2"]),
        (2, vec!["1"]),
        (3, vec!["7", "11"]),
        (4, vec!["1"]),
        (6, vec!["1"]),
        (7, vec!["3"]),
        (8, vec![]),
    ] {
        scene.plan(REALM, 103, status);
        assert_eq!(billing(&mut scene, &mut ada), offers, "{status}");
        assert_eq!(ada.page.contains("licenses_at_next_renewal"), status == 1);
    }
    scene.plan(REALM, 103, 1);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let acted = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "billing"], &[("status", "2")]);
    assert_eq!((acted.status, acted.header("Location")), (302, Some(&*format!("/realm/{REALM}/billing/"))));
    assert_eq!(scene.number("SELECT status FROM host_plan"), 2);
}

#[test]
fn plans_are_changed_one_thing_at_a_time() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    scene.plan(REALM, 103, 1);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let mut change = |fields: &[(&str, &str)]| {
        let reply = ada.post(&mut scene, O::BillingRealmPlan, &[REALM], fields);
        (reply.status, body(&reply)["msg"].as_str().unwrap().to_owned())
    };
    for status in 0..20 {
        let allowed = matches!(status, 1 | 2 | 3 | 4 | 6 | 7 | 11);
        let (code, msg) = change(&[("status", &status.to_string())]);
        assert_eq!((code, msg.as_str()), if allowed { (200, "") } else { (400, "Invalid status") }, "{status}");
    }
    for (fields, msg) in [
        (vec![], "Nothing to change."),
        (vec![("toggle_license_management", "false"), ("licenses", "")], "Nothing to change."),
        (vec![("status", "1"), ("licenses", "5")], "Exactly one change at a time"),
        (vec![("licenses", "0")], "Invalid licenses"),
        (vec![("licenses", "-1")], "Invalid licenses"),
        (vec![("licenses", "1000001")], "Invalid licenses"),
        (vec![("licenses_at_next_renewal", "1e3")], "Invalid licenses_at_next_renewal"),
        (vec![("schedule", "3")], "Invalid schedule"),
        (vec![("toggle_license_management", "yes")], "Invalid toggle_license_management"),
        (vec![("licenses", "20")], ""),
        (vec![("licenses_at_next_renewal", "1000000")], ""),
        (vec![("schedule", "2")], ""),
        (vec![("toggle_license_management", "true")], ""),
    ] {
        let (code, said) = change(&fields);
        assert_eq!((code, said.as_str()), (if msg.is_empty() { 200 } else { 400 }, msg), "{fields:?}");
    }
}

#[test]
fn what_the_books_refuse_is_said_on_the_same_page() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let dump = scene.stage.database.dump();
    let reply = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "billing"], &[("status", "2")]);
    assert!(reply.status == 400 && reply.body.contains("role=\"alert\">There is no live plan"));
    let reply = ada.post(&mut scene, O::BillingRealmPlan, &[REALM], &[("status", "2")]);
    assert_eq!(body(&reply)["msg"], "There is no live plan");
    assert_eq!(scene.stage.database.dump(), dump);
}

#[test]
fn upgrades_and_sponsorships_are_asked_for() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "upgrade"]);
    for (fields, status) in [
        (vec![], 400),
        (vec![("tier", "105")], 400),
        (vec![("tier", "103"), ("schedule", "9")], 400),
        (vec![("tier", "103"), ("license_management", "manual"), ("licenses", "")], 400),
        (vec![("tier", "103"), ("license_management", "none")], 400),
        (vec![("tier", "104"), ("license_management", "manual"), ("licenses", "30"), ("schedule", "2")], 200),
        (vec![("tier", "103"), ("licenses", "")], 200),
    ] {
        assert_eq!(ada.post(&mut scene, O::BillingRealmUpgrade, &[REALM], &fields).status, status, "{fields:?}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM host_audit WHERE event = 501 AND by = 'ada@chat.example.org'"), 2);
    let good = [
        ("organization_type", "90"),
        ("description", "We <care>"),
        ("expected_total_users", "100"),
        ("paid_users_count", "0"),
    ];
    for missing in 0..good.len() {
        let mut fields = good.to_vec();
        fields.remove(missing);
        assert_eq!(ada.post(&mut scene, O::BillingRealmSponsorship, &[REALM], &fields).status, 400, "{missing}");
    }
    let mut unknown = good.to_vec();
    unknown[0].1 = "91";
    assert_eq!(ada.post(&mut scene, O::BillingRealmSponsorship, &[REALM], &unknown).status, 400);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "sponsorship"]);
    let asked = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "sponsorship"], &good);
    assert_eq!(asked.status, 302);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "sponsorship"]);
    assert!(ada.page.contains("waits for an answer") && !ada.page.contains("<textarea"));
}

#[test]
fn unknown_pages_are_404() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    for page in ["", "x", "deactivate", "customer_portal/", "../plans", "Plans"] {
        assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, page]).status, 404, "{page}");
        let token = ada.clone();
        ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
        assert_eq!(ada.post(&mut scene, O::BillingRealmAct, &[REALM, page], &[]).status, 404, "{page}");
        ada = token;
    }
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]);
    let mut root = scene.administrator();
    assert_eq!(root.get(&mut scene, O::BillingServerPage, &[SERVER, "x"]).status, 404);
}

#[test]
fn every_field_has_a_label_and_no_page_has_a_script() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let mut root = scene.administrator();
    let mut pages = Vec::new();
    scene.plan(REALM, 103, 1);
    for page in PAGES {
        pages.push(ada.get(&mut scene, O::BillingRealmPage, &[REALM, page]));
    }
    pages.push(root.get(&mut scene, O::BillingServerPage, &[SERVER, "deactivate"]));
    let mut new = Person::new();
    pages.push(new.get(&mut scene, O::BillingServerLogin, &[]));
    let token = scene.token_to(OTHER, None);
    pages.push(new.get(&mut scene, O::BillingRealmLogin, &[&token]));
    for reply in pages {
        assert_eq!(reply.status, 200);
        let title = reply.body.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
        assert!(reply.body.contains(&format!("<h1>{title}</h1>")), "{title}");
        assert!(reply.body.contains("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"));
        assert!(reply.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!(reply.body.matches("<table>").count(), reply.body.matches("tabindex=\"0\" aria-label=\"").count());
        assert_eq!(
            reply.body.matches("<th").count() - reply.body.matches("<thead").count(),
            reply.body.matches("<th scope=").count()
        );
        assert!(skeleton(&reply.body).iter().all(|tag| !tag.starts_with("script") && !tag.contains(" on")));
        assert_eq!(reply.body.matches("<h1>").count(), 1);
        assert!(reply.body.starts_with("<!doctype html><html lang=\"en\">") && reply.body.contains("<main>"));
        for tag in ["<input", "<select", "<textarea"] {
            for field in reply.body.split(tag).skip(1).map(|rest| rest.split('>').next().unwrap()) {
                let is_labelled = field.contains("type=\"hidden\"")
                    || field.contains("type=\"checkbox\"")
                    || attribute(field, "id=\"").is_some_and(|id| reply.body.contains(&format!("for=\"{id}\"")));
                assert!(is_labelled, "{field}");
            }
        }
    }
}

/// Tags and attributes of a page, in order, without any text.
fn skeleton(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for piece in page.split('<').skip(1) {
        let tag = piece.split('>').next().unwrap();
        // Values of attributes are text.
        let outside: String = tag.split('"').step_by(2).collect();
        tags.push(outside);
    }
    tags
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn nothing_that_people_write_changes_a_pages_structure(text in any::<String>(), hostile in "[<>\"'&/=a-z ]{0,40}") {
        let shown = |text: &str| {
            let mut scene = Scene::new();
            let host = text.replace('\'', "''").replace('\0', "");
            scene.sql(&format!("UPDATE host_owner SET host = 'x{host}' WHERE owner = '{REALM}'"));
            let mut ada = Person::new();
            let token = scene.token();
            ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
            let first = skeleton(&ada.page);
            ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", &format!("x{text} y"))]);
            (first, skeleton(&ada.page))
        };
        let plain = shown("plain");
        prop_assert!(plain.1.len() > 10);
        prop_assert_eq!(shown(&text), plain.clone());
        prop_assert_eq!(shown(&hostile), plain);
    }
}

/// What a script sends: a JSON body, and the token in a header.
fn script(scene: &mut Scene, ada: &Person, operation: O, json: &str, token: Option<&str>) -> Reply {
    let request = Call {
        body: json.as_bytes().to_vec(),
        content_type: Some(String::from("application/json; charset=utf-8")),
        authorization: token.map(str::to_owned),
        ..ada.call(operation, &[REALM], &[])
    };
    scene.answer(&request)
}

#[test]
fn scripts_may_send_json_and_the_token_in_a_header() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    scene.plan(REALM, 103, 1);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let token = billing_support::attribute(&ada.page, "name=\"csrf\" value=\"").unwrap();
    let dump = scene.stage.database.dump();
    for (json, token, status) in [
        (r#"{"licenses":20}"#, None, 403),
        (r#"{"licenses":20}"#, Some("wrong"), 403),
        (r#"{"licenses":20,"csrf":"wrong"}"#, Some(token.as_str()), 403),
        (r#"{"licenses":"#, Some(&token), 400),
        (r#"[20]"#, Some(&token), 400),
        (r#"{"licenses":-1}"#, Some(&token), 400),
        (r#"{"licenses":1.5}"#, Some(&token), 400),
        (r#"{"licenses":[20]}"#, Some(&token), 400),
        (r#"{"licenses":{"a":1}}"#, Some(&token), 400),
        (r#"{"licenses":null}"#, Some(&token), 400),
        (r#"{}"#, Some(&token), 400),
    ] {
        let reply = script(&mut scene, &ada, O::BillingRealmPlan, json, token);
        assert_eq!((reply.status, body(&reply)["result"].as_str()), (status, Some("error")), "{json}: {}", reply.body);
    }
    assert_eq!(scene.stage.database.dump(), dump);
    let wishes = [
        (O::BillingRealmPlan, String::from(r#"{"licenses":20,"status":null}"#), Some(token.as_str())),
        (O::BillingRealmPlan, format!(r#"{{"toggle_license_management":true,"csrf":"{token}"}}"#), None),
        (
            O::BillingRealmSponsorship,
            String::from(
                r#"{"organization_type":10,"description":"a club & more","expected_total_users":"20","paid_users_count":"0"}"#,
            ),
            Some(&token),
        ),
    ];
    for (operation, json, token) in wishes {
        let reply = script(&mut scene, &ada, operation, &json, token);
        assert_eq!((reply.status, body(&reply)["result"].as_str()), (200, Some("success")), "{json}: {}", reply.body);
    }
    // The header serves forms of scripts too.
    let form = Call { authorization: Some(token), ..ada.call(O::BillingRealmPlan, &[REALM], &[("licenses", "21")]) };
    assert_eq!(scene.answer(&form).status, 200);
}

#[test]
fn pages_take_forms_only() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]);
    let token = billing_support::attribute(&ada.page, "name=\"csrf\" value=\"").unwrap();
    let request = Call {
        params: vec![REALM.to_owned(), String::from("billing")],
        body: format!(r#"{{"csrf":"{token}","licenses":20}}"#).into_bytes(),
        content_type: Some(String::from("application/json")),
        ..ada.call(O::BillingRealmAct, &[], &[])
    };
    assert_eq!(scene.answer(&request).status, 403);
}
