//! Bytes ↔ values: bodies of requests, the list and its entries, the liveness snapshot, and the words of refusals.
//!
//! Source: the field's bootstrap protocol, whose member names, member order and sentences clients know.

mod canonical;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::admission::{BeatClaim, CounterClaim, PROOFS_MAX, Refusal, RegistrationClaim};
use super::endpoint::EndpointError;
use super::member::Member;
use super::proof::{NONCE_TTL_MS, ProofClaim, ProofError, SignedForms};
use super::registry::{Counters, Entry, Liveness};
use crate::kernel::code::ErrorCode;
use crate::kernel::fault::Fault;
use crate::kernel::json::{quote, to_ascii, to_json};
use crate::kernel::keys::SigningPair;
use crate::kernel::reply::Problem;
use crate::kernel::time::Timestamp;

const SIGNATURE: &str = "signature";

/// The members of a body; none for JSON that is no object, which then lacks every member.
struct Body<'a> {
    text: &'a str,
    members: Map<String, Value>,
}

fn parse_body(bytes: &[u8]) -> Result<Body<'_>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed)?;
    let members = match serde_json::from_str(text).map_err(|_| Refusal::Malformed)? {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    Ok(Body { text, members })
}

impl Body<'_> {
    fn take(&mut self, name: &str) -> Member {
        match self.members.remove(name) {
            None => Member::Missing,
            Some(Value::Null | Value::Bool(false)) => Member::Falsy,
            Some(Value::String(text)) => Member::Text(text),
            Some(Value::Number(number)) => number.as_f64().map_or(Member::Other, Member::Number),
            Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => Member::Other,
        }
    }

    fn counters(&mut self) -> CounterClaim {
        CounterClaim {
            connections: self.take("connections"),
            relay_connections: self.take("relayConnections"),
            signaling_connections: self.take("signalingConnections"),
            active_codes: self.take("activeCodes"),
        }
    }

    fn is_signed(&self) -> bool {
        self.members.contains_key(SIGNATURE)
    }

    fn proof(&mut self, forms: SignedForms) -> ProofClaim {
        ProofClaim {
            timestamp: self.take("timestamp"),
            nonce: self.take("nonce"),
            signature: self.take(SIGNATURE),
            forms,
        }
    }
}

/// Reads the body of a registration.
pub(super) fn parse_registration(bytes: &[u8]) -> Result<RegistrationClaim, Refusal> {
    let mut body = parse_body(bytes)?;
    let forms = if body.is_signed() {
        let five = ["endpoint", "publicKey", "region", "serverId", "timestamp"];
        SignedForms {
            whole: canonical::canonical_without(body.text, SIGNATURE),
            five_members: canonical::canonical_of(body.text, &five),
        }
    } else {
        SignedForms::default()
    };
    Ok(RegistrationClaim {
        server_id: body.take("serverId"),
        endpoint: body.take("endpoint"),
        public_key: body.take("publicKey"),
        region: body.take("region"),
        counters: body.counters(),
        proof: body.proof(forms),
    })
}

/// Reads the body of a heartbeat. A signed registration or removal is no signed heartbeat, although it names a server
/// and a time as one does.
pub(super) fn parse_beat(bytes: &[u8]) -> Result<BeatClaim, Refusal> {
    let mut body = parse_body(bytes)?;
    let is_of_another_kind = ["endpoint", "action"].iter().any(|name| body.members.contains_key(*name));
    let whole =
        if body.is_signed() && !is_of_another_kind { canonical::canonical_without(body.text, SIGNATURE) } else { None };
    Ok(BeatClaim {
        server_id: body.take("serverId"),
        counters: body.counters(),
        sequence: body.take("sequenceNumber"),
        proof: body.proof(SignedForms { whole, five_members: None }),
    })
}

/// Reads the body of a removal of `server_id`; nothing when there is none.
pub(super) fn parse_removal(bytes: &[u8], server_id: &str) -> Result<Option<ProofClaim>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut body = parse_body(bytes)?;
    let [nonce, timestamp] =
        ["nonce", "timestamp"].map(|name| body.members.get(name).map_or(String::from("null"), Value::to_string));
    let id = quote(server_id);
    let whole = format!(r#"{{"action":"unregister","nonce":{nonce},"serverId":{id},"timestamp":{timestamp}}}"#);
    let whole = canonical::canonical_without(&whole, SIGNATURE);
    Ok(Some(body.proof(SignedForms { whole, five_members: None })))
}

/// A server as clients read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryBody<'a> {
    server_id: &'a str,
    endpoint: &'a str,
    public_key: &'a str,
    region: &'a str,
    connections: u64,
    relay_connections: u64,
    signaling_connections: u64,
    active_codes: u64,
    registered_at: Timestamp,
    last_seen: Timestamp,
}

fn entry_body<'a>((server_id, entry): (&'a str, &'a Entry)) -> EntryBody<'a> {
    let Liveness { last_seen, counters, .. } = entry.liveness;
    EntryBody {
        server_id,
        endpoint: &entry.endpoint,
        public_key: &entry.public_key,
        region: &entry.region,
        connections: counters.connections,
        relay_connections: counters.relay_connections,
        signaling_connections: counters.signaling_connections,
        active_codes: counters.active_codes,
        registered_at: entry.registered_at,
        last_seen,
    }
}

/// The list: `servers` first, `timestamp` last, compact and ASCII, because clients sign and re-encode these bytes.
pub(super) fn encode_list<'a>(
    alive: impl Iterator<Item = (&'a str, &'a Entry)>,
    now: Timestamp,
) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct ListBody<'a> {
        servers: Vec<EntryBody<'a>>,
        timestamp: Timestamp,
    }
    to_json(&ListBody { servers: alive.map(entry_body).collect(), timestamp: now }).map(to_ascii)
}

/// The answer to a registration.
pub(super) fn encode_registered(server_id: &str, entry: &Entry) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct RegisteredBody<'a> {
        success: bool,
        server: EntryBody<'a>,
    }
    to_json(&RegisteredBody { success: true, server: entry_body((server_id, entry)) }).map(to_ascii)
}

/// The answer to a heartbeat.
pub(super) fn encode_peers<'a>(peers: impl Iterator<Item = (&'a str, &'a Entry)>) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct PeersBody<'a> {
        success: bool,
        peers: Vec<EntryBody<'a>>,
    }
    to_json(&PeersBody { success: true, peers: peers.map(entry_body).collect() }).map(to_ascii)
}

/// The answer to a removal.
pub(super) const REMOVED: &str = r#"{"success":true}"#;

/// The public keys of the list's signers, current first.
pub(super) fn encode_keys(keys: &[SigningPair]) -> Result<String, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct KeyBody<'a> {
        kid: &'a str,
        public_key: String,
        algorithm: &'static str,
        state: &'static str,
    }
    #[derive(Serialize)]
    struct KeysBody<'a> {
        keys: Vec<KeyBody<'a>>,
    }
    let states = std::iter::once("current").chain(std::iter::repeat("accepted"));
    let keys = keys.iter().zip(states).map(|(key, state)| KeyBody {
        kid: key.kid(),
        public_key: key.public_base64(),
        algorithm: "Ed25519",
        state,
    });
    to_json(&KeysBody { keys: keys.collect() })
}

/// One server in the liveness snapshot: registration, last seen, four counters, sequence, signed time.
#[derive(Serialize, Deserialize)]
struct SnapshotRow(u64, Timestamp, u64, u64, u64, u64, Option<u64>, Option<Timestamp>);

/// The snapshot of everybody's liveness: an array per server in an array, at most about 130 bytes each.
pub(super) fn encode_snapshot(
    liveness_by_registration: impl Iterator<Item = (u64, Liveness)>,
) -> Result<String, Fault> {
    let rows: Vec<SnapshotRow> = liveness_by_registration
        .map(|(registration, liveness)| {
            let Liveness { last_seen, counters, sequence, signed_at } = liveness;
            let Counters { connections, relay_connections, signaling_connections, active_codes } = counters;
            SnapshotRow(
                registration,
                last_seen,
                connections,
                relay_connections,
                signaling_connections,
                active_codes,
                sequence,
                signed_at,
            )
        })
        .collect();
    to_json(&rows)
}

/// Reads a snapshot of ours.
///
/// Errors: [`Fault::Corrupt`] when it is none.
pub(super) fn parse_snapshot(text: &str) -> Result<Vec<(u64, Liveness)>, Fault> {
    let rows: Vec<SnapshotRow> =
        serde_json::from_str(text).map_err(|error| Fault::Corrupt(format!("liveness snapshot: {error}")))?;
    let liveness = |SnapshotRow(registration, last_seen, connections, relay, signaling, codes, sequence, signed_at)| {
        let counters =
            Counters { connections, relay_connections: relay, signaling_connections: signaling, active_codes: codes };
        (registration, Liveness { last_seen, counters, sequence, signed_at })
    };
    Ok(rows.into_iter().map(liveness).collect())
}

/// A refusal in the words that clients know.
pub(super) fn problem(refusal: Refusal) -> Problem {
    use ErrorCode as Code;
    let (code, sentence) = match refusal {
        Refusal::Malformed => return Problem::plain(Code::InvalidJson),
        Refusal::NotAllowed => return Problem::plain(Code::Forbidden),
        Refusal::MissingFields => (Code::InvalidRequest, "Missing required fields: serverId, endpoint, publicKey"),
        Refusal::MissingServerId => (Code::InvalidRequest, "Missing serverId"),
        Refusal::ServerId => (Code::InvalidRequest, "Invalid serverId format"),
        Refusal::ServerIdInPath => (Code::InvalidPath, "Invalid server ID"),
        Refusal::Path => (Code::InvalidPath, "Invalid path format"),
        Refusal::Endpoint(error) => (Code::InvalidRequest, endpoint_sentence(error)),
        Refusal::PublicKeyTooLong => (Code::InvalidRequest, "Invalid publicKey: too long"),
        Refusal::PublicKey => (Code::InvalidRequest, "Invalid publicKey: must be a string of printable ASCII"),
        Refusal::Sequence => (Code::InvalidRequest, "Invalid sequenceNumber: must be a non-negative integer"),
        Refusal::Proof(error) => proof_sentence(error),
        Refusal::OtherKey => (Code::Forbidden, "serverId is registered under another publicKey"),
        Refusal::SignatureNeeded => (Code::Forbidden, "serverId is registered with a signature: sign to change it"),
        Refusal::Full => (Code::AtCapacity, "Server registry full"),
        Refusal::TooManyProofs => {
            let sentence = format!("More than {PROOFS_MAX} registrations with proof in a short time");
            let retry_after = NONCE_TTL_MS.div_ceil(1000).to_string();
            return Problem::new(Code::RateLimited, sentence).with_header("Retry-After", retry_after);
        }
        Refusal::NotRegistered => (Code::NotFound, "Server not registered"),
        Refusal::StaleSequence { last } => {
            let sentence = "Sequence number must be greater than the last one";
            return Problem::new(Code::Conflict, sentence).with("lastSequenceNumber", last);
        }
        Refusal::NoProof => (Code::Unauthorized, "Unauthorized"),
        Refusal::NotTheOwner => (Code::Forbidden, "Not authorized to delete this server"),
    };
    Problem::new(code, sentence)
}

const fn endpoint_sentence(error: EndpointError) -> &'static str {
    match error {
        EndpointError::NotAUrl => "Invalid endpoint: must be a valid URL",
        EndpointError::Protocol => "Invalid endpoint: must use HTTPS or WSS protocol",
        EndpointError::NotPublic => "Invalid endpoint: must not point to private or internal addresses",
        EndpointError::TooLong => "Invalid endpoint: URL too long (max 2048 characters)",
        EndpointError::Credentials => "Invalid endpoint: must not contain a user name or password",
    }
}

const fn proof_sentence(error: ProofError) -> (ErrorCode, &'static str) {
    use ErrorCode as Code;
    match error {
        ProofError::NotSigned => (Code::Unauthorized, "Signature required"),
        ProofError::Timestamp => (Code::InvalidRequest, "Missing or invalid timestamp"),
        ProofError::TooOld => (Code::InvalidRequest, "Registration timestamp too old (max 2 minutes)"),
        ProofError::TooFarAhead => (Code::InvalidRequest, "Registration timestamp too far in future (max 30 seconds)"),
        ProofError::Nonce => (Code::InvalidRequest, "Missing or invalid nonce (must be string >= 16 chars)"),
        ProofError::Signature => (Code::Forbidden, "Invalid signature: not by this server's key over this request"),
        ProofError::NonceUsed => (Code::Replayed, "Replay detected: duplicate nonce"),
        ProofError::NotNewer => (Code::Replayed, "Replay detected: timestamp is not newer than the last signed one"),
    }
}
