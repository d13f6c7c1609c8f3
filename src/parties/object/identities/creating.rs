//! New parties. The peer's shard chooses the id and remembers it, so that a request that is repeated finds its party; the
//! party itself answers.

use super::{PartyIdentities, Stop};
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::object::{Answer, Call, Turn};
use crate::kernel::operation::Class;
use crate::parties::creation::{
    CreationError, PER_NETWORK, PER_PEER, mark, mark_of, random_party_id, remembered, repeated,
};
use crate::parties::refusal::Refusal;
use crate::parties::store::identities::{self as store, Batch};
use crate::parties::wire::identity as wire;
use crate::parties::wire::party::parse_creation;
use crate::parties::wire::problem::{detail, refuse};

/// Requests that wait for their parties.
const WAITING_MAX: usize = 1_000;

/// A request that waits for its party.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whether the party was chosen by an earlier one.
    is_repeated: bool,
}

impl PartyIdentities {
    pub(super) fn create(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Stop> {
        let now = turn.now;
        let Some(peer_id) = call.caller.as_deref() else { return Err(detail(401, wire::UNKNOWN_TOKEN).into()) };
        // The party judges it too; but no object is made for a request that it would refuse.
        let creation = parse_creation(&call.body)?;
        if creation.host.peer.peer_id != peer_id {
            return Err(refuse(&Refusal::NotHostPeerInfo).into());
        }
        let wanted = wire::parse_wanted_id(&call.body)?;
        if self.creating.len() >= WAITING_MAX {
            return Err(detail(503, "Too many new parties").with_header("Retry-After", "1").into());
        }
        let key = call.idempotency_key.as_deref();
        let found_by = mark_of(key, &call.body).map_err(wire::refuse_creation)?;
        let known = store::load_creation(turn.sql, peer_id, &found_by)?;
        let earlier = repeated(known, &call.body, now).map_err(wire::refuse_creation)?;
        let is_repeated = earlier.is_some();
        let party_id = match earlier {
            Some(party_id) => party_id,
            None => {
                let party_id = wanted.unwrap_or_else(|| random_party_id(turn.entropy));
                let mut batch = Batch::new(self.tally);
                let network = call.client.as_str().as_bytes();
                let of_peer = (mark("peer's parties", peer_id.as_bytes()), PER_PEER);
                let of_network = (mark("network's parties", network), PER_NETWORK);
                for taken in [of_peer, of_network] {
                    if let Err(retry_after_ms) = self.take((turn.sql, &mut batch), taken, now)? {
                        return Err(wire::refuse_creation(CreationError::TooMany { retry_after_ms }).into());
                    }
                }
                batch.put_creation(peer_id, &remembered(found_by, key, &call.body, &party_id, now));
                self.commit(turn, batch)?;
                party_id
            }
        };
        let ticket = self.ticket();
        self.creating.insert(ticket, Waiting { is_repeated });
        let call = Box::new(Call { params: vec![party_id.clone()], ..call.clone() });
        turn.ask(ticket, Errand::Call { class: Class::PartyRoom, name: party_id, call });
        Ok(Answer::Later(ticket))
    }
}

/// Passes the party's answer on.
pub(super) fn finish(turn: &mut Turn<'_>, (ticket, waiting): (Ticket, Waiting), outcome: Outcome) {
    let reply = match outcome {
        Outcome::Replied(reply) if waiting.is_repeated => reply.with_header("Idempotent-Replayed", "true"),
        Outcome::Replied(reply) => reply,
        _ => detail(503, "The party did not answer").with_header("Retry-After", "1"),
    };
    turn.answer(ticket, reply);
}
