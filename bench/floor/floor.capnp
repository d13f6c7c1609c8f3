# The floor beside which `npm run bench` measures: same runtime, same storage, plain JavaScript.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .floor),
    (name = "state", disk = (path = "state", writable = true)),
    (name = "internet", network = (allow = ["public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const floor :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "relay.mjs", esModule = embed "relay.mjs"),
    (name = "attest.mjs", esModule = embed "attest.mjs"),
    (name = "party.mjs", esModule = embed "party.mjs"),
    (name = "push.mjs", esModule = embed "push.mjs"),
    (name = "analytics.mjs", esModule = embed "analytics.mjs"),
  ],
  compatibilityDate = "2026-10-20",
  durableObjectNamespaces = [
    (className = "Room", uniqueKey = "floor-room", enableSql = true),
    (className = "Registry", uniqueKey = "floor-registry", enableSql = true),
    (className = "Relay", uniqueKey = "floor-relay", enableSql = true),
    (className = "Attest", uniqueKey = "floor-attest", enableSql = true),
    (className = "AttestFile", uniqueKey = "floor-attest-file", enableSql = true),
    (className = "Party", uniqueKey = "floor-party", enableSql = true),
    (className = "Push", uniqueKey = "floor-push", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
  bindings = [
    (name = "ROOM", durableObjectNamespace = "Room"),
    (name = "REGISTRY", durableObjectNamespace = "Registry"),
    (name = "RELAY", durableObjectNamespace = "Relay"),
    (name = "ATTEST", durableObjectNamespace = "Attest"),
    (name = "FILE", durableObjectNamespace = "AttestFile"),
    (name = "PARTY", durableObjectNamespace = "Party"),
    (name = "PUSH", durableObjectNamespace = "Push"),
    (name = "FCM_BASE_URL", fromEnvironment = "FCM_BASE_URL"),
  ],
);
