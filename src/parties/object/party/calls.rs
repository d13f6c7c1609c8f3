//! HTTP calls of peers. Every answer is a JSON object. Source: parties 1.5, and section 7 for what is new.

use super::work::{Arrival, Work};
use super::{Done, Halt, PartyRoom};
use crate::kernel::object::{Call, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::parties::naive::Offset;
use crate::parties::party::{Departure, Party, Pass};
use crate::parties::refusal::Refusal;
use crate::parties::wire::party::{
    Created, Joining, PartyBody, Reader, Shown, encode_details, encode_peer, encode_peers, encode_sent, encode_signals,
    encode_status, parse_change, parse_creation, parse_joining, parse_latencies, parse_signal,
};
use crate::parties::wire::problem::detail;

fn second(call: &Call) -> &str {
    call.params.get(1).map_or("", String::as_str)
}

/// Peers act for themselves only.
fn check_self(call: &Call, caller: &str) -> Result<(), Refusal> {
    if second(call) == caller { Ok(()) } else { Err(Refusal::NotRequestedPeer) }
}

fn status(status: &str) -> Done {
    Done::Reply(Reply::json_text(encode_status(status)))
}

impl PartyRoom {
    /// Does what a peer asks.
    pub(super) fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        caller: &str,
        work: &mut Work,
    ) -> Result<Done, Halt> {
        match call.operation {
            Operation::PartyCreate => self.create(turn, call, caller, work),
            Operation::PartyJoin => self.join_by_call(turn, call, caller, work),
            Operation::PartyLeave => match self.leave(turn, caller, second(call), work)? {
                Departure::Ended => Ok(status("party_deleted")),
                Departure::Left | Departure::Promoted => Ok(status("left")),
            },
            Operation::PartyRead | Operation::PartyPeers | Operation::PartyPeer | Operation::PartyDetails => {
                self.read(turn, call, caller)
            }
            Operation::PartyUpdatePeer => self.update_by_call(turn, call, caller, work),
            Operation::PartyHeartbeat => {
                check_self(call, caller)?;
                self.beat(turn.now, caller, work)?;
                Ok(status("ok"))
            }
            Operation::PartyLatencies => {
                let latencies = parse_latencies(&call.body)?;
                check_self(call, caller)?;
                self.beat(turn.now, caller, work)?;
                if let Some(party) = &mut self.party {
                    let changes = party.measure(caller, latencies);
                    work.rules(changes);
                }
                Ok(status("ok"))
            }
            Operation::PartySignalSend => {
                let signal = parse_signal(&call.body)?;
                let sent = self.signal(turn.now, caller, signal, work)?;
                Ok(Done::Reply(Reply::json_text(encode_sent(sent))))
            }
            Operation::PartySignalPoll => {
                check_self(call, caller)?;
                self.beat(turn.now, caller, work)?;
                let signals = self.take_signals(turn, caller, work)?;
                let body = encode_signals(&self.party_id, &signals, self.offset_of_member(caller));
                Ok(Done::Reply(Reply::json_text(body)))
            }
            Operation::PartyRelayCandidates => self.wish_candidates(call, caller, work),
            _ => self.rule(turn, call, caller, work),
        }
    }

    fn offset_of_member(&self, peer_id: &str) -> Offset {
        let member = self.party.as_ref().and_then(|party| party.members.get(peer_id));
        member.map_or(Offset::UTC, |member| member.offset)
    }

    fn body_for<'a>(&'a self, turn: &Turn<'_>, party: &'a Party, caller: &str) -> PartyBody<'a> {
        PartyBody::new(party, &self.ears, Reader { now: turn.now, offset: self.offset_of_member(caller) })
    }

    fn create(&mut self, turn: &mut Turn<'_>, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let creation = parse_creation(&call.body)?;
        if creation.host.peer.peer_id != caller {
            return Err(Refusal::NotHostPeerInfo.into());
        }
        let arrival = self.open_party(turn, creation.name, &creation.host, work)?;
        self.post_arrival(turn.now, (caller, arrival), work)?;
        let party = self.known(&self.party_id)?;
        let body = self.body_for(turn, party, caller).echoing(party, &creation.host);
        Ok(Done::Reply(Reply::json(&Created { party_id: &party.party_id, party: body })?))
    }

    fn join_by_call(&mut self, turn: &mut Turn<'_>, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let Joining { peer, password, invite } = parse_joining(&call.body)?;
        if peer.peer.peer_id != caller {
            return Err(Refusal::NotPeerInfo.into());
        }
        let pass = Pass { password: password.as_deref(), invite: invite.as_deref() };
        let arrival = self.join(turn, call.client.as_str(), (&peer, pass), work)?;
        self.post_arrival(turn.now, (caller, arrival), work)?;
        let party = self.known(&self.party_id)?;
        Ok(Done::Reply(Reply::json(&Shown { party: self.body_for(turn, party, caller) })?))
    }

    fn read(&self, turn: &Turn<'_>, call: &Call, caller: &str) -> Result<Done, Halt> {
        let party = self.known(&self.party_id)?;
        party.check_member(caller)?;
        let body = self.body_for(turn, party, caller);
        let reply = match call.operation {
            Operation::PartyPeers => Reply::json(&encode_peers(&body))?,
            Operation::PartyPeer => {
                party.member(second(call))?;
                Reply::json(&encode_peer(&body, second(call)))?
            }
            Operation::PartyDetails => Reply::json(&encode_details(party, &self.ears, turn.now))?,
            _ => Reply::json(&Shown { party: body })?,
        };
        Ok(Done::Reply(reply))
    }

    fn update_by_call(&mut self, turn: &Turn<'_>, call: &Call, caller: &str, work: &mut Work) -> Result<Done, Halt> {
        let (named, change) = parse_change(&call.body)?;
        check_self(call, caller)?;
        if named.is_some_and(|named| named != caller) {
            return Err(Refusal::NotPeerInfo.into());
        }
        self.update(turn.now, caller, &change, work)?;
        self.post_arrival(turn.now, (caller, Arrival::Again), work)?;
        let party = self.known(&self.party_id)?;
        Ok(Done::Reply(Reply::json(&encode_peer(&self.body_for(turn, party, caller), caller))?))
    }

    /// The answer to a call that no party takes.
    pub(super) fn unknown() -> Halt {
        Halt::Told(detail(404, "Not Found"))
    }
}
