//! A MongoDB-compatible server for tests and soaks: SecantusDB, for as long as it is held.

use crate::process::{self, wait_within};
use crate::python;
use crate::workspace::{root, scratch_folder};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Where the tests look for a server, and for its process where they freeze it.
const URI: &str = "CHATBOX_TEST_MONGODB_URI";
const PID: &str = "CHATBOX_TEST_MONGODB_PID";

/// The interpreters for which there are builds of the server.
const PYTHONS: &[&str] = &["python3.12", "python3.13", "python3.10"];

const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(5);

/// The server that the environment names.
pub(crate) fn named() -> Option<String> {
    env::var(URI).ok()
}

/// The interpreter of a machine that can run the server.
pub(crate) fn python() -> Option<PathBuf> {
    python::find(PYTHONS)
}

/// The message for a machine without one.
pub(crate) fn missing() -> String {
    format!("none of {} is here, with its venv module", PYTHONS.join(", "))
}

/// The interpreter in whose environment the server is installed; installs it if need be.
pub(crate) fn install(python: &Path) -> Result<PathBuf> {
    Ok(python::install(python, "mongodb-server")?.join("python"))
}

/// A running server. It ends when this is dropped, and also when this program dies in any way at all: it watches its
/// standard input, which no other process holds open.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

/// Where a server keeps its data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Storage<'a> {
    Memory,
    Folder(&'a Path),
}

impl Server {
    /// What to tell the tests.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [(URI, format!("mongodb://127.0.0.1:{}/", self.port)), (PID, self.process.id().to_string())]
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server and waits until it accepts connections.
    pub(crate) fn start(python: &Path, storage: Storage<'_>) -> Result<Self> {
        Self::start_on(python, storage, free_port()?)
    }

    /// The same on a port where there was one before.
    pub(crate) fn start_on(python: &Path, storage: Storage<'_>, port: u16) -> Result<Self> {
        let log = scratch_folder("mongodb-server.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let storage = match storage {
            Storage::Memory => Path::new(":memory:"),
            Storage::Folder(folder) => folder,
        };
        let process = Command::new(python)
            .arg(root().join("xtask/src/mongodb_server.py"))
            .args(["--port", &port.to_string(), "--enable-test-commands", "--storage-path"])
            .arg(storage)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("the MongoDB-compatible server cannot be started")?;
        // From here on it is ended whatever happens.
        let mut server = Self { process, port };
        server.listening().with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        println!("listening on 127.0.0.1:{port}, process {}, log in {}", server.process.id(), log.display());
        Ok(server)
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Freezes it, or lets it go on: `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        process::run(Command::new("kill").arg(format!("-{signal}")).arg(self.process.id().to_string()))
    }

    fn listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("the MongoDB-compatible server ended with {status} before it listened");
            }
            if Instant::now() > deadline {
                bail!("the MongoDB-compatible server did not listen within {START:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing its input asks it to end and to remove its files; a test may have left it frozen.
        drop(self.process.stdin.take());
        if !matches!(wait_within(&mut self.process, END), Ok(Some(_))) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
