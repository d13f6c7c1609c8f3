//! Devices of the legacy path: registered, unregistered one by one or all of a user.

use std::collections::BTreeSet;

use super::RemoteServer;
use super::learn::{Halt, Learned};
use crate::kernel::fault::Fault;
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::kernel::sql::Statement;
use crate::push::device::{ByNumber, Device, Purpose, TOKENS_PER_SERVER_MAX, TOKENS_PER_USER_MAX, TokenHash};
use crate::push::provider::web::{Loopback, Places};
use crate::push::queue::DutyAct;
use crate::push::refusal::Refusal;
use crate::push::store;
use crate::push::wire::answer;
use crate::push::wire::request::{parse_device, parse_user_wish};
use crate::push::wire::service::NameKind;

impl RemoteServer {
    /// Which Web Push endpoints we call.
    pub(super) fn places(&self) -> Places {
        let loopback = if self.settings.dev_mode.is_on() { Loopback::Allowed } else { Loopback::Refused };
        Places { hosts: self.settings.push.web_hosts.clone(), loopback }
    }

    pub(super) fn register_device(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let now = turn.now;
        let wish = parse_device(call, Purpose::Keep, &self.places())?;
        let realm = self.optional_realm(turn, wish.realm.as_ref(), learned)?;
        let hash = TokenHash::of(wish.token.kind, &wish.token.token);
        let rows = store::device::of_user_and_token(turn.sql, &wish.user, hash)?;
        // A row under the number gives way to one under the UUID.
        let has_uuid = wish.user.uuid.is_some();
        let surplus: Vec<i64> =
            rows.iter().filter(|row| has_uuid && row.by_number == ByNumber::Yes).map(|row| row.device_id).collect();
        let is_known = rows.len() > surplus.len();
        let mut batch: Vec<Statement> = surplus.iter().map(|device_id| store::device::remove(*device_id)).collect();
        let mut delta = -i64::try_from(surplus.len()).unwrap_or(0);
        if !is_known {
            let (devices, _) = store::device::counts(turn.sql)?;
            let of_user = store::device::of_user(turn.sql, &wish.user)?.len().saturating_sub(surplus.len());
            if of_user >= TOKENS_PER_USER_MAX || devices >= TOKENS_PER_SERVER_MAX {
                return Err(Refusal::TooManyDevices.into());
            }
            batch.push(store::device::put(&wish.token, &wish.user, realm, now));
            delta += 1;
            if store::device::with_token(turn.sql, hash)?.is_empty() {
                self.owe(turn, NameKind::Token, hash.to_hex(), DutyAct::Confirm, &mut batch)?;
            }
        }
        if delta != 0 {
            batch.push(store::device::add(delta, 0));
        }
        batch.extend(self.see_realm(realm, now));
        let batch = self.touched(batch, now);
        self.commit(turn, batch)?;
        self.note_realm(realm, now);
        Ok(answer::plain(&wish.ignored))
    }

    pub(super) fn unregister_device(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let wish = parse_device(call, Purpose::Name, &self.places())?;
        let realm = self.optional_realm(turn, wish.realm.as_ref(), learned)?;
        let hash = TokenHash::of(wish.token.kind, &wish.token.token);
        let rows = store::device::of_user_and_token(turn.sql, &wish.user, hash)?;
        if rows.is_empty() {
            // The organization was heard of all the same.
            let batch = self.see_realm(realm, turn.now).into_iter().collect();
            self.commit(turn, batch)?;
            self.note_realm(realm, turn.now);
            return Err(Refusal::NoSuchToken.into());
        }
        self.forget_devices(turn, &rows, realm)?;
        Ok(answer::plain(&wish.ignored))
    }

    pub(super) fn unregister_all(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let wish = parse_user_wish(call)?;
        let realm = self.optional_realm(turn, wish.realm.as_ref(), learned)?;
        let rows = store::device::of_user(turn.sql, &wish.user)?;
        self.forget_devices(turn, &rows, realm)?;
        Ok(answer::plain(&wish.ignored))
    }

    /// Removes rows, and tells the directory of the tokens that are with no row any more.
    fn forget_devices(&mut self, turn: &mut Turn<'_>, rows: &[Device], realm: Option<i64>) -> Result<(), Fault> {
        let going: BTreeSet<i64> = rows.iter().map(|row| row.device_id).collect();
        let hashes: BTreeSet<TokenHash> =
            rows.iter().map(|row| TokenHash::of(row.token.kind, &row.token.token)).collect();
        let mut batch: Vec<Statement> = going.iter().map(|device_id| store::device::remove(*device_id)).collect();
        if !going.is_empty() {
            batch.push(store::device::add(-i64::try_from(going.len()).unwrap_or(0), 0));
        }
        for hash in hashes {
            if store::device::with_token(turn.sql, hash)?.iter().all(|device_id| going.contains(device_id)) {
                self.owe(turn, NameKind::Token, hash.to_hex(), DutyAct::Release, &mut batch)?;
            }
        }
        batch.extend(self.see_realm(realm, turn.now));
        let batch = self.touched(batch, turn.now);
        self.commit(turn, batch)?;
        self.note_realm(realm, turn.now);
        Ok(())
    }
}
