-- What a server uploads: its version, organizations, counts and audit rows. Times are milliseconds since 1970.
ALTER TABLE server ADD COLUMN last_version TEXT;

ALTER TABLE server ADD COLUMN last_merge_base TEXT;

ALTER TABLE server ADD COLUMN last_feature_level INTEGER;

ALTER TABLE server ADD COLUMN org_type INTEGER NOT NULL DEFAULT 0;

-- When the newest upload with audit rows came; headcounts are believed for two days after it.
ALTER TABLE server ADD COLUMN last_audit_update INTEGER;

-- Since when only empty lists of organizations have come.
ALTER TABLE server ADD COLUMN empty_realms_since INTEGER;

-- Quota state of uploaded rows, microseconds since 1970.
ALTER TABLE server ADD COLUMN rows_free_at_us INTEGER NOT NULL DEFAULT 0;

ALTER TABLE server_audit ADD COLUMN actor TEXT NOT NULL DEFAULT 'server';

-- The organization's number on its server, which counts and audit rows use.
ALTER TABLE realm ADD COLUMN number INTEGER;

-- What the server reports of it, as JSON.
ALTER TABLE realm ADD COLUMN profile TEXT;

ALTER TABLE realm ADD COLUMN date_created INTEGER;

ALTER TABLE realm ADD COLUMN last_request_at INTEGER;

-- The operator's own switch.
ALTER TABLE realm ADD COLUMN registration_deactivated INTEGER NOT NULL DEFAULT 0;

-- 1 when the organization is missing from what its server reports.
ALTER TABLE realm ADD COLUMN locally_deleted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE realm ADD COLUMN plan_type INTEGER NOT NULL DEFAULT 100;

-- How far each uploaded table is. `offered` were to be kept, `stored` were, the difference were duplicates; `removed` have
-- been removed since.
CREATE TABLE upload_mark (
    table_name TEXT NOT NULL PRIMARY KEY,
    last_id INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    removed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Statistics by organization.
CREATE TABLE realm_count (
    count_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    remote_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    property TEXT NOT NULL,
    end_time INTEGER NOT NULL,
    subgroup TEXT,
    value INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX realm_count_once ON realm_count (number, property, end_time, ifnull(subgroup, ''));

-- Statistics of the whole installation.
CREATE TABLE installation_count (
    count_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    remote_id INTEGER NOT NULL,
    property TEXT NOT NULL,
    end_time INTEGER NOT NULL,
    subgroup TEXT,
    value INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX installation_count_once ON installation_count (property, end_time, ifnull(subgroup, ''));

-- What we count ourselves, a row a day. `realm_id` is 0 for the server.
CREATE TABLE own_count (
    realm_id INTEGER NOT NULL,
    property TEXT NOT NULL,
    end_time INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (realm_id, property, end_time)
) STRICT, WITHOUT ROWID;

CREATE INDEX own_count_by_age ON own_count (end_time);

-- What happened to organizations: rows that servers uploaded, and ours, whose remote_id is NULL. Never changed; ours are
-- never removed.
CREATE TABLE realm_audit (
    audit_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm_uuid TEXT,
    number INTEGER,
    remote_id INTEGER UNIQUE,
    event_time INTEGER NOT NULL,
    backfilled INTEGER NOT NULL,
    event_type INTEGER NOT NULL,
    extra TEXT NOT NULL,
    actor TEXT NOT NULL
) STRICT;

CREATE INDEX realm_audit_by_uuid ON realm_audit (realm_uuid, audit_id) WHERE realm_uuid IS NOT NULL;

CREATE INDEX realm_audit_by_number ON realm_audit (number, audit_id) WHERE realm_uuid IS NULL;

CREATE INDEX realm_audit_uploaded ON realm_audit (audit_id) WHERE remote_id IS NOT NULL;

-- The newest headcount of each organization: at most one row that was in the past when it came, and one that was not.
CREATE TABLE headcount (
    number INTEGER NOT NULL,
    is_future INTEGER NOT NULL,
    remote_id INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    non_guests INTEGER NOT NULL,
    guests INTEGER NOT NULL,
    workplace_users INTEGER,
    workplace_others INTEGER,
    PRIMARY KEY (number, is_future)
) STRICT, WITHOUT ROWID;
