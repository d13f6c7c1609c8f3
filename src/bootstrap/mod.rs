//! (room: bootstrap)
