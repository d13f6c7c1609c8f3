//! What the push tests share: servers and directory shards on stages, with their errands run, and providers that the test
//! scripts.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test is a panic"
)]

#[path = "../push_support/mod.rs"]
pub mod push_support;
#[path = "../support/mod.rs"]
pub mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Stage, body, call, settings};
use waystation::billing;
use waystation::kernel::errand::{Errand, Failure, Fetch, Fetched, Outcome, Ticket};
use waystation::kernel::fault::Fault;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Answer, Call, Restored};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::kernel::settings::Settings;
use waystation::kernel::sql::{Sql, Statement};
use waystation::kernel::time::Timestamp;
use waystation::push::retention::Limits;
use waystation::push::{DIRECTORY_MIGRATIONS, PushDirectory, RemoteServer, address};

pub const UUID_A: &str = "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
pub const UUID_B: &str = "7cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
pub const REALM: &str = "aaaaaaaa-1f7e-4978-9716-49f69ebfc9fe";
pub const USER: &str = "bbbbbbbb-1f7e-4978-9716-49f69ebfc9fe";

/// A key of 64 characters.
pub fn key(letter: char) -> String {
    std::iter::repeat_n(letter, 64).collect()
}

/// What answers outside: nothing means that no answer ever comes.
pub type Outside = Box<dyn FnMut(&Fetch) -> Option<Outcome>>;

/// What becomes of a call between two objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and so does its answer.
    Carried,
    /// It never arrives.
    Lost,
    /// It arrives; its answer does not.
    Unanswered,
    /// Its caller gives up; it arrives when the test says so.
    Late,
}

/// What becomes of calls between objects.
pub type Post = Box<dyn FnMut(&Call) -> Fate>;
thread_local! {
    /// The limits of servers that come to life in this test.
    static LIMITS: Cell<Limits> = const { Cell::new(Limits::REAL) };
}

fn load(settings: Rc<Settings>, sql: &dyn Sql, now: Timestamp, _: Vec<Restored>) -> Result<RemoteServer, Fault> {
    RemoteServer::load_within(settings, sql, now, LIMITS.get())
}

/// Who waits for an answer of an object.
type Place = (Class, String, Ticket);

pub struct World {
    pub settings: Rc<Settings>,
    pub now: Timestamp,
    pub servers: BTreeMap<String, Stage<RemoteServer>>,
    pub shards: BTreeMap<String, Stage<PushDirectory>>,
    pub outside: Outside,
    /// Requests to providers and others, in order.
    pub fetched: Vec<Fetch>,
    /// Calls to the directory are lost while this is set.
    pub directory_is_down: bool,
    /// What becomes of each call between two objects.
    pub post: Post,
    /// Calls that their callers have given up, see [`World::deliver_late`].
    pub late: Vec<(Class, String, Call)>,
    /// Objects lose their memory after every event.
    pub evict_always: bool,
    waiting: BTreeMap<(String, Ticket), Place>,
}

/// Apple's and Google's keys, the specification's registration key, and no resolver.
pub fn all() -> Vec<(String, String)> {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let account = json!({
        "project_id": "project",
        "client_email": "push@project.example",
        "private_key": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        "token_uri": "https://oauth.example/token",
    });
    let keys = json!({ push_support::PUBLIC_KEY: push_support::PRIVATE_KEY });
    [
        ("PUSH_REGISTRATION_KEYS", keys.to_string()),
        ("PUSH_TRANSFER_KEY", "07".repeat(32)),
        ("FCM_SERVICE_ACCOUNT", account.to_string()),
        ("APNS_KEY_P8", push_support::pem_of(&key)),
        ("APNS_KEY_ID", String::from("KEY4567890")),
        ("APNS_TEAM_ID", String::from("TEAM567890")),
        ("DNS_QUERY_URL", String::new()),
        ("FCM_BASE_URL", String::from("https://fcm.example")),
        ("APNS_BASE_URL", String::from("https://apns.example")),
        ("PUSH_VAPID_KEY", "09".repeat(32)),
        ("PUSH_VAPID_SUBJECT", String::from("mailto:push@example.org")),
        ("PUSH_WEB_HOSTS", String::from("push.example")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

pub fn answered(status: u16, body: &str) -> Outcome {
    Outcome::Fetched(Fetched { status, headers: Vec::new(), body: body.as_bytes().to_vec() })
}

pub fn access() -> Outcome {
    answered(200, r#"{"access_token":"ya29.token","expires_in":3600}"#)
}

/// Everything is delivered.
pub fn everything_works() -> Outside {
    Box::new(|fetch| Some(if fetch.url.contains("oauth") { access() } else { answered(200, "{}") }))
}

impl World {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With some settings replaced; an empty one is emptied, `-` removes it.
    pub fn with(changes: &[(&str, &str)]) -> Self {
        let mut pairs = all();
        for (name, value) in changes {
            pairs.retain(|(known, _)| known != name);
            if *value != "-" {
                pairs.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        LIMITS.set(Limits::REAL);
        Self {
            settings: settings(&pairs),
            now: Timestamp::from_millis(1_800_000_000_000),
            servers: BTreeMap::new(),
            shards: BTreeMap::new(),
            outside: everything_works(),
            fetched: Vec::new(),
            directory_is_down: false,
            post: Box::new(|_| Fate::Carried),
            late: Vec::new(),
            evict_always: false,
            waiting: BTreeMap::new(),
        }
    }

    pub fn server(&mut self, name: &str) -> &mut Stage<RemoteServer> {
        let (settings, now, evict) = (self.settings.clone(), self.now, self.evict_always);
        let stage = self.servers.entry(name.to_owned()).or_insert_with(|| Stage::new(settings, &[], load));
        (stage.now, stage.evict_always) = (now, evict);
        stage
    }

    pub fn shard(&mut self, name: &str) -> &mut Stage<PushDirectory> {
        let (settings, now) = (self.settings.clone(), self.now);
        let stage = self
            .shards
            .entry(name.to_owned())
            .or_insert_with(|| Stage::new(settings, DIRECTORY_MIGRATIONS, PushDirectory::load));
        stage.now = now;
        stage
    }

    fn begin(&mut self, class: Class, name: &str, call: &Call) -> Answer {
        match class {
            Class::RemoteServer => self.server(name).begin(call),
            Class::PushDirectory => self.shard(name).begin(call),
            other => panic!("{other:?}"),
        }
    }

    fn tell(&mut self, place: &Place, outcome: Outcome) {
        match place.0 {
            Class::RemoteServer => self.server(&place.1).tell(place.2, outcome),
            _ => self.shard(&place.1).tell(place.2, outcome),
        }
    }

    fn take_errands(&mut self) -> Vec<(Place, Errand)> {
        let mut all = Vec::new();
        for (name, stage) in &mut self.servers {
            let errands = stage.take_errands();
            all.extend(
                errands.into_iter().map(|(ticket, errand)| ((Class::RemoteServer, name.clone(), ticket), errand)),
            );
        }
        for (name, stage) in &mut self.shards {
            let errands = stage.take_errands();
            all.extend(
                errands.into_iter().map(|(ticket, errand)| ((Class::PushDirectory, name.clone(), ticket), errand)),
            );
        }
        all
    }

    /// Runs errands until there are none.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "errands without end");
            let errands = self.take_errands();
            if errands.is_empty() && !self.carry_answers() {
                return;
            }
            for (place, errand) in errands {
                if let Some(outcome) = self.carry_out(&place, errand) {
                    self.tell(&place, outcome);
                }
            }
        }
    }

    fn carry_out(&mut self, place: &Place, errand: Errand) -> Option<Outcome> {
        match errand {
            Errand::SignRs256 { .. } => Some(Outcome::Signed(vec![1, 2, 3])),
            Errand::Fetch(fetch) => {
                let outcome = (self.outside)(&fetch);
                self.fetched.push(*fetch);
                outcome
            }
            Errand::Call { class: Class::PushDirectory, .. } if self.directory_is_down => {
                Some(Outcome::Failed(Failure::Other))
            }
            Errand::Call { class, name, call } => match (self.post)(&call) {
                Fate::Lost => Some(Outcome::Failed(Failure::Other)),
                Fate::Late => {
                    self.late.push((class, name, *call));
                    Some(Outcome::Failed(Failure::TimedOut))
                }
                Fate::Unanswered => {
                    self.begin(class, &name, &call);
                    Some(Outcome::Failed(Failure::Other))
                }
                Fate::Carried => match self.begin(class, &name, &call) {
                    Answer::Now(reply) => Some(Outcome::Replied(reply)),
                    Answer::Later(ticket) => {
                        self.waiting.insert((format!("{} {name}", class.name()), ticket), place.clone());
                        None
                    }
                },
            },
        }
    }

    /// The calls that were given up arrive after all; nobody hears their answers.
    pub fn deliver_late(&mut self) {
        for (class, name, call) in std::mem::take(&mut self.late) {
            self.begin(class, &name, &call);
            self.settle();
        }
    }

    /// Whoever holds an organization: the directory's word, and every server with a row of it.
    pub fn holders(&self, realm: &str) -> (Option<String>, Vec<String>) {
        let shard = waystation::push::directory::shard("realm", realm);
        let read = |database: &support::Database, sql: &'static str| -> Option<String> {
            let rows = database.read(Statement::new(sql, vec![realm.into()])).unwrap();
            rows.first().map(|row| row.text(0).unwrap().to_owned())
        };
        let said = self
            .shards
            .get(&shard)
            .and_then(|stage| read(&stage.database, "SELECT server FROM name WHERE kind = 'realm' AND name = ?1"));
        let with_row = self.servers.iter().filter(|(name, stage)| {
            name.contains('-')
                && self.rows(name, "server") > 0
                && read(&stage.database, "SELECT uuid FROM realm WHERE uuid = ?1").is_some()
        });
        (said, with_row.map(|(name, _)| name.clone()).collect())
    }

    /// Takes answers that were put off to the objects that wait for them.
    fn carry_answers(&mut self) -> bool {
        let mut carried = Vec::new();
        for ((object, ticket), place) in &self.waiting {
            let (class, name) = object.split_once(' ').unwrap();
            let reply = if class == "RemoteServer" {
                self.servers.get_mut(name).and_then(|stage| stage.answer(*ticket))
            } else {
                self.shards.get_mut(name).and_then(|stage| stage.answer(*ticket))
            };
            carried.extend(reply.map(|reply| ((object.clone(), *ticket), place.clone(), reply)));
        }
        let any = !carried.is_empty();
        for (key, place, reply) in carried {
            self.waiting.remove(&key);
            self.tell(&place, Outcome::Replied(reply));
        }
        any
    }

    /// A request from outside, as far as it is answered without time passing.
    pub fn start(&mut self, call: &Call) -> Result<Reply, (Class, String, Ticket)> {
        let is_page = billing::handles(call.operation);
        let addressed = if is_page { billing::address(&self.settings, call) } else { address(&self.settings, call) };
        let (class, name) = match addressed {
            Ok(place) => place,
            Err(reply) => return Ok(reply),
        };
        let ticket = match self.begin(class, &name, call) {
            Answer::Now(reply) => {
                self.settle();
                return Ok(reply);
            }
            Answer::Later(ticket) => ticket,
        };
        self.settle();
        let place = (class, name, ticket);
        self.answer(&place).ok_or(place)
    }

    pub fn answer(&mut self, place: &Place) -> Option<Reply> {
        match place.0 {
            Class::RemoteServer => self.server(&place.1).answer(place.2),
            _ => self.shard(&place.1).answer(place.2),
        }
    }

    #[track_caller]
    pub fn send(&mut self, call: &Call) -> Reply {
        self.start(call).unwrap_or_else(|place| panic!("no answer from {place:?}"))
    }

    /// Lets `ms` pass; alarms ring when they are due, and what they ask for is done.
    pub fn wait(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        for round in 0.. {
            assert!(round < 50_000, "alarms without end");
            let servers = self.servers.iter().filter_map(|(name, stage)| {
                use waystation::kernel::object::Object as _;
                stage.object.deadline().map(|at| (at, Class::RemoteServer.name(), name.clone()))
            });
            let shards = self.shards.iter().filter_map(|(name, stage)| {
                use waystation::kernel::object::Object as _;
                stage.object.deadline().map(|at| (at, Class::PushDirectory.name(), name.clone()))
            });
            let Some((at, class, name)) = servers.chain(shards).min().filter(|(at, ..)| *at <= end) else { break };
            self.now = self.now.max(at);
            if class == "RemoteServer" {
                self.server(&name).ring();
            } else {
                self.shard(&name).ring();
            }
            self.settle();
        }
        self.now = end;
    }

    /// The process dies: memory, errands and callers are gone.
    pub fn crash(&mut self) {
        self.waiting.clear();
        let now = self.now;
        self.servers.values_mut().for_each(|stage| {
            stage.now = now;
            stage.crash();
        });
        self.shards.values_mut().for_each(|stage| {
            stage.now = now;
            stage.crash();
        });
    }

    /// Everything that is stored.
    pub fn dump(&self) -> Vec<String> {
        let servers = self.servers.iter().flat_map(|(name, stage)| lines(name, stage.database.dump()));
        let shards = self.shards.iter().flat_map(|(name, stage)| lines(name, stage.database.dump()));
        servers.chain(shards).collect()
    }

    /// Rows of a table of a server.
    pub fn rows(&self, server: &str, table: &str) -> usize {
        let dump = self.servers[server].database.dump();
        dump.iter().filter(|line| line.starts_with(&format!("{table}: "))).count()
    }

    /// Registers a server that must be taken, with a host name of its own.
    #[track_caller]
    pub fn register(&mut self, uuid: &str) {
        let label = uuid.split('-').next().unwrap();
        let reply = self.send(&registration(uuid, &format!("{label}.example.org")));
        assert_eq!(reply.status, 200, "{}", reply.body);
        // Nobody may push whose people are not known.
        let form = [
            ("realm_counts", "[]"),
            ("installation_counts", "[]"),
            ("realmauditlog_rows", "[]"),
            ("api_feature_level", "400"),
        ];
        let reply = self.send(&as_server(uuid, form_call(Operation::PushAnalytics, &form)));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// From now on servers live within these limits.
    pub fn limit(&mut self, limits: Limits) {
        LIMITS.set(limits);
        self.crash();
    }

    /// Reports an organization of a server.
    pub fn upload(&mut self, uuid: &str, realms: &[&str]) -> Reply {
        let realms: Vec<Value> = realms.iter().enumerate().map(|(id, uuid)| realm(id, uuid)).collect();
        let realms = Value::from(realms).to_string();
        let form = [("realm_counts", "[]"), ("installation_counts", "[]"), ("realms", &realms)];
        self.send(&as_server(uuid, form_call(Operation::PushAnalytics, &form)))
    }

    pub fn register_device(&mut self, uuid: &str, form: &[(&str, &str)]) -> Reply {
        self.send(&as_server(uuid, form_call(Operation::PushDeviceRegister, form)))
    }

    /// A device of [`USER`].
    #[track_caller]
    pub fn device(&mut self, uuid: &str, kind: &str, token: &str) {
        let form = [("user_uuid", USER), ("token", token), ("token_kind", kind), ("ios_app_id", "org.example.App")];
        let reply = self.register_device(uuid, &form);
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

const INDEX_FOLLOWS: [&str; 7] =
    ["schema_version", "announcement", "server_index", "realm_index", "index_", "sqlite_sequence", "server_gone"];

fn lines(name: &str, dump: Vec<String>) -> Vec<String> {
    // What the operators' index knows follows by itself, whenever that is.
    let stays = |line: &String| !INDEX_FOLLOWS.iter().any(|word| line.starts_with(word));
    dump.into_iter().filter(stays).map(|line| format!("{name} {line}")).collect()
}

/// An upload of a server; tables that are not given are empty.
pub fn upload(uuid: &str, fields: &[(&str, Value)]) -> Call {
    let texts: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, value.to_string())).collect();
    let mut form: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    for table in ["realm_counts", "installation_counts"] {
        if !form.iter().any(|(name, _)| *name == table) {
            form.push((table, "[]"));
        }
    }
    as_server(uuid, form_call(Operation::PushAnalytics, &form))
}

pub fn realm(id: usize, uuid: &str) -> Value {
    json!({
        "id": id, "host": "chat.example.org", "url": "https://chat.example.org", "name": "Chat", "org_type": 0,
        "date_created": 1.5, "deactivated": false, "is_system_bot_realm": false, "authentication_methods": {},
        "uuid": uuid, "uuid_owner_secret": "secret", "new_member": 1,
    })
}

pub fn form_call(operation: Operation, form: &[(&str, &str)]) -> Call {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let content_type = Some(String::from("application/x-www-form-urlencoded"));
    Call {
        body: body.into_bytes(),
        content_type,
        client: ClientNetwork::from_header(Some("203.0.113.1")),
        ..call(operation)
    }
}

pub fn json_call(operation: Operation, body: &Value) -> Call {
    let content_type = Some(String::from("application/json"));
    Call { body: body.to_string().into_bytes(), content_type, ..call(operation) }
}

pub fn basic(username: &str, key: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(format!("{username}:{key}"))))
}

/// The call with a server's credentials, as [`registration`] makes them.
pub fn as_server(uuid: &str, call: Call) -> Call {
    Call { authorization: basic(uuid, &key('k')), ..call }
}

pub fn registration(uuid: &str, hostname: &str) -> Call {
    let form = [
        ("zulip_org_id", uuid),
        ("zulip_org_key", &key('k')),
        ("hostname", hostname),
        ("contact_email", "admin@example.org"),
    ];
    form_call(Operation::PushServerRegister, &form)
}

/// Asserts a refusal: status, code and sentence.
#[track_caller]
pub fn refused(reply: &Reply, status: u16, code: &str, msg: &str) {
    assert!(reply.body.ends_with("}\n"), "{:?}", reply.body);
    let problem = body(reply);
    let found = (reply.status, problem["code"].as_str().unwrap_or(""), problem["msg"].as_str().unwrap_or(""));
    assert_eq!(found, (status, code, msg));
    assert_eq!(problem["result"], "error");
}

/// Asserts a success and returns its members.
#[track_caller]
pub fn accepted(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.ends_with("}\n"), "{:?}", reply.body);
    let success = body(reply);
    assert_eq!((success["result"].as_str(), success["msg"].as_str()), (Some("success"), Some("")));
    success
}

/// A notification for [`USER`].
pub fn notification(number: usize) -> Value {
    json!({
        "user_uuid": USER,
        "gcm_payload": { "event": "message", "number": number },
        "apns_payload": { "alert": "x", "custom": { "zulip": { "number": number } } },
        "gcm_options": { "priority": "high" },
    })
}

/// Which device and which number a provider was sent.
pub fn delivered(fetch: &Fetch) -> Option<(String, u64)> {
    let body: Value = serde_json::from_slice(&fetch.body).ok()?;
    if let Some(token) = fetch.url.strip_prefix("https://apns.example/3/device/") {
        return Some((token.to_owned(), body["zulip"]["number"].as_u64()?));
    }
    let message = &body["message"];
    Some((message["token"].as_str()?.to_owned(), message["data"]["number"].as_str()?.parse().ok()?))
}
