-- How many codes a client network has tried lately. A row matters until forget_at and is swept after it.
-- At most 4,096 rows, the one that would be forgotten first making way for a new one.
CREATE TABLE network_guesses (
    network TEXT PRIMARY KEY,          -- IPv4 address, IPv6 /64, or 'unknown'
    free_at_us INTEGER NOT NULL,       -- quota state, microseconds since 1970
    missed_at INTEGER,                 -- last unreachable code, milliseconds since 1970
    forget_at INTEGER NOT NULL         -- milliseconds since 1970
) STRICT, WITHOUT ROWID;

CREATE INDEX network_guesses_by_end ON network_guesses (forget_at, network);

-- The room-wide rate of unreachable codes: one row.
CREATE TABLE breaker (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    free_at_us INTEGER NOT NULL,       -- quota state, microseconds since 1970
    open_until INTEGER NOT NULL        -- milliseconds since 1970
) STRICT;
