//! Runs what objects ask of others. Every errand becomes a promise of `[kind, head, body]`, which [`outcome_from_js`]
//! reads when the shim brings it back as an event.

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;

use super::ambient;
use super::bindings::{fetch_outside, sign_rs256};
use super::fetch::{call_through, push_header};
use crate::front::log;
use crate::kernel::errand::{Errand, Failure, Fetch, Fetched, Outcome};
use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::LogLevel;

/// Starts an errand. The promise is never refused by us; the platform may.
pub(super) fn start(env: &JsValue, errand: Errand) -> Promise {
    match errand {
        Errand::Call { class, name, call } => start_call(env.clone(), class, name, *call),
        Errand::Fetch(fetch) => start_fetch(&fetch),
        Errand::SignRs256 { key, message } => sign_rs256(key.reveal(), Uint8Array::from(message.as_slice())),
    }
}

fn start_call(env: JsValue, class: Class, name: String, call: Call) -> Promise {
    if call.operation == Operation::BillingKeepMail {
        // A letter of a development service: its developer reads it here, too.
        ambient::print(LogLevel::Info, LogLevel::Debug, || String::from_utf8_lossy(&call.body).into_owned());
    }
    future_to_promise(async move {
        let body = Uint8Array::from(call.body.as_slice());
        let answer = match call_through(&env, (class, &name), &call, body).await {
            Ok(reply) => {
                let head = serde_json::to_string(&reply).unwrap_or_default();
                Array::of3(&"replied".into(), &JsValue::from_str(&head), &JsValue::from_str(&reply.body))
            }
            Err(fault) => {
                let now = ambient::now();
                ambient::print_error(|| log::front_fault_line(&fault, &call.request_id, now));
                Array::of3(&"failed".into(), &"other".into(), &JsValue::UNDEFINED)
            }
        };
        Ok(answer.into())
    })
}

fn start_fetch(fetch: &Fetch) -> Promise {
    let mut headers = String::new();
    fetch.headers.iter().for_each(|(name, value)| push_header(&mut headers, name, value));
    let body = Uint8Array::from(fetch.body.as_slice());
    fetch_outside(fetch.method, &fetch.url, &headers, body, fetch.timeout_ms, fetch.answer_bytes_max)
}

/// What came of an errand, from what its promise was settled with.
pub(super) fn outcome_from_js(kind: &str, head: &str, body: &JsValue) -> Outcome {
    match kind {
        "replied" => match serde_json::from_str::<Reply>(head) {
            Ok(reply) => Outcome::Replied(Reply { body: body.as_string().unwrap_or_default(), ..reply }),
            Err(_) => Outcome::Failed(Failure::Other),
        },
        "fetched" => Outcome::Fetched(fetched(head, body)),
        "signed" => Outcome::Signed(bytes(body)),
        _ => Outcome::Failed(Failure::parse(head)),
    }
}

/// `head` is the status, then names and values of the headers, one a line.
fn fetched(head: &str, body: &JsValue) -> Fetched {
    let mut lines = head.split('\n');
    let status = lines.next().and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut headers = Vec::new();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        headers.push((name.to_owned(), value.to_owned()));
    }
    Fetched { status, headers, body: bytes(body) }
}

fn bytes(body: &JsValue) -> Vec<u8> {
    body.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).unwrap_or_default()
}
