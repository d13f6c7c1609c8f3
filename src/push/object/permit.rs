//! The facts of the one decision whether a request may push.

use std::collections::BTreeMap;

use super::RemoteServer;
use super::learn::Halt;
use crate::kernel::fault::Fault;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;
use crate::push::cycle::next_cycle;
use crate::push::headcount::{Counted, Headcount, Newest, Total, counted};
use crate::push::permission::{Permission, Push, Standing, Subject, decide_permission};
use crate::push::plan::LivePlan;
use crate::push::refusal::Refusal;
use crate::push::store::realms::{RealmRow, RealmStand};
use crate::push::store::uploads::Uploads;
use crate::push::store::{self, headcounts, plans, realms, uploads};
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
        let total = Total::of(&headcounts::load_numbers(sql)?, now);
        self.total.set(Some(total));
        Ok(total.people)
    }

    /// The decisions for organizations of this server, all of which are read at once.
    pub(super) fn permissions(
        &self,
        sql: &dyn Sql,
        now: Timestamp,
        names: &[Uuid],
    ) -> Result<Vec<(String, Permission)>, Fault> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let fresh_ms = self.settings.push.server_data_max_age_ms;
        let uploads = uploads::load_uploads(sql)?;
        let stands = realms::load_stands(sql)?;
        let mut people = headcounts::load_realms(sql)?;
        let live: BTreeMap<String, LivePlan> = plans::load_all_live(sql)?.into_iter().collect();
        let plan = |key: &str| live.get(key).map(standing_of);
        let plan_type = realms::load_server_plan_type(sql)?;
        let server = Subject { plan_type, plan: plan(""), people: Counted::Missing };
        let mut decide = |uuid: &Uuid| {
            let realm = stands.get(uuid.as_str()).map(|stand| {
                let newest = people.remove(&stand.realm_id).unwrap_or_default();
                let people = people_of(*stand, &newest, (now, fresh_ms), &uploads);
                Subject { plan_type: stand.plan_type, plan: plan(uuid.as_str()), people }
            });
            (uuid.to_string(), decide_permission(&server, realm.as_ref(), self.settings.push.free_users_max))
        };
        Ok(names.iter().map(&mut decide).collect())
    }
}

fn realm_subject(
    sql: &dyn Sql,
    clock: (Timestamp, u64),
    uuid: &Uuid,
    uploads: &Uploads,
) -> Result<Option<Subject>, Fault> {
    let Some(row) = realms::load(sql, uuid.as_str())? else { return Ok(None) };
    let people = people_of(RealmStand::from(&row), &newest_of(sql, &row)?, clock, uploads);
    Ok(Some(Subject { plan_type: row.plan_type, plan: standing(sql, uuid.as_str())?, people }))
}

/// What an organization's people are believed to be.
fn people_of(stand: RealmStand, newest: &Newest, (now, fresh_ms): (Timestamp, u64), uploads: &Uploads) -> Counted {
    let told_at = if stand.is_numbered {
        uploads.last_audit_update
    } else {
        // It has moved here, and its server has not said anything of it yet: what the one before said counts.
        newest.past.map(|noted| noted.event_time)
    };
    counted(newest.at(now), told_at, now, fresh_ms)
}

/// What is known of an organization's people.
pub(super) fn newest_of(sql: &dyn Sql, row: &RealmRow) -> Result<Newest, Fault> {
    headcounts::load_realm(sql, row.realm_id)
}

fn standing(sql: &dyn Sql, key: &str) -> Result<Option<Standing>, Fault> {
    Ok(plans::load_live(sql, key)?.as_ref().map(standing_of))
}

fn standing_of(live: &LivePlan) -> Standing {
    Standing { status: live.plan.status, next_cycle: next_cycle(&live.plan, live.last_renewal) }
}
