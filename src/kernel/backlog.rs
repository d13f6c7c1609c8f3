//! How much a socket may be sent before it shows a sign of life.
//!
//! The platform buffers without end for a reader that has stopped reading and does not say how much. What it does say
//! is when a socket last spoke (a frame, or a ping that the runtime answered itself). So the rule is: a socket that was
//! sent more than `unread_max` bytes since it last spoke is cut.

use super::object::{ByConn, Conn};

/// What to do with a socket after something was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// It was sent more than the limit without a sign of life.
    Cut,
}

/// Bytes sent to each socket since it last spoke.
#[derive(Debug, Default)]
pub struct Backlog {
    unread_max: u64,
    unread_by_conn: ByConn<u64>,
}

impl Backlog {
    /// A backlog with the given limit. Units: bytes; 0 switches it off.
    #[must_use]
    pub fn new(unread_max: u64) -> Self {
        Self { unread_max, unread_by_conn: ByConn::default() }
    }

    /// Counts `bytes` sent to `conn`.
    pub fn sent(&mut self, conn: Conn, bytes: usize) -> Verdict {
        if self.unread_max == 0 {
            return Verdict::Keep;
        }
        let unread = self.unread_by_conn.entry(conn).or_insert(0);
        *unread = unread.saturating_add(bytes as u64);
        if *unread > self.unread_max { Verdict::Cut } else { Verdict::Keep }
    }

    /// `conn` spoke: what it was sent so far counts no longer.
    pub fn heard(&mut self, conn: Conn) {
        if let Some(unread) = self.unread_by_conn.get_mut(&conn) {
            *unread = 0;
        }
    }

    /// `conn` is gone.
    pub fn forget(&mut self, conn: Conn) {
        self.unread_by_conn.remove(&conn);
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, Verdict};
    use crate::kernel::object::Conn;

    #[test]
    fn a_silent_socket_is_cut_one_byte_past_the_limit() {
        let mut backlog = Backlog::new(100);
        assert_eq!(backlog.sent(Conn(1), 100), Verdict::Keep);
        assert_eq!(backlog.sent(Conn(1), 1), Verdict::Cut);
        assert_eq!(backlog.sent(Conn(2), 1), Verdict::Keep);
    }

    #[test]
    fn a_sign_of_life_starts_again() {
        let mut backlog = Backlog::new(100);
        assert_eq!(backlog.sent(Conn(1), 100), Verdict::Keep);
        backlog.heard(Conn(1));
        assert_eq!(backlog.sent(Conn(1), 100), Verdict::Keep);
    }

    #[test]
    fn zero_switches_the_limit_off() {
        let mut backlog = Backlog::new(0);
        assert_eq!(backlog.sent(Conn(1), usize::MAX), Verdict::Keep);
    }
}
