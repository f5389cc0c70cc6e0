//! Running other programs: to success, or within a bound.

use anyhow::{Context, Result, bail};
use std::io;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a command to its end, its output going wherever ours goes.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} cannot be started", name(command)))?;
    succeeded(command, status)
}

/// The exit code of a command of ours; an error is printed.
pub(crate) fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Like [`run`], but kills the program when `bound` has passed. Programs which that one started are not killed.
pub(crate) fn run_within(command: &mut Command, bound: Duration) -> Result<()> {
    let mut child = command.spawn().with_context(|| format!("{} cannot be started", name(command)))?;
    match wait_within(&mut child, bound)? {
        Some(status) => succeeded(command, status),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("{} did not end within {bound:?}", name(command))
        }
    }
}

/// Waits for a child, at most for `bound`; `None` means that it is still running.
pub(crate) fn wait_within(child: &mut Child, bound: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + bound;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
