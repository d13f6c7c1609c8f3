//! From a frame to a [`Message`], in one pass and without decoding what is only passed on.
//!
//! The checks stand in the order of the original servers: JSON, types of members, registration, presence, form.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse_call::parse_call;
use crate::signaling::codes::{KEMS_BYTES_MAX, PQ_KEY_BYTES_MAX, check_key, is_code};
use crate::signaling::event::Refusal;
use crate::signaling::message::{Answer, CallKind, Dialect, Json, Message, Registration, SignalKind, Standing};

/// Objects and arrays inside one another. The parser needs no stack for what it passes on; the receiver's may.
pub const DEPTH_MAX: usize = 64;
/// Characters of a name that a person gives: `proposedName`, `deviceName`.
pub const NAME_CHARS_MAX: usize = 128;

const UNNAMED_BROWSER: &str = "Unknown Browser";

/// Every member that any message has. JSON `null` is the same as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Members<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) target: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) target_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pairing_code: Option<&'a RawValue>,
    #[serde(borrow)]
    peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    public_key: Option<&'a RawValue>,
    #[serde(borrow)]
    pq_public_key: Option<&'a RawValue>,
    #[serde(borrow)]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, rename = "supportedKEMs")]
    supported_kems: Option<&'a RawValue>,
    #[serde(borrow)]
    target_code: Option<&'a RawValue>,
    #[serde(borrow)]
    proposed_name: Option<&'a RawValue>,
    #[serde(borrow)]
    accepted: Option<&'a RawValue>,
    #[serde(borrow)]
    link_code: Option<&'a RawValue>,
    #[serde(borrow)]
    device_name: Option<&'a RawValue>,
    #[serde(borrow)]
    device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) call_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) sdp: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) with_video: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) candidate: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) reason: Option<&'a RawValue>,
}

/// Who speaks: what the checks depend on besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// How the socket is spoken to.
    pub dialect: Dialect,
    /// Whether it holds a code.
    pub standing: Standing,
}

impl Speaker {
    pub(super) const fn must_be_registered(self) -> Result<(), Refusal> {
        match self.standing {
            Standing::Registered => Ok(()),
            Standing::Stranger => Err(Refusal::NotRegistered),
        }
    }

    /// A code to reach, where a malformed one is an error of its own.
    fn code<'a>(self, name: &'static str, code: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Refusal> {
        let code = present(name, code)?;
        if is_code(self.dialect, &code) { Ok(code) } else { Err(Refusal::BadTarget) }
    }
}

/// Reads one text frame.
///
/// The families of other rooms (relay, rendezvous, chunks, channels) are told apart by message shape here: they are
/// unknown types, and the object asks the relay desk whether it knows them.
///
/// Errors: a [`Refusal`] that says what is wrong with it.
pub fn parse(speaker: Speaker, text: &str) -> Result<Message<'_>, Refusal> {
    let members = members(speaker.dialect, text)?;
    let kind = kind(speaker.dialect, &members)?;
    match &*kind {
        "offer" => parse_signal(speaker, SignalKind::Offer, &members),
        "answer" => parse_signal(speaker, SignalKind::Answer, &members),
        "ice_candidate" => parse_signal(speaker, SignalKind::IceCandidate, &members),
        "ping" => Ok(Message::Ping),
        // A relay peer registers with `peerId` instead of a code.
        "register" if members.pairing_code.is_some() || members.peer_id.is_none() => {
            parse_registration(speaker.dialect, &members)
        }
        "pair_request" => parse_pair_request(speaker, &members),
        "pair_response" => parse_pair_response(speaker, &members, None),
        "pair_accept" => parse_pair_response(speaker, &members, Some(Answer::Accept)),
        "pair_reject" => parse_pair_response(speaker, &members, Some(Answer::Reject)),
        "link_request" => parse_link_request(speaker, &members),
        "link_response" => parse_link_response(speaker, &members),
        "call_offer" => parse_call(speaker, CallKind::Offer, &members),
        "call_answer" => parse_call(speaker, CallKind::Answer, &members),
        "call_reject" => parse_call(speaker, CallKind::Reject, &members),
        "call_hangup" => parse_call(speaker, CallKind::Hangup, &members),
        "call_ice" => parse_call(speaker, CallKind::Ice, &members),
        other => Err(Refusal::UnknownType(shorten(other))),
    }
}

fn members(dialect: Dialect, text: &str) -> Result<Members<'_>, Refusal> {
    if !is_shallow(text) {
        return Err(Refusal::NotJson);
    }
    // Checked first, because a derived reader would take an array for an object's members in order.
    if text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return serde_json::from_str(text).map_err(|_| Refusal::NotJson);
    }
    match (serde_json::from_str::<&RawValue>(text), dialect) {
        (Err(_), _) => Err(Refusal::NotJson),
        (Ok(value), Dialect::Room) if value.get() == "null" => Err(Refusal::NotJson),
        (Ok(_), _) => Err(Refusal::NotObject),
    }
}

fn kind<'a>(dialect: Dialect, members: &Members<'a>) -> Result<Cow<'a, str>, Refusal> {
    let Some(raw) = members.kind else { return Err(Refusal::NoType(String::from("undefined"))) };
    unquote(raw).ok_or_else(|| {
        Refusal::NoType(match dialect {
            Dialect::Lobby => String::new(),
            Dialect::Room => shorten(raw.get()),
        })
    })
}

fn parse_signal<'a>(speaker: Speaker, kind: SignalKind, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let target = match speaker.dialect {
        Dialect::Lobby => {
            let target = text(members.target, Refusal::Malformed(kind.name(), "target must be a string"))?;
            speaker.must_be_registered()?;
            present("target", target)?
        }
        Dialect::Room => {
            speaker.must_be_registered()?;
            let target = members.target.and_then(unquote).filter(|target| !target.is_empty());
            target.filter(|_| members.payload.is_some_and(is_truthy)).ok_or(Refusal::MissingTargetOrPayload)?
        }
    };
    Ok(Message::Signal { kind, target, payload: members.payload.map(json) })
}

fn parse_registration<'a>(dialect: Dialect, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let wrong = |what| Refusal::Malformed("register", what);
    let (code, public_key) = match dialect {
        Dialect::Lobby => {
            let code = text(members.pairing_code, wrong("pairingCode must be a string"))?;
            let public_key = text(members.public_key, wrong("publicKey must be a string"))?;
            (present("pairingCode", code)?, present("publicKey", public_key)?)
        }
        Dialect::Room => {
            let code = members.pairing_code.and_then(unquote).ok_or(Refusal::BadCode)?;
            (code, members.public_key.and_then(unquote).unwrap_or_default())
        }
    };
    if !is_code(dialect, &code) {
        return Err(Refusal::BadCode);
    }
    check_key(dialect, &public_key)?;
    let pq_public_key = text(members.pq_public_key, wrong("pqPublicKey must be a string"))?;
    if pq_public_key.as_ref().is_some_and(|key| key.len() > PQ_KEY_BYTES_MAX) {
        return Err(wrong("pqPublicKey is too long"));
    }
    let protocol_version = match members.protocol_version {
        None => None,
        Some(raw) => Some(raw.get().parse().map_err(|_| wrong("protocolVersion must be a whole number"))?),
    };
    if members.supported_kems.is_some_and(|raw| !is_list_of_texts(raw)) {
        return Err(wrong("supportedKEMs must be an array of strings"));
    }
    Ok(Message::Register(Registration {
        dialect,
        code,
        public_key,
        pq_public_key: pq_public_key.filter(|key| !key.is_empty()),
        protocol_version,
        supported_kems: members.supported_kems.map(json),
    }))
}

fn parse_pair_request<'a>(speaker: Speaker, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let wrong = |what| Refusal::Malformed("pair_request", what);
    let target = text(members.target_code, wrong("targetCode must be a string"))?;
    let name = text(members.proposed_name, wrong("proposedName must be a string"))?;
    if name.is_some_and(|name| name.chars().nth(NAME_CHARS_MAX).is_some()) {
        return Err(wrong("proposedName must have at most 128 characters"));
    }
    speaker.must_be_registered()?;
    let target = speaker.code("targetCode", target)?;
    Ok(Message::PairRequest { target, proposed_name: members.proposed_name.map(json) })
}

/// `said` is the answer that the message's type says by itself.
fn parse_pair_response<'a>(
    speaker: Speaker,
    members: &Members<'a>,
    said: Option<Answer>,
) -> Result<Message<'a>, Refusal> {
    let wrong = |what| Refusal::Malformed("pair_response", what);
    let requester = text(members.target_code, wrong("targetCode must be a string"))?;
    let answer = said.or_else(|| answer(members)).ok_or_else(|| wrong("accepted must be a boolean"))?;
    speaker.must_be_registered()?;
    Ok(Message::PairResponse { requester: speaker.code("targetCode", requester)?, answer })
}

fn parse_link_request<'a>(speaker: Speaker, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let wrong = |what| Refusal::Malformed("link_request", what);
    let device = text(members.link_code, wrong("linkCode must be a string"))?;
    let public_key = text(members.public_key, wrong("publicKey must be a string"))?;
    let name = text(members.device_name, wrong("deviceName must be a string"))?.filter(|name| !name.is_empty());
    let device_name = name.unwrap_or(Cow::Borrowed(UNNAMED_BROWSER));
    if device_name.chars().nth(NAME_CHARS_MAX).is_some() {
        return Err(wrong("deviceName must have at most 128 characters"));
    }
    speaker.must_be_registered()?;
    let device = speaker.code("linkCode", device)?;
    let public_key = match speaker.dialect {
        Dialect::Lobby => present("publicKey", public_key)?,
        Dialect::Room => public_key.unwrap_or_default(),
    };
    check_key(speaker.dialect, &public_key)?;
    Ok(Message::LinkRequest { device, public_key, device_name })
}

fn parse_link_response<'a>(speaker: Speaker, members: &Members<'a>) -> Result<Message<'a>, Refusal> {
    let wrong = |what| Refusal::Malformed("link_response", what);
    let device = text(members.link_code, wrong("linkCode must be a string"))?;
    let answer = answer(members).ok_or_else(|| wrong("accepted must be a boolean"))?;
    text(members.device_id, wrong("deviceId must be a string"))?;
    speaker.must_be_registered()?;
    let device = speaker.code("linkCode", device)?;
    Ok(Message::LinkResponse { device, answer, device_id: members.device_id.map(json) })
}

fn answer(members: &Members<'_>) -> Option<Answer> {
    match members.accepted?.get() {
        "true" => Some(Answer::Accept),
        "false" => Some(Answer::Reject),
        _ => None,
    }
}

pub(super) fn json(raw: &RawValue) -> Json<'_> {
    Json(raw.get())
}

/// The text of a member; nothing when it is absent; `wrong` when it is no text.
pub(super) fn text(raw: Option<&RawValue>, wrong: Refusal) -> Result<Option<Cow<'_, str>>, Refusal> {
    match raw {
        None => Ok(None),
        Some(raw) => unquote(raw).map(Some).ok_or(wrong),
    }
}

/// The text of a JSON string, copied only when it has escapes.
pub(super) fn unquote(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(quoted).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

pub(super) fn present<'a>(name: &'static str, value: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Refusal> {
    value.filter(|value| !value.is_empty()).ok_or(Refusal::Missing(name))
}

/// What JavaScript's `if` takes for true.
fn is_truthy(raw: &RawValue) -> bool {
    match raw.get() {
        "null" | "false" | "\"\"" => false,
        other => !other.starts_with(['-', '0']) || other.parse() != Ok(0.0),
    }
}

fn is_list_of_texts(raw: &RawValue) -> bool {
    raw.get().len() <= KEMS_BYTES_MAX && serde_json::from_str::<Vec<String>>(raw.get()).is_ok()
}

/// As much of an unknown type as is worth repeating.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Whether no more than [`DEPTH_MAX`] brackets are open at once. Most frames have fewer brackets than that at all.
fn is_shallow(text: &str) -> bool {
    opening(text) <= DEPTH_MAX as u64 || depth(text) <= DEPTH_MAX
}

/// At least the number of opening brackets, eight bytes at a time: a byte-wise count takes longer than all the rest of
/// relaying a message.
///
/// Source: "Determine if a word has a zero byte", S. E. Anderson, Bit Twiddling Hacks; its rare false positives only
/// lead to the exact count. `{` and `[` differ in bit 0x20, so both are `{` with that bit set.
fn opening(text: &str) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let in_words = words.iter().map(|word| {
        let zero_where_opening = (u64::from_ne_bytes(*word) | (ONES * 0x20)) ^ (ONES * 0x7b);
        let marks = zero_where_opening.wrapping_sub(ONES) & !zero_where_opening & (ONES * 0x80);
        u64::from(marks.count_ones())
    });
    let in_rest = rest.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() as u64;
    in_words.sum::<u64>() + in_rest
}

fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_text => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{depth, opening};

    #[test]
    fn the_quick_count_never_misses_a_bracket() {
        for at in 0..24 {
            for around in ["x", "{", "[", "|", "\\", "z", "Z", "é", "\u{1}"] {
                let text = format!("{}{{[{}", around.repeat(at), around.repeat(24 - at));
                let exact = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() as u64;
                assert!(opening(&text) >= exact, "{text}");
            }
        }
        assert_eq!(opening(&"v=0 a=candidate \"typ\": host, ".repeat(30)), 0);
    }

    #[test]
    fn depth_counts_brackets_that_are_open_at_once() {
        assert_eq!(depth(r#"{"a":[{}],"b":"[[[","c":"\"[["}"#), 3);
        assert_eq!(depth("[][][]"), 1);
        assert_eq!(depth("]]]["), 1);
    }
}
