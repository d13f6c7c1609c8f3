//! How many sockets a registry and a network may hold, and how much each may say.

use std::collections::HashMap;

use crate::kernel::network::ClientNetwork;
use crate::kernel::object::Conn;
use crate::kernel::quota::{Exhausted, Quota};
use crate::kernel::time::Timestamp;

/// Bytes of one frame. Source: edge-wire 2.3, limits.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// An open socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Where it comes from.
    pub network: ClientNetwork,
    /// The state of its message quota. Units: microseconds since the epoch.
    pub free_at_us: u64,
}

/// Why a socket is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The registry holds as many sockets as it may.
    Registry,
    /// The network does.
    Network,
}

/// The limits. 0 switches each off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Sockets of the registry.
    pub sockets_max: u64,
    /// Sockets of one network.
    pub sockets_per_network_max: u64,
    /// Messages of one socket.
    pub messages: Quota,
}

/// All open sockets of one registry.
#[derive(Debug)]
pub struct Sockets {
    limits: SocketLimits,
    by_conn: HashMap<Conn, Socket>,
    count_by_network: HashMap<ClientNetwork, u64>,
}

impl Sockets {
    /// No sockets.
    #[must_use]
    pub fn new(limits: SocketLimits) -> Self {
        Self { limits, by_conn: HashMap::new(), count_by_network: HashMap::new() }
    }

    /// Counts a socket in.
    ///
    /// Errors: [`Full`]; then it is not counted.
    pub fn admit(&mut self, conn: Conn, socket: Socket) -> Result<(), Full> {
        let SocketLimits { sockets_max, sockets_per_network_max, .. } = self.limits;
        if sockets_max != 0 && self.len() >= sockets_max {
            return Err(Full::Registry);
        }
        let of_network = self.count_by_network.get(&socket.network).copied().unwrap_or(0);
        if sockets_per_network_max != 0 && of_network >= sockets_per_network_max {
            return Err(Full::Network);
        }
        self.restore(conn, socket);
        Ok(())
    }

    /// Counts in a socket that was admitted before the memory went away.
    pub fn restore(&mut self, conn: Conn, socket: Socket) {
        *self.count_by_network.entry(socket.network.clone()).or_insert(0) += 1;
        self.by_conn.insert(conn, socket);
    }

    /// The socket, unless it was refused or is gone.
    #[must_use]
    pub fn get(&self, conn: Conn) -> Option<&Socket> {
        self.by_conn.get(&conn)
    }

    /// Open sockets.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.by_conn.len() as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_conn.is_empty()
    }

    /// Takes one message from the socket's quota.
    ///
    /// Errors: [`Exhausted`] when it says too much; nothing was taken.
    pub fn hear(&mut self, conn: Conn, now: Timestamp) -> Result<(), Exhausted> {
        if let Some(socket) = self.by_conn.get_mut(&conn) {
            socket.free_at_us = self.limits.messages.take(socket.free_at_us, now)?.free_at_us;
        }
        Ok(())
    }

    /// Whether hearing a message changes what must be kept with the socket.
    #[must_use]
    pub const fn counts_messages(&self) -> bool {
        !self.limits.messages.is_off()
    }

    /// Counts a socket out.
    pub fn leave(&mut self, conn: Conn) {
        let Some(socket) = self.by_conn.remove(&conn) else { return };
        if let Some(count) = self.count_by_network.get_mut(&socket.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.count_by_network.remove(&socket.network);
            }
        }
    }
}
