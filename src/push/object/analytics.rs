//! The upload of usage: organizations, counts and audit rows in one transaction. Each new organization's uuid is reserved in
//! the directory before it is used here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::learn::{Halt, Learned};
use super::{RemoteServer, UnderWay, accounts};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Entry};
use crate::push::headcount::Total;
use crate::push::queue::DutyAct;
use crate::push::realm_sync::{
    KnownRealm, Profile, REALMS_PER_SERVER_MAX, RealmReport, SyncError, SyncPlan, decide_sync,
};
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::retention::AUDIT_ROW_BYTES;
use crate::push::store::realms::{ProfileText, RealmRow};
use crate::push::store::uploads::Uploads;
use crate::push::store::{self, plans, realms, uploads};
use crate::push::upload::{
    AuditRow, Marks, ROWS_PER_DAY, ROWS_PERIOD_MS, Table, Told, Upload, UploadError, check_extra, check_rows,
    count_people,
};
use crate::push::wire::audit::encode_change;
use crate::push::wire::realm_report::{encode_profile, parse_profile};
use crate::push::wire::service::{Name, NameKind};
use crate::push::wire::upload::parse_upload;
use crate::push::wire::{answer, form::Form};

/// Uploads that wait at once for names of organizations: each holds its whole body.
const WAITING_MAX: usize = 4;

/// Bodies shorter than this may wait in any number. Units: bytes.
const WAITING_BYTES: usize = 256 * 1024;

impl From<SyncError> for Refusal {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Duplicate => Self::DuplicateRealm,
            SyncError::TooMany => {
                Self::Parameter(ParameterError::TooLong { name: String::from("realms"), max: REALMS_PER_SERVER_MAX })
            }
        }
    }
}

impl RemoteServer {
    pub(super) fn analytics_status(&self, turn: &Turn<'_>, call: &Call) -> Result<Reply, Halt> {
        let marks = uploads::load_marks(turn.sql)?;
        Ok(answer::analytics_status(marks, &Form::of(call).ignored(&[])))
    }

    pub(super) fn upload(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &mut Learned) -> Result<Reply, Halt> {
        let now = turn.now;
        let upload = match &learned.upload {
            Some(upload) => upload.clone(),
            None => Rc::new(parse_upload(call)?),
        };
        // Before anything else is read: an upload with many new organizations comes by here once for each.
        for name in &learned.wanted {
            if !learned.claim(name)? {
                return Err(Refusal::DuplicateRealm.into());
            }
        }
        let known_uploads = uploads::load_uploads(turn.sql)?;
        let marks = check_rows(uploads::load_marks(turn.sql)?, &upload)?;
        let sync = self.sync(turn, call, &upload, &known_uploads, learned)?;
        check_extra(&upload)?;
        let entries = sync.as_ref().map(noted_bytes).unwrap_or_default();
        let entry_bytes = entries.iter().copied().fold(known_uploads.entry_bytes, u64::saturating_add);
        if !entries.is_empty() && entry_bytes > self.limits.entry_bytes {
            return Err(UploadError::LogFull.into());
        }
        let cost = upload.cost(&entries);
        let allowance = Quota::new(ROWS_PER_DAY, ROWS_PERIOD_MS)
            .take_many(cost, known_uploads.rows_free_at_us, now)
            .map_err(|exhausted| UploadError::TooManyRows { retry_after_ms: exhausted.retry_after_ms })?;

        let mut batch = Vec::new();
        if uploads::load_about(turn.sql)? != upload.about {
            batch.push(uploads::put_about(&upload.about));
        }
        put_tables(&upload, marks, now, &mut batch)?;
        let mut after = Uploads { rows_free_at_us: allowance.free_at_us, entry_bytes, ..known_uploads };
        if let Some(rows) = &upload.audit_rows {
            after.last_audit_update = Some(now);
            let told = self.put_people(turn.sql, now, rows, &mut batch)?;
            self.advance_ledgers(turn, &told, upload.realms.as_deref(), &mut batch)?;
        }
        if let Some(plan) = &sync {
            after.empty_realms_since = plan.empty_since;
            put_sync(plan, now, &mut batch)?;
            for uuid in &plan.paid_gone {
                self.tell_of_loss(turn, uuid, &mut batch);
            }
            for report in &plan.added {
                self.owe(turn, NameKind::Realm, report.uuid.to_string(), DutyAct::Confirm, &mut batch)?;
                self.strangers.remove(&report.uuid);
            }
        }
        if after != known_uploads {
            batch.push(uploads::put_uploads(&after));
        }
        batch.push(super::operator::announce(now));
        let batch = self.touched(batch, now);
        self.commit(turn, batch)?;
        self.chores.refresh_sweep(turn.sql, now, &self.limits)?;
        let reports = upload.realms.as_deref().unwrap_or_default();
        let names: Vec<_> = reports.iter().map(|report| report.uuid.clone()).collect();
        let answers = self.permissions(turn.sql, now, &names)?;
        Ok(answer::realms(&answers, &upload.ignored))
    }

    /// What audit rows say of people, organization by organization and all together.
    fn put_people(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        rows: &[AuditRow],
        batch: &mut Vec<Statement>,
    ) -> Result<Vec<Told>, Fault> {
        let mut known = uploads::load_headcounts(sql)?;
        let tracked: BTreeSet<i64> = known.keys().copied().collect();
        let (people, told) = count_people(now, known.clone(), rows);
        let mut room = self.limits.headcounts.saturating_sub(tracked.len());
        for (number, newest) in &people {
            let is_new = !tracked.contains(number);
            if is_new && room == 0 {
                continue;
            }
            room -= usize::from(is_new);
            known.insert(*number, *newest);
            batch.extend(uploads::put_headcount(*number, newest));
        }
        if !people.is_empty() {
            batch.push(store::people::put(&Total::of(&known, now)));
        }
        Ok(told)
    }

    /// What the list of organizations changes, once every new name is ours.
    fn sync(
        &self,
        turn: &Turn<'_>,
        call: &Call,
        upload: &Rc<Upload>,
        uploads: &Uploads,
        learned: &mut Learned,
    ) -> Result<Option<SyncPlan>, Halt> {
        let Some(reports) = &upload.realms else { return Ok(None) };
        let rows = realms::load_page(turn.sql, 0, REALMS_PER_SERVER_MAX as u64)?;
        let known = rows.into_iter().map(known_realm).collect::<Result<Vec<_>, _>>()?;
        let plan = decide_sync(turn.now, known, reports.clone(), uploads.empty_realms_since)?;
        let name = |report: &RealmReport| Name { kind: NameKind::Realm, name: report.uuid.to_string() };
        let wanted: Vec<Name> = plan.added.iter().map(name).collect();
        for name in &wanted {
            let granted = learned.claim(name);
            if matches!(granted, Err(Halt::Need(_))) {
                if call.body.len() > WAITING_BYTES && self.waiting_uploads() >= WAITING_MAX {
                    return Err(Refusal::Busy.into());
                }
                // The next run need not read the body again.
                learned.upload = Some(upload.clone());
                learned.wanted.clone_from(&wanted);
            }
            if !granted? {
                return Err(Refusal::DuplicateRealm.into());
            }
        }
        Ok(Some(plan))
    }

    fn waiting_uploads(&self) -> usize {
        let is_upload = |under_way: &&UnderWay| match under_way {
            UnderWay::Learning(pending) => pending.call.operation == Operation::PushAnalytics,
            _ => false,
        };
        self.under_way.values().filter(is_upload).count()
    }

    /// What the people's coming and going means for plans that follow it.
    fn advance_ledgers(
        &self,
        turn: &Turn<'_>,
        told: &[Told],
        reports: Option<&[RealmReport]>,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        if told.is_empty() {
            return Ok(());
        }
        let (sql, now) = (turn.sql, turn.now);
        let reported: BTreeMap<&str, i64> =
            reports.unwrap_or_default().iter().map(|report| (report.uuid.as_str(), report.number)).collect();
        for (key, live) in plans::load_all_live(sql)? {
            if !live.plan.automanage_licenses {
                continue;
            }
            let number = match reported.get(key.as_str()) {
                Some(number) => Some(*number),
                None if key.is_empty() => None,
                None => realms::load(sql, &key)?.and_then(|row| row.number),
            };
            let mut book = accounts::open(sql, &key, &live)?;
            for told in told {
                let people = if key.is_empty() { Some(told.all) } else { Some(told.people) };
                let Some(people) = people.filter(|_| key.is_empty() || Some(told.realm) == number) else { continue };
                // A clock that is ahead of ours does not make time pass.
                let at = told.at.min(now);
                book.pass(at, Some(now));
                book.count(at, people);
            }
            let is_news = !book.invoices.is_empty() || book.plan.status != live.plan.status;
            if accounts::close(sql, now, (&key, &live), &book, batch)? && is_news {
                self.tell_of_plan(turn, &key, batch);
            }
        }
        Ok(())
    }
}

/// The organization as the rules know it.
pub(super) fn known_realm(row: RealmRow) -> Result<KnownRealm, Fault> {
    let profile = match &row.profile {
        Some(text) => parse_profile(text)?,
        None => Profile { host: row.host, name: row.name, ..Profile::default() },
    };
    Ok(KnownRealm {
        realm_id: row.realm_id,
        uuid: row.uuid,
        number: row.number,
        profile,
        locally_deleted: row.locally_deleted,
        lost_at: row.lost_at,
        plan_type: row.plan_type,
    })
}

/// An entry of ours as a statement.
pub(super) fn note(entry: &Entry, actor: &Actor, now: Timestamp) -> Statement {
    store::audit::add(entry, encode_change(&entry.change), actor, now)
}

/// What each entry takes that a list of organizations causes. Units: bytes.
fn noted_bytes(plan: &SyncPlan) -> Vec<u64> {
    plan.entries.iter().map(|entry| AUDIT_ROW_BYTES + encode_change(&entry.change).len() as u64).collect()
}

fn put_tables(upload: &Upload, marks: Marks, now: Timestamp, batch: &mut Vec<Statement>) -> Result<(), Fault> {
    for (table, rows) in
        [(Table::RealmCounts, &upload.realm_counts), (Table::InstallationCounts, &upload.installation_counts)]
    {
        if !rows.is_empty() {
            batch.extend(uploads::put_counts(table, rows, marks.of(table), now)?);
        }
    }
    match upload.audit_rows.as_deref() {
        None | Some([]) => {}
        Some(rows) => batch.extend(uploads::put_audit_rows(rows, marks.audit_rows, now)?),
    }
    Ok(())
}

fn put_sync(plan: &SyncPlan, now: Timestamp, batch: &mut Vec<Statement>) -> Result<(), Fault> {
    for report in &plan.added {
        let text = encode_profile(&report.profile)?;
        let profile = ProfileText { text: &text, host: &report.profile.host, name: &report.profile.name };
        let RealmReport { uuid, number, owner_secret, date_created, .. } = report;
        batch.push(realms::add(uuid, *number, profile, owner_secret, *date_created, now));
    }
    for update in &plan.updated {
        let text = encode_profile(&update.profile)?;
        let profile = ProfileText { text: &text, host: &update.profile.host, name: &update.profile.name };
        batch.push(realms::update(update.realm_id, update.number, profile, update.presence, now));
        if let Some(number) = update.number {
            batch.extend(store::relocation::settle_people(update.realm_id, number));
        }
    }
    batch.extend(plan.entries.iter().map(|entry| note(entry, &Actor::Server, now)));
    Ok(())
}
