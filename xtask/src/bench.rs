//! `cargo xtask bench`: builds what is measured and what measures it, as they are released, and runs the latter.

use crate::mongodb::{self, Server, Storage};
use crate::process;
use crate::workspace::{cargo, root};
use anyhow::Result;
use std::process::{Command, ExitCode};

/// What the benchmark is told.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the benchmark; the exit code says whether it came to its end.
pub(crate) fn run(options: &Options) -> ExitCode {
    match build_and_run(&options.arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build_and_run(arguments: &[String]) -> Result<()> {
    // One after the other: built together, the service would get the features that the benchmark asks of what both use.
    for (package, program) in [("chatbox-bin", "chatbox"), ("chatbox-bench", "chatbox-bench")] {
        process::run(cargo().args(["build", "--quiet", "--release", "--package", package, "--bin", program]))?;
    }
    let mut bench = Command::new(root().join("target/release/chatbox-bench"));
    // Held until the benchmark has ended.
    let database = database()?;
    if let Some(database) = &database {
        bench.envs(database.environment());
    }
    process::run(bench.args(arguments).current_dir(root()))
}

/// A server for what is measured over MongoDB, unless the environment names one or none can be had.
fn database() -> Result<Option<Server>> {
    match mongodb::python() {
        Some(python) if mongodb::named().is_none() => {
            Server::start(&mongodb::install(&python)?, Storage::Memory).map(Some)
        }
        _ => Ok(None),
    }
}
