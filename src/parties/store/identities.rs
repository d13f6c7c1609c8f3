//! Peers, tokens, bindings, memberships and quotas of one shard. See `migrations/party_identities/`.

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::parties::creation::{Creation, Mark, REMEMBERED_MAX};
use crate::parties::identity::{Binding, Former, Identity, Oldest, Seat, StoredToken, Use};
use crate::parties::token::TokenHash;

/// Schema versions of a shard.
pub(in crate::parties) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../../../migrations/party_identities/0001_init.sql") }];

const PROBE: &str = "SELECT 1";
const TALLY: &str = "SELECT identities, bindings, memberships, allowances FROM tally WHERE id = 1";
const PUT_TALLY: &str = "INSERT OR REPLACE INTO tally (id, identities, bindings, memberships, allowances) \
    VALUES (1, ?1, ?2, ?3, ?4)";
const IDENTITY: &str = "SELECT public_key, signed_at, network, seen_at, used FROM identity WHERE peer_id = ?1";
const PUT_IDENTITY: &str = "INSERT OR REPLACE INTO identity (peer_id, public_key, signed_at, network, seen_at, used) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SEE_IDENTITY: &str = "UPDATE identity SET seen_at = ?2, used = 1 WHERE peer_id = ?1";
const REMOVE_IDENTITY: &str = "DELETE FROM identity WHERE peer_id = ?1";
const OLDEST_IDENTITY: &str = "SELECT peer_id, seen_at FROM identity WHERE used = ?1 ORDER BY seen_at, peer_id LIMIT 1";
const TOKENS: &str =
    "SELECT hash, network, made_at, seen_at, used, peer_id FROM token WHERE peer_id = ?1 ORDER BY made_at, hash";
const TOKEN: &str = "SELECT hash, network, made_at, seen_at, used, peer_id FROM token WHERE hash = ?1";
const PUT_TOKEN: &str = "INSERT OR REPLACE INTO token (hash, peer_id, network, made_at, seen_at, used) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const SEE_TOKEN: &str = "UPDATE token SET seen_at = ?2, used = 1 WHERE hash = ?1";
const REMOVE_TOKEN: &str = "DELETE FROM token WHERE hash = ?1";
const REMOVE_TOKENS: &str = "DELETE FROM token WHERE peer_id = ?1";
const BINDING: &str = "SELECT gateway, conn, network, since, released_at, stamp, former_gateway, former_conn, \
    former_stamp FROM binding WHERE peer_id = ?1";
const PUT_BINDING: &str = "INSERT OR REPLACE INTO binding (peer_id, gateway, conn, network, since, released_at, stamp, \
    former_gateway, former_conn, former_stamp) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const FORMERS: &str = "SELECT peer_id, former_gateway, former_conn, former_stamp FROM binding \
    WHERE former_gateway IS NOT NULL ORDER BY former_gateway LIMIT ?1";
const CLEAR_FORMER: &str = "UPDATE binding SET former_gateway = NULL, former_conn = NULL, former_stamp = NULL \
    WHERE peer_id = ?1 AND former_gateway = ?2 AND former_conn = ?3 AND former_stamp = ?4";
/// One whose socket is gone, if there is any.
const REMOVE_OLDEST_BINDING: &str = "DELETE FROM binding WHERE peer_id = coalesce(\
    (SELECT peer_id FROM binding WHERE released_at IS NOT NULL ORDER BY released_at LIMIT 1), \
    (SELECT peer_id FROM binding ORDER BY since LIMIT 1))";
const PARTIES: &str = "SELECT party_id FROM membership WHERE peer_id = ?1 ORDER BY joined_at, party_id";
const PUT_MEMBERSHIP: &str = "INSERT INTO membership (peer_id, party_id, joined_at) VALUES (?1, ?2, ?3)";
const REMOVE_MEMBERSHIP: &str = "DELETE FROM membership WHERE peer_id = ?1 AND party_id = ?2";
const REMOVE_OLDEST_MEMBERSHIP: &str = "DELETE FROM membership WHERE (peer_id, party_id) IN \
    (SELECT peer_id, party_id FROM membership ORDER BY joined_at LIMIT 1)";
const CREATION: &str = "SELECT mark, body, party_id, until FROM creation WHERE peer_id = ?1 AND mark = ?2";
const PUT_CREATION: &str = "INSERT OR REPLACE INTO creation (peer_id, mark, body, party_id, until) \
    VALUES (?1, ?2, ?3, ?4, ?5)";
const TRIM_CREATIONS: &str = "DELETE FROM creation WHERE peer_id = ?1 AND mark NOT IN \
    (SELECT mark FROM creation WHERE peer_id = ?1 ORDER BY until DESC LIMIT ?2)";
const ALLOWANCE: &str = "SELECT free_at_us FROM allowance WHERE subject = ?1";
const PUT_ALLOWANCE: &str = "INSERT OR REPLACE INTO allowance (subject, free_at_us) VALUES (?1, ?2)";
const REMOVE_OLDEST_ALLOWANCE: &str = "DELETE FROM allowance WHERE subject IN \
    (SELECT subject FROM allowance ORDER BY free_at_us LIMIT 1)";
const UNSEEN: &str = "SELECT peer_id FROM identity WHERE used = ?1 AND seen_at <= ?2 ORDER BY seen_at LIMIT ?3";
const REMOVE_UNSEEN_TOKENS: &str =
    "DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE seen_at <= ?1 ORDER BY seen_at LIMIT ?2)";
const STALE_BINDINGS: &str = "SELECT peer_id FROM binding WHERE released_at IS NOT NULL AND released_at <= ?1 \
    UNION SELECT peer_id FROM binding WHERE since <= ?2 LIMIT ?3";
const REMOVE_BINDING: &str = "DELETE FROM binding WHERE peer_id = ?1";
const REMOVE_CREATIONS: &str = "DELETE FROM creation WHERE (peer_id, mark) IN \
    (SELECT peer_id, mark FROM creation WHERE until <= ?1 ORDER BY until LIMIT ?2)";
const FREE_ALLOWANCES: &str = "SELECT count(*) FROM (SELECT 1 FROM allowance WHERE free_at_us <= ?1 LIMIT ?2)";
const REMOVE_ALLOWANCES: &str = "DELETE FROM allowance WHERE subject IN \
    (SELECT subject FROM allowance WHERE free_at_us <= ?1 ORDER BY free_at_us LIMIT ?2)";
const ANYTHING: &str = "SELECT EXISTS (SELECT 1 FROM identity) OR EXISTS (SELECT 1 FROM binding) \
    OR EXISTS (SELECT 1 FROM creation) OR EXISTS (SELECT 1 FROM allowance)";

/// Rows of the tables that have a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the tables'")]
pub(in crate::parties) struct Tally {
    pub(in crate::parties) identities: u64,
    pub(in crate::parties) bindings: u64,
    pub(in crate::parties) memberships: u64,
    pub(in crate::parties) allowances: u64,
}

/// One event's writes, and how many rows there are after them.
#[derive(Debug)]
pub(in crate::parties) struct Batch {
    statements: Vec<Statement>,
    before: Tally,
    /// How many rows there will be.
    pub(in crate::parties) tally: Tally,
}

/// Whether a row is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::parties) enum Place {
    New,
    Taken,
}

impl Place {
    /// What a lookup found.
    #[must_use]
    pub(in crate::parties) const fn of<T>(found: Option<&T>) -> Self {
        if found.is_some() { Self::Taken } else { Self::New }
    }

    const fn count(self) -> u64 {
        match self {
            Self::New => 1,
            Self::Taken => 0,
        }
    }
}

impl Batch {
    /// No writes yet.
    #[must_use]
    pub(in crate::parties) const fn new(tally: Tally) -> Self {
        Self { statements: Vec::new(), before: tally, tally }
    }

    fn push(&mut self, sql: &'static str, params: Vec<Value>) {
        self.statements.push(Statement::new(sql, params));
    }

    /// Writes a peer.
    pub(in crate::parties) fn put_identity(&mut self, place: Place, peer_id: &str, identity: &Identity) {
        let params = vec![
            peer_id.into(),
            identity.public_key.map(|key| key.to_vec()).into(),
            identity.signed_at.into(),
            identity.network.as_str().into(),
            identity.seen_at.into(),
            number(identity.used),
        ];
        self.push(PUT_IDENTITY, params);
        self.tally.identities += place.count();
    }

    /// Writes down that a token of a peer was used.
    pub(in crate::parties) fn see(&mut self, peer_id: &str, hash: &TokenHash, now: Timestamp) {
        self.push(SEE_TOKEN, vec![hash.to_vec().into(), now.into()]);
        self.push(SEE_IDENTITY, vec![peer_id.into(), now.into()]);
    }

    /// Forgets a peer with its tokens.
    pub(in crate::parties) fn remove_identity(&mut self, peer_id: &str) {
        self.push(REMOVE_TOKENS, vec![peer_id.into()]);
        self.push(REMOVE_IDENTITY, vec![peer_id.into()]);
        self.tally.identities = self.tally.identities.saturating_sub(1);
    }

    /// Writes a token.
    pub(in crate::parties) fn put_token(&mut self, peer_id: &str, token: &StoredToken) {
        let params = vec![
            token.hash.to_vec().into(),
            peer_id.into(),
            token.network.as_str().into(),
            token.made_at.into(),
            token.seen_at.into(),
            number(token.used),
        ];
        self.push(PUT_TOKEN, params);
    }

    /// Forgets a token.
    pub(in crate::parties) fn remove_token(&mut self, hash: &TokenHash) {
        self.push(REMOVE_TOKEN, vec![hash.to_vec().into()]);
    }

    /// Forgets all tokens of a peer.
    pub(in crate::parties) fn remove_tokens(&mut self, peer_id: &str) {
        self.push(REMOVE_TOKENS, vec![peer_id.into()]);
    }

    /// Writes who speaks for a peer. When there are `max` others, the oldest goes.
    pub(in crate::parties) fn put_binding(&mut self, place: Place, peer_id: &str, binding: &Binding, max: u64) {
        if place == Place::New && self.tally.bindings >= max {
            self.push(REMOVE_OLDEST_BINDING, Vec::new());
            self.tally.bindings -= 1;
        }
        let Binding { seat, stamp, network, since, released_at, former } = binding;
        let params = vec![
            peer_id.into(),
            seat.gateway.as_str().into(),
            seat.conn.into(),
            network.as_str().into(),
            (*since).into(),
            (*released_at).into(),
            (*stamp).into(),
            former.as_ref().map(|former| former.seat.gateway.as_str()).into(),
            former.as_ref().map(|former| former.seat.conn).into(),
            former.as_ref().map(|former| former.stamp).into(),
        ];
        self.push(PUT_BINDING, params);
        self.tally.bindings += place.count();
    }

    /// Notes that the gateway of a socket knows that it speaks for the peer no longer.
    pub(in crate::parties) fn clear_former(&mut self, peer_id: &str, former: &Former) {
        let Former { seat: Seat { gateway, conn }, stamp } = former;
        let params = vec![peer_id.into(), gateway.as_str().into(), (*conn).into(), (*stamp).into()];
        self.push(CLEAR_FORMER, params);
    }

    /// Forgets who speaks for a peer.
    pub(in crate::parties) fn remove_binding(&mut self, peer_id: &str) {
        self.push(REMOVE_BINDING, vec![peer_id.into()]);
        self.tally.bindings = self.tally.bindings.saturating_sub(1);
    }

    /// Writes that a peer is in a party, which was not known. When there are `max` others, the oldest goes.
    pub(in crate::parties) fn put_membership(&mut self, peer_id: &str, party_id: &str, now: Timestamp, max: u64) {
        if self.tally.memberships >= max {
            self.push(REMOVE_OLDEST_MEMBERSHIP, Vec::new());
            self.tally.memberships -= 1;
        }
        self.push(PUT_MEMBERSHIP, vec![peer_id.into(), party_id.into(), now.into()]);
        self.tally.memberships += 1;
    }

    /// Forgets a membership, which was known.
    pub(in crate::parties) fn remove_membership(&mut self, peer_id: &str, party_id: &str) {
        self.push(REMOVE_MEMBERSHIP, vec![peer_id.into(), party_id.into()]);
        self.tally.memberships = self.tally.memberships.saturating_sub(1);
    }

    /// Writes a party that a peer has begun, and forgets its oldest ones.
    pub(in crate::parties) fn put_creation(&mut self, peer_id: &str, creation: &Creation) {
        let Creation { mark, body, party_id, until } = creation;
        let (mark, body) = (mark.to_vec().into(), body.to_vec().into());
        self.push(PUT_CREATION, vec![peer_id.into(), mark, body, party_id.as_str().into(), (*until).into()]);
        self.push(TRIM_CREATIONS, vec![peer_id.into(), REMEMBERED_MAX.into()]);
    }

    /// Writes what somebody has taken of a quota. When there are `max` others, the one that is free first goes.
    pub(in crate::parties) fn put_allowance(&mut self, place: Place, subject: Mark, free_at_us: u64, max: u64) {
        if place == Place::New && self.tally.allowances >= max {
            self.push(REMOVE_OLDEST_ALLOWANCE, Vec::new());
            self.tally.allowances -= 1;
        }
        self.push(PUT_ALLOWANCE, vec![subject.to_vec().into(), free_at_us.into()]);
        self.tally.allowances += place.count();
    }

    /// The statements, to be committed at once.
    #[must_use]
    pub(in crate::parties) fn finish(mut self) -> Vec<Statement> {
        if self.tally != self.before {
            let Tally { identities, bindings, memberships, allowances } = self.tally;
            let params = vec![identities.into(), bindings.into(), memberships.into(), allowances.into()];
            self.push(PUT_TALLY, params);
        }
        self.statements
    }
}

/// Asks the storage for a sign of life.
pub(in crate::parties) fn probe(sql: &dyn Sql) -> Result<(), Fault> {
    sql.read(Statement::plain(PROBE)).map(drop)
}

/// How many rows there are.
pub(in crate::parties) fn load_tally(sql: &dyn Sql) -> Result<Tally, Fault> {
    let rows = sql.read(Statement::plain(TALLY))?;
    let Some(row) = rows.first() else { return Ok(Tally::default()) };
    Ok(Tally {
        identities: row.unsigned(0)?,
        bindings: row.unsigned(1)?,
        memberships: row.unsigned(2)?,
        allowances: row.unsigned(3)?,
    })
}

/// Whether there is anything that a sweep could find one day.
pub(in crate::parties) fn any(sql: &dyn Sql) -> Result<bool, Fault> {
    let rows = sql.read(Statement::plain(ANYTHING))?;
    Ok(rows.first().map(|row| row.integer(0)).transpose()? == Some(1))
}

/// A peer.
pub(in crate::parties) fn load_identity(sql: &dyn Sql, peer_id: &str) -> Result<Option<Identity>, Fault> {
    let rows = sql.read(Statement::new(IDENTITY, vec![peer_id.into()]))?;
    let parse = |row: &Row| {
        Ok(Identity {
            public_key: match row.0.first() {
                Some(Value::Null) => None,
                _ => Some(bytes(row, 0)?),
            },
            signed_at: row.unsigned_or_null(1)?.map(Timestamp::from_millis),
            network: row.text(2)?.to_owned(),
            seen_at: row.time(3)?,
            used: is_used(row, 4)?,
        })
    };
    rows.first().map(parse).transpose()
}

/// Who makes room first.
pub(in crate::parties) fn load_oldest(sql: &dyn Sql) -> Result<Oldest, Fault> {
    let oldest = |used| {
        let rows = sql.read(Statement::new(OLDEST_IDENTITY, vec![number(used)]))?;
        rows.first().map(|row| Ok((row.text(0)?.to_owned(), row.time(1)?))).transpose()
    };
    Ok(Oldest { never_used: oldest(Use::Never)?, used: oldest(Use::Used)? })
}

/// A peer's tokens, the oldest first.
pub(in crate::parties) fn load_tokens(sql: &dyn Sql, peer_id: &str) -> Result<Vec<StoredToken>, Fault> {
    let rows = sql.read(Statement::new(TOKENS, vec![peer_id.into()]))?;
    rows.iter().map(parse_token).collect()
}

/// A token and whose it is.
pub(in crate::parties) fn load_token(sql: &dyn Sql, hash: &TokenHash) -> Result<Option<(String, StoredToken)>, Fault> {
    let rows = sql.read(Statement::new(TOKEN, vec![hash.to_vec().into()]))?;
    rows.first().map(|row| Ok((row.text(5)?.to_owned(), parse_token(row)?))).transpose()
}

fn parse_token(row: &Row) -> Result<StoredToken, Fault> {
    Ok(StoredToken {
        hash: bytes(row, 0)?,
        network: row.text(1)?.to_owned(),
        made_at: row.time(2)?,
        seen_at: row.time(3)?,
        used: is_used(row, 4)?,
    })
}

/// Who speaks for a peer, or lately did.
pub(in crate::parties) fn load_binding(sql: &dyn Sql, peer_id: &str) -> Result<Option<Binding>, Fault> {
    let rows = sql.read(Statement::new(BINDING, vec![peer_id.into()]))?;
    let parse = |row: &Row| {
        let former = if row.text_or_null(6)?.is_some() { Some(former(row, 6)?) } else { None };
        Ok(Binding {
            seat: Seat { gateway: row.text(0)?.to_owned(), conn: conn(row, 1)? },
            network: row.text(2)?.to_owned(),
            since: row.time(3)?,
            released_at: row.unsigned_or_null(4)?.map(Timestamp::from_millis),
            stamp: row.unsigned(5)?,
            former,
        })
    };
    rows.first().map(parse).transpose()
}

/// Peers whose former sockets may not know that they are.
pub(in crate::parties) fn load_formers(sql: &dyn Sql, limit: u64) -> Result<Vec<(String, Former)>, Fault> {
    let rows = sql.read(Statement::new(FORMERS, vec![limit.into()]))?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), former(row, 1)?))).collect()
}

fn former(row: &Row, first: usize) -> Result<Former, Fault> {
    let seat = Seat { gateway: row.text(first)?.to_owned(), conn: conn(row, first + 1)? };
    Ok(Former { seat, stamp: row.unsigned(first + 2)? })
}

fn conn(row: &Row, index: usize) -> Result<u32, Fault> {
    u32::try_from(row.unsigned(index)?).map_err(|_| Fault::Corrupt(String::from("no connection number")))
}

/// The parties that a peer is in, the oldest first.
pub(in crate::parties) fn load_parties(sql: &dyn Sql, peer_id: &str) -> Result<Vec<String>, Fault> {
    texts(&sql.read(Statement::new(PARTIES, vec![peer_id.into()]))?)
}

/// A party that a peer has begun.
pub(in crate::parties) fn load_creation(sql: &dyn Sql, peer_id: &str, mark: &Mark) -> Result<Option<Creation>, Fault> {
    let rows = sql.read(Statement::new(CREATION, vec![peer_id.into(), mark.to_vec().into()]))?;
    let parse = |row: &Row| {
        let (mark, body) = (bytes(row, 0)?, bytes(row, 1)?);
        Ok(Creation { mark, body, party_id: row.text(2)?.to_owned(), until: row.time(3)? })
    };
    rows.first().map(parse).transpose()
}

/// What somebody has taken of a quota.
pub(in crate::parties) fn load_allowance(sql: &dyn Sql, subject: &Mark) -> Result<Option<u64>, Fault> {
    let rows = sql.read(Statement::new(ALLOWANCE, vec![subject.to_vec().into()]))?;
    rows.first().map(|row| row.unsigned(0)).transpose()
}

/// What a sweep takes away of each kind, at most.
pub(in crate::parties) const SWEPT_MAX: u64 = 500;

/// What is over.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::parties) struct Ends {
    pub(in crate::parties) now: Timestamp,
    /// Peers and tokens that were last seen then, as far as was written down.
    pub(in crate::parties) seen: Timestamp,
    /// Bindings whose socket was gone then.
    pub(in crate::parties) released: Timestamp,
    /// Bindings that are as old as that.
    pub(in crate::parties) bound: Timestamp,
}

/// Takes away what is over, some of it. Whether there may be more.
pub(in crate::parties) fn sweep(sql: &dyn Sql, batch: &mut Batch, ends: Ends) -> Result<bool, Fault> {
    let limit = || Value::from(SWEPT_MAX);
    let mut more = false;
    for used in [Use::Never, Use::Used] {
        let unseen = texts(&sql.read(Statement::new(UNSEEN, vec![number(used), ends.seen.into(), limit()]))?)?;
        more |= unseen.len() as u64 == SWEPT_MAX;
        unseen.iter().for_each(|peer_id| batch.remove_identity(peer_id));
    }
    let stale = Statement::new(STALE_BINDINGS, vec![ends.released.into(), ends.bound.into(), limit()]);
    let stale = texts(&sql.read(stale)?)?;
    more |= stale.len() as u64 == SWEPT_MAX;
    stale.iter().for_each(|peer_id| batch.remove_binding(peer_id));
    let now_us = Value::from(ends.now.as_millis().saturating_mul(1_000));
    let rows = sql.read(Statement::new(FREE_ALLOWANCES, vec![now_us.clone(), limit()]))?;
    let free = rows.first().map(|row| row.unsigned(0)).transpose()?.unwrap_or(0);
    more |= free == SWEPT_MAX;
    batch.push(REMOVE_ALLOWANCES, vec![now_us, limit()]);
    batch.tally.allowances = batch.tally.allowances.saturating_sub(free);
    batch.push(REMOVE_UNSEEN_TOKENS, vec![ends.seen.into(), limit()]);
    batch.push(REMOVE_CREATIONS, vec![ends.now.into(), limit()]);
    Ok(more)
}

fn texts(rows: &[Row]) -> Result<Vec<String>, Fault> {
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

fn bytes<const N: usize>(row: &Row, index: usize) -> Result<[u8; N], Fault> {
    row.blob(index)?.try_into().map_err(|_| Fault::Corrupt(format!("column {index}: not {N} bytes")))
}

fn is_used(row: &Row, index: usize) -> Result<Use, Fault> {
    Ok(if row.integer(index)? == 1 { Use::Used } else { Use::Never })
}

fn number(used: Use) -> Value {
    Value::Integer(match used {
        Use::Never => 0,
        Use::Used => 1,
    })
}
