//! Sessions over pipes in paused time and over real sockets, and the opening handshake over a real server.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod closing;
mod drain;
mod examples;
mod flow;
mod handshake;
mod late;
mod memory;
mod ordered;
mod service;
mod sockets;
mod talk;
mod timing;
mod wire;
