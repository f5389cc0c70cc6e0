//! The command line.

use crate::config::Flags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroU32;
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
    /// Print the epoch of the log, by which clients notice that it was replaced.
    Epoch {
        /// Give the log a new epoch first: to be done after a backup was restored, before chatbox starts.
        #[arg(long)]
        new: bool,
    },
    /// Print the effective configuration, each value with its source.
    Config,
    /// Sign a JWT with the configured secret, for development.
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
        /// For https://: trust the certificate authorities in this PEM file instead of the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// A terminal chat client that reconnects and resumes.
    Connect(Connect),
    /// A fleet of clients against a running service, while you deploy, kill or restart it; checks that nothing is lost.
    Soak(Soak),
    /// Grade how any WebSocket server shuts down.
    Drill(chatbox_drill::cli::Arguments),
}

/// `chatbox connect`.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// The service, such as ws://127.0.0.1:8080/chat; several to choose from, with commas. From the configuration by default.
    #[arg(long, value_delimiter = ',')]
    pub url: Vec<String>,
    /// The room to enter.
    #[arg(long, default_value = "lobby")]
    pub room: String,
    /// Who you are, where names are believed.
    #[arg(long)]
    pub user: Option<String>,
    /// A JWT, where they are not.
    #[arg(long)]
    pub token: Option<String>,
    /// For wss://: trust the certificate authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Show at most that many of the newest messages first.
    #[arg(long, default_value_t = 20, conflicts_with = "after")]
    pub last: u64,
    /// Show everything after this `seq` first.
    #[arg(long)]
    pub after: Option<u64>,
    /// One JSON object a line, for scripts.
    #[arg(long)]
    pub json: bool,
}

/// `chatbox soak`.
#[derive(Args, Clone, Debug)]
pub struct Soak {
    /// The service, such as ws://127.0.0.1:8080/chat; several replicas, with commas.
    #[arg(long, value_delimiter = ',', required = true)]
    pub url: Vec<String>,
    /// How many clients.
    #[arg(long, default_value = "300")]
    pub clients: NonZeroU32,
    /// How many rooms they are spread over.
    #[arg(long, default_value = "20")]
    pub rooms: NonZeroU32,
    /// Messages a second that each client sends.
    #[arg(long, default_value_t = 5.0)]
    pub rate: f64,
    /// How long; Ctrl-C ends it earlier, with a result.
    #[arg(long = "for", default_value = "60s", value_parser = humantime::parse_duration)]
    pub lasting: Duration,
    /// Bytes of one message's text.
    #[arg(long, default_value_t = 64)]
    pub bytes: usize,
    /// Further connections that never read and never answer a Close.
    #[arg(long, default_value_t = 0)]
    pub stubborn: u32,
    /// For wss://: trust the certificate authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The result as one JSON object.
    #[arg(long)]
    pub json: bool,
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
