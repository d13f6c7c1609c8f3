//! The relay families on signaling sockets: what the room does for its desk.

use super::SignalingRoom;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Conn, Turn};
use crate::relay::seats::Speaker;
use crate::relay::{self, Work};
use crate::signaling::event::Effect;
use crate::signaling::message::{Dialect, Standing};

/// Whether a type that the room does not know is the desk's. A `register` that the room does not know has a `peerId`
/// and no code.
pub(super) fn is_for_the_desk(kind: &str) -> bool {
    kind == "register" || relay::handles(kind)
}

/// The desk speaks to a room's sockets as it does on its own paths.
const fn dialect_of(dialect: Dialect) -> relay::message::Dialect {
    match dialect {
        Dialect::Lobby => relay::message::Dialect::Lobby,
        Dialect::Room => relay::message::Dialect::Registry,
    }
}

impl SignalingRoom {
    /// Lets the desk do what a frame says. Its statements are not committed yet.
    pub(super) fn ask_desk(
        &mut self,
        turn: &mut Turn<'_>,
        (conn, dialect): (Conn, Dialect),
        text: &str,
    ) -> Result<Work, Fault> {
        let Some(socket) = self.sockets.get(conn) else { return Ok(Work::default()) };
        let code = self.room.record(conn).map(|record| &*record.identity.code);
        let barred = self.porch.barred(conn, turn.now);
        let speaker = Speaker { conn, code, network: &socket.network, dialect: dialect_of(dialect), barred };
        let mut work = self.desk.message(turn, &speaker, text)?;
        if let Some(question) = self.porch.doubt(turn, (conn, &socket.network)) {
            work.actions.push(question);
            work.changed.push(conn);
        }
        Ok(work)
    }

    /// Lets a socket go, with all that lives by it in the room and at the desk.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>, conn: Conn, mut effects: Vec<Effect<'_>>) -> Result<(), Fault> {
        self.leave(conn, &mut effects);
        let mut work = self.desk.closed(turn, conn)?;
        turn.commit(std::mem::take(&mut work.statements))?;
        self.finish(turn, effects, work);
        Ok(())
    }

    /// Lets the desk do what is due. Sockets that were relay peers and nothing else, and fell silent, are to be closed.
    pub(super) fn ring_desk(
        &mut self,
        turn: &mut Turn<'_>,
        effects: &mut Vec<Effect<'_>>,
    ) -> Result<(Work, Vec<Conn>), Fault> {
        let mut work = self.desk.alarm(turn)?;
        let mut closing = std::mem::take(&mut work.silent);
        closing.retain(|conn| self.room.standing(*conn) == Standing::Stranger);
        for conn in &closing {
            self.leave(*conn, effects);
            let gone = self.desk.closed(turn, *conn)?;
            work.statements.extend(gone.statements);
            work.actions.extend(gone.actions);
            work.changed.extend(gone.changed);
        }
        Ok((work, closing))
    }
}
