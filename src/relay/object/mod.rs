//! One Durable Object: one relay registry, and the porch where its sockets attest. Parse, load, decide, commit, answer.

mod desk;
mod desk_channels;
mod desk_chunks;
mod desk_peers;

use std::rc::Rc;

use super::message::Dialect;
use super::refusal::Refusal;
use super::seats::Speaker;
use super::store;
use super::wire::attachment::{self, Parts};
use super::wire::encode;
use crate::attestation::{Porch, socket as attest};
use crate::kernel::code::ErrorCode;
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Answer, Call, Conn, Frame, Object, Opening, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::Settings;
use crate::kernel::sockets::{FRAME_BYTES_MAX, Socket, SocketLimits, Sockets};
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;

pub use desk::{MIGRATIONS, RelayDesk, SCHEMA, SILENCE, Work};

/// A relay registry: its sockets, the desk that they speak to, and the porch where they attest.
#[derive(Debug)]
pub struct RelayRegistry {
    sockets: Sockets<()>,
    desk: RelayDesk,
    porch: Porch,
}

impl RelayRegistry {
    /// The registry as it was, from storage and the sockets that are still open.
    ///
    /// Errors: [`Fault`] when storage or an attachment is not readable.
    pub fn load(settings: Rc<Settings>, sql: &dyn Sql, now: Timestamp, restored: Vec<Restored>) -> Result<Self, Fault> {
        let mut sockets = Sockets::new(SocketLimits::of(&settings.signal));
        let (mut porch, mut seated) = (Porch::new(settings.clone()), Vec::with_capacity(restored.len()));
        for Restored { conn, attachment } in restored {
            let (socket, parts) = attachment::decode(&attachment)?;
            sockets.restore(conn, socket);
            porch.restore(conn, parts.porch)?;
            seated.push((conn, parts.desk.to_owned()));
        }
        Ok(Self { sockets, desk: RelayDesk::load(&settings, sql, now, seated)?, porch })
    }

    /// Commits what an event came to, and then says and keeps it. `heard`: a socket whose own state is new.
    fn finish(&self, turn: &mut Turn<'_>, work: Work, heard: Option<Conn>) -> Result<(), Fault> {
        let Work { statements, actions, mut changed, .. } = work;
        turn.commit(statements)?;
        turn.actions.extend(actions);
        changed.extend(heard);
        changed.sort_unstable();
        changed.dedup();
        for conn in changed {
            if let Some(socket) = self.sockets.get(conn) {
                let parts = Parts { porch: &self.porch.part(conn), desk: &self.desk.part(conn) };
                let attachment = attachment::encode(socket, parts);
                turn.actions.push(Action::Attach { conn, attachment });
            }
        }
        Ok(())
    }

    /// Lets a socket go, with all that lives by it.
    fn leave(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<Work, Fault> {
        self.sockets.leave(conn);
        self.porch.close(conn);
        self.desk.closed(turn, conn)
    }

    fn greet(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Opening {
        let socket = Socket { dialect: (), network: call.client.clone(), free_at_us: 0 };
        self.porch.open(conn, call, turn.now);
        let attachment = attachment::encode(&socket, Parts { porch: &self.porch.part(conn), desk: "" });
        if let Err(full) = self.sockets.admit(conn, socket) {
            self.porch.close(conn);
            turn.actions.push(Action::Close { conn, code: 1013, reason: full.reason() });
        }
        Opening::Accept { attachment }
    }

    /// Does what a frame says; one that is no text says nothing.
    fn hear(&mut self, turn: &mut Turn<'_>, conn: Conn, frame: Frame<'_>) -> Result<Work, Fault> {
        let text = match frame {
            Frame::Text(text) => Some(text),
            Frame::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        };
        let (Some(text), Some(socket)) = (text, self.sockets.get(conn)) else {
            return Ok(refused(conn, &Refusal::NotJson));
        };
        let network = &socket.network;
        let asked = if attest::may_be_asking(text) { self.porch.hear(turn, (conn, network), text) } else { None };
        if let Some(actions) = asked {
            return Ok(Work { actions, changed: vec![conn], ..Work::default() });
        }
        let barred = self.porch.barred(conn, turn.now);
        let speaker = Speaker { conn, code: None, network, dialect: Dialect::Registry, barred };
        let mut work = self.desk.message(turn, &speaker, text)?;
        if let Some(question) = self.porch.doubt(turn, (conn, network)) {
            work.actions.push(question);
            work.changed.push(conn);
        }
        Ok(work)
    }
}

fn refused(conn: Conn, refusal: &Refusal) -> Work {
    let mut work = Work::default();
    work.tell(conn, encode::error(refusal));
    work
}

impl Object for RelayRegistry {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let reply = match call.operation {
            Operation::RelayStats => {
                self.desk.statistics(turn.sql, turn.now, self.sockets.count()).map(Reply::json_text)
            }
            Operation::Probe => {
                store::probe(turn.sql)?;
                Ok(Reply::json_text(String::from(r#"{"ok":true}"#)))
            }
            _ => Ok(Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id)),
        };
        reply.map(Answer::Now)
    }

    fn open(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Result<Opening, Fault> {
        match call.operation {
            Operation::RelayOpen => Ok(self.greet(turn, conn, call)),
            _ => Ok(Opening::Refuse(Problem::plain(ErrorCode::NotFound).into_reply(&call.request_id))),
        }
    }

    fn message(&mut self, turn: &mut Turn<'_>, conn: Conn, frame: Frame<'_>) -> Result<(), Fault> {
        if self.sockets.get(conn).is_none() {
            return Ok(());
        }
        let bytes = match frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) => bytes.len(),
        };
        if bytes > FRAME_BYTES_MAX {
            let work = self.leave(turn, conn)?;
            self.finish(turn, work, None)?;
            turn.actions.push(Action::Close { conn, code: 1009, reason: "Message too large" });
            return Ok(());
        }
        if self.sockets.hear(conn, turn.now).is_err() {
            return self.finish(turn, refused(conn, &Refusal::TooManyMessages), None);
        }
        let work = self.hear(turn, conn, frame)?;
        self.finish(turn, work, self.sockets.counts_messages().then_some(conn))
    }

    fn closed(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<(), Fault> {
        let work = self.leave(turn, conn)?;
        self.finish(turn, work, None)
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        let Some((conn, told)) = self.porch.told(ticket, outcome, turn.now) else { return Ok(()) };
        let Some(told) = told else {
            return self.finish(turn, Work { changed: vec![conn], ..Work::default() }, None);
        };
        let words = Action::Send { conn, text: told.frame };
        let Some((code, reason)) = told.close else {
            let work = Work { actions: vec![words], changed: vec![conn], ..Work::default() };
            return self.finish(turn, work, None);
        };
        let gone = self.leave(turn, conn)?;
        self.finish(turn, gone, None)?;
        turn.actions.extend([words, Action::Close { conn, code, reason }]);
        Ok(())
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut work = self.desk.alarm(turn)?;
        let silent = std::mem::take(&mut work.silent);
        for conn in &silent {
            let gone = self.leave(turn, *conn)?;
            work.statements.extend(gone.statements);
            work.actions.extend(gone.actions);
            work.changed.extend(gone.changed);
        }
        self.finish(turn, work, None)?;
        for conn in silent {
            turn.actions.push(Action::Close { conn, code: 1000, reason: SILENCE });
        }
        self.desk.swept(turn.sql)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.desk.deadline()
    }
}
