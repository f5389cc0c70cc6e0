//! A MongoDB-compatible server for the tests: SecantusDB, in memory, for as long as the tests run.

use super::Session;
use super::summary::Outcome;
use crate::process::wait_within;
use crate::python;
use crate::workspace::{root, scratch_folder};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
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

/// Starts a server for the tests that follow, unless the environment names one.
pub(super) fn start(session: &mut Session) -> Result<Outcome> {
    if env::var_os(URI).is_some() {
        println!("{URI} is set: the tests use that server");
        return Ok(Outcome::Passed);
    }
    let Some(python) = python::find(PYTHONS) else {
        return Ok(Outcome::NotRun(format!("none of {} is here, with its venv module", PYTHONS.join(", "))));
    };
    match python::install(&python, super::MONGODB).and_then(|programs| Server::start(&programs.join("python"))) {
        Ok(server) => session.mongodb = Some(server),
        Err(error) if session.strict => return Err(error),
        Err(error) => return Ok(Outcome::NotRun(format!("{error:#}"))),
    }
    Ok(Outcome::Passed)
}

/// A running server. It ends when this is dropped, and also when this program dies in any way at all: it watches its
/// standard input, which nobody else holds open.
pub(super) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// What to tell the tests.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        [(URI, format!("mongodb://127.0.0.1:{}/", self.port)), (PID, self.process.id().to_string())]
    }

    /// Starts the server and waits until it accepts connections.
    fn start(python: &Path) -> Result<Self> {
        let log = scratch_folder("mongodb-server.log");
        let output = File::create(&log)?;
        let port = free_port()?;
        let process = Command::new(python)
            .arg(root().join("xtask/src/test/mongodb_server.py"))
            .args(["--port", &port.to_string(), "--storage-path", ":memory:", "--enable-test-commands"])
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

/// A port that nobody listened on a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
