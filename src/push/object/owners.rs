//! Pages of owners and administrators at the server's object: the billing desk, and the books that it reads and writes in.

use std::cell::RefCell;

use super::analytics::{known_realm, note};
use super::learn::{Halt, Learned};
use super::{Done, PENDING_MAX, RemoteServer, Schema, UnderWay, accounts, asked};
use crate::billing::change::{PlanChange as Wanted, Request, Sponsorship, Upgrade};
use crate::billing::customer::{self, Invoice, Licensing, RealmFacts, Registration, ServerFacts, plan_name};
use crate::billing::identity::Subject;
use crate::billing::standing::Asked;
use crate::billing::user::BillingUser;
use crate::billing::{Adopted, Books, BooksStop, Entered, HandOff, Known, MailId, Step, Work};
use crate::kernel::errand::{Outcome, Ticket};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Change, Entry, Event, Scope};
use crate::push::cycle::next_cycle;
use crate::push::headcount::Counted;
use crate::push::ledger::InvoiceKind;
use crate::push::operate::OperationError;
use crate::push::owner::{OwnerWish, decide_owner, may_deactivate};
use crate::push::plan::{Account, Customer, CustomerWish, LivePlan, PlanChange, PlanError};
use crate::push::queue::DutyAct;
use crate::push::refusal::Refusal;
use crate::push::registration::{Registered, State};
use crate::push::store::{self, plans, realms};
use crate::push::tier::{PlanType, Schedule, Status, Tier};
use crate::push::uuid::Uuid;
use crate::push::wire::service::NameKind;

/// Invoices on their page.
const INVOICES_SHOWN: u64 = 1_000;

/// What the host must do beside the books' statements.
enum Mark {
    /// Tell of an account's plan.
    Plan(String),
    /// Let the server go.
    Left,
}

/// The books of this server.
struct ServerBooks<'a> {
    server: Option<&'a Registered>,
    marks: RefCell<Vec<Mark>>,
}

/// The key of an account.
fn key_of(subject: &Subject) -> &str {
    match subject {
        Subject::Realm(realm) => realm.as_str(),
        Subject::Server(_) => "",
    }
}

fn shown_plan(live: &LivePlan) -> customer::Plan {
    let plan = &live.plan;
    customer::Plan {
        tier: plan.tier.number(),
        status: plan.status.number(),
        schedule: plan.billing_schedule,
        licensing: if plan.automanage_licenses { Licensing::Automatic } else { Licensing::Manual },
        licenses: live.last.licenses,
        licenses_at_next_renewal: live.last.licenses_at_next_renewal,
        renews_at: next_cycle(plan, live.last_renewal),
    }
}

fn shown_customer(customer: &Customer, live: Option<&LivePlan>) -> customer::Customer {
    customer::Customer {
        sponsorship_pending: customer.sponsorship_pending,
        is_known_to_payment: customer.payment_reference.is_some(),
        plan: live.map(shown_plan),
    }
}

/// What an invoice is for, as owners read it.
const fn kind_name(kind: InvoiceKind) -> &'static str {
    match kind {
        InvoiceKind::Period => "Billing period",
        InvoiceKind::Additional => "Additional licenses",
    }
}

/// A refusal of the rules, in their words.
fn stop(halt: Halt) -> BooksStop {
    match halt {
        Halt::Fault(fault) => BooksStop::Fault(fault),
        Halt::Refused(Refusal::Operation(OperationError::Plan(error))) => BooksStop::Refused(error.sentence()),
        Halt::Refused(_) | Halt::Need(_) => BooksStop::Refused(String::from("This is not possible now")),
    }
}

impl ServerBooks<'_> {
    fn account(
        &self,
        sql: &dyn Sql,
        key: &str,
        plan_type: PlanType,
        registration: Registration,
    ) -> Result<customer::Account, Fault> {
        let live = plans::load_live(sql, key)?;
        let customer = plans::load_customer(sql, key)?.map(|customer| shown_customer(&customer, live.as_ref()));
        Ok(customer::Account { plan_type: plan_type.number(), registration, customer })
    }

    fn mark(&self, mark: Mark) {
        self.marks.borrow_mut().push(mark);
    }

    fn scope(sql: &dyn Sql, subject: &Subject) -> Result<Scope, BooksStop> {
        let gone = || BooksStop::Refused(String::from("There is no such organization"));
        accounts::scope_of(sql, key_of(subject))?.ok_or_else(gone)
    }
}

fn wish(change: Wanted) -> OwnerWish {
    let mut wish = OwnerWish::default();
    match change {
        Wanted::Status(status) => wish.status = Status::parse(u64::from(status.number())),
        Wanted::Licenses(licenses) => wish.licenses = Some(licenses),
        Wanted::LicensesAtNextRenewal(licenses) => wish.licenses_at_next_renewal = Some(licenses),
        Wanted::Schedule(schedule) => wish.schedule = Some(schedule),
        Wanted::ToggleLicenseManagement => wish.toggle_license_management = true,
    }
    wish
}

/// What an operator reads of a sponsorship that is asked for.
fn sponsorship_words(wanted: &Sponsorship) -> String {
    format!(
        "organization type {}; website: {}; expected users: {}; paid staff: {} ({}); {}",
        wanted.org_type,
        wanted.website,
        wanted.expected_total_users,
        wanted.paid_users_count,
        wanted.paid_users_description,
        wanted.description
    )
}

/// That a number of licenses suffices for the tier and for the people there are, as far as they are known.
fn check_licenses(account: &Account, wanted: &Upgrade) -> Result<(), BooksStop> {
    let Some((licenses, tier)) = wanted.licenses.zip(Tier::parse(u64::from(wanted.tier))) else { return Ok(()) };
    let people = if let Counted::People(people) = account.people { people.billed() } else { 0 };
    let least = account.customer.clone().unwrap_or_default().licenses_min(tier).max(people);
    if licenses >= least { Ok(()) } else { Err(BooksStop::Refused(PlanError::TooFewLicenses { least }.sentence())) }
}

/// What an operator reads of a plan that is asked for.
fn upgrade_words(wanted: &Upgrade) -> String {
    let licenses =
        wanted.licenses.map_or_else(|| String::from("as many licenses as users"), |n| format!("{n} licenses"));
    let often = if wanted.schedule == Schedule::Annual { "annually" } else { "monthly" };
    format!("asks for {}, billed {often}, {licenses}", plan_name(wanted.tier))
}

impl Books for ServerBooks<'_> {
    fn server(&self, sql: &dyn Sql) -> Result<Option<ServerFacts>, Fault> {
        let Some(server) = self.server else { return Ok(None) };
        let registration = if server.state == State::Active { Registration::Active } else { Registration::Deactivated };
        let account = self.account(sql, "", realms::load_server_plan_type(sql)?, registration)?;
        let (uuid, hostname, key) = (server.uuid.clone(), server.hostname.clone(), server.keys.current.clone());
        Ok(Some(ServerFacts { uuid, hostname, key, account }))
    }

    fn realm(&self, sql: &dyn Sql, realm: &Uuid) -> Result<Option<RealmFacts>, Fault> {
        let Some(server) = self.server else { return Ok(None) };
        let Some(row) = realms::load(sql, realm.as_str())? else { return Ok(None) };
        let (host, name, plan_type) = (row.host.clone(), row.name.clone(), row.plan_type);
        let is_closed = row.registration_deactivated || server.state == State::Deactivated;
        let is_closed = known_realm(row)?.profile.realm_deactivated || is_closed;
        let registration = if is_closed { Registration::Deactivated } else { Registration::Active };
        let account = self.account(sql, realm.as_str(), plan_type, registration)?;
        Ok(Some(RealmFacts { uuid: realm.clone(), host, name, account }))
    }

    fn has_realm_plan(&self, sql: &dyn Sql) -> Result<bool, Fault> {
        if self.server.is_none() {
            return Ok(false);
        }
        Ok(plans::load_all_live(sql)?.iter().any(|(key, _)| !key.is_empty()))
    }

    fn invoices(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Invoice>, Fault> {
        let rows = plans::load_newest_invoices(sql, key_of(subject), INVOICES_SHOWN)?;
        let shown = |row: plans::InvoiceRow| Invoice {
            number: u64::try_from(row.invoice_id).unwrap_or(0),
            made_at: row.created_at,
            kind: kind_name(row.invoice.kind).to_owned(),
            what: plan_name(u32::try_from(row.tier).unwrap_or(0)).to_owned(),
            period_start: row.invoice.period_start,
            period_end: row.invoice.period_end,
            licenses: row.invoice.licenses,
            amount: row.invoice.amount,
            discount: row.invoice.discount,
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    fn requests(&self, sql: &dyn Sql, subject: &Subject) -> Result<Vec<Asked>, Fault> {
        asked::requests(sql, key_of(subject))
    }

    fn adopt(&self, sql: &dyn Sql, now: Timestamp, realm: &Uuid) -> Result<Adopted, BooksStop> {
        let mut statements = Vec::new();
        let moved = accounts::move_plan(sql, now, realm, &mut statements)?;
        let Some(moved) = moved.map_err(|_| BooksStop::Irreconcilable)? else { return Ok(Adopted::Nothing) };
        self.mark(Mark::Plan(String::new()));
        self.mark(Mark::Plan(realm.to_string()));
        // Only who may sign in comes so far.
        let account = customer::Account {
            plan_type: moved.plan_type.number(),
            registration: Registration::Active,
            customer: Some(shown_customer(&moved.customer, Some(&moved.live))),
        };
        Ok(Adopted::Moved { statements, account })
    }

    fn perform(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser, request: &Request) -> Entered {
        let mut batch = Vec::new();
        let scope = Self::scope(sql, &owner.subject)?;
        let actor = Actor::Owner(owner.email.clone());
        asked::check_pace(sql, key_of(&owner.subject), now)?;
        match request {
            Request::Change(change) => {
                let account = accounts::load(sql, now, scope)?;
                let plan = decide_owner(now, &account, &wish(*change))
                    .map_err(|error| BooksStop::Refused(error.sentence()))?;
                accounts::write(&account, &plan, &actor, now, &mut batch);
            }
            Request::Sponsorship(wanted) => {
                let customer = CustomerWish { sponsorship_pending: Some(true), ..CustomerWish::default() };
                let change = PlanChange { customer: Some(customer), ..PlanChange::default() };
                accounts::change(sql, now, scope.clone(), &change, &actor, &mut batch).map_err(stop)?;
                let change = Change::Reason(sponsorship_words(wanted));
                batch.push(note(&Entry { scope, event: Event::SponsorshipPendingChanged, change }, &actor, now));
            }
            Request::Upgrade(wanted) => {
                let live = plans::load_live(sql, key_of(&owner.subject))?;
                if live.is_some_and(|live| live.plan.tier.is_paid()) {
                    return Err(BooksStop::Refused(String::from("You have a paid plan already")));
                }
                check_licenses(&accounts::load(sql, now, scope.clone())?, wanted)?;
                let change = Change::Reason(upgrade_words(wanted));
                batch.push(note(&Entry { scope, event: Event::CustomerChanged, change }, &actor, now));
            }
        }
        self.mark(Mark::Plan(key_of(&owner.subject).to_owned()));
        Ok(batch)
    }

    fn deactivate(&self, sql: &dyn Sql, now: Timestamp, owner: &BillingUser) -> Entered {
        let live = plans::load_all_live(sql)?;
        if !may_deactivate(live.iter().map(|(_, live)| &live.plan)) {
            return Err(BooksStop::Refused(String::from(
                "A live plan stands in the way. End the plan of this server and of its organizations first.",
            )));
        }
        self.mark(Mark::Left);
        let entry = Entry::plain(Scope::Server, Event::Deactivated);
        Ok(vec![note(&entry, &Actor::Owner(owner.email.clone()), now)])
    }
}

impl RemoteServer {
    /// A call that the desk answers.
    pub(super) fn at_desk(&mut self, turn: &mut Turn<'_>, call: &Call, known: &Known) -> Result<Done, Halt> {
        let books = ServerBooks { server: self.server.as_ref(), marks: RefCell::default() };
        match self.desk.call(turn, &books, call, known)? {
            Step::Done(reply, work) => {
                // Whatever was refused after all leaves no work, and nobody need hear of it.
                let marks = if work.statements.is_empty() { Vec::new() } else { books.marks.into_inner() };
                self.enter(turn, work, marks)?;
                Ok(Done::Reply(reply))
            }
            Step::Ask(..) if self.under_way.len() >= PENDING_MAX => Err(Refusal::Busy.into()),
            Step::Ask(errand, known) => {
                let ticket = self.ticket();
                turn.ask(ticket, errand);
                self.under_way.insert(ticket, UnderWay::AtDesk(Box::new((call.clone(), known))));
                Ok(Done::Underway(ticket))
            }
        }
    }

    /// Whoever the desk asked has answered. It may ask more.
    pub(super) fn desk_told(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        (call, known): (Call, Known),
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        let call = &call;
        match self.at_desk(turn, call, &known.told(outcome)) {
            Ok(Done::Reply(reply)) => turn.answer(ticket, reply),
            Ok(Done::Underway(later)) => self.rename(turn, later, ticket),
            Err(Halt::Fault(fault)) => return Err(fault),
            Err(Halt::Refused(_) | Halt::Need(_)) => {
                turn.answer(ticket, super::refuse(call, &Refusal::Busy));
            }
        }
        Ok(())
    }

    /// What came of a letter.
    pub(super) fn letter_told(&mut self, turn: &mut Turn<'_>, mail: MailId, outcome: &Outcome) -> Result<(), Fault> {
        let work = self.desk.told(turn.sql, turn.now, mail, outcome)?;
        self.enter(turn, work, Vec::new())
    }

    fn enter(&mut self, turn: &mut Turn<'_>, work: Work, marks: Vec<Mark>) -> Result<(), Fault> {
        let mut batch = work.statements;
        for mark in marks {
            match (mark, self.server.clone()) {
                (Mark::Plan(key), _) => self.tell_of_plan(turn, &key, &mut batch),
                (Mark::Left, Some(server)) => {
                    let server = Registered { state: State::Deactivated, ..server };
                    batch.push(store::server::put(&server, turn.now));
                    self.tell_of_server(turn, "server.deactivated", &mut batch);
                    let name = server.hostname.to_lowercase();
                    self.server = Some(server);
                    self.owe(turn, NameKind::Hostname, name, DutyAct::Release, &mut batch)?;
                }
                (Mark::Left, None) => {}
            }
        }
        self.commit(turn, batch)?;
        self.post(turn, work.errands);
        self.refresh_desk(turn.sql)
    }

    fn post(&mut self, turn: &mut Turn<'_>, errands: Vec<(MailId, crate::kernel::errand::Errand)>) {
        for (mail, errand) in errands {
            let ticket = self.ticket();
            turn.ask(ticket, errand);
            self.under_way.insert(ticket, UnderWay::Letter(mail));
        }
    }

    /// What is due at the desk: its statements join `batch`.
    pub(super) fn ring_desk(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        if self.schema == Schema::Present {
            let work = self.desk.alarm(turn.sql, turn.now)?;
            batch.extend(work.statements);
            self.post(turn, work.errands);
        }
        Ok(())
    }

    pub(super) fn refresh_desk(&mut self, sql: &dyn Sql) -> Result<(), Fault> {
        if self.schema == Schema::Present { self.desk.refresh(sql) } else { Ok(()) }
    }

    /// A link with which an owner signs in here.
    pub(super) fn own_pages(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Reply, Halt> {
        let hand_off = HandOff::parse(call)?;
        let realm_id = self.required_realm(turn, hand_off.realm(), learned)?;
        let Some(server) = self.server.as_ref().map(|server| server.uuid.clone()) else {
            return Err(Refusal::Busy.into());
        };
        let reply = hand_off.answer(&self.settings, call, &server, turn.now)?;
        let batch = self.touched(vec![realms::see(realm_id, turn.now)], turn.now);
        self.commit(turn, batch)?;
        Ok(reply)
    }
}
