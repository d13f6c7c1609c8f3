//! Rows of parties. They answer in the envelope of the field's clients, `{"detail": …}`.

use super::super::head::Method;
use super::{Answer, Dialect, Room, Route, To, Who, get, ok, socket};
use crate::kernel::operation::Operation;

const ROOM: To = To::Room(Room::Parties);

/// The largest body: a peer's description, or a signal.
const BODY_MAX: usize = 32 * 1024;

const fn refusal(status: u16, when: &'static str) -> Answer {
    Answer { status, when, schema: Some("Refusal") }
}
const NO_TOKEN: Answer = refusal(401, "The token is missing, malformed, unknown or expired.");
const NOT_YOURS: Answer = refusal(403, "The token is another peer's, or does not allow this.");
const UNKNOWN: Answer = refusal(404, "No such party, peer or thing.");
const TAKEN: Answer = refusal(409, "It belongs to somebody else, or there is no room.");
const INVALID: Answer = refusal(422, "The body or a parameter is not valid; `detail` lists what is wrong.");

const fn row(method: Method, template: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route { method, dialect: Dialect::Detail, ..get(template, operation, ROOM, Who::Peer, summary) }
}

const fn with_body(route: Route, request: &'static str) -> Route {
    Route { body_max: BODY_MAX, request: Some(request), ..route }
}

pub(super) const TABLE: &[Route] = &[
    Route {
        who: Who::Anyone,
        answers: &[ok("PeerToken"), NO_TOKEN, TAKEN, INVALID],
        ..with_body(
            row(Method::Post, "/auth/register", Operation::PartyRegister, "Gives a token for the peer id `?peer_id=`."),
            "PeerProof",
        )
    },
    Route {
        who: Who::Anyone,
        answers: &[ok("PartyStatus"), NO_TOKEN],
        ..with_body(
            row(Method::Post, "/auth/revoke", Operation::PartyRevoke, "Ends the token, or all tokens of its peer."),
            "Revocation",
        )
    },
    Route {
        answers: &[ok("CreatedParty"), NOT_YOURS, TAKEN, INVALID],
        ..with_body(row(Method::Post, "/parties", Operation::PartyCreate, "Opens a party."), "PartyWish")
    },
    Route {
        answers: &[ok("PartyAnswer"), NOT_YOURS, UNKNOWN, INVALID],
        ..row(Method::Get, "/parties/{partyId}", Operation::PartyRead, "The party with its peers, for members.")
    },
    Route {
        answers: &[ok("PartyAnswer"), NOT_YOURS, UNKNOWN, TAKEN, INVALID],
        ..with_body(
            row(Method::Post, "/parties/{partyId}/join", Operation::PartyJoin, "Joins, or refreshes a member's entry."),
            "JoinWish",
        )
    },
    Route {
        answers: &[ok("PartyDetails"), NOT_YOURS, UNKNOWN],
        ..row(
            Method::Get,
            "/parties/{partyId}/details",
            Operation::PartyDetails,
            "Virtual addresses, roles, presence and settings, for members.",
        )
    },
    Route {
        answers: &[ok("PartySettings"), NOT_YOURS, UNKNOWN, INVALID],
        ..with_body(
            row(
                Method::Put,
                "/parties/{partyId}/settings",
                Operation::PartySettings,
                "Name, password, capacity and promotion, by the host.",
            ),
            "PartySettings",
        )
    },
    Route {
        answers: &[ok("PartyPeers"), NOT_YOURS, UNKNOWN],
        ..row(Method::Get, "/parties/{partyId}/peers", Operation::PartyPeers, "The peers, for members.")
    },
    Route {
        answers: &[ok("PartyPeerAnswer"), NOT_YOURS, UNKNOWN],
        ..row(Method::Get, "/parties/{partyId}/peers/{peerId}", Operation::PartyPeer, "One peer, for members.")
    },
    Route {
        answers: &[ok("PartyPeerAnswer"), NOT_YOURS, UNKNOWN, INVALID],
        ..with_body(
            row(
                Method::Put,
                "/parties/{partyId}/peers/{peerId}",
                Operation::PartyUpdatePeer,
                "Changes a peer's own entry; everybody is told at once.",
            ),
            "PeerChange",
        )
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN],
        ..row(
            Method::Delete,
            "/parties/{partyId}/peers/{peerId}",
            Operation::PartyLeave,
            "Leaves; the host may take out others.",
        )
    },
    Route {
        body_max: BODY_MAX,
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN],
        ..row(
            Method::Post,
            "/parties/{partyId}/peers/{peerId}/heartbeat",
            Operation::PartyHeartbeat,
            "Shows that the peer is still there.",
        )
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN, INVALID],
        ..with_body(
            row(
                Method::Put,
                "/parties/{partyId}/peers/{peerId}/latencies",
                Operation::PartyLatencies,
                "Reports how far the peer is from relays.",
            ),
            "Latencies",
        )
    },
    Route {
        answers: &[ok("Signals"), NOT_YOURS, UNKNOWN],
        ..row(
            Method::Get,
            "/parties/{partyId}/peers/{peerId}/signals",
            Operation::PartySignalPoll,
            "Takes the signals that wait for the peer.",
        )
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN, INVALID],
        ..with_body(
            row(
                Method::Post,
                "/parties/{partyId}/signals",
                Operation::PartySignalSend,
                "Sends a signal to a peer, at once or for its next poll.",
            ),
            "SignalWish",
        )
    },
    Route {
        answers: &[ok("Invites"), NOT_YOURS, UNKNOWN],
        ..row(Method::Get, "/parties/{partyId}/invites", Operation::PartyInviteList, "Open invites, for the host.")
    },
    Route {
        answers: &[ok("Invite"), NOT_YOURS, UNKNOWN, TAKEN, INVALID],
        ..with_body(
            row(Method::Post, "/parties/{partyId}/invites", Operation::PartyInviteCreate, "Makes an invite code."),
            "InviteWish",
        )
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN],
        ..row(
            Method::Delete,
            "/parties/{partyId}/invites/{code}",
            Operation::PartyInviteRevoke,
            "Takes an invite code back.",
        )
    },
    Route {
        answers: &[ok("Bans"), NOT_YOURS, UNKNOWN],
        ..row(Method::Get, "/parties/{partyId}/bans", Operation::PartyBanList, "Who is banned, for the host.")
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN, TAKEN, INVALID],
        ..with_body(
            row(Method::Post, "/parties/{partyId}/bans", Operation::PartyBan, "Takes a peer out and keeps it out."),
            "BanWish",
        )
    },
    Route {
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN],
        ..row(Method::Delete, "/parties/{partyId}/bans/{peerId}", Operation::PartyUnban, "Lets a peer join again.")
    },
    Route {
        answers: &[ok("RelayCandidates"), NOT_YOURS, UNKNOWN, INVALID],
        ..row(
            Method::Get,
            "/parties/{partyId}/relays",
            Operation::PartyRelayCandidates,
            "Relays in the order in which the pair `?peers=a,b` should try them.",
        )
    },
    Route {
        who: Who::PeerOrLater,
        dialect: Dialect::Detail,
        ..socket(
            "/parties/{partyId}/ws",
            Operation::PartySocket,
            ROOM,
            "The party's updates and signals, straight from its object.",
        )
    },
    Route {
        who: Who::PeerOrRegistryWriter,
        answers: &[ok("PartyRelays"), INVALID],
        ..row(
            Method::Get,
            "/relays",
            Operation::PartyRelayList,
            "Party relays; `?full=true` adds health and load, `?include=servers` the bootstrap registry's.",
        )
    },
    Route {
        who: Who::PeerOrRegistryWriter,
        answers: &[ok("RegisteredRelay"), NOT_YOURS, TAKEN, INVALID],
        ..with_body(
            row(Method::Post, "/relays", Operation::PartyRelayRegister, "Registers a party relay, or keeps it listed."),
            "RelayWish",
        )
    },
    Route {
        who: Who::PeerOrRegistryWriter,
        answers: &[ok("PartyRelays")],
        ..row(Method::Get, "/relays/{region}", Operation::PartyRelayRegion, "Party relays of one region.")
    },
    Route {
        who: Who::PeerOrRegistryWriter,
        answers: &[ok("PartyStatus"), NOT_YOURS, UNKNOWN],
        ..row(Method::Delete, "/relays/{relayId}", Operation::PartyRelayRemove, "Takes a party relay off the list.")
    },
];
