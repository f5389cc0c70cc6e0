//! `cargo xtask soak`: starts the service and a fleet of clients, breaks the service by a plan, and reports what the clients
//! found. The fleet (`chatbox soak`) does the checking; this does the breaking.

mod plan;

use crate::process;
use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail, ensure};
use plan::{Fault, Plan};
use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a soak runs.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Clients in the fleet
    #[arg(long, default_value_t = 60)]
    clients: u32,
    /// Rooms they are spread over
    #[arg(long, default_value_t = 8)]
    rooms: u32,
    /// Messages a second that each client sends
    #[arg(long, default_value_t = 8.0)]
    rate: f64,
    /// Seconds
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    lasting: u64,
    /// How many times the service is broken
    #[arg(long, default_value_t = 6)]
    faults: usize,
    /// How it is broken, in turn: `term`, `kill`, `stop`
    #[arg(long, value_delimiter = ',', default_value = "term,kill,stop")]
    kinds: Vec<Fault>,
    /// The plan's seed; by default a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Use the release build
    #[arg(long)]
    release: bool,
}

/// How long the service may take to start, and to end after SIGTERM: longer than its own budgets.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(35);

/// How long the fleet may take to settle after its time.
const SETTLE: Duration = Duration::from_secs(150);

/// Runs the soak; the exit code says whether every promise held.
pub(crate) fn run(options: &Options) -> ExitCode {
    match build(options.release).and_then(|program| soak(&program, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The soak that CI runs: every kind of fault, on the build that the tests have made already.
///
/// # Errors
/// When a promise was broken.
pub(crate) fn short() -> Result<()> {
    // Built with the features of the tests; to build it without them would build every dependency once more.
    let built = program(false);
    let program = if built.exists() { built } else { build(false)? };
    soak(
        &program,
        &Options {
            clients: 40,
            rooms: 6,
            rate: 8.0,
            lasting: 20,
            faults: 4,
            kinds: vec![Fault::Term, Fault::Kill, Fault::Stop],
            seed: None,
            release: false,
        },
    )
}

fn soak(program: &Path, options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(plan::new_seed);
    let lasting = Duration::from_secs(options.lasting);
    let plan = Plan::new(seed, &options.kinds, options.faults, lasting);
    println!("seed {seed} (the same plan again: cargo xtask soak --seed {seed} with the same flags)");
    for (at, fault) in &plan.faults {
        println!("  T+{:>6.2} s  {fault}", at.as_secs_f64());
    }
    let folder = tempfile::tempdir()?;
    let mut service = Service::start(program, folder.path())?;
    let mut fleet = fleet(program, options, &service.url())?;
    let result = carry_out(&plan, &mut service, &mut fleet);
    if result.is_err() {
        // The fleet would wait for a service that is gone.
        let _ = fleet.kill();
    }
    let faults = result?;
    let verdict = process::wait_within(&mut fleet, lasting + SETTLE)?.context("the fleet did not end")?;
    service.memory.report();
    let ended = service.terminate()?;
    println!("faults           {faults}");
    println!("last end         exit code {ended}");
    ensure!(ended == 0, "the service ended with {ended} after the last SIGTERM");
    ensure!(verdict.success(), "the fleet found violations (seed {seed})");
    Ok(())
}

/// Breaks the service as planned, and watches its memory meanwhile.
fn carry_out(plan: &Plan, service: &mut Service, fleet: &mut Child) -> Result<String> {
    let begun = Instant::now();
    let (mut terminated, mut killed, mut stopped) = (0, 0, 0);
    for (at, fault) in &plan.faults {
        while begun.elapsed() < *at {
            ensure!(fleet.try_wait()?.is_none(), "the fleet ended early");
            service.sample_memory();
            thread::sleep((*at - begun.elapsed().min(*at)).min(Duration::from_millis(500)));
        }
        println!("T+{:>6.2} s  {fault}", begun.elapsed().as_secs_f64());
        match fault {
            Fault::Term => {
                let code = service.terminate()?;
                ensure!(code == 0, "the service ended with {code} after SIGTERM");
                terminated += 1;
                service.restart()?;
            }
            Fault::Kill => {
                service.child.kill()?;
                service.child.wait()?;
                killed += 1;
                service.restart()?;
            }
            Fault::Stop => {
                service.signal("STOP")?;
                thread::sleep(plan.pause);
                service.signal("CONT")?;
                stopped += 1;
            }
        }
    }
    while fleet.try_wait()?.is_none() && begun.elapsed() < plan.lasting + SETTLE {
        // What comes after its time is the fleet reading all that was stored.
        if begun.elapsed() < plan.lasting {
            service.sample_memory();
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(format!("{terminated} × SIGTERM (each ended with 0), {killed} × SIGKILL, {stopped} × SIGSTOP"))
}

fn build(release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "chatbox-bin", "--bin", "chatbox"]);
    if release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    Ok(program(release))
}

fn program(release: bool) -> PathBuf {
    root().join("target").join(if release { "release" } else { "debug" }).join("chatbox")
}

fn fleet(program: &Path, options: &Options, url: &str) -> Result<Child> {
    Command::new(program)
        .args(["soak", "--url", url])
        .arg(format!("--clients={}", options.clients))
        .arg(format!("--rooms={}", options.rooms))
        .arg(format!("--rate={}", options.rate))
        .arg(format!("--for={}s", options.lasting))
        .spawn()
        .context("cannot start the fleet")
}

/// The service under test, which keeps its store and its address over restarts.
struct Service {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Child,
    memory: Memory,
}

impl Service {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        // Free a moment ago; nothing else here asks for ports.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = launch(program, folder, port)?;
        let mut service =
            Self { program: program.to_owned(), folder: folder.to_owned(), port, child, memory: Memory::default() };
        service.wait_until_up()?;
        Ok(service)
    }

    fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/chat", self.port)
    }

    fn restart(&mut self) -> Result<()> {
        self.child = launch(&self.program, &self.folder, self.port)?;
        self.memory = Memory::default();
        self.wait_until_up()
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the service ended at its start with {status}: {}", self.last_lines());
            }
            ensure!(Instant::now() < deadline, "the service did not listen within {START:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGTERM, and the exit code that follows it.
    fn terminate(&mut self) -> Result<i32> {
        self.signal("TERM")?;
        let status = process::wait_within(&mut self.child, END)?
            .with_context(|| format!("the service did not end within {END:?} of SIGTERM"))?;
        status.code().with_context(|| format!("the service was ended by a signal: {status}"))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        process::run(Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()))
    }

    fn sample_memory(&mut self) {
        self.memory.sample(self.child.id());
    }

    fn last_lines(&self) -> String {
        let mut text = String::new();
        // Without the log there is nothing to add.
        let _ = File::open(self.folder.join("service.log")).and_then(|mut log| log.read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already, unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(program: &Path, folder: &Path, port: u16) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("service.log"))?;
    Command::new(program)
        .current_dir(folder)
        .arg(format!("--listen=127.0.0.1:{port}"))
        .args(["--store=sqlite:soak.db", "--log-format=json", "--set=shutdown.lame_duck=1s", "serve"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the service")
}

/// The resident memory of the running service, sampled.
#[derive(Default)]
struct Memory {
    samples: Vec<u64>,
}

impl Memory {
    fn sample(&mut self, pid: u32) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<u64> = resident.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        self.samples.extend(kib);
    }

    /// What it was since the last restart: the second half tells whether it grows.
    fn report(&self) {
        let second = &self.samples[self.samples.len() / 2..];
        if let (Some(first), Some(last), Some(max)) = (second.first(), second.last(), second.iter().max()) {
            println!(
                "memory           second half: {first} KiB at its begin, {last} KiB at its end, {max} KiB at most"
            );
        }
    }
}
