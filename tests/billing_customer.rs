//! What owners asked for, what they were billed, and what they want to hear.
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

use billing_support::{HOUR_MS, OTHER, Person, REALM, SERVER, SETTINGS, Scene};
use support::body;
use waystation::kernel::object::Call;
use waystation::kernel::operation::Operation as O;
use waystation::kernel::reply::{Media, Reply};

fn status(scene: &mut Scene, person: &mut Person) -> serde_json::Value {
    let reply = person.get(scene, O::BillingRealmEventStatus, &[REALM]);
    assert_eq!((reply.status, reply.media), (200, Media::Json), "{}", reply.body);
    body(&reply)
}

fn sponsorship() -> [(&'static str, &'static str); 4] {
    [
        ("organization_type", "90"),
        ("description", "We <care>"),
        ("expected_total_users", "100"),
        ("paid_users_count", "0"),
    ]
}

/// A page with a query.
fn look(scene: &mut Scene, person: &Person, page: &str, query: &str) -> Reply {
    let request = person.call(O::BillingRealmPage, &[REALM, page], &[]);
    scene.answer(&Call { query: query.to_owned(), ..request })
}

#[test]
fn an_owner_sees_what_became_of_every_kind_of_request() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    assert_eq!(status(&mut scene, &mut ada)["status"], "none");
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "event_status"]);
    assert!(ada.page.contains("Nothing was asked for so far."));

    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "upgrade"]);
    assert!(!ada.page.contains("You have asked for a plan already"));
    let asked = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "upgrade"], &[("tier", "103")]);
    let path = format!("/realm/{REALM}/event_status/");
    assert_eq!((asked.status, asked.header("Location")), (302, Some(path.as_str())), "where it is to be seen");
    let said = status(&mut scene, &mut ada);
    assert_eq!((said["result"].as_str(), said["status"].as_str()), (Some("success"), Some("waiting")));
    let event = serde_json::json!({
        "type": "upgrade", "status": "waiting", "asked_at": 1_800_000_000, "asked_by": "ada@chat.example.org",
        "answered_at": null,
    });
    assert_eq!(said["events"], serde_json::json!([event]));
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "event_status"]);
    assert!(ada.page.contains("Paid plan") && ada.page.contains("Waits for the operator"), "{}", ada.page);
    assert!(ada.page.contains("2027-01-15") && ada.page.contains("<td class=\"address\">ada@chat.example.org</td>"));
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "upgrade"]);
    assert!(ada.page.contains("You have asked for a plan already"));

    scene.plan(REALM, 103, 1);
    assert_eq!(status(&mut scene, &mut ada)["status"], "done");
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "event_status"]);
    assert!(ada.page.contains("<td>Done</td>") && !ada.page.contains("Waits"));
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "upgrade"]);
    assert!(ada.page.contains("You have the <strong>Basic</strong> plan") && !ada.page.contains("name=\"tier\""));

    let acted = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "sponsorship"], &sponsorship());
    assert_eq!(acted.header("Location"), Some(path.as_str()));
    let said = status(&mut scene, &mut ada);
    assert_eq!((said["status"].as_str(), said["events"][0]["type"].as_str()), (Some("waiting"), Some("sponsorship")));
    assert_eq!(
        (said["events"][1]["type"].as_str(), said["events"][1]["status"].as_str()),
        (Some("upgrade"), Some("done"))
    );

    let changed = ada.post(&mut scene, O::BillingRealmPlan, &[REALM], &[("licenses", "20")]);
    assert_eq!(changed.status, 200);
    let said = status(&mut scene, &mut ada);
    assert_eq!(
        (said["events"][0]["type"].as_str(), said["events"][0]["status"].as_str()),
        (Some("change"), Some("done"))
    );
    assert_eq!((said["status"].as_str(), said["events"].as_array().unwrap().len()), (Some("waiting"), 3));
}

#[test]
fn what_became_of_requests_is_told_to_their_own_session_alone() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let mut root = scene.administrator();
    for (person, operation, subject, code) in [
        (&mut ada, O::BillingRealmEventStatus, REALM, 200),
        (&mut root, O::BillingServerEventStatus, SERVER, 200),
        (&mut Person::new(), O::BillingRealmEventStatus, REALM, 401),
        (&mut Person::new(), O::BillingServerEventStatus, SERVER, 401),
    ] {
        let reply = person.get(&mut scene, operation, &[subject]);
        assert_eq!((reply.status, reply.media), (code, Media::Json), "{operation:?}");
        let elsewhere = person.get(&mut scene, operation, &[OTHER]);
        assert_eq!(elsewhere.status, 401, "{operation:?}");
        let json = body(&elsewhere);
        assert_eq!(json["code"], "REMOTE_BILLING_UNAUTHENTICATED_USER");
        assert_eq!((json["result"].as_str(), json["msg"].as_str()), (Some("error"), Some("User not authenticated")));
    }
    let reply = ada.get(&mut scene, O::BillingRealmEventStatus, &[REALM]);
    assert!(reply.header("Cache-Control").unwrap().contains("no-store"));
    let request = ada.call(O::BillingRealmEventStatus, &[REALM], &[]);
    let reply = scene.answer(&Call { query: String::from("stripe_session_id=x"), ..request });
    assert_eq!(body(&reply)["ignored_parameters_unsupported"], serde_json::json!(["stripe_session_id"]));
    scene.stage.now = scene.stage.now.plus(2 * HOUR_MS + 1);
    let late = ada.get(&mut scene, O::BillingRealmEventStatus, &[REALM]);
    assert_eq!(body(&late)["login_url"], "https://a.chat.example.org/self-hosted-billing/?next_page=billing");
    scene.deactivate(SERVER);
    scene.stage.now = scene.stage.now.minus(HOUR_MS);
    let closed = root.get(&mut scene, O::BillingServerEventStatus, &[SERVER]);
    assert_eq!((closed.status, body(&closed)["msg"].as_str()), (400, Some("Registration is deactivated")));
}

#[test]
fn the_account_page_shows_everybody_who_may_look_after_the_plan_and_nobody_else() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    scene.owner_of(OTHER);
    scene.administrator();
    scene.sql(&format!(
        "INSERT INTO billing_user (realm, user_uuid, email, full_name, date_joined, is_active, tos_version, \
         enable_major_release_emails, enable_maintenance_release_emails) \
         VALUES ('{REALM}', 'dddddddd-0000-4000-8000-000000000004', 'new@b.org', '<i>New</i>', 1, 1, '-1', 1, 1), \
         ('{REALM}', 'dddddddd-0000-4000-8000-000000000005', 'gone@b.org', 'Gone', 1, 0, '-1', 1, 1)"
    ));
    scene.sql("UPDATE billing_user SET email = 'bob@b.org' WHERE realm = 'bbbbbbbb-0000-4000-8000-000000000002'");
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "customer_portal"]);
    for shown in ["ada@chat.example.org", "new@b.org", "&lt;i&gt;New&lt;/i&gt;", "Never", "2027-01-15"] {
        assert!(ada.page.contains(shown), "{shown}");
    }
    assert!(!ada.page.contains("/deactivate/"), "organizations have no registration of their own");
    for hidden in ["gone@b.org", "bob@b.org", "root@chat.example.org"] {
        assert!(!ada.page.contains(hidden), "{hidden}");
    }
}

#[test]
fn the_account_page_says_where_payments_are_looked_after() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "customer_portal"]);
    assert!(ada.page.contains("does not know you so far. The operator of this service looks after payments"));
    let pairs: Vec<_> =
        SETTINGS.iter().copied().chain([("BILLING_PORTAL_URL", "https://pay.example/portal?a=1&b=2")]).collect();
    let mut scene = Scene::with(&pairs);
    scene.sql(&format!("INSERT INTO host_customer VALUES ('{REALM}', 0, 1)"));
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "customer_portal"]);
    assert!(ada.page.contains("knows you as a customer"));
    assert!(ada.page.contains("rel=\"noreferrer\" href=\"https://pay.example/portal?a=1&amp;b=2\""));
}

#[test]
fn preferences_are_changed_on_the_account_page() {
    let mut scene = Scene::new();
    for server in [false, true] {
        let (mut person, act, page, subject) = if server {
            (scene.administrator(), O::BillingServerAct, O::BillingServerPage, SERVER)
        } else {
            (scene.owner_of(REALM), O::BillingRealmAct, O::BillingRealmPage, REALM)
        };
        let params = [subject, "customer_portal"];
        person.get(&mut scene, page, &params);
        let fields = [("full_name", " Ada \"L\" "), ("enable_maintenance_release_emails", "true")];
        let kept = person.post(&mut scene, act, &params, &fields);
        let kind = if server { "server" } else { "realm" };
        let path = format!("/{kind}/{subject}/customer_portal/?saved=true");
        assert_eq!((kept.status, kept.header("Location")), (302, Some(path.as_str())));
        let row = format!(
            "SELECT count(*) FROM billing_user WHERE full_name = 'Ada \"L\"' AND enable_major_release_emails = 0 AND \
             enable_maintenance_release_emails = 1 AND (realm IS NULL) = {}",
            u8::from(server)
        );
        assert_eq!(scene.number(&row), 1);
        person.get(&mut scene, page, &params);
        assert!(person.page.contains("value=\"Ada &quot;L&quot;\"") && !person.page.contains("were saved"));
        let box_of = |name: &str| {
            person.page.split(&format!("name=\"{name}\"")).nth(1).unwrap().split('>').next().unwrap().to_owned()
        };
        assert!(!box_of("enable_major_release_emails").contains("checked"));
        assert!(box_of("enable_maintenance_release_emails").contains("checked"));
        assert_eq!(person.page.contains(&format!("href=\"/server/{SERVER}/deactivate/\"")), server);
        let nothing = person.post(&mut scene, act, &params, &[]);
        assert_eq!(nothing.status, 302);
        assert_eq!(scene.number(&row), 0, "boxes that are not ticked are a no");
    }
    assert_eq!(scene.number("SELECT count(*) FROM host_audit"), 0, "no plan is touched");
}

#[test]
fn kept_preferences_are_announced_and_refused_ones_stay_in_the_form() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    let announced = look(&mut scene, &ada, "customer_portal", "saved=true");
    assert!(announced.body.contains("role=\"status\">Your preferences were saved."));
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "customer_portal"]);
    let dump = scene.stage.database.dump();
    let long = "x".repeat(101);
    let fields = [("full_name", long.as_str()), ("enable_major_release_emails", "true")];
    let refused = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "customer_portal"], &fields);
    assert!(refused.status == 400 && refused.body.contains("full_name is too long (limit: 100 characters)"));
    assert!(refused.body.contains(&format!("value=\"{long}\"")));
    assert_eq!(refused.body.matches(" checked").count(), 1);
    ada.token = Some("0".repeat(64));
    let forged = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "customer_portal"], &[("full_name", "Eve")]);
    assert_eq!(forged.status, 403);
    ada.token = None;
    ada.origin = Some(String::from("https://evil.example"));
    let foreign = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "customer_portal"], &[("full_name", "Eve")]);
    assert_eq!(foreign.status, 403);
    assert_eq!(scene.stage.database.dump(), dump);
}

#[test]
fn only_pages_with_forms_take_forms() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    for page in ["plans", "event_status", "invoices"] {
        ada.get(&mut scene, O::BillingRealmPage, &[REALM, page]);
        assert_eq!(ada.post(&mut scene, O::BillingRealmAct, &[REALM, page], &[("tier", "103")]).status, 404, "{page}");
    }
}

#[test]
fn a_refused_form_keeps_what_was_typed() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "upgrade"]);
    let fields = [("tier", "104"), ("schedule", "2"), ("license_management", "manual"), ("licenses", "1e9")];
    let refused = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "upgrade"], &fields);
    assert!(refused.status == 400 && refused.body.contains("role=\"alert\">Invalid licenses"), "{}", refused.body);
    for kept in ["value=\"104\" selected", "value=\"2\" selected", "value=\"manual\" selected", "value=\"1e9\""] {
        assert!(refused.body.contains(kept), "{kept}");
    }
    let mut fields = sponsorship().to_vec();
    fields[3].1 = "";
    fields.push(("website", "https://a.example/\"><script>"));
    let refused = ada.post(&mut scene, O::BillingRealmAct, &[REALM, "sponsorship"], &fields);
    assert!(refused.status == 400 && refused.body.contains("Missing &#39;paid_users_count&#39; argument"));
    for kept in ["value=\"90\" selected", "We &lt;care&gt;</textarea>", "value=\"100\"", "&quot;&gt;&lt;script&gt;"] {
        assert!(refused.body.contains(kept), "{kept}");
    }
}

#[test]
fn a_newcomer_who_forgot_the_terms_need_not_type_the_name_again() {
    let mut scene = Scene::new();
    let mut ada = Person::new();
    let key = scene.server_key(&mut ada, None);
    ada.get(&mut scene, O::BillingServerConfirm, &[&key]);
    assert_eq!(ada.page.matches(" checked").count(), 2);
    let fields = [("full_name", "Ada & Co"), ("enable_major_release_emails", "true")];
    let refused = ada.post(&mut scene, O::BillingServerAccept, &[&key], &fields);
    assert!(refused.status == 400 && refused.body.contains("value=\"Ada &amp; Co\""));
    assert_eq!(refused.body.matches(" checked").count(), 1);
}

#[test]
fn owners_take_their_invoices_along_as_csv_and_json() {
    let mut scene = Scene::new();
    let mut ada = scene.owner_of(REALM);
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "invoices"]);
    assert!(ada.page.contains("There are no invoices.") && !ada.page.contains("format=csv"));
    let sheet = look(&mut scene, &ada, "invoices", "format=csv").body;
    assert_eq!(sheet.lines().count(), 1, "only the names of the columns");
    for (owner, kind) in [(REALM, "Billing period"), (REALM, "=HYPERLINK(\"x\")"), (OTHER, "theirs")] {
        scene.sql(&format!("INSERT INTO host_invoice VALUES ('{owner}', '{kind}')"));
    }
    ada.get(&mut scene, O::BillingRealmPage, &[REALM, "invoices"]);
    for shown in
        ["$42.05", "Basic &lt;plan&gt;", "Billing period", "2027-01-03", "2027-02-02", ">12<", "=HYPERLINK(&quot;x"]
    {
        assert!(ada.page.contains(shown), "{shown}");
    }
    let path = format!("/realm/{REALM}/invoices/?format=");
    assert!(ada.page.contains(&format!("href=\"{path}csv\"")) && ada.page.contains(&format!("href=\"{path}json\"")));

    let csv = look(&mut scene, &ada, "invoices", "format=csv");
    assert_eq!((csv.status, csv.media), (200, Media::Csv));
    assert_eq!(csv.header("Content-Disposition"), Some("attachment; filename=\"invoices.csv\""));
    assert_eq!(csv.header("Cache-Control"), Some("no-store"));
    let lines = [
        "number,made_at,kind,plan,period_start,period_end,licenses,amount_cents,discount_cents,currency",
        "1,2027-01-03T18:13:20.000Z,\"Billing period\",\"Basic <plan>\",2027-01-03T18:13:20.000Z,2027-02-02T18:13:20.000Z,12,4205,2000,usd",
        "2,2027-01-03T18:13:20.000Z,\"'=HYPERLINK(\"\"x\"\")\",\"Basic <plan>\",2027-01-03T18:13:20.000Z,2027-02-02T18:13:20.000Z,12,4205,2000,usd",
        "",
    ];
    assert_eq!(csv.body, lines.join("\r\n"));

    let json = look(&mut scene, &ada, "invoices", "format=json");
    assert_eq!((json.status, json.media), (200, Media::Json));
    let invoices = body(&json)["invoices"].clone();
    assert_eq!(invoices.as_array().unwrap().len(), 2);
    let first = serde_json::json!({
        "number": 1, "made_at": 1_799_000_000, "kind": "Billing period", "plan": "Basic <plan>",
        "period_start": 1_799_000_000, "period_end": 1_801_592_000, "licenses": 12, "amount_cents": 4_205,
        "discount_cents": 2_000, "currency": "usd",
    });
    assert_eq!(invoices[0], first);

    let unknown = look(&mut scene, &ada, "invoices", "format=xls");
    assert!(unknown.status == 400 && unknown.body.contains("Invalid format"));
    let stranger = look(&mut scene, &Person::new(), "invoices", "format=csv");
    assert!(stranger.status == 401 && !stranger.body.contains("4205"));
}
