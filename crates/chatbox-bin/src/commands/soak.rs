//! `chatbox soak`: runs `chatbox-soak` from the command line.

use super::connect::with_prefix;
use super::{Failure, tls};
use crate::cli;
use crate::config::Loaded;
use crate::error::chain;
use chatbox_soak::{Soak, SoakError, SoakReport};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The life of the clients' tokens.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// Runs the fleet and prints its report. Exit code 1 on a violation.
pub(super) fn run(loaded: &Loaded, options: &cli::Soak) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let soak = configure(loaded, options)?;
    let report = runtime.block_on(soak.run(stop_signal())).map_err(|error| match error {
        SoakError::Rate(_) => Failure::bad_usage(format!("--rate: {error}")),
        SoakError::Client(_) => Failure::bad_usage(format!("--url: {}", chain(&error))),
        error => Failure::at_run_time(format!("soak: {}", chain(&error))),
    })?;
    print(&report, options.json)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configure(loaded: &Loaded, options: &cli::Soak) -> Result<Soak, Failure> {
    let servers = options.url.iter().map(|url| with_prefix(url, &loaded.config.path_prefix));
    let mut soak = Soak::new(servers)
        .clients(options.clients)
        .rooms(options.rooms)
        .rate(options.rate)
        .duration(options.lasting)
        .body_bytes(options.bytes)
        .stubborn(options.stubborn)
        .dialer(tls::dialer(options.ca.as_deref(), &options.url)?)
        .on_progress(|progress| eprintln!("{progress}"));
    if let Some(signer) = loaded.check()?.token_signer {
        soak = soak.token(move |user| signer.token(user, TOKEN_TTL, None).ok());
    }
    Ok(soak)
}

fn print(report: &SoakReport, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let json = serde_json::to_string(report)
            .map_err(|error| Failure::at_run_time(format!("the report cannot be encoded: {error}")))?;
        println!("{json}");
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Completes on SIGINT or SIGTERM.
async fn stop_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
