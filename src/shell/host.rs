//! One Durable Object as the runtime sees it: events in, actions out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use web_sys::WebSocket;
use worker::worker_sys::ext::WebSocketExt;
use worker::worker_sys::{DurableObjectState, WebSocketPair, WebSocketRequestResponsePair};

use super::ambient::{self, Configured, SystemEntropy, platform};
use super::bindings::{Port, last_auto_response, mark_socket, send_all, set_alarm, upgraded};
use super::errands;
use super::fetch::{plain_response, reply_to_js};
use super::objects;
use super::sql::ObjectSql;
use crate::front::log;
use crate::kernel::backlog::{Backlog, Verdict};
use crate::kernel::code::ErrorCode;
use crate::kernel::errand::Ticket;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::migration::migrate;
use crate::kernel::object::{Action, Answer, ByConn, Call, Conn, Frame, Object, Opening, Restored, Turn};
use crate::kernel::operation::Class;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::LogLevel;
use crate::kernel::time::Timestamp;

/// The keep-alive that the runtime answers itself, without waking the object.
const PING: &str = r#"{"type":"ping"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// The object's memory. Thrown away on every fault, rebuilt from storage and attachments.
struct Live {
    object: Box<dyn Object>,
    socket_by_conn: ByConn<WebSocket>,
    backlog: Backlog,
    next_conn: u32,
    /// When the alarm is set to ring, as far as this memory knows.
    armed: Option<Timestamp>,
    /// Which life of the object this is. What was asked in another one is not told to this one.
    life: u32,
}

/// One Durable Object. The methods are the runtime's events; `shim.mjs` calls them.
#[wasm_bindgen]
pub struct ObjectHost {
    class: Class,
    state: DurableObjectState,
    sql: ObjectSql,
    env: JsValue,
    port: Port,
    settings: Configured,
    live: RefCell<Option<Live>>,
    /// What the object attached and the sockets do not have yet. Outlives a fault, as the sockets' own attachments do.
    unsaved: RefCell<ByConn<String>>,
    /// Who waits for an answer that was put off: the functions that settle their promises.
    waiting: RefCell<BTreeMap<Ticket, Function>>,
    lives: Cell<u32>,
    /// Whether the shim was asked to call [`ObjectHost::save`].
    save_is_due: Cell<bool>,
}

#[wasm_bindgen]
impl ObjectHost {
    /// The object of class `class_name`. Does no work until the first event.
    #[wasm_bindgen(constructor)]
    pub fn new(class_name: &str, state: DurableObjectState, env: &JsValue, port: Port) -> Result<Self, JsError> {
        let class = Class::ALL.into_iter().find(|class| class.name() == class_name);
        let class = class.ok_or_else(|| JsError::new("no such class"))?;
        let storage = state.storage().map_err(|_| JsError::new("no storage"))?;
        Ok(Self {
            class,
            state,
            sql: ObjectSql::new(storage),
            env: env.clone(),
            port,
            settings: ambient::settings(env),
            live: RefCell::new(None),
            unsaved: RefCell::default(),
            waiting: RefCell::default(),
            lives: Cell::new(0),
            save_is_due: Cell::new(false),
        })
    }

    /// An HTTP request: its head as JSON and its body. Answers `[head as JSON, body]`, or a promise of it.
    pub fn call(&self, head: &str, body: Vec<u8>) -> JsValue {
        let Ok(call) = serde_json::from_str::<Call>(head) else { return refused("") };
        let call = Call { body, ..call };
        let answered = self.event(|live, turn| {
            let answer = live.object.call(turn, &call)?;
            Ok(match answer {
                Answer::Now(reply) => reply_to_js(&reply),
                Answer::Later(ticket) => self.promise(ticket),
            })
        });
        match answered {
            Ok(answer) => answer,
            Err(fault) => {
                self.log_fault(&fault, Some(&call.request_id));
                refused(&call.request_id)
            }
        }
    }

    /// A WebSocket upgrade: its head as JSON. Answers a `Response`.
    pub fn open(&self, head: &str) -> JsValue {
        let Ok(call) = serde_json::from_str::<Call>(head) else {
            return plain_response(&Problem::plain(ErrorCode::Internal).into_reply(""));
        };
        match self.event(|live, turn| self.accept(live, turn, &call)) {
            Ok(response) => {
                self.save_now();
                response
            }
            Err(fault) => {
                self.log_fault(&fault, Some(&call.request_id));
                plain_response(&Problem::plain(ErrorCode::Internal).into_reply(&call.request_id))
            }
        }
    }

    /// A text message of `length` bytes, which stands in [`scratch`]. Answers whether to call [`ObjectHost::save`] soon;
    /// so for the following events.
    pub fn text(&self, conn: u32, length: usize) -> bool {
        let taken = SCRATCH.with_borrow_mut(std::mem::take);
        if let Some(text) = taken.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            self.frame(Conn(conn), Frame::Text(text));
        }
        SCRATCH.with_borrow_mut(|slot| *slot = taken);
        self.wants_save()
    }

    /// A binary message.
    pub fn binary(&self, conn: u32, bytes: &[u8]) -> bool {
        self.frame(Conn(conn), Frame::Binary(bytes));
        self.wants_save()
    }

    /// A socket is gone.
    pub fn closed(&self, conn: u32) -> bool {
        let conn = Conn(conn);
        let outcome = self.event(|live, turn| {
            live.backlog.forget(conn);
            self.unsaved.borrow_mut().remove(&conn);
            match live.socket_by_conn.remove(&conn) {
                Some(_) => live.object.closed(turn, conn),
                None => Ok(()),
            }
        });
        self.note(outcome);
        self.wants_save()
    }

    /// An errand of the object's `life` is done; its promise was settled with `[kind, head, body]`.
    pub fn told(&self, life: u32, ticket: u32, kind: &str, head: &str, body: &JsValue) -> bool {
        let outcome = errands::outcome_from_js(kind, head, body);
        let same_life = self.live.borrow().as_ref().is_some_and(|live| live.life == life);
        if same_life {
            let told = self.event(|live, turn| live.object.told(turn, Ticket(ticket), outcome));
            self.note(told);
        }
        self.wants_save()
    }

    /// The alarm rang. Errors are logged and the alarm is set again, because the runtime gives up after six tries.
    pub fn alarm(&self) -> bool {
        let outcome = self.event(|live, turn| {
            live.armed = None;
            live.object.alarm(turn)
        });
        if outcome.is_err() {
            let retry_at = ambient::now().plus(ALARM_RETRY_MS);
            self.note(self.arm(retry_at));
        }
        self.note(outcome);
        self.wants_save()
    }

    /// Hands the sockets what the object attached since the last time. An attachment costs as much as a relayed message
    /// itself, and matters only when the object hibernates, which it does not do while a timer for this runs.
    pub fn save(&self) {
        self.save_is_due.set(false);
        self.save_now();
    }
}

impl ObjectHost {
    fn save_now(&self) {
        if let Some(live) = self.live.borrow().as_ref() {
            for (conn, attachment) in self.unsaved.take() {
                if let Some(socket) = live.socket_by_conn.get(&conn) {
                    self.note(attach(socket, conn, &attachment));
                }
            }
        }
    }
}

thread_local! {
    /// Where the shim writes text messages. One message at a time, so one buffer for all objects.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The address of at least `capacity` bytes that the shim may write a text message to, before it calls
/// [`ObjectHost::text`]. `TextEncoder.encodeInto` fills it several times faster than the generated glue copies a string.
#[wasm_bindgen]
#[must_use]
pub fn scratch(capacity: usize) -> *mut u8 {
    SCRATCH.with_borrow_mut(|slot| {
        // A rare large message is not paid for ever.
        if slot.len() < capacity || slot.len() > SCRATCH_KEPT_MAX.max(capacity) {
            *slot = vec![0; capacity.max(SCRATCH_KEPT_MIN)];
        }
        slot.as_mut_ptr()
    })
}

/// The memory of this instance, for the shim; a fresh instance has its own.
#[wasm_bindgen]
#[must_use]
pub fn instance_memory() -> JsValue {
    wasm_bindgen::memory()
}

const SCRATCH_KEPT_MIN: usize = 16 * 1024;
const SCRATCH_KEPT_MAX: usize = 1024 * 1024;

/// How long after a failed alarm the next one rings.
const ALARM_RETRY_MS: u64 = 10_000;

impl ObjectHost {
    /// Whether something is unsaved and nobody was asked yet to call [`ObjectHost::save`].
    fn wants_save(&self) -> bool {
        !self.unsaved.borrow().is_empty() && !self.save_is_due.replace(true)
    }

    fn frame(&self, conn: Conn, frame: Frame<'_>) {
        let outcome = self.event(|live, turn| {
            if !live.socket_by_conn.contains_key(&conn) {
                return Ok(());
            }
            live.backlog.heard(conn);
            live.object.message(turn, conn, frame)
        });
        self.note(outcome);
    }

    /// One event. After a fault the object is gone, and with it whom it owes an answer to.
    fn event<T>(&self, handle: impl FnOnce(&mut Live, &mut Turn<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let Ok(mut slot) = self.live.try_borrow_mut() else {
            return Err(Fault::Platform(String::from("an event arrived inside another")));
        };
        let outcome = self.handle(&mut slot, handle);
        if outcome.is_err() {
            self.refuse_waiting();
        }
        outcome
    }

    /// Load if needed, let the object handle it, perform its actions, arm the alarm.
    fn handle<T>(
        &self,
        slot: &mut Option<Live>,
        handle: impl FnOnce(&mut Live, &mut Turn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let now = ambient::now();
        let mut live = match slot.take() {
            Some(live) => live,
            None => self.load(now)?,
        };
        let mut actions = Vec::new();
        let mut turn = Turn { now, entropy: &mut SystemEntropy, sql: &self.sql, actions: &mut actions };
        // On a fault `live` is dropped here, and with it everything the event changed in memory.
        let outcome = handle(&mut live, &mut turn)?;
        self.perform(&mut live, actions, now)?;
        if let Some(deadline) = live.object.deadline()
            && live.armed.is_none_or(|armed| deadline < armed)
        {
            self.arm(deadline)?;
            live.armed = Some(deadline);
        }
        *slot = Some(live);
        Ok(outcome)
    }

    fn arm(&self, at: Timestamp) -> Result<(), Fault> {
        // Exact: times stay below 2^53.
        #[allow(clippy::cast_precision_loss)]
        set_alarm(self.sql.storage(), at.as_millis() as f64).map_err(|error| platform(&error))
    }

    fn load(&self, now: Timestamp) -> Result<Live, Fault> {
        let settings = self.settings.clone().map_err(|_| Fault::Setting(String::from("see the first log line")))?;
        migrate(&self.sql, objects::migrations(self.class), now)?;
        if matches!(self.class, Class::SignalingRoom | Class::RelayRegistry | Class::PartyRoom) {
            let pair = WebSocketRequestResponsePair::new(PING, PONG).map_err(|error| platform(&error))?;
            self.state.set_websocket_auto_response(&pair).map_err(|error| platform(&error))?;
        }
        let mut socket_by_conn = ByConn::default();
        let mut restored = Vec::new();
        let mut newest = 0;
        for socket in self.state.get_websockets().map_err(|error| platform(&error))? {
            let kept = socket.deserialize_attachment().map_err(|error| platform(&error))?.as_string();
            let Some((conn, attachment)) = kept.as_deref().and_then(split_attachment) else { continue };
            newest = newest.max(conn.0);
            // A socket that is closing is restored too: its close event may be what woke the object.
            if let Some(attachment) = attachment {
                let newer = self.unsaved.borrow().get(&conn).cloned();
                restored.push(Restored { conn, attachment: newer.unwrap_or_else(|| attachment.to_owned()) });
                mark_socket(&socket, conn.0);
                socket_by_conn.insert(conn, socket);
            }
        }
        let next_conn = newest.wrapping_add(1);
        let backlog = Backlog::new(settings.signal.unread_bytes_max);
        let object = objects::load(self.class, settings, &self.sql, now, restored)?;
        let life = self.lives.get().wrapping_add(1);
        self.lives.set(life);
        Ok(Live { object, socket_by_conn, backlog, next_conn, armed: None, life })
    }

    fn accept(&self, live: &mut Live, turn: &mut Turn<'_>, call: &Call) -> Result<JsValue, Fault> {
        let conn = Conn(live.next_conn);
        let attachment = match live.object.open(turn, conn, call)? {
            Opening::Accept { attachment } => attachment,
            Opening::Refuse(reply) => return Ok(plain_response(&reply)),
        };
        live.next_conn = live.next_conn.wrapping_add(1);
        let mut pair = WebSocketPair::new().map_err(|error| platform(&error))?;
        let server = pair.server().map_err(|error| platform(&error))?;
        self.state.accept_websocket(&server).map_err(|error| platform(&error))?;
        mark_socket(&server, conn.0);
        attach(&server, conn, &attachment)?;
        live.socket_by_conn.insert(conn, server);
        Ok(upgraded(&pair.client().map_err(|error| platform(&error))?))
    }

    /// Performs actions in order; sockets that do not read are cut, which the object hears like any other close.
    fn perform(&self, live: &mut Live, actions: Vec<Action>, now: Timestamp) -> Result<(), Fault> {
        let mut cut = Vec::new();
        for action in actions {
            match action {
                Action::Send { conn, text } => self.send(live, &[conn], &text, &mut cut),
                Action::SendMany { conns, text } => self.send(live, &conns, &text, &mut cut),
                Action::Close { conn, code, reason } => close(live, conn, code, reason),
                Action::Attach { conn, attachment } => {
                    self.unsaved.borrow_mut().insert(conn, attachment);
                }
                Action::Ask { ticket, errand } => {
                    self.port.run(live.life, ticket.0, errands::start(&self.env, errand));
                }
                Action::Answer { ticket, reply } => self.settle(ticket, &reply),
                Action::Log(notice) => {
                    let wanted = self.settings.as_ref().map_or(LogLevel::Info, |settings| settings.log_level);
                    ambient::print(log::level_of_notice(&notice), wanted, || log::notice_line(&notice, now));
                }
                Action::Transfer { conn, class, name, call, first } => {
                    live.backlog.forget(conn);
                    if let Some(socket) = live.socket_by_conn.get(&conn) {
                        self.port.transfer(conn.0, socket, class.binding(), &name, &to_json(&*call)?, &first);
                    }
                }
            }
        }
        // Each round removes at least one socket, so this ends.
        for conn in cut {
            if !live.socket_by_conn.contains_key(&conn) {
                continue;
            }
            close(live, conn, 1013, "Reading too slowly");
            let mut more = Vec::new();
            let mut turn = Turn { now, entropy: &mut SystemEntropy, sql: &self.sql, actions: &mut more };
            live.object.closed(&mut turn, conn)?;
            self.perform(live, more, now)?;
        }
        Ok(())
    }

    /// A promise of an answer that was put off.
    fn promise(&self, ticket: Ticket) -> JsValue {
        let waiting = &self.waiting;
        Promise::new(&mut |resolve, _| {
            waiting.borrow_mut().insert(ticket, resolve);
        })
        .into()
    }

    fn settle(&self, ticket: Ticket, reply: &Reply) {
        let resolve = self.waiting.borrow_mut().remove(&ticket);
        if let Some(resolve) = resolve {
            // Settling a promise does not fail.
            let _ = resolve.call1(&JsValue::UNDEFINED, &reply_to_js(reply));
        }
    }

    /// Answers everybody who waits with a fixed sentence.
    fn refuse_waiting(&self) {
        for resolve in self.waiting.take().into_values() {
            let _ = resolve.call1(&JsValue::UNDEFINED, &refused(""));
        }
    }

    fn send(&self, live: &mut Live, conns: &[Conn], text: &str, cut: &mut Vec<Conn>) {
        if let [conn] = conns {
            if let Some(socket) = live.socket_by_conn.get(conn) {
                // An error means that it is closing; its close event follows.
                let _ = socket.send_with_str(text);
            }
        } else {
            let sockets: Array = conns.iter().filter_map(|conn| live.socket_by_conn.get(conn)).collect();
            send_all(sockets, text);
        }
        for conn in conns {
            if live.backlog.sent(*conn, text.len()) == Verdict::Cut && !self.answered_lately(live, *conn) {
                cut.push(*conn);
            }
        }
    }

    /// Whether the runtime answered a ping of this socket since the backlog was last clear; then it starts again.
    fn answered_lately(&self, live: &mut Live, conn: Conn) -> bool {
        let Some(socket) = live.socket_by_conn.get(&conn) else { return false };
        let at = last_auto_response(self.state.as_ref(), socket);
        // `NaN` compares false. Exact: times stay below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let lately = at > ambient::now().minus(PING_GRACE_MS).as_millis() as f64;
        if lately {
            live.backlog.heard(conn);
        }
        lately
    }

    fn note(&self, outcome: Result<(), Fault>) {
        if let Err(fault) = outcome {
            self.log_fault(&fault, None);
        }
    }

    fn log_fault(&self, fault: &Fault, request_id: Option<&str>) {
        let now = ambient::now();
        ambient::print_error(|| log::fault_line(self.class, fault, request_id, now));
    }
}

/// A ping that was answered within this time shows that the socket lives. Units: milliseconds; clients ping every 25 to 30 s.
const PING_GRACE_MS: u64 = 5_000;

/// Closes a socket for the object: its memory of the socket ends here, also over hibernation.
fn close(live: &mut Live, conn: Conn, code: u16, reason: &str) {
    live.backlog.forget(conn);
    if let Some(socket) = live.socket_by_conn.remove(&conn) {
        // Errors mean that it is closed already.
        let _ = socket.serialize_attachment(JsValue::from_str(&format!("{}{DISMISSED}", conn.0)));
        let _ = socket.close_with_code_and_reason(code, reason);
    }
}

/// Stands between a connection's number and what the object attached.
const ATTACHED: char = '|';
/// Stands behind the number of a connection that the object has closed.
const DISMISSED: char = '!';

fn attach(socket: &WebSocket, conn: Conn, attachment: &str) -> Result<(), Fault> {
    let kept = JsValue::from_str(&format!("{}{ATTACHED}{attachment}", conn.0));
    socket.serialize_attachment(kept).map_err(|error| platform(&error))
}

/// The number of a connection, and what the object attached unless it has closed it.
fn split_attachment(kept: &str) -> Option<(Conn, Option<&str>)> {
    if let Some(number) = kept.strip_suffix(DISMISSED).and_then(|number| number.parse().ok()) {
        return Some((Conn(number), None));
    }
    let (number, attachment) = kept.split_once(ATTACHED)?;
    Some((Conn(number.parse().ok()?), Some(attachment)))
}

/// The connection number of a socket that woke the object, from what is kept with it; 0 when it is none of ours.
#[wasm_bindgen(js_name = connOf)]
#[must_use]
pub fn conn_of(socket: &JsValue) -> u32 {
    let kept = socket.unchecked_ref::<WebSocket>().deserialize_attachment().ok().and_then(|kept| kept.as_string());
    kept.as_deref().and_then(split_attachment).map_or(0, |(conn, _)| conn.0)
}

fn refused(request_id: &str) -> JsValue {
    reply_to_js(&Problem::plain(ErrorCode::Internal).into_reply(request_id))
}
