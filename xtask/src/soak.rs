//! `cargo xtask soak`: starts the service, maybe several replicas of it, and a fleet of clients, breaks the service and its
//! database by a plan, and reports what the clients found. The fleet (`chatbox soak`) does the checking; this does the breaking.

mod database;
mod plan;
mod replica;

use crate::process;
use crate::workspace::{cargo, root};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use database::Database;
use plan::{Fault, Plan};
use replica::Replica;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
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
    /// How it is broken, in turn; with several replicas one of them after the other
    #[arg(long, value_delimiter = ',', default_value = "term,kill,stop")]
    kinds: Vec<Fault>,
    /// How many processes serve; more than one needs `--store mongodb`
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// What stores the messages. MongoDB is a compatible server that is started, or the one in CHATBOX_TEST_MONGODB_URI
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// Seconds for which the database is away or stopped
    #[arg(long, default_value_t = 10)]
    outage: u64,
    /// The plan's seed; by default a new one, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// Use the release build
    #[arg(long)]
    release: bool,
}

/// Where the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    Sqlite,
    Mongodb,
}

/// How soon replicas must say that their database is gone, and that it is back.
const UNREADY: Duration = Duration::from_secs(8);
const READY: Duration = Duration::from_secs(30);

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
            replicas: 1,
            store: Store::Sqlite,
            outage: 0,
            seed: None,
            release: false,
        },
    )
}

fn soak(program: &Path, options: &Options) -> Result<()> {
    ensure!(options.replicas > 0, "--replicas must be at least 1");
    ensure!(options.replicas == 1 || options.store == Store::Mongodb, "--replicas above 1 needs --store mongodb");
    let of_database = options.kinds.iter().any(|kind| kind.is_of_database());
    ensure!(!of_database || options.store == Store::Mongodb, "the database can be broken with --store mongodb only");

    let seed = options.seed.unwrap_or_else(plan::new_seed);
    let lasting = Duration::from_secs(options.lasting);
    let plan = Plan::new(seed, &options.kinds, options.faults, lasting);
    println!("seed {seed} (the same plan again: cargo xtask soak --seed {seed} with the same flags)");
    for (at, fault) in &plan.faults {
        println!("  T+{:>6.2} s  {fault}", at.as_secs_f64());
    }
    let mut stage = Stage::set(program, options)?;
    let mut fleet = fleet(program, options, &stage.urls())?;
    let result = stage.carry_out(&plan, &mut fleet);
    if result.is_err() {
        // The fleet would wait for a service that is gone.
        let _ = fleet.kill();
    }
    let faults = result?;
    let verdict = process::wait_within(&mut fleet, lasting + SETTLE)?.context("the fleet did not end")?;
    println!("faults           {faults}");
    for replica in &mut stage.replicas {
        replica.report_memory();
        let ended = replica.terminate()?;
        println!("last end         exit code {ended}");
        ensure!(ended == 0, "the service ended with {ended} after the last SIGTERM");
    }
    ensure!(verdict.success(), "the fleet found violations (seed {seed})");
    Ok(())
}

/// What is broken: the replicas, and the database that they share.
struct Stage {
    // Ended before the database is.
    replicas: Vec<Replica>,
    database: Option<Database>,
    outage: Duration,
    /// Removed last.
    _folder: tempfile::TempDir,
}

/// How often what was done.
#[derive(Default)]
struct Done {
    terminated: usize,
    killed: usize,
    stopped: usize,
    outages: usize,
    freezes: usize,
}

impl Stage {
    fn set(program: &Path, options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (database, store) = match options.store {
            Store::Sqlite => (None, "sqlite:soak.db".to_owned()),
            Store::Mongodb => {
                let database = Database::start(folder.path())?;
                let store = database.store(&format!("soak-{}", std::process::id()));
                (Some(database), store)
            }
        };
        let replicas = (1..=options.replicas)
            .map(|number| Replica::start(program, folder.path().join(format!("replica-{number}")), &store))
            .collect::<Result<_>>()?;
        Ok(Self { replicas, database, outage: Duration::from_secs(options.outage), _folder: folder })
    }

    /// Where clients connect.
    fn urls(&self) -> String {
        self.replicas.iter().map(Replica::url).collect::<Vec<_>>().join(",")
    }

    /// Breaks things as planned, and watches memory meanwhile.
    fn carry_out(&mut self, plan: &Plan, fleet: &mut Child) -> Result<Done> {
        let (begun, mut done) = (Instant::now(), Done::default());
        let mut victims = (0..self.replicas.len()).cycle();
        for &(at, fault) in &plan.faults {
            while begun.elapsed() < at {
                ensure!(fleet.try_wait()?.is_none(), "the fleet ended early");
                self.sample_memory();
                thread::sleep((at - begun.elapsed().min(at)).min(Duration::from_millis(500)));
            }
            println!("T+{:>6.2} s  {fault}", begun.elapsed().as_secs_f64());
            if fault.is_of_database() {
                self.break_database(fault, &mut done)?;
            } else {
                let victim = victims.next().unwrap_or_default();
                break_replica(&mut self.replicas[victim], fault, plan.pause, &mut done)?;
            }
        }
        while fleet.try_wait()?.is_none() && begun.elapsed() < plan.lasting + SETTLE {
            // What comes after its time is the fleet reading all that was stored.
            if begun.elapsed() < plan.lasting {
                self.sample_memory();
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(done)
    }

    /// Takes the database away, sees that every replica says so, and that each recovers by itself.
    fn break_database(&mut self, fault: Fault, done: &mut Done) -> Result<()> {
        let database = self.database.as_mut().context("there is no database to break")?;
        if fault == Fault::DbStop {
            database.freeze(self.outage)?;
            done.freezes += 1;
        } else {
            let began = Instant::now();
            database.kill()?;
            for replica in &self.replicas {
                replica.until_ready(false, UNREADY)?;
            }
            println!("            not ready, all of them, after {:.1} s", began.elapsed().as_secs_f64());
            thread::sleep(self.outage.saturating_sub(began.elapsed()));
            database.restart()?;
            done.outages += 1;
        }
        let began = Instant::now();
        for replica in &self.replicas {
            replica.until_ready(true, READY)?;
        }
        println!("            ready again, all of them, {:.1} s after it came back", began.elapsed().as_secs_f64());
        Ok(())
    }

    fn sample_memory(&mut self) {
        for replica in &mut self.replicas {
            replica.sample_memory();
        }
    }
}

fn break_replica(replica: &mut Replica, fault: Fault, pause: Duration, done: &mut Done) -> Result<()> {
    match fault {
        Fault::Term => {
            let code = replica.terminate()?;
            ensure!(code == 0, "the service ended with {code} after SIGTERM");
            done.terminated += 1;
            replica.restart()
        }
        Fault::Kill => {
            replica.kill()?;
            done.killed += 1;
            replica.restart()
        }
        Fault::Stop => {
            replica.signal("STOP")?;
            thread::sleep(pause);
            done.stopped += 1;
            replica.signal("CONT")
        }
        Fault::DbRestart | Fault::DbStop => unreachable!("the database is not a replica"),
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terminated, killed, stopped, outages, freezes } = self;
        write!(f, "{terminated} × SIGTERM (each ended with 0), {killed} × SIGKILL, {stopped} × SIGSTOP")?;
        if outages + freezes > 0 {
            write!(f, ", database {outages} × killed, {freezes} × stopped")?;
        }
        Ok(())
    }
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

fn fleet(program: &Path, options: &Options, urls: &str) -> Result<Child> {
    Command::new(program)
        .args(["soak", "--url", urls])
        .arg(format!("--clients={}", options.clients))
        .arg(format!("--rooms={}", options.rooms))
        .arg(format!("--rate={}", options.rate))
        .arg(format!("--for={}s", options.lasting))
        .spawn()
        .context("cannot start the fleet")
}
