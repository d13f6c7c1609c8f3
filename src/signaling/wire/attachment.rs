//! What is kept with a socket over hibernation, as text.
//!
//! Shape: the message quota's state in digits, then pieces of `<bytes>:<text>`. Pieces need no escapes, so the length
//! of the whole is the sum of its parts; and the front part, which changes with every message, is written without
//! touching the rest.
//!
//! Limits, in UTF-16 units of two bytes, which is what the platform stores as soon as one character needs them: keys
//! and names 3,330, twelve codes of 256, 24 partners of 19, the relay desk's part 504, the porch's 204, numbers and marks
//! 370; together 15.9 KB of 16,000.
//!
//! Version 2, without the porch's piece, is still read: a socket may be older than the code.

use std::fmt::Write as _;
use std::rc::Rc;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::StrDeserializer;

use crate::kernel::fault::Fault;
use crate::kernel::network::ClientNetwork;
use crate::kernel::sockets::Socket;
use crate::kernel::time::Timestamp;
use crate::signaling::codes::{Code, Identity, Partner};
use crate::signaling::message::Dialect;
use crate::signaling::room::{Link, Record, Request, Stage};

/// The first piece: changes when the pieces do.
const VERSION: &str = "3";

/// The version before, without the porch's piece.
const VERSION_WITHOUT_PORCH: &str = "2";

/// The part that changes with every message, in front of the part that does not.
#[must_use]
pub fn encode(free_at_us: u64, tail: &str) -> String {
    let mut text = String::with_capacity(20 + tail.len());
    let _ = write!(text, "{free_at_us} ");
    text.push_str(tail);
    text
}

/// The part of an attachment that [`encode`] was given.
#[must_use]
pub fn tail(attachment: &str) -> &str {
    attachment.split_once(' ').map_or("", |(_, tail)| tail)
}

/// What others keep with the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts<'a> {
    /// The relay desk.
    pub desk: &'a str,
    /// The porch, where sockets attest.
    pub porch: &'a str,
}

/// The part of an attachment that messages alone do not change.
#[must_use]
pub fn encode_tail(socket: &Socket<Dialect>, Parts { desk, porch }: Parts<'_>, record: Option<&Record>) -> String {
    let mut pieces = Pieces(String::with_capacity(128));
    pieces.text(VERSION);
    pieces.text(match socket.dialect {
        Dialect::Lobby => "l",
        Dialect::Room => "r",
    });
    pieces.text(socket.network.as_str());
    pieces.text(desk);
    pieces.text(porch);
    if let Some(record) = record {
        pieces.record(record);
    }
    pieces.0
}

struct Pieces(String);

impl Pieces {
    fn text(&mut self, text: &str) {
        let _ = write!(self.0, "{}:", text.len());
        self.0.push_str(text);
    }

    fn number(&mut self, number: u64) {
        self.text(&number.to_string());
    }

    fn record(&mut self, record: &Record) {
        let Record { identity, requests, link, partners } = record;
        self.text(&identity.code);
        self.text(&identity.public_key);
        self.text(identity.pq_public_key.as_deref().unwrap_or_default());
        self.text(&identity.protocol_version.map(|version| version.to_string()).unwrap_or_default());
        self.text(identity.supported_kems.as_deref().unwrap_or_default());
        self.number(requests.len() as u64);
        for request in requests {
            self.text(&request.target);
            self.number(request.asked_at.as_millis());
            self.text(match request.stage {
                Stage::Fresh => "f",
                Stage::Warned => "w",
            });
        }
        self.number(u64::from(link.is_some()));
        if let Some(link) = link {
            self.text(&link.device);
            self.text(&link.public_key);
            self.text(&link.device_name);
            self.number(link.asked_at.as_millis());
        }
        self.number(partners.len() as u64);
        for partner in partners {
            self.text(&format!("{:x}", partner.0));
        }
    }
}

/// What is kept with one socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<'a> {
    /// Its limits and its dialect.
    pub socket: Socket<Dialect>,
    /// What others keep.
    pub parts: Parts<'a>,
    /// What the room keeps, once it holds a code.
    pub record: Option<Record>,
}

/// What [`encode`] wrote.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub fn decode(text: &str) -> Result<Kept<'_>, Fault> {
    decode_parts(text).ok_or_else(|| Fault::Corrupt(String::from("a signaling socket's attachment")))
}

fn decode_parts(text: &str) -> Option<Kept<'_>> {
    let (free_at_us, tail) = text.split_once(' ')?;
    let mut reader = Reader(tail);
    let version = reader.text()?;
    if version != VERSION && version != VERSION_WITHOUT_PORCH {
        return None;
    }
    let dialect = match reader.text()? {
        "l" => Dialect::Lobby,
        "r" => Dialect::Room,
        _ => return None,
    };
    let network = network(reader.text()?)?;
    let socket = Socket { dialect, network, free_at_us: free_at_us.parse().ok()? };
    let desk = reader.text()?;
    let porch = if version == VERSION { reader.text()? } else { "" };
    let record = if reader.0.is_empty() { None } else { Some(reader.record()?) };
    if reader.0.is_empty() { Some(Kept { socket, parts: Parts { desk, porch }, record }) } else { None }
}

fn network(text: &str) -> Option<ClientNetwork> {
    let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    ClientNetwork::deserialize(text).ok()
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_once(':')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        self.0 = rest;
        Some(text)
    }

    fn number(&mut self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_millis)
    }

    /// A text of which there may be none; none is written as an empty one.
    fn optional(&mut self) -> Option<Option<&'a str>> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    fn record(&mut self) -> Option<Record> {
        let identity = Identity {
            code: Code::from(self.text()?),
            public_key: Rc::from(self.text()?),
            pq_public_key: self.optional()?.map(Rc::from),
            protocol_version: match self.optional()? {
                None => None,
                Some(digits) => Some(digits.parse().ok()?),
            },
            supported_kems: self.optional()?.map(Rc::from),
        };
        let mut requests = Vec::new();
        for _ in 0..self.number()? {
            requests.push(Request {
                target: Code::from(self.text()?),
                asked_at: self.time()?,
                stage: match self.text()? {
                    "f" => Stage::Fresh,
                    "w" => Stage::Warned,
                    _ => return None,
                },
            });
        }
        let link = match self.number()? {
            0 => None,
            _ => Some(Link {
                device: Code::from(self.text()?),
                public_key: Rc::from(self.text()?),
                device_name: Rc::from(self.text()?),
                asked_at: self.time()?,
            }),
        };
        let mut partners = Vec::new();
        for _ in 0..self.number()? {
            partners.push(Partner(u64::from_str_radix(self.text()?, 16).ok()?));
        }
        Some(Record { identity: Rc::new(identity), requests, link, partners })
    }
}
