//! Attestation at the door of other rooms: for every object whose sockets may attest before they go on.
//!
//! The host owns the sockets and performs; the porch remembers what each socket has shown, turns frames into questions to
//! the registry, and outcomes into frames. The rules are those of the HTTP routes, because the same operations are asked.

use std::collections::HashMap;
use std::rc::Rc;

use super::handoff::REGISTRY;
use crate::attestation::device::is_device_id;
use crate::attestation::session::{AUDIENCE, Demand};
use crate::attestation::visitor::{Asked, Step, TIER_MIN, Visitor};
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
use crate::kernel::reply::Problem;
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
}

impl Porch {
    /// Nobody is there.
    #[must_use]
    pub fn new(settings: Rc<Settings>) -> Self {
        Self { settings, visitors: ByConn::default(), conn_by_ticket: HashMap::new() }
    }

    /// A socket that was there before the memory went away, with what [`Self::part`] said of it.
    ///
    /// Errors: [`Fault::Corrupt`] when the part is none of ours.
    pub fn restore(&mut self, conn: Conn, part: &str) -> Result<(), Fault> {
        let visitor = decode_part(part)?;
        self.conn_by_ticket.extend(visitor.asked.map(|asked| (asked.ticket, conn)));
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
    /// Limits: ASCII without spaces, at most 200 characters.
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
        if self.conn_by_ticket.len() >= UNDER_WAY_MAX {
            let (visitors, now) = (&self.visitors, turn.now);
            self.conn_by_ticket.retain(|_, conn| visitors.get(conn).is_some_and(|visitor| visitor.is_waiting(now)));
        }
        if self.conn_by_ticket.len() >= UNDER_WAY_MAX {
            return tell(socket::encode_unasked(Unasked::Busy));
        }
        // By chance and not by number, so that an outcome from before a restart is nobody's.
        let ticket = Ticket(u32::from_le_bytes(random_bytes::<4>(turn.entropy)));
        let visitor = self.visitors.get_mut(&conn)?;
        if let Some(forgotten) = visitor.asked {
            self.conn_by_ticket.remove(&forgotten.ticket);
        }
        let Asking { operation, device_id, body } = asking;
        let step = if operation == Operation::AttestChallenge { Step::Challenge } else { Step::Verdict };
        if step == Step::Challenge && is_device_id(&device_id) {
            visitor.device_id = Some(Rc::from(device_id));
        }
        visitor.asked = Some(Asked { ticket, step, at: turn.now });
        self.conn_by_ticket.insert(ticket, conn);
        let call = Box::new(question(operation, network.clone(), ticket, body));
        let errand = Errand::Call { class: Class::AttestationRegistry, name: REGISTRY.to_owned(), call };
        Some(vec![Action::Ask { ticket, errand }])
    }

    /// What an outcome means, and for which socket. The socket's part is new then. Nothing when the socket is gone, or
    /// waits for something else by now.
    pub fn told(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp) -> Option<(Conn, Told)> {
        let conn = self.conn_by_ticket.remove(&ticket)?;
        let visitor = self.visitors.get_mut(&conn)?;
        let Asked { step, .. } = visitor.asked.take_if(|asked| asked.ticket == ticket)?;
        let reply = match outcome {
            Outcome::Replied(reply) => reply,
            Outcome::Fetched(_) | Outcome::Signed(_) | Outcome::Failed(_) => {
                Problem::plain(ErrorCode::Internal).into_reply(&request_id(ticket))
            }
        };
        let operation = match step {
            Step::Challenge => Operation::AttestChallenge,
            Step::Verdict => Operation::AttestVerify,
        };
        let told = socket::encode_told(operation, &reply, &self.settings.attest.signing_keys, AUDIENCE, now);
        if let Some(session) = &told.session {
            visitor.admit(session);
        }
        Some((conn, told))
    }

    /// The socket is gone; what it waits for is nobody's.
    pub fn close(&mut self, conn: Conn) {
        let visitor = self.visitors.remove(&conn);
        if let Some(asked) = visitor.and_then(|visitor| visitor.asked) {
            self.conn_by_ticket.remove(&asked.ticket);
        }
    }
}

fn request_id(ticket: Ticket) -> String {
    format!("socket-{:08x}", ticket.0)
}

fn question(operation: Operation, client: ClientNetwork, ticket: Ticket, body: Vec<u8>) -> Call {
    Call {
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
    }
}
