//! Which socket speaks for a peer, and which parties it hears of.

use super::super::gateway::stamp_of;
use super::{PartyIdentities, Stop, Valid};
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::parties::identity::{
    BINDINGS_MAX, Binding, ClaimFacts, Former, MEMBERSHIPS_MAX, PARTIES_MAX, Seat, Voucher, decide_claim, is_proven,
};
use crate::parties::store::identities::{self as store, Batch, Place};
use crate::parties::wire::identity as wire;
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::{Claim, Claimed, Membership, MembershipState, PeerNews, Release};

/// When a gateway is told again that a socket was displaced. Units: milliseconds.
const AGAIN_MS: u64 = 10_000;
/// Displaced sockets whose gateways are told at once.
const TOLD_MAX: u64 = 100;

/// A socket that no longer speaks for its peer and may not know it yet.
#[derive(Debug)]
pub(super) struct Displaced {
    peer_id: String,
    former: Former,
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
        let stamp = stamp_of(call);
        let is_same = binding.as_ref().is_some_and(|old| {
            old.seat == seat && old.released_at.is_none() && old.stamp >= stamp && old.network == claim.network
        });
        if !is_same {
            let untold = binding.and_then(|old| old.former);
            let former = displaced.clone().or(untold).filter(|former| former.seat != seat);
            let binding = Binding { seat, stamp, network: claim.network, since: now, released_at: None, former };
            batch.put_binding(place, &peer_id, &binding, BINDINGS_MAX);
        }
        let parties = store::load_parties(turn.sql, &peer_id)?;
        self.commit(turn, batch)?;
        if let Some(former) = displaced {
            self.displace(turn, Displaced { peer_id: peer_id.clone(), former })?;
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

    /// Tells the gateway of a displaced socket. The row that says so stays until it has answered.
    fn displace(&mut self, turn: &mut Turn<'_>, displaced: Displaced) -> Result<(), Fault> {
        let Displaced { peer_id, former: Former { seat: Seat { gateway, conn }, stamp } } = &displaced;
        let release = Release { peer_id: peer_id.clone(), gateway: gateway.clone(), conn: *conn };
        let body = to_json(&release)?.into_bytes();
        let call = Box::new(gateway_call(Operation::PartyRelease, vec![stamp.to_string()], body));
        let (class, name) = (Class::PartyGateway, gateway.clone());
        let ticket: Ticket = self.ticket();
        self.displaced.insert(ticket, displaced);
        self.retell_at.get_or_insert(turn.now.plus(AGAIN_MS));
        turn.ask(ticket, Errand::Call { class, name, call });
        Ok(())
    }

    pub(super) fn told_displaced(
        &mut self,
        turn: &Turn<'_>,
        displaced: &Displaced,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        if !matches!(outcome, Outcome::Replied(reply) if reply.status == 200) {
            return Ok(());
        }
        let mut batch = Batch::new(self.tally);
        batch.clear_former(&displaced.peer_id, &displaced.former);
        self.commit(turn, batch)
    }

    /// Tells the gateways again that have not answered.
    pub(super) fn tell_again(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.displaced.clear();
        self.retell_at = None;
        for (peer_id, former) in store::load_formers(turn.sql, TOLD_MAX)? {
            self.displace(turn, Displaced { peer_id, former })?;
        }
        Ok(())
    }

    /// A socket is gone. If somebody else says so, they may speak of an earlier socket of the same number; so the
    /// gateway is told, and whoever sits there now falls silent instead of being one of two.
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let Release { peer_id, gateway, conn } = wire::parse_service(&call.body)?;
        let binding = store::load_binding(turn.sql, &peer_id)?;
        let seat = Seat { gateway, conn };
        let is_current = |binding: &Binding| {
            binding.seat == seat && binding.released_at.is_none() && binding.stamp <= stamp_of(call)
        };
        if let Some(binding) = binding.filter(is_current) {
            let is_hearsay = call.params.first().is_some_and(|how| how == wire::HEARSAY);
            let said = Former { seat, stamp: binding.stamp };
            let former = if is_hearsay { Some(said.clone()) } else { binding.former.clone() };
            let mut batch = Batch::new(self.tally);
            let released = Binding { released_at: Some(turn.now), former, ..binding };
            batch.put_binding(Place::Taken, &peer_id, &released, BINDINGS_MAX);
            self.commit(turn, batch)?;
            if is_hearsay {
                self.displace(turn, Displaced { peer_id, former: said })?;
            }
        }
        Ok(Reply::json_text(String::from(wire::DONE)))
    }

    /// A peer is in a party, or is not any more. The socket that speaks for it may have had no part in this, so it is
    /// told too, once: it hears of the party at its next claim in any case.
    pub(super) fn note_membership(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let membership: Membership = wire::parse_service(&call.body)?;
        let Membership { peer_id, party_id, state } = &membership;
        let parties = store::load_parties(turn.sql, peer_id)?;
        let is_known = parties.contains(party_id);
        let mut batch = Batch::new(self.tally);
        match state {
            MembershipState::Joined if !is_known => {
                if parties.len() as u64 >= PARTIES_MAX {
                    parties.iter().take(1).for_each(|oldest| batch.remove_membership(peer_id, oldest));
                }
                batch.put_membership(peer_id, party_id, turn.now, MEMBERSHIPS_MAX);
            }
            MembershipState::Left if is_known => batch.remove_membership(peer_id, party_id),
            MembershipState::Joined | MembershipState::Left => {}
        }
        let binding = store::load_binding(turn.sql, peer_id)?.filter(|binding| binding.released_at.is_none());
        self.commit(turn, batch)?;
        if let Some(Seat { gateway, conn }) = binding.map(|binding| binding.seat) {
            let body = to_json(&PeerNews { conn, membership })?.into_bytes();
            let call = Box::new(gateway_call(Operation::PartyNews, Vec::new(), body));
            let ticket = self.ticket();
            turn.ask(ticket, Errand::Call { class: Class::PartyGateway, name: gateway, call });
        }
        Ok(Reply::json_text(String::from(wire::DONE)))
    }
}

fn gateway_call(operation: Operation, params: Vec<String>, body: Vec<u8>) -> Call {
    Call {
        operation,
        params,
        query: String::new(),
        principal: Principal::Service,
        client: ClientNetwork::unknown(),
        request_id: String::from("identities"),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body,
    }
}
