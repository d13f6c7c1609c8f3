-- Rendezvous, chunks and channels. The names do not collide with those of other rooms, so that the same file serves
-- the relay registry and the signaling room.
--
-- `session` names one life of one socket: random, kept in the socket's attachment, never used again. A row of a session
-- that is not connected is nobody's and goes by its time.
-- Where a table has an `id`, ids rise with time and every write takes a new one; so the order of ids is the order of
-- expiry, a sweep needs no index of its own, and newest minus oldest id bounds the number of rows.
-- `point` and `token` are the first 16 bytes of a SHA-256, as base64url: what peers agreed on is not stored.
CREATE TABLE rendezvous_point (
    id INTEGER NOT NULL PRIMARY KEY,
    point TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    session INTEGER NOT NULL,
    relay_id TEXT,
    expires_at INTEGER NOT NULL,
    -- Ciphertext for whoever knows the point; '' while none was left.
    dead_drop TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX rendezvous_point_by_peer ON rendezvous_point (point, peer_id);
CREATE INDEX rendezvous_point_by_session ON rendezvous_point (session);

CREATE TABLE rendezvous_token (
    id INTEGER NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    session INTEGER NOT NULL,
    relay_id TEXT,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX rendezvous_token_by_peer ON rendezvous_token (token, peer_id);
CREATE INDEX rendezvous_token_by_session ON rendezvous_token (session);

-- How much a client network has put in lately. `network` is hashed like a token; a row matters for a minute.
CREATE TABLE relay_quota (
    network TEXT NOT NULL PRIMARY KEY,
    free_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX relay_quota_by_end ON relay_quota (free_at_us);

-- Who says to hold a chunk. `refused` is 1 for a source whose data was not what the chunk's id says.
CREATE TABLE chunk_source (
    id INTEGER NOT NULL PRIMARY KEY,
    chunk_id TEXT NOT NULL,
    session INTEGER NOT NULL,
    routing_hash TEXT,
    sequence INTEGER,
    chunk_index INTEGER,
    expires_at INTEGER NOT NULL,
    refused INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX chunk_source_by_chunk ON chunk_source (chunk_id, session);
CREATE INDEX chunk_source_by_session ON chunk_source (session);
CREATE INDEX chunk_source_by_route ON chunk_source (routing_hash) WHERE routing_hash IS NOT NULL;

-- Who waits for a chunk, and which source was asked for it.
CREATE TABLE chunk_requester (
    chunk_id TEXT NOT NULL,
    session INTEGER NOT NULL,
    channel_id TEXT,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (chunk_id, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk_want (
    chunk_id TEXT NOT NULL PRIMARY KEY,
    asked_session INTEGER,
    asked_at INTEGER,
    -- Sessions that were asked in vain, a JSON array.
    tried TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known of cached chunks, and, apart so that looking through the former stays cheap, their data as JSON text.
CREATE TABLE chunk_cache (
    chunk_id TEXT NOT NULL PRIMARY KEY,
    channel_id TEXT,
    routing_hash TEXT,
    sequence INTEGER,
    chunk_index INTEGER,
    expires_at INTEGER NOT NULL,
    accessed_at INTEGER NOT NULL,
    accesses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_cache_by_access ON chunk_cache (accessed_at);
CREATE INDEX chunk_cache_by_end ON chunk_cache (expires_at);
CREATE INDEX chunk_cache_by_channel ON chunk_cache (channel_id) WHERE channel_id IS NOT NULL;
CREATE INDEX chunk_cache_by_route ON chunk_cache (routing_hash) WHERE routing_hash IS NOT NULL;

CREATE TABLE chunk_body (
    chunk_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- `role` is 'o' for the owner, 's' for a subscriber.
CREATE TABLE channel_member (
    channel_id TEXT NOT NULL,
    role TEXT NOT NULL,
    session INTEGER NOT NULL,
    PRIMARY KEY (channel_id, role, session)
) STRICT, WITHOUT ROWID;

-- The stream that runs in a channel, with the frame that began it.
CREATE TABLE channel_stream (
    channel_id TEXT NOT NULL PRIMARY KEY,
    stream_id TEXT NOT NULL,
    frame TEXT NOT NULL
) STRICT;

-- Messages for owners who are away.
CREATE TABLE channel_upstream (
    id INTEGER NOT NULL PRIMARY KEY,
    channel_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    frame TEXT NOT NULL
) STRICT;

CREATE INDEX channel_upstream_by_channel ON channel_upstream (channel_id);
