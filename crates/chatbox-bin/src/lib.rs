//! The chatbox service: a library that other programs embed, and the program `chatbox`.
#![doc = include_str!("../README.md")]

mod auth;
mod authenticate;
mod background;
mod builder;
mod chat;
pub mod cli;
mod client_addr;
pub mod commands;
mod config;
mod disconnect;
mod error;
mod history_limit;
mod hook;
mod lifecycle;
mod logging;
mod readiness;
mod refusal;
mod report;
mod routes;
mod server;
mod service;
mod stages;
mod state;
mod systemd;
mod telemetry;
mod users;

pub use auth::{Identity, KeyError, install_jwt_crypto};
pub use builder::ServiceBuilder;
pub use chatbox_core::{CloseCode, CloseReason, Refused};
pub use chatbox_health::Readiness;
pub use chatbox_rooms::Permission;
pub use chatbox_shutdown::{Budget, Ending, Shutdown};
pub use config::{
    Anonymous, AuthConfig, Checked, Config, ConfigError, ConfigErrorKind, ConfigSource, Flags, HeartbeatConfig,
    InvalidNetwork, InvalidOrigin, LimitsConfig, Loaded, LogConfig, LogFormat, Network, Origin, Retention, Secret,
    ServerConfig, ShutdownConfig, StoreConfig,
};
pub use error::StartError;
pub use hook::AuthenticationError;
pub use report::{Connections, Messages, ServiceReport};
pub use service::Service;
pub use telemetry::install as install_metrics;
