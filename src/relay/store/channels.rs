//! Members of channels, streams, and messages for absent owners.

use super::single;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::relay::channels::{Role, Stream};

const MEMBERS: &str = "SELECT channel_id, role, session FROM channel_member";
const STREAMS: &str = "SELECT channel_id, stream_id, frame FROM channel_stream";
const PUT_MEMBER: &str = "INSERT OR IGNORE INTO channel_member (channel_id, role, session) VALUES (?1, ?2, ?3)";
const REMOVE_MEMBER: &str = "DELETE FROM channel_member \
    WHERE (channel_id, role, session) IN (SELECT value, ?2, ?1 FROM json_each(?3))";
const KEEP_MEMBERS: &str = "DELETE FROM channel_member WHERE session NOT IN (SELECT value FROM json_each(?1))";
const PUT_STREAM: &str = "INSERT OR REPLACE INTO channel_stream (channel_id, stream_id, frame) VALUES (?1, ?2, ?3)";
const REMOVE_STREAM: &str = "DELETE FROM channel_stream WHERE channel_id = ?1";
const KEEP_STREAMS: &str = "DELETE FROM channel_stream \
    WHERE channel_id NOT IN (SELECT channel_id FROM channel_member WHERE role = 'o')";

const COUNT_QUEUES: &str = "SELECT (SELECT count(*) FROM channel_upstream), \
    (SELECT count(*) FROM channel_upstream WHERE channel_id = ?1 AND expires_at > ?2)";
const QUEUED: &str = "SELECT frame FROM channel_upstream WHERE channel_id = ?1 AND expires_at > ?2 ORDER BY id";
const PUT_QUEUED: &str = "INSERT INTO channel_upstream (channel_id, expires_at, frame) VALUES (?1, ?2, ?3)";
const REMOVE_QUEUED: &str = "DELETE FROM channel_upstream WHERE channel_id = ?1";
const SWEEP_QUEUED: &str = "DELETE FROM channel_upstream WHERE id IN \
    (SELECT id FROM channel_upstream WHERE expires_at <= ?1 ORDER BY id LIMIT ?2)";

const fn role_text(role: Role) -> &'static str {
    match role {
        Role::Owner => "o",
        Role::Subscriber => "s",
    }
}

/// Every member: channel, role, session.
pub(in crate::relay) fn read_members(sql: &dyn Sql) -> Result<Vec<(String, Role, u64)>, Fault> {
    let member = |row: &Row| {
        let role = match row.text(1)? {
            "o" => Role::Owner,
            "s" => Role::Subscriber,
            _ => return Err(Fault::Corrupt(String::from("a role in a channel"))),
        };
        Ok((row.text(0)?.to_owned(), role, row.unsigned(2)?))
    };
    sql.read(Statement::plain(MEMBERS))?.iter().map(member).collect()
}

/// Every stream with its channel.
pub(in crate::relay) fn read_streams(sql: &dyn Sql) -> Result<Vec<(String, Stream)>, Fault> {
    let stream = |row: &Row| {
        let stream = Stream { stream_id: row.text(1)?.into(), frame: row.text(2)?.into() };
        Ok((row.text(0)?.to_owned(), stream))
    };
    sql.read(Statement::plain(STREAMS))?.iter().map(stream).collect()
}

/// Keeps a member.
pub(in crate::relay) fn put_member(channel: &str, role: Role, session: u64) -> Statement {
    Statement::new(PUT_MEMBER, vec![channel.into(), role_text(role).into(), session.into()])
}

/// Forgets a session's roles in `channels`.
pub(in crate::relay) fn remove_member(session: u64, channels: &[&str]) -> Result<[Statement; 2], Fault> {
    let json = to_json(channels)?;
    let remove =
        |role| Statement::new(REMOVE_MEMBER, vec![session.into(), role_text(role).into(), json.clone().into()]);
    Ok([remove(Role::Owner), remove(Role::Subscriber)])
}

/// Forgets members whose session is none of `sessions`, and streams without owner.
pub(in crate::relay) fn keep_members(sessions: &[u64]) -> Result<[Statement; 2], Fault> {
    Ok([Statement::new(KEEP_MEMBERS, vec![to_json(sessions)?.into()]), Statement::plain(KEEP_STREAMS)])
}

/// Keeps the stream that runs in a channel.
pub(in crate::relay) fn put_stream(channel: &str, stream: &Stream) -> Statement {
    Statement::new(PUT_STREAM, vec![channel.into(), (&*stream.stream_id).into(), (&*stream.frame).into()])
}

/// Forgets the stream of a channel.
pub(in crate::relay) fn remove_stream(channel: &str) -> Statement {
    Statement::new(REMOVE_STREAM, vec![channel.into()])
}

/// Messages queued for everybody, and for the owner of `channel`.
pub(in crate::relay) fn count_queued(sql: &dyn Sql, channel: &str, now: Timestamp) -> Result<(u64, u64), Fault> {
    let rows = sql.read(Statement::new(COUNT_QUEUES, vec![channel.into(), now.into()]))?;
    let row = single(&rows)?;
    Ok((row.unsigned(0)?, row.unsigned(1)?))
}

/// Messages queued for the owner of `channel`, oldest first.
pub(in crate::relay) fn read_queued(sql: &dyn Sql, channel: &str, now: Timestamp) -> Result<Vec<String>, Fault> {
    super::texts(&sql.read(Statement::new(QUEUED, vec![channel.into(), now.into()]))?)
}

/// Queues a message.
pub(in crate::relay) fn put_queued(channel: &str, expires_at: Timestamp, frame: &str) -> Statement {
    Statement::new(PUT_QUEUED, vec![channel.into(), expires_at.into(), frame.into()])
}

/// Empties a queue.
pub(in crate::relay) fn remove_queued(channel: &str) -> Statement {
    Statement::new(REMOVE_QUEUED, vec![channel.into()])
}

/// Forgets messages that waited too long.
pub(in crate::relay) fn sweep_queued(now: Timestamp, limit: u64) -> Statement {
    Statement::new(SWEEP_QUEUED, vec![now.into(), limit.into()])
}
