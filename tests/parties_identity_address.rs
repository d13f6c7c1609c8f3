//! Which object a call of the front goes to, and which calls wake none.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod parties_identity_support;
mod support;

use parties_identity_support::{KEY, from};
use serde_json::json;
use support::{body, call, settings};
use waystation::kernel::entropy::SeededEntropy;
use waystation::kernel::object::{Call, Principal};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::settings::Key32;
use waystation::parties::address;
use waystation::parties::token::{mint, shard_of_peer};

fn go(call: &Call) -> Result<(Class, String), (u16, serde_json::Value)> {
    let settings = settings(&[("PARTY_TOKEN_KEY", KEY)]);
    address(&settings, call).map_err(|reply| (reply.status, body(&reply)["detail"].clone()))
}

#[test]
fn peers_and_tokens_go_to_their_shard() {
    let shard = shard_of_peer("p 1");
    let register = Call { query: String::from("peer_id=p%201"), ..call(Operation::PartyRegister) };
    assert_eq!(go(&register), Ok((Class::PartyIdentities, shard.clone())));
    let create = Call { principal: Principal::Peer, caller: Some(String::from("p 1")), ..call(Operation::PartyCreate) };
    assert_eq!(go(&create), Ok((Class::PartyIdentities, shard.clone())));
    let token = mint(&Key32([7; 32]), "p 1", &mut SeededEntropy::new(1));
    let revoke = Call { authorization: Some(format!("Bearer {token}")), ..call(Operation::PartyRevoke) };
    assert_eq!(go(&revoke), Ok((Class::PartyIdentities, shard.clone())));
    let admit = Call { body: json!({ "token": token }).to_string().into_bytes(), ..call(Operation::PartyAdmit) };
    assert_eq!(go(&admit), Ok((Class::PartyIdentities, shard)));
}

#[test]
fn a_forged_token_wakes_nobody() {
    let token = mint(&Key32([8; 32]), "p", &mut SeededEntropy::new(1));
    let revoke = Call { authorization: Some(format!("Bearer {token}")), ..call(Operation::PartyRevoke) };
    assert_eq!(go(&revoke), Err((401, json!("Invalid or expired token"))));
    for body in [json!({ "token": token }).to_string(), String::from("nonsense")] {
        let admit = Call { body: body.into_bytes(), ..call(Operation::PartyAdmit) };
        assert_eq!(go(&admit), Err((401, json!("Invalid or expired token"))));
    }
    assert_eq!(go(&call(Operation::PartyRevoke)), Err((401, json!("Missing authorization header"))));
    let lower = Call { authorization: Some(String::from("bearer x")), ..call(Operation::PartyRevoke) };
    assert_eq!(go(&lower), Err((401, json!("Invalid authorization format"))));
    assert_eq!(go(&call(Operation::PartyRegister)).unwrap_err().0, 422);
    assert_eq!(go(&call(Operation::PartyCreate)).unwrap_err().0, 401);
}

#[test]
fn without_a_key_tokens_are_not_configured() {
    let register = Call { query: String::from("peer_id=p"), ..call(Operation::PartyRegister) };
    let revoke = Call { authorization: Some(String::from("Bearer x")), ..call(Operation::PartyRevoke) };
    for call in [register, revoke] {
        let reply = address(&settings(&[]), &call).unwrap_err();
        assert_eq!((reply.status, body(&reply)), (503, json!({ "detail": "Party tokens are not configured" })));
    }
}

#[test]
fn a_party_that_cannot_be_is_not_found_without_asking() {
    for operation in [Operation::PartyJoin, Operation::PartyRead, Operation::PartySocket, Operation::PartyBan] {
        let with = |party_id: &str| Call { params: vec![party_id.to_owned()], ..call(operation) };
        for good in ["0123456789ab", "0123456789abcdef0123", "lan", "LAN_1-a"] {
            assert_eq!(go(&with(good)), Ok((Class::PartyRoom, good.to_owned())));
        }
        for bad in ["0123456789abcdef01234", "a b", "a/b", "é"] {
            assert_eq!(go(&with(bad)), Err((404, json!(format!("Party {bad} not found")))), "{bad}");
        }
        assert_eq!(go(&with("")).unwrap_err().0, 404);
    }
}

#[test]
fn relays_go_to_the_directory_and_sockets_to_the_gateway_of_their_network() {
    for operation in [Operation::PartyRelayList, Operation::PartyRelayRegister, Operation::PartyRelayRemove] {
        assert_eq!(go(&call(operation)), Ok((Class::PartyDirectory, String::from("global"))));
    }
    let mut names = std::collections::BTreeSet::new();
    for number in 0..1_000 {
        let socket = Call { client: from(number), ..call(Operation::SignalShared) };
        let (class, name) = go(&socket).unwrap();
        assert_eq!((class, &name), (Class::PartyGateway, &go(&socket).unwrap().1));
        names.insert(name);
    }
    assert_eq!((names.len(), names.first().unwrap().as_str(), names.last().unwrap().as_str()), (64, "00", "63"));
}

#[test]
fn what_objects_ask_one_another_is_asked_by_no_client() {
    for operation in [
        Operation::PartyClaim,
        Operation::PartyRelease,
        Operation::PartyHolds,
        Operation::PartyMembership,
        Operation::PartyForward,
        Operation::PartyDeliver,
        Operation::PartyCensus,
    ] {
        assert_eq!(go(&call(operation)), Err((404, json!("Not Found"))), "{operation:?}");
    }
}
