//! The object port: how a room's object is spoken to and what it may ask for.
//!
//! The shell turns the platform's events into calls of [`Object`]; the object answers with values and with [`Action`]s,
//! which the shell performs after the object's one commit and only if the event did not end in a [`Fault`].

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use super::code::ErrorCode;
use super::entropy::Entropy;
use super::errand::{Errand, Outcome, Ticket};
use super::fault::Fault;
use super::network::ClientNetwork;
use super::operation::{Class, Operation};
use super::reply::{Problem, Reply};
use super::sql::{Sql, Statement};
use super::time::Timestamp;

/// A socket of one object. Unique among the object's open sockets, kept over hibernation, used again only after an
/// object had no socket at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conn(pub u32);

/// Hashes connection numbers. They are ours, so nobody can choose colliding ones, and hashing them may be cheap.
///
/// Source: Fibonacci hashing, D. Knuth, TAOCP vol. 3, section 6.4.
#[derive(Debug, Default, Clone, Copy)]
pub struct ConnHasher(u64);

impl Hasher for ConnHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Something for each of an object's sockets.
pub type ByConn<T> = HashMap<Conn, T, BuildHasherDefault<ConnHasher>>;

/// Who is calling, as far as the front could tell from the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// No credentials, or ones that only the object can judge.
    Anonymous,
    /// Holder of `SERVER_REGISTRY_SECRET`, or anybody in an open development service.
    RegistryWriter,
    /// Holder of `CI_UPLOAD_SECRET`.
    Ci,
    /// Holder of `ADMIN_SECRET`.
    Operator,
    /// A peer of parties; [`Call::caller`] is its id.
    Peer,
    /// Another object of this service.
    Service,
}

/// One HTTP request, or one WebSocket upgrade, as an object sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What is asked for.
    pub operation: Operation,
    /// Values of the route's `{…}` segments, percent-decoded, in order.
    pub params: Vec<String>,
    /// The query string without `?`, as sent.
    pub query: String,
    /// Who asks.
    pub principal: Principal,
    /// Where from.
    pub client: ClientNetwork,
    /// For logs and problem bodies.
    pub request_id: String,
    /// The bearer token as sent, for operations whose credentials only the object can judge.
    pub bearer: Option<String>,
    /// The `If-Match` header as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// The whole `Authorization` header as sent, for dialects whose refusals depend on how it is wrong; of a signed message
    /// its `Waystation-Signature`, and of a billing user's script its `X-CSRFToken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// The `Content-Type` header as sent, where the route takes more than JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The `Idempotency-Key` header as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What a browser sent beside, where a page is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<Browser>,
    /// Which one of its kind the principal is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The body, at most as long as the route allows. Travels beside the head, not in it.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// What a browser says beside a request: where it thinks it is, what it keeps for us, and whose page sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Browser {
    /// Scheme and host that the request was sent to, without a slash at the end.
    pub base: String,
    /// The `Cookie` header as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The `Origin` header as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A WebSocket message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

/// Something that must happen outside the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send text to one socket; nothing happens when it is gone.
    Send {
        /// To whom.
        conn: Conn,
        /// The frame.
        text: String,
    },
    /// Send the same text to many sockets.
    SendMany {
        /// To whom.
        conns: Vec<Conn>,
        /// The frame.
        text: String,
    },
    /// Close a socket. No `closed` event follows for it.
    Close {
        /// Which.
        conn: Conn,
        /// 1000, 1009, 1011, 1013 or 4000..=4999.
        code: u16,
        /// At most 123 bytes, never text from a client.
        reason: &'static str,
    },
    /// Replace what is kept with a socket over hibernation; given back as [`Restored::attachment`].
    Attach {
        /// Which.
        conn: Conn,
        /// At most [`ATTACHMENT_BYTES_MAX`].
        attachment: String,
    },
    /// Run an errand. [`Object::told`] follows exactly once, unless the object is rebuilt before.
    Ask {
        /// What the object will know the outcome by.
        ticket: Ticket,
        /// What to do.
        errand: Errand,
    },
    /// Answer a call that was put off with [`Answer::Later`].
    Answer {
        /// Which.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Print a line to the log.
    Log(Notice),
    /// Hand a socket over to another object for good: it is opened there with `call`, and from now on frames pass through
    /// both ways, beginning with `first`. No further message of it is heard here, but its end is.
    Transfer {
        /// Which.
        conn: Conn,
        /// The other object's class.
        class: Class,
        /// The other object's name.
        name: String,
        /// The upgrade request to open it with.
        call: Box<Call>,
        /// The text frame that has come already.
        first: String,
    },
}

/// What an object has to tell the operator: a closed list, so that nothing else gets into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Uploaded rows that were there before.
    DroppedRows {
        /// How many.
        dropped: u64,
        /// Of how many that were to be kept.
        saving: u64,
        /// The table, by the name that uploads give it.
        table: &'static str,
        /// The server's host name, which is public.
        hostname: String,
        /// The server's uuid.
        server: String,
    },
}

/// How a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// At once.
    Now(Reply),
    /// When [`Action::Answer`] names the ticket. A fault before that answers with 500.
    Later(Ticket),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}

/// The platform keeps 16,384 bytes per socket, structured-clone framing and our own connection number included.
pub const ATTACHMENT_BYTES_MAX: usize = 16_000;

/// A socket that was open when the object's memory went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The same number as before.
    pub conn: Conn,
    /// What was attached last.
    pub attachment: String,
}

/// The answer to an upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Accept the socket and keep this attachment with it. Actions of the same turn may already name it.
    Accept {
        /// As [`Action::Attach`].
        attachment: String,
    },
    /// Answer without upgrading.
    Refuse(Reply),
}

/// One event of one object: its clock, its randomness, its storage, and the list of what must happen afterwards.
pub struct Turn<'a> {
    /// The time of the event; it does not move while the event is handled.
    pub now: Timestamp,
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
    /// The object's database.
    pub sql: &'a dyn Sql,
    /// What must happen after the commit, in order.
    pub actions: &'a mut Vec<Action>,
}

impl Turn<'_> {
    /// Commits the event's writes. Call it at most once per event, after deciding and before adding actions.
    ///
    /// Errors: as [`Sql::commit`].
    pub fn commit(&self, batch: Vec<Statement>) -> Result<(), Fault> {
        self.sql.commit(batch)
    }

    /// Asks for an errand.
    pub fn ask(&mut self, ticket: Ticket, errand: Errand) {
        self.actions.push(Action::Ask { ticket, errand });
    }

    /// Answers a call that was put off.
    pub fn answer(&mut self, ticket: Ticket, reply: Reply) {
        self.actions.push(Action::Answer { ticket, reply });
    }

    /// Tells the operator.
    pub fn log(&mut self, notice: Notice) {
        self.actions.push(Action::Log(notice));
    }

    /// Asks for `text` to be sent to `conn`.
    pub fn send(&mut self, conn: Conn, text: String) {
        self.actions.push(Action::Send { conn, text });
    }
}

/// What lives behind one Durable Object, native and in the Worker alike.
///
/// Every method handles one event: parse, load, decide, commit, answer. A [`Fault`] means that nothing of the event
/// counts: the shell drops the object and rebuilds it from storage and attachments.
pub trait Object {
    /// An HTTP request.
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault>;

    /// A WebSocket upgrade request that would become `conn`. Objects without sockets leave the socket events as they are.
    fn open(&mut self, _turn: &mut Turn<'_>, _conn: Conn, call: &Call) -> Result<Opening, Fault> {
        Ok(Opening::Refuse(Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id)))
    }

    /// A message from a socket.
    fn message(&mut self, _turn: &mut Turn<'_>, _conn: Conn, _frame: Frame<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// A socket is gone, by its own wish or by accident.
    fn closed(&mut self, _turn: &mut Turn<'_>, _conn: Conn) -> Result<(), Fault> {
        Ok(())
    }

    /// An errand is done. An object that asks for none needs no answer to this.
    fn told(&mut self, _turn: &mut Turn<'_>, _ticket: Ticket, _outcome: Outcome) -> Result<(), Fault> {
        Ok(())
    }

    /// The alarm rang. May come late, twice, or without anything being due.
    fn alarm(&mut self, _turn: &mut Turn<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// When the alarm should ring next, asked after every event.
    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}
