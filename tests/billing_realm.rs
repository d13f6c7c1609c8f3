//! Owners of organizations sign in.
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

use billing_support::{ADA, BASE, HOUR_MS, OTHER, Person, REALM, SERVER, Scene, reported};
use support::body;
use waystation::kernel::operation::Operation as O;
use waystation::kernel::reply::Media;

#[test]
fn a_server_is_given_a_link_for_its_owner() {
    let mut scene = Scene::new();
    let user = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"Ada"}}"#);
    let realm = reported(REALM);
    let reply = scene.hand_off_with(&[("user", &user), ("realm", &realm), ("next_page", "upgrade"), ("more", "1")]);
    let json = body(&reply);
    assert_eq!((reply.status, json["result"].as_str()), (200, Some("success")));
    assert!(json["billing_access_url"].as_str().unwrap().starts_with("https://push.example.org/remote-billing-login/"));
    assert_eq!(json["ignored_parameters_unsupported"][0], "more");
    assert!(reply.header("Cache-Control").unwrap().contains("no-store"));
}

#[test]
fn hand_overs_are_typed_strictly() {
    let mut scene = Scene::new();
    let user = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"Ada"}}"#);
    let realm = reported(REALM);
    let unknown = reported(ADA);
    let nobody = user.replace("-4000-", "-1000-");
    // The original's reader takes every spelling.
    for spelling in [user.replace('-', ""), user.replace(ADA, &ADA.to_uppercase())] {
        assert_eq!(scene.hand_off_with(&[("user", &spelling), ("realm", &realm)]).status, 200, "{spelling}");
    }
    let change = |before: &str, after: &str| {
        assert!(realm.contains(before));
        realm.replace(before, after)
    };
    let hostless = change(r#""host":"a.example.org","#, "");
    let (numberless, odd) = (change(r#""id":1"#, r#""id":"1""#), change(r#""org_type":0"#, r#""org_type":7"#));
    let long = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"{}"}}"#, "x".repeat(101));
    for (fields, status, msg) in [
        (vec![("realm", realm.as_str())], 400, "Missing 'user' argument"),
        (vec![("user", user.as_str())], 400, "Missing 'realm' argument"),
        (vec![("user", "{"), ("realm", &realm)], 400, "user is not valid JSON"),
        (vec![("user", "[]"), ("realm", &realm)], 400, "user is not a dict"),
        (vec![("user", r#"{"uuid":"x"}"#), ("realm", &realm)], 400, "user[\"uuid\"] has invalid format"),
        (vec![("user", &nobody), ("realm", &realm)], 400, "user[\"uuid\"] has invalid format"),
        (vec![("user", &user), ("realm", "{}")], 400, "realm[\"id\"] field is missing: Field required"),
        (vec![("user", &user), ("realm", &hostless)], 400, "realm[\"host\"] field is missing: Field required"),
        (vec![("user", &user), ("realm", &numberless)], 400, "realm[\"id\"] is not an integer"),
        (
            vec![("user", &user), ("realm", &odd)],
            400,
            "Invalid realm[\"org_type\"]: Value error, Not a valid org_type value",
        ),
        (vec![("user", &long), ("realm", &realm)], 400, "user[\"full_name\"] is too long (limit: 100 characters)"),
        (vec![("user", &user), ("realm", &realm), ("next_page", "x")], 400, "Invalid next_page"),
        (vec![("user", &user), ("realm", &realm), ("uri_scheme", "ftp://")], 400, "Invalid uri_scheme"),
        (vec![("user", &user), ("realm", &unknown)], 403, "Organization not registered"),
    ] {
        let reply = scene.hand_off_with(&fields);
        assert_eq!((reply.status, body(&reply)["msg"].as_str()), (status, Some(msg)));
    }
}

#[test]
fn links_name_the_operators_host_where_one_is_set() {
    let own = [("BILLING_HOST", "pay.example.org")];
    let pairs: Vec<_> = own.into_iter().chain(billing_support::SETTINGS.iter().copied()).collect();
    let mut scene = Scene::with(&pairs);
    let user = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"Ada"}}"#);
    let realm = reported(REALM);
    let json = body(&scene.hand_off_with(&[("user", &user), ("realm", &realm)]));
    assert!(json["billing_access_url"].as_str().unwrap().starts_with("https://pay.example.org/remote-billing-login/"));
}

#[test]
fn a_link_is_made_with_the_requests_host_only_while_no_letters_leave_the_service() {
    let user = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"Ada"}}"#);
    let realm = reported(REALM);
    let fields = [("user", user.as_str()), ("realm", realm.as_str())];
    let reply = Scene::with(&billing_support::SETTINGS[..3]).hand_off_with(&fields);
    assert_eq!((reply.status, body(&reply)["code"].as_str()), (503, Some("NOT_CONFIGURED")));
    assert!(reply.body.contains("BILLING_HOST") && !reply.body.contains("billing_access_url"));
    let json = body(&Scene::with(&billing_support::SETTINGS[..1]).hand_off_with(&fields));
    assert!(json["billing_access_url"].as_str().unwrap().starts_with(BASE));
}

#[test]
fn a_newcomer_proves_an_address_accepts_the_terms_and_lands_on_the_plans() {
    let mut scene = Scene::new();
    scene.evict_between = true;
    let mut ada = Person::new();
    let token = scene.token();
    let shown = ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert_eq!((shown.status, shown.media), (200, Media::Html));
    assert!(ada.page.contains("Confirm your e-mail") && ada.page.contains("value=\"ada@chat.example.org\""));
    let sent = ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", "ada.l@chat.example.org")]);
    assert!(sent.status == 200 && sent.body.contains("ada.l@chat.example.org"));
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 0, "nobody is a user before the link");
    let key = scene.mailed_key();
    assert_eq!(ada.get(&mut scene, O::BillingRealmConfirm, &[&key]).status, 200);
    assert!(ada.page.contains("I accept the Terms of Service") && ada.page.contains("Ada &lt;b&gt;"));
    let fresh = ada.action_param();
    assert_ne!(fresh, token, "the link's page has a token of its own");
    let fields = [("tos_consent", "true"), ("full_name", "Ada L."), ("enable_major_release_emails", "true")];
    let entered = ada.post(&mut scene, O::BillingRealmEnter, &[&fresh], &fields);
    assert_eq!((entered.status, entered.header("Location")), (302, Some(&*format!("/realm/{REALM}/plans/"))));
    let user = "SELECT count(*) FROM billing_user WHERE email = 'ada.l@chat.example.org' AND full_name = 'Ada L.' AND \
        tos_version = '1.0' AND last_login = 1800000000000 AND enable_major_release_emails = 1 AND \
        enable_maintenance_release_emails = 0";
    assert_eq!(scene.number(user), 1);
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 200);
}

#[test]
fn a_known_user_goes_straight_to_the_door_and_is_not_asked_for_terms_again() {
    let mut scene = Scene::new();
    scene.owner_of(REALM);
    let mut again = Person::new();
    let token = scene.token_to(REALM, Some("sponsorship"));
    again.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert!(again.page.contains("Log in to plan management") && !again.page.contains("tos_consent"));
    assert!(!again.page.contains("full_name"));
    let entered = again.post(&mut scene, O::BillingRealmEnter, &[&token], &[]);
    assert_eq!(entered.header("Location"), Some(&*format!("/realm/{REALM}/sponsorship/")));
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 1);
}

#[test]
fn newer_major_terms_are_asked_for_again() {
    let mut scene = Scene::new();
    scene.owner_of(REALM);
    scene.sql("UPDATE billing_user SET tos_version = '0.9'");
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert!(ada.page.contains("tos_consent") && !ada.page.contains("full_name"));
    let refused = ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[]);
    assert!(refused.status == 400 && refused.body.contains("You must accept the Terms of Service to proceed."));
    assert_eq!(scene.number("SELECT count(*) FROM billing_user WHERE tos_version = '0.9'"), 1);
    assert_eq!(ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[("tos_consent", "true")]).status, 302);
    assert_eq!(scene.number("SELECT count(*) FROM billing_user WHERE tos_version = '1.0'"), 1);
}

#[test]
fn nobody_enters_before_there_is_a_user_or_without_the_terms() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let refused = ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[("tos_consent", "true")]);
    assert!(refused.status == 400 && refused.body.contains("User account doesn&#39;t exist yet."));
    let mut ada = scene.owner_of(REALM);
    scene.sql("UPDATE billing_user SET is_active = 0");
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert!(ada.page.contains("Your account is deactivated."));
    assert_eq!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "plans"]).status, 403);
}

#[test]
fn tokens_end_after_two_hours_and_forged_ones_never_begin() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    scene.stage.now = scene.stage.now.plus(2 * HOUR_MS);
    assert_eq!(ada.get(&mut scene, O::BillingRealmLogin, &[&token]).status, 200);
    scene.stage.now = scene.stage.now.plus(1);
    for operation in [O::BillingRealmEnter, O::BillingRealmMail] {
        let reply = ada.post(&mut scene, operation, &[&token], &[("email", "a@b.org"), ("tos_consent", "true")]);
        assert!(reply.status == 400 && reply.body.contains("Billing access token expired."), "{operation:?}");
    }
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert!(ada.page.contains("Billing access token expired."));
    let forged = format!("{token}A");
    for bad in [forged.as_str(), "x", "a.b", ""] {
        let reply = ada.get(&mut scene, O::BillingRealmLogin, &[bad]);
        assert!(reply.status == 400 && reply.body.contains("Invalid billing access token."), "{bad}");
    }
}

#[test]
fn a_link_works_once_and_for_a_day() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let page = ada.page.clone();
    let mut keys = Vec::new();
    for _ in 0..2 {
        ada.page.clone_from(&page);
        ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]);
        keys.push(scene.mailed_key());
    }
    let elsewhere = ada.get(&mut scene, O::BillingServerConfirm, &[&keys[0]]);
    assert!(elsewhere.status == 404 && elsewhere.body.contains("does not exist"), "it is no server's");
    assert_eq!(ada.get(&mut scene, O::BillingRealmConfirm, &[&keys[0]]).status, 200);
    let dump = scene.stage.database.dump();
    let again = ada.get(&mut scene, O::BillingRealmConfirm, &[&keys[0]]);
    assert!(again.status == 404 && again.body.contains("was used already"));
    assert_eq!(scene.stage.database.dump(), dump);
    scene.stage.now = scene.stage.now.plus(24 * HOUR_MS + 1);
    let late = ada.get(&mut scene, O::BillingRealmConfirm, &[&keys[1]]);
    assert!(late.status == 404 && late.body.contains("has expired"));
    for bad in ["", "x", &keys[1].to_lowercase()] {
        let reply = ada.get(&mut scene, O::BillingRealmConfirm, &[bad]);
        assert!(reply.status == 404 && reply.body.contains("does not exist"), "{bad}");
    }
}

#[test]
fn a_second_link_of_the_same_person_makes_no_second_user() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let page = ada.page.clone();
    for email in ["ada@chat.example.org", "other@chat.example.org"] {
        ada.page.clone_from(&page);
        ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", email)]);
        let key = scene.mailed_key();
        assert_eq!(ada.get(&mut scene, O::BillingRealmConfirm, &[&key]).status, 200);
    }
    assert_eq!(scene.number("SELECT count(*) FROM billing_user WHERE email = 'ada@chat.example.org'"), 1);
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 1);
}

#[test]
fn deactivated_registrations_do_not_sign_in() {
    for owner in [REALM, SERVER] {
        let mut scene = Scene::new();
        let mut ada = scene.owner_of(REALM);
        let token = scene.token();
        scene.deactivate(owner);
        for (operation, params) in [
            (O::BillingRealmLogin, vec![token.as_str()]),
            (O::BillingRealmPage, vec![REALM, "plans"]),
            (O::BillingRealmEnter, vec![&token]),
        ] {
            let reply = ada.get(&mut scene, operation, &params);
            assert!(reply.status == 400 && reply.body.contains("Registration is deactivated"), "{operation:?}");
        }
    }
}

#[test]
fn addresses_are_checked_and_the_form_shown_again() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    for (email, sentence) in [
        ("nonsense", "Enter a valid email address."),
        ("\"><script>alert(1)</script>@b.org", "Enter a valid email address."),
        ("a@mailinator.com", "Please use your real email address."),
        ("a@example.com", "example.com is not a valid email domain."),
    ] {
        let reply = ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", email)]);
        assert!(reply.status == 400 && reply.body.contains(sentence) && !reply.body.contains("<script"), "{email}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
    assert!(scene.letters(200).is_empty());
}

#[test]
fn the_only_organization_takes_its_servers_plan_over() {
    let mut scene = Scene::new();
    scene.deactivate(OTHER);
    scene.plan(SERVER, 103, 1);
    let mut ada = Person::new();
    let token = scene.token();
    assert_eq!(ada.get(&mut scene, O::BillingRealmLogin, &[&token]).status, 200);
    assert_eq!(scene.number(&format!("SELECT plan_type FROM host_owner WHERE owner = '{SERVER}'")), 100);
    assert_eq!(scene.number(&format!("SELECT plan_type FROM host_owner WHERE owner = '{REALM}'")), 103);
    assert_eq!(scene.number("SELECT count(*) FROM host_audit WHERE event = 20002"), 1);
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert_eq!(scene.number("SELECT count(*) FROM host_audit WHERE event = 20002"), 1, "once");
    let mut ada = scene.owner_of(REALM);
    assert!(ada.get(&mut scene, O::BillingRealmPage, &[REALM, "billing"]).body.contains("Basic"));
}

#[test]
fn who_takes_a_plan_over_lands_where_that_plan_is() {
    let mut scene = Scene::new();
    scene.owner_of(REALM);
    scene.deactivate(OTHER);
    scene.plan(SERVER, 102, 1);
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingServerLogin, &[]);
    let entered = ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[]);
    assert_eq!(entered.header("Location"), Some(&*format!("/realm/{REALM}/sponsorship/")));
}

#[test]
fn a_server_with_a_plan_of_its_own_manages_it_for_all_its_organizations() {
    let mut scene = Scene::new();
    scene.plan(SERVER, 103, 1);
    let mut ada = Person::new();
    let token = scene.token();
    let reply = ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    assert!(reply.status == 403 && reply.body.contains("Plan management not available"));
    assert_eq!(scene.number(&format!("SELECT plan_type FROM host_owner WHERE owner = '{SERVER}'")), 103);
}

#[test]
fn plans_that_cannot_be_reconciled_are_left_alone() {
    let mut scene = Scene::new();
    scene.deactivate(OTHER);
    scene.plan(SERVER, 103, 1);
    scene.plan(REALM, 104, 1);
    let dump = scene.stage.database.dump();
    let mut ada = Person::new();
    let token = scene.token();
    let reply = ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let sentence = "Couldn&#39;t reconcile billing data between server and realm.";
    assert!(reply.status == 400 && reply.body.contains(sentence));
    assert_eq!(scene.stage.database.dump(), dump);
}

#[test]
fn without_a_signing_key_there_is_no_sign_in() {
    let mut scene = Scene::with(&[]);
    let mut ada = Person::new();
    for operation in [O::BillingRealmLogin, O::BillingServerLogin, O::BillingRealmPage, O::BillingLogout] {
        assert_eq!(ada.get(&mut scene, operation, &["x", "plans"]).status, 503, "{operation:?}");
    }
    let user = format!(r#"{{"uuid":"{ADA}","email":"a@b.org","full_name":"Ada"}}"#);
    let realm = reported(REALM);
    assert_eq!(scene.hand_off_with(&[("user", &user), ("realm", &realm)]).status, 503);
}

#[test]
fn a_full_server_takes_no_more_billing_users() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let token = scene.token();
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    ada.post(&mut scene, O::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]);
    let key = scene.mailed_key();
    scene.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO billing_user \
         SELECT i, NULL, NULL, i || '@b.org', '', 0, NULL, 1, '1.0', 1, 1 FROM n",
    );
    let reply = ada.get(&mut scene, O::BillingRealmConfirm, &[&key]);
    assert!(reply.status == 403 && reply.body.contains("too many billing users"));
    scene.sql("DELETE FROM billing_user WHERE user_id = 1000");
    assert_eq!(ada.get(&mut scene, O::BillingRealmConfirm, &[&key]).status, 200, "the link is not used up");
}

#[test]
fn cookies_are_out_of_reach_of_scripts_other_sites_and_plain_http() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let reply = ada.get(&mut scene, O::BillingServerLogin, &[]);
    let cookie = reply.header("Set-Cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-billing="));
    assert_eq!(attributes, "Max-Age=7200; Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(ada.get(&mut scene, O::BillingServerLogin, &[]).header("Set-Cookie").is_none(), "it is there already");
    let token = scene.token();
    scene.owner_of(REALM);
    scene.stage.now = scene.stage.now.plus(HOUR_MS);
    ada.get(&mut scene, O::BillingRealmLogin, &[&token]);
    let entered = ada.post(&mut scene, O::BillingRealmEnter, &[&token], &[]);
    let attributes = entered.header("Set-Cookie").unwrap().split_once("; ").unwrap().1;
    assert!(
        attributes.starts_with("Max-Age=3600;"),
        "two hours from the server's word, not from the form: {attributes}"
    );

    let pairs: Vec<_> = billing_support::SETTINGS.iter().copied().chain([("DEV_MODE", "true")]).collect();
    let mut scene = Scene::with(&pairs);
    let mut local = Person { base: String::from("http://localhost:8787"), origin: None, ..Person::new() };
    let reply = local.get(&mut scene, O::BillingServerLogin, &[]);
    let cookie = reply.header("Set-Cookie").unwrap();
    assert!(cookie.starts_with("billing=") && !cookie.contains("Secure"), "{cookie}");
    let mut plain = Person { base: String::from("http://push.example.org"), ..Person::new() };
    let mut scene = Scene::new();
    let reply = plain.get(&mut scene, O::BillingServerLogin, &[]);
    assert!(reply.header("Set-Cookie").unwrap().contains("Secure"), "plain HTTP is for developers only");
    assert!(reply.header("Content-Security-Policy").unwrap().contains("form-action 'self'"));
    assert_eq!(BASE, "https://push.example.org");
}
