# Waystation on one machine: bare workerd, state on disk. `npm start` runs it; README.md says how to run it yourself.
#
#   workerd serve workerd.capnp --socket-addr=http=127.0.0.1:8787 --directory-path=state=/var/lib/waystation
#
# Every setting comes from the process environment; an absent one is absent for the service too. The list is that of
# scripts/lib/settings.mjs: `npm run check` compares.
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
  compatibilityDate = "2026-10-20",
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
    # Secrets
    (name = "BOOTSTRAP_SIGNING_KEY", fromEnvironment = "BOOTSTRAP_SIGNING_KEY"),
    (name = "SERVER_REGISTRY_SECRET", fromEnvironment = "SERVER_REGISTRY_SECRET"),
    (name = "ATTESTATION_SIGNING_KEY", fromEnvironment = "ATTESTATION_SIGNING_KEY"),
    (name = "BUILD_TOKEN_VERIFY_KEY", fromEnvironment = "BUILD_TOKEN_VERIFY_KEY"),
    (name = "CI_UPLOAD_SECRET", fromEnvironment = "CI_UPLOAD_SECRET"),
    (name = "ADMIN_SECRET", fromEnvironment = "ADMIN_SECRET"),
    (name = "PARTY_TOKEN_KEY", fromEnvironment = "PARTY_TOKEN_KEY"),
    (name = "PUSH_REGISTRATION_KEYS", fromEnvironment = "PUSH_REGISTRATION_KEYS"),
    (name = "PUSH_TRANSFER_KEY", fromEnvironment = "PUSH_TRANSFER_KEY"),
    (name = "FCM_SERVICE_ACCOUNT", fromEnvironment = "FCM_SERVICE_ACCOUNT"),
    (name = "APNS_KEY_P8", fromEnvironment = "APNS_KEY_P8"),
    (name = "APNS_KEY_ID", fromEnvironment = "APNS_KEY_ID"),
    (name = "APNS_TEAM_ID", fromEnvironment = "APNS_TEAM_ID"),
    (name = "DATA_KEY", fromEnvironment = "DATA_KEY"),
    # Variables
    (name = "ENVIRONMENT", fromEnvironment = "ENVIRONMENT"),
    (name = "DEV_MODE", fromEnvironment = "DEV_MODE"),
    (name = "LOG_LEVEL", fromEnvironment = "LOG_LEVEL"),
    (name = "ALLOWED_ORIGINS", fromEnvironment = "ALLOWED_ORIGINS"),
    (name = "RATE_LIMIT_PER_MINUTE", fromEnvironment = "RATE_LIMIT_PER_MINUTE"),
    (name = "CLIENT_ADDRESS_HEADER", fromEnvironment = "CLIENT_ADDRESS_HEADER"),
    (name = "SIGNAL_MESSAGES_PER_MINUTE", fromEnvironment = "SIGNAL_MESSAGES_PER_MINUTE"),
    (name = "SIGNAL_PAIR_REQUESTS_PER_MINUTE", fromEnvironment = "SIGNAL_PAIR_REQUESTS_PER_MINUTE"),
    (name = "SIGNAL_UNKNOWN_CODES_PER_MINUTE", fromEnvironment = "SIGNAL_UNKNOWN_CODES_PER_MINUTE"),
    (name = "SIGNAL_SOCKETS_PER_ADDRESS", fromEnvironment = "SIGNAL_SOCKETS_PER_ADDRESS"),
    (name = "SIGNAL_SOCKETS_MAX", fromEnvironment = "SIGNAL_SOCKETS_MAX"),
    (name = "SIGNAL_UNREAD_BYTES_MAX", fromEnvironment = "SIGNAL_UNREAD_BYTES_MAX"),
    (name = "SERVER_TTL_MS", fromEnvironment = "SERVER_TTL_MS"),
    (name = "SWEEP_INTERVAL_MS", fromEnvironment = "SWEEP_INTERVAL_MS"),
    (name = "PAIR_WARNING_MS", fromEnvironment = "PAIR_WARNING_MS"),
    (name = "PAIR_TIMEOUT_MS", fromEnvironment = "PAIR_TIMEOUT_MS"),
    (name = "RENDEZVOUS_DAILY_TTL_MS", fromEnvironment = "RENDEZVOUS_DAILY_TTL_MS"),
    (name = "RENDEZVOUS_HOURLY_TTL_MS", fromEnvironment = "RENDEZVOUS_HOURLY_TTL_MS"),
    (name = "RENDEZVOUS_KEEP_DEAD_DROPS", fromEnvironment = "RENDEZVOUS_KEEP_DEAD_DROPS"),
    (name = "CHUNK_SOURCE_TTL_MS", fromEnvironment = "CHUNK_SOURCE_TTL_MS"),
    (name = "CHUNK_CACHE_TTL_MS", fromEnvironment = "CHUNK_CACHE_TTL_MS"),
    (name = "CHUNK_PENDING_TTL_MS", fromEnvironment = "CHUNK_PENDING_TTL_MS"),
    (name = "CHUNK_CACHE_MAX", fromEnvironment = "CHUNK_CACHE_MAX"),
    (name = "RELAY_PEER_TTL_MS", fromEnvironment = "RELAY_PEER_TTL_MS"),
    (name = "ATTEST_NONCE_TTL_MS", fromEnvironment = "ATTEST_NONCE_TTL_MS"),
    (name = "ATTEST_SESSION_TTL_MS", fromEnvironment = "ATTEST_SESSION_TTL_MS"),
    (name = "ATTEST_BUILD_TOKEN_MAX_AGE_MS", fromEnvironment = "ATTEST_BUILD_TOKEN_MAX_AGE_MS"),
    (name = "ATTEST_REQUIRED", fromEnvironment = "ATTEST_REQUIRED"),
    (name = "ATTEST_GRACE_MS", fromEnvironment = "ATTEST_GRACE_MS"),
    (name = "REQUIRE_REGISTRATION_AUTH", fromEnvironment = "REQUIRE_REGISTRATION_AUTH"),
    (name = "PARTY_PEER_TTL_MS", fromEnvironment = "PARTY_PEER_TTL_MS"),
    (name = "PARTY_TOKEN_TTL_MS", fromEnvironment = "PARTY_TOKEN_TTL_MS"),
    (name = "PARTY_RELAY_TTL_MS", fromEnvironment = "PARTY_RELAY_TTL_MS"),
    (name = "PARTY_OPEN_IDENTITIES", fromEnvironment = "PARTY_OPEN_IDENTITIES"),
    (name = "PARTY_ANONYMOUS_SOCKETS", fromEnvironment = "PARTY_ANONYMOUS_SOCKETS"),
    (name = "PUSH_RATE_LIMIT", fromEnvironment = "PUSH_RATE_LIMIT"),
    (name = "PUSH_FREE_USERS_MAX", fromEnvironment = "PUSH_FREE_USERS_MAX"),
    (name = "PUSH_SERVER_DATA_MAX_AGE_MS", fromEnvironment = "PUSH_SERVER_DATA_MAX_AGE_MS"),
    (name = "PUSH_TRANSFER_DAILY_MAX", fromEnvironment = "PUSH_TRANSFER_DAILY_MAX"),
    (name = "FCM_BASE_URL", fromEnvironment = "FCM_BASE_URL"),
    (name = "FCM_TOKEN_URL", fromEnvironment = "FCM_TOKEN_URL"),
    (name = "APNS_BASE_URL", fromEnvironment = "APNS_BASE_URL"),
    (name = "DNS_QUERY_URL", fromEnvironment = "DNS_QUERY_URL"),
    (name = "BILLING_HOST", fromEnvironment = "BILLING_HOST"),
    (name = "FLEET_HEARTBEAT_MS", fromEnvironment = "FLEET_HEARTBEAT_MS"),
  ],
);
