//! What a server's object does by itself: tell the operators' index and the payment system, renew plans, forget old counts,
//! finish a removal. Each is a row or a time that the alarm finds.

use serde_json::{Value, json};
use std::borrow::Cow;

use super::shown::billing_value;
use super::{RemoteServer, UnderWay, accounts};
use crate::kernel::errand::{Errand, Fetch, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::object::Turn;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::count::KEPT_MS;
use crate::push::queue::DutyAct;
use crate::push::registration::State;
use crate::push::retention::Limits;
use crate::push::store::operations::BillingEvent;
use crate::push::store::sweep::{self, Again};
use crate::push::store::{self, operations, plans, realms, uploads};
use crate::push::uuid::Uuid;
use crate::push::webhook::{self, ANSWER_MS, SIGNATURE_HEADER, TOLD_FOR_MS};
use crate::push::wire::index::{CHANGES_MAX, RealmWords, Summary};
use crate::push::wire::operator::{raw, seconds};
use crate::push::wire::service::{self, NameKind};

/// The object of the operators' index.
pub(in crate::push) const INDEX: &str = "index";

/// The index is told so long after a change, so that several are told at once. Units: milliseconds.
pub(super) const ANNOUNCE_MS: u64 = 5_000;

/// How long an answer of the index is waited for before it is told again. Units: milliseconds.
const LEASE_MS: u64 = 60_000;

/// Events told per alarm, plans renewed, devices and organizations removed.
const EVENTS_MAX: u64 = 4;
const PLANS_MAX: u64 = 20;
const REMOVED_MAX: u64 = 200;

/// The shortest time between two sweeps, and between two steps of a long one. Units: milliseconds.
const SWEEP_MS: u64 = 3_600_000;
const STEP_MS: u64 = 1_000;

/// When each chore is due.
#[derive(Debug, Default)]
pub(super) struct Chores {
    announce_at: Option<Timestamp>,
    event_at: Option<Timestamp>,
    plan_at: Option<Timestamp>,
    remove_at: Option<Timestamp>,
    sweep_at: Option<Timestamp>,
}

impl Chores {
    /// Reads when each chore is due.
    pub(super) fn refresh(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        self.announce_at = operations::load_announcement(sql)?.map(|(due, _)| due);
        self.event_at = operations::next_event(sql)?;
        self.plan_at = plans::next_due(sql)?;
        let is_removing = operations::load_removed(sql)?.is_some()
            && !(operations::some_devices(sql, 1)?.is_empty() && operations::some_realms(sql, 1)?.is_empty());
        self.remove_at = is_removing.then(|| self.remove_at.unwrap_or(now.plus(STEP_MS)));
        Ok(())
    }

    /// Reads when old counts, or what is too much, must be forgotten, not before `earliest`.
    pub(super) fn refresh_sweep(&mut self, sql: &dyn Sql, earliest: Timestamp, limits: &Limits) -> Result<(), Fault> {
        let oldest = sweep::oldest(sql)?.map(|oldest| oldest.plus(KEPT_MS + 1));
        let excess = sweep::has_excess(sql, limits)?.then_some(earliest);
        self.sweep_at = [oldest, excess].into_iter().flatten().min().map(|at| at.max(earliest));
        Ok(())
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let all = [self.announce_at, self.event_at, self.plan_at, self.remove_at, self.sweep_at];
        all.into_iter().flatten().min()
    }
}

impl RemoteServer {
    /// Keeps that the index and the payment system must be told of the server.
    pub(super) fn tell_of_server(&self, turn: &Turn<'_>, kind: &str, batch: &mut Vec<Statement>) {
        batch.push(operations::announce(turn.now.plus(ANNOUNCE_MS)));
        self.tell_payment(turn, kind, None, batch);
    }

    /// Keeps that both must be told of an account's plan.
    pub(super) fn tell_of_plan(&self, turn: &Turn<'_>, key: &str, batch: &mut Vec<Statement>) {
        batch.push(operations::announce(turn.now.plus(ANNOUNCE_MS)));
        self.tell_payment(turn, "plan.changed", Some(key).filter(|key| !key.is_empty()), batch);
    }

    /// Keeps that the payment system must be told of an organization that has gone missing although somebody pays for it.
    pub(super) fn tell_of_loss(&self, turn: &Turn<'_>, realm: &Uuid, batch: &mut Vec<Statement>) {
        self.tell_payment(turn, "realm.gone", Some(realm.as_str()), batch);
    }

    /// Keeps that the payment system must be told where an organization has gone: messages about it go there from now on.
    pub(super) fn tell_of_move(&self, turn: &Turn<'_>, realm: &Uuid, to: &str, batch: &mut Vec<Statement>) {
        let event = json!({ "type": "realm.moved", "realm": realm.as_str(), "to": to });
        self.keep_event(turn, &event, realm.as_str(), batch);
    }

    fn tell_payment(&self, turn: &Turn<'_>, kind: &str, realm: Option<&str>, batch: &mut Vec<Statement>) {
        self.keep_event(turn, &json!({ "type": kind, "realm": realm }), realm.unwrap_or_default(), batch);
    }

    /// What is told is how the account of `key` is after the statements that are in `batch` by now.
    fn keep_event(&self, turn: &Turn<'_>, event: &Value, key: &str, batch: &mut Vec<Statement>) {
        let push = &self.settings.push;
        if push.billing_webhook_url.is_some() && push.billing_key.is_some() {
            batch.extend(operations::put_event(event.to_string(), key, turn.now));
        }
    }

    /// Does what is due.
    pub(super) fn do_chores(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let now = turn.now;
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_due(self.chores.announce_at) {
            self.announce(turn, batch)?;
        }
        if is_due(self.chores.event_at) {
            self.tell_events(turn, batch)?;
        }
        if is_due(self.chores.plan_at) {
            for (key, live) in plans::load_due(turn.sql, now, PLANS_MAX)? {
                if accounts::renew(turn.sql, now, &key, &live, batch)? {
                    self.tell_of_plan(turn, &key, batch);
                }
            }
        }
        if is_due(self.chores.remove_at) {
            self.remove_some(turn, batch)?;
            self.chores.remove_at = Some(now.plus(STEP_MS));
        }
        Ok(())
    }

    /// Forgets old counts and what is too much; says when to look again.
    pub(super) fn sweep_counts(&self, turn: &Turn<'_>, batch: &mut Vec<Statement>) -> Result<Timestamp, Fault> {
        let now = turn.now;
        if self.chores.sweep_at.is_none_or(|at| at > now) {
            return Ok(now);
        }
        let sweep = sweep::sweep(turn.sql, now.minus(KEPT_MS), &self.limits)?;
        batch.extend(sweep.batch);
        Ok(now.plus(if sweep.again == Again::Soon { STEP_MS } else { SWEEP_MS }))
    }

    fn announce(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let duties = operations::index_duties(turn.sql, CHANGES_MAX)?;
        let Some(summary) = self.summary(turn.sql, &duties)? else { return Ok(()) };
        let attempts = operations::load_announcement(turn.sql)?.map_or(0, |(_, attempts)| attempts);
        let due = turn.now.plus(LEASE_MS << attempts.min(6));
        batch.push(operations::put_off_announcement(due));
        batch.push(operations::put_announcements(summary.seq));
        let (class, operation) = (Class::PushDirectory, Operation::PushAnnounce);
        let errand = service::errand(class, INDEX.to_owned(), operation, &summary, "")?;
        let ticket = self.ticket();
        turn.ask(ticket, errand);
        self.under_way.insert(ticket, UnderWay::Announcing(due, duties.last().map_or(0, |(duty_id, _)| *duty_id)));
        Ok(())
    }

    /// The index has heard, of organizations up to a duty; the others are told at once.
    pub(super) fn announce_told(
        &mut self,
        turn: &Turn<'_>,
        due: Timestamp,
        told: i64,
        outcome: &Outcome,
    ) -> Result<(), Fault> {
        if service::is_done(outcome) {
            let mut batch = vec![operations::forget_index_duties(told), operations::announced(due)];
            if operations::has_index_duty_after(turn.sql, told)? {
                batch.push(operations::announce(turn.now.plus(STEP_MS)));
            }
            self.commit(turn, batch)?;
        }
        Ok(())
    }

    /// How this server is, for the index.
    fn summary(&self, sql: &dyn Sql, duties: &[(i64, String)]) -> Result<Option<Summary>, Fault> {
        let Some(server) = &self.server else { return Ok(None) };
        let (devices, sealed_devices) = store::device::counts(sql)?;
        let change = |(_, realm): &(i64, String)| {
            Ok::<_, Fault>(match realms::load(sql, realm)? {
                Some(row) => RealmWords::of(realm.clone(), &row.host, &row.name),
                None => RealmWords { realm: realm.clone(), words: None },
            })
        };
        Ok(Some(Summary {
            uuid: server.uuid.to_string(),
            hostname: server.hostname.clone(),
            contact_email: server.email.clone(),
            plan_type: u64::from(realms::load_server_plan_type(sql)?.number()),
            deactivated: server.state == State::Deactivated,
            last_request_at: server.seen_at.map(Timestamp::as_millis),
            last_version: uploads::load_about(sql)?.version,
            realms: realms::count(sql)?,
            devices,
            sealed_devices,
            seq: operations::load_announcements(sql)? + 1,
            changes: duties.iter().map(change).collect::<Result<_, _>>()?,
            removed: operations::load_removed(sql)?.is_some(),
        }))
    }

    fn tell_events(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let now = turn.now;
        for event in operations::due_events(turn.sql, now, EVENTS_MAX)? {
            let push = &self.settings.push;
            let (Some(url), Some(key)) = (push.billing_webhook_url.clone(), push.billing_key.clone()) else {
                batch.push(operations::remove_event(event.event_id));
                continue;
            };
            if now.since(event.created_at) > TOLD_FOR_MS {
                batch.push(operations::remove_event(event.event_id));
                continue;
            }
            let Some(server) = self.server.as_ref().map(|server| server.uuid.to_string()) else { continue };
            let body = words(turn.sql, &server, &event)?.to_string().into_bytes();
            let headers = vec![
                (Cow::Borrowed("Content-Type"), String::from("application/json")),
                (Cow::Borrowed(SIGNATURE_HEADER), webhook::sign(&key, &body, now)),
            ];
            batch.push(operations::put_off_event(event.event_id, now.plus(webhook::delay_ms(event.attempts))));
            let ticket = self.ticket();
            let fetch = Fetch { method: "POST", url, headers, body, timeout_ms: ANSWER_MS, answer_bytes_max: 16_384 };
            turn.ask(ticket, Errand::Fetch(Box::new(fetch)));
            self.under_way.insert(ticket, UnderWay::TellingEvent(event.event_id));
        }
        Ok(())
    }

    pub(super) fn event_told(&mut self, turn: &Turn<'_>, event_id: i64, outcome: &Outcome) -> Result<(), Fault> {
        let is_taken = matches!(outcome, Outcome::Fetched(fetched) if (200..300).contains(&fetched.status));
        if is_taken {
            self.commit(turn, vec![operations::remove_event(event_id)])?;
        }
        Ok(())
    }

    /// A step of a removal: devices with their names in the directory, and what organizations are called.
    fn remove_some(&mut self, turn: &mut Turn<'_>, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        for token in operations::some_devices(turn.sql, REMOVED_MAX)? {
            self.owe(turn, NameKind::Token, token, DutyAct::Release, batch)?;
        }
        batch.push(operations::remove_devices(REMOVED_MAX));
        for realm in operations::some_realms(turn.sql, REMOVED_MAX)? {
            batch.push(operations::blank_realm(&realm));
            if let Some(uuid) = Uuid::parse(&realm) {
                self.strangers.remove(&uuid);
            }
            self.owe(turn, NameKind::Realm, realm, DutyAct::Release, batch)?;
        }
        Ok(())
    }
}

/// What the payment system is told of an event: the same however often it is told.
fn words(sql: &dyn Sql, server: &str, event: &BillingEvent) -> Result<Value, Fault> {
    let kept = raw(&event.body);
    // Events that were kept before this was are told as things are when they are told.
    let told = kept.get("event").unwrap_or(&kept);
    let realm = told.get("realm").and_then(Value::as_str).unwrap_or_default();
    let (plan_type, billing) = match (kept.get("plan_type"), kept.get("billing")) {
        (Some(plan_type), Some(billing)) => (plan_type.clone(), billing.clone()),
        _ => (Value::from(accounts::plan_type(sql, realm)?.number()), billing_value(sql, realm)?),
    };
    let mut body = json!({
        "id": format!("{server}:{}", event.event_id),
        "type": told.get("type"),
        "created": seconds(event.created_at),
        "server": server,
        "realm": told.get("realm"),
        "plan_type": plan_type,
        "billing": billing,
    });
    if let (Some(to), Some(members)) = (told.get("to"), body.as_object_mut()) {
        members.insert(String::from("to"), to.clone());
    }
    Ok(body)
}
