-- Which server holds which name. Times are milliseconds since 1970.
CREATE TABLE name (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    server TEXT NOT NULL,
    -- Until when an unconfirmed reservation stands by itself; NULL once it is confirmed.
    reserved_until INTEGER,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Which servers hold a device token; 32 bytes of a hash, never the token.
CREATE TABLE token_holder (
    token_hash BLOB NOT NULL,
    server TEXT NOT NULL,
    PRIMARY KEY (token_hash, server)
) STRICT, WITHOUT ROWID;

-- Servers that must still be told that a token is dead.
CREATE TABLE obituary (
    obituary_id INTEGER NOT NULL PRIMARY KEY,
    token_hash BLOB NOT NULL,
    ios_app_id TEXT,
    died_at INTEGER NOT NULL,
    server TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

CREATE INDEX obituary_by_due ON obituary (due_at, obituary_id);

-- What each client network has used up of a quota, microseconds since 1970.
CREATE TABLE network_quota (
    network TEXT NOT NULL,
    quota TEXT NOT NULL,
    free_at_us INTEGER NOT NULL,
    PRIMARY KEY (network, quota)
) STRICT, WITHOUT ROWID;

-- When transfers were verified, of all servers; in one object only.
CREATE TABLE transfer_log (
    transfer_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    verified_at INTEGER NOT NULL
) STRICT;
