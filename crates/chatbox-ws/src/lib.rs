//! A WebSocket transport for axum.
#![doc = include_str!("../README.md")]

mod connection_ext;
pub mod decode;
pub mod frame;
mod handler;
mod handshake;
mod ordered;
mod origin;
mod session;
mod settings;
mod shared;
mod ticks;
mod transport;
mod upgrade;
mod wheel;

pub use connection_ext::ConnectionExt;
pub use handler::{Handler, Message};
pub use handshake::Rejection;
pub use ordered::{Ordered, OrderedReply, OwnedMessage, ordered};
pub use origin::OriginPolicy;
pub use settings::{Expiry, Settings};
pub use transport::Transport;
pub use upgrade::Upgrade;
