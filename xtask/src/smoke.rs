//! `cargo xtask k8s-smoke`: runs `chatbox-smoke`, a package of its own, so that nothing else compiles its dependencies.

use crate::workspace::cargo;
use crate::{dist, process};
use anyhow::{Result, ensure};
use std::process::{Command, ExitCode, Stdio};

/// The arguments of the smoke test.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Makes the image unless one is named, and runs the smoke test. The exit code is the smoke test's: 0 if all was as promised, 1 if not, 2 if it
/// could not be run.
pub(crate) fn run(options: &Options) -> ExitCode {
    let names = |flag: &str| options.arguments.iter().any(|argument| argument.split('=').next() == Some(flag));
    let image = if ["--image", "--archive", "--help", "-h"].into_iter().any(names) {
        Ok(())
    } else {
        dist::make(&["--allow-dirty", "--quick"])
    };
    match image.and_then(|()| Ok(program(&options.arguments).status()?)) {
        Ok(status) => exit_code(status.code()),
        Err(error) => {
            eprintln!("{error:#}");
            NOT_RUN.into()
        }
    }
}

/// The exit code of a smoke test that could not be run.
const NOT_RUN: u8 = 2;

/// The exit code of the child; one that was killed by a signal has not come to a result.
fn exit_code(code: Option<i32>) -> ExitCode {
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(NOT_RUN).into()
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
        // What cannot be installed is reported below.
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

#[cfg(test)]
mod tests {
    use super::exit_code;
    use std::process::ExitCode;

    #[test]
    fn the_exit_code_of_the_smoke_test_is_passed_on() {
        for (code, expected) in [(Some(0), 0), (Some(1), 1), (Some(2), 2), (None, 2)] {
            assert_eq!(exit_code(code), ExitCode::from(expected), "{code:?}");
        }
    }
}
