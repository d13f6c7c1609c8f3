//! How many sockets an object and a client network may hold, and how much each socket may say.

use std::collections::HashMap;

use super::network::ClientNetwork;
use super::object::{ByConn, Conn};
use super::quota::{Exhausted, Quota};
use super::settings::SignalSettings;
use super::time::Timestamp;

/// Bytes of one frame. Source: edge-wire 2.3, limits.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// An open socket, registered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket<D> {
    /// How it is spoken to; `()` where there is one way only.
    pub dialect: D,
    /// Where it comes from.
    pub network: ClientNetwork,
    /// The state of its message quota. Units: microseconds since the epoch.
    pub free_at_us: u64,
}

/// Why a socket is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The object holds as many sockets as it may.
    Object,
    /// The network does.
    Network,
}

impl Full {
    /// The close reason; the code is 1013. Source: edge-wire 2.3, limits.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Object => "Server at capacity",
            Self::Network => "Too many connections from this IP",
        }
    }
}

/// The limits. 0 switches each off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Sockets of the object.
    pub sockets_max: u64,
    /// Sockets of one network.
    pub sockets_per_network_max: u64,
    /// Messages of one socket.
    pub messages: Quota,
}

impl SocketLimits {
    /// The limits as an operator set them.
    #[must_use]
    pub const fn of(settings: &SignalSettings) -> Self {
        Self {
            sockets_max: settings.sockets_max,
            sockets_per_network_max: settings.sockets_per_address,
            messages: Quota::per_minute(settings.messages_per_minute),
        }
    }
}

/// All open sockets of one object.
#[derive(Debug)]
pub struct Sockets<D> {
    limits: SocketLimits,
    by_conn: ByConn<Socket<D>>,
    count_by_network: HashMap<ClientNetwork, u64>,
}

impl<D> Sockets<D> {
    /// No sockets.
    #[must_use]
    pub fn new(limits: SocketLimits) -> Self {
        Self { limits, by_conn: ByConn::default(), count_by_network: HashMap::new() }
    }

    /// Counts a socket in.
    ///
    /// Errors: [`Full`]; then it is not counted.
    pub fn admit(&mut self, conn: Conn, socket: Socket<D>) -> Result<(), Full> {
        let SocketLimits { sockets_max, sockets_per_network_max, .. } = self.limits;
        if sockets_max != 0 && self.by_conn.len() as u64 >= sockets_max {
            return Err(Full::Object);
        }
        let of_network = self.count_by_network.get(&socket.network).copied().unwrap_or(0);
        if sockets_per_network_max != 0 && of_network >= sockets_per_network_max {
            return Err(Full::Network);
        }
        self.restore(conn, socket);
        Ok(())
    }

    /// Counts in a socket that was admitted before the memory went away.
    pub fn restore(&mut self, conn: Conn, socket: Socket<D>) {
        *self.count_by_network.entry(socket.network.clone()).or_insert(0) += 1;
        self.by_conn.insert(conn, socket);
    }

    /// The socket, unless it was refused or is gone.
    #[must_use]
    pub fn get(&self, conn: Conn) -> Option<&Socket<D>> {
        self.by_conn.get(&conn)
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

    /// Open sockets.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_conn.len() as u64
    }

    /// Whether hearing a message changes what must be kept with the socket.
    #[must_use]
    pub const fn counts_messages(&self) -> bool {
        !self.limits.messages.is_off()
    }

    /// Counts a socket out; the network when it was the network's last one.
    pub fn leave(&mut self, conn: Conn) -> Option<ClientNetwork> {
        let network = self.by_conn.remove(&conn)?.network;
        let count = self.count_by_network.get_mut(&network)?;
        *count = count.saturating_sub(1);
        if *count > 0 {
            return None;
        }
        self.count_by_network.remove(&network);
        Some(network)
    }
}
