-- One party: who is in it, who may come in, what waits for whom. Times are milliseconds since 1970.
CREATE TABLE party (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    party_id TEXT NOT NULL,
    name TEXT NOT NULL,
    host_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    peers_max INTEGER NOT NULL,
    -- HMAC-SHA-256 with the service's key over salt and password; NULL without a password.
    password_salt BLOB,
    password_hash BLOB,
    -- 1 when the longest-present member follows a host who goes.
    promotion INTEGER NOT NULL,
    -- Grows with every joining and leaving.
    next_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE member (
    peer_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    public_key TEXT NOT NULL,
    nat_type TEXT NOT NULL,
    public_ip TEXT NOT NULL,
    public_port INTEGER NOT NULL,
    local_ip TEXT NOT NULL,
    local_port INTEGER NOT NULL,
    -- How far its wall clock is ahead of UTC, in minutes.
    offset_minutes INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- Milliseconds, a space and a relay's id in each line.
    latencies TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Virtual addresses, also of peers who have left.
CREATE TABLE lease (
    peer_id TEXT NOT NULL PRIMARY KEY,
    -- The last two bytes of 10.66.x.y.
    number INTEGER NOT NULL UNIQUE,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    code TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    uses_left INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE ban (
    peer_id TEXT NOT NULL PRIMARY KEY,
    until INTEGER
) STRICT, WITHOUT ROWID;

-- Signs of life of all members in one row.
CREATE TABLE liveness (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- "seq:time" of each member, separated by spaces; "seq:time!" of one whose own socket spoke.
    seen TEXT NOT NULL,
    -- When every listener is sent the whole party again; NULL while nobody listens.
    refresh_at INTEGER
) STRICT;

CREATE TABLE signal (
    seq INTEGER NOT NULL PRIMARY KEY,
    to_peer_id TEXT NOT NULL,
    from_peer_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    sent_at INTEGER NOT NULL
) STRICT;

CREATE INDEX signal_by_peer ON signal (to_peer_id, seq);

-- Sockets of gateways that are subscribed.
CREATE TABLE listener (
    gateway TEXT NOT NULL,
    conn INTEGER NOT NULL,
    peer_id TEXT NOT NULL,
    offset_minutes INTEGER NOT NULL,
    -- 1 when it has said something of its own accord.
    spoken INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (gateway, conn)
) STRICT, WITHOUT ROWID;

-- What other objects must be told, until they have heard it. Outlives the party.
CREATE TABLE announcement (
    -- '' for the party itself, 'p' and a peer id for a membership.
    subject TEXT NOT NULL PRIMARY KEY,
    party_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- 1 when it begins, 0 when it is over.
    begun INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    -- The number of an older announcement that is under way.
    waits_for INTEGER,
    sent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Wrong passwords and invites of each network: quota state in microseconds since 1970.
CREATE TABLE try (
    network TEXT NOT NULL PRIMARY KEY,
    free_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last list of relays that the directory answered.
CREATE TABLE relay_list (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL
) STRICT;
