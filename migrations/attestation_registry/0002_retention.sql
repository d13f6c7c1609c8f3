-- How often a device attests and asks, and how long references and unfinished uploads stay.

-- Quota states, microseconds since 1970: sessions issued, and challenges asked for.
ALTER TABLE device ADD COLUMN attest_free_at_us INTEGER NOT NULL DEFAULT 0;

ALTER TABLE device ADD COLUMN asked_free_at_us INTEGER NOT NULL DEFAULT 0;

-- Challenges asked for faster than an honest device asks.
ALTER TABLE device ADD COLUMN anomalies INTEGER NOT NULL DEFAULT 0;

-- Whether any device runs a build.
CREATE INDEX device_by_build ON device (build_hash, version, platform);

-- When it was last looked at whether the reference is still needed, and since when it is not; NULL while it is.
ALTER TABLE reference ADD COLUMN reviewed_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE reference ADD COLUMN idle_since INTEGER;

CREATE INDEX reference_by_review ON reference (reviewed_at);

CREATE INDEX reference_by_platform ON reference (platform);

-- Uploads of whole files that were begun and did not become references yet. One that was begun before this table was
-- made is not in it, and is begun again by CI like any other.
CREATE TABLE upload (
    reference_id TEXT NOT NULL PRIMARY KEY,
    platform TEXT NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_by_age ON upload (begun_at);

-- Files that their objects must still be told to forget. The row goes when the object says that it has.
CREATE TABLE farewell (
    id INTEGER NOT NULL PRIMARY KEY,
    reference_id TEXT NOT NULL UNIQUE,
    -- What was begun later than this stays.
    made_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL
) STRICT;

CREATE INDEX farewell_by_age ON farewell (asked_at);
