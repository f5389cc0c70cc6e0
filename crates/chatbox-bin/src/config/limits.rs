//! Sections `limits` and `heartbeat`, and the settings of the crates that enforce them.

use super::error::{ConfigError, ConfigErrorKind};
use super::{Config, values};
use chatbox_core::RateLimits;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Section `limits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Connections in the whole process.
    pub max_connections: NonZeroUsize,
    /// Connections of one user.
    pub max_connections_per_user: NonZeroU32,
    /// Bytes of one WebSocket message.
    pub max_message_bytes: NonZeroUsize,
    /// Requests a second of one user in the long run.
    pub messages_per_second: NonZeroU32,
    /// Requests of one user at once.
    pub burst: NonZeroU32,
    /// Bytes of direct messages queued for one connection.
    pub outbox_bytes: NonZeroUsize,
    /// How long the writes of a connection may make no progress before it is closed with 1013.
    #[serde(with = "values::duration")]
    pub write_timeout: Duration,
    /// Bytes of direct messages queued for all connections together.
    pub outboxes_bytes: NonZeroUsize,
    /// Bytes of encoded recent messages of all rooms.
    pub rings_bytes: NonZeroUsize,
    /// Rooms joined by one connection at the same time.
    pub rooms_per_connection: NonZeroUsize,
    /// Different rooms that one user joins or sends to within a minute.
    pub rooms_per_minute: NonZeroUsize,
    /// HTTP connections of one listener that are not, or not yet, WebSockets.
    pub max_handshakes: NonZeroUsize,
}

/// Section `heartbeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HeartbeatConfig {
    /// Silence after which a peer is sent a ping.
    #[serde(with = "values::duration")]
    pub interval: Duration,
    /// Silence after which a peer is considered gone.
    #[serde(with = "values::duration")]
    pub timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let registry = chatbox_core::Limits::default();
        let rooms = chatbox_rooms::Options::default();
        let transport = chatbox_ws::Settings::default();
        Self {
            max_connections: registry.max_connections(),
            max_connections_per_user: registry.max_per_user(),
            max_message_bytes: nonzero(rooms.max_message_bytes()),
            messages_per_second: const { NonZeroU32::new(50).unwrap() },
            burst: const { NonZeroU32::new(100).unwrap() },
            outbox_bytes: registry.outbox_bytes(),
            write_timeout: transport.write_timeout(),
            outboxes_bytes: registry.outboxes_bytes(),
            rings_bytes: nonzero(rooms.rings_bytes()),
            rooms_per_connection: rooms.rooms_per_connection(),
            rooms_per_minute: rooms.rooms_per_minute(),
            max_handshakes: const { NonZeroUsize::new(4_096).unwrap() },
        }
    }
}

fn nonzero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        let transport = chatbox_ws::Settings::default();
        Self { interval: transport.heartbeat_interval(), timeout: transport.heartbeat_timeout() }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        values::positive("limits.write_timeout", self.write_timeout)
    }

    pub(crate) fn rates(&self) -> RateLimits {
        RateLimits::new(self.messages_per_second, self.burst)
    }
}

impl HeartbeatConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { interval, timeout } = *self;
        values::positive("heartbeat.interval", interval)?;
        values::positive("heartbeat.timeout", timeout)?;
        if interval < timeout {
            return Ok(());
        }
        let kind = ConfigErrorKind::HeartbeatOrder { interval, timeout };
        Err(ConfigError::new(["heartbeat.interval", "heartbeat.timeout"], kind))
    }
}

impl Config {
    /// Settings of the connection registry.
    pub(crate) fn registry_limits(&self) -> chatbox_core::Limits {
        let limits = &self.limits;
        chatbox_core::Limits::default()
            .with_max_connections(limits.max_connections)
            .with_max_per_user(limits.max_connections_per_user)
            .with_outbox_bytes(limits.outbox_bytes)
            .with_outboxes_bytes(limits.outboxes_bytes)
    }

    /// Settings of the rooms.
    pub(crate) fn room_options(&self) -> chatbox_rooms::Options {
        let limits = &self.limits;
        chatbox_rooms::Options::default()
            .with_heartbeat(self.heartbeat.interval)
            .with_max_message_bytes(limits.max_message_bytes.get())
            .with_rooms_per_connection(limits.rooms_per_connection)
            .with_rooms_per_minute(limits.rooms_per_minute)
            .with_rings_bytes(limits.rings_bytes.get())
    }

    /// Settings of the WebSocket sessions.
    pub(crate) fn session_settings(&self) -> chatbox_ws::Settings {
        chatbox_ws::Settings::default()
            .with_max_message(self.limits.max_message_bytes.get())
            .with_heartbeat_interval(self.heartbeat.interval)
            .with_heartbeat_timeout(self.heartbeat.timeout)
            .with_write_timeout(self.limits.write_timeout)
            .with_close_handshake(self.shutdown.close_handshake)
    }
}
