//! Which room lives behind which class.

use std::rc::Rc;

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::object::{Object, Restored};
use crate::kernel::operation::Class;
use crate::kernel::settings::Settings;
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;

/// The schema of a class.
pub(super) const fn migrations(class: Class) -> &'static [Migration] {
    match class {
        Class::SignalingRoom => crate::signaling::object::MIGRATIONS,
        Class::ServerRegistry => crate::bootstrap::MIGRATIONS,
        Class::RelayRegistry => crate::relay::MIGRATIONS,
        Class::AttestationRegistry => crate::attestation::MIGRATIONS,
        Class::ReferenceStore => crate::attestation::BUILD_MIGRATIONS,
        Class::PartyRoom => crate::parties::object::party::MIGRATIONS,
        Class::PartyIdentities => crate::parties::PartyIdentities::MIGRATIONS,
        Class::PartyDirectory => crate::parties::PartyDirectory::MIGRATIONS,
        Class::PartyGateway => crate::parties::PartyGateway::MIGRATIONS,
        Class::RemoteServer | Class::PushDirectory => &[],
    }
}

/// Brings an object to life from what was kept.
pub(super) fn load(
    class: Class,
    settings: Rc<Settings>,
    sql: &dyn Sql,
    now: Timestamp,
    restored: Vec<Restored>,
) -> Result<Box<dyn Object>, Fault> {
    Ok(match class {
        Class::SignalingRoom => Box::new(crate::signaling::object::SignalingRoom::load(settings, sql, now, restored)?),
        Class::ServerRegistry => Box::new(crate::bootstrap::ServerRegistry::load(settings, sql, now, restored)?),
        Class::RelayRegistry => Box::new(crate::relay::RelayRegistry::load(settings, sql, now, restored)?),
        Class::AttestationRegistry => {
            Box::new(crate::attestation::AttestationRegistry::load(settings, sql, now, restored)?)
        }
        Class::ReferenceStore => Box::new(crate::attestation::ReferenceStore::load(settings, sql, now, restored)?),
        Class::PartyRoom => Box::new(crate::parties::PartyRoom::load(settings, sql, now, restored)?),
        Class::PartyIdentities => Box::new(crate::parties::PartyIdentities::load(settings, sql, now, restored)?),
        Class::PartyDirectory => Box::new(crate::parties::PartyDirectory::load(settings, sql, now, restored)?),
        Class::PartyGateway => Box::new(crate::parties::PartyGateway::load(settings, sql, now, restored)?),
        Class::RemoteServer | Class::PushDirectory => return Err(Fault::Setting(String::from("not built"))),
    })
}
