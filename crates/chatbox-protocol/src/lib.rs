//! The `chatbox.v1` messages as serde types: what a client and a chatbox server say to each other.
//!
#![doc = include_str!("../README.md")]

mod client;
mod http;
mod name;
mod server;
mod timestamp;

pub use client::{ClientMessage, Rejected};
pub use http::{ErrorBody, History};
pub use name::{InvalidName, MessageId, RoomName};
pub use server::{ErrorCode, ServerMessage};
pub use timestamp::Timestamp;

/// The WebSocket subprotocol (RFC 6455 section 1.9) that these messages make up.
pub const SUBPROTOCOL: &str = "chatbox.v1";
