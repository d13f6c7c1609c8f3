//! Requests with forms: what they ask for. Parameters are read in the documented order, because only the first problem is
//! told.

use super::form::{At, Form, check_app_id, check_length, check_longest};
use crate::kernel::object::Call;
use crate::push::contact::check_address;
use crate::push::credential::KEY_CHARS;
use crate::push::device::{Purpose, Token, TokenClaim, User};
use crate::push::hostname::{HOSTNAME_CHARS_MAX, check_hostname};
use crate::push::provider::Kind;
use crate::push::provider::web::{Places, admit};
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::sealed::TokenId;
use crate::push::uuid::Uuid;
use crate::push::wire::provider::web::parse_subscription;

use crate::kernel::secret::Secret;

/// A registration, checked as far as needs no asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The server.
    pub uuid: Uuid,
    /// Its key.
    pub key: Secret,
    /// Its host name as it was given.
    pub hostname: String,
    /// Whom to write to.
    pub email: String,
    /// The domain of the address.
    pub domain: String,
    /// The key from now on.
    pub new_key: Option<Secret>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `server/register`.
///
/// Errors: section 1.6, up to the UUID.
pub fn parse_registration(call: &Call) -> Result<Registration, Refusal> {
    const KNOWN: [&str; 5] = ["zulip_org_id", "zulip_org_key", "hostname", "contact_email", "new_org_key"];
    let form = Form::of(call);
    let id = form.need("zulip_org_id")?;
    check_length("zulip_org_id", id, 36)?;
    let key = form.need("zulip_org_key")?;
    check_length("zulip_org_key", key, KEY_CHARS)?;
    let hostname = form.need("hostname")?;
    check_longest("hostname", hostname, HOSTNAME_CHARS_MAX)?;
    let email = form.need("contact_email")?;
    let new_key = form.get("new_org_key");
    new_key.map_or(Ok(()), |key| check_length("new_org_key", key, KEY_CHARS))?;
    check_hostname(hostname)?;
    let domain = check_address(email).map_err(Refusal::Email)?;
    Ok(Registration {
        uuid: Uuid::parse_v4(id).ok_or(Refusal::InvalidUuid)?,
        key: Secret::new(key.to_owned()),
        hostname: hostname.to_owned(),
        email: email.to_owned(),
        domain,
        new_key: new_key.map(|key| Secret::new(key.to_owned())),
        ignored: form.ignored(&KNOWN),
    })
}

/// A wish to take a registration over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The host name in the form by which hosts are compared.
    pub hostname: String,
    /// The same as it was given.
    pub spelling: String,
    /// Where the host shows the secret; only in the second step.
    pub access_token: Option<String>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `server/register/transfer`.
///
/// Errors: those of the host name.
pub fn parse_transfer(call: &Call) -> Result<Transfer, Refusal> {
    let form = Form::of(call);
    let spelling = form.need("hostname")?.to_owned();
    check_longest("hostname", &spelling, HOSTNAME_CHARS_MAX)?;
    let hostname = check_hostname(&spelling)?;
    Ok(Transfer { hostname, spelling, access_token: None, ignored: form.ignored(&["hostname"]) })
}

/// Reads `server/register/verify_challenge`.
///
/// Errors: those of the host name and of the access token.
pub fn parse_challenge(call: &Call) -> Result<Transfer, Refusal> {
    let form = Form::of(call);
    let hostname = form.need("hostname")?;
    let access_token = form.need("access_token")?;
    let fits = !access_token.is_empty()
        && access_token.len() <= 256
        && access_token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !fits {
        return Err(ParameterError::Format(String::from("access_token")).into());
    }
    // A name that nobody can register is registered by nobody.
    let spelling = hostname.to_owned();
    let hostname = check_hostname(hostname).map_err(|_| Refusal::RegistrationNotFound)?;
    let access_token = Some(access_token.to_owned());
    Ok(Transfer { hostname, spelling, access_token, ignored: form.ignored(&["hostname", "access_token"]) })
}

/// A device token and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceWish {
    /// The user.
    pub user: User,
    /// The organization.
    pub realm: Option<Uuid>,
    /// The token.
    pub token: Token,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `push/register`, and `push/unregister`, which names a token only.
///
/// Errors: section 1.9.
pub fn parse_device(call: &Call, purpose: Purpose, places: &Places) -> Result<DeviceWish, Refusal> {
    const KNOWN: [&str; 6] = ["user_id", "user_uuid", "realm_uuid", "token", "token_kind", "ios_app_id"];
    let form = Form::of(call);
    let (user, realm) = parse_user(&form)?;
    let token = form.need("token")?.to_owned();
    let kind = form.need_json("token_kind")?;
    let kind = At::new("token_kind", &kind).integer()?;
    let app_id = form.get("ios_app_id").filter(|_| purpose == Purpose::Keep);
    app_id.map_or(Ok(()), |app_id| check_app_id("ios_app_id", app_id))?;
    let claim = TokenClaim { kind, token, app_id: app_id.map(str::to_owned) };
    let token = claim.check(purpose)?;
    // What cannot be a subscription was meant for a kind that the field does not know.
    if token.kind == Kind::WebPush && !token.token.trim_start().starts_with('{') {
        return Err(Refusal::TokenType);
    }
    if purpose == Purpose::Keep && token.kind == Kind::WebPush {
        let subscription = parse_subscription(&token.token).ok_or(Refusal::WebSubscription)?;
        admit(&subscription.endpoint, places).map_err(|_| Refusal::WebSubscription)?;
    }
    let user = user.check(realm.as_ref())?;
    let known: &[&str] = match purpose {
        Purpose::Keep => &KNOWN,
        Purpose::Name => KNOWN.split_last().map_or(&KNOWN, |(_, rest)| rest),
    };
    Ok(DeviceWish { user, realm, token, ignored: form.ignored(known) })
}

/// A user all of whose tokens go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserWish {
    /// The user.
    pub user: User,
    /// The organization.
    pub realm: Option<Uuid>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `push/unregister/all`.
///
/// Errors: those of its parameters, and of a user that is not named.
pub fn parse_user_wish(call: &Call) -> Result<UserWish, Refusal> {
    let form = Form::of(call);
    let (user, realm) = parse_user(&form)?;
    let user = user.check(realm.as_ref())?;
    Ok(UserWish { user, realm, ignored: form.ignored(&["user_id", "user_uuid", "realm_uuid"]) })
}

fn parse_user(form: &Form) -> Result<(User, Option<Uuid>), ParameterError> {
    let id = form.json("user_id")?;
    let id = match id.as_ref().filter(|id| !id.is_null()) {
        Some(id) => Some(At::new("user_id", id).integer()?),
        None => None,
    };
    let uuid = form.uuid("user_uuid")?;
    let realm = form.uuid("realm_uuid")?;
    Ok((User { id, uuid }, realm))
}

/// A sealed registration that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedWish {
    /// The organization.
    pub realm: Uuid,
    /// 12.x: as it was sent.
    pub token_id: Option<String>,
    /// 11.x.
    pub account: Option<i64>,
    /// The seal.
    pub sealed: String,
    /// For which of our keys.
    pub public_key: String,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `push/e2ee/register` of both dialects.
///
/// Errors: those of its parameters.
pub fn parse_sealed(call: &Call) -> Result<SealedWish, Refusal> {
    const KNOWN: [&str; 5] =
        ["realm_uuid", "token_id", "push_account_id", "encrypted_push_registration", "bouncer_public_key"];
    let form = Form::of(call);
    form.need("realm_uuid")?;
    let realm = form.uuid("realm_uuid")?.ok_or_else(|| ParameterError::Missing(String::from("realm_uuid")))?;
    let account = form.json("push_account_id")?;
    let token_id = form.get("token_id").map(str::to_owned);
    let account = match &account {
        Some(account) => Some(At::new("push_account_id", account).integer()?),
        None if token_id.is_none() => return Err(ParameterError::Missing(String::from("token_id")).into()),
        None => None,
    };
    Ok(SealedWish {
        realm,
        account: account.filter(|_| token_id.is_none()),
        token_id,
        sealed: form.need("encrypted_push_registration")?.to_owned(),
        public_key: form.need("bouncer_public_key")?.to_owned(),
        ignored: form.ignored(&KNOWN),
    })
}

/// A sealed device that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFarewell {
    /// The organization.
    pub realm: Uuid,
    /// 12.x.
    pub token_id: Option<TokenId>,
    /// 11.x: the number that registering answered.
    pub device_id: Option<i64>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `push/e2ee/unregister`, ours: the original has none.
///
/// Errors: those of its parameters.
pub fn parse_farewell(call: &Call) -> Result<SealedFarewell, Refusal> {
    let form = Form::of(call);
    form.need("realm_uuid")?;
    let realm = form.uuid("realm_uuid")?.ok_or_else(|| ParameterError::Missing(String::from("realm_uuid")))?;
    let parse = |text: &str| TokenId::parse(text).ok_or_else(|| ParameterError::Format(String::from("token_id")));
    let token_id = form.get("token_id").map(parse).transpose()?;
    let device_id = form.json("device_id")?;
    let device_id = match &device_id {
        Some(id) => Some(At::new("device_id", id).integer()?),
        None if token_id.is_none() => return Err(ParameterError::Missing(String::from("token_id")).into()),
        None => None,
    };
    let ignored = form.ignored(&["realm_uuid", "token_id", "device_id"]);
    Ok(SealedFarewell { realm, token_id, device_id, ignored })
}
