//! `cargo xtask k8s-smoke`: runs `chatbox-smoke`, a package of its own, so that only those who run it compile what it needs.

use crate::workspace::cargo;
use crate::{dist, process};
use anyhow::{Result, ensure};
use std::process::{Command, ExitCode, Stdio};

/// What the smoke test is told.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Makes the image unless one is named, and runs the smoke test; the exit code says whether all was as promised.
pub(crate) fn run(options: &Options) -> ExitCode {
    let names = |flag: &str| options.arguments.iter().any(|argument| argument.split('=').next() == Some(flag));
    let image = if ["--image", "--archive", "--help", "-h"].into_iter().any(names) {
        Ok(())
    } else {
        dist::make(&["--allow-dirty", "--quick"])
    };
    match image.and_then(|()| process::run(&mut program(&options.arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The smoke test that CI runs, on the image in `dist/`; `Some` is why it cannot be run here.
///
/// # Errors
/// When something was not as promised.
pub(crate) fn in_ci(may_install: bool) -> Result<Option<String>> {
    let mut missing = needs()?;
    if !missing.is_empty() && may_install {
        println!("installing {}", missing.join(" "));
        let mut apt = Command::new("sh");
        apt.args(["-c", "apt-get update -qq && apt-get install -qq --yes --no-install-recommends \"$@\"", "apt"]);
        // What cannot be installed is told below.
        let _ = process::run(apt.args(&missing).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()));
        missing = needs()?;
    }
    if !missing.is_empty() {
        return Ok(Some(format!("these are not here: {}", missing.join(", "))));
    }
    let podman = ["--runtime=podman", "--clients=90", "--rooms=9"];
    process::run(&mut program(&podman))?;
    // What must be found is found.
    for broken in ["grace", "readyz", "abort"] {
        let arguments = [&podman[..], &["--scenario=delete", "--inject", broken]].concat();
        let status = program(&arguments).status()?;
        ensure!(status.code() == Some(1), "the smoke test with a broken {broken} ended with {status}");
    }
    Ok(None)
}

/// The Debian packages that pods cannot be run without and that are not here.
fn needs() -> Result<Vec<String>> {
    let output = program(&["--runtime=podman", "--needs"]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "what the smoke test needs is not known: it ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
}

fn program<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "chatbox-smoke", "--"]).args(arguments);
    command
}
