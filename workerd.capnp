# Waystation on one machine: bare workerd, state on disk. `npm start` runs it; README.md says how to run it yourself.
#
#   workerd serve workerd.capnp --socket-addr=http=127.0.0.1:8787 --directory-path=state=/var/lib/waystation
#
# Every setting comes from the process environment; an absent one is absent for the service too.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .waystation),
    (name = "state", disk = (path = ".waystation/state", writable = true)),
    # Public addresses only: nothing the service is told to fetch can reach this machine or its neighbours.
    (name = "internet", network = (allow = ["public"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const waystation :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "build/worker.mjs"),
    (name = "waystation.wasm", wasm = embed "build/waystation.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  durableObjectNamespaces = [
    (className = "SignalingRoom", uniqueKey = "waystation-signaling-room", enableSql = true),
    (className = "RelayRegistry", uniqueKey = "waystation-relay-registry", enableSql = true),
    (className = "ServerRegistry", uniqueKey = "waystation-server-registry", enableSql = true),
    (className = "AttestationRegistry", uniqueKey = "waystation-attestation-registry", enableSql = true),
    (className = "ReferenceStore", uniqueKey = "waystation-reference-store", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
  bindings = [
    (name = "SIGNALING_ROOM", durableObjectNamespace = "SignalingRoom"),
    (name = "RELAY_REGISTRY", durableObjectNamespace = "RelayRegistry"),
    (name = "SERVER_REGISTRY", durableObjectNamespace = "ServerRegistry"),
    (name = "ATTESTATION_REGISTRY", durableObjectNamespace = "AttestationRegistry"),
    (name = "REFERENCE_STORE", durableObjectNamespace = "ReferenceStore"),
    (name = "ENVIRONMENT", fromEnvironment = "ENVIRONMENT"),
    (name = "RATE_LIMIT_PER_MINUTE", fromEnvironment = "RATE_LIMIT_PER_MINUTE"),
    (name = "LOG_LEVEL", fromEnvironment = "LOG_LEVEL"),
  ],
);
