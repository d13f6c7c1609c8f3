//! The front without the platform: what passes the door, what does not, and what every answer carries.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use waystation::front::dialect::{dialect_of, refuse};
use waystation::front::enter::{Entered, Refused, Step, enter};
use waystation::front::finish::finish;
use waystation::front::head::{Head, Method, Wish};
use waystation::front::limiter::Standing;
use waystation::front::routes::{Dialect, ROUTES, Room, Route, To, Who};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Browser, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::{Media, Reply};
use waystation::kernel::settings::{SettingProblem, Settings, parse};
use waystation::kernel::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SECRETS: &[(&str, &str)] = &[
    ("ADMIN_SECRET", "admin"),
    ("SERVER_REGISTRY_SECRET", "registry"),
    ("CI_UPLOAD_SECRET", "ci"),
    ("ALLOWED_ORIGINS", "https://app.example"),
];

fn settings(pairs: &[(&str, &str)]) -> Settings {
    parse(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())).unwrap()
}

fn head(method: Method, path: &str) -> Head {
    Head {
        method,
        base: String::from("https://edge.example"),
        path: path.to_owned(),
        query: String::new(),
        wish: Wish::Answer,
        client: ClientNetwork::unknown(),
        origin: None,
        cookie: None,
        authorization: None,
        signature: None,
        form_token: None,
        if_none_match: None,
        if_match: None,
        content_type: None,
        idempotency_key: None,
        content_length: None,
        request_id: String::from("r-1"),
        trace_id: None,
    }
}

fn go(head: &Head, settings: &Settings) -> Result<Entered, Refused> {
    enter(head, Ok(settings), NOW).unwrap()
}

fn status(head: &Head, settings: &Settings) -> u16 {
    go(head, settings).map_or_else(|refused| refused.problem.into_reply("r").status, |_| 200)
}

/// A path that fits the template.
fn example(route: &Route) -> String {
    route
        .template
        .split('/')
        .map(|segment| if segment.starts_with('{') { "x" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn the_authorisation_matrix_holds_for_every_route_and_every_credential() {
    let settings = settings(SECRETS);
    let mut cells = 0;
    for route in ROUTES {
        for (bearer, name) in [
            (None, "nobody"),
            (Some("wrong"), "stranger"),
            (Some("registry"), "registry"),
            (Some("ci"), "ci"),
            (Some("admin"), "operator"),
        ] {
            let request = Head {
                authorization: bearer.map(|token| format!("Bearer {token}")),
                wish: route.wish,
                ..head(route.method, &example(route))
            };
            let allowed = match route.who {
                Who::Anyone | Who::RegistryWriterOrOwner => true,
                // Judged by the identities, when the body is read.
                Who::Peer | Who::PeerOrLater | Who::PeerOrRegistryWriter | Who::RemoteServer | Who::BillingUser => true,
                Who::Signer => true,
                Who::RegistryWriter => matches!(name, "registry" | "operator"),
                Who::Ci => name == "ci",
                Who::Operator | Who::PushOperator => name == "operator",
            };
            let expected = if allowed { 200 } else { 401 };
            assert_eq!(status(&request, &settings), expected, "{:?} as {name}", route.template);
            cells += 1;
        }
    }
    assert!(cells >= 70, "{cells} cells");
}

#[test]
fn only_proven_callers_reach_an_object_as_more_than_anonymous() {
    let settings = settings(SECRETS);
    let principal = |token: Option<&str>| {
        let request =
            Head { authorization: token.map(|token| format!("Bearer {token}")), ..head(Method::Delete, "/servers/x") };
        match go(&request, &settings).unwrap().step {
            Step::Object { call, .. } => (call.principal, call.bearer),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(principal(None), (Principal::Anonymous, None));
    assert_eq!(principal(Some("other")), (Principal::Anonymous, Some(String::from("other"))));
    // A secret that was recognised travels no further.
    assert_eq!(principal(Some("registry")), (Principal::RegistryWriter, None));
    assert_eq!(principal(Some("admin")), (Principal::Operator, None));
}

#[test]
fn every_row_that_needs_a_peer_goes_through_the_room_that_finds_out_who_it_is() {
    let settings = settings(SECRETS);
    let peers = |route: &&Route| matches!(route.who, Who::Peer | Who::PeerOrLater | Who::PeerOrRegistryWriter);
    let rows: Vec<_> = ROUTES.iter().filter(peers).collect();
    assert!(rows.len() >= 20);
    for route in rows {
        assert_eq!(route.dialect, Dialect::Detail, "{}", route.template);
        for (token, principal, travels) in [
            ("wrong", Principal::Anonymous, true),
            ("admin", Principal::Operator, false),
            ("registry", Principal::RegistryWriter, false),
        ] {
            let request = Head {
                authorization: Some(format!("Bearer {token}")),
                wish: route.wish,
                ..head(route.method, &example(route))
            };
            let Step::Room { call, .. } = go(&request, &settings).unwrap().step else { panic!("{}", route.template) };
            let expected = if route.who == Who::PeerOrRegistryWriter { principal } else { Principal::Anonymous };
            assert_eq!((call.principal, &call.caller), (expected, &None), "{}", route.template);
            let expected_travel = travels || expected == Principal::Anonymous;
            assert_eq!(call.authorization.is_some(), expected_travel, "{} {token}", route.template);
        }
    }
}

#[test]
fn a_signature_reaches_the_object_of_a_signed_message_and_no_other_and_a_bearer_does_not() {
    let settings = settings(SECRETS);
    let mut signed = 0;
    for route in ROUTES {
        let signature = String::from("t=1,v1=00");
        let authorization = Some(String::from("Bearer admin"));
        let request = Head {
            authorization,
            signature: Some(signature.clone()),
            wish: route.wish,
            ..head(route.method, &example(route))
        };
        let Ok(Entered { step: Step::Object { call, .. } | Step::Room { call, .. }, .. }) = go(&request, &settings)
        else {
            continue;
        };
        if route.who == Who::Signer {
            assert_eq!((call.authorization, call.principal), (Some(signature), Principal::Anonymous));
            signed += 1;
        } else {
            assert_ne!(call.authorization, Some(signature), "{}", route.template);
        }
    }
    assert_eq!(signed, 1);
}

#[test]
fn a_form_token_in_a_header_reaches_the_object_of_billing_users_and_no_other() {
    let settings = settings(SECRETS);
    let mut billing = 0;
    for route in ROUTES {
        let form_token = Some(String::from("a form's token"));
        let request = Head { form_token: form_token.clone(), wish: route.wish, ..head(route.method, &example(route)) };
        let Ok(Entered { step: Step::Object { call, .. } | Step::Room { call, .. }, .. }) = go(&request, &settings)
        else {
            continue;
        };
        assert_eq!(call.authorization == form_token, route.who == Who::BillingUser, "{}", route.template);
        billing += usize::from(route.who == Who::BillingUser);
    }
    assert!(billing >= 8, "{billing}");
}

#[test]
fn party_routes_are_refused_in_their_clients_envelope() {
    let settings = settings(SECRETS);
    let refused = go(&head(Method::Other, "/parties/x/join"), &settings).unwrap_err();
    let reply = refuse(refused.problem, dialect_of(refused.route, "/"), "r");
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(reply.body, r#"{"detail":"Method Not Allowed"}"#);
}

#[test]
fn the_bouncer_refuses_a_wrong_method_before_it_asks_who_calls() {
    let settings = settings(SECRETS);
    for route in ROUTES.iter().filter(|route| route.dialect == Dialect::Push) {
        let refused = go(&head(Method::Delete, route.template), &settings).unwrap_err();
        let reply = refuse(refused.problem, dialect_of(refused.route, "/"), "r");
        assert_eq!(reply.status, 405, "{}", route.template);
        assert!(reply.body.contains("allowed_methods"), "{}", reply.body);
        let Step::Answer(options) = go(&head(Method::Options, route.template), &settings).unwrap().step else {
            panic!("{}", route.template)
        };
        assert_eq!(options.status, 204);
        assert!(options.header("Allow").unwrap().contains(route.method.name()));
    }
}

#[test]
fn unknown_paths_are_404_and_unknown_methods_405_with_the_methods_there_are() {
    let settings = settings(SECRETS);
    for path in ["/nothing", "/health/", "/serversfoo", "/servers/", "//", "/servers/a/b", "/signal/", "/signal/a/b"] {
        assert_eq!(status(&head(Method::Get, path), &settings), 404, "{path}");
    }
    for (method, path, allow) in [
        (Method::Post, "/health", "GET, HEAD, OPTIONS"),
        (Method::Put, "/servers", "GET, HEAD, POST, OPTIONS"),
        // Fits `/servers/{serverId}` too.
        (Method::Get, "/servers/heartbeat", "POST, DELETE, OPTIONS"),
        (Method::Post, "/servers/x", "DELETE, OPTIONS"),
        (Method::Other, "/", "GET, HEAD, OPTIONS"),
    ] {
        let reply = go(&head(method, path), &settings).unwrap_err().problem.into_reply("r");
        assert_eq!((reply.status, reply.header("Allow").map(str::to_owned)), (405, Some(allow.to_owned())), "{path}");
    }
}

#[test]
fn every_path_takes_options_and_every_get_takes_head() {
    let settings = settings(SECRETS);
    assert_eq!(status(&head(Method::Options, "/no/such/path"), &settings), 200);
    for route in ROUTES
        .iter()
        .filter(|route| route.method == Method::Get && route.wish == Wish::Answer && route.who == Who::Anyone)
    {
        let request = head(Method::Head, &example(route));
        assert_ne!(status(&request, &settings), 405, "{}", route.template);
    }
}

#[test]
fn a_plain_request_to_a_socket_path_is_told_to_upgrade() {
    let settings = settings(SECRETS);
    let reply = go(&head(Method::Get, "/signal/a"), &settings).unwrap_err().problem.into_reply("r");
    assert_eq!((reply.status, reply.header("Upgrade")), (426, Some("websocket")));
}

#[test]
fn pages_of_foreign_origins_open_no_sockets() {
    let settings = settings(SECRETS);
    let open = |origin: Option<&str>| {
        let request = Head { wish: Wish::Socket, origin: origin.map(str::to_owned), ..head(Method::Get, "/ws") };
        status(&request, &settings)
    };
    assert_eq!(
        (open(None), open(Some("https://app.example")), open(Some("https://evil.example")), open(Some("null"))),
        (200, 200, 403, 403)
    );
}

#[test]
fn rooms_have_names_of_1_to_128_characters_and_are_not_the_lobby() {
    let settings = settings(SECRETS);
    let open = |path: &str| go(&Head { wish: Wish::Socket, ..head(Method::Get, path) }, &settings);
    let name = |path: &str| match open(path).unwrap().step {
        Step::Object { name, .. } => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name("/client"), "lobby");
    assert_eq!(name("/signal/lobby"), "room/lobby");
    assert_eq!(name("/signal/a%2Fb"), "room/a/b");
    assert!(open(&format!("/signal/{}", "r".repeat(128))).is_ok());
    for bad in [format!("/signal/{}", "r".repeat(129)), String::from("/signal/%zz")] {
        assert_eq!(open(&bad).unwrap_err().problem.into_reply("r").status, 400, "{bad}");
    }
}

#[test]
fn a_declared_length_is_refused_one_byte_past_the_limit() {
    let settings = settings(SECRETS);
    let post = |length| {
        let request = Head {
            content_length: Some(length),
            authorization: Some(String::from("Bearer registry")),
            ..head(Method::Post, "/servers")
        };
        status(&request, &settings)
    };
    assert_eq!((post(4096), post(4097)), (200, 413));
}

#[test]
fn a_target_beyond_4096_bytes_is_refused() {
    let settings = settings(SECRETS);
    assert_eq!(status(&head(Method::Get, &format!("/{}", "a".repeat(4095))), &settings), 404);
    assert_eq!(status(&head(Method::Get, &format!("/{}", "a".repeat(4096))), &settings), 414);
}

#[test]
fn a_malformed_setting_closes_every_door_but_health() {
    let problems = [SettingProblem { name: "DEV_MODE", expected: "true or false" }];
    for route in ROUTES {
        let request = Head { wish: route.wish, ..head(route.method, &example(route)) };
        let outcome = enter(&request, Err(&problems), NOW).unwrap();
        if route.operation == Operation::Health {
            assert!(outcome.is_ok());
        } else {
            let reply = outcome.unwrap_err().problem.into_reply("r");
            assert_eq!(reply.status, 503, "{}", route.template);
            assert!(reply.body.contains("misconfigured"), "{}", route.template);
        }
    }
}

fn finished(reply: Reply, head: &Head, standing: Standing) -> (u16, Vec<(String, String)>, Option<String>) {
    let done = finish(reply, head, standing, Some(&settings(SECRETS)));
    let headers = done.entity_headers.into_iter().chain(done.request_headers);
    (done.status, headers.map(|(name, value)| (name.into_owned(), value)).collect(), done.body)
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_current_copy_is_answered_with_304_and_no_body() {
    let reply = || Reply::json_text(String::from("{}")).with_header("ETag", "\"abc\"");
    for (tag, expected) in
        [("\"abc\"", 304), ("W/\"abc\"", 304), ("\"x\", \"abc\"", 304), ("*", 304), ("\"abcd\"", 200), ("abc", 200)]
    {
        let request = Head { if_none_match: Some(tag.to_owned()), ..head(Method::Get, "/servers") };
        let (status, headers, body) = finished(reply(), &request, Standing::Off);
        assert_eq!((status, body.is_none()), (expected, expected == 304), "{tag}");
        assert_eq!(value(&headers, "ETag"), Some("\"abc\""));
    }
    let request = Head { if_none_match: Some(String::from("*")), ..head(Method::Post, "/servers") };
    assert_eq!(finished(reply(), &request, Standing::Off).0, 200, "only reads have copies");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let (status, headers, body) =
        finished(Reply::json_text(String::from("{}")), &head(Method::Head, "/"), Standing::Off);
    assert_eq!((status, body), (200, None));
    assert_eq!(value(&headers, "Content-Type"), Some("application/json"));
}

#[test]
fn origins_are_named_only_when_allowed() {
    let of = |origin: &str| {
        let request = Head { origin: Some(origin.to_owned()), ..head(Method::Get, "/") };
        let (_, headers, _) = finished(Reply::empty(200), &request, Standing::Off);
        value(&headers, "Access-Control-Allow-Origin").map(str::to_owned)
    };
    assert_eq!(of("https://app.example").as_deref(), Some("https://app.example"));
    assert_eq!(of("https://evil.example"), None);
}

#[test]
fn clients_are_told_their_limit_and_when_to_come_back() {
    let passed = Standing::Passed { limit: 600, remaining: 599, reset_s: 1 };
    let (_, headers, _) = finished(Reply::empty(200), &head(Method::Get, "/"), passed);
    assert_eq!(value(&headers, "RateLimit-Policy"), Some("\"client\";q=600;w=60"));
    assert_eq!(value(&headers, "RateLimit"), Some("\"client\";r=599;t=1"));
    let refused = Standing::Refused { limit: 600, retry_after_s: 7 };
    let (_, headers, _) = finished(Reply::empty(429), &head(Method::Get, "/"), refused);
    assert_eq!((value(&headers, "Retry-After"), value(&headers, "RateLimit")), (Some("7"), Some("\"client\";r=0;t=7")));
}

#[test]
fn pages_are_refused_as_pages() {
    let settings = settings(SECRETS);
    for path in ["/realm/x", "/serverlogin/nothing/here/x", "/remote-billing-login/a/b/c/d", "/billing/x", "/server/"] {
        let refused = go(&head(Method::Get, path), &settings).unwrap_err();
        let reply = refuse(refused.problem, dialect_of(refused.route, path), "r-<1>");
        assert_eq!((reply.status, reply.media), (404, Media::Html), "{path}");
        assert!(reply.body.contains("r-&lt;1&gt;") && reply.header("Content-Security-Policy").is_some());
    }
    let refused = go(&head(Method::Delete, "/serverlogin/"), &settings).unwrap_err();
    let reply = refuse(refused.problem, dialect_of(refused.route, "/serverlogin/"), "r-1");
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, HEAD, POST, OPTIONS")));
    let refused = go(&head(Method::Get, "/json/realm/x/billing/plan"), &settings).unwrap_err();
    let reply = refuse(refused.problem, dialect_of(refused.route, "/json/realm/x/billing/plan"), "r-1");
    assert_eq!((reply.status, reply.media, reply.header("Allow")), (405, Media::Json, Some("PATCH, OPTIONS")));
}

#[test]
fn slashes_at_the_end_of_pages_count() {
    let settings = settings(SECRETS);
    for (path, status_wanted) in [
        ("/serverlogin/", 200),
        ("/serverlogin", 404),
        ("/realm/x/plans/", 200),
        ("/realm/x/plans", 404),
        ("/remote-billing-login/x", 200),
        ("/remote-billing-login/x/", 404),
        ("/remote-billing-login/do_confirm/x", 200),
        ("/serverlogin/deactivate", 200),
    ] {
        assert_eq!(status(&head(Method::Get, path), &settings), status_wanted, "{path}");
    }
}

#[test]
fn looking_at_a_page_by_head_uses_no_link_up() {
    let settings = settings(SECRETS);
    let rows = ROUTES.iter().filter(|route| route.dialect == Dialect::Page && route.method == Method::Get);
    let mut seen = 0;
    for route in rows {
        let Step::Answer(reply) = go(&head(Method::Head, &example(route)), &settings).unwrap().step else {
            panic!("{} asks an object", route.template)
        };
        assert_eq!((reply.status, reply.body.as_str()), (200, ""));
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn cookies_reach_the_billing_room_and_nobody_else() {
    let settings = settings(SECRETS);
    for route in ROUTES {
        let request = Head {
            wish: route.wish,
            cookie: Some(String::from("a=b")),
            origin: Some(String::from("https://app.example")),
            authorization: Some(String::from("Bearer admin")),
            ..head(route.method, &example(route))
        };
        let call = match go(&request, &settings).map(|entered| entered.step) {
            Ok(Step::Object { call, .. } | Step::Room { call, .. } | Step::Overview { call }) => call,
            Ok(Step::EveryClass { call }) => call,
            Ok(Step::Answer(_)) | Err(_) => continue,
        };
        let wanted = route.to == To::Room(Room::Billing) || route.operation == Operation::PushBilling;
        if route.operation == Operation::OperatorDeactivationLink {
            let bare = Browser { base: String::from("https://edge.example"), ..Browser::default() };
            assert_eq!(call.browser, Some(bare), "where a link leads, and nothing more");
            continue;
        }
        assert_eq!(call.browser.is_some(), wanted, "{}", route.template);
        if let Some(browser) = call.browser {
            assert_eq!(browser.base, "https://edge.example");
            assert_eq!(
                (browser.cookie.as_deref(), browser.origin.as_deref()),
                (Some("a=b"), Some("https://app.example"))
            );
        }
    }
}

#[test]
fn other_pages_may_ask_to_patch() {
    let (_, headers, _) = finished(Reply::empty(200), &head(Method::Options, "/"), Standing::Off);
    assert!(value(&headers, "Access-Control-Allow-Methods").unwrap().split(", ").any(|name| name == "PATCH"));
    assert_eq!((Method::parse("PATCH"), Method::Patch.name()), (Method::Patch, "PATCH"));
}
