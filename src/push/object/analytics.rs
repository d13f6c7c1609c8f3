//! The upload of organizations. Each uuid is reserved in the directory before it is used here.

use super::RemoteServer;
use super::learn::{Halt, Learned};
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::push::permission::decide_permission;
use crate::push::queue::DutyAct;
use crate::push::realm::{REALMS_PER_SERVER_MAX, RealmClaim};
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::store;
use crate::push::wire::analytics::parse_upload;
use crate::push::wire::answer;
use crate::push::wire::service::{Name, NameKind};

impl RemoteServer {
    pub(super) fn upload(&mut self, turn: &mut Turn<'_>, call: &Call, learned: &Learned) -> Result<Reply, Halt> {
        let now = turn.now;
        let upload = parse_upload(call)?;
        let realms = upload.realms.unwrap_or_default();
        let mut batch = Vec::new();
        let mut newcomers: Vec<&RealmClaim> = Vec::new();
        for realm in &realms {
            let is_known = store::server::load_realm(turn.sql, &realm.uuid)?.is_some();
            if !is_known && !newcomers.iter().any(|known| known.uuid == realm.uuid) {
                newcomers.push(realm);
            }
            batch.push(store::server::put_realm(realm, now));
        }
        let count = store::server::count_realms(turn.sql)? + newcomers.len() as u64;
        if count > REALMS_PER_SERVER_MAX {
            let max = usize::try_from(REALMS_PER_SERVER_MAX).unwrap_or(usize::MAX);
            return Err(Refusal::Parameter(ParameterError::TooLong { name: String::from("realms"), max }).into());
        }
        for realm in &newcomers {
            let name = Name { kind: NameKind::Realm, name: realm.uuid.to_string() };
            if !learned.claim(&name)? {
                return Err(Refusal::DuplicateRealm.into());
            }
        }
        for realm in &newcomers {
            self.owe(turn, NameKind::Realm, realm.uuid.to_string(), DutyAct::Confirm, &mut batch)?;
            self.strangers.remove(&realm.uuid);
        }
        let batch = self.touched(batch, now);
        self.commit(turn, batch)?;
        let answers: Vec<_> = realms.iter().map(|realm| (realm.uuid.to_string(), decide_permission())).collect();
        Ok(answer::realms(&answers, &upload.ignored))
    }
}
