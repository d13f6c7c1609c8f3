//! Sockets: the party's own from opening to closing, and what every socket says once it is known whose it is.

use super::errands::Kind;
use super::group::offset_of;
use super::work::{Arrival, Work};
use super::{Halt, PartyRoom};
use crate::kernel::errand::Outcome;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Call, Conn, Frame, Opening, Turn};
use crate::kernel::time::Timestamp;
use crate::parties::ears::{Ear, Voice};
use crate::parties::party::Pass;
use crate::parties::peer::Introduction;
use crate::parties::refusal::Refusal;
use crate::parties::socket::{AUTH_MS, MESSAGES, OUTSIDE_MS, OUTSIDERS_MAX, SOCKETS_MAX, Socket, Standing};
use crate::parties::token::shard_of_token;
use crate::parties::wire::attachment;
use crate::parties::wire::errand::{Admission, ask_admit, read_admission};
use crate::parties::wire::frames::{FRAME_BYTES_MAX, Message, encode_error, parse_message};
use crate::parties::wire::problem::detail;

/// The close code of a socket that did not say, or could not show, who it is.
const STRANGER: u16 = 4401;

/// The close code of a socket whose peer is no member.
const OUTSIDER: u16 = 4403;

impl PartyRoom {
    /// Takes a socket in.
    pub(super) fn admit(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Result<Opening, Fault> {
        let Some(party_id) = call.params.first().filter(|party_id| !party_id.is_empty()) else {
            return Ok(Opening::Refuse(detail(404, "Not Found")));
        };
        let is_member = |peer_id: &String| self.party.as_ref().is_some_and(|party| party.has(peer_id));
        let is_outsider = !call.caller.as_ref().is_some_and(is_member);
        if self.sockets.len() >= SOCKETS_MAX || (is_outsider && self.outsiders.len() >= OUTSIDERS_MAX) {
            return Ok(Opening::Refuse(detail(503, "Server at capacity")));
        }
        if self.party_id.is_empty() {
            self.party_id.clone_from(party_id);
        }
        let standing = call.caller.clone().map_or(Standing::Stranger, Standing::Peer);
        let (party_id, network) = (party_id.clone(), call.client.clone());
        self.sockets.insert(conn, Socket { party_id, network, free_at_us: 0, standing, until: None });
        let mut work = Work::default();
        work.touch(&Ear::Own(conn));
        if let Some(peer_id) = &call.caller {
            self.resume(turn, (&Ear::Own(conn), peer_id), &mut work)?;
        }
        self.finish(turn, work)?;
        let Some(socket) = self.sockets.get(&conn) else {
            return Ok(Opening::Refuse(detail(503, "Server at capacity")));
        };
        Ok(Opening::Accept { attachment: attachment::encode(socket, self.ears.get(&Ear::Own(conn)))? })
    }

    /// A socket of ours says something.
    pub(super) fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        conn: Conn,
        frame: Frame<'_>,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let now = turn.now;
        let ear = Ear::Own(conn);
        let Some(socket) = self.sockets.get_mut(&conn) else { return Ok(()) };
        let text = match frame {
            Frame::Text(text) if text.len() <= FRAME_BYTES_MAX => text,
            Frame::Binary(bytes) if bytes.len() <= FRAME_BYTES_MAX => {
                work.error(&ear, "Invalid JSON");
                return Ok(());
            }
            Frame::Text(_) | Frame::Binary(_) => {
                self.close(now, conn, (1009, "Message too large"), work);
                return Ok(());
            }
        };
        let Ok(allowance) = MESSAGES.take(socket.free_at_us, now) else {
            work.error(&ear, "Too many messages");
            return Ok(());
        };
        socket.free_at_us = allowance.free_at_us;
        work.touch(&ear);
        match &socket.standing {
            Standing::Stranger => self.ask_who(turn, conn, text, work),
            Standing::Asked { .. } => {
                if socket.hold(text).is_err() {
                    work.error(&ear, "Wait for the answer to auth");
                }
                Ok(())
            }
            Standing::Peer(peer_id) => {
                let (peer_id, network) = (peer_id.clone(), socket.network.clone());
                self.converse(turn, (&ear, &peer_id, network.as_str()), text, work)
            }
        }
    }

    fn ask_who(&mut self, turn: &Turn<'_>, conn: Conn, text: &str, work: &mut Work) -> Result<(), Fault> {
        let token = match parse_message(text).map(|addressed| addressed.message) {
            Ok(Message::Auth { token, .. }) => token,
            Ok(_) => {
                work.error(&Ear::Own(conn), "Authenticate first");
                return Ok(());
            }
            Err(sentence) => {
                work.error(&Ear::Own(conn), &sentence);
                return Ok(());
            }
        };
        let Some((token, shard)) = token.and_then(|token| shard_of_token(&token).map(|shard| (token, shard))) else {
            self.turn_away(turn.now, conn, work);
            return Ok(());
        };
        if let Some(socket) = self.sockets.get_mut(&conn) {
            socket.standing = Standing::Asked { held: Vec::new() };
        }
        let errand = ask_admit(&shard, &token)?;
        work.actions.push(Action::Ask { ticket: Kind::Admission.ticket(conn.0), errand });
        Ok(())
    }

    fn turn_away(&mut self, now: Timestamp, conn: Conn, work: &mut Work) {
        work.actions.push(Action::Send { conn, text: encode_error("Invalid or expired token") });
        self.close(now, conn, (STRANGER, "Invalid or expired token"), work);
    }

    /// It is known whose token a socket has shown.
    pub(super) fn admitted(
        &mut self,
        turn: &mut Turn<'_>,
        conn: Conn,
        outcome: &Outcome,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let Some(socket) = self.sockets.get_mut(&conn) else { return Ok(()) };
        let Standing::Asked { held } = &mut socket.standing else { return Ok(()) };
        let (held, network) = (std::mem::take(held), socket.network.clone());
        let peer_id = match read_admission(outcome) {
            Admission::Peer(peer_id) => peer_id,
            Admission::Nobody => {
                self.turn_away(turn.now, conn, work);
                return Ok(());
            }
            Admission::Unknown => {
                self.close(turn.now, conn, (1013, "Try again later"), work);
                return Ok(());
            }
        };
        socket.standing = Standing::Peer(peer_id.clone());
        if let Some(until) = socket.until.take() {
            self.outsiders.remove(&(until, conn));
        }
        let ear = Ear::Own(conn);
        work.touch(&ear);
        self.resume(turn, (&ear, &peer_id), work)?;
        for text in held {
            self.converse(turn, (&ear, &peer_id, network.as_str()), &text, work)?;
        }
        Ok(())
    }

    /// A peer's socket is here (again): it hears what it missed, or that it is no member.
    pub(super) fn resume(
        &mut self,
        turn: &Turn<'_>,
        (ear, peer_id): (&Ear, &str),
        work: &mut Work,
    ) -> Result<(), Fault> {
        let member = self.known(&self.party_id).and_then(|party| {
            party.check_member(peer_id)?;
            party.member(peer_id)
        });
        let offset = match member {
            Ok(member) => member.offset,
            Err(refusal) => {
                work.error(ear, &refusal.to_string());
                return Ok(());
            }
        };
        self.subscribe(turn.now, (ear, peer_id), (offset, Voice::Silent), work);
        self.see(turn.now, peer_id, work);
        self.post_whole(turn.now, std::slice::from_ref(ear), work)?;
        self.catch_up(turn, (ear, peer_id), work)
    }

    /// A peer says something about the party. What is refused is answered with an `error`, and changes nothing.
    pub(super) fn converse(
        &mut self,
        turn: &mut Turn<'_>,
        (ear, peer_id, network): (&Ear, &str, &str),
        text: &str,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let addressed = match parse_message(text) {
            Ok(addressed) => addressed,
            Err(sentence) => {
                work.error(ear, &sentence);
                return Ok(());
            }
        };
        if addressed.party_id.is_some_and(|party_id| party_id != self.party_id) {
            work.error(ear, &Refusal::OtherParty(self.party_id.clone()).to_string());
            return Ok(());
        }
        if let Message::Auth { peer_id: claimed, .. } = &addressed.message {
            if claimed.as_deref().is_some_and(|claimed| claimed != peer_id) {
                work.error(ear, &Refusal::NotRequestedPeer.to_string());
                return Ok(());
            }
            return self.resume(turn, (ear, peer_id), work);
        }
        match self.follow(turn, (ear, peer_id, network), addressed.message, work) {
            Ok(()) => self.notice(turn.now, (ear, peer_id), work),
            Err(Halt::Fault(fault)) => Err(fault),
            Err(Halt::Refused(refusal)) => {
                work.error(ear, &refusal.to_string());
                Ok(())
            }
            Err(Halt::Invalid(_) | Halt::Told(_)) => {
                work.error(ear, "Invalid message");
                Ok(())
            }
        }
    }

    fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        (ear, peer_id, network): (&Ear, &str, &str),
        message: Message,
        work: &mut Work,
    ) -> Result<(), Halt> {
        let own = |named: Option<String>| match named {
            Some(named) if named != peer_id => Err(Refusal::NotRequestedPeer),
            _ => Ok(()),
        };
        match message {
            Message::Auth { .. } => {}
            Message::Register { name, host } => {
                if host.peer.peer_id != peer_id {
                    return Err(Refusal::NotHostPeerInfo.into());
                }
                let arrival = self.open_party(turn, name, &host, work)?;
                self.arrive(turn, ear, (&host, arrival), work)?;
            }
            Message::Join { peer, password, invite } => {
                if peer.peer.peer_id != peer_id {
                    return Err(Refusal::NotPeerInfo.into());
                }
                let pass = Pass { password: password.as_deref(), invite: invite.as_deref() };
                let arrival = self.join(turn, network, (&peer, pass), work)?;
                self.arrive(turn, ear, (&peer, arrival), work)?;
            }
            Message::Leave { peer_id: named } => {
                self.leave(turn, peer_id, named.as_deref().unwrap_or(peer_id), work)?;
            }
            Message::Heartbeat { peer_id: named } => {
                own(named)?;
                self.beat(turn.now, peer_id, work)?;
            }
            Message::Update { peer_id: named, change } => {
                own(named)?;
                self.update(turn.now, peer_id, &change, work)?;
                self.post_arrival(turn.now, (peer_id, Arrival::Again), work)?;
            }
            Message::Signal { to_peer_id, payload } => {
                self.signal(turn.now, peer_id, (to_peer_id, payload), work)?;
            }
        }
        Ok(())
    }

    /// Whoever joins by a socket listens by it.
    fn arrive(
        &mut self,
        turn: &Turn<'_>,
        ear: &Ear,
        (peer, arrival): (&Introduction, Arrival),
        work: &mut Work,
    ) -> Result<(), Fault> {
        let peer_id = peer.peer.peer_id.as_str();
        let offset = offset_of(&peer.last_seen, turn.now);
        self.subscribe(turn.now, (ear, peer_id), (offset, Voice::Spoken), work);
        self.post_arrival(turn.now, (peer_id, arrival), work)?;
        self.catch_up(turn, (ear, peer_id), work)
    }

    /// A socket that speaks keeps its peer alive. One whose subscription was lost has it back.
    fn notice(&mut self, now: Timestamp, (ear, peer_id): (&Ear, &str), work: &mut Work) -> Result<(), Fault> {
        let Some(member) = self.party.as_ref().and_then(|party| party.members.get(peer_id)) else { return Ok(()) };
        let offset = member.offset;
        match self.ears.get(ear).map(|hearing| (hearing.voice, hearing.offset)) {
            Some((Voice::Spoken, _)) => Ok(()),
            Some((Voice::Silent, offset)) => {
                self.subscribe(now, (ear, peer_id), (offset, Voice::Spoken), work);
                Ok(())
            }
            None => {
                self.subscribe(now, (ear, peer_id), (offset, Voice::Spoken), work);
                self.post_whole(now, std::slice::from_ref(ear), work)
            }
        }
    }

    /// A socket of ours is gone.
    pub(super) fn drop_socket(&mut self, now: Timestamp, conn: Conn, work: &mut Work) {
        if let Some(until) = self.sockets.remove(&conn).and_then(|socket| socket.until) {
            self.outsiders.remove(&(until, conn));
        }
        self.unsubscribe(now, &Ear::Own(conn), work);
    }

    /// Sets the time of a socket whose peer is no member, or is one now.
    pub(super) fn limit_stay(&mut self, now: Timestamp, conn: Conn) {
        let is_subscribed = self.ears.get(&Ear::Own(conn)).is_some();
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        match socket.until {
            Some(until) if is_subscribed => {
                socket.until = None;
                self.outsiders.remove(&(until, conn));
            }
            None if !is_subscribed => {
                let stay_ms = if matches!(socket.standing, Standing::Peer(_)) { OUTSIDE_MS } else { AUTH_MS };
                let until = now.plus(stay_ms);
                socket.until = Some(until);
                self.outsiders.insert((until, conn));
            }
            Some(_) | None => {}
        }
    }

    /// Sockets that have not said in time who they are, or have not joined, go.
    pub(super) fn dismiss_outsiders(&mut self, now: Timestamp, work: &mut Work) {
        let late: Vec<Conn> =
            self.outsiders.iter().take_while(|(until, _)| *until <= now).map(|(_, conn)| *conn).collect();
        for conn in late {
            let is_known = self.sockets.get(&conn).is_some_and(|socket| matches!(socket.standing, Standing::Peer(_)));
            let end = if is_known { (OUTSIDER, "Not a member") } else { (STRANGER, "Authentication timed out") };
            self.close(now, conn, end, work);
        }
    }
}
