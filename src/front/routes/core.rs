//! Rows of the service itself, of relay servers, signaling and relays.

use super::super::head::Method;
use super::{Answer, INVALID, NOT_MODIFIED, Room, Route, To, UNAUTHORIZED, Who, get, ok, post, problem, socket};
use crate::kernel::operation::{Class, Operation};

const LOBBY: To = To::Fixed(Class::SignalingRoom, "lobby");
const SERVERS: To = To::Fixed(Class::ServerRegistry, "global");
const RELAY: To = To::Fixed(Class::RelayRegistry, "global");
const RELAY_NAMED: To = To::Named(Class::RelayRegistry, "");

pub(super) const TABLE: &[Route] = &[
    Route {
        answers: &[ok("Overview")],
        ..get(
            "/",
            Operation::Overview,
            To::Overview,
            Who::Anyone,
            "What this service is and where its endpoints stand.",
        )
    },
    socket("/", Operation::SignalRoot, LOBBY, "Signaling in the lobby; greets with `server_info`."),
    Route {
        answers: &[ok("Overview")],
        ..get("/api/info", Operation::Overview, To::Overview, Who::Anyone, "The same document as `/`.")
    },
    Route {
        answers: &[ok("Health")],
        ..get("/health", Operation::Health, To::Front, Who::Anyone, "Whether the process answers. Touches no storage.")
    },
    Route {
        answers: &[
            ok("Readiness"),
            UNAUTHORIZED,
            Answer { status: 503, when: "A class or secret is missing.", schema: Some("Readiness") },
        ],
        ..get(
            "/ready",
            Operation::Ready,
            To::EveryClass,
            Who::Operator,
            "Whether every object class answers and which secrets are missing.",
        )
    },
    Route {
        answers: &[Answer { status: 200, when: "The OpenAPI 3.1 document.", schema: None }, NOT_MODIFIED],
        ..get("/openapi.json", Operation::OpenApi, To::Front, Who::Anyone, "This document.")
    },
    Route {
        answers: &[Answer { status: 200, when: "A page.", schema: None }, NOT_MODIFIED],
        ..get("/docs", Operation::Docs, To::Front, Who::Anyone, "The same as a readable page, with every error code.")
    },
    Route {
        answers: &[ok("SignedList"), NOT_MODIFIED],
        ..get("/servers", Operation::ServersList, SERVERS, Who::Anyone, "The relay servers that are alive, signed.")
    },
    Route {
        answers: &[ok("SigningKeys")],
        ..get("/servers/keys", Operation::ServersKeys, SERVERS, Who::Anyone, "The public keys that sign the list.")
    },
    Route {
        body_max: 4096,
        request: Some("Registration"),
        answers: &[
            ok("Registered"),
            INVALID,
            UNAUTHORIZED,
            problem(403, "The signature is not the server's."),
            problem(409, "Seen before."),
        ],
        ..post(
            "/servers",
            Operation::ServersRegister,
            SERVERS,
            Who::RegistryWriter,
            "Registers a relay server, or replaces its entry.",
        )
    },
    Route {
        body_max: 2048,
        request: Some("Heartbeat"),
        answers: &[
            ok("Peers"),
            INVALID,
            UNAUTHORIZED,
            problem(404, "The server is not registered."),
            problem(409, "Seen before."),
        ],
        ..post(
            "/servers/heartbeat",
            Operation::ServersHeartbeat,
            SERVERS,
            Who::RegistryWriter,
            "Keeps a server listed and tells it its peers.",
        )
    },
    Route {
        method: Method::Delete,
        body_max: 2048,
        request: Some("Removal"),
        answers: &[ok("Success"), INVALID, UNAUTHORIZED, problem(403, "The proof is not the server's.")],
        ..get(
            "/servers/{serverId}",
            Operation::ServersRemove,
            SERVERS,
            Who::RegistryWriterOrOwner,
            "Takes a server off the list.",
        )
    },
    socket(
        "/ws",
        Operation::SignalShared,
        To::Room(Room::Parties),
        "Parties, or signaling in the lobby: the first message decides.",
    ),
    socket("/client", Operation::SignalClient, LOBBY, "Signaling in the lobby."),
    socket("/signaling", Operation::SignalClient, LOBBY, "Signaling in the lobby."),
    socket(
        "/signal/{room}",
        Operation::SignalRoom,
        To::Named(Class::SignalingRoom, "room/"),
        "Signaling in a room of its own.",
    ),
    Route {
        answers: &[ok("RelayStatistics")],
        ..get("/stats", Operation::RelayStats, RELAY, Who::Anyone, "Statistics of the relay registry `global`.")
    },
    socket("/relay", Operation::RelayOpen, RELAY, "Relays, rendezvous, chunks and channels of the registry `global`."),
    socket(
        "/relay/{name}",
        Operation::RelayOpen,
        RELAY_NAMED,
        "Relays, rendezvous, chunks and channels of one registry.",
    ),
    Route {
        answers: &[ok("RelayStatistics")],
        ..get(
            "/relay/{name}/stats",
            Operation::RelayStats,
            RELAY_NAMED,
            Who::Anyone,
            "Statistics of one relay registry.",
        )
    },
];
