//! Configuration: typed sections with their defaults, read from layers, checked as a whole.
//!
//! Each section has a file of its own with its fields, defaults and checks. A new key is a field and a default there, and a row in
//! `docs/configuration.md`.

mod auth;
mod checked;
mod environment;
mod error;
mod explain;
mod layers;
mod limits;
mod log;
mod network;
mod origin;
mod secret;
mod server;
mod show;
mod shutdown;
mod store;
#[cfg(test)]
mod tests;
mod values;

pub use auth::{Anonymous, AuthConfig};
pub use checked::Checked;
pub use error::{ConfigError, ConfigErrorKind, ConfigSource};
pub use layers::{Flags, Loaded};
pub use limits::{HeartbeatConfig, LimitsConfig};
pub use log::{LogConfig, LogFormat};
pub use network::{InvalidNetwork, Network};
pub use origin::{InvalidOrigin, Origin};
pub use secret::Secret;
pub use server::ServerConfig;
pub use shutdown::ShutdownConfig;
pub use store::{Retention, StoreConfig};

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Every setting of the service. `docs/configuration.md` describes each key.
///
/// [`Config::default`] is what the program starts with. An embedding program changes the fields that it needs and passes the
/// configuration to [`Service::start`](crate::Service::start), which checks it.
///
/// ```
/// let mut config = chatbox::Config::default();
/// config.store.url = chatbox::Secret::new("memory:");
/// config.auth.anonymous = chatbox::Anonymous::Always;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Address of the public listener. Default `127.0.0.1:8080`. Not used by an embedded service, which has no listener.
    #[serde(deserialize_with = "values::address")]
    pub listen: SocketAddr,
    /// Address of a second listener for `/metrics` and the probes. Default: none.
    #[serde(deserialize_with = "values::optional_address")]
    pub ops_listen: Option<SocketAddr>,
    /// Path prefix of every route except `/metrics`. Default `/chat`. Not used by an embedded service, which is nested by its program.
    #[serde(deserialize_with = "values::path_prefix")]
    pub path_prefix: String,
    /// Authentication and browser origins.
    pub auth: AuthConfig,
    /// Threads and proxies.
    pub server: ServerConfig,
    /// The message store.
    pub store: StoreConfig,
    /// Bounds on connections, messages and memory.
    pub limits: LimitsConfig,
    /// Pings and the detection of dead peers.
    pub heartbeat: HeartbeatConfig,
    /// Shutdown phases and their time budgets.
    pub shutdown: ShutdownConfig,
    /// Log format, level and files.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            ops_listen: None,
            path_prefix: "/chat".to_owned(),
            auth: AuthConfig::default(),
            server: ServerConfig::default(),
            store: StoreConfig::default(),
            limits: LimitsConfig::default(),
            heartbeat: HeartbeatConfig::default(),
            shutdown: ShutdownConfig::default(),
            log: LogConfig::default(),
        }
    }
}
