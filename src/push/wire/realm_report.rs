//! Organizations in uploads and logins, and how their profiles are kept.
//!
//! Source: section 1.15 of the dialect. Keys that are not known here are ignored: newer servers say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::form::{At, check_longest};
use super::upload::slow_time;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::push::realm_sync::{
    Listing, ListingSaid, METHOD_CHARS_MAX, METHODS_MAX, ORG_TYPES, Profile, REALMS_PER_UPLOAD_MAX, RealmReport,
    TEXT_CHARS_MAX,
};
use crate::push::refusal::ParameterError;

const NAME: &str = "realms";

/// The organizations of an upload.
///
/// Errors: section 1.3.
pub fn parse_reports(text: &str) -> Result<Vec<RealmReport>, ParameterError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParameterError::NotJson(NAME.to_owned()))?;
    let list = At::new(NAME, &value).list()?;
    if list.len() > REALMS_PER_UPLOAD_MAX {
        return Err(ParameterError::TooLong { name: NAME.to_owned(), max: REALMS_PER_UPLOAD_MAX });
    }
    list.iter().map(parse_report).collect()
}

/// One organization.
///
/// Errors: section 1.3.
pub fn parse_report(realm: &At<'_>) -> Result<RealmReport, ParameterError> {
    let number = realm.need("id")?.integer()?;
    let host = short(&realm.need("host")?)?;
    short(&realm.need("url")?)?;
    let name = realm.member("name")?.map_or_else(|| Ok(String::new()), |at| short(&at))?;
    let org_type = parse_org_type(realm)?;
    let date_created = slow_time(&realm.need("date_created")?)?;
    let realm_deactivated = realm.need("deactivated")?.boolean()?;
    let is_system_bot_realm = flag(realm, "is_system_bot_realm")?;
    let authentication_methods = parse_methods(realm)?;
    let uuid = realm.need("uuid")?.uuid_v4()?;
    let secret = realm.need("uuid_owner_secret")?;
    check_longest(&secret.place().0, secret.text()?, TEXT_CHARS_MAX)?;
    let owner_secret = Sha256::digest(secret.text()?.as_bytes()).into();
    let said = realm.member("advertise_realm_data")?;
    let listing = realm.nullable("advertise_realm_data")?.map(|at| parse_listing(&at)).transpose()?;
    let profile =
        Profile { host, org_type, name, authentication_methods, realm_deactivated, is_system_bot_realm, listing };
    let listing = if said.is_some() { ListingSaid::Yes } else { ListingSaid::No };
    Ok(RealmReport { uuid, number, owner_secret, date_created, profile, listing })
}

fn short(at: &At<'_>) -> Result<String, ParameterError> {
    check_longest(&at.place().0, at.text()?, TEXT_CHARS_MAX)?;
    Ok(at.text()?.to_owned())
}

fn flag(of: &At<'_>, key: &str) -> Result<bool, ParameterError> {
    of.member(key)?.map_or(Ok(false), |at| at.boolean())
}

fn parse_org_type(realm: &At<'_>) -> Result<i64, ParameterError> {
    let Some(at) = realm.member("org_type")? else { return Ok(0) };
    let org_type = at.integer()?;
    if ORG_TYPES.contains(&org_type) {
        return Ok(org_type);
    }
    let reason = String::from("Not a valid org_type value");
    Err(ParameterError::Value { at: at.place().clone(), reason })
}

fn parse_methods(realm: &At<'_>) -> Result<BTreeMap<String, bool>, ParameterError> {
    let Some(at) = realm.member("authentication_methods")? else { return Ok(BTreeMap::new()) };
    let names = at.object()?;
    if names.len() > METHODS_MAX {
        return Err(ParameterError::TooLong { name: at.place().0.clone(), max: METHODS_MAX });
    }
    let method = |name: &String| {
        check_longest(&at.place().0, name, METHOD_CHARS_MAX)?;
        Ok((name.clone(), at.need(name)?.boolean()?))
    };
    names.keys().map(method).collect()
}

fn parse_listing(at: &At<'_>) -> Result<Listing, ParameterError> {
    let description = at.nullable("description")?.map_or_else(|| Ok(String::new()), |at| short(&at))?;
    let icon_url = at.nullable("icon_url")?.map_or_else(|| Ok(String::new()), |at| short(&at))?;
    Ok(Listing {
        description,
        icon_url,
        invite_required: flag(at, "invite_required")?,
        emails_restricted_to_domains: flag(at, "emails_restricted_to_domains")?,
        has_web_public_streams: flag(at, "has_web_public_streams")?,
        is_demo_organization: flag(at, "is_demo_organization")?,
    })
}

#[derive(Serialize, Deserialize)]
struct ProfileText {
    host: String,
    org_type: i64,
    name: String,
    authentication_methods: BTreeMap<String, bool>,
    realm_deactivated: bool,
    is_system_bot_realm: bool,
    listing: Option<ListingText>,
}

#[derive(Serialize, Deserialize)]
struct ListingText {
    description: String,
    icon_url: String,
    invite_required: bool,
    emails_restricted_to_domains: bool,
    has_web_public_streams: bool,
    is_demo_organization: bool,
}

/// The profile as it is kept.
///
/// Errors: as [`to_json`].
pub fn encode_profile(profile: &Profile) -> Result<String, Fault> {
    let listing = profile.listing.clone().map(|listing| ListingText {
        description: listing.description,
        icon_url: listing.icon_url,
        invite_required: listing.invite_required,
        emails_restricted_to_domains: listing.emails_restricted_to_domains,
        has_web_public_streams: listing.has_web_public_streams,
        is_demo_organization: listing.is_demo_organization,
    });
    to_json(&ProfileText {
        host: profile.host.clone(),
        org_type: profile.org_type,
        name: profile.name.clone(),
        authentication_methods: profile.authentication_methods.clone(),
        realm_deactivated: profile.realm_deactivated,
        is_system_bot_realm: profile.is_system_bot_realm,
        listing,
    })
}

/// The profile that was kept.
///
/// Errors: [`Fault::Corrupt`].
pub fn parse_profile(text: &str) -> Result<Profile, Fault> {
    let kept: ProfileText =
        serde_json::from_str(text).map_err(|_| Fault::Corrupt(String::from("a profile is not one of ours")))?;
    let listing = kept.listing.map(|listing| Listing {
        description: listing.description,
        icon_url: listing.icon_url,
        invite_required: listing.invite_required,
        emails_restricted_to_domains: listing.emails_restricted_to_domains,
        has_web_public_streams: listing.has_web_public_streams,
        is_demo_organization: listing.is_demo_organization,
    });
    Ok(Profile {
        host: kept.host,
        org_type: kept.org_type,
        name: kept.name,
        authentication_methods: kept.authentication_methods,
        realm_deactivated: kept.realm_deactivated,
        is_system_bot_realm: kept.is_system_bot_realm,
        listing,
    })
}
