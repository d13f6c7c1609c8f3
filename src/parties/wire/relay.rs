//! Relays in JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::body::{Chars, Members, parse_body};
use super::identity::query_value;
use super::problem::{Invalid, detail};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;
use crate::parties::naive::{Offset, render};
use crate::parties::relays::{
    CAPACITY_DEFAULT, CAPACITY_MAX, HOST_CHARS_MAX, Intake, Profile, REGION_CHARS_MAX, REGION_DEFAULT,
    RELAY_ID_CHARS_MAX, Relay, RelayRefusal,
};

/// Reads a relay's registration.
///
/// Errors: all that is wrong with it.
pub fn parse_registration(bytes: &[u8]) -> Result<(String, Profile), Vec<Invalid>> {
    let mut members = parse_body(bytes)?;
    let relay_id = members.text("relay_id", Chars { min: 1, max: RELAY_ID_CHARS_MAX });
    let public_ip = members.text("public_ip", Chars { min: 1, max: HOST_CHARS_MAX });
    let port = members.integer("port", 1, 65_535);
    let region = if members.has("region") {
        members.text("region", Chars { min: 0, max: REGION_CHARS_MAX })
    } else {
        REGION_DEFAULT.to_owned()
    };
    let capacity = if members.has("capacity") {
        members.integer("capacity", 0, i64::from(CAPACITY_MAX))
    } else {
        i64::from(CAPACITY_DEFAULT)
    };
    let load = read_load(&mut members);
    let health = members.optional_integer("health", 0, 100);
    let draining = members.optional_truth("draining").unwrap_or(false);
    let profile = Profile {
        public_ip,
        port: u16::try_from(port).unwrap_or(0),
        region,
        capacity: u32::try_from(capacity).unwrap_or(0),
        load,
        health: health.and_then(|health| u8::try_from(health).ok()),
        intake: if draining { Intake::Draining } else { Intake::Open },
    };
    members.finish((relay_id, profile))
}

fn read_load(members: &mut Members) -> Option<f64> {
    match members.take("load")? {
        Value::Null => None,
        value => {
            let load = value.as_f64().filter(|load| (0.0..=1.0).contains(load));
            if load.is_none() {
                members.blame("load", "float_range", "Input should be a number between 0 and 1", value);
            }
            load
        }
    }
}

/// How a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListWish {
    /// Whether more than the original's six members is wanted.
    pub detail: ListDetail,
    /// Whether the bootstrap registry's servers are wanted too.
    pub servers: ListServers,
}

/// How much of each relay is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListDetail {
    /// The original's six members, of relays that take newcomers.
    Plain,
    /// Ten members, of all relays.
    Full,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListServers {
    /// The parties' relays.
    Without,
    /// Also the bootstrap registry's relay servers.
    With,
}

/// Reads a list's query. Anything else in it is ignored, as in the original.
#[must_use]
pub fn parse_list_wish(query: &str) -> ListWish {
    let is_full = query_value(query, "full").is_some_and(|value| value == "true" || value == "1");
    let has_servers = query_value(query, "include").is_some_and(|value| value.split(',').any(|name| name == "servers"));
    ListWish {
        detail: if is_full { ListDetail::Full } else { ListDetail::Plain },
        servers: if has_servers { ListServers::With } else { ListServers::Without },
    }
}

/// A relay as it is listed: exactly the original's six members, or ten.
#[derive(Debug, Serialize)]
pub struct Listed {
    relay_id: String,
    public_ip: String,
    port: u16,
    region: String,
    capacity: u32,
    registered_at: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    more: Option<More>,
}

#[derive(Debug, Serialize)]
struct More {
    health: Option<u8>,
    load: Option<f64>,
    draining: bool,
    last_seen: String,
}

impl Listed {
    fn new(relay_id: &str, relay: &Relay, wish: ListWish) -> Self {
        let profile = &relay.profile;
        let more = || More {
            health: profile.health,
            load: profile.load,
            draining: profile.intake == Intake::Draining,
            last_seen: render(relay.seen_at, Offset::UTC),
        };
        Self {
            relay_id: relay_id.to_owned(),
            public_ip: profile.public_ip.clone(),
            port: profile.port,
            region: profile.region.clone(),
            capacity: profile.capacity,
            registered_at: render(relay.registered_at, Offset::UTC),
            more: (wish.detail == ListDetail::Full).then(more),
        }
    }
}

/// The relays that a list shows. Draining ones take nobody new, so whoever looks for a relay is not shown them.
#[must_use]
pub fn listed(relays: &[(&str, &Relay)], wish: ListWish) -> Vec<Listed> {
    let shown = |relay: &Relay| wish.detail == ListDetail::Full || relay.profile.intake == Intake::Open;
    relays.iter().filter(|(_, relay)| shown(relay)).map(|(id, relay)| Listed::new(id, relay, wish)).collect()
}

/// The list.
///
/// Errors: as [`to_json`].
pub fn encode_list(relays: &[Listed]) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct Body<'a> {
        relays: &'a [Listed],
    }
    to_json(&Body { relays })
}

/// A server of the bootstrap registry's list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    server_id: String,
    endpoint: String,
    #[serde(default)]
    region: String,
    registered_at: Timestamp,
    last_seen: Timestamp,
}

/// The bootstrap registry's list among ours, in the same order. An id that both know is ours.
#[must_use]
pub fn merge_servers(mut relays: Vec<Listed>, list: &str, region: Option<&str>, wish: ListWish) -> Vec<Listed> {
    #[derive(Deserialize)]
    struct Body {
        servers: Vec<Server>,
    }
    let servers = serde_json::from_str::<Body>(list).map_or(Vec::new(), |body| body.servers);
    let ours: std::collections::HashSet<String> = relays.iter().map(|relay| relay.relay_id.clone()).collect();
    let theirs = servers.into_iter().filter(|server| !ours.contains(&server.server_id));
    relays.extend(theirs.filter_map(|server| from_server(server, wish)));
    relays.retain(|relay| region.is_none_or(|region| relay.region == region));
    relays.sort_by(|left, right| (&left.region, &left.relay_id).cmp(&(&right.region, &right.relay_id)));
    relays
}

fn from_server(server: Server, wish: ListWish) -> Option<Listed> {
    let url = Url::parse(&server.endpoint).ok()?;
    let default = if matches!(url.scheme(), "https" | "wss") { 443 } else { 80 };
    let more = || More { health: None, load: None, draining: false, last_seen: render(server.last_seen, Offset::UTC) };
    Some(Listed {
        public_ip: url.host_str()?.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(default),
        capacity: CAPACITY_DEFAULT,
        registered_at: render(server.registered_at, Offset::UTC),
        more: (wish.detail == ListDetail::Full).then(more),
        region: if server.region.is_empty() { REGION_DEFAULT.to_owned() } else { server.region },
        relay_id: server.server_id,
    })
}

/// The answer to a registration.
#[must_use]
pub fn encode_registered(relay_id: &str) -> String {
    json!({ "status": "registered", "relay_id": relay_id }).to_string()
}

/// The answer to a removal.
#[must_use]
pub fn encode_removed(relay_id: &str) -> String {
    json!({ "status": "removed", "relay_id": relay_id }).to_string()
}

/// How many parties and relays there are.
#[must_use]
pub fn encode_counts(parties: u64, relays: usize) -> String {
    json!({ "parties": parties, "relays": relays }).to_string()
}

/// A refusal that concerns a relay.
#[must_use]
pub fn refuse(relay_id: &str, refusal: RelayRefusal) -> Reply {
    match refusal {
        RelayRefusal::NotOwner => detail(403, &format!("Relay {relay_id} belongs to another token")),
        RelayRefusal::Unknown => detail(404, &format!("Relay {relay_id} not found")),
        RelayRefusal::OwnerFull => detail(409, "Too many relays of one token"),
        RelayRefusal::Full => detail(503, "Too many relays").with_header("Retry-After", "60"),
    }
}
