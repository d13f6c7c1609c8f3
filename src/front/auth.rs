//! Who calls, and whether they may.

use super::routes::Who;
use crate::kernel::code::ErrorCode;
use crate::kernel::object::Principal;
use crate::kernel::reply::Problem;
use crate::kernel::secret::Secret;
use crate::kernel::settings::Settings;

/// What operators' tokens begin with.
const OPERATOR_TOKEN: &str = "wop_";

/// The caller of an operation that only `who` may call.
///
/// Errors: 401 without the right credentials; 503 when the secret that would prove them is not configured, because a
/// missing secret closes a door. An operator may write to the registry too.
pub fn authorise(who: Who, authorization: Option<&str>, settings: &Settings) -> Result<Principal, Problem> {
    let bearer = authorization.and_then(bearer_of);
    match who {
        // Peers' tokens, servers' keys and signatures are judged by objects, once the body is read.
        Who::Anyone | Who::Peer | Who::PeerOrLater | Who::RemoteServer | Who::BillingUser | Who::Signer => {
            Ok(Principal::Anonymous)
        }
        Who::PeerOrRegistryWriter => Ok(credential_holder(bearer, settings).unwrap_or(Principal::Anonymous)),
        Who::Operator => {
            holder(bearer, settings.admin_secret.as_ref(), "Admin access not configured").map(|()| Principal::Operator)
        }
        // An operator's token is judged by an object; anything else must be the secret. Without the secret the door is
        // closed to tokens too.
        Who::PushOperator => {
            let is_token = bearer.is_some_and(|token| token.starts_with(OPERATOR_TOKEN));
            if is_token && settings.admin_secret.is_some() {
                return Ok(Principal::Anonymous);
            }
            holder(bearer, settings.admin_secret.as_ref(), "Admin access not configured").map(|()| Principal::Operator)
        }
        Who::Ci => holder(bearer, settings.attest.ci_upload_secret.as_ref(), "CI upload not configured")
            .map(|()| Principal::Ci),
        Who::RegistryWriter => registry_writer(bearer, settings),
        Who::RegistryWriterOrOwner => Ok(registry_writer(bearer, settings).unwrap_or(Principal::Anonymous)),
    }
}

/// The token of a bearer credential. The scheme's name may be in any case (RFC 9110, section 11.1).
#[must_use]
pub fn bearer_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn holder(bearer: Option<&str>, secret: Option<&Secret>, unset: &str) -> Result<(), Problem> {
    let Some(secret) = secret else { return Err(Problem::new(ErrorCode::NotConfigured, unset)) };
    if bearer.is_some_and(|candidate| secret.matches(candidate)) { Ok(()) } else { Err(unauthorized()) }
}

/// Who holds one of the two secrets, and nobody else: an open development service needs no peer to be a writer.
fn credential_holder(bearer: Option<&str>, settings: &Settings) -> Option<Principal> {
    let candidate = bearer?;
    let holds = |secret: Option<&Secret>| secret.is_some_and(|secret| secret.matches(candidate));
    if holds(settings.admin_secret.as_ref()) {
        return Some(Principal::Operator);
    }
    holds(settings.bootstrap.registry_secret.as_ref()).then_some(Principal::RegistryWriter)
}

fn registry_writer(bearer: Option<&str>, settings: &Settings) -> Result<Principal, Problem> {
    let is_operator = bearer.zip(settings.admin_secret.as_ref()).is_some_and(|(text, secret)| secret.matches(text));
    if is_operator {
        return Ok(Principal::Operator);
    }
    let secret = settings.bootstrap.registry_secret.as_ref();
    if secret.is_none() && settings.dev_mode.is_on() {
        return Ok(Principal::RegistryWriter);
    }
    holder(bearer, secret, "Server authentication not configured").map(|()| Principal::RegistryWriter)
}

fn unauthorized() -> Problem {
    Problem::new(ErrorCode::Unauthorized, "Unauthorized").with_header("WWW-Authenticate", "Bearer")
}

#[cfg(test)]
mod tests {
    use super::{Principal, Who, authorise};
    use crate::kernel::settings::{Settings, parse};

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        parse(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())).unwrap()
    }

    fn status(who: Who, header: Option<&str>, settings: &Settings) -> u16 {
        authorise(who, header, settings).map_or_else(|problem| problem.code.row().status, |_| 200)
    }

    const ALL: &[(&str, &str)] =
        &[("ADMIN_SECRET", "admin"), ("SERVER_REGISTRY_SECRET", "registry"), ("CI_UPLOAD_SECRET", "ci")];

    #[test]
    fn the_matrix_of_credentials_and_doors() {
        let settings = settings(ALL);
        let doors = [Who::Anyone, Who::RegistryWriter, Who::Ci, Who::Operator];
        for (header, expected) in [
            (None, [200, 401, 401, 401]),
            (Some("Bearer wrong"), [200, 401, 401, 401]),
            (Some("Bearer registry"), [200, 200, 401, 401]),
            (Some("Bearer ci"), [200, 401, 200, 401]),
            (Some("Bearer admin"), [200, 200, 401, 200]),
            (Some("bearer admin"), [200, 200, 401, 200]),
            (Some("Basic admin"), [200, 401, 401, 401]),
            (Some("Bearer "), [200, 401, 401, 401]),
        ] {
            let got = doors.map(|door| status(door, header, &settings));
            assert_eq!(got, expected, "{header:?}");
        }
    }

    #[test]
    fn a_missing_secret_closes_its_door_for_everybody() {
        let settings = settings(&[]);
        for door in [Who::RegistryWriter, Who::Ci, Who::Operator, Who::PushOperator] {
            for header in [None, Some("Bearer "), Some("Bearer undefined"), Some("Bearer x"), Some("Bearer wop_x_y")] {
                assert_eq!(status(door, header, &settings), 503, "{door:?} {header:?}");
            }
        }
    }

    #[test]
    fn operators_tokens_are_judged_by_the_object_and_nothing_else_is() {
        let settings = settings(ALL);
        let of = |header| authorise(Who::PushOperator, header, &settings).map_err(|problem| problem.code.row().status);
        assert_eq!(of(Some("Bearer wop_x_y")), Ok(Principal::Anonymous));
        assert_eq!(of(Some("Bearer admin")), Ok(Principal::Operator));
        for header in [None, Some("Bearer "), Some("Bearer xwop_"), Some("Basic wop_x_y")] {
            assert_eq!(of(header), Err(401), "{header:?}");
        }
    }

    #[test]
    fn development_mode_opens_the_registry_only_without_a_secret() {
        let open = settings(&[("DEV_MODE", "true")]);
        assert_eq!(status(Who::RegistryWriter, None, &open), 200);
        assert_eq!(status(Who::Operator, None, &open), 503);
        let closed = settings(&[("DEV_MODE", "true"), ("SERVER_REGISTRY_SECRET", "registry")]);
        assert_eq!(status(Who::RegistryWriter, None, &closed), 401);
    }

    #[test]
    fn a_party_relays_door_knows_the_secrets_and_leaves_peers_to_the_object() {
        let settings = settings(ALL);
        let of = |header| authorise(Who::PeerOrRegistryWriter, header, &settings).unwrap();
        assert_eq!(of(Some("Bearer registry")), Principal::RegistryWriter);
        assert_eq!(of(Some("Bearer admin")), Principal::Operator);
        for header in [None, Some("Bearer "), Some("Bearer wrong"), Some("Bearer ci")] {
            assert_eq!(of(header), Principal::Anonymous, "{header:?}");
        }
    }

    #[test]
    fn an_owner_without_credentials_is_judged_by_the_object() {
        let settings = settings(ALL);
        let of = |header| authorise(Who::RegistryWriterOrOwner, header, &settings).unwrap();
        assert_eq!(of(None), Principal::Anonymous);
        assert_eq!(of(Some("Bearer wrong")), Principal::Anonymous);
        assert_eq!(of(Some("Bearer registry")), Principal::RegistryWriter);
    }
}
