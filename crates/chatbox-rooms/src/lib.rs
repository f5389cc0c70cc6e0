//! Chat rooms as logs with cursors: sequencing, idempotence, fan-out and replay.
#![doc = include_str!("../README.md")]

mod member;
mod meters;
mod recent;
mod ring;
mod room;
mod room_limits;
mod rooms;
mod sequencer;
mod subscription;
mod wire;

pub use member::{Member, Permission};
pub use meters::Totals;
pub use rooms::{Options, Rooms};
pub use wire::Frame;
