//! Requests that send: JSON bodies, and what becomes of their payloads.
//!
//! Source: sections 1.10, 1.11, 1.13 and 3.5 of the dialect. `web_payload` and `web_devices` are ours.

use serde_json::Value;

use super::form::{At, parse_body};
use super::provider::{Object, apns, fcm};
use crate::kernel::object::Call;
use crate::kernel::time::Timestamp;
use crate::push::device::{Purpose, Token, TokenClaim, User};
use crate::push::provider::apns::PushType;
use crate::push::provider::fcm::Priority;
use crate::push::provider::web::{self, Urgency};
use crate::push::provider::{Kind, legacy::LegacyError};
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::sealed::TokenId;
use crate::push::uuid::Uuid;
use crate::push::wire::parcel::Parcel;

/// Requests in one sealed notification. Units: elements.
const REQUESTS_MAX: usize = 1_000;

/// How long push services keep a Web Push notification. Units: seconds; a day, as at Apple.
const WEB_TTL_S: u32 = 86_400;

/// A notification for one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The user.
    pub user: User,
    /// The organization.
    pub realm: Option<Uuid>,
    /// What Google's devices get.
    pub gcm_payload: Object,
    /// How.
    pub gcm_options: Object,
    /// What Apple's devices get.
    pub apns_payload: Object,
    /// What Web Push subscriptions get.
    pub web_payload: Object,
    /// Which tokens the server believes in, by kind.
    pub believed: Believed,
}

/// Which tokens a server believes in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Believed {
    /// At Google.
    pub android: Vec<String>,
    /// At Apple.
    pub apple: Vec<String>,
    /// Web Push; nothing when the server does not know the kind.
    pub web: Option<Vec<String>>,
}

/// Reads `push/notify`.
///
/// Errors: section 1.3; [`Refusal::MissingUser`].
pub fn parse_notification(call: &Call) -> Result<Notification, Refusal> {
    let body = parse_body(&call.body)?;
    let request = At::new("request", &body);
    let object = |key: &str| request.member(key)?.map_or_else(|| Ok(Object::new()), |at| at.object().cloned());
    let texts = |key: &str| request.member(key)?.map(|at| at.texts()).transpose();
    let user = parse_user(&request)?;
    let notification = Notification {
        realm: uuid(&request, "realm_uuid")?,
        gcm_payload: object("gcm_payload")?,
        apns_payload: object("apns_payload")?,
        gcm_options: object("gcm_options")?,
        web_payload: object("web_payload")?,
        believed: Believed {
            android: texts("android_devices")?.unwrap_or_default(),
            apple: texts("apple_devices")?.unwrap_or_default(),
            web: texts("web_devices")?,
        },
        user,
    };
    if notification.user.id.is_none() && notification.user.uuid.is_none() {
        return Err(Refusal::MissingUser);
    }
    Ok(notification)
}

fn parse_user(request: &At<'_>) -> Result<User, ParameterError> {
    let id = request.nullable("user_id")?.map(|at| at.integer()).transpose()?;
    Ok(User { id, uuid: uuid(request, "user_uuid")? })
}

fn uuid(request: &At<'_>, key: &str) -> Result<Option<Uuid>, ParameterError> {
    request.nullable(key)?.map(|at| at.uuid()).transpose()
}

impl Notification {
    /// What devices of a kind are sent.
    ///
    /// Errors: [`LegacyError`].
    pub fn parcel(&self, kind: Kind, now: Timestamp) -> Result<Parcel, LegacyError> {
        Ok(match kind {
            Kind::Fcm => Parcel::Fcm(fcm::legacy_notice(&self.gcm_payload, &self.gcm_options)?),
            Kind::Apns => Parcel::Apns(apns::legacy_notice(&self.apns_payload, now)?),
            // A stock server knows nothing of Web Push and sends what it sends to Google.
            Kind::WebPush if self.web_payload.is_empty() => Parcel::Web(web_notice(&self.gcm_payload, Urgency::High)),
            Kind::WebPush => Parcel::Web(web_notice(&self.web_payload, Urgency::High)),
        })
    }
}

fn web_notice(payload: &Object, urgency: Urgency) -> web::Notice {
    let plaintext = Value::Object(payload.clone()).to_string().into_bytes();
    web::Notice { plaintext, ttl_seconds: WEB_TTL_S, urgency: Some(urgency), topic: None }
}

/// A notification by which a user tries one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The user.
    pub user: User,
    /// The organization.
    pub realm: Option<Uuid>,
    /// The device.
    pub token: Token,
    /// What every device gets.
    pub base_payload: Object,
}

/// Reads `push/test_notification`.
///
/// Errors: section 1.3; those of tokens; [`Refusal::BasePayload`].
pub fn parse_trial(call: &Call) -> Result<Trial, Refusal> {
    const KNOWN: [&str; 6] = ["token", "token_kind", "user_id", "user_uuid", "realm_uuid", "base_payload"];
    let body = parse_body(&call.body)?;
    let request = At::new("request", &body);
    request.object()?;
    let token = request.need("token")?.text()?.to_owned();
    let kind = request.need("token_kind")?.integer()?;
    let id = request.need("user_id")?.integer()?;
    let user_uuid = request.need("user_uuid")?.uuid()?;
    let realm = uuid(&request, "realm_uuid")?;
    let base_payload = request.need("base_payload")?.object()?.clone();
    request.only(&KNOWN)?;
    let token = TokenClaim { kind, token, app_id: None }.check(Purpose::Name)?;
    let has = |key: &str| base_payload.get(key).is_some_and(Value::is_string);
    if !has("realm_name") || !(has("realm_url") || has("realm_uri")) {
        return Err(Refusal::BasePayload);
    }
    Ok(Trial { user: User { id: Some(id), uuid: Some(user_uuid) }, realm, token, base_payload })
}

impl Trial {
    /// What the device is sent.
    ///
    /// Errors: [`Refusal::BasePayload`].
    pub fn parcel(&self, now: Timestamp) -> Result<Parcel, Refusal> {
        Ok(match self.token.kind {
            Kind::Fcm => Parcel::Fcm(fcm::test_notice(&self.base_payload, now)),
            Kind::Apns => Parcel::Apns(apns::test_notice(&self.base_payload, now).ok_or(Refusal::BasePayload)?),
            Kind::WebPush => {
                let mut payload = self.base_payload.clone();
                payload.insert(String::from("event"), Value::from("test"));
                Parcel::Web(web_notice(&payload, Urgency::High))
            }
        })
    }
}

/// Notifications that we cannot read, for some devices of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedNotification {
    /// The organization.
    pub realm: Uuid,
    /// One per device.
    pub requests: Vec<SealedRequest>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRequest {
    /// For which device.
    pub target: SealedTarget,
    /// What it is sent.
    pub parcel: Parcel,
}

/// How a server names a sealed device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedTarget {
    /// 12.x: the token's id.
    Token(TokenId),
    /// 11.x: our number.
    Device(i64),
}

/// Reads `push/e2ee/notify` of both dialects.
///
/// Errors: section 1.3.
pub fn parse_sealed_notification(call: &Call) -> Result<SealedNotification, Refusal> {
    let body = parse_body(&call.body)?;
    let request = At::new("request", &body);
    let realm = request.need("realm_uuid")?.uuid()?;
    let list = request.need("push_requests")?;
    let elements = list.list()?;
    if elements.len() > REQUESTS_MAX {
        return Err(ParameterError::TooLong { name: list.place().0.clone(), max: REQUESTS_MAX }.into());
    }
    let requests: Result<Vec<_>, ParameterError> = elements.iter().map(parse_sealed_request).collect();
    Ok(SealedNotification { realm, requests: requests? })
}

fn parse_sealed_request(at: &At<'_>) -> Result<SealedRequest, ParameterError> {
    let target = match (at.member("token_id")?, at.member("device_id")?) {
        (None, Some(device)) => SealedTarget::Device(device.integer()?),
        (Some(token), _) => {
            let format = || ParameterError::Format(token.place().0.clone());
            SealedTarget::Token(TokenId::parse(token.text()?).ok_or_else(format)?)
        }
        (None, None) => SealedTarget::Token(TokenId::parse(at.need("token_id")?.text()?).unwrap_or(TokenId([0; 8]))),
    };
    let payload = at.need("payload")?;
    let sealed = payload.clone();
    let payload = payload.object()?;
    let parcel = if let Some(priority) = at.member("fcm_priority")? {
        let priority = match priority.text()? {
            "high" => Priority::High,
            "normal" => Priority::Normal,
            _ => return Err(ParameterError::NotAllowed(priority.place().0.clone())),
        };
        Parcel::Fcm(fcm::sealed_notice(payload, priority))
    } else {
        let headers = at.need("http_headers")?;
        let priority = headers.need("apns_priority")?;
        let not_allowed = |at: &At<'_>| ParameterError::NotAllowed(at.place().0.clone());
        let level = match priority.integer()? {
            10 => 10,
            5 => 5,
            1 => 1,
            _ => return Err(not_allowed(&priority)),
        };
        let push_type = headers.need("apns_push_type")?;
        let kind = PushType::parse(push_type.text()?).ok_or_else(|| not_allowed(&push_type))?;
        Parcel::Apns(apns::sealed_notice(payload, level, kind))
    };
    check_sealed(&sealed)?;
    Ok(SealedRequest { target, parcel })
}

/// What phones of both dialects need to open a notification.
fn check_sealed(payload: &At<'_>) -> Result<(), ParameterError> {
    let key = match payload.member("push_account_id")? {
        Some(account) => account,
        None => payload.need("push_key_id")?,
    };
    key.integer()?;
    payload.need("encrypted_data")?.text()?;
    Ok(())
}
