//! SQL ↔ values of one party. Nothing here decides.

mod beside;

use std::collections::BTreeMap;

pub(in crate::parties) use beside::*;

use crate::kernel::fault::Fault;
use crate::kernel::migration::Migration;
use crate::kernel::sql::{Row, Sql, Statement, Value};
use crate::kernel::time::Timestamp;
use crate::parties::addresses::{Lease, Leases};
use crate::parties::bans::Bans;
use crate::parties::candidates::Latencies;
use crate::parties::invites::{Invite, Invites};
use crate::parties::naive::Offset;
use crate::parties::party::{Change, Member, Party, Promotion};
use crate::parties::password::PasswordHash;
use crate::parties::peer::Peer;

/// Schema versions of a party.
pub(in crate::parties) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../../../migrations/party_room/0001_init.sql") }];

const PARTY: &str = "SELECT party_id, name, host_id, created_at, peers_max, password_salt, password_hash, promotion, \
    next_seq FROM party WHERE id = 1";
const PUT_PARTY: &str = "INSERT OR REPLACE INTO party (id, party_id, name, host_id, created_at, peers_max, \
    password_salt, password_hash, promotion, next_seq) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const MEMBERS: &str = "SELECT peer_id, name, public_key, nat_type, public_ip, public_port, local_ip, local_port, \
    offset_minutes, seq, latencies FROM member";
const PUT_MEMBER: &str = "INSERT OR REPLACE INTO member (peer_id, name, public_key, nat_type, public_ip, public_port, \
    local_ip, local_port, offset_minutes, seq, latencies) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const REMOVE_MEMBER: &str = "DELETE FROM member WHERE peer_id = ?1";
const LEASES: &str = "SELECT peer_id, number, used FROM lease";
const PUT_LEASE: &str = "INSERT OR REPLACE INTO lease (peer_id, number, used) VALUES (?1, ?2, ?3)";
const REMOVE_LEASE: &str = "DELETE FROM lease WHERE peer_id = ?1";
const INVITES: &str = "SELECT code, expires_at, uses_left FROM invite";
const PUT_INVITE: &str = "INSERT OR REPLACE INTO invite (code, expires_at, uses_left) VALUES (?1, ?2, ?3)";
const REMOVE_INVITE: &str = "DELETE FROM invite WHERE code = ?1";
const BANS: &str = "SELECT peer_id, until FROM ban";
const PUT_BAN: &str = "INSERT OR REPLACE INTO ban (peer_id, until) VALUES (?1, ?2)";
const REMOVE_BAN: &str = "DELETE FROM ban WHERE peer_id = ?1";

/// Everything that goes with a party.
const CLEAR: [&str; 10] = [
    "DELETE FROM party",
    "DELETE FROM member",
    "DELETE FROM lease",
    "DELETE FROM invite",
    "DELETE FROM ban",
    "DELETE FROM liveness",
    "DELETE FROM signal",
    "DELETE FROM listener",
    "DELETE FROM try",
    "DELETE FROM relay_list",
];

/// The party as it was stored, if there is one. Signs of life stand elsewhere: all members were last seen at the epoch.
pub(in crate::parties) fn load_party(sql: &dyn Sql) -> Result<Option<Party>, Fault> {
    let rows = sql.read(Statement::plain(PARTY))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let password = match row.0.get(5) {
        Some(Value::Null) | None => None,
        Some(_) => Some(PasswordHash { salt: bytes(row, 5)?, hash: bytes(row, 6)? }),
    };
    let members = sql.read(Statement::plain(MEMBERS))?;
    let leases = sql.read(Statement::plain(LEASES))?;
    let invites = sql.read(Statement::plain(INVITES))?;
    let bans = sql.read(Statement::plain(BANS))?;
    let bans = bans.iter().map(|row| Ok((row.text(0)?.to_owned(), time_or_null(row, 1)?)));
    Ok(Some(Party {
        party_id: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        host_id: row.text(2)?.to_owned(),
        created_at: row.time(3)?,
        peers_max: number(row, 4)?,
        password,
        promotion: if row.unsigned(7)? == 1 { Promotion::On } else { Promotion::Off },
        next_seq: row.unsigned(8)?,
        members: members.iter().map(parse_member).collect::<Result<_, Fault>>()?,
        leases: Leases::restore(leases.iter().map(parse_lease).collect::<Result<_, Fault>>()?),
        invites: Invites::restore(invites.iter().map(parse_invite).collect::<Result<_, Fault>>()?),
        bans: Bans::restore(bans.collect::<Result<_, Fault>>()?),
    }))
}

fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], Fault> {
    let wrong = |_| Fault::Corrupt(format!("column {column}: {N} bytes expected"));
    row.blob(column)?.try_into().map_err(wrong)
}

fn number<T: TryFrom<u64>>(row: &Row, column: usize) -> Result<T, Fault> {
    T::try_from(row.unsigned(column)?).map_err(|_| Fault::Corrupt(format!("column {column}: too large")))
}

fn time_or_null(row: &Row, column: usize) -> Result<Option<Timestamp>, Fault> {
    Ok(row.unsigned_or_null(column)?.map(Timestamp::from_millis))
}

fn parse_member(row: &Row) -> Result<(String, Member), Fault> {
    let text = |column| row.text(column).map(str::to_owned);
    let peer = Peer {
        peer_id: text(0)?,
        name: text(1)?,
        public_key: text(2)?,
        nat_type: text(3)?,
        public_ip: text(4)?,
        public_port: number(row, 5)?,
        local_ip: text(6)?,
        local_port: number(row, 7)?,
    };
    let offset = Offset::from_minutes(row.integer(8)?);
    let (seen_at, latencies) = (Timestamp::EPOCH, parse_latencies(row.text(10)?));
    let member = Member { peer, offset, seq: row.unsigned(9)?, seen_at, stored_at: seen_at, latencies };
    Ok((text(0)?, member))
}

fn parse_latencies(text: &str) -> Latencies {
    let line = |line: &str| {
        let (ms, relay) = line.split_once(' ')?;
        Some((relay.to_owned(), ms.parse().ok()?))
    };
    text.split('\n').filter_map(line).collect()
}

fn encode_latencies(latencies: &Latencies) -> String {
    let lines: Vec<String> = latencies.iter().map(|(relay, ms)| format!("{ms} {relay}")).collect();
    lines.join("\n")
}

fn parse_lease(row: &Row) -> Result<(String, Lease), Fault> {
    Ok((row.text(0)?.to_owned(), Lease { number: number(row, 1)?, used: row.unsigned(2)? }))
}

fn parse_invite(row: &Row) -> Result<(String, Invite), Fault> {
    let uses_left = row.unsigned_or_null(2)?.map(|uses| u32::try_from(uses).unwrap_or(u32::MAX));
    Ok((row.text(0)?.to_owned(), Invite { expires_at: row.time(1)?, uses_left }))
}

/// Writes what has changed of the party.
pub(in crate::parties) fn change_statements(party: Option<&Party>, change: &Change) -> Vec<Statement> {
    if *change == Change::Ended {
        return CLEAR.iter().map(|sql| Statement::plain(sql)).collect();
    }
    party.map(|party| change_statement(party, change)).into_iter().collect()
}

fn change_statement(party: &Party, change: &Change) -> Statement {
    match change {
        Change::Ended | Change::Party => put_party(party),
        Change::Member(peer_id) => match party.members.get(peer_id) {
            Some(member) => put_member(member),
            None => Statement::new(REMOVE_MEMBER, vec![peer_id.as_str().into()]),
        },
        Change::Lease(peer_id) => match party.leases.get(peer_id) {
            Some(Lease { number, used }) => {
                let params = vec![peer_id.as_str().into(), u32::from(number).into(), used.into()];
                Statement::new(PUT_LEASE, params)
            }
            None => Statement::new(REMOVE_LEASE, vec![peer_id.as_str().into()]),
        },
        Change::Invite(code) => match party.invites.get(code) {
            Some(Invite { expires_at, uses_left }) => {
                Statement::new(PUT_INVITE, vec![code.as_str().into(), expires_at.into(), uses_left.into()])
            }
            None => Statement::new(REMOVE_INVITE, vec![code.as_str().into()]),
        },
        Change::Ban(peer_id) => match party.bans.get(peer_id) {
            Some(until) => Statement::new(PUT_BAN, vec![peer_id.as_str().into(), until.into()]),
            None => Statement::new(REMOVE_BAN, vec![peer_id.as_str().into()]),
        },
    }
}

fn put_party(party: &Party) -> Statement {
    let password = party.password.as_ref();
    let params = vec![
        party.party_id.as_str().into(),
        party.name.as_str().into(),
        party.host_id.as_str().into(),
        party.created_at.into(),
        party.peers_max.into(),
        password.map(|password| password.salt.to_vec()).into(),
        password.map(|password| password.hash.to_vec()).into(),
        u32::from(party.promotion == Promotion::On).into(),
        party.next_seq.into(),
    ];
    Statement::new(PUT_PARTY, params)
}

fn put_member(member: &Member) -> Statement {
    let peer = &member.peer;
    let params = vec![
        peer.peer_id.as_str().into(),
        peer.name.as_str().into(),
        peer.public_key.as_str().into(),
        peer.nat_type.as_str().into(),
        peer.public_ip.as_str().into(),
        u32::from(peer.public_port).into(),
        peer.local_ip.as_str().into(),
        u32::from(peer.local_port).into(),
        i64::from(member.offset.minutes()).into(),
        member.seq.into(),
        encode_latencies(&member.latencies).into(),
    ];
    Statement::new(PUT_MEMBER, params)
}

/// Something by the order of joining, which is shorter than a peer id.
pub(in crate::parties) type BySeq<T> = BTreeMap<u64, T>;
