//! The one table of routes: the matcher, authorisation, the OpenAPI document and the tests all read it.
//!
//! A row without "who may call" does not compile, because [`Route`] has no default.

use super::head::{Method, Wish};
use crate::kernel::operation::{Class, Operation};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Anybody.
    Anyone,
    /// The holder of `SERVER_REGISTRY_SECRET`; anybody in `DEV_MODE` without that secret.
    RegistryWriter,
    /// As [`Who::RegistryWriter`], or whoever proves in the body that it owns the entry: the object decides.
    RegistryWriterOrOwner,
    /// The holder of `CI_UPLOAD_SECRET`.
    Ci,
    /// The holder of `ADMIN_SECRET`.
    Operator,
}

/// Where the answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// In the front, without an object.
    Front,
    /// In the front after asking every class.
    EveryClass,
    /// In the object of this class with a fixed name.
    Fixed(Class, &'static str),
    /// In the object of this class that the prefix and the first path parameter name together.
    Named(Class, &'static str),
}

/// One answer that an operation can give, for the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When.
    pub when: &'static str,
    /// The name of the body's schema in the document; problems all have the same.
    pub schema: Option<&'static str>,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method; `HEAD` comes with `GET`.
    pub method: Method,
    /// The path; `{name}` stands for one non-empty segment.
    pub template: &'static str,
    /// Whether the row is a WebSocket.
    pub wish: Wish,
    /// What is asked for.
    pub operation: Operation,
    /// Where the answer is made.
    pub to: To,
    /// Who may call.
    pub who: Who,
    /// The largest body. Units: bytes; 0 for none.
    pub body_max: usize,
    /// One sentence for the document.
    pub summary: &'static str,
    /// The name of the request body's schema in the document.
    pub request: Option<&'static str>,
    /// What can be answered, beside what every route can (413, 429, 500, 503).
    pub answers: &'static [Answer],
}

const fn ok(schema: &'static str) -> Answer {
    Answer { status: 200, when: "Done.", schema: Some(schema) }
}
const fn problem(status: u16, when: &'static str) -> Answer {
    Answer { status, when, schema: Some("Problem") }
}
const NOT_MODIFIED: Answer = Answer { status: 304, when: "The copy with the named `ETag` is current.", schema: None };
const INVALID: Answer = problem(400, "The request is not valid.");
const UNAUTHORIZED: Answer = problem(401, "Credentials are missing or wrong.");
const UPGRADED: Answer = Answer { status: 101, when: "The WebSocket is open.", schema: None };
const NEEDS_UPGRADE: Answer = problem(426, "The request is not a WebSocket upgrade.");
const BAD_ORIGIN: Answer = problem(403, "The page's origin is not allowed.");
const TAKEN: Answer = problem(409, "Another reference is kept for this build.");
const SOCKET: &[Answer] = &[UPGRADED, BAD_ORIGIN, NEEDS_UPGRADE];

const fn get(template: &'static str, operation: Operation, to: To, who: Who, summary: &'static str) -> Route {
    Route {
        method: Method::Get,
        template,
        wish: Wish::Answer,
        operation,
        to,
        who,
        body_max: 0,
        summary,
        request: None,
        answers: &[],
    }
}

const fn post(template: &'static str, operation: Operation, to: To, who: Who, summary: &'static str) -> Route {
    Route { method: Method::Post, ..get(template, operation, to, who, summary) }
}

const fn socket(template: &'static str, operation: Operation, to: To, summary: &'static str) -> Route {
    Route { wish: Wish::Socket, answers: SOCKET, ..get(template, operation, to, Who::Anyone, summary) }
}

const LOBBY: To = To::Fixed(Class::SignalingRoom, "lobby");
const SERVERS: To = To::Fixed(Class::ServerRegistry, "global");
const RELAY: To = To::Fixed(Class::RelayRegistry, "global");
const RELAY_NAMED: To = To::Named(Class::RelayRegistry, "");
const ATTEST: To = To::Fixed(Class::AttestationRegistry, "global");
const BUILD: To = To::Named(Class::ReferenceStore, "build/");

/// Every route of the service.
pub const ROUTES: &[Route] = &[
    Route {
        answers: &[ok("Overview")],
        ..get("/", Operation::Overview, To::Front, Who::Anyone, "What this service is and where its endpoints stand.")
    },
    socket("/", Operation::SignalRoot, LOBBY, "Signaling in the lobby; greets with `server_info`."),
    Route {
        answers: &[ok("Overview")],
        ..get("/api/info", Operation::Overview, To::Front, Who::Anyone, "The same document as `/`.")
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
    socket("/ws", Operation::SignalShared, LOBBY, "Signaling in the lobby."),
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
    Route {
        body_max: 8192,
        request: Some("DeviceRegistration"),
        answers: &[
            ok("RegisteredDevice"),
            INVALID,
            problem(403, "The build token, the device's proof or the build will not do."),
            problem(409, "Seen before."),
        ],
        ..post(
            "/attest/register",
            Operation::AttestRegister,
            ATTEST,
            Who::Anyone,
            "Registers a device by its build token.",
        )
    },
    Route {
        body_max: 65_536,
        request: Some("ReferenceUpload"),
        answers: &[ok("UploadedReference"), INVALID, UNAUTHORIZED, TAKEN],
        ..post(
            "/attest/upload-reference",
            Operation::AttestUploadReference,
            ATTEST,
            Who::Ci,
            "Declares regions of a build's file, with their bytes. Never changes what is kept.",
        )
    },
    Route {
        body_max: 65_536,
        request: Some("SignedManifest"),
        answers: &[ok("BegunUpload"), INVALID, UNAUTHORIZED, problem(403, "The manifest is not signed by CI."), TAKEN],
        ..post(
            "/attest/references",
            Operation::AttestReferenceBegin,
            ATTEST,
            Who::Ci,
            "Begins, or goes on with, the upload of a whole file.",
        )
    },
    Route {
        method: Method::Put,
        body_max: 4 * 1024 * 1024,
        answers: &[
            ok("UploadedPart"),
            UNAUTHORIZED,
            problem(404, "No such upload, or no such part."),
            TAKEN,
            problem(422, "The part's bytes are not those of its hash."),
        ],
        ..get(
            "/attest/references/{id}/parts/{n}",
            Operation::AttestPart,
            BUILD,
            Who::Ci,
            "Uploads one part; `?sha256=` is its hash in hex.",
        )
    },
    Route {
        answers: &[
            ok("UploadedReference"),
            UNAUTHORIZED,
            problem(404, "No such upload."),
            problem(409, "Parts are missing."),
            problem(422, "The parts are not the file of the manifest."),
        ],
        ..post(
            "/attest/references/{id}/complete",
            Operation::AttestComplete,
            BUILD,
            Who::Ci,
            "Recomputes the tree hash and counts the file as reference.",
        )
    },
    Route {
        body_max: 2048,
        request: Some("ChallengeWish"),
        answers: &[
            ok("Challenge"),
            INVALID,
            problem(403, "The build is not allowed, or not the device's."),
            problem(404, "The device or its reference is unknown."),
            problem(409, "Seen before."),
        ],
        ..post("/attest/challenge", Operation::AttestChallenge, ATTEST, Who::Anyone, "Asks for a challenge.")
    },
    Route {
        body_max: 16_384,
        request: Some("ChallengeAnswer"),
        answers: &[ok("Verified"), INVALID, problem(403, "The answer is not good, for whatever reason.")],
        ..post("/attest/verify", Operation::AttestVerify, ATTEST, Who::Anyone, "Answers a challenge.")
    },
    Route {
        answers: &[ok("VersionPolicy"), NOT_MODIFIED],
        ..get("/attest/versions", Operation::AttestVersionsRead, ATTEST, Who::Anyone, "The version policy, signed.")
    },
    Route {
        body_max: 4096,
        request: Some("VersionPolicyWish"),
        answers: &[
            ok("VersionPolicyChange"),
            INVALID,
            UNAUTHORIZED,
            problem(412, "The policy is not the one that `If-Match` names."),
        ],
        ..post(
            "/attest/versions",
            Operation::AttestVersionsWrite,
            ATTEST,
            Who::Operator,
            "Replaces the version policy; with `?dry_run=true` only tells what would happen.",
        )
    },
    Route {
        answers: &[ok("AttestationLog"), INVALID],
        ..get(
            "/attest/log",
            Operation::AttestLog,
            ATTEST,
            Who::Anyone,
            "Uploads and policy changes, hash-chained and signed; `?after=` and `?limit=` page.",
        )
    },
    Route {
        answers: &[ok("KeySet")],
        ..get("/.well-known/jwks.json", Operation::AttestKeys, ATTEST, Who::Anyone, "The keys that sign sessions.")
    },
];
