//! The reconnecting client of chatbox: full-jitter backoff, resume, resend of what was not acked.
//!
#![doc = include_str!("../README.md")]

mod backoff;
mod builder;
mod client;
mod dial;
mod driver;
mod error;
mod event;
mod reconnect;
mod server;
mod session;
mod token;

pub use builder::Builder;
pub use chatbox_protocol::{ErrorCode, InvalidName, Timestamp};
pub use client::{Acked, Client, JoinFrom, Sending, Stats};
pub use dial::Target;
pub use error::{BuildError, Reason, SendError};
pub use event::{Event, Events};
