//! Owners and administrators at a server's own object: sign-in, pages and plans on the bouncer's real books.
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
use push_world::{REALM, USER, UUID_A, World, as_server, form_call, key, realm};
use serde_json::{Value, json};
use waystation::kernel::object::{Browser, Call, Principal};
use waystation::kernel::operation::Operation as O;
use waystation::kernel::reply::Reply;
use waystation::kernel::sql::{Sql as _, Statement};

const BASE: &str = "https://push.example.org";
const HOUR_MS: u64 = 3_600_000;

/// A browser.
#[derive(Default)]
struct Owner {
    cookie: Option<String>,
    page: String,
}

impl Owner {
    fn send(&mut self, world: &mut World, operation: O, params: &[&str], form: &[(&str, &str)]) -> Reply {
        let token = self.page.split_once("name=\"csrf\" value=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        let mut form = form.to_vec();
        form.extend(token.map(|token| ("csrf", token)));
        let browser = Browser { base: BASE.to_owned(), cookie: self.cookie.clone(), origin: Some(BASE.to_owned()) };
        let params = params.iter().map(|param| (*param).to_owned()).collect();
        let reply = world.send(&Call { params, browser: Some(browser), ..form_call(operation, &form) });
        if let Some(cookie) = reply.header("Set-Cookie") {
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        if reply.body.starts_with("<!doctype") {
            self.page.clone_from(&reply.body);
        }
        reply
    }
}

fn world() -> World {
    let mut world = World::with(&[
        ("MAIL_WEBHOOK_URL", "https://mail.example/send"),
        ("MAIL_WEBHOOK_SECRET", "hush"),
        ("BILLING_HOST", "push.example.org"),
    ]);
    world.register(UUID_A);
    assert_eq!(world.upload(UUID_A, &[REALM]).status, 200);
    world
}

/// The same with a payment system that listens.
fn paying() -> World {
    let mut world = World::with(&[
        ("MAIL_WEBHOOK_URL", "https://mail.example/send"),
        ("MAIL_WEBHOOK_SECRET", "hush"),
        ("BILLING_HOST", "push.example.org"),
        ("PUSH_BILLING_KEY", "the payment system's key"),
        ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook"),
    ]);
    world.register(UUID_A);
    assert_eq!(world.upload(UUID_A, &[REALM]).status, 200);
    world.wait(60_000);
    world
}

/// What the payment system was told.
fn told(world: &World) -> Vec<Value> {
    let told = world.fetched.iter().filter(|fetch| fetch.url == "https://pay.example/hook");
    told.map(|fetch| serde_json::from_slice(&fetch.body).unwrap()).collect()
}

fn mailed_key(world: &World) -> String {
    let fetch = world.fetched.iter().rfind(|fetch| fetch.url.contains("mail.example")).expect("a letter");
    let letter: Value = serde_json::from_slice(&fetch.body).unwrap();
    let text = letter["text"].as_str().unwrap().to_owned();
    let link = text.split_whitespace().find(|word| word.contains("/do_confirm/")).unwrap();
    link.rsplit('/').next().unwrap().to_owned()
}

fn token(world: &mut World) -> String {
    let user = json!({ "uuid": USER, "email": "owner@chat.example.org", "full_name": "Owner" }).to_string();
    let organization = realm(0, REALM).to_string();
    let browser = Some(Browser { base: BASE.to_owned(), ..Browser::default() });
    let form = form_call(O::PushBilling, &[("user", &user), ("realm", &organization)]);
    let reply = world.send(&as_server(UUID_A, Call { browser, ..form }));
    let url = body(&reply)["billing_access_url"].as_str().expect("a link").to_owned();
    url.rsplit('/').next().unwrap().to_owned()
}

fn owner(world: &mut World) -> Owner {
    let (mut owner, token) = (Owner::default(), token(world));
    assert_eq!(owner.send(world, O::BillingRealmLogin, &[&token], &[]).status, 200);
    let sent = owner.send(world, O::BillingRealmMail, &[&token], &[("email", "owner@chat.example.org")]);
    assert_eq!(sent.status, 200, "{}", sent.body);
    let key = mailed_key(world);
    assert_eq!(owner.send(world, O::BillingRealmConfirm, &[&key], &[]).status, 200);
    let action =
        owner.page.split_once("action=\"/remote-billing-login/").unwrap().1.split('"').next().unwrap().to_owned();
    let entered = owner.send(world, O::BillingRealmEnter, &[&action], &[("tos_consent", "true")]);
    assert_eq!(entered.header("Location"), Some(&*format!("/realm/{REALM}/plans/")), "{}", entered.body);
    owner
}

fn administrator(world: &mut World) -> Owner {
    let mut admin = Owner::default();
    admin.send(world, O::BillingServerLogin, &[], &[]);
    let shown =
        admin.send(world, O::BillingServerEnter, &[], &[("zulip_org_id", UUID_A), ("zulip_org_key", &key('k'))]);
    assert_eq!(shown.status, 200, "{}", shown.body);
    let sent = admin.send(world, O::BillingServerMail, &[UUID_A], &[("email", "root@chat.example.org")]);
    assert_eq!(sent.status, 200, "{}", sent.body);
    let key = mailed_key(world);
    admin.send(world, O::BillingServerConfirm, &[&key], &[]);
    let entered = admin.send(world, O::BillingServerAccept, &[&key], &[("tos_consent", "true")]);
    assert_eq!(entered.status, 302, "{}", entered.body);
    admin
}

fn operate(world: &mut World, operation: O, param: &str, wish: &Value) -> Value {
    let body_bytes = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
    let request =
        Call { principal: Principal::Operator, params: vec![param.to_owned()], body: body_bytes, ..call(operation) };
    let reply = world.send(&request);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

#[test]
fn an_owner_signs_in_and_changes_the_plan_that_an_operator_has_made() {
    let mut world = world();
    let mut owner = owner(&mut world);
    assert_eq!(owner.send(&mut world, O::BillingRealmPage, &[REALM, "billing"], &[]).status, 200);
    let refused = owner.send(&mut world, O::BillingRealmPlan, &[REALM], &[("status", "2")]);
    assert_eq!(body(&refused)["msg"], "There is no live plan");
    let plan =
        json!({ "plan": { "tier": 103, "licenses": 10, "automanage_licenses": false, "price_per_license": 350 } });
    operate(&mut world, O::OperatorRealmPlan, REALM, &plan);
    let done = owner.send(&mut world, O::BillingRealmPlan, &[REALM], &[("status", "2")]);
    assert_eq!((done.status, body(&done)["result"].as_str()), (200, Some("success")), "{}", done.body);
    let shown = owner.send(&mut world, O::BillingRealmPage, &[REALM, "billing"], &[]);
    assert!(shown.body.contains("Basic") && shown.body.contains("Ends with this billing period"), "{}", shown.body);
    for (form, sentence) in [
        ([("status", "2")].as_slice(), "The plan's status does not allow this change"),
        ([("licenses", "5")].as_slice(), "The plan's status does not allow this change"),
    ] {
        let refused = owner.send(&mut world, O::BillingRealmPlan, &[REALM], form);
        assert_eq!(body(&refused)["msg"], sentence);
    }
    let audit = operate(&mut world, O::OperatorRealmAudit, REALM, &Value::Null).to_string();
    assert!(audit.contains("owner:owner@chat.example.org"), "{audit}");
}

#[test]
fn a_sponsorship_is_put_down_for_operators_to_read() {
    let mut world = world();
    let mut owner = owner(&mut world);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "sponsorship"], &[]);
    let form = [
        ("organization_type", "90"),
        ("description", "We care"),
        ("expected_total_users", "100"),
        ("paid_users_count", "0"),
    ];
    let asked = owner.send(&mut world, O::BillingRealmSponsorship, &[REALM], &form);
    assert_eq!(asked.status, 200, "{}", asked.body);
    let shown = owner.send(&mut world, O::BillingRealmPage, &[REALM, "sponsorship"], &[]);
    assert!(shown.body.contains("waits for an answer"));
    let asked = owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "104")]);
    assert_eq!(asked.status, 200, "{}", asked.body);
    let audit = operate(&mut world, O::OperatorRealmAudit, REALM, &Value::Null).to_string();
    assert!(audit.contains("We care") && audit.contains("asks for Business"), "{audit}");
}

#[test]
fn the_servers_plan_follows_its_only_organization_when_the_owner_comes() {
    let mut world = world();
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 102 } }));
    let (mut owner, token) = (Owner::default(), token(&mut world));
    assert_eq!(owner.send(&mut world, O::BillingRealmLogin, &[&token], &[]).status, 200, "{}", owner.page);
    let audit = operate(&mut world, O::OperatorRealmAudit, REALM, &Value::Null).to_string();
    assert!(audit.contains("20002"), "{audit}");
    assert_eq!(operate(&mut world, O::OperatorServer, UUID_A, &Value::Null)["plan_type"], 100);
}

#[test]
fn a_plan_that_moves_is_told_of_both_accounts_and_noted_with_old_and_new_types() {
    let mut world = paying();
    let customer = json!({ "payment_reference": "cus_1" });
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103 }, "customer": customer }));
    operate(&mut world, O::OperatorRealmPlan, REALM, &json!({ "customer": { "minimum_licenses": 3 } }));
    world.wait(60_000);
    world.fetched.clear();
    assert_eq!(come(&mut world).status, 200);
    world.wait(60_000);
    let mut told = told(&world);
    told.sort_by_key(|event| event["realm"].to_string());
    let told: Vec<_> = told
        .iter()
        .map(|event| {
            let billing = &event["billing"];
            (event["realm"].as_str(), event["plan_type"].as_u64(), billing["plan"]["tier"].as_u64())
        })
        .collect();
    assert_eq!(told, [(Some(REALM), Some(103), Some(103)), (None, Some(100), None)]);
    let index = world.shards["index"].database.dump();
    assert!(index.iter().any(|line| line.starts_with("server_index: ") && line.contains("100")), "{index:?}");
    for (operation, param, type_event, types, payment) in [
        (O::OperatorRealmAudit, REALM, 204, (100, 103), (Value::Null, json!("cus_1"))),
        (O::OperatorServerAudit, UUID_A, 10_204, (103, 100), (json!("cus_1"), Value::Null)),
    ] {
        let audit = operate(&mut world, operation, param, &Value::Null);
        let last = |event: u64| {
            let row = audit["rows"].as_array().unwrap().iter().rfind(|row| row["event_type"] == event).unwrap();
            row["extra_data"].clone()
        };
        assert_eq!(last(type_event), json!({ "old_value": types.0, "new_value": types.1 }));
        let (old, new) = payment;
        assert_eq!(last(505), json!({ "property": "payment_reference", "old_value": old, "new_value": new }));
    }
}

#[test]
fn nobody_hears_of_a_change_that_was_refused_after_all() {
    let mut world = paying();
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103 } }));
    world.wait(60_000);
    let (mut stranger, token) = (Owner::default(), token(&mut world));
    let before = world.dump();
    // Without the form's own token the address is not taken, and so the plan does not move.
    let form = [("email", "owner@chat.example.org")];
    assert_eq!(stranger.send(&mut world, O::BillingRealmMail, &[&token], &form).status, 403);
    assert_eq!(world.dump(), before);
    assert_eq!((world.rows(UUID_A, "billing_event"), world.rows(UUID_A, "announcement")), (0, 0));
}

#[test]
fn an_administrator_ends_the_registration_and_its_name_becomes_free() {
    let mut world = world();
    let mut admin = administrator(&mut world);
    admin.send(&mut world, O::BillingServerPage, &[UUID_A, "deactivate"], &[]);
    let done = admin.send(&mut world, O::BillingServerAct, &[UUID_A, "deactivate"], &[("confirmed", "true")]);
    assert!(done.status == 200 && done.body.contains("has been deactivated"), "{}", done.body);
    let audit = operate(&mut world, O::OperatorServerAudit, UUID_A, &Value::Null);
    let ended = audit["rows"].as_array().or_else(|| audit["audit"].as_array()).unwrap().last().unwrap();
    assert_eq!(
        (ended["event_type"].as_u64(), ended["actor"].as_str()),
        (Some(10_201), Some("owner:root@chat.example.org"))
    );
    let gone = world.send(&as_server(UUID_A, form_call(O::PushAnalyticsStatus, &[])));
    assert_eq!(gone.status, 401);
    let label = UUID_A.split('-').next().unwrap();
    let again = world.send(&push_world::registration(push_world::UUID_B, &format!("{label}.example.org")));
    assert_eq!(again.status, 200, "{}", again.body);
}

#[test]
fn letters_wait_for_the_mail_service_over_a_crash_and_counts_are_forgotten() {
    let mut world = world();
    let (mut owner, token) = (Owner::default(), token(&mut world));
    owner.send(&mut world, O::BillingRealmLogin, &[&token], &[]);
    world.outside = Box::new(|_| None);
    let sent = owner.send(&mut world, O::BillingRealmMail, &[&token], &[("email", "owner@chat.example.org")]);
    assert_eq!(sent.status, 200);
    world.fetched.clear();
    world.crash();
    world.outside = push_world::everything_works();
    world.wait(HOUR_MS);
    mailed_key(&world);
    assert_eq!(world.rows(UUID_A, "billing_mail"), 0);
    let counter = world.servers.keys().find(|name| name.starts_with("mail-counter/")).expect("a counter").clone();
    assert_eq!(world.rows(&counter, "billing_mail_count"), 1);
    world.wait(24 * HOUR_MS);
    assert_eq!(world.rows(&counter, "billing_mail_count"), 0);
}

#[test]
fn pages_of_nobody_leave_nothing_behind() {
    let mut world = world();
    let mut stranger = Owner::default();
    stranger.send(&mut world, O::BillingServerLogin, &[], &[]);
    let uuid = "9cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
    let refused =
        stranger.send(&mut world, O::BillingServerEnter, &[], &[("zulip_org_id", uuid), ("zulip_org_key", "x")]);
    assert!(refused.status == 401 && refused.body.contains("Did not find a server registration"));
    for name in ["sign-in", uuid] {
        assert!(world.servers[name].database.dump().is_empty(), "{name}");
    }
}

#[test]
fn a_removed_server_has_no_billing_users() {
    let mut world = world();
    owner(&mut world);
    assert_eq!(world.rows(UUID_A, "billing_user"), 1);
    operate(&mut world, O::OperatorServerRemove, UUID_A, &Value::Null);
    for table in ["billing_user", "billing_preregistration", "billing_mail"] {
        assert_eq!(world.rows(UUID_A, table), 0, "{table}");
    }
}

/// What the owner is told of requests.
fn events(world: &mut World, owner: &mut Owner) -> Value {
    let reply = owner.send(world, O::BillingRealmEventStatus, &[REALM], &[]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    body(&reply)
}

#[test]
fn a_plan_that_is_asked_for_waits_until_an_operator_or_the_payment_system_answers() {
    let mut world = world();
    let mut owner = owner(&mut world);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "upgrade"], &[]);
    assert_eq!(events(&mut world, &mut owner)["status"], "none");
    assert_eq!(owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "103")]).status, 200);
    // What happens by itself, to the server, or beside the plan is no answer.
    operate(&mut world, O::OperatorRealmPlan, REALM, &json!({ "customer": { "minimum_licenses": 5 } }));
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan_type": 101 }));
    world.now = world.now.plus(60_000);
    assert_eq!(world.upload(UUID_A, &[REALM]).status, 200);
    let waiting = events(&mut world, &mut owner);
    assert_eq!((waiting["status"].as_str(), waiting["events"].as_array().unwrap().len()), (Some("waiting"), 1));
    assert_eq!(waiting["events"][0]["asked_by"], "owner@chat.example.org");
    assert!(waiting["events"][0]["answered_at"].is_null());
    let shown = owner.send(&mut world, O::BillingRealmPage, &[REALM, "event_status"], &[]);
    assert!(shown.body.contains("Waits for the operator"));

    let plan = json!({ "plan": { "tier": 103, "licenses": 10, "price_per_license": 350 } });
    operate(&mut world, O::OperatorRealmPlan, REALM, &plan);
    let answered_at = world.now.as_millis() / 1_000;
    world.now = world.now.plus(60_000);
    let done = events(&mut world, &mut owner);
    assert_eq!((done["status"].as_str(), done["events"][0]["answered_at"].as_u64()), (Some("done"), Some(answered_at)));
    // Its end long after does not make it wait again.
    operate(&mut world, O::OperatorRealmPlan, REALM, &json!({ "plan": { "status": 11 } }));
    assert_eq!(events(&mut world, &mut owner)["status"], "done");
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "upgrade"], &[]);
    world.now = world.now.plus(60_000);
    assert_eq!(owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "104")]).status, 200);
    assert_eq!(events(&mut world, &mut owner)["status"], "waiting", "the newest request counts");
}

#[test]
fn a_plan_is_asked_for_with_as_many_licenses_as_its_tier_and_its_people_need() {
    let mut world = world();
    let mut owner = owner(&mut world);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "upgrade"], &[]);
    let mut ask = |world: &mut World, tier: &str, licenses: &str| {
        let form = [("tier", tier), ("license_management", "manual"), ("licenses", licenses)];
        let reply = owner.send(world, O::BillingRealmUpgrade, &[REALM], &form);
        (reply.status, body(&reply)["msg"].as_str().unwrap().to_owned())
    };
    for (tier, few, enough) in [("103", "5", "6"), ("104", "24", "25")] {
        assert_eq!(ask(&mut world, tier, few), (400, format!("At least {enough} licenses are needed")));
        assert_eq!(ask(&mut world, tier, enough).0, 200);
    }
    let people = json!([{
        "id": 1, "realm": 0, "event_time": world.now.as_millis() / 1_000, "backfilled": false, "event_type": 101,
        "extra_data": { "10": { "11": { "400": 12, "600": 3 } } },
    }]);
    let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", &*people.to_string())];
    assert_eq!(world.send(&as_server(UUID_A, form_call(O::PushAnalytics, &form))).status, 200);
    assert_eq!(ask(&mut world, "103", "14"), (400, String::from("At least 15 licenses are needed")));
    assert_eq!(ask(&mut world, "103", "15").0, 200);
    let exempt = json!({ "customer": { "exempt_from_license_number_check": true } });
    operate(&mut world, O::OperatorRealmPlan, REALM, &exempt);
    assert_eq!(ask(&mut world, "104", "15").0, 200);
}

#[test]
fn a_sponsorship_waits_until_it_is_granted_or_declined() {
    for answer in [json!({ "plan": { "tier": 102 } }), json!({ "customer": { "sponsorship_pending": false } })] {
        let mut world = world();
        let mut owner = owner(&mut world);
        owner.send(&mut world, O::BillingRealmPage, &[REALM, "sponsorship"], &[]);
        let form = [
            ("organization_type", "90"),
            ("description", "We care"),
            ("expected_total_users", "100"),
            ("paid_users_count", "0"),
        ];
        assert_eq!(owner.send(&mut world, O::BillingRealmSponsorship, &[REALM], &form).status, 200);
        let waiting = events(&mut world, &mut owner);
        assert_eq!((waiting["status"].as_str(), waiting["events"].as_array().unwrap().len()), (Some("waiting"), 1));
        operate(&mut world, O::OperatorRealmPlan, REALM, &answer);
        let done = events(&mut world, &mut owner);
        assert_eq!((done["status"].as_str(), done["events"][0]["type"].as_str()), (Some("done"), Some("sponsorship")));
        assert!(done["events"][0]["answered_at"].is_u64(), "{answer}");
    }
}

#[test]
fn a_change_of_the_plan_is_done_when_it_is_asked_for() {
    let mut world = world();
    let mut owner = owner(&mut world);
    let plan = json!({ "plan": { "tier": 103, "licenses": 10, "price_per_license": 350 } });
    operate(&mut world, O::OperatorRealmPlan, REALM, &plan);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "billing"], &[]);
    assert_eq!(events(&mut world, &mut owner)["status"], "none", "operators ask for nothing");
    assert_eq!(owner.send(&mut world, O::BillingRealmPlan, &[REALM], &[("status", "2")]).status, 200);
    let done = events(&mut world, &mut owner);
    assert_eq!((done["status"].as_str(), done["events"][0]["type"].as_str()), (Some("done"), Some("change")));
}

#[test]
fn owners_cannot_fill_the_audit_log() {
    let mut world = world();
    let mut owner = owner(&mut world);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "upgrade"], &[]);
    let before = world.rows(UUID_A, "realm_audit");
    for _ in 0..100 {
        assert_eq!(owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "103")]).status, 200);
    }
    let refused = owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "103")]);
    assert_eq!(body(&refused)["msg"], "Too many changes today. Please try again tomorrow.");
    assert_eq!(world.rows(UUID_A, "realm_audit"), before + 100);
    world.now = world.now.plus(24 * HOUR_MS);
    let mut owner = self::owner(&mut world);
    owner.send(&mut world, O::BillingRealmPage, &[REALM, "upgrade"], &[]);
    assert_eq!(owner.send(&mut world, O::BillingRealmUpgrade, &[REALM], &[("tier", "103")]).status, 200);
}

#[test]
fn owners_see_their_newest_invoices_and_take_them_along() {
    let mut world = world();
    let mut owner = owner(&mut world);
    let insert = format!(
        "INSERT INTO invoice (realm_uuid, plan_id, tier, created_at, period_start, period_end, licenses, amount, discount, kind) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1005) \
         SELECT '{REALM}', 1, 103, 1800000000000, 1800000000000, 1802592000000, i, 100 * i, 0, 'period' FROM n"
    );
    let insert: &'static str = Box::leak(insert.into_boxed_str());
    world.server(UUID_A).database.commit(vec![Statement::plain(insert)]).unwrap();
    let mut take = |format: &str| {
        let browser = Browser { base: BASE.to_owned(), cookie: owner.cookie.clone(), origin: None };
        let params = vec![REALM.to_owned(), String::from("invoices")];
        let query = format!("format={format}");
        world.send(&Call { params, query, browser: Some(browser), ..call(O::BillingRealmPage) })
    };
    let invoices = body(&take("json"))["invoices"].clone();
    let licenses = |at: usize| invoices[at]["licenses"].as_u64();
    assert_eq!((invoices.as_array().unwrap().len(), licenses(0), licenses(999)), (1_000, Some(1_005), Some(6)));
    assert_eq!((invoices[0]["plan"].as_str(), invoices[0]["amount_cents"].as_u64()), (Some("Basic"), Some(100_500)));
    let csv = take("csv").body;
    assert_eq!(csv.lines().count(), 1_001);
    assert!(csv.contains("\"Basic\",2027-01-15T08:00:00.000Z,2027-02-14T08:00:00.000Z,1005,100500,0,usd"), "{csv}");
    let shown = owner.send(&mut world, O::BillingRealmPage, &[REALM, "invoices"], &[]);
    assert!(shown.body.contains("$1005.00") && !shown.body.contains("$5.00"));
}

#[test]
fn the_resolver_is_asked_before_a_letter_is_counted_and_sent() {
    let mut world = World::with(&[
        ("MAIL_WEBHOOK_URL", "https://mail.example/send"),
        ("MAIL_WEBHOOK_SECRET", "hush"),
        ("BILLING_HOST", "push.example.org"),
        ("DNS_QUERY_URL", "https://dns.example/q"),
    ]);
    world.register(UUID_A);
    assert_eq!(world.upload(UUID_A, &[REALM]).status, 200);
    world.fetched.clear();
    let (mut owner, token) = (Owner::default(), token(&mut world));
    owner.send(&mut world, O::BillingRealmLogin, &[&token], &[]);
    let email = [("email", "owner@chat.example.org")];
    world.outside = Box::new(|fetch| {
        let is_mx = fetch.url.ends_with("type=MX");
        Some(push_world::answered(200, if is_mx { r#"{"Status":0}"# } else { r#"{"Status":0,"Answer":[{"type":1}]}"# }))
    });
    let refused = owner.send(&mut world, O::BillingRealmMail, &[&token], &email);
    let sentence = "chat.example.org is invalid because it does not have any MX records";
    assert!(refused.status == 400 && refused.body.contains(sentence), "{}", refused.body);
    let asked: Vec<&str> = world.fetched.iter().map(|fetch| fetch.url.as_str()).collect();
    let question = "https://dns.example/q?name=chat.example.org&type=";
    assert_eq!(asked, [format!("{question}MX"), format!("{question}A")]);
    assert!(!world.servers.keys().any(|name| name.starts_with("mail-counter/")), "not counted");
    world.outside =
        Box::new(|_| Some(push_world::answered(200, r#"{"Status":0,"Answer":[{"type":15,"data":"5 mx."}]}"#)));
    assert_eq!(owner.send(&mut world, O::BillingRealmMail, &[&token], &email).status, 200);
    mailed_key(&world);
}

/// Tells of the people of the organizations by their numbers, all of now.
fn people(world: &mut World, rows: &[(u64, u64, u64)]) {
    let now = world.now.as_millis() / 1_000;
    let row = |(id, realm, count): &(u64, u64, u64)| {
        json!({ "id": id, "realm": realm, "event_time": now, "backfilled": false, "event_type": 101,
            "extra_data": { "10": { "11": { "400": count } } } })
    };
    let rows = Value::from(rows.iter().map(row).collect::<Vec<_>>()).to_string();
    let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realmauditlog_rows", rows.as_str())];
    assert_eq!(world.send(&as_server(UUID_A, form_call(O::PushAnalytics, &form))).status, 200);
}

fn licenses(shown: &Value) -> (u64, u64) {
    let plan = &shown["billing"]["plan"];
    (plan["licenses"].as_u64().unwrap(), plan["licenses_at_next_renewal"].as_u64().unwrap())
}

/// The owner of the only organization looks at the door, which is when a plan moves.
fn come(world: &mut World) -> Reply {
    let (mut owner, token) = (Owner::default(), token(world));
    owner.send(world, O::BillingRealmLogin, &[&token], &[])
}

#[test]
fn a_plan_that_moves_counts_its_organizations_own_people_at_once() {
    for (plan, own, expected) in [
        (json!({ "tier": 104, "licenses": 40 }), 50, (50, 50)),
        (json!({ "tier": 104, "licenses": 40 }), 30, (40, 30)),
        (json!({ "tier": 104, "licenses": 40, "automanage_licenses": false }), 50, (40, 40)),
        (json!({ "tier": 102, "licenses": 40, "automanage_licenses": true }), 50, (40, 40)),
    ] {
        let mut world = world();
        // The organization's own, and those of one that is gone: a server counts both.
        people(&mut world, &[(1, 0, own), (2, 7, 9)]);
        operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": plan }));
        world.wait(1_000);
        assert_eq!(come(&mut world).status, 200);
        let shown = operate(&mut world, O::OperatorRealm, REALM, &Value::Null);
        assert_eq!(licenses(&shown), expected, "{plan} with {own}");
        assert_eq!(shown["plan_type"], plan["tier"]);
        // Ten more licenses of the month are put down for the organization to pay, and only where people are counted.
        let more = if expected.0 == 50 { 10 } else { 0 };
        assert_eq!(shown["billing"]["plan"]["licenses_not_invoiced"], more, "{plan} with {own}");
    }
}

#[test]
fn a_plan_that_moves_keeps_its_licenses_while_nobody_has_counted_the_organization() {
    let mut world = world();
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 104, "licenses": 40 } }));
    world.wait(1_000);
    assert_eq!(come(&mut world).status, 200);
    assert_eq!(licenses(&operate(&mut world, O::OperatorRealm, REALM, &Value::Null)), (40, 40));
}

#[test]
fn plans_that_cannot_be_put_together_are_left_alone_and_the_owner_reads_why() {
    let mut world = world();
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103 } }));
    operate(&mut world, O::OperatorRealmPlan, REALM, &json!({ "plan": { "tier": 104 } }));
    world.wait(10_000);
    let before = world.dump();
    let reply = come(&mut world);
    let sentence =
        "Couldn&#39;t reconcile billing data between server and realm. Please contact the operator of this service.";
    assert!(reply.status == 400 && reply.body.contains(sentence), "{}", reply.body);
    // That somebody asked for a link is all that is left.
    let kept = |dump: &[String]| dump.iter().filter(|line| !line.contains(" realm: ")).cloned().collect::<Vec<_>>();
    assert_eq!(kept(&world.dump()), kept(&before));
}

#[test]
fn an_owner_who_buys_more_pays_for_the_rest_of_the_month() {
    const DAY: u64 = 24 * HOUR_MS;
    let mut world = world();
    owner(&mut world);
    let plan = json!({ "tier": 103, "licenses": 10, "automanage_licenses": false });
    operate(&mut world, O::OperatorRealmPlan, REALM, &json!({ "plan": plan, "customer": { "flat_discount": 0 } }));
    world.wait(DAY + 60_000);
    people(&mut world, &[]);
    let mut owner = again(&mut world);
    let bought = owner.send(&mut world, O::BillingRealmPlan, &[REALM], &[("licenses", "13")]);
    assert_eq!(bought.status, 200, "{}", bought.body);
    world.crash();
    world.wait(31 * DAY);
    people(&mut world, &[]);
    world.wait(1);
    world.crash();
    world.wait(DAY);
    let invoices = operate(&mut world, O::OperatorRealmInvoices, REALM, &Value::Null);
    let invoices = invoices["invoices"].as_array().unwrap();
    let told = |invoice: &Value| {
        let number = |name: &str| invoice[name].as_u64().unwrap();
        let days = (number("period_end") - number("period_start")).div_ceil(86_400);
        (invoice["kind"].as_str().unwrap().to_owned(), number("licenses"), number("amount"), days)
    };
    let told: Vec<_> = invoices.iter().map(told).collect();
    // 350 * 30/31 is 338.7, less a minute.
    let period = |licenses, days| (String::from("period"), licenses, licenses * 350, days);
    assert_eq!(told, [period(10, 31), (String::from("additional"), 3, 3 * 339, 30), period(13, 28)]);
    let page = again(&mut world).send(&mut world, O::BillingRealmPage, &[REALM, "invoices"], &[]);
    assert!(page.body.contains("Additional licenses") && page.body.contains("2027-01-16"), "{}", page.body);
}

/// A known owner signs in anew.
fn again(world: &mut World) -> Owner {
    let (mut owner, token) = (Owner::default(), token(world));
    assert_eq!(owner.send(world, O::BillingRealmLogin, &[&token], &[]).status, 200, "{}", owner.page);
    let entered = owner.send(world, O::BillingRealmEnter, &[&token], &[]);
    assert_eq!(entered.status, 302, "{}", entered.body);
    owner.send(world, O::BillingRealmPage, &[REALM, "billing"], &[]);
    owner
}

fn as_operator(world: &mut World, caller: &str, operation: O, params: &[&str], query: &str, wish: &Value) -> Reply {
    let (caller, query) = (Some(caller.to_owned()), query.to_owned());
    let params = params.iter().map(|param| (*param).to_owned()).collect();
    let body = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
    world.send(&Call { principal: Principal::Operator, caller, params, query, body, ..call(operation) })
}

#[test]
fn operators_see_billing_users_and_viewers_no_names() {
    let mut world = world();
    let see = |world: &mut World, caller: &str, query: &str| {
        body(&as_operator(world, caller, O::OperatorBillingUsers, &[UUID_A], query, &Value::Null))
    };
    assert_eq!(see(&mut world, "viewer:v", ""), json!({ "billing_users": [], "next": null }));
    owner(&mut world);
    administrator(&mut world);
    let now = world.now.as_millis() / 1_000;
    let all = see(&mut world, "admin:a", "");
    let first = json!({
        "id": 1, "realm_uuid": REALM, "email": "owner@chat.example.org", "full_name": "Owner", "is_active": true,
        "date_joined": now, "last_login": now,
    });
    assert_eq!(all["billing_users"][0], first);
    let second = &all["billing_users"][1];
    assert!(second["realm_uuid"].is_null() && second["email"] == "root@chat.example.org", "{second}");
    let masked = see(&mut world, "viewer:v", "");
    assert_eq!(masked["billing_users"][0]["email"], "o***@chat.example.org");
    assert!(!masked.to_string().contains("owner@") && !masked.to_string().contains("Owner"));
    let page = see(&mut world, "owner:o", "limit=1");
    assert_eq!((page["billing_users"].as_array().unwrap().len(), page["next"].as_u64()), (1, Some(1)));
    let rest = see(&mut world, "owner:o", "limit=1&after=1");
    assert_eq!((rest["billing_users"][0]["id"].as_u64(), rest["next"].as_u64()), (Some(2), Some(2)));
    let bad = as_operator(&mut world, "viewer:v", O::OperatorBillingUsers, &[UUID_A], "after=x", &Value::Null);
    assert_eq!(bad.status, 400);
}

#[test]
fn a_closed_account_ends_its_sessions_and_links_at_once() {
    let mut world = world();
    let (mut ada, mut root) = (owner(&mut world), administrator(&mut world));
    let close = |world: &mut World, caller: &str, id: &str, wish: &Value| {
        as_operator(world, caller, O::OperatorBillingUserClose, &[UUID_A, id], "", wish)
    };
    for (caller, id, wish, status) in [
        ("viewer:v", "1", Value::Null, 403),
        ("admin:a", "3", Value::Null, 404),
        ("admin:a", "x", Value::Null, 404),
        ("admin:a", "-1", Value::Null, 404),
        ("admin:a", "9007199254740992", Value::Null, 404),
        ("admin:a", "1", json!(["a reason"]), 400),
        ("admin:a", "1", json!({ "mystery": 1 }), 400),
    ] {
        assert_eq!(close(&mut world, caller, id, &wish).status, status, "{caller} {id} {wish}");
    }
    assert_eq!(ada.send(&mut world, O::BillingRealmPage, &[REALM, "billing"], &[]).status, 200);

    // A letter of before, to both.
    let link = token(&mut world);
    let mut again = Owner::default();
    again.send(&mut world, O::BillingServerLogin, &[], &[]);
    again.send(&mut world, O::BillingServerEnter, &[], &[("zulip_org_id", UUID_A), ("zulip_org_key", &key('k'))]);
    again.send(&mut world, O::BillingServerMail, &[UUID_A], &[("email", "root@chat.example.org")]);
    let mailed = mailed_key(&world);

    let closed = close(&mut world, "admin:a", "1", &json!({ "reason": "left the company" }));
    assert_eq!((closed.status, body(&closed)), (200, json!({ "is_active": false })));
    assert_eq!(close(&mut world, "admin:a", "2", &Value::Null).status, 200);
    for page in ["plans", "billing", "upgrade", "sponsorship", "event_status", "invoices", "customer_portal"] {
        let shown = ada.send(&mut world, O::BillingRealmPage, &[REALM, page], &[]);
        assert!(shown.status == 403 && shown.body.contains("Your account is deactivated"), "{page}: {}", shown.body);
        assert_eq!(root.send(&mut world, O::BillingServerPage, &[UUID_A, page], &[]).status, 403, "{page}");
    }
    for operation in
        [O::BillingRealmPlan, O::BillingRealmSponsorship, O::BillingRealmUpgrade, O::BillingRealmEventStatus]
    {
        let told = ada.send(&mut world, operation, &[REALM], &[("status", "2")]);
        assert_eq!(told.status, 403, "{operation:?}: {}", told.body);
    }
    assert_eq!(Owner::default().send(&mut world, O::BillingRealmLogin, &[&link], &[]).status, 403);
    assert_eq!(Owner::default().send(&mut world, O::BillingServerConfirm, &[&mailed], &[]).status, 403);

    // Once is enough, and both are in the log.
    assert_eq!(close(&mut world, "admin:a", "1", &Value::Null).status, 200);
    let notes = |world: &mut World, operation, param: &str| {
        let audit = operate(world, operation, param, &Value::Null);
        let rows = audit["rows"].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row["event_type"] == 20_007).collect::<Vec<_>>()
    };
    let of_realm = notes(&mut world, O::OperatorRealmAudit, REALM);
    assert_eq!((of_realm.len(), of_realm[0]["actor"].as_str()), (1, Some("operator:a")));
    assert_eq!(of_realm[0]["extra_data"], json!({ "billing_user": 1, "reason": "left the company" }));
    let of_server = notes(&mut world, O::OperatorServerAudit, UUID_A);
    assert_eq!((of_server.len(), &of_server[0]["extra_data"]), (1, &json!({ "billing_user": 2 })));
    let users = operate(&mut world, O::OperatorBillingUsers, UUID_A, &Value::Null);
    assert!(users["billing_users"].as_array().unwrap().iter().all(|user| user["is_active"] == false));
}

#[test]
fn a_server_with_a_plan_is_told_in_peoples_words_why_it_cannot_leave() {
    let mut world = world();
    let mut root = administrator(&mut world);
    operate(&mut world, O::OperatorServerPlan, UUID_A, &json!({ "plan": { "tier": 103 } }));
    root.send(&mut world, O::BillingServerPage, &[UUID_A, "deactivate"], &[]);
    let refused = root.send(&mut world, O::BillingServerAct, &[UUID_A, "deactivate"], &[("confirmed", "true")]);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("A live plan stands in the way."), "{}", refused.body);
    assert!(!refused.body.contains("server deactivation with existing plan"));
}
