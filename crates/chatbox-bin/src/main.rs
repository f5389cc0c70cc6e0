//! The program `chatbox`: a command line around the library.

use chatbox::cli::Cli;
use chatbox::commands::{self, Failure};
use chatbox_shutdown::EarlySignals;
use clap::Parser;
use std::process::ExitCode;

// Memory per idle connection is a design target; the system's allocator needs about half as much again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| {
        eprintln!("chatbox: {failure}");
        failure.exit_code()
    })
}

fn run() -> Result<ExitCode, Failure> {
    // Before anything else: the kernel discards signals without a handler for a container's first process.
    let signals = EarlySignals::register()?;
    commands::run(&Cli::parse(), signals)
}
