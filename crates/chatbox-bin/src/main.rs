//! The program `chatbox`: a command line around the library.

use chatbox::cli::Cli;
use chatbox::commands;
use clap::Parser;
use std::process::ExitCode;

// Memory per idle connection is a design target; the system's allocator needs about half as much again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match commands::run(&Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("chatbox: {failure}");
            failure.exit_code()
        }
    }
}
