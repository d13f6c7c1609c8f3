# The built service with chaos.mjs in front of it; see traps.spec.ts.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .chaos),
    (name = "state", disk = (path = "state", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);

const chaos :Workerd.Worker = (
  modules = [
    (name = "chaos.mjs", esModule = embed "chaos.mjs"),
    (name = "worker.mjs", esModule = embed "../../../build/worker.mjs"),
    (name = "waystation.wasm", wasm = embed "../../../build/waystation.wasm"),
  ],
  compatibilityDate = "2026-10-20",
  durableObjectNamespaces = [
    (className = "SignalingRoom", uniqueKey = "chaos-signaling-room", enableSql = true),
    (className = "RelayRegistry", uniqueKey = "chaos-relay-registry", enableSql = true),
    (className = "ServerRegistry", uniqueKey = "chaos-server-registry", enableSql = true),
    (className = "AttestationRegistry", uniqueKey = "chaos-attestation-registry", enableSql = true),
    (className = "ReferenceStore", uniqueKey = "chaos-reference-store", enableSql = true),
    (className = "PartyRoom", uniqueKey = "chaos-party-room", enableSql = true),
    (className = "PartyIdentities", uniqueKey = "chaos-party-identities", enableSql = true),
    (className = "PartyDirectory", uniqueKey = "chaos-party-directory", enableSql = true),
    (className = "PartyGateway", uniqueKey = "chaos-party-gateway", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
  bindings = [
    (name = "SIGNALING_ROOM", durableObjectNamespace = "SignalingRoom"),
    (name = "RELAY_REGISTRY", durableObjectNamespace = "RelayRegistry"),
    (name = "SERVER_REGISTRY", durableObjectNamespace = "ServerRegistry"),
    (name = "ATTESTATION_REGISTRY", durableObjectNamespace = "AttestationRegistry"),
    (name = "REFERENCE_STORE", durableObjectNamespace = "ReferenceStore"),
    (name = "PARTY_ROOM", durableObjectNamespace = "PartyRoom"),
    (name = "PARTY_IDENTITIES", durableObjectNamespace = "PartyIdentities"),
    (name = "PARTY_DIRECTORY", durableObjectNamespace = "PartyDirectory"),
    (name = "PARTY_GATEWAY", durableObjectNamespace = "PartyGateway"),
    (name = "RATE_LIMIT_PER_MINUTE", fromEnvironment = "RATE_LIMIT_PER_MINUTE"),
    (name = "DEV_MODE", fromEnvironment = "DEV_MODE"),
    (name = "ATTESTATION_SIGNING_KEY", fromEnvironment = "ATTESTATION_SIGNING_KEY"),
  ],
);
