//! Chat rooms as logs with cursors: sequencing, idempotence, fan-out and replay.
#![doc = include_str!("../README.md")]

mod member;
mod metrics;
mod ring;
mod room;
mod room_limits;
mod rooms;
mod sequencer;
mod subscription;
mod thread_cache;
mod wire;

pub use member::{Member, Permission};
pub use metrics::Totals;
pub use rooms::{Options, Rooms};
pub use wire::FrameEncoder;
