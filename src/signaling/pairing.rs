//! Pair requests: asked, answered, warned of, ended.
//!
//! A request that reaches nobody is refused in one way, whatever the cause, so that nobody learns which codes exist.

use super::codes::Code;
use super::event::{Effect, Event, Refusal, Role};
use super::message::{Answer, Json};
use super::room::{Due, Request, Room, Stage};
use crate::kernel::object::Conn;
use crate::kernel::time::Timestamp;

/// Requests that may wait for one peer's answer.
pub const PENDING_MAX: usize = 10;

/// Requests that one peer may have waiting. With codes of 512 bytes they take 5.4 KB of its attachment.
pub const ASKED_MAX: usize = 10;

impl Room {
    pub(super) fn request_pair<'a>(
        &mut self,
        now: Timestamp,
        conn: Conn,
        target: &str,
        proposed_name: Option<Json<'a>>,
        out: &mut Vec<Effect<'a>>,
    ) -> Result<(), Refusal> {
        let asker = self.peer(conn)?;
        let to = self.conn_by_code.get(target).copied().filter(|to| *to != conn).ok_or(Refusal::PairUnprocessed)?;
        let asked = self.peer(to)?;
        let is_repeated = asked.asked_by.contains(&conn);
        let is_full = asked.asked_by.len() >= PENDING_MAX || asker.record.requests.len() >= ASKED_MAX;
        if is_full && !is_repeated {
            return Err(Refusal::PairUnprocessed);
        }
        let from = asker.record.identity.clone();
        let request = Request { target: asked.record.identity.code.clone(), asked_at: now, stage: Stage::Fresh };
        self.drop_request(conn, target);
        self.timers.insert((self.times.due(&request), conn, Due::Request(request.target.clone())));
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.asked_by.insert(conn);
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.record.requests.push(request);
        }
        let expires_in_ms = self.times.timeout_ms;
        out.push(Effect::Tell { to, event: Event::PairIncoming { from, expires_in_ms, proposed_name } });
        out.push(Effect::Keep(conn));
        Ok(())
    }

    pub(super) fn answer_pair(
        &mut self,
        conn: Conn,
        requester: &str,
        answer: Answer,
        out: &mut Vec<Effect<'_>>,
    ) -> Result<(), Refusal> {
        let responder = self.peer(conn)?;
        let asker = self.conn_by_code.get(requester).copied().ok_or(Refusal::NoPairRequest)?;
        if !responder.asked_by.contains(&asker) {
            return Err(Refusal::NoPairRequest);
        }
        let identity = responder.record.identity.clone();
        let peer = self.peer(asker)?.record.identity.clone();
        self.drop_request(asker, &identity.code);
        match answer {
            Answer::Reject => {
                let event = Event::PairRejected { peer: identity.code.clone() };
                out.extend([Effect::Tell { to: asker, event }, Effect::Keep(asker)]);
            }
            Answer::Accept => {
                // The responder may have asked as well; that question is answered by the match.
                self.drop_request(conn, requester);
                let initiated = Event::PairMatched { peer: identity, role: Role::Initiator };
                let responded = Event::PairMatched { peer, role: Role::Responder };
                out.push(Effect::Tell { to: asker, event: initiated });
                out.push(Effect::Tell { to: conn, event: responded });
                self.befriend(asker, conn, out);
            }
        }
        Ok(())
    }

    /// Takes a request back, timer and index included.
    pub(super) fn drop_request(&mut self, conn: Conn, target: &str) -> Option<Request> {
        if let Some(asked) = self.peer_of_code_mut(target) {
            asked.asked_by.remove(&conn);
        }
        let requests = &mut self.peers.get_mut(&conn)?.record.requests;
        let index = requests.iter().position(|request| *request.target == *target)?;
        let request = requests.remove(index);
        self.timers.remove(&(self.times.due(&request), conn, Due::Request(request.target.clone())));
        Some(request)
    }

    /// The request's timer, which is not among the timers any more, has rung.
    pub(super) fn expire_request(&mut self, now: Timestamp, conn: Conn, target: &Code, out: &mut Vec<Effect<'_>>) {
        let (times, to) = (self.times, self.conn_by_code.get(target).copied());
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(request) = peer.record.requests.iter_mut().find(|request| request.target == *target) else { return };
        if request.asked_at.plus(times.timeout_ms) <= now {
            self.drop_request(conn, target);
            let event = Event::PairTimeout { peer: target.clone() };
            out.extend([Effect::Tell { to: conn, event }, Effect::Keep(conn)]);
            return;
        }
        request.stage = Stage::Warned;
        let timer = (times.due(request), conn, Due::Request(target.clone()));
        let remaining_s = times.remaining_s();
        let code = peer.record.identity.code.clone();
        self.timers.insert(timer);
        out.push(Effect::Tell { to: conn, event: Event::PairExpiring { peer: target.clone(), remaining_s } });
        out.extend(to.map(|to| Effect::Tell { to, event: Event::PairExpiring { peer: code, remaining_s } }));
        out.push(Effect::Keep(conn));
    }
}
