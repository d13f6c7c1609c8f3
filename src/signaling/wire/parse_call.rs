//! Call messages, which come in two forms: nested (`target`, `payload`), as the phones send them, and flat (`targetId`
//! and the members beside it), as the web client does.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse::{Members, Speaker, json, present, text, unquote};
use crate::signaling::codes::is_uuid_v4;
use crate::signaling::event::Refusal;
use crate::signaling::message::{CallFields, CallKind, Json, Message};

/// UTF-16 units of a session description.
const SDP_UNITS_MAX: usize = 65_536;
/// UTF-16 units of a candidate.
const CANDIDATE_UNITS_MAX: usize = 1_024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    sdp: Option<&'a RawValue>,
    #[serde(borrow)]
    with_video: Option<&'a RawValue>,
    #[serde(borrow)]
    candidate: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

pub(super) fn parse_call<'a>(speaker: Speaker, kind: CallKind, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let target = text(members.target, Refusal::Malformed(kind.name(), "target must be a string"))?;
    let target_id = text(members.target_id, Refusal::Malformed(kind.name(), "targetId must be a string"))?;
    speaker.must_be_registered()?;
    let target = present("target", target.or(target_id))?;
    let payload = match members.payload {
        None => flat(members).ok_or(Refusal::BadCallPayload)?,
        Some(raw) if raw.get().starts_with('{') => {
            serde_json::from_str(raw.get()).map_err(|_| Refusal::BadCallPayload)?
        }
        Some(_) => return Err(Refusal::BadCallPayload),
    };
    let fields = check(kind, &payload)?;
    Ok(Message::Call { kind, target, fields, payload: members.payload.map(json) })
}

/// The flat form; nothing when no member of a call is there, which is a nested message without its payload.
const fn flat<'a>(members: &Members<'a>) -> Option<Payload<'a>> {
    let &Members { call_id, sdp, with_video, candidate, reason, .. } = members;
    if call_id.is_none() && sdp.is_none() && candidate.is_none() {
        return None;
    }
    Some(Payload { call_id, sdp, with_video, candidate, reason })
}

fn check<'a>(kind: CallKind, payload: &Payload<'a>) -> Result<CallFields<'a>, Refusal> {
    let call_id = payload.call_id.filter(|raw| unquote(raw).is_some_and(|id| is_uuid_v4(&id)));
    let call_id = json(call_id.ok_or(Refusal::BadCallId)?);
    match kind {
        CallKind::Offer | CallKind::Answer => {
            let sdp = payload.sdp.and_then(|raw| units(raw, SDP_UNITS_MAX)).ok_or(Refusal::BadSdp(kind))?;
            if sdp == Length::Empty {
                return Err(Refusal::BadSdp(kind));
            }
            if sdp == Length::TooLong {
                return Err(Refusal::SdpTooLarge);
            }
        }
        CallKind::Ice => {
            let candidate = payload.candidate.and_then(|raw| units(raw, CANDIDATE_UNITS_MAX));
            if candidate.ok_or(Refusal::BadCandidate)? == Length::TooLong {
                return Err(Refusal::CandidateTooLarge);
            }
        }
        CallKind::Reject | CallKind::Hangup => {}
    }
    let raw = |raw: Option<&'a RawValue>| raw.map(|raw| Json(raw.get()));
    Ok(CallFields {
        call_id,
        sdp: raw(payload.sdp),
        with_video: raw(payload.with_video),
        candidate: raw(payload.candidate),
        reason: raw(payload.reason),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Empty,
    Fits,
    TooLong,
}

/// How long a JSON string is; nothing when it is none. Decoded only when its literal is longer than the limit, because
/// each unit takes at least one byte.
fn units(raw: &RawValue, units_max: usize) -> Option<Length> {
    let literal = raw.get();
    if !literal.starts_with('"') {
        return None;
    }
    match literal.len() - 2 {
        0 => Some(Length::Empty),
        bytes if bytes <= units_max => Some(Length::Fits),
        _ => {
            let decoded: Cow<'_, str> = unquote(raw)?;
            Some(if decoded.encode_utf16().count() > units_max { Length::TooLong } else { Length::Fits })
        }
    }
}
