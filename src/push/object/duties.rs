//! What other objects must be told: names that are held or not, tokens that are dead.

use std::collections::BTreeMap;

use super::learn::Halt;
use super::{RemoteServer, UnderWay};
use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::object::Turn;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::device::TokenHash;
use crate::push::directory::shard;
use crate::push::queue::{DUTIES_PARALLEL_MAX, Duty, DutyAct, LEASE_MS, duty_delay_ms};
use crate::push::store;
use crate::push::uuid::Uuid;
use crate::push::wire::service::{self, Act, Dead, Granted, Holder, Name, NameKind, Settle};

/// When a duty is looked at again whose name is busy.
const SAME_NAME_MS: u64 = 1_000;

/// Duties under way, and when the next is due.
pub(super) struct Duties {
    next_id: i64,
    under_way: BTreeMap<i64, (String, String)>,
    due: Option<Timestamp>,
}

impl Duties {
    pub(super) const fn new(next_id: i64) -> Self {
        Self { next_id, under_way: BTreeMap::new(), due: None }
    }

    pub(super) fn refresh(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        let due = store::queue::next_duty(sql)?;
        // Whatever ends makes room; the alarm is for answers that never come.
        self.due = due.map(|due| if self.is_full() { due.max(now.plus(LEASE_MS)) } else { due });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.under_way.len() >= DUTIES_PARALLEL_MAX
    }

    pub(super) const fn wake_at(&self) -> Option<Timestamp> {
        self.due
    }

    /// Whether something about the same name is being told: the next thing waits, so that they arrive in order.
    fn is_busy(&self, duty: &Duty) -> bool {
        self.under_way.values().any(|(kind, name)| *kind == duty.kind && *name == duty.name)
    }
}

/// The errand that settles a name.
pub(super) fn settle(name: &Name, server: &str, act: DutyAct, request_id: &str) -> Result<Errand, Fault> {
    let act = match act {
        DutyAct::Confirm => Act::Confirm,
        DutyAct::Release | DutyAct::Dead => Act::Release,
    };
    let body = Settle { name: name.clone(), server: server.to_owned(), act };
    let shard = shard(name.kind.word(), &name.name);
    service::errand(Class::PushDirectory, shard, Operation::PushSettleName, &body, request_id)
}

impl RemoteServer {
    /// Keeps a duty, and starts on it.
    pub(super) fn owe(
        &mut self,
        turn: &mut Turn<'_>,
        kind: NameKind,
        name: String,
        act: DutyAct,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        self.owe_more(turn, kind, name, act, String::new(), batch)
    }

    fn owe_more(
        &mut self,
        turn: &mut Turn<'_>,
        kind: NameKind,
        name: String,
        act: DutyAct,
        extra: String,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        let duty_id = self.duties.next_id;
        self.duties.next_id += 1;
        let duty = Duty { duty_id, kind: kind.word().to_owned(), name, act, extra, attempts: 0 };
        if self.duties.is_full() || self.duties.is_busy(&duty) {
            batch.push(store::queue::put_duty(&duty, turn.now));
            return Ok(());
        }
        batch.push(store::queue::put_duty(&duty, turn.now.plus(duty_delay_ms(0))));
        self.perform(turn, duty)
    }

    fn perform(&mut self, turn: &mut Turn<'_>, duty: Duty) -> Result<(), Fault> {
        let Some(server) = self.server.as_ref().map(|server| server.uuid.to_string()) else { return Ok(()) };
        let Some(kind) = NameKind::parse(&duty.kind) else { return Ok(()) };
        let name = Name { kind, name: duty.name.clone() };
        let errand = match duty.act {
            DutyAct::Confirm | DutyAct::Release => settle(&name, &server, duty.act, "")?,
            DutyAct::Dead => {
                let mut words = duty.extra.splitn(3, ' ');
                let at_ms = words.next().and_then(|at| at.parse().ok()).unwrap_or(0);
                let keeps = words.next() == Some("keeps");
                let app_id = words.next().filter(|app_id| !app_id.is_empty()).map(str::to_owned);
                let dead = Dead { token: duty.name.clone(), app_id, at_ms, server, keeps };
                let shard = shard(kind.word(), &duty.name);
                service::errand(Class::PushDirectory, shard, Operation::PushTokenDead, &dead, "")?
            }
        };
        let ticket = self.ticket();
        turn.ask(ticket, errand);
        self.under_way.insert(ticket, UnderWay::Duty(duty.duty_id));
        self.duties.under_way.insert(duty.duty_id, (duty.kind, duty.name));
        Ok(())
    }

    /// A duty is done, or is left to the alarm.
    pub(super) fn duty_told(&mut self, turn: &mut Turn<'_>, duty_id: i64, outcome: &Outcome) -> Result<(), Fault> {
        let settled = self.duties.under_way.remove(&duty_id);
        let mut batch = if service::is_done(outcome) { vec![store::queue::remove_duty(duty_id)] } else { Vec::new() };
        let holder = service::replied::<Holder>(outcome).and_then(|holder| Uuid::parse(holder.server.as_deref()?));
        if let (Some((kind, name)), Some(holder)) = (settled, holder)
            && kind == NameKind::Realm.word()
            && holder.as_str() != self.own_name()
        {
            batch.extend(self.lose_realm(turn.sql, turn.now, &name, &holder)?);
        }
        self.resume_duties(turn, duty_id, &mut batch)?;
        self.commit(turn, batch)
    }

    /// Starts on the duties whose time has come, but for one that this very event settles.
    pub(super) fn resume_duties(
        &mut self,
        turn: &mut Turn<'_>,
        settled: i64,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        let room = DUTIES_PARALLEL_MAX.saturating_sub(self.duties.under_way.len());
        for duty in store::queue::due_duties(turn.sql, turn.now, room + 1)? {
            if duty.duty_id == settled || self.duties.is_full() {
                continue;
            }
            // Had there been an answer, it would have come by now.
            self.duties.under_way.remove(&duty.duty_id);
            if self.duties.is_busy(&duty) {
                batch.push(store::queue::put_off_duty(duty.duty_id, turn.now.plus(SAME_NAME_MS)));
                continue;
            }
            let due = turn.now.plus(duty_delay_ms(duty.attempts + 1));
            batch.push(store::queue::put_off_duty(duty.duty_id, due));
            self.perform(turn, duty)?;
        }
        Ok(())
    }

    /// The token is dead for the app: every row of this server with it goes, and every other server is told.
    pub(super) fn strike(
        &mut self,
        turn: &mut Turn<'_>,
        token: TokenHash,
        app_id: Option<&str>,
        at: Timestamp,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        let stays = forget_token(turn.sql, token, app_id, at, batch)?;
        let keeps = if stays.granted { "keeps" } else { "forgets" };
        let extra = format!("{} {keeps} {}", at.as_millis(), app_id.unwrap_or_default());
        self.owe_more(turn, NameKind::Token, token.to_hex(), DutyAct::Dead, extra, batch)
    }

    /// Another server was told that a token is dead.
    pub(super) fn bury(&mut self, turn: &mut Turn<'_>, dead: &Dead) -> Result<Reply, Halt> {
        let mut batch = Vec::new();
        let at = Timestamp::from_millis(dead.at_ms);
        let stays = match TokenHash::from_hex(&dead.token) {
            Some(token) => forget_token(turn.sql, token, dead.app_id.as_deref(), at, &mut batch)?,
            None => Granted { granted: false },
        };
        self.commit(turn, batch)?;
        Ok(service::answer(&stays)?)
    }
}

/// Removes the rows that a token's death ends, and says whether others with it stay.
fn forget_token(
    sql: &dyn Sql,
    token: TokenHash,
    app_id: Option<&str>,
    at: Timestamp,
    batch: &mut Vec<Statement>,
) -> Result<Granted, Fault> {
    let struck = store::device::struck(sql, token, app_id, at)?;
    let all = store::device::with_token(sql, token)?;
    batch.extend(struck.iter().map(|device_id| store::device::remove(*device_id)));
    if !struck.is_empty() {
        batch.push(store::device::add(-i64::try_from(struck.len()).unwrap_or(0), 0));
    }
    Ok(Granted { granted: all.len() > struck.len() })
}
