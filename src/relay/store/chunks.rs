//! Sources, requesters, and the cache.

use super::{single, texts};
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::relay::hot::Access;
use crate::relay::message::{Announced, Route};
use crate::relay::wants::{Asked, Requester, Want};

const SOURCES: &str = "SELECT session FROM chunk_source \
    WHERE chunk_id = ?1 AND expires_at > ?2 AND refused = 0 ORDER BY id LIMIT ?3";
const COUNT_OTHERS: &str = "SELECT count(*) FROM chunk_source \
    WHERE session = ?1 AND chunk_id NOT IN (SELECT value FROM json_each(?2))";
// A source that was refused stays so; one that said the same shortly before costs no row.
const PUT_SOURCES: &str = "INSERT OR REPLACE INTO chunk_source \
    (id, chunk_id, session, routing_hash, sequence, chunk_index, expires_at, refused) \
    SELECT ?1 + put.key, json_extract(put.value, '$[0]'), ?3, json_extract(put.value, '$[1]'), \
    json_extract(put.value, '$[2]'), json_extract(put.value, '$[3]'), ?4, 0 FROM json_each(?2) AS put \
    WHERE NOT EXISTS (SELECT 1 FROM chunk_source AS known \
    WHERE known.chunk_id = json_extract(put.value, '$[0]') AND known.session = ?3 \
    AND known.expires_at > CASE known.refused WHEN 1 THEN ?5 ELSE ?6 END)";
const REFUSE_SOURCE: &str = "INSERT OR REPLACE INTO chunk_source (id, chunk_id, session, expires_at, refused) \
    VALUES (?1, ?2, ?3, ?4, 1)";
const REFUSED: &str = "SELECT chunk_id FROM chunk_source WHERE session = ?1 AND refused = 1 AND expires_at > ?2 \
    AND chunk_id IN (SELECT value FROM json_each(?3))";
const REMOVE_SOURCES: &str = "DELETE FROM chunk_source WHERE session = ?1";
// Best fit first; two rows are enough to see whether the first stands alone.
const AT_ROUTE: &str = "SELECT chunk_id, max((sequence IS ?2) + (chunk_index IS ?3)) AS fit FROM \
    (SELECT chunk_id, sequence, chunk_index FROM chunk_cache WHERE routing_hash = ?1 AND expires_at > ?4 \
    UNION ALL SELECT chunk_id, sequence, chunk_index FROM chunk_source \
    WHERE routing_hash = ?1 AND expires_at > ?4 AND refused = 0 LIMIT 1000) \
    WHERE (sequence IS NULL OR ?2 IS NULL OR sequence = ?2) \
    AND (chunk_index IS NULL OR ?3 IS NULL OR chunk_index = ?3) GROUP BY chunk_id ORDER BY fit DESC LIMIT 2";

const REQUESTERS: &str = "SELECT chunk_id, session, channel_id, expires_at FROM chunk_requester";
const WANTS: &str = "SELECT chunk_id, asked_session, asked_at, tried FROM chunk_want";
const PUT_REQUESTER: &str = "INSERT OR REPLACE INTO chunk_requester (chunk_id, session, channel_id, expires_at) \
    VALUES (?1, ?2, ?3, ?4)";
const REMOVE_REQUESTERS: &str = "DELETE FROM chunk_requester WHERE chunk_id = ?1";
const REMOVE_REQUESTER: &str = "DELETE FROM chunk_requester \
    WHERE session = ?1 AND chunk_id IN (SELECT value FROM json_each(?2))";
const PUT_WANT: &str = "INSERT OR REPLACE INTO chunk_want (chunk_id, asked_session, asked_at, tried) \
    VALUES (?1, ?2, ?3, ?4)";
const REMOVE_WANT: &str = "DELETE FROM chunk_want WHERE chunk_id = ?1";
const SWEEP_REQUESTERS: &str = "DELETE FROM chunk_requester WHERE expires_at <= ?1";
const SWEEP_WANTS: &str = "DELETE FROM chunk_want WHERE chunk_id NOT IN (SELECT chunk_id FROM chunk_requester)";

const CACHED: &str = "SELECT b.body, c.expires_at, c.accessed_at FROM chunk_cache AS c \
    JOIN chunk_body AS b ON b.chunk_id = c.chunk_id WHERE c.chunk_id = ?1 AND c.expires_at > ?2";
const IS_CACHED: &str = "SELECT EXISTS (SELECT 1 FROM chunk_cache WHERE chunk_id = ?1)";
const COUNT_CACHED: &str = "SELECT count(*) FROM chunk_cache";
const PUT_CACHED: &str = "INSERT INTO chunk_cache \
    (chunk_id, channel_id, routing_hash, sequence, chunk_index, expires_at, accessed_at, accesses) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) ON CONFLICT (chunk_id) DO UPDATE SET channel_id = excluded.channel_id, \
    routing_hash = excluded.routing_hash, sequence = excluded.sequence, chunk_index = excluded.chunk_index, \
    expires_at = excluded.expires_at, accessed_at = excluded.accessed_at";
const PUT_BODY: &str = "INSERT OR REPLACE INTO chunk_body (chunk_id, body) VALUES (?1, ?2)";
const ACCESSED: &str = "UPDATE chunk_cache SET accessed_at = ?2, accesses = accesses + ?3 WHERE chunk_id = ?1";
const LEAST_RECENT: &str = "SELECT chunk_id, accessed_at FROM chunk_cache ORDER BY accessed_at LIMIT ?1";
const LATE_CACHED: &str = "SELECT chunk_id FROM chunk_cache WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
const REMOVE_CACHED: &str = "DELETE FROM chunk_cache WHERE chunk_id IN (SELECT value FROM json_each(?1))";
const REMOVE_BODIES: &str = "DELETE FROM chunk_body WHERE chunk_id IN (SELECT value FROM json_each(?1))";
const OF_CHANNEL: &str = "SELECT chunk_id FROM chunk_cache WHERE channel_id = ?1 AND expires_at > ?2 \
    ORDER BY expires_at LIMIT ?3";

const COUNT_SOURCES: &str = "SELECT count(*) FROM chunk_source WHERE expires_at > ?1 AND refused = 0";
const COUNT_TRACKED: &str = "SELECT count(*) FROM (SELECT chunk_id FROM chunk_source \
    WHERE expires_at > ?1 AND refused = 0 UNION SELECT chunk_id FROM chunk_cache WHERE expires_at > ?1)";
const COUNT_ACCESSES: &str = "SELECT count(*), coalesce(sum(accesses), 0), coalesce(max(accesses), 0) \
    FROM chunk_cache WHERE expires_at > ?1";

/// Sessions that say to hold the chunk, longest first, connected or not.
pub(in crate::relay) fn read_sources(
    sql: &dyn Sql,
    chunk_id: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<u64>, Fault> {
    let params = vec![chunk_id.into(), now.into(), limit.into()];
    sql.read(Statement::new(SOURCES, params))?.iter().map(|row| row.unsigned(0)).collect()
}

/// How many chunks a session holds besides `chunks`.
pub(in crate::relay) fn count_others(sql: &dyn Sql, session: u64, chunks: &[&str]) -> Result<u64, Fault> {
    single(&sql.read(Statement::new(COUNT_OTHERS, vec![session.into(), to_json(chunks)?.into()]))?)?.unsigned(0)
}

/// When a source's word ends, and how late a word still stands for a new one.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct Term {
    pub(in crate::relay) now: Timestamp,
    pub(in crate::relay) expires_at: Timestamp,
    pub(in crate::relay) fresh_after: Timestamp,
}

/// Keeps a session as source.
pub(in crate::relay) fn put_sources(
    first_id: u64,
    chunks: &[Announced<'_>],
    session: u64,
    term: Term,
) -> Result<Statement, Fault> {
    let rows: Vec<_> = chunks
        .iter()
        .map(|Announced { chunk_id, route }| {
            (chunk_id.as_ref(), route.routing_hash.as_deref(), route.sequence, route.chunk_index)
        })
        .collect();
    let params = vec![
        first_id.into(),
        to_json(&rows)?.into(),
        session.into(),
        term.expires_at.into(),
        term.now.into(),
        term.fresh_after.into(),
    ];
    Ok(Statement::new(PUT_SOURCES, params))
}

/// Keeps that a session is no source for the chunk, whatever it says.
pub(in crate::relay) fn refuse_source(id: u64, chunk_id: &str, session: u64, until: Timestamp) -> Statement {
    Statement::new(REFUSE_SOURCE, vec![id.into(), chunk_id.into(), session.into(), until.into()])
}

/// Which of `chunks` a session is not believed to hold.
pub(in crate::relay) fn read_refused(
    sql: &dyn Sql,
    session: u64,
    now: Timestamp,
    chunks: &[&str],
) -> Result<Vec<String>, Fault> {
    texts(&sql.read(Statement::new(REFUSED, vec![session.into(), now.into(), to_json(chunks)?.into()]))?)
}

/// Forgets a session as source.
pub(in crate::relay) fn remove_sources(session: u64) -> Statement {
    Statement::new(REMOVE_SOURCES, vec![session.into()])
}

/// The one chunk that is known to stand there; nothing when there is none, or several that fit as well.
pub(in crate::relay) fn read_at_route(
    sql: &dyn Sql,
    route: &Route<'_>,
    now: Timestamp,
) -> Result<Option<String>, Fault> {
    let hash = route.routing_hash.as_deref();
    let params = vec![hash.into(), route.sequence.into(), route.chunk_index.into(), now.into()];
    let rows = sql.read(Statement::new(AT_ROUTE, params))?;
    match rows.as_slice() {
        [only] => Ok(Some(only.text(0)?.to_owned())),
        [best, next] if best.unsigned(1)? > next.unsigned(1)? => Ok(Some(best.text(0)?.to_owned())),
        _ => Ok(None),
    }
}

/// Every requester: chunk, session, channel, end.
pub(in crate::relay) fn read_requesters(sql: &dyn Sql) -> Result<Vec<(String, Requester)>, Fault> {
    let requester = |row: &Row| {
        let channel = row.text_or_null(2)?.map(std::rc::Rc::from);
        Ok((row.text(0)?.to_owned(), Requester { session: row.unsigned(1)?, channel, expires_at: row.time(3)? }))
    };
    sql.read(Statement::plain(REQUESTERS))?.iter().map(requester).collect()
}

/// A wanted chunk, the source that was asked for it, and those that were in vain.
type Wanted = (String, Option<Asked>, Vec<u64>);

/// Every wanted chunk.
pub(in crate::relay) fn read_wants(sql: &dyn Sql) -> Result<Vec<Wanted>, Fault> {
    let want = |row: &Row| {
        let asked = match (row.unsigned_or_null(1)?, row.unsigned_or_null(2)?) {
            (Some(session), Some(at)) => Some(Asked { session, at: Timestamp::from_millis(at) }),
            _ => None,
        };
        let tried = serde_json::from_str(row.text(3)?)
            .map_err(|_| Fault::Corrupt(String::from("the tried sources of a chunk")))?;
        Ok((row.text(0)?.to_owned(), asked, tried))
    };
    sql.read(Statement::plain(WANTS))?.iter().map(want).collect()
}

/// Keeps a requester.
pub(in crate::relay) fn put_requester(chunk_id: &str, requester: &Requester) -> Statement {
    let params = vec![
        chunk_id.into(),
        requester.session.into(),
        requester.channel.as_deref().into(),
        requester.expires_at.into(),
    ];
    Statement::new(PUT_REQUESTER, params)
}

/// Keeps what is known of a wanted chunk's sources.
pub(in crate::relay) fn put_want(chunk_id: &str, want: &Want) -> Result<Statement, Fault> {
    let (session, at) = want.asked.map(|asked| (asked.session, asked.at)).unzip();
    Ok(Statement::new(PUT_WANT, vec![chunk_id.into(), session.into(), at.into(), to_json(&want.tried)?.into()]))
}

/// Forgets everybody who waits for the chunk.
pub(in crate::relay) fn settle(chunk_id: &str) -> [Statement; 2] {
    [REMOVE_REQUESTERS, REMOVE_WANT].map(|sql| Statement::new(sql, vec![chunk_id.into()]))
}

/// Forgets that a session waits for `chunks`.
pub(in crate::relay) fn remove_requester(session: u64, chunks: &[&str]) -> Result<Statement, Fault> {
    Ok(Statement::new(REMOVE_REQUESTER, vec![session.into(), to_json(chunks)?.into()]))
}

/// Forgets who has waited too long, and what nobody wants.
pub(in crate::relay) fn sweep_requesters(now: Timestamp) -> [Statement; 2] {
    [Statement::new(SWEEP_REQUESTERS, vec![now.into()]), Statement::plain(SWEEP_WANTS)]
}

/// A cached chunk: its data, its end, and its last written access.
pub(in crate::relay) fn read_cached(
    sql: &dyn Sql,
    chunk_id: &str,
    now: Timestamp,
) -> Result<Option<(String, Timestamp, Timestamp)>, Fault> {
    let rows = sql.read(Statement::new(CACHED, vec![chunk_id.into(), now.into()]))?;
    rows.first().map(|row| Ok((row.text(0)?.to_owned(), row.time(1)?, row.time(2)?))).transpose()
}

/// Whether the chunk has a row in the cache, expired or not.
pub(in crate::relay) fn is_cached(sql: &dyn Sql, chunk_id: &str) -> Result<bool, Fault> {
    Ok(single(&sql.read(Statement::new(IS_CACHED, vec![chunk_id.into()]))?)?.unsigned(0)? != 0)
}

/// Rows of the cache.
pub(in crate::relay) fn count_cached(sql: &dyn Sql) -> Result<u64, Fault> {
    single(&sql.read(Statement::plain(COUNT_CACHED))?)?.unsigned(0)
}

/// Keeps a chunk.
pub(in crate::relay) fn put_cached(
    chunk_id: &str,
    (channel, route): (Option<&str>, &Route<'_>),
    body: &str,
    (now, expires_at): (Timestamp, Timestamp),
) -> [Statement; 2] {
    let meta: Vec<Value> = vec![
        chunk_id.into(),
        channel.into(),
        route.routing_hash.as_deref().into(),
        route.sequence.into(),
        route.chunk_index.into(),
        expires_at.into(),
        now.into(),
    ];
    [Statement::new(PUT_CACHED, meta), Statement::new(PUT_BODY, vec![chunk_id.into(), body.into()])]
}

/// Keeps accesses.
pub(in crate::relay) fn put_access(chunk_id: &str, access: Access) -> Statement {
    Statement::new(ACCESSED, vec![chunk_id.into(), access.at.into(), access.count.into()])
}

/// The chunks whose written access is the oldest.
pub(in crate::relay) fn read_least_recent(sql: &dyn Sql, limit: u64) -> Result<Vec<(String, Timestamp)>, Fault> {
    let candidate = |row: &Row| Ok((row.text(0)?.to_owned(), row.time(1)?));
    sql.read(Statement::new(LEAST_RECENT, vec![limit.into()]))?.iter().map(candidate).collect()
}

/// Expired chunks.
pub(in crate::relay) fn read_late_cached(sql: &dyn Sql, now: Timestamp, limit: u64) -> Result<Vec<String>, Fault> {
    texts(&sql.read(Statement::new(LATE_CACHED, vec![now.into(), limit.into()]))?)
}

/// Forgets chunks.
pub(in crate::relay) fn remove_cached(chunks: &[String]) -> Result<[Statement; 2], Fault> {
    let json = to_json(chunks)?;
    Ok([REMOVE_CACHED, REMOVE_BODIES].map(|sql| Statement::new(sql, vec![json.as_str().into()])))
}

/// Cached chunks of a channel.
pub(in crate::relay) fn read_of_channel(
    sql: &dyn Sql,
    channel: &str,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<String>, Fault> {
    texts(&sql.read(Statement::new(OF_CHANNEL, vec![channel.into(), now.into(), limit.into()]))?)
}

/// What the statistics say of chunks.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct ChunkCounts {
    pub(in crate::relay) tracked: u64,
    pub(in crate::relay) sources: u64,
    pub(in crate::relay) cached: u64,
    pub(in crate::relay) accesses: u64,
    pub(in crate::relay) most_accesses: u64,
}

/// Counts for the statistics.
pub(in crate::relay) fn count(sql: &dyn Sql, now: Timestamp) -> Result<ChunkCounts, Fault> {
    let read = |statement| sql.read(Statement::new(statement, vec![now.into()]));
    let (sources, tracked, cached) = (read(COUNT_SOURCES)?, read(COUNT_TRACKED)?, read(COUNT_ACCESSES)?);
    let cached = single(&cached)?;
    Ok(ChunkCounts {
        tracked: single(&tracked)?.unsigned(0)?,
        sources: single(&sources)?.unsigned(0)?,
        cached: cached.unsigned(0)?,
        accesses: cached.unsigned(1)?,
        most_accesses: cached.unsigned(2)?,
    })
}
