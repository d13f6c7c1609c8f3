//! The registration: create, update, rotate, deactivate, hand over.

use std::collections::BTreeMap;

use super::learn::{Halt, Learned, Question, shard_of};
use super::{RemoteServer, UnderWay};
use crate::kernel::errand::Ticket;
use crate::kernel::fault::Fault;
use crate::kernel::object::{Action, Call, Turn};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::sql::Statement;
use crate::kernel::time::Timestamp;
use crate::push::contact::{DomainVerdict, judge_domain};
use crate::push::credential::{KeyHash, Keys, fresh_key};
use crate::push::directory::{NAMES_PER_MESSAGE, REGISTRATIONS_PER_NETWORK, REGISTRATIONS_PERIOD_MS};
use crate::push::owner::may_deactivate;
use crate::push::queue::DutyAct;
use crate::push::refusal::Refusal;
use crate::push::registration::{Audit, Novelty, RegistrationPlan, State, Wish, decide_registration};
use crate::push::store;
use crate::push::wire::answer;
use crate::push::wire::form::Form;
use crate::push::wire::request::{Registration, parse_registration};
use crate::push::wire::service::{self, Name, NameKind, Names, NewKey};

impl RemoteServer {
    pub(super) fn register(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Reply, Halt> {
        let now = turn.now;
        let registration = parse_registration(call)?;
        let wish = Wish {
            uuid: &registration.uuid,
            key: &registration.key,
            hostname: &registration.hostname,
            email: &registration.email,
            new_key: registration.new_key.as_ref(),
        };
        let plan = decide_registration(now, self.server.as_ref(), wish)?;
        self.check_elsewhere(&registration, &plan, learned)?;
        let mut batch = vec![store::server::put(&plan.server, now), super::operator::announce(now)];
        if plan.novelty == Novelty::Created {
            batch.push(store::server::note(Audit::Created, now));
        }
        self.server = Some(plan.server);
        if plan.claims_name {
            let name = registration.hostname.to_lowercase();
            self.owe(turn, NameKind::Hostname, name, DutyAct::Confirm, &mut batch)?;
        }
        if let Some(old) = plan.released {
            self.owe(turn, NameKind::Hostname, old, DutyAct::Release, &mut batch)?;
        }
        self.commit(turn, batch)?;
        Ok(answer::with("created", plan.novelty == Novelty::Created, &registration.ignored))
    }

    /// What only others know of a registration, in this order: whether the client's network may, whether the address's
    /// domain takes mail, whether the host name is free.
    fn check_elsewhere(&self, wish: &Registration, plan: &RegistrationPlan, learned: &Learned) -> Result<(), Halt> {
        let is_limited = self.settings.rate_limit_per_minute > 0;
        if is_limited && plan.novelty == Novelty::Created && !learned.quota()? {
            let retry_after_ms = REGISTRATIONS_PERIOD_MS / REGISTRATIONS_PER_NETWORK;
            return Err(Refusal::RateLimited { retry_after_ms }.into());
        }
        if plan.checks_email && self.settings.push.dns_query_url.is_some() {
            match judge_domain(&wish.domain, learned.lookups()) {
                DomainVerdict::Good => {}
                DomainVerdict::Bad(error) => return Err(Refusal::Email(error).into()),
                DomainVerdict::Ask(record) => return Err(Halt::Need(Question::Domain(wish.domain.clone(), record))),
            }
        }
        if plan.claims_name {
            let name = Name { kind: NameKind::Hostname, name: wish.hostname.to_lowercase() };
            if !learned.claim(&name)? {
                return Err(Refusal::HostnameTaken { hostname: wish.hostname.clone() }.into());
            }
        }
        Ok(())
    }

    /// Whether a call that waits was given the name, or is asking for it: it is about to be used.
    pub(super) fn is_wanted(&self, name: &Name) -> bool {
        self.under_way.values().any(|under_way| match under_way {
            UnderWay::Learning(pending) => {
                pending.learned.has(name)
                    || matches!(&pending.question, Question::Claims(asked) if asked.contains(name))
            }
            _ => false,
        })
    }

    /// Gives names back that a refused call was given, unless another call wants them. A loss is mended by the directory,
    /// which asks us after a minute.
    pub(super) fn give_back(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<(), Fault> {
        let mut loose: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        for name in learned.granted() {
            let is_ours = match name.kind {
                NameKind::Hostname => self.server.as_ref().is_some_and(|server| server.holds(&name.name)),
                _ => crate::push::uuid::Uuid::parse(&name.name)
                    .map_or(Ok(None), |realm| store::server::load_realm(turn.sql, &realm))?
                    .is_some(),
            };
            if !is_ours && !self.is_wanted(name) {
                loose.entry(shard_of(name)).or_default().push(name.clone());
            }
        }
        let Some(server) = self.name_of(call) else { return Ok(()) };
        for (shard, names) in loose {
            for names in names.chunks(NAMES_PER_MESSAGE) {
                let body = Names { names: names.to_vec(), server: server.to_string() };
                let (class, operation) = (Class::PushDirectory, Operation::PushReleaseEach);
                let errand = service::errand(class, shard.clone(), operation, &body, &call.request_id)?;
                let ticket = self.ticket();
                turn.ask(ticket, errand);
            }
        }
        Ok(())
    }

    /// Signs the server off, unless a plan is still paid for. Tokens and realms are kept.
    pub(super) fn deactivate(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let now = turn.now;
        let Some(mut server) = self.server.clone() else { return Err(Refusal::Busy.into()) };
        let live = store::plans::load_all_live(turn.sql)?;
        if !may_deactivate(live.iter().map(|(_, live)| &live.plan)) {
            return Err(Refusal::LivePlan.into());
        }
        server.state = State::Deactivated;
        let mut batch = vec![store::server::put(&server, now), store::server::note(Audit::Deactivated, now)];
        self.tell_of_server(turn, "server.deactivated", &mut batch);
        let name = server.hostname.to_lowercase();
        self.server = Some(server);
        self.owe(turn, NameKind::Hostname, name, DutyAct::Release, &mut batch)?;
        self.commit(turn, batch)?;
        Ok(answer::plain(&Form::of(call).ignored(&[])))
    }

    /// A new key for whoever proved the host name. The old key dies at once.
    pub(super) fn hand_over(&mut self, turn: &mut Turn<'_>, name: &Name) -> Result<Reply, Halt> {
        let now = turn.now;
        let held = self.server.clone().filter(|server| server.holds(&name.name));
        let Some(mut server) = held else { return Err(Refusal::RegistrationNotFound.into()) };
        let key = fresh_key(turn.entropy);
        server.keys = Keys { current: KeyHash::of(key.reveal()), old: None };
        let batch = vec![store::server::put(&server, now), store::server::note(Audit::Transferred, now)];
        let reply = service::answer(&NewKey { uuid: server.uuid.to_string(), key: key.reveal().to_owned() })?;
        self.server = Some(server);
        self.commit(turn, batch)?;
        Ok(reply)
    }

    /// What goes on under the ticket `later` is answered under `ticket`: a call keeps its first.
    pub(super) fn rename(&mut self, turn: &mut Turn<'_>, later: Ticket, ticket: Ticket) {
        if let Some(under_way) = self.under_way.remove(&later) {
            self.under_way.insert(ticket, under_way);
            for action in turn.actions.iter_mut() {
                if let Action::Ask { ticket: asked, .. } = action
                    && *asked == later
                {
                    *asked = ticket;
                }
            }
        }
        self.courier.rename(later, ticket);
    }

    /// Adds the time of the last request to a batch.
    pub(super) fn touched(&mut self, mut batch: Vec<Statement>, now: Timestamp) -> Vec<Statement> {
        batch.extend(self.touch(now));
        batch
    }
}
