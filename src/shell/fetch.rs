//! A request at the door: from the runtime's `Request` to the runtime's `Response`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use futures::future::join_all;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{Request, Response};

use super::ambient::{self, Configured, SystemEntropy, platform};
use super::bindings::{self, call_object, constant_headers, open_object, read_body, respond, respond_again};
use super::rooms;
use crate::attestation::object::handoff;
use crate::front::about::{self, ClassState, Counts, PartyCounts};
use crate::front::admissions::Admissions;
use crate::front::dialect::{dialect_of, refuse};
use crate::front::enter::{Entered, Refused, Step, enter, too_large};
use crate::front::finish::{CONSTANT_HEADERS, Finished, finish};
use crate::front::head::{Head, Method, Wish, accept_request_id, trace_id};
use crate::front::limiter::{Limiter, Standing};
use crate::front::list_cache::ListCache;
use crate::front::log;
use crate::front::routes::{Room, Route};
use crate::kernel::code::ErrorCode;
use crate::kernel::entropy::random_bytes;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::LogLevel;
use crate::kernel::time::Timestamp;

/// What the front remembers in this isolate. Losing it costs nothing but a moment.
pub(super) struct Memory {
    limiter: Limiter,
    list: ListCache,
    counts: Counts,
    /// Whose tokens were judged lately.
    pub(super) admissions: Admissions,
    /// The constant headers, ready to be copied.
    constant: JsValue,
    /// The last answer that was the same for everybody, ready to be sent again.
    prepared: Option<Prepared>,
    /// What request ids of this isolate begin with, and how many there have been.
    request_ids: (String, u64),
}

/// An answer's headers and body as JavaScript values, so that sending it again copies neither.
struct Prepared {
    operation: Operation,
    etag: String,
    headers: JsValue,
    body: JsValue,
}

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// One request with everything needed to finish and log it.
struct Visit {
    head: Head,
    configured: Configured,
    standing: Standing,
    started: Timestamp,
    route: Option<&'static Route>,
}

/// Handles a request. Answers a `Response`, or a promise of one when a body or an object has to be waited for.
#[wasm_bindgen]
pub fn fetch(request: &Request, env: &JsValue) -> Result<JsValue, JsError> {
    let configured = ambient::settings(env);
    let header = configured.as_ref().map_or("CF-Connecting-IP", |settings| settings.client_address_header.as_str());
    let limit = configured.as_ref().map_or(600, |settings| settings.rate_limit_per_minute);
    let head = read_head(request, header, limit);
    let started = ambient::now();
    let standing = with_memory(limit, |memory| memory.limiter.take(&head.client, started));
    let mut visit = Visit { head, configured, standing, started, route: None };
    if matches!(standing, Standing::Refused { .. }) {
        return Ok(visit.refuse(Problem::new(ErrorCode::RateLimited, "Too Many Requests")));
    }
    let settings = visit.configured.as_deref().map_err(Vec::as_slice);
    let entered = match enter(&visit.head, settings, started) {
        Ok(Ok(entered)) => entered,
        Ok(Err(Refused { route, problem })) => {
            visit.route = route;
            return Ok(visit.refuse(problem));
        }
        Err(fault) => return Ok(visit.fail(&fault)),
    };
    visit.route = entered.route;
    Ok(follow(request, env, visit, entered))
}

/// Takes the next step: here and now where possible, else in a promise.
fn follow(request: &Request, env: &JsValue, visit: Visit, entered: Entered) -> JsValue {
    match entered.step {
        Step::Answer(reply) => visit.answer(reply),
        Step::EveryClass { call } => {
            let env = env.clone();
            future_to_promise(async move { Ok(visit.answer_or_fail(probe_all(&env, call, &visit).await)) }).into()
        }
        Step::Overview { call } => {
            let kept = with_memory(0, |memory| memory.counts.get(visit.started));
            if let Some(counts) = kept {
                return visit.answer_or_fail(about::overview(counts));
            }
            let env = env.clone();
            future_to_promise(async move { Ok(visit.answer_or_fail(overview(&env, call).await)) }).into()
        }
        Step::Room { room, call } => {
            let (env, request) = (env.clone(), JsValue::from(request));
            future_to_promise(async move { Ok(enter_room(&request, &env, room, call, visit).await) }).into()
        }
        Step::Object { class, name, call } if visit.head.wish == Wish::Socket && visit.is_socket() => {
            let env = env.clone();
            future_to_promise(async move { Ok(upgrade(&env, class, &name, &call, visit).await) }).into()
        }
        Step::Object { class, name, call } => {
            let cached = (call.operation == Operation::ServersList)
                .then(|| with_memory(0, |memory| memory.list.get(visit.started).cloned()))
                .flatten();
            if let Some(reply) = cached {
                return visit.answer(reply);
            }
            let (env, request) = (env.clone(), JsValue::from(request));
            future_to_promise(async move {
                let reply = ask(&request, &env, class, &name, call, &visit).await;
                Ok(visit.answer_or_fail(reply))
            })
            .into()
        }
    }
}

/// Reads the body, asks the object, keeps what may be kept.
async fn ask(
    request: &JsValue,
    env: &JsValue,
    class: Class,
    name: &str,
    call: Call,
    visit: &Visit,
) -> Result<Reply, Fault> {
    let body = match receive(request, visit).await? {
        Ok(body) => body,
        Err(problem) => {
            return Ok(refuse(problem, dialect_of(visit.route, &visit.head.path), &call.request_id));
        }
    };
    let reply = call_through(env, (class, name), &call, body).await?;
    with_memory(0, |memory| {
        memory.list.forget_after(call.operation);
        if call.operation == Operation::ServersList {
            memory.list.keep(&reply, ambient::now());
        }
    });
    Ok(reply)
}

/// The body of a request, as far as the route takes one.
async fn receive(request: &JsValue, visit: &Visit) -> Result<Result<Uint8Array, Problem>, Fault> {
    let body_max = visit.route.map_or(0, |route| route.body_max);
    if body_max == 0 {
        return Ok(Ok(Uint8Array::new_with_length(0)));
    }
    let max = u32::try_from(body_max).unwrap_or(u32::MAX);
    let read = read_body(request, max).map_err(|error| platform(&error))?;
    // Who hangs up in the middle of a body is told nothing, and is no trouble of ours.
    let Ok(bytes) = JsFuture::from(read).await else {
        return Ok(Err(Problem::new(ErrorCode::InvalidRequest, "The body was not received")));
    };
    Ok(bytes.dyn_into::<Uint8Array>().map_err(|_| too_large()))
}

/// Asks the directory of parties for its counts. When it does not answer, the overview does without them.
async fn overview(env: &JsValue, call: Call) -> Result<Reply, Fault> {
    let call = Call { principal: Principal::Service, ..call };
    let directory = (Class::PartyDirectory, "global");
    let reply = call_once(env, directory.0, directory.1, &call, Uint8Array::new_with_length(0)).await;
    let counts = reply.ok().as_ref().and_then(PartyCounts::parse);
    if let Some(counts) = counts {
        with_memory(0, |memory| memory.counts.keep(counts, ambient::now()));
    }
    about::overview(counts.unwrap_or_default())
}

/// A request whose room says which object answers: read the body, find out who calls, ask.
async fn enter_room(request: &JsValue, env: &JsValue, room: Room, call: Call, visit: Visit) -> JsValue {
    let body = match receive(request, &visit).await {
        Ok(Ok(body)) => body,
        Ok(Err(problem)) => return visit.refuse(problem),
        Err(fault) => return visit.fail(&fault),
    };
    let call = Call { body: body.to_vec(), ..call };
    let settings = match visit.configured.as_ref() {
        Ok(settings) => Rc::clone(settings),
        Err(_) => return visit.refuse(Problem::plain(ErrorCode::Misconfigured)),
    };
    let addressed = rooms::find(env, room, &settings, visit.route, call).await;
    let (class, name, call) = match addressed {
        Ok(Ok(addressed)) => addressed,
        Ok(Err(refusal)) => return visit.answer(refusal),
        Err(fault) => return visit.fail(&fault),
    };
    if visit.head.wish == Wish::Socket && visit.is_socket() {
        return upgrade(env, class, &name, &call, visit).await;
    }
    let body = Uint8Array::from(call.body.as_slice());
    let reply = call_through(env, (class, &name), &call, body).await;
    if let Ok(reply) = &reply {
        rooms::forget_after(call.operation, reply);
    }
    visit.answer_or_fail(reply)
}

/// Asks an object, and whichever it refers to: objects cannot call one another within an event, so an answer may be a
/// note for the next one.
pub(super) async fn call_through(
    env: &JsValue,
    (class, name): (Class, &str),
    call: &Call,
    body: Uint8Array,
) -> Result<Reply, Fault> {
    let mut reply = call_once(env, class, name, call, body).await?;
    let mut asked = Cow::Borrowed(call);
    for _ in 0..handoff::HOPS_MAX {
        let Some((class, name, next)) = handoff::next_call(&reply, &asked) else { return Ok(reply) };
        reply = call_once(env, class, &name, &next, Uint8Array::from(next.body.as_slice())).await?;
        asked = Cow::Owned(next);
    }
    match handoff::next_call(&reply, &asked) {
        None => Ok(reply),
        Some(_) => Err(Fault::Platform(String::from("an answer was handed on too often"))),
    }
}

pub(super) async fn call_once(
    env: &JsValue,
    class: Class,
    name: &str,
    call: &Call,
    body: Uint8Array,
) -> Result<Reply, Fault> {
    let promise = call_object(env, class.binding(), name, &to_json(call)?, body).map_err(|error| platform(&error))?;
    let answer = JsFuture::from(promise).await.map_err(|error| platform(&error))?;
    reply_from_js(&answer)
}

async fn upgrade(env: &JsValue, class: Class, name: &str, call: &Call, visit: Visit) -> JsValue {
    let opened = async {
        let promise = open_object(env, class.binding(), name, &to_json(call)?).map_err(|error| platform(&error))?;
        let response = JsFuture::from(promise).await.map_err(|error| platform(&error))?;
        response.dyn_into::<Response>().map_err(|_| Fault::Platform(String::from("not a response")))
    };
    match opened.await {
        // Passed on as it is: an upgrade takes no headers of ours, and a refusal has its own.
        Ok(response) => {
            visit.log(response.status());
            response.into()
        }
        Err(fault) => visit.fail(&fault),
    }
}

/// Asks one object of every class, all at once.
async fn probe_all(env: &JsValue, call: Call, visit: &Visit) -> Result<Reply, Fault> {
    let asked = Class::ALL.map(|class| {
        let call = &call;
        async move {
            let reply = call_once(env, class, "readiness", call, Uint8Array::new_with_length(0)).await;
            ClassState { class: class.name(), ok: reply.is_ok_and(|reply| reply.status == 200) }
        }
    });
    let missing = visit.configured.as_ref().map(|settings| settings.missing_secrets.clone()).unwrap_or_default();
    about::readiness(join_all(asked).await, missing)
}

impl Visit {
    fn is_socket(&self) -> bool {
        self.route.is_some_and(|route| route.wish == Wish::Socket)
    }

    fn answer(&self, reply: Reply) -> JsValue {
        let finished = finish(reply, &self.head, self.standing, self.configured.as_deref().ok());
        self.log(finished.status);
        let operation = self.route.map(|route| route.operation).filter(|operation| is_public_document(*operation));
        with_memory(0, |memory| memory.respond(&finished, operation))
    }

    fn answer_or_fail(&self, reply: Result<Reply, Fault>) -> JsValue {
        match reply {
            Ok(reply) => self.answer(reply),
            Err(fault) => self.fail(&fault),
        }
    }

    fn refuse(&self, problem: Problem) -> JsValue {
        let dialect = dialect_of(self.route, &self.head.path);
        self.answer(refuse(problem, dialect, &self.head.request_id))
    }

    fn fail(&self, fault: &Fault) -> JsValue {
        let now = ambient::now();
        ambient::print_error(|| log::front_fault_line(fault, &self.head.request_id, now));
        self.refuse(Problem::new(ErrorCode::Internal, "Internal server error"))
    }

    fn log(&self, status: u16) {
        let wanted = self.configured.as_ref().map_or(LogLevel::Info, |settings| settings.log_level);
        let line = || log::request_line(&self.head, self.route, status, self.started, ambient::now());
        ambient::print(log::level_of(status), wanted, line);
    }
}

/// Whether an answer with an entity tag is the same answer, to the byte and header, whenever the tag is the same. Other
/// operations sign or date each answer anew, or tag a refusal with what it was refused for.
const fn is_public_document(operation: Operation) -> bool {
    matches!(operation, Operation::ServersList | Operation::OpenApi | Operation::Docs)
}

impl Memory {
    /// `document` names the operation when its answers may be prepared.
    fn respond(&mut self, finished: &Finished, document: Option<Operation>) -> JsValue {
        let has_origin = finished.request_headers.iter().any(|(name, _)| name.starts_with("Access-"));
        let mut own = String::with_capacity(256);
        finished.request_headers.iter().for_each(|(name, value)| push_header(&mut own, name, value));
        let etag = finished.entity_headers.iter().find(|(name, _)| name == "ETag").map(|(_, value)| value);
        let is_prepared = |prepared: &&Prepared| Some(prepared.operation) == document && Some(&prepared.etag) == etag;
        if let Some(prepared) = self.prepared.as_ref().filter(is_prepared) {
            let body = if finished.body.is_some() { &prepared.body } else { &JsValue::NULL };
            // Without an origin, the request's own headers are the same ones every time.
            return if has_origin {
                respond(finished.status, &prepared.headers, &own, body)
            } else {
                respond_again(finished.status, &prepared.headers, &own, body)
            };
        }
        let mut entity = String::with_capacity(512);
        finished.entity_headers.iter().for_each(|(name, value)| push_header(&mut entity, name, value));
        let body = finished.body.as_deref().map_or(JsValue::NULL, JsValue::from_str);
        if let (Some(operation), Some(etag), true) = (document, etag, finished.body.is_some()) {
            let headers = constant_headers(&format!("{}{entity}", constant_text()));
            self.prepared = Some(Prepared { operation, etag: etag.clone(), headers, body: body.clone() });
        }
        entity.push_str(&own);
        respond(finished.status, &self.constant, &entity, &body)
    }

    /// An id that no other request of this or any other isolate has.
    fn next_request_id(&mut self) -> String {
        self.request_ids.1 += 1;
        format!("{}{:08x}", self.request_ids.0, self.request_ids.1)
    }
}

pub(super) fn with_memory<T>(limit_per_minute: u64, use_it: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with_borrow_mut(|slot| {
        let memory = slot.get_or_insert_with(|| Memory {
            limiter: Limiter::new(limit_per_minute),
            list: ListCache::default(),
            counts: Counts::default(),
            admissions: Admissions::default(),
            constant: constant_headers(&constant_text()),
            prepared: None,
            request_ids: (hex::encode(random_bytes::<8>(&mut SystemEntropy)), 0),
        });
        use_it(memory)
    })
}

fn constant_text() -> String {
    let mut text = String::new();
    CONSTANT_HEADERS.iter().for_each(|(name, value)| push_header(&mut text, name, value));
    text
}

pub(super) fn push_header(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push('\n');
    text.push_str(value);
    text.push('\n');
}

fn read_head(request: &Request, client_address_header: &str, limit: u64) -> Head {
    let text = bindings::read_head(request, client_address_header);
    let mut lines = text.split('\n');
    let mut line = || lines.next().filter(|line| !line.is_empty());
    let method = Method::parse(line().unwrap_or_default());
    let url = line().unwrap_or_default();
    let host_at = url.find("://").map_or(0, |at| at + 3);
    let path_at = url.get(host_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host_at + at);
    let (base, target) = url.split_at_checked(path_at).unwrap_or((url, ""));
    let target = if target.is_empty() { "/" } else { target };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let wants_socket = line().is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    Head {
        method,
        base: base.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        wish: if wants_socket { Wish::Socket } else { Wish::Answer },
        client: ClientNetwork::from_header(line()),
        origin: line().map(str::to_owned),
        authorization: line().map(str::to_owned),
        if_none_match: line().map(str::to_owned),
        if_match: line().map(str::to_owned),
        content_type: line().map(str::to_owned),
        idempotency_key: line().map(str::to_owned),
        content_length: line().and_then(|length| length.parse().ok()),
        request_id: line()
            .and_then(accept_request_id)
            .map_or_else(|| with_memory(limit, Memory::next_request_id), str::to_owned),
        trace_id: line().and_then(trace_id).map(str::to_owned),
        cookie: line().map(str::to_owned),
        signature: line().map(str::to_owned),
        form_token: line().map(str::to_owned),
    }
}

/// An answer that leaves an object without passing through the front: refused upgrades.
pub(super) fn plain_response(reply: &Reply) -> JsValue {
    let mut headers = String::new();
    push_header(&mut headers, "Content-Type", reply.media.content_type());
    reply.headers.iter().for_each(|(name, value)| push_header(&mut headers, name, value));
    with_memory(0, |memory| respond(reply.status, &memory.constant, &headers, &JsValue::from_str(&reply.body)))
}

/// An answer on its way from an object to the front.
pub(super) fn reply_to_js(reply: &Reply) -> JsValue {
    let head = to_json(reply).unwrap_or_default();
    Array::of2(&JsValue::from_str(&head), &JsValue::from_str(&reply.body)).into()
}

fn reply_from_js(answer: &JsValue) -> Result<Reply, Fault> {
    let parts = Array::from(answer);
    let text = |index| parts.get(index).as_string().ok_or_else(|| Fault::Platform(String::from("not an answer")));
    let head: Reply = serde_json::from_str(&text(0)?).map_err(|error| Fault::Platform(error.to_string()))?;
    Ok(Reply { body: text(1)?, ..head })
}
