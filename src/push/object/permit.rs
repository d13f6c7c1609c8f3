//! The facts of the one decision whether a request may push.

use super::RemoteServer;
use super::learn::Halt;
use crate::kernel::fault::Fault;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::push::cycle::next_cycle;
use crate::push::headcount::{Counted, Headcount, Newest, Total, counted};
use crate::push::permission::{Permission, Push, Standing, Subject, decide_permission};
use crate::push::refusal::Refusal;
use crate::push::store::realms::RealmRow;
use crate::push::store::uploads::Uploads;
use crate::push::store::{self, plans, realms, uploads};
use crate::push::uuid::Uuid;

/// Whose notification it is, which decides how a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// Servers that never said a feature level are told in other words.
    Legacy,
    /// Only newer servers come here.
    Sealed,
}

impl RemoteServer {
    /// The decision for a request that names an organization of this server, or none.
    ///
    /// Errors: [`Refusal::NotAllowed`], [`Refusal::NotAllowedOld`].
    pub(super) fn permitted(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        realm: Option<&Uuid>,
        path: Path,
    ) -> Result<Permission, Halt> {
        let permission = self.permission(sql, now, realm)?;
        let Push::Denied(message) = &permission.can_push else { return Ok(permission) };
        let is_old = path == Path::Legacy && uploads::load_about(sql)?.api_feature_level.is_none();
        if is_old {
            return Err(Refusal::NotAllowedOld.into());
        }
        Err(Refusal::NotAllowed { message: message.clone() }.into())
    }

    /// The decision.
    pub(super) fn permission(&self, sql: &dyn Sql, now: Timestamp, realm: Option<&Uuid>) -> Result<Permission, Fault> {
        let fresh_ms = self.settings.push.server_data_max_age_ms;
        let uploads = uploads::load_uploads(sql)?;
        let realm = realm.map(|realm| realm_subject(sql, (now, fresh_ms), realm, &uploads)).transpose()?.flatten();
        // The server's people matter only where no organization's do.
        let people = match realm {
            Some(_) => Counted::Missing,
            None => counted(self.people(sql, now)?, uploads.last_audit_update, now, fresh_ms),
        };
        let server = Subject { plan_type: realms::load_server_plan_type(sql)?, plan: standing(sql, "")?, people };
        Ok(decide_permission(&server, realm.as_ref(), self.settings.push.free_users_max))
    }

    /// The people of all organizations: added up when one of them has changed, and kept with the next commit.
    fn people(&self, sql: &dyn Sql, now: Timestamp) -> Result<Headcount, Fault> {
        if let Some(total) = store::people::load(sql)?.filter(|total| total.holds(now)) {
            return Ok(total.people);
        }
        let total = Total::of(&uploads::load_headcounts(sql)?, now);
        self.total.set(Some(total));
        Ok(total.people)
    }

    /// The decisions for organizations of this server.
    pub(super) fn permissions(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        names: &[Uuid],
    ) -> Result<Vec<(String, Permission)>, Fault> {
        let fresh_ms = self.settings.push.server_data_max_age_ms;
        let uploads = uploads::load_uploads(sql)?;
        let plan_type = realms::load_server_plan_type(sql)?;
        let server = Subject { plan_type, plan: standing(sql, "")?, people: Counted::Missing };
        let decide = |uuid: &Uuid| {
            let realm = realm_subject(sql, (now, fresh_ms), uuid, &uploads)?;
            Ok((uuid.to_string(), decide_permission(&server, realm.as_ref(), self.settings.push.free_users_max)))
        };
        names.iter().map(decide).collect()
    }
}

fn realm_subject(
    sql: &dyn Sql,
    (now, fresh_ms): (Timestamp, u64),
    uuid: &Uuid,
    uploads: &Uploads,
) -> Result<Option<Subject>, Fault> {
    let Some(row) = realms::load(sql, uuid.as_str())? else { return Ok(None) };
    let newest = newest_of(sql, &row)?;
    let told_at = match row.number {
        Some(_) => uploads.last_audit_update,
        // It has moved here, and its server has not said anything of it yet: what the one before said counts.
        None => newest.past.map(|noted| noted.event_time),
    };
    let people = counted(newest.at(now), told_at, now, fresh_ms);
    Ok(Some(Subject { plan_type: row.plan_type, plan: standing(sql, uuid.as_str())?, people }))
}

/// Under which number an organization's people are kept: its own, or one below zero until it has one.
pub(super) fn people_key(row: &RealmRow) -> i64 {
    row.number.unwrap_or_else(|| row.realm_id.saturating_neg())
}

/// What is known of an organization's people.
pub(super) fn newest_of(sql: &dyn Sql, row: &RealmRow) -> Result<Newest, Fault> {
    uploads::load_headcount(sql, people_key(row))
}

fn standing(sql: &dyn Sql, key: &str) -> Result<Option<Standing>, Fault> {
    let live = plans::load_live(sql, key)?;
    Ok(live.map(|live| Standing { status: live.plan.status, next_cycle: next_cycle(&live.plan, live.last_renewal) }))
}
