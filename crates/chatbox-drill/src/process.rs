//! The server's process: started, signalled, awaited, and killed with everything that it started.

use crate::record::Status;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How much of the server's output is kept: its end, for errors.
const TAIL: usize = 4096;

/// How long the end of the output of a process is waited for.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// The server under test.
#[derive(Debug)]
pub(crate) enum Process {
    /// Started by the drill, as the leader of a process group.
    Started { child: Box<Child>, pid: Pid, output: Tail, readers: JoinSet<()> },
    /// Running already; not a child, so that its exit status is not known.
    Found(Pid),
}

/// The end of what the server has written to stdout and stderr.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Reads to the end, however much it is, so that the server never waits for its output to be read.
    async fn follow(self, mut output: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = output.read(&mut buffer).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..read]);
            let surplus = kept.len().saturating_sub(TAIL);
            kept.drain(..surplus);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned()
    }
}

impl Process {
    /// Starts the command.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what it forks can be ended with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let output = Tail::default();
        let mut readers = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(output.clone().follow(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(output.clone().follow(stderr));
        }
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self::Started { child: Box::new(child), pid, output, readers })
    }

    /// A process that runs already; `None` if there is none with that id.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let pid = Pid::from_raw(pid).filter(|_| pid > 0)?;
        test_kill_process(pid).ok().map(|()| Self::Found(pid))
    }

    /// Sends a signal to the process alone, as a supervisor does.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let (Self::Started { pid, .. } | Self::Found(pid)) = self;
        Ok(kill_process(*pid, signal)?)
    }

    /// Waits for the process to end. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Status {
        match self {
            Self::Started { child, .. } => child.wait().await.map_or(Status::Unknown, status),
            Self::Found(pid) => {
                while test_kill_process(*pid).is_ok() {
                    sleep(Duration::from_millis(10)).await;
                }
                Status::Unknown
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<Status> {
        match self {
            Self::Started { child, .. } => child.try_wait().ok().flatten().map(status),
            Self::Found(pid) => test_kill_process(*pid).is_err().then_some(Status::Unknown),
        }
    }

    /// Ends it, and what it has started, at once.
    pub(crate) async fn kill(&mut self) {
        if let Self::Started { child, pid, .. } = self {
            let _ = kill_process_group(*pid, Signal::KILL);
            let _ = child.wait().await;
        }
    }

    /// The end of its output: all of it where the process has ended, and nothing that it started still writes.
    pub(crate) async fn output(&mut self) -> String {
        match self {
            Self::Started { output, readers, .. } => {
                let _ = timeout(LAST_OUTPUT, async { while readers.join_next().await.is_some() {} }).await;
                output.text()
            }
            Self::Found(_) => String::new(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also of one that has ended: its group may live on. A group without members is an error that changes nothing.
        if let Self::Started { pid, .. } = self {
            let _ = kill_process_group(*pid, Signal::KILL);
        }
    }
}

fn status(status: ExitStatus) -> Status {
    status.code().map(Status::Code).or(status.signal().map(Status::Signal)).unwrap_or(Status::Unknown)
}
