//! What the objects of this room say to one another. Calls carry [`crate::kernel::object::Principal::Service`]; no route
//! leads to these operations.
//!
//! | operation | from → to | body | good answer |
//! | --- | --- | --- | --- |
//! | `PushReserve` | server → directory | [`Claim`] | [`Granted`] |
//! | `PushReserveEach` | server → directory | [`Names`] | [`GrantedEach`] |
//! | `PushReleaseEach` | server → directory | [`Names`] | `{}` |
//! | `PushSettleName` | server → directory | [`Settle`] | `{}` |
//! | `PushLookup` | server, directory → directory | [`Name`] | [`Holder`] |
//! | `PushLookup` | directory → server | [`Name`] | [`Granted`]: whether the server does hold it |
//! | `PushTokenDead` | server → directory → servers | [`Dead`] | `{}` |
//! | `PushTransferKey` | directory → server | [`Name`] | [`NewKey`]; 400 when the server does not hold the name |
//!
//! All but the last are idempotent: whoever asks repeats what was not answered.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;

/// What kind of name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// The host name of an active registration; one server holds it.
    Hostname,
    /// An organization; one server holds it.
    Realm,
    /// A device token's hash; any number of servers hold it.
    Token,
    /// A client network, which may register so many servers.
    Network,
    /// What all servers share.
    Common,
}

impl NameKind {
    /// The word in storage and in shards.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Realm => "realm",
            Self::Token => "token",
            Self::Network => "network",
            Self::Common => "common",
        }
    }

    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Hostname, Self::Realm, Self::Token, Self::Network, Self::Common]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    /// Which kind.
    pub kind: NameKind,
    /// The name.
    pub name: String,
}

/// A server wants a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The name.
    pub name: Name,
    /// The server's uuid.
    pub server: String,
}

/// Names of one shard that a server wants, or wants no longer.
///
/// Limits: [`crate::push::directory::NAMES_PER_MESSAGE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The names.
    pub names: Vec<Name>,
    /// The server's uuid.
    pub server: String,
}

/// Whether it is so of each name, in their order. After the first that is refused none is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedEach {
    /// Whether.
    pub granted: Vec<bool>,
}

/// Whether it is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Whether.
    pub granted: bool,
}

/// A server holds a name for good, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The name.
    pub name: Name,
    /// The server's uuid.
    pub server: String,
    /// Which.
    pub act: Act,
}

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The server holds it.
    Confirm,
    /// It does not.
    Release,
}

/// Who holds a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The server's uuid.
    pub server: Option<String>,
}

/// A provider declared a token dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// The token's hash, hex.
    pub token: String,
    /// For which app, at Apple.
    pub app_id: Option<String>,
    /// Registrations after this time live. Units: milliseconds.
    pub at_ms: u64,
    /// The server that was told so, which knows.
    pub server: String,
    /// Whether that one still has the token for another app, or again.
    pub keeps: bool,
}

/// A registration's new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// The registration.
    pub uuid: String,
    /// The key, which nobody keeps.
    pub key: String,
}

/// An errand to another object of this room.
///
/// Errors: as [`to_json`].
pub fn errand<T: Serialize>(
    class: Class,
    name: String,
    operation: Operation,
    body: &T,
    request_id: &str,
) -> Result<Errand, Fault> {
    let call = Call {
        operation,
        params: Vec::new(),
        query: String::new(),
        principal: Principal::Service,
        client: ClientNetwork::unknown(),
        request_id: request_id.to_owned(),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body: to_json(body)?.into_bytes(),
    };
    Ok(Errand::Call { class, name, call: Box::new(call) })
}

/// The body of a call from another object.
///
/// Errors: [`Fault::Corrupt`]: objects of one deployment understand one another.
pub fn parse<T: DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    serde_json::from_slice(&call.body).map_err(|_| Fault::Corrupt(String::from("another object's message")))
}

/// The good answer of another object, if it is one.
#[must_use]
pub fn replied<T: DeserializeOwned>(outcome: &Outcome) -> Option<T> {
    match outcome {
        Outcome::Replied(reply) if reply.status == 200 => serde_json::from_str(&reply.body).ok(),
        _ => None,
    }
}

/// Whether another object has done what it was asked.
#[must_use]
pub const fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Replied(reply) if reply.status == 200)
}

/// A good answer.
///
/// Errors: as [`to_json`].
pub fn answer<T: Serialize>(value: &T) -> Result<Reply, Fault> {
    Reply::json(value)
}
