//! `cargo xtask`: the project's chores, as a program. `cargo xtask help` lists them.

mod autobahn;
mod bench;
mod dist;
mod fuzz;
mod mongodb;
mod process;
mod public_api;
mod python;
mod readme;
mod smoke;
mod soak;
mod test;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the Autobahn test suite against the transport
    Autobahn(autobahn::Options),
    /// Measure the service beside what it is compared to; `--help` lists the options
    #[command(disable_help_flag = true)]
    Bench(bench::Options),
    /// Make the release artefacts in `dist/`; `--help` lists the options
    #[command(disable_help_flag = true)]
    Dist(dist::Options),
    /// Fuzz the transport, by default for a minute each target; needs a nightly compiler
    Fuzz(fuzz::Options),
    /// Deploy to a real pod runtime, end pods, and check what was promised; `--help` lists the options
    #[command(disable_help_flag = true)]
    K8sSmoke(smoke::Options),
    /// Compare the public API of every library with its list, or write the lists
    PublicApi(public_api::Options),
    /// Run everything CI runs, and say what was not run and why
    Test(test::Options),
    /// Break the service by a seeded plan under a fleet of clients, and check that nothing is lost
    Soak(soak::Options),
}

fn main() -> ExitCode {
    // For `public-api`, cargo runs this program as its rustdoc.
    if let Some(code) = public_api::rustdoc() {
        return code;
    }
    match Arguments::parse().command {
        Command::Autobahn(options) => autobahn::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Dist(options) => dist::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::K8sSmoke(options) => smoke::run(&options),
        Command::PublicApi(options) => public_api::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Soak(options) => soak::run(&options),
    }
}
