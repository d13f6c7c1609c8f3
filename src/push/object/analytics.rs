//! The upload of usage: organizations, counts and audit rows in one transaction. Each new organization's uuid is reserved in
//! the directory before it is used here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::learn::{Halt, Learned, shard_of};
use super::links::Owners;
use super::{RemoteServer, UnderWay, accounts};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Notice, Turn};
use crate::kernel::operation::Operation;
use crate::kernel::quota::Quota;
use crate::kernel::reply::Reply;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::push::audit::{Actor, Entry};
use crate::push::headcount::{People, Total};
use crate::push::queue::DutyAct;
use crate::push::realm_sync::{
    KnownRealm, Profile, REALMS_PER_SERVER_MAX, RealmReport, SyncError, SyncPlan, decide_sync,
};
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::retention::AUDIT_ROW_BYTES;
use crate::push::store::realms::{ProfileText, RealmRow};
use crate::push::store::uploads::{Kept, Uploads};
use crate::push::store::{self, headcounts, plans, realms, uploads};
use crate::push::upload::{
    AuditRow, Marks, ROWS_PER_DAY, ROWS_PERIOD_MS, Recount, Table, Told, Upload, UploadError, Whose, check_extra,
    check_rows, count_people,
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
        // Before anything else is read: an upload with many new organizations comes by here several times.
        if !learned.claim_all(&learned.wanted)? {
            return Err(Refusal::DuplicateRealm.into());
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
        let owners = Owners::load(turn.sql, sync.as_ref())?;
        self.give_rows(turn.sql, &owners, &mut batch)?;
        put_tables(&upload, &owners.of, marks, now, &mut batch)?;
        let mut after = Uploads { rows_free_at_us: allowance.free_at_us, entry_bytes, ..known_uploads };
        if let Some(rows) = &upload.audit_rows {
            after.last_audit_update = Some(now);
            let told = self.put_people(turn.sql, now, rows, &owners, &mut batch)?;
            self.advance_ledgers(turn, &told, &mut batch)?;
        } else {
            self.give_people(turn.sql, now, &owners, &mut batch)?;
        }
        if let Some(plan) = &sync {
            after.empty_realms_since = plan.empty_since;
            put_sync(plan, owners.first, now, &mut batch)?;
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
        let before = load_shelves(turn.sql)?;
        self.commit(turn, batch)?;
        self.tell_of_drops(turn, before)?;
        self.refresh_links(turn.sql, now)?;
        self.chores.refresh_sweep(turn.sql, now, &self.limits)?;
        let reports = upload.realms.as_deref().unwrap_or_default();
        let names: Vec<_> = reports.iter().map(|report| report.uuid.clone()).collect();
        let answers = self.permissions(turn.sql, now, &names)?;
        Ok(answer::realms(&answers, &upload.ignored))
    }

    /// Tells the operator how many rows of each table were there before.
    fn tell_of_drops(&self, turn: &mut Turn<'_>, before: [Kept; 3]) -> Result<(), Fault> {
        let Some(server) = &self.server else { return Ok(()) };
        for ((table, before), after) in Table::ALL.into_iter().zip(before).zip(load_shelves(turn.sql)?) {
            let saving = after.offered.saturating_sub(before.offered);
            let dropped = saving.saturating_sub(after.stored.saturating_sub(before.stored));
            if dropped > 0 {
                turn.log(Notice::DroppedRows {
                    dropped,
                    saving,
                    table: table.field(),
                    hostname: server.hostname.clone(),
                    server: server.uuid.to_string(),
                });
            }
        }
        Ok(())
    }

    /// What audit rows say of people, organization by organization and all together.
    fn put_people(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        rows: &[AuditRow],
        owners: &Owners,
        batch: &mut Vec<Statement>,
    ) -> Result<Vec<Told>, Fault> {
        let mut known = headcounts::load(sql)?;
        let tracked: BTreeSet<i64> = known.numbers.keys().copied().collect();
        let given: Vec<Whose> = give(&mut known, owners, now);
        let (mut recount, told) = count_people(now, known, &owners.of, rows);
        recount.changed.extend(given);
        let mut room = self.limits.headcounts.saturating_sub(tracked.len());
        let numbers: Vec<i64> = recount.people.numbers.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| !tracked.contains(number)) {
            if room == 0 {
                recount.people.numbers.remove(&number);
                recount.people.loose.remove(&number);
                recount.changed.remove(&Whose::Number(number));
                recount.changed.remove(&Whose::Nobody(number));
            }
            room = room.saturating_sub(1);
        }
        batch.extend(headcounts::put(&recount)?);
        if !recount.changed.is_empty() {
            batch.push(store::people::put(&Total::of(&recount.people.numbers, now)));
        }
        Ok(told)
    }

    /// What was known of nobody's people is some organization's now.
    #[allow(clippy::unused_self, reason = "reads like the other steps")]
    fn give_people(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        owners: &Owners,
        batch: &mut Vec<Statement>,
    ) -> Result<(), Fault> {
        if owners.new.is_empty() {
            return Ok(());
        }
        let mut people = headcounts::load(sql)?;
        let changed = give(&mut people, owners, now).into_iter().collect();
        batch.extend(headcounts::put(&Recount { people, changed })?);
        Ok(())
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
        let mut wanted: Vec<Name> = plan.added.iter().map(name).collect();
        wanted.sort_by_cached_key(shard_of);
        let granted = learned.claim_all(&wanted);
        if matches!(granted, Err(Halt::Need(_))) {
            if call.body.len() > WAITING_BYTES && self.waiting_uploads() >= WAITING_MAX {
                return Err(Refusal::Busy.into());
            }
            // The next run need not read the body again.
            learned.upload = Some(upload.clone());
            learned.wanted = wanted;
        }
        if !granted? {
            return Err(Refusal::DuplicateRealm.into());
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
    fn advance_ledgers(&self, turn: &Turn<'_>, told: &[Told], batch: &mut Vec<Statement>) -> Result<(), Fault> {
        if told.is_empty() {
            return Ok(());
        }
        let (sql, now) = (turn.sql, turn.now);
        for (key, live) in plans::load_all_live(sql)? {
            if !live.plan.automanage_licenses {
                continue;
            }
            // An organization that is new has no plan yet.
            let whose = match key.as_str() {
                "" => None,
                key => match realms::load(sql, key)? {
                    Some(row) => Some(row.realm_id),
                    None => continue,
                },
            };
            let mut book = accounts::open(sql, &key, &live)?;
            for told in told.iter().filter(|told| told.realm == whose) {
                // A clock that is ahead of ours does not make time pass.
                let at = told.at.min(now);
                book.pass(at, Some(now));
                book.count(at, told.people);
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

fn load_shelves(sql: &dyn Sql) -> Result<[Kept; 3], Fault> {
    let [realms, installation, audit] = Table::ALL.map(|table| uploads::load_kept(sql, table));
    Ok([realms?, installation?, audit?])
}

/// What is known of nobody's people, given to the organizations that have got their numbers.
fn give(people: &mut People, owners: &Owners, now: Timestamp) -> Vec<Whose> {
    let new = owners.new.iter().filter(|(number, realm_id)| people.give(*number, *realm_id, now));
    new.flat_map(|(number, realm_id)| [Whose::Realm(*realm_id), Whose::Nobody(*number)]).collect()
}

fn put_tables(
    upload: &Upload,
    owners: &BTreeMap<i64, i64>,
    marks: Marks,
    now: Timestamp,
    batch: &mut Vec<Statement>,
) -> Result<(), Fault> {
    for (table, rows) in
        [(Table::RealmCounts, &upload.realm_counts), (Table::InstallationCounts, &upload.installation_counts)]
    {
        if !rows.is_empty() {
            batch.extend(uploads::put_counts(table, rows, owners, marks.of(table), now)?);
        }
    }
    match upload.audit_rows.as_deref() {
        None | Some([]) => {}
        Some(rows) => batch.extend(uploads::put_audit_rows(rows, owners, marks.audit_rows, now)?),
    }
    Ok(())
}

fn put_sync(plan: &SyncPlan, first: i64, now: Timestamp, batch: &mut Vec<Statement>) -> Result<(), Fault> {
    for (realm_id, report) in (first..).zip(&plan.added) {
        let text = encode_profile(&report.profile)?;
        let profile = ProfileText { text: &text, host: &report.profile.host, name: &report.profile.name };
        let RealmReport { uuid, number, owner_secret, date_created, .. } = report;
        batch.push(realms::add(realm_id, uuid, *number, profile, owner_secret, *date_created, now));
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
