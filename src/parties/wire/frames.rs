//! Messages of sockets. Source: parties 2.2 and 2.3; `update_peer` and a client's `signal` are ours.

use serde_json::Value;

use super::body::{Chars, Members};
use super::party::{PartyBody, Shown, Wrong, finish_inner, read_inner, read_pass, read_signal};
use super::peer::{PeerBody, read_change, read_introduction};
use super::problem::Invalid;
use crate::kernel::fault::Fault;
use crate::kernel::json::{quote, to_json};
use crate::parties::party::PARTY_NAME_CHARS_MAX;
use crate::parties::peer::{Introduction, PEER_ID_CHARS_MAX, PeerChange};
use crate::parties::signals::Signal;

/// Bytes of one message of a client.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// A client's message about a party.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's names")]
pub enum Message {
    /// Also `hello`, which names nobody.
    Auth {
        peer_id: Option<String>,
        token: Option<String>,
    },
    Register {
        name: String,
        host: Introduction,
    },
    Join {
        peer: Introduction,
        password: Option<String>,
        invite: Option<String>,
    },
    Leave {
        peer_id: Option<String>,
    },
    Heartbeat {
        peer_id: Option<String>,
    },
    Update {
        peer_id: Option<String>,
        change: PeerChange,
    },
    Signal {
        to_peer_id: String,
        payload: String,
    },
}

/// A message, and the party that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// The party, where the message names one.
    pub party_id: Option<String>,
    /// The message.
    pub message: Message,
}

const PEER_ID: Chars = Chars { min: 1, max: PEER_ID_CHARS_MAX };

/// Reads a message.
///
/// Errors: a sentence for an `error` message.
pub fn parse_message(text: &str) -> Result<Addressed, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| String::from("Invalid JSON"))?;
    let mut members = Members::of(value, Vec::new()).map_err(|_| String::from("A message must be an object"))?;
    let Some(Value::String(kind)) = members.take("type") else {
        return Err(String::from("A message needs a type"));
    };
    let party_id = members.optional_text("party_id", Chars { min: 1, max: 256 });
    let message = read_message(&kind, members);
    match message {
        Some(Ok(message)) => Ok(Addressed { party_id, message }),
        Some(Err(wrong)) => Err(wrong.first().map(Invalid::sentence).unwrap_or_default()),
        None => Err(format!("Unknown message type: {}", kind.chars().take(64).collect::<String>())),
    }
}

fn read_message(kind: &str, mut members: Members) -> Option<Result<Message, Wrong>> {
    let message = match kind {
        "auth" | "hello" => {
            let peer_id = members.optional_text("peer_id", PEER_ID);
            let token = members.optional_text("token", Chars { min: 0, max: 512 });
            members.finish(Message::Auth { peer_id, token })
        }
        "register_party" => {
            let name = members.text("name", Chars { min: 1, max: PARTY_NAME_CHARS_MAX });
            let host = read_inner(&mut members, "host_peer", read_introduction);
            finish_inner(members, host, |host| Message::Register { name, host })
        }
        "join_party" => {
            let peer = read_inner(&mut members, "peer", read_introduction);
            let (password, invite) = read_pass(&mut members);
            finish_inner(members, peer, |peer| Message::Join { peer, password, invite })
        }
        "leave_party" => {
            let peer_id = members.optional_text("peer_id", PEER_ID);
            members.finish(Message::Leave { peer_id })
        }
        "heartbeat" => {
            let peer_id = members.optional_text("peer_id", PEER_ID);
            members.finish(Message::Heartbeat { peer_id })
        }
        "update_peer" => {
            let update =
                read_inner(&mut members, "peer", |inner| (inner.optional_text("peer_id", PEER_ID), read_change(inner)));
            finish_inner(members, update, |(peer_id, change)| Message::Update { peer_id, change })
        }
        "signal" => {
            let (to_peer_id, payload) = read_signal(&mut members);
            members.finish(Message::Signal { to_peer_id, payload })
        }
        _ => return None,
    };
    Some(message)
}

/// `party_update`.
///
/// Errors: as [`to_json`].
pub fn encode_update(party: PartyBody<'_>) -> Result<String, Fault> {
    let shown = to_json(&Shown { party })?;
    Ok(format!(r#"{{"type":"party_update",{}"#, shown.strip_prefix('{').unwrap_or_default()))
}

/// `peer_joined`.
///
/// Errors: as [`to_json`].
pub fn encode_joined(party_id: &str, peer: &PeerBody<'_>) -> Result<String, Fault> {
    Ok(format!(r#"{{"type":"peer_joined","party_id":{},"peer":{}}}"#, quote(party_id), to_json(peer)?))
}

/// `peer_left`.
#[must_use]
pub fn encode_left(party_id: &str, peer_id: &str) -> String {
    format!(r#"{{"type":"peer_left","party_id":{},"peer_id":{}}}"#, quote(party_id), quote(peer_id))
}

/// `signal`. The payload is JSON already.
#[must_use]
pub fn encode_signal(party_id: &str, signal: &Signal) -> String {
    format!(
        r#"{{"type":"signal","party_id":{},"from_peer_id":{},"to_peer_id":{},"signal_data":{}}}"#,
        quote(party_id),
        quote(&signal.from_peer_id),
        quote(&signal.to_peer_id),
        signal.payload,
    )
}

/// `error`.
#[must_use]
pub fn encode_error(message: &str) -> String {
    format!(r#"{{"type":"error","message":{}}}"#, quote(message))
}

#[cfg(test)]
mod tests {
    use super::{Message, parse_message};

    #[test]
    fn messages_are_read_as_the_fields_client_writes_them() {
        let auth = r#"{"type":"auth","version":"1.0","client":"lanrage","peer_id":null}"#;
        assert_eq!(parse_message(auth).unwrap().message, Message::Auth { peer_id: None, token: None });
        assert_eq!(
            parse_message(r#"{"type":"hello","version":"1.0","client":"lanrage"}"#).unwrap().message,
            Message::Auth { peer_id: None, token: None }
        );
        let join = r#"{"type":"join_party","party_id":"0123456789ab","peer":{"peer_id":"a","name":"Me","public_key":"k",
            "nat_type":"unknown","public_ip":"unknown","public_port":0,"local_ip":"unknown","local_port":0,
            "last_seen":"2026-11-20T10:13:40.107294"}}"#;
        let read = parse_message(join).unwrap();
        assert_eq!(read.party_id.as_deref(), Some("0123456789ab"));
        assert!(matches!(read.message, Message::Join { peer, .. } if peer.peer.peer_id == "a"));
        let leave = parse_message(r#"{"type":"leave_party","party_id":"x","peer_id":"a"}"#).unwrap();
        assert_eq!(leave.message, Message::Leave { peer_id: Some(String::from("a")) });
    }

    #[test]
    fn what_is_wrong_with_a_message_is_said() {
        for (text, sentence) in [
            ("", "Invalid JSON"),
            ("[]", "A message must be an object"),
            ("{}", "A message needs a type"),
            (r#"{"type":7}"#, "A message needs a type"),
            (r#"{"type":"dance"}"#, "Unknown message type: dance"),
            (r#"{"type":"join_party","party_id":"x"}"#, "peer: Field required"),
            (r#"{"type":"signal"}"#, "to_peer_id: Field required"),
            (
                r#"{"type":"signal","to_peer_id":"b","signal_data":7}"#,
                "signal_data: Input should be a valid dictionary",
            ),
        ] {
            assert_eq!(parse_message(text), Err(sentence.to_owned()), "{text}");
        }
    }
}
