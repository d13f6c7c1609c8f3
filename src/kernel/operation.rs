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
    /// The registry says whether a device's build is still allowed; asked by rooms with sockets only.
    AttestStanding,
    /// The registry counts a complete file as a reference; asked by a build's object only.
    AttestCount,
    /// A build's object forgets its file; asked by the registry only.
    AttestForget,
    PartyRegister,
    PartyRevoke,
    PartyCreate,
    PartyJoin,
    PartyLeave,
    PartyRead,
    PartyPeers,
    PartyPeer,
    PartyHeartbeat,
    PartyUpdatePeer,
    PartyDetails,
    PartySettings,
    PartySignalSend,
    PartySignalPoll,
    PartyInviteCreate,
    PartyInviteList,
    PartyInviteRevoke,
    PartyBan,
    PartyBanList,
    PartyUnban,
    PartyLatencies,
    PartyRelayCandidates,
    PartySocket,
    PartyRelayRegister,
    PartyRelayRemove,
    PartyRelayList,
    PartyRelayRegion,
    /// The identities judge a peer's token; asked by the front and by party sockets only.
    PartyAdmit,
    /// The identities bind a peer id to a gateway's socket; asked by gateways only.
    PartyClaim,
    /// A gateway's socket lets go of a peer id; asked by gateways only.
    PartyRelease,
    /// A gateway says whether one of its sockets still holds a peer id; asked by the identities' callers only.
    PartyHolds,
    /// The identities note that a peer joined or left a party; asked by parties only.
    PartyMembership,
    /// A message of a gateway's socket for a party; asked by gateways only.
    PartyForward,
    /// A party's frame for sockets of a gateway; asked by parties only.
    PartyDeliver,
    /// A party begins or ends; asked by parties only.
    PartyCensus,
    /// The peer of a gateway's socket joined or left a party; asked by the identities only.
    PartyNews,
    PushServerRegister,
    PushTransferBegin,
    PushTransferVerify,
    PushServerDeactivate,
    PushDeviceRegister,
    PushDeviceUnregister,
    PushDeviceUnregisterAll,
    PushNotify,
    PushTestNotification,
    PushSealedRegister,
    PushSealedUnregister,
    PushSealedNotify,
    PushAnalytics,
    PushAnalyticsStatus,
    PushBilling,
    PushPublicKeys,
    /// A directory reserves a name for a server; asked by servers' objects only.
    PushReserve,
    /// The same for many names at once.
    PushReserveEach,
    /// A directory confirms or drops a reservation; asked by servers' objects only.
    PushSettleName,
    /// A directory drops many reservations at once; asked by servers' objects only.
    PushReleaseEach,
    /// A directory says who holds a name; asked by servers' objects and by itself only.
    PushLookup,
    /// A provider declared a token dead; told to every server that holds it.
    PushTokenDead,
    /// A registration is handed over to whoever proved its hostname; asked by the directory only.
    PushTransferKey,
    OperatorServers,
    OperatorServer,
    OperatorServerRemove,
    OperatorDeactivate,
    OperatorReactivate,
    OperatorRotate,
    OperatorExport,
    OperatorServerPlan,
    OperatorServerRealms,
    OperatorServerAudit,
    OperatorServerCounts,
    OperatorServerTokens,
    OperatorServerInvoices,
    OperatorBillingUsers,
    OperatorBillingUserClose,
    OperatorRealm,
    OperatorRealmPlan,
    OperatorRealmMove,
    OperatorRealmDeactivate,
    OperatorRealmReactivate,
    OperatorRealmAudit,
    OperatorRealmCounts,
    OperatorRealmInvoices,
    OperatorMetrics,
    OperatorDeactivationLink,
    OperatorTokenCreate,
    OperatorTokens,
    OperatorTokenRevoke,
    /// A series of counts, for the server itself.
    PushCounts,
    /// A signed message of the payment system.
    PushBillingEvent,
    /// The operators' tokens are judged; asked by the front only.
    OperatorAdmit,
    /// A server tells the operators' index how it is; asked by servers' objects only.
    PushAnnounce,
    /// An organization comes to a server; asked by the directory only.
    PushRealmAdopt,
    /// An organization has left a server; asked by the directory only.
    PushRealmDrop,
    BillingRealmLogin,
    BillingRealmEnter,
    BillingRealmMail,
    BillingRealmConfirm,
    BillingServerLogin,
    BillingServerLeave,
    BillingServerEnter,
    BillingServerMail,
    BillingServerConfirm,
    BillingServerAccept,
    BillingRealmPage,
    BillingRealmAct,
    BillingRealmPlan,
    BillingRealmSponsorship,
    BillingRealmUpgrade,
    BillingRealmEventStatus,
    BillingServerPage,
    BillingServerAct,
    BillingServerPlan,
    BillingServerSponsorship,
    BillingServerUpgrade,
    BillingServerEventStatus,
    BillingLogout,
    BillingDevMail,
    /// A letter is counted for the network that asked for it; asked by servers' objects only.
    BillingCountMail,
    /// A letter is kept for the developer to read; asked by servers' objects in `DEV_MODE` only.
    BillingKeepMail,
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
    /// One party: its peers, invites, bans and signals.
    PartyRoom,
    /// Peer ids, their tokens and the parties they are in; sharded by peer id.
    PartyIdentities,
    /// Party relays, and how many parties there are.
    PartyDirectory,
    /// Sockets whose first message decides what they are; sharded by client network.
    PartyGateway,
    /// One self-hosted server that pushes through us: its keys, realms, devices and queue.
    RemoteServer,
    /// Which server holds a hostname, a realm or a device token; sharded by hash.
    PushDirectory,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::SignalingRoom,
        Self::RelayRegistry,
        Self::ServerRegistry,
        Self::AttestationRegistry,
        Self::ReferenceStore,
        Self::PartyRoom,
        Self::PartyIdentities,
        Self::PartyDirectory,
        Self::PartyGateway,
        Self::RemoteServer,
        Self::PushDirectory,
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
            Self::PartyRoom => "PartyRoom",
            Self::PartyIdentities => "PartyIdentities",
            Self::PartyDirectory => "PartyDirectory",
            Self::PartyGateway => "PartyGateway",
            Self::RemoteServer => "RemoteServer",
            Self::PushDirectory => "PushDirectory",
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
            Self::PartyRoom => "PARTY_ROOM",
            Self::PartyIdentities => "PARTY_IDENTITIES",
            Self::PartyDirectory => "PARTY_DIRECTORY",
            Self::PartyGateway => "PARTY_GATEWAY",
            Self::RemoteServer => "REMOTE_SERVER",
            Self::PushDirectory => "PUSH_DIRECTORY",
        }
    }
}
