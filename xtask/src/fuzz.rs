//! `cargo xtask fuzz`: the fuzz targets of `chatbox-ws`, one after the other, each for a while.
//!
//! Needs a nightly compiler by rustup. cargo-fuzz is installed into `target/xtask`, where the inputs that were found are kept, too.

use crate::process;
use crate::workspace::{cargo, root, scratch_folder};
use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use std::fs;
use std::process::{Command, ExitCode};

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fuzz only this; may be given more than once
    #[arg(long = "target", value_name = "TARGET", value_parser = PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    lasting: u64,
}

const TARGETS: [&str; 3] = ["decoder", "differential", "upgrade"];

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
    let chosen = |target: &&str| options.targets.is_empty() || options.targets.iter().any(|chosen| chosen == target);
    for target in TARGETS.iter().filter(|target| chosen(target)) {
        println!("==> {target}: {} s", options.lasting);
        let fuzz = root().join("crates/chatbox-ws/fuzz");
        let found = scratch_folder("fuzz/corpus").join(target);
        fs::create_dir_all(&found)?;
        let mut command = Command::new("rustup");
        command.args(["run", "nightly"]).arg(tools.join("bin/cargo-fuzz")).args(["fuzz", "run", target]);
        command.arg("--fuzz-dir").arg(&fuzz).arg("--target-dir").arg(scratch_folder("fuzz/target"));
        // Into the first of the folders goes what is found; the second is only read.
        command.arg(found).arg(fuzz.join("seeds").join(target)).arg("--");
        command.arg(format!("-max_total_time={}", options.lasting)).arg("-print_final_stats=1").args(LIMITS);
        let words = fuzz.join(target).with_extension("dict");
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        // This program's own compiler is another one.
        command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC").current_dir(root());
        process::run(&mut command).with_context(|| format!("{target}: a finding, unless nightly is missing"))?;
    }
    Ok(())
}
