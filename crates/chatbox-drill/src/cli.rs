//! The command line: `chatbox-drill`, and `chatbox drill`.

use crate::drill::{self, Options, Server, Stop};
use crate::profile::Profile;
use crate::report::{Grade, Report};
use crate::rule::Rule;
use crate::target::Target;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Grade how a WebSocket server shuts down: start it, load it, send it a signal, check twenty rules from outside
#[derive(Debug, Parser)]
#[command(name = "chatbox-drill", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// The WebSocket endpoint, such as ws://127.0.0.1:8080/ws
    #[arg(long)]
    url: Target,
    /// A readiness probe: 200 while the server is ready
    #[arg(long, value_name = "URL")]
    ready: Option<Target>,
    /// A liveness probe
    #[arg(long, value_name = "URL")]
    live: Option<Target>,
    /// How to talk to the server: a built-in profile (l0, echo, chatbox.v1, socket.io, graphql-transport-ws, phoenix, centrifugo) or a file
    #[arg(long, default_value = "l0", value_name = "NAME|FILE.toml")]
    profile: String,
    /// How long the server may take to end
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// How long it may take to start
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    start: Duration,
    /// The signal: TERM, INT, QUIT or HUP
    #[arg(long, default_value = "TERM")]
    signal: Stop,
    /// Drill a process that runs already, with one act only
    #[arg(long, conflicts_with = "command")]
    pid: Option<i32>,
    /// Print one JSON object, and nothing else, on stdout
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a Markdown table
    #[arg(long)]
    markdown: bool,
    /// Write JUnit's XML to this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Exit with 1 if the grade is worse
    #[arg(long, value_name = "GRADE")]
    min_grade: Option<Grade>,
    /// Exit with 1 unless these rules hold, such as C4,Q1
    #[arg(long, value_delimiter = ',', value_name = "RULES", value_parser = rule)]
    require: Vec<Rule>,
    /// The command that starts the server, after `--`
    #[arg(last = true, required_unless_present = "pid")]
    command: Vec<OsString>,
}

const EXIT_CODES: &str =
    "Exit codes: 0 the demands are met, 1 they are not, 2 wrong usage, 3 the server could not be drilled";

fn rule(id: &str) -> Result<Rule, String> {
    Rule::from_id(id).ok_or_else(|| {
        let ids: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        format!("there is no such rule; there are {}", ids.join(", "))
    })
}

/// Runs a drill as the arguments say, and prints its report.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    let profile = match Profile::load(&arguments.profile) {
        Ok(profile) => profile,
        Err(error) => return fail(2, &error),
    };
    let server = match arguments.pid {
        Some(pid) => Server::Pid(pid),
        None => Server::Command(arguments.command.clone()),
    };
    let options = Options {
        profile,
        ready: arguments.ready.clone(),
        live: arguments.live.clone(),
        signal: arguments.signal,
        grace: arguments.grace,
        start: arguments.start,
        ..Options::new(arguments.url.clone(), server)
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(3, &error),
    };
    let begun = std::time::Instant::now();
    let progress = |act: &str| eprintln!("[{:6.2} s] {act}", begun.elapsed().as_secs_f64());
    // Interrupted, the drill is dropped, and the server that it started is killed.
    let drilled = runtime.block_on(async {
        tokio::select! {
            drilled = drill::run(&options, progress) => Some(drilled),
            () = interrupted() => None,
        }
    });
    let report = match drilled {
        Some(Ok(report)) => report,
        Some(Err(error)) => return fail(3, &error),
        None => return fail(3, &std::io::Error::from(std::io::ErrorKind::Interrupted)),
    };
    if let Some(file) = &arguments.junit
        && let Err(error) = std::fs::write(file, report.to_junit())
    {
        eprintln!("{}:", file.display());
        return fail(2, &error);
    }
    match (arguments.json, arguments.markdown) {
        (true, _) => println!("{}", report.to_json()),
        (_, true) => print!("{}", report.to_markdown()),
        _ => print!("{report}"),
    }
    if meets(arguments, &report) { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Resolves at SIGINT or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn meets(arguments: &Arguments, report: &Report) -> bool {
    let mut meets = true;
    if let Some(wanted) = arguments.min_grade.filter(|wanted| report.grade > *wanted) {
        eprintln!("the grade is {}, {wanted} is demanded", report.grade);
        meets = false;
    }
    for rule in arguments.require.iter().filter(|rule| !report.holds(**rule)) {
        eprintln!("{rule} is demanded: {}", rule.demand());
        meets = false;
    }
    meets
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        eprint!(": {error}");
        source = error.source();
    }
    eprintln!();
    ExitCode::from(code)
}
