//! The gateway as an object: sockets whose first frame decides what they are.

use std::rc::Rc;

use super::refused::is_intruding;
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Action, Answer, Call, Conn, Frame, Object, Opening, Principal, Restored, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sockets::{FRAME_BYTES_MAX, Socket, SocketLimits, Sockets};
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::parties::gateway::{self, Effect, Gateway, Hold, Interest, MESSAGES_PER_MINUTE, Origin, Question};
use crate::parties::token::shard_of_peer;
use crate::parties::token::shard_of_token;
use crate::parties::wire::gateway::{self as wire, Door, Kept};
use crate::parties::wire::identity::{DONE, HEARSAY, parse_service};
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::{
    Deliver, Delivered, Holding, Holds, Membership, MembershipState, PeerNews, Release,
};

/// The room of sockets that are none of ours.
const LOBBY: &str = "lobby";

/// Bytes of a query string that are handed over.
const QUERY_BYTES_MAX: usize = 1_000;

/// Bytes of a bearer token that are handed over; a session token has some 500.
const BEARER_BYTES_MAX: usize = 4_096;

/// No frame that is text can be this one, and no JSON is: stands for bytes that are no text.
const NOT_TEXT: &str = "\u{fffd}";

/// Sockets whose first frame decides what they are.
#[derive(Debug)]
pub struct PartyGateway {
    sockets: Sockets<Door>,
    gateway: Gateway,
}

impl PartyGateway {
    /// It stores nothing.
    pub const MIGRATIONS: &'static [Migration] = &[];

    /// The gateway as it was.
    ///
    /// Errors: [`Fault::Corrupt`] when an attachment is not readable.
    pub fn load(
        settings: Rc<Settings>,
        _sql: &dyn Sql,
        now: Timestamp,
        restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let limits =
            SocketLimits { messages: Quota::per_minute(MESSAGES_PER_MINUTE), ..SocketLimits::of(&settings.signal) };
        let mut sockets = Sockets::new(limits);
        let mut lines = Vec::new();
        for Restored { conn, attachment } in restored {
            let Kept { door, network, free_at_us, line } = wire::decode_kept(&attachment)?;
            sockets.restore(conn, Socket { dialect: door, network, free_at_us });
            lines.extend(line.map(|line| (conn, line)));
        }
        Ok(Self { sockets, gateway: Gateway::restore(now, lines) })
    }

    fn hear(&mut self, turn: &mut Turn<'_>, conn: Conn, text: Option<&str>) -> Result<(), Fault> {
        if self.gateway.line(conn).is_none() {
            match text {
                Some(text) if wire::is_of_parties(text) => self.decide(conn),
                _ => {
                    self.transfer(turn, conn, text.unwrap_or(NOT_TEXT));
                    return Ok(());
                }
            }
        }
        let mut effects = Vec::new();
        match text.map(wire::parse) {
            _ if self.sockets.hear(conn, turn.now).is_err() => {
                effects.push(Effect::Error(conn, String::from("Too many messages")));
            }
            Some(Ok(said)) => self.gateway.hear(conn, (said, text.unwrap_or_default()), &mut effects),
            Some(Err(unclear)) => effects.push(Effect::Error(conn, unclear.0.to_owned())),
            None => effects.push(Effect::Error(conn, String::from("Frames must be text"))),
        }
        effects.push(Effect::Keep(conn));
        self.perform(turn, effects)
    }

    fn decide(&mut self, conn: Conn) {
        let Some(socket) = self.sockets.get(conn) else { return };
        let origin = Origin { network: socket.network.clone(), request_id: socket.dialect.request_id.clone() };
        self.gateway.open(conn, origin);
    }

    /// The socket is none of ours: it goes where it would have gone without us. It counts here until it ends, so that
    /// an address has no more of them than elsewhere.
    fn transfer(&mut self, turn: &mut Turn<'_>, conn: Conn, first: &str) {
        let Some(socket) = self.sockets.get(conn) else { return };
        let Door { request_id, query, bearer } = socket.dialect.clone();
        let origin = Origin { network: socket.network.clone(), request_id };
        let call =
            Call { query, bearer, principal: Principal::Anonymous, ..service_call(&origin, Operation::SignalShared) };
        turn.actions.push(Action::Transfer {
            conn,
            class: Class::SignalingRoom,
            name: LOBBY.to_owned(),
            call: Box::new(call),
            first: first.to_owned(),
        });
    }

    fn perform(&mut self, turn: &mut Turn<'_>, effects: Vec<Effect>) -> Result<(), Fault> {
        let mut changed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(conn, text) => turn.send(conn, text),
                Effect::Error(conn, message) => turn.send(conn, wire::encode_error(&message)),
                Effect::Ask(ticket, origin, question) => turn.ask(ticket, errand(&origin, question)?),
                Effect::Keep(conn) => changed.push(conn),
                Effect::Flooded(conn) => {
                    self.sockets.leave(conn);
                    turn.actions.push(Action::Close { conn, code: 4008, reason: "Too many messages waiting" });
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        for conn in changed {
            if let Some(socket) = self.sockets.get(conn) {
                let line = self.gateway.line(conn);
                let attachment = wire::encode_kept(&socket.dialect, &socket.network, socket.free_at_us, line)?;
                turn.actions.push(Action::Attach { conn, attachment });
            }
        }
        Ok(())
    }

    fn deliver(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Fault> {
        let Deliver { party_id, parcels } = parse_service(&call.body)?;
        let (mut gone, mut effects) = (Vec::new(), Vec::new());
        for parcel in parcels {
            for conn in parcel.conns {
                if self.gateway.deliver(Conn(conn), &party_id, &parcel.text, &mut effects) == Interest::None {
                    gone.push(conn);
                }
            }
        }
        gone.sort_unstable();
        gone.dedup();
        let reply = Reply::json(&Delivered { gone })?;
        self.perform(turn, effects)?;
        Ok(reply)
    }

    fn displace(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Fault> {
        let Release { peer_id, conn, .. } = parse_service(&call.body)?;
        let mut effects = Vec::new();
        self.gateway.displace(Conn(conn), (&peer_id, stamp_of(call)), &mut effects);
        self.perform(turn, effects)?;
        Ok(Reply::json_text(String::from(DONE)))
    }

    fn hear_news(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Fault> {
        let PeerNews { conn, membership: Membership { peer_id, party_id, state } } = parse_service(&call.body)?;
        let mut effects = Vec::new();
        match state {
            MembershipState::Joined => self.gateway.joined(Conn(conn), (&peer_id, &party_id), &mut effects),
            MembershipState::Left => self.gateway.left(Conn(conn), (&peer_id, &party_id), &mut effects),
        }
        self.perform(turn, effects)?;
        Ok(Reply::json_text(String::from(DONE)))
    }

    fn say_holds(&self, call: &Call) -> Result<Reply, Fault> {
        let Holds { peer_id, conn } = parse_service(&call.body)?;
        Reply::json(&Holding { holds: self.gateway.holds(Conn(conn), &peer_id) == Hold::Still })
    }

    fn end(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<(), Fault> {
        self.sockets.leave(conn);
        let mut effects = Vec::new();
        self.gateway.close(conn, &mut effects);
        self.perform(turn, effects)
    }
}

fn service_call(origin: &Origin, operation: Operation) -> Call {
    Call {
        operation,
        params: Vec::new(),
        query: String::new(),
        principal: Principal::Service,
        client: origin.network.clone(),
        request_id: origin.request_id.clone(),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body: Vec::new(),
    }
}

/// Whom a question is for.
fn errand(origin: &Origin, question: Question) -> Result<Errand, Fault> {
    use Operation as O;
    let (class, name, operation, params, caller) = match &question {
        // A token alone says which shard knows it; one that says nothing is refused by any.
        Question::Claim { peer_id, token, stamp, .. } => {
            let by_token = token.as_deref().filter(|_| peer_id.is_empty()).and_then(shard_of_token);
            let name = by_token.unwrap_or_else(|| shard_of_peer(peer_id));
            (Class::PartyIdentities, name, O::PartyClaim, vec![stamp.to_string()], None)
        }
        Question::Release { peer_id, gateway, stamp, .. } => {
            let how = if gateway.is_some() { HEARSAY.to_owned() } else { stamp.to_string() };
            (Class::PartyIdentities, shard_of_peer(peer_id), O::PartyRelease, vec![how], None)
        }
        Question::Forget { peer_id, .. } => {
            (Class::PartyIdentities, shard_of_peer(peer_id), O::PartyMembership, Vec::new(), None)
        }
        Question::Holds { gateway, .. } => (Class::PartyGateway, gateway.clone(), O::PartyHolds, Vec::new(), None),
        Question::Frame { party_id, peer_id, .. }
        | Question::Resume { party_id, peer_id, .. }
        | Question::Gone { party_id, peer_id, .. } => {
            let params = vec![party_id.clone()];
            (Class::PartyRoom, party_id.clone(), O::PartyForward, params, Some(peer_id.clone()))
        }
    };
    let body = wire::encode_question(origin, question)?.into_bytes();
    let call = Call { params, caller, body, ..service_call(origin, operation) };
    Ok(Errand::Call { class, name, call: Box::new(call) })
}

/// Which claim a message is about; one that does not say is about all there were.
pub(super) fn stamp_of(call: &Call) -> u64 {
    call.params.first().and_then(|stamp| stamp.parse().ok()).unwrap_or(SAFE_INTEGER_MAX)
}

/// The name of the object that holds the sockets of a client network.
#[must_use]
pub fn gateway_of(network: &ClientNetwork) -> String {
    gateway::name_of(network)
}

impl Object for PartyGateway {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        if is_intruding(call) {
            return Ok(detail(404, "Not Found").into());
        }
        self.gateway.begin(turn.now);
        let reply = match call.operation {
            Operation::PartyDeliver => self.deliver(turn, call),
            Operation::PartyHolds => self.say_holds(call),
            Operation::PartyNews => self.hear_news(turn, call),
            Operation::PartyRelease => self.displace(turn, call),
            Operation::Probe => {
                turn.sql.read(Statement::plain("SELECT 1"))?;
                Ok(Reply::json_text(String::from(r#"{"ok":true}"#)))
            }
            _ => Ok(detail(404, "Not Found")),
        };
        reply.map(Answer::Now)
    }

    fn open(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Result<Opening, Fault> {
        if call.operation != Operation::SignalShared {
            return Ok(Opening::Refuse(detail(404, "Not Found")));
        }
        let door = Door {
            request_id: call.request_id.chars().take(64).collect(),
            query: Some(call.query.clone()).filter(|query| query.len() <= QUERY_BYTES_MAX).unwrap_or_default(),
            bearer: call.bearer.clone().filter(|bearer| bearer.len() <= BEARER_BYTES_MAX),
        };
        let network = call.client.clone();
        let attachment = wire::encode_kept(&door, &network, 0, None)?;
        if let Err(full) = self.sockets.admit(conn, Socket { dialect: door, network, free_at_us: 0 }) {
            turn.actions.push(Action::Close { conn, code: 1013, reason: full.reason() });
        }
        Ok(Opening::Accept { attachment })
    }

    fn message(&mut self, turn: &mut Turn<'_>, conn: Conn, frame: Frame<'_>) -> Result<(), Fault> {
        self.gateway.begin(turn.now);
        if self.sockets.get(conn).is_none() {
            return Ok(());
        }
        let (bytes, text) = match frame {
            Frame::Text(text) => (text.len(), Some(text)),
            Frame::Binary(bytes) => (bytes.len(), std::str::from_utf8(bytes).ok()),
        };
        let is_line = self.gateway.line(conn).is_some() || text.is_some_and(wire::is_of_parties);
        if bytes > if is_line { gateway::FRAME_BYTES_MAX } else { FRAME_BYTES_MAX } {
            self.end(turn, conn)?;
            turn.actions.push(Action::Close { conn, code: 1009, reason: "Message too large" });
            return Ok(());
        }
        self.hear(turn, conn, text)
    }

    fn closed(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<(), Fault> {
        self.gateway.begin(turn.now);
        self.end(turn, conn)
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        self.gateway.begin(turn.now);
        let told = wire::read_outcome(self.gateway.step_of(ticket), &outcome);
        let mut effects = Vec::new();
        self.gateway.told(ticket, told, &mut effects);
        self.perform(turn, effects)
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.gateway.begin(turn.now);
        let mut effects = Vec::new();
        self.gateway.settle(turn.now, &mut effects);
        self.perform(turn, effects)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.gateway.deadline()
    }
}
