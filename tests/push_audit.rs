//! The audit logs: nothing that anybody asks for changes or removes an entry of ours, and a remote row stands there once.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod push_world;

use std::collections::{BTreeMap, BTreeSet};

use push_world::support::{body, call};
use push_world::{
    REALM, USER, UUID_A, UUID_B, World, as_server, form_call, json_call, notification, realm, registration, upload,
};
use serde_json::{Value, json};
use waystation::front::routes::{ROUTES, Route};
use waystation::kernel::object::{Browser, Call, Principal};
use waystation::kernel::operation::{Class, Operation as Op};
use waystation::kernel::secret::Secret;
use waystation::kernel::signed::sign;
use waystation::kernel::sql::{Row, Sql, Statement};
use waystation::push::retention::Limits;

const DAY: u64 = 24 * 3_600_000;
const SECRET: &str = "the payment system's key";
const OTHER: &str = "aaaaaaaa-1f7e-4978-9716-000000000002";
const SERVERS: [&str; 2] = [UUID_A, UUID_B];
const REALMS: [&str; 2] = [REALM, OTHER];

const OURS: &str =
    "SELECT audit_id, 0, NULL, 0, event_time, event_type, extra, actor FROM server_audit ORDER BY audit_id";
const OURS_OF_REALMS: &str = "SELECT audit_id, backfilled, realm_uuid, ifnull(number, -1), event_time, event_type, extra, \
    actor FROM realm_audit WHERE remote_id IS NULL ORDER BY audit_id";
const UPLOADED: &str = "SELECT audit_id, remote_id, number, event_time, backfilled, event_type, extra, actor \
    FROM realm_audit WHERE remote_id IS NOT NULL ORDER BY audit_id";

fn world() -> World {
    let mut world = World::with(&[
        ("PUSH_BILLING_KEY", SECRET),
        ("PUSH_BILLING_WEBHOOK_URL", "https://pay.example/hook"),
        ("MAIL_WEBHOOK_URL", "https://mail.example/send"),
        ("MAIL_WEBHOOK_SECRET", "hush"),
        ("BILLING_HOST", "push.example.org"),
    ]);
    for server in SERVERS {
        world.register(server);
    }
    world.upload(UUID_A, &REALMS);
    world.wait(10_000);
    // Small, so that uploaded rows are swept beside ours all the time.
    world.limit(Limits { audit_rows: 20, count_rows: 20, swept_rows: 7, ..Limits::default() });
    world
}

fn read(world: &World, server: &str, sql: &'static str) -> Vec<Row> {
    world.servers[server].database.read(Statement::plain(sql)).unwrap()
}

/// What has been written so far, to be compared with what stands there later.
#[derive(Default)]
struct Witness {
    ours: BTreeMap<(&'static str, &'static str), Vec<Row>>,
    uploaded: BTreeMap<(&'static str, i64), Row>,
}

impl Witness {
    #[track_caller]
    fn look(&mut self, world: &World, step: &str) {
        for server in SERVERS {
            for sql in [OURS, OURS_OF_REALMS] {
                let now = read(world, server, sql);
                let before = self.ours.insert((server, sql), now.clone()).unwrap_or_default();
                assert!(now.starts_with(&before), "{step} has changed or removed what {server} had noted");
            }
            for row in read(world, server, UPLOADED) {
                let known = self.uploaded.insert((server, row.integer(0).unwrap()), row.clone());
                assert!(known.is_none_or(|known| known == row), "{step} has changed a row of {server}");
            }
        }
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.roll(all.len() as u64)).unwrap()]
    }
}

fn operator(operation: Op, param: &str, wish: &Value) -> Call {
    let body = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
    Call { principal: Principal::Operator, params: vec![param.to_owned()], body, ..call(operation) }
}

fn a_plan(dice: &mut Dice) -> Value {
    match dice.roll(7) {
        0 => json!({ "plan_type": dice.of(&[100, 101, 102]) }),
        1 => json!({ "plan": { "tier": dice.of(&[102, 103, 104]) } }),
        2 => json!({ "plan": { "tier": 104, "licenses": 30 + dice.roll(30), "automanage_licenses": false } }),
        3 => json!({ "plan": { "status": dice.of(&[1, 2, 4, 6, 11]) } }),
        4 => json!({ "plan": { "status": 11 } }),
        5 => json!({ "customer": { "sponsorship_pending": dice.roll(2) == 1 } }),
        _ => json!({ "customer": { "minimum_licenses": dice.roll(50) } }),
    }
}

fn an_upload(dice: &mut Dice, world: &World, ids: &mut BTreeMap<&'static str, u64>) -> Call {
    let server = dice.of(&SERVERS);
    let mut realms = Vec::new();
    for (number, uuid) in REALMS.into_iter().enumerate() {
        if dice.roll(3) > 0 {
            let mut told = realm(number, uuid);
            told["name"] = json!(format!("name {}", dice.roll(3)));
            told["deactivated"] = json!(dice.roll(5) == 0);
            realms.push(told);
        }
    }
    let id = ids.entry(server).or_insert(0);
    let rows: Vec<Value> = (0..dice.roll(12))
        .map(|_| {
            *id += 1;
            let at = world.now.as_millis() / 1_000 + dice.roll(4 * 86_400) - 2 * 86_400;
            let people = dice.roll(60);
            json!({ "id": *id, "realm": dice.roll(3), "event_time": at, "backfilled": false, "event_type": 101,
                "extra_data": { "10": { "11": { "400": people } } } })
        })
        .collect();
    let fields = [("realmauditlog_rows", json!(rows)), ("realms", json!(realms)), ("api_feature_level", json!(400))];
    upload(server, &fields[..usize::try_from(1 + dice.roll(3)).unwrap()])
}

fn is_of_push(route: &Route) -> bool {
    ["/api/v1/remotes", "/v1/push", "/remote-billing", "/realm/", "/server/", "/serverlogin", "/json/"]
        .iter()
        .any(|start| route.template.starts_with(start))
}

/// What removes a server may remove all but the logs; what makes new keys is asked on its own.
const APART: [Op; 2] = [Op::OperatorServerRemove, Op::OperatorRotate];

/// Any route, asked by anybody, with a body that may mean something.
fn anything(dice: &mut Dice) -> Call {
    let routes: Vec<&Route> =
        ROUTES.iter().filter(|route| is_of_push(route) && !APART.contains(&route.operation)).collect();
    let route = dice.of(&routes);
    let wanted = route.template.matches('{').count();
    let params = (0..wanted).map(|_| dice.of(&[UUID_A, UUID_B, REALM, OTHER, "upgrade", "x"]).to_owned()).collect();
    let server = dice.of(&SERVERS);
    let text = match dice.roll(4) {
        0 => String::new(),
        1 => a_plan(dice).to_string(),
        2 => json!({ "server": server, "uuid_owner_secret": "secret" }).to_string(),
        _ => form_call(
            route.operation,
            &[("zulip_org_id", server), ("hostname", "x.example.org"), ("user_id", "1"), ("token", "aa")],
        )
        .body
        .into_iter()
        .map(char::from)
        .collect(),
    };
    let content_type = if text.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let base = String::from("https://push.example.org");
    let browser = Browser { base: base.clone(), cookie: None, origin: Some(base) };
    let asked = Call {
        params,
        query: String::from("property=1day_actives::day"),
        content_type: Some(content_type.to_owned()),
        browser: Some(browser),
        body: text.into_bytes(),
        ..call(route.operation)
    };
    match dice.roll(3) {
        0 => asked,
        1 => as_server(server, asked),
        _ => Call { principal: Principal::Operator, ..asked },
    }
}

fn step(dice: &mut Dice, world: &mut World, ids: &mut BTreeMap<&'static str, u64>) -> String {
    let (server, organization) = (dice.of(&SERVERS), dice.of(&REALMS));
    let asked = match dice.roll(15) {
        0..=2 => an_upload(dice, world, ids),
        3 => operator(Op::OperatorRealmPlan, organization, &a_plan(dice)),
        4 => operator(Op::OperatorServerPlan, server, &a_plan(dice)),
        5 => operator(Op::OperatorDeactivationLink, server, &json!({ "reason": "play" })),
        6 => {
            let change = a_plan(dice);
            let message = json!({ "event": format!("evt_{}", dice.roll(1_000)), "server": server, "realm": organization, "change": change });
            let body = message.to_string().into_bytes();
            let signature = sign(&Secret::new(SECRET.to_owned()), &body, world.now);
            let authorization = Some(signature);
            Call { params: vec![server.to_owned()], authorization, body, ..call(Op::PushBillingEvent) }
        }
        7 => {
            let operation = dice.of(&[Op::OperatorDeactivate, Op::OperatorReactivate, Op::OperatorReactivate]);
            operator(operation, server, &json!({ "reason": "play" }))
        }
        8 => {
            let to = json!({ "server": server, "uuid_owner_secret": "secret" });
            operator(Op::OperatorRealmMove, organization, &to)
        }
        9 => {
            let user = json!({ "uuid": USER, "email": "owner@example.org", "full_name": "Owner" }).to_string();
            let told = realm(0, organization).to_string();
            let base = Some(Browser { base: String::from("https://push.example.org"), ..Browser::default() });
            let form = form_call(Op::PushBilling, &[("user", &user), ("realm", &told)]);
            as_server(server, Call { browser: base, ..form })
        }
        10 => as_server(server, json_call(Op::PushNotify, &notification(1))),
        11 => {
            world.wait(dice.of(&[1_000, 60_000, DAY, 40 * DAY]));
            return String::from("time");
        }
        // A key that an operator has made is nobody's here, so it is not made often.
        12 if dice.roll(20) == 0 => operator(Op::OperatorRotate, server, &Value::Null),
        13 => registration(server, dice.of(&["one.example.org", "two.example.org", "three.example.org"])),
        12 if dice.roll(4) == 0 => {
            world.crash();
            return String::from("a crash");
        }
        _ => anything(dice),
    };
    let status = match world.start(&asked) {
        Ok(reply) => reply.status.to_string(),
        Err((Class::RemoteServer | Class::PushDirectory, ..)) => String::from("no answer yet"),
        Err(other) => panic!("{other:?}"),
    };
    format!("{:?}: {status}", asked.operation)
}

#[test]
fn nothing_that_anybody_asks_for_changes_or_removes_an_entry() {
    let mut events = BTreeSet::new();
    let (mut swept, mut done) = (0, BTreeSet::new());
    for seed in 0..6 {
        let (mut dice, mut world, mut ids) = (Dice(seed), world(), BTreeMap::new());
        let mut witness = Witness::default();
        for _ in 0..250 {
            let told = step(&mut dice, &mut world, &mut ids);
            witness.look(&world, &told);
            done.insert(told);
        }
        let rows = witness.ours.values().flatten();
        events.extend(rows.map(|row| row.integer(5).unwrap()));
        let left: usize = SERVERS.iter().map(|server| read(&world, server, UPLOADED).len()).sum();
        swept += witness.uploaded.len() - left;
    }
    // The play is worth something only when all of this has happened.
    for event in [204, 501, 502, 505, 506, 10_201, 10_202, 10_204, 10_215, 20_001, 20_003, 20_004, 20_005] {
        assert!(events.contains(&event), "no {event} in {events:?}");
    }
    assert!(swept > 200, "{swept} uploaded rows were swept");
    let routes = ROUTES.iter().filter(|route| is_of_push(route)).count();
    let asked: BTreeSet<&str> = done.iter().filter_map(|told| told.split(':').next()).collect();
    assert!(asked.len() > routes * 3 / 4, "{} of {routes} routes: {asked:?}", asked.len());
    assert!(!done.iter().any(|told| told.ends_with(": 500")), "{done:?}");
}

fn refusal(world: &World, sql: &'static str) -> String {
    match world.servers[UUID_A].database.commit(vec![Statement::plain(sql)]) {
        Ok(()) => panic!("{sql} was done"),
        Err(fault) => format!("{fault:?}"),
    }
}

fn uploaded() -> World {
    let mut world = world();
    let row = |id: u64| {
        json!({ "id": id, "realm": 0, "event_time": 1_790_000_000, "backfilled": false,
        "event_type": 101, "extra_data": {} })
    };
    for server in SERVERS {
        let reply = world.send(&upload(server, &[("realmauditlog_rows", json!([row(1), row(2)]))]));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    let plan = operator(Op::OperatorRealmPlan, REALM, &json!({ "plan_type": 102 }));
    assert_eq!(body(&world.send(&plan))["plan_type"], 102);
    world
}

#[test]
fn the_database_itself_refuses_to_change_the_logs() {
    let world = uploaded();
    for sql in [
        "UPDATE server_audit SET extra = '{}'",
        "DELETE FROM server_audit",
        "UPDATE realm_audit SET event_time = 1 WHERE remote_id IS NULL",
        "UPDATE realm_audit SET extra = '' WHERE remote_id IS NOT NULL",
        "DELETE FROM realm_audit WHERE remote_id IS NULL",
        "DELETE FROM realm_audit",
    ] {
        let before = world.dump();
        let said = refusal(&world, sql);
        assert!(said.contains("append-only"), "{sql}: {said}");
        assert_eq!(world.dump(), before, "{sql}");
    }
}

#[test]
fn a_remote_row_stands_in_the_log_of_its_server_once() {
    let world = uploaded();
    let again = "INSERT INTO realm_audit (remote_id, number, event_time, backfilled, event_type, extra, actor) \
        VALUES (2, 7, 1, 0, 101, '{}', 'server')";
    assert!(refusal(&world, again).contains("UNIQUE constraint failed: realm_audit.remote_id"));
    // Each server has a log of its own, and our entries have no such number.
    for server in SERVERS {
        assert_eq!(read(&world, server, UPLOADED).len(), 2, "{server}");
    }
    let ours = "INSERT INTO realm_audit (number, event_time, backfilled, event_type, extra, actor) \
        VALUES (0, 1, 0, 204, '{}', 'clock'), (0, 1, 0, 204, '{}', 'clock')";
    world.servers[UUID_A].database.commit(vec![Statement::plain(ours)]).unwrap();
}
