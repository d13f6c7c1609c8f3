//! Who is calling: what the front settles before it passes a call to one of this room's objects.

use crate::kernel::json::to_json;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::parties::token;
use crate::parties::wire::problem::{self, Invalid};
use crate::parties::wire::service::{Admit, Admitted};

/// What is known of a caller without asking an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Nothing is missing: the caller is known, or need not be.
    Settled,
    /// This object must be asked whose token it is.
    Ask {
        /// The token, to remember the answer by.
        token: String,
        /// The object's name within [`Class::PartyIdentities`].
        name: String,
        /// The question.
        question: Box<Call>,
    },
    /// The caller is refused.
    Refused(Reply),
}

/// Whether a caller must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Token,
    /// It may; one that is shown must be good.
    TokenIfShown,
    /// Its object judges for itself.
    Nothing,
}

/// A body that is no JSON. Such a request is refused whoever sent it; an empty body is judged later.
#[must_use]
pub fn unreadable(call: &Call) -> Option<Reply> {
    let takes_json = matches!(
        call.operation,
        Operation::PartyCreate
            | Operation::PartyJoin
            | Operation::PartyUpdatePeer
            | Operation::PartySettings
            | Operation::PartySignalSend
            | Operation::PartyInviteCreate
            | Operation::PartyBan
            | Operation::PartyLatencies
            | Operation::PartyRelayRegister
    );
    if !takes_json || call.body.is_empty() {
        return None;
    }
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(&call.body).err()?;
    Some(problem::invalid(&[Invalid::not_json(error.column().saturating_sub(1))]))
}

/// What is still to be asked about a caller.
///
/// Errors, as [`Admission::Refused`]: 401 in the original's words; 503 without `PARTY_TOKEN_KEY`.
#[must_use]
pub fn admission(settings: &Settings, call: &Call, need: Need) -> Admission {
    let shown = call.authorization.is_some();
    if call.principal != Principal::Anonymous || need == Need::Nothing || (need == Need::TokenIfShown && !shown) {
        return Admission::Settled;
    }
    let Some(key) = settings.party.token_key.as_ref() else {
        return Admission::Refused(problem::detail(503, "Party tokens are not configured"));
    };
    let token = match token::parse_authorization(call.authorization.as_deref()) {
        Ok(token) => token,
        Err(error) => return Admission::Refused(problem::detail(401, error.detail())),
    };
    let Some(genuine) = token::parse(key, token) else {
        return Admission::Refused(problem::detail(401, "Invalid or expired token"));
    };
    let Ok(body) = to_json(&Admit { token: token.to_owned() }) else {
        return Admission::Refused(problem::detail(401, "Invalid or expired token"));
    };
    let question = Call {
        operation: Operation::PartyAdmit,
        principal: Principal::Service,
        params: Vec::new(),
        query: String::new(),
        authorization: None,
        body: body.into_bytes(),
        ..call.clone()
    };
    Admission::Ask { token: token.to_owned(), name: genuine.shard.name(), question: Box::new(question) }
}

/// The class of the objects that [`Admission::Ask`] names.
pub const ASKED: Class = Class::PartyIdentities;

/// The peer whose token it is, from the answer to the question.
///
/// Errors: the refusal for the caller.
pub fn admitted(reply: Reply) -> Result<String, Reply> {
    if reply.status != 200 {
        return Err(reply);
    }
    match serde_json::from_str::<Admitted>(&reply.body) {
        Ok(admitted) => Ok(admitted.peer_id),
        Err(_) => Err(problem::detail(401, "Invalid or expired token")),
    }
}

/// The call of a known peer.
#[must_use]
pub fn of_peer(call: Call, peer_id: String) -> Call {
    Call { principal: Principal::Peer, caller: Some(peer_id), authorization: None, ..call }
}
