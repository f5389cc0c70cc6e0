//! What the program's commands do, and what it exits with.

mod check;
mod connect;
mod epoch;
mod probe;
mod serve;
mod soak;
mod tls;

use crate::cli::{Cli, Command};
use crate::config::{ConfigError, Loaded};
use crate::error::{StartError, chain};
use chatbox_shutdown::{EarlySignals, Signal};
use chatbox_store::StoreError;
use std::fmt;
use std::process::ExitCode;

/// Why the program ends without having done what it was asked to: a line for stderr and an exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// Exit code 1: failed at run time.
    pub(crate) fn at_run_time(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// Exit code 2: bad configuration or usage.
    pub(crate) fn bad_usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// What the process exits with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<chatbox_shutdown::Error> for Failure {
    fn from(error: chatbox_shutdown::Error) -> Self {
        Self::at_run_time(chain(&error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::bad_usage(error.to_string())
    }
}

impl Failure {
    /// What the service said when it did not start.
    pub(crate) fn to_start(loaded: &Loaded, error: &StartError) -> Self {
        let StartError::Store(error) = error else { return Self::bad_usage(error.to_string()) };
        Self {
            // What no retry can mend is the configuration's fault.
            code: match error {
                StoreError::NotBuiltIn { .. } | StoreError::UnknownScheme { .. } | StoreError::InvalidUrl { .. } => 2,
                _ => 1,
            },
            text: store_fault(loaded, &chain(error)),
        }
    }
}

/// A store error with the source of the store's URL.
fn store_fault(loaded: &Loaded, text: &str) -> String {
    let sources = loaded.sources(["store.url", "store.url_file"]);
    let sources = if sources.is_empty() { sources } else { format!(" ({sources})") };
    format!("store.url: {text}{sources}")
}

/// Runs a future to its end, on this thread.
fn run_to_end<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    Ok(runtime.block_on(future))
}

/// Runs the command that the command line names. Only `serve` keeps the signals; they end every other command, unless it has a handler
/// of its own.
///
/// # Errors
/// A [`Failure`] that names what is wrong.
pub fn run(cli: &Cli, signals: EarlySignals) -> Result<ExitCode, Failure> {
    if let Some(Command::Drill(arguments)) = &cli.command {
        // Concerns another server: this one's configuration is not read.
        signals.restore_default();
        return Ok(chatbox_drill::cli::run(arguments));
    }
    let loaded = Loaded::read(&cli.flags(), std::env::vars_os())?;
    match cli.command.as_ref().unwrap_or(&Command::Serve) {
        Command::Serve => serve::run(&loaded, signals),
        Command::Check => {
            signals.restore_default();
            check::run(&loaded)
        }
        Command::Epoch { new } => {
            signals.restore_default();
            epoch::run(&loaded, *new)
        }
        Command::Config => {
            signals.restore_default();
            loaded.check()?;
            print!("{}", loaded.show());
            Ok(ExitCode::SUCCESS)
        }
        Command::Token { user, ttl, rooms } => {
            signals.restore_default();
            let signer = loaded.check()?.token_signer.ok_or_else(|| {
                Failure::bad_usage("token: no auth.jwt_secret is set, so there is nothing to sign with")
            })?;
            let rooms = (!rooms.is_empty()).then(|| rooms.clone());
            let token = signer.token(user, *ttl, rooms).map_err(Failure::bad_usage)?;
            println!("{token}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Connect(options) => {
            signals.without(Signal::Interrupt).restore_default();
            connect::run(&loaded.config, options)
        }
        Command::Soak(options) => {
            signals.without(Signal::Interrupt).without(Signal::Terminate).restore_default();
            soak::run(&loaded, options)
        }
        Command::Drill(_) => unreachable!("it was run above"),
        Command::Probe { which, url, ca } => {
            signals.restore_default();
            probe::run(&loaded.config, *which, url.as_deref(), ca.as_deref())
        }
    }
}
