//! All objects of parties in one world, and what their clients say.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::rc::Rc;

use serde_json::{Value, json};
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::Migration;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Call, Object, Principal, Restored};
use waystation::kernel::operation::{Class, Operation};
use waystation::kernel::reply::Reply;
use waystation::kernel::settings::Settings;
use waystation::kernel::sql::Sql;
use waystation::kernel::time::Timestamp;
use waystation::parties::object::party::{MIGRATIONS as PARTY_MIGRATIONS, PartyRoom};
use waystation::parties::{PartyDirectory, PartyGateway, PartyIdentities, address};

use crate::support::world::{Cast, Client, Place, World};
use crate::support::{body, call, settings};

pub const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn migrations(class: Class) -> &'static [Migration] {
    match class {
        Class::PartyRoom => PARTY_MIGRATIONS,
        Class::PartyIdentities => PartyIdentities::MIGRATIONS,
        Class::PartyDirectory => PartyDirectory::MIGRATIONS,
        Class::PartyGateway => PartyGateway::MIGRATIONS,
        Class::SignalingRoom => waystation::signaling::object::MIGRATIONS,
        other => panic!("{other:?} does not play here"),
    }
}

fn load(
    class: Class,
    settings: Rc<Settings>,
    sql: &dyn Sql,
    now: Timestamp,
    restored: Vec<Restored>,
) -> Result<Box<dyn Object>, Fault> {
    Ok(match class {
        Class::PartyRoom => Box::new(PartyRoom::load(settings, sql, now, restored)?),
        Class::PartyIdentities => Box::new(PartyIdentities::load(settings, sql, now, restored)?),
        Class::PartyDirectory => Box::new(PartyDirectory::load(settings, sql, now, restored)?),
        Class::PartyGateway => Box::new(PartyGateway::load(settings, sql, now, restored)?),
        Class::SignalingRoom => {
            Box::new(waystation::signaling::object::SignalingRoom::load(settings, sql, now, restored)?)
        }
        other => panic!("{other:?} does not play here"),
    })
}

/// The service of parties, with the test in the place of the front.
pub struct Play {
    pub world: World,
    settings: Rc<Settings>,
}

pub fn play(seed: u64) -> Play {
    let settings = settings(&[("PARTY_TOKEN_KEY", KEY)]);
    Play { world: World::new(settings.clone(), Cast { migrations, load }, seed), settings }
}

/// A peer as the field's client sends it.
pub fn peer(peer_id: &str, now: Timestamp) -> Value {
    json!({
        "peer_id": peer_id, "name": "Me", "public_key": format!("key-{peer_id}"), "nat_type": "unknown",
        "public_ip": "unknown", "public_port": 0, "local_ip": "unknown", "local_port": 0,
        "last_seen": now.to_iso().trim_end_matches('Z'),
    })
}

pub fn from(address: &str) -> ClientNetwork {
    ClientNetwork::from_header(Some(address))
}

impl Play {
    /// A request as the front passes it on: a token is judged first.
    pub fn http(&mut self, operation: Operation, token: Option<&str>, params: &[&str], wish: &Value) -> Reply {
        self.http_query(operation, token, params, ("", wish))
    }

    pub fn http_query(
        &mut self,
        operation: Operation,
        token: Option<&str>,
        params: &[&str],
        (query, wish): (&str, &Value),
    ) -> Reply {
        let mut call = call(operation);
        call.params = params.iter().map(|param| (*param).to_owned()).collect();
        call.query = query.to_owned();
        call.authorization = token.map(|token| format!("Bearer {token}"));
        call.body = if wish.is_null() { Vec::new() } else { wish.to_string().into_bytes() };
        if let (Some(token), false) = (token, operation == Operation::PartyRegister) {
            let admit = Call {
                principal: Principal::Service,
                body: json!({ "token": token }).to_string().into_bytes(),
                ..crate::support::call(Operation::PartyAdmit)
            };
            let admitted = self.ask(&admit);
            if admitted.status != 200 {
                return admitted;
            }
            call.principal = Principal::Peer;
            call.caller = Some(body(&admitted)["peer_id"].as_str().unwrap().to_owned());
        }
        self.ask(&call)
    }

    fn ask(&mut self, call: &Call) -> Reply {
        match address(&self.settings, call) {
            Ok((class, name)) => self.world.request(&Place { class, name }, call),
            Err(reply) => reply,
        }
    }

    pub fn token(&mut self, peer_id: &str) -> String {
        let query = format!("peer_id={peer_id}");
        let reply = self.http_query(Operation::PartyRegister, None, &[], (&query, &Value::Null));
        assert_eq!(reply.status, 200, "{}", reply.body);
        body(&reply)["token"].as_str().unwrap().to_owned()
    }

    /// Opens `/ws` from an address.
    pub fn connect(&mut self, from_address: &str) -> Client {
        let call = Call { client: from(from_address), ..call(Operation::SignalShared) };
        let (class, name) = address(&self.settings, &call).expect("a gateway");
        self.world.open(&Place { class, name }, &call)
    }

    /// Says something, and lets it take effect.
    pub fn say(&mut self, client: Client, message: &Value) {
        self.world.say(client, &message.to_string());
        self.world.settle();
    }

    pub fn auth(&mut self, client: Client, peer_id: Option<&str>) {
        self.say(client, &json!({ "type": "auth", "version": "1.0", "client": "lanrage", "peer_id": peer_id }));
    }

    pub fn register_party(&mut self, client: Client, party_id: &str, peer_id: &str) {
        let host_peer = peer(peer_id, self.world.now);
        let party = json!({ "type": "register_party", "party_id": party_id, "name": "LAN", "host_peer": host_peer });
        self.say(client, &party);
    }

    pub fn join_party(&mut self, client: Client, party_id: &str, peer_id: &str) {
        let peer = peer(peer_id, self.world.now);
        self.say(client, &json!({ "type": "join_party", "party_id": party_id, "peer": peer }));
    }

    /// Whether a socket speaks for a peer, by its gateway.
    pub fn holds(&mut self, client: Client, peer_id: &str) -> bool {
        let Some((place, conn)) = self.world.seat(client) else { return false };
        let call = Call {
            principal: Principal::Service,
            body: json!({ "peer_id": peer_id, "conn": conn }).to_string().into_bytes(),
            ..call(Operation::PartyHolds)
        };
        body(&self.world.request(&place, &call))["holds"] == true
    }

    /// Every object of a class that has been spoken to.
    pub fn places(&self, class: Class) -> Vec<Place> {
        self.world.places().into_iter().filter(|place| place.class == class).collect()
    }
}
