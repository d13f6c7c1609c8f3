//! Push: self-hosted servers deliver notifications to their users' phones through this service.
//!
//! The service speaks the bouncer dialect of Zulip's remote servers, so that a stock server uses it by setting one URL.
//!
//! # Routes, all under `/api/v1/remotes/`
//!
//! | route | what |
//! | --- | --- |
//! | `POST server/register` | a server says who it is; again to update itself or to rotate its key |
//! | `POST server/register/transfer`, `…/verify_challenge` | a server that lost its key proves its host name over HTTPS |
//! | `POST server/deactivate` | a server signs off |
//! | `POST push/register`, `push/unregister`, `push/unregister/all` | devices whose tokens we see; Web Push is kind 3 |
//! | `POST push/notify`, `push/test_notification` | notifications that we could read |
//! | `POST push/e2ee/register`, `push/e2ee/unregister` | devices that sealed their token for us |
//! | `POST push/e2ee/notify` | notifications that we cannot read |
//! | `GET push/e2ee/public_keys` | the keys to seal for, and for Web Push subscriptions |
//! | `POST server/analytics`, `GET server/analytics/status` | organizations, counts and audit rows; how far they are |
//! | `POST server/billing` | a link with which an owner signs in to our pages ([`crate::billing`]) |
//!
//! Operators' routes are under `/v1/push/`: [`role::NEEDED`] says who may do what.
//!
//! # Where the state lives
//!
//! One `RemoteServer` object per server, named by its uuid: its keys' hashes, organizations, devices, and the queue of what no
//! provider has taken yet. Sixteen `PushDirectory` objects, sharded by the hash of kind and name ([`directory::shard`]): who
//! holds a host name, an organization or a token's hash, and what each client network has used up. Two more objects of that
//! class: `index`, rows per server and per organization for operators' lists, told by the servers themselves in small pieces,
//! and `operators`, the hashes of operators' tokens.
//!
//! # Invariants
//!
//! - A notification is a row before it is sent and until a provider has answered. A crash repeats what was under way and loses
//!   nothing; a provider that fails is tried again for an hour.
//! - A server sees and touches only its own rows. What a provider says of a token reaches other servers only as far as they
//!   registered the same token for the same app, and no answer tells that they did.
//! - Whoever was never registered leaves no row and no alarm.
//! - A name is reserved before it is used. A reservation without an answer is settled by asking the server that made it, and a
//!   server whose call still waits uses the names that the call was given. Whoever confirms in vain gives way.
//! - An organization moves in steps that are asked for until they are answered ([`relocation`]): taken in, let go, renamed.
//!   Moves have numbers, and what is late changes nothing. What happened to it before stays with the old server, whose audit
//!   and invoices operators read with `realm=`, also after that server was removed; where nobody holds an organization any
//!   more, its own audit and invoices routes still lead there.
//! - Keys are kept as hashes; a new key is shown once.
//! - Whether a request may push is decided in one place, [`permission`].
//! - One upload is one transaction with a high-water mark per table ([`upload`]): of twenty at once none is lost or doubled. An
//!   empty list of organizations deletes nothing unless it is repeated an hour later ([`realm_sync`]).
//! - Uploaded rows age from their own times, and from when they came if they are dated more than a day ahead; they are bounded
//!   by age, rows and bytes, and the oldest go ([`retention`]). A row from the future shuts no ledger ([`upload`]).
//! - Audit entries of ours are added and never changed or removed, which the database itself sees to; every change of a plan is
//!   one, with its old and new value.
//! - A customer has at most one live plan; the database itself refuses a second. What is billed when stands in [`book`].

pub mod audit;
pub mod book;
pub mod contact;
pub mod count;
pub mod credential;
pub mod cycle;
pub mod device;
pub mod directory;
pub mod headcount;
pub mod hostname;
pub mod ledger;
pub mod object;
pub mod operate;
pub mod owner;
pub mod permission;
pub mod plan;
pub mod plan_move;
pub mod plan_note;
pub mod plan_wish;
pub mod price;
pub mod provider;
pub mod queue;
pub mod rate;
pub mod realm;
pub mod realm_sync;
pub mod refusal;
pub mod registration;
pub mod relocation;
pub mod retention;
pub mod role;
pub mod sealed;
pub mod sealed_device;
pub mod store;
pub mod tier;
pub mod transfer;
pub mod upload;
pub mod uuid;
pub mod webhook;
pub mod wire;

use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use credential::parse_basic;
use directory::shard;
pub use object::door;
pub use object::{DIRECTORY_MIGRATIONS, MIGRATIONS, PushDirectory, RemoteServer};
use operate::OperationError;
use refusal::Refusal;
use uuid::Uuid;
use wire::request::{parse_challenge, parse_registration, parse_transfer};
use wire::service::NameKind;
use wire::{answer, envelope};

/// Operators' operations whose first parameter is an organization, wherever it is.
const fn is_realms(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::OperatorRealm
            | Operation::OperatorRealmPlan
            | Operation::OperatorRealmMove
            | Operation::OperatorRealmDeactivate
            | Operation::OperatorRealmReactivate
            | Operation::OperatorRealmAudit
            | Operation::OperatorRealmCounts
            | Operation::OperatorRealmInvoices
    )
}

/// The refusal of a form whose field `method` stands for another method than the operation has: it overrides that of the
/// request. Source: `push-bouncer` 1.2.
fn overridden(call: &Call) -> Option<Reply> {
    if call.body.is_empty() || role::needed(call.operation).is_some() {
        return None;
    }
    let form = wire::form::Form::of(call);
    let wanted = form.get("method")?.to_ascii_uppercase();
    let allowed: &[&str] = match call.operation {
        Operation::PushTransferVerify => &["GET", "HEAD", "POST"],
        Operation::PushAnalyticsStatus | Operation::PushPublicKeys => &["GET", "HEAD"],
        _ => &["POST"],
    };
    (!allowed.contains(&wanted.as_str())).then(|| envelope::method_not_allowed(allowed))
}

/// The object that a call from outside goes to, or its answer where no object is needed: refusals that need no storage, and
/// the public keys.
///
/// Errors: the answer.
pub fn address(settings: &Settings, call: &Call) -> Result<(Class, String), Reply> {
    if let Some(refusal) = overridden(call) {
        return Err(refusal);
    }
    let refused = |refusal: Refusal| envelope::refused(&refusal);
    let directory = |kind: NameKind, name: &str| (Class::PushDirectory, shard(kind.word(), name));
    match call.operation {
        Operation::PushPublicKeys => {
            let keys: Vec<String> = settings.push.registration_keys.iter().map(|key| key.public.clone()).collect();
            Err(answer::public_keys(&keys, object::vapid_public_key(settings)))
        }
        Operation::PushServerRegister => {
            let registration = parse_registration(call).map_err(refused)?;
            Ok((Class::RemoteServer, registration.uuid.to_string()))
        }
        // By the client's network, whose quota is kept there.
        Operation::PushTransferBegin if settings.push.transfer_key.is_some() => {
            parse_transfer(call).map_err(refused)?;
            Ok(directory(NameKind::Network, call.client.as_str()))
        }
        // All in one object, which counts them.
        Operation::PushTransferVerify if settings.push.transfer_key.is_some() => {
            parse_challenge(call).map_err(refused)?;
            Ok(directory(NameKind::Common, "transfers"))
        }
        Operation::PushTransferBegin | Operation::PushTransferVerify => {
            Err(refused(Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" }))
        }
        Operation::OperatorServers | Operation::OperatorMetrics => Ok((Class::PushDirectory, object::INDEX.to_owned())),
        Operation::OperatorTokenCreate | Operation::OperatorTokens | Operation::OperatorTokenRevoke => {
            Ok((Class::PushDirectory, object::door::OPERATORS.to_owned()))
        }
        operation if operation == Operation::PushBillingEvent || role::needed(operation).is_some() => {
            let unknown = |error| wire::operator::refused(&Refusal::Operation(error), &call.request_id);
            let uuid = call.params.first().and_then(|text| Uuid::parse(text));
            match (uuid, is_realms(operation)) {
                (Some(uuid), true) => Ok(directory(NameKind::Realm, uuid.as_str())),
                (Some(uuid), false) => Ok((Class::RemoteServer, uuid.to_string())),
                (None, true) => Err(unknown(OperationError::NoRealm)),
                (None, false) => Err(unknown(OperationError::NoServer)),
            }
        }
        _ => {
            let uncached = |refusal: Refusal| envelope::uncached(refused(refusal));
            let credentials = parse_basic(call.authorization.as_deref()).map_err(uncached)?;
            let uuid =
                credentials.uuid.ok_or_else(|| uncached(Refusal::NotRegistered { username: credentials.username }))?;
            Ok((Class::RemoteServer, uuid.to_string()))
        }
    }
}
