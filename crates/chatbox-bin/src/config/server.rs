//! Section `server`: worker threads and trusted proxies.

use super::error::{ConfigError, ConfigErrorKind};
use super::{Network, values};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::Duration;

/// More threads than any machine has processors are a mistake.
const MAX_WORKERS: usize = 1_024;

/// Section `server`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Networks, such as `10.0.0.0/8`, of the proxies whose `X-Forwarded-For` is believed. Only logs show the client's address.
    #[serde(deserialize_with = "values::list")]
    pub trusted_proxies: Vec<Network>,
    /// Threads that serve connections, 1 to 1,024. Default: one for each processor that the process may use. Not used by an embedded
    /// service, which runs on its program's runtime.
    #[serde(deserialize_with = "values::optional_number")]
    pub workers: Option<NonZeroUsize>,
    /// How long an idle HTTP connection is kept open. Default 75 s: longer than the idle time of common load balancers, so that they do
    /// not send a request into a connection that is being closed. Not used by an embedded service.
    #[serde(with = "values::duration")]
    pub keep_alive: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), workers: None, keep_alive: Duration::from_secs(75) }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        values::positive("server.keep_alive", self.keep_alive)?;
        match self.workers {
            Some(workers) if workers.get() > MAX_WORKERS => {
                let (value, max) = (workers.to_string(), MAX_WORKERS.to_string());
                Err(ConfigError::new(["server.workers"], ConfigErrorKind::TooLarge { value, max }))
            }
            _ => Ok(()),
        }
    }
}
