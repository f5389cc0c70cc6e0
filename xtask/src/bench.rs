//! `cargo xtask bench`: builds what is measured and what measures it, as they are released, and runs the latter.
//!
//! The scenarios measure whole servers, the micro-benchmarks single operations.

use crate::mongodb::{self, Server, Storage};
use crate::process;
use crate::workspace::{cargo, root};
use anyhow::Result;
use std::process::{Command, ExitCode};

/// The arguments of the benchmark.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments of the scenarios (`-- --help` lists them); without any, the micro-benchmarks are run, too. `micro` alone, or with the
    /// arguments of divan, runs only those.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The packages that have benchmarks of single operations.
const MICRO: [&str; 2] = ["chatbox-core", "chatbox-ws"];

/// Runs the benchmark; the exit code says whether it came to its end.
pub(crate) fn run(options: &Options) -> ExitCode {
    let result = match options.arguments.split_first() {
        None => scenarios(&[]).and_then(|()| micro(&[])),
        Some((first, rest)) if first == "micro" => micro(rest),
        Some(_) => scenarios(&options.arguments),
    };
    process::exit_code(result)
}

/// The decoder, the encoder, outboxes and the registry.
fn micro(arguments: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["bench", "--quiet", "--bench", "*"]);
    MICRO.iter().for_each(|package| _ = command.args(["--package", package]));
    process::run(command.arg("--").args(arguments))
}

fn scenarios(arguments: &[String]) -> Result<()> {
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
