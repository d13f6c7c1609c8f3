//! The one table of routes: the matcher, authorisation, the OpenAPI document and the tests all read it.
//!
//! A row without "who may call" does not compile, because [`Route`] has no default.

mod attestation;
mod billing;
mod core;
mod operator;
mod parties;
mod push;

use super::head::{Method, Wish};
use crate::kernel::operation::{Class, Operation};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Anybody.
    Anyone,
    /// The holder of `SERVER_REGISTRY_SECRET`; anybody in `DEV_MODE` without that secret.
    RegistryWriter,
    /// As [`Who::RegistryWriter`], or whoever proves in the body that it owns the entry: the object decides.
    RegistryWriterOrOwner,
    /// The holder of `CI_UPLOAD_SECRET`.
    Ci,
    /// The holder of `ADMIN_SECRET`.
    Operator,
    /// The holder of a peer's token, which the identities' object judges.
    Peer,
    /// As [`Who::Peer`], or the holder of `SERVER_REGISTRY_SECRET` or `ADMIN_SECRET`.
    PeerOrRegistryWriter,
    /// A registered self-hosted server by its Basic credentials, which its object judges.
    RemoteServer,
    /// A billing user, by the session in a cookie, which the server's object judges.
    BillingUser,
    /// A peer with its token, or somebody who shows it in the first message.
    PeerOrLater,
    /// Whoever has signed the message, in the header `Waystation-Signature`, which an object judges.
    Signer,
    /// The holder of `ADMIN_SECRET`, or of an operator's token, which an object judges.
    PushOperator,
}

/// Where the answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// In the front, without an object.
    Front,
    /// In the front after asking every class.
    EveryClass,
    /// In the object of this class with a fixed name.
    Fixed(Class, &'static str),
    /// In the object of this class that the prefix and the first path parameter name together.
    Named(Class, &'static str),
    /// In an object that the room names when it has seen the call with its body.
    Room(Room),
    /// In the front, after asking the directory of parties for its counts.
    Overview,
}

/// A room that says itself which of its objects a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Parties.
    Parties,
    /// The push bouncer.
    Push,
    /// Billing users of servers and organizations that push.
    Billing,
}

/// In which envelope the front refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 9457, with the sentence in `error` too.
    Ours,
    /// `{"detail": …}`, as the field's party clients read it.
    Detail,
    /// `{"result":"error","msg":…,"code":…}`, as self-hosted chat servers read it.
    Push,
    /// A page, for people.
    Page,
}

/// One answer that an operation can give, for the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When.
    pub when: &'static str,
    /// The name of the body's schema in the document; problems all have the same.
    pub schema: Option<&'static str>,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method; `HEAD` comes with `GET`.
    pub method: Method,
    /// The path; `{name}` stands for one non-empty segment.
    pub template: &'static str,
    /// Whether the row is a WebSocket.
    pub wish: Wish,
    /// What is asked for.
    pub operation: Operation,
    /// Where the answer is made.
    pub to: To,
    /// How the front refuses.
    pub dialect: Dialect,
    /// Who may call.
    pub who: Who,
    /// The largest body. Units: bytes; 0 for none.
    pub body_max: usize,
    /// One sentence for the document.
    pub summary: &'static str,
    /// The query parameters that it takes.
    pub query: &'static [&'static str],
    /// The name of the request body's schema in the document.
    pub request: Option<&'static str>,
    /// What can be answered, beside what every route can (413, 429, 500, 503).
    pub answers: &'static [Answer],
}

const fn ok(schema: &'static str) -> Answer {
    Answer { status: 200, when: "Done.", schema: Some(schema) }
}
const fn problem(status: u16, when: &'static str) -> Answer {
    Answer { status, when, schema: Some("Problem") }
}
const NOT_MODIFIED: Answer = Answer { status: 304, when: "The copy with the named `ETag` is current.", schema: None };
const INVALID: Answer = problem(400, "The request is not valid.");
const UNAUTHORIZED: Answer = problem(401, "Credentials are missing or wrong.");
const UPGRADED: Answer = Answer { status: 101, when: "The WebSocket is open.", schema: None };
const NEEDS_UPGRADE: Answer = problem(426, "The request is not a WebSocket upgrade.");
const BAD_ORIGIN: Answer = problem(403, "The page's origin is not allowed.");
const TAKEN: Answer = problem(409, "Another reference is kept for this build.");
const SOCKET: &[Answer] = &[UPGRADED, BAD_ORIGIN, NEEDS_UPGRADE];

const fn get(template: &'static str, operation: Operation, to: To, who: Who, summary: &'static str) -> Route {
    Route {
        method: Method::Get,
        template,
        wish: Wish::Answer,
        operation,
        to,
        dialect: Dialect::Ours,
        who,
        body_max: 0,
        summary,
        query: &[],
        request: None,
        answers: &[],
    }
}

const fn post(template: &'static str, operation: Operation, to: To, who: Who, summary: &'static str) -> Route {
    Route { method: Method::Post, ..get(template, operation, to, who, summary) }
}

const fn socket(template: &'static str, operation: Operation, to: To, summary: &'static str) -> Route {
    Route { wish: Wish::Socket, answers: SOCKET, ..get(template, operation, to, Who::Anyone, summary) }
}

/// Every route of the service.
pub const ROUTES: &[Route] =
    &join::<
        {
            core::TABLE.len()
                + attestation::TABLE.len()
                + parties::TABLE.len()
                + push::TABLE.len()
                + operator::TABLE.len()
                + billing::TABLE.len()
        },
    >(&[core::TABLE, attestation::TABLE, parties::TABLE, push::TABLE, operator::TABLE, billing::TABLE]);

/// One table of several. The compiler runs it, and stops at a wrong length.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn join<const LENGTH: usize>(tables: &[&[Route]]) -> [Route; LENGTH] {
    let mut joined = [tables[0][0]; LENGTH];
    let (mut table, mut row, mut at) = (0, 0, 0);
    while table < tables.len() {
        while row < tables[table].len() {
            joined[at] = tables[table][row];
            row += 1;
            at += 1;
        }
        table += 1;
        row = 0;
    }
    joined
}
