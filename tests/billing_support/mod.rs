//! A host for the billing desk: registrations, customers and plans in tables of its own, and browsers to visit it with.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::rc::Rc;

use waystation::billing::change::{PlanChange, Request};
use waystation::billing::customer::{
    Account, Customer, Invoice, Licensing, Plan, RealmFacts, Registration, Schedule, ServerFacts,
};
use waystation::billing::identity::Subject;
use waystation::billing::standing::{Asked, Kind};
use waystation::billing::user::BillingUser;
use waystation::billing::{self, Adopted, BillingDesk, Books, BooksStop, Entered, HandOff, Known, MailId, Step, Work};
use waystation::kernel::errand::{Errand, Failure, Fetched, Outcome, Ticket};
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::Migration;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Answer, Browser, Call, Object, Restored, Turn};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::{Media, Reply};
use waystation::kernel::settings::Settings;
use waystation::kernel::sql::{Row, Sql, Statement};
use waystation::kernel::time::Timestamp;
use waystation::push::credential::KeyHash;
use waystation::push::refusal::Refusal;
use waystation::push::uuid::Uuid;
use waystation::push::wire::envelope;

use crate::support::{Stage, call, settings};

pub const SERVER: &str = "6cde5f7a-1f7e-4978-9716-49f69ebfc9fe";
pub const REALM: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub const OTHER: &str = "bbbbbbbb-0000-4000-8000-000000000002";
pub const ADA: &str = "cccccccc-0000-4000-8000-000000000003";
pub const KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
pub const BASE: &str = "https://push.example.org";
pub const HOUR_MS: u64 = 3_600_000;

pub const SETTINGS: &[(&str, &str)] = &[
    ("PUSH_TRANSFER_KEY", "0707070707070707070707070707070707070707070707070707070707070707"),
    ("MAIL_WEBHOOK_URL", "https://mail.example/send"),
    ("MAIL_WEBHOOK_SECRET", "hush"),
    ("BILLING_HOST", "push.example.org"),
];

const HOST_TABLES: &str = "CREATE TABLE host_owner (owner TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, \
    plan_type INTEGER NOT NULL, deactivated INTEGER NOT NULL, human INTEGER NOT NULL) STRICT;\n\
    CREATE TABLE host_customer (owner TEXT NOT NULL PRIMARY KEY, pending INTEGER NOT NULL, payment INTEGER NOT NULL) STRICT;\n\
    CREATE TABLE host_plan (owner TEXT NOT NULL PRIMARY KEY, tier INTEGER NOT NULL, status INTEGER NOT NULL, \
    schedule INTEGER NOT NULL, manual INTEGER NOT NULL, licenses INTEGER NOT NULL, renewal INTEGER NOT NULL) STRICT;\n\
    CREATE TABLE host_invoice (owner TEXT NOT NULL, kind TEXT NOT NULL) STRICT;\n\
    CREATE TABLE host_audit (event INTEGER NOT NULL, owner TEXT NOT NULL, by TEXT NOT NULL) STRICT;\n";

pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "billing", sql: billing::SCHEMA },
    Migration { version: 2, name: "host", sql: HOST_TABLES },
];

/// The books in the host's tables. The server's own row is the one of its uuid.
pub struct Tables;

fn rows(sql: &dyn Sql, text: &'static str, owner: &str) -> Result<Vec<Row>, Fault> {
    sql.read(Statement::new(text, vec![owner.into()]))
}

fn plan_of(sql: &dyn Sql, owner: &str) -> Result<Option<Plan>, Fault> {
    let found =
        rows(sql, "SELECT tier, status, schedule, manual, licenses, renewal FROM host_plan WHERE owner = ?1", owner)?;
    let read = |row: &Row| {
        Ok(Plan {
            tier: u32::try_from(row.unsigned(0)?).unwrap(),
            status: u32::try_from(row.unsigned(1)?).unwrap(),
            schedule: Schedule::parse(row.unsigned(2)?).unwrap(),
            licensing: if row.integer(3)? == 1 { Licensing::Manual } else { Licensing::Automatic },
            licenses: row.unsigned(4)?,
            licenses_at_next_renewal: row.unsigned(5)?,
            renews_at: Some(Timestamp::from_millis(1_830_000_000_000)),
        })
    };
    found.first().map(read).transpose()
}

fn account(sql: &dyn Sql, owner: &str) -> Result<Option<(String, Account)>, Fault> {
    let found = rows(sql, "SELECT host, plan_type, deactivated FROM host_owner WHERE owner = ?1", owner)?;
    let Some(row) = found.first() else { return Ok(None) };
    let plan = plan_of(sql, owner)?;
    let customer = rows(sql, "SELECT pending, payment FROM host_customer WHERE owner = ?1", owner)?;
    let customer = customer.first().map(|row| Customer {
        sponsorship_pending: row.integer(0).unwrap() == 1,
        is_known_to_payment: row.integer(1).unwrap() == 1,
        plan,
    });
    let registration = if row.integer(2)? == 0 { Registration::Active } else { Registration::Deactivated };
    let plan_type = u32::try_from(row.unsigned(1)?).unwrap();
    Ok(Some((row.text(0)?.to_owned(), Account { plan_type, registration, customer })))
}

fn audit(event: i64, owner: &str, by: &str) -> Statement {
    Statement::new(
        "INSERT INTO host_audit (event, owner, by) VALUES (?1, ?2, ?3)",
        vec![event.into(), owner.into(), by.into()],
    )
}

impl Books for Tables {
    fn server(&self, sql: &dyn Sql) -> Result<Option<ServerFacts>, Fault> {
        let server = |(hostname, account)| ServerFacts { uuid: uuid(SERVER), hostname, key: KeyHash::of(KEY), account };
        Ok(account(sql, SERVER)?.map(server))
    }

    fn realm(&self, sql: &dyn Sql, realm: &Uuid) -> Result<Option<RealmFacts>, Fault> {
        let facts = |(host, account)| RealmFacts { uuid: realm.clone(), host, name: String::from("Realm"), account };
        Ok(account(sql, realm.as_str())?.map(facts))
    }

    fn has_realm_plan(&self, sql: &dyn Sql) -> Result<bool, Fault> {
        Ok(!rows(sql, "SELECT 1 FROM host_plan WHERE owner <> ?1", SERVER)?.is_empty())
    }

    fn invoices(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Invoice>, Fault> {
        let of = rows(sql, "SELECT kind FROM host_invoice WHERE owner = ?1", subject.uuid().as_str())?;
        let invoice = |(number, row): (usize, &Row)| {
            Ok(Invoice {
                number: number as u64 + 1,
                made_at: Timestamp::from_millis(1_799_000_000_000),
                kind: row.text(0)?.to_owned(),
                what: String::from("Basic <plan>"),
                period_start: Timestamp::from_millis(1_799_000_000_000),
                period_end: Timestamp::from_millis(1_801_592_000_000),
                licenses: 12,
                amount: 4_205,
                discount: 2_000,
            })
        };
        of.iter().enumerate().map(invoice).collect()
    }

    fn requests(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Asked>, Fault> {
        let text = "SELECT event, max(rowid), by FROM host_audit WHERE owner = ?1 GROUP BY event ORDER BY 2 DESC";
        let asked = |row: &Row| {
            let kind = match row.integer(0)? {
                501 => Kind::Upgrade,
                213 => Kind::Sponsorship,
                _ => Kind::Change,
            };
            let at = Timestamp::from_millis(1_800_000_000_000);
            Ok(Asked { kind, at, by: row.text(2)?.to_owned(), answered_at: None })
        };
        rows(sql, text, subject.uuid().as_str())?.iter().map(asked).collect()
    }

    /// As a host may decide: the plan of a server with one open organization becomes that one's.
    fn adopt(&self, sql: &dyn Sql, _: Timestamp, realm: &Uuid) -> Result<Adopted, BooksStop> {
        let open =
            rows(sql, "SELECT owner FROM host_owner WHERE owner <> ?1 AND human = 1 AND deactivated = 0", SERVER)?;
        let is_alone = open.len() == 1 && open[0].text(0)? == realm.as_str();
        let Some(plan) = plan_of(sql, SERVER)?.filter(|_| is_alone) else { return Ok(Adopted::Nothing) };
        if plan_of(sql, realm.as_str())?.is_some() {
            return Err(BooksStop::Irreconcilable);
        }
        let (_, server) = account(sql, SERVER)?.unwrap();
        let has_customer = !rows(sql, "SELECT 1 FROM host_customer WHERE owner = ?1", realm.as_str())?.is_empty();
        let params = || vec![realm.as_str().into(), SERVER.into()];
        let mut statements = vec![
            Statement::new(
                "UPDATE host_owner SET plan_type = (SELECT plan_type FROM host_owner WHERE owner = ?2) WHERE owner = ?1",
                params(),
            ),
            Statement::new("UPDATE host_owner SET plan_type = 100 WHERE owner = ?1", vec![SERVER.into()]),
            Statement::new("UPDATE host_plan SET owner = ?1 WHERE owner = ?2", params()),
            audit(20_002, realm.as_str(), "owner"),
        ];
        if !has_customer {
            statements.push(Statement::new("UPDATE host_customer SET owner = ?1 WHERE owner = ?2", params()));
        }
        let customer = Customer { sponsorship_pending: false, is_known_to_payment: false, plan: Some(plan) };
        let account =
            Account { plan_type: server.plan_type, registration: Registration::Active, customer: Some(customer) };
        Ok(Adopted::Moved { statements, account })
    }

    fn perform(&self, sql: &dyn Sql, _: Timestamp, owner: &BillingUser, request: &Request) -> Entered {
        let subject = owner.subject.uuid().as_str();
        match request {
            Request::Change(PlanChange::Status(status)) => {
                if plan_of(sql, subject)?.is_none() {
                    return Err(BooksStop::Refused(String::from("There is no live plan")));
                }
                let update = "UPDATE host_plan SET status = ?2 WHERE owner = ?1";
                Ok(vec![
                    Statement::new(update, vec![subject.into(), status.number().into()]),
                    audit(506, subject, &owner.email),
                ])
            }
            Request::Change(_) => Ok(vec![audit(506, subject, &owner.email)]),
            Request::Upgrade(_) => Ok(vec![audit(501, subject, &owner.email)]),
            Request::Sponsorship(_) => Ok(vec![
                Statement::new(
                    "INSERT OR REPLACE INTO host_customer (owner, pending, payment) VALUES (?1, 1, 0)",
                    vec![subject.into()],
                ),
                audit(213, subject, &owner.email),
            ]),
        }
    }

    fn deactivate(&self, sql: &dyn Sql, _: Timestamp, owner: &BillingUser) -> Entered {
        if self.has_realm_plan(sql)? {
            return Err(BooksStop::Refused(String::from(
                "A live plan stands in the way. End the plan of this server and of its organizations first.",
            )));
        }
        let update = "UPDATE host_owner SET deactivated = 1 WHERE owner = ?1";
        Ok(vec![Statement::new(update, vec![SERVER.into()]), audit(10_201, SERVER, &owner.email)])
    }
}

/// The object that is the server.
pub struct Host {
    settings: Rc<Settings>,
    desk: BillingDesk,
    next_ticket: u32,
    mails: BTreeMap<Ticket, MailId>,
    waiting: BTreeMap<Ticket, (Call, Known)>,
}

impl Host {
    pub fn load(settings: Rc<Settings>, sql: &dyn Sql, _: Timestamp, _: Vec<Restored>) -> Result<Self, Fault> {
        let desk = BillingDesk::load(settings.clone(), sql)?;
        Ok(Self { settings, desk, next_ticket: 1, mails: BTreeMap::new(), waiting: BTreeMap::new() })
    }

    fn finish(&mut self, turn: &mut Turn<'_>, work: Work) -> Result<(), Fault> {
        turn.commit(work.statements)?;
        for (mail, errand) in work.errands {
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.mails.insert(ticket, mail);
            turn.ask(ticket, errand);
        }
        self.desk.refresh(turn.sql)
    }
}

impl Object for Host {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        if call.operation == Operation::PushBilling {
            let hand_off = match HandOff::parse(call) {
                Ok(hand_off) => hand_off,
                Err(refusal) => return Ok(envelope::refused(&refusal).into()),
            };
            if Tables.realm(turn.sql, hand_off.realm())?.is_none() {
                return Ok(envelope::refused(&Refusal::UnknownRealm).into());
            }
            return Ok(hand_off.answer(&self.settings, call, &uuid(SERVER), turn.now)?.into());
        }
        assert!(billing::handles(call.operation));
        match self.desk.call(turn, &Tables, call, &Known::default())? {
            Step::Done(reply, work) => {
                self.finish(turn, work)?;
                Ok(reply.into())
            }
            Step::Ask(errand, known) => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.waiting.insert(ticket, (call.clone(), known));
                turn.ask(ticket, errand);
                Ok(Answer::Later(ticket))
            }
        }
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        if let Some((call, known)) = self.waiting.remove(&ticket) {
            match self.desk.call(turn, &Tables, &call, &known.told(&outcome))? {
                Step::Done(reply, work) => {
                    self.finish(turn, work)?;
                    turn.answer(ticket, reply);
                }
                Step::Ask(errand, known) => {
                    self.waiting.insert(ticket, (call, known));
                    turn.ask(ticket, errand);
                }
            }
            return Ok(());
        }
        let Some(mail) = self.mails.remove(&ticket) else { return Ok(()) };
        let work = self.desk.told(turn.sql, turn.now, mail, &outcome)?;
        self.finish(turn, work)
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let work = self.desk.alarm(turn.sql, turn.now)?;
        self.finish(turn, work)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.desk.deadline()
    }
}

/// An organization as its server reports it.
pub fn reported(uuid: &str) -> String {
    format!(
        r#"{{"uuid":"{uuid}","uuid_owner_secret":"s","id":1,"host":"a.example.org","url":"https://a.example.org","name":"A",
        "org_type":0,"date_created":1.5,"deactivated":false,"extra":true}}"#
    )
}

pub fn uuid(text: &str) -> Uuid {
    Uuid::parse(text).unwrap()
}

/// A server with two organizations, and everything that tests do with it.
pub struct Scene {
    pub stage: Stage<Host>,
    pub settings: Rc<Settings>,
    /// Throw the object's memory away before every request.
    pub evict_between: bool,
    /// Counts letters of all servers; gone when it does not answer.
    pub counter: Option<Stage<Host>>,
    /// What the resolver says of a question for the record of that name.
    pub resolver: fn(&str) -> Outcome,
    /// The records that it was asked for.
    pub resolved: Vec<String>,
}

/// A resolver that knows a mail exchanger for every domain.
pub fn takes_mail(_: &str) -> Outcome {
    resolved(r#"{"Status":0,"Answer":[{"type":15,"data":"10 mx.example.org."}]}"#)
}

/// An answer of the resolver.
pub fn resolved(body: &str) -> Outcome {
    Outcome::Fetched(Fetched { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() })
}

impl Scene {
    pub fn new() -> Self {
        Self::with(SETTINGS)
    }

    pub fn with(pairs: &[(&str, &str)]) -> Self {
        let settings = settings(pairs);
        let stage = || Stage::new(settings.clone(), MIGRATIONS, Host::load);
        let scene = Self {
            stage: stage(),
            evict_between: false,
            counter: Some(stage()),
            resolver: takes_mail,
            resolved: Vec::new(),
            settings: settings.clone(),
        };
        for (owner, host, human) in
            [(SERVER, "chat.example.org", 0), (REALM, "a.chat.example.org", 1), (OTHER, "b.chat.example.org", 1)]
        {
            scene.sql(&format!("INSERT INTO host_owner VALUES ('{owner}', '{host}', 100, 0, {human})"));
        }
        scene
    }

    /// Answers a call, asking the counter where the server does.
    pub fn answer(&mut self, request: &Call) -> Reply {
        if self.evict_between {
            self.stage.evict();
        }
        let ticket = match self.stage.begin(request) {
            Answer::Now(reply) => return reply,
            Answer::Later(ticket) => ticket,
        };
        loop {
            let at = self.stage.errands.iter().position(|(asked, _)| *asked == ticket).expect("a question");
            let (_, errand) = self.stage.errands.remove(at);
            let outcome = self.outcome(errand);
            self.stage.tell(ticket, outcome);
            if let Some(reply) = self.stage.answer(ticket) {
                return reply;
            }
        }
    }

    /// What the counter or the resolver says.
    fn outcome(&mut self, errand: Errand) -> Outcome {
        match errand {
            Errand::Call { class: Class::RemoteServer, name, call } => {
                assert!(name.starts_with("mail-counter/"), "{name}");
                self.counter.as_mut().map_or(Outcome::Failed(Failure::Other), |counter| {
                    counter.wait(self.stage.now.since(counter.now));
                    Outcome::Replied(counter.call(&call))
                })
            }
            Errand::Fetch(fetch) => {
                let query = fetch.url.strip_prefix("https://cloudflare-dns.com/dns-query?name=").expect("a question");
                let (domain, record) = query.split_once("&type=").unwrap();
                assert!(!domain.contains('@'));
                self.resolved.push(format!("{domain} {record}"));
                (self.resolver)(record)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Changes the host's books, or looks into tables, behind everybody's back.
    pub fn sql(&self, text: &str) {
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        self.stage.database.commit(vec![Statement::plain(text)]).unwrap();
    }

    pub fn number(&self, text: &str) -> i64 {
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        self.stage.database.read(Statement::plain(text)).unwrap()[0].integer(0).unwrap()
    }

    pub fn deactivate(&self, owner: &str) {
        self.sql(&format!("UPDATE host_owner SET deactivated = 1 WHERE owner = '{owner}'"));
    }

    pub fn plan(&self, owner: &str, tier: u32, status: u32) {
        self.sql(&format!("INSERT OR REPLACE INTO host_customer VALUES ('{owner}', 0, 0)"));
        self.sql(&format!("INSERT OR REPLACE INTO host_plan VALUES ('{owner}', {tier}, {status}, 1, 1, 10, 12)"));
        self.sql(&format!("UPDATE host_owner SET plan_type = {tier} WHERE owner = '{owner}'"));
    }

    /// What the server is answered when it sends Ada over.
    pub fn hand_off_with(&mut self, fields: &[(&str, &str)]) -> Reply {
        let request = Call {
            browser: Some(Browser { base: BASE.to_owned(), ..Browser::default() }),
            body: form(fields),
            ..call(Operation::PushBilling)
        };
        self.stage.call(&request)
    }

    /// Ada's token for an organization.
    pub fn token_to(&mut self, realm: &str, next_page: Option<&str>) -> String {
        let user = format!(r#"{{"uuid":"{ADA}","email":"ada@chat.example.org","full_name":"Ada <b>"}}"#);
        let realm = reported(realm);
        let mut fields = vec![("user", user.as_str()), ("realm", realm.as_str())];
        fields.extend(next_page.map(|page| ("next_page", page)));
        let body = crate::support::body(&self.hand_off_with(&fields));
        let url = body["billing_access_url"].as_str().unwrap().to_owned();
        url.strip_prefix(&format!("{BASE}/remote-billing-login/")).unwrap().to_owned()
    }

    pub fn token(&mut self) -> String {
        self.token_to(REALM, None)
    }

    /// The letters that a mail service was asked to send, as JSON, and which are answered with a status.
    pub fn letters(&mut self, status: u16) -> Vec<serde_json::Value> {
        let mut letters = Vec::new();
        for (ticket, errand) in self.stage.take_errands() {
            let Errand::Fetch(fetch) = errand else { panic!("{errand:?}") };
            letters.push(serde_json::from_slice(&fetch.body).unwrap());
            let fetched = Fetched { status, headers: Vec::new(), body: Vec::new() };
            self.stage.tell(ticket, Outcome::Fetched(fetched));
        }
        letters
    }

    /// The key in the link of the last letter.
    pub fn mailed_key(&mut self) -> String {
        let letters = self.letters(200);
        let text = letters.last().expect("a letter")["text"].as_str().unwrap().to_owned();
        let link = text.split_whitespace().find(|word| word.contains("/do_confirm/")).unwrap();
        link.rsplit('/').next().unwrap().to_owned()
    }

    /// Ada, as a billing user of an organization with an open session.
    pub fn owner_of(&mut self, realm: &str) -> Person {
        let mut ada = Person::new();
        let token = self.token_to(realm, None);
        ada.get(self, Operation::BillingRealmLogin, &[&token]);
        ada.post(self, Operation::BillingRealmMail, &[&token], &[("email", "ada@chat.example.org")]);
        let key = self.mailed_key();
        ada.get(self, Operation::BillingRealmConfirm, &[&key]);
        let entered = ada.post(self, Operation::BillingRealmEnter, &[&ada.action_param()], &[("tos_consent", "true")]);
        assert_eq!(entered.status, 302, "{}", entered.body);
        ada
    }

    /// An administrator of the server with an open session.
    pub fn administrator(&mut self) -> Person {
        let mut admin = Person::new();
        let key = self.server_key(&mut admin, None);
        admin.get(self, Operation::BillingServerConfirm, &[&key]);
        let entered = admin.post(self, Operation::BillingServerAccept, &[&key], &[("tos_consent", "true")]);
        assert_eq!(entered.status, 302, "{}", entered.body);
        admin
    }

    /// The key of a link that was mailed to whoever showed the server's id and key.
    pub fn server_key(&mut self, admin: &mut Person, next_page: Option<&str>) -> String {
        admin.get(self, Operation::BillingServerLogin, &[]);
        let mut fields = vec![("zulip_org_id", SERVER), ("zulip_org_key", KEY)];
        fields.extend(next_page.map(|page| ("next_page", page)));
        let shown = admin.post(self, Operation::BillingServerEnter, &[], &fields);
        assert_eq!(shown.status, 200, "{}", shown.body);
        let sent = admin.post(self, Operation::BillingServerMail, &[SERVER], &[("email", "root@chat.example.org")]);
        assert_eq!(sent.status, 200, "{}", sent.body);
        self.mailed_key()
    }
}

/// Somebody with a browser.
#[derive(Debug, Clone)]
pub struct Person {
    pub base: String,
    pub cookie: Option<String>,
    pub origin: Option<String>,
    pub network: &'static str,
    /// The page on the screen.
    pub page: String,
    /// The token that forms are sent with, when it is not the page's.
    pub token: Option<String>,
}

impl Person {
    pub fn new() -> Self {
        Self {
            base: BASE.to_owned(),
            cookie: None,
            origin: Some(BASE.to_owned()),
            network: "203.0.113.1",
            page: String::new(),
            token: None,
        }
    }

    pub fn call(&self, operation: Operation, params: &[&str], fields: &[(&str, &str)]) -> Call {
        let cookie = self.cookie.as_ref().map(|cookie| format!("theme=dark; {cookie}; x=y"));
        Call {
            params: params.iter().map(|param| (*param).to_owned()).collect(),
            client: ClientNetwork::from_header(Some(self.network)),
            browser: Some(Browser { base: self.base.clone(), cookie, origin: self.origin.clone() }),
            body: form(fields),
            ..call(operation)
        }
    }

    /// As the front would: to the object that the room names, or answered at once.
    fn send(&mut self, scene: &mut Scene, request: &Call) -> Reply {
        let reply = match billing::address(&scene.settings, request) {
            Ok(_) => scene.answer(request),
            Err(reply) => reply,
        };
        if let Some(cookie) = reply.header("Set-Cookie") {
            let pair = cookie.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        if reply.media == Media::Html && !reply.body.is_empty() {
            self.page = reply.body.clone();
        }
        reply
    }

    pub fn get(&mut self, scene: &mut Scene, operation: Operation, params: &[&str]) -> Reply {
        let request = Call { query: String::new(), ..self.call(operation, params, &[]) };
        let request = Call { browser: request.browser.map(|browser| Browser { origin: None, ..browser }), ..request };
        self.send(scene, &request)
    }

    /// Sends a form with the token of the page on the screen.
    pub fn post(&mut self, scene: &mut Scene, operation: Operation, params: &[&str], fields: &[(&str, &str)]) -> Reply {
        let token = self.token.clone().or_else(|| attribute(&self.page, "name=\"csrf\" value=\""));
        let mut fields = fields.to_vec();
        fields.extend(token.as_deref().map(|token| ("csrf", token)));
        let request = self.call(operation, params, &fields);
        self.send(scene, &request)
    }

    /// The first path parameter of the form on the screen.
    pub fn action_param(&self) -> String {
        let action = attribute(&self.page, "method=\"post\" action=\"/remote-billing-login/").expect("a form");
        action.split('/').next().unwrap().to_owned()
    }
}

/// What follows a piece of markup up to the next quote.
pub fn attribute(page: &str, before: &str) -> Option<String> {
    let (_, rest) = page.split_once(before)?;
    rest.split('"').next().map(str::to_owned)
}

pub fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (name, value) in fields {
        let escaped: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        text.push_str(&format!("{}{name}={escaped}", if text.is_empty() { "" } else { "&" }));
    }
    text.into_bytes()
}
