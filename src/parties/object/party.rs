//! One party as an object: parse → load → decide → commit → answer.

mod calls;
mod errands;
mod group;
mod remote;
mod ruling;
mod sockets;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use errands::Errands;
use work::Work;

use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, ByConn, Call, Conn, Frame, Object, Opening, Principal, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::parties::announcements::Announcements;
use crate::parties::ears::{Ear, Ears, Voice};
use crate::parties::liveness::{Flush, Times};
use crate::parties::party::Party;
use crate::parties::refusal::Refusal;
use crate::parties::signals::Waiting;
use crate::parties::socket::Socket;
use crate::parties::store::party as store;
use crate::parties::tries::Tries;
use crate::parties::wire::attachment;
use crate::parties::wire::problem::{Invalid, detail, invalid, refuse};

/// Schema versions of a party.
pub const MIGRATIONS: &[Migration] = store::MIGRATIONS;

/// A party with its sockets and everything that waits.
#[derive(Debug)]
pub struct PartyRoom {
    settings: Rc<Settings>,
    times: Times,
    /// The name of this object, once somebody has said it.
    party_id: String,
    party: Option<Party>,
    ears: Ears,
    announcements: Announcements,
    tries: Tries,
    waiting: Waiting,
    next_signal: u64,
    /// When every listener is sent the whole party again.
    refresh_at: Option<Timestamp>,
    relay_list: Option<String>,
    /// When the list was last written, as far as the memory goes.
    relay_list_at: Timestamp,
    sockets: ByConn<Socket>,
    /// The sockets of whoever is no member, by the time at which they are closed.
    outsiders: BTreeSet<(Timestamp, Conn)>,
    next_expiry: Option<Timestamp>,
    /// Whether signs of life must be written by the next event, whatever it is.
    flush: Flush,
    errands: Errands,
}

/// How an event's call ends early.
enum Halt {
    Refused(Refusal),
    Invalid(Vec<Invalid>),
    /// In so many words.
    Told(Reply),
    Fault(Fault),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Vec<Invalid>> for Halt {
    fn from(wrong: Vec<Invalid>) -> Self {
        Self::Invalid(wrong)
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How a call is answered once everything is written.
enum Done {
    Reply(Reply),
    Later(Ticket),
    /// With the frames for a gateway's socket.
    Forwarded(Ear),
}

impl PartyRoom {
    /// The party as it was, from storage and the sockets that are still open.
    ///
    /// Errors: [`Fault`] when storage or an attachment is not readable.
    pub fn load(settings: Rc<Settings>, sql: &dyn Sql, now: Timestamp, restored: Vec<Restored>) -> Result<Self, Fault> {
        let party = store::load_party(sql)?;
        let (counts, next_signal) = store::load_waiting(sql)?;
        let announced = store::load_announcements(sql)?;
        let party_id = party.as_ref().map(|party| party.party_id.clone()).or(announced.party_id).unwrap_or_default();
        let (seen, refresh_at) = store::load_liveness(sql)?;
        let mut room = Self {
            times: Times::of(settings.party.peer_ttl_ms),
            settings,
            party_id,
            party,
            ears: Ears::default(),
            announcements: Announcements::restore(announced.waiting),
            tries: Tries::restore(store::load_tries(sql)?),
            waiting: Waiting::restore(counts),
            next_signal,
            refresh_at,
            relay_list: store::load_relay_list(sql)?,
            relay_list_at: Timestamp::EPOCH,
            sockets: ByConn::default(),
            outsiders: BTreeSet::new(),
            next_expiry: None,
            flush: Flush::NotDue,
            errands: Errands::default(),
        };
        for (ear, hearing) in store::load_listeners(sql)? {
            room.ears.restore(ear, hearing);
        }
        for Restored { conn, attachment } in restored {
            let (socket, hearing) = attachment::decode(&attachment)?;
            if room.party_id.is_empty() {
                room.party_id.clone_from(&socket.party_id);
            }
            room.outsiders.extend(socket.until.map(|until| (until, conn)));
            room.sockets.insert(conn, socket);
            let has = |peer_id: &str| room.party.as_ref().is_some_and(|party| party.has(peer_id));
            if let Some(hearing) = hearing.filter(|hearing| has(&hearing.peer_id)) {
                room.ears.restore(Ear::Own(conn), hearing);
            }
        }
        room.believe(now, &seen);
        room.count_expiry();
        Ok(room)
    }

    /// Takes the stored signs of life. Whoever had a socket that spoke, and has it no longer although nobody heard it go,
    /// was alive until the process ended: its time begins now.
    fn believe(&mut self, now: Timestamp, seen: &BTreeMap<u64, store::Seen>) {
        let Some(party) = &mut self.party else { return };
        for (peer_id, member) in &mut party.members {
            let Some(seen) = seen.get(&member.seq) else { continue };
            let is_cut_off = seen.by == Voice::Spoken && !self.ears.is_present(peer_id);
            let at = if is_cut_off { now } else { seen.at };
            (member.seen_at, member.stored_at) = (at, at);
            if is_cut_off {
                self.flush = Flush::Due;
            }
        }
    }

    fn count_expiry(&mut self) {
        self.next_expiry = self.party.as_ref().and_then(|party| self.times.next_expiry(party, &self.ears));
    }

    fn known(&self, party_id: &str) -> Result<&Party, Refusal> {
        self.party.as_ref().ok_or_else(|| Refusal::PartyNotFound(party_id.to_owned()))
    }

    fn dispatch(&mut self, turn: &mut Turn<'_>, call: &Call, work: &mut Work) -> Result<Done, Halt> {
        if call.operation == Operation::Probe {
            store::probe(turn.sql)?;
            return Ok(Done::Reply(Reply::json_text(String::from(r#"{"ok":true}"#))));
        }
        let Some(party_id) = call.params.first().filter(|party_id| !party_id.is_empty()) else {
            return Err(Halt::Told(detail(404, "Not Found")));
        };
        if self.party_id.is_empty() {
            self.party_id.clone_from(party_id);
        }
        let Some(caller) = call.caller.as_deref() else {
            return Err(Halt::Told(detail(401, "Missing authorization header")));
        };
        if call.operation == Operation::PartyForward {
            return match call.principal {
                Principal::Service => self.forward(turn, call, caller, work),
                _ => Err(Halt::Told(detail(404, "Not Found"))),
            };
        }
        self.serve(turn, call, caller, work)
    }
}

impl Object for PartyRoom {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        let mut work = Work::default();
        match self.dispatch(turn, call, &mut work) {
            Ok(Done::Reply(reply)) => self.finish(turn, work).map(|()| Answer::Now(reply)),
            Ok(Done::Later(ticket)) => self.finish(turn, work).map(|()| Answer::Later(ticket)),
            Ok(Done::Forwarded(ear)) => self.answer_forward(turn, work, &ear).map(Answer::Now),
            Err(Halt::Fault(fault)) => Err(fault),
            Err(refused) => {
                if !work.is_empty() {
                    self.finish(turn, work)?;
                }
                Ok(Answer::Now(match refused {
                    Halt::Refused(refusal) => refuse(&refusal),
                    Halt::Invalid(wrong) => invalid(&wrong),
                    Halt::Told(reply) => reply,
                    Halt::Fault(fault) => return Err(fault),
                }))
            }
        }
    }

    fn open(&mut self, turn: &mut Turn<'_>, conn: Conn, call: &Call) -> Result<Opening, Fault> {
        self.admit(turn, conn, call)
    }

    fn message(&mut self, turn: &mut Turn<'_>, conn: Conn, frame: Frame<'_>) -> Result<(), Fault> {
        let mut work = Work::default();
        self.hear(turn, conn, frame, &mut work)?;
        self.finish(turn, work)
    }

    fn closed(&mut self, turn: &mut Turn<'_>, conn: Conn) -> Result<(), Fault> {
        let mut work = Work::default();
        self.drop_socket(turn.now, conn, &mut work);
        self.finish(turn, work)
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        let mut work = Work::default();
        self.learn(turn, ticket, &outcome, &mut work)?;
        self.finish(turn, work)
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut work = Work::default();
        self.dismiss_outsiders(turn.now, &mut work);
        self.expire(turn, &mut work)?;
        self.refresh(turn.now, &mut work)?;
        self.make_good(turn, &mut work)?;
        self.finish(turn, work)?;
        self.count_expiry();
        Ok(())
    }

    fn deadline(&self) -> Option<Timestamp> {
        let outsiders = self.outsiders.first().map(|(until, _)| *until);
        let times =
            [self.next_expiry, self.refresh_at, self.announcements.next_due(), outsiders, self.errands.owed_at()];
        times.into_iter().flatten().min()
    }
}
