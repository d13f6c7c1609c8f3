//! Several objects on one virtual clock: the test plays the shell for all of them. Errands run when their turn comes, in an
//! order that a seeded source chooses; objects can lose their memory or crash one by one.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a failing test is a panic")]

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use waystation::kernel::entropy::{Entropy as _, SeededEntropy};
use waystation::kernel::errand::{Errand, Failure, Outcome, Ticket};
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::{Migration, migrate};
use waystation::kernel::object::{
    ATTACHMENT_BYTES_MAX, Action, Answer, Call, Conn, Frame, Object, Opening, Restored, Turn,
};
use waystation::kernel::operation::Class;
use waystation::kernel::reply::Reply;
use waystation::kernel::settings::Settings;
use waystation::kernel::sql::Sql;
use waystation::kernel::time::Timestamp;

use super::Database;

/// How any object comes to life.
pub type LoadAny = fn(Class, Rc<Settings>, &dyn Sql, Timestamp, Vec<Restored>) -> Result<Box<dyn Object>, Fault>;

/// Who plays: the schemas of the classes, and how they come to life.
#[derive(Clone, Copy)]
pub struct Cast {
    pub migrations: fn(Class) -> &'static [Migration],
    pub load: LoadAny,
}

/// An object by class and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub class: Class,
    pub name: String,
}

/// A place of the world.
pub fn at(class: Class, name: &str) -> Place {
    Place { class, name: name.to_owned() }
}

type Key = (&'static str, String);

fn key(place: &Place) -> Key {
    (place.class.name(), place.name.clone())
}

/// A client's socket, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u32);

/// An HTTP request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(u32);

struct Actor {
    place: Place,
    object: Box<dyn Object>,
    database: Rc<Database>,
    entropy: SeededEntropy,
    attachments: BTreeMap<Conn, String>,
    next_conn: u32,
    /// Goes up when the memory is lost in a way that loses errands too.
    life: u32,
    waiting: HashMap<Ticket, Waiter>,
}

/// Who waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Waiter {
    Client(Request),
    Asker { key: Key, life: u32, ticket: Ticket },
}

/// Something between two objects.
#[derive(Debug)]
enum Letter {
    Question { place: Place, call: Box<Call>, waiter: Waiter },
    Outcome { key: Key, life: u32, ticket: Ticket, outcome: Outcome },
}

struct Line {
    key: Key,
    conn: Conn,
    inbox: Vec<String>,
    closed: Option<(u16, &'static str)>,
}

/// The whole service.
pub struct World {
    pub now: Timestamp,
    /// Throw an object's memory away after every event of it, as early as the platform may.
    pub evict_always: bool,
    cast: Cast,
    settings: Rc<Settings>,
    order: SeededEntropy,
    seed: u64,
    actors: BTreeMap<Key, Actor>,
    letters: Vec<Letter>,
    lines: BTreeMap<Client, Line>,
    replies: BTreeMap<Request, Reply>,
    next: u32,
}

impl World {
    pub fn new(settings: Rc<Settings>, cast: Cast, seed: u64) -> Self {
        Self {
            now: Timestamp::from_millis(1_800_000_000_000),
            evict_always: false,
            cast,
            settings,
            order: SeededEntropy::new(seed),
            seed,
            actors: BTreeMap::new(),
            letters: Vec::new(),
            lines: BTreeMap::new(),
            replies: BTreeMap::new(),
            next: 0,
        }
    }

    /// The storage of an object that has been spoken to.
    pub fn database(&self, place: &Place) -> Rc<Database> {
        self.actors[&key(place)].database.clone()
    }

    /// Every object that has been spoken to.
    pub fn places(&self) -> Vec<Place> {
        self.actors.values().map(|actor| actor.place.clone()).collect()
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn ensure(&mut self, place: &Place) {
        if self.actors.contains_key(&key(place)) {
            return;
        }
        let database = Rc::new(Database::new());
        migrate(&*database, (self.cast.migrations)(place.class), self.now).expect("migrations");
        let object = (self.cast.load)(place.class, self.settings.clone(), &*database, self.now, Vec::new());
        self.seed += 1;
        let actor = Actor {
            place: place.clone(),
            object: object.expect("object"),
            database,
            entropy: SeededEntropy::new(self.seed.wrapping_mul(0x9E37)),
            attachments: BTreeMap::new(),
            next_conn: 1,
            life: 0,
            waiting: HashMap::new(),
        };
        self.actors.insert(key(place), actor);
    }

    /// Gives an object a new memory.
    fn rebuild(&mut self, key: &Key) {
        let actor = self.actors.get_mut(key).expect("actor");
        let restored =
            actor.attachments.iter().map(|(conn, text)| Restored { conn: *conn, attachment: text.clone() }).collect();
        let class = actor.place.class;
        actor.object =
            (self.cast.load)(class, self.settings.clone(), &*actor.database, self.now, restored).expect("restore");
    }

    /// The memory is lost together with all that the object was waiting for, and all that waited for it.
    fn lose(&mut self, key: &Key) {
        let actor = self.actors.get_mut(key).expect("actor");
        actor.life += 1;
        let waiting: Vec<Waiter> = actor.waiting.drain().map(|(_, waiter)| waiter).collect();
        for waiter in waiting {
            self.answer(waiter, Err(Failure::Other));
        }
        self.rebuild(key);
    }

    /// Hibernation: the memory goes, sockets and storage stay. The platform does this only to an object that waits for
    /// nothing; whether it did.
    pub fn evict(&mut self, place: &Place) -> bool {
        let key = key(place);
        let asks = self.letters.iter().any(|letter| match letter {
            Letter::Question { waiter: Waiter::Asker { key: asker, .. }, .. } => *asker == key,
            Letter::Outcome { key: asker, .. } => *asker == key,
            Letter::Question { .. } => false,
        });
        let waits = self.actors.values().flat_map(|actor| actor.waiting.values()).any(|waiter| match waiter {
            Waiter::Asker { key: asker, .. } => *asker == key,
            Waiter::Client(_) => false,
        });
        let idle = !asks && !waits && self.actors.get(&key).is_some_and(|actor| actor.waiting.is_empty());
        if idle {
            self.rebuild(&key);
        }
        idle
    }

    /// The process dies: sockets are gone, storage stays, nobody tells anybody.
    pub fn crash(&mut self, place: &Place) {
        let key = key(place);
        let Some(actor) = self.actors.get_mut(&key) else { return };
        actor.attachments.clear();
        for line in self.lines.values_mut().filter(|line| line.key == key) {
            line.closed.get_or_insert((1006, "crashed"));
        }
        self.lose(&key);
    }

    fn event<T>(
        &mut self,
        key: &Key,
        event: impl FnOnce(&mut dyn Object, &mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let now = self.now;
        let actor = self.actors.get_mut(key).expect("actor");
        let database = actor.database.clone();
        let commits = database.commits();
        let mut actions = Vec::new();
        let mut turn = Turn { now, entropy: &mut actor.entropy, sql: &*database, actions: &mut actions };
        let outcome = event(&mut *actor.object, &mut turn);
        assert!(database.commits() <= commits + 1, "at most one commit per event");
        if outcome.is_err() {
            self.lose(key);
            return outcome;
        }
        for action in actions {
            self.perform(key, action);
        }
        if self.evict_always {
            let place = self.actors[key].place.clone();
            self.evict(&place);
        }
        outcome
    }

    fn perform(&mut self, key: &Key, action: Action) {
        match action {
            Action::Send { conn, text } => self.push(key, conn, &text),
            Action::SendMany { conns, text } => conns.into_iter().for_each(|conn| self.push(key, conn, &text)),
            Action::Close { conn, code, reason } => {
                self.actors.get_mut(key).expect("actor").attachments.remove(&conn);
                if let Some(line) = self.line(key, conn) {
                    line.closed.get_or_insert((code, reason));
                }
            }
            Action::Attach { conn, attachment } => {
                assert!(attachment.len() <= ATTACHMENT_BYTES_MAX, "attachment of {} bytes", attachment.len());
                if self.line(key, conn).is_some() {
                    self.actors.get_mut(key).expect("actor").attachments.insert(conn, attachment);
                }
            }
            Action::Ask { ticket, errand } => {
                let life = self.actors[key].life;
                let waiter = Waiter::Asker { key: key.clone(), life, ticket };
                let Errand::Call { class, name, call } = errand else { panic!("no Internet here: {errand:?}") };
                self.letters.push(Letter::Question { place: Place { class, name }, call, waiter });
            }
            Action::Log(_) => {}
            Action::Answer { ticket, reply } => {
                let waiter = self.actors.get_mut(key).expect("actor").waiting.remove(&ticket);
                self.answer(waiter.expect("an answer that somebody waits for"), Ok(reply));
            }
            Action::Transfer { conn, class, name, call, first } => {
                self.actors.get_mut(key).expect("actor").attachments.remove(&conn);
                let found = self.lines.iter().find(|(_, line)| line.key == *key && line.conn == conn);
                let client = *found.expect("a socket to hand over").0;
                self.lines.remove(&client);
                self.open_as(client, &Place { class, name }, &call).expect("handed over");
                self.say(client, &first);
            }
        }
    }

    fn line(&mut self, key: &Key, conn: Conn) -> Option<&mut Line> {
        self.lines.values_mut().find(|line| line.key == *key && line.conn == conn && line.closed.is_none())
    }

    fn push(&mut self, key: &Key, conn: Conn, text: &str) {
        if let Some(line) = self.line(key, conn) {
            line.inbox.push(text.to_owned());
        }
    }

    fn answer(&mut self, waiter: Waiter, answer: Result<Reply, Failure>) {
        match waiter {
            Waiter::Client(request) => {
                self.replies.insert(request, answer.unwrap_or_else(|_| Reply::empty(500)));
            }
            Waiter::Asker { key, life, ticket } => {
                let outcome = answer.map_or_else(Outcome::Failed, Outcome::Replied);
                self.letters.push(Letter::Outcome { key, life, ticket, outcome });
            }
        }
    }

    fn call(&mut self, place: &Place, call: &Call, waiter: Waiter) {
        self.ensure(place);
        let key = key(place);
        match self.event(&key, |object, turn| object.call(turn, call)) {
            Ok(Answer::Now(reply)) => self.answer(waiter, Ok(reply)),
            Ok(Answer::Later(ticket)) => {
                let actor = self.actors.get_mut(&key).expect("actor");
                assert!(actor.waiting.insert(ticket, waiter).is_none(), "{ticket:?} is free");
            }
            Err(_) => self.answer(waiter, Err(Failure::Other)),
        }
    }

    /// Lets one errand, or one outcome, arrive: which one, chance decides. Whether there was any.
    pub fn step(&mut self) -> bool {
        let count = u32::try_from(self.letters.len()).unwrap();
        if count == 0 {
            return false;
        }
        let index = self.order.below(count) as usize;
        match self.letters.swap_remove(index) {
            Letter::Question { place, call, waiter } => self.call(&place, &call, waiter),
            Letter::Outcome { key, life, ticket, outcome } => {
                if self.actors[&key].life == life {
                    // A fault is nobody's business but the shell's.
                    let _ = self.event(&key, |object, turn| object.told(turn, ticket, outcome));
                }
            }
        }
        true
    }

    /// Lets everything arrive that is under way.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the objects talk for ever");
    }

    /// An HTTP request; its answer is found by [`Self::reply`].
    pub fn begin(&mut self, place: &Place, call: &Call) -> Request {
        let request = Request(self.number());
        self.call(place, call, Waiter::Client(request));
        request
    }

    /// The answer to a request, if it has come.
    pub fn reply(&mut self, request: Request) -> Option<Reply> {
        self.replies.remove(&request)
    }

    /// An HTTP request and its answer, when all is settled.
    pub fn request(&mut self, place: &Place, call: &Call) -> Reply {
        let request = self.begin(place, call);
        self.settle();
        self.reply(request).expect("an answer")
    }

    /// Opens a socket.
    pub fn open(&mut self, place: &Place, call: &Call) -> Client {
        let client = Client(self.number());
        self.open_as(client, place, call).expect("accepted");
        client
    }

    fn open_as(&mut self, client: Client, place: &Place, call: &Call) -> Result<(), Reply> {
        self.ensure(place);
        let key = key(place);
        let is_alone = !self.lines.values().any(|line| line.key == key && line.closed.is_none());
        let actor = self.actors.get_mut(&key).expect("actor");
        // Numbers are used again when an object had no socket at all.
        actor.next_conn = if is_alone { 1 } else { actor.next_conn + 1 };
        let conn = Conn(actor.next_conn);
        self.lines.insert(client, Line { key: key.clone(), conn, inbox: Vec::new(), closed: None });
        let opening = self.event(&key, |object, turn| {
            let opening = object.open(turn, conn, call)?;
            if let Opening::Accept { attachment } = &opening {
                turn.actions.insert(0, Action::Attach { conn, attachment: attachment.clone() });
            }
            Ok(opening)
        });
        match opening.expect("no fault") {
            Opening::Accept { .. } => Ok(()),
            Opening::Refuse(reply) => {
                self.lines.remove(&client);
                Err(reply)
            }
        }
    }

    /// A text frame from a client. What it sets in motion is still under way.
    pub fn say(&mut self, client: Client, text: &str) {
        let Some(line) = self.lines.get(&client).filter(|line| line.closed.is_none()) else { return };
        let (key, conn) = (line.key.clone(), line.conn);
        let _ = self.event(&key, |object, turn| object.message(turn, conn, Frame::Text(text)));
    }

    /// The client goes away.
    pub fn leave(&mut self, client: Client) {
        let Some(line) = self.lines.remove(&client) else { return };
        if line.closed.is_some() {
            return;
        }
        self.actors.get_mut(&line.key).expect("actor").attachments.remove(&line.conn);
        let _ = self.event(&line.key, |object, turn| object.closed(turn, line.conn));
    }

    /// Takes what a client was sent so far.
    pub fn inbox(&mut self, client: Client) -> Vec<serde_json::Value> {
        let texts = self.lines.get_mut(&client).map(|line| std::mem::take(&mut line.inbox)).unwrap_or_default();
        texts.iter().map(|text| serde_json::from_str(text).expect("json")).collect()
    }

    /// Where a client's socket is, while it is open.
    pub fn seat(&self, client: Client) -> Option<(Place, Conn)> {
        let line = self.lines.get(&client).filter(|line| line.closed.is_none())?;
        Some((self.actors[&line.key].place.clone(), line.conn))
    }

    /// How a client's socket was closed, if it was.
    pub fn closed(&self, client: Client) -> Option<(u16, &'static str)> {
        self.lines.get(&client).and_then(|line| line.closed)
    }

    /// Lets `ms` pass; alarms ring when they are due, and what they set in motion arrives before the next one.
    pub fn wait(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        self.settle();
        for _ in 0..100_000 {
            let due = self.actors.iter().filter_map(|(key, actor)| Some((actor.object.deadline()?, key.clone())));
            let Some((deadline, key)) = due.filter(|(deadline, _)| *deadline <= end).min() else {
                self.now = end;
                return;
            };
            self.now = self.now.max(deadline);
            let _ = self.event(&key, |object, turn| object.alarm(turn));
            self.settle();
        }
        panic!("alarms ring for ever");
    }
}
