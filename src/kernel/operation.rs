//! The names of everything that can be asked for over HTTP, or opened as a socket.

use serde::{Deserialize, Serialize};

/// One operation of the service. The route table says under which method and path it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is described by its row in front::routes")]
pub enum Operation {
    Overview,
    Health,
    Ready,
    OpenApi,
    Docs,
    ServersList,
    ServersKeys,
    ServersRegister,
    ServersHeartbeat,
    ServersRemove,
    SignalRoot,
    SignalShared,
    SignalClient,
    SignalRoom,
    RelayOpen,
    RelayStats,
    AttestRegister,
    AttestUploadReference,
    AttestChallenge,
    AttestVerify,
    AttestVersionsRead,
    AttestVersionsWrite,
    AttestLog,
    AttestKeys,
    AttestReferenceBegin,
    AttestPart,
    AttestComplete,
    /// A build's object begins an upload; asked by the registry only.
    AttestBegin,
    /// A build's object judges an answer; asked by the registry only.
    AttestJudge,
    /// The registry issues a session; asked by a build's object only.
    AttestGrant,
    /// The registry counts a complete file as a reference; asked by a build's object only.
    AttestCount,
    /// The object reports that its storage answers; asked by readiness only.
    Probe,
}

/// The Durable Object classes, by the names under which they are deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Pairing codes, WebRTC signaling, calls and device links of one room.
    SignalingRoom,
    /// Relay peers, rendezvous, chunks and channels of one registry.
    RelayRegistry,
    /// The list of relay servers.
    ServerRegistry,
    /// Build proofs and version policy.
    AttestationRegistry,
    /// The released file of one build.
    ReferenceStore,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::SignalingRoom,
        Self::RelayRegistry,
        Self::ServerRegistry,
        Self::AttestationRegistry,
        Self::ReferenceStore,
    ];

    /// The class name in `wrangler.toml` and `workerd.capnp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignalingRoom => "SignalingRoom",
            Self::RelayRegistry => "RelayRegistry",
            Self::ServerRegistry => "ServerRegistry",
            Self::AttestationRegistry => "AttestationRegistry",
            Self::ReferenceStore => "ReferenceStore",
        }
    }

    /// The binding under which the front reaches the class.
    #[must_use]
    pub const fn binding(self) -> &'static str {
        match self {
            Self::SignalingRoom => "SIGNALING_ROOM",
            Self::RelayRegistry => "RELAY_REGISTRY",
            Self::ServerRegistry => "SERVER_REGISTRY",
            Self::AttestationRegistry => "ATTESTATION_REGISTRY",
            Self::ReferenceStore => "REFERENCE_STORE",
        }
    }
}
