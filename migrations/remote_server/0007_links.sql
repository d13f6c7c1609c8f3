-- Rows belong to organizations, not to the numbers that these have on their server. 0 means that a row was another one's
-- duplicate when it was to be given to an organization, and is nobody's; NULL that nobody has had its number yet.
ALTER TABLE realm_count ADD COLUMN realm_id INTEGER;

ALTER TABLE realm_audit ADD COLUMN realm_id INTEGER;

-- An empty subgroup is not none.
DROP INDEX realm_count_once;

CREATE UNIQUE INDEX realm_count_once ON realm_count (number, property, end_time, ifnull('=' || subgroup, ''));

CREATE UNIQUE INDEX realm_count_of_realm ON realm_count (realm_id, property, end_time, ifnull('=' || subgroup, ''))
    WHERE realm_id > 0;

CREATE INDEX realm_count_loose ON realm_count (number, count_id) WHERE realm_id IS NULL;

DROP INDEX installation_count_once;

CREATE UNIQUE INDEX installation_count_once ON installation_count (property, end_time, ifnull('=' || subgroup, ''));

DROP INDEX realm_audit_by_number;

CREATE INDEX realm_audit_of_realm ON realm_audit (realm_id, audit_id) WHERE realm_id > 0;

CREATE INDEX realm_audit_loose ON realm_audit (number, audit_id) WHERE realm_id IS NULL AND remote_id IS NOT NULL;

-- An uploaded row may be given to its organization, once. Nothing else of it ever changes.
DROP TRIGGER realm_audit_is_final;

CREATE TRIGGER realm_audit_is_final BEFORE UPDATE ON realm_audit WHEN OLD.remote_id IS NULL OR OLD.realm_id IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TRIGGER realm_audit_is_linked_only BEFORE UPDATE OF audit_id, realm_uuid, number, remote_id, event_time, backfilled,
    event_type, extra, actor, aged_from ON realm_audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;

-- Rows that are still to be given to an organization: those of its number up to these ids that are nobody's yet.
CREATE TABLE realm_link (
    link_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    realm_id INTEGER NOT NULL,
    counts_to INTEGER NOT NULL,
    audit_to INTEGER NOT NULL
) STRICT;

-- Which organization has a number now.
CREATE INDEX realm_by_number ON realm (number) WHERE number IS NOT NULL;

INSERT INTO realm_link (number, realm_id, counts_to, audit_to)
    SELECT number, ifnull(max(CASE locally_deleted WHEN 0 THEN realm_id END), max(realm_id)),
        (SELECT ifnull(max(count_id), 0) FROM realm_count), (SELECT ifnull(max(audit_id), 0) FROM realm_audit)
    FROM realm WHERE number IS NOT NULL GROUP BY number ORDER BY number;

-- The newest headcounts by number, for the server as a whole, stand in `headcount`. Here are those of each organization, and
-- those of rows that are nobody's yet, by number. `is_future` is 0, or which one it is of those that are still to come; so it
-- is in `headcount`.
CREATE TABLE realm_headcount (
    is_loose INTEGER NOT NULL,
    key INTEGER NOT NULL,
    is_future INTEGER NOT NULL,
    remote_id INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    non_guests INTEGER NOT NULL,
    guests INTEGER NOT NULL,
    workplace_users INTEGER,
    workplace_others INTEGER,
    PRIMARY KEY (is_loose, key, is_future)
) STRICT, WITHOUT ROWID;

INSERT INTO realm_headcount SELECT 0, realm_link.realm_id, is_future, remote_id, event_time, non_guests, guests, workplace_users,
    workplace_others FROM headcount JOIN realm_link USING (number);

-- What was carried along by a move stands below zero there until its organization has a number.
INSERT INTO realm_headcount SELECT 0, realm_id, is_future, remote_id, event_time, non_guests, guests, workplace_users,
    workplace_others FROM headcount JOIN realm ON headcount.number = -realm_id WHERE realm.number IS NULL;

INSERT INTO realm_headcount SELECT 1, number, is_future, remote_id, event_time, non_guests, guests, workplace_users,
    workplace_others FROM headcount WHERE number NOT IN (SELECT number FROM realm_link)
    AND number NOT IN (SELECT -realm_id FROM realm WHERE number IS NULL);

-- The row that the organization had here when it went: uploaded rows are known by that, and get it back with it.
ALTER TABLE realm_moved ADD COLUMN realm_id INTEGER;

-- The organization of the request.
ALTER TABLE delivery ADD COLUMN realm_id INTEGER;

UPDATE delivery SET realm_id = CASE path WHEN 1 THEN (SELECT realm_id FROM sealed_device WHERE sealed_device.device_id =
    delivery.device_id) ELSE (SELECT realm_id FROM device WHERE device.device_id = delivery.device_id) END;
