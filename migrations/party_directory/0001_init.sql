-- Relays of parties, and which parties there are. Times are milliseconds since 1970.
CREATE TABLE relay (
    relay_id TEXT NOT NULL PRIMARY KEY,
    -- 'registry', or 'peer:' and the id of the peer that registered it.
    owner TEXT NOT NULL,
    public_ip TEXT NOT NULL,
    port INTEGER NOT NULL,
    region TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    -- 0 to 1, or NULL when it was not said.
    load REAL,
    -- 0 to 100, or NULL.
    health INTEGER,
    -- 1 when it takes nobody new.
    draining INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    -- Its last registration that was written down.
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE party (
    party_id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- How many parties there are, so that nobody counts them.
CREATE TABLE tally (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    parties INTEGER NOT NULL
) STRICT;
