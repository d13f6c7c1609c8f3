-- How servers are, for operators; in the object `index` only. Each server tells it by itself.
CREATE TABLE server_index (
    uuid TEXT NOT NULL PRIMARY KEY,
    hostname TEXT NOT NULL,
    contact_email TEXT NOT NULL,
    plan_type INTEGER NOT NULL,
    deactivated INTEGER NOT NULL,
    last_request_at INTEGER,
    last_version TEXT,
    realms INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    sealed_devices INTEGER NOT NULL,
    -- Names and hosts of organizations in lower case.
    names TEXT NOT NULL,
    told_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Operators' tokens, as hashes; in the object `operators` only.
CREATE TABLE operator_token (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- Servers that must still be told that an organization has left them.
CREATE TABLE farewell (
    farewell_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    server TEXT NOT NULL,
    target TEXT NOT NULL,
    actor TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

CREATE INDEX farewell_by_due ON farewell (due_at, farewell_id);
