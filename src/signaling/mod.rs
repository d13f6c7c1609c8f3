//! (room: signaling)
