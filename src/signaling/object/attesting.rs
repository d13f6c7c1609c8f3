//! Attestation on signaling sockets: what the room does for its porch.

use super::SignalingRoom;
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Conn, Turn};
use crate::relay::Work;
use crate::signaling::event::Effect;

impl SignalingRoom {
    /// Lets the porch take a frame to the registry. Nothing when it is not one that asks.
    pub(super) fn ask_registry(&mut self, turn: &mut Turn<'_>, conn: Conn, text: &str) -> Option<Work> {
        let network = &self.sockets.get(conn)?.network;
        let actions = self.porch.hear(turn, (conn, network), text)?;
        Some(Work { actions, changed: vec![conn], ..Work::default() })
    }

    /// Tells a socket what the registry has said, and lets it go when that was its end.
    pub(super) fn hear_registry(
        &mut self,
        turn: &mut Turn<'_>,
        (ticket, outcome): (Ticket, Outcome),
        effects: Vec<Effect<'_>>,
    ) -> Result<(), Fault> {
        let Some((conn, told)) = self.porch.told(ticket, outcome, turn.now) else {
            self.finish(turn, effects, Work::default());
            return Ok(());
        };
        let Some(told) = told else {
            self.finish(turn, effects, Work { changed: vec![conn], ..Work::default() });
            return Ok(());
        };
        let words = Action::Send { conn, text: told.frame };
        match told.close {
            None => {
                let work = Work { actions: vec![words], changed: vec![conn], ..Work::default() };
                self.finish(turn, effects, work);
            }
            Some((code, reason)) => {
                self.end(turn, conn, effects)?;
                turn.actions.extend([words, Action::Close { conn, code, reason }]);
            }
        }
        Ok(())
    }
}
