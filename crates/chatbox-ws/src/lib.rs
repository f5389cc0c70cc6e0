//! A WebSocket transport for axum.
#![doc = include_str!("../README.md")]

mod decode;
pub mod frame;
mod handler;
mod handshake;
mod origin;
mod session;
mod transport;
mod upgrade;
mod violation;
mod wheel;

pub use decode::{DecodeLimits, Decoder, Event, Step};
pub use handler::{Handler, Message};
pub use handshake::Rejection;
pub use origin::OriginPolicy;
pub use transport::{Expiry, Settings, Transport};
pub use upgrade::Upgrade;
pub use violation::Violation;
