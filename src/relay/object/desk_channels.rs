//! The desk's part in channels, and the sweep of everything that expires.

use std::rc::Rc;

use super::desk::{Event, Memory, Orphans, RelayDesk, Stop};
use crate::kernel::fault::Fault;
use crate::kernel::object::Conn;
use crate::kernel::quota::Quota;
use crate::kernel::sql::Sql;
use crate::relay::channels::{
    QUEUE_MAX, QUEUE_TTL_MS, QUEUES_MAX, Role, STREAM_START_BYTES_MAX, Stream, UPSTREAM_BYTES_MAX, UPSTREAM_PER_MINUTE,
};
use crate::relay::message::{Json, StreamKind};
use crate::relay::refusal::Refusal;
use crate::relay::seats::Speaker;
use crate::relay::store::channels as store;
use crate::relay::store::rendezvous::{Aging, read_ids, sweep_aging, sweep_quotas};
use crate::relay::store::{chunks, is_anything_stored};
use crate::relay::wire::encode;

/// Cached chunks that a new subscriber is told of.
const AVAILABLE_MAX: u64 = 1_000;
/// Rows of one table that one sweep forgets.
const SWEPT_MAX: u64 = 1_000;
/// Bodies that one sweep forgets: 16 MB at most.
const SWEPT_BODIES_MAX: u64 = 250;
/// When the next sweep comes after one that left something.
const SWEEP_AGAIN_MS: u64 = 1_000;

impl RelayDesk {
    pub(super) fn restore_channels(&mut self, sql: &dyn Sql) -> Result<(), Fault> {
        for (channel, role, session) in store::read_members(sql)? {
            match self.seats.conn(session) {
                Some(conn) => self.channels.join(conn, role, &channel),
                None => self.sweep.orphans = Orphans::Seen,
            }
        }
        for (channel, stream) in store::read_streams(sql)? {
            self.channels.restore_stream(&channel, stream);
        }
        Ok(())
    }

    pub(super) fn own(&mut self, event: &mut Event<'_>, speaker: &Speaker<'_>, channel: &str) -> Result<(), Stop> {
        self.channels.check(speaker.conn, Role::Owner, channel)?;
        let queued = store::read_queued(event.sql, channel, event.now)?;
        let session = self.seat(event, speaker, None);
        if self.channels.owner(channel).is_none() {
            // What an owner left behind who went without a word.
            event.work.statements.push(store::remove_stream(channel));
            event.work.statements.push(store::put_member(channel, Role::Owner, session));
        }
        self.channels.join(speaker.conn, Role::Owner, channel);
        event.work.tell(speaker.conn, encode::owner_registered(channel));
        if !queued.is_empty() {
            event.work.statements.push(store::remove_queued(channel));
        }
        for frame in queued {
            event.work.tell(speaker.conn, frame);
        }
        Ok(())
    }

    pub(super) fn subscribe(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        channel: &str,
    ) -> Result<(), Stop> {
        self.channels.check(speaker.conn, Role::Subscriber, channel)?;
        let cached = chunks::read_of_channel(event.sql, channel, event.now, AVAILABLE_MAX)?;
        let session = self.seat(event, speaker, None);
        if !self.channels.is_subscriber(speaker.conn, channel) {
            event.work.statements.push(store::put_member(channel, Role::Subscriber, session));
            self.channels.join(speaker.conn, Role::Subscriber, channel);
        }
        event.work.tell(speaker.conn, encode::subscribed(channel));
        if let Some(stream) = self.channels.stream(channel) {
            event.work.tell(speaker.conn, stream.frame.to_string());
        }
        if !cached.is_empty() {
            let ids = cached.iter().map(String::as_str);
            event.work.tell(speaker.conn, encode::chunk_available(channel, ids));
        }
        Ok(())
    }

    pub(super) fn upstream(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (channel, message_id): (&str, Option<Json<'_>>),
        frame: &str,
    ) -> Result<(), Stop> {
        if !self.channels.is_subscriber(speaker.conn, channel) {
            return Err(Refusal::NotSubscribed.into());
        }
        if frame.len() > UPSTREAM_BYTES_MAX {
            return Err(Refusal::FrameTooLarge.into());
        }
        let free_at_us = self.seats.get(speaker.conn).map_or(0, |seat| seat.upstream_free_at_us);
        let taken = Quota::per_minute(UPSTREAM_PER_MINUTE).take(free_at_us, event.now);
        let allowance = taken.map_err(|_| Refusal::UpstreamTooFast)?;
        let owner = self.channels.owner(channel);
        if owner.is_none() {
            let (all, here) = store::count_queued(event.sql, channel, event.now)?;
            if here >= QUEUE_MAX || all >= QUEUES_MAX {
                return Err(Refusal::UpstreamQueueFull.into());
            }
        }
        self.seats.take(event.entropy, speaker).upstream_free_at_us = allowance.free_at_us;
        event.work.changed.push(speaker.conn);
        match owner {
            Some(owner) => event.work.tell(owner, frame.to_owned()),
            None => {
                event.work.statements.push(store::put_queued(channel, event.now.plus(QUEUE_TTL_MS), frame));
            }
        }
        event.work.tell(speaker.conn, encode::upstream_ack(channel, message_id));
        Ok(())
    }

    pub(super) fn stream(
        &mut self,
        event: &mut Event<'_>,
        speaker: &Speaker<'_>,
        (kind, stream_id, channel): (StreamKind, &str, &str),
        frame: &str,
    ) -> Result<(), Stop> {
        let conn = speaker.conn;
        if kind == StreamKind::Start {
            if self.channels.owner(channel) != Some(conn) {
                return Err(Refusal::NotStreamOwner.into());
            }
            if frame.len() > STREAM_START_BYTES_MAX {
                return Err(Refusal::FrameTooLarge.into());
            }
            let stream = Stream { stream_id: Rc::from(stream_id), frame: Rc::from(frame) };
            event.work.statements.push(store::put_stream(channel, &stream));
            self.channels.start(conn, channel, stream);
        } else if !self.channels.is_streaming(conn, channel, stream_id) {
            return Ok(());
        }
        let watchers = self.channels.subscribers(channel, conn);
        match kind {
            StreamKind::Start => {
                event.work.tell(conn, encode::stream_started(stream_id, channel, watchers.len()));
            }
            StreamKind::Frame => {}
            StreamKind::End => {
                self.channels.end(channel);
                event.work.statements.push(store::remove_stream(channel));
                event.work.tell(conn, encode::stream_ended(stream_id, channel));
            }
        }
        event.work.tell_many(watchers, frame.to_owned());
        Ok(())
    }

    pub(super) fn leave_channels(&mut self, event: &mut Event<'_>, conn: Conn, session: u64) -> Result<(), Fault> {
        let left = self.channels.leave(conn);
        if !left.channels.is_empty() {
            let channels: Vec<&str> = left.channels.iter().map(|id| &**id).collect();
            event.work.statements.extend(store::remove_member(session, &channels)?);
        }
        for ended in left.ended {
            event.work.statements.push(store::remove_stream(&ended.channel));
            event.work.tell_many(ended.watchers, encode::stream_end(&ended.stream_id, &ended.channel));
        }
        Ok(())
    }

    /// Forgets what has expired, a bounded number of rows at a time.
    pub(super) fn sweep_expired(&mut self, event: &mut Event<'_>) -> Result<(), Fault> {
        let now = event.now;
        let Some(at) = self.sweep.at else { return Ok(()) };
        if at > now && self.sweep.memory == Memory::Swept {
            return Ok(());
        }
        self.sweep.memory = Memory::Swept;
        let mut rows_max = 0;
        for table in Aging::ALL {
            let (rows, statement) = sweep_aging(event.sql, table, now, SWEPT_MAX)?;
            event.work.statements.extend(statement);
            rows_max = rows_max.max(rows);
        }
        let late = chunks::read_late_cached(event.sql, now, SWEPT_BODIES_MAX)?;
        self.uncache(event, &late)?;
        self.release_expired(event);
        event.work.statements.push(sweep_quotas(now, SWEPT_MAX));
        event.work.statements.push(store::sweep_queued(now, SWEPT_MAX));
        if self.sweep.orphans == Orphans::Seen {
            event.work.statements.extend(store::keep_members(&self.seats.sessions())?);
            self.sweep.orphans = Orphans::None;
        }
        let is_unfinished = rows_max >= SWEPT_MAX || late.len() as u64 >= SWEPT_BODIES_MAX;
        self.sweep.at = Some(if is_unfinished { now.plus(SWEEP_AGAIN_MS) } else { self.sweep.after(now) });
        Ok(())
    }

    /// Looks again at what is stored, once the work of an alarm is committed.
    ///
    /// Errors: [`Fault::Storage`].
    pub fn swept(&mut self, sql: &dyn Sql) -> Result<(), Fault> {
        self.points.oldest = read_ids(sql, Aging::Points)?.oldest.min(self.points.next);
        self.tokens.oldest = read_ids(sql, Aging::Tokens)?.oldest.min(self.tokens.next);
        self.sources.oldest = read_ids(sql, Aging::Sources)?.oldest.min(self.sources.next);
        if !is_anything_stored(sql)? {
            self.sweep.at = None;
        }
        Ok(())
    }
}
