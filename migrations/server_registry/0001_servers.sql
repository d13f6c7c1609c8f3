-- Relay servers as they registered. What changes with every heartbeat stands in `liveness`; the columns here are the
-- state at registration and count until a snapshot knows the same `registration`.
CREATE TABLE server (
    server_id TEXT NOT NULL PRIMARY KEY,
    -- Random per registration, so that a snapshot of an earlier registration is never taken for this one's.
    registration INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    region TEXT NOT NULL,
    -- 1 when the registration was signed by `public_key`.
    proven INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    relay_connections INTEGER NOT NULL,
    signaling_connections INTEGER NOT NULL,
    active_codes INTEGER NOT NULL,
    -- A time that signed heartbeats must be newer than where no nonce decides.
    signed_at INTEGER
) STRICT, WITHOUT ROWID;

-- Everybody's last sign of life in one row, so that a flush costs one row whatever the number of servers.
CREATE TABLE liveness (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    flushed_at INTEGER NOT NULL,
    snapshot TEXT NOT NULL
) STRICT;

-- What registrations and removals have used up. `nonce` is '' for the newest signed time of a server id.
CREATE TABLE proof (
    server_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    signed_at INTEGER,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (server_id, nonce)
) STRICT, WITHOUT ROWID;

CREATE INDEX proof_by_expiry ON proof (expires_at);
