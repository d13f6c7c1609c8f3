//! Devices whose registration was sealed: registered, unregistered.

use super::RemoteServer;
use super::learn::{Halt, Learned};
use crate::kernel::object::{Call, Turn};
use crate::kernel::reply::Reply;
use crate::push::device::{TOKENS_PER_SERVER_MAX, Token};
use crate::push::provider::Kind;
use crate::push::refusal::Refusal;
use crate::push::sealed::{Registration, SealedError, Target, TokenId};
use crate::push::sealed_device::SealedName;
use crate::push::store;
use crate::push::wire::answer;
use crate::push::wire::provider::sealed::{Submission, open};
use crate::push::wire::request::{parse_farewell, parse_sealed};

impl From<SealedError> for Refusal {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::UnknownKey => Self::SealedKey,
            SealedError::Invalid => Self::Sealed,
            SealedError::Expired => Self::SealedExpired,
        }
    }
}

fn token_of(registration: Registration) -> Token {
    let (kind, app_id) = match registration.target {
        Target::Apns { app_id } => (Kind::Apns, Some(app_id)),
        Target::Fcm => (Kind::Fcm, None),
    };
    Token { kind, token: registration.token, app_id }
}

impl RemoteServer {
    pub(super) fn register_sealed(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let now = turn.now;
        let wish = parse_sealed(call)?;
        if self.courier.registration_keys.is_empty() {
            return Err(Refusal::NotConfigured { setting: "PUSH_REGISTRATION_KEYS" }.into());
        }
        let realm = self.required_realm(turn, &wish.realm, learned)?;
        let submission = Submission {
            bouncer_public_key: &wish.public_key,
            encrypted_push_registration: &wish.sealed,
            token_id: wish.token_id.as_deref(),
        };
        let token = token_of(open(&self.courier.registration_keys, submission, now)?);
        let name = wish.account.map_or_else(|| SealedName::Token(TokenId::of(&token.token)), SealedName::Account);
        let known = store::sealed::by_name(turn.sql, realm, name, store::sealed::sealed_hash(&token))?;
        let (device_id, batch) = match known {
            // A phone that registers again is alive, whatever the provider said before.
            Some(device) if device.expired_at.is_some() => {
                (device.device_id, vec![store::sealed::revive(device.device_id, &token, now)])
            }
            Some(device) => (device.device_id, Vec::new()),
            None => {
                let (_, sealed) = store::device::counts(turn.sql)?;
                if sealed >= TOKENS_PER_SERVER_MAX {
                    return Err(Refusal::TooManyDevices.into());
                }
                let device_id = store::sealed::last_id(turn.sql)? + 1;
                (device_id, store::sealed::put(device_id, realm, name, &token, now).to_vec())
            }
        };
        let mut batch = self.touched(batch, now);
        batch.extend(self.see_realm(Some(realm), now));
        self.commit(turn, batch)?;
        self.note_realm(Some(realm), now);
        Ok(match name {
            SealedName::Token(_) => answer::plain(&wish.ignored),
            SealedName::Account(_) => answer::with("device_id", device_id, &wish.ignored),
        })
    }

    pub(super) fn unregister_sealed(
        &mut self,
        turn: &mut Turn<'_>,
        call: &Call,
        learned: &Learned,
    ) -> Result<Reply, Halt> {
        let wish = parse_farewell(call)?;
        let realm = self.required_realm(turn, &wish.realm, learned)?;
        let device = match (wish.token_id, wish.device_id) {
            (Some(token_id), _) => store::sealed::by_token(turn.sql, realm, token_id)?,
            (None, Some(device_id)) => store::sealed::by_device(turn.sql, realm, device_id)?,
            (None, None) => None,
        };
        let Some(device) = device else { return Err(Refusal::NoSuchToken.into()) };
        let batch = vec![store::sealed::remove(device.device_id), store::device::add(0, -1)];
        let mut batch = self.touched(batch, turn.now);
        batch.extend(self.see_realm(Some(realm), turn.now));
        self.commit(turn, batch)?;
        self.note_realm(Some(realm), turn.now);
        Ok(answer::plain(&wish.ignored))
    }
}
