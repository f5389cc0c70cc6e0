//! The command line.

use crate::config::Flags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// A WebSocket chat service whose deploys nobody notices.
#[derive(Debug, Parser)]
#[command(name = "chatbox", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    /// What to do; without a command: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command that reads the configuration.
#[derive(Args, Debug)]
struct Settings {
    /// Read this file instead of ./chatbox.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Public listener, such as 0.0.0.0:8080.
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<String>,
    /// sqlite:PATH, mongodb://…, mongodb+srv://… or memory:
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// Before every route but /metrics.
    #[arg(long, global = true, value_name = "PATH")]
    path_prefix: Option<String>,
    /// auto, pretty or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Set any other key, such as shutdown.drain=20s.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    Serve,
    /// Validate the configuration, reach the store, print what would run.
    Check,
    /// Print the effective configuration, each value with where it came from.
    Config,
    /// Mint a JWT with the configured secret, for development.
    Token {
        /// The user id.
        #[arg(long)]
        user: String,
        /// How long it is valid.
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// Glob patterns of the rooms that may be entered; all, without any.
        #[arg(long, value_delimiter = ',')]
        rooms: Vec<String>,
    },
    /// Exit 0 if the probe answers 200: a health check for containers.
    Probe {
        /// Which probe.
        which: Probe,
        /// The service, with its path prefix; from the configuration by default.
        #[arg(long)]
        url: Option<String>,
    },
}

/// `chatbox probe`'s argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Probe {
    /// Is the process alive?
    Live,
    /// Does it want traffic?
    Ready,
}

impl Cli {
    /// What the flags say about the configuration.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let settings = &self.settings;
        let named = [
            ("listen", &settings.listen),
            ("store.url", &settings.store),
            ("path_prefix", &settings.path_prefix),
            ("log.format", &settings.log_format),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        Flags { file: settings.config.clone(), set: named.chain(settings.set.iter().cloned()).collect() }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
