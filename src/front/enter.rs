//! From a request to the place that answers it.

use super::about;
use super::auth::{authorise, bearer_of};
use super::dialect;
use super::docs;
pub use super::find::Refused;
use super::find::{Found, find, methods};
use super::head::{Head, Method, Wish};
use super::routes::{Dialect, Room, Route, To, Who};
use crate::kernel::code::ErrorCode;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Browser, Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::{Media, Problem, Reply};
use crate::kernel::settings::{SettingProblem, Settings};
use crate::kernel::time::Timestamp;

/// The longest room or registry name. Units: characters.
pub const OBJECT_NAME_MAX: usize = 128;

/// A request that passed the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Its row; nothing for `OPTIONS`, which needs none.
    pub route: Option<&'static Route>,
    /// What comes next.
    pub step: Step,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The answer is here.
    Answer(Reply),
    /// An object answers.
    Object {
        /// Its class.
        class: Class,
        /// Its name within the class.
        name: String,
        /// The call; its body is still to be read when the route takes one.
        call: Call,
    },
    /// An object of the room answers; the room says which when it has seen the body.
    Room {
        /// The room.
        room: Room,
        /// The call; its body is still to be read when the route takes one.
        call: Call,
    },
    /// The directory of parties is asked for its counts, and they become part of the overview.
    Overview {
        /// The question.
        call: Call,
    },
    /// Every class is asked whether it answers.
    EveryClass {
        /// The probe.
        call: Call,
    },
}

/// Takes a request in.
///
/// Errors: everything that [`find`] and [`authorise`] refuse; 403 for a page of a foreign origin that opens a socket; 413
/// for a declared length beyond the route's limit; 503 while a setting is malformed.
pub fn enter(
    head: &Head,
    settings: Result<&Settings, &[SettingProblem]>,
    now: Timestamp,
) -> Result<Result<Entered, Refused>, Fault> {
    if head.method == Method::Options {
        let (rows, allow) = methods(&head.path);
        let reply = dialect::options(&rows, allow).unwrap_or_else(|| Reply::empty(200));
        return Ok(Ok(Entered { route: None, step: Step::Answer(reply) }));
    }
    let found = match find(head) {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    let route = Some(found.route);
    // Nobody looks at a page by HEAD, and following a link may use it up.
    if found.route.dialect == Dialect::Page && head.method == Method::Head {
        let reply = Reply { media: Media::Html, ..Reply::empty(200) };
        return Ok(Ok(Entered { route, step: Step::Answer(reply) }));
    }
    if found.route.operation == Operation::Health {
        return Ok(Ok(Entered { route, step: Step::Answer(about::health(now)?) }));
    }
    let admitted = settings
        .map_err(|_| Problem::plain(ErrorCode::Misconfigured))
        .and_then(|settings| admit(head, &found, settings));
    let principal = match admitted {
        Ok(principal) => principal,
        Err(problem) => return Ok(Err(Refused { route, problem })),
    };
    Ok(step(head, found, principal).map(|step| Entered { route, step }).map_err(|problem| Refused { route, problem }))
}

/// Origin, credentials and size.
fn admit(head: &Head, found: &Found, settings: &Settings) -> Result<Principal, Problem> {
    let foreign = head.origin.as_ref().is_some_and(|origin| !settings.origins.allows(origin));
    if found.route.wish == Wish::Socket && foreign {
        return Err(Problem::plain(ErrorCode::OriginNotAllowed));
    }
    let principal = authorise(found.route.who, head.authorization.as_deref(), settings)?;
    let too_long = head.content_length.is_some_and(|length| length > found.route.body_max as u64);
    if found.route.body_max > 0 && too_long {
        return Err(too_large());
    }
    Ok(principal)
}

/// The refusal of a body beyond the route's limit.
#[must_use]
pub fn too_large() -> Problem {
    Problem::new(ErrorCode::TooLarge, "Request body too large")
}

fn step(head: &Head, found: Found, principal: Principal) -> Result<Step, Problem> {
    let to = found.route.to;
    let step = match to {
        To::Front => Step::Answer(match found.route.operation {
            Operation::Docs => docs::page(),
            _ => docs::openapi(),
        }),
        To::Overview => Step::Overview { call: call(head, found, principal) },
        To::Room(room) => Step::Room { room, call: call(head, found, principal) },
        To::EveryClass => {
            Step::EveryClass { call: Call { operation: Operation::Probe, ..call(head, found, principal) } }
        }
        To::Fixed(class, name) => Step::Object { class, name: name.to_owned(), call: call(head, found, principal) },
        To::Named(class, prefix) => {
            let named = found.params.first().map(String::as_str).unwrap_or_default();
            if named.is_empty() || named.chars().count() > OBJECT_NAME_MAX {
                return Err(Problem::new(ErrorCode::InvalidPath, "Invalid name"));
            }
            Step::Object { class, name: format!("{prefix}{named}"), call: call(head, found, principal) }
        }
    };
    Ok(step)
}

/// What the browser sent beside, for those that sign in by it or make links. An operator's link needs no cookie.
fn browser(head: &Head, route: &Route) -> Option<Browser> {
    if route.operation == Operation::OperatorDeactivationLink {
        return Some(Browser { base: head.base.clone(), ..Browser::default() });
    }
    let is_asked_for = route.to == To::Room(Room::Billing) || route.operation == Operation::PushBilling;
    is_asked_for.then(|| Browser { base: head.base.clone(), cookie: head.cookie.clone(), origin: head.origin.clone() })
}

fn call(head: &Head, found: Found, principal: Principal) -> Call {
    let bearer = head.authorization.as_deref().and_then(bearer_of);
    let is_ours = found.route.dialect == Dialect::Ours;
    let credentials = match found.route.who {
        Who::Signer => head.signature.clone(),
        Who::BillingUser => head.form_token.clone(),
        // A secret that was recognised travels no further.
        _ => head.authorization.clone().filter(|_| !is_ours && principal == Principal::Anonymous),
    };
    Call {
        operation: found.route.operation,
        params: found.params,
        query: head.query.clone(),
        principal,
        client: head.client.clone(),
        request_id: head.request_id.clone(),
        bearer: bearer.filter(|_| principal == Principal::Anonymous).map(str::to_owned),
        if_match: head.if_match.clone(),
        authorization: credentials,
        content_type: head.content_type.clone().filter(|_| !is_ours),
        idempotency_key: head.idempotency_key.clone(),
        browser: browser(head, found.route),
        caller: None,
        body: Vec::new(),
    }
}
