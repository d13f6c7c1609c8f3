//! Which socket speaks for a peer, and which parties it hears of.

use super::{PartyIdentities, Stop, Valid};
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::parties::identity::{
    BINDINGS_MAX, Binding, ClaimFacts, MEMBERSHIPS_MAX, PARTIES_MAX, Seat, Voucher, decide_claim, is_proven,
};
use crate::parties::store::identities::{self as store, Batch, Place};
use crate::parties::wire::identity as wire;
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::{Claim, Claimed, Membership, MembershipState, Release};

/// How often a gateway is told that its socket was displaced.
const TRIES_MAX: u8 = 3;
/// Displaced sockets whose gateways have not answered.
const DISPLACED_MAX: usize = 1_000;

/// A socket that no longer speaks for its peer and does not know it yet.
#[derive(Debug)]
pub(super) struct Displaced {
    gateway: String,
    call: Call,
    tries: u8,
}

impl PartyIdentities {
    pub(super) fn claim(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let now = turn.now;
        let claim: Claim = wire::parse_service(&call.body)?;
        let valid = claim.token.as_deref().map(|token| self.judge(turn, token)).transpose()?;
        let peer_id = self.claimed_peer(&claim, valid.as_ref())?;
        let voucher = if valid.is_some() { Voucher::Token } else { Voucher::Nothing };
        let known = store::load_identity(turn.sql, &peer_id)?;
        let tokens = self.known_tokens(turn.sql, &peer_id)?;
        let binding = store::load_binding(turn.sql, &peer_id)?;
        let place = Place::of(binding.as_ref());
        let seat = Seat { gateway: claim.gateway, conn: claim.conn };
        let facts = ClaimFacts {
            anonymous: self.party().anonymous_sockets,
            open: self.party().open_identities,
            is_proven: is_proven(known.as_ref(), &tokens, now),
            binding: binding.clone(),
        };
        let displaced = match decide_claim(facts, voucher, (&seat, &claim.network)) {
            Ok(displaced) => displaced,
            Err(refusal) => return Err(wire::refuse_claim(&peer_id, refusal)?.into()),
        };
        let mut batch = Batch::new(self.tally);
        if let Some(valid) = &valid {
            self.extend(&mut batch, valid, now);
        }
        let is_same = binding.is_some_and(|old| old.seat == seat && old.released_at.is_none());
        if !is_same {
            let binding = Binding { seat, network: claim.network, since: now, released_at: None };
            batch.put_binding(place, &peer_id, &binding, BINDINGS_MAX);
        }
        let parties = store::load_parties(turn.sql, &peer_id)?;
        self.commit(turn, batch)?;
        if let Some(seat) = displaced {
            self.displace(turn, &peer_id, seat, call)?;
        }
        Ok(Reply::json(&Claimed { peer_id, parties })?)
    }

    /// Whom a claim is about: a token alone says it too.
    fn claimed_peer(&self, claim: &Claim, valid: Option<&Valid>) -> Result<String, Reply> {
        match valid {
            Some(valid) if claim.peer_id.is_empty() || claim.peer_id == valid.peer_id => Ok(valid.peer_id.clone()),
            Some(_) => Err(detail(401, "Token peer_id does not match requested peer_id")),
            None => Ok(claim.peer_id.clone()),
        }
    }

    fn displace(&mut self, turn: &mut Turn<'_>, peer_id: &str, seat: Seat, cause: &Call) -> Result<(), Fault> {
        let Seat { gateway, conn } = seat;
        let release = Release { peer_id: peer_id.to_owned(), gateway: gateway.clone(), conn };
        let call = Call {
            operation: Operation::PartyRelease,
            principal: Principal::Service,
            body: to_json(&release)?.into_bytes(),
            ..cause.clone()
        };
        self.ask_displaced(turn, Displaced { gateway, call, tries: TRIES_MAX });
        Ok(())
    }

    fn ask_displaced(&mut self, turn: &mut Turn<'_>, displaced: Displaced) {
        let ticket: Ticket = self.ticket();
        let (name, call) = (displaced.gateway.clone(), Box::new(displaced.call.clone()));
        if self.displaced.len() < DISPLACED_MAX {
            self.displaced.insert(ticket, displaced);
        }
        turn.ask(ticket, Errand::Call { class: Class::PartyGateway, name, call });
    }

    pub(super) fn told_displaced(&mut self, turn: &mut Turn<'_>, displaced: Displaced, outcome: &Outcome) {
        let is_told = matches!(outcome, Outcome::Replied(reply) if reply.status == 200);
        if !is_told && displaced.tries > 1 {
            self.ask_displaced(turn, Displaced { tries: displaced.tries - 1, ..displaced });
        }
    }

    pub(super) fn release(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let Release { peer_id, gateway, conn } = wire::parse_service(&call.body)?;
        let binding = store::load_binding(turn.sql, &peer_id)?;
        let seat = Seat { gateway, conn };
        if let Some(binding) = binding.filter(|binding| binding.seat == seat && binding.released_at.is_none()) {
            let mut batch = Batch::new(self.tally);
            let released = Binding { released_at: Some(turn.now), ..binding };
            batch.put_binding(Place::Taken, &peer_id, &released, BINDINGS_MAX);
            self.commit(turn, batch)?;
        }
        Ok(Reply::json_text(String::from(wire::DONE)))
    }

    pub(super) fn note_membership(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let Membership { peer_id, party_id, state } = wire::parse_service(&call.body)?;
        let parties = store::load_parties(turn.sql, &peer_id)?;
        let is_known = parties.contains(&party_id);
        let mut batch = Batch::new(self.tally);
        match state {
            MembershipState::Joined if !is_known => {
                if parties.len() as u64 >= PARTIES_MAX {
                    parties.iter().take(1).for_each(|oldest| batch.remove_membership(&peer_id, oldest));
                }
                batch.put_membership(&peer_id, &party_id, turn.now, MEMBERSHIPS_MAX);
            }
            MembershipState::Left if is_known => batch.remove_membership(&peer_id, &party_id),
            MembershipState::Joined | MembershipState::Left => {}
        }
        self.commit(turn, batch)?;
        Ok(Reply::json_text(String::from(wire::DONE)))
    }
}
