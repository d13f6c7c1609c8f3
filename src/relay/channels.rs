//! Channels: one owner, its subscribers, and the stream that runs.
//!
//! A machine over the tables `channel_member` and `channel_stream`, which hold the same.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::refusal::Refusal;
use crate::kernel::object::Conn;

/// Characters of a channel id. Source: edge-wire 2.3.2.
pub const CHANNEL_ID_CHARS_MAX: usize = 256;
/// Channels that one socket may own or follow.
pub const CHANNELS_PER_SOCKET_MAX: usize = 256;
/// Roles of all sockets together. Arithmetic: about 300 bytes each in memory, and read again after hibernation.
pub const ROLES_MAX: usize = 100_000;
/// Upstream messages kept for one absent owner, and how long. Source: edge-wire 2.3.2.
pub const QUEUE_MAX: u64 = 100;
/// See [`QUEUE_MAX`]. Units: milliseconds.
pub const QUEUE_TTL_MS: u64 = 300_000;
/// Upstream messages kept for all absent owners of one object.
pub const QUEUES_MAX: u64 = 2_000;
/// Upstream messages of one socket per minute. Source: edge-wire 2.3.2.
pub const UPSTREAM_PER_MINUTE: u64 = 30;
/// Bytes of an upstream message, as of a chunk.
pub const UPSTREAM_BYTES_MAX: usize = 65_536;
/// Bytes of the frame that begins a stream, which is kept for those who come later.
pub const STREAM_START_BYTES_MAX: usize = 4_096;

/// Whether `text` can be a channel's id.
#[must_use]
pub fn is_channel_id(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= CHANNEL_ID_CHARS_MAX
}

/// A running stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub stream_id: Rc<str>,
    /// The frame that began it.
    pub frame: Rc<str>,
}

/// What a socket is in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It publishes.
    Owner,
    /// It follows.
    Subscriber,
}

#[derive(Debug, Default)]
struct Channel {
    owner: Option<Conn>,
    subscribers: BTreeSet<Conn>,
    stream: Option<Stream>,
}

/// A stream that ended because its owner left.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// In which channel.
    pub channel: Rc<str>,
    /// Which.
    pub stream_id: Rc<str>,
    /// Who watched.
    pub watchers: Vec<Conn>,
}

/// What a socket took with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Every channel it was in.
    pub channels: Vec<Rc<str>>,
    /// Streams it ran.
    pub ended: Vec<Ended>,
}

/// All channels of one desk that somebody is in.
#[derive(Debug, Default)]
pub struct Channels {
    by_id: HashMap<Rc<str>, Channel>,
    roles_by_conn: HashMap<Conn, BTreeSet<(Role, Rc<str>)>>,
    roles: usize,
}

impl Channels {
    /// The socket that publishes in the channel.
    #[must_use]
    pub fn owner(&self, id: &str) -> Option<Conn> {
        self.by_id.get(id).and_then(|channel| channel.owner)
    }

    /// Whether the socket follows the channel.
    #[must_use]
    pub fn is_subscriber(&self, conn: Conn, id: &str) -> bool {
        self.by_id.get(id).is_some_and(|channel| channel.subscribers.contains(&conn))
    }

    /// The channel's subscribers, but not `except`.
    #[must_use]
    pub fn subscribers(&self, id: &str, except: Conn) -> Vec<Conn> {
        let all = self.by_id.get(id).into_iter().flat_map(|channel| channel.subscribers.iter().copied());
        all.filter(|conn| *conn != except).collect()
    }

    /// The stream that runs in the channel.
    #[must_use]
    pub fn stream(&self, id: &str) -> Option<&Stream> {
        self.by_id.get(id).and_then(|channel| channel.stream.as_ref())
    }

    /// Whether the socket may take the role.
    ///
    /// Errors: [`Refusal::ChannelOwned`], [`Refusal::TooManyChannels`], [`Refusal::Full`].
    pub fn check(&self, conn: Conn, role: Role, id: &str) -> Result<(), Refusal> {
        if role == Role::Owner && self.owner(id).is_some_and(|owner| owner != conn) {
            return Err(Refusal::ChannelOwned);
        }
        let roles = self.roles_by_conn.get(&conn);
        if roles.is_some_and(|roles| roles.iter().any(|(known, of)| *known == role && &**of == id)) {
            return Ok(());
        }
        if roles.map_or(0, BTreeSet::len) >= CHANNELS_PER_SOCKET_MAX {
            return Err(Refusal::TooManyChannels);
        }
        if self.roles >= ROLES_MAX { Err(Refusal::Full("channel members")) } else { Ok(()) }
    }

    /// Gives the socket a role that [`Self::check`] has allowed.
    pub fn join(&mut self, conn: Conn, role: Role, id: &str) {
        let id = match self.by_id.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => Rc::from(id),
        };
        let channel = self.by_id.entry(id.clone()).or_default();
        match role {
            Role::Owner => channel.owner = Some(conn),
            Role::Subscriber => {
                channel.subscribers.insert(conn);
            }
        }
        if self.roles_by_conn.entry(conn).or_default().insert((role, id)) {
            self.roles += 1;
        }
    }

    /// Begins a stream, in place of one that runs; `None` when the socket does not own the channel.
    pub fn start(&mut self, conn: Conn, id: &str, stream: Stream) -> Option<()> {
        let channel = self.by_id.get_mut(id).filter(|channel| channel.owner == Some(conn))?;
        channel.stream = Some(stream);
        Some(())
    }

    /// Notes a stream that the storage knows.
    pub fn restore_stream(&mut self, id: &str, stream: Stream) {
        if let Some(channel) = self.by_id.get_mut(id).filter(|channel| channel.owner.is_some()) {
            channel.stream = Some(stream);
        }
    }

    /// Whether this very stream runs and is the socket's.
    #[must_use]
    pub fn is_streaming(&self, conn: Conn, id: &str, stream_id: &str) -> bool {
        self.owner(id) == Some(conn) && self.stream(id).is_some_and(|stream| &*stream.stream_id == stream_id)
    }

    /// Ends the channel's stream.
    pub fn end(&mut self, id: &str) {
        if let Some(channel) = self.by_id.get_mut(id) {
            channel.stream = None;
        }
    }

    /// The socket is gone, and with it its roles and streams.
    pub fn leave(&mut self, conn: Conn) -> Left {
        let mut left = Left::default();
        for (role, id) in self.roles_by_conn.remove(&conn).unwrap_or_default() {
            self.roles = self.roles.saturating_sub(1);
            let Some(channel) = self.by_id.get_mut(&id) else { continue };
            match role {
                Role::Subscriber => {
                    channel.subscribers.remove(&conn);
                }
                Role::Owner => {
                    channel.owner = None;
                    let watchers = channel.subscribers.iter().copied().filter(|watcher| *watcher != conn).collect();
                    if let Some(Stream { stream_id, .. }) = channel.stream.take() {
                        left.ended.push(Ended { channel: id.clone(), stream_id, watchers });
                    }
                }
            }
            if channel.owner.is_none() && channel.subscribers.is_empty() {
                self.by_id.remove(&id);
            }
            left.channels.push(id);
        }
        left.channels.dedup();
        left
    }

    /// Channels that somebody is in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is in any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANNELS_PER_SOCKET_MAX, Channels, ROLES_MAX, Role};
    use crate::kernel::object::Conn;
    use crate::relay::refusal::Refusal;

    #[test]
    fn all_roles_together_are_bounded_and_leaving_makes_room() {
        let mut channels = Channels::default();
        for role in 0..ROLES_MAX {
            let conn = Conn(u32::try_from(role / CHANNELS_PER_SOCKET_MAX).unwrap());
            let id = format!("channel-{}", role % CHANNELS_PER_SOCKET_MAX);
            assert_eq!(channels.check(conn, Role::Subscriber, &id), Ok(()));
            channels.join(conn, Role::Subscriber, &id);
        }
        let newcomer = Conn(9_999);
        let full = Err(Refusal::Full("channel members"));
        assert_eq!(channels.check(newcomer, Role::Subscriber, "channel-0"), full);
        assert_eq!(channels.check(Conn(0), Role::Subscriber, "channel-0"), Ok(()), "again is not more");
        channels.leave(Conn(0));
        assert_eq!(channels.check(newcomer, Role::Owner, "channel-0"), Ok(()));
    }
}
