-- When the upload was begun, so that a farewell that comes late does not meet a newer upload. 0: before anybody asked.
ALTER TABLE manifest ADD COLUMN begun_at INTEGER NOT NULL DEFAULT 0;
