//! Points, tokens, and how much a network has put in.

use super::single;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::relay::rendezvous::{Found, Ids, Match};

// `CROSS JOIN` keeps the order of the loops, so the answers come in the order of the asked and the limit ends the walk.
const DROPS: &str = "SELECT p.peer_id, p.relay_id, p.dead_drop, p.session FROM json_each(?1) AS asked \
    CROSS JOIN rendezvous_point AS p ON p.point = asked.value \
    WHERE p.peer_id <> ?2 AND p.expires_at > ?3 AND p.dead_drop <> '' LIMIT ?4";
const MATCHES: &str = "SELECT t.peer_id, t.relay_id, t.session FROM json_each(?1) AS asked \
    CROSS JOIN rendezvous_token AS t ON t.token = asked.value \
    WHERE t.peer_id <> ?2 AND t.expires_at > ?3 LIMIT ?4";
const PUT_POINTS: &str = "INSERT OR REPLACE INTO rendezvous_point \
    (id, point, peer_id, session, relay_id, expires_at, dead_drop) \
    SELECT ?1 + put.key, json_extract(put.value, '$[0]'), ?3, ?4, ?5, ?6, json_extract(put.value, '$[1]') \
    FROM json_each(?2) AS put";
const PUT_TOKENS: &str = "INSERT OR REPLACE INTO rendezvous_token \
    (id, token, peer_id, session, relay_id, expires_at) \
    SELECT ?1 + put.key, put.value, ?3, ?4, ?5, ?6 FROM json_each(?2) AS put";
const REMOVE_TOKENS: &str = "DELETE FROM rendezvous_token WHERE session = ?1";
const REMOVE_POINTS: &str = "DELETE FROM rendezvous_point WHERE session = ?1";
const REMOVE_EMPTY_POINTS: &str = "DELETE FROM rendezvous_point WHERE session = ?1 AND dead_drop = ''";

const QUOTA: &str = "SELECT free_at_us FROM relay_quota WHERE network = ?1";
const PUT_QUOTA: &str = "INSERT INTO relay_quota (network, free_at_us) VALUES (?1, ?2) \
    ON CONFLICT (network) DO UPDATE SET free_at_us = excluded.free_at_us";
const SWEEP_QUOTAS: &str = "DELETE FROM relay_quota WHERE network IN \
    (SELECT network FROM relay_quota WHERE free_at_us <= ?1 ORDER BY free_at_us LIMIT ?2)";

const POINT_IDS: &str = "SELECT (SELECT min(id) FROM rendezvous_point), (SELECT max(id) FROM rendezvous_point)";
const TOKEN_IDS: &str = "SELECT (SELECT min(id) FROM rendezvous_token), (SELECT max(id) FROM rendezvous_token)";
const SOURCE_IDS: &str = "SELECT (SELECT min(id) FROM chunk_source), (SELECT max(id) FROM chunk_source)";
const LATE_POINTS: &str = "SELECT count(*), max(id) FROM (SELECT id, expires_at FROM rendezvous_point \
    ORDER BY id LIMIT ?2) WHERE expires_at <= ?1";
const LATE_TOKENS: &str = "SELECT count(*), max(id) FROM (SELECT id, expires_at FROM rendezvous_token \
    ORDER BY id LIMIT ?2) WHERE expires_at <= ?1";
const LATE_SOURCES: &str = "SELECT count(*), max(id) FROM (SELECT id, expires_at FROM chunk_source \
    ORDER BY id LIMIT ?2) WHERE expires_at <= ?1";
const SWEEP_POINTS: &str = "DELETE FROM rendezvous_point WHERE id <= ?2 AND expires_at <= ?1";
const SWEEP_TOKENS: &str = "DELETE FROM rendezvous_token WHERE id <= ?2 AND expires_at <= ?1";
const SWEEP_SOURCES: &str = "DELETE FROM chunk_source WHERE id <= ?2 AND expires_at <= ?1";

const COUNT_POINTS: &str = "SELECT count(DISTINCT point), count(*) FROM rendezvous_point WHERE expires_at > ?1";
const COUNT_TOKENS: &str = "SELECT count(DISTINCT token), count(*) FROM rendezvous_token WHERE expires_at > ?1";

/// A table whose ids rise with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Aging {
    Points,
    Tokens,
    Sources,
}

impl Aging {
    pub(in crate::relay) const ALL: [Self; 3] = [Self::Points, Self::Tokens, Self::Sources];
}

/// Drops that others left at `points`, in the order of `points`.
pub(in crate::relay) fn read_drops(
    sql: &dyn Sql,
    (points, but): (&[String], &str),
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Found>, Fault> {
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let params = vec![to_json(points)?.into(), but.into(), now.into(), limit.into()];
    let found = |row: &crate::kernel::sql::Row| {
        let relay_id = row.text_or_null(1)?.map(str::to_owned);
        let (peer_id, dead_drop) = (row.text(0)?.to_owned(), row.text(2)?.to_owned());
        Ok(Found { peer_id, relay_id, dead_drop, session: row.unsigned(3)? })
    };
    sql.read(Statement::new(DROPS, params))?.iter().map(found).collect()
}

/// Others who put in `tokens`, connected or not, in the order of `tokens`.
pub(in crate::relay) fn read_matches(
    sql: &dyn Sql,
    (tokens, but): (&[String], &str),
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Match>, Fault> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let params = vec![to_json(tokens)?.into(), but.into(), now.into(), limit.into()];
    let found = |row: &crate::kernel::sql::Row| {
        let relay_id = row.text_or_null(1)?.map(str::to_owned);
        Ok(Match { peer_id: row.text(0)?.to_owned(), relay_id, session: row.unsigned(2)? })
    };
    sql.read(Statement::new(MATCHES, params))?.iter().map(found).collect()
}

/// Who puts something in, and until when it stays.
#[derive(Debug, Clone, Copy)]
pub(in crate::relay) struct Depositor<'a> {
    pub(in crate::relay) peer_id: &'a str,
    pub(in crate::relay) session: u64,
    pub(in crate::relay) relay_id: Option<&'a str>,
}

/// Puts in points with their drops; `points` is a JSON array of pairs.
pub(in crate::relay) fn put_points(
    first_id: u64,
    points: &[(String, &str)],
    who: Depositor<'_>,
    expires_at: Timestamp,
) -> Result<Statement, Fault> {
    let Depositor { peer_id, session, relay_id } = who;
    let json = to_json(points)?;
    let params = vec![first_id.into(), json.into(), peer_id.into(), session.into(), relay_id.into(), expires_at.into()];
    Ok(Statement::new(PUT_POINTS, params))
}

/// Puts in tokens.
pub(in crate::relay) fn put_tokens(
    first_id: u64,
    tokens: &[String],
    who: Depositor<'_>,
    expires_at: Timestamp,
) -> Result<Statement, Fault> {
    let Depositor { peer_id, session, relay_id } = who;
    let json = to_json(tokens)?;
    let params = vec![first_id.into(), json.into(), peer_id.into(), session.into(), relay_id.into(), expires_at.into()];
    Ok(Statement::new(PUT_TOKENS, params))
}

/// Forgets a session's tokens.
pub(in crate::relay) fn remove_tokens(session: u64) -> Statement {
    Statement::new(REMOVE_TOKENS, vec![session.into()])
}

/// Forgets all of a session's points.
pub(in crate::relay) fn remove_points(session: u64) -> Statement {
    Statement::new(REMOVE_POINTS, vec![session.into()])
}

/// Forgets a session's points at which nothing was left.
pub(in crate::relay) fn remove_empty_points(session: u64) -> Statement {
    Statement::new(REMOVE_EMPTY_POINTS, vec![session.into()])
}

/// The quota's state of a network, 0 when it is unknown.
pub(in crate::relay) fn read_quota(sql: &dyn Sql, network: &str) -> Result<u64, Fault> {
    let rows = sql.read(Statement::new(QUOTA, vec![network.into()]))?;
    rows.first().map_or(Ok(0), |row| row.unsigned(0))
}

/// Keeps the quota's state of a network.
pub(in crate::relay) fn put_quota(network: String, free_at_us: u64) -> Statement {
    Statement::new(PUT_QUOTA, vec![network.into(), free_at_us.into()])
}

/// Forgets quotas that are entirely free again.
pub(in crate::relay) fn sweep_quotas(now: Timestamp, limit: u64) -> Statement {
    Statement::new(SWEEP_QUOTAS, vec![now.as_millis().saturating_mul(1_000).into(), limit.into()])
}

/// The ids in use.
pub(in crate::relay) fn read_ids(sql: &dyn Sql, table: Aging) -> Result<Ids, Fault> {
    let statement = match table {
        Aging::Points => POINT_IDS,
        Aging::Tokens => TOKEN_IDS,
        Aging::Sources => SOURCE_IDS,
    };
    let rows = sql.read(Statement::plain(statement))?;
    let row = single(&rows)?;
    let next = row.unsigned_or_null(1)?.unwrap_or(0) + 1;
    Ok(Ids { oldest: row.unsigned_or_null(0)?.unwrap_or(next), next })
}

/// How many of the `limit` oldest rows have expired, and the statement that forgets them.
pub(in crate::relay) fn sweep_aging(
    sql: &dyn Sql,
    table: Aging,
    now: Timestamp,
    limit: u64,
) -> Result<(u64, Option<Statement>), Fault> {
    let (late, sweep) = match table {
        Aging::Points => (LATE_POINTS, SWEEP_POINTS),
        Aging::Tokens => (LATE_TOKENS, SWEEP_TOKENS),
        Aging::Sources => (LATE_SOURCES, SWEEP_SOURCES),
    };
    let rows = sql.read(Statement::new(late, vec![now.into(), limit.into()]))?;
    let row = single(&rows)?;
    let newest = row.unsigned_or_null(1)?;
    let statement = newest.map(|newest| Statement::new(sweep, vec![now.into(), newest.into()]));
    Ok((row.unsigned(0)?, statement))
}

/// Distinct points and their registrations, distinct tokens and theirs.
pub(in crate::relay) fn count(sql: &dyn Sql, now: Timestamp) -> Result<[(u64, u64); 2], Fault> {
    let count = |statement| {
        let rows = sql.read(Statement::new(statement, vec![now.into()]))?;
        let row = single(&rows)?;
        Ok((row.unsigned(0)?, row.unsigned(1)?))
    };
    Ok([count(COUNT_POINTS)?, count(COUNT_TOKENS)?])
}
