-- The released file of one build, in rows of 64 KiB, and the manifest that CI has signed for it.
CREATE TABLE manifest (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- The manifest as our objects write it to each other, in JSON.
    note TEXT NOT NULL,
    -- 1 when the tree hash was recomputed and is the manifest's; from then on nothing changes.
    complete INTEGER NOT NULL
) STRICT;

CREATE TABLE leaf (
    number INTEGER NOT NULL PRIMARY KEY,
    -- SHA-256 of the bytes, computed here when they came.
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
