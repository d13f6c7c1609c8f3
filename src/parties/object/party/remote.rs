//! Sockets of gateways: what they want of the party.

use super::work::Work;
use super::{Done, Halt, PartyRoom};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::parties::announcements::{News, Subject};
use crate::parties::ears::Ear;
use crate::parties::wire::errand::parse_forward;
use crate::parties::wire::frames::FRAME_BYTES_MAX;
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::{Forward, ForwardWish, Forwarded};

impl PartyRoom {
    /// Does what a gateway's socket wants.
    pub(super) fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        caller: &str,
        work: &mut Work,
    ) -> Result<Done, Halt> {
        let Some(Forward { gateway, conn, wish }) = parse_forward(&call.body) else {
            return Err(Halt::Told(detail(422, "Not a forwarded message")));
        };
        let ear = Ear::Remote { gateway, conn };
        if self.ears.get(&ear).is_some_and(|hearing| hearing.peer_id != caller) {
            self.unsubscribe(turn.now, &ear, work);
        }
        match wish {
            ForwardWish::Frame(text) if text.len() > FRAME_BYTES_MAX => work.error(&ear, "Message too large"),
            ForwardWish::Frame(text) => self.converse(turn, (&ear, caller, call.client.as_str()), &text, work)?,
            ForwardWish::Resume if self.party.as_ref().is_some_and(|party| party.has(caller)) => {
                self.resume(turn, (&ear, caller), work)?;
            }
            ForwardWish::Resume => {
                // The identities believe that it is a member; they are told once more that it is none.
                if self.announcements.check().is_ok() {
                    self.put_news(turn, Subject::Peer(caller.to_owned()), News::Over, work);
                }
            }
            ForwardWish::Gone => self.unsubscribe(turn.now, &ear, work),
        }
        Ok(Done::Forwarded(ear))
    }

    /// Writes and says everything; the socket's own frames are the answer.
    pub(super) fn answer_forward(&mut self, turn: &mut Turn<'_>, work: Work, ear: &Ear) -> Result<Reply, Fault> {
        let frames = self.finish_but(turn, work, Some(ear))?;
        Reply::json(&Forwarded { frames, subscribed: self.ears.get(ear).is_some() })
    }
}
