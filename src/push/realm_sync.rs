//! Organizations as their server reports them: new ones, changed ones, gone ones, and those that are back.
//!
//! Source: section 3.7 of the dialect.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::{Change, Entry, Event, Note, Scope};
use super::tier::PlanType;
use super::uuid::Uuid;
use crate::kernel::time::Timestamp;

/// Organizations of one upload: a server always tells of all of them.
pub const REALMS_PER_UPLOAD_MAX: usize = REALMS_PER_SERVER_MAX;

/// Organizations of one server.
pub const REALMS_PER_SERVER_MAX: usize = 10_000;

/// The longest host, name, address or secret. Units: characters.
pub const TEXT_CHARS_MAX: usize = 1_024;

/// Authentication methods of one organization.
pub const METHODS_MAX: usize = 64;

/// The longest name of a way to log in. Units: characters.
pub const METHOD_CHARS_MAX: usize = 100;

/// The kinds of organization that the dialect knows.
pub const ORG_TYPES: [i64; 13] = [0, 10, 20, 30, 35, 40, 50, 60, 70, 80, 90, 100, 1_000];

/// An empty list counts when another one comes so long after the first, with none between them that was not empty. A
/// single one is how a client's accident looks, and would mark everything deleted. Units: milliseconds; an hour, which is
/// how often clients upload by themselves.
pub const EMPTY_REPEATED_MS: u64 = 3_600_000;

/// A paid organization that goes missing again so soon after the last time alarms nobody: a server whose lists flap would
/// do it with every upload. Units: milliseconds; a day.
pub const LOSS_QUIET_MS: u64 = 24 * 3_600_000;

/// What a server says of an organization, as far as it may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct Profile {
    pub host: String,
    pub org_type: i64,
    pub name: String,
    pub authentication_methods: BTreeMap<String, bool>,
    pub realm_deactivated: bool,
    pub is_system_bot_realm: bool,
    /// For a public directory of communities, if it wants to be in it.
    pub listing: Option<Listing>,
}

/// What a directory would show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the dialect's")]
pub struct Listing {
    pub description: String,
    pub icon_url: String,
    pub invite_required: bool,
    pub emails_restricted_to_domains: bool,
    pub has_web_public_streams: bool,
    pub is_demo_organization: bool,
}

impl Default for Listing {
    /// That of an organization which never wished for one.
    fn default() -> Self {
        Self {
            description: String::new(),
            icon_url: String::new(),
            invite_required: true,
            emails_restricted_to_domains: false,
            has_web_public_streams: false,
            is_demo_organization: false,
        }
    }
}

impl Profile {
    /// Names and values in the order in which changes are noted.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, Note)> {
        let listing = self.listing.clone().unwrap_or_default();
        vec![
            ("host", Note::from(self.host.as_str())),
            ("org_type", Note::Number(self.org_type)),
            ("name", Note::from(self.name.as_str())),
            ("authentication_methods", Note::Flags(self.authentication_methods.clone())),
            ("realm_deactivated", Note::from(self.realm_deactivated)),
            ("is_system_bot_realm", Note::from(self.is_system_bot_realm)),
            ("asks_to_advertise_in_communities_directory", Note::from(self.listing.is_some())),
            ("description", Note::from(listing.description.as_str())),
            ("icon_url", Note::from(listing.icon_url.as_str())),
            ("invite_required", Note::from(listing.invite_required)),
            ("emails_restricted_to_domains", Note::from(listing.emails_restricted_to_domains)),
            ("has_web_public_streams", Note::from(listing.has_web_public_streams)),
            ("is_demo_organization", Note::from(listing.is_demo_organization)),
        ]
    }

    /// Whether people use it: what a server's only organization must be to take over the server's plan.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        !self.realm_deactivated && !self.is_system_bot_realm && !self.host.starts_with("zulipinternal.")
    }
}

/// An organization of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmReport {
    /// Its name for ever.
    pub uuid: Uuid,
    /// Its number on its server, which audit rows and counts use.
    pub number: i64,
    /// The hash of the secret by which its owner can prove that it is theirs.
    pub owner_secret: [u8; 32],
    /// Since when it exists there.
    pub date_created: Timestamp,
    /// The rest. The listing is nothing when the server said nothing of it.
    pub profile: Profile,
    /// Whether the server said anything of a listing.
    pub listing: ListingSaid,
}

/// Whether a server said anything of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ListingSaid {
    Yes,
    No,
}

/// An organization as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRealm {
    /// Its row.
    pub realm_id: i64,
    /// Its name.
    pub uuid: Uuid,
    /// Its number on its server.
    pub number: Option<i64>,
    /// What its server said last.
    pub profile: Profile,
    /// Whether it is missing from what its server reports.
    pub locally_deleted: bool,
    /// When it was last found missing.
    pub lost_at: Option<Timestamp>,
    /// What it may use.
    pub plan_type: PlanType,
}

/// What will be true of a known organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmUpdate {
    /// Its row.
    pub realm_id: i64,
    /// Its number from now on.
    pub number: Option<i64>,
    /// Its profile from now on.
    pub profile: Profile,
    /// Whether it is still reported.
    pub presence: Presence,
}

/// Whether a server still reports an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Reported,
    /// It does not.
    Missing,
}

/// What an upload's list of organizations changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// Organizations that nobody knew.
    pub added: Vec<RealmReport>,
    /// Organizations that are not as they were.
    pub updated: Vec<RealmUpdate>,
    /// What is noted, in order.
    pub entries: Vec<Entry>,
    /// Since when only empty lists have come.
    pub empty_since: Option<Timestamp>,
    /// Paid organizations that have just gone missing, for the first time in [`LOSS_QUIET_MS`].
    pub paid_gone: Vec<Uuid>,
}

/// Why a list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncError {
    /// The same name twice.
    Duplicate,
    /// More than a server may have.
    TooMany,
}

/// Decides what a list changes. Names that other servers hold were refused before.
///
/// Errors: [`SyncError`].
pub fn decide_sync(
    now: Timestamp,
    known: Vec<KnownRealm>,
    reports: Vec<RealmReport>,
    empty_since: Option<Timestamp>,
) -> Result<SyncPlan, SyncError> {
    let names: BTreeSet<&Uuid> = reports.iter().map(|report| &report.uuid).collect();
    if names.len() < reports.len() {
        return Err(SyncError::Duplicate);
    }
    let mut plan = SyncPlan::default();
    if reports.is_empty() {
        plan.empty_since = Some(empty_since.unwrap_or(now));
        let is_repeated = empty_since.is_some_and(|first| now.since(first) >= EMPTY_REPEATED_MS);
        if !is_repeated {
            return Ok(plan);
        }
    }
    let mut known: BTreeMap<Uuid, KnownRealm> = known.into_iter().map(|realm| (realm.uuid.clone(), realm)).collect();
    let mut total = known.len();
    for report in reports {
        match known.remove(&report.uuid) {
            Some(realm) => compare(&mut plan, realm, report),
            None => {
                total += 1;
                plan.added.push(report);
            }
        }
    }
    if total > REALMS_PER_SERVER_MAX {
        return Err(SyncError::TooMany);
    }
    known.into_values().filter(|realm| !realm.locally_deleted).for_each(|realm| lose(&mut plan, realm, now));
    Ok(plan)
}

fn compare(plan: &mut SyncPlan, realm: KnownRealm, report: RealmReport) {
    let mut profile = report.profile;
    if report.listing == ListingSaid::No {
        profile.listing.clone_from(&realm.profile.listing);
    }
    let scope = Scope::Realm { uuid: realm.uuid, number: Some(report.number) };
    for ((name, old), (_, new)) in realm.profile.attributes().into_iter().zip(profile.attributes()) {
        if old != new {
            let change = Change::Attribute { name, old, new };
            plan.entries.push(Entry { scope: scope.clone(), event: Event::ValueUpdated, change });
        }
    }
    if realm.locally_deleted {
        plan.entries.push(Entry::plain(scope, Event::Restored));
    }
    if realm.locally_deleted || profile != realm.profile || realm.number != Some(report.number) {
        let number = Some(report.number);
        plan.updated.push(RealmUpdate { realm_id: realm.realm_id, number, profile, presence: Presence::Reported });
    }
}

fn lose(plan: &mut SyncPlan, realm: KnownRealm, now: Timestamp) {
    let scope = Scope::Realm { uuid: realm.uuid.clone(), number: None };
    plan.entries.push(Entry::plain(scope, Event::LocallyDeleted));
    let is_news = realm.lost_at.is_none_or(|at| now.since(at) >= LOSS_QUIET_MS);
    if realm.plan_type.is_paid() && is_news {
        plan.paid_gone.push(realm.uuid);
    }
    plan.updated.push(RealmUpdate {
        realm_id: realm.realm_id,
        number: realm.number,
        profile: realm.profile,
        presence: Presence::Missing,
    });
}
