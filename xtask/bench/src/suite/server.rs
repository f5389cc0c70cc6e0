//! A server under measurement: its start, its figures from `/proc`, its end.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the WebSocket is, at every server.
pub(crate) const PATH: &str = "/chat/ws";

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    clock: ClockId,
    address: SocketAddr,
}

impl Server {
    /// Starts a server, and waits until it has said where it listens: what it prints goes to a file in `folder`, so that
    /// printing costs it what it would in service and the pipe never fills up.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Result<Self> {
        let output = folder.join("output");
        let file = File::create(&output)?;
        for (name, _) in std::env::vars_os() {
            // A configuration that happens to be around is not what is measured.
            if name.to_string_lossy().starts_with("CHATBOX_") {
                command.env_remove(name);
            }
        }
        command.current_dir(folder).stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let clock = ClockId::pid_cpu_clock_id(pid)?;
        let mut server = Self { child, pid, clock, address: ([0, 0, 0, 0], 0).into() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&output)?;
            if let Some(address) = announced(&text) {
                server.address = address;
                return Ok(server);
            }
            if server.has_ended()? || Instant::now() > deadline {
                bail!("{:?} did not start:\n{text}", command.get_program());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time used so far, by all its threads, in user and kernel.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let now = self.clock.now().context("cannot read the server's processor time")?;
        Ok(now.into())
    }

    /// Resident bytes that are its own. What is shared, such as the program's text, is not counted.
    pub(crate) fn memory(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let kib = |key| -> Option<u64> {
            rollup.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok())
        };
        let sum = kib("Private_Clean:").zip(kib("Private_Dirty:")).context("smaps_rollup lacks its sums")?;
        Ok((sum.0 + sum.1) * 1024)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> Result<()> {
        Ok(kill(self.pid, Signal::SIGTERM)?)
    }

    /// Whether it has ended. It stays a zombie, whose processor time can still be read.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The state stands behind the name, which may itself hold blanks and parentheses.
        Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended()? {
            ensure!(Instant::now() < deadline, "the server did not end within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a server's first lines: chatbox logs the page's, the peers print theirs.
fn announced(output: &str) -> Option<SocketAddr> {
    output.match_indices("http://").find_map(|(at, scheme)| {
        let rest = &output[at + scheme.len()..];
        // Only a whole line is sure to hold the whole address.
        rest.contains('\n').then(|| rest.split(['/', '\n', '"']).next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn the_address_is_read_once_its_line_is_whole() {
        assert_eq!(announced("{\"page\":\"http://127.0.0.1:80"), None);
        assert_eq!(announced("{\"page\":\"http://127.0.0.1:8080/chat/\"}\n"), "127.0.0.1:8080".parse().ok());
        assert_eq!(announced("listening on http://127.0.0.1:8080\n"), "127.0.0.1:8080".parse().ok());
    }
}
