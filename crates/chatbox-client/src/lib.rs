//! A chatbox client that reconnects with full jitter, resumes its rooms and resends what was not acked.
//!
#![doc = include_str!("../README.md")]

mod backoff;
mod builder;
mod client;
mod credentials;
mod dial;
mod driver;
mod error;
mod event;
mod events;
mod expiry;
#[cfg(feature = "http")]
mod http_get;
mod join_from;
mod reconnect;
mod sending;
mod server;
mod session;
mod shared;
mod stats;
#[cfg(feature = "tls")]
mod tls;

pub use builder::Builder;
pub use chatbox_protocol as protocol;
pub use chatbox_protocol::{ErrorCode, InvalidName, Timestamp};
pub use client::Client;
pub use dial::{Dialer, Stream, Target};
pub use error::{BuildError, Reason, SendError};
pub use event::{Event, Gap};
pub use events::Events;
pub use http::{HeaderMap, HeaderName, HeaderValue};
#[cfg(feature = "http")]
pub use http_get::{HttpError, http_get};
pub use join_from::JoinFrom;
pub use sending::{Acked, Sending};
pub use stats::Stats;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
