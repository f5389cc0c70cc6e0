//! `cargo xtask dist`: runs `chatbox-dist`, a package of its own, so that only a release compiles what it needs.

use crate::process;
use crate::workspace::cargo;
use anyhow::Result;
use std::process::ExitCode;

/// The arguments of a release.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Makes the artefacts; the exit code says whether all could be made and checked.
pub(crate) fn run(options: &Options) -> ExitCode {
    process::exit_code(make(&options.arguments))
}

/// Builds the program that makes them, and runs it.
pub(crate) fn make<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Result<()> {
    process::run(cargo().args(["run", "--quiet", "--package", "chatbox-dist", "--"]).args(arguments))
}
