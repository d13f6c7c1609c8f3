//! A shard of the identities on a stage, and what its callers say.
#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use waystation::kernel::keys::SigningPair;
use waystation::kernel::network::ClientNetwork;
use waystation::kernel::object::{Answer, Call, Principal};
use waystation::kernel::operation::Operation;
use waystation::kernel::reply::Reply;
use waystation::kernel::sql::{Sql as _, Statement};
use waystation::kernel::time::Timestamp;
use waystation::parties::PartyIdentities;
use waystation::parties::identity::signed_message;

use crate::support::{Stage, body, call, settings};

pub const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;

pub struct Shard {
    pub stage: Stage<PartyIdentities>,
}

pub fn shard() -> Shard {
    shard_with(&[("PARTY_TOKEN_KEY", KEY)])
}

pub fn shard_with(pairs: &[(&str, &str)]) -> Shard {
    Shard { stage: Stage::new(settings(pairs), PartyIdentities::MIGRATIONS, PartyIdentities::load) }
}

/// One of many networks.
pub fn from(number: u32) -> ClientNetwork {
    let [_, a, b, c] = number.to_be_bytes();
    ClientNetwork::from_header(Some(&format!("100.{a}.{b}.{c}")))
}

impl Shard {
    pub fn register_query(&mut self, query: &str) -> Reply {
        let call = Call { query: query.to_owned(), client: from(1), ..call(Operation::PartyRegister) };
        self.stage.call(&call)
    }

    pub fn register(&mut self, peer_id: &str) -> Reply {
        self.register_as(peer_id, from(1), None, &[])
    }

    pub fn register_as(&mut self, peer_id: &str, client: ClientNetwork, header: Option<&str>, body: &[u8]) -> Reply {
        let call = Call {
            query: format!("peer_id={peer_id}"),
            client,
            authorization: header.map(str::to_owned),
            body: body.to_vec(),
            ..call(Operation::PartyRegister)
        };
        self.stage.call(&call)
    }

    /// A token for a peer from network 1.
    pub fn token(&mut self, peer_id: &str) -> String {
        let reply = self.register(peer_id);
        assert_eq!(reply.status, 200, "{}", reply.body);
        body(&reply)["token"].as_str().unwrap().to_owned()
    }

    /// A token for a peer that signs, one millisecond after `time`.
    pub fn token_of(&mut self, time: Timestamp, pair: &SigningPair, peer_id: &str) -> String {
        let time = time.plus(1);
        let signature = pair.sign_base64(signed_message(peer_id, time).as_bytes());
        let wish = json!({ "public_key": pair.public_base64(), "signature": signature, "timestamp": time.as_millis() });
        let reply = self.register_as(peer_id, from(1), None, wish.to_string().as_bytes());
        body(&reply)["token"].as_str().unwrap().to_owned()
    }

    pub fn service(&mut self, operation: Operation, message: &Value) -> Reply {
        let call = Call { principal: Principal::Service, body: message.to_string().into_bytes(), ..call(operation) };
        self.stage.call(&call)
    }

    pub fn admit(&mut self, token: &str) -> Reply {
        self.service(Operation::PartyAdmit, &json!({ "token": token }))
    }

    pub fn revoke(&mut self, header: Option<&str>, body: &[u8]) -> Reply {
        let call =
            Call { authorization: header.map(str::to_owned), body: body.to_vec(), ..call(Operation::PartyRevoke) };
        self.stage.call(&call)
    }

    pub fn claim(&mut self, peer_id: &str, token: Option<&str>, (gateway, conn): (&str, u32), network: &str) -> Reply {
        let claim = json!({ "peer_id": peer_id, "token": token, "gateway": gateway, "conn": conn, "network": network });
        self.service(Operation::PartyClaim, &claim)
    }

    pub fn release(&mut self, peer_id: &str, (gateway, conn): (&str, u32)) -> Reply {
        let release = json!({ "peer_id": peer_id, "gateway": gateway, "conn": conn });
        self.service(Operation::PartyRelease, &release)
    }

    /// A claim or release that says which one of its socket it is.
    pub fn stamped(&mut self, operation: Operation, stamp: &str, peer_id: &str, (gateway, conn): (&str, u32)) -> Reply {
        let message = json!({ "peer_id": peer_id, "token": null, "gateway": gateway, "conn": conn, "network": "n" });
        let call = Call {
            principal: Principal::Service,
            params: vec![stamp.to_owned()],
            body: message.to_string().into_bytes(),
            ..call(operation)
        };
        self.stage.call(&call)
    }

    pub fn member(&mut self, peer_id: &str, party_id: &str, state: &str) {
        let membership = json!({ "peer_id": peer_id, "party_id": party_id, "state": state });
        assert_eq!(self.service(Operation::PartyMembership, &membership).status, 200);
    }

    /// A request to begin a party; the party's answer is still out.
    pub fn create(&mut self, peer_id: &str, key: Option<&str>, body: &str) -> Answer {
        let call = Call {
            principal: Principal::Peer,
            caller: Some(peer_id.to_owned()),
            idempotency_key: key.map(str::to_owned),
            body: body.as_bytes().to_vec(),
            ..call(Operation::PartyCreate)
        };
        self.stage.begin(&call)
    }

    /// Fills the shard with peers that have used their tokens, without the minutes that it would take.
    pub fn fill_with_used(&mut self, count: u64) {
        let now = self.stage.now.as_millis();
        let insert = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
            INSERT INTO identity (peer_id, network, seen_at, used) SELECT 'used' || i, 'x', ?2, 1 FROM n";
        let tally = "INSERT OR REPLACE INTO tally (id, identities, bindings, memberships, allowances) \
            VALUES (1, ?1, 0, 0, 0)";
        let statements =
            vec![Statement::new(insert, vec![count.into(), now.into()]), Statement::new(tally, vec![count.into()])];
        self.stage.database.commit(statements).unwrap();
        self.stage.evict();
    }

    /// Fills the bindings and memberships, every second binding with a socket that is gone.
    pub fn fill_with_sockets(&mut self, bindings: u64, memberships: u64) {
        let now = self.stage.now.as_millis();
        let bind = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
            INSERT INTO binding (peer_id, gateway, conn, stamp, network, since, released_at) \
            SELECT 'bound' || i, '07', i, 0, 'x', ?2 + i, CASE i % 2 WHEN 1 THEN ?2 + i END FROM n";
        let join = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
            INSERT INTO membership (peer_id, party_id, joined_at) SELECT 'member' || i, 'x', ?2 + i FROM n";
        let tally = "INSERT OR REPLACE INTO tally (id, identities, bindings, memberships, allowances) \
            VALUES (1, 0, ?1, ?2, 0)";
        let statements = vec![
            Statement::new(bind, vec![bindings.into(), now.into()]),
            Statement::new(join, vec![memberships.into(), now.into()]),
            Statement::new(tally, vec![bindings.into(), memberships.into()]),
        ];
        self.stage.database.commit(statements).unwrap();
        self.stage.evict();
    }

    pub fn rows(&self, table: &str) -> u64 {
        let sql: &'static str = match table {
            "identity" => "SELECT count(*) FROM identity",
            "token" => "SELECT count(*) FROM token",
            "allowance" => "SELECT count(*) FROM allowance",
            "binding" => "SELECT count(*) FROM binding",
            "membership" => "SELECT count(*) FROM membership",
            "creation" => "SELECT count(*) FROM creation",
            "tally" => "SELECT count(*) FROM tally",
            other => panic!("no table {other}"),
        };
        self.stage.database.read(Statement::plain(sql)).unwrap()[0].unsigned(0).unwrap()
    }
}
