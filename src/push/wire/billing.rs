//! The hand-off of a login: who comes, from which organization, and where to.
//!
//! Source: sections 1.16 and 3.9 of the dialect.

use serde_json::json;

use super::form::{At, Form, check_longest};
use super::realm_report::parse_report;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::object::Call;
use crate::kernel::time::Timestamp;
use crate::push::access::{NextPage, Visitor};
use crate::push::refusal::ParameterError;
use crate::push::uuid::Uuid;

/// The longest address or name. Units: characters.
const TEXT_CHARS_MAX: usize = 254;

/// A wish for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessWish {
    /// Who comes.
    pub visitor: Visitor,
    /// From which organization.
    pub realm: Uuid,
    /// `http://` or `https://`, to lead back.
    pub uri_scheme: String,
    /// Where to.
    pub next_page: Option<NextPage>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `server/billing`.
///
/// Errors: section 1.3.
pub fn parse_access(call: &Call) -> Result<AccessWish, ParameterError> {
    let form = Form::of(call);
    let user = form.need_json("user")?;
    let visitor = parse_visitor(&At::new("user", &user))?;
    let realm = form.need_json("realm")?;
    let realm = parse_report(&At::new("realm", &realm))?.uuid;
    let uri_scheme = form.get("uri_scheme").unwrap_or("https://").to_owned();
    if !matches!(uri_scheme.as_str(), "http://" | "https://") {
        return Err(ParameterError::NotAllowed(String::from("uri_scheme")));
    }
    let parse = |word: &str| NextPage::parse(word).ok_or_else(|| ParameterError::NotAllowed(String::from("next_page")));
    let next_page = form.get("next_page").map(parse).transpose()?;
    let ignored = form.ignored(&["user", "realm", "uri_scheme", "next_page"]);
    Ok(AccessWish { visitor, realm, uri_scheme, next_page, ignored })
}

fn parse_visitor(user: &At<'_>) -> Result<Visitor, ParameterError> {
    let uuid = user.need("uuid")?.uuid()?;
    let text = |key: &str| {
        let at = user.need(key)?;
        check_longest(&at.place().0, at.text()?, TEXT_CHARS_MAX)?;
        Ok(at.text()?.to_owned())
    };
    Ok(Visitor { uuid, email: text("email")?, full_name: text("full_name")? })
}

/// The identity that a link carries.
///
/// Errors: as [`to_json`].
pub fn encode_identity(wish: &AccessWish, server: &str, now: Timestamp) -> Result<String, Fault> {
    to_json(&json!({
        "user": {
            "user_email": wish.visitor.email,
            "user_uuid": wish.visitor.uuid.as_str(),
            "user_full_name": wish.visitor.full_name,
        },
        "remote_server_uuid": server,
        "remote_realm_uuid": wish.realm.as_str(),
        "remote_billing_user_id": null,
        "authenticated_at": now.as_millis() / 1_000,
        "uri_scheme": wish.uri_scheme,
        "next_page": wish.next_page.map(NextPage::word),
    }))
}
