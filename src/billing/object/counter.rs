//! Letters by network, whatever the server: counted by objects of their own, because anybody may register servers.

use sha2::{Digest, Sha256};

use super::{BillingDesk, Tables, Work};
use crate::billing::MAIL_COUNTER;
use crate::billing::mail::{DAY_MS, PER_NETWORK_MAX, Permit};
use crate::billing::store;
use crate::kernel::code::ErrorCode;
use crate::kernel::errand::{Errand, Outcome};
use crate::kernel::fault::Fault;
use crate::kernel::network::ClientNetwork;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::{Problem, Reply};
use crate::kernel::sql::Sql;
use crate::kernel::time::Timestamp;

/// Objects that count.
const SHARDS: u8 = 16;

/// The question whether a network may ask for one more.
pub(super) fn question(network: &ClientNetwork) -> Errand {
    let [first, ..]: [u8; 32] = Sha256::digest(network.as_str().as_bytes()).into();
    let name = format!("{MAIL_COUNTER}/{}", first % SHARDS);
    let call = service_call(Operation::BillingCountMail, Vec::new());
    Errand::Call { class: Class::RemoteServer, name, call: Box::new(Call { client: network.clone(), ..call }) }
}

/// A call by one of our objects.
pub(super) fn service_call(operation: Operation, body: Vec<u8>) -> Call {
    Call {
        operation,
        params: Vec::new(),
        query: String::new(),
        principal: Principal::Service,
        client: ClientNetwork::unknown(),
        request_id: String::from("billing"),
        bearer: None,
        if_match: None,
        authorization: None,
        content_type: None,
        idempotency_key: None,
        browser: None,
        caller: None,
        body,
    }
}

/// What the counter's answer means.
pub(super) fn permit(outcome: &Outcome) -> Permit {
    match outcome {
        Outcome::Replied(reply) if reply.status == 200 => Permit::Granted,
        Outcome::Replied(reply) if reply.status == 429 => Permit::Refused,
        _ => Permit::Silent,
    }
}

impl BillingDesk {
    /// Counts one more, if there may be one more.
    pub(super) fn count_mail(&self, sql: &dyn Sql, now: Timestamp, call: &Call) -> Result<(Reply, Work), Fault> {
        let refused = |code| (Problem::plain(code).into_reply(&call.request_id), Work::default());
        if call.principal != Principal::Service {
            return Ok(refused(ErrorCode::NotFound));
        }
        let network = call.client.as_str();
        let is_empty = self.tables == Tables::Absent;
        if !is_empty && store::mail::counted(sql, network, now.minus(DAY_MS))? >= PER_NETWORK_MAX as u64 {
            return Ok(refused(ErrorCode::RateLimited));
        }
        let statements = vec![store::mail::count(network, now)];
        Ok((Reply::json_text(String::from("{}")), Work { statements, ..Work::default() }))
    }
}
