//! `cargo xtask test`: every step CI runs, one after the other, with a summary that hides nothing.

mod dependencies;
mod scratch;
mod summary;

use crate::mongodb::Storage;
use crate::workspace::cargo;
use crate::{autobahn, dist, mongodb, process, public_api, smoke, soak};
use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::env;
use std::process::{Command, ExitCode};
use std::time::Instant;
use summary::{Outcome, Summary};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only this step; may be given more than once
    #[arg(long, value_name = "STEP", value_parser = names())]
    only: Vec<String>,
    /// Name the steps and run nothing
    #[arg(long)]
    list: bool,
}

/// One step. It fails by an error; what it could not run at all is an [`Outcome`].
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Session) -> Result<Outcome>,
}

/// What steps share.
struct Session {
    /// CI, where whatever can be installed has to be.
    strict: bool,
    /// Started by one step for another.
    mongodb: Option<mongodb::Server>,
}

// All steps that compile take the same features, so that they share what is built: the lints and the documentation one
// set of dependencies, the tests and the documentation tests another. The scratch crates show that the default features do.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "every file is formatted",
        run: |_| passes(cargo().args(["fmt", "--all", "--check"])),
    },
    Step { name: "lints", about: "clippy has nothing to say", run: |_| lints() },
    Step { name: MONGODB, about: "a MongoDB-compatible server for the tests, unless one is named", run: start_mongodb },
    Step { name: TESTS, about: "unit and integration tests, and the tidy checks", run: tests },
    Step {
        name: "manifests",
        about: "what is in deploy/, against the API, the program and its metrics",
        run: |_| manifests(),
    },
    Step {
        name: "doc-tests",
        about: "the examples in the documentation",
        run: |_| passes(cargo().args(["test", "--workspace", "--exclude", "chatbox-smoke", "--all-features", "--doc"])),
    },
    Step { name: "autobahn", about: "the Autobahn test suite against the transport", run: conformance },
    Step {
        name: "soak",
        about: "a short soak: SIGTERM, SIGKILL and SIGSTOP under a fleet of clients",
        run: |_| short_soak(),
    },
    Step { name: "docs", about: "the documentation builds without a warning", run: |_| docs() },
    Step {
        name: "public-api",
        about: "the public API of each library is the one that its list shows",
        run: |_| public_api::compare().map(|()| Outcome::Passed),
    },
    Step { name: "scratch-crates", about: "each library works alone, as its README says", run: |_| scratch::run_all() },
    Step { name: "dist", about: "the release artefacts, and whether the crates can be published", run: |_| release() },
    Step { name: "k8s-smoke", about: "pods ended under a fleet of clients, by podman", run: pods },
    Step {
        name: "dependencies",
        about: "licences, versions and sources of what we depend on",
        run: dependencies::policy,
    },
    Step { name: "advisories", about: "known vulnerabilities in what we depend on", run: dependencies::advisories },
];
const MONGODB: &str = "mongodb-server";
const TESTS: &str = "tests";

/// Runs the steps that `options` choose; the exit code says whether none failed.
pub(crate) fn run(options: &Options) -> ExitCode {
    let steps = chosen(&options.only);
    if options.list {
        for step in steps {
            println!("{:<16} {}", step.name, step.about);
        }
        return ExitCode::SUCCESS;
    }

    let mut session = Session { strict: env::var_os("CI").is_some_and(|ci| ci == "true"), mongodb: None };
    let mut summary = Summary::default();
    for step in steps {
        println!("==> {}: {}", step.name, step.about);
        let started = Instant::now();
        let outcome = (step.run)(&mut session).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        println!("{}", summary.add(step.name, outcome, started.elapsed()));
    }
    print!("\n{summary}");
    if summary.all_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The steps that are named, or all of them. The tests alone still come with the server that they need.
fn chosen(only: &[String]) -> Vec<&'static Step> {
    let is_chosen =
        |name| only.is_empty() || only.iter().any(|chosen| chosen == name || name == MONGODB && chosen == TESTS);
    STEPS.iter().filter(|step| is_chosen(step.name)).collect()
}

/// What `--only` takes, with the explanations for `--help`.
fn names() -> PossibleValuesParser {
    STEPS.iter().map(|step| PossibleValue::new(step.name).help(step.about)).into()
}

fn passes(command: &mut Command) -> Result<Outcome> {
    process::run(command)?;
    Ok(Outcome::Passed)
}

fn lints() -> Result<Outcome> {
    passes(cargo().args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"]))
}

/// Starts a server for the tests that follow, unless the environment names one.
fn start_mongodb(session: &mut Session) -> Result<Outcome> {
    if mongodb::named().is_some() {
        println!("the tests use the server that the environment names");
        return Ok(Outcome::Passed);
    }
    let Some(python) = mongodb::python() else { return Ok(Outcome::NotRun(mongodb::missing())) };
    let started = mongodb::install(&python).and_then(|python| mongodb::Server::start(&python, Storage::Memory));
    match started {
        Ok(server) => session.mongodb = Some(server),
        Err(error) if session.strict => return Err(error),
        Err(error) => return Ok(Outcome::NotRun(format!("{error:#}"))),
    }
    Ok(Outcome::Passed)
}

fn tests(session: &mut Session) -> Result<Outcome> {
    let nextest = cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut command = cargo();
    if nextest {
        command.args(["nextest", "run"]);
    } else {
        // All that nextest runs, but without its time limits and its turns for the heavy tests.
        command.args(["test", "--lib", "--bins", "--tests", "--examples"]);
    }
    // What the smoke test needs is compiled for the step that runs its tests.
    command.args(["--workspace", "--exclude", "chatbox-smoke", "--all-features", "--no-fail-fast"]);
    // Taken, so that the server ends with this step.
    let server = session.mongodb.take();
    if let Some(server) = &server {
        command.envs(server.environment());
    }
    passes(&mut command)
}

fn manifests() -> Result<Outcome> {
    passes(cargo().args(["build", "--package", "chatbox-bin", "--all-features"]))?;
    passes(cargo().args(["test", "--package", "chatbox-smoke", "--all-features", "--", "--nocapture"]))
}

fn conformance(session: &mut Session) -> Result<Outcome> {
    let Some(python) = autobahn::python() else { return Ok(Outcome::NotRun(autobahn::NO_PYTHON.to_owned())) };
    match autobahn::Suite::install(&python) {
        Ok(suite) => suite.run(&autobahn::Options::default())?,
        Err(error) if session.strict => return Err(error),
        Err(error) => return Ok(Outcome::NotRun(format!("{error:#}"))),
    }
    Ok(Outcome::Passed)
}

fn short_soak() -> Result<Outcome> {
    soak::short()?;
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--all-features", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings");
    passes(&mut doc)
}

fn release() -> Result<Outcome> {
    if cfg!(not(target_os = "linux")) {
        return Ok(Outcome::NotRun("releases are made on Linux".to_owned()));
    }
    // What is packaged was compiled by the steps before; to compile it once more would take longer than all of them.
    dist::make(&["--allow-dirty", "--quick"])?;
    Ok(Outcome::Passed)
}

/// On the image that the step before has made.
fn pods(session: &mut Session) -> Result<Outcome> {
    if cfg!(not(target_os = "linux")) {
        return Ok(Outcome::NotRun("podman runs pods on Linux".to_owned()));
    }
    Ok(smoke::in_ci(session.strict)?.map_or(Outcome::Passed, Outcome::NotRun))
}

#[cfg(test)]
mod tests {
    use super::{STEPS, chosen};

    fn names_of(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(|name| name.to_string()).collect();
        chosen(&only).iter().map(|step| step.name).collect()
    }

    #[test]
    fn all_steps_are_run_by_default() {
        assert_eq!(names_of(&[]).len(), STEPS.len());
    }

    #[test]
    fn the_tests_alone_still_get_their_server() {
        assert_eq!(names_of(&["tests", "format"]), ["format", "mongodb-server", "tests"]);
    }
}
