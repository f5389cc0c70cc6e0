//! The program: see the library.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    chatbox_drill::cli::run(&chatbox_drill::cli::Arguments::parse())
}
