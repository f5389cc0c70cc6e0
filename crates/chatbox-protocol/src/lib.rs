//! The messages of the WebSocket subprotocol `chatbox.v1` as serde types.
//!
#![doc = include_str!("../README.md")]

mod client;
mod disconnect;
mod error_code;
mod http;
mod name;
mod server;
mod timestamp;

pub use client::{ClientMessage, Rejected};
pub use disconnect::{Disconnect, Retry};
pub use error_code::ErrorCode;
pub use http::{ErrorBody, History};
pub use name::{InvalidName, MessageId, RoomName};
pub use server::ServerMessage;
pub use timestamp::Timestamp;

/// The name of the WebSocket subprotocol (RFC 6455 section 1.9).
pub const SUBPROTOCOL: &str = "chatbox.v1";
