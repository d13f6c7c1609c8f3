//! Whose rows are whose: uploaded rows name organizations by numbers, and belong to the organizations.

use std::collections::BTreeMap;

use super::RemoteServer;
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::realm_sync::{Presence, SyncPlan};
use crate::push::store::links::{self, Owed};
use crate::push::store::realms;

/// Rows of each table that one event gives to organizations; the others follow with the alarm.
const GIVEN_MAX: u64 = 5_000;

/// Organizations that the alarm looks at.
const OWED_MAX: u64 = 100;

/// A row that is after all others.
const ALL: i64 = SAFE_INTEGER_MAX.cast_signed();

/// How soon the alarm goes on.
const PAUSE_MS: u64 = 1_000;

/// Whose the numbers of an upload are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Owners {
    /// The organization's row of each number.
    pub(super) of: BTreeMap<i64, i64>,
    /// Numbers that were nobody's before.
    pub(super) new: Vec<(i64, i64)>,
    /// The row of the first organization that is added; the others follow.
    pub(super) first: i64,
}

impl Owners {
    /// What an upload's list of organizations makes of them.
    pub(super) fn load(sql: &dyn Sql, plan: Option<&SyncPlan>) -> Result<Self, Fault> {
        let before = realms::load_numbers(sql)?;
        let mut of = before.clone();
        let first = realms::last_id(sql)? + 1;
        if let Some(plan) = plan {
            let updated = plan.updated.iter().filter(|update| update.presence == Presence::Reported);
            for (realm_id, number) in updated.filter_map(|update| Some((update.realm_id, update.number?))) {
                if of.get(&number) != Some(&realm_id) {
                    of.retain(|_, owner| *owner != realm_id);
                    of.insert(number, realm_id);
                }
            }
            of.extend((first..).zip(&plan.added).map(|(realm_id, report)| (report.number, realm_id)));
        }
        let new = of.iter().filter(|(number, _)| !before.contains_key(number));
        let new = new.map(|(number, realm_id)| (*number, *realm_id)).collect();
        Ok(Self { of, new, first })
    }
}

impl RemoteServer {
    /// Gives rows that were nobody's to the organizations that have got their numbers, after those to whom some are owed
    /// from before. What is too much for now is owed.
    pub(super) fn give_rows(&self, sql: &dyn Sql, owners: &Owners, batch: &mut Vec<Statement>) -> Result<(), Fault> {
        let mut left = self.give_owed(sql, batch)?;
        let numbers: Vec<i64> = owners.new.iter().map(|(number, _)| *number).collect();
        for number in links::loose(sql, &numbers)? {
            let Some(realm_id) = owners.of.get(&number).copied() else { continue };
            let all = Owed { link_id: 0, number, realm_id, counts_to: ALL, audit_to: ALL };
            let given = if left > 0 { links::give(sql, &all, left, batch)? } else { left };
            if given >= left {
                batch.push(links::owe(number, realm_id));
            }
            left = left.saturating_sub(given);
        }
        Ok(())
    }

    /// Goes on giving rows away, and says how many more may be given in this event.
    pub(super) fn give_owed(&self, sql: &dyn Sql, batch: &mut Vec<Statement>) -> Result<u64, Fault> {
        let mut left = self.limits.swept_rows.min(GIVEN_MAX);
        for owed in links::owed(sql, OWED_MAX)? {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(links::give(sql, &owed, left, batch)?);
        }
        Ok(left)
    }

    /// When the alarm goes on giving rows away.
    pub(super) fn refresh_links(&mut self, sql: &dyn Sql, now: Timestamp) -> Result<(), Fault> {
        let again = self.give_at.filter(|at| *at > now).unwrap_or(now.plus(PAUSE_MS));
        self.give_at = links::any(sql)?.then_some(again);
        Ok(())
    }
}
