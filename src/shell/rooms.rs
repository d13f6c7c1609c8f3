//! Calls whose room says which of its objects answers, once the caller is known and the body read.

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;

use super::ambient;
use super::fetch::{call_once, with_memory};
use crate::billing;
use crate::front::routes::{Room, Route, Who};
use crate::kernel::fault::Fault;
use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::parties::{self, door};
use crate::push;

/// The object for a call, and the call with its caller; or the refusal.
pub(super) async fn find(
    env: &JsValue,
    room: Room,
    settings: &Settings,
    route: Option<&Route>,
    call: Call,
) -> Result<Result<(Class, String, Call), Reply>, Fault> {
    match room {
        Room::Parties => find_party(env, settings, route, call).await,
        Room::Billing => Ok(billing::address(settings, &call).map(|(class, name)| (class, name, call))),
        Room::Push => find_push(env, settings, call).await,
    }
}

/// Operators' tokens are judged by an object; servers' keys by their own.
async fn find_push(
    env: &JsValue,
    settings: &Settings,
    call: Call,
) -> Result<Result<(Class, String, Call), Reply>, Fault> {
    let call = match push::door::admission(&call) {
        push::door::Admission::Settled => call,
        push::door::Admission::Refused(reply) => return Ok(Err(reply)),
        push::door::Admission::Ask { question, .. } => {
            let body = Uint8Array::from(question.body.as_slice());
            let reply = call_once(env, push::door::ASKED, push::door::OPERATORS, &question, body).await?;
            match push::door::admitted(&reply, &call) {
                Ok(operator) => push::door::of_operator(call, &operator),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    };
    Ok(push::address(settings, &call).map(|(class, name)| (class, name, call)))
}

async fn find_party(
    env: &JsValue,
    settings: &Settings,
    route: Option<&Route>,
    call: Call,
) -> Result<Result<(Class, String, Call), Reply>, Fault> {
    if let Some(refusal) = door::unreadable(&call) {
        return Ok(Err(refusal));
    }
    let need = match route.map(|route| route.who) {
        Some(Who::Peer | Who::PeerOrRegistryWriter) => door::Need::Token,
        Some(Who::PeerOrLater) => door::Need::TokenIfShown,
        _ => door::Need::Nothing,
    };
    let call = match admit(env, settings, call, need).await? {
        Ok(call) => call,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(parties::address(settings, &call).map(|(class, name)| (class, name, call)))
}

/// The call with its peer, as far as it needs one.
async fn admit(env: &JsValue, settings: &Settings, call: Call, need: door::Need) -> Result<Result<Call, Reply>, Fault> {
    let (token, name, question) = match door::admission(settings, &call, need) {
        door::Admission::Settled => return Ok(Ok(call)),
        door::Admission::Refused(reply) => return Ok(Err(reply)),
        door::Admission::Ask { token, name, question } => (token, name, question),
    };
    let ttl_ms = settings.party.token_ttl_ms;
    let known = with_memory(0, |memory| memory.admissions.get(&token, ttl_ms, ambient::now()).map(str::to_owned));
    if let Some(peer_id) = known {
        return Ok(Ok(door::of_peer(call, peer_id)));
    }
    let body = Uint8Array::from(question.body.as_slice());
    let reply = call_once(env, door::ASKED, &name, &question, body).await?;
    Ok(door::admitted(reply).map(|peer_id| {
        with_memory(0, |memory| memory.admissions.keep(&token, &peer_id, ambient::now()));
        door::of_peer(call, peer_id)
    }))
}

/// Forgets whose tokens are whose after one of them has ended.
pub(super) fn forget_after(operation: Operation, reply: &Reply) {
    if operation == Operation::PartyRevoke && reply.status == 200 {
        with_memory(0, |memory| memory.admissions.clear());
    }
}
