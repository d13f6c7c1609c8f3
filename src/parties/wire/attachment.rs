//! What is kept with a party's own socket over hibernation, as JSON.

use serde::{Deserialize, Serialize};

use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::network::ClientNetwork;
use crate::kernel::time::Timestamp;
use crate::parties::ears::{Hearing, Voice};
use crate::parties::naive::Offset;
use crate::parties::socket::{Socket, Standing};

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    party: String,
    network: ClientNetwork,
    free: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Messages that came before the answer about the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hears: Option<Hears>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hears {
    offset: i64,
    spoken: bool,
    seq: u64,
}

/// A socket, and what it listens for.
///
/// Errors: as [`to_json`].
pub fn encode(socket: &Socket, hearing: Option<&Hearing>) -> Result<String, Fault> {
    let (peer, held) = match &socket.standing {
        Standing::Stranger => (None, None),
        Standing::Asked { held } => (None, Some(held.clone())),
        Standing::Peer(peer_id) => (Some(peer_id.clone()), None),
    };
    let hears = hearing.map(|hearing| Hears {
        offset: i64::from(hearing.offset.minutes()),
        spoken: hearing.voice == Voice::Spoken,
        seq: hearing.seq,
    });
    let (party, network) = (socket.party_id.clone(), socket.network.clone());
    to_json(&Kept { party, network, free: socket.free_at_us, peer, until: socket.until, held, hears })
}

/// What [`encode`] wrote.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub fn decode(text: &str) -> Result<(Socket, Option<Hearing>), Fault> {
    let kept: Kept =
        serde_json::from_str(text).map_err(|_| Fault::Corrupt(String::from("a party socket's attachment")))?;
    let hearing = kept.hears.zip(kept.peer.clone()).map(|(hears, peer_id)| Hearing {
        peer_id,
        offset: Offset::from_minutes(hears.offset),
        voice: if hears.spoken { Voice::Spoken } else { Voice::Silent },
        seq: hears.seq,
    });
    let standing = match (kept.peer, kept.held) {
        (Some(peer_id), _) => Standing::Peer(peer_id),
        (None, Some(held)) => Standing::Asked { held },
        (None, None) => Standing::Stranger,
    };
    let (party_id, network, free_at_us, until) = (kept.party, kept.network, kept.free, kept.until);
    Ok((Socket { party_id, network, free_at_us, standing, until }, hearing))
}
