//! Access tokens and sessions as sealed JSON.

use serde::{Deserialize, Serialize};

use crate::billing::identity::{Identity, NextPage, Person, Session, SignedIn, Subject, UriScheme};
use crate::billing::seal::{Purpose, open, seal};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::settings::Key32;
use crate::kernel::time::Timestamp;
use crate::push::uuid::Uuid;

#[derive(Serialize, Deserialize)]
struct IdentityText {
    user: UserText,
    remote_server_uuid: String,
    remote_realm_uuid: String,
    remote_billing_user_id: Option<u64>,
    /// Units: milliseconds. The member's unit is ours alone: nobody else reads it.
    authenticated_at: u64,
    uri_scheme: String,
    next_page: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct UserText {
    user_email: String,
    user_uuid: String,
    user_full_name: String,
}

#[derive(Serialize, Deserialize)]
struct SessionText {
    nonce: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<SignedInText>,
}

#[derive(Serialize, Deserialize)]
struct SignedInText {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<u64>,
    at: u64,
    uri_scheme: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_page: Option<String>,
}

fn page_name(page: Option<NextPage>) -> Option<String> {
    page.map(|page| page.name().to_owned())
}

/// The access token of an identity.
///
/// Errors: as [`to_json`], never for one of ours.
pub(crate) fn encode_identity(key: &Key32, identity: &Identity) -> Result<String, Fault> {
    let text = to_json(&IdentityText {
        user: UserText {
            user_email: identity.person.email.clone(),
            user_uuid: identity.person.uuid.to_string(),
            user_full_name: identity.person.full_name.clone(),
        },
        remote_server_uuid: identity.server.to_string(),
        remote_realm_uuid: identity.realm.to_string(),
        remote_billing_user_id: identity.user_id,
        authenticated_at: identity.authenticated_at.as_millis(),
        uri_scheme: identity.uri_scheme.prefix().to_owned(),
        next_page: page_name(identity.next_page),
    })?;
    Ok(seal(key, Purpose::Access, text.as_bytes()))
}

/// The identity of an access token, however old; nothing for what we have not signed.
pub(crate) fn parse_identity(key: &Key32, token: &str) -> Option<Identity> {
    let text: IdentityText = serde_json::from_slice(&open(key, Purpose::Access, token)?).ok()?;
    Some(Identity {
        person: Person {
            uuid: Uuid::parse(&text.user.user_uuid)?,
            email: text.user.user_email,
            full_name: text.user.user_full_name,
        },
        server: Uuid::parse(&text.remote_server_uuid)?,
        realm: Uuid::parse(&text.remote_realm_uuid)?,
        user_id: text.remote_billing_user_id,
        authenticated_at: Timestamp::from_millis(text.authenticated_at),
        uri_scheme: UriScheme::parse(&text.uri_scheme)?,
        next_page: text.next_page.as_deref().and_then(NextPage::parse),
    })
}

/// The value of a session's cookie.
///
/// Errors: as [`to_json`], never for one of ours.
pub(crate) fn encode_session(key: &Key32, session: &Session) -> Result<String, Fault> {
    let who = session.signed_in.as_ref().map(|who| SignedInText {
        server: who.server.to_string(),
        realm: match &who.subject {
            Subject::Realm(realm) => Some(realm.to_string()),
            Subject::Server(_) => None,
        },
        user: who.user_id,
        at: who.authenticated_at.as_millis(),
        uri_scheme: who.uri_scheme.prefix().to_owned(),
        next_page: page_name(who.next_page),
    });
    let text = to_json(&SessionText { nonce: session.nonce.clone(), who })?;
    Ok(seal(key, Purpose::Session, text.as_bytes()))
}

/// The session of a cookie's value, however old; nothing for what we have not signed.
pub(crate) fn parse_session(key: &Key32, value: &str) -> Option<Session> {
    let text: SessionText = serde_json::from_slice(&open(key, Purpose::Session, value)?).ok()?;
    let signed_in = match text.who {
        None => None,
        Some(who) => {
            let server = Uuid::parse(&who.server)?;
            let subject = match who.realm {
                Some(realm) => Subject::Realm(Uuid::parse(&realm)?),
                None => Subject::Server(server.clone()),
            };
            Some(SignedIn {
                server,
                subject,
                user_id: who.user,
                authenticated_at: Timestamp::from_millis(who.at),
                uri_scheme: UriScheme::parse(&who.uri_scheme)?,
                next_page: who.next_page.as_deref().and_then(NextPage::parse),
            })
        }
    };
    Some(Session { nonce: text.nonce, signed_in })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{encode_identity, encode_session, parse_identity, parse_session};
    use crate::billing::identity::{Identity, NextPage, Person, Session, SignedIn, Subject, UriScheme};
    use crate::kernel::settings::Key32;
    use crate::kernel::time::Timestamp;
    use crate::push::uuid::Uuid;

    const KEY: Key32 = Key32([7; 32]);
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn uuid(digit: char) -> Uuid {
        Uuid::parse(&digit.to_string().repeat(32)).unwrap()
    }

    fn identity(full_name: &str) -> Identity {
        let person = Person { uuid: uuid('1'), email: String::from("a@b.org"), full_name: full_name.to_owned() };
        Identity {
            person,
            server: uuid('2'),
            realm: uuid('3'),
            user_id: None,
            authenticated_at: NOW,
            uri_scheme: UriScheme::Https,
            next_page: Some(NextPage::Upgrade),
        }
    }

    proptest! {
        #[test]
        fn identities_come_back(full_name in any::<String>(), user_id in proptest::option::of(0_u64..1 << 53)) {
            let identity = Identity { user_id, ..identity(&full_name) };
            let token = encode_identity(&KEY, &identity).unwrap();
            prop_assert_eq!(parse_identity(&KEY, &token), Some(identity));
        }
    }

    #[test]
    fn a_token_has_the_dialects_members() {
        let token = encode_identity(&KEY, &identity("Ada")).unwrap();
        let text = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["user"]["user_email"], "a@b.org");
        assert!(json["remote_billing_user_id"].is_null() && json["uri_scheme"] == "https://");
        assert_eq!(json["next_page"], "upgrade");
    }

    #[test]
    fn sessions_come_back_and_tokens_are_none() {
        for subject in [Subject::Realm(uuid('3')), Subject::Server(uuid('2'))] {
            let signed_in = SignedIn {
                server: uuid('2'),
                subject,
                user_id: Some(4),
                authenticated_at: NOW,
                uri_scheme: UriScheme::Http,
                next_page: None,
            };
            let session = Session { nonce: String::from("n"), signed_in: Some(signed_in) };
            let value = encode_session(&KEY, &session).unwrap();
            assert_eq!(parse_session(&KEY, &value), Some(session));
            assert_eq!(parse_identity(&KEY, &value), None);
        }
        assert_eq!(parse_session(&KEY, &encode_identity(&KEY, &identity("Ada")).unwrap()), None);
        let nobody = Session { nonce: String::from("n"), signed_in: None };
        assert_eq!(parse_session(&KEY, &encode_session(&KEY, &nobody).unwrap()), Some(nobody));
    }
}
