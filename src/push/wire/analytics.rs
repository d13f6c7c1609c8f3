//! The upload of usage and organizations. Only the organizations are kept so far: see the room's page.

use sha2::{Digest, Sha256};

use super::form::{At, Form, check_longest};
use crate::kernel::object::Call;
use crate::push::realm::RealmClaim;
use crate::push::refusal::{ParameterError, Refusal};
use crate::push::uuid::Uuid;

/// Organizations of one upload.
pub const REALMS_MAX: usize = 1_000;

/// The longest host or name of an organization. Units: characters.
const TEXT_CHARS_MAX: usize = 255;

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The organizations, if the server says which it has.
    pub realms: Option<Vec<RealmClaim>>,
    /// Parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Reads `server/analytics`.
///
/// Errors: section 1.3.
pub fn parse_upload(call: &Call) -> Result<Upload, Refusal> {
    const KNOWN: [&str; 7] = [
        "realm_counts",
        "installation_counts",
        "realmauditlog_rows",
        "realms",
        "version",
        "merge_base",
        "api_feature_level",
    ];
    let form = Form::of(call);
    for table in ["realm_counts", "installation_counts"] {
        At::new(table, &form.need_json(table)?).list()?;
    }
    if let Some(rows) = form.json("realmauditlog_rows")? {
        At::new("realmauditlog_rows", &rows).list()?;
    }
    let realms = form.json("realms")?;
    let realms = match realms.as_ref().filter(|realms| !realms.is_null()) {
        Some(realms) => Some(parse_realms(&At::new("realms", realms))?),
        None => None,
    };
    Ok(Upload { realms, ignored: form.ignored(&KNOWN) })
}

fn parse_realms(realms: &At<'_>) -> Result<Vec<RealmClaim>, ParameterError> {
    let list = realms.list()?;
    if list.len() > REALMS_MAX {
        return Err(ParameterError::TooLong { name: realms.place().0.clone(), max: REALMS_MAX });
    }
    list.iter().map(parse_realm).collect()
}

fn parse_realm(realm: &At<'_>) -> Result<RealmClaim, ParameterError> {
    realm.need("id")?.integer()?;
    let host = realm.need("host")?;
    check_longest(&host.place().0, host.text()?, TEXT_CHARS_MAX)?;
    realm.need("url")?.text()?;
    let name = realm.member("name")?;
    let name = name.map_or(Ok(""), |at| check_longest(&at.place().0, at.text()?, TEXT_CHARS_MAX).and(at.text()))?;
    realm.need("date_created")?.float()?;
    realm.need("deactivated")?.boolean()?;
    let uuid = realm.need("uuid")?;
    let secret = realm.need("uuid_owner_secret")?;
    check_longest(&secret.place().0, secret.text()?, TEXT_CHARS_MAX)?;
    Ok(RealmClaim {
        uuid: Uuid::parse(uuid.text()?).ok_or_else(|| ParameterError::Format(uuid.place().0.clone()))?,
        host: host.text()?.to_owned(),
        name: name.to_owned(),
        owner_secret: Sha256::digest(secret.text()?.as_bytes()).into(),
    })
}
