//! One process of the service under test: started, broken, started again.

use crate::process;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the service may take to start, and to end after SIGTERM: longer than its own budgets.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(35);

/// A replica, which keeps its store and its address over restarts.
pub(super) struct Replica {
    program: PathBuf,
    /// Where it runs and writes its log.
    folder: PathBuf,
    /// What `--store` says.
    store: String,
    port: u16,
    child: Child,
    memory: Memory,
}

impl Replica {
    pub(super) fn start(program: &Path, folder: PathBuf, store: &str) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        // Free a moment ago; nothing else here asks for ports.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = launch(program, &folder, store, port)?;
        let (program, store) = (program.to_owned(), store.to_owned());
        let mut replica = Self { program, folder, store, port, child, memory: Memory::default() };
        replica.wait_until_up()?;
        Ok(replica)
    }

    pub(super) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/chat", self.port)
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        self.child = launch(&self.program, &self.folder, &self.store, self.port)?;
        self.memory = Memory::default();
        self.wait_until_up()
    }

    /// What `readyz` says.
    pub(super) fn is_ready(&self) -> Result<bool> {
        let mut probe = Command::new(&self.program);
        probe.args(["probe", "ready", "--url"]).arg(format!("http://127.0.0.1:{}/chat", self.port));
        Ok(probe.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }

    /// Waits until `readyz` says so, and returns how long that took.
    pub(super) fn until_ready(&self, ready: bool, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        while self.is_ready()? != ready {
            let wanted = if ready { "ready" } else { "not ready" };
            ensure!(began.elapsed() < within, "a replica was not {wanted} within {within:?}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(began.elapsed())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
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
    pub(super) fn terminate(&mut self) -> Result<i32> {
        self.signal("TERM")?;
        let status = process::wait_within(&mut self.child, END)?
            .with_context(|| format!("the service did not end within {END:?} of SIGTERM"))?;
        status.code().with_context(|| format!("the service was ended by a signal: {status}"))
    }

    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        process::run(Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()))
    }

    pub(super) fn sample_memory(&mut self) {
        self.memory.sample(self.child.id());
    }

    pub(super) fn report_memory(&self) {
        self.memory.report();
    }

    fn last_lines(&self) -> String {
        let mut text = String::new();
        // Without the log there is nothing to add.
        let _ = File::open(self.folder.join("service.log")).and_then(|mut log| log.read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It has ended already, unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(program: &Path, folder: &Path, store: &str, port: u16) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("service.log"))?;
    Command::new(program)
        .current_dir(folder)
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--store={store}"))
        .args(["--log-format=json", "--set=shutdown.lame_duck=1s", "serve"])
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

    /// The values since the last restart: their second half shows whether it grows.
    fn report(&self) {
        let second = &self.samples[self.samples.len() / 2..];
        if let (Some(first), Some(last), Some(max)) = (second.first(), second.last(), second.iter().max()) {
            println!(
                "memory           second half: {first} KiB at its begin, {last} KiB at its end, {max} KiB at most"
            );
        }
    }
}
