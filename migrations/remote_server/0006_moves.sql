-- Organizations that have come or gone by a move. Messages of older moves count no more.
CREATE TABLE realm_moved (
    realm_uuid TEXT NOT NULL PRIMARY KEY,
    -- The directory's number of the newest move that was heard of.
    move_number INTEGER NOT NULL,
    -- 1 when it brought the organization here, 0 when it took it away.
    is_here INTEGER NOT NULL,
    -- The number that it had here when it went: audit rows of its server are known by that.
    number INTEGER
) STRICT, WITHOUT ROWID;

-- The people of all organizations together, so that nobody adds them up. No row: they must be.
CREATE TABLE people (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    non_guests INTEGER NOT NULL,
    guests INTEGER NOT NULL,
    workplace_users INTEGER,
    workplace_others INTEGER,
    -- When a headcount from the future comes true and the sum is another.
    until INTEGER
) STRICT;

CREATE TRIGGER people_added AFTER INSERT ON headcount BEGIN DELETE FROM people; END;

CREATE TRIGGER people_changed AFTER UPDATE ON headcount BEGIN DELETE FROM people; END;

CREATE TRIGGER people_removed AFTER DELETE ON headcount BEGIN DELETE FROM people; END;

-- Organizations of which the operators' index must still be told. A newer change takes the older one's place.
CREATE TABLE index_duty (
    duty_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL UNIQUE
) STRICT;

-- How many announcements there have been.
CREATE TABLE index_state (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO index_state (id, seq) VALUES (1, 0);

CREATE TRIGGER realm_added AFTER INSERT ON realm BEGIN INSERT OR REPLACE INTO index_duty (realm) VALUES (new.uuid); END;

CREATE TRIGGER realm_renamed AFTER UPDATE OF host, name ON realm WHEN old.host != new.host OR old.name != new.name BEGIN INSERT OR REPLACE INTO index_duty (realm) VALUES (new.uuid); END;

CREATE TRIGGER realm_removed AFTER DELETE ON realm BEGIN INSERT OR REPLACE INTO index_duty (realm) VALUES (old.uuid); END;

INSERT INTO index_duty (realm) SELECT uuid FROM realm ORDER BY realm_id;

INSERT OR IGNORE INTO announcement (id, due_at, attempts) SELECT 1, 0, 0 FROM server WHERE id = 1 AND removed_at IS NULL;
