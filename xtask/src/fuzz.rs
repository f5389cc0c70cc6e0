//! `cargo xtask fuzz`: the fuzz targets of `chatbox-ws`, one after the other, each for a while.
//!
//! Needs a nightly compiler by rustup. cargo-fuzz is installed into `target/xtask`, where the inputs that were found are kept, too.

use crate::process;
use crate::workspace::{cargo, root, scratch_folder};
use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fuzz only this; may be given more than once
    #[arg(long = "target", value_name = "TARGET", value_parser = names())]
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    lasting: u64,
}

/// The targets, each with the folder of inputs that it begins with.
const TARGETS: [(&str, &str); 3] = [("decoder", "frames"), ("differential", "frames"), ("upgrade", "upgrade")];

const CARGO_FUZZ: &str = "0.13.2";

/// What every input has to keep to, beside what its target asserts: ten seconds, 512 MiB in all and 64 MiB at once.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=512", "-malloc_limit_mb=64"];

/// Fuzzes; the exit code says whether nothing was found.
pub(crate) fn run(options: &Options) -> ExitCode {
    match fuzz(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(options: &Options) -> Result<()> {
    let tools = scratch_folder("tools");
    // Does nothing when that version is there.
    process::run(
        cargo().args(["install", "--locked", "--version", CARGO_FUZZ, "--root"]).arg(&tools).arg("cargo-fuzz"),
    )?;
    for (target, seeds) in TARGETS {
        if options.targets.is_empty() || options.targets.iter().any(|chosen| chosen == target) {
            let program = tools.join("bin/cargo-fuzz");
            println!("==> {target}: {} s", options.lasting);
            process::run(&mut cargo_fuzz(&program, "build", target))
                .with_context(|| format!("{target}: not built, is nightly missing?"))?;
            let before = children()?;
            process::run(&mut target_run(&program, target, seeds, options.lasting)?)
                .with_context(|| format!("{target}: a finding"))?;
            // The bound is wall-clock time; the processor time shows how much was really tried.
            println!("==> {target}: no finding in {:.0} s of processor time", (children()? - before).as_secs_f64());
        }
    }
    Ok(())
}

/// Processor time, in user and kernel, of the programs that were run so far and of those that they ran.
fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds().cast_unsigned());
    Ok(Duration::from_micros(micros.iter().sum()))
}

/// A cargo-fuzz command for one target.
fn cargo_fuzz(program: &Path, verb: &str, target: &str) -> Command {
    let mut command = Command::new("rustup");
    // This program's own compiler is another one.
    command.current_dir(root()).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
    command.args(["run", "nightly"]).arg(program).args(["fuzz", verb, target]);
    command.arg("--fuzz-dir").arg(folder()).arg("--target-dir").arg(scratch_folder("fuzz/target"));
    command
}

fn folder() -> PathBuf {
    root().join("crates/chatbox-ws/fuzz")
}

/// The command that runs one target, which is built.
fn target_run(program: &Path, target: &str, seeds: &str, lasting: u64) -> Result<Command> {
    let found = scratch_folder("fuzz/corpus").join(target);
    fs::create_dir_all(&found)?;
    let mut command = cargo_fuzz(program, "run", target);
    // Into the first of these folders goes what is found; the second is only read.
    command.arg(found).arg(folder().join("seeds").join(seeds)).arg("--");
    command.arg(format!("-max_total_time={lasting}")).arg("-print_final_stats=1").args(LIMITS);
    let words = folder().join(target).with_extension("dict");
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    Ok(command)
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(TARGETS.map(|(target, _)| target))
}
