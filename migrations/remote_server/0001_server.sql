-- One self-hosted server that pushes through us. Times are milliseconds since 1970.
CREATE TABLE server (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    uuid TEXT NOT NULL,
    -- SHA-256 of the key, and of the one before it as long as that works.
    key_hash BLOB NOT NULL,
    old_key_hash BLOB,
    old_key_until INTEGER,
    hostname TEXT NOT NULL,
    contact_email TEXT NOT NULL,
    plan_type INTEGER NOT NULL,
    deactivated INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    -- Written at most once a minute.
    last_request_at INTEGER
) STRICT;

-- What happened to the registration.
CREATE TABLE server_audit (
    audit_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event_time INTEGER NOT NULL,
    event_type INTEGER NOT NULL,
    extra TEXT NOT NULL
) STRICT;

-- Organizations of the server.
CREATE TABLE realm (
    realm_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    name TEXT NOT NULL,
    -- SHA-256 of the secret.
    owner_secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_updated INTEGER NOT NULL
) STRICT;

-- Devices of the legacy path. Exactly one of user_id and user_uuid is set.
CREATE TABLE device (
    device_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- 1 APNs, 2 FCM, 3 Web Push.
    kind INTEGER NOT NULL,
    token TEXT NOT NULL,
    -- SHA-256 of kind and canonical token.
    token_hash BLOB NOT NULL,
    ios_app_id TEXT,
    user_id INTEGER,
    user_uuid TEXT,
    realm_id INTEGER,
    registered_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX device_by_number ON device (user_id, token_hash) WHERE user_id IS NOT NULL;

CREATE UNIQUE INDEX device_by_uuid ON device (user_uuid, token_hash) WHERE user_uuid IS NOT NULL;

CREATE INDEX device_by_token ON device (token_hash);

-- Devices whose registration was sealed. Exactly one of token_id and push_account_id is what the server knows them by.
CREATE TABLE sealed_device (
    device_id INTEGER NOT NULL PRIMARY KEY,
    realm_id INTEGER NOT NULL,
    -- 12.x: 8 bytes.
    token_id BLOB,
    -- 11.x.
    push_account_id INTEGER,
    kind INTEGER NOT NULL,
    token TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    ios_app_id TEXT,
    registered_at INTEGER NOT NULL,
    -- Since when the provider says that the token is dead.
    expired_at INTEGER
) STRICT;

CREATE UNIQUE INDEX sealed_by_token_id ON sealed_device (realm_id, token_id) WHERE token_id IS NOT NULL;

CREATE UNIQUE INDEX sealed_by_account ON sealed_device (realm_id, push_account_id, token_hash)
    WHERE push_account_id IS NOT NULL;

CREATE INDEX sealed_by_expiry ON sealed_device (expired_at) WHERE expired_at IS NOT NULL;

-- How many devices of both paths there are, so that nobody counts them.
CREATE TABLE tally (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    devices INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    -- The newest number of a sealed device: clients keep it, so it is never given twice.
    last_sealed INTEGER NOT NULL
) STRICT;

-- Notifications that no provider has taken yet.
CREATE TABLE delivery (
    delivery_id INTEGER NOT NULL PRIMARY KEY,
    -- 0 legacy, 1 sealed; and the device's row there.
    path INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    token TEXT NOT NULL,
    ios_app_id TEXT,
    registered_at INTEGER NOT NULL,
    parcel TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    -- Tries begun, the present one included.
    attempts INTEGER NOT NULL,
    -- When it is tried next. While a try is under way: when that is given up.
    due_at INTEGER NOT NULL
) STRICT;

CREATE INDEX delivery_by_due ON delivery (due_at, delivery_id);

-- What other objects must still be told. A newer duty about a name replaces the older one.
CREATE TABLE duty (
    duty_id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- 'confirm', 'release', 'dead'.
    act TEXT NOT NULL,
    -- For 'dead': the app and the time, else empty.
    extra TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX duty_by_name ON duty (kind, name, extra);

CREATE INDEX duty_by_due ON duty (due_at, duty_id);
