//! Section `shutdown`: the phases of a shutdown and their time budgets.

use super::error::{ConfigError, ConfigErrorKind};
use super::values;
use chatbox_shutdown::Plan;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Section `shutdown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ShutdownConfig {
    /// Time between SIGTERM and SIGKILL on the platform.
    #[serde(with = "values::duration")]
    pub grace: Duration,
    /// Time for load balancers to notice: not ready, refusing new connections, still serving open ones.
    #[serde(with = "values::duration")]
    pub lame_duck: Duration,
    /// Budget for closing every connection.
    #[serde(with = "values::duration")]
    pub drain: Duration,
    /// Budget for store, metrics and logs.
    #[serde(with = "values::duration")]
    pub flush: Duration,
    /// How long one peer may take to answer a Close.
    #[serde(with = "values::duration")]
    pub close_handshake: Duration,
    /// Connections closed per second. 0: all at once.
    pub close_rate: u32,
    /// File that receives the shutdown report, if it exists.
    pub termination_log: PathBuf,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        let plan = Plan::default();
        Self {
            grace: plan.grace(),
            lame_duck: plan.lame_duck(),
            drain: plan.drain(),
            flush: plan.flush(),
            close_handshake: chatbox_ws::Settings::default().close_handshake(),
            close_rate: 2_000,
            termination_log: "/dev/termination-log".into(),
        }
    }
}

impl ShutdownConfig {
    pub(super) fn plan(&self) -> Result<Plan, ConfigError> {
        values::positive("shutdown.close_handshake", self.close_handshake)?;
        let plan = Plan::default()
            .with_lame_duck(self.lame_duck)
            .with_drain(self.drain)
            .with_flush(self.flush)
            .with_grace(self.grace);
        let keys = ["shutdown.lame_duck", "shutdown.drain", "shutdown.flush", "shutdown.grace"];
        plan.validate().map_err(|error| ConfigError::new(keys, ConfigErrorKind::Shutdown(error)))?;
        Ok(plan)
    }
}
