//! A server sends an owner of one of its organizations over to us.

use super::event::public_base;
use crate::billing::identity::Identity;
use crate::billing::wire::{answer, request, token};
use crate::kernel::fault::Fault;
use crate::kernel::object::Call;
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::kernel::time::Timestamp;
use crate::push::refusal::Refusal;
use crate::push::uuid::Uuid;
use crate::push::wire::envelope;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOff(request::HandOff);

impl HandOff {
    /// Reads it. The host has authenticated the server.
    ///
    /// Errors: [`Refusal::Parameter`].
    pub fn parse(call: &Call) -> Result<Self, Refusal> {
        Ok(Self(request::parse_hand_off(call)?))
    }

    /// The organization. The host refuses one that it does not know, and one of another server.
    #[must_use]
    pub const fn realm(&self) -> &Uuid {
        &self.0.realm
    }

    /// The answer: a link by which the owner signs in, good for two hours.
    ///
    /// Errors: [`Fault`] never for what was parsed.
    pub fn answer(self, settings: &Settings, call: &Call, server: &Uuid, now: Timestamp) -> Result<Reply, Fault> {
        let (Some(key), Some(browser)) = (&settings.push.transfer_key, &call.browser) else {
            return Ok(envelope::refused(&Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" }));
        };
        let Some(base) = public_base(settings, browser) else {
            return Ok(envelope::refused(&Refusal::NotConfigured { setting: "BILLING_HOST" }));
        };
        let identity = Identity {
            person: self.0.person,
            server: server.clone(),
            realm: self.0.realm,
            user_id: None,
            authenticated_at: now,
            uri_scheme: self.0.uri_scheme,
            next_page: self.0.next_page,
        };
        let token = token::encode_identity(key, &identity)?;
        let url = format!("{base}/remote-billing-login/{token}");
        Ok(answer::access_url(&url, &self.0.ignored))
    }
}
