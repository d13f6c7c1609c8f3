//! The directory: relays of parties, and how many parties there are.

use std::collections::HashMap;
use std::rc::Rc;

use super::refused::{Stop, is_intruding, settle};
use crate::kernel::errand::{Errand, Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Answer, Call, Object, Principal, Restored, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::parties::relays::{Owner, Power, Record, Relays};
use crate::parties::store::directory as store;
use crate::parties::wire::identity::{DONE, parse_service};
use crate::parties::wire::problem::detail;
use crate::parties::wire::relay::{self as wire, ListServers, ListWish};
use crate::parties::wire::service::{Census, CensusState};

/// The directory's only name.
pub const NAME: &str = "global";

/// Lists that wait for the bootstrap registry.
const WAITING_MAX: usize = 1_000;

/// How long the alarm rests between two rounds. Units: milliseconds.
const SWEEP_AGAIN_MS: u64 = 1_000;

/// The directory.
#[derive(Debug)]
pub struct PartyDirectory {
    relays: Relays,
    parties: u64,
    /// The alarm does not ring before, so that one that leaves something to forget is not the next one.
    rest_until: Timestamp,
    next_ticket: u32,
    waiting: HashMap<Ticket, Waiting>,
}

/// A list that waits for the bootstrap registry.
#[derive(Debug)]
struct Waiting {
    region: Option<String>,
    wish: ListWish,
}

impl PartyDirectory {
    /// Schema versions.
    pub const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;

    /// The directory as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        _now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        let ttl_ms = settings.party.relay_ttl_ms;
        Ok(Self {
            relays: Relays::new(ttl_ms, store::load_relays(sql, ttl_ms)?),
            parties: store::load_tally(sql)?,
            rest_until: Timestamp::EPOCH,
            next_ticket: 0,
            waiting: HashMap::new(),
        })
    }

    fn register(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let (owner, _) = owner(call)?;
        let (relay_id, profile) = wire::parse_registration(&call.body)?;
        let decided = self.relays.decide(&relay_id, (&owner, profile), turn.now);
        let (relay, record) = decided.map_err(|refusal| wire::refuse(&relay_id, refusal))?;
        if record == Record::Write {
            turn.commit(vec![store::put_relay(&relay_id, &relay)])?;
        }
        let body = wire::encode_registered(&relay_id);
        self.relays.put(relay_id, relay);
        Ok(Reply::json_text(body))
    }

    fn remove(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let (owner, power) = owner(call)?;
        let relay_id = call.params.first().map(String::as_str).unwrap_or_default();
        let checked = self.relays.check_removal(relay_id, &owner, power, turn.now);
        checked.map_err(|refusal| wire::refuse(relay_id, refusal))?;
        turn.commit(vec![store::remove_relay(relay_id)])?;
        self.relays.forget(&[relay_id.to_owned()]);
        Ok(Reply::json_text(wire::encode_removed(relay_id)))
    }

    fn list(&mut self, turn: &mut Turn<'_>, call: &Call, region: Option<&str>) -> Result<Answer, Stop> {
        let wish = wire::parse_list_wish(&call.query);
        if wish.servers == ListServers::Without || self.waiting.len() >= WAITING_MAX {
            return Ok(self.own_list(region, wish, turn.now)?.into());
        }
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let ticket = Ticket(self.next_ticket);
        self.waiting.insert(ticket, Waiting { region: region.map(str::to_owned), wish });
        let question = Call {
            operation: Operation::ServersList,
            params: Vec::new(),
            query: String::new(),
            principal: Principal::Service,
            body: Vec::new(),
            ..call.clone()
        };
        let (class, name) = (Class::ServerRegistry, String::from("global"));
        turn.ask(ticket, Errand::Call { class, name, call: Box::new(question) });
        Ok(Answer::Later(ticket))
    }

    fn own_list(&self, region: Option<&str>, wish: ListWish, now: Timestamp) -> Result<Reply, Fault> {
        let relays = wire::listed(&self.relays.list(region, now), wish);
        Ok(Reply::json_text(wire::encode_list(&relays)?))
    }

    fn count(&mut self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Stop> {
        let Census { party_id, state } = parse_service(&call.body)?;
        let is_counted = store::has_party(turn.sql, &party_id)?;
        match state {
            CensusState::Begun if !is_counted => {
                turn.commit(store::count_in(&party_id, self.parties + 1))?;
                self.parties += 1;
            }
            CensusState::Ended if is_counted => {
                let left = self.parties.saturating_sub(1);
                turn.commit(store::count_out(&party_id, left))?;
                self.parties = left;
            }
            CensusState::Begun | CensusState::Ended => {}
        }
        Ok(Reply::json_text(String::from(DONE)))
    }
}

/// Who changes relays, and which ones.
fn owner(call: &Call) -> Result<(Owner, Power), Reply> {
    match (call.principal, &call.caller) {
        (Principal::Peer, Some(peer_id)) => Ok((Owner::peer(peer_id), Power::Own)),
        (Principal::RegistryWriter, _) => Ok((Owner::registry(), Power::Own)),
        (Principal::Operator, _) => Ok((Owner::registry(), Power::All)),
        _ => Err(detail(401, "Missing authorization header")),
    }
}

impl Object for PartyDirectory {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        if is_intruding(call) {
            return Ok(detail(404, "Not Found").into());
        }
        match call.operation {
            Operation::PartyRelayRegister => settle(self.register(turn, call)),
            Operation::PartyRelayRemove => settle(self.remove(turn, call)),
            Operation::PartyRelayList => settle(self.list(turn, call, None)),
            Operation::PartyRelayRegion => {
                let region = call.params.first().cloned().unwrap_or_default();
                settle(self.list(turn, call, Some(&region)))
            }
            Operation::PartyCensus => settle(self.count(turn, call)),
            Operation::Overview => {
                Ok(Reply::json_text(wire::encode_counts(self.parties, self.relays.count(turn.now))).into())
            }
            Operation::Probe => {
                store::load_tally(turn.sql)?;
                Ok(Reply::json_text(String::from(r#"{"ok":true}"#)).into())
            }
            _ => Ok(detail(404, "Not Found").into()),
        }
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        let Some(Waiting { region, wish }) = self.waiting.remove(&ticket) else { return Ok(()) };
        let region = region.as_deref();
        // A registry that does not answer takes no relay of ours off the list.
        let servers = match &outcome {
            Outcome::Replied(reply) if reply.status == 200 => reply.body.as_str(),
            _ => "",
        };
        let ours = wire::listed(&self.relays.list(None, turn.now), wish);
        let all = wire::merge_servers(ours, servers, region, wish);
        let reply = Reply::json_text(wire::encode_list(&all)?);
        turn.answer(ticket, reply);
        Ok(())
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let over = self.relays.over(turn.now);
        turn.commit(over.iter().map(|relay_id| store::remove_relay(relay_id)).collect())?;
        self.relays.forget(&over);
        self.rest_until = turn.now.plus(SWEEP_AGAIN_MS);
        Ok(())
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.relays.deadline().map(|deadline| deadline.max(self.rest_until))
    }
}
