-- Peers, their tokens, who speaks for them and where they are. Times are milliseconds since 1970.
CREATE TABLE identity (
    peer_id TEXT NOT NULL PRIMARY KEY,
    -- Ed25519, or NULL.
    public_key BLOB,
    -- The newest time that the key has signed.
    signed_at INTEGER,
    -- IPv4 address, IPv6 /64, or 'unknown': where its last registration came from.
    network TEXT NOT NULL,
    -- Its last registration, or the last use of a token that was written down.
    seen_at INTEGER NOT NULL,
    -- 1 when one of its tokens was ever used.
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_by_sight ON identity (used, seen_at);

CREATE TABLE token (
    -- SHA-256 of the token.
    hash BLOB NOT NULL PRIMARY KEY,
    peer_id TEXT NOT NULL,
    network TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX token_by_peer ON token (peer_id);

CREATE INDEX token_by_sight ON token (seen_at);

-- The socket that speaks for a peer, or lately did.
CREATE TABLE binding (
    peer_id TEXT NOT NULL PRIMARY KEY,
    gateway TEXT NOT NULL,
    conn INTEGER NOT NULL,
    -- Orders the claims and releases of one socket, which overtake one another.
    stamp INTEGER NOT NULL,
    network TEXT NOT NULL,
    since INTEGER NOT NULL,
    released_at INTEGER,
    -- The socket that spoke before, until its gateway knows that it does no longer.
    former_gateway TEXT,
    former_conn INTEGER,
    former_stamp INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX binding_with_former ON binding (former_gateway) WHERE former_gateway IS NOT NULL;

CREATE INDEX binding_by_age ON binding (since);

CREATE INDEX binding_by_release ON binding (released_at) WHERE released_at IS NOT NULL;

CREATE TABLE membership (
    peer_id TEXT NOT NULL,
    party_id TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (peer_id, party_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX membership_by_age ON membership (joined_at);

-- Parties that peers have begun, so that a request that is repeated finds its own.
CREATE TABLE creation (
    peer_id TEXT NOT NULL,
    mark BLOB NOT NULL,
    body BLOB NOT NULL,
    party_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (peer_id, mark)
) STRICT, WITHOUT ROWID;

CREATE INDEX creation_by_end ON creation (until);

-- What peers and client networks have taken of their quotas. `subject` is 16 bytes of a hash.
CREATE TABLE allowance (
    subject BLOB NOT NULL PRIMARY KEY,
    -- Microseconds since 1970.
    free_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX allowance_by_end ON allowance (free_at_us);

-- How many rows the tables have that have a limit, so that nobody counts them.
CREATE TABLE tally (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    identities INTEGER NOT NULL,
    bindings INTEGER NOT NULL,
    memberships INTEGER NOT NULL,
    allowances INTEGER NOT NULL
) STRICT;
