//! The suite: which scenarios there are, and running them.

mod fleet;
mod latency;
mod load;
mod peer;
mod processors;
mod report;
mod scenario;
mod senders;
mod server;
mod wire;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use peer::{Peer, Programs};
use report::{Measure, Report, Row};
use scenario::{SCENARIOS, Scenario};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures chatbox beside its peers. Tables go to stdout, progress to stderr.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run a peer until SIGTERM; it prints where it listens
    #[command(hide = true)]
    Peer { name: OwnPeer },
}

/// The peers that are part of this program.
#[derive(Clone, Copy, ValueEnum)]
enum OwnPeer {
    Epoll,
    Tungstenite,
}

#[derive(clap::Args)]
struct Options {
    /// Run only this scenario; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = scenario::names())]
    only: Vec<String>,
    /// Small numbers: shows that everything works, and measures nothing worth comparing
    #[arg(long)]
    quick: bool,
    /// Which servers
    #[arg(long, value_delimiter = ',', default_value = "chatbox,epoll,tungstenite,bun")]
    peers: Vec<Peer>,
    /// Let servers share all processors with their clients also where deliveries are measured
    #[arg(long)]
    together: bool,
    /// Install Bun with npm if it is not there
    #[arg(long)]
    with_bun: bool,
    /// Where the results go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench/results.json")]
    json: PathBuf,
    /// The service's program [default: beside this program]
    #[arg(long, value_name = "FILE")]
    chatbox: Option<PathBuf>,
}

/// What scenarios work with.
struct Bench {
    programs: Programs,
    peers: Vec<Peer>,
    quick: bool,
    report: Report,
}

/// Runs what the command line says.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Peer { name: OwnPeer::Epoll }) => peer::epoll::run(),
        Some(Command::Peer { name: OwnPeer::Tungstenite }) => peer::tungstenite::run(),
        None => run(arguments.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    raise_file_limit();
    let scratch = std::path::absolute("target/bench")?;
    fs::create_dir_all(&scratch)?;
    if options.with_bun && peer::bun::find(&scratch).is_none() {
        peer::bun::install(&scratch)?;
    }
    let chatbox = match options.chatbox {
        Some(chatbox) => std::path::absolute(chatbox)?,
        None => std::env::current_exe()?.with_file_name("chatbox"),
    };
    let bun = peer::bun::find(&scratch);
    let mut bench = Bench {
        programs: Programs { chatbox, bun, scratch, together: options.together },
        peers: options.peers,
        quick: options.quick,
        report: Report::default(),
    };
    if bench.programs.bun.is_none() && bench.peers.contains(&Peer::Bun) {
        bench.peers.retain(|peer| *peer != Peer::Bun);
        bench.report.notes.push("Bun: not run, there is none (--with-bun installs it)".to_owned());
    }
    let load_before = load_average();
    for scenario in SCENARIOS.iter().filter(|scenario| options.only.is_empty() || is_named(scenario, &options.only)) {
        eprintln!("{}: {}", scenario.name, scenario.about);
        (scenario.run)(&mut bench).with_context(|| scenario.name)?;
    }
    let run = json!({
        "date": jiff::Timestamp::now().strftime("%F").to_string(),
        "quick": options.quick,
        "together": options.together,
        "processors": std::thread::available_parallelism().map_or(0, |count| count.get()),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "load_average": {"before": load_before, "after": load_average()},
    });
    println!("{}", bench.report.markdown());
    if let Some(folder) = options.json.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&options.json, format!("{:#}\n", bench.report.json(run)))?;
    eprintln!("results: {}", options.json.display());
    Ok(())
}

fn is_named(scenario: &Scenario, names: &[String]) -> bool {
    names.iter().any(|name| name == scenario.name)
}

impl Bench {
    /// The number for a whole run, or the one for a quick one.
    fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// Measures each of the servers `times` times, in turns so that none has the quieter machine, and reports the medians. A server
    /// that fails is reported with its error.
    fn compare(
        &mut self,
        scenario: &'static str,
        case: &str,
        times: usize,
        measure: impl Fn(&Self, Peer) -> Result<Vec<Measure>>,
    ) {
        let mut runs: Vec<(Peer, Vec<Vec<Measure>>)> = self.peers.iter().map(|peer| (*peer, Vec::new())).collect();
        for _ in 0..times {
            runs.retain_mut(|(peer, runs)| {
                eprintln!("  {case}: {peer}");
                let result = measure(self, *peer);
                let failure = result.map(|measures| runs.push(measures)).err();
                if let Some(error) = &failure {
                    eprintln!("    {error:#}");
                    self.report.notes.push(format!("{scenario}, {case}, {peer}: failed: {error:#}"));
                }
                failure.is_none()
            });
        }
        self.report.rows.extend(runs.into_iter().map(|(peer, runs)| Row {
            scenario,
            case: case.to_owned(),
            peer,
            measures: report::median(runs),
        }));
    }
}

/// A client needs a file descriptor for each of its connections.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A refusal shows up as a connection that cannot be opened.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
