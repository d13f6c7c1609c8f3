//! Which object a request of the front goes to.

use super::{DIRECTORY_NAME, gateway_of};
use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::kernel::settings::Settings;
use crate::parties::party::is_party_id;
use crate::parties::token::{self, parse_authorization, shard_of_peer};
use crate::parties::wire::identity::{NO_KEY, UNKNOWN_TOKEN, parse_peer_id, parse_service};
use crate::parties::wire::problem::detail;
use crate::parties::wire::service::Admit;

/// The class and name of the object that answers `call`.
///
/// Errors: the answer, where no object need be asked: no object is woken for a token that we never made, or for a party
/// that cannot be.
pub fn address(settings: &Settings, call: &Call) -> Result<(Class, String), Reply> {
    use Operation as O;
    match call.operation {
        O::PartyRegister => {
            settings.party.token_key.as_ref().ok_or_else(no_key)?;
            Ok((Class::PartyIdentities, shard_of_peer(&parse_peer_id(&call.query)?)))
        }
        O::PartyRevoke => {
            let header = call.authorization.as_deref();
            let token = parse_authorization(header).map_err(|error| detail(401, error.detail()))?;
            identities_of(settings, token)
        }
        O::PartyAdmit => {
            let Admit { token } = parse_service(&call.body).map_err(|_| detail(401, UNKNOWN_TOKEN))?;
            identities_of(settings, &token)
        }
        O::PartyCreate => {
            let peer_id = call.caller.as_deref().ok_or_else(|| detail(401, "Missing authorization header"))?;
            Ok((Class::PartyIdentities, shard_of_peer(peer_id)))
        }
        O::PartyRelayRegister | O::PartyRelayRemove | O::PartyRelayList | O::PartyRelayRegion => {
            Ok((Class::PartyDirectory, DIRECTORY_NAME.to_owned()))
        }
        O::PartyJoin
        | O::PartyLeave
        | O::PartyRead
        | O::PartyPeers
        | O::PartyPeer
        | O::PartyHeartbeat
        | O::PartyUpdatePeer
        | O::PartyDetails
        | O::PartySettings
        | O::PartySignalSend
        | O::PartySignalPoll
        | O::PartyInviteCreate
        | O::PartyInviteList
        | O::PartyInviteRevoke
        | O::PartyBan
        | O::PartyBanList
        | O::PartyUnban
        | O::PartyLatencies
        | O::PartyRelayCandidates
        | O::PartySocket => room(call),
        O::SignalShared => Ok((Class::PartyGateway, gateway_of(&call.client))),
        _ => Err(detail(404, "Not Found")),
    }
}

fn no_key() -> Reply {
    detail(503, NO_KEY)
}

fn identities_of(settings: &Settings, token: &str) -> Result<(Class, String), Reply> {
    let key = settings.party.token_key.as_ref().ok_or_else(no_key)?;
    let genuine = token::parse(key, token).ok_or_else(|| detail(401, UNKNOWN_TOKEN))?;
    Ok((Class::PartyIdentities, genuine.shard.name()))
}

/// A party's object. An id that can be none is refused at once, so that nobody makes objects of nonsense.
fn room(call: &Call) -> Result<(Class, String), Reply> {
    let party_id = call.params.first().map_or("", String::as_str);
    if is_party_id(party_id) {
        return Ok((Class::PartyRoom, party_id.to_owned()));
    }
    let shown: String = party_id.chars().take(64).collect();
    Err(detail(404, &format!("Party {shown} not found")))
}
