//! What the native tests share: a real SQLite behind the SQL port, and a stage on which an object plays in virtual time.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

pub mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::types::{Value as SqliteValue, ValueRef};
use waystation::kernel::entropy::SeededEntropy;
use waystation::kernel::errand::{Errand, Outcome, Ticket};
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::{Migration, migrate};
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{
    ATTACHMENT_BYTES_MAX, Action, Answer, Call, Conn, Frame, Notice, Object, Opening, Principal, Restored, Turn,
};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::kernel::settings::{self, Settings};
use waystation::kernel::sql::{Row, Sql, Statement, Value};
use waystation::kernel::time::Timestamp;

/// Settings from pairs of name and value; panics on a bad one.
pub fn settings(pairs: &[(&str, &str)]) -> Rc<Settings> {
    let lookup = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Rc::new(settings::parse(&lookup).expect("settings"))
}

/// A real SQLite database in memory.
pub struct Database {
    connection: RefCell<rusqlite::Connection>,
    commits: Cell<u64>,
    refuse_commits: Cell<bool>,
    read_steps: Cell<u64>,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    pub fn new() -> Self {
        let connection = rusqlite::Connection::open_in_memory().expect("sqlite");
        Self {
            connection: RefCell::new(connection),
            commits: Cell::new(0),
            refuse_commits: Cell::new(false),
            read_steps: Cell::new(0),
        }
    }

    /// Commits with at least one statement since the start.
    pub fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// Rows inserted, updated or deleted since the start.
    pub fn rows_written(&self) -> u64 {
        self.connection.borrow().total_changes()
    }

    /// Steps of SQLite's machine in all reads since the last call: what a read costs, found rows and others alike.
    pub fn take_read_steps(&self) -> u64 {
        self.read_steps.take()
    }

    /// From now on every commit fails, as a full disk would make it.
    pub fn refuse_commits(&self) {
        self.refuse_commits.set(true);
    }

    /// Every row of every table, as text: equal dumps are equal states.
    pub fn dump(&self) -> Vec<String> {
        let tables = self
            .read(Statement::plain("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"))
            .expect("tables");
        let mut lines = Vec::new();
        for table in tables {
            let name = table.text(0).expect("name").to_owned();
            let connection = self.connection.borrow();
            let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\"")).expect("dump");
            let columns = statement.column_count();
            let mut rows = statement.query([]).expect("dump");
            let mut table_lines = Vec::new();
            while let Some(row) = rows.next().expect("row") {
                let cells: Vec<String> =
                    (0..columns).map(|index| format!("{:?}", row.get_ref(index).expect("cell"))).collect();
                table_lines.push(format!("{name}: {}", cells.join(", ")));
            }
            table_lines.sort();
            lines.extend(table_lines);
        }
        lines
    }
}

fn to_sqlite(value: &Value) -> SqliteValue {
    match value {
        Value::Null => SqliteValue::Null,
        Value::Integer(number) => SqliteValue::Integer(*number),
        Value::Real(number) => SqliteValue::Real(*number),
        Value::Text(text) => SqliteValue::Text(text.clone()),
        Value::Blob(bytes) => SqliteValue::Blob(bytes.clone()),
    }
}

fn from_sqlite(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).expect("utf-8")),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn storage(error: rusqlite::Error) -> Fault {
    Fault::Storage(error.to_string())
}

impl Sql for Database {
    fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        assert!(statement.params.len() <= 100, "at most 100 parameters: {}", statement.sql);
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare_cached(statement.sql).map_err(storage)?;
        let columns = prepared.column_count();
        let params = rusqlite::params_from_iter(statement.params.iter().map(to_sqlite));
        let mut rows = prepared.query(params).map_err(storage)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(storage)? {
            let cells: Result<Vec<Value>, Fault> =
                (0..columns).map(|index| row.get_ref(index).map(from_sqlite).map_err(storage)).collect();
            out.push(Row(cells?));
        }
        drop(rows);
        let steps = prepared.reset_status(rusqlite::StatementStatus::VmStep);
        self.read_steps.set(self.read_steps.get() + u64::try_from(steps).unwrap_or(0));
        Ok(out)
    }

    fn commit(&self, batch: Vec<Statement>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.refuse_commits.get() {
            return Err(Fault::Storage(String::from("the disk is full")));
        }
        self.commits.set(self.commits.get() + 1);
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction().map_err(storage)?;
        for statement in &batch {
            assert!(statement.params.len() <= 100, "at most 100 parameters: {}", statement.sql);
            let params = rusqlite::params_from_iter(statement.params.iter().map(to_sqlite));
            transaction.prepare_cached(statement.sql).map_err(storage)?.execute(params).map_err(storage)?;
        }
        transaction.commit().map_err(storage)
    }
}

/// How a room's object comes to life: from settings, storage, time and the sockets that are still open.
pub type Load<O> = fn(Rc<Settings>, &dyn Sql, Timestamp, Vec<Restored>) -> Result<O, Fault>;

/// A socket's view of the world: what it was sent, and whether it was closed by us.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Peer {
    pub inbox: Vec<String>,
    pub closed: Option<(u16, &'static str)>,
}

/// An object on a stage: the test plays the shell. Time moves only when told to.
pub struct Stage<O> {
    pub now: Timestamp,
    pub database: Rc<Database>,
    pub entropy: SeededEntropy,
    pub object: O,
    pub peers: BTreeMap<Conn, Peer>,
    /// Errands asked for and not run yet; the test plays the others and reports by [`Stage::tell`].
    pub errands: Vec<(Ticket, Errand)>,
    /// Answers to calls that were put off.
    pub answers: BTreeMap<Ticket, Reply>,
    /// What the operator was told.
    pub notices: Vec<Notice>,
    /// Sockets that were handed over to another object, with the frame that came first.
    pub transfers: Vec<(Conn, Class, String, Call, String)>,
    attachments: BTreeMap<Conn, String>,
    settings: Rc<Settings>,
    load: Load<O>,
    next_conn: u32,
    /// Throw the object's memory away after every event, as hibernation may.
    pub evict_always: bool,
}

impl<O: Object> Stage<O> {
    pub fn new(settings: Rc<Settings>, migrations: &'static [Migration], load: Load<O>) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let database = Rc::new(Database::new());
        migrate(&*database, migrations, now).expect("migrations");
        let object = load(settings.clone(), &*database, now, Vec::new()).expect("object");
        Self {
            now,
            database,
            entropy: SeededEntropy::new(7),
            object,
            peers: BTreeMap::new(),
            errands: Vec::new(),
            answers: BTreeMap::new(),
            notices: Vec::new(),
            transfers: Vec::new(),
            attachments: BTreeMap::new(),
            settings,
            load,
            next_conn: 1,
            evict_always: false,
        }
    }

    /// Throws the object's memory away and restores it from storage and attachments.
    pub fn evict(&mut self) {
        let restored =
            self.attachments.iter().map(|(conn, text)| Restored { conn: *conn, attachment: text.clone() }).collect();
        self.object = (self.load)(self.settings.clone(), &*self.database, self.now, restored).expect("restore");
    }

    /// The process dies: sockets are gone, storage stays.
    pub fn crash(&mut self) {
        self.errands.clear();
        self.answers.clear();
        self.attachments.clear();
        self.peers.clear();
        self.evict();
    }

    fn event<T>(&mut self, event: impl FnOnce(&mut O, &mut Turn<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let database = self.database.clone();
        let commits = database.commits();
        let mut actions = Vec::new();
        let mut turn = Turn { now: self.now, entropy: &mut self.entropy, sql: &*database, actions: &mut actions };
        let outcome = event(&mut self.object, &mut turn);
        assert!(database.commits() <= commits + 1, "at most one commit per event");
        if outcome.is_err() {
            self.evict();
            return outcome;
        }
        for action in actions {
            self.perform(action);
        }
        if self.evict_always {
            self.evict();
        }
        outcome
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send { conn, text } => self.deliver(conn, &text),
            Action::SendMany { conns, text } => conns.into_iter().for_each(|conn| self.deliver(conn, &text)),
            Action::Close { conn, code, reason } => {
                assert!(reason.len() <= 123, "close reason too long");
                self.attachments.remove(&conn);
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.closed.get_or_insert((code, reason));
                }
            }
            Action::Attach { conn, attachment } => {
                assert!(attachment.len() <= ATTACHMENT_BYTES_MAX, "attachment of {} bytes", attachment.len());
                if self.peers.get(&conn).is_some_and(|peer| peer.closed.is_none()) {
                    self.attachments.insert(conn, attachment);
                }
            }
            Action::Ask { ticket, errand } => self.errands.push((ticket, errand)),
            Action::Answer { ticket, reply } => {
                assert!(self.answers.insert(ticket, reply).is_none(), "{ticket:?} is answered once");
            }
            Action::Log(notice) => self.notices.push(notice),
            Action::Transfer { conn, class, name, call, first } => {
                self.transfers.push((conn, class, name, *call, first));
            }
        }
    }

    fn deliver(&mut self, conn: Conn, text: &str) {
        if let Some(peer) = self.peers.get_mut(&conn)
            && peer.closed.is_none()
        {
            peer.inbox.push(text.to_owned());
        }
    }

    /// Opens a socket; panics when the object refuses the upgrade.
    pub fn open(&mut self, call: &Call) -> Conn {
        self.try_open(call).expect("accepted")
    }

    /// Opens a socket, or returns the refusal.
    pub fn try_open(&mut self, call: &Call) -> Result<Conn, Reply> {
        let conn = Conn(self.next_conn);
        self.next_conn += 1;
        self.peers.insert(conn, Peer::default());
        let opening = self.event(|object, turn| {
            let opening = object.open(turn, conn, call)?;
            // The shell attaches before it performs the turn's actions.
            if let Opening::Accept { attachment } = &opening {
                turn.actions.insert(0, Action::Attach { conn, attachment: attachment.clone() });
            }
            Ok(opening)
        });
        match opening.expect("no fault") {
            Opening::Accept { .. } => Ok(conn),
            Opening::Refuse(reply) => {
                self.peers.remove(&conn);
                Err(reply)
            }
        }
    }

    /// A text frame from a socket.
    pub fn say(&mut self, conn: Conn, text: &str) {
        self.event(|object, turn| object.message(turn, conn, Frame::Text(text))).expect("no fault");
    }

    /// A binary frame from a socket.
    pub fn say_binary(&mut self, conn: Conn, bytes: &[u8]) {
        self.event(|object, turn| object.message(turn, conn, Frame::Binary(bytes))).expect("no fault");
    }

    /// A text frame whose handling may end in a fault.
    pub fn try_say(&mut self, conn: Conn, text: &str) -> Result<(), Fault> {
        self.event(|object, turn| object.message(turn, conn, Frame::Text(text)))
    }

    /// The socket goes away.
    pub fn leave(&mut self, conn: Conn) {
        self.attachments.remove(&conn);
        self.peers.remove(&conn);
        self.event(|object, turn| object.closed(turn, conn)).expect("no fault");
    }

    /// An HTTP request that is answered at once.
    pub fn call(&mut self, call: &Call) -> Reply {
        self.try_call(call).expect("no fault")
    }

    /// An HTTP request that is answered at once, or whose handling ends in a fault.
    pub fn try_call(&mut self, call: &Call) -> Result<Reply, Fault> {
        self.event(|object, turn| object.call(turn, call)).map(|answer| match answer {
            Answer::Now(reply) => reply,
            Answer::Later(ticket) => panic!("put off: {ticket:?}"),
        })
    }

    /// An HTTP request that may be answered later.
    pub fn begin(&mut self, call: &Call) -> Answer {
        self.event(|object, turn| object.call(turn, call)).expect("no fault")
    }

    /// Takes the errands asked for so far.
    pub fn take_errands(&mut self) -> Vec<(Ticket, Errand)> {
        std::mem::take(&mut self.errands)
    }

    /// Reports what came of an errand.
    pub fn tell(&mut self, ticket: Ticket, outcome: Outcome) {
        self.event(|object, turn| object.told(turn, ticket, outcome)).expect("no fault");
    }

    /// Reports what came of an errand, which may end in a fault.
    pub fn try_tell(&mut self, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        self.event(|object, turn| object.told(turn, ticket, outcome))
    }

    /// Takes the answer to a call that was put off.
    pub fn answer(&mut self, ticket: Ticket) -> Option<Reply> {
        self.answers.remove(&ticket)
    }

    /// Lets `ms` pass, ringing the alarm whenever it is due.
    pub fn wait(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        while let Some(deadline) = self.object.deadline().filter(|deadline| *deadline <= end) {
            let before = (self.now, self.object.deadline());
            self.now = self.now.max(deadline);
            self.ring();
            assert_ne!((self.now, self.object.deadline()), before, "an alarm that changes nothing rings for ever");
        }
        self.now = end;
    }

    /// Rings the alarm now, due or not.
    pub fn ring(&mut self) {
        self.event(|object, turn| object.alarm(turn)).expect("no fault");
    }

    /// Takes everything a socket was sent so far.
    pub fn inbox(&mut self, conn: Conn) -> Vec<serde_json::Value> {
        let texts = self.peers.get_mut(&conn).map(|peer| std::mem::take(&mut peer.inbox)).unwrap_or_default();
        texts.iter().map(|text| read_as_javascript(text)).collect()
    }

    /// How a socket was closed by us, if it was.
    pub fn closed(&self, conn: Conn) -> Option<(u16, &'static str)> {
        self.peers.get(&conn).and_then(|peer| peer.closed)
    }
}

/// A frame as the field's clients read it: JSON whose strings may hold lone surrogates, which serde refuses.
fn read_as_javascript(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let mut pieces = text.split("\\u");
        let mut tame = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.get(..4).unwrap_or_default();
            let is_surrogate = u16::from_str_radix(digits, 16).is_ok_and(|unit| (0xd800..0xe000).contains(&unit));
            tame.push_str(if is_surrogate { "\\ufffd" } else { "\\u" });
            tame.push_str(if is_surrogate { piece.get(4..).unwrap_or_default() } else { piece });
        }
        serde_json::from_str(&tame).expect("json frame")
    })
}

/// A request with nothing special about it.
pub fn call(operation: Operation) -> Call {
    Call {
        operation,
        params: Vec::new(),
        query: String::new(),
        principal: Principal::Anonymous,
        client: ClientNetwork::from_header(Some("203.0.113.1")),
        request_id: String::from("request-1"),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body: Vec::new(),
    }
}

/// The JSON body of an answer.
pub fn body(reply: &Reply) -> serde_json::Value {
    serde_json::from_str(&reply.body).expect("json body")
}
