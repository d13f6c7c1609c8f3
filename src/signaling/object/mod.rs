//! One Durable Object: one room, the relay desk whose families today's clients speak on the same sockets, and the porch
//! where those sockets attest. Parse, load, decide, commit, answer.

mod attesting;
mod relaying;

use std::rc::Rc;

use super::event::{Effect, Event, Refusal};
use super::guesses::{GuessLimits, Ledger, NetworkGuesses, Outcome};
use super::message::{Dialect, Message};
use super::room::{Room, Times};
use super::store;
use super::wire::attachment::{self, Kept, Parts};
use super::wire::encode::{encode, encode_refusal};
use super::wire::parse::{Speaker, parse};
use crate::attestation::{Porch, socket as attest};
use crate::kernel::code::ErrorCode;
use crate::kernel::errand::{self, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Action, Answer, ByConn, Call, Conn, Frame, Object, Opening, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::quota::Quota;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::{Settings, SignalSettings};
use crate::kernel::sockets::{FRAME_BYTES_MAX, Socket, SocketLimits, Sockets};
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::relay::{self, RelayDesk, Work};
use relaying::is_for_the_desk;

/// The schema: the room's own tables, and the desk's from `migrations/relay_registry/`.
pub const MIGRATIONS: &[Migration] = &[store::GUESSES, Migration { version: 2, name: "relay", sql: relay::SCHEMA }];

/// A signaling room with its sockets, its ledger of tries, its relay desk and its porch.
#[derive(Debug)]
pub struct SignalingRoom {
    sockets: Sockets<Dialect>,
    room: Room,
    ledger: Ledger,
    desk: RelayDesk,
    porch: Porch,
    /// The part of each socket's attachment that messages alone do not change.
    tail_by_conn: ByConn<String>,
}

/// What a frame came to.
enum Heard {
    /// The room's answer.
    Answered(Result<(), Refusal>),
    /// The work of the relay desk or the porch, not yet committed.
    Elsewhere(Work),
}

/// When a message counts as a try for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    Never,
    /// Carried messages: only when nobody is there.
    WhenMissed,
    /// Requests, and taking another code.
    Always,
}

impl SignalingRoom {
    /// The room as it was, from storage and the sockets that are still open.
    ///
    /// Errors: [`Fault`] when storage or an attachment is not readable.
    pub fn load(settings: Rc<Settings>, sql: &dyn Sql, now: Timestamp, restored: Vec<Restored>) -> Result<Self, Fault> {
        let signal = &settings.signal;
        let (breaker, stored) = (store::read_breaker(sql)?, store::read_stored(sql)?);
        let mut sockets = Sockets::new(SocketLimits::of(signal));
        let mut tail_by_conn = ByConn::default();
        let (mut records, mut seated) = (Vec::new(), Vec::with_capacity(restored.len()));
        let mut porch = Porch::new(settings.clone());
        for Restored { conn, attachment } in restored {
            let Kept { socket, parts, record } = attachment::decode(&attachment)?;
            sockets.restore(conn, socket);
            seated.push((conn, parts.desk.to_owned()));
            porch.restore(conn, parts.porch)?;
            tail_by_conn.insert(conn, attachment::tail(&attachment).to_owned());
            records.extend(record.map(|record| (conn, record)));
        }
        let times = Times { warning_ms: signal.pair_warning_ms, timeout_ms: signal.pair_timeout_ms };
        let ledger = Ledger::new(guess_limits(signal), settings.sweep_interval_ms, breaker, stored);
        let desk = RelayDesk::load(&settings, sql, now, seated)?;
        Ok(Self { sockets, room: Room::restore(times, records), ledger, desk, porch, tail_by_conn })
    }

    /// Ends what is due, whether or not the alarm has rung in time.
    fn begin<'a>(&mut self, now: Timestamp) -> Vec<Effect<'a>> {
        let mut effects = Vec::new();
        self.room.expire(now, &mut effects);
        effects
    }

    /// Says what was decided, and keeps what changed. `decided` is the desk's part, whose statements are committed.
    fn finish(&mut self, turn: &mut Turn<'_>, effects: Vec<Effect<'_>>, decided: Work) {
        let mut changed = decided.changed;
        for effect in effects {
            match effect {
                Effect::Tell { to, event } => turn.send(to, encode(&event)),
                Effect::Keep(conn) => changed.push(conn),
            }
        }
        turn.actions.extend(decided.actions);
        changed.sort_unstable();
        changed.dedup();
        for conn in changed {
            if let Some(socket) = self.sockets.get(conn) {
                let parts = Parts { desk: &self.desk.part(conn), porch: &self.porch.part(conn) };
                let tail = attachment::encode_tail(socket, parts, self.room.record(conn));
                self.tail_by_conn.insert(conn, tail);
                self.attach(turn, conn);
            }
        }
    }

    fn attach(&self, turn: &mut Turn<'_>, conn: Conn) {
        if let (Some(socket), Some(tail)) = (self.sockets.get(conn), self.tail_by_conn.get(&conn)) {
            let attachment = attachment::encode(socket.free_at_us, tail);
            turn.actions.push(Action::Attach { conn, attachment });
        }
    }

    /// The socket is gone, or goes now.
    fn leave(&mut self, conn: Conn, effects: &mut Vec<Effect<'_>>) {
        self.room.leave(conn, effects);
        self.tail_by_conn.remove(&conn);
        self.porch.close(conn);
        if let Some(network) = self.sockets.leave(conn) {
            self.ledger.leave(&network);
        }
    }

    /// Reads one frame and does what it says.
    fn hear<'a>(
        &mut self,
        turn: &mut Turn<'_>,
        (conn, dialect): (Conn, Dialect),
        frame: Frame<'a>,
        effects: &mut Vec<Effect<'a>>,
    ) -> Result<Heard, Fault> {
        if self.sockets.hear(conn, turn.now).is_err() {
            return Ok(Heard::Answered(Err(Refusal::TooManyMessages)));
        }
        let text = match (frame, dialect) {
            (Frame::Text(text), _) => Some(text),
            (Frame::Binary(bytes), Dialect::Lobby) => std::str::from_utf8(bytes).ok(),
            (Frame::Binary(_), Dialect::Room) => None,
        };
        let speaker = Speaker { dialect, standing: self.room.standing(conn) };
        let Some(text) = text else { return Ok(Heard::Answered(Err(Refusal::NotJson))) };
        match parse(speaker, text) {
            Ok(message) => self.follow(turn, conn, message, effects).map(Heard::Answered),
            Err(Refusal::UnknownType(kind)) if is_for_the_desk(&kind) => {
                self.ask_desk(turn, (conn, dialect), text).map(Heard::Elsewhere)
            }
            Err(Refusal::UnknownType(kind)) if attest::handles(&kind) => {
                Ok(self.ask_registry(turn, conn, text).map_or(Heard::Answered(Err(Refusal::NotJson)), Heard::Elsewhere))
            }
            Err(refusal) => Ok(Heard::Answered(Err(refusal))),
        }
    }

    /// Does what a message says, unless it is one try too many.
    fn follow<'a>(
        &mut self,
        turn: &Turn<'_>,
        conn: Conn,
        message: Message<'a>,
        effects: &mut Vec<Effect<'a>>,
    ) -> Result<Result<(), Refusal>, Fault> {
        let tries = self.tries(conn, &message);
        let network = self.sockets.get(conn).map(|socket| &socket.network);
        let (true, Some(network)) = (tries != Tries::Never && !self.ledger.limits().are_off(), network) else {
            return Ok(self.room.handle(turn.now, conn, message, effects));
        };
        let before = known_guesses(&mut self.ledger, turn.sql, network)?;
        if self.ledger.refuse(turn.now, &before) {
            return Ok(follow_refused(&mut self.room, (turn.now, conn, tries), message, effects));
        }
        let answer = self.room.handle(turn.now, conn, message, effects);
        let outcome = if answer.as_ref().is_err_and(Refusal::is_miss) { Outcome::Miss } else { Outcome::Hit };
        if tries == Tries::Always || outcome == Outcome::Miss {
            let oldest = if self.ledger.is_full_for(&before) { store::read_oldest(turn.sql)? } else { None };
            let charge = self.ledger.charge(turn.now, (network, before), outcome, oldest);
            turn.commit(store::charge_statements(&charge))?;
        }
        Ok(answer)
    }

    fn tries(&self, conn: Conn, message: &Message<'_>) -> Tries {
        match message {
            Message::Signal { .. } | Message::Call { .. } => Tries::WhenMissed,
            Message::PairRequest { .. } | Message::LinkRequest { .. } => Tries::Always,
            // Whether a code is free says whether it is in use; so a socket cannot go through the alphabet.
            Message::Register(registration) if self.room.is_replacement(conn, registration) => Tries::Always,
            Message::Register(_) | Message::Ping | Message::PairResponse { .. } | Message::LinkResponse { .. } => {
                Tries::Never
            }
        }
    }

    fn greet(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call, dialect: Dialect) -> Opening {
        let socket = Socket { dialect, network: call.client.clone(), free_at_us: 0 };
        self.porch.open(conn, call, turn.now);
        let tail = attachment::encode_tail(&socket, Parts { desk: "", porch: &self.porch.part(conn) }, None);
        let attachment = attachment::encode(0, &tail);
        match self.sockets.admit(conn, socket) {
            Ok(()) => {
                self.tail_by_conn.insert(conn, tail);
                if call.operation == Operation::SignalRoot {
                    turn.send(conn, encode(&Event::ServerInfo));
                }
            }
            Err(full) => {
                self.porch.close(conn);
                turn.actions.push(Action::Close { conn, code: 1013, reason: full.reason() });
            }
        }
        Opening::Accept { attachment }
    }
}

const fn guess_limits(signal: &SignalSettings) -> GuessLimits {
    GuessLimits {
        tries: Quota::per_minute(signal.pair_requests_per_minute),
        misses: Quota::per_minute(signal.unknown_codes_per_minute),
    }
}

/// What a network has tried, read once while it has sockets here.
fn known_guesses(ledger: &mut Ledger, sql: &dyn Sql, network: &ClientNetwork) -> Result<NetworkGuesses, Fault> {
    if let Some(guesses) = ledger.network(network) {
        return Ok(guesses);
    }
    let guesses = store::read_network(sql, network)?;
    ledger.learn(network, guesses);
    Ok(guesses)
}

/// Handles a message of a network that may not try another code.
///
/// Requests are refused. What is to be carried to an acquaintance is carried. Anything else is refused in the same
/// words whether or not the code is in use, so that the words say nothing; but when it is, the message is carried all
/// the same, because others behind the same address should not be cut off from the peers they know.
fn follow_refused<'a>(
    room: &mut Room,
    (now, conn, tries): (Timestamp, Conn, Tries),
    message: Message<'a>,
    effects: &mut Vec<Effect<'a>>,
) -> Result<(), Refusal> {
    if tries == Tries::Always {
        return Err(Refusal::TooManyPairRequests);
    }
    let is_acquainted = message.reaches_for().is_some_and(|code| room.is_acquainted(conn, code));
    match room.handle(now, conn, message, effects) {
        Ok(()) if is_acquainted => Ok(()),
        Ok(()) => Err(Refusal::TooManyPairRequests),
        Err(refusal) if refusal.is_miss() => Err(Refusal::TooManyPairRequests),
        Err(refusal) => Err(refusal),
    }
}

impl Object for SignalingRoom {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let reply = match call.operation {
            Operation::Probe => {
                store::read_breaker(turn.sql)?;
                Ok(Reply::json_text(String::from("{\"ok\":true}")))
            }
            _ => Ok(Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id)),
        };
        reply.map(Answer::Now)
    }

    fn open(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Result<Opening, Fault> {
        let effects = self.begin(turn.now);
        self.finish(turn, effects, Work::default());
        match call.operation {
            Operation::SignalRoot | Operation::SignalShared | Operation::SignalClient => {
                Ok(self.greet(turn, conn, call, Dialect::Lobby))
            }
            Operation::SignalRoom => Ok(self.greet(turn, conn, call, Dialect::Room)),
            _ => Ok(Opening::Refuse(Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id))),
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, conn: Conn, frame: Frame<'_>) -> Result<(), Fault> {
        let mut effects = self.begin(turn.now);
        let Some(dialect) = self.sockets.get(conn).map(|socket| socket.dialect) else {
            self.finish(turn, effects, Work::default());
            return Ok(());
        };
        let bytes = match frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) => bytes.len(),
        };
        if bytes > FRAME_BYTES_MAX {
            self.end(turn, conn, effects)?;
            turn.actions.push(Action::Close { conn, code: 1009, reason: "Message too large" });
            return Ok(());
        }
        let (answer, mut decided) = match self.hear(turn, (conn, dialect), frame, &mut effects)? {
            Heard::Answered(answer) => (answer, Work::default()),
            Heard::Elsewhere(work) => (Ok(()), work),
        };
        turn.commit(std::mem::take(&mut decided.statements))?;
        let keeps_quota = self.sockets.counts_messages() && answer != Err(Refusal::TooManyMessages);
        let keeps_all = effects.contains(&Effect::Keep(conn)) || decided.changed.contains(&conn);
        self.finish(turn, effects, decided);
        if keeps_quota && !keeps_all {
            self.attach(turn, conn);
        }
        if let Err(refusal) = answer {
            turn.send(conn, encode_refusal(dialect, &refusal));
        }
        Ok(())
    }

    fn closed(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<(), Fault> {
        let effects = self.begin(turn.now);
        self.end(turn, conn, effects)
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: errand::Outcome) -> Result<(), Fault> {
        let effects = self.begin(turn.now);
        self.hear_registry(turn, (ticket, outcome), effects)
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut effects = self.begin(turn.now);
        let (mut decided, closing) = self.ring_desk(turn, &mut effects)?;
        let is_sweep = self.ledger.deadline().is_some_and(|deadline| deadline <= turn.now);
        let mut statements = std::mem::take(&mut decided.statements);
        if is_sweep {
            let left = store::read_stored_after(turn.sql, turn.now)?;
            statements.push(store::sweep_statement(turn.now));
            self.ledger.swept(turn.now, left);
        }
        turn.commit(statements)?;
        self.finish(turn, effects, decided);
        for conn in closing {
            turn.actions.push(Action::Close { conn, code: 1000, reason: relay::SILENCE });
        }
        self.desk.swept(turn.sql)
    }

    fn deadline(&self) -> Option<Timestamp> {
        [self.room.deadline(), self.ledger.deadline(), self.desk.deadline()].into_iter().flatten().min()
    }
}
