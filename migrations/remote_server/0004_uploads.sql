-- What is kept of uploads, by age and by size. Times are milliseconds since 1970.
-- Of a row that was dated more than a day ahead: when it came. It ages from then, every other row from its own time.
ALTER TABLE realm_count ADD COLUMN aged_from INTEGER;

ALTER TABLE installation_count ADD COLUMN aged_from INTEGER;

ALTER TABLE realm_audit ADD COLUMN aged_from INTEGER;

-- Whatever is here came before the server's last request.
UPDATE realm_count SET aged_from = (SELECT last_request_at FROM server)
    WHERE end_time > (SELECT last_request_at FROM server) + 86400000;

UPDATE installation_count SET aged_from = (SELECT last_request_at FROM server)
    WHERE end_time > (SELECT last_request_at FROM server) + 86400000;

UPDATE realm_audit SET aged_from = (SELECT last_request_at FROM server)
    WHERE remote_id IS NOT NULL AND event_time > (SELECT last_request_at FROM server) + 86400000;

CREATE INDEX realm_count_by_age ON realm_count (ifnull(aged_from, end_time));

CREATE INDEX installation_count_by_age ON installation_count (ifnull(aged_from, end_time));

CREATE INDEX realm_audit_by_age ON realm_audit (ifnull(aged_from, event_time)) WHERE remote_id IS NOT NULL;

-- It was for the order of upload, which is not the order of time.
DROP INDEX realm_audit_uploaded;

-- Bytes of `extra` in the rows that are kept, so that nobody adds them up.
ALTER TABLE upload_mark ADD COLUMN extra_bytes INTEGER NOT NULL DEFAULT 0;

UPDATE upload_mark SET extra_bytes =
    (SELECT ifnull(sum(length(CAST(extra AS BLOB))), 0) FROM realm_audit WHERE remote_id IS NOT NULL)
    WHERE table_name = 'audit';

-- Bytes of our own entries that the server's uploads have caused, which are kept for ever.
ALTER TABLE server ADD COLUMN entry_bytes INTEGER NOT NULL DEFAULT 0;

-- When the organization was last found missing.
ALTER TABLE realm ADD COLUMN lost_at INTEGER;

-- Nothing in the logs is ever changed, and nothing of ours is removed, whatever the code above asks for.
CREATE TRIGGER server_audit_is_kept BEFORE DELETE ON server_audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TRIGGER server_audit_is_final BEFORE UPDATE ON server_audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TRIGGER realm_audit_is_kept BEFORE DELETE ON realm_audit WHEN OLD.remote_id IS NULL
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TRIGGER realm_audit_is_final BEFORE UPDATE ON realm_audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
