//! The client against a scripted server, in paused time: in memory, but over the real WebSocket protocol. TLS and HTTP run
//! over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod closing;
mod connecting;
mod flowing;
#[cfg(feature = "http")]
mod http;
mod moving;
mod reconnecting;
mod server;
#[cfg(feature = "tls")]
mod tls;
