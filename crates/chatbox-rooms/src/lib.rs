//! Chat rooms as logs with cursors: sequencing, idempotence, fan-out and replay.
#![doc = include_str!("../README.md")]

mod context;
mod handle;
mod member;
mod metrics;
mod options;
mod page;
mod queue;
mod replay;
mod ring;
mod ring_budget;
mod room;
mod room_limits;
mod room_table;
mod rooms;
mod sequencer;
mod subscription;
mod thread_cache;
mod wire;

pub use member::{Member, Permission};
pub use metrics::Totals;
pub use options::Options;
pub use rooms::{History, Rooms};
pub use wire::FrameEncoder;
