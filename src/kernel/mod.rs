//! What every room may use, and nothing that belongs to one room.
//!
//! The kernel knows neither sockets nor HTTP nor the platform. It holds the ports through which a room meets the world
//! ([`object`], [`sql`], [`entropy`], [`time`]), the tables all rooms share ([`code`], [`settings`]), and a few values
//! of the field ([`network`], [`quota`], [`secret`]).

pub mod backlog;
pub mod code;
pub mod entropy;
pub mod errand;
pub mod fault;
pub mod html;
pub mod json;
pub mod keys;
pub mod migration;
pub mod network;
pub mod object;
pub mod operation;
pub mod quota;
pub mod reply;
pub mod secret;
pub mod settings;
pub mod signed;
pub mod sockets;
pub mod sql;
pub mod stop;
pub mod time;
