//! Section `log`: format, level and files.

use super::error::ConfigError;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Section `log`. Not used by an embedded service, whose program has its own subscriber.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogConfig {
    /// Format of the lines on stdout.
    pub format: LogFormat,
    /// Level, or directives as in `RUST_LOG`. Default `info`.
    pub level: String,
    /// Directory of daily log files, written beside stdout.
    pub directory: Option<PathBuf>,
    /// Daily log files that are kept, today's included. Older ones are removed. Default 14.
    pub keep_days: NonZeroU32,
}

/// `log.format`: the format of the lines on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere. Default.
    #[default]
    Auto,
    /// Text for people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
            directory: None,
            keep_days: const { NonZeroU32::new(14).unwrap() },
        }
    }
}

impl LogConfig {
    pub(super) fn filter(&self) -> Result<EnvFilter, ConfigError> {
        EnvFilter::try_new(&self.level).map_err(|error| ConfigError::invalid("log.level", &self.level, error))
    }
}
