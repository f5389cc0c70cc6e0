//! The connection registry and close semantics of chatbox.
#![doc = include_str!("../README.md")]

mod admission;
mod close;
mod close_error;
mod close_summary;
mod command;
mod connection;
mod drain;
mod full;
mod gate;
mod lease;
mod limits;
mod observer;
mod outbox;
mod outbox_limits;
mod pace;
mod probe;
mod rate;
mod refused;
mod registry;
mod reply;
mod source;
mod sync;
mod tally;
mod topic;
mod users;
mod wake;

pub use close::{CloseCode, CloseReason};
pub use close_error::CloseError;
pub use close_summary::{CloseSummary, ClosedBy, Outcome};
pub use command::{Closing, Command};
pub use connection::{Connection, ConnectionId, notify_all};
pub use drain::Drain;
pub use full::Full;
pub use lease::Lease;
pub use limits::Limits;
pub use observer::Observer;
pub use pace::Pace;
pub use rate::RateLimits;
pub use refused::Refused;
pub use registry::Registry;
pub use reply::Reply;
pub use source::{Batch, Source};
pub use tally::Tally;
pub use topic::{Lag, Subscription, Topic};
