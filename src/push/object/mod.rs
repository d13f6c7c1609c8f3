//! One self-hosted server as an object: parse → load → decide → commit → answer.

mod account;
mod accounts;
mod analytics;
mod asked;
mod billing;
mod chores;
mod courier;
mod devices;
mod directory;
pub mod door;
mod duties;
mod index;
mod learn;
mod links;
mod moves;
mod names;
mod notify;
mod operator;
mod owners;
mod permit;
mod relocation;
mod sealed;
mod shown;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(in crate::push) use chores::INDEX;
pub(in crate::push) use courier::vapid_public_key;
pub use directory::{DIRECTORY_MIGRATIONS, PushDirectory};

use super::credential::parse_basic;
use super::headcount::Total;
use super::operate::OperationError;
use super::rate::{SlidingLog, Standing};
use super::realm::RealmStanding;
use super::refusal::Refusal;
use super::registration::{Registered, SEEN_MS};
use super::retention::Limits;
use super::role::needed;
use super::sealed_device::EXPIRED_KEPT_MS;
use super::store;
use super::uuid::Uuid;
use super::wire::envelope;
use super::wire::service::{self, Name, NameKind};
use crate::billing::{self as billing_desk, BillingDesk, Known, MailId};
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::migration::{Migration, migrate, schema_version, steps};
use crate::kernel::object::{Answer, Call, Object, Principal, Restored, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use chores::Chores;
use courier::Courier;
use duties::Duties;
use learn::{Halt, Learned, Question};

/// Schema versions of a remote server's object. It applies them itself: anybody can name any uuid, and an object that was
/// never registered must leave nothing behind, not even empty tables.
pub const MIGRATIONS: &[Migration] = store::server::MIGRATIONS;

/// Calls that wait at once; more are asked to come back.
const PENDING_MAX: usize = 1_000;

/// How long it is remembered whose a realm is that is not this server's. Units: milliseconds.
const REALM_MEMORY_MS: u64 = 60_000;

/// How many of them.
const REALM_MEMORY_MAX: usize = 1_000;

/// Dead devices forgotten per alarm.
const SWEPT_MAX: u64 = 500;

/// How a run ends well.
enum Done {
    /// With an answer.
    Reply(Reply),
    /// With notifications under way; the answer follows under this ticket.
    Underway(Ticket),
}

/// A call that waits for an answer to its question.
struct Pending {
    call: Call,
    learned: Learned,
    question: Question,
}

/// What a ticket stands for.
enum UnderWay {
    Learning(Box<Pending>),
    Duty(i64),
    Send(i64),
    Sign(String),
    Access,
    /// Told to the index: until when an answer is waited for, and the last organization that it is about.
    Announcing(Timestamp, i64),
    TellingEvent(i64),
    AtDesk(Box<(Call, Known)>),
    Letter(MailId),
}

/// Whether the database has tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Schema {
    /// The first commit makes them.
    Absent,
    Present,
}

/// One self-hosted server.
pub struct RemoteServer {
    settings: Rc<Settings>,
    /// Without a registration the database has no tables.
    server: Option<Registered>,
    schema: Schema,
    rate: SlidingLog,
    next_ticket: u32,
    under_way: BTreeMap<Ticket, UnderWay>,
    /// Whose realms are that are not this server's.
    strangers: BTreeMap<Uuid, (RealmStanding, Timestamp)>,
    courier: Courier,
    duties: Duties,
    chores: Chores,
    desk: BillingDesk,
    sweep_at: Option<Timestamp>,
    /// While rows are owed to organizations: when the next are given.
    give_at: Option<Timestamp>,
    /// When organizations were in a request last, as far as that is written.
    seen: BTreeMap<i64, Timestamp>,
    /// The sum of all people, added up anew and not written down yet.
    total: Cell<Option<Total>>,
    limits: Limits,
}

impl RemoteServer {
    /// The server as it was stored.
    ///
    /// Errors: [`Fault::Storage`]; [`Fault::Corrupt`] when the storage holds what this code never writes.
    pub fn load(
        settings: Rc<Settings>,
        sql: &dyn Sql,
        now: Timestamp,
        _restored: Vec<Restored>,
    ) -> Result<Self, Fault> {
        Self::load_within(settings, sql, now, Limits::default())
    }

    /// The same with other limits than the service's.
    ///
    /// Errors: as [`Self::load`].
    pub fn load_within(settings: Rc<Settings>, sql: &dyn Sql, now: Timestamp, limits: Limits) -> Result<Self, Fault> {
        let rate = settings.push.rate_limit;
        let schema = if schema_version(sql)? == 0 { Schema::Absent } else { Schema::Present };
        let is_there = schema == Schema::Present;
        if is_there {
            migrate(sql, MIGRATIONS, now)?;
        }
        let last = |read: fn(&dyn Sql) -> Result<i64, Fault>| if is_there { read(sql) } else { Ok(0) };
        let mut object = Self {
            server: if is_there { store::server::load(sql)? } else { None },
            schema,
            rate: SlidingLog::new(rate.requests, rate.window_s.saturating_mul(1_000)),
            next_ticket: 1,
            under_way: BTreeMap::new(),
            strangers: BTreeMap::new(),
            courier: Courier::new(&settings, last(store::queue::last_delivery)? + 1),
            duties: Duties::new(last(store::queue::last_duty)? + 1),
            chores: Chores::default(),
            desk: BillingDesk::new(settings.clone()),
            sweep_at: None,
            give_at: None,
            seen: BTreeMap::new(),
            total: Cell::new(None),
            limits,
            settings,
        };
        if is_there {
            object.refresh(sql, now)?;
            object.chores.refresh_sweep(sql, now, &limits)?;
            object.refresh_links(sql, now)?;
            object.refresh_desk(sql)?;
        }
        Ok(object)
    }

    const fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        ticket
    }

    /// Commits, and reads when the alarm is needed next.
    fn commit(&mut self, turn: &Turn<'_>, mut batch: Vec<Statement>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.schema == Schema::Absent {
            batch.splice(0..0, steps(turn.sql, MIGRATIONS, turn.now)?);
            self.schema = Schema::Present;
        } else if let Some(total) = self.total.take() {
            // First, for what changes a headcount forgets it again.
            batch.insert(0, store::people::put(&total));
        }
        turn.commit(batch)?;
        self.refresh(turn.sql, turn.now)
    }

    fn refresh(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        self.courier.refresh(sql, now)?;
        self.duties.refresh(sql, now)?;
        self.chores.refresh(sql, now)?;
        self.sweep_at = store::sealed::oldest_expired(sql)?.map(|oldest| oldest.plus(EXPIRED_KEPT_MS));
        Ok(())
    }

    /// Runs a call with what it has learned, and asks what it still needs to know.
    fn run(&mut self, turn: &mut Turn<'_>, call: &Call, mut learned: Learned) -> Result<Answer, Fault> {
        let outcome = self.step(turn, call, &mut learned);
        let refusal = match outcome {
            Ok(Done::Reply(reply)) => return Ok(Answer::Now(self.dress(turn.now, call, &learned, reply))),
            Ok(Done::Underway(ticket)) => return Ok(Answer::Later(ticket)),
            Err(Halt::Fault(fault)) => return Err(fault),
            Err(Halt::Need(_)) if self.under_way.len() >= PENDING_MAX => Refusal::Busy,
            Err(Halt::Need(question)) => {
                let Some(server) = self.name_of(call) else {
                    return Ok(Answer::Now(refuse(call, &Refusal::Busy)));
                };
                let errand = learn::errand(&question, &self.settings, &server, call)?;
                let ticket = self.ticket();
                turn.ask(ticket, errand);
                let pending = Pending { call: call.clone(), learned, question };
                self.under_way.insert(ticket, UnderWay::Learning(Box::new(pending)));
                return Ok(Answer::Later(ticket));
            }
            Err(Halt::Refused(refusal)) => refusal,
        };
        self.give_back(turn, call, &learned)?;
        let reply = refuse(call, &refusal);
        Ok(Answer::Now(self.dress(turn.now, call, &learned, reply)))
    }

    /// This server's uuid: as registered, or as it is about to be.
    fn name_of(&self, call: &Call) -> Option<Uuid> {
        let known = self.server.as_ref().map(|server| server.uuid.clone());
        known.or_else(|| super::wire::request::parse_registration(call).ok().map(|registration| registration.uuid))
    }

    /// Headers that depend on who called.
    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn dress(&self, now: Timestamp, call: &Call, learned: &Learned, reply: Reply) -> Reply {
        let is_open =
            matches!(call.operation, Operation::PushServerRegister | Operation::Probe) || is_operators(call.operation);
        let is_open = is_open || billing_desk::handles(call.operation);
        if is_open || call.principal == Principal::Service {
            return reply;
        }
        dress(reply, learned.standing.flatten(), now)
    }

    fn step(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &mut Learned) -> Result<Done, Halt> {
        let now = turn.now;
        let reply = match call.operation {
            Operation::Probe => {
                store::probe(turn.sql)?;
                Reply::json_text(String::from(r#"{"ok":true}"#))
            }
            Operation::PushLookup
            | Operation::PushTokenDead
            | Operation::PushTransferKey
            | Operation::PushRealmAdopt
            | Operation::PushRealmDrop => {
                if call.principal != Principal::Service {
                    return Err(Refusal::NotFound.into());
                }
                self.serve(turn, call)?
            }
            operation if billing_desk::handles(operation) => return self.at_desk(turn, call, &Known::default()),
            Operation::PushServerRegister => self.register(turn, call, learned)?,
            Operation::PushBillingEvent => self.billing_event(turn, call)?,
            operation if needed(operation).is_some() => self.operate(turn, call, learned)?,
            _ => {
                self.authenticate(now, call, learned)?;
                return self.authenticated(turn, call, learned);
            }
        };
        Ok(Done::Reply(reply))
    }

    fn authenticated(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &mut Learned) -> Result<Done, Halt> {
        let reply = match call.operation {
            Operation::PushServerDeactivate => self.deactivate(turn, call)?,
            Operation::PushDeviceRegister => self.register_device(turn, call, learned)?,
            Operation::PushDeviceUnregister => self.unregister_device(turn, call, learned)?,
            Operation::PushDeviceUnregisterAll => self.unregister_all(turn, call, learned)?,
            Operation::PushSealedRegister => self.register_sealed(turn, call, learned)?,
            Operation::PushSealedUnregister => self.unregister_sealed(turn, call, learned)?,
            Operation::PushAnalytics => self.upload(turn, call, learned)?,
            Operation::PushAnalyticsStatus => self.analytics_status(turn, call)?,
            Operation::PushCounts => self.own_counts(turn, call, learned)?,
            Operation::PushBilling => self.own_pages(turn, call, learned)?,
            Operation::PushNotify => return self.notify(turn, call, learned),
            Operation::PushTestNotification => return self.try_out(turn, call, learned),
            Operation::PushSealedNotify => return self.notify_sealed(turn, call, learned),
            _ => return Err(Refusal::NotFound.into()),
        };
        Ok(Done::Reply(reply))
    }

    /// Who calls, and whether not too often. A server that was never registered leaves no trace.
    fn authenticate(&mut self, now: Timestamp, call: &Call, learned: &mut Learned) -> Result<(), Refusal> {
        let credentials = parse_basic(call.authorization.as_deref())?;
        let server = self.server.as_ref().filter(|server| credentials.uuid.as_ref() == Some(&server.uuid));
        let Some(server) = server else {
            return Err(Refusal::NotRegistered { username: credentials.username });
        };
        server.admit(&credentials.key, now)?;
        if learned.standing.is_some() {
            return Ok(());
        }
        match self.rate.admit(now) {
            Ok(standing) => learned.standing = Some(standing),
            Err(standing) => {
                learned.standing = Some(Some(standing));
                return Err(Refusal::RateLimited { retry_after_ms: standing.reset_ms });
            }
        }
        Ok(())
    }

    /// Whose a realm is.
    fn standing_of(&mut self, turn: &Turn<'_>, realm: &Uuid, learned: &Learned) -> Result<RealmStanding, Halt> {
        if let Some(realm_id) = store::server::load_realm(turn.sql, realm)? {
            return Ok(RealmStanding::Ours(realm_id));
        }
        if let Some((standing, until)) = self.strangers.get(realm)
            && turn.now < *until
        {
            return Ok(*standing);
        }
        let name = Name { kind: NameKind::Realm, name: realm.to_string() };
        let holder = learned.holder(&name)?;
        let own = self.server.as_ref().map(|server| &server.uuid);
        let standing = match holder {
            Some(holder) if Some(&holder) != own => RealmStanding::Foreign,
            _ => RealmStanding::Unknown,
        };
        if self.strangers.len() >= REALM_MEMORY_MAX {
            self.strangers.clear();
        }
        self.strangers.insert(realm.clone(), (standing, turn.now.plus(REALM_MEMORY_MS)));
        Ok(standing)
    }

    /// The row of the realm that a request may name. Unknown ones count as none.
    fn optional_realm(
        &mut self,
        turn: &Turn<'_>,
        realm: Option<&Uuid>,
        learned: &Learned,
    ) -> Result<Option<i64>, Halt> {
        let Some(realm) = realm else { return Ok(None) };
        match self.standing_of(turn, realm, learned)? {
            RealmStanding::Ours(realm_id) => Ok(Some(realm_id)),
            RealmStanding::Foreign => Err(Refusal::ForeignRealm.into()),
            RealmStanding::Unknown => Ok(None),
        }
    }

    /// The row of the realm that a request must name.
    fn required_realm(&mut self, turn: &Turn<'_>, realm: &Uuid, learned: &Learned) -> Result<i64, Halt> {
        self.optional_realm(turn, Some(realm), learned)?.ok_or_else(|| Refusal::UnknownRealm.into())
    }

    /// The time of the server's last request, if it is worth writing.
    fn touch(&mut self, now: Timestamp) -> Option<Statement> {
        let server = self.server.as_mut().filter(|server| server.is_stale(now))?;
        server.seen_at = Some(now);
        Some(store::server::see(now))
    }

    /// The time of an organization's last request, if it is worth writing: once a minute.
    fn see_realm(&self, realm_id: Option<i64>, now: Timestamp) -> Option<Statement> {
        let realm_id = realm_id?;
        let is_new = self.seen.get(&realm_id).is_none_or(|at| now.since(*at) >= SEEN_MS);
        is_new.then(|| store::realms::see(realm_id, now))
    }

    /// That time is written.
    fn note_realm(&mut self, realm_id: Option<i64>, now: Timestamp) {
        if self.seen.len() >= REALM_MEMORY_MAX {
            self.seen.retain(|_, at| now.since(*at) < SEEN_MS);
        }
        if let Some(realm_id) = realm_id.filter(|_| self.seen.len() < REALM_MEMORY_MAX)
            && self.seen.get(&realm_id).is_none_or(|at| now.since(*at) >= SEEN_MS)
        {
            self.seen.insert(realm_id, now);
        }
    }

    /// Calls of other objects.
    fn serve(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let is_lookup = call.operation == Operation::PushLookup;
        if is_lookup && service::parse(call).is_ok_and(|name| self.is_wanted(&name)) {
            return Ok(service::answer(&service::Granted { granted: true })?);
        }
        if self.server.is_none() {
            // It holds nothing, whatever it is asked about.
            return match call.operation {
                Operation::PushTransferKey => Err(Refusal::RegistrationNotFound.into()),
                Operation::PushRealmAdopt => Err(OperationError::NoServer.into()),
                _ => Ok(service::answer(&service::Granted { granted: false })?),
            };
        }
        let reply = match call.operation {
            Operation::PushLookup => {
                let name: Name = service::parse(call)?;
                let granted = match name.kind {
                    NameKind::Hostname => self.server.as_ref().is_some_and(|server| server.holds(&name.name)),
                    NameKind::Realm => match Uuid::parse(&name.name) {
                        // What a removed server keeps of an organization is no use of its name.
                        Some(realm) if store::operations::load_removed(turn.sql)?.is_none() => {
                            store::server::load_realm(turn.sql, &realm)?.is_some()
                        }
                        _ => false,
                    },
                    NameKind::Token | NameKind::Network | NameKind::Common => false,
                };
                service::answer(&service::Granted { granted })?
            }
            Operation::PushTokenDead => self.bury(turn, &service::parse(call)?)?,
            Operation::PushRealmAdopt => self.adopt(turn, &service::parse(call)?)?,
            Operation::PushRealmDrop => self.drop_realm(turn, &service::parse(call)?)?,
            _ => self.hand_over(turn, &service::parse(call)?)?,
        };
        Ok(reply)
    }
}

/// Whether an operation speaks the operators' dialect.
fn is_operators(operation: Operation) -> bool {
    matches!(operation, Operation::PushBillingEvent | Operation::PushRealmAdopt | Operation::PushRealmDrop)
        || needed(operation).is_some()
}

/// A refusal in the dialect of who called.
fn refuse(call: &Call, refusal: &Refusal) -> Reply {
    if is_operators(call.operation) {
        super::wire::operator::refused(refusal, &call.request_id)
    } else {
        envelope::refused(refusal)
    }
}

fn dress(reply: Reply, standing: Option<Standing>, now: Timestamp) -> Reply {
    envelope::uncached(envelope::with_rate(reply, standing, now))
}

impl Object for RemoteServer {
    fn call(&mut self, turn: &mut Turn<'_>, call: &Call) -> Result<Answer, Fault> {
        self.run(turn, call, Learned::default())
    }

    fn told(&mut self, turn: &mut Turn<'_>, ticket: Ticket, outcome: Outcome) -> Result<(), Fault> {
        match self.under_way.remove(&ticket) {
            None => Ok(()),
            Some(UnderWay::Duty(duty_id)) => self.duty_told(turn, duty_id, &outcome),
            Some(UnderWay::Send(delivery_id)) => self.send_told(turn, ticket, delivery_id, &outcome),
            Some(UnderWay::Sign(input)) => self.sign_told(turn, &input, &outcome),
            Some(UnderWay::Access) => self.access_told(turn, &outcome),
            Some(UnderWay::Announcing(due, told)) => self.announce_told(turn, due, told, &outcome),
            Some(UnderWay::AtDesk(call)) => self.desk_told(turn, ticket, *call, &outcome),
            Some(UnderWay::Letter(mail)) => self.letter_told(turn, mail, &outcome),
            Some(UnderWay::TellingEvent(event_id)) => self.event_told(turn, event_id, &outcome),
            Some(UnderWay::Learning(pending)) => {
                let Pending { call, mut learned, question } = *pending;
                let answer = match learned.learn(question, &outcome) {
                    Ok(()) => self.run(turn, &call, learned)?,
                    Err(refusal) => {
                        self.give_back(turn, &call, &learned)?;
                        let reply = refuse(&call, &refusal);
                        Answer::Now(self.dress(turn.now, &call, &learned, reply))
                    }
                };
                match answer {
                    Answer::Now(reply) => turn.answer(ticket, reply),
                    Answer::Later(later) => self.rename(turn, later, ticket),
                }
                Ok(())
            }
        }
    }

    fn alarm(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let now = turn.now;
        let mut batch = Vec::new();
        self.ring_desk(turn, &mut batch)?;
        if self.server.is_none() {
            // It only counts letters, or keeps them for a developer.
            turn.commit(batch)?;
            return self.refresh_desk(turn.sql);
        }
        self.resume_deliveries(turn, 0, &mut batch)?;
        self.resume_duties(turn, 0, &mut batch)?;
        if self.sweep_at.is_some_and(|at| at <= now) {
            let before = now.minus(EXPIRED_KEPT_MS);
            let swept = store::sealed::count_expired(turn.sql, before, SWEPT_MAX)?;
            if swept > 0 {
                batch.push(store::sealed::sweep(before, SWEPT_MAX));
                batch.push(store::device::add(0, -i64::try_from(swept).unwrap_or(0)));
            }
        }
        self.do_chores(turn, &mut batch)?;
        if self.give_at.is_some_and(|at| at <= now) {
            self.give_owed(turn.sql, &mut batch)?;
        }
        let sweep_from = self.sweep_counts(turn, &mut batch)?;
        self.pump(turn, &mut batch)?;
        turn.commit(batch)?;
        self.refresh(turn.sql, now)?;
        self.refresh_desk(turn.sql)?;
        self.chores.refresh_sweep(turn.sql, sweep_from, &self.limits)?;
        if self.give_at.is_some_and(|at| at <= now) {
            self.refresh_links(turn.sql, now)?;
        }
        self.answer_ripe(turn)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let desk = self.desk.deadline();
        [self.courier.wake_at(), self.duties.wake_at(), self.chores.wake_at(), self.sweep_at, self.give_at, desk]
            .into_iter()
            .flatten()
            .min()
    }
}
