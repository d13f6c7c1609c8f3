-- Devices, what they are asked, what their builds look like, and what may run. Times are milliseconds since 1970.
CREATE TABLE device (
    device_id TEXT NOT NULL PRIMARY KEY,
    -- Ed25519 or P-256, told apart by length; NULL for a free-form id of an older client.
    device_key BLOB,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    build_hash TEXT NOT NULL,
    -- 1 when the client writes flat build tokens and so reads sessions as objects.
    flat INTEGER NOT NULL,
    -- 0: has registered; 1: has answered a challenge.
    standing INTEGER NOT NULL,
    -- IPv4 address, IPv6 /64, or 'unknown'.
    network TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    -- The newest time that the device's key has signed.
    signed_at INTEGER,
    -- Quota state of web registrations, microseconds since 1970.
    web_free_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX device_by_age ON device (standing, last_seen);

CREATE INDEX pending_by_network ON device (network, last_seen) WHERE standing = 0;

-- How many devices of each standing there are, so that nobody counts them.
CREATE TABLE tally (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    pending INTEGER NOT NULL,
    attested INTEGER NOT NULL
) STRICT;

-- Challenges that wait for an answer. The answer deletes its challenge before it is judged.
CREATE TABLE challenge (
    nonce TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    -- 1 when the file is in an object of its own.
    whole INTEGER NOT NULL,
    -- Index, offset and length of each region, separated by spaces; regions by semicolons.
    asked TEXT NOT NULL,
    audience TEXT,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX challenge_by_device ON challenge (device_id, expires_at);

CREATE INDEX challenge_by_expiry ON challenge (expires_at);

-- What the released files look like. Never changed once it can be asked for.
CREATE TABLE reference (
    reference_id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    build_hash TEXT NOT NULL,
    size INTEGER,
    -- 1 when the file is in an object of its own.
    whole INTEGER NOT NULL,
    -- 0 when CI did not send the bytes.
    answerable INTEGER NOT NULL,
    -- Offset, length, weight and 1 for "bytes are here" of each region, written as in challenge.asked; of a whole file
    -- offset and length of its critical pieces.
    regions TEXT NOT NULL,
    digest TEXT NOT NULL,
    uploaded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE region (
    reference_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (reference_id, position)
) STRICT, WITHOUT ROWID;

-- The version policy in force: one row once it was written.
CREATE TABLE policy (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL
) STRICT;

-- Uploads and policy changes, for ever. `hash` covers the entry and the hash before it.
CREATE TABLE log (
    seq INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    entry TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
