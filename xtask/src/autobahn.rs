//! `cargo xtask autobahn`: the Autobahn test suite, a client that tries everything, against the `echo` example.
//!
//! The suite runs on CPython 2.7 only, which must be here; the suite itself is installed into `target/xtask`.

mod report;

use crate::workspace::{cargo, root, scratch_folder};
use crate::{process, python};
use anyhow::{Context, Result, ensure};
use report::Report;
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// How the suite is run.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Run only these cases, such as `6.*`; may be given more than once
    #[arg(long = "case", value_name = "PATTERN")]
    cases: Vec<String>,
    /// Use the release build
    #[arg(long)]
    release: bool,
}

/// Why the suite cannot be run where [`python()`] finds nothing.
pub(crate) const NO_PYTHON: &str = "no CPython 2.7 with pip is here, neither on the path nor under pyenv";

/// How many cases this version of the suite has.
const CASES: usize = 517;

/// Time for all cases, which take half a minute.
const BOUND: Duration = Duration::from_secs(600);

/// Runs the suite; the exit code says whether the server passed.
pub(crate) fn run(options: &Options) -> ExitCode {
    let suite = python().context(NO_PYTHON).and_then(|python| Suite::install(&python));
    match suite.and_then(|suite| suite.run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An interpreter that the suite runs on.
pub(crate) fn python() -> Option<PathBuf> {
    python::find_with("pip", &["python2.7"])
}

/// The suite, installed.
pub(crate) struct Suite {
    python: PathBuf,
    packages: PathBuf,
}

impl Suite {
    /// Installs the suite, unless it is here.
    ///
    /// # Errors
    /// When its packages cannot be had.
    pub(crate) fn install(python: &Path) -> Result<Self> {
        Ok(Self { python: python.to_owned(), packages: python::install_packages(python, "autobahn")? })
    }

    /// Runs the suite and prints its verdict.
    ///
    /// # Errors
    /// When a case failed or was not run.
    pub(crate) fn run(&self, options: &Options) -> Result<()> {
        let server = Server::start(options.release)?;
        let reports = scratch_folder("autobahn-reports");
        match fs::remove_dir_all(&reports) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&reports)?,
        }
        let all = ["*".to_owned()];
        let cases = if options.cases.is_empty() { &all[..] } else { &options.cases };
        let agent = "chatbox-ws";
        let spec = json!({
            "outdir": reports,
            "servers": [{ "agent": agent, "url": server.url }],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let spec_file = reports.join("spec.json");
        fs::write(&spec_file, spec.to_string())?;
        let log = File::create(reports.join("wstest.log"))?;
        process::run_within(
            Command::new(&self.python)
                .arg(root().join("xtask/src/autobahn/wstest.py"))
                .arg(&self.packages)
                .args(["--mode", "fuzzingclient", "--spec"])
                .arg(&spec_file)
                .current_dir(&reports)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
            BOUND,
        )
        .with_context(|| format!("see the log in {}", reports.display()))?;
        drop(server);

        let index = fs::read_to_string(reports.join("index.json")).context("the suite wrote no report")?;
        let report = Report::parse(&index, agent)?;
        print!("{report}");
        println!("in full: {}", reports.join("index.html").display());
        ensure!(report.failures() == 0, "{} cases failed", report.failures());
        let expected = if options.cases.is_empty() { CASES } else { 1 };
        ensure!(report.len() >= expected, "only {} cases were run", report.len());
        Ok(())
    }
}

/// The `echo` example, as long as this lives.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Builds the example with the features of the tests, so that nothing is built twice, and starts it.
    fn start(release: bool) -> Result<Self> {
        let mut build = cargo();
        build.args(["build", "--workspace", "--all-features", "--example", "echo"]);
        if release {
            build.arg("--release");
        }
        process::run(&mut build)?;
        let folder = root().join("target").join(if release { "release" } else { "debug" });
        let mut process = Command::new(folder.join("examples/echo"))
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the echo example cannot be started")?;
        let output = process.stdout.take();
        // From here on it is ended whatever happens.
        let mut server = Self { process, url: String::new() };
        let mut first = String::new();
        BufReader::new(output.context("its output is a pipe")?).read_line(&mut first)?;
        server.url = first.trim_end().strip_prefix("listening on ").context("echo does not listen")?.to_owned();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
