//! Configuration: every key with its type and default, in one place.

mod check;
mod layers;
mod secret;
mod show;
#[cfg(test)]
mod tests;

pub use check::{Checked, ConfigError};
pub use layers::{Flags, Loaded};
pub use secret::Secret;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set. `docs/configuration.md` describes each key.
///
/// [`Config::default`] is what `cargo run` starts with. A program that embeds the service sets what it needs, and hands it to
/// [`Service::start`](crate::Service::start), which checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Public listener.
    pub listen: SocketAddr,
    /// When set, `/metrics` and the probes are served there, too.
    pub ops_listen: Option<SocketAddr>,
    /// Before every route but `/metrics`.
    pub path_prefix: String,
    /// Who may come in.
    pub auth: Auth,
    /// What serves the clients, and what stands before it.
    pub server: Server,
    /// Where messages are kept.
    pub store: Store,
    /// What one client, and all of them, may cost.
    pub limits: Limits,
    /// When a silent peer is pinged and given up.
    pub heartbeat: Heartbeat,
    /// The phases of a shutdown and their budgets.
    pub shutdown: Shutdown,
    /// What is logged, and how.
    pub log: Log,
}

/// Section `auth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// HS256 key, at least 32 bytes.
    pub jwt_secret: Option<Secret>,
    /// A file that holds it.
    pub jwt_secret_file: Option<PathBuf>,
    /// PEM file with public keys for RS256, ES256 or EdDSA.
    pub jwt_public_key_file: Option<PathBuf>,
    /// A directory of keys that tokens name: `KID.pem` with a public key, `KID.secret` with an HS256 key.
    pub jwt_keys_dir: Option<PathBuf>,
    /// The `iss` that a token must have.
    pub issuer: Option<String>,
    /// What a token's `aud` must name.
    pub audience: Option<String>,
    /// How far the issuer's clock may be ahead of ours, where `nbf` and `iat` are concerned; at most 5 minutes.
    #[serde(with = "layers::duration")]
    pub leeway: Duration,
    /// When `?user=NAME` is believed.
    pub anonymous: Anonymous,
    /// Browser origins let in; empty means same host only, `*` any.
    #[serde(deserialize_with = "layers::list")]
    pub allowed_origins: Vec<String>,
}

/// `auth.anonymous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Only while no key is set and every listener is a loopback address.
    #[default]
    Loopback,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// Section `server`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Networks, such as `10.0.0.0/8`, of the proxies whose `X-Forwarded-For` is believed. Only logs show the client's address.
    #[serde(deserialize_with = "layers::list")]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve connections, 1 to 1,024. Unset: one for each processor that the process may use. A program that embeds the
    /// service brings a runtime of its own, for which this says nothing.
    pub workers: Option<usize>,
}

/// Section `store`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:PATH`, `mongodb://…`, `mongodb+srv://…` (with the feature `mongodb-srv`) or `memory:`.
    pub url: Secret,
    /// A file that holds it.
    pub url_file: Option<PathBuf>,
    /// `forever`, or how long messages are kept.
    pub retention: Retention,
}

/// `store.retention`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Messages are never removed.
    #[default]
    Forever,
    /// Messages older than this are removed.
    For(Duration),
}

/// Section `limits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in the whole process.
    pub max_connections: usize,
    /// Connections of one user.
    pub max_connections_per_user: u32,
    /// Bytes of one WebSocket message.
    pub max_message_bytes: usize,
    /// Messages a second of one user in the long run.
    pub messages_per_second: u32,
    /// Messages of one user at once.
    pub burst: u32,
    /// Bytes of direct messages queued for one connection.
    pub outbox_bytes: usize,
    /// A connection on which no write made progress for this long is closed with 1013.
    #[serde(with = "layers::duration")]
    pub write_timeout: Duration,
    /// Bytes of direct messages queued for all connections together.
    pub outboxes_bytes: usize,
    /// Bytes of the newest messages of all rooms, kept encoded.
    pub rings_bytes: usize,
    /// Rooms joined by one connection at the same time.
    pub rooms_per_connection: usize,
    /// Different rooms that one user joins or sends to within a minute.
    pub rooms_per_minute: usize,
    /// HTTP connections of one listener that are not, or not yet, WebSockets.
    pub max_handshakes: usize,
}

/// Section `heartbeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// Silence after which a peer is pinged.
    #[serde(with = "layers::duration")]
    pub interval: Duration,
    /// Silence after which a peer is gone.
    #[serde(with = "layers::duration")]
    pub timeout: Duration,
}

/// Section `shutdown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// What the platform allows between SIGTERM and SIGKILL.
    #[serde(with = "layers::duration")]
    pub grace: Duration,
    /// Not ready, refusing newcomers, still serving.
    #[serde(with = "layers::duration")]
    pub lame_duck: Duration,
    /// Budget for closing every connection.
    #[serde(with = "layers::duration")]
    pub drain: Duration,
    /// Budget for store, metrics and logs.
    #[serde(with = "layers::duration")]
    pub flush: Duration,
    /// How long one peer may take to answer our Close.
    #[serde(with = "layers::duration")]
    pub close_handshake: Duration,
    /// Connections closed per second; 0 for all at once.
    pub close_rate: u32,
    /// The report is written there if the file exists.
    pub termination_log: PathBuf,
}

/// Section `log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged: a level, or directives as in `RUST_LOG`.
    pub level: String,
    /// Daily files are written there, beside stdout.
    pub directory: Option<PathBuf>,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            ops_listen: None,
            path_prefix: "/chat".to_owned(),
            auth: Auth::default(),
            server: Server::default(),
            store: Store::default(),
            limits: Limits::default(),
            heartbeat: Heartbeat::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_secret_file: None,
            jwt_public_key_file: None,
            jwt_keys_dir: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            anonymous: Anonymous::Loopback,
            allowed_origins: Vec::new(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:chatbox.db"), url_file: None, retention: Retention::Forever }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 100_000,
            max_connections_per_user: 10,
            max_message_bytes: 65_536,
            messages_per_second: 50,
            burst: 100,
            outbox_bytes: 65_536,
            write_timeout: Duration::from_secs(30),
            outboxes_bytes: 128 << 20,
            rings_bytes: 128 << 20,
            rooms_per_connection: 64,
            rooms_per_minute: 1_000,
            max_handshakes: 4_096,
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { interval: Duration::from_secs(25), timeout: Duration::from_secs(60) }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(15),
            flush: Duration::from_secs(5),
            close_handshake: Duration::from_secs(3),
            close_rate: 2_000,
            termination_log: "/dev/termination-log".into(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned(), directory: None }
    }
}
