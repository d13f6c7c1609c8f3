//! Attestation at the door of other rooms: for every object whose sockets may attest before they go on.
//!
//! The host owns the sockets and performs; the porch remembers what each socket has shown, turns frames into questions to
//! the registry, and outcomes into frames. The rules are those of the HTTP routes, because the same operations are asked.

use std::collections::HashMap;
use std::rc::Rc;

use super::handoff::REGISTRY;
use crate::attestation::device::is_device_id;
use crate::attestation::session::{AUDIENCE, Demand};
use crate::attestation::visitor::{Asked, Doubt, Step, TIER_MIN, Visitor};
use crate::attestation::wire::handoff::{encode_device, parse_word};
use crate::attestation::wire::porch::{decode_part, encode_part};
use crate::attestation::wire::session::read_session;
use crate::attestation::wire::socket::{self, Asking, Told, Unasked};
use crate::kernel::code::ErrorCode;
use crate::kernel::entropy::random_bytes;
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Action, ByConn, Call, Conn, Principal, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::settings::{AttestFamily, Settings};
use crate::kernel::time::Timestamp;

/// Questions of one object that are under way at once.
pub const UNDER_WAY_MAX: usize = 256;

/// What the sockets of one object have shown.
#[derive(Debug)]
pub struct Porch {
    settings: Rc<Settings>,
    visitors: ByConn<Visitor>,
    conn_by_ticket: HashMap<Ticket, Conn>,
    /// When the registry was heard last of the policy, and when it said that the policy had changed.
    heard_at: Option<Timestamp>,
    changed_at: Timestamp,
}

impl Porch {
    /// Nobody is there.
    #[must_use]
    pub fn new(settings: Rc<Settings>) -> Self {
        let (visitors, conn_by_ticket) = (ByConn::default(), HashMap::new());
        Self { settings, visitors, conn_by_ticket, heard_at: None, changed_at: Timestamp::EPOCH }
    }

    /// A socket that was there before the memory went away, with what [`Self::part`] said of it.
    ///
    /// Errors: [`Fault::Corrupt`] when the part is none of ours.
    pub fn restore(&mut self, conn: Conn, part: &str) -> Result<(), Fault> {
        let visitor = decode_part(part)?;
        let doubted = visitor.doubt.map(|doubt| doubt.ticket);
        self.conn_by_ticket.extend(visitor.asked.map(|asked| asked.ticket).into_iter().chain(doubted).zip([conn; 2]));
        self.visitors.insert(conn, visitor);
        Ok(())
    }

    /// A socket is opened by `call`. A session token as the call's bearer counts from the start; anything else there is
    /// as good as nothing.
    pub fn open(&mut self, conn: Conn, call: &Call, now: Timestamp) {
        let mut visitor = Visitor::new(now);
        let demand = Demand { audience: AUDIENCE, tier_min: TIER_MIN, policy_epoch_min: 0 };
        let keys = &self.settings.attest.signing_keys;
        if let Some(session) = call.bearer.as_deref().and_then(|token| read_session(token, keys, demand, now).ok()) {
            visitor.admit(&session);
        }
        self.visitors.insert(conn, visitor);
    }

    /// What the host must keep with the socket, given back to [`Self::restore`].
    ///
    /// Limits: ASCII without spaces, at most [`PART_CHARS_MAX`](crate::attestation::PART_CHARS_MAX) characters.
    #[must_use]
    pub fn part(&self, conn: Conn) -> String {
        self.visitors.get(&conn).map_or_else(String::new, encode_part)
    }

    /// What the socket may not do now.
    #[must_use]
    pub fn barred(&self, conn: Conn, now: Timestamp) -> &[AttestFamily] {
        let attest = &self.settings.attest;
        match self.visitors.get(&conn) {
            Some(visitor) => visitor.barred(&attest.required, attest.grace_ms, now),
            None => &attest.required,
        }
    }

    /// What a frame of attestation asks for: to be done after the event's commit. The socket's part is new then. Nothing
    /// for a frame of another type.
    pub fn hear(
        &mut self,
        turn: &mut Turn<'_>,
        (conn, network): (Conn, &ClientNetwork),
        frame: &str,
    ) -> Option<Vec<Action>> {
        let visitor = self.visitors.get_mut(&conn)?;
        let asking = socket::parse_asking(frame, visitor.device_id.as_deref(), AUDIENCE)?;
        let tell = |text: String| Some(vec![Action::Send { conn, text }]);
        if asking.body.len() > socket::ASKING_BYTES_MAX {
            return tell(socket::encode_unasked(Unasked::TooLong));
        }
        if visitor.is_waiting(turn.now) {
            return tell(socket::encode_unasked(Unasked::Waiting));
        }
        if !self.has_room(turn.now) {
            return tell(socket::encode_unasked(Unasked::Busy));
        }
        let ticket = draw(turn);
        let visitor = self.visitors.get_mut(&conn)?;
        if let Some(forgotten) = visitor.asked {
            self.conn_by_ticket.remove(&forgotten.ticket);
        }
        let Asking { operation, device_id, body } = asking;
        let step = if operation == Operation::AttestChallenge { Step::Challenge } else { Step::Verdict };
        if step == Step::Challenge && is_device_id(&device_id) {
            visitor.announce(&device_id);
        }
        visitor.asked = Some(Asked { ticket, step, at: turn.now });
        self.conn_by_ticket.insert(ticket, conn);
        Some(vec![question(operation, network.clone(), ticket, body)])
    }

    /// What must be asked, and done after the event's commit, when a socket that has a session does what needs one: whether
    /// its build is still allowed. The socket's part is new then.
    pub fn doubt(&mut self, turn: &mut Turn<'_>, (conn, network): (Conn, &ClientNetwork)) -> Option<Action> {
        let (heard_at, changed_at, now) = (self.heard_at, self.changed_at, turn.now);
        let visitor = self.visitors.get(&conn).filter(|_| !self.settings.attest.required.is_empty())?;
        let body = encode_device(visitor.in_doubt(heard_at, changed_at, now)?);
        if !self.has_room(now) {
            return None;
        }
        let ticket = draw(turn);
        if let Some(forgotten) = self.visitors.get_mut(&conn)?.doubt.replace(Doubt { ticket, at: now }) {
            self.conn_by_ticket.remove(&forgotten.ticket);
        }
        self.conn_by_ticket.insert(ticket, conn);
        Some(question(Operation::AttestStanding, network.clone(), ticket, body))
    }

    /// Whether one more question may be under way. Those that nobody waits for any longer make room.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.conn_by_ticket.len() >= UNDER_WAY_MAX {
            let visitors = &self.visitors;
            self.conn_by_ticket.retain(|ticket, conn| {
                visitors.get(conn).is_some_and(|visitor| visitor.is_waiting(now) || visitor.is_doubted_by(*ticket, now))
            });
        }
        self.conn_by_ticket.len() < UNDER_WAY_MAX
    }

    /// What an outcome means, and for which socket, with what the socket is told if anything. The socket's part is new then.
    /// Nothing when the socket is gone, or waits for something else by now.
    pub fn told(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp) -> Option<(Conn, Option<Told>)> {
        let conn = self.conn_by_ticket.remove(&ticket)?;
        let visitor = self.visitors.get_mut(&conn)?;
        if visitor.doubt.is_some_and(|doubt| doubt.ticket == ticket) {
            // A registry in trouble ends no session: the doubt stays, and is asked again when patience is over.
            if let Some(word) = replied(outcome).as_ref().and_then(parse_word) {
                visitor.settle(word, now);
                self.heard_at = Some(now);
                self.changed_at = self.changed_at.max(word.changed_at);
            }
            return Some((conn, None));
        }
        let Asked { step, .. } = visitor.asked.take_if(|asked| asked.ticket == ticket)?;
        let trouble = || Problem::plain(ErrorCode::Internal).into_reply(&request_id(ticket));
        let reply = replied(outcome).unwrap_or_else(trouble);
        let operation = match step {
            Step::Challenge => Operation::AttestChallenge,
            Step::Verdict => Operation::AttestVerify,
        };
        let told = socket::encode_told(operation, &reply, &self.settings.attest.signing_keys, AUDIENCE, now);
        if let Some(session) = &told.session {
            visitor.admit(session);
        }
        Some((conn, Some(told)))
    }

    /// The socket is gone; what it waits for is nobody's.
    pub fn close(&mut self, conn: Conn) {
        let Some(Visitor { asked, doubt, .. }) = self.visitors.remove(&conn) else { return };
        for ticket in asked.map(|asked| asked.ticket).into_iter().chain(doubt.map(|doubt| doubt.ticket)) {
            self.conn_by_ticket.remove(&ticket);
        }
    }
}

fn request_id(ticket: Ticket) -> String {
    format!("socket-{:08x}", ticket.0)
}

/// By chance and not by number, so that an outcome from before a restart is nobody's.
fn draw(turn: &mut Turn<'_>) -> Ticket {
    Ticket(u32::from_le_bytes(random_bytes::<4>(turn.entropy)))
}

fn replied(outcome: Outcome) -> Option<Reply> {
    match outcome {
        Outcome::Replied(reply) => Some(reply),
        Outcome::Fetched(_) | Outcome::Signed(_) | Outcome::Failed(_) => None,
    }
}

fn question(operation: Operation, client: ClientNetwork, ticket: Ticket, body: Vec<u8>) -> Action {
    let call = Call {
        operation,
        params: Vec::new(),
        query: String::new(),
        principal: Principal::Anonymous,
        client,
        request_id: request_id(ticket),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body,
    };
    let (class, name) = (Class::AttestationRegistry, REGISTRY.to_owned());
    Action::Ask { ticket, errand: Errand::Call { class, name, call: Box::new(call) } }
}
