using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .canary)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const canary :Workerd.Worker = (
  modules = [(name = "canary.mjs", esModule = embed "canary.mjs")],
  compatibilityDate = "2026-10-20",
  durableObjectNamespaces = [(className = "Room", uniqueKey = "canary-room")],
  durableObjectStorage = (inMemory = void),
  bindings = [(name = "ROOM", durableObjectNamespace = "Room")],
);
