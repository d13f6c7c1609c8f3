-- Organizations on their way to another server, one row each until the way is at its end. Numbers only grow, so that
-- servers can tell an old message from a new one.
CREATE TABLE realm_move (
    move_number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    target TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- 'adopt', 'drop', 'undo': what is being asked for.
    phase TEXT NOT NULL,
    -- What the organization takes along, as JSON.
    bundle TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    -- How often the present phase was asked for.
    attempts INTEGER NOT NULL
) STRICT;

CREATE INDEX realm_move_by_due ON realm_move (due_at, move_number);

-- Farewells were said after the name had changed hands; what is left of them is the last phase of a move.
INSERT INTO realm_move (realm, origin, target, actor, phase, bundle, begun_at, due_at, attempts)
    SELECT f.realm, f.server, f.target, f.actor, 'drop', '{}', f.due_at, f.due_at, 0 FROM farewell f
    JOIN name n ON n.kind = 'realm' AND n.name = f.realm AND n.server = f.target
    WHERE f.farewell_id = (SELECT max(farewell_id) FROM farewell WHERE realm = f.realm);

DROP TABLE farewell;

-- Who held an organization last that nobody holds any more: its audit is there.
CREATE TABLE realm_past (
    realm TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest announcement of each server that counted: older ones come late.
ALTER TABLE server_index ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

-- Organizations' names are rows of their own from now on.
UPDATE server_index SET names = '';

-- Removed servers: what they said before arrives in vain.
CREATE TABLE server_gone (
    uuid TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Hosts and names of organizations in lower case, cut, to search in; in the object `index` only.
CREATE TABLE realm_index (
    server TEXT NOT NULL,
    realm TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (server, realm)
) STRICT, WITHOUT ROWID;

-- How many there are, so that nobody counts them.
CREATE TABLE index_tally (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    realms INTEGER NOT NULL
) STRICT;

INSERT INTO index_tally (id, realms) VALUES (1, 0);

CREATE TRIGGER realm_index_added AFTER INSERT ON realm_index BEGIN UPDATE index_tally SET realms = realms + 1 WHERE id = 1; END;

CREATE TRIGGER realm_index_removed AFTER DELETE ON realm_index BEGIN UPDATE index_tally SET realms = realms - 1 WHERE id = 1; END;
