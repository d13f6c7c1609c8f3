//! Calls of other objects, and what they answer.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::service::{Admit, Admitted, Census, CensusState, Deliver, Delivered, Forward, Membership, MembershipState};
use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::parties::announcements::News;

fn errand(class: Class, name: &str, operation: Operation, query: &str, body: Vec<u8>) -> Errand {
    let call = Call {
        operation,
        params: Vec::new(),
        query: query.to_owned(),
        principal: Principal::Service,
        client: ClientNetwork::unknown(),
        request_id: String::new(),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body,
    };
    Errand::Call { class, name: name.to_owned(), call: Box::new(call) }
}

fn ask<T: Serialize>(class: Class, name: &str, operation: Operation, body: &T) -> Result<Errand, Fault> {
    Ok(errand(class, name, operation, "", to_json(body)?.into_bytes()))
}

/// Asks the identities' object `name` whose token it is.
///
/// Errors: as [`to_json`]; so for every writer here.
pub fn ask_admit(name: &str, token: &str) -> Result<Errand, Fault> {
    ask(Class::PartyIdentities, name, Operation::PartyAdmit, &Admit { token: token.to_owned() })
}

/// Tells the identities' object `name` about a membership.
pub fn tell_membership(name: &str, party_id: &str, peer_id: &str, news: News) -> Result<Errand, Fault> {
    let state = match news {
        News::Begun => MembershipState::Joined,
        News::Over => MembershipState::Left,
    };
    let membership = Membership { peer_id: peer_id.to_owned(), party_id: party_id.to_owned(), state };
    ask(Class::PartyIdentities, name, Operation::PartyMembership, &membership)
}

/// Tells the directory that the party exists, or no longer does.
pub fn tell_census(party_id: &str, news: News) -> Result<Errand, Fault> {
    let state = match news {
        News::Begun => CensusState::Begun,
        News::Over => CensusState::Ended,
    };
    let census = Census { party_id: party_id.to_owned(), state };
    ask(Class::PartyDirectory, "global", Operation::PartyCensus, &census)
}

/// Hands frames to a gateway.
pub fn deliver(gateway: &str, parcels: &Deliver) -> Result<Errand, Fault> {
    ask(Class::PartyGateway, gateway, Operation::PartyDeliver, parcels)
}

/// Asks the directory for all relays, with what only candidates need.
#[must_use]
pub fn ask_relays() -> Errand {
    errand(Class::PartyDirectory, "global", Operation::PartyRelayList, "full=true", Vec::new())
}

/// What came of asking whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// This peer's.
    Peer(String),
    /// Nobody's.
    Nobody,
    /// Nobody could tell.
    Unknown,
}

/// Reads the answer to [`ask_admit`].
#[must_use]
pub fn read_admission(outcome: &Outcome) -> Admission {
    match outcome {
        Outcome::Replied(reply) if reply.status == 401 => Admission::Nobody,
        Outcome::Replied(reply) => {
            read(reply).map_or(Admission::Unknown, |admitted: Admitted| Admission::Peer(admitted.peer_id))
        }
        _ => Admission::Unknown,
    }
}

/// Reads the answer to [`deliver`]; none if there is no good one.
#[must_use]
pub fn read_delivered(outcome: &Outcome) -> Option<Delivered> {
    match outcome {
        Outcome::Replied(reply) => read(reply),
        _ => None,
    }
}

/// Whether the answer is good.
#[must_use]
pub const fn was_heard(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Replied(Reply { status: 200, .. }))
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Option<T> {
    if reply.status == 200 { serde_json::from_str(&reply.body).ok() } else { None }
}

/// Reads what a gateway forwards.
#[must_use]
pub fn parse_forward(body: &[u8]) -> Option<Forward> {
    serde_json::from_slice(body).ok()
}
