//! Administrators of servers sign in.
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

use billing_support::{BASE, HOUR_MS, KEY, OTHER, Person, REALM, SERVER, Scene, uuid};
use waystation::billing::{self, deactivation_link};
use waystation::kernel::entropy::SeededEntropy;
use waystation::kernel::operation::{Class, Operation as O};
use waystation::kernel::sql::Sql as _;

#[test]
fn an_administrator_shows_the_key_proves_an_address_and_lands_on_the_plans() {
    let mut scene = Scene::new();
    scene.evict_between = true;
    let mut admin = Person::new();
    let key = scene.server_key(&mut admin, None);
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 0);
    // The link may be opened in another browser.
    let mut phone = Person::new();
    let shown = phone.get(&mut scene, O::BillingServerConfirm, &[&key]);
    assert!(shown.status == 200 && shown.body.contains("tos_consent") && shown.body.contains("root@chat.example.org"));
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 0, "looking changes nothing");
    let refused = phone.post(&mut scene, O::BillingServerAccept, &[&key], &[]);
    assert!(refused.status == 400 && refused.body.contains("You must accept the Terms of Service to proceed."));
    let entered = phone.post(&mut scene, O::BillingServerAccept, &[&key], &[("tos_consent", "true")]);
    assert_eq!(entered.header("Location"), Some(&*format!("/server/{SERVER}/plans/")));
    assert_eq!(phone.get(&mut scene, O::BillingServerPage, &[SERVER, "plans"]).status, 200);
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration WHERE created_user = 1 AND status = 0"), 1);
}

#[test]
fn a_servers_link_works_again_within_its_day() {
    let mut scene = Scene::new();
    let mut admin = Person::new();
    let key = scene.server_key(&mut admin, None);
    for visit in 0..3 {
        let mut browser = Person::new();
        browser.get(&mut scene, O::BillingServerConfirm, &[&key]);
        let entered = browser.post(&mut scene, O::BillingServerAccept, &[&key], &[("tos_consent", "true")]);
        assert_eq!(entered.status, 302, "visit {visit}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM billing_user"), 1);
    let elsewhere = admin.get(&mut scene, O::BillingRealmConfirm, &[&key]);
    assert!(elsewhere.status == 404 && elsewhere.body.contains("does not exist"), "it is no organization's");
    scene.stage.now = scene.stage.now.plus(24 * HOUR_MS + 1);
    let late = admin.get(&mut scene, O::BillingServerConfirm, &[&key]);
    assert!(late.status == 404 && late.body.contains("has expired"));
}

#[test]
fn wrong_credentials_are_named_and_the_key_is_not_shown_again() {
    let mut scene = Scene::new();
    let mut admin = Person::new();
    let wrong = "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww";
    for (id, key, sentence) in [
        (SERVER, wrong, "Invalid zulip_org_key."),
        (SERVER, "", "Invalid zulip_org_key."),
        (OTHER, KEY, "Did not find a server registration for this zulip_org_id."),
        ("nonsense", KEY, "Did not find a server registration for this zulip_org_id."),
        ("", "", "Did not find a server registration for this zulip_org_id."),
    ] {
        admin.get(&mut scene, O::BillingServerLogin, &[]);
        let before = admin.cookie.clone();
        let reply = admin.post(&mut scene, O::BillingServerEnter, &[], &[("zulip_org_id", id), ("zulip_org_key", key)]);
        assert!(reply.status == 401 && reply.body.contains(sentence), "{id}: {}", reply.body);
        assert!(key.is_empty() || !reply.body.contains(key));
        assert_eq!(admin.cookie, before, "nobody is signed in");
    }
    scene.deactivate(SERVER);
    let reply = admin.post(&mut scene, O::BillingServerEnter, &[], &[("zulip_org_id", SERVER), ("zulip_org_key", KEY)]);
    assert!(reply.status == 401 && reply.body.contains("Your server registration has been deactivated."));
}

#[test]
fn a_server_whose_organizations_have_plans_may_only_be_deactivated() {
    let mut scene = Scene::new();
    let mut early = Person::new();
    let key = scene.server_key(&mut early, None);
    let mut admin = scene.administrator();
    let mut between = Person::new();
    between.get(&mut scene, O::BillingServerLogin, &[]);
    between.post(&mut scene, O::BillingServerEnter, &[], &[("zulip_org_id", SERVER), ("zulip_org_key", KEY)]);
    scene.plan(REALM, 103, 1);
    let reply = between.post(&mut scene, O::BillingServerMail, &[SERVER], &[("email", "root@chat.example.org")]);
    assert!(reply.status == 403 && scene.letters(200).is_empty());
    for operation in [O::BillingServerConfirm, O::BillingServerAccept] {
        let reply = early.post(&mut scene, operation, &[&key], &[("tos_consent", "true")]);
        assert!(reply.status == 403 && reply.body.contains("Plan management not available"), "{operation:?}");
    }
    assert_eq!(admin.get(&mut scene, O::BillingServerPage, &[SERVER, "plans"]).status, 403);
    assert_eq!(admin.get(&mut scene, O::BillingServerPage, &[SERVER, "deactivate"]).status, 200);
    let mut person = Person::new();
    person.get(&mut scene, O::BillingServerLogin, &[]);
    let fields = [("zulip_org_id", SERVER), ("zulip_org_key", KEY)];
    assert_eq!(person.post(&mut scene, O::BillingServerEnter, &[], &fields).status, 403);
    assert!(person.page.contains("href=\"/serverlogin/deactivate\""), "the one thing that is left to do");
    person.get(&mut scene, O::BillingServerLeave, &[]);
    assert!(person.page.contains("name=\"next_page\" value=\"deactivate\""));
    let mut leaver = Person::new();
    let key = scene.server_key(&mut leaver, Some("deactivate"));
    leaver.get(&mut scene, O::BillingServerConfirm, &[&key]);
    let entered = leaver.post(&mut scene, O::BillingServerAccept, &[&key], &[("tos_consent", "true")]);
    assert_eq!(entered.header("Location"), Some(&*format!("/server/{SERVER}/deactivate/")));
}

#[test]
fn a_registration_ends_when_the_box_is_ticked_and_no_plan_stands_in_the_way() {
    let mut scene = Scene::new();
    let mut admin = scene.administrator();
    let shown = admin.get(&mut scene, O::BillingServerPage, &[SERVER, "deactivate"]);
    assert!(shown.status == 200 && shown.body.contains("name=\"confirmed\" value=\"true\""));
    let unticked = admin.post(&mut scene, O::BillingServerAct, &[SERVER, "deactivate"], &[]);
    assert!(unticked.status == 400 && unticked.body.contains("Tick the box"));
    scene.plan(REALM, 103, 1);
    let refused = admin.post(&mut scene, O::BillingServerAct, &[SERVER, "deactivate"], &[("confirmed", "true")]);
    assert!(refused.status == 400 && refused.body.contains("A live plan stands in the way"));
    assert_eq!(scene.number("SELECT count(*) FROM host_audit WHERE event = 10201"), 0);
    scene.sql("DELETE FROM host_plan");
    let done = admin.post(&mut scene, O::BillingServerAct, &[SERVER, "deactivate"], &[("confirmed", "true")]);
    assert!(done.status == 200 && done.body.contains("has been deactivated"));
    assert_eq!(admin.cookie, None, "nobody stays signed in");
    assert_eq!(scene.number("SELECT count(*) FROM host_audit WHERE event = 10201"), 1);
}

#[test]
fn a_key_alone_opens_no_page_and_its_session_ends_too() {
    let mut scene = Scene::new();
    let mut admin = Person::new();
    admin.get(&mut scene, O::BillingServerLogin, &[]);
    let anonymous = admin.cookie.clone();
    let fields = [("zulip_org_id", SERVER), ("zulip_org_key", KEY)];
    assert_eq!(admin.post(&mut scene, O::BillingServerEnter, &[], &fields).status, 200);
    assert_ne!(admin.cookie, anonymous, "a new session, with a new form token");
    let page = admin.page.clone();
    let refused = admin.get(&mut scene, O::BillingServerPage, &[SERVER, "plans"]);
    assert!(refused.status == 401 && refused.body.contains("User not authenticated"));
    admin.page = page;
    scene.stage.now = scene.stage.now.plus(2 * HOUR_MS + 1);
    let late = admin.post(&mut scene, O::BillingServerMail, &[SERVER], &[("email", "root@chat.example.org")]);
    assert!(late.status == 401 && late.body.contains("/serverlogin/?next_page=billing"));
    assert_eq!(scene.number("SELECT count(*) FROM billing_preregistration"), 0);
}

#[test]
fn links_of_a_server_need_its_own_session() {
    let mut scene = Scene::new();
    let mut stranger = Person::new();
    stranger.get(&mut scene, O::BillingServerLogin, &[]);
    for mut person in [Person::new(), stranger, scene.owner_of(REALM)] {
        let reply = person.post(&mut scene, O::BillingServerMail, &[SERVER], &[("email", "eve@b.org")]);
        assert_eq!(reply.status, 401);
    }
    let mut admin = scene.administrator();
    let reply = admin.post(&mut scene, O::BillingServerMail, &[OTHER], &[("email", "eve@b.org")]);
    assert_eq!(reply.status, 401, "of another server");
    assert!(scene.letters(200).is_empty());
}

#[test]
fn bad_addresses_are_asked_for_again() {
    let mut scene = Scene::new();
    let mut admin = Person::new();
    admin.get(&mut scene, O::BillingServerLogin, &[]);
    admin.post(&mut scene, O::BillingServerEnter, &[], &[("zulip_org_id", SERVER), ("zulip_org_key", KEY)]);
    let reply = admin.post(&mut scene, O::BillingServerMail, &[SERVER], &[("email", "a@mailinator.com")]);
    assert!(reply.status == 400 && reply.body.contains("Please use your real email address."));
    assert_eq!(admin.post(&mut scene, O::BillingServerMail, &[SERVER], &[("email", "a@b.org")]).status, 200);
}

#[test]
fn a_closed_account_does_not_come_back_by_a_new_link() {
    let mut scene = Scene::new();
    scene.administrator();
    scene.sql("UPDATE billing_user SET is_active = 0");
    let mut admin = Person::new();
    let key = scene.server_key(&mut admin, None);
    let reply = admin.get(&mut scene, O::BillingServerConfirm, &[&key]);
    assert!(reply.status == 403 && reply.body.contains("Your account is deactivated."));
}

#[test]
fn calls_go_to_the_object_of_the_server_they_are_about() {
    let mut scene = Scene::new();
    let token = scene.token();
    let mut admin = Person::new();
    let key = scene.server_key(&mut admin, None);
    let name = |person: &Person, operation, params: &[&str], fields: &[(&str, &str)]| {
        billing::address(&scene.settings, &person.call(operation, params, fields)).map_err(|reply| reply.status)
    };
    let of = |name: &str| Ok((Class::RemoteServer, name.to_owned()));
    let nobody = Person::new();
    assert_eq!(name(&nobody, O::BillingRealmLogin, &[&token], &[]), of(SERVER));
    assert_eq!(name(&nobody, O::BillingServerConfirm, &[&key], &[]), of(SERVER));
    assert_eq!(name(&nobody, O::BillingServerLogin, &[], &[]), of("sign-in"));
    assert_eq!(name(&nobody, O::BillingServerEnter, &[], &[("zulip_org_id", &SERVER.to_uppercase())]), of(SERVER));
    assert_eq!(name(&nobody, O::BillingServerEnter, &[], &[("zulip_org_id", "dev-mail")]), of("sign-in"));
    assert_eq!(name(&admin, O::BillingServerPage, &[OTHER, "plans"], &[]), of(SERVER));
    assert_eq!(name(&nobody, O::BillingServerPage, &[SERVER, "plans"], &[]), Err(401));
    assert_eq!(name(&nobody, O::BillingRealmPlan, &[REALM], &[]), Err(401));
    assert_eq!(name(&nobody, O::BillingRealmLogin, &["x.y"], &[]), Err(400));
    assert_eq!(name(&nobody, O::BillingRealmConfirm, &[&"A".repeat(64)], &[]), Err(404));
    assert_eq!(name(&nobody, O::BillingDevMail, &[], &[]), Err(404));
}

#[test]
fn forms_on_the_way_in_need_their_sessions_token() {
    let mut scene = Scene::new();
    let mut admin = Person::new();
    let key = scene.server_key(&mut admin, None);
    admin.token = Some("0".repeat(64));
    let fields = [("email", "eve@b.org"), ("tos_consent", "true"), ("zulip_org_id", SERVER), ("zulip_org_key", KEY)];
    let dump = scene.stage.database.dump();
    for (operation, params) in [
        (O::BillingServerMail, vec![SERVER]),
        (O::BillingServerAccept, vec![key.as_str()]),
        (O::BillingServerEnter, vec![]),
    ] {
        let reply = admin.post(&mut scene, operation, &params, &fields);
        assert!(reply.status == 403 && reply.body.contains("Form refused"), "{operation:?}");
    }
    assert_eq!(scene.stage.database.dump(), dump);
}

#[test]
fn an_operators_link_leads_the_contact_to_the_end_of_the_registration() {
    let mut scene = Scene::new();
    scene.plan(REALM, 101, 2);
    let made = deactivation_link(
        &scene.settings,
        &mut SeededEntropy::new(5),
        scene.stage.now,
        BASE,
        &uuid(SERVER),
        "contact@chat.example.org",
    );
    let (url, statement) = made.unwrap();
    scene.stage.database.commit(vec![statement]).unwrap();
    let key = url.strip_prefix("https://push.example.org/serverlogin/do_confirm/").unwrap();
    let mut contact = Person::new();
    contact.get(&mut scene, O::BillingServerConfirm, &[key]);
    assert!(contact.page.contains("contact@chat.example.org"));
    let entered = contact.post(&mut scene, O::BillingServerAccept, &[key], &[("tos_consent", "true")]);
    assert_eq!(entered.header("Location"), Some(&*format!("/server/{SERVER}/deactivate/")));
    let keyless = Scene::with(&[]);
    let made =
        deactivation_link(&keyless.settings, &mut SeededEntropy::new(5), keyless.stage.now, BASE, &uuid(SERVER), "");
    assert!(made.is_none());
}
