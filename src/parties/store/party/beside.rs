//! What stands beside the members: signs of life, signals, listeners, announcements, tries, the last list of relays.

use super::{BySeq, number, time_or_null};
use crate::kernel::fault::Fault;
use crate::kernel::sql::{Row, Sql, Statement};
use crate::kernel::time::Timestamp;
use crate::parties::announcements::{Announcement, News, Sent, Subject};
use crate::parties::ears::{Ear, Hearing, Voice};
use crate::parties::naive::Offset;
use crate::parties::signals::Signal;

const ALIVE: &str = "SELECT 1";
const LIVENESS: &str = "SELECT seen, refresh_at FROM liveness WHERE id = 1";
const PUT_LIVENESS: &str = "INSERT OR REPLACE INTO liveness (id, seen, refresh_at) VALUES (1, ?1, ?2)";
const WAITING: &str = "SELECT to_peer_id, count(*), max(seq) FROM signal GROUP BY to_peer_id";
const SIGNALS: &str =
    "SELECT from_peer_id, to_peer_id, payload, sent_at FROM signal WHERE to_peer_id = ?1 ORDER BY seq";
const ADD_SIGNAL: &str =
    "INSERT INTO signal (seq, to_peer_id, from_peer_id, payload, sent_at) VALUES (?1, ?2, ?3, ?4, ?5)";
const DROP_OLDEST: &str =
    "DELETE FROM signal WHERE seq = (SELECT seq FROM signal WHERE to_peer_id = ?1 ORDER BY seq LIMIT 1)";
const CLEAR_SIGNALS: &str = "DELETE FROM signal WHERE to_peer_id = ?1";
const LISTENERS: &str = "SELECT gateway, conn, peer_id, offset_minutes, spoken, seq FROM listener ORDER BY seq";
const PUT_LISTENER: &str = "INSERT OR REPLACE INTO listener (gateway, conn, peer_id, offset_minutes, spoken, seq) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REMOVE_LISTENER: &str = "DELETE FROM listener WHERE gateway = ?1 AND conn = ?2";
const ANNOUNCEMENTS: &str =
    "SELECT subject, party_id, number, begun, failures, due_at, waits_for, sent FROM announcement";
const PUT_ANNOUNCEMENT: &str = "INSERT OR REPLACE INTO announcement (subject, party_id, number, begun, failures, due_at, \
    waits_for, sent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const REMOVE_ANNOUNCEMENT: &str = "DELETE FROM announcement WHERE subject = ?1";
const TRIES: &str = "SELECT network, free_at_us FROM try";
const PUT_TRY: &str = "INSERT OR REPLACE INTO try (network, free_at_us) VALUES (?1, ?2)";
const REMOVE_TRY: &str = "DELETE FROM try WHERE network = ?1";
const RELAY_LIST: &str = "SELECT document FROM relay_list WHERE id = 1";
const PUT_RELAY_LIST: &str = "INSERT OR REPLACE INTO relay_list (id, document) VALUES (1, ?1)";

/// Asks the storage for a sign of life.
pub(in crate::parties) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(ALIVE)).map(drop)
}

/// A member's stored sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::parties) struct Seen {
    /// When.
    pub(in crate::parties) at: Timestamp,
    /// Whether a socket of the party's own kept it alive then.
    pub(in crate::parties) by: Voice,
}

/// Signs of life by the order of joining, and when the listeners are refreshed.
pub(in crate::parties) fn load_liveness(sql: &dyn Sql) -> Result<(BySeq<Seen>, Option<Timestamp>), Fault> {
    let rows = sql.read(Statement::plain(LIVENESS))?;
    let Some(row) = rows.first() else { return Ok((BySeq::new(), None)) };
    let entry = |entry: &str| {
        let (seq, at) = entry.split_once(':')?;
        let (at, by) = at.strip_suffix('!').map_or((at, Voice::Silent), |at| (at, Voice::Spoken));
        Some((seq.parse().ok()?, Seen { at: Timestamp::from_millis(at.parse().ok()?), by }))
    };
    Ok((row.text(0)?.split(' ').filter_map(entry).collect(), time_or_null(row, 1)?))
}

/// Writes all signs of life.
pub(in crate::parties) fn put_liveness(seen: &BySeq<Seen>, refresh_at: Option<Timestamp>) -> Statement {
    let entry = |(seq, seen): (&u64, &Seen)| {
        let mark = if seen.by == Voice::Spoken { "!" } else { "" };
        format!("{seq}:{}{mark}", seen.at.as_millis())
    };
    let text: Vec<String> = seen.iter().map(entry).collect();
    Statement::new(PUT_LIVENESS, vec![text.join(" ").into(), refresh_at.into()])
}

/// How many signals wait for whom, and the next free number.
pub(in crate::parties) fn load_waiting(sql: &dyn Sql) -> Result<(Vec<(String, u64)>, u64), Fault> {
    let rows = sql.read(Statement::plain(WAITING))?;
    let mut next = 1;
    let mut counts = Vec::new();
    for row in &rows {
        counts.push((row.text(0)?.to_owned(), row.unsigned(1)?));
        next = next.max(row.unsigned(2)? + 1);
    }
    Ok((counts, next))
}

/// The signals that wait for a peer, oldest first.
pub(in crate::parties) fn load_signals(sql: &dyn Sql, peer_id: &str) -> Result<Vec<Signal>, Fault> {
    let rows = sql.read(Statement::new(SIGNALS, vec![peer_id.into()]))?;
    let signal = |row: &Row| {
        Ok(Signal {
            from_peer_id: row.text(0)?.to_owned(),
            to_peer_id: row.text(1)?.to_owned(),
            payload: row.text(2)?.to_owned(),
            sent_at: row.time(3)?,
        })
    };
    rows.iter().map(signal).collect()
}

/// Keeps a signal.
pub(in crate::parties) fn add_signal(seq: u64, signal: &Signal) -> Statement {
    let params = vec![
        seq.into(),
        signal.to_peer_id.as_str().into(),
        signal.from_peer_id.as_str().into(),
        signal.payload.as_str().into(),
        signal.sent_at.into(),
    ];
    Statement::new(ADD_SIGNAL, params)
}

/// Forgets the oldest signal for a peer.
pub(in crate::parties) fn drop_oldest_signal(peer_id: &str) -> Statement {
    Statement::new(DROP_OLDEST, vec![peer_id.into()])
}

/// Forgets all signals for a peer.
pub(in crate::parties) fn clear_signals(peer_id: &str) -> Statement {
    Statement::new(CLEAR_SIGNALS, vec![peer_id.into()])
}

/// The sockets of gateways that are subscribed, oldest first.
pub(in crate::parties) fn load_listeners(sql: &dyn Sql) -> Result<Vec<(Ear, Hearing)>, Fault> {
    let rows = sql.read(Statement::plain(LISTENERS))?;
    let listener = |row: &Row| {
        let ear = Ear::Remote { gateway: row.text(0)?.to_owned(), conn: number(row, 1)? };
        let hearing = Hearing {
            peer_id: row.text(2)?.to_owned(),
            offset: Offset::from_minutes(row.integer(3)?),
            voice: if row.unsigned(4)? == 1 { Voice::Spoken } else { Voice::Silent },
            seq: row.unsigned(5)?,
        };
        Ok((ear, hearing))
    };
    rows.iter().map(listener).collect()
}

/// Writes a gateway's socket's subscription, or that it has none.
pub(in crate::parties) fn put_listener(gateway: &str, conn: u32, hearing: Option<&Hearing>) -> Statement {
    let Some(hearing) = hearing else {
        return Statement::new(REMOVE_LISTENER, vec![gateway.into(), conn.into()]);
    };
    let params = vec![
        gateway.into(),
        conn.into(),
        hearing.peer_id.as_str().into(),
        i64::from(hearing.offset.minutes()).into(),
        u32::from(hearing.voice == Voice::Spoken).into(),
        hearing.seq.into(),
    ];
    Statement::new(PUT_LISTENER, params)
}

/// What waits to be announced, and of which party.
#[derive(Debug, Default)]
pub(in crate::parties) struct Announced {
    /// The party's id, if anything waits.
    pub(in crate::parties) party_id: Option<String>,
    /// What.
    pub(in crate::parties) waiting: Vec<(Subject, Announcement)>,
}

/// What waits to be announced.
pub(in crate::parties) fn load_announcements(sql: &dyn Sql) -> Result<Announced, Fault> {
    let mut announced = Announced::default();
    for row in sql.read(Statement::plain(ANNOUNCEMENTS))? {
        let subject = match row.text(0)?.strip_prefix('p') {
            Some(peer_id) => Subject::Peer(peer_id.to_owned()),
            None => Subject::Party,
        };
        let announcement = Announcement {
            number: number(&row, 2)?,
            news: if row.unsigned(3)? == 1 { News::Begun } else { News::Over },
            failures: number(&row, 4)?,
            due_at: row.time(5)?,
            waits_for: row.unsigned_or_null(6)?.and_then(|number| u32::try_from(number).ok()),
            sent: if row.unsigned(7)? == 1 { Sent::Yes } else { Sent::No },
        };
        announced.party_id = Some(row.text(1)?.to_owned());
        announced.waiting.push((subject, announcement));
    }
    Ok(announced)
}

/// Writes what waits to be announced about a subject, or that nothing does.
pub(in crate::parties) fn put_announcement(
    party_id: &str,
    subject: &Subject,
    announcement: Option<&Announcement>,
) -> Statement {
    let name = match subject {
        Subject::Party => String::new(),
        Subject::Peer(peer_id) => format!("p{peer_id}"),
    };
    let Some(announcement) = announcement else {
        return Statement::new(REMOVE_ANNOUNCEMENT, vec![name.into()]);
    };
    let params = vec![
        name.into(),
        party_id.into(),
        announcement.number.into(),
        u32::from(announcement.news == News::Begun).into(),
        announcement.failures.into(),
        announcement.due_at.into(),
        announcement.waits_for.into(),
        u32::from(announcement.sent == Sent::Yes).into(),
    ];
    Statement::new(PUT_ANNOUNCEMENT, params)
}

/// What each network has tried.
pub(in crate::parties) fn load_tries(sql: &dyn Sql) -> Result<Vec<(String, u64)>, Fault> {
    let rows = sql.read(Statement::plain(TRIES))?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.unsigned(1)?))).collect()
}

/// Writes what a network has tried, or that it is forgotten.
pub(in crate::parties) fn put_try(network: &str, free_at_us: Option<u64>) -> Statement {
    match free_at_us {
        Some(free_at_us) => Statement::new(PUT_TRY, vec![network.into(), free_at_us.into()]),
        None => Statement::new(REMOVE_TRY, vec![network.into()]),
    }
}

/// The last list of relays, as it was answered.
pub(in crate::parties) fn load_relay_list(sql: &dyn Sql) -> Result<Option<String>, Fault> {
    let rows = sql.read(Statement::plain(RELAY_LIST))?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Keeps a list of relays.
pub(in crate::parties) fn put_relay_list(document: &str) -> Statement {
    Statement::new(PUT_RELAY_LIST, vec![document.into()])
}
