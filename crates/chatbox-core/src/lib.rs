//! The connection registry and close semantics of chatbox.
#![doc = include_str!("../README.md")]

mod close;
mod connection;
mod gate;
mod lease;
mod outbox;
mod outbox_limits;
mod pace;
mod rate;
mod registry;
mod source;
mod sync;
mod wake;

pub use close::{CloseCode, CloseReason, CloseSummary, ClosedBy, Outcome};
pub use connection::{Closing, Command, Connection, ConnectionId, Reply, notify_all};
pub use lease::Lease;
pub use pace::Pace;
pub use rate::RateLimits;
pub use registry::{Drain, Limits, Observer, Refused, Registry, Tally};
pub use source::{Batch, Source};
